"""What a remedy has changed is changed back: journalled like the remedy, under the lease, never twice.

By ourselves where a retry did not help or a pause is over, and not while everything is paused; at a person's
wish, whom no pause holds.
"""

from __future__ import annotations

from pathlib import Path

from prefect_autopilot.adapters import inputs, run_changes, run_life
from prefect_autopilot.adapters.deployed_code import set_code
from prefect_autopilot.errors import AutopilotError, ConflictError, PrefectError, UnknownNameError
from prefect_autopilot.journeys.desk import Desk
from prefect_autopilot.journeys.leased import may_pass, prolonged
from prefect_autopilot.journeys.rewriting import take_rewrite_back
from prefect_autopilot.models import (
    ApplyRewrite,
    ChangeRun,
    LowerConcurrency,
    PauseDeployment,
    QuarantineInput,
    Remedy,
    RollBack,
    TroubleshootingSession,
)
from prefect_autopilot.models.names import MARK

TAKEN_BACK = f"{MARK}: taken back"
"""How the message of a run begins whose retry was taken back before it began."""


async def take_back_once(
    desk: Desk, session: TroubleshootingSession, *, token: int, lease: str, person: str | None = None
) -> str | None:
    """Take the session's last act back, at most once; return what was changed back, None where nothing was.

    1. Journal the intent; one that a crash left open is gone on with, one that was made before is not made
    again. 2. Read the lease, and whether everything is paused, again; then act. 3. Journal the result.
    ``person`` wants it: then a retry that has not begun is taken back, too. Raises ConflictError where
    somebody has changed it since, it is too late or everything is paused.
    """
    attempt, store, by_person = session.attempts[-1], desk.store, person is not None
    ident, remedy, state_id = session.session_id, attempt.remedy, attempt.state_id_before
    entry = await store.journal_intent(
        ident,
        remedy.flow_run_id,
        state_id,
        attempt.number,
        remedy,
        token,
        desk.clock(),
        lease=lease,
        undo=True,
        by_person=by_person,
    ) or await store.journal_resume(
        ident, state_id, remedy, token, desk.clock(), lease=lease, undo=True, by_person=by_person
    )
    if entry is None:
        return None
    await store.must_hold(lease, token, desk.clock(), by_person=by_person)
    try:
        async with prolonged(desk, lease, token):
            what = await _undo(desk, remedy, person)
    except AutopilotError as error:
        if not may_pass(error):
            await store.journal_result(entry, "failed", error.message, desk.clock())
        raise
    await store.journal_result(entry, "applied", what or "", desk.clock())
    return what


async def take_back_what_failed(
    desk: Desk, session: TroubleshootingSession, *, token: int, lease: str
) -> None:
    """Change back what did not help; what cannot be changed back is told in the audit.

    Raises where the server fell silent or the lease was lost: it is gone on with later.
    """
    remedy = session.attempts[-1].remedy
    try:
        what, happened = await take_back_once(desk, session, token=token, lease=lease), "taken back"
    except (ConflictError, PrefectError, UnknownNameError) as error:
        if may_pass(error):
            raise
        await desk.store.must_hold(lease, token, desk.clock())  # else it is gone on with later
        what, happened = error.message, "not taken back"
    if what is not None:
        detail = {"what": what, "remedy": remedy.kind}
        await desk.store.audit(desk.holder, happened, session.session_id, detail, desk.clock())


async def change_back(desk: Desk, remedy: object) -> str | None:
    """Change back what a remedy has changed, and return what that was; None where it changed nothing.

    Raises ``ConflictError`` where somebody has changed it since.
    """
    match remedy:
        case ChangeRun():
            told = remedy.flow_run_id, remedy.place, remedy.name
            await run_changes.move_value(desk.api, *told, before=remedy.value(), after=remedy.before)
            return f"{remedy.name} of the run"
        case LowerConcurrency():
            await run_changes.set_limit(desk.api, remedy.path, limit=remedy.before, before=int(remedy.limit))
            return f"the limit of {remedy.limited}"
        case QuarantineInput():
            inputs.move_file(remedy.target, remedy.path)
            return f"{Path(remedy.path).name}, which was set aside"
        case RollBack():
            await set_code(desk.api, remedy.deployment_id, before=remedy.after, after=remedy.before)
            return f"the code of deployment {remedy.deployment_name}"
        case ApplyRewrite():
            return await take_rewrite_back(desk, remedy)
        case _:
            return None


async def pause(desk: Desk, remedy: PauseDeployment, *, paused: bool) -> None:
    """Pause or resume what the remedy is about: a deployment, or one schedule of it."""
    if remedy.schedule_id is None:
        await run_life.set_paused(desk.api, remedy.deployment_id, paused=paused)
        return
    await run_life.set_schedule_active(desk.api, remedy.deployment_id, remedy.schedule_id, active=not paused)


async def _undo(desk: Desk, remedy: Remedy, person: str | None) -> str | None:
    if isinstance(remedy, PauseDeployment):
        await pause(desk, remedy, paused=False)
        return "pause"
    if person is None:
        return await change_back(desk, remedy)
    changed = None
    run = await desk.api.run(remedy.flow_run_id)
    if isinstance(remedy, ChangeRun) and run.state.type == "SCHEDULED":
        # Prefect changes job variables only while a run waits to begin.
        changed = await change_back(desk, remedy)
    if not (run.state.message or "").startswith(TAKEN_BACK):
        await desk.api.withdraw_retry(remedy.flow_run_id, message=f"{TAKEN_BACK} by {person}")
    changed = changed or await change_back(desk, remedy)
    return f"retry, and {changed}," if changed else "retry"
