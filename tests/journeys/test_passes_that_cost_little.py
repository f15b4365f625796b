"""A pass judges the workflows in which something changed, and goes on from what was kept."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from prefect_autopilot.journeys import observe
from prefect_autopilot.journeys.deployed import Deployed
from prefect_autopilot.models import AlertCondition, MonitoringRule, RunRecord, StateRecord
from prefect_autopilot.store import KeptMonitor, Store

NOW = datetime(2026, 5, 4, 12, tzinfo=UTC)


@pytest.fixture
async def kept(tmp_path: Path) -> AsyncIterator[Store]:
    """A store of its own."""
    async with Store.open(f"sqlite:///{tmp_path / 'passes.db'}") as store:
        yield store


def a_run(deployment: str, number: int, at: datetime, state: str = "COMPLETED") -> RunRecord:
    """Return a run of a minute."""
    end = at + timedelta(minutes=1)
    return RunRecord(
        id=f"{deployment}-{number}", flow_name="bills", deployment_id=deployment, deployment_name=deployment,
        work_pool="pool", run_count=1, start=at, end=end, duration_s=60.0, expected_start=at,
        state=StateRecord(id=f"s-{deployment}-{number}-{state}", type=state, name=state, timestamp=end),
    )  # fmt: skip


def hourly(deployment: str, states: str) -> list[RunRecord]:
    """One run an hour up to an hour ago; . is good, F failed."""
    return [
        a_run(deployment, i, NOW - timedelta(hours=len(states) - i), "FAILED" if one == "F" else "COMPLETED")
        for i, one in enumerate(states)
    ]


async def judged_at(store: Store) -> dict[str, datetime]:
    """Return when each workflow was judged."""
    return {ident: mark.judged_at for ident, mark in (await store.monitor_marks()).items()}


async def test_only_what_changed_is_judged_again(kept: Store) -> None:
    await kept.upsert_runs([*hourly("one", "." * 40), *hourly("two", "." * 40)])
    await observe.raise_alerts(kept, (), NOW)
    later = NOW + timedelta(minutes=5)
    await kept.upsert_runs([a_run("two", 99, NOW)])
    await observe.raise_alerts(kept, (), later)
    assert await judged_at(kept) == {"one": NOW, "two": later}


async def test_after_an_hour_everything_is_looked_at_again(kept: Store) -> None:
    await kept.upsert_runs(hourly("one", "." * 40))
    await observe.raise_alerts(kept, (), NOW)
    later = NOW + timedelta(hours=1)
    await observe.raise_alerts(kept, (), later)
    assert await judged_at(kept) == {"one": later}


async def test_a_schedule_whose_time_has_come_is_judged_without_a_run(kept: Store) -> None:
    schedule = {"interval": 3600, "anchor_date": NOW.isoformat(), "timezone": "UTC"}
    await kept.upsert_runs(hourly("one", "." * 40))
    await observe.raise_alerts(kept, (), NOW, deployed=Deployed({"one": schedule}))
    (alert,) = await observe.raise_alerts(
        kept, (), NOW + timedelta(minutes=20), deployed=Deployed({"one": schedule})
    )
    assert alert.trigger_conditions["kind"] == "missed_schedule"


async def test_a_new_rule_is_judged_at_once(kept: Store) -> None:
    await kept.upsert_runs(hourly("one", "." * 40))
    await observe.raise_alerts(kept, (), NOW)
    rule = MonitoringRule(
        rule_id="slow", workflow_id="one", metric_name="response_time",
        condition=AlertCondition.GREATER_THAN, threshold=1,
    )  # fmt: skip
    (alert,) = await observe.raise_alerts(kept, (rule,), NOW + timedelta(minutes=1))
    assert alert.status == "pending"


async def test_failures_over_two_passes_are_one_alert(kept: Store) -> None:
    await kept.upsert_runs(hourly("one", "." * 60 + "FF"))
    assert await observe.raise_alerts(kept, (), NOW) == ()
    await kept.upsert_runs([a_run("one", 98, NOW, "FAILED")])
    (alert,) = await observe.raise_alerts(kept, (), NOW + timedelta(minutes=5))
    assert alert.trigger_conditions["kind"] == "consecutive_failures"


async def test_a_torn_state_is_built_anew(kept: Store) -> None:
    await kept.upsert_runs(hourly("one", "." * 60 + "FF"))
    await observe.raise_alerts(kept, (), NOW)
    held = await kept.kept_monitor("one")
    assert held is not None
    await kept.keep_monitors([held.model_copy(update={"state": b"torn"})])
    await kept.upsert_runs([a_run("one", 98, NOW, "FAILED")])
    (alert,) = await observe.raise_alerts(kept, (), NOW + timedelta(minutes=5))
    assert alert.trigger_conditions["kind"] == "consecutive_failures"
    mended = await kept.kept_monitor("one")
    assert mended is not None
    assert mended.state != b"torn"


async def test_what_was_kept_comes_back_as_it_was(kept: Store) -> None:
    one = KeptMonitor(
        workflow_id="ü/1", work_pool="pool", judged_at=NOW, changed_at=NOW, runs=3, settings="x",
        next_at=None, through=NOW, leans=((1.5, 2.0, -0.5),), state=b"\x00\xff",
    )  # fmt: skip
    await kept.keep_monitors([one])
    assert await kept.kept_monitor("ü/1") == one
    assert (await kept.pool_leans(["pool", "none"]))["ü/1"].leans == one.leans
    assert await kept.pool_leans(["none"]) == {}
    assert await kept.kept_monitor("other") is None


async def test_what_nobody_judges_any_more_is_forgotten(kept: Store) -> None:
    await kept.upsert_runs(hourly("one", "." * 10))
    await observe.raise_alerts(kept, (), NOW)
    assert await kept.forget_monitors(NOW) == 0
    assert await kept.forget_monitors(NOW + timedelta(seconds=1)) == 1
    assert await kept.monitor_marks() == {}
