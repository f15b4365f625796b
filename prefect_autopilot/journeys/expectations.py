"""What owners declare that a good run leaves behind, looked at before a run counts as resolved."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from prefect_autopilot.adapters.prefect_values import table_rows
from prefect_autopilot.journeys.desk import Desk
from prefect_autopilot.models import Expectation, Observation, RunRecord, Verification
from prefect_autopilot.troubleshooting.consent import names_of

SAME_MOMENT = timedelta(seconds=2)
"""Clocks of file systems and servers differ, and some file systems count whole seconds."""


async def meet_expectations(
    desk: Desk, run: RunRecord, verification: Verification, since: datetime
) -> Verification:
    """Return the verification with what was expected of the run; what is not there makes it unverified.

    Only a verified one is looked at: a good run of Prefect's whose data is not there is none. ``since`` is
    when the remedy was applied.
    """
    if verification.outcome != "verified":
        return verification
    names, now = names_of(run), desk.clock()
    seen = list(verification.observations)
    for one in desk.policy.expectations:
        if names & set(one.match):
            seen += await _observed(desk, run, one, since, now)
    missing = [item.what for item in seen if not item.ok]
    update: dict[str, Any] = {"observations": tuple(seen)}
    if missing:
        update |= {"outcome": "unverified", "reason": f"{verification.reason} But {'; '.join(missing)}."}
    return verification.model_copy(update=update)


async def _observed(
    desk: Desk, run: RunRecord, expected: Expectation, since: datetime, now: datetime
) -> list[Observation]:
    told: list[tuple[bool, str, str]] = []
    if expected.file is not None:
        told.append((*_file(expected.file, expected.min_bytes, since), expected.file))
    if expected.artifact is not None:
        told.append((*await _artifact(desk, run, expected, since), expected.artifact))
    return [Observation(at=now, what=what, ok=ok, subject=subject) for ok, what, subject in told]


def _file(path: str, least: int, since: datetime) -> tuple[bool, str]:
    try:
        found = Path(path).stat()
    except OSError:
        return False, f"{path} is not there"
    if found.st_size < least:
        return False, f"{path} has {found.st_size} bytes, at least {least} are expected"
    if found.st_mtime < (since - SAME_MOMENT).timestamp():
        return False, f"{path} was not written since the remedy"
    return True, f"{path} was written anew, {found.st_size} bytes"


async def _artifact(desk: Desk, run: RunRecord, expected: Expectation, since: datetime) -> tuple[bool, str]:
    key = expected.artifact
    wanted = {"key": {"any_": [key]}, "flow_run_id": {"any_": [run.id]}}
    body = {"artifacts": wanted, "sort": "CREATED_DESC", "limit": 1}
    found = await desk.api.request("POST", "/artifacts/filter", body)
    made = datetime.fromisoformat(found[0]["created"]) if found else None
    if made is None or made < since - SAME_MOMENT:
        return False, f"the run has attached no artifact {key} since the remedy"
    if expected.min_rows is None:
        return True, f"artifact {key} was attached"
    rows = table_rows(found[0].get("data"))
    if rows is None:
        return False, f"artifact {key} is no table"
    if rows < expected.min_rows:
        return False, f"artifact {key} has {rows} rows, at least {expected.min_rows} are expected"
    return True, f"artifact {key} has {rows} rows"
