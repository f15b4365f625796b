"""A person decides: yes or no to a proposal, an act taken back, everything paused; the audit says who."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping
from datetime import datetime

from prefect_autopilot.errors import ConflictError, UnknownNameError, UsageError
from prefect_autopilot.journeys.desk import Desk
from prefect_autopilot.journeys.leased import LEASE_TTL_S, lease_of
from prefect_autopilot.journeys.taking_back import take_back_once
from prefect_autopilot.models import (
    FAILURE_STATES,
    Approval,
    Attempt,
    Evidence,
    PauseDeployment,
    ResolutionStatus,
    RetryRun,
    RunRecord,
    TakenBack,
    TroubleshootingSession,
)
from prefect_autopilot.store import Store
from prefect_autopilot.store.switches import GlobalPause
from prefect_autopilot.troubleshooting import recovery
from prefect_autopilot.troubleshooting import session as steps

Clock = Callable[[], datetime]
UNDOABLE = RetryRun | PauseDeployment | TakenBack
"""What ``undo`` takes back."""
MOST = 86_400.0
"""The largest number a person may put in place of one that was proposed."""


async def approve(
    store: Store,
    session_id: str,
    *,
    by: str,
    clock: Clock,
    rerun: bool = False,
    changes: Mapping[str, float] | None = None,
    seen: str | None = None,
) -> TroubleshootingSession:
    """Write down a person's yes and return the session, due at once; whoever advances it asks the gate again.

    ``rerun`` says that the person has made sure that the work may be done again; ``changes`` are numbers of
    the remedy that shall be others; ``seen`` is the state for which the proposal was shown. Raises
    ConflictError where nothing waits for a yes, a yes is not enough or the proposal is another one by now,
    UsageError where a change is none, UnknownNameError where there is no such session.
    """
    session, version = await store.load_session(session_id)
    now = clock()
    state_id = seen or (session.decision.state_id if session.decision else "")
    _must_be_changeable(session, changes or {})
    approval = Approval(by=by, at=now, state_id=state_id, rerun=rerun, changes=dict(changes or {}))
    moved = steps.approve(session, approval, now=now)
    await store.save_session(moved, version)
    remedy = session.decision.remedy.kind if session.decision else ""
    detail = {"remedy": remedy, "state": state_id, "rerun": rerun, "changes": approval.changes}
    await store.audit(by, "approved", session_id, detail, now)
    return moved


def _must_be_changeable(session: TroubleshootingSession, changes: Mapping[str, float]) -> None:
    remedy = session.decision.remedy if session.decision else None
    allowed = remedy.changeable if remedy is not None else {}
    for name, value in changes.items():
        if name not in allowed:
            known = f"; what may be changed: {', '.join(sorted(allowed))}" if allowed else ""
            raise UsageError(f"{name} is no number of this remedy{known}.")
        if not 0 <= value <= MOST:
            raise UsageError(f"{name} takes 0 to {MOST:.0f}.")


async def deny(
    store: Store, session_id: str, *, by: str, clock: Clock, reason: str = ""
) -> TroubleshootingSession:
    """Write down a person's no and return the session, closed; raises as ``approve`` does."""
    session, version = await store.load_session(session_id)
    now = clock()
    moved = steps.deny(session, by, reason, now=now)
    await store.save_session(moved, version)
    await store.audit(by, "denied", session_id, {"reason": reason}, now)
    return moved


