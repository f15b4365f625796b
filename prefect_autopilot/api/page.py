"""The status page: server-rendered, whole without scripts, styled by one sheet of its own."""

from __future__ import annotations

from datetime import timedelta
from glob import escape
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from starlette.requests import Request
from starlette.responses import Response

from prefect_autopilot.api import page_automate, page_connections, page_rules, page_sessions, page_workflows
from prefect_autopilot.api import page_views as views
from prefect_autopilot.api.access import COOKIE, SIGN_IN, principal_of
from prefect_autopilot.api.bounds import Buckets
from prefect_autopilot.api.context import Context, context_of
from prefect_autopilot.api.page_frame import (
    Answer,
    back,
    environment,
    fields_of,
    for_people,
    form_of,
    live_of,
    rendered,
)
from prefect_autopilot.errors import UnknownNameError, UsageError
from prefect_autopilot.journeys import alerting
from prefect_autopilot.journeys.observe import workflow_id
from prefect_autopilot.journeys.workflows import health_of, runs_of
from prefect_autopilot.models import Silence, WorkflowAlert
from prefect_autopilot.store import Scope, Store, Workflow

if TYPE_CHECKING:
    from fastapi import APIRouter

PER_PAGE = 20
MOST_OPEN = 50
SESSION_LASTS = timedelta(hours=12)
SILENCES = {"1": "an hour", "8": "8 hours", "24": "a day", "168": "a week"}
"""Hours for which an alert can be silenced, and how that is said."""

_tries = Buckets(burst=20, per_second=0.2)


def mount_page(router: APIRouter) -> None:
    """Put the status page on ``router``; it is no call of the API, so it is not in its document."""
    session, workflow = "/ui/sessions/{session_id}", "/ui/workflows/{workflow:path}"
    routes: tuple[tuple[str, str, Answer], ...] = (
        ("GET", "/", overview),
        ("GET", "/ui/style.css", style),
        ("GET", "/ui/live.js", live_script),
        ("GET", "/ui/typing.js", typing_script),
        ("GET", "/ui/icon.svg", icon),
        ("GET", session, page_sessions.session_page),
        ("POST", f"{session}/look", page_sessions.look),
        ("POST", f"{session}/resolve", page_sessions.resolve),
        ("POST", f"{session}/approve", page_sessions.approve),
        ("POST", f"{session}/deny", page_sessions.deny),
        ("POST", f"{session}/undo", page_sessions.undo),
        ("POST", "/ui/remedies/pause", page_sessions.pause),
        ("POST", "/ui/remedies/resume", page_sessions.resume),
        ("POST", "/ui/alerts/{alert_id}/seen", alert_seen),
        ("POST", "/ui/alerts/{alert_id}/silence", alert_silenced),
        ("POST", "/ui/silences/{silence_id}/end", silence_ended),
        ("GET", "/ui/charts/{kind}.svg", page_workflows.chart),
        ("GET", "/ui/improve/{deployment_id}", page_workflows.improve_page),
        ("POST", "/ui/improve/{deployment_id}", page_workflows.improve_page),
        ("GET", "/ui/improve/{deployment_id}/timeline.svg", page_workflows.improve_picture),
        ("POST", "/ui/improve/{deployment_id}/apply", page_workflows.improve_apply),
        ("GET", workflow, page_workflows.workflow_page),
        ("GET", "/ui/describe", page_automate.describe),
        ("POST", "/ui/describe", page_automate.describe),
        ("POST", "/ui/describe/preview", page_automate.preview),
        ("POST", "/ui/describe/deploy", page_automate.deploy),
        ("GET", "/ui/rules", page_rules.rules_page),
        ("POST", "/ui/rules", page_rules.rules_page),
        ("GET", "/ui/connections", page_connections.connections_page),
        ("POST", "/ui/connections/{name}/check", page_connections.check),
        ("GET", SIGN_IN, sign_in_form),
        ("POST", SIGN_IN, sign_in),
        ("POST", "/ui/sign-out", sign_out),
    )
    for method, path, answer in routes:
        told = for_people(answer)
        router.add_api_route(path, told, methods=[method], include_in_schema=False, response_model=None)


async def style(request: Request) -> Response:  # noqa: ARG001  # every page is asked the same way
    """Return the style sheet."""
    return _kept("page.css.j2", "text/css")


async def live_script(request: Request) -> Response:  # noqa: ARG001  # every page is asked the same way
    """Return the script that keeps a page up to date."""
    return _kept("page_live.js.j2", "text/javascript")


async def typing_script(request: Request) -> Response:  # noqa: ARG001  # every page is asked the same way
    """Return the script that shows what a description means while it is typed."""
    return _kept("page_typing.js.j2", "text/javascript")


async def icon(request: Request) -> Response:  # noqa: ARG001  # every page is asked the same way
    """Return the sign a browser shows beside a page's name; without one it asks for another path."""
    return _kept("page_icon.svg.j2", "image/svg+xml")


def _kept(template: str, kind: str) -> Response:
    """Return a file that is the same for everybody and may stay in the browser for an hour."""
    text = environment().get_template(template).render()
    return Response(text, media_type=kind, headers={"Cache-Control": "public, max-age=3600"})


