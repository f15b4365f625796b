"""Runs of many deployments in, anomalies out."""

from __future__ import annotations

from collections.abc import Sequence

from prefect_autopilot.models import Anomaly, RunSeries
from prefect_autopilot.monitoring.monitor import Monitor
from prefect_autopilot.monitoring.sample import seconds


def detect(series: Sequence[RunSeries]) -> dict[str, tuple[Anomaly, ...]]:
    """Return the anomalies of each series by its id; every one uses only what was known at its start."""
    monitors = {one.id: _watch(one) for one in series}
    return {
        ident: tuple(found.as_anomaly() for found in monitor.findings) for ident, monitor in monitors.items()
    }


def _watch(series: RunSeries) -> Monitor:
    monitor = Monitor(series)
    for run in sorted(series.runs, key=lambda run: seconds(run.start)):
        monitor.observe(run)
    if series.now is not None:
        monitor.wait(seconds(series.now))
    return monitor
