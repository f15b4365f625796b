"""Whether the last remedy of a session has helped: what is looked at, for how long, and what follows."""

from __future__ import annotations

from datetime import timedelta
from urllib.parse import urlsplit

from prefect_autopilot.errors import UnknownNameError
from prefect_autopilot.journeys import storms
from prefect_autopilot.journeys.breakers import look_at_paused
from prefect_autopilot.journeys.desk import Desk
from prefect_autopilot.journeys.expectations import meet_expectations
from prefect_autopilot.journeys.leased import is_paused, lease_of
from prefect_autopilot.journeys.missed_runs import look_at_made_up
from prefect_autopilot.journeys.probing import address_of, healthy
from prefect_autopilot.journeys.stuck_runs import look_at_ended
from prefect_autopilot.journeys.taking_back import TAKEN_BACK, take_back_what_failed
from prefect_autopilot.models import (
    TERMINAL_STATES,
    AskOwner,
    EndStuckRun,
    Observation,
    PauseDeployment,
    RerunElsewhere,
    RunMissed,
    RunRecord,
    RunRefresher,
    TakenBack,
    TroubleshootingSession,
    Verification,
)
from prefect_autopilot.troubleshooting import session as steps
from prefect_autopilot.troubleshooting import verify

LOGS_SETTLE = timedelta(seconds=3)
"""Prefect ships logs in batches of about two seconds; the traceback is only there."""
DEATH_SETTLE = timedelta(seconds=12)
"""A death is told twice, by runner and worker; a retry set in between would be overwritten."""
LOOK_AGAIN_S, LONGEST_LOOK_S = 5.0, 300.0
"""A run that goes on is looked at after half of what it has lasted since its retry was due."""
VERIFY_WITHIN = timedelta(minutes=15)
"""How long after its expected end a remedied run may take before the outcome is unverified."""
LOOK_WHILE_PAUSED = timedelta(seconds=30)
RENEW_WITHIN = timedelta(minutes=5)
"""How long a deployment that renews credentials may take."""


def settle_of(run: RunRecord) -> timedelta:
    """Return how long after its end a failed run is looked at first."""
    return DEATH_SETTLE if run.state.type == "CRASHED" else LOGS_SETTLE


async def look_at(
    desk: Desk, session: TroubleshootingSession, run: RunRecord, token: int
) -> TroubleshootingSession:
    """Verify by what the run shows now; unverified goes to a person, for nobody may believe it resolved."""
    now = desk.clock()
    if (other := await _look_elsewhere(desk, session, run, token)) is not None:
        return other
    later = session.model_copy(update={"due_at": now + LOOK_WHILE_PAUSED})
    if (run.state.message or "").startswith(TAKEN_BACK):
        if not await _changed_back(desk, session, token):
            return later
        return steps.escalate(session, f"the retry was taken back: {run.state.message}", now=now)
    verification = verify(session, run, now=now, timeout_s=VERIFY_WITHIN.total_seconds())
    since = session.attempts[-1].applied_at or now
    verification = await meet_expectations(desk, run, verification, since)
    since_due = (now - since).total_seconds() - _delay_s(session)
    again = min(max(since_due / 2, LOOK_AGAIN_S), LONGEST_LOOK_S)
    verification = await _with_probe(desk, session, verification)
    moved = steps.checked(session, verification, now=now, look_after_s=again)
    if verification.outcome == "pending":
        return moved
    if verification.outcome == "failed" and not await _changed_back(desk, session, token):
        return later
    number, fingerprint = session.attempts[-1].number, session.fingerprint
    await desk.store.record_verification(
        session.session_id, number, fingerprint, run.deployment_id, verification.outcome, now
    )
    return await _judged(desk, session, moved, run)


async def _changed_back(desk: Desk, session: TroubleshootingSession, token: int) -> bool:
    """Change back what was changed for a retry that did not help; False while everything is paused."""
    if not isinstance(session.attempts[-1].remedy, TakenBack):
        return True
    if await is_paused(desk):
        return False
    await take_back_what_failed(desk, session, token=token, lease=lease_of(session.session_id))
    return True


