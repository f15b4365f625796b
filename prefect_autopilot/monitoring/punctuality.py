"""Schedule channel: runs that start late, and times at which no run came."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from prefect_autopilot.models import JSONDict, Severity
from prefect_autopilot.monitoring.calendars import NextFire, next_fire
from prefect_autopilot.monitoring.sample import Finding, Sample
from prefect_autopilot.monitoring.windows import SortedWindow

QUARTER_HOUR = 900.0
MINUTE = 60.0
CLOCK_CHANGE = 3600.0
"""Where clocks change, Prefect may plan a run one hour beside the wall-clock time."""
LATE_MADS = 8.0
LEAST_RUNS = 10
MOST_FIRES = 10_000
"""Fires examined in one gap: a minutely schedule that slept for a week."""


class ScheduleChannel:
    """Follows the schedule from fire to fire; pauses and runs still in progress excuse a missing run."""

    def __init__(self, schedule: JSONDict | None, paused: Sequence[tuple[float, float]] = ()) -> None:
        self._next = next_fire(schedule)
        self._paused = tuple(paused)
        self._lags = SortedWindow(200)
        self._due: float | None = None
        self._busy_until = 0.0
        self._step = 4 * QUARTER_HOUR
        """Seconds between the two newest fires."""

    def observe(self, run: Sample) -> Iterator[Finding]:
        """Yield what this start tells about times before it, and about its own lateness."""
        if self._next is None:
            if run.expected is not None:
                yield from self._late(run, run.start - run.expected)
            return
        expected = run.start if run.expected is None else run.expected
        meant = expected if self._due is None or not self._meets(self._due, expected) else self._due
        yield from self._missed(meant - self._tolerance(), run.start)
        if run.expected is not None:
            yield from self._late(run, run.start - run.expected)
        if self._due is None:
            self._begin(self._next, expected)
        elif meant >= self._due - self._tolerance():
            self._due = self._next(max(meant, expected) + self._tolerance())
            self._step = self._step if self._due is None else self._due - meant
        self._busy_until = max(self._busy_until, run.end)

    def waiting(self, now: float, *, running: bool) -> Iterator[Finding]:
        """Yield the times that have passed without a run up to ``now``."""
        if not running:
            yield from self._missed(now - self._grace(), now)

    def next_concern(self) -> float:
        """Return when the fire that is waited for counts as missed; infinite without one."""
        return math.inf if self._due is None else self._due + self._grace()

    def _missed(self, before: float, until: float) -> Iterator[Finding]:
        """Yield one finding for all the fires from the due one to ``before``."""
        first: float | None = None
        count = 0
        for _ in range(MOST_FIRES):
            if self._next is None or self._due is None or self._due >= before:
                break
            if not self._excused(self._due):
                first = self._due if first is None else first
                count += 1
            self._due = self._next(self._due)
        if first is not None:
            raised = min(until, first + self._grace())
            reason = f"{count} scheduled run{'s' if count > 1 else ''} did not come"
            severity = Severity.HIGH if count > 1 else Severity.MEDIUM
            yield Finding(raised, until, "missed_schedule", severity, float(count), reason)

    def _late(self, run: Sample, lag: float) -> Iterator[Finding]:
        known = self._lags
        if len(known) >= LEAST_RUNS:
            usual = known.median()
            allowed = max(usual + LATE_MADS * known.spread(), self._grace(), MINUTE)
            if lag > allowed:
                reason = f"started {lag:.0f} s after its time, usual are {usual:.0f} s"
                yield Finding(run.start, run.start, "late_run", Severity.MEDIUM, lag / allowed, reason)
                return
        known.push(lag)

    def _begin(self, after: NextFire, expected: float) -> None:
        """Find the fire to wait for after the first run, which may itself be an hour beside its fire."""
        due = after(expected + self._tolerance())
        following = None if due is None else after(due)
        if due is None or following is None:
            self._due = due
            return
        beside = due - expected <= CLOCK_CHANGE and following - due >= 4 * CLOCK_CHANGE
        self._due, self._step = (following, following - due) if beside else (due, due - expected)

    def _meets(self, due: float, expected: float) -> bool:
        """Tell whether a run is the due one although a change of clocks moved it by an hour."""
        if self._next is None or self._step < 4 * CLOCK_CHANGE or abs(expected - due) > CLOCK_CHANGE:
            return False
        following = self._next(due)
        return following is None or following > expected + self._tolerance()

    def _tolerance(self) -> float:
        return min(self._step / 4, MINUTE)

    def _grace(self) -> float:
        return max(MINUTE, min(self._step / 4, QUARTER_HOUR))

    def _excused(self, fire: float) -> bool:
        return fire <= self._busy_until or any(begin <= fire <= end for begin, end in self._paused)
