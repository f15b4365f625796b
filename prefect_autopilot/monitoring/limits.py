"""Limits that an owner set: tags ``limit:METRIC=NUMBER``, and the memory its infrastructure is given.

A metric is ``duration_s``, ``lateness_s``, ``memory_mb``, ``rows`` or what runs measure of themselves.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence

from prefect_autopilot.models import RunRecord
from prefect_autopilot.models.runs import MEASURE_NAME

TAG = "limit:"
MOST_LIMITS = 10
MEMORY_VARIABLES = ("mem_limit", "memory", "memory_limit")
"""Job variables of the Docker, ECS, Kubernetes and Cloud Run workers: the memory a run may have."""
_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*([kmgt]?)(i?b?)", re.IGNORECASE)
_UNITS = {"": 0, "k": 1, "m": 2, "g": 3, "t": 4}
_LEAST_BYTES = 65_536
"""A bare number below this is megabytes, as ECS counts; above it is bytes, as Docker counts."""


def limits_of(runs: Sequence[RunRecord]) -> dict[str, float]:
    """Return the limits of the newest run's deployment; a tag wins over what its infrastructure says."""
    if not runs:
        return {}
    run = runs[-1]
    found: dict[str, float] = {}
    memory = next((size for name in MEMORY_VARIABLES if (size := _megabytes(run.job_variables, name))), None)
    if memory is not None:
        found["memory_mb"] = memory
    for tag in run.tags:
        metric, equals, number = tag.removeprefix(TAG).partition("=")
        known = tag.startswith(TAG) and equals and re.fullmatch(MEASURE_NAME, metric)
        if known and len(found) < MOST_LIMITS and (value := _number(number)) is not None:
            found[metric] = value
    return found


def _number(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) and value > 0 else None


def _megabytes(variables: Mapping[str, object], name: str) -> float | None:
    given = variables.get(name)
    if isinstance(given, bool) or not isinstance(given, str | int | float):
        return None
    match = _SIZE.fullmatch(str(given).strip())
    if match is None or not float(match[1]):
        return None
    size, unit = float(match[1]), match[2].lower()
    if not unit:
        return size if size < _LEAST_BYTES else size / 2**20
    return size * math.pow(1024, _UNITS[unit] - 2)
