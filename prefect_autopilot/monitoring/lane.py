"""The residuals of one expectation of the log duration: spikes and changes of level."""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass
from statistics import NormalDist

from prefect_autopilot.monitoring.season import Expectation
from prefect_autopilot.monitoring.windows import SortedWindow

NORMAL = NormalDist()
BASE_RUNS = 60
TAIL_RUNS = 300
TAIL_FROM = 40
COLD_RUNS = 8
LEAST_SPIKE = math.log(1.7)
COLD_OF_LONGEST = math.log(3.0)
COLD_OF_MEDIAN = math.log(3.3)
COLD_SIGMAS = 3.43
"""Standard scores of a chance of 3 in 10,000."""
CLIP = 2.5
REFERENCE_RUNS = 300
REFERENCE_LAG = 40
REFERENCE_FROM = 20
SHIFT_FROM = 60
MEAN_LAG = 40
EARLY = 1.8
STRETCH = 2.1
LEAST_SIGMAS = 3.2
CLEAR_SIGMAS = 7.5
CLEAR_SPIKE = math.log(2.5)
"""What is so many times the usual is clear without being so many sigmas away as well."""
MOST_EXCESSES = 9.0
REGULAR_SPREAD = 0.25
HEAVIER = 1.3
MORE_ERRORS = 0.2
"""Share by which a new level of the most scattered durations must be clearer."""
SCATTERED = 1.5
"""Durations that need so much wider a limit have extremes of their own: each is remembered as it is."""
CROWD = 3
CROWD_RUNS = 100
YOUNG_RUNS = 60
"""Until then nobody can tell an incident from a second mode (a cache that misses): slow runs set the bar."""
APART = 3
REST_RUNS = 45
LEAN_RUNS = 10
LEAN_HOLD = 25
ERROR_CLIP = 1.0
ERROR_MEMORY = 0.01


@dataclass(frozen=True, slots=True)
class Window:
    """How a change of level is looked for: runs, standard errors, least change of the log duration."""

    runs: int
    errors: float
    least: float


SHIFT = (Window(8, 5.2, 0.25), Window(16, 5.2, 0.22))
"""Durations of many deployments are slow for some runs now and then: a short window needs more evidence."""
DRIFT = Window(32, 4.8, 0.17)
REGRESSION = Window(6, 3.5, 0.15)
REGRESSION_UNTIL = 60


@dataclass(frozen=True, slots=True)
class Change:
    """A new level: by how much the log duration changed, over how many runs, in standard errors."""

    amount: float
    runs: int
    errors: float
    window: Window


class LaggedMeans:
    """The usual spread of a window's mean score, not yet touched by the newest runs."""

    def __init__(self) -> None:
        self._waiting: deque[float] = deque(maxlen=MEAN_LAG)
        self._known = SortedWindow(TAIL_RUNS)

    def push(self, mean: float) -> None:
        """Add a mean; it counts after ``MEAN_LAG`` runs."""
        if len(self._waiting) == MEAN_LAG:
            self._known.push(self._waiting[0])
        self._waiting.append(mean)

    def sigma(self, runs: int) -> float:
        """Return the standard error of a mean of ``runs`` scores, at least that of independent ones.

        Only the lower half is looked at: a rise in the history must not hide the next one.
        """
        independent = 1 / math.sqrt(runs)
        if len(self._known) < TAIL_FROM:
            return EARLY * independent
        return max(independent, self._known.median() - self._known.quantile(0.16))


