"""Prometheus metrics from the store, for a process that does not watch itself."""

from __future__ import annotations

from datetime import datetime, timedelta

from prefect_autopilot.journeys import observe
from prefect_autopilot.monitoring import FleetMetrics
from prefect_autopilot.store import Store

REFRESH_S = 15.0
FIRST_LOOK_BACK = timedelta(minutes=15)
OVERLAP = timedelta(minutes=1)
MOST_RUNS = 10_000


async def refresh(fleet: FleetMetrics, store: Store, now: datetime, since: datetime | None = None) -> int:
    """Count the runs changed since ``since`` less an overlap, replace health and alerts; return the number.

    The same state of a run is counted once, however often it is read.
    """
    begin = now - FIRST_LOOK_BACK if since is None else since - OVERLAP
    runs = await store.runs(changed_since=begin, limit=MOST_RUNS)
    for run in runs:
        fleet.observe(run)
    fleet.set_names(await observe.names(store))
    fleet.set_health(await observe.assess(store, now))
    fleet.set_alerts(await store.alerts(open_only=True))
    return len(runs)
