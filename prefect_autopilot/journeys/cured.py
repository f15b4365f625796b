"""What became of a failure that was handed to a person: the next good run, and what had changed by then."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from datetime import timedelta

from prefect_autopilot.errors import ConflictError
from prefect_autopilot.journeys.desk import Desk
from prefect_autopilot.journeys.tell import attach, subject
from prefect_autopilot.models import FAILURE_STATES, GoodAgain, Notice, RunRecord, TroubleshootingSession
from prefect_autopilot.store import Update
from prefect_autopilot.troubleshooting import session as steps

LOOK_BACK = timedelta(days=30)
MOST_SESSIONS = 100
BEFORE = timedelta(days=1)
"""How long before its session a failed run may have begun for its parameters to be known."""
IN_A_ROW = 3
"""Good runs with other parameters that show a workflow to be good again: one may have missed what fails."""


async def look_for_cures(desk: Desk) -> None:
    """Write down which failures that people were asked about are over, and tell since when."""
    now = desk.clock()
    for session in await desk.store.handed_over(now - LOOK_BACK, MOST_SESSIONS):
        since = session.start_time - BEFORE
        runs = await desk.store.runs(session.workflow_id, since=since)
        runs = runs or await desk.store.runs(flow_name=session.workflow_id, since=since)
        updated = await desk.store.last_update(session.workflow_id)
        seen = good_again(session, runs, updated)
        if seen is not None:
            await _write_down(desk, session, seen)


def good_again(
    session: TroubleshootingSession, runs: Sequence[RunRecord], updated: Update | None
) -> GoodAgain | None:
    """Return the first good run since the workflow's last failure, where it says that the cause is gone.

    It does where it had the parameters of the failed run, or where version or deployment have changed;
    otherwise three in a row do.
    """
    failed = next((run for run in runs if run.id == session.flow_run_id), None)
    ended = sorted(
        (run for run in runs if run.state.type in {"COMPLETED", *FAILURE_STATES}),
        key=lambda run: run.state.timestamp,
    )
    good: list[RunRecord] = []
    for run in ended:
        if run.state.type != "COMPLETED":
            good = []
        elif run.start is not None and run.start >= session.start_time:
            good.append(run)
    if failed is None or not good:
        return None
    parts = updated.parts if updated is not None and updated.at >= session.start_time else ()
    for run in good:
        changed = _changed(failed, run, parts)
        same_work = run.parameters == failed.parameters
        if same_work or parts or len(good) >= IN_A_ROW or _other_version(failed, run):
            return GoodAgain(
                run_id=run.id, at=run.state.timestamp, version=run.deployment_version, changed=changed
            )
    return None


def _other_version(failed: RunRecord, run: RunRecord) -> bool:
    return run.deployment_version != failed.deployment_version


def _changed(failed: RunRecord, run: RunRecord, parts: Sequence[str]) -> tuple[str, ...]:
    versions = f"version {failed.deployment_version} to {run.deployment_version}"
    names = sorted(failed.parameters.keys() | run.parameters.keys())
    return (
        *((versions,) if _other_version(failed, run) else ()),
        *(f"{part.replace('_', ' ')} of the deployment" for part in parts if part != "version"),
        *(f"parameter {name}" for name in names if failed.parameters.get(name) != run.parameters.get(name)),
    )


async def _write_down(desk: Desk, session: TroubleshootingSession, seen: GoodAgain) -> None:
    now = desk.clock()
    known, version = await desk.store.load_session(session.session_id)
    moved = steps.good_again(known, seen, now=now)
    mark = f"{session.session_id}:good again"
    await desk.store.queue_notice(
        Notice(
            notice_id=hashlib.sha256(mark.encode()).hexdigest()[:32],
            outcome="info",
            title=f"{subject(moved)}: {seen.told()}",
            text=session.diagnosis.root_cause if session.diagnosis else "",
            flow_run_id=session.flow_run_id,
            deployment_id=session.workflow_id,
            session_id=session.session_id,
        ),
        now,
    )
    try:
        await desk.store.save_session(moved, version)
    except ConflictError:
        return  # somebody is at it; the next look writes it down, and the notice is the same
    await desk.store.audit(desk.holder, "good again", session.session_id, seen.model_dump(mode="json"), now)
    await attach(desk, moved)
