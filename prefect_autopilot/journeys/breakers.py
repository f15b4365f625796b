"""The breaker that opens: a deployment whose runs keep failing for one cause is paused until one completes.

Of several schedules only the one whose runs fail. Only where the owner names the remedy in the policy: it
changes a deployment, and its next runs do not come.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from urllib.parse import urlsplit

from prefect_autopilot.adapters import run_life
from prefect_autopilot.errors import ConflictError, PrefectError, UnknownNameError
from prefect_autopilot.journeys.desk import Desk
from prefect_autopilot.journeys.leased import is_paused, may_pass
from prefect_autopilot.journeys.probing import address_of, healthy
from prefect_autopilot.journeys.taking_back import take_back_once
from prefect_autopilot.models import (
    TERMINAL_STATES,
    Evidence,
    JSONDict,
    Observation,
    PauseDeployment,
    ResolutionStatus,
    RunRecord,
    TroubleshootingSession,
    Verification,
)
from prefect_autopilot.troubleshooting import session as steps
from prefect_autopilot.troubleshooting.consent import names_of

LOOK_EVERY_S = 60.0
PROBED_AFTER = timedelta(minutes=5)
"""How long a pause lasts at least where nothing but the service's answer ends it."""
_SCHEDULE_AT = 2
PAUSED_AT_MOST = timedelta(days=3)
"""After that a person is asked; the deployment stays paused."""


async def to_pause(desk: Desk, evidence: Evidence, failed: int) -> PauseDeployment | None:
    """Return the pause of a deployment whose breaker is open, None where its owner has not named that."""
    run = evidence.run
    named = desk.policy.mode_for("pause_deployment", names_of(run)) != "propose"
    if not named or not run.deployment_id or failed < desk.policy.breaker_failures:
        return None
    try:
        raw = await desk.api.deployment(run.deployment_id)
    except UnknownNameError:
        return None
    active = {str(entry.get("id")) for entry in raw.get("schedules") or () if entry.get("active")}
    own = _schedule_of(run)
    if raw.get("paused") or not active or (own is not None and own not in active):
        return None
    pause = PauseDeployment(
        flow_run_id=run.id,
        deployment_id=run.deployment_id,
        proof=f"{failed} remedies in a row did not help against this cause",
    )
    if own is None or not _goes_well(evidence.recent_runs, active - {own}):
        return pause
    told = {"paused": "its schedule", "schedule_id": own, "parameters": run.parameters}
    return pause.model_copy(update=told)


def _schedule_of(run: RunRecord) -> str | None:
    """Return the schedule that planned a run: Prefect's scheduler names it in the run's key."""
    words = (run.idempotency_key or "").split()
    return words[2] if len(words) > _SCHEDULE_AT and words[:2] == ["scheduled", run.deployment_id] else None


def _goes_well(runs: Iterable[RunRecord], schedules: set[str]) -> bool:
    """Tell whether the last run that any of these schedules has planned and that has ended completed."""
    ended = (run for run in runs if _schedule_of(run) in schedules and run.state.type in TERMINAL_STATES)
    last = max(ended, key=lambda run: run.state.timestamp, default=None)
    return last is not None and last.state.type == "COMPLETED"


def _is_paused(raw: JSONDict, remedy: PauseDeployment) -> bool | None:
    """Tell whether what a remedy has paused is paused still, None where its schedule is gone."""
    if remedy.schedule_id is None:
        return bool(raw.get("paused"))
    entry = run_life.schedule_in(raw, remedy.schedule_id)
    return None if entry is None else not entry.get("active")


async def look_at_paused(
    desk: Desk, session: TroubleshootingSession, *, token: int, lease: str
) -> TroubleshootingSession:
    """Resume a deployment that we paused when a run of it has completed since, or its service answers."""
    attempt, now = session.attempts[-1], desk.clock()
    remedy, since = attempt.remedy, attempt.applied_at
    assert isinstance(remedy, PauseDeployment)
    assert since is not None
    try:
        raw = await desk.api.deployment(remedy.deployment_id)
        runs = await desk.api.runs_of(remedy.deployment_id)
    except UnknownNameError:
        return steps.close(session, "the deployment was deleted", now=now)
    if not (stands := _is_paused(raw, remedy)):
        said = "the schedule was deleted" if stands is None else f"{remedy.paused} was resumed meanwhile"
        return steps.close(session, said, now=now)
    good = next((run for run in runs if _shows_it_is_over(run, remedy, since)), None)
    url = _address(session) if good is None and now - since > PROBED_AFTER else None
    what = None
    if good is not None:
        what, url = f"run {good.name or good.id} has completed since the pause", good.id
    elif url is not None and await healthy(desk, url):
        what = f"{urlsplit(url).netloc} answers again"
    if what is None:
        if now > since + PAUSED_AT_MOST:
            said = f"no run has completed since {remedy.paused} was paused; it is paused still"
            return steps.escalate(session, said, now=now)
        return _waits(session, "No run has completed since the pause.", now)
    if await is_paused(desk):
        said = f"While everything is paused, {remedy.paused} is not resumed, either."
        return _waits(session, said, now)
    seen = Observation(at=now, what=what, ok=True, subject=url or "")
    return await _resumed(desk, session, seen, token=token, lease=lease)


def _shows_it_is_over(run: RunRecord, remedy: PauseDeployment, since: datetime) -> bool:
    completed = run.state.type == "COMPLETED" and run.state.timestamp > since
    return completed and (remedy.schedule_id is None or run.parameters == remedy.parameters)


def _waits(session: TroubleshootingSession, reason: str, now: datetime) -> TroubleshootingSession:
    pending = Verification(outcome="pending", reason=reason, checked_at=now)
    return steps.checked(session, pending, now=now, look_after_s=LOOK_EVERY_S)


def _address(session: TroubleshootingSession) -> str | None:
    return address_of(session.diagnosis, "") if session.diagnosis else None


async def _resumed(
    desk: Desk, session: TroubleshootingSession, seen: Observation, *, token: int, lease: str
) -> TroubleshootingSession:
    """Resume the deployment, for what was seen."""
    attempt, now, what = session.attempts[-1], desk.clock(), seen.what
    paused = attempt.remedy.paused if isinstance(attempt.remedy, PauseDeployment) else "the deployment"
    try:
        await take_back_once(desk, session, token=token, lease=lease)
    except (ConflictError, PrefectError, UnknownNameError) as error:
        if may_pass(error):
            raise
        await desk.store.must_hold(lease, token, now)
        return steps.escalate(session, f"{what}, but {paused} was not resumed: {error.message}", now=now)
    told = Verification(outcome="verified", observations=(seen,), reason=f"{what}.", checked_at=now)
    attempts = (*session.attempts[:-1], attempt.model_copy(update={"verification": told}))
    known = session.model_copy(update={"attempts": attempts})
    said = f"{what}, so {paused} was resumed"
    return steps.close(known, said, now=now, status=ResolutionStatus.PARTIAL)
