"""Apply one remedy, once: intent journalled before the act, result after it. No journal, no remedy."""

from __future__ import annotations

from datetime import timedelta

from prefect_autopilot.adapters import run_life
from prefect_autopilot.adapters.lock_files import remove_stale
from prefect_autopilot.adapters.stored_results import remove_record
from prefect_autopilot.errors import AutopilotError
from prefect_autopilot.journeys.desk import Desk
from prefect_autopilot.models import (
    AskOwner,
    Attempt,
    EndStuckRun,
    ForgetCachedResult,
    PauseDeployment,
    RefreshCredentials,
    ReleaseSlots,
    Remedy,
    RemoveStaleLock,
    RetryRun,
    RunMissed,
    RunRefresher,
    TroubleshootingSession,
)

MARK = "autopilot"
"""Every state we set begins with this word, so that a run's own history tells who acted."""


async def apply_once(
    desk: Desk, session: TroubleshootingSession, remedy: Remedy, *, state_id: str, token: int, lease: str
) -> Attempt:
    """Apply a remedy at most once for this state of the run, and return what came of it.

    1. Journal the intent; a second intent for the same run, state and kind is refused by the store.
    2. Act; the run's state is read again right before, and a changed one stops us.
    3. Journal the result. A crash between 2 and 3 leaves an open intent: whoever finds it looks at the run.
    """
    number = len(session.attempts) + 1
    attempt = Attempt(number=number, remedy=remedy, state_id_before=state_id)
    entry = await desk.store.journal_intent(
        session.session_id,
        remedy.flow_run_id,
        state_id,
        number,
        remedy,
        token,
        desk.clock(),
        lease=lease,
        most_per_minute=desk.policy.max_remedies_per_minute,
    )
    if entry is None:
        return attempt.model_copy(update={"error": "this remedy was begun before for this state of the run"})
    try:
        started = await _act(desk, remedy, session, state_id=state_id, number=number)
    except AutopilotError as error:
        await desk.store.journal_result(entry, "failed", error.message, desk.clock())
        return attempt.model_copy(update={"error": error.message})
    now = desk.clock()
    await desk.store.journal_result(entry, "applied", "", now)
    return attempt.model_copy(update={"applied_at": now, "started_run_id": started})


async def _act(
    desk: Desk, remedy: Remedy, session: TroubleshootingSession, *, state_id: str, number: int
) -> str | None:
    """Do it, and return the other run that was started for it, if any."""
    await desk.api.expect_state(remedy.flow_run_id, state_id)
    match remedy:
        case RetryRun() | RefreshCredentials() | RemoveStaleLock() | ForgetCachedResult():
            why = await _make_way(desk, remedy)
        case RunRefresher():
            # The key makes a repeated call return the same run.
            key = f"{MARK}-{session.session_id}-{number}"
            run = await desk.api.start_run(remedy.deployment_id, parameters={}, idempotency_key=key)
            return run.id
        case RunMissed():
            # The key is that of the time, whoever makes up for it.
            key = f"{MARK}-missed-{remedy.deployment_id}-{remedy.due.isoformat()}"
            run = await desk.api.start_run(
                remedy.deployment_id, parameters=remedy.parameters, idempotency_key=key
            )
            return run.id
        case ReleaseSlots() | EndStuckRun() | PauseDeployment():
            await _act_alone(desk, remedy, state_id)
            return None
        case AskOwner():
            raise AssertionError("asking a person is no act")
    at = desk.clock() + timedelta(seconds=remedy.delay_s)
    await desk.api.retry_run(
        remedy.flow_run_id,
        expected_state_id=state_id,
        at=at,
        message=f"{MARK}: attempt {number}, {why}",
    )
    return None


async def _make_way(
    desk: Desk, remedy: RetryRun | RefreshCredentials | RemoveStaleLock | ForgetCachedResult
) -> str:
    """Remove what stands in the way of a retry, and return what the retry's message says of it."""
    match remedy:
        case RetryRun():
            return remedy.because.replace("_", " ")
        case RefreshCredentials():
            await desk.refresh(remedy.connection, desk.clock())
            return f"new access token in {remedy.connection}"
        case RemoveStaleLock():
            remove_stale(remedy.path, remedy.holder_pid)
            return f"removed the lock of the dead process {remedy.holder_pid}"
        case ForgetCachedResult():
            remove_record(remedy.storage_key)
            return "removed one cached result, so that it is computed again"


async def _act_alone(desk: Desk, remedy: ReleaseSlots | EndStuckRun | PauseDeployment, state_id: str) -> None:
    """Do what no retry follows at once."""
    match remedy:
        case ReleaseSlots():
            await desk.api.release_slots(remedy.limit_name, remedy.slots, expected_active=remedy.active_slots)
        case EndStuckRun():
            why = f"{MARK}: ended, worker lost: {remedy.proof}"
            await run_life.end_run(desk.api, remedy.flow_run_id, expected_state_id=state_id, message=why)
        case PauseDeployment():
            await run_life.set_paused(desk.api, remedy.deployment_id, paused=True)
