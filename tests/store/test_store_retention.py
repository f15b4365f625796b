"""What is old is deleted in portions, made shorter, and its room is given back; what is needed stays."""

from __future__ import annotations

import sqlite3
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from prefect_autopilot.models import RunRecord, StateRecord
from prefect_autopilot.store import Store, database, runs

NOW = datetime(2026, 3, 2, 3, tzinfo=UTC)
DAY = timedelta(days=1)


def a_run(ident: str, at: datetime = NOW, state: str = "COMPLETED") -> RunRecord:
    reached = StateRecord(id=f"s-{ident}", type=state, name=state.title(), timestamp=at)
    return RunRecord(
        id=ident, flow_name="orders", state=reached, start=at, end=at, parameters={"day": "x" * 50}
    )


async def test_pruning_in_portions_takes_all_that_is_old(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runs, "_PORTION", 7)
    await store.upsert_runs([a_run(f"old{i}", NOW - 100 * DAY) for i in range(30)])
    await store.upsert_runs([a_run("new"), a_run("open", NOW - 100 * DAY, "RUNNING")])
    assert await store.prune(NOW - 90 * DAY) == 30
    assert {one.id for one in await store.runs()} == {"new", "open"}


async def test_old_runs_lose_their_parameters_and_nothing_else(store: Store) -> None:
    await store.upsert_runs(
        [a_run("old", NOW - 10 * DAY), a_run("new"), a_run("open", NOW - 10 * DAY, "RUNNING")]
    )
    assert await store.compact(NOW - 7 * DAY) == 1
    found = {one.id: one for one in await store.runs()}
    assert found["old"] == a_run("old", NOW - 10 * DAY).model_copy(update={"parameters": {}})
    assert found["new"].parameters
    assert found["open"].parameters


async def test_a_run_made_shorter_is_no_news_when_it_is_read_again(store: Store) -> None:
    await store.upsert_runs([a_run("old", NOW - 10 * DAY)])
    await store.compact(NOW - 7 * DAY)
    assert await store.upsert_runs([a_run("old", NOW - 10 * DAY)]) == 0


async def test_each_run_is_made_shorter_once(store: Store) -> None:
    await store.upsert_runs([a_run(f"r{i}", NOW - i * DAY) for i in range(20)])
    assert await store.compact(NOW - 10 * DAY) == 9
    assert await store.compact(NOW - 9 * DAY) <= 4


async def test_the_room_of_deleted_rows_is_given_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database, "_MANY_PAGES", 10)
    path = tmp_path / "autopilot.db"
    async with Store.open(f"sqlite:///{path}") as store:
        await store.upsert_runs([a_run(f"r{i}", NOW - 100 * DAY) for i in range(3000)])
        await store.upsert_runs([a_run("new")])
        with sqlite3.connect(path) as look:
            before = look.execute("PRAGMA page_count").fetchone()[0]
        await store.prune(NOW - 90 * DAY)
        await store.compact(NOW - 7 * DAY)
        with sqlite3.connect(path) as look:
            after = look.execute("PRAGMA page_count").fetchone()[0]
        assert after < before / 3
        assert [one.id for one in await store.runs()] == ["new"]


def test_where_somebody_else_writes_the_room_is_given_back_another_time(tmp_path: Path) -> None:
    path = tmp_path / "busy.db"
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("CREATE TABLE one (x)")
    other.execute("BEGIN IMMEDIATE")
    database._vacuum(str(path))
    other.execute("ROLLBACK")
    other.close()


async def test_tallies_add_up_and_survive_pruning(store: Store) -> None:
    await store.add_tallies("reading", {"runs_read": 5, "again": 0}, NOW - 200 * DAY)
    await store.add_tallies("reading", {"runs_read": 2, "deleted": 1}, NOW - 199 * DAY)
    await store.add_tallies("other", {"runs_read": 9}, NOW)
    await store.add_tallies("reading", {}, NOW)
    await store.prune(NOW)
    assert await store.tallies("reading") == {"runs_read": 7.0, "deleted": 1.0}
    assert await store.tallies("nobody") == {}
