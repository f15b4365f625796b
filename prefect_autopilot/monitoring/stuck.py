"""Stuck channel: a run that lasts far longer than any of this deployment did, told before it ends."""

from __future__ import annotations

import math
from collections.abc import Iterator

from prefect_autopilot.models import Severity
from prefect_autopilot.monitoring.sample import Finding, Sample
from prefect_autopilot.monitoring.windows import SortedWindow

LEAST_RUNS = 3
LEAST_SECONDS = 20.0
OF_MEDIAN = 4.0
OF_LONGEST = 1.5
LONG_HISTORY = 30
STOPPED = frozenset({"CANCELLED", "CANCELLING"})


class StuckChannel:
    """Compares the time a run has been running with the durations of completed runs."""

    def __init__(self) -> None:
        self._durations = SortedWindow(300)
        self._running: list[tuple[Sample, float]] = []

    def allowed(self) -> float | None:
        """Return the elapsed seconds at which a run counts as stuck, None while nothing is known."""
        known = self._durations
        if len(known) < LEAST_RUNS:
            return None
        # A single past incident must not set the bar: with enough runs the longest few are left out.
        longest = known.ordered[-1 - len(known) // 100] if len(known) >= LONG_HISTORY else known.ordered[-1]
        factor = OF_LONGEST if len(known) >= LONG_HISTORY else 2.0
        return max(LEAST_SECONDS, OF_MEDIAN * known.median(), factor * longest)

    def observe(self, run: Sample) -> Iterator[Finding]:
        """Yield an alarm for a run that was cancelled only after it had hung."""
        allowed = self.allowed()
        if run.state == "RUNNING" and allowed is not None:
            self._running.append((run, allowed))
        elif run.state in STOPPED and run.duration is not None and allowed is not None:
            yield from self._judge(run, allowed, run.end)
        elif run.state == "COMPLETED" and run.duration is not None:
            self._durations.push(run.duration)

    def waiting(self, now: float) -> Iterator[Finding]:
        """Yield an alarm for every run that has been running too long at ``now``."""
        for run, allowed in self._running:
            yield from self._judge(run, allowed, now)

    def next_concern(self) -> float:
        """Return when the next running run counts as stuck; infinite without one."""
        return min((run.start + allowed for run, allowed in self._running), default=math.inf)

    def _judge(self, run: Sample, allowed: float, until: float) -> Iterator[Finding]:
        if until - run.start <= allowed:
            return
        elapsed = until - run.start
        reason = f"running for {elapsed:.0f} s, usual are {self._durations.median():.0f} s"
        yield Finding(run.start + allowed, until, "stuck_run", Severity.HIGH, elapsed / allowed, reason)
