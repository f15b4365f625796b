"""What a failed run is tied to beyond itself, read from Prefect once its failure is understood."""

from __future__ import annotations

from datetime import datetime, timedelta
from urllib.parse import quote

from prefect_autopilot.adapters.measures import loaded_blocks
from prefect_autopilot.adapters.prefect_api import PrefectAPI
from prefect_autopilot.errors import PrefectError, UnknownNameError
from prefect_autopilot.journeys.linked import with_linked
from prefect_autopilot.journeys.memory_given import memory_given
from prefect_autopilot.journeys.shared_data import with_shared_data
from prefect_autopilot.models import (
    FAILURE_STATES,
    Diagnosis,
    Evidence,
    IssueCategory,
    PrefectObject,
    RunRecord,
)
from prefect_autopilot.troubleshooting.in_common import MOST_COMPARED, comparable

KEPT = timedelta(days=6)
"""A Prefect server keeps its events for seven days unless told otherwise."""
FEWEST_ALIKE = 2
"""Other runs that failed alike, without which no correlation is told from chance."""
_OF_CODE = frozenset({IssueCategory.DATA, IssueCategory.LOGIC})
"""What a credential has no part in."""


async def with_ties(api: PrefectAPI, evidence: Evidence, diagnosis: Diagnosis) -> Evidence:
    """Return the evidence with what waits for the run, who shares its data, and which blocks runs loaded.

    Each is asked for only where the diagnosis gives reason to; what cannot be read is named in ``missing``.
    """
    evidence = await with_linked(api, evidence, diagnosis)
    evidence = await with_shared_data(api, evidence, diagnosis)
    evidence = await _with_loaded_blocks(api, evidence, diagnosis)
    return await _with_memory(api, evidence, diagnosis)


async def _with_loaded_blocks(api: PrefectAPI, evidence: Evidence, diagnosis: Diagnosis) -> Evidence:
    """Tell of each run that is compared which blocks its code loaded: four calls at most.

    Of a refused credential the failed run's own are asked for at once: which block it is, is the question.
    """
    others = comparable(evidence)
    alike = sum(run.state.type in FAILURE_STATES for run in others)
    refused = diagnosis.category is IssueCategory.PERMISSIONS
    if diagnosis.category in _OF_CODE or (alike < FEWEST_ALIKE and not refused):
        return evidence
    compared = others[-MOST_COMPARED:] if alike >= FEWEST_ALIKE else ()
    asked = {run.id: run for run in (*compared, evidence.run)}
    since = max(min(map(_began, asked.values())), evidence.read_at - KEPT)
    try:
        loaded = await loaded_blocks(api, asked, since)
    except PrefectError as error:
        missing = (*evidence.missing, f"blocks that runs loaded ({error.message})")
        return evidence.model_copy(update={"missing": missing})

    def told(run: RunRecord) -> RunRecord:
        known = run.id in asked and _began(run) >= loaded.since
        blocks = tuple(sorted(loaded.by_run.get(run.id, ()))) if known else None
        return run.model_copy(update={"blocks": blocks})

    own = sorted(loaded.by_run.get(evidence.run.id, ()))
    blocks = (PrefectObject(kind="block", name=name, id=loaded.ids[name] or None) for name in own)
    return evidence.model_copy(
        update={
            "run": told(evidence.run),
            "recent_runs": tuple(map(told, evidence.recent_runs)),
            "compared": tuple(map(told, evidence.compared)),
            "objects": (*evidence.objects, *(blocks if refused else ())),
        }
    )


async def _with_memory(api: PrefectAPI, evidence: Evidence, diagnosis: Diagnosis) -> Evidence:
    """Tell of a run that met the end of its memory what its pool and deployment give it: two calls."""
    run = evidence.run
    if diagnosis.remedy != "increase_memory" or run.work_pool is None:
        return evidence
    try:
        pool = await api.request("GET", f"/work_pools/{quote(run.work_pool, safe='')}")
        given = (await api.deployment(run.deployment_id)).get("job_variables") if run.deployment_id else {}
    except (PrefectError, UnknownNameError) as error:
        missing = (*evidence.missing, f"memory that work pool {run.work_pool} gives ({error.message})")
        return evidence.model_copy(update={"missing": missing})
    memory = memory_given(run.work_pool, pool, {**(given or {}), **run.job_variables})
    return evidence.model_copy(update={"memory": memory})


def _began(run: RunRecord) -> datetime:
    return run.start or run.expected_start or run.state.timestamp
