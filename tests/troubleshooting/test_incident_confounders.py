"""Incidents among a dozen columns that mean nothing: the cause is found, chance is not blamed."""

from __future__ import annotations

import random
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from prefect_autopilot.models import IncidentRun
from prefect_autopilot.troubleshooting import correlate

BEGIN = datetime(2026, 6, 1, tzinfo=UTC)
MESSAGE = "RuntimeError: the batch could not be finished"
RUNS = 120
Row = dict[str, Any]
Cause = Callable[[Row], bool]


def row(number: int, dice: random.Random) -> Row:
    """Return a run with columns drawn by chance, many of them with few values that group by chance."""
    flow = dice.choice(["bill", "sync", "rank", "mail"])
    return {
        "run": f"r{number}",
        "number": number,
        "flow": flow,
        "deployment": f"{flow}/prod",
        "start": BEGIN + timedelta(minutes=47 * number),
        "duration_s": dice.uniform(30, 60),
        "worker": dice.choice(["w1", "w2", "w3", "w4"]),
        "host": dice.choice(["h1", "h2", "h3"]),
        "work_pool": dice.choice(["k8s", "ecs"]),
        "version": "v7" if number > RUNS * 0.6 else "v6",
        "credential": dice.choice(["ledger-eu", "ledger-us", "ledger-ap"]),
        "partition": dice.choice(["p0", "p1", "p2", "p3", "p4"]),
        "image": dice.choice(["3.11", "3.12"]),
        "params": {"region": dice.choice(["eu", "us", "ap"]), "full": dice.choice([True, False])},
        "packages": {"pandas": dice.choice(["2.1", "2.2"])},
        "metrics": {
            "rows": dice.randint(1_000, 9_000),
            "active_runs": dice.randint(1, 12),
            "memory_mb": round(dice.uniform(200, 900)),
        },
    }


def incident(seed: int, cause: Cause, *, hit: float = 0.95, stray: float = 0.02) -> list[IncidentRun]:
    """Return runs of which most fail where the cause holds, and a few elsewhere."""
    dice = random.Random(seed)
    made = []
    for number in range(RUNS):
        one = row(number, dice)
        bad = dice.random() < (hit if cause(one) else stray)
        one |= {"state": "FAILED" if bad else "COMPLETED", "message": MESSAGE if bad else ""}
        one.pop("number")
        made.append(IncidentRun(**one))
    return made


def blamed(runs: list[IncidentRun]) -> tuple[str, object] | None:
    shared = correlate(runs)[1]
    return None if shared is None else (shared.field, shared.value)


CAUSES: dict[str, tuple[Cause, tuple[str, object]]] = {
    "worker": (lambda one: one["worker"] == "w3", ("worker", "w3")),
    "host": (lambda one: one["host"] == "h2", ("host", "h2")),
    "pool": (lambda one: one["work_pool"] == "ecs", ("work_pool", "ecs")),
    "version": (lambda one: one["version"] == "v7", ("version", "v7")),
    "credential": (lambda one: one["credential"] == "ledger-us", ("credential", "ledger-us")),
    "partition": (lambda one: one["partition"] == "p4", ("partition", "p4")),
    "parameter": (lambda one: one["params"]["region"] == "ap", ("params.region", "ap")),
    "package": (lambda one: one["packages"]["pandas"] == "2.2", ("packages.pandas", "2.2")),
    "input size": (lambda one: one["metrics"]["rows"] > 7_000, ("metric", "rows")),
    "concurrency": (lambda one: one["metrics"]["active_runs"] > 9, ("metric", "active_runs")),
    "memory": (lambda one: one["metrics"]["memory_mb"] > 720, ("metric", "memory_mb")),
    "deployment": (lambda one: one["flow"] == "rank", ("deployment", "rank/prod")),
}


@pytest.mark.parametrize("name", CAUSES)
def test_the_cause_is_found_among_columns_that_mean_nothing(name: str) -> None:
    cause, expected = CAUSES[name]
    assert [blamed(incident(seed, cause)) for seed in (11, 12, 13)] == [expected] * 3


@pytest.mark.parametrize("rate", [0.05, 0.1, 0.2, 0.4])
def test_failures_at_random_are_blamed_on_nothing(rate: float) -> None:
    found = [blamed(incident(seed, lambda _: False, stray=rate)) for seed in range(15)]
    assert found == [None] * 15


def test_two_failures_are_too_few_to_blame_anything() -> None:
    runs = incident(5, lambda one: one["number"] in {40, 41}, hit=1.0, stray=0.0)
    assert blamed(runs) is None


def test_where_every_run_fails_no_column_is_blamed() -> None:
    assert blamed(incident(6, lambda _: True, hit=1.0)) is None


def among_others(runs: list[IncidentRun], rate: float = 0.12) -> list[IncidentRun]:
    """Return the runs with some of the good ones failing of something else."""
    dice = random.Random(4)
    other = "psycopg.errors.DeadlockDetected: deadlock detected"
    return [
        one.model_copy(update={"state": "FAILED", "message": other})
        if one.state == "COMPLETED" and dice.random() < rate
        else one
        for one in runs
    ]


OUTAGE = (BEGIN + timedelta(minutes=47 * 30), BEGIN + timedelta(minutes=47 * 37))


def in_the_outage(one: Row) -> bool:
    return bool(OUTAGE[0] <= one["start"] <= OUTAGE[1])


def test_failures_of_another_kind_do_not_hide_an_outage() -> None:
    runs = among_others(incident(3, in_the_outage, hit=1.0, stray=0.0))
    found = blamed(runs)
    assert found is not None
    field, span = found
    assert field == "window"
    first, last = (datetime.fromisoformat(moment) for moment in list(span))  # type: ignore[call-overload]
    assert OUTAGE[0] <= first < last <= OUTAGE[1] + timedelta(minutes=2)


def test_an_outage_is_named_rather_than_the_version_that_ran_through_it() -> None:
    runs = incident(3, in_the_outage, hit=1.0, stray=0.0)
    during = {one.run for one in runs if OUTAGE[0] <= (one.start or BEGIN) <= OUTAGE[1] + timedelta(hours=40)}
    told = [one.model_copy(update={"version": "v6" if one.run in during else "v5"}) for one in runs]
    found = blamed(told)
    assert found is not None
    assert found[0] == "window"


def test_failures_of_another_kind_do_not_hide_two_traits_that_fail_together() -> None:
    def cause(one: Row) -> bool:
        return bool(one["flow"] == "bill" and one["work_pool"] == "ecs")

    runs = among_others(incident(9, cause, hit=1.0, stray=0.0))
    found = blamed(runs)
    assert found in [("flow+work_pool", ["bill", "ecs"]), ("deployment+work_pool", ["bill/prod", "ecs"])]


def test_a_trait_that_explains_nearly_all_needs_no_second_beside_it() -> None:
    runs = incident(10, lambda one: one["worker"] == "w3", hit=0.88, stray=0.0)
    assert blamed(runs) == ("worker", "w3")
