"""What a verb asks for and what an operation does: create, read, update or delete."""

from __future__ import annotations

import re
from functools import cache, lru_cache

from prefect_autopilot.intelligence.data import table, words
from prefect_autopilot.models import Operation, Service

_COUNTED = re.compile(r"\b(?:add|adds|sum|sums|total|totals) up\b")
_DETERMINERS = frozenset(["a", "an", "the", "new", "each", "last", "latest", "my", "our", "no", "any", "of"])
_BY_METHOD = {"GET": "read", "HEAD": "read", "PUT": "update", "PATCH": "update", "DELETE": "delete"}
_METHODS = {"read": "GET", "delete": "DELETE", "update": "PATCH"}
_REFILLED = frozenset({"spreadsheet", "docs"})
"""Kinds that are updated by adding to them."""

_TOLD = frozenset({"chat", "sms", "email", "notification", "social"})
"""Kinds where an update is a message."""


@cache
def _deed_of() -> dict[str, frozenset[str]]:
    found: dict[str, set[str]] = {}
    for deed, listed in table("verbs")["deed"].items():
        for word in listed:
            found.setdefault(word, set()).add(deed)
    return {word: frozenset(deeds) for word, deeds in found.items()}


@lru_cache(maxsize=4096)
def asked(said: str) -> frozenset[str]:
    """Return what the first verb of ``said`` asks for; several where it is open, none where it says nothing.

    A word with an article before it ("the update") is no verb, one in -s only behind what a verb follows.
    """
    told = re.findall(r"[a-z]+", _COUNTED.sub("count", said.lower()))
    for i, word in enumerate(told):
        before = told[i - 1] if i else ""
        if word not in _deed_of() or before in _DETERMINERS:
            continue
        if word.endswith("s") and i and before not in words("verbs", "before"):
            continue
        return _deed_of()[word]
    return frozenset()


def deeds(operation: Operation) -> frozenset[str]:
    """Return what an operation does: as its name says, else its phrases, else its method."""
    return _deeds(operation.id, operation.method, operation.verbs)


@lru_cache(maxsize=4096)
def _deeds(operation_id: str, method: str, verbs: tuple[str, ...]) -> frozenset[str]:
    meaning = table("verbs")["operations"].get(operation_id.lower().split("_")[0])
    found = {"get": {"read"}, "update": {"update"}, "delete": {"delete"}}.get(meaning or "", set())
    if meaning and not found:
        found = {"create"}
    phrases = [re.findall(r"[a-z]+", phrase.lower()) for phrase in verbs]
    for phrase in phrases:
        known = _deed_of().get(phrase[0], frozenset()) if phrase else frozenset()
        found = found | known if len(known) == 1 else found
    if method == "DELETE":
        found = {"delete"}
    return frozenset(found or {_BY_METHOD.get(method, "create")})


def fits(service: Service, operation: Operation, wanted: frozenset[str], *, is_source: bool) -> bool:
    """Tell whether an operation does what a verb asks for; what takes away must be asked for by name."""
    does = deeds(operation)
    if does == {"delete"}:
        return "delete" in wanted
    if wanted == {"delete"}:
        return "delete" in does
    if is_source:
        return wanted != {"read"} or does != {"update"}
    if wanted and does == {"read"}:
        return "read" in wanted
    if wanted == {"update"}:
        kinds = set(service.kinds)
        return "update" in does or ("create" in does and bool(kinds & (_REFILLED | _TOLD)))
    return wanted != {"create"} or does != {"update"}


def method_for(wanted: frozenset[str], *, is_read: bool) -> str:
    """Return the HTTP method of a request that nobody has described."""
    if is_read:
        return "GET"
    [deed] = wanted if len(wanted) == 1 else ["create"]
    return "POST" if deed == "read" else _METHODS.get(deed, "POST")


def reads(operation: Operation) -> bool:
    """Tell whether an operation only looks: by its method, or by what its name says."""
    return (
        operation.method == "GET"
        or (operation.effect == "safe" and operation.id.startswith("run_"))
        or table("verbs")["operations"].get(operation.id.lower().split("_")[0]) == "get"
    )
