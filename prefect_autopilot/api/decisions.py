"""Calls by which a person decides: yes or no to a proposal, an act taken back, everything paused."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field
from starlette.requests import Request

from prefect_autopilot.api.access import actor_of
from prefect_autopilot.api.bodies import Body, MetricName, SessionId, Told
from prefect_autopilot.api.context import context_of
from prefect_autopilot.errors import ConfigurationError, UnknownNameError
from prefect_autopilot.journeys import proposals, resolve
from prefect_autopilot.models import ResolutionStatus, TroubleshootingSession, Value


class ApproveBody(Body):
    """``rerun`` says that the work may be done again; ``changes`` are other numbers for the remedy."""

    rerun: bool = False
    changes: dict[MetricName, float] = Field(default_factory=dict, max_length=10)


class DenyBody(Body):
    """Why not; it stands in the session's trail."""

    reason: Annotated[Told, Field(max_length=1000)] = ""


class DecidedAnswer(Value):
    """Where the session stands after a person's word, and what was written down last."""

    session_id: str
    resolution_status: ResolutionStatus
    attempts: int
    said: str
    prefect: str | None = None
    """Why the Prefect server could not be asked: then the watcher goes on with the session."""


class PauseAnswer(Value):
    """Whether remedies are held back, and by whom."""

    paused: bool
    by: str | None = None


async def approve_session(
    session_id: SessionId, request: Request, body: ApproveBody | None = None
) -> DecidedAnswer:
    """Say yes to a proposal; every other check of the gate is made again before anything is done."""
    context, store, ident = context_of(request), await context_of(request).store(), str(session_id)
    said = body or ApproveBody()
    session = await proposals.approve(
        store, ident, by=actor_of(request), clock=context.clock, rerun=said.rerun, changes=said.changes
    )
    async with context.desk_if_any() as (desk, unread):
        if desk is not None:
            session = await resolve.advance(desk, ident)
    return _answer(session, unread)


async def deny_session(
    session_id: SessionId, request: Request, body: DenyBody | None = None
) -> DecidedAnswer:
    """Say no to a proposal and close its session."""
    context, store = context_of(request), await context_of(request).store()
    reason = body.reason if body is not None else ""
    session = await proposals.deny(
        store, str(session_id), by=actor_of(request), clock=context.clock, reason=reason
    )
    return _answer(session)


async def undo_session(session_id: SessionId, request: Request) -> DecidedAnswer:
    """Take back a retry that has not begun yet."""
    context = context_of(request)
    if await (await context.store()).session(str(session_id)) is None:
        raise UnknownNameError("session", str(session_id))
    async with context.desk_if_any() as (desk, unread):
        if desk is None:
            raise ConfigurationError(unread or "No Prefect server is known; set PREFECT_API_URL.")
        return _answer(await proposals.undo(desk, str(session_id), by=actor_of(request)))


async def pause_remedies(request: Request) -> PauseAnswer:
    """Hold every remedy of every process on this store; diagnosis and notices go on."""
    context = context_of(request)
    pause = await proposals.pause_all(await context.store(), by=actor_of(request), clock=context.clock)
    return PauseAnswer(paused=True, by=pause.by)


async def resume_remedies(request: Request) -> PauseAnswer:
    """End the pause of all remedies."""
    context = context_of(request)
    await proposals.resume_all(await context.store(), by=actor_of(request), clock=context.clock)
    return PauseAnswer(paused=False)


def _answer(session: TroubleshootingSession, unread: str | None = None) -> DecidedAnswer:
    return DecidedAnswer(
        session_id=session.session_id,
        resolution_status=session.resolution_status,
        attempts=len(session.attempts),
        said=session.last_said,
        prefect=unread,
    )
