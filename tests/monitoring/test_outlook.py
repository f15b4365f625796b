"""What is expected, with intervals that hold, and how far it was off."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from prefect_autopilot.models import RunRecord, StateRecord
from prefect_autopilot.monitoring.outlook import back_test, expected_failures, expected_finish, outlook

NOW = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)
DAY = timedelta(days=1)


def run(ago: timedelta, state: str = "COMPLETED", took: float | None = 60.0) -> RunRecord:
    at = NOW - ago
    fields: dict[str, Any] = {"flow_name": "orders", "start": at, "duration_s": took}
    stamp = f"{ago.total_seconds():.3f}"
    return RunRecord(id=stamp, state=StateRecord(id=stamp, type=state, name=state, timestamp=at), **fields)


def history(took: list[float]) -> list[RunRecord]:
    return [run(timedelta(hours=len(took) - i), took=value) for i, value in enumerate(took)]


# --- the end of a run in progress -----------------------------------------------------------------------


def test_a_run_that_just_began_ends_after_the_median() -> None:
    found = expected_finish(NOW, history([float(50 + i) for i in range(21)]), NOW)
    assert found is not None
    assert found.expected == NOW + timedelta(seconds=60)
    assert found.early == NOW + timedelta(seconds=51)
    assert found.late == NOW + timedelta(seconds=69)
    assert not found.overdue


def test_the_longer_a_run_takes_the_later_it_is_expected() -> None:
    runs = history([60.0] * 30 + [600.0] * 10)
    at_once = expected_finish(NOW, runs, NOW)
    later = expected_finish(NOW - timedelta(seconds=90), runs, NOW)
    assert at_once is not None
    assert later is not None
    assert at_once.expected == NOW + timedelta(seconds=60)
    assert later.expected == NOW - timedelta(seconds=90) + timedelta(seconds=600)
    assert later.n == 10


def test_a_run_longer_than_all_before_it_has_no_expected_end() -> None:
    found = expected_finish(NOW - timedelta(hours=1), history([60.0] * 30), NOW)
    assert found is not None
    assert found.overdue
    assert found.expected is None


@pytest.mark.parametrize("number", [0, 1, 9])
def test_few_runs_forecast_nothing(number: int) -> None:
    runs = history([60.0] * number)
    assert expected_finish(NOW, runs, NOW) is None
    assert expected_failures(runs, NOW) is None
    assert back_test(runs) is None


@given(st.lists(st.floats(0, 1e6), min_size=10, max_size=60), st.floats(0, 1e6))
@settings(max_examples=40)
def test_the_end_is_never_in_the_past(took: list[float], elapsed: float) -> None:
    start = NOW - timedelta(seconds=elapsed)
    found = expected_finish(start, history(took), NOW)
    assert found is not None
    if found.expected is not None and found.early is not None and found.late is not None:
        assert NOW - timedelta(milliseconds=1) <= found.early <= found.expected <= found.late


# --- failures of the next week --------------------------------------------------------------------------


def hourly(days: int, failing: int = 0) -> list[RunRecord]:
    """Hourly runs; every ``failing``-th fails."""
    return [
        run(timedelta(hours=hour), "FAILED" if failing and hour % failing == 0 else "COMPLETED")
        for hour in range(1, days * 24 + 1)
    ]


def test_failures_go_on_at_their_rate() -> None:
    found = expected_failures(hourly(28, failing=24), NOW)
    assert found is not None
    assert found.failed == 28
    assert found.expected == pytest.approx(7, rel=0.02)
    assert found.low < 7 < found.high
    assert found.high < 15


def test_no_failure_so_far_is_no_promise() -> None:
    found = expected_failures(hourly(7), NOW)
    assert found is not None
    assert (found.expected, found.low) == (0.0, 0.0)
    assert found.high >= 1


def test_a_longer_record_narrows_the_interval() -> None:
    short, long = (
        expected_failures(hourly(7, failing=24), NOW),
        expected_failures(hourly(28, failing=24), NOW),
    )
    assert short is not None
    assert long is not None
    assert long.high - long.low < short.high - short.low


def test_what_lies_further_back_than_four_weeks_does_not_count() -> None:
    old = [run(timedelta(days=40, hours=hour), "FAILED") for hour in range(200)]
    found = expected_failures([*old, *hourly(20)], NOW)
    assert found is not None
    assert found.failed == 0


def test_less_than_a_day_is_no_week() -> None:
    assert expected_failures([run(timedelta(minutes=i)) for i in range(1, 100)], NOW) is None


@pytest.mark.parametrize("rate", [0.5, 3.0, 20.0])
def test_nine_weeks_in_ten_lie_within_the_interval(rate: float) -> None:
    chance = random.Random(7)
    inside, share = 0, rate / 168
    made = [[run(timedelta(hours=h), state) for state in ("COMPLETED", "FAILED")] for h in range(1, 672)]
    for _ in range(150):
        past = [either[chance.random() < share] for either in made]
        found = expected_failures(past, NOW)
        assert found is not None
        inside += found.low <= sum(chance.random() < share for _ in range(168)) <= found.high
    assert inside >= 0.84 * 150


@pytest.mark.timeout(30)
def test_very_many_failures_are_no_trouble() -> None:
    runs = [run(timedelta(minutes=minute), "FAILED") for minute in range(1, 20_000)]
    found = expected_failures(runs, NOW)
    assert found is not None
    assert found.low < found.expected < found.high


# --- back-test ------------------------------------------------------------------------------------------


def test_a_regular_flow_was_foreseen() -> None:
    found = back_test(history([60.0] * 50))
    assert found is not None
    assert (found.error, found.covered, found.n) == (0.0, 1.0, 40)


def test_the_error_is_that_of_what_was_known_then() -> None:
    found = back_test(history([60.0] * 20 + [120.0] * 10))
    assert found is not None
    assert found.n == 20
    assert found.covered < 1


def test_an_irregular_flow_says_so() -> None:
    chance = random.Random(3)
    calm = back_test(history([60 + chance.random() for _ in range(100)]))
    wild = back_test(history([60 * 2 ** chance.gauss(0, 2) for _ in range(100)]))
    assert calm is not None
    assert wild is not None
    assert calm.error < 0.02
    assert wild.error > 0.3
    assert wild.covered > 0.75


@pytest.mark.parametrize("took", [-5.0, float("nan"), float("inf"), None])
def test_impossible_durations_do_not_count(took: float | None) -> None:
    runs = [*history([60.0] * 30), run(timedelta(minutes=5), took=took)]
    assert back_test(runs) == back_test(history([60.0] * 30))


# --- all of it ------------------------------------------------------------------------------------------


def test_the_outlook_has_an_end_for_each_run_in_progress() -> None:
    begun = run(timedelta(seconds=20), "RUNNING", None)
    found = outlook([*hourly(9), begun], NOW)
    assert set(found.running) == {begun.id}
    assert found.running[begun.id].expected == NOW + timedelta(seconds=40)
    assert found.back_test is not None
    assert found.failures_next_week is not None


def test_the_outlook_of_nothing_is_empty() -> None:
    found = outlook([], NOW)
    assert (found.failures_next_week, found.back_test, found.running) == (None, None, {})


def test_failures_are_told_of_the_newer_half_from_the_older_one() -> None:
    even = expected_failures(hourly(28, failing=24), NOW)
    assert even is not None
    assert even.tested is not None
    assert even.tested.low <= even.tested.came <= even.tested.high
    assert even.tested.expected == pytest.approx(14, abs=1)
    worse = [
        run(timedelta(hours=i), "FAILED" if i < 200 and i % 4 == 0 else "COMPLETED") for i in range(1, 672)
    ]
    got_worse = expected_failures(worse, NOW)
    assert got_worse is not None
    assert got_worse.tested is not None
    assert got_worse.tested.came == 49 > got_worse.tested.high
    short = expected_failures(hourly(2, failing=24)[:40], NOW)
    assert short is not None
    assert short.tested is None
