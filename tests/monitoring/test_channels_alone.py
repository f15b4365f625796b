"""Each channel by itself, fed with plain numbers: what it tells, when, and what leaves it silent."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from typing import Any, Protocol
from zoneinfo import ZoneInfo

import pytest

from prefect_autopilot.models import RunSeries, Severity
from prefect_autopilot.monitoring import detect
from prefect_autopilot.monitoring.duration import DurationChannel
from prefect_autopilot.monitoring.growth import GrowthChannel
from prefect_autopilot.monitoring.retries import RetriesChannel
from prefect_autopilot.monitoring.rows import RowsChannel
from prefect_autopilot.monitoring.sample import Finding, Sample
from prefect_autopilot.monitoring.state import StateChannel
from prefect_autopilot.monitoring.stuck import StuckChannel

HOUR = 3600.0


class Watches(Protocol):
    def observe(self, run: Sample) -> Iterator[Finding]: ...


def run(index: int, **more: Any) -> Sample:
    return Sample(**{"index": index, "start": index * HOUR, "state": "COMPLETED", "duration": 60.0} | more)


def told(channel: Watches, runs: Iterable[Sample]) -> list[tuple[int, str]]:
    """The index of each run that gave reason to tell, and what was told."""
    return [(one.index, found.kind) for one in runs for found in channel.observe(one)]


def words(states: str, first: int = 0) -> list[Sample]:
    """Runs from letters: . completed, F failed, X crashed, c cancelled, r running, s scheduled."""
    names = {
        ".": "COMPLETED", "F": "FAILED", "X": "CRASHED", "c": "CANCELLED", "r": "RUNNING", "s": "SCHEDULED",
    }  # fmt: skip
    return [run(first + i, state=names[letter]) for i, letter in enumerate(states)]


# --- states ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("states", "expected"),
    [
        ("FFF", [(2, "consecutive_failures")]),
        ("FF", []),
        ("X" * 3, [(2, "consecutive_failures")]),
        ("FXF", [(2, "consecutive_failures")]),
        ("F.FF.FF.", []),
        ("FcFcF", [(4, "consecutive_failures")]),
        ("FrFsF", [(4, "consecutive_failures")]),
        ("ccccccccccc", []),
        ("rrrrrrrrrrr", []),
        ("." * 50 + "FFF", [(52, "consecutive_failures")]),
        ("." * 50 + "FF.", []),
        ("." * 200 + "F", []),
        ("." * 30 + "F." * 10, [(46, "error_rate"), (48, "flapping_state"), (38, "error_rate")]),
    ],
    ids=[
        "three at birth", "two at birth", "crashes", "crash between failures", "never three",
        "a cancelled run does not end the row", "what is under way does not end the row",
        "only cancelled", "only running", "three late", "two late", "one late", "every second",
    ],
)  # fmt: skip
def test_states_are_told_when_they_add_up(states: str, expected: list[tuple[int, str]]) -> None:
    alarms = told(StateChannel(), words(states))
    if len(expected) <= 1:
        assert alarms[:1] == expected
    else:
        assert {kind for _, kind in alarms} <= {kind for _, kind in expected}
        assert alarms


def test_a_success_between_failures_starts_the_row_anew() -> None:
    assert told(StateChannel(), words("." * 60 + "FF" + "." + "FF" + "." * 5)) == []


@pytest.mark.parametrize("share", [0.0, 0.01, 0.02, 0.03])
def test_a_usual_share_of_failures_is_no_news(share: float) -> None:
    alarms = 0
    for seed in range(10):
        rng = random.Random(seed)
        alarms += len(
            told(StateChannel(), words("".join("F" if rng.random() < share else "." for _ in range(400))))
        )
    assert alarms <= 2


@pytest.mark.parametrize("usual", [0.0, 0.02])
@pytest.mark.parametrize("risen", [0.25, 0.4, 0.7])
def test_a_risen_share_of_failures_is_told(usual: float, risen: float) -> None:
    found = 0
    for seed in range(10):
        rng = random.Random(seed)
        letters = ["F" if rng.random() < (usual if i < 200 else risen) else "." for i in range(280)]
        alarms = told(StateChannel(), words("".join(letters)))
        found += any(200 <= index < 245 for index, _ in alarms)
    assert found >= 9


def test_a_deployment_that_always_failed_often_is_not_told_again_and_again() -> None:
    rng = random.Random(5)
    states = "".join("F" if rng.random() < 0.3 else "." for _ in range(600))
    late = [index for index, _ in told(StateChannel(), words(states)) if index >= 300]
    early = [index for index, _ in told(StateChannel(), words(states)) if index < 300]
    assert early
    assert len(late) <= 12


def test_failures_are_high_and_say_how_many() -> None:
    channel = StateChannel()
    (found,) = [f for one in words("." * 20 + "FFF") for f in channel.observe(one)]
    assert (found.severity, found.score) == (Severity.HIGH, 3.0)
    assert "3 failures in a row" in found.reason


# --- retries --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("every", [2, 3, 4])
def test_retries_that_become_frequent_are_told(every: int) -> None:
    runs = [run(i, retries=float(i >= 100 and i % every == 0)) for i in range(180)]
    alarms = told(RetriesChannel(), runs)
    assert alarms
    assert 100 <= alarms[0][0] < 100 + 14 * every


@pytest.mark.parametrize(
    "retries",
    [
        lambda _: 0.0,
        lambda i: float(i % 50 == 0),
        lambda i: float(i in {70, 71}),
        lambda _: None,
        lambda i: None if i % 2 else 0.0,
    ],
    ids=["none", "rare", "twice in a row once", "not told", "told now and then"],
)
def test_usual_retries_are_left_alone(retries: Callable[[int], float | None]) -> None:
    assert told(RetriesChannel(), [run(i, retries=retries(i)) for i in range(300)]) == []


def test_retries_of_failed_runs_tell_nothing() -> None:
    runs = [run(i, state="FAILED", retries=3.0) for i in range(100)]
    assert told(RetriesChannel(), runs) == []


def test_a_deployment_that_always_retries_is_told_once_not_for_ever() -> None:
    alarms = told(RetriesChannel(), [run(i, retries=1.0) for i in range(400)])
    assert alarms
    assert len([index for index, _ in alarms if index >= 150]) <= 1


# --- rows -----------------------------------------------------------------------------------------------


def rowed(n: int, rows: Callable[[int], float | None], *, seed: int = 1) -> list[Sample]:
    rng = random.Random(seed)
    given = [rows(i) for i in range(n)]
    return [
        run(i, rows=None if value is None else round(value * rng.uniform(0.95, 1.05)))
        for i, value in enumerate(given)
    ]


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        (lambda i: 0 if i == 60 else 1000, [(60, "silent_zero_rows")]),
        (lambda i: 0 if i >= 60 else 1000, [(60, "silent_zero_rows")]),
        (lambda i: 100 if i == 60 else 1000, []),
        (lambda i: 100 if i in {60, 61} else 1000, [(61, "rows_drop")]),
        (lambda i: 300 if i >= 60 else 1000, [(61, "rows_drop")]),
        (lambda i: 700 if i >= 60 else 1000, []),
        (lambda i: 1 if i == 60 else 3, []),
        (lambda i: 5000 if i >= 60 else 1000, []),
    ],
    ids=[
        "one empty",
        "empty from now on",
        "one small",
        "two small",
        "a third",
        "seven tenths",
        "tiny",
        "more",
    ],
)
def test_rows_that_vanish_are_told(rows: Callable[[int], float], expected: list[tuple[int, str]]) -> None:
    assert told(RowsChannel(), rowed(100, rows))[: len(expected) or None] == expected


@pytest.mark.parametrize("n", [0, 1, 10, 29])
def test_below_thirty_runs_no_drop_is_told(n: int) -> None:
    assert told(RowsChannel(), rowed(n + 1, lambda i: 0 if i == n else 1000)) == []


def test_the_thirty_first_run_can_be_told() -> None:
    assert told(RowsChannel(), rowed(31, lambda i: 0 if i == 30 else 1000)) == [(30, "silent_zero_rows")]


@pytest.mark.parametrize(
    "rows",
    [
        lambda i: 0 if i % 3 == 0 else 1000,
        lambda i: 0 if i % 24 < 6 else 1000,
        lambda i: 0 if i // 24 % 7 > 4 else 1000,
        lambda _: 0,
        lambda i: 0 if i % 10 else 5,
        lambda _: None,
    ],
    ids=["often empty", "empty at night", "empty at weekends", "always empty", "mostly empty", "not counted"],
)
@pytest.mark.parametrize("seed", [1, 2])
def test_what_is_often_empty_is_no_news(rows: Callable[[int], float | None], seed: int) -> None:
    late = [alarm for alarm in told(RowsChannel(), rowed(24 * 28, rows, seed=seed)) if alarm[0] >= 24 * 14]
    assert late == []


def test_a_lasting_drop_becomes_the_new_normal() -> None:
    alarms = told(RowsChannel(), rowed(600, lambda i: 300 if i >= 100 else 1000))
    assert alarms[0] == (101, "rows_drop")
    assert max(index for index, _ in alarms) < 400


def test_failed_runs_without_rows_tell_nothing() -> None:
    runs = [*rowed(60, lambda _: 1000), *(run(60 + i, rows=0.0, state="FAILED") for i in range(10))]
    assert told(RowsChannel(), runs) == []


def test_vanished_rows_are_worse_than_fewer_rows() -> None:
    for left, severity in ((0.0, Severity.HIGH), (50.0, Severity.MEDIUM)):
        channel = RowsChannel()
        told(channel, rowed(60, lambda _: 1000))
        tail = [f for i in (60, 61) for f in channel.observe(run(i, rows=left))]
        assert tail[-1].severity is severity
        assert f"{left:.0f} rows" in tail[-1].reason


# --- memory ---------------------------------------------------------------------------------------------


def sized(n: int, size: Callable[[int], float], *, noise: float = 0.02, seed: int = 1) -> list[Sample]:
    rng = random.Random(seed)
    return [run(i, memory=size(i) * rng.lognormvariate(0, noise)) for i in range(n)]


def grown(runs: Iterable[Sample], limit: float | None) -> list[tuple[int, str]]:
    """Each growth once, by the run it was first told at: it is told again as long as it goes on."""
    channel = GrowthChannel("memory_mb", limit)
    return sorted({(int(found.start / HOUR), found.kind) for one in runs for found in channel.observe(one)})


@pytest.mark.parametrize("limit", [None, 1500.0])
@pytest.mark.parametrize("noise", [0.005, 0.02, 0.05])
@pytest.mark.parametrize(
    "size",
    [lambda i: 500 * 1.01 ** max(0, i - 80), lambda i: 500 + 6.0 * max(0, i - 80)],
    ids=["exponential", "linear"],
)
def test_memory_that_grows_is_told_before_the_limit(
    size: Callable[[int], float], noise: float, limit: float | None
) -> None:
    runs = sized(260, size, noise=noise)
    alarms = grown(runs, limit)
    met = next(i for i in range(260) if size(i) >= 1500)
    assert [kind for _, kind in alarms] == ["memory_growth"]
    assert 80 < alarms[0][0] < met


@pytest.mark.parametrize(
    "size",
    [
        lambda _: 500,
        lambda i: 500 if i < 80 else 640,
        lambda i: 500 if i < 80 else 300,
        lambda i: 500 + 150 * math.sin(i / 24 * 2 * math.pi),
        lambda i: 500 * (4 if i % 40 == 7 else 1),
        lambda i: 500 * (1 + 0.15 * min(1, max(0, i - 80) / 50)),
        lambda i: 500 + i % 20,
    ],
    ids=["level", "step up", "step down", "daily", "spikes", "a little more", "saw"],
)
@pytest.mark.parametrize("limit", [None, 1500.0])
def test_memory_that_does_not_keep_growing_is_left_alone(
    size: Callable[[int], float], limit: float | None
) -> None:
    assert told(GrowthChannel("memory_mb", limit), sized(300, size)) == []


@pytest.mark.parametrize("limit", [0.0, -5.0, float("nan")])
def test_a_limit_that_cannot_be_met_is_no_limit(limit: float) -> None:
    runs = sized(260, lambda i: 500 * 1.01 ** max(0, i - 80))
    assert told(GrowthChannel("memory_mb", limit), runs) == told(GrowthChannel("memory_mb", None), runs) != []


@pytest.mark.parametrize("limit", [float("inf"), 1e30])
def test_a_limit_out_of_reach_is_not_forecast(limit: float) -> None:
    assert told(GrowthChannel("memory_mb", limit), sized(260, lambda i: 500 * 1.01 ** max(0, i - 80))) == []


def test_memory_that_fell_back_and_grows_again_is_told_again() -> None:
    def twice(i: int) -> float:
        return 500 * 1.012 ** max(0, (i - 80) if i < 200 else (i - 320))

    alarms = grown(sized(460, twice), None)
    assert len(alarms) == 2
    assert alarms[0][0] < 200
    assert alarms[1][0] > 320


def test_runs_without_memory_are_passed_over() -> None:
    runs = [one if i % 2 else run(i) for i, one in enumerate(sized(400, lambda _: 500))]
    assert told(GrowthChannel("memory_mb", 1500.0), runs) == []


def amounts(name: str, at: Callable[[int], float]) -> list[Sample]:
    """Runs of which one measure has its values from a function, with noise of 2 %."""
    noise = random.Random(5)
    found = []
    for i in range(300):
        value = at(i) * noise.lognormvariate(0, 0.02)
        given = {
            "duration_s": {"duration": value},
            "lateness_s": {"expected": i * HOUR - value},
            "rows": {"rows": value},
        }.get(name, {"measures": ((name, value),)})
        found.append(run(i, **given))
    return found


@pytest.mark.parametrize(
    ("name", "kind", "words"),
    [
        ("duration_s", "duration_growth", " s, "),
        ("lateness_s", "late_growth", " s late, "),
        ("rows", "rows_growth", " rows, "),
        ("disk_mb", "metric_disk_mb_growth", ", "),
    ],
)
@pytest.mark.parametrize("steady", [True, False], ids=["by an amount", "by a share"])
def test_whatever_has_a_limit_is_told_with_the_time_at_which_it_is_met(
    name: str, kind: str, words: str, *, steady: bool
) -> None:
    def at(i: int) -> float:
        since = max(0, i - 100)
        return 200 + 5.0 * since if steady else 200 * 1.01**since

    met = next(i for i in range(300) if at(i) >= 800) * HOUR
    channel = GrowthChannel(name, 800.0)
    first = next(f for one in amounts(name, at) for f in channel.observe(one))
    assert first.kind == kind
    assert f"{words}1." in first.reason
    assert first.eta is not None
    assert first.start < met
    assert abs(first.eta - met) <= 0.25 * (met - first.start)


@pytest.mark.parametrize("name", ["duration_s", "lateness_s", "rows", "disk_mb"])
def test_a_failed_run_grows_nothing(name: str) -> None:
    runs = amounts(name, lambda i: 200 + 5.0 * max(0, i - 100))
    failed = [replace(one, state="FAILED") for one in runs]
    assert told(GrowthChannel(name, 800.0), failed) == []


def test_only_what_has_a_limit_is_watched_for_meeting_it(history: Callable[..., RunSeries]) -> None:
    def slower(i: int, run: dict[str, Any]) -> dict[str, Any]:
        return run | {"duration_s": run["duration_s"] * (1 + max(0, i - 100) / 60)}

    kinds = {one.kind for one in detect([history(change=slower)])["s"]}
    limited = detect([history(change=slower, limits={"duration_s": 240.0})])["s"]
    assert {one.kind for one in limited} == kinds | {"duration_growth"}
    assert [one.kind for one in limited if one.eta] == ["duration_growth"]


def test_the_forecast_of_a_straight_line_hits_the_limit() -> None:
    channel = GrowthChannel("memory_mb", 2000.0)
    found = next(
        f
        for one in sized(300, lambda i: 500 + 8.0 * max(0, i - 80), noise=0.005)
        for f in channel.observe(one)
    )
    met = (80 + 1500 / 8) * HOUR
    assert found.eta is not None
    assert abs(found.eta - met) < 0.15 * (met - found.start)


# --- stuck ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("durations", "allowed"),
    [
        ([], None),
        ([60.0, 60.0], None),
        ([60.0] * 3, 240.0),
        ([1.0] * 3, 20.0),
        ([10.0, 10.0, 10.0, 100.0], 200.0),
        ([60.0] * 29 + [1000.0], 1500.0),
        ([60.0] * 150 + [10_000.0], 240.0),
    ],
    ids=["none", "two", "three", "very short", "few and wide", "thirty", "one old incident"],
)
def test_how_long_a_run_may_take_is_learned(durations: list[float], allowed: float | None) -> None:
    channel = StuckChannel()
    told(channel, [run(i, duration=seconds) for i, seconds in enumerate(durations)])
    assert channel.allowed() == allowed


@pytest.mark.parametrize("state", ["FAILED", "CRASHED", "CANCELLED", "RUNNING"])
def test_only_completed_runs_teach_how_long_a_run_takes(state: str) -> None:
    channel = StuckChannel()
    told(channel, [run(i, duration=9000.0, state=state) for i in range(10)])
    assert channel.allowed() is None


@pytest.mark.parametrize(("elapsed", "expected"), [(239.0, 0), (240.0, 0), (241.0, 1), (90_000.0, 1)])
def test_a_running_run_is_stuck_beyond_four_times_the_usual(elapsed: float, expected: int) -> None:
    channel = StuckChannel()
    told(channel, [run(i) for i in range(10)])
    told(channel, [run(10, state="RUNNING", duration=None)])
    found = list(channel.waiting(10 * HOUR + elapsed))
    assert len(found) == expected
    assert all(one.start == 10 * HOUR + 240 for one in found)


@pytest.mark.parametrize(
    ("state", "lasted", "expected"),
    [
        ("CANCELLED", 3000.0, ["stuck_run"]),
        ("CANCELLING", 3000.0, ["stuck_run"]),
        ("CANCELLED", 100.0, []),
        ("CANCELLED", None, []),
        ("COMPLETED", 3000.0, []),
        ("FAILED", 3000.0, []),
    ],
)
def test_a_run_that_was_ended_by_hand_had_hung(state: str, lasted: float | None, expected: list[str]) -> None:
    channel = StuckChannel()
    runs = [*(run(i) for i in range(10)), run(10, state=state, duration=lasted)]
    assert [kind for _, kind in told(channel, runs)] == expected


def test_a_run_that_started_before_anything_was_known_is_not_judged() -> None:
    channel = StuckChannel()
    told(channel, [run(0, state="RUNNING", duration=None), *(run(i) for i in range(1, 20))])
    assert list(channel.waiting(1e9)) == []


# --- duration -------------------------------------------------------------------------------------------


def lasting(n: int, factor: Callable[[int], float], *, noise: float = 0.08, seed: int = 1) -> list[Sample]:
    rng = random.Random(seed)
    return [run(i, duration=60 * factor(i) * rng.lognormvariate(0, noise), version="v1") for i in range(n)]


def timed() -> DurationChannel:
    return DurationChannel(ZoneInfo("UTC"))


@pytest.mark.parametrize("place", [9, 10, 29, 30, 60, 150, 299])
@pytest.mark.parametrize("size", [5.0, 10.0, 50.0])
def test_a_spike_is_told_at_once_wherever_it_stands(place: int, size: float) -> None:
    runs = lasting(place + 1, lambda i: size if i == place else 1)
    assert told(timed(), runs) == [(place, "duration_spike")]


@pytest.mark.parametrize("place", [0, 1, 2, 3, 8])
def test_before_the_tenth_run_no_spike_is_told(place: int) -> None:
    assert told(timed(), lasting(place + 1, lambda i: 50.0 if i == place else 1)) == []


@pytest.mark.parametrize("noise", [0.02, 0.08, 0.2])
@pytest.mark.parametrize("size", [1.1, 1.25, 1.4])
def test_a_little_slower_is_no_spike(size: float, noise: float) -> None:
    alarms = told(timed(), lasting(200, lambda i: size if i == 150 else 1, noise=noise))
    assert [alarm for alarm in alarms if alarm[0] >= 145] == []


@pytest.mark.parametrize("noise", [0.03, 0.08, 0.15])
@pytest.mark.parametrize("size", [1.6, 2.0, 4.0])
def test_a_new_level_is_told_once_and_becomes_the_usual(size: float, noise: float) -> None:
    alarms = told(timed(), lasting(360, lambda i: size if i >= 150 else 1, noise=noise))
    shifts = [kind for _, kind in alarms if kind != "duration_spike"]
    # The first runs of a great change count as spikes, so that the rest of it may be told a second time.
    assert shifts in (["duration_shift"], ["duration_shift"] * 2)
    assert 150 <= alarms[0][0] < 170


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("noise", [0.01, 0.08, 0.25])
def test_steady_noise_is_silent(noise: float, seed: int) -> None:
    assert told(timed(), lasting(300, lambda _: 1, noise=noise, seed=seed)) == []


@pytest.mark.parametrize("size", [0.5, 0.1])
def test_becoming_faster_is_no_alarm(size: float) -> None:
    assert told(timed(), lasting(300, lambda i: size if i >= 150 else 1)) == []


@pytest.mark.parametrize("state", ["FAILED", "CRASHED", "CANCELLED", "RUNNING"])
def test_only_completed_runs_have_a_duration(state: str) -> None:
    runs = lasting(200, lambda _: 1)
    odd = [run(200 + i, duration=6000.0, state=state) for i in range(10)]
    assert told(timed(), [*runs, *odd]) == []


@pytest.mark.parametrize("duration", [0.0, 1e-9, 1e-3])
def test_runs_that_take_no_time_are_equal(duration: float) -> None:
    assert told(timed(), [run(i, duration=duration) for i in range(200)]) == []


def test_constant_durations_have_no_alarm_and_a_slower_one_has() -> None:
    runs = [run(i, duration=30.0 if i != 150 else 90.0) for i in range(200)]
    assert told(timed(), runs) == [(150, "duration_spike")]


def test_a_version_that_is_slower_is_named() -> None:
    runs = [
        Sample(
            one.index, one.start, one.state, duration=one.duration, version="v2" if one.index >= 150 else "v1"
        )
        for one in lasting(220, lambda i: 1.35 if i >= 150 else 1)
    ]
    channel = timed()
    (found,) = [f for one in runs for f in channel.observe(one)]
    assert (found.kind, found.severity) == ("duration_regression", Severity.HIGH)
    assert "version v2" in found.reason


@pytest.mark.parametrize("every", [1, 7, 40])
def test_new_versions_of_the_same_speed_are_no_news(every: int) -> None:
    runs = [
        Sample(one.index, one.start, one.state, duration=one.duration, version=f"v{one.index // every}")
        for one in lasting(300, lambda _: 1)
    ]
    assert told(timed(), runs) == []
