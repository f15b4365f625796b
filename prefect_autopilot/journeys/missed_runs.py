"""Scheduled times at which no run came, as after an outage of the server: made up for once, if still due.

Prefect plans runs ahead and never backwards: a time that passed while nothing planned stays without a run.
Only a schedule that was seen active before that time and is unchanged since counts, and only its last time.
"""

from __future__ import annotations

import json
import logging
from datetime import UTC, datetime, timedelta

from prefect_autopilot.adapters import run_life
from prefect_autopilot.errors import PrefectError, UnknownNameError, UsageError
from prefect_autopilot.journeys.desk import Desk
from prefect_autopilot.journeys.found import fingerprint_of, open_found, subject_of
from prefect_autopilot.models import (
    FAILURE_STATES,
    TERMINAL_STATES,
    Diagnosis,
    EvidenceLine,
    IssueCategory,
    JSONDict,
    Observation,
    ResolutionStatus,
    RunMissed,
    RunRecord,
    Severity,
    TroubleshootingSession,
    Verification,
)
from prefect_autopilot.monitoring.calendars import NextFire, next_fire
from prefect_autopilot.troubleshooting import session as steps

logger = logging.getLogger(__name__)

PATTERN = "missed-run"
WHERE = "due "
LOOK_EVERY = timedelta(minutes=3)
SHORTEST_STEP_S = 900.0
"""A schedule that comes more often soon comes by itself; of this one a missed time stands for 7.5 minutes."""
LEAST_GRACE_S, MOST_GRACE_S = 120.0, 900.0
SAME_TIME = timedelta(seconds=60)
MADE_UP_WITHIN = timedelta(hours=6)
MOST_FIRES = 10_000


class MissedWatch:
    """Since when each schedule was seen active without a change; memory only, so a restart proves nothing."""

    def __init__(self) -> None:
        self._since: dict[str, tuple[str, datetime]] = {}
        self._looked_at: datetime | None = None

    async def look(self, desk: Desk) -> tuple[TroubleshootingSession, ...]:
        """Look every three minutes; open a session for each last time that was missed and can be made up."""
        now = desk.clock()
        if self._looked_at is not None and now - self._looked_at < LOOK_EVERY:
            return ()
        self._looked_at = now
        ids = sorted({one.deployment_id for one in await desk.store.workflows() if one.deployment_id})
        try:
            known = await desk.api.deployments_by_id(ids) if ids else ()
            judged = [await self._judge(desk, raw, now) for raw in known]
        except (PrefectError, UnknownNameError) as error:
            logger.info("Missed runs were not looked for: %s", error.message)
            return ()
        return tuple(session for session in judged if session is not None)

    async def _judge(self, desk: Desk, raw: JSONDict, now: datetime) -> TroubleshootingSession | None:
        ident, entry = str(raw["id"]), active_schedule(raw)
        if entry is None:
            self._since.pop(ident, None)
            return None
        version = json.dumps(entry["schedule"], sort_keys=True)
        known, since = self._since.get(ident, ("", now))
        if known != version:
            self._since[ident] = (version, now)
            return None
        due = last_missable(entry["schedule"], now)
        if due is None or due <= since:
            return None
        remedy = await prove_missed(desk, ident, due)
        return await _open(desk, remedy) if remedy else None


def active_schedule(deployment: JSONDict) -> JSONDict | None:
    """Return the one active schedule of a deployment that is not paused, None with none or several."""
    active = [entry for entry in deployment.get("schedules") or () if entry.get("active")]
    return None if deployment.get("paused") or len(active) != 1 else active[0]


def last_missable(schedule: JSONDict, now: datetime) -> datetime | None:
    """Return the last time of a schedule if its run would be late by now and the next is not near."""
    try:
        fire = next_fire(schedule)
        return _last(fire, now.timestamp()) if fire else None
    except (UsageError, ValueError, OverflowError):
        return None


