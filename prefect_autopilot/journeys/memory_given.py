"""What a work pool lets its runs use of memory, and twice as much."""

from __future__ import annotations

import re
from typing import Any

from prefect_autopilot.models import JSONDict, MemoryGiven
from prefect_autopilot.redaction import redact

MEMORY = frozenset({"memory", "memory_mb", "mem_limit", "memory_limit"})
"""Names of job variables for memory in the templates of Prefect's worker types."""
FACTOR = 2.0
"""How much more is proposed at once."""
LEAST_PLAIN_MB = 128
"""A plain number below this is a count of GB, or of something else."""
_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*([KMG]i?B?|[kmg]b?)")


def size_of(value: Any) -> tuple[float, str] | None:
    """Return amount and unit of a size; None where it is none or its unit cannot be told."""
    if isinstance(value, bool):
        return None
    if isinstance(value, int | float):
        return (float(value), "") if value >= LEAST_PLAIN_MB else None
    found = _SIZE.fullmatch(value.strip()) if isinstance(value, str) else None
    if found:
        return float(found[1]), found[2]
    plain = isinstance(value, str) and value.isdigit() and LEAST_PLAIN_MB <= int(value) < 10**7
    return (float(value), "") if plain else None


def memory_given(pool: str, raw: JSONDict, given: JSONDict) -> MemoryGiven:
    """Return the job variable for memory of a pool as the server tells it, with its value and its double.

    ``given`` are the job variables of deployment and run, which override the pool's.
    """
    template = raw.get("base_job_template") or {}
    known: JSONDict = (template.get("variables") or {}).get("properties") or {}
    name = next(iter(sorted(MEMORY & known.keys())), None)
    told = MemoryGiven(pool=pool, pool_type=str(raw.get("type") or "unknown"), name=name)
    if name is None:
        return told
    present = given.get(name, (known[name] or {}).get("default"))
    size = size_of(present)
    if size is None:
        return told
    proposed = f"{size[0] * FACTOR:g}{size[1]}"
    return told.model_copy(update={"present": redact(str(present)), "proposed": proposed})
