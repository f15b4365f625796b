"""Health of one deployment: worst component first, then one number from its own baselines."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from itertools import pairwise
from statistics import median
from typing import Literal

from prefect_autopilot.models import FAILURE_STATES, Deduction, HealthScore, RunRecord
from prefect_autopilot.monitoring.measures import RECENT_RUNS, began, duration, finished, in_order, lateness
from prefect_autopilot.monitoring.statistics import mad, percentile, wilson_lower

LEAST_RUNS = 5
LEARNED_RUNS = 30
"""From so many runs on every channel judges; before, less is told."""
HEALTHY, DEGRADED = 80.0, 50.0
OTHERS_COUNT = 0.25
"""How much the deductions behind the worst one weigh."""
TOLERATED_SHORTFALL = 0.1
NEWEST = 10
BASELINE_RUNS = 200
SLOWER = 1.25
LATE_SECONDS = 60.0
STALE_GAPS = 3.0
STALE_SECONDS = 3600.0

Component = Callable[[Sequence[RunRecord], Sequence[RunRecord], datetime], Deduction | None]


def health(workflow_id: str, runs: Iterable[RunRecord], now: datetime) -> HealthScore:
    """Return the health of a deployment: 100 minus the worst deduction and a quarter of the others.

    Below five finished runs the answer is unknown. Every deduction is listed, the worst first.
    """
    known = in_order(runs)
    done = finished(known)
    if len(done) < LEAST_RUNS:
        return HealthScore(
            workflow_id=workflow_id,
            status="unknown",
            runs=len(done),
            reason=f"{len(done)} finished runs are too few to judge; {LEAST_RUNS} are needed;"
            f" learning ({len(done)}/{LEARNED_RUNS}).",
            last_updated=now,
        )
    found = [deduction for component in COMPONENTS if (deduction := component(known, done, now)) is not None]
    found.sort(key=lambda deduction: -deduction.points)
    lost = sum(deduction.points * (OTHERS_COUNT if place else 1.0) for place, deduction in enumerate(found))
    score = round(max(0.0, 100.0 - lost), 1)
    return HealthScore(
        workflow_id=workflow_id,
        status=_status(score),
        score=score,
        runs=len(done),
        deductions=tuple(found),
        reason=_reason(found, len(done)),
        last_updated=now,
    )


def _reason(found: Sequence[Deduction], runs: int) -> str:
    told = found[0].reason if found else f"Nothing to object to in {min(runs, RECENT_RUNS)} runs."
    return told if runs >= LEARNED_RUNS else f"{told} Learning ({runs}/{LEARNED_RUNS})."


def _status(score: float) -> Literal["healthy", "degraded", "unhealthy"]:
    if score >= HEALTHY:
        return "healthy"
    return "degraded" if score >= DEGRADED else "unhealthy"


def _deduct(component: str, points: float, reason: str) -> Deduction | None:
    return (
        Deduction(component=component, points=round(min(100.0, points), 1), reason=reason)
        if points >= 1
        else None
    )


def _reliability(_: Sequence[RunRecord], done: Sequence[RunRecord], __: datetime) -> Deduction | None:
    recent = done[-RECENT_RUNS:]
    failed = sum(run.state.type in FAILURE_STATES for run in recent)
    # A perfect record of the same length is the measure: few runs are no reason for a deduction.
    shortfall = 1 - wilson_lower(len(recent) - failed, len(recent)) / wilson_lower(len(recent), len(recent))
    reason = f"{failed} of the last {len(recent)} runs failed."
    row = 0
    while row < len(done) and done[-1 - row].state.type in FAILURE_STATES:
        row += 1
    in_a_row = 15.0 * row if row > 1 else 0.0
    return _deduct("reliability", max(150 * max(0.0, shortfall - TOLERATED_SHORTFALL), in_a_row), reason)


def _timeliness(_: Sequence[RunRecord], done: Sequence[RunRecord], __: datetime) -> Deduction | None:
    lags = [lag for run in done[-BASELINE_RUNS:] if (lag := lateness(run)) is not None]
    if len(lags) < LEAST_RUNS:
        return None
    newest = lags[-NEWEST:]
    usual = lags[:-NEWEST] or newest
    allowed = max(LATE_SECONDS, median(usual) + 8 * mad(usual))
    late = sum(lag > allowed for lag in newest)
    points = 60 * late / len(newest) if late > 1 else 0.0
    return _deduct("timeliness", points, f"{late} of the last {len(newest)} runs started late.")


def _performance(_: Sequence[RunRecord], done: Sequence[RunRecord], __: datetime) -> Deduction | None:
    logs = [math.log(max(s, 1e-3)) for run in done if (s := duration(run)) is not None]
    newest, usual = logs[-NEWEST:], logs[-BASELINE_RUNS:-NEWEST]
    if len(usual) < NEWEST:
        return None
    slower = median(newest) - median(usual)
    # 1.25 sigma/sqrt(n) is the standard error of a median of normal values.
    if slower < max(math.log(SLOWER), 3 * 1.25 * mad(usual) / math.sqrt(len(newest))):
        return None
    reason = f"The last {len(newest)} runs took {math.exp(slower):.2f} times as long as before."
    return _deduct("performance", 60 * slower / math.log(2), reason)


def _stability(known: Sequence[RunRecord], done: Sequence[RunRecord], now: datetime) -> Deduction | None:
    recent = done[-RECENT_RUNS:]
    retried = sum(run.run_count > 1 for run in recent)
    took = [s for run in done[-BASELINE_RUNS:] if (s := duration(run)) is not None]
    elapsed = [
        (now - run.start).total_seconds()
        for run in known
        if run.state.type == "RUNNING" and run.start is not None
    ]
    if took and elapsed and max(elapsed) > max(LATE_SECONDS, 4 * median(took), 1.5 * max(took)):
        reason = f"A run has been running for {max(elapsed):.0f} s, usual are {median(took):.0f} s."
        return _deduct("stability", 50.0, reason)
    reason = f"{retried} of the last {len(recent)} runs needed a retry."
    return _deduct("stability", 60 * max(0.0, retried / len(recent) - TOLERATED_SHORTFALL), reason)


def _freshness(known: Sequence[RunRecord], _: Sequence[RunRecord], now: datetime) -> Deduction | None:
    starts = [at for run in known[-BASELINE_RUNS:] if (at := began(run)) is not None and at <= now]
    gaps = [(later - earlier).total_seconds() for earlier, later in pairwise(starts)]
    if not gaps or known[-1].state.type == "RUNNING":
        return None
    silent = (now - starts[-1]).total_seconds()
    usual = percentile(gaps, 0.95)
    if silent <= max(STALE_SECONDS, STALE_GAPS * usual):
        return None
    reason = f"No run for {silent / 3600:.1f} h, usual are {usual / 3600:.1f} h at most."
    return _deduct("freshness", min(70.0, 20 * math.log2(silent / max(usual, 60.0))), reason)


COMPONENTS: tuple[Component, ...] = (_reliability, _timeliness, _performance, _stability, _freshness)
