"""Trends of a deployment's metrics, how sure they are, and when a limit would be met."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from functools import partial
from statistics import linear_regression, median

from prefect_autopilot.models import RunRecord, Trend
from prefect_autopilot.monitoring.measures import began, duration, in_order, lateness
from prefect_autopilot.monitoring.sample import seconds
from prefect_autopilot.monitoring.statistics import ONE_SIDED_95

DAY = 86_400.0
LEAST_RUNS = 12
SIGNIFICANT = 0.01
FARTHEST = timedelta(days=365)
MEASURES = {"duration_s": duration, "lateness_s": lateness}
MEMORY = "memory_mb"
"""Has a trend wherever runs tell it; what else they measure has one where it has a limit."""
CUTS = 10
LEAST_TESTS = 3


def trends(runs: Iterable[RunRecord], limits: Mapping[str, float], now: datetime) -> tuple[Trend, ...]:
    """Return the linear trend of each metric with at least 12 runs.

    Metrics are ``duration_s``, ``lateness_s``, ``memory_mb`` and what has a limit; ``eta`` is given where the
    slope is significant (p < 0.01, errors robust to autocorrelation after Newey and West 1987) and meets the
    limit within a year.
    """
    known = in_order(runs)
    measured = {name: partial(_measured, name) for name in (MEMORY, *sorted(limits)) if name not in MEASURES}
    wanted: dict[str, Callable[[RunRecord], float | None]] = {**MEASURES, **measured}
    found = []
    for metric, measure in wanted.items():
        points = [
            (at, value)
            for run in known
            if (at := began(run)) is not None and (value := measure(run)) is not None
        ]
        if len(points) >= LEAST_RUNS:
            found.append(trend(metric, points, limits.get(metric), now))
    return tuple(found)


def trend(metric: str, points: Sequence[tuple[datetime, float]], limit: float | None, now: datetime) -> Trend:
    """Return slope per day, its two-sided p, when the limit would be met, and the back-test."""
    import numpy as np
    import statsmodels.api as sm

    days = np.array([(seconds(at) - seconds(now)) / DAY for at, _ in points])
    values = np.array([value for _, value in points])
    if np.ptp(days) == 0 or np.ptp(values) == 0:
        return Trend(metric=metric, slope_per_day=0.0, p_value=1.0, n=len(points), limit=limit)
    lags = max(1, int(4 * (len(points) / 100) ** (2 / 9)))
    fit = sm.OLS(values, sm.add_constant(days)).fit(cov_type="HAC", cov_kwds={"maxlags": lags})
    level, slope = (float(value) for value in fit.params)
    missed = missed_by(list(days), list(values))
    found = Trend(
        metric=metric,
        slope_per_day=slope,
        p_value=float(fit.pvalues[1]),
        n=len(points),
        limit=limit,
        error=median(missed) if len(missed) >= LEAST_TESTS else None,
        tests=len(missed),
    )
    if limit is None or slope <= 0 or found.p_value >= SIGNIFICANT or level >= limit:
        return found
    ahead = (limit - level) / slope
    # Delta method: how uncertain level and slope are makes the time uncertain.
    spread = np.array([1.0, ahead]) @ fit.cov_params() @ np.array([1.0, ahead])
    either_way = ONE_SIDED_95 * math.sqrt(max(0.0, float(spread))) / slope
    if not ahead <= FARTHEST.days:
        return found
    times = (ahead, max(0.0, ahead - either_way), min(ahead + either_way, 10.0 * FARTHEST.days))
    eta, early, late = (now + timedelta(days=one) for one in times)
    return found.model_copy(update={"eta": eta, "eta_early": early, "eta_late": late})


def missed_by(days: Sequence[float], values: Sequence[float]) -> list[float]:
    """Return by what shares lines through older runs missed the level of the tenth of the runs after them.

    The runs are cut in ten; a line is drawn through the first five tenths, the first six, and so on.
    """
    missed = []
    for cut in range(CUTS // 2, CUTS):
        known, until = len(days) * cut // CUTS, len(days) * (cut + 1) // CUTS
        if known < LEAST_RUNS or until == known or days[0] == days[known - 1]:
            continue
        slope, level = linear_regression(days[:known], values[:known])
        real = median(values[known:until])
        if real > 0:
            missed.append(abs(level + slope * median(days[known:until]) - real) / real)
    return missed


def _measured(name: str, run: RunRecord) -> float | None:
    """Return what a completed run measured of itself under a name."""
    value = run.measures.get(name) if run.state.type == "COMPLETED" else None
    return value if value is not None and math.isfinite(value) else None
