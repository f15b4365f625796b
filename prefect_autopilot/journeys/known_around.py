"""All that is known of a failed run: what Prefect tells, what is tied to it, what our own store knows.

What the store knows are open alerts, what else failed just then, and earlier runs with their measures. No
call goes to Prefect for it, and each line can be cited like any other evidence. All that reads counts its
calls on one budget.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial

from prefect_autopilot.adapters.call_budget import one_budget
from prefect_autopilot.adapters.evidence import read_evidence
from prefect_autopilot.adapters.prefect_api import PrefectAPI
from prefect_autopilot.journeys.desk import Desk
from prefect_autopilot.journeys.probing import Ask, healthy, with_health_of_named
from prefect_autopilot.journeys.ties import with_ties
from prefect_autopilot.models import (
    FAILURE_STATES,
    CommonKey,
    Diagnosis,
    Evidence,
    EvidenceLine,
    RunRecord,
    WorkflowAlert,
)
from prefect_autopilot.store import Store
from prefect_autopilot.troubleshooting import diagnose, with_what_is_shared

NEAR = timedelta(minutes=30)
"""Before the failure: what fails within this time may have one cause with it."""
MOST_ALERTS = 3
MOST_RUNS = 500
MOST_EARLIER = 100
MOST_SESSIONS = 50
FEWEST_ENDED = 3
"""Other runs that must have ended before their success says anything."""


@dataclass(frozen=True, slots=True)
class Onlooker:
    """Who looks at a failed run, and with what; without a store only Prefect tells."""

    api: PrefectAPI
    clock: Callable[[], datetime]
    ask: Ask
    store: Store | None = None


@dataclass(frozen=True, slots=True)
class Understood:
    """A failed run as it was read, what that says, and the evidence with what is tied to it and shared."""

    read: Evidence
    diagnosis: Diagnosis
    evidence: Evidence
    key: CommonKey | None


def onlooker(desk: Desk) -> Onlooker:
    """Return who looks from a desk."""
    return Onlooker(desk.api, desk.clock, partial(healthy, desk), desk.store)


async def understand(who: Onlooker, run: RunRecord | str) -> Understood:
    """Read a failed run, or the one of this id, and all around it and diagnose it.

    Raises ``UnknownNameError`` where it was deleted.
    The watcher and the command line both see a run by this.
    """
    with one_budget():
        read = await read_around(who, await who.api.run(run) if isinstance(run, str) else run)
        diagnosis = diagnose(read)
        tied = await with_ties(who.api, read, diagnosis)
    evidence, key = with_what_is_shared(tied, diagnosis)
    return Understood(read, diagnosis, evidence, key)


async def read_around(who: Onlooker, run: RunRecord) -> Evidence:
    """Return the evidence of a run with what the store knows around it, and whether named services answer."""
    read = await read_evidence(who.api, run, now=who.clock())
    evidence = await with_health_of_named(read, who.ask)
    return evidence if who.store is None else await _with_known(who.store, evidence)


async def _with_known(store: Store, evidence: Evidence) -> Evidence:
    run = evidence.run
    workflow = run.deployment_id or run.flow_name
    alerts = await store.alerts(open_only=True, workflow_id=workflow, limit=MOST_ALERTS)
    since = run.state.timestamp - NEAR
    others = [
        one
        for one in await store.runs(changed_since=since, limit=MOST_RUNS)
        if one.id != run.id and (one.deployment_id or one.flow_name) != workflow
    ]
    lines = (
        *map(_alert, alerts),
        *_neighbours(run, others),
        *await _looked_at(store, run, workflow),
    )
    flow = None if run.deployment_id else run.flow_name
    earlier = await store.runs(run.deployment_id, flow, limit=MOST_EARLIER)
    measured = next((one.measures for one in earlier if one.id == run.id), run.measures)
    known = {
        "run": run.model_copy(update={"measures": measured}),
        "surroundings": (*evidence.surroundings, *lines),
        "compared": (*earlier, *others),
    }
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


async def _looked_at(store: Store, run: RunRecord, workflow: str) -> list[EvidenceLine]:
    """Say of which services other workflows have had failures just then."""
    services: Counter[str] = Counter()
    for session in await store.sessions(limit=MOST_SESSIONS):
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
