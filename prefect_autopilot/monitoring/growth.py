"""Growth channel: the steady rise of memory, or of whatever has a limit, and when it will meet it."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import median

from prefect_autopilot.models import Severity
from prefect_autopilot.monitoring.sample import Finding, Sample, moment
from prefect_autopilot.monitoring.statistics import ONE_SIDED_95
from prefect_autopilot.monitoring.windows import SortedWindow

NEWEST = 9
BLOCK = 6
LEAST_RUNS = 40
GOES_ON = 108
"""Over so many runs a measure must have risen to be growing still."""
LEAST_RISE = math.log(1.3)
LEAST_SHARE = 0.3
LATE_SHARE = 0.6
SIGMAS = 6.0
SCATTERED = 0.08
"""Runs that differ so much (log) tell where a rise began only together."""
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
        self._told: Finding | None = None

    def observe(self, run: Sample) -> Iterator[Finding]:
        """Yield an alarm when the measure has begun to grow, and the same one as long as it goes on."""
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
            self._told = None
        elif self._told is None:
            yield from self._judge(run, amount, rise, usual, sigma)
        elif self._goes_on(sigma):
            yield self._told.lasting_to(run.end)

    def _judge(
        self, run: Sample, amount: float, rise: float, usual: float, sigma: float
    ) -> Iterator[Finding]:
        segment = self._segment(usual + 1.5 * sigma)
        if len(segment) < NEWEST or not _rising(segment) or self._was_here(usual + rise, len(segment)):
            return
        eta: float | None = None
        ahead = ""
        if self._limit is None:
            if rise < LEAST_RISE:
                return
        else:
            share = rise / max(1e-9, math.log(self._limit) - usual)
            rise_of = segment if sigma < SCATTERED else self._smoothed()
            forecast = _forecasts(rise_of, self._limit, hinged=sigma >= SCATTERED)
            if share < LEAST_SHARE or forecast is None:
                return
            line, power, evidence = forecast
            agreed = abs(line.at - power.at) <= AGREE * (min(line.at, power.at) - run.start)
            if not agreed and share < LATE_SHARE and 1 / CLEARLY < evidence < CLEARLY:
                return
            eta = max(run.start, (line if evidence < 1 else power).at)
            early = max(run.start, min(line.at - line.either_way, power.at - power.either_way))
            late = max(run.start, line.at + line.either_way, power.at + power.either_way)
            ahead = f"; the limit is met between {_told(early)} and {_told(late)} UTC if it goes on so"
        times = math.exp(rise)
        name, unit = KNOWN.get(self._measure, (f"metric_{self._measure}", ""))
        shown = f"{amount:.0f}" if amount >= SHOWN_WHOLE else f"{amount:.3g}"
        reason = f"{shown}{unit}, {times:.2f} times the usual and rising{ahead}"
        self._told = Finding(run.start, run.end, f"{name}_growth", Severity.HIGH, times, reason, eta)
        yield self._told

    def _goes_on(self, sigma: float) -> bool:
        """Tell whether the newest runs lie above those of some time ago by more than chance makes them."""
        values = [value for _, value in list(self._points)[-GOES_ON:]]
        return median(values[-3 * NEWEST :]) > median(values[: 3 * NEWEST]) + sigma

    def _was_here(self, level: float, newest: int) -> bool:
        """Tell whether memory rose to this level and fell again twice before: that is a season, no leak."""
        values = [value for _, value in self._points][:-newest]
        blocks = [
            sorted(values[first : first + BLOCK])[BLOCK // 2] >= level - LEAST_RISE / 4
            for first in range(0, len(values) - BLOCK + 1, BLOCK)
        ]
        return sum(high and not before for before, high in pairwise((False, *blocks))) >= SEASONS

    def _smoothed(self) -> list[tuple[float, float]]:
        """Return the middles of blocks: what scatters shows its course only there."""
        points = list(self._points)
        blocks = [points[first : first + BLOCK] for first in range(len(points) % BLOCK, len(points), BLOCK)]
        return [(sum(at for at, _ in block) / BLOCK, median(value for _, value in block)) for block in blocks]

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


@dataclass(frozen=True, slots=True)
class Meeting:
    """When a curve meets the limit, and by how many seconds it may be off either way (nine of ten cases)."""

    at: float
    either_way: float


def _forecasts(
    points: list[tuple[float, float]], limit: float, *, hinged: bool
) -> tuple[Meeting, Meeting, float] | None:
    """Return when a line and an exponential meet the limit, and the ratio of their squared errors.

    ``hinged`` finds where the rise begins as well: level before, straight after. None where one
    falls.
    """
    times = [at for at, _ in points]
    logs = [value for _, value in points]
    amounts = [math.exp(value) for value in logs]
    if hinged:
        power = _hinge(times, logs)
        # What is twice as high scatters twice as far.
        line = _hinge(times, amounts, [math.exp(-2 * power(at)) for at in times])
    else:
        line, power = Line(times, amounts), Line(times, logs)
    if line.slope <= 0 or power.slope <= 0:
        return None
    line_error = sum((math.log(max(1e-9, line(at))) - value) ** 2 for at, value in points)
    power_error = sum((power(at) - value) ** 2 for at, value in points)
    return line.meets(limit), power.meets(math.log(limit)), (line_error + 1e-12) / (power_error + 1e-12)


class Line:
    """The weighted least squares line through at least three points; level before ``begins``."""

    def __init__(
        self, xs: list[float], ys: list[float], weights: Sequence[float] = (), begins: float = -math.inf
    ) -> None:
        self._newest, self._begins = xs[-1], begins
        points = list(zip((max(x, begins) for x in xs), ys, weights or (1.0,) * len(xs), strict=True))
        self._weight = sum(weight for _, _, weight in points)
        self._middle = sum(weight * x for x, _, weight in points) / self._weight
        level = sum(weight * y for _, y, weight in points) / self._weight
        self._spread = sum(weight * (x - self._middle) ** 2 for x, _, weight in points)
        rise = sum(weight * (x - self._middle) * (y - level) for x, y, weight in points)
        self.slope = rise / self._spread if self._spread else 0.0
        self._origin = level - self.slope * self._middle
        self.off = sum(weight * (self(x) - y) ** 2 for x, y, weight in points)
        self._variance = self.off / max(1, len(xs) - 2)

    def __call__(self, x: float) -> float:
        """Return the height of the line."""
        return self._origin + self.slope * max(x, self._begins)

    def meets(self, height: float) -> Meeting:
        """Return where a rising line meets a height, not before its newest point.

        How far it may be off is the error of its height there, taken along the line (delta method).
        """
        at = max(self._newest, (height - self._origin) / self.slope)
        variance = self._variance * (1 / self._weight + (at - self._middle) ** 2 / self._spread)
        return Meeting(at, ONE_SIDED_95 * math.sqrt(variance) / self.slope)


def _hinge(xs: list[float], ys: list[float], weights: Sequence[float] = ()) -> Line:
    """Return the line that is level until one of the points and straight from there, by least squares."""
    return min((Line(xs, ys, weights, begins) for begins in xs[:-2]), key=lambda line: line.off)


def _told(at: float) -> str:
    return f"{moment(at):%Y-%m-%d %H:%M}"
