"""Trends of a deployment's metrics, how sure they are, and when a limit would be met."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta

from prefect_autopilot.models import RunRecord, Trend
from prefect_autopilot.monitoring.measures import began, duration, in_order, lateness
from prefect_autopilot.monitoring.sample import seconds

DAY = 86_400.0
LEAST_RUNS = 12
SIGNIFICANT = 0.01
FARTHEST = timedelta(days=365)
MEASURES = {"duration_s": duration, "lateness_s": lateness}


def trends(runs: Iterable[RunRecord], limits: Mapping[str, float], now: datetime) -> tuple[Trend, ...]:
    """Return the linear trend of each metric with at least 12 runs.

    ``limits`` may hold ``duration_s`` (a timeout) and ``lateness_s``; ``eta`` is given where the slope is
    significant (p < 0.01, errors robust to autocorrelation after Newey and West 1987) and meets the limit
    within a year.
    """
    known = in_order(runs)
    found = []
    for metric, measure in MEASURES.items():
        points = [
            (at, value)
            for run in known
            if (at := began(run)) is not None and (value := measure(run)) is not None
        ]
        if len(points) >= LEAST_RUNS:
            found.append(trend(metric, points, limits.get(metric), now))
    return tuple(found)


def trend(metric: str, points: Sequence[tuple[datetime, float]], limit: float | None, now: datetime) -> Trend:
    """Return slope per day, its two-sided p and the moment at which the limit would be met."""
    import numpy as np
    import statsmodels.api as sm

    days = np.array([(seconds(at) - seconds(now)) / DAY for at, _ in points])
    values = np.array([value for _, value in points])
    if np.ptp(days) == 0 or np.ptp(values) == 0:
        return Trend(metric=metric, slope_per_day=0.0, p_value=1.0, n=len(points), limit=limit)
    lags = max(1, int(4 * (len(points) / 100) ** (2 / 9)))
    fit = sm.OLS(values, sm.add_constant(days)).fit(cov_type="HAC", cov_kwds={"maxlags": lags})
    level, slope = (float(value) for value in fit.params)
    p_value = float(fit.pvalues[1])
    eta = None
    if limit is not None and slope > 0 and p_value < SIGNIFICANT and level < limit:
        ahead = (limit - level) / slope
        eta = now + timedelta(days=ahead) if ahead <= FARTHEST.days else None
    return Trend(metric=metric, slope_per_day=slope, p_value=p_value, n=len(points), limit=limit, eta=eta)
