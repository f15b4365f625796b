"""What a run's hour and weekday, or the work it had to do, lead one to expect of its log duration."""

from __future__ import annotations

import math
from typing import Protocol
from zoneinfo import ZoneInfo

from prefect_autopilot.monitoring.sample import Sample, moment
from prefect_autopilot.monitoring.windows import SortedWindow

HOURS = 168
DAY = 86_400.0
SEASON_RUNS = 72
SEASON_DAYS = 2.5
WORK_RUNS = 30
OWN_WEIGHT = 2.0
"""Observations of an hour of the week that count as much as the same hour of all days."""
FORGET = 0.97


class Expectation(Protocol):
    """A part of the log duration that is known beforehand; None while too little is known."""

    @property
    def work(self) -> float:
        """The share of a growth of the rows that it takes into account."""

    def predict(self, run: Sample) -> float | None:
        """Return the expected deviation from the usual log duration."""

    def learn(self, run: Sample, deviation: float) -> None:
        """Learn from a run's deviation from the usual log duration."""


class Level:
    """Expects the usual duration at all times."""

    work = 0.0

    def predict(self, run: Sample) -> float:  # noqa: ARG002 - one interface for all expectations
        """Return no deviation."""
        return 0.0

    def learn(self, run: Sample, deviation: float) -> None:
        """Learn nothing."""


class HourOfWeek:
    """A profile of 168 hours, each drawn to the mean of its hour over all days of its kind."""

    work = 1.0  # rows have the same hours as durations, so they explain nothing more

    def __init__(self, zone: ZoneInfo) -> None:
        self._zone = zone
        self._sum = [0.0] * HOURS
        self._weight = [0.0] * HOURS
        self._day_sum = [0.0] * 48
        self._day_weight = [0.0] * 48
        self._first: float | None = None
        self._runs = 0
        self._cell: tuple[int, int, int] = (-1, 0, 0)

    def predict(self, run: Sample) -> float | None:
        """Return the profile's value at the run's hour."""
        ripe = self._first is not None and run.start - self._first >= SEASON_DAYS * DAY
        if self._runs < SEASON_RUNS or not ripe:
            return None
        hour, of_day = self._place(run)
        total = weight = 0.0
        for near, share in ((-1, 0.25), (0, 0.5), (1, 0.25)):
            base = of_day - of_day % 24
            day = base + (of_day + near) % 24
            total += share * self._day_sum[day]
            weight += share * self._day_weight[day]
        if weight <= 0:
            return None
        usual = total / (weight + 0.3)
        total = weight = 0.0
        for near, share in ((-1, 0.25), (0, 0.5), (1, 0.25)):
            total += share * self._sum[(hour + near) % HOURS]
            weight += share * self._weight[(hour + near) % HOURS]
        return (total + OWN_WEIGHT * usual) / (weight + OWN_WEIGHT)

    def learn(self, run: Sample, deviation: float) -> None:
        """Add the deviation to the run's hour; older ones fade."""
        hour, of_day = self._place(run)
        self._first = run.start if self._first is None else self._first
        self._runs += 1
        self._sum[hour] = FORGET * self._sum[hour] + deviation
        self._weight[hour] = FORGET * self._weight[hour] + 1.0
        self._day_sum[of_day] = FORGET * self._day_sum[of_day] + deviation
        self._day_weight[of_day] = FORGET * self._day_weight[of_day] + 1.0

    def _place(self, run: Sample) -> tuple[int, int]:
        index, hour, of_day = self._cell
        if index != run.index:
            at = run.start if run.expected is None else run.expected
            local = moment(at).astimezone(self._zone)
            hour = local.weekday() * 24 + local.hour
            of_day = local.hour + 24 * (local.weekday() > 4)  # noqa: PLR2004 - Saturday and Sunday
            self._cell = (run.index, hour, of_day)
        return hour, of_day


class Work:
    """A slope of log duration over log rows, learned or given: 1 is a constant time per row."""

    def __init__(self, slope: float | None = None) -> None:
        self._given = slope
        self._rows = SortedWindow(300)
        self._xy = 0.0
        self._xx = 0.0

    @property
    def work(self) -> float:
        """The slope."""
        return min(1.2, max(0.0, self._xy / (self._xx + 1.0))) if self._given is None else self._given

    def predict(self, run: Sample) -> float | None:
        """Return what the run's rows explain."""
        if not run.rows or len(self._rows) < WORK_RUNS:
            return None
        return self.work * (math.log(run.rows) - self._rows.median())

    def learn(self, run: Sample, deviation: float) -> None:
        """Add the run to the regression."""
        if not run.rows:
            return
        log_rows = math.log(run.rows)
        if len(self._rows) >= WORK_RUNS // 3:
            x = log_rows - self._rows.median()
            self._xy = 0.995 * self._xy + x * deviation
            self._xx = 0.995 * self._xx + x * x
        self._rows.push(log_rows)
