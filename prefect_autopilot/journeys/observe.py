"""Runs → alert: read what changed, judge it, tell what is new; one re-entrant pass for flow and watcher."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Protocol

from prefect_autopilot.errors import ConflictError, UnknownNameError, UsageError
from prefect_autopilot.models import (
    TERMINAL_STATES,
    HealthScore,
    HistoryRun,
    JSONDict,
    MonitoringRule,
    Notice,
    RunRecord,
    RunSeries,
    WorkflowAlert,
)
from prefect_autopilot.monitoring import alerts_of, baselines, detect, evaluate, health, metrics
from prefect_autopilot.monitoring.calendars import next_fire
from prefect_autopilot.monitoring.rules import NOT_LASTING
from prefect_autopilot.store import Store, Workflow

CURSOR = "observed-runs"
OWN_PREFIX = "autopilot-"
FIRST_LOOK = timedelta(days=30)
OVERLAP_S = 120.0
PAGE_LIMIT = 10_000
MOST_RUNS = 1_000_000
HISTORY_RUNS = 500
SILENT_FOR = timedelta(days=14)
"""A workflow that has not run for so long is left alone."""
MOST_NOTICES = 5
"""Alerts of one pass that are told one by one; more become one digest."""


class ReadsRuns(Protocol):
    """What ingestion needs of the Prefect API."""

    async def runs_changed_since(
        self, since: datetime, *, overlap_s: float = ..., limit: int = ...
    ) -> tuple[RunRecord, ...]:
        """Return runs that ended since ``since`` less the overlap, and those under way."""


class ReadsDeployments(Protocol):
    """What the schedule channel needs of the Prefect API."""

    async def deployment(self, deployment_id: str) -> JSONDict:
        """Return a deployment as the API tells it."""


async def ingest(api: ReadsRuns, store: Store, now: datetime) -> int:
    """Read what changed since the last time into the store and return how many runs were new or newer.

    The cursor is the latest end seen, never our clock, and moves only after the runs are stored: killed in
    between, the next pass reads the same again and writes nothing twice.
    """
    known = await store.cursor(CURSOR)
    since = now - FIRST_LOOK if known is None else known
    limit = PAGE_LIMIT
    runs = await api.runs_changed_since(since, overlap_s=OVERLAP_S, limit=limit)
    while _ended(runs) >= limit and limit < MOST_RUNS:
        # The API answers newest first: a full answer hides older runs, which must not be skipped.
        limit *= 4
        runs = await api.runs_changed_since(since, overlap_s=OVERLAP_S, limit=limit)
    written = await store.upsert_runs([run for run in runs if not run.flow_name.startswith(OWN_PREFIX)])
    ends = [run.end for run in runs if run.end is not None and run.state.type in TERMINAL_STATES]
    newest = max((end for end in ends if end <= now), default=since)
    if known is None or newest > known:
        await store.set_cursor(CURSOR, newest)
    return written


async def assess(store: Store, now: datetime) -> list[HealthScore]:
    """Return the health of every workflow seen, the worst first; unknown ones last."""
    scores = []
    for workflow in await store.workflows():
        runs = await _history(store, workflow)
        scores.append(health(workflow_id(workflow), runs, now))
    return sorted(scores, key=lambda score: (score.score is None, score.score or 0.0, score.workflow_id))


async def read_schedules(api: ReadsDeployments, store: Store) -> dict[str, JSONDict]:
    """Return the active schedule of each deployment that has exactly one, by deployment id."""
    found: dict[str, JSONDict] = {}
    for workflow in await store.workflows():
        if workflow.deployment_id is None:
            continue
        try:
            deployment = await api.deployment(workflow.deployment_id)
        except UnknownNameError:
            continue  # deleted since its last run: nothing is due any more
        active = [entry["schedule"] for entry in deployment.get("schedules") or () if entry.get("active")]
        # Fires of several schedules interleave; judging them by one of them would invent missed runs.
        if len(active) == 1 and not deployment.get("paused") and _readable(active[0]):
            found[workflow.deployment_id] = active[0]
    return found


async def raise_alerts(
    store: Store,
    rules: Sequence[MonitoringRule],
    now: datetime,
    *,
    schedules: Mapping[str, JSONDict] | None = None,
) -> tuple[WorkflowAlert, ...]:
    """Judge the stored runs and return the alerts that are new or changed, stored and with their notices.

    1. build a series of each workflow, 2. detect anomalies, 3. evaluate the rules, 4. store each change,
    5. queue what people are told. Whoever stored an alert of the same fingerprint first wins.
    """
    histories: dict[str, tuple[RunRecord, ...]] = {}
    for workflow in await store.workflows():
        if workflow.last_at >= now - SILENT_FOR:
            histories[workflow_id(workflow)] = await _history(store, workflow)
    # Seconds of pure computing on a large server: the loop has other things to answer meanwhile.
    changed = await asyncio.to_thread(
        judge, histories, rules, await store.alerts(), now, schedules=schedules or {}
    )
    return await _publish(store, changed, now)


def judge(
    histories: Mapping[str, Sequence[RunRecord]],
    rules: Sequence[MonitoringRule],
    known: Sequence[WorkflowAlert],
    now: datetime,
    *,
    schedules: Mapping[str, JSONDict],
) -> list[WorkflowAlert]:
    """Return the alerts that are new or changed; ``histories`` and ``schedules`` are by workflow id."""
    series = [
        series_of(ident, runs, now, schedule=schedules.get(ident))
        for ident, runs in histories.items()
        if runs
    ]
    found = detect(series)
    changed: list[WorkflowAlert] = []
    for one in series:
        runs = histories[one.id]
        changed += alerts_of(one.id, one.deployment, found[one.id], known, runs, now)
        changed += evaluate(rules, metrics(one.id, runs, now), baselines(one.id, runs, now), known, now)
    return changed


async def names(store: Store) -> dict[str, tuple[str, str]]:
    """Return the names of flow and deployment ("" without one) of every workflow seen, by its id."""
    return {workflow_id(one): (one.flow_name, one.deployment_name or "") for one in await store.workflows()}


def workflow_id(workflow: Workflow) -> str:
    """Return what identifies a workflow: its deployment, or the flow where it runs without one."""
    return workflow.deployment_id or workflow.flow_name


def series_of(
    ident: str, runs: Sequence[RunRecord], now: datetime, *, schedule: JSONDict | None = None
) -> RunSeries:
    """Return stored runs as the history that ``detect`` reads; runs that never started are left out."""
    history = []
    for run in runs:
        began = run.start or (run.expected_start if run.state.type in TERMINAL_STATES else None)
        if began is None:
            continue
        lasted = run.duration_s
        if lasted is None and run.start is not None and run.end is not None:
            lasted = (run.end - run.start).total_seconds()
        history.append(
            HistoryRun(
                start=began,
                expected_start=run.expected_start,
                state=run.state.type,
                duration_s=None if run.state.type == "RUNNING" else lasted,
                version=run.deployment_version,
                retries=max(0, run.run_count - 1),
            )
        )
    last = runs[-1] if runs else None
    return RunSeries(
        id=ident,
        deployment=(last.deployment_name or last.flow_name) if last else "",
        work_pool=last.work_pool if last else None,
        schedule=schedule,
        now=now,
        runs=tuple(history),
    )


def _readable(schedule: JSONDict) -> bool:
    try:
        next_fire(schedule)
    except UsageError:
        return False  # Prefect knows cron forms that we do not; such a deployment is judged without schedule
    return True


def _ended(runs: Iterable[RunRecord]) -> int:
    return sum(run.state.type in TERMINAL_STATES for run in runs)


async def _history(store: Store, workflow: Workflow) -> tuple[RunRecord, ...]:
    runs = await store.runs(
        deployment_id=workflow.deployment_id, flow_name=workflow.flow_name, limit=HISTORY_RUNS
    )
    return tuple(run for run in runs if run.deployment_id == workflow.deployment_id)


async def _publish(
    store: Store, changed: Sequence[WorkflowAlert], now: datetime
) -> tuple[WorkflowAlert, ...]:
    stored = []
    for alert in changed:
        try:
            await store.save_alert(alert)
        except ConflictError:
            continue  # another watcher or flow raised the same alert first and tells it
        stored.append(alert)
    # What was only pending never became a concern: neither it nor its end is told.
    told = [alert for alert in stored if alert.status == "firing" or _was_firing(alert)]
    notices = [_notice(alert) for alert in told] if len(told) <= MOST_NOTICES else [_digest(told)]
    for notice in notices:
        await store.queue_notice(notice, now)
    return tuple(stored)


def _was_firing(alert: WorkflowAlert) -> bool:
    return alert.status == "resolved" and not (alert.resolution_notes or "").startswith(NOT_LASTING)


def _notice(alert: WorkflowAlert) -> Notice:
    over = alert.status == "resolved"
    return Notice(
        notice_id=_digest_of(f"{alert.alert_id}:{alert.status}"),
        outcome="info",
        title=f"{'Over: ' if over else ''}{alert.title}",
        text=(alert.resolution_notes or "") if over else alert.description,
        deployment_id=alert.workflow_id,
    )


def _digest(alerts: Sequence[WorkflowAlert]) -> Notice:
    marks = ",".join(sorted(f"{alert.alert_id}:{alert.status}" for alert in alerts))
    lines = [f"- {alert.severity.value}, {alert.status}: {alert.title}" for alert in alerts]
    return Notice(
        notice_id=_digest_of(marks),
        outcome="info",
        title=f"{len(alerts)} alerts changed",
        text="\n".join(lines),
    )


def _digest_of(mark: str) -> str:
    return hashlib.sha256(mark.encode()).hexdigest()[:32]
