"""Names in generated source: identifiers, file names and titles, made of words from outside."""

from __future__ import annotations

import builtins
import keyword
import re
import sys
import unicodedata
from collections.abc import Iterable

from prefect_autopilot.errors import UsageError
from prefect_autopilot.models.names import OWN_PREFIX, WORK_POOL

EVENT = "event"
"""The parameter of a generated flow that holds the event."""

ALL_PAGES = "all_pages"
"""The keyword of ``call_service`` that asks for the rows of every page; no parameter of a service."""

_MAX_IDENTIFIER = 48
_IMPORTED = frozenset({"Any", "Completed", "State", "call_service", "flow", "json", "prefect", "sleep"})
_RESERVED = (
    frozenset(keyword.kwlist)
    | frozenset(keyword.softkwlist)
    | frozenset(dir(builtins))
    | frozenset(sys.stdlib_module_names)
    | _IMPORTED
)
_VERBS = frozenset(
    {
        "add", "append", "archive", "assign", "cancel", "close", "complete", "copy", "create",
        "delete", "download", "find", "get", "invite", "list", "move", "open", "post", "publish",
        "read", "remove", "reply", "run", "save", "search", "send", "set", "share", "start", "stop",
        "sync", "track", "update", "upload", "upsert", "write"
    }
)  # fmt: skip
_SDK_FORMS = ("{}", "{}_sdk", "{}_client", "{}_api", "{}_python", "python_{}", "py_{}", "prefect_{}")


def slug(text: str) -> str:
    """Return ``text`` as lower-case ASCII words joined by underscores, empty when nothing is left."""
    plain = unicodedata.normalize("NFKC", text).casefold()
    ascii_only = unicodedata.normalize("NFKD", plain).encode("ascii", "ignore").decode()
    return re.sub(r"[^a-z0-9]+", "_", ascii_only).strip("_")


def identifier(text: str, taken: Iterable[str] = (), fallback: str = "value") -> str:
    """Return a valid name for ``text`` that is no keyword, builtin, module or member of ``taken``."""
    base = slug(text)[:_MAX_IDENTIFIER].strip("_") or fallback
    if base[0].isdigit():
        base = f"{fallback}_{base}"
    if base in _RESERVED:
        base = f"{base}_{fallback}"
    used = set(taken)
    name, number = base, 2
    while name in used or name in _RESERVED:
        name, number = f"{base}_{number}", number + 1
    return name


def module_name(name: str, service_ids: Iterable[str]) -> str:
    """Return a module name of at least two words that shadows no module, ours, Python's or a service's SDK.

    Prefect puts the file's folder at the head of ``sys.path``: a file ``stripe.py`` would import itself.
    """
    stem = identifier(name, fallback="flow")
    forms = {form.format(slug(service)) for service in service_ids for form in _SDK_FORMS}
    if "_" not in stem or stem in forms or stem.startswith("prefect_"):
        stem = f"{stem}_flow"
    return stem


def flow_name(name: str) -> str:
    """Return ``name``, or raise UsageError where it would be taken for one of our own flows."""
    if name.startswith(OWN_PREFIX) or name == WORK_POOL:
        raise UsageError(
            f"The flow name {name!r} starts with 'autopilot-', which is reserved; choose another."
        )
    return name


def step_title(operation: str, verbs: Iterable[str], service_name: str) -> str:
    """Return what a step does in a few words: ``create_task`` of Asana is "Create Asana task"."""
    words = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", operation)
    first, *rest = slug(words).split("_")
    phrases = [verb for verb in verbs if " " in verb]
    if first in _VERBS or (first in {slug(verb) for verb in verbs} and (rest or not phrases)):
        return " ".join([first.capitalize(), service_name, *rest])
    if not phrases:
        return f"{service_name} {' '.join([first, *rest])}"
    return f"{phrases[0][:1].upper()}{phrases[0][1:]} ({service_name})"


def singular(word: str) -> str:
    """Return a name for one of the things that ``word`` names."""
    if word.endswith("ies") and len(word) > 4:  # noqa: PLR2004 - "ties" stays
        return f"{word[:-3]}y"
    if re.search(r"(?:s|x|z|ch|sh)es$", word):
        return word[:-2]
    return word[:-1] if word.endswith("s") and not word.endswith("ss") else f"{word}_item"
