"""Dotted paths into JSON values, as catalogue entries use them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from prefect_autopilot.errors import UsageError

WHOLE = "$"
"""The path of the value itself."""

_KEYED = re.compile(r"(?P<list>[^{}]+)\{(?P<key>[^{}]+)\}")
_LABELS = ("label", "labels")
_EACH = re.compile(r"(?P<list>[^{}\[\]]+)\[\](?:\.(?P<rest>.+))?")
_CHOSEN = re.compile(r"(?P<list>[^\[\]]*)\[(?P<key>[^=\]]+)=(?P<value>[^\]]*)\]")


def pick(value: Any, path: str) -> Any:
    """Return what stands at ``path``, None where nothing does.

    A step is a key, a list index, or ``list[key=value]`` for the first entry of a list whose key has
    that value, regardless of case. A key that holds dots itself (``@odata.nextLink``) is taken as one.
    ``list{key}`` at the end is an object of the list's entries: what each says, by the words of its key.
    ``list[]`` is each entry of a list: ``labels[].name`` the names of the labels.
    """
    if each := _EACH.fullmatch(path):
        rows = pick(value, each["list"])
        return [pick(row, each["rest"] or WHOLE) for row in rows] if isinstance(rows, list) else None
    if keyed := _KEYED.fullmatch(path):
        return _by_key(pick(value, keyed["list"]), keyed["key"])
    if path in ("", WHOLE):
        return value
    if isinstance(value, Mapping) and path in value:
        return value[path]
    step, _, rest = path.partition(".")
    return pick(_step(value, step), rest) if rest else _step(value, step)


def _step(value: Any, step: str) -> Any:
    if chosen := _CHOSEN.fullmatch(step):
        rows = _step(value, chosen["list"]) if chosen["list"] else value
        wanted = chosen["value"].casefold()
        named = rows if isinstance(rows, list) else ()
        return next((row for row in named if str(_step(row, chosen["key"])).casefold() == wanted), None)
    if isinstance(value, Mapping):
        return value.get(step)
    if isinstance(value, list) and step.isdigit() and int(step) < len(value):
        return value[int(step)]
    return None


def _by_key(rows: Any, key: str) -> dict[str, Any] | None:
    """Return what entries say by the words of ``key`` ("Years of experience" is ``years_of_experience``)."""
    if not isinstance(rows, list):
        return None
    named = ((re.sub(r"[\W_]+", "_", str(pick(row, key) or "").lower()).strip("_"), row) for row in rows)
    return {name: _said(row) for name, row in named if name}


def _said(entry: Any) -> Any:
    """Return the value of an entry that tells its own type; of choices their labels."""
    value = _step(entry, str(_step(entry, "type")))
    if isinstance(value, Mapping):
        value = next((value[one] for one in _LABELS if one in value), None)
    return ", ".join(map(str, value)) if isinstance(value, list) else value


def place(body: dict[str, Any], path: str, value: Any) -> None:
    """Put ``value`` at ``path`` of ``body``, making the objects and lists on the way.

    Raises UsageError where something stands on the way already that holds nothing.
    """
    steps = path.split(".")
    spot: Any = body
    for step, following in zip(steps, [*steps[1:], None], strict=True):
        content = value if following is None else [] if following.isdigit() else {}
        if not isinstance(spot, dict) and not (isinstance(spot, list) and step.isdigit()):
            msg = f"A value for {path!r} has no place: what is given above it is a {type(spot).__name__}."
            raise UsageError(msg)
        if isinstance(spot, list):
            if len(spot) <= int(step):
                spot.append(content)
            elif following is None:
                spot[int(step)] = content
            spot = spot[int(step)]
        elif following is None:
            spot[step] = content
        else:
            spot = spot.setdefault(step, content)
