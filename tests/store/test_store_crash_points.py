"""Whatever statement fails, and whoever writes at the same time: all of a call is written or nothing."""

from __future__ import annotations

import asyncio
import errno
import sqlite3
import threading
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import event, inspect, text

from prefect_autopilot.errors import AutopilotError, ConflictError, StoreError
from prefect_autopilot.models import (
    AlertType,
    Notice,
    RetryRun,
    RunRecord,
    Severity,
    StateRecord,
    TroubleshootingSession,
    WorkflowAlert,
)
from prefect_autopilot.store import Store, schema, tables

pytestmark = pytest.mark.anyio

NOW = datetime(2026, 3, 2, 3, 0, tzinfo=UTC)
RETRY = RetryRun(flow_run_id="run-1", delay_s=1)
NOTICE = Notice(notice_id="n", outcome="info", title="t", text="x")
SESSION = TroubleshootingSession(
    session_id="s", workflow_id="w", flow_run_id="run-1", run_count=1, start_time=NOW, related_runs=("run-2",)
)
ALERT = WorkflowAlert(
    alert_id="a",
    fingerprint="f",
    workflow_id="w",
    alert_type=AlertType.CUSTOM_METRIC,
    severity=Severity.LOW,
    title="t",
    description="d",
    created_at=NOW,
)
RUNS = [
    RunRecord(id=f"r{number}", state=StateRecord(id="x", type="FAILED", name="Failed", timestamp=NOW))
    for number in range(600)
]

Call = Callable[[Store], Awaitable[Any]]
CALLS: dict[str, Call] = {
    "claim": lambda store: store.claim("k", "h", NOW),
    "lease": lambda store: store.acquire_lease("watcher", "h", 30, NOW),
    "claim a session": lambda store: store.claim_session(SESSION, "h", NOW),
    "save a session": lambda store: store.save_session(SESSION, None),
    "journal": lambda store: store.journal_intent("s", "run-1", "st", 1, RETRY, None, NOW),
    "audit": lambda store: store.audit("a", "b", "c", {}, NOW),
    "runs": lambda store: store.upsert_runs(RUNS),
    "alert": lambda store: store.save_alert(ALERT),
    "notice": lambda store: store.queue_notice(NOTICE, NOW),
    "delivery": lambda store: store.notice_delivered("n", "mail", NOW),
    "cursor": lambda store: store.set_cursor("runs", NOW),
    "verification": lambda store: store.record_verification("s", 1, "cause", None, "failed", NOW),
}


async def rows(store: Store) -> dict[str, int]:
    """Return how many rows every table holds."""
    async with store._database.read() as connection:
        return {
            name: (await connection.execute(text(f"SELECT count(*) FROM {name}"))).scalar_one()
            for name in tables.metadata.tables
        }


class Disk:
    """Lets the n-th statement of the next transaction fail as a full disk does."""

    def __init__(self, store: Store) -> None:
        self.left: int | None = None
        self.seen = 0
        event.listen(store._database.engine.sync_engine, "before_cursor_execute", self.count)

    def count(self, *_: object) -> None:
        self.seen += 1
        if self.left is not None:
            self.left -= 1
            if self.left < 0:
                raise OSError(errno.ENOSPC, "No space left on device")


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS.keys())
async def test_a_call_that_fails_at_any_statement_writes_nothing_and_can_be_repeated(
    tmp_path: Path, call: Call
) -> None:
    async with Store.open(f"sqlite:///{tmp_path / 'autopilot.db'}") as store:
        before = await rows(store)
        disk = Disk(store)
        told: list[str] = []
        for good in range(20):
            disk.left = good
            try:
                answer = await call(store)
            except StoreError as error:
                told.append(error.message)
                disk.left = None
                assert await rows(store) == before
            else:
                break
        disk.left = None
        assert told, "no statement was made to fail"
        assert all("the disk is full; make room" in one for one in told)
        assert answer is not False, "the failed attempts left nothing that would refuse this one"
        assert await rows(store) != before


