"""Services named by kind only ("our CRM", "text me"): found, and resolved from what the person has."""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import cache, lru_cache

from prefect_autopilot.intelligence.data import table
from prefect_autopilot.intelligence.mentions import Mention
from prefect_autopilot.models import RequestContext, Service, Value
from prefect_autopilot.services import Catalogue

_MASKED = "\ue000-\uf8ff"
MAX_OPTIONS = 6
_NEAR = 120
_BY_ADDRESS = re.compile(
    r"\b(?:look(?:s|ed|ing)?(?: [\w' ]{1,30}?)? up|find|search|match|check|identif\w+)\b"
    r"(?:(?! and )[^.;,]){0,60}"
    r"\b(?:by|with|via|using|on) (?:the |their |the same |his |her |its |same )?$"
)
"""What something is looked up by is no service."""


class Slot(Value):
    """A kind of service the request needs, with its words and what fills it."""

    kind: str
    label: str
    start: int
    end: int
    filled_by: str | None = None
    reason: str = ""
    options: tuple[str, ...] = ()
    optional: bool = False


@cache
def _patterns() -> dict[str, re.Pattern[str]]:
    """One pattern for each kind: verbs and noun phrases, longest first, then the longer ways to say it."""
    compiled = {}
    for kind, entry in table("kinds").items():
        phrases = sorted({*entry.get("words", ()), *entry.get("verbs", ())}, key=lambda p: (-len(p), p))
        not_after = "".join(rf"(?<!\b{word}\s)" for word in entry.get("not_after", ()))
        not_before = "|".join(entry.get("not_before", ())) or r"(?!)"
        plain = "|".join(re.escape(p).replace(r"\ ", r"\s+") for p in phrases) or r"(?!)"
        asks = "|".join(entry.get("asks", ())) or r"(?!)"
        compiled[kind] = re.compile(
            rf"(?<![\w@#./{_MASKED}-]){not_after}(?:(?:{plain})(?!\s+(?:{not_before})\b)|{asks})(?![\w@]"
            rf"|\.\w)"
        )
    return compiled


def find_kinds(text: str) -> list[tuple[str, int, int]]:
    """Find kinds of services in lower-case text whose names are masked; overlaps go to the longer words."""
    hits = [
        (kind, found.start(), found.end())
        for kind, pattern in _patterns().items()
        for found in pattern.finditer(text)
    ]
    hits = [
        hit
        for hit in hits
        if not (hit[0] == "email" and _BY_ADDRESS.search(text[max(0, hit[1] - _NEAR) : hit[1]]))
    ]
    hits.sort(key=lambda hit: (hit[1] - hit[2], hit[1]))
    kept: list[tuple[str, int, int]] = []
    taken = bytearray(len(text))
    for kind, start, end in hits:
        if not any(taken[start:end]):
            kept.append((kind, start, end))
            taken[start:end] = b"\1" * (end - start)
    return sorted(kept, key=lambda hit: hit[1])


@lru_cache(maxsize=256)
def members(kind: str, catalogue: Catalogue) -> tuple[Service, ...]:
    """Return the services that can stand for a kind, the likelier first."""
    kinds = table("kinds").get(kind, {}).get("members", (kind,))
    found = [service for one in kinds for service in catalogue.by_kind(one)]
    return tuple({service.id: service for service in found}.values())


def resolve(
    kind: str, place: tuple[int, int], named: Iterable[Mention], context: RequestContext, catalogue: Catalogue
) -> Slot:
    """Fill a kind from what is named, preferred, connected or was used last; never by guess."""
    entry = table("kinds")[kind]
    ids = tuple(service.id for service in members(kind, catalogue))
    slot = Slot(
        kind=kind,
        label=entry["label"],
        start=place[0],
        end=place[1],
        optional=entry.get("optional", False),
    )
    said = [m.service for m in named if m.service in ids]
    if said:
        return slot.model_copy(update={"filled_by": said[-1], "reason": "named in the request"})
    preferred = _preferred(kind, context)
    if preferred in ids:
        return slot.model_copy(update={"filled_by": preferred, "reason": "your preference"})
    connected = [service for service in ids if service in context.connected_services]
    if len(connected) == 1:
        return slot.model_copy(update={"filled_by": connected[0], "reason": "the one you have connected"})
    recent = [service for service in context.recent_services if service in (connected or ids)]
    if recent:
        return slot.model_copy(update={"filled_by": recent[0], "reason": "the one you used last"})
    return slot.model_copy(update={"options": tuple(connected or ids)[:MAX_OPTIONS]})


def _preferred(kind: str, context: RequestContext) -> str | None:
    """Read a preference, given flat (``{"email": "gmail"}``) or under ``services``."""
    under = context.preferences.get("services")
    choices = under if isinstance(under, dict) else context.preferences
    found = choices.get(kind)
    return found if isinstance(found, str) else None
