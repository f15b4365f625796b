"""A monitor that fails is an alert of its own, and the others go on; bad records are judged or left out."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from prefect_autopilot.journeys import judging, observe
from prefect_autopilot.models import RunRecord, RunSeries, StateRecord
from prefect_autopilot.monitoring import FleetMetrics, health
from prefect_autopilot.monitoring.broken import FAULTS, broken, mended
from prefect_autopilot.monitoring.detection import Judgement, Memory, resume
from prefect_autopilot.store import Store

NOW = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)
MINUTE = timedelta(minutes=1)


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    async with Store.open(f"sqlite:///{tmp_path / 'autopilot.db'}") as opened:
        yield opened


def run(number: int, name: str = "a", at: datetime | None = None, **fields: Any) -> RunRecord:
    end = at or NOW - timedelta(hours=60 - number, minutes=10)
    base: dict[str, Any] = {
        "id": f"{name}-{number}",
        "flow_name": name,
        "run_count": 1,
        "state": StateRecord(id=f"{name}-s{number}", type="COMPLETED", name="Completed", timestamp=end),
        "start": end - timedelta(seconds=60),
        "end": end,
        "duration_s": 60.0,
    }
    return RunRecord.model_validate(base | fields)


def failing_for(name: str, error: Exception) -> Any:
    """A ``resume`` that raises for one workflow."""

    def broken_resume(series: RunSeries, memory: Memory | None) -> Judgement | None:
        if series.id == name:
            raise error
        return resume(series, memory)

    return broken_resume


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.__name__)
async def test_a_failing_monitor_is_told_and_the_others_go_on(
    store: Store, monkeypatch: pytest.MonkeyPatch, fault: type[Exception]
) -> None:
    failed = StateRecord(id="x", type="FAILED", name="Failed", timestamp=NOW)
    await store.upsert_runs([run(i) for i in range(40)])
    others = [
        run(i, "b", state=failed.model_copy(update={"id": f"b{i}"})) if i > 56 else run(i, "b")
        for i in range(60)
    ]
    await store.upsert_runs(others)
    monkeypatch.setattr(judging, "resume", failing_for("a", fault("password=hunter2 is odd")))
    found = {alert.title: alert for alert in await observe.raise_alerts(store, (), NOW)}
    assert set(found) == {"a: its monitor failed", "b: consecutive failures"}
    assert fault.__name__ in found["a: its monitor failed"].description
    assert "hunter2" not in found["a: its monitor failed"].description
    titles = [one.notice.title for one in await store.pending_notices(NOW, "webhook")]
    assert "a: its monitor failed" in titles


async def test_it_is_told_once_and_over_when_it_judges_again(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    await store.upsert_runs([run(i) for i in range(40)])
    with monkeypatch.context() as patch:
        patch.setattr(judging, "resume", failing_for("a", ValueError("odd")))
        for minute in range(3):
            await observe.raise_alerts(store, (), NOW + minute * MINUTE)
        assert len(await store.pending_notices(NOW, "webhook")) == 1
    (over,) = await observe.raise_alerts(store, (), NOW + 5 * MINUTE)
    assert (over.status, over.resolution_notes) == ("resolved", "Its runs are judged again.")
    assert await store.alerts(open_only=True) == ()


async def test_a_kept_state_at_fault_is_given_up_before_anybody_is_told(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    await store.upsert_runs([run(i) for i in range(40)])
    await observe.raise_alerts(store, (), NOW)

    def fails_with_memory(series: RunSeries, memory: Memory | None) -> Judgement | None:
        if memory is not None:
            raise KeyError("of another version")
        return resume(series, memory)

    monkeypatch.setattr(judging, "resume", fails_with_memory)
    await store.upsert_runs([run(59)])
    await observe.raise_alerts(store, (), NOW + MINUTE)
    assert await store.alerts() == ()


async def test_what_is_no_fault_of_a_detector_is_raised(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    await store.upsert_runs([run(i) for i in range(40)])
    monkeypatch.setattr(judging, "resume", failing_for("a", MemoryError()))  # type: ignore[arg-type]
    with pytest.raises(MemoryError):
        await observe.raise_alerts(store, (), NOW)


def test_the_alert_says_where_without_the_path() -> None:
    with pytest.raises(ZeroDivisionError) as caught:
        1 / 0  # noqa: B018 - what is wanted is the failure
    (alert,) = broken("w", "flow/prod", caught.value, (), NOW)
    assert "test_broken_monitors.py:" in alert.description
    assert "/" not in alert.description.partition("(")[2].partition(")")[0]
    assert list(broken("w", "flow/prod", ValueError(), [alert], NOW)) == []
    assert [one.status for one in mended("w", [alert], NOW)] == ["resolved"]
    assert list(mended("x", [alert], NOW)) == []


# --- bad records ----------------------------------------------------------------------------------------

BAD = {
    "a negative duration": {"duration_s": -5.0},
    "an infinite duration": {"duration_s": float("inf")},
    "a duration that is no number": {"duration_s": float("nan")},
    "no duration": {"duration_s": None, "end": None},
    "no start": {"start": None},
    "an end before the start": {"end": NOW - timedelta(days=9), "duration_s": None},
    "a start in the future": {"start": NOW + timedelta(days=3)},
    "an expected start far off": {"expected_start": NOW + timedelta(days=400)},
    "a negative count of attempts": {"run_count": -3},
    "a name of any script": {"flow_name": "a", "name": "\u202eتشغيل\U0001f680"},
    "nothing but a state": {"start": None, "end": None, "duration_s": None},
}


@pytest.mark.parametrize("fields", BAD.values(), ids=BAD)
async def test_a_bad_record_stops_nothing(store: Store, fields: dict[str, Any]) -> None:
    good = [run(i) for i in range(40)]
    bad = [run(100 + i, at=NOW - timedelta(hours=9 - i), **fields) for i in range(3)]
    await store.upsert_runs([*good, *bad])
    changed = await observe.raise_alerts(store, (), NOW)
    assert not [alert for alert in changed if "monitor failed" in alert.title]
    assert len(await store.runs()) == 43
    assert health("a", await store.runs(), NOW).score is not None
    fleet = FleetMetrics()
    for record in (*good, *bad):
        fleet.observe(record)
    text = fleet.render(NOW).decode()
    assert "nan" not in text.casefold().replace("finance", "")


@pytest.mark.parametrize("order", [1, -1], ids=["in order", "backwards"])
async def test_events_in_any_order_and_twice_leave_the_newest_state(store: Store, order: int) -> None:
    states = [
        run(1, state=StateRecord(id=f"s{i}", type=kind, name=kind, timestamp=NOW + i * MINUTE))
        for i, kind in enumerate(("PENDING", "RUNNING", "FAILED"))
    ]
    for record in states[::order] * 2:
        await store.upsert_runs([record])
    (kept,) = await store.runs()
    assert kept.state.type == "FAILED"


async def test_a_run_that_vanishes_from_the_server_stays_known(store: Store) -> None:
    await store.upsert_runs([run(i) for i in range(10)])
    await store.upsert_runs([])
    assert len(await store.runs()) == 10
