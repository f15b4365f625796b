"""What was measured of one deployment: the metrics that rules, health and the status page read."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from statistics import fmean, median

from prefect_autopilot.models import FAILURE_STATES, TERMINAL_STATES, RunRecord, WorkflowMetric
from prefect_autopilot.models.runs import MEASURE_NAME
from prefect_autopilot.monitoring.statistics import percentile

RECENT_RUNS = 50
THROUGHPUT_WINDOW = timedelta(hours=24)
UNITS = {
    "response_time": "s",
    "response_time_p95": "s",
    "error_rate": "ratio",
    "completion_rate": "ratio",
    "throughput": "runs/h",
    "retries": "retries/run",
    "lateness": "s",
    "running": "runs",
}
"""Names of the metrics and their units."""
MEASURE = "measure."
"""How the metrics are named that runs measure of themselves: ``measure.rows``."""
MOMENTARY = frozenset({"throughput", "running"})
"""Metrics of now that a block of old runs does not have."""


def is_metric(name: object) -> bool:
    """Tell whether a rule may name this metric; which measures runs have, only they know."""
    if not isinstance(name, str):
        return False
    return name in UNITS or (
        name.startswith(MEASURE) and bool(re.fullmatch(MEASURE_NAME, name[len(MEASURE) :]))
    )


def in_order(runs: Iterable[RunRecord]) -> list[RunRecord]:
    """Return each run once, by the time it began (or should have), without those that never will."""
    newest: dict[str, RunRecord] = {run.id: run for run in runs}
    timed = [(began(run), run.id, run) for run in newest.values() if began(run) is not None]
    return [run for _, _, run in sorted(timed, key=lambda entry: entry[:2])]


def began(run: RunRecord) -> datetime | None:
    """Return when the run began; a crashed run may have no start of its own."""
    return run.start or run.expected_start or run.created


def finished(runs: Iterable[RunRecord]) -> list[RunRecord]:
    """Return the runs that succeeded or failed; a cancelled run is neither."""
    return [run for run in in_order(runs) if run.state.type in TERMINAL_STATES - {"CANCELLED"}]


def duration(run: RunRecord) -> float | None:
    """Return the seconds a completed run took, None when unknown or impossible."""
    if run.state.type != "COMPLETED":
        return None
    known = run.duration_s
    if known is None and run.start is not None and run.end is not None:
        known = (run.end - run.start).total_seconds()
    return known if known is not None and math.isfinite(known) and known >= 0 else None


def lateness(run: RunRecord) -> float | None:
    """Return the seconds between expected and real start, never below zero."""
    if run.start is None or run.expected_start is None:
        return None
    return max(0.0, (run.start - run.expected_start).total_seconds())


def metrics(workflow_id: str, runs: Iterable[RunRecord], now: datetime) -> tuple[WorkflowMetric, ...]:
    """Return the metrics of the newest 50 finished runs; what cannot be measured is left out."""
    known = list(runs)
    done = finished(known)[-RECENT_RUNS:]
    values: dict[str, float] = {}
    took = [seconds for run in done if (seconds := duration(run)) is not None]
    if took:
        values["response_time"] = median(took)
        values["response_time_p95"] = percentile(took, 0.95)
    if done:
        failed = sum(run.state.type in FAILURE_STATES for run in done)
        values["error_rate"] = failed / len(done)
        values["completion_rate"] = 1 - failed / len(done)
        values["retries"] = fmean(max(0, run.run_count - 1) for run in done)
        values["throughput"] = _throughput(finished(known), now)
    if lags := [lag for run in done if (lag := lateness(run)) is not None]:
        values["lateness"] = median(lags)
    if known:
        values["running"] = sum(run.state.type == "RUNNING" for run in in_order(known))
    values |= {f"{MEASURE}{name}": value for name, value in _newest(done).items()}
    tags = {"workflow_id": workflow_id, "runs": str(len(done)), "workflow": _name(known)}
    return tuple(
        WorkflowMetric(name=name, value=value, unit=UNITS.get(name, ""), tags=tags, timestamp=now)
        for name, value in values.items()
    )


def _name(runs: Sequence[RunRecord]) -> str:
    """Return what people call a workflow, as Prefect writes it: flow/deployment."""
    if not runs:
        return ""
    return "/".join(name for name in (runs[-1].flow_name, runs[-1].deployment_name) if name)


def baselines(
    workflow_id: str, runs: Iterable[RunRecord], now: datetime
) -> dict[tuple[str, str], list[float]]:
    """Return the metrics of the blocks of 50 finished runs before the newest 50, oldest first.

    Of what runs measure of themselves these are the values of the runs before the newest one.
    """
    every = finished(runs)
    done = every[:-RECENT_RUNS]
    first = len(done) % RECENT_RUNS if len(done) > RECENT_RUNS else 0
    found = {(workflow_id, f"{MEASURE}{name}"): values for name, values in _earlier(every).items()}
    for start in range(first, len(done), RECENT_RUNS):
        for metric in metrics(workflow_id, done[start : start + RECENT_RUNS], now):
            if metric.name not in MOMENTARY and not metric.name.startswith(MEASURE):
                found.setdefault((workflow_id, metric.name), []).append(metric.value)
    return found


def _newest(done: Iterable[RunRecord]) -> dict[str, float]:
    """Return the newest value of each measure of completed runs."""
    found: dict[str, float] = {}
    for run in done:
        if run.state.type == "COMPLETED":
            found |= {name: value for name, value in run.measures.items() if math.isfinite(value)}
    return found


def _earlier(done: Iterable[RunRecord]) -> dict[str, list[float]]:
    """Return the values of each measure of completed runs before the newest one, oldest first."""
    found: dict[str, list[float]] = {}
    for run in done:
        if run.state.type == "COMPLETED":
            for name, value in run.measures.items():
                found.setdefault(name, []).append(value)
    return {name: values[:-1] for name, values in found.items()}


def outcomes(runs: Iterable[RunRecord]) -> list[float]:
    """Return 1 for each finished run that failed and 0 for each that succeeded, oldest first."""
    return [float(run.state.type in FAILURE_STATES) for run in finished(runs)]


def _throughput(done: Sequence[RunRecord], now: datetime) -> float:
    since = now - THROUGHPUT_WINDOW
    count = sum(since < at <= now for run in done if (at := began(run)) is not None)
    return count / (THROUGHPUT_WINDOW.total_seconds() / 3600)
