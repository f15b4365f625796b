"""The state of a monitor as compact bytes, so that the next pass goes on where this one ended.

Only plain numbers and texts are written, never code; what schedule, pauses and limits make of a
monitor is built anew. Bytes of another version, of other settings or of another shape are not used.
"""

from __future__ import annotations

import json
import zlib
from collections import deque
from collections.abc import Iterator
from dataclasses import fields, is_dataclass, replace
from typing import Any

from prefect_autopilot.models import RunSeries, Severity
from prefect_autopilot.monitoring.monitor import Monitor
from prefect_autopilot.monitoring.sample import Finding, Sample
from prefect_autopilot.monitoring.windows import SortedWindow

VERSION = 6
"""Changes whenever the same numbers mean something else."""
DERIVED = frozenset(
    {
        "_zone",
        "_next",
        "_paused",
        "_measure",
        "_limit",
        "_given",
        "ordered",
        "duration",
        "_schedule",
        "_stuck",
        "_plain",
    }
)
"""Attributes that the settings determine, or that are a second name of another one's part."""
ROOM = "prefect_autopilot.monitoring."
EXACT_FROM = 1e6
"""Times need all their digits; residuals and scores do not."""
RECORDS: dict[str, type[Sample | Finding]] = {"Sample": Sample, "Finding": Finding}


def freeze(monitor: Monitor, series: RunSeries) -> bytes:
    """Return the state of a monitor of this series; its size does not grow with the number of runs."""
    monitor.forget_old()
    state = {"version": VERSION, "settings": _settings(series), "state": _state(monitor)}
    return zlib.compress(json.dumps(state, separators=(",", ":")).encode(), 1)


def thaw(frozen: bytes, series: RunSeries) -> Monitor | None:
    """Return the monitor that was frozen; None where it cannot be used and must be built from the runs."""
    try:
        held = json.loads(zlib.decompress(frozen))
    except (zlib.error, ValueError):
        return None
    if not isinstance(held, dict) or held.get("version") != VERSION:
        return None
    monitor = Monitor(series)
    if held.get("settings") != _settings(series):
        return None
    try:
        _restore(monitor, held["state"])
    except (KeyError, TypeError, ValueError, AttributeError):
        return None
    return monitor


def _settings(series: RunSeries) -> str:
    told = series.model_dump(mode="json", include={"schedule", "paused", "limits"})
    return json.dumps(told, sort_keys=True)


def _names(part: object) -> Iterator[str]:
    names = getattr(type(part), "__slots__", None) or vars(part)
    return (name for name in names if name not in DERIVED)


def _is_part(value: object) -> bool:
    """Tell whether a value is a part of a monitor that changes in place."""
    return type(value).__module__.startswith(ROOM) and not is_dataclass(value)


def _state(value: Any) -> Any:
    if _is_part(value):
        return {name: _state(getattr(value, name)) for name in _names(value)}
    if type(value).__name__ in RECORDS:
        return {"@": type(value).__name__, "=": [_state(getattr(value, one.name)) for one in fields(value)]}
    if isinstance(value, dict):
        return [[key, _state(item)] for key, item in value.items()]
    if isinstance(value, list | tuple | deque):
        return [_state(item) for item in value]
    if isinstance(value, float) and abs(value) < EXACT_FROM:
        return float(f"{value:.8g}")
    return value


def _restore(part: Any, state: Any) -> None:
    """Put the state into a fresh part, in place: several attributes may be the same part."""
    for name in _names(part):
        held, fresh = state[name], getattr(part, name)
        if _is_part(fresh):
            _restore(fresh, held)
        elif isinstance(fresh, tuple) and any(_is_part(item) for item in fresh):
            for item, its in zip(fresh, held, strict=True):
                _restore(item, its)
        elif isinstance(fresh, dict) and any(_is_part(item) for item in fresh.values()):
            for key, its in held:
                _restore(fresh[key], its)
        else:
            setattr(part, name, _value(held, fresh))
    if isinstance(part, SortedWindow):
        part.ordered = sorted(part.arrived)


def _value(held: Any, fresh: Any) -> Any:
    if isinstance(fresh, deque):
        return deque((_plain(item) for item in held), maxlen=fresh.maxlen)
    if isinstance(fresh, dict):
        return {key: _plain(item) for key, item in held}
    if isinstance(fresh, list) and fresh and isinstance(fresh[0], deque):
        return [_value(its, one) for its, one in zip(held, fresh, strict=True)]
    if isinstance(fresh, list):
        return [_plain(item) for item in held]
    return _plain(held)


def _plain(held: Any) -> Any:
    if isinstance(held, dict):
        made = RECORDS[held["@"]](*(_plain(item) for item in held["="]))
        return replace(made, severity=Severity(made.severity)) if isinstance(made, Finding) else made
    return tuple(_plain(item) for item in held) if isinstance(held, list) else held
