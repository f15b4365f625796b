"""Runs that are said to run and whose process is gone: found, proved twice, ended, and then retried.

Two proofs that do not hang together: the run has been silent (no state, task, log or heartbeat) for longer
than three heartbeats while it lasts longer than any that completed lately; and its process does not exist on
the one machine where it can have been, or its worker has told that its pod or container has ended. A server
that was away explains the first and never the second.
"""

from __future__ import annotations

import logging
from datetime import datetime, timedelta

from prefect_autopilot.adapters import run_life
from prefect_autopilot.adapters.lock_files import workers_here
from prefect_autopilot.errors import ConflictError, PrefectError, UnknownNameError
from prefect_autopilot.journeys.desk import Desk
from prefect_autopilot.journeys.found import fingerprint_of, open_found, subject_of
from prefect_autopilot.models import (
    Diagnosis,
    EndStuckRun,
    EvidenceLine,
    IssueCategory,
    Observation,
    RunRecord,
    Severity,
    TroubleshootingSession,
    Verification,
)
from prefect_autopilot.models.names import MARK, OWN_PREFIX
from prefect_autopilot.troubleshooting import session as steps

logger = logging.getLogger(__name__)

PATTERN = "stuck-run"
WHERE = "flow run "
HEARTBEAT = timedelta(seconds=180)
"""How often Prefect 3.8 sends a heartbeat unless told otherwise."""
SILENT = 3 * HEARTBEAT
LEAST_HISTORY = 3
OF_LONGEST = 1.5
"""A run counts as too long beyond this many times the longest of its last completed ones."""
LOOK_EVERY = timedelta(seconds=60)
MOST_AT_ONCE = 5


class StuckWatch:
    """Looks for stuck runs once a minute; memory only, for a restart just looks again."""

    def __init__(self) -> None:
        self._looked_at: datetime | None = None
        self._asked: dict[str, datetime] = {}
        """When the server was asked for the containers of runs."""

    async def look(self, desk: Desk) -> tuple[TroubleshootingSession, ...]:
        """Look once, and open a session for each run that is proved to be dead."""
        now = desk.clock()
        if self._looked_at is not None and now - self._looked_at < LOOK_EVERY:
            return ()
        self._looked_at = now
        opened: list[TroubleshootingSession] = []
        try:
            # What monitoring has read is enough to find them by; the proof asks the server anew.
            for run in await desk.store.unfinished_runs(now - SILENT):
                due = self._is_due(run, now) and len(opened) < MOST_AT_ONCE
                if due and (session := await _open(desk, run)):
                    opened.append(session)
        except (ConflictError, PrefectError) as error:
            logger.info("Stuck runs were not looked for: %s", error.message)
        return tuple(opened)

    def _is_due(self, run: RunRecord, now: datetime) -> bool:
        """Tell whether to look at a run now: this machine costs nothing, the server is asked seldom."""
        if not _in_container(run):
            return True
        self._asked = {ident: at for ident, at in self._asked.items() if now - at < SILENT}
        return self._asked.setdefault(run.id, now) == now


async def prove_stuck(desk: Desk, run: RunRecord) -> EndStuckRun | None:
    """Return the end of a run that is proved twice to be dead, None where either proof is missing."""
    now = desk.clock()
    # The cheap facts first: most runs are simply under way.
    gone = await _why_dead(desk, run, now)
    if gone is None:
        return None
    silence = await _silence(desk, run, now)
    if silence is None:
        return None
    return EndStuckRun(flow_run_id=run.id, proof=f"{silence}, and {gone}")


def _may_be_stuck(run: RunRecord, now: datetime) -> bool:
    if run.state.type != "RUNNING" or run.start is None or not run.deployment_id or not run.work_pool:
        return False
    return not run.flow_name.startswith(OWN_PREFIX) and now - run.state.timestamp >= SILENT


def _in_container(run: RunRecord) -> bool:
    """Tell whether a run is in a pod or container: theirs are names behind those of cluster or host."""
    return ":" in (run.infrastructure_pid or "")


