"""The status page: server-rendered, without scripts, styled by one sheet of its own."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from datetime import timedelta
from functools import cache
from http import HTTPStatus
from importlib.resources import files
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs
from uuid import UUID

from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from prefect_autopilot.api import page_views as views
from prefect_autopilot.api.access import COOKIE, SIGN_IN, check_seal, principal_of, require
from prefect_autopilot.api.bounds import Buckets
from prefect_autopilot.api.context import Context, context_of, worked
from prefect_autopilot.errors import ConflictError, UsageError
from prefect_autopilot.journeys import automate, sessions
from prefect_autopilot.journeys.observe import workflow_id
from prefect_autopilot.journeys.settle import settle
from prefect_autopilot.journeys.workflows import runs_of
from prefect_autopilot.models import Analysis, WorkflowAlert
from prefect_autopilot.monitoring import health
from prefect_autopilot.redaction import redact
from prefect_autopilot.store import Scope, Store, Workflow
from prefect_autopilot.troubleshooting import session as steps

if TYPE_CHECKING:
    from fastapi import FastAPI
    from jinja2 import Environment

PAGES = (("/", "Overview"), ("/ui/describe", "Describe an automation"))
POLICY = (
    "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self'; frame-ancestors 'none';"
    " base-uri 'none'"
)
# Without a referrer at all, browsers send the origin "null" with a form, which is nobody's.
PAGE_HEADERS = {"Content-Security-Policy": POLICY, "Referrer-Policy": "same-origin"}
PER_PAGE = 20
MOST_OPEN = 50
MOST_TEXT = 5000
SESSION_LASTS = timedelta(hours=12)

_tries = Buckets(burst=20, per_second=0.2)

Answer = Callable[..., Coroutine[Any, Any, Response]]


def mount_page(app: FastAPI) -> None:
    """Put the status page on ``app``; it is no call of the API, so it is not in its document."""
    routes: tuple[tuple[str, str, Answer], ...] = (
        ("GET", "/", overview),
        ("GET", "/ui/style.css", style),
        ("GET", "/ui/sessions/{session_id}", session_page),
        ("POST", "/ui/sessions/{session_id}/look", look),
        ("POST", "/ui/sessions/{session_id}/resolve", resolve),
        ("POST", "/ui/alerts/{alert_id}/seen", alert_seen),
        ("GET", "/ui/describe", describe),
        ("POST", "/ui/describe", describe),
        ("GET", SIGN_IN, sign_in_form),
        ("POST", SIGN_IN, sign_in),
        ("POST", "/ui/sign-out", sign_out),
    )
    for method, path, answer in routes:
        app.add_api_route(path, answer, methods=[method], include_in_schema=False, response_model=None)


async def style() -> Response:
    """Return the style sheet."""
    sheet = _environment().get_template("page.css.j2").render()
    headers = {"Cache-Control": "public, max-age=3600"}
    return Response(sheet, media_type="text/css", headers=headers)


async def overview(request: Request, page: int = 1) -> Response:
    """Show every workflow with its light, what is open, and what to do."""
    context = context_of(request)
    store, now = await context.store(), context.clock()
    opened = [one for one in await store.sessions(limit=MOST_OPEN) if views.wants_a_look(one, now)]
    alerts = await store.alerts(open_only=True)
    page = min(max(1, page), 10_000)
    known = (await store.workflows())[(page - 1) * PER_PAGE :]
    shown = [await _shown(context, store, one, alerts) for one in known[:PER_PAGE]]
    watched = await context.is_watched()
    return _page(
        request,
        "page_overview.html.j2",
        headline=views.headline([one["state"] for one in shown], len(opened)),
        watching="A watcher reads the Prefect server."
        if watched
        else "No watcher runs: what you see is as old as the last look.",
        sessions=[views.facts_of(one) for one in opened],
        alerts=alerts[:MOST_OPEN],
        workflows=shown,
        page=page,
        more=len(known) > PER_PAGE,
        may_act=principal_of(request).scope.covers(Scope.OPERATOR),
    )


async def _shown(
    context: Context, store: Store, workflow: Workflow, alerts: tuple[WorkflowAlert, ...]
) -> dict[str, Any]:
    name = workflow_id(workflow)
    runs = await runs_of(store, workflow)
    score = health(name, runs, context.clock())
    state, reason = views.light_of(score, [alert for alert in alerts if alert.workflow_id == name])
    label = workflow.flow_name
    return {
        "name": f"{label}/{workflow.deployment_name}" if workflow.deployment_name else label,
        "state": state,
        "reason": reason,
        "score": None if score.score is None else round(score.score),
        "picture": views.picture_of(runs),
    }


async def session_page(session_id: UUID, request: Request) -> Response:
    """Show what broke, what was concluded and done, whether it was verified, and what to do."""
    one = await sessions.read(await context_of(request).store(), str(session_id))
    scope, is_open = principal_of(request).scope, one.resolution_status in steps.OPEN
    return _page(
        request,
        "page_session.html.j2",
        one=one,
        facts=views.facts_of(one),
        may_look=is_open and scope.covers(Scope.OPERATOR),
        may_resolve=is_open and scope.covers(Scope.APPROVER),
    )


async def look(session_id: UUID, request: Request) -> Response:
    """Look at the runs since the session's last act."""
    await _form(request, Scope.OPERATOR)
    context, actor = context_of(request), principal_of(request).actor
    async with context.desk_if_any() as (desk, _):
        api = desk.api if desk is not None else None
        store = await context.store()
        await sessions.verify(store, str(session_id), context.clock(), actor=actor, api=api)
    return _back(request, f"/ui/sessions/{session_id}")