def _last(fire: NextFire, now: float) -> datetime | None:
    coming = fire(now)
    after = fire(coming) if coming is not None else None
    if coming is None or after is None:
        return None
    step = after - coming
    # Back far enough for schedules whose steps differ (weekdays), then forward to the last one.
    due, following = None, fire(now - 8 * step)
    for _ in range(MOST_FIRES):
        if following is None or following > now:
            break
        due, following = following, fire(following)
    if due is None or step < SHORTEST_STEP_S:
        return None
    grace = max(LEAST_GRACE_S, min(step / 4, MOST_GRACE_S))
    in_time = grace < now - due <= step and coming - now > step / 4
    return datetime.fromtimestamp(due, UTC) if in_time else None


async def prove_missed(desk: Desk, deployment_id: str, due: datetime) -> RunMissed | None:
    """Return the run that makes up for a scheduled time at which none came, None where that is not so."""
    now = desk.clock()
    try:
        raw = await desk.api.deployment(deployment_id)
    except UnknownNameError:
        return None
    entry = active_schedule(raw)
    if entry is None or last_missable(entry["schedule"], now) != due:
        return None
    if await run_life.runs_due_between(desk.api, deployment_id, due - SAME_TIME, now):
        return None
    runs = await desk.api.runs_of(deployment_id)
    # The run before tells that the deployment works; while one is under way, it may be the missing one.
    if (
        not runs
        or runs[0].state.type != "COMPLETED"
        or any(r.state.type not in TERMINAL_STATES for r in runs)
    ):
        return None
    return RunMissed(
        flow_run_id=runs[0].id,
        deployment_id=deployment_id,
        due=due,
        parameters=entry.get("parameters") or {},
        proof=f"its schedule was active, and no run was planned, started or cancelled for {due.isoformat()}",
    )


def missed_of(diagnosis: Diagnosis | None) -> datetime | None:
    """Return the scheduled time that a diagnosis of a missed run is about, None for any other diagnosis."""
    told = subject_of(diagnosis, PATTERN, WHERE)
    return datetime.fromisoformat(told) if told else None


async def look_at_made_up(desk: Desk, session: TroubleshootingSession) -> TroubleshootingSession:
    """Look at the run that stands in for another; where it fails, that is a session of its own."""
    attempt, now = session.attempts[-1], desk.clock()
    whose = "missed" if isinstance(attempt.remedy, RunMissed) else "failed"
    try:
        run = await desk.api.run(attempt.started_run_id or "")
    except UnknownNameError:
        return steps.escalate(session, f"the run that was to make up for the {whose} one is gone", now=now)
    done, state = run.state.type == "COMPLETED", run.state
    what = f"the run that makes up for the {whose} one is {state.name}"
    seen = (Observation(at=now, what=what, ok=done, subject=run.id),)
    if state.type in FAILURE_STATES:
        failed = Verification(outcome="failed", observations=seen, reason=f"{what}.", checked_at=now)
        told = steps.checked(session, failed, now=now)
        said = f"the run that made up for the {whose} one failed, which is a session of its own"
        return steps.close(told, said, now=now, status=ResolutionStatus.CLOSED)
    late = attempt.applied_at is not None and now > attempt.applied_at + MADE_UP_WITHIN
    if state.type == "CANCELLED" or (late and not done):
        return steps.escalate(session, f"unverified: {what}", now=now)
    found = Verification(
        outcome="verified" if done else "pending", observations=seen, reason=f"{what}.", checked_at=now
    )
    return steps.checked(session, found, now=now, look_after_s=10)


async def _open(desk: Desk, remedy: RunMissed) -> TroubleshootingSession | None:
    run: RunRecord = await desk.api.run(remedy.flow_run_id)
    diagnosis = Diagnosis(
        category=IssueCategory.PERFORMANCE,
        confidence=0.95,
        severity=Severity.MEDIUM,
        transient=True,
        remedy="retry_backoff",
        root_cause=f"No run came for the scheduled time {remedy.due.isoformat()}",
        pattern=PATTERN,
        fingerprint=fingerprint_of(PATTERN, remedy.deployment_id),
        evidence=(EvidenceLine(text=remedy.proof, where=f"{WHERE}{remedy.due.isoformat()}"),),
    )
    component = f"{run.flow_name}/{run.deployment_name}" if run.deployment_name else run.flow_name
    key = f"{PATTERN}:{remedy.deployment_id}:{remedy.due.isoformat()}"
    advice = "Run the deployment once for the time that was missed; look at why nothing planned it."
    return await open_found(desk, key, run, diagnosis, component=component, advice=advice)
