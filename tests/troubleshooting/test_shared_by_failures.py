"""A failed run is compared with the runs around it: what failures share is cited, chance never is."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from prefect_autopilot.models import Evidence, FindingPattern, RunRecord, StateRecord
from prefect_autopilot.troubleshooting import (
    diagnose,
    facts,
    finding_from,
    with_what_is_shared,
)

AT = datetime(2026, 3, 2, 9, tzinfo=UTC)
DOWN = "Flow run encountered an exception: ConnectionRefusedError: [Errno 111] Connection refused"
OTHER = "Flow run encountered an exception: KeyError: 'total'"


def run_of(number: int, *, error: str | None = None, **fields: Any) -> RunRecord:
    ended = AT + timedelta(minutes=37 * number)
    kind = "FAILED" if error else "COMPLETED"
    state = StateRecord(id=f"s{number}", type=kind, name=kind.title(), timestamp=ended, message=error)
    told: dict[str, Any] = {
        "id": f"r{number}",
        "flow_name": "load",
        "deployment_id": "d1",
        "start": ended - timedelta(minutes=2),
        "duration_s": 120.0,
    }
    return RunRecord(**told | {"state": state} | fields)


def of_runs(runs: list[RunRecord], *, compared: tuple[RunRecord, ...] = ()) -> Evidence:
    """Return the evidence of the last run, with the others as what is known beside it."""
    return Evidence(run=runs[-1], recent_runs=tuple(reversed(runs[:-1])), compared=compared, read_at=AT)


def found_in(evidence: Evidence) -> tuple[str, object] | None:
    key = with_what_is_shared(evidence, diagnose(evidence))[1]
    return None if key is None else (key.field, key.value)


TRAITS: dict[str, tuple[str, object, dict[str, Any], dict[str, Any]]] = {
    "parameter": ("params.region", "eu", {"parameters": {"region": "eu"}}, {"parameters": {"region": "us"}}),
    "partition": ("params.part", 7, {"parameters": {"part": 7}}, {"parameters": {}}),
    "worker": ("worker", "w-2", {"worker": "w-2"}, {"worker": "w-1"}),
    "host": ("host", "node-b", {"infrastructure_pid": "node-b:41"}, {"infrastructure_pid": "node-a:7"}),
    "pool": ("work_pool", "spot", {"work_pool": "spot"}, {"work_pool": "steady"}),
    "queue": ("work_queue", "fast", {"work_queue": "fast"}, {"work_queue": "slow"}),
    "version": ("version", "1.4", {"deployment_version": "1.4"}, {"deployment_version": "1.3"}),
    "image": ("job_variables.image", "etl:9", {"job_variables": {"image": "etl:9"}}, {"job_variables": {}}),
    "environment": ("env.STAGE", "b", {"job_variables": {"env": {"STAGE": "b"}}}, {"job_variables": {}}),
    "trigger": ("started_by", "on-upload", {"started_by": "on-upload"}, {}),
    "tag": ("tags.backfill", True, {"tags": ("backfill",)}, {"tags": ()}),
    "credential by reference": (
        "credentials.b-41",
        True,
        {"parameters": {"store": {"$ref": {"block_document_id": "b-41"}}}},
        {"parameters": {"store": {"$ref": {"block_document_id": "b-40"}}}},
    ),
    "credential in a template": (
        "credentials.secret.dw-old",
        True,
        {"job_variables": {"env": {"DSN": "{{ prefect.blocks.secret.dw-old }}"}, "volumes": ["a"]}},
        {"job_variables": {"env": {}}},
    ),
    "size": ("metric", "rows", {"measures": {"rows": 9_000.0}}, {"measures": {"rows": 10.0}}),
}


@pytest.mark.parametrize(("field", "value", "bad", "good"), TRAITS.values(), ids=TRAITS)
def test_what_only_the_failing_runs_have_is_found(
    field: str, value: object, bad: dict[str, Any], good: dict[str, Any]
) -> None:
    fails = {3, 8, 13, 17, 21, 25}
    runs = [run_of(n, error=DOWN if n in fails else None, **(bad if n in fails else good)) for n in range(26)]
    assert found_in(of_runs(runs)) == (field, value)


def test_it_is_the_first_thing_said_around_the_run_and_a_finding_of_its_own() -> None:
    runs = [
        run_of(n, error=DOWN if n % 4 == 1 else None, worker="w-2" if n % 4 == 1 else "w-1")
        for n in range(26)
    ]
    before = of_runs(runs)
    diagnosis = diagnose(before)
    evidence, key = with_what_is_shared(before, diagnosis)
    assert key is not None
    told = facts(diagnosis, evidence)
    assert any("7 of 7 failures share worker = w-2; of 7 runs with it 7 failed" in one for one in told)
    finding = finding_from(diagnosis, now=AT, key=key, evidence=evidence)
    assert finding.pattern is FindingPattern.CORRELATION_ANALYSIS
    assert "worker = w-2" in finding.description
    assert finding.evidence[0] == evidence.surroundings[0]


@pytest.mark.parametrize("seed", range(12))
def test_failures_at_random_are_blamed_on_nothing(seed: int) -> None:
    dice = random.Random(seed)
    runs = [
        run_of(
            n,
            error=DOWN if n == 39 or dice.random() < 0.3 else None,
            worker=f"w-{dice.randrange(3)}",
            parameters={"region": dice.choice(["eu", "us", "ap"]), "size": dice.randrange(1_000)},
            measures={"rows": dice.random()},
        )
        for n in range(40)
    ]
    assert found_in(of_runs(runs)) is None


@pytest.mark.parametrize(
    "runs",
    [
        [run_of(1, error=DOWN, worker="w-2")],
        [run_of(n, error=DOWN, worker="w-2") for n in range(9)],
        [run_of(n, error=DOWN if n > 7 else None, worker=f"w-{n > 7}") for n in range(10)],
    ],
    ids=["a run alone", "all fail", "two failures"],
)
def test_too_little_to_compare_says_nothing(runs: list[RunRecord]) -> None:
    evidence = of_runs(runs)
    assert with_what_is_shared(evidence, diagnose(evidence)) == (evidence, None)


def test_runs_that_failed_of_something_else_do_not_hide_what_these_share() -> None:
    runs = [
        run_of(
            n,
            error=DOWN if n % 5 == 0 else OTHER if n % 5 == 1 else None,
            parameters={"region": "eu" if n % 5 == 0 else "us"},
        )
        for n in range(31)
    ]
    assert found_in(of_runs(runs)) == ("params.region", "eu")


def test_workflows_that_fail_alike_at_one_time_are_compared_with_those_that_do_not() -> None:
    ours = [run_of(n) for n in range(3)] + [run_of(30, error=DOWN, work_pool="spot")]
    others = tuple(
        run_of(
            10 + n,
            error=DOWN if n < 6 else None,
            deployment_id=f"d{n + 2}",
            flow_name=f"flow-{n}",
            work_pool="spot" if n < 6 else "steady",
        )
        for n in range(16)
    )
    assert found_in(of_runs(ours, compared=others)) == ("work_pool", "spot")
    assert found_in(of_runs(ours)) is None


def test_a_run_that_is_told_twice_counts_once() -> None:
    runs = [run_of(n, error=DOWN if n > 9 else None, worker="w-2" if n > 9 else "w-1") for n in range(12)]
    assert found_in(of_runs(runs, compared=tuple(runs) * 5)) is None


OOM = "MemoryError: Unable to allocate 21.4 GiB"


def climbing(
    values: list[float], *, error: str = OOM, measure: str = "memory_mb", kind: str = "COMPLETED"
) -> tuple[str, ...]:
    """Return what is said around a run that failed after runs that measured these values."""
    good = [run_of(n, measures={measure: value}) for n, value in enumerate(values)]
    good = [one.model_copy(update={"state": one.state.model_copy(update={"type": kind})}) for one in good]
    evidence = of_runs([*good, run_of(len(values), error=error)])
    return tuple(line.text for line in with_what_is_shared(evidence, diagnose(evidence))[0].surroundings)


def test_memory_that_climbed_until_there_was_none_is_cited() -> None:
    (line,) = climbing([2000 + 300 * n + 90 * (n % 3) for n in range(14)])
    assert line.startswith("memory_mb climbed from 2390 to 5600 over the 14 good runs before (p = ")


def test_a_duration_that_climbed_to_its_limit_is_cited_without_any_measure() -> None:
    runs = [run_of(n, duration_s=60.0 + 20 * n) for n in range(12)]
    evidence = of_runs([*runs, run_of(12, error="TimeoutError: the run exceeded its timeout of 300 s")])
    said = with_what_is_shared(evidence, diagnose(evidence))[0].surroundings
    assert said[0].text.startswith("duration_s climbed from 80 to 260 over the 12 good runs before")


@pytest.mark.parametrize(
    "said",
    [
        climbing([3000 + 400 * (n * 7 % 5) for n in range(14)]),
        climbing([3000.0] * 14),
        climbing([3000 + 5.0 * n for n in range(14)]),
        climbing([6000 - 300.0 * n for n in range(14)]),
        climbing([2000 + 300.0 * n for n in range(7)]),
        climbing([2000 + 300.0 * n for n in range(14)], error=OTHER),
        climbing([2000 + 300.0 * n for n in range(14)], kind="CANCELLED"),
        climbing([]),
    ],
    ids=["up and down", "level", "hardly", "falling", "too few", "a bug", "no good runs", "none"],
)
def test_what_did_not_climb_or_does_not_matter_is_not_said_to(said: tuple[str, ...]) -> None:
    assert said == ()
