"""What is raised over a whole history was raised when it happened: later runs add and take away nothing."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from prefect_autopilot.models import Anomaly, RunSeries
from prefect_autopilot.monitoring import detect

Run = dict[str, Any]
Make = Callable[..., RunSeries]


def until(series: RunSeries, alarm: Anomaly) -> RunSeries:
    """The series as it was one second after the alarm, or after the end of its last run."""
    runs = tuple(run for run in series.runs if run.start <= alarm.start)
    ends = [run.start + timedelta(seconds=run.duration_s or 0) for run in runs]
    now = max([*ends, alarm.start]) + timedelta(seconds=1)
    return series.model_copy(update={"runs": runs, "now": now})


def not_raised_in_time(series: RunSeries) -> list[tuple[str, str]]:
    """The alarms that a shorter history, cut right after an alarm, does not have."""
    found = detect([series])[series.id]
    lost = []
    for cut in found:
        early = {one.start for one in detect([until(series, cut)])[series.id]}
        lost += [
            (one.kind, str(one.start)) for one in found if one.start <= cut.start and one.start not in early
        ]
    return lost


@pytest.mark.parametrize("apart", [2, 5, 9, 10, 11, 12, 13, 14, 30])
@pytest.mark.parametrize("length", [1, 2, 4])
def test_two_gaps_of_a_schedule_are_causal(history: Make, apart: int, length: int) -> None:
    gone = {*range(100, 100 + length), *range(100 + length + apart, 100 + 2 * length + apart)}
    series = history(200, change=lambda i, run: None if i in gone else run)
    assert not_raised_in_time(series) == []
    kinds = [one.kind for one in detect([series])["s"]]
    assert "missed_schedule" in kinds


def slower(first: int, last: int, factor: float) -> Callable[[int, Run], Run]:
    return lambda i, run: run | {"duration_s": run["duration_s"] * (factor if first <= i <= last else 1)}


def failed(places: set[int]) -> Callable[[int, Run], Run]:
    return lambda i, run: run | {"state": "FAILED"} if i in places else run


def fewer_rows(first: int, last: int) -> Callable[[int, Run], Run]:
    return lambda i, run: run | {"rows": 0} if first <= i <= last else run


@pytest.mark.parametrize(
    "change",
    [
        slower(120, 122, 5),
        slower(120, 180, 1.8),
        slower(30, 31, 6),
        failed({150, 151, 152, 170, 171, 172}),
        failed(set(range(150, 190, 2))),
        fewer_rows(140, 150),
        fewer_rows(140, 190),
    ],
    ids=["spike", "level", "early spike", "failures", "flapping", "no rows", "no rows for long"],
)
def test_each_channel_is_causal(history: Make, change: Callable[[int, Run], Run]) -> None:
    series = history(200, change=change)
    assert detect([series])["s"]
    assert not_raised_in_time(series) == []


@pytest.mark.parametrize("seed", range(3))
def test_a_slow_pool_is_causal(history: Make, seed: int) -> None:
    slow = slower(120, 170, 1.35)
    members = [
        history(220, change=slow, seed=10 * seed + i, noise=0.15, id=f"d{i}", work_pool="pool")
        for i in range(4)
    ]
    found = detect(members)
    cut = next(one for every in found.values() for one in every if one.kind == "pool_slowdown")
    early = detect([until(member, cut) for member in members])
    for member in members:
        raised = {(one.kind, one.start) for one in found[member.id] if one.start <= cut.start}
        assert raised <= {(one.kind, one.start) for one in early[member.id]}
