"""Runs of many deployments in, anomalies out."""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from prefect_autopilot.models import TERMINAL_STATES, Anomaly, HistoryRun, RunSeries
from prefect_autopilot.monitoring.checkpoint import freeze, thaw
from prefect_autopilot.monitoring.monitor import Monitor
from prefect_autopilot.monitoring.pools import LEAST_DEPLOYMENTS, Lean, together
from prefect_autopilot.monitoring.sample import seconds

SETTLES = timedelta(minutes=15)
"""A run that began so long ago is not preceded by one that is still unknown."""
MOST_LEANS = 60


def detect(series: Sequence[RunSeries]) -> dict[str, tuple[Anomaly, ...]]:
    """Return the anomalies of each series by its id; every one uses only what was known at its start.

    Series of one work pool are judged together as well: a slowdown too mild to tell in one deployment
    is told when most of the pool's deployments show it.
    """
    pools: dict[str, list[RunSeries]] = defaultdict(list)
    for one in series:
        pools[one.work_pool or one.id].append(one)
    monitors: dict[str, Monitor] = {}
    for members in pools.values():
        shared = len(members) >= LEAST_DEPLOYMENTS
        leans: list[Lean] = []
        for one in members:
            monitors[one.id] = _watch(one, leans if shared else None)
        for ident, found in together(leans):
            monitors[ident].tell(found)
    return {one.id: tuple(found.as_anomaly() for found in monitors[one.id].findings) for one in series}


@dataclass(frozen=True, slots=True)
class Memory:
    """What is kept of a series between two passes; bounded, and rebuilt from the runs where it is missing."""

    through: datetime
    """Start of the newest run that the state knows; later runs are shown to it again."""
    state: bytes
    leans: tuple[Lean, ...] = ()


@dataclass(frozen=True, slots=True)
class Judgement:
    """What a pass made of a series; ``memory`` is None while no run is settled."""

    monitor: Monitor
    memory: Memory | None
    leans: tuple[Lean, ...]
    """The newest ones, for the judgement of the work pool."""


def resume(series: RunSeries, memory: Memory | None) -> Judgement | None:
    """Judge the runs of a series since ``memory``; None where that cannot be used: give all runs then.

    The memory moves on over runs that are over and began some time ago: what is still under way, or may
    arrive late, is judged anew at each pass. The findings are those that ``detect`` makes of all the runs.
    """
    monitor = Monitor(series) if memory is None else thaw(memory.state, series)
    if monitor is None:
        return None
    leans = deque(() if memory is None else memory.leans, maxlen=MOST_LEANS)
    runs = sorted(series.runs, key=lambda run: seconds(run.start))
    if memory is not None:
        runs = [run for run in runs if run.start > memory.through]
    settled = _settled(runs, series.now)
    for run in runs[:settled]:
        _show(monitor, run, series.id, leans)
    if settled:
        memory = Memory(runs[settled - 1].start, freeze(monitor, series), tuple(leans))
    for run in runs[settled:]:
        _show(monitor, run, series.id, leans)
    if series.now is not None:
        monitor.wait(seconds(series.now))
    return Judgement(monitor, memory, tuple(leans))


def _settled(runs: Sequence[HistoryRun], now: datetime | None) -> int:
    """Return how many of the first runs will not change any more, nor get another before them."""
    last = runs[-1].start if now is None and runs else now
    for place, run in enumerate(runs):
        if last is None or run.state not in TERMINAL_STATES or run.start > last - SETTLES:
            # Runs of one start stay together: the next pass tells them apart by their start only.
            while place and runs[place - 1].start == run.start:
                place -= 1  # noqa: PLW2901 - steps back from where the loop stopped
            return place
    return len(runs)


def _show(monitor: Monitor, run: HistoryRun, ident: str, leans: deque[Lean]) -> None:
    monitor.observe(run)
    if run.state == "COMPLETED":
        leans.append(Lean(seconds(run.start), ident, *monitor.duration.lean()))


def _watch(series: RunSeries, leans: list[Lean] | None) -> Monitor:
    monitor = Monitor(series)
    for run in sorted(series.runs, key=lambda run: seconds(run.start)):
        monitor.observe(run)
        if leans is not None and run.state == "COMPLETED":
            leans.append(Lean(seconds(run.start), series.id, *monitor.duration.lean()))
    if series.now is not None:
        monitor.wait(seconds(series.now))
    return monitor
