"""Duration channel: slow runs, new levels, drifts and regressions of completed runs, on a log scale."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterator
from zoneinfo import ZoneInfo

from prefect_autopilot.models import Severity
from prefect_autopilot.monitoring.lane import DRIFT, REGRESSION, Change, Lane
from prefect_autopilot.monitoring.sample import Finding, Sample
from prefect_autopilot.monitoring.season import HourOfWeek, Level, Work
from prefect_autopilot.monitoring.windows import SortedWindow

SHORTEST = 1e-3
BETTER = 0.8
"""An expectation must shrink the mean absolute residual to this share before it is used."""
BETTER_RUNS = 20
EXPLAINED = 0.6
"""Share of a slowdown that the growth of the rows must explain for it to be no alarm."""
ROWS_RUNS = 200
ROWS_LAG = 40


class DurationChannel:
    """Judges each completed run with the expectation that has predicted best so far."""

    def __init__(self, zone: ZoneInfo) -> None:
        self._plain = Lane(Level())
        self._lanes = (self._plain, Lane(HourOfWeek(zone)), Lane(Work()), Lane(Work(slope=1.0)))
        self._usual = SortedWindow(400)
        self._rows = SortedWindow(ROWS_RUNS)
        self._newest_rows: deque[float] = deque(maxlen=ROWS_LAG)
        self._version: str | None = None

    def observe(self, run: Sample) -> Iterator[Finding]:
        """Yield the alarms of this run; failed runs tell nothing about duration."""
        if run.state != "COMPLETED" or run.duration is None:
            return
        if self._version is not None and run.version != self._version:
            for lane in self._lanes:
                lane.version_changed()
        self._version = run.version
        value = math.log(max(run.duration, SHORTEST))
        self._see_rows(run)
        chosen = self._best()
        for lane in self._lanes:
            expected = lane.expectation.predict(run)
            if expected is not None:
                yield from self._judge(lane, run, value, expected, chosen=lane is chosen)
            elif len(self._usual):
                lane.expectation.learn(run, value - self._usual.median())
        self._usual.push(value)

    def lean(self) -> tuple[float, float]:
        """Return how clearly and how far the newest runs are slower: standard errors, log duration."""
        return self._best().lean()

    def _judge(
        self, lane: Lane, run: Sample, value: float, expected: float, *, chosen: bool
    ) -> Iterator[Finding]:
        """Judge and learn in one lane; only the chosen one speaks."""
        excess, limit = lane.excess(value - expected), lane.limit()
        if chosen and excess > limit and not self._explained(lane, excess, 1):
            yield self._spike(run, excess, limit)
        lane.learn(value - expected, excess, limit)
        change = lane.change()
        if change is not None:
            if chosen and not lane.is_rest(change):
                yield from self._changed(lane, run, change)
            lane.settle(change)
        lane.expectation.learn(run, expected + min(max(excess, -limit), limit))

    def _see_rows(self, run: Sample) -> None:
        if not run.rows:
            return
        if len(self._newest_rows) == ROWS_LAG:
            self._rows.push(self._newest_rows[0])
        self._newest_rows.append(math.log(run.rows))

    def _best(self) -> Lane:
        best = self._plain
        for lane in self._lanes[1:]:
            bar = best.error if best is not self._plain else BETTER * best.error
            if lane.seen >= BETTER_RUNS and lane.error < bar:
                best = lane
        return best

    def _explained(self, lane: Lane, slower: float, runs: int) -> bool:
        """Tell whether the newest runs had as many more rows to process as they were slower."""
        if len(self._rows) < BETTER_RUNS or len(self._newest_rows) < runs:
            return False
        newest = sorted(list(self._newest_rows)[-runs:])
        more = newest[runs // 2] - self._rows.median()
        return more * (1 - lane.expectation.work) >= EXPLAINED * slower

    def _spike(self, run: Sample, excess: float, limit: float) -> Finding:
        reason = f"{run.duration:.4g} s, {math.exp(excess):.1f} times the usual"
        return Finding(run.start, run.end, "duration_spike", Severity.MEDIUM, excess / limit, reason)

    def _changed(self, lane: Lane, run: Sample, change: Change) -> Iterator[Finding]:
        if change.amount < 0:
            return
        times = math.exp(change.amount)
        explained = self._explained(lane, change.amount, min(change.runs, ROWS_LAG))
        severity = Severity.INFO if explained else Severity.HIGH
        if change.window is REGRESSION:
            kind, reason = "duration_regression", f"{times:.2f} times slower since version {run.version}"
        elif change.window is DRIFT:
            kind, reason = "duration_drift", f"{times:.2f} times slower than {change.runs * 3} runs ago"
        else:
            kind, reason = "duration_shift", f"{times:.2f} times slower for {change.runs} runs"
        yield Finding(run.start, run.end, kind, severity, change.errors, reason)
