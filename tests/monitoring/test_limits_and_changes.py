"""Limits people set, changes that may be why, what is still being learned, and what alerts have in common."""

from __future__ import annotations

import math
import random
import re
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from prefect_autopilot.models import (
    AlertPolicy,
    AlertType,
    HistoryRun,
    RunRecord,
    RunSeries,
    Severity,
    StateRecord,
    WorkflowAlert,
)
from prefect_autopilot.monitoring import detect, health, trends
from prefect_autopilot.monitoring.forecasts import missed_by
from prefect_autopilot.monitoring.groups import regroup
from prefect_autopilot.monitoring.limits import limits_of

FIRST = datetime(2026, 1, 5, tzinfo=UTC)
HOUR = timedelta(hours=1)


def run(number: int = 0, **more: Any) -> RunRecord:
    at = FIRST + number * HOUR
    state = StateRecord(id=f"s{number}", type="COMPLETED", name="Completed", timestamp=at)
    fields: dict[str, Any] = {
        "id": f"r{number}", "flow_name": "orders", "state": state, "start": at, "end": at, "duration_s": 60.0,
    }  # fmt: skip
    return RunRecord.model_validate(fields | more)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({}, {}),
        ({"tags": ["limit:duration_s=600", "team-a"]}, {"duration_s": 600.0}),
        ({"tags": ["limit:lateness_s=30", "limit:memory_mb=900"]}, {"lateness_s": 30.0, "memory_mb": 900.0}),
        ({"tags": ["limit:duration_s=soon", "limit:duration_s", "limit:=5", "limit:Rows=5"]}, {}),
        ({"tags": ["limit:rows=5", "limit:disk_mb=900"]}, {"rows": 5.0, "disk_mb": 900.0}),
        ({"tags": ["limit:duration_s=0", "limit:lateness_s=-1", "limit:memory_mb=nan"]}, {}),
        ({"job_variables": {"mem_limit": "512m"}}, {"memory_mb": 512.0}),
        ({"job_variables": {"mem_limit": "2g"}}, {"memory_mb": 2048.0}),
        ({"job_variables": {"memory": "4Gi"}}, {"memory_mb": 4096.0}),
        ({"job_variables": {"memory": 4096}}, {"memory_mb": 4096.0}),
        ({"job_variables": {"mem_limit": 536870912}}, {"memory_mb": 512.0}),
        ({"job_variables": {"memory": "a lot"}}, {}),
        ({"job_variables": {"memory": True, "mem_limit": None}}, {}),
        ({"job_variables": {"memory": "0"}}, {}),
        ({"job_variables": {"memory": "4Gi"}, "tags": ["limit:memory_mb=100"]}, {"memory_mb": 100.0}),
    ],
)  # fmt: skip
def test_limits_are_read_from_tags_and_infrastructure(
    given: dict[str, Any], expected: dict[str, float]
) -> None:
    assert limits_of([run(), run(**given)]) == expected


def test_without_a_run_there_is_no_limit() -> None:
    assert limits_of([]) == {}


def test_a_limit_has_a_time_at_which_it_is_met() -> None:
    runs = [run(i, duration_s=100.0 + i + i % 3, tags=["limit:duration_s=600"]) for i in range(200)]
    now = FIRST + 200 * HOUR
    (found, *_) = trends(runs, limits_of(runs), now)
    assert found.limit == 600
    assert found.eta is not None
    assert 270 < (found.eta - now) / HOUR < 330
    assert found.eta_early is not None
    assert found.eta_late is not None
    assert found.eta_early < found.eta < found.eta_late
    assert (found.eta_late - found.eta_early) / HOUR < 60
    assert found.tests == 5
    assert found.error is not None
    assert found.error < 0.02


def test_the_back_test_of_a_trend_tells_how_far_lines_were_off() -> None:
    def back(values: list[float]) -> list[float]:
        return missed_by([float(day) for day in range(len(values))], values)

    assert max(back([10.0 + day for day in range(100)])) < 1e-9
    # The newest tenth came down to half of what every line before had said.
    assert back([100.0] * 90 + [50.0] * 10) == pytest.approx([0, 0, 0, 0, 1.0])
    assert back([100.0] * 12) == []
    assert back([0.0] * 100) == []


@pytest.mark.parametrize(
    ("metric", "limits", "expected"),
    [
        ("memory_mb", {}, True),
        ("rows", {}, False),
        ("rows", {"rows": 900.0}, True),
        ("disk_mb", {"disk_mb": 900.0}, True),
        ("disk_mb", {"rows": 900.0}, False),
    ],
)
def test_memory_and_what_has_a_limit_have_a_trend(
    metric: str,
    limits: dict[str, float],
    expected: bool,  # noqa: FBT001
) -> None:
    grown = {"memory_mb": 400.0, "rows": 400.0, "disk_mb": 400.0}
    runs = [run(i, measures={name: value + i for name, value in grown.items()}) for i in range(100)]
    found = {one.metric: one for one in trends(runs, limits, FIRST + 100 * HOUR)}
    assert (metric in found) is expected
    if expected:
        assert found[metric].slope_per_day == pytest.approx(24, rel=0.01)
        assert (found[metric].eta is not None) is (metric in limits)


def test_failed_runs_and_impossible_measures_make_no_trend() -> None:
    ended = StateRecord(id="s", type="FAILED", name="Failed", timestamp=FIRST)
    failed = [run(i, state=ended, measures={"memory_mb": 5.0 * i}) for i in range(50)]
    odd = [run(i, measures={"memory_mb": math.nan}) for i in range(50)]
    for runs in (failed, odd):
        assert "memory_mb" not in {one.metric for one in trends(runs, {}, FIRST + 50 * HOUR)}


