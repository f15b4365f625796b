"""What is known around a failed run: open alerts, what else failed just then, whether named services answer.

No call goes to Prefect for it. Each line can be cited like any other evidence.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from datetime import timedelta
from functools import partial

from prefect_autopilot.adapters.evidence import read_evidence
from prefect_autopilot.journeys.desk import Desk
from prefect_autopilot.journeys.probing import healthy, with_health_of_named
from prefect_autopilot.models import FAILURE_STATES, Evidence, EvidenceLine, RunRecord, WorkflowAlert

NEAR = timedelta(minutes=30)
"""Before the failure: what fails within this time may have one cause with it."""
MOST_ALERTS = 3
MOST_RUNS = 500
MOST_EARLIER = 100
MOST_SESSIONS = 50
FEWEST_ENDED = 3
"""Other runs that must have ended before their success says anything."""


async def read_around(desk: Desk, run: RunRecord) -> Evidence:
    """Return the evidence of a run with what the store knows around it, and whether named services answer."""
    read = await read_evidence(desk.api, run, now=desk.clock())
    evidence = await with_health_of_named(read, partial(healthy, desk))
    workflow = run.deployment_id or run.flow_name
    alerts = await desk.store.alerts(open_only=True, workflow_id=workflow, limit=MOST_ALERTS)
    since = run.state.timestamp - NEAR
    others = [
        one
        for one in await desk.store.runs(changed_since=since, limit=MOST_RUNS)
        if one.id != run.id and (one.deployment_id or one.flow_name) != workflow
    ]
    lines = (
        *map(_alert, alerts),
        *_neighbours(run, others),
        *await _looked_at(desk, run, workflow),
    )
    flow = None if run.deployment_id else run.flow_name
    earlier = await desk.store.runs(run.deployment_id, flow, limit=MOST_EARLIER)
    known = {"surroundings": (*evidence.surroundings, *lines), "compared": (*earlier, *others)}
    return evidence.model_copy(update=known)


def _alert(alert: WorkflowAlert) -> EvidenceLine:
    since = f"{alert.created_at:%Y-%m-%d %H:%M}"
    return EvidenceLine(
        text=f"{alert.title} ({alert.severity.value}), {alert.status} since {since} UTC",
        where=f"alert {alert.alert_id}",
    )


def _neighbours(run: RunRecord, others: list[RunRecord]) -> Iterator[EvidenceLine]:
    """Say what became of the runs of other workflows in the same time, and of those in the same pool."""
    ended = [one for one in others if one.state.type in {"COMPLETED", *FAILURE_STATES}]
    ended = [one for one in ended if one.state.timestamp <= run.state.timestamp + NEAR]
    failed = [one for one in ended if one.state.type in FAILURE_STATES]
    minutes = f"{NEAR.total_seconds() / 60:.0f} min"
    if failed:
        pooled = sum(one.work_pool == run.work_pool for one in failed) if run.work_pool else 0
        there = f", {pooled} of them in work pool {run.work_pool}" if pooled else ""
        text = f"{len(failed)} of {len(ended)} runs of other workflows failed within {minutes}{there}"
        yield EvidenceLine(text=text, where="neighbouring runs")
    elif len(ended) >= FEWEST_ENDED:
        text = f"none of {len(ended)} runs of other workflows failed within {minutes}: it is this one alone"
        yield EvidenceLine(text=text, where="neighbouring runs")


async def _looked_at(desk: Desk, run: RunRecord, workflow: str) -> list[EvidenceLine]:
    """Say of which services other workflows have had failures just then."""
    services: Counter[str] = Counter()
    for session in await desk.store.sessions(limit=MOST_SESSIONS):
        near = abs(session.start_time - run.state.timestamp) <= NEAR
        if near and session.workflow_id != workflow and session.diagnosis and session.diagnosis.service:
            services[session.diagnosis.service] += 1
    return [
        EvidenceLine(
            text=f"named by {count} other failure{'s' * (count > 1)} in the same time",
            where=f"service {service}",
        )
        for service, count in services.most_common(MOST_ALERTS)
    ]