async def _why_dead(desk: Desk, run: RunRecord, now: datetime) -> str | None:
    """Return why nothing of a long silent run is alive; a process is looked for before a server is asked."""
    if not _may_be_stuck(run, now):
        return None
    if _in_container(run):
        return await run_life.infrastructure_end(desk.api, run.id, run.state.timestamp)
    gone = run_life.why_gone(run.id, run.infrastructure_pid, run.state.timestamp)
    return gone if gone is not None and await _was_here(desk, run.work_pool or "") else None


async def _was_here(desk: Desk, pool: str) -> bool:
    """Tell whether the run's process can have been nowhere but on this machine."""
    here = workers_here(pool)
    if not here or not await run_life.is_process_pool(desk.api, pool):
        return False
    return len(await run_life.online_workers(desk.api, pool)) <= here


async def _silence(desk: Desk, run: RunRecord, now: datetime) -> str | None:
    """Return how long a run has given no sign of life, None unless that is long by every measure."""
    lasted = (now - run.state.timestamp).total_seconds()
    runs = await desk.api.runs_of(run.deployment_id or "")
    usual = [one.duration_s for one in runs if one.state.type == "COMPLETED" and one.duration_s is not None]
    if len(usual) < LEAST_HISTORY or lasted <= OF_LONGEST * max(usual):
        return None
    logs = await desk.api.logs(run.id, limit=1)
    task = await run_life.last_task_sign(desk.api, run.id)
    beat = await run_life.last_heartbeat(desk.api, run.id, run.state.timestamp)
    signs = [run.state.timestamp, *(line.timestamp for line in logs), task, beat]
    last = max(sign for sign in signs if sign is not None)
    if now - last < SILENT:
        return None
    return (
        f"it has run for {lasted:.0f} s, the longest of its last {len(usual)} completed runs took"
        f" {max(usual):.0f} s, and its last sign of life was at {last.isoformat()}"
    )


def is_stuck_run(diagnosis: Diagnosis | None) -> bool:
    """Tell whether a diagnosis is that of a stuck run."""
    return subject_of(diagnosis, PATTERN, WHERE) is not None


async def look_at_ended(
    desk: Desk, session: TroubleshootingSession, run: RunRecord
) -> TroubleshootingSession:
    """Go on to the retry when the run is seen to be ended as we ended it; anything else goes to a person."""
    now, state = desk.clock(), run.state
    ended = state.type == "CRASHED" and (state.message or "").startswith(MARK)
    if not ended:
        return steps.escalate(
            session, f"the run moved on by itself after it was ended: {state.name}", now=now
        )
    what = f"run is {state.name} since {state.timestamp.isoformat()}"
    seen = (Observation(at=now, what=what, ok=True, subject=run.id),)
    done = Verification(outcome="verified", observations=seen, reason="The run is ended.", checked_at=now)
    return steps.prepared(session, done, now=now)


async def _open(desk: Desk, seen: RunRecord) -> TroubleshootingSession | None:
    if await _why_dead(desk, seen, desk.clock()) is None:
        return None
    try:
        run = await desk.api.run(seen.id)
    except UnknownNameError:
        return None  # deleted since it was seen
    remedy = await prove_stuck(desk, run)
    if remedy is None:
        return None
    diagnosis = Diagnosis(
        category=IssueCategory.RESOURCE,
        confidence=0.95,
        severity=Severity.HIGH,
        transient=False,
        remedy="restart_worker",
        root_cause="The run's process is gone and nobody told Prefect, so the run stays Running for ever",
        pattern=PATTERN,
        fingerprint=fingerprint_of(PATTERN, run.deployment_id or run.flow_name),
        evidence=(EvidenceLine(text=remedy.proof, where=f"{WHERE}{run.id}"),),
    )
    component = f"{run.flow_name}/{run.deployment_name}" if run.deployment_name else run.flow_name
    key = f"{PATTERN}:{run.id}:{run.run_count}"
    advice = "End the run, and start it again where its work may be done twice; find out what took it away."
    return await open_found(desk, key, run, diagnosis, component=component, advice=advice)