def rising(seed: int, scatter: float) -> tuple[datetime, datetime, datetime, datetime]:
    """Return when a limit is met, when that was foretold for, and the two ends of what was told."""
    chance = random.Random(seed)
    met = FIRST + 350 * HOUR
    runs = tuple(
        HistoryRun(start=FIRST + i * HOUR, state="COMPLETED",
                   duration_s=200 * 3 ** (max(0, i - 150) / 200) * math.exp(chance.gauss(0, scatter)))
        for i in range(350)
    )  # fmt: skip
    anomalies = detect([RunSeries(id="d", runs=runs, limits={"duration_s": 600.0})])["d"]
    found = [one for one in anomalies if one.eta is not None][-1]
    early, late = re.findall(r"\d{4}-\d\d-\d\d \d\d:\d\d", found.reason)
    assert found.eta is not None
    return met, found.eta, *(datetime.fromisoformat(f"{text}+00:00") for text in (early, late))


@pytest.mark.parametrize("scatter", [0.05, 0.2, 0.4])
def test_the_time_of_a_limit_is_foretold_with_an_interval_that_holds(scatter: float) -> None:
    told = [rising(seed, scatter) for seed in range(10)]
    minute = timedelta(minutes=1)  # what is told is cut to it
    assert all(early <= eta <= late + minute for _, eta, early, late in told)
    assert sum(early <= met <= late for met, _, early, late in told) >= 8


@pytest.mark.parametrize(
    ("then", "lasts"),
    [("grows", True), ("stays", False), ("falls", False)],
)
def test_growth_lasts_as_long_as_it_goes_on(then: str, lasts: bool) -> None:  # noqa: FBT001
    chance = random.Random(5)
    after = {"grows": 1 / 300, "stays": 0.0, "falls": -1 / 30}[then]
    level = [1.0] * 100 + [1 + i / 300 for i in range(150)] + [max(1.0, 1.5 + i * after) for i in range(180)]
    runs = tuple(
        HistoryRun(
            start=FIRST + i * HOUR,
            state="COMPLETED",
            duration_s=60,
            memory_mb=400 * times * math.exp(chance.gauss(0, 0.02)),
        )
        for i, times in enumerate(level)
    )
    found = [one for one in detect([RunSeries(id="d", runs=runs)])["d"] if one.kind == "memory_growth"]
    (growth,) = found
    assert growth.start < FIRST + 250 * HOUR
    assert (growth.end > FIRST + 400 * HOUR) is lasts


def changed(versions: list[str | None], slow_from: int) -> RunSeries:
    runs = tuple(
        HistoryRun(start=FIRST + i * HOUR, state="COMPLETED", version=version,
                   duration_s=(60.0 + i % 5) * (9 if i == slow_from else 1))
        for i, version in enumerate(versions)
    )  # fmt: skip
    return RunSeries(id="one", runs=runs)


@pytest.mark.parametrize(
    ("versions", "slow", "told"),
    [
        ([*["1"] * 80, *["2, image etl:5"] * 10], 84, "5 runs since 2, image etl:5"),
        ([*["1"] * 40, *["2"] * 60], 90, None),
        (["1"] * 100, 90, None),
        ([None] * 100, 90, None),
        ([*[None] * 80, *["2"] * 20], 90, None),
    ],
    ids=["shortly after a change", "long after it", "no change", "no version", "the first version known"],
)
def test_an_alarm_names_the_change_before_it(versions: list[str | None], slow: int, told: str | None) -> None:
    (found,) = detect([changed(versions, slow)])["one"]
    assert found.kind == "duration_spike"
    assert found.reason.endswith(told) if told else "since" not in found.reason


@pytest.mark.parametrize(
    ("runs", "told"), [(0, "(0/30)"), (4, "(4/30)"), (12, "(12/30)"), (29, "(29/30)"), (30, None)]
)
def test_health_says_how_much_is_learned(runs: int, told: str | None) -> None:
    score = health("w", [run(i) for i in range(runs)], FIRST + runs * HOUR)
    assert (told in score.reason) if told else ("earning" not in score.reason)


def alert(number: int, **labels: str) -> WorkflowAlert:
    return WorkflowAlert(
        alert_id=f"a{number}", fingerprint=f"f{number}", workflow_id=f"w{number}",
        alert_type=AlertType.ERROR_RATE_INCREASE, severity=Severity.HIGH, title=f"w{number}: failures",
        description="", created_at=FIRST + timedelta(minutes=number),
        labels={"workflow": f"w{number}"} | labels,
    )  # fmt: skip


@pytest.mark.parametrize("label", ["work_pool", "worker", "service", "flow"])
def test_alerts_that_share_a_cause_are_one(label: str) -> None:
    alerts = [alert(i, **{label: "same"}) for i in range(3)]
    (group,) = regroup(alerts, AlertPolicy(), FIRST + HOUR)
    assert group.members == ("a0", "a1", "a2")
    assert group.title.startswith(f"{label.replace('_', ' ')} same: 3 workflows")
    assert regroup([alert(i, **{label: f"own{i}"}) for i in range(3)], AlertPolicy(), FIRST + HOUR) == ()


def test_the_widest_cause_names_the_group() -> None:
    alerts = [alert(i, work_pool="docker", service="stripe") for i in range(4)]
    (group,) = regroup(alerts, AlertPolicy(), FIRST + HOUR)
    assert group.labels["by"] == "work_pool"
