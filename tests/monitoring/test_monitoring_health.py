from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest

from prefect_autopilot.models import RunRecord
from prefect_autopilot.monitoring import baselines, health, metrics

Records = Callable[..., list[RunRecord]]
GOOD = ["COMPLETED"] * 100


def test_a_clean_history_is_healthy(records: Records, now: datetime) -> None:
    for seed in range(30):
        score = health("w", records(GOOD, seed=seed), now)
        assert (score.status, score.runs) == ("healthy", 100)
        assert score.score is not None
        assert score.score >= 90


@pytest.mark.parametrize("n", [0, 1, 4])
def test_too_few_runs_are_unknown_and_not_healthy(records: Records, now: datetime, n: int) -> None:
    score = health("w", records(["COMPLETED"] * n), now)
    assert (score.status, score.score, score.runs) == ("unknown", None, n)


def test_cancelled_runs_do_not_make_a_health(records: Records, now: datetime) -> None:
    assert health("w", records(["CANCELLED"] * 20), now).status == "unknown"


@pytest.mark.parametrize(
    ("states", "component"),
    [
        (GOOD[:80] + ["FAILED", "COMPLETED"] * 10, "reliability"),
        (GOOD + ["CRASHED"] * 3, "reliability"),
    ],
    ids=["many failures", "failing now"],
)
def test_failures_cost_twenty_points_or_more(
    records: Records, now: datetime, states: list[str], component: str
) -> None:
    score = health("w", records(states), now)
    assert score.score is not None
    assert score.score <= 80
    assert score.deductions[0].component == component
    assert score.reason == score.deductions[0].reason


def test_health_recovers_after_enough_good_runs(records: Records, now: datetime) -> None:
    assert health("w", records(["FAILED"] * 20 + ["COMPLETED"] * 60), now).score == 100


def changed(runs: list[RunRecord], last: int, **changes: Any) -> list[RunRecord]:
    return runs[:-last] + [run.model_copy(update=changes) for run in runs[-last:]]


def test_each_component_is_deducted_by_name(
    records: Records, record: Callable[..., RunRecord], now: datetime
) -> None:
    good = records(GOOD)
    late = [
        run.model_copy(update={"expected_start": (run.start or now) - timedelta(minutes=20)})
        for run in good[-10:]
    ]
    hanging = record(999, "RUNNING", start=now - timedelta(hours=2), duration=None)
    cases = {
        "performance": changed(good, 15, duration_s=140.0),
        "stability": changed(good, 40, run_count=3),
        "timeliness": good[:-10] + late,
        "freshness": [
            run.model_copy(update={"start": (run.start or now) - timedelta(days=2)}) for run in good
        ],
    }
    for component, runs in cases.items():
        score = health("w", runs, now)
        assert [one.component for one in score.deductions] == [component]
        assert score.score is not None
        assert score.score <= 80
    assert health("w", [*good, hanging], now).deductions[0].component == "stability"


def test_the_worst_deduction_stands_first(records: Records, now: datetime) -> None:
    runs = changed(records(GOOD[:60] + ["FAILED", "COMPLETED"] * 20), 30, run_count=2)
    points = [one.points for one in health("w", runs, now).deductions]
    assert len(points) >= 2
    assert points == sorted(points, reverse=True)


def value(runs: list[RunRecord], now: datetime, name: str) -> float:
    return next(metric.value for metric in metrics("w", runs, now) if metric.name == name)


def test_metrics_are_measured_over_the_newest_runs(records: Records, now: datetime) -> None:
    runs = records(["FAILED"] * 50 + ["COMPLETED"] * 40 + ["FAILED"] * 10, duration=30.0)
    assert value(runs, now, "error_rate") == pytest.approx(0.2)
    assert value(runs, now, "completion_rate") == pytest.approx(0.8)
    assert value(runs, now, "response_time") == 30.0
    assert value(runs, now, "lateness") == 2.0
    assert value(runs, now, "throughput") == pytest.approx(24 / 24, abs=0.05)
    assert {metric.tags["workflow_id"] for metric in metrics("w", runs, now)} == {"w"}


def test_nothing_is_measured_of_nothing(now: datetime) -> None:
    assert metrics("w", [], now) == ()
    assert baselines("w", [], now) == {}


def test_failed_runs_tell_nothing_about_the_response_time(records: Records, now: datetime) -> None:
    names = {metric.name for metric in metrics("w", records(["FAILED"] * 10), now)}
    assert "response_time" not in names
    assert "error_rate" in names


def test_a_run_seen_twice_counts_once(records: Records, now: datetime) -> None:
    runs = records(["COMPLETED"] * 9 + ["FAILED"])
    assert metrics("w", [*runs, *runs], now) == metrics("w", runs, now)


def test_baselines_are_the_blocks_before_the_newest_runs(records: Records, now: datetime) -> None:
    runs = records(["COMPLETED"] * 50 + ["FAILED"] * 50 + ["COMPLETED"] * 50)
    assert baselines("w", runs, now)[("w", "error_rate")] == [0.0, 1.0]
