"""Runs unlike the others in several measures at once: ranked and explained, never a reason to page."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from statistics import median
from typing import TYPE_CHECKING

from prefect_autopilot.models import FAILURE_STATES, Anomaly, RunSeries, Severity
from prefect_autopilot.monitoring.sample import Finding, Sample, sample, seconds
from prefect_autopilot.monitoring.statistics import mad

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

LEAST_RUNS = 100
TREES = 100
THRESHOLD = 6.0
NAMES = ("duration", "failed", "lag", "retries", "rows", "memory", "pace")


def novelty(series: RunSeries, *, threshold: float = THRESHOLD) -> tuple[Anomaly, ...]:
    """Return the runs an Isolation Forest (Liu et al. 2008) finds novel, the most novel first, as info.

    The score is the robust z of the forest's score; below 100 runs there is no answer. The forest sees
    the whole history, so this explains the past and raises nothing.
    """
    ordered = sorted(series.runs, key=lambda run: seconds(run.start))
    runs = [sample(index, run) for index, run in enumerate(ordered)]
    if len(runs) < LEAST_RUNS:
        return ()
    import numpy as np

    table = np.array(_columns(runs)).T
    scores = _forest_scores(table)
    centre = float(np.median(scores))
    spread = max(1e-9, 1.4826 * float(np.median(np.abs(scores - centre))))
    z = (scores - centre) / spread
    found = [
        Finding(
            runs[i].start, runs[i].end, "novelty", Severity.INFO, float(z[i]), _explain(table, i)
        ).as_anomaly()
        for i in np.argsort(-z)
        if z[i] >= threshold
    ]
    return tuple(found)


def _forest_scores(table: NDArray[np.float64]) -> NDArray[np.float64]:
    from sklearn.ensemble import IsolationForest

    forest = IsolationForest(n_estimators=TREES, contamination="auto", random_state=0).fit(table)
    scores: NDArray[np.float64] = -forest.score_samples(table)
    return scores


def _columns(runs: Sequence[Sample]) -> list[list[float]]:
    """Return one robustly standardised column per name; what was not measured is usual."""
    pace = [0.0] + [math.log(max(1.0, b.start - a.start)) for a, b in pairwise(runs)]
    pace[0] = median(pace[1:])
    raw: list[list[float | None]] = [
        [None if run.duration is None else math.log(max(run.duration, 1e-3)) for run in runs],
        [float(run.state in FAILURE_STATES) for run in runs],
        [None if run.expected is None else math.log1p(max(0.0, run.start - run.expected)) for run in runs],
        [run.retries for run in runs],
        [None if run.rows is None else math.log1p(run.rows) for run in runs],
        [None if run.memory is None else math.log1p(run.memory) for run in runs],
        list(pace),
    ]
    return [_standardised(column) for column in raw]


def _standardised(column: Sequence[float | None]) -> list[float]:
    known = [value for value in column if value is not None]
    if not known:
        return [0.0] * len(column)
    centre, scale = median(known), max(mad(known), 0.05)
    return [0.0 if value is None else (value - centre) / scale for value in column]


def _explain(table: NDArray[np.float64], row: int) -> str:
    strongest = sorted(range(len(NAMES)), key=lambda column: -abs(table[row, column]))[:2]
    told = [f"{NAMES[c]} {table[row, c]:+.1f} sigma" for c in strongest if abs(table[row, c]) >= 1]
    return "unusual together: " + ", ".join(told) if told else "an unusual combination"
