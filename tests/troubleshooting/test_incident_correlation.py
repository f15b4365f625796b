"""What failures share is found; chance is blamed on nothing."""

from __future__ import annotations

import random
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from prefect_autopilot.models import IncidentRun
from prefect_autopilot.troubleshooting import correlate
from prefect_autopilot.troubleshooting.significance import fisher_greater, least_p
from prefect_autopilot.troubleshooting.significance import tests_that_count as number_of_tests

BEGIN = datetime(2026, 5, 4, tzinfo=UTC)
RESET = "ConnectionResetError: [Errno 104] Connection reset by peer"
Fails = Callable[[dict[str, Any]], bool]


def runs(
    count: int, fails: Fails, *, seed: int = 3, every_min: int = 60, message: str = RESET, **fixed: Any
) -> list[IncidentRun]:
    """Return runs whose columns are drawn by chance and which fail where ``fails`` says so."""
    dice = random.Random(seed)
    made = []
    for n in range(count):
        start = BEGIN + timedelta(minutes=every_min * n)
        row: dict[str, Any] = {
            "run": f"r{n}",
            "n": n,
            "flow": dice.choice(["pull", "push"]),
            "start": start,
            "duration_s": dice.uniform(20, 90),
            "worker": dice.choice(["w1", "w2", "w3"]),
            "version": dice.choice(["v1", "v2"]),
            "params": {"region": dice.choice(["eu", "us", "ap"])},
            "metrics": {"rows": dice.randint(1, 9), "memory_mb": round(dice.uniform(100, 900))},
        }
        row |= {key: value(row) if callable(value) else value for key, value in fixed.items()}
        row["deployment"] = f"{row['flow']}/prod"
        bad = fails(row)
        row |= {"state": "FAILED" if bad else "COMPLETED", "message": message if bad else ""}
        row.pop("n")
        made.append(IncidentRun(**row))
    return made


def key(found: list[IncidentRun]) -> Any:
    shared = correlate(found)[1]
    return None if shared is None else (shared.field, shared.value)


COMMON = [
    pytest.param(lambda row: row["worker"] == "w2", ("worker", "w2"), id="worker"),
    pytest.param(lambda row: row["version"] == "v2" and row["n"] > 9, ("version", "v2"), id="version"),
    pytest.param(lambda row: row["params"]["region"] == "ap", ("params.region", "ap"), id="parameter"),
    pytest.param(lambda row: row["metrics"]["memory_mb"] > 650, ("metric", "memory_mb"), id="metric"),
    pytest.param(lambda row: row["worker"] == "w1" and row["version"] == "v2", None, id="pair"),
    pytest.param(lambda row: row["flow"] == "push", ("deployment", "push/prod"), id="deployment"),
]


@pytest.mark.parametrize(("fails", "expected"), COMMON)
def test_the_shared_trait_is_found(fails: Fails, expected: Any) -> None:
    found = key(runs(60, fails))
    if expected is None:
        assert found is not None
        field, value = found
        assert dict(zip(field.split("+"), value, strict=True)) == {"worker": "w1", "version": "v2"}
    else:
        assert found == expected


def test_an_hour_of_day_is_found_when_it_repeats() -> None:
    assert key(runs(24 * 6, lambda row: row["start"].hour == 4)) == ("hour_utc", 4)


def test_a_weekday_is_found_when_it_repeats() -> None:
    assert key(runs(35, lambda row: row["start"].weekday() == 6, every_min=24 * 60)) == ("weekday", "Sunday")


def test_one_bad_day_is_a_window_and_no_weekday() -> None:
    found = key(runs(14 * 24, lambda row: row["start"].date().isoformat() == "2026-05-08"))
    assert found is not None
    assert found[0] == "window"
    assert found[1][0].startswith("2026-05-08T00")
    assert found[1][1].startswith("2026-05-08T23")


def test_an_unknown_column_counts_as_well() -> None:
    found = runs(
        60, lambda row: row["tenant"] == "blue", tenant=lambda row: "blue" if row["n"] % 5 == 0 else "red"
    )
    assert key(found) == ("tenant", "blue")


def test_the_service_is_named_when_flows_are_named_after_it() -> None:
    message = "simple_salesforce.exceptions.SalesforceExpiredSession: Session expired or invalid"
    names = ["push-salesforce", "pull-salesforce", "pull-stripe", "push-stripe"]
    found = runs(
        60,
        lambda row: "salesforce" in row["flow"] and row["n"] > 30,
        message=message,
        flow=lambda row: names[row["n"] % 4],
    )
    assert key(found) == ("service", "salesforce")


