"""Growth channel: the steady rise of memory, or of whatever has a limit, and when it will meet it."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterator
from itertools import pairwise

from prefect_autopilot.models import Severity
from prefect_autopilot.monitoring.sample import Finding, Sample
from prefect_autopilot.monitoring.windows import SortedWindow

NEWEST = 9
BLOCK = 6
LEAST_RUNS = 40
LEAST_RISE = math.log(1.3)
LEAST_SHARE = 0.3
LATE_SHARE = 0.6
SIGMAS = 6.0
FIT_RUNS = 300
CLEARLY = 1.6
AGREE = 0.2
SEASONS = 2
KNOWN = {
    "memory_mb": ("memory", " MB"),
    "duration_s": ("duration", " s"),
    "lateness_s": ("late", " s late"),
    "rows": ("rows", " rows"),
}
"""What alarms call a measure, and its unit."""
SHOWN_WHOLE = 100.0


class GrowthChannel:
    """Compares the newest runs with the usual level; forecasts by the better of line and exponential.

    With a limit it waits until line and exponential agree on the time or one of them clearly fits better,
    at the latest at 60 % of the way (log scale); without one above zero it tells of a rise of 30 %.
    ``measure`` is ``memory_mb``, ``duration_s``, ``lateness_s``, ``rows`` or what runs measure of themselves.
    """

    def __init__(self, measure: str, limit: float | None) -> None:
        self._measure = measure
        self._limit = limit if limit is not None and limit > 0 else None
        self._logs = SortedWindow(400)
        self._points: deque[tuple[float, float]] = deque(maxlen=FIT_RUNS)
        self._steps = SortedWindow(200)
        self._alarmed = False

    def observe(self, run: Sample) -> Iterator[Finding]:
        """Yield an alarm when the measure has begun to grow, once until it falls back."""
        amount = _amount(run, self._measure)
        if not amount or amount < 0:
            return
        value = math.log(amount)
        if self._points:
            self._steps.push(abs(value - self._points[-1][1]))
        if len(self._points) >= NEWEST:
            self._logs.push(self._points[-NEWEST][1])
        self._points.append((run.start, value))
        if len(self._logs) < LEAST_RUNS:
            return
        newest = sorted(value for _, value in list(self._points)[-NEWEST:])[NEWEST // 2]
        usual = self._logs.quantile(0.25)
        sigma = max(0.005, self._steps.median() / 0.954)  # a step is the difference of two normal values
        rise = newest - usual
        if rise < max(LEAST_RISE / 2, SIGMAS * sigma / math.sqrt(NEWEST)):
            self._alarmed = False
        elif not self._alarmed:
            yield from self._judge(run, amount, rise, usual, sigma)

    def _judge(
        self, run: Sample, amount: float, rise: float, usual: float, sigma: float
    ) -> Iterator[Finding]:
        segment = self._segment(usual + 1.5 * sigma)
        if len(segment) < NEWEST or not _rising(segment) or self._was_here(usual + rise, len(segment)):
            return
        eta: float | None = None
        if self._limit is None:
            if rise < LEAST_RISE:
                return
        else:
            share = rise / max(1e-9, math.log(self._limit) - usual)
            line, power, evidence = _forecasts(segment, self._limit)
            if share < LEAST_SHARE or line is None or power is None:
                return
            agreed = abs(line - power) <= AGREE * (min(line, power) - run.start)
            if not agreed and share < LATE_SHARE and 1 / CLEARLY < evidence < CLEARLY:
                return
            eta = line if evidence < 1 else power
        self._alarmed = True
        times = math.exp(rise)
        name, unit = KNOWN.get(self._measure, (f"metric_{self._measure}", ""))
        shown = f"{amount:.0f}" if amount >= SHOWN_WHOLE else f"{amount:.3g}"
        reason = f"{shown}{unit}, {times:.2f} times the usual and rising"
        yield Finding(run.start, run.end, f"{name}_growth", Severity.HIGH, times, reason, eta)

    def _was_here(self, level: float, newest: int) -> bool:
        """Tell whether memory rose to this level and fell again twice before: that is a season, no leak."""
        values = [value for _, value in self._points][:-newest]
        blocks = [
            sorted(values[first : first + BLOCK])[BLOCK // 2] >= level - LEAST_RISE / 4
            for first in range(0, len(values) - BLOCK + 1, BLOCK)
        ]
        return sum(high and not before for before, high in pairwise((False, *blocks))) >= SEASONS

    def _segment(self, floor: float) -> list[tuple[float, float]]:
        """Return the newest points that lie above the usual level, block by block."""
        points = list(self._points)
        first = len(points)
        while first >= BLOCK:
            block = sorted(value for _, value in points[first - BLOCK : first])
            if block[1] <= floor:
                break
            first -= BLOCK
        return points[first:]


def _amount(run: Sample, measure: str) -> float | None:
    if measure == "memory_mb":
        return run.memory
    if run.state != "COMPLETED":
        return None
    if measure == "duration_s":
        return run.duration
    if measure == "lateness_s":
        return None if run.expected is None else run.start - run.expected
    return run.rows if measure == "rows" else dict(run.measures).get(measure)


def _rising(points: list[tuple[float, float]]) -> bool:
    """Tell a rise from a step: of the newest third three quarters lie above the middle of the oldest."""
    third = len(points) // 3
    older = sorted(value for _, value in points[:third])
    newer = sorted(value for _, value in points[-third:])
    return newer[third // 4] > older[third // 2] and newer[third // 2] - older[third // 2] > LEAST_RISE / 3


def _forecasts(points: list[tuple[float, float]], limit: float) -> tuple[float | None, float | None, float]:
    """Return when a line and an exponential meet the limit, and the ratio of their squared errors."""
    times = [at for at, _ in points]
    logs = [value for _, value in points]
    origin, slope = _least_squares(times, [math.exp(value) for value in logs])
    log_origin, log_slope = _least_squares(times, logs)
    if slope <= 0 or log_slope <= 0:
        return None, None, 1.0
    line_error = sum(
        (math.log(max(1e-9, origin + slope * at)) - value) ** 2 for at, value in zip(times, logs, strict=True)
    )
    power_error = sum(
        (log_origin + log_slope * at - value) ** 2 for at, value in zip(times, logs, strict=True)
    )
    newest = times[-1]
    line = max(newest, (limit - origin) / slope)
    power = max(newest, (math.log(limit) - log_origin) / log_slope)
    return line, power, (line_error + 1e-12) / (power_error + 1e-12)


def _least_squares(xs: list[float], ys: list[float]) -> tuple[float, float]:
    """Return intercept and slope of the ordinary least squares line."""
    mean_x, mean_y = sum(xs) / len(xs), sum(ys) / len(ys)
    spread = sum((x - mean_x) ** 2 for x in xs)
    slope = sum((x - mean_x) * (y - mean_y) for x, y in zip(xs, ys, strict=True)) / spread if spread else 0.0
    return mean_y - slope * mean_x, slope
