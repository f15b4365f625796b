"""The list of workflows is counted anew only where runs changed, and is always the one of the database."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from prefect_autopilot.store import Store

NOW = datetime(2026, 3, 2, 3, 0, tzinfo=UTC)


def told(store: tuple[Any, ...]) -> list[tuple[str | None, str, int]]:
    return [(one.deployment_id, one.flow_name, one.runs) for one in store]


async def test_what_one_process_writes_the_other_counts(store: Store, other: Store, make_run: Any) -> None:
    assert await store.workflows() == await other.workflows() == ()
    hour = timedelta(hours=1)
    steps = (
        [make_run("r-1", deployment_id="d-1", flow_name="a"), make_run("r-2", flow_name="b", at=NOW + hour)],
        [make_run("r-3", deployment_id="d-1", flow_name="a", at=NOW + 2 * hour)],
        [make_run("r-4", deployment_id="d-2", flow_name="b", at=NOW + 3 * hour)],
        [make_run("r-3", deployment_id="d-1", flow_name="a", at=NOW + 4 * hour, state="FAILED")],
    )
    seen = []
    for number, runs in enumerate(steps):
        await (store, other)[number % 2].upsert_runs(runs)
        here, there = await store.workflows(), await other.workflows()
        assert here == there
        seen.append(told(here))
    assert seen[0] == [(None, "b", 1), ("d-1", "a", 1)]
    assert seen[1] == [("d-1", "a", 2), (None, "b", 1)]
    assert seen[2] == [("d-2", "b", 1), ("d-1", "a", 2), (None, "b", 1)]
    assert seen[3][0] == ("d-1", "a", 2), "the newest first"
    await other.prune(NOW + timedelta(days=1))
    assert await store.workflows() == ()


async def test_more_changes_than_are_looked_at_one_by_one_are_all_counted(
    store: Store, other: Store, make_run: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("prefect_autopilot.store.runs._MOST_CHANGED", 2)
    await store.workflows()
    await other.upsert_runs([make_run(f"r-{n}", deployment_id=f"d-{n}") for n in range(5)])
    assert len(await store.workflows()) == 5


async def test_nothing_is_counted_where_nothing_changed(
    store: Store, make_run: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    await store.upsert_runs([make_run("r-1", deployment_id="d-1")])
    known = await store.workflows()
    monkeypatch.setattr(store, "_counted", None)
    assert await store.workflows() == known