def chain(late: Callable[[int], bool]) -> list[IncidentRun]:
    made = []
    for day in range(8):
        noon = BEGIN + timedelta(days=day, hours=12)
        begin = noon + timedelta(minutes=40 if late(day) else -60)
        made.append(
            IncidentRun(run=f"a{day}", flow="extract", state="COMPLETED", start=begin, duration_s=1200 + day)
        )
        made.append(
            IncidentRun(
                run=f"b{day}",
                flow="mart",
                state="FAILED" if late(day) else "COMPLETED",
                start=noon,
                duration_s=30,
                message="FileNotFoundError: [Errno 2] No such file or directory: '/in/day.csv'"
                if late(day)
                else "",
                upstream=["extract"],
            )
        )
    return made


def test_a_late_upstream_is_blamed_and_waiting_helps() -> None:
    diagnosis, shared = correlate(chain(lambda day: day >= 6))
    assert shared is not None
    assert (shared.field, shared.value) == ("upstream", "extract")
    assert (diagnosis.transient, diagnosis.remedy) == (True, "retry_backoff")


def test_an_upstream_in_time_is_not_blamed() -> None:
    made = chain(lambda _: False)
    broken = [
        run.model_copy(update={"state": "FAILED", "message": RESET}) if run.run in {"b2", "b5"} else run
        for run in made
    ]
    assert key(broken) is None


def test_load_that_is_refused_asks_for_less_at_once() -> None:
    found = runs(
        60,
        lambda row: row["metrics"]["concurrent_runs"] >= 8,
        message="HTTPError: 429 Client Error: Too Many Requests",
        metrics=lambda row: {"concurrent_runs": (row["n"] * 7) % 13},
    )
    diagnosis, shared = correlate(found)
    assert shared is not None
    assert (shared.field, shared.value) == ("metric", "concurrent_runs")
    assert diagnosis.remedy == "reduce_concurrency"


def test_runs_that_overlap_themselves_are_seen() -> None:
    found = runs(
        60,
        lambda row: row["n"] > 0 and (row["n"] - 1) % 5 == 0,
        message="sqlite3.OperationalError: database is locked",
        flow="rebuild",
        worker="w1",
        version="v1",
        params={},
        metrics={},
        duration_s=lambda row: 4000 if row["n"] % 5 == 0 else 60,
    )
    assert key(found) == ("overlap", "rebuild")


def by_chance(seed: int) -> list[IncidentRun]:
    dice = random.Random(seed)
    share = dice.choice([0.05, 0.1, 0.2, 0.4])
    return runs(dice.choice([20, 40, 60]), lambda _: dice.random() < share, seed=seed)


def test_chance_is_blamed_in_about_one_of_a_hundred_incidents_at_most() -> None:
    assert sum(key(by_chance(seed)) is not None for seed in range(300)) <= 6


@pytest.mark.parametrize(
    "found",
    [
        pytest.param([], id="no runs"),
        pytest.param(runs(20, lambda _: False), id="no failures"),
        pytest.param(runs(20, lambda _: True), id="nothing but failures"),
        pytest.param(runs(20, lambda row: row["n"] == 4), id="one failure"),
        pytest.param(runs(40, lambda row: row["n"] in {4, 21}), id="two failures"),
        pytest.param([IncidentRun(state="FAILED"), IncidentRun(state="COMPLETED")], id="hardly a column"),
    ],
)
def test_too_little_is_blamed_on_nothing(found: list[IncidentRun]) -> None:
    assert key(found) is None


def test_the_reason_shows_its_numbers() -> None:
    diagnosis, _ = correlate(runs(60, lambda row: row["worker"] == "w2"))
    assert "worker = w2" in diagnosis.root_cause
    assert "p = " in diagnosis.evidence[-1].text
    assert "60 runs" in diagnosis.evidence[-1].where


def test_the_most_frequent_failure_is_diagnosed() -> None:
    made = runs(30, lambda row: row["worker"] == "w2")
    first = next(n for n, run in enumerate(made) if run.state == "FAILED")
    made[first] = made[first].model_copy(update={"message": "MemoryError"})
    assert correlate(made)[0].category == "connectivity"


def test_fishers_test_agrees_with_the_textbook() -> None:
    # The lady tasting tea: 8 cups, 4 of each kind.
    assert fisher_greater(4, 4, 4, 8) == pytest.approx(1 / 70)
    assert fisher_greater(3, 4, 4, 8) == pytest.approx(17 / 70)
    assert fisher_greater(0, 4, 4, 8) == pytest.approx(1)
    assert fisher_greater(5, 4, 4, 8) == 1


def test_tests_that_cannot_succeed_cost_nothing() -> None:
    hopeless = [least_p(1, 5, 50)] * 100
    assert number_of_tests([*hopeless, 1e-9], 0.01) == 1
    assert number_of_tests([1e-9] * 20, 0.01) == 20
