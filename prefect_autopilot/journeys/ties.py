"""What a failed run is tied to beyond itself, read from Prefect once its failure is understood."""

from __future__ import annotations

from datetime import datetime, timedelta

from prefect_autopilot.adapters.measures import loaded_blocks
from prefect_autopilot.adapters.prefect_api import PrefectAPI
from prefect_autopilot.errors import PrefectError
from prefect_autopilot.journeys.linked import with_linked
from prefect_autopilot.journeys.shared_data import with_shared_data
from prefect_autopilot.models import FAILURE_STATES, Diagnosis, Evidence, IssueCategory, RunRecord
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
    return await _with_loaded_blocks(api, evidence, diagnosis)


async def _with_loaded_blocks(api: PrefectAPI, evidence: Evidence, diagnosis: Diagnosis) -> Evidence:
    """Tell of each run that is compared which blocks its code loaded: four calls at most."""
    others = comparable(evidence)
    alike = sum(run.state.type in FAILURE_STATES for run in others)
    if diagnosis.category in _OF_CODE or alike < FEWEST_ALIKE:
        return evidence
    asked = {run.id: run for run in (*others[-MOST_COMPARED:], evidence.run)}
    since = max(min(map(_began, asked.values())), evidence.read_at - KEPT)
    try:
        loaded, known_since = await loaded_blocks(api, asked, since)
    except PrefectError as error:
        missing = (*evidence.missing, f"blocks that runs loaded ({error.message})")
        return evidence.model_copy(update={"missing": missing})

    def told(run: RunRecord) -> RunRecord:
        known = run.id in asked and _began(run) >= known_since
        return run.model_copy(update={"blocks": tuple(sorted(loaded.get(run.id, ()))) if known else None})

    return evidence.model_copy(
        update={
            "run": told(evidence.run),
            "recent_runs": tuple(map(told, evidence.recent_runs)),
            "compared": tuple(map(told, evidence.compared)),
        }
    )


def _began(run: RunRecord) -> datetime:
    return run.start or run.expected_start or run.state.timestamp
