"""The audit trail shows every change made behind its back."""

from __future__ import annotations

import asyncio
import json
from datetime import datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import delete, insert, update

from prefect_autopilot.models import AuditEntry
from prefect_autopilot.store import Store, tables

pytestmark = pytest.mark.anyio


async def fill(store: Store, now: datetime, count: int = 4) -> None:
    for n in range(count):
        at = now + timedelta(seconds=n, microseconds=n)
        await store.audit("ana", "remedy.approved", f"s{n % 2}", {"n": n, "share": 0.1 * n}, at)


async def tamper(store: Store, statement: Any) -> None:
    async with store._database.write() as connection:
        await connection.execute(statement)


async def test_entries_follow_one_another(store: Store, now: datetime) -> None:
    await fill(store, now)
    trail = await store.audit_trail()
    assert [entry.sequence for entry in trail] == [1, 2, 3, 4]
    assert [entry.previous for entry in trail] == ["", *(entry.digest for entry in trail[:-1])]
    assert await store.verify_audit() is None
    assert [entry.sequence for entry in await store.audit_trail("s1")] == [2, 4]
    assert await store.audit_trail("nobody") == ()
    assert await store.audit_head() == trail[-1]


async def test_an_empty_trail_is_whole(store: Store) -> None:
    assert await store.verify_audit() is None
    assert await store.audit_head() is None


async def test_what_is_returned_is_what_is_read(store: Store, now: datetime) -> None:
    detail = {"nested": {"b": [1, 2.5, None, "ü"], "a": 1e16}, "tuple": (1, 2)}
    entry = await store.audit("ana", "x", "s", detail, now)
    assert await store.audit_trail() == (entry,)
    assert await store.verify_audit() is None


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("actor", "eve"),
        ("action", "remedy.denied"),
        ("subject", "s9"),
        ("detail", '{"n":99}'),
        ("at", datetime.fromisoformat("2026-03-02T03:00:09+00:00")),
        ("previous", "0" * 64),
        ("digest", "0" * 64),
    ],
    ids=lambda value: value if isinstance(value, str) and len(value) < 10 else "",
)
async def test_a_changed_entry_is_found(store: Store, now: datetime, column: str, value: object) -> None:
    await fill(store, now)
    await tamper(store, update(tables.audit).where(tables.audit.c.sequence == 2).values({column: value}))
    assert await store.verify_audit() == 2


async def test_a_removed_entry_is_found(store: Store, now: datetime) -> None:
    await fill(store, now)
    await tamper(store, delete(tables.audit).where(tables.audit.c.sequence == 3))
    assert await store.verify_audit() == 3


async def test_a_removed_beginning_is_found(store: Store, now: datetime) -> None:
    await fill(store, now)
    await tamper(store, delete(tables.audit).where(tables.audit.c.sequence == 1))
    assert await store.verify_audit() == 1


async def test_an_inserted_entry_is_found(store: Store, now: datetime) -> None:
    await fill(store, now, 2)
    row = {"sequence": 3, "at": now, "actor": "eve", "action": "x", "subject": "s", "detail": "{}"}
    await tamper(store, insert(tables.audit).values(**row, previous="", digest=""))
    assert await store.verify_audit() == 3


async def test_writers_at_once_make_one_chain(store: Store, other: Store, now: datetime) -> None:
    writes = [side.audit("w", "x", f"{n}", {}, now) for n in range(10) for side in (store, other)]
    entries = await asyncio.gather(*writes)
    assert sorted(entry.sequence for entry in entries) == list(range(1, 21))
    assert await store.verify_audit() is None


async def test_the_export_is_the_trail_line_by_line(store: Store, now: datetime) -> None:
    await fill(store, now)
    lines = [line async for line in store.export_audit()]
    assert tuple(AuditEntry.model_validate(json.loads(line)) for line in lines) == await store.audit_trail()


async def test_a_trail_longer_than_a_page_is_read_whole(store: Store, now: datetime) -> None:
    async with store._database.write() as connection:
        for n in range(1002):
            await store._append_audit(connection, "w", "x", f"{n}", {}, now)
    assert len(await store.audit_trail()) == 1002
    assert await store.verify_audit() is None


async def test_the_trail_holds_no_secret_and_still_verifies(store: Store, now: datetime) -> None:
    entry = await store.audit(
        "ana password=hunter2", "login", "s", {"token": "abc", "log": "pwd=hunter2"}, now
    )
    assert "hunter2" not in entry.model_dump_json()
    assert entry.detail == {"token": "…(redacted)", "log": "pwd=…(redacted)"}
    assert await store.verify_audit() is None