@pytest.mark.parametrize("point", [0, 1])
async def test_a_deleted_session_and_its_audit_entry_come_together(tmp_path: Path, point: int) -> None:
    async with Store.open(f"sqlite:///{tmp_path / 'autopilot.db'}") as store:
        await store.save_session(SESSION, None)
        disk = Disk(store)
        disk.left = point + 1
        with pytest.raises(StoreError):
            await store.delete_session("s", "ann", NOW)
        disk.left = None
        assert await store.session("s") == SESSION
        assert await store.audit_trail() == ()
        assert await store.delete_session("s", "ann", NOW)


async def test_a_cancelled_write_writes_nothing_and_frees_the_turn(tmp_path: Path) -> None:
    async with Store.open(f"sqlite:///{tmp_path / 'autopilot.db'}") as store:
        started = asyncio.Event()

        async def interrupted() -> None:
            async with store._database.write() as connection:
                await connection.execute(tables.claims.insert().values(key="k", holder="h", at=NOW))
                started.set()
                await asyncio.Event().wait()

        task = asyncio.create_task(interrupted())
        await started.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert await store.claimed_by("k") is None
        assert await asyncio.wait_for(store.claim("k", "h", NOW), 20)


async def test_reading_goes_on_while_somebody_writes(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'autopilot.db'}"
    async with Store.open(url) as writer, Store.open(url, busy_timeout_s=0.1) as reader:
        await writer.claim("before", "h", NOW)
        async with writer._database.write() as connection:
            await connection.execute(tables.claims.insert().values(key="k", holder="h", at=NOW))
            assert await reader.claimed_by("before") == "h"
            assert await reader.claimed_by("k") is None, "what is not committed is not seen"
            with pytest.raises(StoreError, match="another process holds it"):
                await reader.claim("mine", "h", NOW)
        assert await reader.claimed_by("k") == "h"
        assert await reader.claim("mine", "h", NOW)


