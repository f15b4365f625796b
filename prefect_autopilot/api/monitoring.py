"""Calls of the third journey: what runs show, and the rules that raise alerts."""

from __future__ import annotations

import difflib
import uuid

from starlette.requests import Request

from prefect_autopilot.api.access import actor_of
from prefect_autopilot.api.answers import (
    AlertsAnswer,
    HealthAnswer,
    MetricsAnswer,
    MonitoringAnswer,
    RuleAnswer,
    WorkflowHealthAnswer,
)
from prefect_autopilot.api.automation import figures
from prefect_autopilot.api.bodies import Limit, MonitoringBody, Offset, RuleBody, WorkflowName
from prefect_autopilot.api.context import MONITORING, context_of, worked
from prefect_autopilot.api.lists import DEFAULT_LIMIT, MOST_RULES, page_of
from prefect_autopilot.errors import UnknownNameError
from prefect_autopilot.journeys.observe import series_of
from prefect_autopilot.journeys.observe import workflow_id as id_of
from prefect_autopilot.journeys.rules import apply_rules
from prefect_autopilot.journeys.workflows import find_workflow, runs_of, workflow_health
from prefect_autopilot.models import (
    HealthScore,
    MonitoringRule,
    ResolutionStatus,
    TroubleshootingSession,
)
from prefect_autopilot.monitoring import metrics, novelty, trends
from prefect_autopilot.monitoring.limits import limits_of
from prefect_autopilot.monitoring.measures import UNITS, is_metric
from prefect_autopilot.monitoring.outlook import outlook
from prefect_autopilot.monitoring.rules import EVERY_WORKFLOW
from prefect_autopilot.store import Store

MONITORINGS = uuid.UUID("8e9c3f52-3a0b-5d0c-9b53-0f4f0ab1c2de")
MOST_OPEN = 50
NOVELTY = "novelty"
MOST_NOVEL = 20
NO_RUNS = "No run of the workflow was seen yet."

# What to look at for each component of health; the reason with its figures stands before it.
ADVICE = {
    "reliability": "Open a troubleshooting session with the log of the last failed run.",
    "timeliness": "Look at the work pool: its workers are busy, or too few runs may go on at once.",
    "performance": "Let the optimiser look at the flow, and compare its input with earlier runs.",
    "stability": "Look at the attempts that failed before the good one.",
    "freshness": "Check that the schedule is active and a worker polls the work pool.",
}


async def start_monitoring(body: MonitoringBody, request: Request) -> MonitoringAnswer:
    """Read what the Prefect server has of a workflow, and keep reading; one it does not know is refused."""
    context = context_of(request)
    store, now = await context.store(), context.clock()
    unread = await context.refreshed(body.workflow_id)
    await store.set_cursor(MONITORING, now)
    await store.audit(actor_of(request), "monitoring.started", body.workflow_id, {}, now)
    workflow = await find_workflow(store, body.workflow_id)
    runs = len(await runs_of(store, workflow)) if workflow is not None else 0
    if unread is not None:
        reason = f"{unread} It is read as soon as it can be."
    elif await context.is_watched() or not context.keeps_fleet:
        reason = "A watcher reads the Prefect server."
    else:
        reason = "No watcher runs: this API reads the Prefect server as long as it is up."
    return MonitoringAnswer(
        success=True,
        monitoring_id=str(uuid.uuid5(MONITORINGS, id_of(workflow) if workflow else body.workflow_id)),
        status="active" if unread is None else "registered",
        workflow_id=body.workflow_id,
        runs_seen=runs,
        reason=reason if runs else f"{reason} {NO_RUNS}",
    )


async def monitoring_health(workflow_id: WorkflowName, request: Request) -> HealthAnswer:
    """Return the health of a workflow with reasons; unknown, not healthy, where too little was seen."""
    context = context_of(request)
    store = await context.store()
    health = await workflow_health(store, workflow_id, context.clock(), context.recent)
    opened = await _open_sessions(store, {workflow_id, health.workflow_id})
    return HealthAnswer(
        success=True,
        health_score=health.score,
        status=health.status,
        reason=health.reason,
        issues=(*(issue for session in opened for issue in session.issues), *health.deductions),
        recommendations=_advice(health, opened),
        runs=health.runs,
        last_updated=health.last_updated,
    )


