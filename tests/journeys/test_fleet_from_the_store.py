"""What a scrape shows comes from the store page by page; health is worked out where something changed."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from prefect_autopilot.journeys import fleet as fleets
from prefect_autopilot.journeys import observe
from prefect_autopilot.journeys.reading import GAP_FROM, GAP_TO
from prefect_autopilot.models import RunRecord, StateRecord
from prefect_autopilot.models.names import WATCHER_LOOKS
from prefect_autopilot.monitoring import FleetMetrics
from prefect_autopilot.store import Store, Workflow

NOW = datetime(2026, 3, 2, 3, tzinfo=UTC)
MINUTE = timedelta(minutes=1)


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    async with Store.open(f"sqlite:///{tmp_path / 'autopilot.db'}") as opened:
        yield opened


def a_run(number: int, at: datetime = NOW - MINUTE, state: str = "COMPLETED", **more: Any) -> RunRecord:
    reached = StateRecord(id=f"s{number}", type=state, name=state.title(), timestamp=at)
    fields: dict[str, Any] = {
        "id": f"run-{number}", "flow_name": "orders", "deployment_id": "d", "deployment_name": "prod",
        "state": reached, "start": at - MINUTE, "end": at, "run_count": 1,
    }  # fmt: skip
    return RunRecord.model_validate(fields | more)


def values(fleet: FleetMetrics) -> dict[str, float]:
    found: dict[str, float] = {}
    for family in text_string_to_metric_families(fleet.render(NOW).decode()):
        for sample in family.samples:
            name = sample.name.removeprefix("prefect_autopilot_") + (sample.labels.get("kind") or "")
            found[name] = found.get(name, 0) + sample.value
    return found


async def test_every_changed_run_is_counted_however_many_pages_they_fill(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fleets, "PAGE", 10)
    await store.upsert_runs([a_run(i, NOW - MINUTE) for i in range(30)])  # of one moment
    await store.upsert_runs([a_run(100 + i, NOW - MINUTE - i * timedelta(seconds=1)) for i in range(23)])
    fleet = FleetMetrics()
    assert await fleets.refresh(fleet, store, NOW) == 53
    assert await fleets.refresh(fleet, store, NOW, NOW - MINUTE) >= 30
    assert values(fleet)["flow_runs_total"] == 53


async def test_what_was_odd_and_who_looked_last_is_told_by_any_process(store: Store) -> None:
    await store.add_tallies(observe.READING, {"runs_read": 10, "clock_skew": 2}, NOW)
    await store.set_cursor(WATCHER_LOOKS, NOW - MINUTE)
    await store.set_cursor(GAP_FROM, NOW - 9 * MINUTE)
    await store.set_cursor(GAP_TO, NOW)
    fleet = FleetMetrics()
    await fleets.refresh(fleet, store, NOW)
    await store.add_tallies(observe.READING, {"runs_read": 5, "deleted": 1}, NOW)
    await store.set_cursor(GAP_TO, NOW - 9 * MINUTE)
    before = values(fleet)
    await fleets.refresh(fleet, store, NOW)
    after = values(fleet)
    assert (before["runs_read_total"], after["runs_read_total"]) == (10, 15)
    assert (before["backlog"], after["backlog"]) == (1, 0)
    assert after["odd_input_totalclock_skew"] == 2
    assert after["odd_input_totaldeleted"] == 1
    assert after["last_successful_poll_timestamp_seconds"] == (NOW - MINUTE).timestamp()


async def test_totals_that_began_anew_are_added(store: Store) -> None:
    fleet = FleetMetrics()
    fleet.set_tallies({"runs_read": 10}, backlog=False)
    fleet.set_tallies({"runs_read": 3}, backlog=False)
    assert values(fleet)["runs_read_total"] == 13


async def test_health_is_worked_out_where_something_changed(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("a", "b"):
        await store.upsert_runs(
            [
                a_run(i, NOW - i * MINUTE, id=f"{name}{i}", deployment_id=name, deployment_name=name)
                for i in range(1, 9)
            ]
        )
    read: list[tuple[str | None, int]] = []
    real = observe.history

    async def history(store: Store, workflow: Workflow, limit: int = 500) -> tuple[RunRecord, ...]:
        read.append((workflow.deployment_id, limit))
        return await real(store, workflow, limit)

    monkeypatch.setattr(observe, "history", history)
    book = observe.HealthBook()
    first = await observe.assess(store, NOW, book)
    assert await observe.assess(store, NOW + MINUTE, book) == first
    assert sorted(read) == [("a", observe.HEALTH_RUNS), ("b", observe.HEALTH_RUNS)]
    await store.upsert_runs([a_run(50, NOW + MINUTE, "FAILED", deployment_id="b", deployment_name="b")])
    scores = {one.workflow_id: one.score for one in await observe.assess(store, NOW + 2 * MINUTE, book)}
    assert len(read) == 3
    assert (scores["b"] or 0) < (scores["a"] or 0)
    await observe.assess(store, NOW + 30 * MINUTE, book)
    assert len(read) == 5, "time itself makes a deployment stale"


async def test_without_a_book_everything_is_worked_out(store: Store) -> None:
    await store.upsert_runs([a_run(i, NOW - i * MINUTE) for i in range(8)])
    book = observe.HealthBook()
    assert await observe.assess(store, NOW) == await observe.assess(store, NOW, book)
