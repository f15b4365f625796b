"""Prometheus metrics from the store: what a scrape shows is brought up to date here, and only here."""

from __future__ import annotations

from datetime import datetime, timedelta

from prefect_autopilot.journeys import observe
from prefect_autopilot.journeys.reading import GAP_FROM, GAP_TO
from prefect_autopilot.models.names import WATCHER_LOOKS
from prefect_autopilot.monitoring import FleetMetrics
from prefect_autopilot.store import Store

REFRESH_S = 15.0
FIRST_LOOK_BACK = timedelta(minutes=15)
OVERLAP = timedelta(minutes=1)
PAGE = 1_000


async def refresh(
    fleet: FleetMetrics,
    store: Store,
    now: datetime,
    since: datetime | None = None,
    book: observe.HealthBook | None = None,
) -> int:
    """Count the runs changed since ``since`` less an overlap, replace health and alerts; return the number.

    The same state of a run is counted once, however often it is read. What is read is bounded by what
    changed: runs come page by page, health from ``book`` where nothing changed.
    """
    begin = now - FIRST_LOOK_BACK if since is None else since - OVERLAP
    counted, after = 0, None
    while True:
        runs = await store.changed_runs(begin, after=after, limit=PAGE)
        for run in runs:
            fleet.observe(run)
        counted += len(runs)
        if len(runs) < PAGE:
            break
        after = runs[-1].state.timestamp, runs[-1].id
    workflows = await store.workflows()
    names = {observe.workflow_id(one): (one.flow_name, one.deployment_name or "") for one in workflows}
    fleet.set_names(names, sum(one.runs for one in workflows))
    fleet.set_health(await observe.assess(store, now, book))
    fleet.set_alerts(await store.alerts(open_only=True))
    low, high = await store.cursor(GAP_FROM), await store.cursor(GAP_TO)
    backlog = low is not None and high is not None and low < high
    fleet.set_tallies(await store.tallies(observe.READING), backlog=backlog)
    looked = await store.cursor(WATCHER_LOOKS)
    if looked is not None:
        fleet.set_last_poll(looked)
    return counted
