"""Apply one remedy, once: intent journalled before the act, result after it. No journal, no remedy."""

from __future__ import annotations

from datetime import datetime, timedelta

from prefect_autopilot.adapters import run_life
from prefect_autopilot.adapters.lock_files import remove_stale
from prefect_autopilot.adapters.stored_results import remove_record
from prefect_autopilot.errors import AutopilotError, ConflictError, PrefectError, UnknownNameError
from prefect_autopilot.journeys import means
from prefect_autopilot.journeys.desk import Desk
from prefect_autopilot.journeys.leased import may_pass, prolonged
from prefect_autopilot.journeys.taking_back import TAKEN_BACK, change_back, pause
from prefect_autopilot.models import (
    ApplyRewrite,
    AskOwner,
    Attempt,
    ChangeRun,
    EndStuckRun,
    ForgetCachedResult,
    FreeScratch,
    LongerTimeout,
    LowerConcurrency,
    MoreMemory,
    PauseDeployment,
    QuarantineInput,
    RefreshCredentials,
    ReleaseSlots,
    Remedy,
    RemoveStaleLock,
    RerunElsewhere,
    RetryRun,
    RollBack,
    RunMissed,
    RunRefresher,
    TroubleshootingSession,
)
from prefect_autopilot.models.names import MARK

STARTED = "started run "
"""How the journal tells of another run that a remedy started."""


async def apply_once(
    desk: Desk,
    session: TroubleshootingSession,
    remedy: Remedy,
    *,
    state_id: str,
    token: int,
    lease: str,
    number: int | None = None,
) -> Attempt:
    """Apply a remedy at most once for this state of the run, and return what came of it.

    1. Journal the intent; a second intent for the same run, state and kind is refused by the store, but one
    that a crash of this session left open is gone on with.
    2. Act; the lease and the run's state are read again right before, and what has changed stops us.
    3. Journal the result. A crash between 2 and 3, or a server that falls silent, leaves an open intent:
    whoever finds it looks at the run. ``number`` is that of the attempt, the session's next unless told.
    """
    number = number or len(session.attempts) + 1
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
    if entry is None and remedy.resumes:
        entry = await desk.store.journal_resume(
            session.session_id, state_id, remedy, token, desk.clock(), lease=lease
        )
    if entry is None:
        return attempt.model_copy(update={"error": "this remedy was begun before for this state of the run"})
    try:
        await desk.store.must_hold(lease, token, desk.clock())
        async with prolonged(desk, lease, token):
            started = await _act(desk, remedy, session, state_id=state_id, number=number)
    except AutopilotError as error:
        if may_pass(error) and remedy.resumes:
            raise  # the intent stays open and the session due
        await desk.store.journal_result(entry, "failed", error.message, desk.clock())
        return attempt.model_copy(update={"error": error.message})
    now = desk.clock()
    await desk.store.journal_result(entry, "applied", f"{STARTED}{started}" if started else "", now)
    return attempt.model_copy(update={"applied_at": now, "started_run_id": started})


def said_by(session_id: str, number: int) -> str:
    """Return how the message of a retry begins: which attempt of which session it is."""
    return f"{MARK}: attempt {number} of session {session_id[:8]},"


def key_of(remedy: Remedy, session_id: str, state_id: str, number: int) -> str | None:
    """Return the idempotency key of the run that a remedy starts, None where it starts none.

    A call that is made again with it returns the same run.
    """
    match remedy:
        case RerunElsewhere():
            return f"{MARK}-elsewhere-{remedy.flow_run_id}-{state_id}"
        case RunRefresher():
            return f"{MARK}-{session_id}-{number}"
        case RunMissed():
            # That of the time, whoever makes up for it.
            return f"{MARK}-missed-{remedy.deployment_id}-{remedy.due.isoformat()}"
        case _:
            return None


async def _act(
    desk: Desk, remedy: Remedy, session: TroubleshootingSession, *, state_id: str, number: int
) -> str | None:
    """Do it, and return the other run that was started for it, if any."""
    if not isinstance(remedy, RetryRun):
        await desk.api.expect_state(remedy.flow_run_id, state_id)
    match remedy:
        case RetryRun() | RefreshCredentials() | RemoveStaleLock() | ForgetCachedResult():
            why = await _make_way(desk, remedy)
        case (
            MoreMemory()
            | LongerTimeout()
            | LowerConcurrency()
            | QuarantineInput()
            | FreeScratch()
            | RollBack()
            | ApplyRewrite()
        ):
            why = await means.make_way(desk, remedy)
        case RerunElsewhere() | RunRefresher() | RunMissed():
            key = key_of(remedy, session.session_id, state_id, number)
            parameters = {} if isinstance(remedy, RunRefresher) else remedy.parameters
            run = await desk.api.start_run(remedy.deployment_id, parameters=parameters, idempotency_key=key)
            return run.id
        case ReleaseSlots() | EndStuckRun() | PauseDeployment():
            await _act_alone(desk, remedy, state_id)
            return None
        case AskOwner():
            raise AssertionError("asking a person is no act")
    at = desk.clock() + timedelta(seconds=remedy.delay_s)
    said = f"{said_by(session.session_id, number)} {why}"
    await _retry(desk, remedy, session.session_id, state_id=state_id, at=at, message=said)
    return None


async def _retry(
    desk: Desk, remedy: Remedy, session_id: str, *, state_id: str, at: datetime, message: str
) -> None:
    """Set the run to be retried, or change back what was changed for it: half of it is worse than none."""
    try:
        await desk.api.retry_run(remedy.flow_run_id, expected_state_id=state_id, at=at, message=message)
    except AutopilotError as error:
        if not may_pass(error):
            await _try_to_change_back(desk, remedy, session_id)
        raise
    if means.is_late(remedy):
        await _change_late(desk, remedy)


async def _change_late(desk: Desk, remedy: ChangeRun) -> None:
    """Change the run that waits for its retry, or withdraw that: without the change it would be in vain."""
    try:
        await means.change_run(desk, remedy)
    except AutopilotError as error:
        if not may_pass(error):
            await desk.api.withdraw_retry(remedy.flow_run_id, message=f"{TAKEN_BACK}: {error.message}")
        raise


async def _try_to_change_back(desk: Desk, remedy: Remedy, session_id: str) -> None:
    """Change back what was changed for a retry that is refused, and write down what came of it."""
    if means.is_late(remedy):
        return  # it comes after the retry
    try:
        what, happened = await change_back(desk, remedy), "taken back"
    except (ConflictError, PrefectError, UnknownNameError) as error:
        what, happened = error.message, "not taken back"
    if what is not None:
        detail = {"what": what, "remedy": remedy.kind}
        await desk.store.audit(desk.holder, happened, session_id, detail, desk.clock())


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
            await pause(desk, remedy, paused=True)