class Lane:
    """Residuals of one expectation; values are winsorised at the spike limit before they are kept."""

    def __init__(self, expectation: Expectation) -> None:
        self.expectation = expectation
        self.error = 0.0
        self.seen = 0
        self._base = SortedWindow(BASE_RUNS)
        self._tail = SortedWindow(TAIL_RUNS)
        self._reference = SortedWindow(REFERENCE_RUNS)
        self._recent: deque[float] = deque(maxlen=REGRESSION_UNTIL + REFERENCE_LAG)
        self._scores: deque[float] = deque(maxlen=REGRESSION_UNTIL + 1)
        self._means = {window.runs: LaggedMeans() for window in (*SHIFT, DRIFT)}
        self._spikes: deque[int] = deque(maxlen=CROWD)
        self._level = 0.0
        self._settled = (0.0, 0.0)
        self._settled_at = -LEAN_HOLD
        self._before: float | None = None
        self._since_version = 0

    @property
    def centre(self) -> float:
        """Median of the newest values, 0 before the first."""
        return self._base.median() if len(self._base) else 0.0

    def excess(self, value: float) -> float:
        """Return how far a value lies above the usual."""
        return value - self._level - self.centre

    def limit(self) -> float:
        """Return the excess above which a run is a spike; infinite before the ninth run.

        Before 40 runs three times the longest, more where they scatter. Then as far beyond the longest as the
        tail reaches beyond its 90th percentile, at most nine mean excesses and at least 3.2 sigma: light
        tails give a tight limit, heavy ones a wide one.
        """
        tail = self._tail
        if len(tail) < COLD_RUNS:
            return math.inf
        if len(tail) < TAIL_FROM:
            beyond = COLD_OF_LONGEST * self._width()
            return max(COLD_OF_MEDIAN, tail.ordered[-1] + beyond, self._prediction_limit())
        foot = tail.quantile(0.9)
        reach = self._width() * min(
            STRETCH * (tail.ordered[-1] - foot), MOST_EXCESSES * tail.mean_excess(0.9)
        )
        clear = min(CLEAR_SPIKE, CLEAR_SIGMAS * tail.spread())
        return max(LEAST_SPIKE, clear, LEAST_SIGMAS * tail.spread(), foot + reach)

    def _width(self) -> float:
        """Return by how much the limit of scattering durations is wider than that of regular ones."""
        scattered = max(0.0, self._tail.spread() - REGULAR_SPREAD) / REGULAR_SPREAD
        return 1 + HEAVIER * min(1.0, scattered)

    def _prediction_limit(self) -> float:
        """Return the one-sided prediction limit for the next of few normal values.

        The quantile of Student's t is that of the normal distribution with the first term of its expansion
        (Fisher and Cornish 1960).
        """
        values = self._tail.ordered
        runs = len(values)
        mean = sum(values) / runs
        sigma = math.sqrt(sum((value - mean) ** 2 for value in values) / (runs - 1))
        quantile = COLD_SIGMAS * (1 + (COLD_SIGMAS**2 + 1) / (4 * (runs - 1)))
        return mean + quantile * sigma * math.sqrt(1 + 1 / runs)

    def version_changed(self) -> None:
        """Remember the level before a new version: what follows is compared with it."""
        if len(self._base) >= TAIL_FROM:
            self._before = self._base.median()
            self._since_version = 0

    def learn(self, value: float, excess: float, limit: float) -> None:
        """Add a value to the history, with the excess and the limit it was judged by."""
        kept = value - self._level
        if excess > limit:
            kept -= excess - self._tolerated(excess, limit)
        rate = max(ERROR_MEMORY, 1 / (self.seen + 1))
        self.error += rate * (min(abs(excess), ERROR_CLIP) - self.error)
        self.seen += 1
        if len(self._base):
            self._tail.push(kept - (value - self._level - excess))
        self._base.push(kept)
        if len(self._recent) >= REFERENCE_LAG:
            self._reference.push(self._recent[-REFERENCE_LAG])
        self._recent.append(kept)
        if len(self._reference) >= REFERENCE_FROM:
            score = NORMAL.inv_cdf(self._reference.rank(kept))
            self._scores.append(max(-CLIP, min(CLIP, score)))
        if self._before is not None:
            self._since_version += 1

    def _tolerated(self, excess: float, limit: float) -> float:
        """Return as what a spike is remembered: an incident hardly, a frequent visitor as it is."""
        if not self._spikes or self.seen - self._spikes[-1] > APART:
            self._spikes.append(self.seen)
        lately = sum(self.seen - then < CROWD_RUNS for then in self._spikes)
        if lately >= CROWD or self.seen < YOUNG_RUNS or self._width() >= SCATTERED:
            return excess
        return limit if lately == CROWD - 1 else self._tail.ordered[-1]

    def change(self) -> Change | None:
        """Return the change of level that the newest values show, None without one."""
        if self.seen < SHIFT_FROM:
            return None
        scores = list(self._scores)
        found = self._since_release(scores)
        usual = self._reference.median()
        for window in (*SHIFT, DRIFT):
            found = found or self._judge(window, window.runs, scores, usual)
        return found

    def _since_release(self, scores: list[float]) -> Change | None:
        """Compare the runs of a new version with those before: a known cause needs less evidence."""
        if self._before is None or self._since_version < REGRESSION.runs:
            return None
        if self._since_version > REGRESSION_UNTIL:
            self._before = None
            return None
        return self._judge(REGRESSION, self._since_version, scores, self._before)

    def lean(self) -> tuple[float, float]:
        """Return by how many standard errors, and how far, the newest runs lean to slower ones.

        A change that was settled a short while ago still counts.
        """
        if self.seen - self._settled_at < LEAN_HOLD:
            return self._settled
        scores = list(self._scores)[-LEAN_RUNS:]
        if len(scores) < LEAN_RUNS:
            return 0.0, 0.0
        errors = sum(scores) / math.sqrt(LEAN_RUNS)
        if errors <= 0:
            return errors, 0.0
        return errors, sorted(list(self._recent)[-LEAN_RUNS:])[LEAN_RUNS // 2] - self._reference.median()

    def is_rest(self, change: Change) -> bool:
        """Tell whether a change is what was left of one twice as large whose first runs passed for spikes."""
        soon = self.seen - self._settled_at < REST_RUNS
        return soon and change.window is not REGRESSION and 0 < change.amount < self._settled[1] / 2

    def settle(self, change: Change) -> None:
        """Take the new level as the usual one."""
        self._level += change.amount
        self._settled, self._settled_at = (change.errors, change.amount), self.seen
        for window in (self._base, self._tail):
            window.lower_last(change.runs, change.amount)
        values = list(self._recent)
        values[-change.runs :] = [value - change.amount for value in values[-change.runs :]]
        self._recent = deque(values, maxlen=self._recent.maxlen)
        self._scores.clear()
        self._before = None

    def _judge(self, window: Window, runs: int, scores: list[float], usual: float) -> Change | None:
        if len(scores) < runs:
            return None
        mean = sum(scores[-runs:]) / runs
        known = self._means.get(runs)
        sigma = 1.2 / math.sqrt(runs) if known is None else known.sigma(runs)
        if known is not None:
            known.push(mean)
        if abs(mean) < window.errors * sigma * (1 + MORE_ERRORS * (self._width() - 1) / HEAVIER):
            return None
        newest = sorted(list(self._recent)[-runs:])
        amount = newest[runs // 2] - usual
        if abs(amount) < window.least or amount * mean < 0:
            return None
        return Change(amount, runs, mean / sigma, window)