async def overview(request: Request, page: int = 1) -> Response:
    """Show every workflow with its light, what is open, and what to do."""
    context = context_of(request)
    store, now = await context.store(), context.clock()
    live = await live_of(store)
    opened = [one for one in await store.sessions(limit=MOST_OPEN) if views.wants_a_look(one, now)]
    alerts = await store.alerts(open_only=True)
    page = min(max(1, page), 10_000)
    everything = await store.workflows()
    names = page_workflows.names_of(everything)
    known = everything[(page - 1) * PER_PAGE :]
    shown = [await _shown(context, store, one, alerts) for one in known[:PER_PAGE]]
    watched = await context.is_watched()
    return rendered(
        request,
        "page_overview.html.j2",
        live=live,
        headline=views.headline([one["state"] for one in shown], len(opened)),
        watching="A watcher reads the Prefect server."
        if watched
        else "No watcher runs: what you see is as old as the last look.",
        sessions=[views.facts_of(one, names) for one in opened],
        alerts=alerts[:MOST_OPEN],
        workflows=shown,
        page=page,
        more=len(known) > PER_PAGE,
        paused=await store.pause(),
        silences=await store.silences(now),
        spans=SILENCES,
    )


async def _shown(
    context: Context, store: Store, workflow: Workflow, alerts: tuple[WorkflowAlert, ...]
) -> dict[str, Any]:
    name = workflow_id(workflow)
    score = await health_of(store, workflow, context.clock(), context.recent)
    state, reason = views.light_of(score, [alert for alert in alerts if alert.workflow_id == name])
    label = workflow.flow_name
    return {
        "ident": name,
        "name": f"{label}/{workflow.deployment_name}" if workflow.deployment_name else label,
        "state": state,
        "reason": reason,
        "score": None if score.score is None else round(score.score),
        "picture": views.picture_of(await runs_of(store, workflow, 2 * views.MOST_BARS)),
    }


async def alert_seen(alert_id: str, request: Request) -> Response:
    """Note who takes an alert on."""
    await form_of(request, Scope.OPERATOR)
    context, actor = context_of(request), principal_of(request).actor
    await alerting.acknowledge(await context.store(), alert_id, actor, context.clock())
    return back(request, "/")


async def alert_silenced(alert_id: str, request: Request) -> Response:
    """Tell nobody of alerts like this one for some time."""
    fields = await form_of(request, Scope.OPERATOR)
    context, actor = context_of(request), principal_of(request).actor
    store, now = await context.store(), context.clock()
    hours = fields.get("hours", "")
    if hours not in SILENCES:
        raise UsageError(f"A silence lasts {', '.join(SILENCES.values())}; choose one.")
    alert = await store.alert(alert_id)
    if alert is None:
        raise UnknownNameError("alert", alert_id)
    wanted = Silence(
        workflow=escape(alert.workflow_id),
        kind=escape(alert.labels.get("kind") or alert.alert_type),
        starts_at=now,
        ends_at=now + timedelta(hours=int(hours)),
        reason=fields.get("reason", "")[:1000],
        created_by=actor,
    )
    await alerting.silence(store, wanted, now)
    return back(request, "/")


async def silence_ended(silence_id: str, request: Request) -> Response:
    """End a silence before its time."""
    await form_of(request, Scope.OPERATOR)
    context, actor = context_of(request), principal_of(request).actor
    await alerting.unsilence(await context.store(), silence_id, actor, context.clock())
    return back(request, "/")


async def sign_in_form(request: Request) -> Response:
    """Ask for a token."""
    return rendered(request, "page_sign_in.html.j2", error="")


async def sign_in(request: Request) -> Response:
    """Open a browser session with a token; the cookie holds a secret of its own, never the token."""
    context = context_of(request)
    store, now = await context.store(), context.clock()
    peer = request.client.host if request.client is not None else ""
    given = (await fields_of(request)).get("token", "").strip()
    if not _tries.take(peer):
        error = "Too many tries; wait a minute and try again."
        return rendered(request, "page_sign_in.html.j2", HTTPStatus.TOO_MANY_REQUESTS, error=error)
    token = await store.token(given, now)
    if token is None or token.parent is not None:
        error = "The token is unknown, expired or revoked."
        return rendered(request, "page_sign_in.html.j2", HTTPStatus.UNAUTHORIZED, error=error)
    await store.forget_expired_sessions(now)
    secret, opened = await store.create_token(
        token.name, token.scope, SESSION_LASTS, now, actor=f"token:{token.name}", parent=token
    )
    answer = back(request, "/")
    answer.set_cookie(
        COOKIE,
        secret,
        max_age=int((opened.expires_at - now).total_seconds()),
        path=request.scope.get("root_path") or "/",
        secure=request.url.scheme == "https",
        httponly=True,
        samesite="strict",
    )
    return answer


async def sign_out(request: Request) -> Response:
    """End the browser session."""
    await form_of(request, Scope.VIEWER)
    context, principal = context_of(request), principal_of(request)
    if principal.by == "cookie" and principal.token is not None:
        store = await context.store()
        await store.revoke_token(principal.token.token_id, context.clock(), actor=principal.actor)
    answer = back(request, SIGN_IN)
    answer.delete_cookie(COOKIE, path=request.scope.get("root_path") or "/")
    return answer
