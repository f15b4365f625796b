from __future__ import annotations

import math
import random
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from prefect_autopilot.models import Anomaly, RunSeries, Severity
from prefect_autopilot.monitoring import detect
from prefect_autopilot.monitoring.monitor import Monitor
from prefect_autopilot.monitoring.state import StateChannel

Run = dict[str, Any]
Make = Callable[..., RunSeries]


def slower(factor: float, first: int, last: int) -> Callable[[int, Run], Run]:
    return lambda i, run: run | {"duration_s": run["duration_s"] * factor} if first <= i <= last else run


def states(state: str, *places: int) -> Callable[[int, Run], Run]:
    return lambda i, run: run | {"state": state, "rows": 0} if i in places else run


def growing(i: int, run: Run) -> Run:
    """+1.5 % of memory a run from run 120 on: the limit of 1500 MB is met near run 193."""
    return run | {"memory_mb": run["memory_mb"] * 1.015 ** max(0, i - 120)}


def drifting(i: int, run: Run) -> Run:
    return run | {"duration_s": run["duration_s"] * (1 + max(0, i - 100) / 100)}


def retried(i: int, run: Run) -> Run:
    return run | {"retries": 2} if i >= 150 and i % 3 else run


def found(series: RunSeries) -> tuple[Anomaly, ...]:
    return tuple(one for one in detect([series])[series.id] if one.severity is not Severity.INFO)


def kinds(series: RunSeries) -> list[str]:
    return [one.kind for one in found(series)]