async def resolve(session_id: UUID, request: Request) -> Response:
    """Take a session as far as the policy lets it go."""
    await _form(request, Scope.APPROVER)
    context, actor = context_of(request), principal_of(request).actor
    store = await context.store()
    one = await sessions.read(store, str(session_id))
    if one.resolution_status not in steps.OPEN:
        raise ConflictError("The session is over; nothing was done.")
    issues = [issue.issue_id for issue in one.issues]
    async with context.desk_if_any() as (desk, _):
        await settle(store, one.workflow_id, issues, actor=actor, clock=context.clock, desk=desk)
    await store.audit(actor, "session.pushed", one.session_id, {}, context.clock())
    return _back(request, f"/ui/sessions/{session_id}")


async def alert_seen(alert_id: str, request: Request) -> Response:
    """Note who has seen an alert."""
    await _form(request, Scope.OPERATOR)
    context, actor = context_of(request), principal_of(request).actor
    store = await context.store()
    await store.acknowledge_alert(alert_id, actor)
    await store.audit(actor, "alert.seen", alert_id, {}, context.clock())
    return _back(request, "/")


async def describe(request: Request) -> Response:
    """Show what a description becomes: understanding, questions and code; nothing is created."""
    text = ""
    shown: dict[str, Any] = {}
    if request.method == "POST":
        text = (await _form(request, Scope.VIEWER)).get("text", "")[:MOST_TEXT]
        analysis = await worked(automate.understand, text)
        shown = {"analysis": analysis, **_understood(analysis)}
        if analysis.status == "flow":
            try:
                shown["source"] = redact((await worked(automate.build, analysis)).source)
            except UsageError as error:
                shown["error"] = error.message
    return _page(request, "page_describe.html.j2", text=redact(text), **shown)


def _understood(analysis: Analysis) -> dict[str, Any]:
    trigger = analysis.trigger
    return {
        "services": [one.service for one in analysis.services if one.role == "used"],
        "trigger": _told(trigger.model_dump(exclude_none=True, exclude={"span"}, mode="json"))
        if trigger is not None
        else "",
        "steps": [one.summary or f"{one.service}: {one.operation}" for one in analysis.steps],
    }


def _told(facts: dict[str, Any]) -> str:
    return ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in facts.items() if value)


async def sign_in_form(request: Request) -> Response:
    """Ask for a token."""
    return _page(request, "page_sign_in.html.j2", error="")


async def sign_in(request: Request) -> Response:
    """Open a browser session with a token; the cookie holds a secret of its own, never the token."""
    context = context_of(request)
    store, now = await context.store(), context.clock()
    peer = request.client.host if request.client is not None else ""
    given = (await _fields(request)).get("token", "").strip()
    if not _tries.take(peer):
        error = "Too many tries; wait a minute and try again."
        return _page(request, "page_sign_in.html.j2", HTTPStatus.TOO_MANY_REQUESTS, error=error)
    token = await store.token(given, now)
    if token is None or token.parent is not None:
        error = "The token is unknown, expired or revoked."
        return _page(request, "page_sign_in.html.j2", HTTPStatus.UNAUTHORIZED, error=error)
    await store.forget_expired_sessions(now)
    secret, opened = await store.create_token(
        token.name, token.scope, SESSION_LASTS, now, actor=f"token:{token.name}", parent=token
    )
    answer = _back(request, "/")
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
    await _form(request, Scope.VIEWER)
    context, principal = context_of(request), principal_of(request)
    if principal.by == "cookie" and principal.token is not None:
        store = await context.store()
        await store.revoke_token(principal.token.token_id, context.clock(), actor=principal.actor)
    answer = _back(request, SIGN_IN)
    answer.delete_cookie(COOKIE, path=request.scope.get("root_path") or "/")
    return answer


async def _form(request: Request, scope: Scope) -> dict[str, str]:
    """Return the fields of a form of this session; raises HTTPException where it is not, or may not."""
    fields = await _fields(request)
    check_seal(principal_of(request), fields.get("seal", ""))
    await require(request, scope)
    return fields


async def _fields(request: Request) -> dict[str, str]:
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/x-www-form-urlencoded":
        detail = "A form is sent as application/x-www-form-urlencoded."
        raise HTTPException(HTTPStatus.UNSUPPORTED_MEDIA_TYPE.value, detail)
    try:
        body = (await request.body()).decode("utf-8", "replace")
        found = parse_qs(body, keep_blank_values=True, max_num_fields=20)
    except (ClientDisconnect, ValueError):
        detail = "The form cannot be read; load the page again."
        raise HTTPException(HTTPStatus.UNPROCESSABLE_ENTITY.value, detail) from None
    return {name: values[0].replace("\x00", "\ufffd") for name, values in found.items()}


def _back(request: Request, path: str) -> RedirectResponse:
    return RedirectResponse(request.scope.get("root_path", "") + path, HTTPStatus.SEE_OTHER.value)


def _page(request: Request, template: str, status: HTTPStatus = HTTPStatus.OK, **shown: Any) -> Response:
    principal = principal_of(request)
    root = request.scope.get("root_path", "")
    text = (
        _environment()
        .get_template(template)
        .render(
            principal=None if request.url.path.endswith(SIGN_IN) else principal,
            pages=PAGES,
            here=request.url.path.removeprefix(root) or "/",
            root=root,
            now=context_of(request).clock(),
            **shown,
        )
    )
    return HTMLResponse(text, status.value, headers=PAGE_HEADERS)


@cache
def _environment() -> Environment:
    from jinja2 import DictLoader, Environment, StrictUndefined

    folder = files("prefect_autopilot.api")
    texts = {
        file.name: file.read_text(encoding="utf-8") for file in folder.iterdir() if file.name.endswith(".j2")
    }
    environment = Environment(
        loader=DictLoader(texts), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    environment.filters["plain"] = views.plain
    return environment
