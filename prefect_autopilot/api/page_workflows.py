"""Pages of one workflow: its charts, alarms and outlook in words and pictures, and what could be better."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import datetime
from html import unescape
from http import HTTPStatus
from typing import Any, Literal
from uuid import UUID

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from prefect_autopilot.api import automation
from prefect_autopilot.api import page_choices as choices
from prefect_autopilot.api import page_views as views
from prefect_autopilot.api.bodies import ApplyBody, OptimizeBody, WorkflowReference
from prefect_autopilot.api.context import context_of, worked
from prefect_autopilot.api.page_frame import back, form_of, live_of, rendered
from prefect_autopilot.errors import UnknownNameError, UsageError
from prefect_autopilot.journeys import improve
from prefect_autopilot.journeys.judging import series_of
from prefect_autopilot.journeys.observe import workflow_id
from prefect_autopilot.journeys.workflows import find_workflow, runs_of
from prefect_autopilot.models import Anomaly, RunRecord, Strategy, Trend
from prefect_autopilot.monitoring import health, trends
from prefect_autopilot.monitoring.charts import duration_chart, success_chart
from prefect_autopilot.monitoring.detection import detect
from prefect_autopilot.monitoring.limits import limits_of
from prefect_autopilot.monitoring.outlook import Outlook, outlook
from prefect_autopilot.redaction import redact
from prefect_autopilot.store import Scope, Store, Workflow

MOST_LISTED = 10
Kind = Literal["durations", "success"]


async def workflow_page(workflow: str, request: Request) -> Response:
    """Show how a workflow is, how its runs went, and what is expected."""
    context = context_of(request)
    store, now = await context.store(), context.clock()
    known = await _known(store, workflow)
    ident = workflow_id(known)
    live = await live_of(store, workflow_id=ident)
    runs = await runs_of(store, known)
    score = health(ident, runs, now)
    alerts = await store.alerts(open_only=True, workflow_id=ident)
    state, reason = views.light_of(score, alerts)
    alarms, expected = await worked(_judged, ident, runs, now)
    return rendered(
        request,
        "page_workflow.html.j2",
        live=live,
        ident=ident,
        name=_name(known),
        state=state,
        reason=reason,
        score=score,
        alerts=alerts,
        alarms=alarms[-MOST_LISTED:][::-1],
        expected=views.expected_in_words(expected, now),
        sessions=[
            views.facts_of(one, names_of([known]))
            for one in await store.sessions(workflow_id=ident, limit=MOST_LISTED)
        ],
        runs=runs[-MOST_LISTED:][::-1],
        deployment_id=known.deployment_id if _is_uuid(known.deployment_id) else None,
        prefect=choices.prefect_ui(),
    )


async def chart(kind: Kind, request: Request, workflow: str = "") -> Response:
    """Return a chart of a workflow as an image."""
    context = context_of(request)
    store, now = await context.store(), context.clock()
    known = await _known(store, workflow)
    runs = await runs_of(store, known)
    svg = await worked(_drawn, kind, workflow_id(known), _name(known), runs, now)
    return _image(svg, "private, max-age=30")


async def improve_page(deployment_id: UUID, request: Request) -> Response:
    """Show what of a deployment's flow could be better, as a diff; nothing is run or written."""
    fields = {} if request.method == "GET" else await form_of(request, Scope.VIEWER)
    strategy = fields.get("strategy", Strategy.PERFORMANCE.value)
    shown: dict[str, Any] = {}
    if request.method == "POST":
        body = OptimizeBody(workflow=_reference(deployment_id), strategy=_strategy(strategy))
        found = await automation.analyze_optimization(body, request)
        before = await automation.apply_optimization(ApplyBody(**body.model_dump()), request)
        shown = {
            "plan": found.analysis,
            "saving": found.estimated_improvement,
            "why_none": found.estimated_improvement_reason,
            "after": before.optimized_workflow.sha256,
        }
    return rendered(
        request,
        "page_improve.html.j2",
        deployment_id=str(deployment_id),
        strategies=[one.value for one in Strategy],
        strategy=strategy,
        prefect=choices.prefect_ui(),
        **shown,
    )


async def improve_picture(deployment_id: UUID, request: Request, strategy: str = "performance") -> Response:
    """Return the tasks of a deployment's flow over time, before and after what is proposed, as an image."""
    body = OptimizeBody(workflow=_reference(deployment_id), strategy=_strategy(strategy))
    found = await automation.located(context_of(request), body)
    plan = await worked(
        automation.planned, found.source, found.name, body.strategy, found.history, found.path
    )
    svg = await worked(improve.drawn, plan, found.source, found.history)
    if svg is None:
        raise UnknownNameError("timeline of the deployment", str(deployment_id))
    return _image(redact(svg), "private, no-store")


async def improve_apply(deployment_id: UUID, request: Request) -> Response:
    """Write the rewritten flow, if it would be just what was shown and does the same; a backup is kept."""
    fields = await form_of(request, Scope.APPROVER)
    body = ApplyBody(workflow=_reference(deployment_id), strategy=_strategy(fields.get("strategy", "")))
    planned = await automation.apply_optimization(body, request)
    if planned.optimized_workflow.sha256 != fields.get("after"):
        detail = "The flow is not the one that was shown any more; look at it again."
        raise HTTPException(HTTPStatus.CONFLICT.value, detail)
    wanted = {"write": True, "unproved": fields.get("unproved") == "yes"}
    await automation.apply_optimization(body.model_copy(update=wanted), request)
    return back(request, f"/ui/improve/{deployment_id}")


def _reference(deployment_id: UUID) -> WorkflowReference:
    return WorkflowReference(deployment_id=deployment_id)


def _strategy(given: str) -> Strategy:
    try:
        return Strategy(given)
    except ValueError:
        raise UsageError(f"Choose one of {', '.join(one.value for one in Strategy)}.") from None


async def _known(store: Store, name: str) -> Workflow:
    found = await find_workflow(store, name)
    if found is None:
        raise UnknownNameError("workflow", name)
    return found


def names_of(workflows: Sequence[Workflow]) -> dict[str, str]:
    """Return the names of workflows by the ids under which sessions and alerts are kept."""
    return {workflow_id(one): _name(one) for one in workflows}


def _name(workflow: Workflow) -> str:
    return "/".join(filter(None, (workflow.flow_name, workflow.deployment_name)))


def _image(svg: str, kept: str) -> Response:
    """Return a picture that may use its own style and nothing else."""
    style = unescape(re.findall(r"<style[^>]*>(.*?)</style>", svg, re.DOTALL)[0])
    policy = f"default-src 'none'; style-src 'sha256-{views.digest_of(style)}'; frame-ancestors 'none'"
    headers = {"Content-Security-Policy": policy, "Cache-Control": kept}
    return Response(svg, media_type="image/svg+xml", headers=headers)


def _is_uuid(text: str | None) -> bool:
    try:
        UUID(text or "")
    except ValueError:
        return False
    return True


def _judged(ident: str, runs: Sequence[RunRecord], now: datetime) -> tuple[tuple[Anomaly, ...], Outlook]:
    return detect([series_of(ident, runs, now)])[ident], outlook(runs, now)


def _drawn(kind: Kind, ident: str, name: str, runs: Sequence[RunRecord], now: datetime) -> str:
    if kind == "success":
        return success_chart(name, runs)
    alarms = detect([series_of(ident, runs, now)])[ident]
    return duration_chart(name, runs, alarms, _slope(trends(runs, limits_of(runs), now)))


def _slope(found: Sequence[Trend]) -> Trend | None:
    return next((one for one in found if one.metric == "duration_s"), None)