def in_threads(url: str, count: int, work: Callable[[Store, int], Awaitable[Any]]) -> list[Any]:
    """Run ``work`` in as many event loops as a fleet has processes, all at once."""
    answers: list[Any] = [None] * count
    together = threading.Barrier(count)

    async def one(number: int) -> None:
        async with Store.open(url, busy_timeout_s=20) as store:
            await asyncio.to_thread(together.wait)
            answers[number] = await work(store, number)

    threads = [threading.Thread(target=asyncio.run, args=(one(number),)) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return answers


def test_of_many_processes_each_key_goes_to_exactly_one(tmp_path: Path) -> None:
    async def work(store: Store, number: int) -> list[bool]:
        return [await store.claim(f"run:{key}:1", f"h{number}", NOW) for key in range(15)]

    answers = in_threads(f"sqlite:///{tmp_path / 'autopilot.db'}", 3, work)
    assert [sum(column) for column in zip(*answers, strict=True)] == [1] * 15


def test_of_many_processes_each_remedy_is_intended_by_exactly_one(tmp_path: Path) -> None:
    async def work(store: Store, number: int) -> list[int | None]:
        return [
            await store.journal_intent(f"s{number}", "run-1", f"st{state}", 1, RETRY, None, NOW)
            for state in range(10)
        ]

    answers = in_threads(f"sqlite:///{tmp_path / 'autopilot.db'}", 3, work)
    winners = [[entry for entry in column if entry is not None] for column in zip(*answers, strict=True)]
    assert [len(one) for one in winners] == [1] * 10
    assert len({entry for one in winners for entry in one}) == 10


def test_a_lease_is_held_by_one_of_many_at_a_time(tmp_path: Path) -> None:
    async def work(store: Store, number: int) -> list[int]:
        tokens = []
        for turn in range(12):
            now = NOW + timedelta(seconds=40 * turn)
            token = await store.acquire_lease("watcher", f"h{number}", 30, now)
            if token is not None:
                tokens.append(token)
        return tokens

    answers = in_threads(f"sqlite:///{tmp_path / 'autopilot.db'}", 3, work)
    every = [token for tokens in answers for token in tokens]
    assert len(every) == len(set(every)), "no token was given twice"
    assert all(tokens == sorted(tokens) for tokens in answers)


def test_writers_of_many_processes_make_one_unbroken_trail(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'autopilot.db'}"

    async def work(store: Store, number: int) -> None:
        for entry in range(8):
            await store.audit(f"h{number}", "act", "subject", {"entry": entry}, NOW)

    in_threads(url, 3, work)

    async def look() -> tuple[int | None, list[int]]:
        async with Store.open(url) as store:
            return await store.verify_audit(), [one.sequence for one in await store.audit_trail()]

    assert asyncio.run(look()) == (None, list(range(1, 25)))


def test_of_many_who_save_a_session_on_one_version_one_wins_each_round(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'autopilot.db'}"

    async def work(store: Store, number: int) -> int:
        won = 0
        for version in range(6):
            try:
                await store.save_session(SESSION, version or None)
            except ConflictError:
                continue
            won += 1
        return won

    answers = in_threads(url, 3, work)

    async def look() -> int:
        async with Store.open(url) as store:
            _, version = await store.load_session("s")
            return version

    assert asyncio.run(look()) == sum(answers)


# --- Migrations.


def layout(connection: Any) -> dict[str, Any]:
    """Return tables, columns and indexes as the database tells them."""
    found = inspect(connection)
    return {
        name: (
            [(column["name"], str(column["type"]), column["nullable"]) for column in found.get_columns(name)],
            sorted(str(index["name"]) for index in found.get_indexes(name)),
            found.get_pk_constraint(name)["constrained_columns"],
        )
        for name in sorted(found.get_table_names())
    }


async def test_down_and_up_again_gives_the_same_layout(url: str) -> None:
    async with Store.open(url) as store, store._database.write() as connection:
        first = await connection.run_sync(layout)
        for _ in range(2):
            await connection.run_sync(schema.migrate, "base")
            await connection.run_sync(schema.migrate)
        assert await connection.run_sync(layout) == first


async def test_migrating_twice_changes_nothing(url: str) -> None:
    async with Store.open(url) as store:
        await store.claim("k", "h", NOW)
        async with store._database.write() as connection:
            before = await connection.run_sync(layout)
            await connection.run_sync(schema.migrate)
            await connection.run_sync(schema.migrate, schema.HEAD)
            assert await connection.run_sync(layout) == before
        assert await store.claimed_by("k") == "h"


async def test_a_downgrade_that_is_not_committed_is_none(url: str) -> None:
    async with Store.open(url) as store:
        await store.claim("k", "h", NOW)
        with pytest.raises(ZeroDivisionError):
            await _undone(store)
        assert await store.claimed_by("k") == "h"


async def _undone(store: Store) -> None:
    async with store._database.write() as connection:
        await connection.run_sync(schema.migrate, "base")
        raise ZeroDivisionError


@pytest.mark.parametrize("version", ["9999", "abc", "0000", "0001x"])
async def test_a_schema_nobody_knows_is_refused_whatever_it_is_called(tmp_path: Path, version: str) -> None:
    file = tmp_path / "autopilot.db"
    url = f"sqlite:///{file}"
    async with Store.open(url) as store:
        await store.claim("k", "h", NOW)
    with sqlite3.connect(file) as connection:
        connection.execute(f"UPDATE {schema.VERSION_TABLE} SET version_num = ?", (version,))
    connection.close()
    with pytest.raises(AutopilotError, match="does not know"):
        async with Store.open(url):
            pass
    with sqlite3.connect(file) as connection:
        assert connection.execute("SELECT count(*) FROM autopilot_claims").fetchone() == (1,)
    connection.close()


async def test_every_table_and_index_is_marked_as_ours(url: str) -> None:
    async with Store.open(url) as store, store._database.read() as connection:
        found = await connection.run_sync(layout)
    assert all(name.startswith("autopilot_") for name in found)
    indexes = [index for _, marked, _ in found.values() for index in marked]
    assert [one for one in indexes if not one.startswith(("autopilot_", "sqlite_"))] == []
