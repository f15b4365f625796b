"""What changed last: a number for every change, in the order of commits, each subject once."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from prefect_autopilot.errors import ConflictError
from prefect_autopilot.models import TroubleshootingSession, WorkflowAlert
from prefect_autopilot.store import Store

NOW = datetime(2026, 3, 2, 3, 0, tzinfo=UTC)


def alert(ident: str, **fields: Any) -> WorkflowAlert:
    told = {
        "alert_id": ident,
        "fingerprint": f"finger-{ident}",
        "workflow_id": "deployment-1",
        "alert_type": "error_rate_increase",
        "severity": "high",
        "title": "Failures rise",
        "description": "2 of 20",
        "created_at": NOW,
    }
    return WorkflowAlert.model_validate({**told, **fields})


async def test_nothing_changed_in_an_empty_store(store: Store) -> None:
    assert await store.position() == 0
    assert await store.changes(0) == ()


async def test_each_change_has_a_greater_number_and_each_subject_stands_once(
    store: Store, failed: TroubleshootingSession
) -> None:
    await store.save_session(failed, None)
    await store.save_alert(alert("a-1"))
    first = await store.changes(0)
    assert [(one.kind, one.subject, one.workflow_id) for one in first] == [
        ("session", "session-1", "deployment-1"),
        ("alert", "a-1", "deployment-1"),
    ]
    await store.save_session(failed, 1)
    again = await store.changes(0)
    assert [one.subject for one in again] == ["a-1", "session-1"], "the newest change stands last"
    assert again[-1].sequence > first[-1].sequence
    assert await store.changes(first[-1].sequence) == again[-1:]
    assert await store.position() == again[-1].sequence


async def test_what_was_not_written_did_not_change(store: Store, failed: TroubleshootingSession) -> None:
    await store.save_session(failed, None)
    await store.save_alert(alert("a-1"))
    before = await store.position()
    with pytest.raises(ConflictError):
        await store.save_session(failed, 7)
    with pytest.raises(ConflictError):
        await store.save_session(failed, None)
    with pytest.raises(ConflictError):
        await store.save_alert(alert("a-2", fingerprint="finger-a-1"))
    assert not await store.delete_session("nobody", "test", NOW)
    assert await store.position() == before


async def test_acknowledging_and_deleting_are_changes_and_acknowledging_twice_is_one(
    store: Store, failed: TroubleshootingSession
) -> None:
    await store.save_session(failed, None)
    await store.save_alert(alert("a-1"))
    start = await store.position()
    await store.acknowledge_alert("a-1", "anna")
    await store.acknowledge_alert("a-1", "berta")
    await store.delete_session("session-1", "test", NOW)
    assert [(one.sequence - start, one.subject) for one in await store.changes(start)] == [
        (1, "a-1"),
        (2, "session-1"),
    ]


async def test_runs_are_told_only_to_those_who_ask_for_them(store: Store, make_run: Any) -> None:
    runs = [make_run("r-1", deployment_id="d-1"), make_run("r-2"), make_run("r-3", deployment_id="d-1")]
    assert await store.upsert_runs(runs) == 3
    assert await store.changes(0) == ()
    assert {one.subject for one in await store.changes(0, kinds=("runs",))} == {"d-1", "nightly-orders"}
    before = await store.position()
    assert await store.upsert_runs(runs) == 0
    assert await store.position() == before, "the same runs again change nothing"
    assert await store.prune(NOW + timedelta(days=1)) == 3
    assert [one.subject for one in await store.changes(before, kinds=("runs",))] == [""]


async def test_pruning_forgets_old_alerts_but_never_gives_a_number_twice(store: Store) -> None:
    await store.save_alert(alert("a-1", status="resolved", resolved_at=NOW))
    await store.save_alert(alert("a-2", status="resolved", resolved_at=NOW))
    last = await store.position()
    await store.prune(NOW + timedelta(days=1))
    assert await store.alerts() == ()
    assert [one.subject for one in await store.changes(0)] == ["a-2"]
    await store.save_alert(alert("a-3"))
    assert await store.position() == last + 1


async def test_no_change_is_missed_by_a_reader_beside_many_writers(store: Store, other: Store) -> None:
    async def write(into: Store, name: str) -> None:
        for number in range(10):
            await into.save_alert(alert(f"{name}-{number}"))

    seen: list[str] = []
    after = 0
    writers = asyncio.gather(write(store, "x"), write(other, "y"))
    while len(seen) < 20:
        for one in await other.changes(after, limit=3):
            seen.append(one.subject)
            after = one.sequence
    await writers
    assert sorted(seen) == sorted(f"{name}-{number}" for name in "xy" for number in range(10))


async def test_a_limit_gives_the_oldest_changes_first(store: Store) -> None:
    for number in range(5):
        await store.save_alert(alert(f"a-{number}"))
    assert [one.subject for one in await store.changes(1, limit=2)] == ["a-1", "a-2"]
