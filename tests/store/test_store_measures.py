"""Measures by run and name: the later one stands, they come with the runs, and they are pruned with them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from prefect_autopilot.models import Measure, RunRecord, StateRecord
from prefect_autopilot.store import Store

NOW = datetime(2026, 3, 2, 3, tzinfo=UTC)
MINUTE = timedelta(minutes=1)


def measure(run: str, name: str, value: float, minutes: int = 0) -> Measure:
    return Measure(flow_run_id=run, name=name, value=value, at=NOW + minutes * MINUTE)


def a_run(ident: str) -> RunRecord:
    state = StateRecord(id=f"s-{ident}", type="COMPLETED", name="Completed", timestamp=NOW)
    return RunRecord(id=ident, flow_name="orders", state=state, start=NOW - MINUTE, end=NOW)


async def test_measures_come_with_their_runs_whichever_arrives_first(store: Store) -> None:
    await store.keep_measures([measure("a", "rows", 5), measure("b", "rows", 7), measure("gone", "rows", 1)])
    await store.upsert_runs([a_run("a"), a_run("b"), a_run("c")])
    await store.keep_measures([measure("a", "memory_mb", 300)])
    found = {run.id: run.measures for run in await store.runs()}
    assert found == {"a": {"rows": 5.0, "memory_mb": 300.0}, "b": {"rows": 7.0}, "c": {}}


async def test_a_run_written_again_keeps_its_measures_and_is_no_news(store: Store) -> None:
    await store.upsert_runs([a_run("a")])
    await store.keep_measures([measure("a", "rows", 5)])
    (read,) = await store.runs()
    assert await store.upsert_runs([a_run("a")]) == 0
    assert await store.upsert_runs([read]) == 0
    assert (await store.runs())[0].measures == {"rows": 5.0}


@pytest.mark.parametrize(
    ("arrivals", "stands"),
    [
        ([(1, 10.0), (2, 20.0)], 20.0),
        ([(2, 20.0), (1, 10.0)], 20.0),
        ([(1, 10.0), (1, 10.0)], 10.0),
        ([(1, 10.0), (1, 11.0)], 10.0),
    ],
    ids=["in order", "out of order", "twice", "two of one moment: the first"],
)
async def test_the_later_value_stands(store: Store, arrivals: list[tuple[int, float]], stands: float) -> None:
    written = [await store.keep_measures([measure("a", "rows", value, at)]) for at, value in arrivals]
    await store.upsert_runs([a_run("a")])
    assert (await store.runs())[0].measures == {"rows": stands}
    assert written == [1, int(arrivals[1][0] > arrivals[0][0])]


async def test_of_one_batch_the_latest_is_written_once(store: Store) -> None:
    assert await store.keep_measures([measure("a", "rows", i, i) for i in range(5)]) == 1
    assert await store.keep_measures([]) == 0


async def test_more_than_one_statement_holds_are_written_whole(store: Store) -> None:
    runs = [a_run(f"run-{i}") for i in range(1201)]
    await store.upsert_runs(runs)
    assert await store.keep_measures(measure(run.id, "rows", i) for i, run in enumerate(runs)) == 1201
    found = await store.runs(limit=2000)
    assert {run.id: run.measures["rows"] for run in found} == {f"run-{i}": float(i) for i in range(1201)}


async def test_old_measures_go_with_the_pruning(store: Store) -> None:
    await store.upsert_runs([a_run("a")])
    await store.keep_measures([measure("a", "rows", 5), measure("a", "score", 1, 60)])
    await store.prune(NOW + 30 * MINUTE)
    await store.upsert_runs([a_run("a")])
    assert (await store.runs())[0].measures == {"score": 1.0}