EVENTS: dict[str, tuple[Callable[[int, Run], Run | None], str, int, int]] = {
    "one slow run": (slower(4, 180, 180), "duration_spike", 180, 180),
    "a new level": (slower(1.5, 150, 210), "duration_shift", 150, 170),
    "a drift": (drifting, "duration_shift", 110, 150),
    "a slower version": (
        lambda i, run: slower(1.3, 150, 240)(i, run) | {"version": "v2" if i >= 150 else "v1"},
        "duration_regression",
        150,
        175,
    ),
    "three failures in a row": (states("FAILED", 150, 151, 152), "consecutive_failures", 152, 152),
    "crashes in a row": (states("CRASHED", 150, 151, 152), "consecutive_failures", 152, 152),
    "every second run fails": (states("FAILED", *range(150, 190, 2)), "flapping_state", 150, 170),
    "every fourth run fails": (states("FAILED", *range(150, 239, 4)), "error_rate", 158, 190),
    "late start": (
        lambda i, run: run | {"start": run["start"] + timedelta(seconds=1500)} if i == 150 else run,
        "late_run",
        150,
        150,
    ),
    "runs that never came": (lambda i, run: None if 150 <= i < 154 else run, "missed_schedule", 150, 154),
    "a run that was cancelled after hours": (
        lambda i, run: run | {"state": "CANCELLED", "duration_s": 3000.0} if i == 150 else run,
        "stuck_run",
        150,
        150,
    ),
    "no rows": (lambda i, run: run | {"rows": 0} if i in {150, 151} else run, "silent_zero_rows", 150, 150),
    "a tenth of the rows": (
        lambda i, run: run | {"rows": run["rows"] // 10} if 150 <= i < 160 else run,
        "rows_drop",
        150,
        152,
    ),
    "many retries": (retried, "retry_rate", 150, 170),
    "memory that grows": (growing, "memory_growth", 130, 190),
}


@pytest.mark.parametrize("event", EVENTS.values(), ids=EVENTS)
def test_an_event_is_raised_while_it_happens(
    history: Make, event: tuple[Callable[[int, Run], Run | None], str, int, int]
) -> None:
    change, kind, first, last = event
    series = history(change=change, limits={"memory_mb": 1500})
    alarms = [one for one in found(series) if one.kind == kind]
    assert alarms, kinds(series)
    begin = series.runs[0].start
    hours = (alarms[0].start - begin).total_seconds() / 3600
    assert first - 0.1 <= hours <= last + 1


@pytest.mark.parametrize("event", EVENTS.values(), ids=EVENTS)
def test_an_alarm_uses_only_what_was_known_when_it_was_raised(
    history: Make, event: tuple[Callable[[int, Run], Run | None], str, int, int]
) -> None:
    series = history(change=event[0], limits={"memory_mb": 1500})
    for alarm in found(series):
        kept = tuple(run for run in series.runs if run.start <= alarm.start)
        end = max(run.start + timedelta(seconds=run.duration_s or 0) for run in kept)
        cut = series.model_copy(update={"runs": kept, "now": max(end, alarm.start) + timedelta(seconds=1)})
        assert (alarm.kind, alarm.start) in {(one.kind, one.start) for one in found(cut)}


QUIET: dict[str, Callable[[int, Run], Run | None]] = {
    "noise only": lambda _, run: run,
    "one failure now and then": states("FAILED", 60, 110, 170, 220),
    "failures take long": lambda i, run: run | {"state": "FAILED", "duration_s": 900.0} if i == 150 else run,
    "faster from now on": slower(0.5, 150, 240),
    "more rows take longer": lambda i, run: (
        run | {"rows": run["rows"] * 2, "duration_s": run["duration_s"] * 2} if i >= 150 else run
    ),
    "a slower version that does more": lambda i, run: (
        run | {"version": "v2", "rows": run["rows"] * 2, "duration_s": run["duration_s"] * 1.9}
        if i >= 150
        else run
    ),
    "cancelled at once": lambda i, run: run | {"state": "CANCELLED", "duration_s": 1.0} if i == 150 else run,
    "a few retries": lambda i, run: run | {"retries": 1} if i % 60 == 0 else run,
    "memory at a new level that stays": lambda i, run: (
        run | {"memory_mb": run["memory_mb"] * 1.4} if i >= 150 else run
    ),
    "nothing to do at night": lambda i, run: (
        run | {"rows": 0, "duration_s": run["duration_s"] * 0.4} if i % 24 < 5 else run
    ),
    "two modes": lambda i, run: run | {"duration_s": run["duration_s"] * 12} if i % 4 == 1 else run,
    "nothing measured but the duration": lambda _, run: (
        run | {"rows": None, "memory_mb": None, "retries": None, "version": None}
    ),
}


@pytest.mark.parametrize("seed", [1, 2, 3])
@pytest.mark.parametrize("change", QUIET.values(), ids=QUIET)
def test_a_healthy_history_is_left_alone(
    history: Make, change: Callable[[int, Run], Run | None], seed: int
) -> None:
    assert kinds(history(change=change, seed=seed, limits={"memory_mb": 1500})) == []


def test_heavy_tails_are_no_news(history: Make) -> None:
    alarms = sum(len(kinds(history(1000, noise=0.8, seed=seed))) for seed in range(4))
    assert alarms <= 4


def test_an_explained_new_level_is_told_as_information(history: Make) -> None:
    series = history(
        change=lambda i, run: (
            run | {"version": "v2", "rows": run["rows"] * 2, "duration_s": run["duration_s"] * 1.4}
            if i >= 150
            else run
        )
    )
    told = [one for one in detect([series])["s"] if one.kind.startswith("duration")]
    assert told
    assert {one.severity for one in told} == {Severity.INFO}


def test_a_slow_run_in_a_quiet_hour_is_found(history: Make) -> None:
    def busy(i: int, run: Run) -> Run:
        swing = math.exp(1.0 * math.sin(i % 24 / 24 * 2 * math.pi))
        extra = 4 if i == 18 + 24 * 25 else 1
        return run | {"duration_s": run["duration_s"] * swing * extra, "rows": None}

    series = history(24 * 30, change=busy)
    assert kinds(series) == ["duration_spike"]
    assert found(series)[0].start == series.runs[18 + 24 * 25].start


def test_a_running_run_is_told_before_it_ends(history: Make) -> None:
    def hanging(i: int, run: Run) -> Run:
        return run | {"state": "RUNNING", "duration_s": None} if i == 239 else run

    series = history(change=hanging)
    last = series.runs[-1].start
    assert kinds(series.model_copy(update={"now": last + timedelta(seconds=70)})) == []
    hours_later = series.model_copy(update={"now": last + timedelta(hours=3)})
    assert kinds(hours_later) == ["stuck_run"]
    assert last < found(hours_later)[0].start < last + timedelta(minutes=10)


def test_silence_up_to_now_is_told(history: Make) -> None:
    series = history()
    late = series.model_copy(update={"now": series.runs[-1].start + timedelta(hours=4)})
    assert kinds(late) == ["missed_schedule"]


def test_a_pause_excuses_missing_runs(history: Make) -> None:
    series = history(change=lambda i, run: None if 150 <= i < 160 else run)
    begin = series.runs[149].start
    pause = {"from": begin + timedelta(seconds=10), "to": begin + timedelta(hours=11)}
    paused = RunSeries.model_validate(series.model_dump(exclude={"paused"}) | {"paused": [pause]})
    assert kinds(paused) == []


def test_without_a_schedule_nothing_is_missed(history: Make) -> None:
    series = history(change=lambda i, run: None if 150 <= i < 200 else run)
    assert kinds(series.model_copy(update={"schedule": None})) == []


def test_a_daily_schedule_keeps_its_local_time_over_the_change_of_clocks(history: Make) -> None:
    begin = history(1).runs[0].start
    runs = []
    for day in range(160):
        # 2026-03-29 is the change of clocks in Berlin: 06:00 there is 05:00 UTC before and 04:00 after.
        hour = 5 if day < 83 else 4
        at = begin.replace(hour=hour, minute=0, second=0, microsecond=0) + timedelta(days=day)
        runs.append(
            {"start": at + timedelta(seconds=2), "expected_start": at, "state": "COMPLETED", "duration_s": 60}
        )
    row = {"id": "s", "schedule": {"cron": "0 6 * * *", "timezone": "Europe/Berlin"}, "runs": runs}
    row["now"] = runs[-1]["start"] + timedelta(minutes=5)
    assert kinds(RunSeries.model_validate(row)) == []


@pytest.mark.parametrize(("n", "slow", "expected"), [(20, 15, ["duration_spike"]), (6, 5, []), (2, 1, [])])
def test_a_young_deployment_is_judged_carefully(
    history: Make, n: int, slow: int, expected: list[str]
) -> None:
    assert kinds(history(n, change=slower(6, slow, slow))) == expected


def test_a_mild_slowdown_of_a_whole_pool_is_told_for_each_deployment(history: Make) -> None:
    together = [
        history(200, change=slower(1.26, 150, 175), noise=0.18, seed=seed, id=f"s{seed}", work_pool="gpu")
        for seed in (11, 12, 13)
    ]
    alone = [one.model_copy(update={"work_pool": None}) for one in together]
    told = {
        ident for ident, alarms in detect(together).items() if "pool_slowdown" in {a.kind for a in alarms}
    }
    assert told == {"s11", "s12", "s13"}
    assert not any(a.kind == "pool_slowdown" for alarms in detect(alone).values() for a in alarms)


def test_one_slow_deployment_does_not_accuse_its_pool(history: Make) -> None:
    pool = [
        history(
            200,
            change=slower(1.6, 150, 175) if seed == 1 else None,
            seed=seed,
            id=f"s{seed}",
            work_pool="gpu",
        )
        for seed in (1, 2, 3)
    ]
    alarms = detect(pool)
    assert alarms["s1"]
    assert alarms["s2"] == alarms["s3"] == ()


def test_the_time_to_the_memory_limit_is_predicted(history: Make) -> None:
    series = history(change=growing, limits={"memory_mb": 1500})
    alarm = next(one for one in found(series) if one.kind == "memory_growth")
    met = next(run.start for run in series.runs if (run.memory_mb or 0) >= 1500)
    assert alarm.eta is not None
    assert abs((alarm.eta - met) / (met - alarm.start)) < 0.25


@pytest.mark.parametrize(
    "broken",
    [{"duration_s": float("nan")}, {"duration_s": -5.0}, {"duration_s": float("inf")}, {"duration_s": None},
     {"rows": float("nan")}, {"retries": -1.0}, {"memory_mb": float("inf")}],
    ids=str,
)  # fmt: skip
def test_impossible_values_are_ignored(history: Make, broken: Run) -> None:
    assert kinds(history(change=lambda i, run: run | broken if i % 50 == 49 else run)) == []


def test_an_empty_history_has_no_alarms(history: Make) -> None:
    assert detect([history(0)]) == {"s": ()}
    assert detect([]) == {}


def test_the_order_of_the_rows_does_not_matter(history: Make) -> None:
    series = history(change=slower(4, 180, 180))
    mixed = list(series.runs)
    random.Random(1).shuffle(mixed)
    assert detect([series.model_copy(update={"runs": tuple(mixed)})]) == detect([series])


def test_an_alarm_that_lasts_is_one_alarm(history: Make) -> None:
    alarms = found(history(change=states("FAILED", *range(150, 170))))
    assert len({one.kind for one in alarms}) == len(alarms)
    assert max(one.end for one in alarms) - min(one.start for one in alarms) > timedelta(hours=15)


def test_a_detector_that_raises_is_not_swallowed(history: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(_self: object, _run: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(StateChannel, "observe", broken)
    with pytest.raises(ZeroDivisionError):
        detect([history(10)])


def test_a_monitor_can_be_fed_run_by_run(history: Make) -> None:
    series = history(change=slower(4, 180, 180))
    monitor = Monitor(series.model_copy(update={"runs": ()}))
    counts = []
    for run in series.runs:
        monitor.observe(run)
        counts.append(len(monitor.findings))
    assert counts[179:182] == [0, 1, 1]
