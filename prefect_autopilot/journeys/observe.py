"""Runs → alert: read what changed, judge it, tell what is new; one re-entrant pass for flow and watcher."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from prefect_autopilot.adapters.measures import Asks, Measured, measures_since
from prefect_autopilot.errors import ConflictError
from prefect_autopilot.journeys.alerting import tell_people
from prefect_autopilot.journeys.deployed import Deployed
from prefect_autopilot.journeys.judging import (
    HISTORY_RUNS,
    Case,
    history,
    is_due,
    judge,
    read_case,
    rules_for,
    series_of,
    settings_of,
    workflow_id,
)
from prefect_autopilot.journeys.reading import CURSOR, FIRST_LOOK, OVERLAP_S, ReadsRuns, read_runs
from prefect_autopilot.models import (
    AlertPolicy,
    HealthScore,
    MonitoringRule,
    WorkflowAlert,
)
from prefect_autopilot.monitoring import health
from prefect_autopilot.store import Store, Workflow

__all__ = [
    "CURSOR",
    "FIRST_LOOK",
    "HISTORY_RUNS",
    "HealthBook",
    "assess",
    "ingest",
    "measure",
    "names",
    "raise_alerts",
    "series_of",
    "workflow_id",
]

MEASURED = "observed-measures"
READING = "reading"
"""Whose tallies say what was read and what was odd about it."""
FIRST_MEASURES = timedelta(days=7)
"""Prefect itself forgets events after so long."""
HEALTH_RUNS = 220
"""As far as any component of health looks back, and some that are under way."""
HEALTH_HOLDS = timedelta(minutes=10)
AT_ONCE = 50
"""Workflows whose runs are held in memory at the same time."""
SILENT_FOR = timedelta(days=14)
"""A workflow that has not run for so long is left alone."""
REMEMBERED = timedelta(days=30)
"""Resolved alerts older than this no longer matter to what is told."""
POLICY = AlertPolicy()


async def ingest(api: ReadsRuns, store: Store, now: datetime) -> int:
    """Read what changed since the last time into the store and return how many runs were new or newer."""
    found = await read_runs(api, store, now)
    await store.add_tallies(READING, +found.odd | {"runs_read": found.written}, now)
    return found.written


async def measure(api: Asks, store: Store, now: datetime) -> Measured:
    """Read what runs measured since the last time into the store and return what was read.

    As ``ingest`` the cursor is the latest moment told, never our clock, and moves only after the store has
    the measures; reading them again writes nothing twice.
    """
    known = await store.cursor(MEASURED)
    since = (known or now - FIRST_MEASURES) - timedelta(seconds=OVERLAP_S)
    found = await measures_since(api, since, now)
    await store.keep_measures(found.measures)
    await store.add_tallies(READING, {"unusable_measure": found.unusable}, now)
    newest = max((one.at for one in found.measures if one.at <= now), default=None)
    if newest is not None and (known is None or newest > known):
        await store.set_cursor(MEASURED, newest)
    return found


@dataclass
class HealthBook:
    """Health that was worked out before, by workflow, so that a pass reads only what may have changed it."""

    known: dict[str, tuple[tuple[datetime, int], datetime, HealthScore]] = field(default_factory=dict)
    holds: timedelta = HEALTH_HOLDS

    def still_holds(self, workflow: Workflow, now: datetime) -> HealthScore | None:
        """Return the health of a workflow in which nothing changed; None where it is to be worked out."""
        mark, at, score = self.known.get(workflow_id(workflow), (None, now, None))
        fresh = mark == (workflow.changed_at, workflow.runs) and now - at < self.holds
        return score if fresh else None

    def keep(self, workflow: Workflow, score: HealthScore, now: datetime) -> None:
        """Remember a health."""
        self.known[workflow_id(workflow)] = ((workflow.changed_at, workflow.runs), now, score)


async def assess(store: Store, now: datetime, book: HealthBook | None = None) -> list[HealthScore]:
    """Return the health of every workflow seen, the worst first; unknown ones last.

    With a ``book`` only workflows with a change are worked out, and all of them every ten minutes: some of
    what makes health is the time that passes.
    """
    scores = []
    for workflow in await store.workflows():
        score = book.still_holds(workflow, now) if book is not None else None
        if score is None:
            score = health(workflow_id(workflow), await history(store, workflow, HEALTH_RUNS), now)
            if book is not None:
                book.keep(workflow, score, now)
        scores.append(score)
    return sorted(scores, key=lambda score: (score.score is None, score.score or 0.0, score.workflow_id))


async def raise_alerts(
    store: Store,
    rules: Sequence[MonitoringRule],
    now: datetime,
    *,
    deployed: Deployed | None = None,
    policy: AlertPolicy = POLICY,
) -> tuple[WorkflowAlert, ...]:
    """Judge the stored runs and return the alerts that are new or changed, stored and with their notices.

    1. find the workflows in which something changed or is due, 2. let their monitors go on, 3. evaluate the
    rules, 4. store each change, 5. queue what people are told. Whoever stored an alert of the same
    fingerprint first wins.
    """
    deployed = deployed or Deployed()
    schedules = deployed.schedules
    known = await store.alerts(since=now - REMEMBERED)
    concerned = {alert.workflow_id for alert in known if alert.status != "resolved"}
    marks = await store.monitor_marks()
    due = []
    for workflow in await store.workflows():
        ident = workflow_id(workflow)
        applying = rules_for(ident, rules)
        settings = settings_of(schedules.get(ident), applying)
        is_concern = ident in concerned or is_due(workflow, marks.get(ident), settings, now)
        if workflow.last_at >= now - SILENT_FOR and is_concern:
            due.append((workflow, applying))
    # Deployments of one work pool are judged together as far as possible.
    pools = {ident: mark.work_pool or "" for ident, mark in marks.items()}
    due.sort(key=lambda entry: (pools.get(workflow_id(entry[0]), ""), workflow_id(entry[0])))
    changed: list[WorkflowAlert] = []
    for first in range(0, len(due), AT_ONCE):
        cases = [
            await read_case(
                store,
                workflow,
                applying,
                schedules.get(workflow_id(workflow)),
                deployed.updates.get(workflow_id(workflow)),
            )
            for workflow, applying in due[first : first + AT_ONCE]
        ]
        changed += await _judge(store, cases, known, now)
    stored = await _publish(store, changed)
    standing = {alert.alert_id: alert for alert in (*known, *stored)}
    groups = await tell_people(
        store, tuple(standing.values()), now, upstreams=deployed.upstreams, policy=policy
    )
    return (*stored, *groups)


async def _judge(
    store: Store, cases: Sequence[Case], known: Sequence[WorkflowAlert], now: datetime
) -> list[WorkflowAlert]:
    """Judge some workflows and keep where their monitors go on; unusable states are built anew."""
    pools = {run.work_pool for case in cases for run in case.runs[-1:] if run.work_pool}
    peers = await store.pool_leans(pools) if pools else {}
    # Seconds of pure computing on a large server: the loop has other things to answer meanwhile.
    changed, kept, unusable = await asyncio.to_thread(judge, cases, peers, known, now)
    if kept:
        await store.keep_monitors(kept)
    if unusable:
        again = [
            await read_case(store, case.workflow, case.rules, case.schedule, case.update, anew=True)
            for case in unusable
        ]
        changed += await _judge(store, again, known, now)
    return changed


async def names(store: Store) -> dict[str, tuple[str, str]]:
    """Return the names of flow and deployment ("" without one) of every workflow seen, by its id."""
    return {workflow_id(one): (one.flow_name, one.deployment_name or "") for one in await store.workflows()}


async def _publish(store: Store, changed: Sequence[WorkflowAlert]) -> tuple[WorkflowAlert, ...]:
    stored = []
    for alert in changed:
        try:
            await store.save_alert(alert)
        except ConflictError:
            continue  # another watcher or flow raised the same alert first and tells it
        stored.append(alert)
    return tuple(stored)
