"""One streaming monitor per deployment: every run once, in the order of the starts."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace
from typing import Protocol

from prefect_autopilot.models import HistoryRun, RunSeries
from prefect_autopilot.monitoring.calendars import zone_of
from prefect_autopilot.monitoring.custom import CustomChannel
from prefect_autopilot.monitoring.duration import DurationChannel
from prefect_autopilot.monitoring.growth import GrowthChannel
from prefect_autopilot.monitoring.punctuality import ScheduleChannel
from prefect_autopilot.monitoring.retries import RetriesChannel
from prefect_autopilot.monitoring.rows import RowsChannel
from prefect_autopilot.monitoring.sample import Finding, Sample, sample, seconds
from prefect_autopilot.monitoring.state import StateChannel
from prefect_autopilot.monitoring.stuck import StuckChannel

INCIDENT_RUNS = 10
"""Findings of one kind at most this many runs apart are one incident."""
MOST_INCIDENTS = 50
MEMORY = "memory_mb"
"""Its growth is told without a limit as well."""
ATTRIBUTED_RUNS = 30
"""A change this many runs ago may be why."""


class Channel(Protocol):
    """One independent way of looking at runs."""

    def observe(self, run: Sample) -> Iterator[Finding]:
        """Yield what this run gives reason to tell."""


class Monitor:
    """The channels of one deployment and the incidents they have raised.

    A channel that raises surfaces: a detector that fails silently is worse than none.
    """

    def __init__(self, series: RunSeries) -> None:
        paused = [
            (seconds(pause.from_), math.inf if pause.to is None else seconds(pause.to))
            for pause in series.paused
        ]
        self.duration = DurationChannel(zone_of(series.schedule))
        self._schedule = ScheduleChannel(series.schedule, paused)
        self._stuck = StuckChannel()
        self._channels: tuple[Channel, ...] = (
            self.duration,
            StateChannel(),
            self._schedule,
            self._stuck,
            RowsChannel(),
            RetriesChannel(),
            CustomChannel(),
            GrowthChannel(MEMORY, series.limits.get(MEMORY)),
            *(GrowthChannel(name, limit) for name, limit in sorted(series.limits.items()) if name != MEMORY),
        )
        self._count = 0
        self._last: Sample | None = None
        self._version: str | None = None
        self._changed_from: str | None = None
        self._before = 0
        self._incidents: list[Finding] = []
        self._open: dict[str, tuple[int, int]] = {}

    @property
    def findings(self) -> list[Finding]:
        """The incidents so far, in the order they were raised."""
        return sorted(self._incidents, key=lambda found: found.start)

    def observe(self, run: HistoryRun) -> None:
        """Show one run to every channel."""
        seen = sample(self._count, run)
        self._count += 1
        self._last = seen
        if seen.version != self._version:
            self._before = self._count - 1
            self._changed_from, self._version = self._version, seen.version
        for channel in self._channels:
            for found in channel.observe(seen):
                self._tell(self._attributed(found))

    def _attributed(self, found: Finding) -> Finding:
        """Name the change that came shortly before, where there was one: a new version or image."""
        runs = self._count - self._before
        if self._changed_from is None or self._version is None or runs > ATTRIBUTED_RUNS:
            return found
        if "since version" in found.reason:
            return found
        return replace(found, reason=f"{found.reason}; {runs} runs since {self._version}")

    def tell(self, found: Finding) -> None:
        """Take a finding made elsewhere, over several deployments."""
        self._tell(found)

    def wait(self, now: float) -> None:
        """Judge what only the passing of time shows: runs that hang, runs that did not come."""
        running = self._last is not None and self._last.state in {"RUNNING", "PENDING"}
        for found in self._stuck.waiting(now):
            self._tell(found)
        # The next run would tell the same of the times before it: it must not matter which comes first.
        for found in self._schedule.waiting(now, running=running):
            self._tell(found, at=self._count + 1)

    def forget_old(self) -> None:
        """Keep the newest 50 incidents: what is kept must not grow with the number of runs."""
        gone = len(self._incidents) - MOST_INCIDENTS
        if gone > 0:
            del self._incidents[:gone]
            self._open = {
                kind: (place - gone, at) for kind, (place, at) in self._open.items() if place >= gone
            }

    def next_concern(self) -> float:
        """Return the earliest moment at which waiting alone gives something to tell; infinite without one."""
        return min(self._stuck.next_concern(), self._schedule.next_concern())

    def _tell(self, found: Finding, at: int | None = None) -> None:
        at = self._count if at is None else at
        place, newest = self._open.get(found.kind, (-1, -INCIDENT_RUNS - 1))
        goes_on = place >= 0 and self._incidents[place].start == found.start
        if goes_on or (place >= 0 and at - newest <= INCIDENT_RUNS):
            self._incidents[place] = self._incidents[place].lasting_to(found.end)
        else:
            place = len(self._incidents)
            self._incidents.append(found)
        self._open[found.kind] = (place, at)