async def _open_sessions(store: Store, names: set[str]) -> tuple[TroubleshootingSession, ...]:
    waiting = (ResolutionStatus.IN_PROGRESS, ResolutionStatus.MANUAL, ResolutionStatus.PARTIAL)
    return await store.sessions_of(names, waiting, MOST_OPEN)


def _advice(health: HealthScore, opened: tuple[TroubleshootingSession, ...]) -> tuple[str, ...]:
    from_sessions = (line for session in opened for line in session.recommendations)
    from_health = (f"{one.reason} {ADVICE[one.component]}" for one in health.deductions)
    return tuple(dict.fromkeys((*from_sessions, *from_health)))


async def workflow_health_of(workflow_id: WorkflowName, request: Request) -> WorkflowHealthAnswer:
    """Return the health of a workflow with the reason."""
    context = context_of(request)
    health = await workflow_health(await context.store(), workflow_id, context.clock(), context.recent)
    return WorkflowHealthAnswer(
        workflow_id=workflow_id,
        health_score=health.score,
        status=health.status,
        reason=health.reason,
        last_updated=health.last_updated,
        runs=health.runs,
        deductions=health.deductions,
    )


async def monitoring_metrics(
    workflow_id: WorkflowName, request: Request, metric_type: str = "all"
) -> MetricsAnswer:
    """Return what was measured of a workflow, its trends and its open alerts."""
    if metric_type not in {"all", NOVELTY} and not is_metric(metric_type):
        raise UnknownNameError("metric", metric_type, tuple(difflib.get_close_matches(metric_type, UNITS)))
    context = context_of(request)
    store, now = await context.store(), context.clock()
    workflow = await find_workflow(store, workflow_id)
    if workflow is None:
        return MetricsAnswer(success=True, metrics={}, trends={}, alerts=(), reason=NO_RUNS)
    ident, runs = id_of(workflow), await runs_of(store, workflow)
    wants_novelty = metric_type == NOVELTY
    measured = figures(metrics(ident, runs, now))
    chosen = {name: figure for name, figure in measured.items() if metric_type in {"all", name}}
    found = await worked(trends, runs, limits_of(runs), now)
    return MetricsAnswer(
        success=True,
        metrics=chosen,
        trends={trend.metric: trend for trend in found},
        alerts=await store.alerts(open_only=True, workflow_id=ident),
        outlook=await worked(outlook, runs, now),
        # On demand only: the forest costs a second and the library.
        novelty=(await worked(novelty, series_of(ident, runs, now)))[:MOST_NOVEL] if wants_novelty else (),
        reason=None if chosen or wants_novelty else "The runs seen so far do not show this metric.",
    )


async def list_alerts(
    request: Request,
    workflow_id: str | None = None,
    *,
    open_only: bool = False,
    limit: Limit = DEFAULT_LIMIT,
    offset: Offset = 0,
) -> AlertsAnswer:
    """Return alerts, the latest first, and the rules that raise them."""
    store = await context_of(request).store()
    found = await store.alerts(open_only=open_only, workflow_id=workflow_id, limit=limit + 1, offset=offset)
    return AlertsAnswer(
        alerts=found[:limit],
        rules=(await store.rules(workflow_id))[:MOST_RULES],
        **page_of(len(found), limit, offset),
    )


async def add_rule(body: RuleBody, request: Request) -> RuleAnswer:
    """Store a monitoring rule; one with a known id replaces it, the same rule again changes nothing."""
    context = context_of(request)
    store, now = await context.store(), context.clock()
    rule = MonitoringRule.model_validate(body.model_dump())
    (stored,) = await apply_rules(store, (rule,), actor_of(request), now)
    seen = {id_of(one) for one in await store.workflows()}
    waits = stored.workflow_id not in {EVERY_WORKFLOW, *seen}
    return RuleAnswer(
        **stored.model_dump(), note=f"{NO_RUNS} The rule applies from the first." if waits else None
    )