async def _judged(
    desk: Desk, before: TroubleshootingSession, moved: TroubleshootingSession, run: RunRecord
) -> TroubleshootingSession:
    """Return what follows from a verification that says something."""
    verification, now = moved.attempts[-1].verification, desk.clock()
    assert verification is not None
    if verification.outcome == "unverified":
        return steps.escalate(moved, f"unverified: {verification.reason}{_stands(before)}", now=now)
    if verification.outcome == "failed":
        return moved.model_copy(update={"due_at": now + settle_of(run)})
    return await storms.spread(desk, moved) if storms.begins_to_spread(moved) else moved


async def _with_probe(
    desk: Desk, session: TroubleshootingSession, verification: Verification
) -> Verification:
    """Return a good verification with what the service says that the failure named, where it may be asked.

    The run's completion is the proof; a service that fails again is told beside it and overturns nothing.
    """
    url = address_of(session.diagnosis, "") if session.diagnosis else None
    if verification.outcome != "verified" or url is None:
        return verification
    answers = await healthy(desk, url)
    if answers is None:
        return verification
    said = "answers" if answers else "does not answer just now"
    seen = Observation(at=desk.clock(), what=f"{urlsplit(url).netloc} {said}", ok=answers, subject=url)
    update: dict[str, object] = {"observations": (*verification.observations, seen)}
    if not answers:
        update["reason"] = f"{verification.reason} {seen.what}, though."
    return verification.model_copy(update=update)


def _stands(session: TroubleshootingSession) -> str:
    """Say what was changed for the last retry and is not changed back."""
    remedy = session.attempts[-1].remedy
    return f" It was not taken back: {remedy.told()}." if isinstance(remedy, TakenBack) else ""


def _delay_s(session: TroubleshootingSession) -> float:
    remedy = session.attempts[-1].remedy
    return 0.0 if isinstance(remedy, AskOwner) else remedy.delay_s


async def _look_elsewhere(
    desk: Desk, session: TroubleshootingSession, run: RunRecord, token: int
) -> TroubleshootingSession | None:
    """Look at what shows whether the last remedy helped; None where that is the run itself."""
    match session.attempts[-1].remedy:
        case RunRefresher():
            return await _look_at_refresher(desk, session)
        case EndStuckRun():
            return await look_at_ended(desk, session, run)
        case RunMissed() | RerunElsewhere():
            return await look_at_made_up(desk, session)
        case PauseDeployment():
            lease = lease_of(session.session_id)
            return await look_at_paused(desk, session, token=token, lease=lease)
        case _:
            return None


async def _look_at_refresher(desk: Desk, session: TroubleshootingSession) -> TroubleshootingSession:
    """Look at the run that renews the credentials; only when it has completed may the retry follow."""
    attempt, now = session.attempts[-1], desk.clock()
    try:
        run = await desk.api.run(attempt.started_run_id or "")
    except UnknownNameError:
        return steps.escalate(session, "the run that was to renew the credentials is gone", now=now)
    state = run.state
    what = f"{run.flow_name or 'the renewing run'} is {state.name}"
    seen = (Observation(at=now, what=what, ok=state.type == "COMPLETED", subject=run.id),)
    late = attempt.applied_at is not None and now > attempt.applied_at + RENEW_WITHIN
    if state.type == "COMPLETED":
        done = Verification(outcome="verified", observations=seen, reason=f"{what}.", checked_at=now)
        return steps.prepared(session, done, now=now)
    if state.type in TERMINAL_STATES or late:
        return steps.escalate(session, f"the credentials were not renewed: {what}", now=now)
    waits = Verification(outcome="pending", observations=seen, reason=f"{what}.", checked_at=now)
    return steps.checked(session, waits, now=now, look_after_s=2)
