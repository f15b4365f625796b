"""Runs of many deployments in, anomalies out."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from prefect_autopilot.models import Anomaly, RunSeries
from prefect_autopilot.monitoring.monitor import Monitor
from prefect_autopilot.monitoring.pools import LEAST_DEPLOYMENTS, Lean, together
from prefect_autopilot.monitoring.sample import seconds


def detect(series: Sequence[RunSeries]) -> dict[str, tuple[Anomaly, ...]]:
    """Return the anomalies of each series by its id; every one uses only what was known at its start.

    Series of one work pool are judged together as well: a slowdown too mild to tell in one deployment
    is told when most of the pool's deployments show it.
    """
    pools: dict[str, list[RunSeries]] = defaultdict(list)
    for one in series:
        pools[one.work_pool or one.id].append(one)
    monitors: dict[str, Monitor] = {}
    for members in pools.values():
        shared = len(members) >= LEAST_DEPLOYMENTS
        leans: list[Lean] = []
        for one in members:
            monitors[one.id] = _watch(one, leans if shared else None)
        for ident, found in together(leans):
            monitors[ident].tell(found)
    return {one.id: tuple(found.as_anomaly() for found in monitors[one.id].findings) for one in series}


def _watch(series: RunSeries, leans: list[Lean] | None) -> Monitor:
    monitor = Monitor(series)
    for run in sorted(series.runs, key=lambda run: seconds(run.start)):
        monitor.observe(run)
        if leans is not None and run.state == "COMPLETED":
            leans.append(Lean(seconds(run.start), series.id, *monitor.duration.lean()))
    if series.now is not None:
        monitor.wait(seconds(series.now))
    return monitor
