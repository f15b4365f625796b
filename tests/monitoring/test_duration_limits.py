"""How far a duration may lie above the usual before it is a spike: few runs, scattered ones, second modes."""

from __future__ import annotations

import math
import random

import pytest

from prefect_autopilot.monitoring.growth import GrowthChannel
from prefect_autopilot.monitoring.lane import (
    DRIFT,
    REGRESSION,
    REST_RUNS,
    SHIFT,
    YOUNG_RUNS,
    Change,
    Lane,
    Window,
)
from prefect_autopilot.monitoring.rows import RUNS_OF_PART_OF_A_DAY, RowsChannel
from prefect_autopilot.monitoring.sample import Sample
from prefect_autopilot.monitoring.season import Level


def spikes(values: list[float]) -> list[int]:
    """The places of the log durations that lie above the limit of those before them."""
    lane, found = Lane(Level()), []
    for place, value in enumerate(values):
        excess, limit = lane.excess(value), lane.limit()
        if excess > limit:
            found.append(place)
        lane.learn(value, excess, limit)
        change = lane.change()
        if change is not None:
            lane.settle(change)
    return found


def scattered(seed: int, sigma: float, runs: int) -> list[float]:
    chance = random.Random(seed)
    return [chance.gauss(4.0, sigma) for _ in range(runs)]


@pytest.mark.parametrize(("sigma", "most"), [(0.05, 0), (0.2, 0), (0.5, 1), (0.9, 2), (1.3, 3)])
def test_the_first_runs_of_a_scattered_deployment_are_rarely_spikes(sigma: float, most: int) -> None:
    """Sixty histories of forty runs."""
    assert sum(len(spikes(scattered(seed, sigma, 40))) for seed in range(60)) <= most


@pytest.mark.parametrize("place", [10, 20, 30, 39])
@pytest.mark.parametrize("sigma", [0.03, 0.1, 0.15])
def test_a_regular_deployment_of_few_runs_still_has_spikes(sigma: float, place: int) -> None:
    values = scattered(4, sigma, 40)
    values[place] = 4.0 + math.log(5)
    assert place in spikes(values)


@pytest.mark.parametrize("runs", [0, 1, 2, 5, 7])
def test_nothing_is_a_spike_before_the_ninth_run(runs: int) -> None:
    assert spikes([*scattered(1, 0.1, runs), 50.0]) == []


def test_equal_durations_give_a_limit_nevertheless() -> None:
    assert spikes([4.0] * 20 + [4.0 + math.log(2)]) == []
    assert spikes([4.0] * 20 + [4.0 + math.log(4)]) == [20]


@pytest.mark.parametrize("first", [12, 25, 40, 55])
def test_a_second_mode_that_shows_early_is_told_once(first: int) -> None:
    chance = random.Random(first)
    values = scattered(2, 0.1, 300)
    for place in range(first, 300):
        if chance.random() < 0.2 or place == first:
            values[place] += math.log(15)
    found = spikes(values)
    assert found[:1] == [first]
    assert len(found) <= 2


def test_an_early_incident_does_not_hide_a_late_one_for_ever() -> None:
    values = scattered(3, 0.1, 520)
    values[30] += math.log(10)
    values[500] += math.log(6)
    assert spikes(values) == [30, 500]


def test_an_incident_of_a_grown_deployment_does_not_set_the_bar() -> None:
    values = scattered(3, 0.1, 200)
    values[YOUNG_RUNS + 40] += math.log(10)
    values[YOUNG_RUNS + 80] += math.log(4)
    assert spikes(values) == [YOUNG_RUNS + 40, YOUNG_RUNS + 80]


@pytest.mark.parametrize("sigma", [0.5, 0.8, 1.1])
def test_extremes_of_scattered_durations_are_remembered(sigma: float) -> None:
    """Ten histories of five hundred runs with exponential log durations; the first 100 learn the tail."""
    told: list[int] = []
    for seed in range(10):
        chance = random.Random(seed)
        told += spikes([4.0 + chance.expovariate(1 / sigma) for _ in range(500)])
    assert len(told) <= 7
    assert sum(place >= 100 for place in told) <= 1


def zero_rows(history: int, step: float) -> list[str]:
    channel = RowsChannel()
    said: list[str] = []
    for i in range(history + 3):
        rows = 0.0 if i >= history else 1000.0 + i % 7
        run = Sample(index=i, start=i * step, state="COMPLETED", duration=60.0, rows=rows)
        said += [found.kind for found in channel.observe(run)]
    return said


@pytest.mark.parametrize(
    ("history", "step", "told"),
    [
        (40, 1800.0, False),
        (31, 600.0, False),
        (49, 1800.0, True),
        (31, 3600.0, True),
        (RUNS_OF_PART_OF_A_DAY + 1, 60.0, True),
        (40, 86_400.0, True),
    ],
    ids=["first evening", "first hours", "after a day", "after a day of hours", "many runs", "daily"],
)
def test_no_rows_in_the_first_night_may_be_the_usual(history: int, step: float, told: bool) -> None:  # noqa: FBT001 - a column of the table
    assert bool(zero_rows(history, step)) is told


@pytest.mark.parametrize(
    ("amount", "window", "later", "is_rest"),
    [
        (0.3, DRIFT, 32, True),
        (0.3, SHIFT[1], 16, True),
        (1.2, DRIFT, 32, False),
        (-0.3, DRIFT, 32, False),
        (0.3, REGRESSION, 6, False),
        (0.3, DRIFT, REST_RUNS, False),
    ],
    ids=["smaller", "a short window", "larger", "faster", "a new version", "later"],
)
def test_what_remained_of_a_larger_change_is_no_news(
    amount: float, window: Window, later: int, *, is_rest: bool
) -> None:
    lane = Lane(Level())
    assert not lane.is_rest(Change(amount, window.runs, 6.0, window)), "nothing changed before"
    lane.settle(Change(0.9, 8, 6.0, SHIFT[0]))
    lane.seen += later
    assert lane.is_rest(Change(amount, window.runs, 6.0, window)) is is_rest


@pytest.mark.parametrize("seed", range(8))
def test_scattered_durations_that_climb_to_their_limit_are_told_before(seed: int) -> None:
    chance, channel, told = random.Random(seed), GrowthChannel("duration_s", 150.0), []
    for i in range(320):
        slower = 1 + 1.5 * max(0, i - 200) / 120
        took = 60 * slower * chance.lognormvariate(0, 0.22)
        told += channel.observe(Sample(i, i * 3600.0, "COMPLETED", duration=took))
    assert told
    assert 200 * 3600 < told[0].start < 300 * 3600
    assert told[0].eta is not None
