"""What the failures of a workflow have in common with one another, and its good runs have not.

First among the runs of its own, else among all that ended at the same time. Chance is blamed for what
``correlate`` cannot tell from it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any

from prefect_autopilot.models import (
    FAILURE_STATES,
    CommonKey,
    Diagnosis,
    Evidence,
    EvidenceLine,
    IncidentRun,
    RunRecord,
)
from prefect_autopilot.troubleshooting.climbing import with_what_climbed
from prefect_autopilot.troubleshooting.correlation import correlate
from prefect_autopilot.troubleshooting.text import template

MOST_COMPARED = 120
"""Runs that are compared at most, the newest."""
LONGEST_VALUE = 200
"""Characters of a parameter that may be what failures share; longer ones are content."""
MIN_WORKFLOWS = 2
_BLOCK = re.compile(r"\{\{\s*prefect\.blocks\.([\w-]+\.[\w-]+)")


def with_what_is_shared(evidence: Evidence, diagnosis: Diagnosis) -> tuple[Evidence, CommonKey | None]:
    """Return the evidence with what the failures alike share, as its first line around; None if nothing.

    What climbed before a failure of capacity comes next.
    """
    evidence = with_what_climbed(evidence, diagnosis)
    alike = comparable(evidence)
    own = [run for run in alike if _workflow(run) == _workflow(evidence.run)]
    found = _waited_for(evidence, own, alike, diagnosis) or _shared(evidence.run, own, diagnosis)
    if (
        found is None
        and len({_workflow(run) for run in (evidence.run, *alike) if _bad(run)}) >= MIN_WORKFLOWS
    ):
        found = _shared(evidence.run, alike, diagnosis)
    if found is None:
        return evidence, None
    line, key = found
    return evidence.model_copy(update={"surroundings": (line, *evidence.surroundings)}), key


def comparable(evidence: Evidence) -> list[RunRecord]:
    """Return the runs that the failed one can be compared with, the newest last: good or failed alike."""
    others = {run.id: run for run in (*evidence.recent_runs, *evidence.compared)}
    others.pop(evidence.run.id, None)
    alike = [run for run in others.values() if _ended(run) and _is_good_or_alike(run, evidence.run)]
    return sorted(alike, key=lambda one: one.state.timestamp)


def _shared(
    run: RunRecord, others: Sequence[RunRecord], diagnosis: Diagnosis
) -> tuple[EvidenceLine, CommonKey] | None:
    told, key = correlate([_row(one) for one in (*others[-MOST_COMPARED:], run)], known=diagnosis)
    return None if key is None else (told.evidence[-1], key)


def _waited_for(
    evidence: Evidence, own: Sequence[RunRecord], alike: Sequence[RunRecord], diagnosis: Diagnosis
) -> tuple[EvidenceLine, CommonKey] | None:
    """Return the workflow before this one whose last good run was too old for the failures, only for them."""
    before = [one for one in alike if one.flow_name in evidence.upstream]
    first = min((one.state.timestamp for one in before if one.state.type == "COMPLETED"), default=None)
    if first is None:
        return None
    # Of a run before the first known output nobody can say how old its input was.
    later = [one for one in (*own, evidence.run) if (one.start or one.state.timestamp) >= first]
    rows = [
        *map(_row, before[-MOST_COMPARED:]),
        *(_row(one).model_copy(update={"upstream": evidence.upstream}) for one in later),
    ]
    told, key = correlate(sorted(rows, key=lambda one: str(one.start)), known=diagnosis)
    return (told.evidence[-1], key) if key is not None and key.field == "upstream" else None


def _workflow(run: RunRecord) -> str:
    return run.deployment_id or run.flow_name


def _ended(run: RunRecord) -> bool:
    return run.state.type == "COMPLETED" or _bad(run)


def _bad(run: RunRecord) -> bool:
    return run.state.type in FAILURE_STATES


def _is_good_or_alike(other: RunRecord, run: RunRecord) -> bool:
    """Tell whether a run may be compared: one that failed of something else says nothing of this cause."""
    return not _bad(other) or _said(other) == _said(run)


def _said(run: RunRecord) -> str:
    return template(run.state.message or run.state.name)


def _row(run: RunRecord) -> IncidentRun:
    numbers = {name: value for name, value in run.parameters.items() if _is_number(value)}
    variables = {name: value for name, value in run.job_variables.items() if name != "env"}
    columns: dict[str, Any] = {
        "run": run.id,
        "flow": run.flow_name or None,
        "deployment": run.deployment_name or run.deployment_id,
        "state": run.state.type,
        "start": run.start or run.expected_start or run.state.timestamp,
        "duration_s": run.duration_s,
        "message": run.state.message,
        "version": run.deployment_version,
        "work_pool": run.work_pool,
        "work_queue": run.work_queue,
        "worker": run.worker,
        # "cluster:namespace:job" of Kubernetes, "address:container" of Docker; of a process only its number
        "host": (run.infrastructure_pid or "").rpartition(":")[0] or None,
        "started_by": run.started_by,
        "params": _plain(run.parameters),
        "job_variables": _plain(variables),
        "env": _plain(run.job_variables.get("env")),
        "tags": dict.fromkeys(run.tags, True),
        "blocks": None if run.blocks is None else dict.fromkeys(run.blocks, True),
        "credentials": dict.fromkeys(_blocks((run.parameters, run.job_variables)), True),
        "metrics": numbers | run.measures,
    }
    return IncidentRun.model_validate(columns)


def _blocks(value: Any) -> Iterator[str]:
    """Yield the blocks that parameters and job variables name, by reference or in a template."""
    if isinstance(value, str):
        yield from _BLOCK.findall(value)
    elif isinstance(value, dict):
        held = value.get("$ref")
        if isinstance(held, dict) and isinstance(ident := held.get("block_document_id"), str):
            yield ident
        yield from _blocks(tuple(value.values()))
    elif isinstance(value, list | tuple):
        for inner in value:
            yield from _blocks(inner)


def _plain(values: Any) -> dict[str, Any]:
    if not isinstance(values, dict):
        return {}
    return {
        name: value
        for name, value in values.items()
        if isinstance(value, int | float | bool)
        or (isinstance(value, str) and len(value) <= LONGEST_VALUE and not _BLOCK.search(value))
    }


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
