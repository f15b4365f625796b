"""Pages of sessions: what broke and what was done, and the buttons by which a person decides."""

from __future__ import annotations

import math
from uuid import UUID

from starlette.requests import Request
from starlette.responses import Response

from prefect_autopilot.api import decisions
from prefect_autopilot.api import page_choices as choices
from prefect_autopilot.api import page_views as views
from prefect_autopilot.api.access import principal_of
from prefect_autopilot.api.context import context_of
from prefect_autopilot.api.page_frame import back, form_of, live_of, rendered
from prefect_autopilot.api.page_workflows import names_of
from prefect_autopilot.errors import ConflictError, UsageError
from prefect_autopilot.journeys import proposals, sessions
from prefect_autopilot.journeys.settle import settle
from prefect_autopilot.store import Scope
from prefect_autopilot.troubleshooting import session as steps

MOST_REASON = 1000


async def session_page(session_id: UUID, request: Request) -> Response:
    """Show what broke, what was concluded and done, whether it was verified, and what to do."""
    store = await context_of(request).store()
    live = await live_of(store, session_id=str(session_id))
    one = await sessions.read(store, str(session_id))
    return rendered(
        request,
        "page_session.html.j2",
        live=live,
        one=one,
        facts=views.facts_of(one, names_of(await store.workflows())),
        moments=views.moments_of(one.trail),
        is_open=one.resolution_status in steps.OPEN,
        choice=choices.choice_of(one),
        undo=choices.undo_of(one),
        paused=await store.pause(),
        prefect=choices.prefect_ui(),
    )


async def look(session_id: UUID, request: Request) -> Response:
    """Look at the runs since the session's last act."""
    await form_of(request, Scope.OPERATOR)
    context, actor = context_of(request), principal_of(request).actor
    async with context.desk_if_any() as (desk, _):
        api = desk.api if desk is not None else None
        store = await context.store()
        await sessions.verify(store, str(session_id), context.clock(), actor=actor, api=api)
    return back(request, f"/ui/sessions/{session_id}")


async def resolve(session_id: UUID, request: Request) -> Response:
    """Take a session as far as the policy lets it go."""
    await form_of(request, Scope.APPROVER)
    context, actor = context_of(request), principal_of(request).actor
    store = await context.store()
    one = await sessions.read(store, str(session_id))
    if one.resolution_status not in steps.OPEN:
        raise ConflictError("The session is over; nothing was done.")
    issues = [issue.issue_id for issue in one.issues]
    async with context.desk_if_any() as (desk, _):
        await settle(store, one.workflow_id, issues, actor=actor, clock=context.clock, desk=desk)
    await store.audit(actor, "session.pushed", one.session_id, {}, context.clock())
    return back(request, f"/ui/sessions/{session_id}")


async def approve(session_id: UUID, request: Request) -> Response:
    """Say yes to the proposal that was shown; one that has changed since is not approved."""
    fields = await form_of(request, Scope.APPROVER)
    store = await context_of(request).store()
    one = await sessions.read(store, str(session_id))
    choice = choices.choice_of(one)
    if choice is None or fields.get("shown") != choice.mark:
        raise ConflictError("The proposal is no longer the one that was shown; nothing was approved.")
    body = decisions.ApproveBody(rerun=fields.get("rerun") == "yes", changes=_changes(choice, fields))
    if choice.asks_rerun and not body.rerun:
        raise UsageError("Make sure that the work may be done again, and say so; nothing was approved.")
    await decisions.approve_session(session_id, request, body)
    return back(request, f"/ui/sessions/{session_id}")


def _changes(choice: choices.Choice, fields: dict[str, str]) -> dict[str, float]:
    """Return the numbers of a form that are not those which were proposed."""
    changes = {}
    for one in choice.changeable:
        try:
            said = float(fields.get(f"change:{one.name}") or one.value)
        except ValueError:
            said = math.nan
        if not math.isfinite(said):
            raise UsageError(f"{one.name} takes a number; nothing was approved.")
        if said != one.value:
            changes[one.name] = said
    return changes


async def deny(session_id: UUID, request: Request) -> Response:
    """Say no to a proposal and close its session."""
    fields = await form_of(request, Scope.APPROVER)
    body = decisions.DenyBody(reason=fields.get("reason", "")[:MOST_REASON])
    await decisions.deny_session(session_id, request, body)
    return back(request, f"/ui/sessions/{session_id}")


async def undo(session_id: UUID, request: Request) -> Response:
    """Take back a retry that has not begun."""
    await form_of(request, Scope.APPROVER)
    await decisions.undo_session(session_id, request)
    return back(request, f"/ui/sessions/{session_id}")


async def pause(request: Request) -> Response:
    """Hold every remedy of every process on this store."""
    await form_of(request, Scope.APPROVER)
    context = context_of(request)
    actor = principal_of(request).actor
    await proposals.pause_all(await context.store(), by=actor, clock=context.clock)
    return back(request, "/")


async def resume(request: Request) -> Response:
    """End the pause of all remedies."""
    await form_of(request, Scope.APPROVER)
    context = context_of(request)
    actor = principal_of(request).actor
    await proposals.resume_all(await context.store(), by=actor, clock=context.clock)
    return back(request, "/")
