"""Runs → alert, over a real store and a Prefect that is a list of runs."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from prefect_autopilot.errors import PrefectError
from prefect_autopilot.journeys import observe, reading
from prefect_autopilot.journeys.deployed import Deployed, read_deployed
from prefect_autopilot.models import (
    AlertCondition,
    AlertType,
    JSONDict,
    MonitoringRule,
    RunRecord,
    Severity,
    StateRecord,
)
from prefect_autopilot.store import Store


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    async with Store.open(f"sqlite:///{tmp_path / 'autopilot.db'}") as opened:
        yield opened


def a_run(number: int, at: datetime, state: str = "COMPLETED", **more: Any) -> RunRecord:
    fields: dict[str, Any] = {
        "id": f"run-{number}",
        "flow_name": "orders",
        "deployment_id": "dep-1",
        "deployment_name": "prod",
        "work_pool": "pool",
        "run_count": 1,
        "state": StateRecord(id=f"state-{number}-{state}", type=state, name=state.title(), timestamp=at),
        "start": at - timedelta(seconds=60 + number % 5),
        "end": at,
        "duration_s": 60.0 + number % 5,
    }
    return RunRecord.model_validate(fields | more)


def hourly(now: datetime, states: str) -> list[RunRecord]:
    """One run an hour, the last one ten minutes ago; . is good, F failed."""
    return [
        a_run(
            i,
            now - timedelta(hours=len(states) - 1 - i, minutes=10),
            "FAILED" if letter == "F" else "COMPLETED",
        )
        for i, letter in enumerate(states)
    ]


async def test_each_run_is_read_once(listed: Any, store: Store, now: datetime) -> None:
    api = listed(*hourly(now, "." * 5))
    assert await observe.ingest(api, store, now) == 5
    assert await observe.ingest(api, store, now) == 0
    api.runs.append(a_run(9, now + timedelta(minutes=5)))
    assert await observe.ingest(api, store, now + timedelta(minutes=6)) == 1
    assert len(await store.runs()) == 6


async def test_reading_goes_on_where_it_ended_and_not_at_our_clock(
    listed: Any, store: Store, now: datetime
) -> None:
    runs = hourly(now, "." * 5)
    api = listed(*runs)
    await observe.ingest(api, store, now)
    assert await store.cursor(observe.CURSOR) == runs[-1].end
    await observe.ingest(listed(), store, now + timedelta(days=1))
    assert await store.cursor(observe.CURSOR) == runs[-1].end


async def test_a_run_that_arrives_late_within_the_overlap_is_read(
    listed: Any, store: Store, now: datetime
) -> None:
    api = listed(a_run(1, now))
    await observe.ingest(api, store, now)
    api.runs.append(a_run(2, now - timedelta(seconds=60)))
    assert await observe.ingest(api, store, now) == 1


async def test_an_end_in_the_future_does_not_move_the_cursor_there(
    listed: Any, store: Store, now: datetime
) -> None:
    api = listed(a_run(1, now - timedelta(hours=1)), a_run(2, now + timedelta(days=3)))
    await observe.ingest(api, store, now)
    assert await store.cursor(observe.CURSOR) == now - timedelta(hours=1)


async def test_a_backlog_beyond_one_answer_is_read_whole(
    listed: Any, store: Store, now: datetime, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reading, "NEWEST", 3)
    monkeypatch.setattr(reading, "PAGE", 4)
    api = listed(*hourly(now, "." * 40))
    assert await observe.ingest(api, store, now) == 40


async def test_our_own_flows_are_not_observed(listed: Any, store: Store, now: datetime) -> None:
    api = listed(a_run(1, now, flow_name="autopilot-monitor"), a_run(2, now))
    assert await observe.ingest(api, store, now) == 1


async def test_a_failed_read_leaves_the_cursor_where_it_was(listed: Any, store: Store, now: datetime) -> None:
    async def down(*_: object, **__: object) -> tuple[RunRecord, ...]:
        raise PrefectError("down", permanent=False)

    api = listed()
    api.runs_changed_since = down
    with pytest.raises(PrefectError):
        await observe.ingest(api, store, now)
    assert await store.cursor(observe.CURSOR) is None


async def test_health_is_assessed_per_deployment_the_worst_first(store: Store, now: datetime) -> None:
    await store.upsert_runs(hourly(now, "." * 30))
    bad = [
        run.model_copy(update={"id": f"b-{run.id}", "deployment_id": "dep-2"})
        for run in hourly(now, ".F" * 15)
    ]
    young = [
        run.model_copy(update={"id": f"y-{run.id}", "deployment_id": "dep-3"}) for run in hourly(now, "..")
    ]
    await store.upsert_runs([*bad, *young])
    scores = await observe.assess(store, now)
    assert [(one.workflow_id, one.status) for one in scores] == [
        ("dep-2", "unhealthy"), ("dep-1", "healthy"), ("dep-3", "unknown"),
    ]  # fmt: skip


async def test_three_failures_raise_one_alert_and_one_notice(store: Store, now: datetime) -> None:
    await store.upsert_runs(hourly(now, "." * 60 + "FFF"))
    (alert,) = await observe.raise_alerts(store, (), now)
    assert (alert.status, alert.workflow_id) == ("firing", "dep-1")
    assert alert.title == "orders/prod: consecutive failures"
    assert await observe.raise_alerts(store, (), now + timedelta(minutes=5)) == ()
    waiting = await store.pending_notices(now + timedelta(minutes=5), "webhook")
    assert [one.notice.title for one in waiting] == [alert.title]


async def test_an_alert_ends_after_good_runs_and_its_end_is_told(store: Store, now: datetime) -> None:
    await store.upsert_runs(hourly(now, "." * 60 + "FFF"))
    await observe.raise_alerts(store, (), now)
    later = now + timedelta(hours=6)
    await store.upsert_runs([a_run(100 + i, now + timedelta(hours=i + 1)) for i in range(5)])
    (over,) = await observe.raise_alerts(store, (), later)
    assert (over.status, over.resolved_at) == ("resolved", later)
    assert await store.alerts(open_only=True) == ()
    titles = [one.notice.title for one in await store.pending_notices(later, "webhook")]
    assert titles == ["orders/prod: consecutive failures", "Over: orders/prod: consecutive failures"]


async def test_a_first_look_at_old_trouble_pages_nobody(store: Store, now: datetime) -> None:
    await store.upsert_runs(hourly(now, "." * 60 + "FFF" + "." * 20))
    assert await observe.raise_alerts(store, (), now) == ()


async def test_a_healthy_server_has_no_alerts(store: Store, now: datetime) -> None:
    await store.upsert_runs(hourly(now, "." * 80))
    assert await observe.raise_alerts(store, (), now) == ()
    assert await store.pending_notices(now, "webhook") == ()


async def test_a_rule_is_pending_first_and_only_then_told(store: Store, now: datetime) -> None:
    rule = MonitoringRule(
        rule_id="errors",
        workflow_id="dep-1",
        metric_name="error_rate",
        condition=AlertCondition.GREATER_THAN,
        threshold=0.02,
    )
    await store.upsert_runs(hourly(now, "." * 20 + "FF" + "." * 30))
    (pending,) = await observe.raise_alerts(store, (rule,), now)
    assert pending.status == "pending"
    assert await store.pending_notices(now, "webhook") == ()
    later = now + timedelta(minutes=5)
    (firing,) = await observe.raise_alerts(store, (rule,), later)
    assert (firing.status, firing.alert_id) == ("firing", pending.alert_id)
    assert len(await store.pending_notices(later, "webhook")) == 1


async def test_many_alerts_at_once_are_one_notice(store: Store, now: datetime) -> None:
    for number in range(8):
        runs = hourly(now, "." * 60 + "FFF")
        changes = {
            "deployment_id": f"dep-{number}",
            "deployment_name": f"d{number}",
            "flow_name": f"flow-{number}",
            "work_pool": f"pool-{number}",
        }
        await store.upsert_runs(
            [run.model_copy(update={"id": f"{number}-{run.id}"} | changes) for run in runs]
        )
    assert len(await observe.raise_alerts(store, (), now)) == 8
    (waiting,) = await store.pending_notices(now, "webhook")
    assert waiting.notice.title == "8 alerts changed"
    assert all(f"d{number}:" in waiting.notice.text for number in range(8))


async def test_a_run_that_hangs_is_told_while_it_runs(store: Store, now: datetime) -> None:
    hanging = a_run(99, now, "RUNNING", start=now - timedelta(minutes=40), end=None, duration_s=None)
    await store.upsert_runs([*hourly(now, "." * 60), hanging])
    (alert,) = await observe.raise_alerts(store, (), now)
    assert alert.title == "orders/prod: stuck run"
    assert alert.severity is Severity.HIGH


HOURLY = {"interval": 3600, "anchor_date": "2026-01-01T00:00:00Z", "timezone": "UTC"}


async def test_a_known_schedule_finds_missing_runs(store: Store, now: datetime) -> None:
    silent = now - timedelta(hours=5)
    await store.upsert_runs(
        [run.model_copy(update={"expected_start": run.start}) for run in hourly(silent, "." * 60)]
    )
    assert await observe.raise_alerts(store, (), now) == ()
    (alert,) = await observe.raise_alerts(store, (), now, deployed=Deployed({"dep-1": HOURLY}))
    assert alert.title == "orders/prod: missed schedule"


@pytest.mark.parametrize(
    ("deployment", "expected"),
    [
        ({"schedules": [{"active": True, "schedule": HOURLY}]}, {"dep-1": HOURLY}),
        ({"schedules": [{"active": True, "schedule": HOURLY}], "paused": True}, {}),
        ({"schedules": [{"active": False, "schedule": HOURLY}]}, {}),
        ({"schedules": [{"active": True, "schedule": HOURLY}] * 2}, {}),
        ({"schedules": [{"active": True, "schedule": {"cron": "0 0 L * *"}}]}, {}),
        ({"schedules": []}, {}),
        ({}, {}),
        (None, {}),
    ],
    ids=["one", "paused", "inactive", "two", "a form we cannot read", "none", "not told", "deleted"],
)
async def test_only_one_active_schedule_is_followed(
    listed: Any, store: Store, now: datetime, deployment: JSONDict | None, expected: dict[str, JSONDict]
) -> None:
    api = listed()
    if deployment is not None:
        api.deployments["dep-1"] = deployment
    await store.upsert_runs(hourly(now, ".."))
    assert (await read_deployed(api, store, now)).schedules == expected


def test_a_series_holds_what_the_detectors_need(now: datetime) -> None:
    crashed = a_run(2, now, "CRASHED", start=None, expected_start=now - timedelta(minutes=5), duration_s=None)
    scheduled = a_run(3, now, "SCHEDULED", start=None, end=None, duration_s=None)
    series = observe.series_of("dep-1", [a_run(1, now, run_count=3), crashed, scheduled], now)
    assert [run.state for run in series.runs] == ["COMPLETED", "CRASHED"]
    assert series.runs[0].retries == 2
    assert series.runs[1].start == now - timedelta(minutes=5)
    assert (series.work_pool, series.deployment) == ("pool", "prod")


async def test_the_alert_of_a_rule_names_flow_and_deployment(store: Store, now: datetime) -> None:
    runs = hourly(now, "FFFF")
    await store.upsert_runs(runs)
    rule = MonitoringRule(
        workflow_id="dep-1",
        metric_name="error_rate",
        condition=AlertCondition.GREATER_THAN,
        threshold=0.5,
        alert_type=AlertType.ERROR_RATE_INCREASE,
        severity=Severity.CRITICAL,
    )
    titles = {alert.title for alert in await observe.raise_alerts(store, (rule,), now)}
    assert f"{runs[-1].flow_name}/{runs[-1].deployment_name}: error_rate is 1" in titles


@pytest.mark.parametrize(
    ("update", "runs_before", "told"),
    [
        (
            {"entrypoint": "flow.py:new", "parameters": {"day": 2}},
            3,
            "(entrypoint, parameters), 3 runs before.",
        ),
        ({"job_variables": {"image": "etl:6"}}, 30, "(job_variables), 30 runs before."),
        ({"job_variables": {"image": "etl:6"}}, 31, ""),
        ({"schedules": [], "description": "words", "tags": ["a"]}, 3, ""),
        ({}, 3, ""),
    ],
    ids=["code and parameters", "long before", "too long before", "nothing runs go by", "none"],
)
async def test_an_alert_names_the_update_of_its_deployment_before_it(
    listed: Any, store: Store, now: datetime, update: JSONDict, runs_before: int, told: str
) -> None:
    api = listed()
    api.deployments["dep-1"] = {"entrypoint": "flow.py:old", "parameters": {"day": 1}}
    runs = hourly(now, "." * 60 + "FFF")
    await store.upsert_runs(runs)
    began = runs[62].start  # three failures in a row are told at the third
    assert began is not None
    updated = began - timedelta(hours=runs_before - 0.5)
    await read_deployed(api, store, updated - timedelta(days=1))
    api.deployments["dep-1"] |= update
    await read_deployed(api, store, updated)
    deployed = await read_deployed(api, store, now)
    (alert,) = await observe.raise_alerts(store, (), now, deployed=deployed)
    assert alert.description.endswith(told)
    assert ("updated" in alert.description) == bool(told)
