"""Issues of a workflow → resolved or remaining, as far as it can be taken and observed now."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from uuid import UUID

from prefect_autopilot.errors import ConflictError, UnknownNameError
from prefect_autopilot.journeys import resolve, sessions
from prefect_autopilot.journeys.desk import Desk
from prefect_autopilot.models import (
    FAILURE_STATES,
    ResolutionStatus,
    TroubleshootingSession,
    Value,
)
from prefect_autopilot.store import Store
from prefect_autopilot.troubleshooting import session as steps

MOST_SESSIONS = 50
_GRAVEST = (
    ResolutionStatus.ESCALATED,
    ResolutionStatus.MANUAL,
    ResolutionStatus.PARTIAL,
    ResolutionStatus.IN_PROGRESS,
)


class IssueState(Value):
    """Where an issue stands, which session says so, and why."""

    issue_id: str
    resolved: bool
    session_id: str | None = None
    reason: str


class Settlement(Value):
    """The issues that an observed run shows to be resolved, those that remain, and what was done."""

    resolved: tuple[IssueState, ...]
    remaining: tuple[IssueState, ...]
    status: ResolutionStatus
    sessions: tuple[str, ...] = ()
    done: tuple[str, ...] = ()


async def settle(
    store: Store,
    workflow_id: str,
    issue_ids: Iterable[str] | None,
    *,
    actor: str,
    clock: sessions.Clock,
    desk: Desk | None,
) -> Settlement:
    """Take the sessions of a workflow as far as they go now and say which issues are resolved.

    1. With a Prefect server, the newest failed run is taken up; what its session may do, the gate decides.
    2. Each open session that knows one of the issues is advanced (a run's) or verified (a report's).
    3. An issue is resolved where its session ended on an observed good run. None means
    all issues of open sessions.
    """
    taken = await _take_up(desk, workflow_id) if desk is not None else None
    known = await store.sessions(workflow_id=workflow_id, limit=MOST_SESSIONS)
    wanted = _open_issues(known) if issue_ids is None else tuple(dict.fromkeys(issue_ids))
    moved: dict[str, TroubleshootingSession] = {}
    done: list[str] = []
    for session in known:
        if session.session_id != taken and not any(issue.issue_id in wanted for issue in session.issues):
            continue
        after = await _moved(store, session, actor=actor, clock=clock, desk=desk)
        moved[after.session_id] = after
        # One that an older session took in is told of by that one.
        done += after.trail[len(session.trail) :] if after.session_id == session.session_id else ()
    states = [_state(issue, tuple(moved.values())) for issue in wanted]
    resolved = tuple(state for state in states if state.resolved)
    remaining = tuple(state for state in states if not state.resolved)
    return Settlement(
        resolved=resolved,
        remaining=remaining,
        status=_status(resolved, remaining, moved),
        sessions=tuple(moved),
        done=tuple(done),
    )


def _open_issues(known: Sequence[TroubleshootingSession]) -> tuple[str, ...]:
    opened = [session for session in known if session.resolution_status in steps.OPEN]
    return tuple(dict.fromkeys(issue.issue_id for session in opened for issue in session.issues))


async def _take_up(desk: Desk, workflow_id: str) -> str | None:
    """Return the session of the workflow's last run where that run failed; only deployments are looked up."""
    try:
        UUID(workflow_id)
        runs = await desk.api.runs_of(workflow_id, limit=1)
    except (ValueError, UnknownNameError):
        return None
    if not runs or runs[0].state.type not in FAILURE_STATES:
        return None
    session = await resolve.take_up(desk, runs[0])
    return session.session_id if session is not None else None


async def _moved(
    store: Store, session: TroubleshootingSession, *, actor: str, clock: sessions.Clock, desk: Desk | None
) -> TroubleshootingSession:
    if session.resolution_status not in steps.OPEN:
        return session
    try:
        if session.flow_run_id is None:
            api = desk.api if desk is not None else None
            return (await sessions.verify(store, session.session_id, clock(), actor=actor, api=api))[0]
        return await resolve.advance(desk, session.session_id) if desk is not None else session
    except (ConflictError, UnknownNameError):
        return session  # somebody else is at work on it, or has deleted it


def _state(issue_id: str, moved: Sequence[TroubleshootingSession]) -> IssueState:
    """Judge an issue by the newest session that knows it."""
    session = next((one for one in moved if any(i.issue_id == issue_id for i in one.issues)), None)
    if session is None:
        reason = "No session of this workflow knows the issue; open one with its log."
        return IssueState(issue_id=issue_id, resolved=False, reason=reason)
    return IssueState(
        issue_id=issue_id,
        resolved=sessions.is_settled(session),
        session_id=session.session_id,
        reason=session.last_said or session.resolution_status.value,
    )


def _status(
    resolved: Sequence[IssueState], remaining: Sequence[IssueState], moved: dict[str, TroubleshootingSession]
) -> ResolutionStatus:
    if resolved and remaining:
        return ResolutionStatus.PARTIAL
    told = {session.resolution_status for session in moved.values()}
    if resolved:
        auto = ResolutionStatus.AUTO_RESOLVED
        return auto if told == {auto} else ResolutionStatus.RESOLVED
    return next((status for status in _GRAVEST if status in told), ResolutionStatus.IN_PROGRESS)