async def undo(desk: Desk, session_id: str, *, by: str) -> TroubleshootingSession:
    """Take the session's last act back and return the session, escalated.

    A retry can be taken back until it begins: the run is set to failed again, and what was changed for it is
    changed back. A deployment that was paused is resumed. What is removed with proof (a dead lock, a wrong
    result, slots of nobody) has no way back. Journalled as any act, under the session's lease; a person may
    do so while everything is paused.
    Raises ConflictError where it is too late, there is none, or somebody works on the session just now.
    """
    lease, holder = lease_of(session_id), f"{desk.holder}/undo-{uuid.uuid4().hex[:8]}"
    _undoable((await desk.store.load_session(session_id))[0])
    token = await desk.store.acquire_lease(lease, holder, LEASE_TTL_S, desk.clock())
    if token is None:
        raise ConflictError(f"Session {session_id} is being worked on just now; try again in a moment.")
    try:
        session, version = await desk.store.load_session(session_id)
        attempt = _undoable(session)
        what = await take_back_once(desk, session, token=token, lease=lease, person=by)
        if what is None:
            raise ConflictError(f"The act of {session_id} cannot be taken back any more; look at its run.")
        moved = steps.escalate(session, f"the {what} was taken back by {by}", now=desk.clock())
        await desk.store.save_session(moved, version)
    finally:
        await desk.store.release_lease(lease, token)
    await desk.store.audit(by, "undone", session_id, {"attempt": attempt.number}, desk.clock())
    return moved


def _undoable(session: TroubleshootingSession) -> Attempt:
    """Return the act that can be taken back; raises ConflictError where there is none."""
    attempt = session.attempts[-1] if session.attempts else None
    if attempt is None or session.resolution_status not in steps.OPEN:
        raise ConflictError(f"Session {session.session_id} has no act under way that could be taken back.")
    if not isinstance(attempt.remedy, UNDOABLE):
        kind = attempt.remedy.kind.replace("_", " ")
        raise ConflictError(f"The act ({kind}) cannot be taken back; cancel the run in Prefect instead.")
    return attempt


async def pause_all(store: Store, *, by: str, clock: Clock) -> GlobalPause:
    """Pause every remedy of every process on this store until somebody resumes; return who did so first."""
    return await store.pause_all(by, clock())


async def resume_all(store: Store, *, by: str, clock: Clock) -> bool:
    """End the pause; False where nothing was paused."""
    return await store.resume_all(by, clock())


async def look_at_proposal(
    desk: Desk, session: TroubleshootingSession, run: RunRecord
) -> TroubleshootingSession:
    """Close a proposal whose run somebody else has seen to, with what happened; else look again later."""
    now, decision = desk.clock(), session.decision
    if decision is not None and decision.state_id:
        if overtaken := await _overtaken_by(desk, session, run, decision.state_id):
            said = f"{overtaken}; proposed was: {decision.remedy.kind.replace('_', ' ')}"
            return steps.close(session, said, now=now)
        if run.state.id != decision.state_id and run.state.type in FAILURE_STATES:
            # One death told twice, by runner and worker: the same question, for the state as it is now.
            again = {"resolution_status": ResolutionStatus.IN_PROGRESS, "decision": None, "due_at": now}
            return session.model_copy(update=again)
    return steps.looked_at_proposal(session, now=now)


async def _overtaken_by(
    desk: Desk, session: TroubleshootingSession, run: RunRecord, state_id: str
) -> str | None:
    """Return what somebody else has done about the run since the state that was decided about."""
    state = run.state
    if state.id == state_id:
        later = await _recovered(desk, run)
        return f"run {later.name or later.id} of the same work has completed since" if later else None
    if state.type == "COMPLETED":
        return f"the run has completed meanwhile, on start {run.run_count}"
    if state.type == "CANCELLED":
        return "somebody cancelled the run"
    if state.type in FAILURE_STATES and run.run_count > session.run_count:
        return f"somebody started the run again and it is {state.name} anew, which is another session"
    return None


async def _recovered(desk: Desk, run: RunRecord) -> RunRecord | None:
    if run.deployment_id is None or run.state.type not in FAILURE_STATES:
        return None
    try:
        others = await desk.api.runs_of(run.deployment_id)
    except UnknownNameError:
        return None  # the deployment was deleted: nobody can tell of other runs
    return recovery(Evidence(run=run, recent_runs=others, read_at=desk.clock()))
