"""How lists and objects are written into addresses and forms, and read back."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import Any

from prefect_autopilot.models import Parameter

_SEPARATORS: Mapping[str, str] = {"comma": ",", "space": " ", "pipe": "|"}
_KEYS = re.compile(r"\[([^\[\]]*)\]")
_MOST_KEYS = 20


def as_text(value: Any) -> str:
    """Return a value as addresses and forms hold it: text as it is, everything else as JSON."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return value
    if isinstance(value, float):
        return format(Decimal(repr(value)), "f")  # no service reads 1e-05 as an amount
    return json.dumps(value, ensure_ascii=False)


def spread(parameter: Parameter, value: Any) -> list[tuple[str, str]]:
    """Return the named texts one value becomes, several for a list or object that is spread out."""
    name = wire_name(parameter)
    if parameter.style == "deep":
        return list(_deep(name, value))
    if isinstance(value, Mapping) and parameter.style == "repeat":
        return [(str(key), as_text(item)) for key, item in value.items()]
    if isinstance(value, (list, tuple)):
        if parameter.style in _SEPARATORS:
            return [(name, _SEPARATORS[parameter.style].join(map(as_text, value)))]
        return [(name, as_text(item)) for item in value]
    return [(name, as_text(value))]


def wire_name(parameter: Parameter) -> str:
    """Return the name the service knows a query, header or form parameter by."""
    return parameter.at or parameter.name


def _deep(name: str, value: Any) -> Iterable[tuple[str, str]]:
    if isinstance(value, Mapping):
        for key, item in value.items():
            yield from _deep(f"{name}[{key}]", item)
    elif isinstance(value, (list, tuple)):
        for place, item in enumerate(value):
            yield from _deep(f"{name}[{place}]", item)
    else:
        yield name, as_text(value)


def gather(
    pairs: Iterable[tuple[str, str]], parameters: Iterable[Parameter]
) -> tuple[dict[str, Any], list[tuple[str, str]]]:
    """Read styled parameters back from named texts; return them and the pairs that are none of theirs."""
    known = {
        wire_name(one): one
        for one in parameters
        if one.style != "plain" or (one.location == "query" and one.at is not None)
    }
    found: dict[str, Any] = {}
    rest: list[tuple[str, str]] = []
    for name, value in pairs:
        parameter = known.get(name) or known.get(name.partition("[")[0])
        if parameter is None:
            rest.append((name, value))
        elif parameter.style == "deep":
            found[parameter.name] = _put(found.get(parameter.name), _KEYS.findall(name)[:_MOST_KEYS], value)
        elif parameter.style in _SEPARATORS and parameter.type == "array":
            found[parameter.name] = value.split(_SEPARATORS[parameter.style])
        elif parameter.type == "array":
            found.setdefault(parameter.name, []).append(value)
        else:
            found[parameter.name] = value
    return found, rest


def _put(held: Any, keys: list[str], value: str) -> Any:
    if not keys:
        return value
    if keys[0].isdecimal() and not isinstance(held, dict):
        rows = list(held) if isinstance(held, list) else []
        place = int(keys[0][:6])
        old = rows[place] if place < len(rows) else None
        return [*rows[:place], _put(old, keys[1:], value), *rows[place + 1 :]]
    table = dict(held) if isinstance(held, dict) else {}
    table[keys[0]] = _put(table.get(keys[0]), keys[1:], value)
    return table
