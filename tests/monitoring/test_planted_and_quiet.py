"""Whole histories through ``detect``: planted trouble by size, place and noise, and quiet ones."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from prefect_autopilot.models import Anomaly, HistoryRun, RunSeries, Severity
from prefect_autopilot.monitoring import detect, novelty
from prefect_autopilot.monitoring.monitor import INCIDENT_RUNS, Monitor
from prefect_autopilot.monitoring.pools import Lean, together
from prefect_autopilot.monitoring.sample import Finding, moment, sample, seconds

Run = dict[str, Any]
Make = Callable[..., RunSeries]
Alter = Callable[[int, Run], Run | None]


def alarms(series: RunSeries) -> tuple[Anomaly, ...]:
    return tuple(one for one in detect([series])[series.id] if one.severity is not Severity.INFO)


def kinds(series: RunSeries) -> set[str]:
    return {one.kind for one in alarms(series)}


def place_of(series: RunSeries, alarm: Anomaly) -> int:
    return sum(run.start < alarm.start for run in series.runs)


def times(factor: float, key: str, first: int, last: int = 10_000) -> Alter:
    return lambda i, run: run | {key: run[key] * factor} if first <= i <= last else run


# --- planted --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("noise", [0.03, 0.1, 0.2])
@pytest.mark.parametrize("place", [45, 120, 230])
@pytest.mark.parametrize("size", [4.0, 8.0])
def test_a_slow_run_is_found_at_its_place(history: Make, size: float, place: int, noise: float) -> None:
    series = history(change=times(size, "duration_s", place, place), noise=noise)
    (alarm,) = alarms(series)
    assert (alarm.kind, alarm.severity) == ("duration_spike", Severity.MEDIUM)
    assert alarm.start == series.runs[place].start
    assert alarm.end >= alarm.start


@pytest.mark.parametrize("noise", [0.03, 0.1])
@pytest.mark.parametrize("place", [90, 150])
@pytest.mark.parametrize("size", [1.4, 1.8, 3.0])
def test_a_new_level_is_one_high_alarm(history: Make, size: float, place: int, noise: float) -> None:
    series = history(change=times(size, "duration_s", place), noise=noise)
    lasting = [one for one in alarms(series) if one.severity is Severity.HIGH]
    assert len(lasting) == 1
    assert lasting[0].kind in {"duration_shift", "duration_drift"}
    assert place <= place_of(series, lasting[0]) <= place + 30


@pytest.mark.parametrize("slope", [0.005, 0.01, 0.02])
def test_a_drift_is_found_before_the_duration_has_doubled(history: Make, slope: float) -> None:
    def drifting(i: int, run: Run) -> Run:
        return run | {"duration_s": run["duration_s"] * (1 + slope * max(0, i - 100))}

    found = [one for one in alarms(history(340, change=drifting)) if one.severity is Severity.HIGH]
    assert found
    assert (found[0].start - datetime(2026, 1, 5, tzinfo=UTC)) < timedelta(hours=100 + 1 / slope)


@pytest.mark.parametrize("length", [3, 5, 9])
@pytest.mark.parametrize("place", [0, 20, 60, 200])
def test_failures_in_a_row_are_told_at_the_third(history: Make, place: int, length: int) -> None:
    series = history(change=lambda i, run: run | {"state": "FAILED"} if place <= i < place + length else run)
    (alarm, *_) = alarms(series)
    assert alarm.kind == "consecutive_failures"
    assert alarm.start == series.runs[place + 2].start


@pytest.mark.parametrize("gap", [1, 3, 10])
@pytest.mark.parametrize("interval", [600, 3600, 86_400])
def test_missing_runs_are_told_near_the_first_of_them(history: Make, interval: int, gap: int) -> None:
    series = history(60, change=lambda i, run: None if 40 <= i < 40 + gap else run, interval=interval)
    (alarm,) = alarms(series)
    due = datetime(2026, 1, 5, tzinfo=UTC) + timedelta(seconds=40 * interval)
    assert (alarm.kind, alarm.score) == ("missed_schedule", gap)
    assert due < alarm.start <= due + timedelta(minutes=16)
    assert alarm.severity is (Severity.MEDIUM if gap == 1 else Severity.HIGH)


@pytest.mark.parametrize("hours", [1, 6, 48])
def test_a_hanging_run_is_told_whatever_its_length(history: Make, hours: int) -> None:
    series = history(
        80,
        change=lambda i, run: run | {"state": "CANCELLED", "duration_s": hours * 3600.0} if i == 79 else run,
    )
    assert "stuck_run" in kinds(series)


@pytest.mark.parametrize("n", [0, 1, 2, 3, 9, 10, 29, 30])
def test_a_cold_start_of_any_length_is_silent(history: Make, n: int) -> None:
    for seed in range(5):
        assert alarms(history(n, seed=seed)) == ()


@pytest.mark.parametrize(
    ("n", "expected"),
    [(2, set()), (3, set()), (9, set()), (10, {"duration_spike"}), (30, {"duration_spike"})],
)
def test_the_last_of_so_many_runs_being_slow_is_told_from_the_tenth(
    history: Make, n: int, expected: set[str]
) -> None:
    assert kinds(history(n, change=times(20, "duration_s", n - 1, n - 1))) == expected


def test_several_troubles_at_once_are_told_as_several(history: Make) -> None:
    def trouble(i: int, run: Run) -> Run:
        if i == 180:
            return run | {"duration_s": run["duration_s"] * 6, "rows": 0}
        return run | {"retries": 3} if i >= 150 and i % 2 else run

    assert {"duration_spike", "silent_zero_rows", "retry_rate"} <= kinds(history(change=trouble))


# --- quiet ----------------------------------------------------------------------------------------------

START = datetime(2026, 1, 5, tzinfo=UTC)


def quiet_history(
    moments: Iterable[datetime], seed: int, took: Callable[[datetime, random.Random], float], **more: Any
) -> RunSeries:
    rng = random.Random(seed)
    runs = [
        {
            "start": at + timedelta(seconds=rng.uniform(1, 5)),
            "expected_start": at,
            "state": "COMPLETED",
            "duration_s": took(at, rng),
            "version": "v1",
            "retries": 0,
        }
        for at in moments
    ]
    now = runs[-1]["start"] + timedelta(minutes=10)
    return RunSeries.model_validate({"id": "q", "deployment": "q", "now": now, "runs": runs} | more)


def every(hours: float, n: int) -> list[datetime]:
    return [START + timedelta(hours=hours * i) for i in range(n)]


def on_the_wall(zone: str, hours: Iterable[int], days: int, first: datetime = START) -> list[datetime]:
    """Fires of a cron expression at full hours, each real moment once."""
    found = {
        (first + timedelta(days=day)).replace(hour=hour, tzinfo=ZoneInfo(zone)).astimezone(UTC)
        for day in range(days)
        for hour in hours
    }
    return sorted(found)


def plain(_: datetime, rng: random.Random) -> float:
    return 60 * rng.lognormvariate(0, 0.1)


def by_day(at: datetime, rng: random.Random) -> float:
    return 60 * math.exp(0.6 * math.sin(at.hour / 24 * 2 * math.pi)) * rng.lognormvariate(0, 0.08)


def by_weekend(at: datetime, rng: random.Random) -> float:
    return 60 * (2.2 if at.weekday() > 4 else 1) * rng.lognormvariate(0, 0.08)


def pareto(_: datetime, rng: random.Random) -> float:
    return 30 * rng.paretovariate(2.5)


def two_modes(_: datetime, rng: random.Random) -> float:
    return (600 if rng.random() < 0.3 else 40) * rng.lognormvariate(0, 0.1)


def three_modes(_: datetime, rng: random.Random) -> float:
    return rng.choice([20, 120, 600]) * rng.lognormvariate(0, 0.1)


QUIET: dict[str, tuple[Callable[[], list[datetime]], Callable[[datetime, random.Random], float], int]] = {
    "plain": (lambda: every(1, 400), plain, 0),
    "quarter-hourly": (lambda: every(0.25, 800), plain, 0),
    "daily": (lambda: every(24, 120), plain, 0),
    "weekly": (lambda: every(168, 40), plain, 0),
    "a busy day and a calm night": (lambda: every(1, 24 * 28), by_day, 1),
    "heavy tails": (lambda: every(1, 600), pareto, 1),
    "two modes": (lambda: every(1, 500), two_modes, 2),
    "three modes": (lambda: every(1, 500), three_modes, 1),
}


@pytest.mark.parametrize("name", QUIET)
def test_quiet_histories_stay_quiet(name: str) -> None:
    moments, took, tolerated = QUIET[name]
    told = sum(len(alarms(quiet_history(moments(), seed, took))) for seed in range(4))
    assert told <= tolerated


@pytest.mark.parametrize("seed", range(3))
def test_a_slow_weekend_is_usual_from_the_third_on(seed: int) -> None:
    series = quiet_history(every(1, 24 * 35), seed, by_weekend)
    assert all(one.start < START + timedelta(days=14) for one in alarms(series))


@pytest.mark.parametrize("zone", ["Europe/Berlin", "America/New_York", "Australia/Sydney"])
@pytest.mark.parametrize(("cron", "hours"), [("0 6 * * *", [6]), ("0 */6 * * *", [0, 6, 12, 18])])
def test_a_year_with_both_changes_of_clocks_is_quiet(zone: str, cron: str, hours: list[int]) -> None:
    series = quiet_history(on_the_wall(zone, hours, 330), 1, plain, schedule={"cron": cron, "timezone": zone})
    assert alarms(series) == ()


def test_an_hourly_cron_over_a_change_of_clocks_is_quiet() -> None:
    first = datetime(2026, 10, 19, tzinfo=UTC)
    series = quiet_history(
        on_the_wall("Europe/Berlin", range(24), 14, first),
        1,
        plain,
        schedule={"cron": "0 * * * *", "timezone": "Europe/Berlin"},
    )
    assert alarms(series) == ()


def test_working_days_only_are_no_gap() -> None:
    moments = [one for one in every(24, 120) if one.weekday() < 5]
    series = quiet_history(moments, 1, plain, schedule={"cron": "0 0 * * 1-5", "timezone": "UTC"})
    assert alarms(series) == ()


def test_a_holiday_with_the_schedule_paused_is_no_gap() -> None:
    moments = [one for one in every(1, 500) if not 200 <= (one - START) / timedelta(hours=1) < 368]
    pause = {"from": START + timedelta(hours=199.5), "to": START + timedelta(hours=367.5)}
    hourly = {"interval": 3600, "anchor_date": START.isoformat()}
    assert alarms(quiet_history(moments, 1, plain, schedule=hourly, paused=[pause])) == ()
    assert kinds(quiet_history(moments, 1, plain, schedule=hourly)) == {"missed_schedule"}


def test_runs_by_hand_now_and_then_are_quiet() -> None:
    rng = random.Random(4)
    at, moments = START, []
    for _ in range(60):
        at += timedelta(hours=rng.expovariate(1 / 50))
        moments.append(at)
    assert alarms(quiet_history(moments, 1, plain)) == ()


# --- only what was known --------------------------------------------------------------------------------

ODD = st.tuples(
    st.integers(0, 119),
    st.sampled_from(
        [
            {"duration_s": 900.0}, {"duration_s": None}, {"duration_s": 0.0}, {"state": "FAILED"},
            {"state": "CRASHED"}, {"state": "CANCELLED", "duration_s": 5000.0}, {"rows": 0}, {"rows": 10},
            {"retries": 3}, {"memory_mb": 5000.0}, {"version": "v2"}, None,
        ]
    ),
)  # fmt: skip


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(ODD, max_size=40), st.integers(10, 119), st.integers(0, 50))
def test_the_alarms_of_a_beginning_are_the_beginning_of_the_alarms(
    history: Make, odd: list[tuple[int, Run | None]], cut: int, seed: int
) -> None:
    changes = dict(odd)

    def change(i: int, run: Run) -> Run | None:
        wanted = changes.get(i, {})
        return None if wanted is None else run | wanted

    series = history(120, change=change, seed=seed)
    whole, part = Monitor(series), Monitor(series)
    raised: list[tuple[str, float]] = []
    for i, run in enumerate(series.runs):
        whole.observe(run)
        if i < cut:
            part.observe(run)
            raised = [(one.kind, one.start) for one in part.findings]
    told = [(one.kind, one.start) for one in whole.findings]
    assert set(raised) <= set(told)
    last = seconds(series.runs[min(cut, len(series.runs)) - 1].start)
    assert {one for one in told if one[1] <= last and one[0] != "missed_schedule"} <= set(raised)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(ODD, max_size=60), st.integers(0, 50))
def test_whatever_is_odd_alarms_are_in_order_and_complete(
    history: Make, odd: list[tuple[int, Run | None]], seed: int
) -> None:
    changes = dict(odd)

    def change(i: int, run: Run) -> Run | None:
        wanted = changes.get(i, {})
        return None if wanted is None else run | wanted

    found = detect([history(120, change=change, seed=seed, limits={"memory_mb": 1500})])["s"]
    assert [one.start for one in found] == sorted(one.start for one in found)
    for one in found:
        assert one.end >= one.start
        assert math.isfinite(one.score)
        assert one.score > 0
        assert one.reason


# --- bad data -------------------------------------------------------------------------------------------

NAN, INF = float("nan"), float("inf")


@pytest.mark.parametrize("place", [0, 5, 100, 239])
@pytest.mark.parametrize(
    "broken",
    [
        {"duration_s": NAN}, {"duration_s": INF}, {"duration_s": -INF}, {"duration_s": -1.0},
        {"rows": NAN}, {"rows": -3.0}, {"memory_mb": NAN}, {"memory_mb": 0.0}, {"memory_mb": -1.0},
        {"retries": NAN}, {"retries": INF}, {"state": "UNHEARD_OF"}, {"state": ""}, {"version": None},
        {"version": "ü火\n"}, {"expected_start": None},
    ],
    ids=str,
)  # fmt: skip
def test_one_broken_run_is_no_alarm(history: Make, broken: Run, place: int) -> None:
    assert alarms(history(change=lambda i, run: run | broken if i == place else run)) == ()


@pytest.mark.parametrize("duration", [1e12, 1e300])
def test_a_duration_beyond_the_calendar_is_told_and_breaks_nothing(history: Make, duration: float) -> None:
    series = history(now=datetime(2026, 2, 1, tzinfo=UTC), schedule={"interval": 1e9})
    runs = [
        run.model_copy(update={"duration_s": duration}) if i == 200 else run
        for i, run in enumerate(series.runs)
    ]
    (alarm,) = alarms(series.model_copy(update={"runs": tuple(runs)}))
    assert alarm.kind == "duration_spike"
    assert alarm.end.year == 9998


@pytest.mark.parametrize("limit", [0.0, -1.0, NAN, INF, 1e-300, 1e300])
def test_no_memory_limit_breaks_a_judgement(history: Make, limit: float) -> None:
    series = history(change=times(1.0, "memory_mb", 0), limits={"memory_mb": limit})
    assert alarms(series) == ()


def test_runs_without_a_zone_are_in_utc(history: Make) -> None:
    series = history(change=times(6, "duration_s", 150, 150))
    bare = [
        run.model_copy(update={"start": run.start.replace(tzinfo=None), "expected_start": None})
        for run in series.runs
    ]
    (alarm,) = alarms(series.model_copy(update={"runs": tuple(bare), "schedule": None}))
    assert alarm.start == series.runs[150].start


@pytest.mark.parametrize("seed", range(3))
def test_rows_in_any_order_are_judged_alike(history: Make, seed: int) -> None:
    series = history(change=times(5, "duration_s", 150, 150))
    mixed = list(series.runs)
    random.Random(seed).shuffle(mixed)
    assert detect([series.model_copy(update={"runs": tuple(mixed)})]) == detect([series])


def test_a_gap_of_years_is_one_alarm(history: Make) -> None:
    def late(i: int, run: Run) -> Run:
        moved = timedelta(days=800 if i >= 100 else 0)
        return run | {"start": run["start"] + moved, "expected_start": run["expected_start"] + moved}

    series = history(change=late)
    assert [one.kind for one in alarms(series)] == ["missed_schedule"]


def test_every_run_twice_is_no_alarm(history: Make) -> None:
    series = history()
    assert (
        alarms(series.model_copy(update={"runs": tuple(run for one in series.runs for run in (one, one))}))
        == ()
    )


def test_series_of_one_name_and_several_ids_are_kept_apart(history: Make) -> None:
    good, bad = history(id="a"), history(id="b", change=times(6, "duration_s", 150, 150))
    found = detect([good, bad])
    assert found["a"] == ()
    assert len(found["b"]) == 1


# --- what leaves the monitor ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("apart", "incidents"), [(1, 1), (INCIDENT_RUNS, 1), (INCIDENT_RUNS + 1, 2), (60, 2)]
)
def test_findings_near_each_other_are_one_incident(history: Make, apart: int, incidents: int) -> None:
    monitor = Monitor(history(0))
    runs = history(100).runs
    for i, run in enumerate(runs):
        monitor.observe(run)
        if i in {10, 10 + apart}:
            at = seconds(run.start)
            monitor.tell(Finding(at, at + 60, "made_up", Severity.LOW, 1.0, "because"))
    assert len(monitor.findings) == incidents
    assert monitor.findings[0].end >= monitor.findings[0].start


def test_incidents_of_two_kinds_stay_two(history: Make) -> None:
    monitor = Monitor(history(0))
    monitor.tell(Finding(5.0, 6.0, "one", Severity.LOW, 1.0, "x"))
    monitor.tell(Finding(1.0, 9.0, "other", Severity.LOW, 1.0, "x"))
    monitor.tell(Finding(7.0, 8.0, "one", Severity.LOW, 1.0, "x"))
    assert [(one.kind, one.start, one.end) for one in monitor.findings] == [
        ("other", 1.0, 9.0),
        ("one", 5.0, 8.0),
    ]


@pytest.mark.parametrize("value", [-1e300, -1e15, 1e15, 1e300, INF, -INF])
def test_a_moment_never_leaves_the_calendar(value: float) -> None:
    assert 2 <= moment(value).year <= 9998


@pytest.mark.parametrize("value", [NAN, INF, -1.0, None])
@pytest.mark.parametrize("name", ["duration_s", "retries", "rows", "memory_mb"])
def test_a_sample_holds_only_amounts(name: str, value: float | None) -> None:
    seen = sample(0, HistoryRun(start=START, state="COMPLETED", **{name: value}))
    assert (seen.duration, seen.retries, seen.rows, seen.memory) == (None,) * 4
    assert seen.end == seen.start


# --- pools ----------------------------------------------------------------------------------------------


def leans(
    errors: Iterable[float], *, amount: float = 0.3, rounds: int = 6, from_round: int = 3
) -> list[Lean]:
    return [
        Lean(3600.0 * number + i, f"d{i}", error if number >= from_round else 0.0, amount)
        for number in range(rounds)
        for i, error in enumerate(errors)
    ]


@pytest.mark.parametrize(
    ("errors", "expected"),
    [
        ([4.0, 4.0, 4.0], {"d0", "d1", "d2"}),
        ([4.0, 4.0], set()),
        ([4.0, 4.0, 0.0], set()),
        ([4.0, 4.0, 4.0, 0.0], {"d0", "d1", "d2"}),
        ([4.0, 4.0, 4.0, 0.0, 0.0], set()),
        ([9.0, 0.0, 0.0, 0.0], set()),
        ([2.3, 2.3, 2.3], set()),
        # So little evidence is enough only when all eight show it.
        ([2.3] * 8, {f"d{i}" for i in range(8)}),
        ([-9.0, -9.0, -9.0], set()),
    ],
    ids=["3 of 3", "2", "2 of 3", "3 of 4", "3 of 5", "one", "weak", "many weak", "faster"],
)  # fmt: skip
def test_a_pool_is_slow_when_most_of_it_is(errors: list[float], expected: set[str]) -> None:
    assert {name for name, _ in together(leans(errors))} == expected


def test_a_slow_pool_is_told_once_for_each_until_it_was_well() -> None:
    once = [name for name, _ in together(leans([4.0] * 3, rounds=30))]
    assert sorted(once) == ["d0", "d1", "d2"]
    again = leans([4.0] * 3, rounds=10) + [
        Lean(3600.0 * number + i, f"d{i}", 4.0 if number >= 20 else 0.0, 0.3)
        for number in range(10, 30)
        for i in range(3)
    ]
    assert len(list(together(again))) == 6


def test_a_slowdown_too_small_to_matter_is_not_told_however_clear() -> None:
    assert list(together(leans([50.0] * 5, amount=math.log(1.05)))) == []


def test_a_deployment_that_stopped_running_does_not_vote() -> None:
    gone = [Lean(3600.0 * number, "gone", 0.0, 0.0) for number in range(2)]
    assert {name for name, _ in together(gone + leans([4.5] * 3, rounds=12, from_round=9))} == {
        "d0",
        "d1",
        "d2",
    }


# --- novelty --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("place", [20, 150, 230])
@pytest.mark.parametrize("seed", [1, 2])
def test_a_run_odd_in_several_measures_ranks_first(history: Make, place: int, seed: int) -> None:
    def odd(i: int, run: Run) -> Run:
        return (
            run | {"duration_s": 25.0, "rows": 900, "memory_mb": 900.0, "retries": 3} if i == place else run
        )

    series = history(change=odd, seed=seed)
    first, *_ = novelty(series)
    assert first.start == series.runs[place].start
    assert first.kind == "novelty"


def test_novelty_is_information_whatever_was_planted(history: Make) -> None:
    def wild(i: int, run: Run) -> Run:
        return (
            run | {"state": "FAILED", "duration_s": 9e5, "rows": 0, "memory_mb": 1e6} if i % 40 == 3 else run
        )

    found = novelty(history(change=wild))
    assert {one.severity for one in found} <= {Severity.INFO}
    assert [one.score for one in found] == sorted((one.score for one in found), reverse=True)


def test_novelty_is_the_same_every_time(history: Make) -> None:
    series = history(change=times(6, "rows", 150, 152))
    assert novelty(series) == novelty(series)


def test_a_higher_bar_finds_no_more(history: Make) -> None:
    series = history(change=times(8, "memory_mb", 150, 152))
    assert (
        len(novelty(series, threshold=20.0))
        <= len(novelty(series, threshold=6.0))
        <= len(novelty(series, threshold=3.0))
    )


@pytest.mark.parametrize("blank", ["rows", "memory_mb", "retries", "expected_start"])
def test_novelty_does_without_what_was_not_measured(history: Make, blank: str) -> None:
    assert len(novelty(history(change=lambda _, run: run | {blank: None}))) <= 3


def test_runs_that_are_all_equal_are_not_novel() -> None:
    runs = [
        HistoryRun(start=START + timedelta(hours=i), state="COMPLETED", duration_s=60.0) for i in range(120)
    ]
    assert novelty(RunSeries(id="e", runs=tuple(runs))) == ()
