"""The breaker that opens: a deployment whose runs keep failing for one cause is paused until one completes.

Only where the owner names the remedy in the policy: it changes a deployment, and its next runs do not come.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from urllib.parse import urlsplit

from prefect_autopilot.errors import ConflictError, PrefectError, UnknownNameError
from prefect_autopilot.journeys.desk import Desk
from prefect_autopilot.journeys.leased import is_paused, may_pass
from prefect_autopilot.journeys.probing import address_of, healthy
from prefect_autopilot.journeys.taking_back import take_back_once
from prefect_autopilot.models import (
    Evidence,
    Observation,
    PauseDeployment,
    ResolutionStatus,
    TroubleshootingSession,
    Verification,
)
from prefect_autopilot.troubleshooting import session as steps
from prefect_autopilot.troubleshooting.consent import names_of

LOOK_EVERY_S = 60.0
PROBED_AFTER = timedelta(minutes=5)
"""How long a pause lasts at least where nothing but the service's answer ends it."""
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
    scheduled = any(entry.get("active") for entry in raw.get("schedules") or ())
    if raw.get("paused") or not scheduled:
        return None
    proof = f"{failed} remedies in a row did not help against this cause"
    return PauseDeployment(flow_run_id=run.id, deployment_id=run.deployment_id, proof=proof)


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
    if not raw.get("paused"):
        return steps.close(session, "the deployment was resumed meanwhile", now=now)
    good = next((r for r in runs if r.state.type == "COMPLETED" and r.state.timestamp > since), None)
    url = _address(session) if good is None and now - since > PROBED_AFTER else None
    what = None
    if good is not None:
        what, url = f"run {good.name or good.id} has completed since the pause", good.id
    elif url is not None and await healthy(desk, url):
        what = f"{urlsplit(url).netloc} answers again"
    if what is None:
        if now > since + PAUSED_AT_MOST:
            said = "no run has completed since the deployment was paused; it is paused still"
            return steps.escalate(session, said, now=now)
        return _waits(session, "No run has completed since the pause.", now)
    if await is_paused(desk):
        said = "While everything is paused, the deployment is not resumed, either."
        return _waits(session, said, now)
    seen = Observation(at=now, what=what, ok=True, subject=url or "")
    return await _resumed(desk, session, seen, token=token, lease=lease)


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
    try:
        await take_back_once(desk, session, token=token, lease=lease)
    except (ConflictError, PrefectError, UnknownNameError) as error:
        if may_pass(error):
            raise
        await desk.store.must_hold(lease, token, now)
        return steps.escalate(
            session, f"{what}, but the deployment was not resumed: {error.message}", now=now
        )
    told = Verification(outcome="verified", observations=(seen,), reason=f"{what}.", checked_at=now)
    attempts = (*session.attempts[:-1], attempt.model_copy(update={"verification": told}))
    known = session.model_copy(update={"attempts": attempts})
    said = f"{what}, so the deployment was resumed"
    return steps.close(known, said, now=now, status=ResolutionStatus.PARTIAL)
