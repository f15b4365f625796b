"""Runs → alert over a real store: crashes between steps, clocks that differ, notices, names, the command."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from prefect_autopilot.cli import main
from prefect_autopilot.errors import ConflictError, StoreError
from prefect_autopilot.journeys import fleet as fleets
from prefect_autopilot.journeys import judging, observe, reading
from prefect_autopilot.journeys.deployed import Deployed, read_deployed
from prefect_autopilot.models import (
    AlertCondition,
    AlertPolicy,
    JSONDict,
    MonitoringRule,
    RunRecord,
    RunSeries,
    StateRecord,
    WorkflowAlert,
)
from prefect_autopilot.monitoring import FleetMetrics
from prefect_autopilot.monitoring.detection import resume
from prefect_autopilot.store import Store

HOURLY: JSONDict = {"interval": 3600, "anchor_date": "2026-01-01T00:00:00Z", "timezone": "UTC"}


@pytest.fixture
async def shop(tmp_path: Path) -> AsyncIterator[Store]:
    async with Store.open(f"sqlite:///{tmp_path / 'shop.db'}") as opened:
        yield opened


def ended(number: int, at: datetime, state: str = "COMPLETED", **more: Any) -> RunRecord:
    fields: dict[str, Any] = {
        "id": f"run-{number}",
        "flow_name": "orders",
        "deployment_id": "dep-1",
        "deployment_name": "prod",
        "run_count": 1,
        "state": StateRecord(id=f"{number}-{state}-{at:%H%M%S}", type=state, name=state, timestamp=at),
        "start": at - timedelta(seconds=60 + number % 5),
        "end": at,
        "duration_s": 60.0 + number % 5,
    }
    return RunRecord.model_validate(fields | more)


def hours(now: datetime, states: str, first: int = 0, **more: Any) -> list[RunRecord]:
    """One run an hour up to ten minutes ago; . good, F failed, X crashed."""
    names = {".": "COMPLETED", "F": "FAILED", "X": "CRASHED"}
    return [
        ended(first + i, now - timedelta(hours=len(states) - 1 - i, minutes=10), names[letter], **more)
        for i, letter in enumerate(states)
    ]


# --- reading --------------------------------------------------------------------------------------------


async def test_the_first_look_goes_back_thirty_days(listed: Any, shop: Store, now: datetime) -> None:
    api = listed(ended(1, now - timedelta(days=31)), ended(2, now - timedelta(days=29)))
    assert await observe.ingest(api, shop, now) == 1
    assert api.asked[0][0] == now - observe.FIRST_LOOK


async def test_a_crash_after_storing_reads_the_same_again_and_writes_nothing(
    listed: Any, shop: Store, now: datetime
) -> None:
    runs = hours(now, "." * 6)
    await shop.upsert_runs(runs)  # stored, then killed before the cursor moved
    assert await observe.ingest(listed(*runs), shop, now) == 0
    assert await shop.cursor(observe.CURSOR) == runs[-1].end
    assert len(await shop.runs()) == 6


@pytest.mark.parametrize(("behind", "read"), [(1, 1), (119, 1), (120, 1), (121, 0), (3600, 0)])
async def test_a_straggler_is_read_within_the_overlap(
    listed: Any, shop: Store, now: datetime, behind: int, read: int
) -> None:
    api = listed(ended(1, now))
    await observe.ingest(api, shop, now)
    api.runs.append(ended(2, now - timedelta(seconds=behind)))
    assert await observe.ingest(api, shop, now) == read


@pytest.mark.parametrize("skew", [1, 60, 86_400])
async def test_a_worker_whose_clock_is_ahead_does_not_hide_later_runs(
    listed: Any, shop: Store, now: datetime, skew: int
) -> None:
    api = listed(ended(1, now + timedelta(seconds=skew)))
    assert await observe.ingest(api, shop, now) == 1
    assert (await shop.cursor(observe.CURSOR) or now) <= now
    api.runs.append(ended(2, now + timedelta(seconds=0.5)))
    assert await observe.ingest(api, shop, now + timedelta(seconds=1)) == 1


async def test_the_cursor_never_goes_back(listed: Any, shop: Store, now: datetime) -> None:
    await observe.ingest(listed(ended(1, now)), shop, now)
    await observe.ingest(listed(ended(2, now - timedelta(seconds=90))), shop, now - timedelta(hours=3))
    assert await shop.cursor(observe.CURSOR) == now


async def test_a_run_that_ends_replaces_itself_under_way(listed: Any, shop: Store, now: datetime) -> None:
    api = listed(ended(1, now, "RUNNING", end=None, duration_s=None))
    assert await observe.ingest(api, shop, now) == 1
    api.runs = [ended(1, now + timedelta(minutes=2))]
    assert await observe.ingest(api, shop, now + timedelta(minutes=3)) == 1
    assert [run.state.type for run in await shop.runs()] == ["COMPLETED"]


async def test_an_older_state_that_arrives_late_changes_nothing(
    listed: Any, shop: Store, now: datetime
) -> None:
    await observe.ingest(listed(ended(1, now)), shop, now)
    stale = ended(1, now - timedelta(minutes=1), "RUNNING", end=None, duration_s=None)
    assert await observe.ingest(listed(stale), shop, now) == 0
    assert [run.state.type for run in await shop.runs()] == ["COMPLETED"]


async def test_a_run_deleted_on_the_server_stays_as_it_was_seen(
    listed: Any, shop: Store, now: datetime
) -> None:
    api = listed(*hours(now, "..."))
    await observe.ingest(api, shop, now)
    api.runs.clear()
    assert await observe.ingest(api, shop, now) == 0
    assert len(await shop.runs()) == 3


@pytest.mark.parametrize(("backlog", "pages"), [(3, 0), (4, 1), (7, 2), (15, 4), (70, 23)])
async def test_a_backlog_is_read_newest_first_and_then_page_by_page(
    listed: Any, shop: Store, now: datetime, monkeypatch: pytest.MonkeyPatch, backlog: int, pages: int
) -> None:
    monkeypatch.setattr(reading, "NEWEST", 4)
    monkeypatch.setattr(reading, "PAGE", 4)
    api = listed(*hours(now, "." * backlog))
    assert await observe.ingest(api, shop, now) == backlog
    assert (len(api.asked), len(api.pages)) == (1, pages)


@pytest.mark.parametrize("name", ["autopilot-monitor", "autopilot-", "autopilot-troubleshoot"])
async def test_our_own_flows_move_the_cursor_and_are_not_stored(
    listed: Any, shop: Store, now: datetime, name: str
) -> None:
    assert await observe.ingest(listed(ended(1, now, flow_name=name)), shop, now) == 0
    assert await shop.runs() == ()
    assert await shop.cursor(observe.CURSOR) == now


async def test_two_readers_at_once_store_each_run_once(listed: Any, shop: Store, now: datetime) -> None:
    api = listed(*hours(now, "." * 40))
    written = await asyncio.gather(*(observe.ingest(api, shop, now) for _ in range(3)))
    assert sum(written) == 40
    assert len(await shop.runs()) == 40


# --- judging --------------------------------------------------------------------------------------------


async def test_the_loop_goes_on_while_runs_are_judged(
    shop: Store, now: datetime, monkeypatch: pytest.MonkeyPatch
) -> None:
    await shop.upsert_runs(hours(now, "." * 60 + "FFF"))
    loop_went_on = threading.Event()
    seen: list[bool] = []

    def slow(series: RunSeries, memory: Any) -> Any:
        seen.append(loop_went_on.wait(timeout=20))
        return resume(series, memory)

    monkeypatch.setattr(judging, "resume", slow)
    judged = asyncio.create_task(observe.raise_alerts(shop, (), now))
    while not judged.done():
        await asyncio.sleep(0.01)
        loop_went_on.set()
    assert seen == [True]
    assert len(await judged) == 1


async def cases_of(store: Store) -> list[judging.Case]:
    return [await judging.read_case(store, one, (), None) for one in await store.workflows()]


async def test_judging_alone_writes_nothing(shop: Store, now: datetime) -> None:
    await shop.upsert_runs(hours(now, "." * 60 + "FFF"))
    cases = await cases_of(shop)
    alerts, _, _ = judging.judge(cases, {}, (), now)
    assert [alert.title for alert in alerts] == ["orders/prod: consecutive failures"]
    assert judging.judge(cases, {}, alerts, now)[0] == []
    assert await shop.alerts() == ()
    assert judging.judge((), {}, (), now) == ([], [], [])


async def test_watchers_that_judge_at_once_tell_one_alert(shop: Store, now: datetime) -> None:
    await shop.upsert_runs(hours(now, "." * 60 + "FFF"))
    told = await asyncio.gather(*(observe.raise_alerts(shop, (), now) for _ in range(4)))
    assert len({alert.alert_id for alerts in told for alert in alerts}) == 1
    assert len(await shop.alerts()) == 1
    assert len(await shop.pending_notices(now, "webhook")) == 1


async def test_another_open_alert_of_the_same_trouble_wins(
    shop: Store, now: datetime, monkeypatch: pytest.MonkeyPatch
) -> None:
    await shop.upsert_runs(hours(now, "." * 60 + "FFF"))
    (mine,), _, _ = judging.judge(await cases_of(shop), {}, (), now)
    theirs = mine.model_copy(update={"alert_id": "theirs", "created_at": now - timedelta(minutes=1)})
    real = shop.alerts

    async def before_theirs(**_: Any) -> tuple[WorkflowAlert, ...]:
        found = await real()
        await shop.save_alert(theirs)
        return found

    monkeypatch.setattr(shop, "alerts", before_theirs)
    assert await observe.raise_alerts(shop, (), now) == ()
    assert [alert.alert_id for alert in await real()] == ["theirs"]
    assert await shop.pending_notices(now, "webhook") == ()
    with pytest.raises(ConflictError):
        await shop.save_alert(mine)


async def test_a_store_that_fails_is_not_swallowed(
    shop: Store, now: datetime, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def broken(_: WorkflowAlert) -> None:
        raise StoreError("the disk is full; make room")

    await shop.upsert_runs(hours(now, "." * 60 + "FFF"))
    monkeypatch.setattr(shop, "save_alert", broken)
    with pytest.raises(StoreError, match="full"):
        await observe.raise_alerts(shop, (), now)
    assert await shop.pending_notices(now, "webhook") == ()


async def test_a_workflow_silent_for_a_fortnight_is_left_alone(shop: Store, now: datetime) -> None:
    await shop.upsert_runs(hours(now - timedelta(days=15), "." * 60))
    assert await observe.raise_alerts(shop, (), now, deployed=Deployed({"dep-1": HOURLY})) == ()


@pytest.mark.parametrize("number", [1, AlertPolicy().most_at_once, AlertPolicy().most_at_once + 1, 12])
async def test_up_to_five_alerts_are_told_one_by_one(shop: Store, now: datetime, number: int) -> None:
    for i in range(number):
        own = {"deployment_id": f"d{i}", "deployment_name": f"n{i}", "flow_name": f"f{i}", "work_pool": None}
        await shop.upsert_runs(hours(now, "." * 40 + "FFF", 1000 * i, **own))
    assert len(await observe.raise_alerts(shop, (), now)) == number
    waiting = await shop.pending_notices(now, "webhook")
    assert len(waiting) == (number if number <= AlertPolicy().most_at_once else 1)
    text = " ".join(one.notice.title + one.notice.text for one in waiting)
    assert all(f"n{i}:" in text for i in range(number))


async def test_the_same_pass_again_queues_no_second_notice(shop: Store, now: datetime) -> None:
    await shop.upsert_runs(hours(now, "." * 60 + "X" * 3))
    for minute in range(4):
        await observe.raise_alerts(shop, (), now + timedelta(minutes=minute))
    assert len(await shop.pending_notices(now + timedelta(minutes=9), "webhook")) == 1


async def test_trouble_that_comes_back_is_a_new_alert(shop: Store, now: datetime) -> None:
    await shop.upsert_runs(hours(now, "." * 60 + "FFF"))
    (first,) = await observe.raise_alerts(shop, (), now)
    calm = now + timedelta(hours=8)
    await shop.upsert_runs(hours(calm, "." * 7, 100))
    (over,) = await observe.raise_alerts(shop, (), calm)
    assert over.status == "resolved"
    again = calm + timedelta(hours=24)
    await shop.upsert_runs(hours(again, "." * 20 + "FFFFF", 200))
    second = [
        one for one in await observe.raise_alerts(shop, (), again) if one.fingerprint == first.fingerprint
    ]
    assert [one.status for one in second] == ["firing"]
    assert second[0].alert_id != first.alert_id


async def test_a_rule_that_only_was_pending_is_never_told(shop: Store, now: datetime) -> None:
    rule = MonitoringRule(
        rule_id="slow", workflow_id="*", metric_name="response_time",
        condition=AlertCondition.GREATER_THAN, threshold=61,
    )  # fmt: skip
    await shop.upsert_runs(hours(now, "." * 20))
    (pending,) = await observe.raise_alerts(shop, (rule,), now)
    calm = rule.model_copy(update={"threshold": 90.0})
    (over,) = await observe.raise_alerts(shop, (calm,), now + timedelta(minutes=1))
    assert (pending.status, over.status) == ("pending", "resolved")
    assert await shop.pending_notices(now + timedelta(hours=1), "webhook") == ()


@pytest.mark.parametrize(
    ("schedule", "followed"),
    [
        ({"cron": "0 6 * * mon-fri", "timezone": "Europe/Berlin", "day_or": True}, True),
        ({"rrule": "DTSTART:20260101T000000Z\nRRULE:FREQ=HOURLY"}, True),
        ({"interval": 3600.0, "anchor_date": "2020-01-01T00:00:00Z", "timezone": "UTC"}, True),
        ({"cron": "0 6 L * *"}, False),
        ({"cron": "0 6 * * *", "timezone": "Europe"}, False),
        ({"interval": 0}, False),
        ({"rrule": "sometimes"}, False),
    ],
    ids=str,
)
async def test_a_schedule_is_followed_where_it_can_be_read(
    shop: Store,
    now: datetime,
    schedule: JSONDict,
    followed: bool,  # noqa: FBT001 - a column of the table
) -> None:
    class One:
        async def deployments_by_id(self, ids: Sequence[str]) -> tuple[JSONDict, ...]:
            return tuple({"id": one, "schedules": [{"active": True, "schedule": schedule}]} for one in ids)

        async def automations(self) -> tuple[JSONDict, ...]:
            return ()

    await shop.upsert_runs(hours(now, "." * 30))
    found = (await read_deployed(One(), shop, now)).schedules
    assert found == ({"dep-1": schedule} if followed else {})
    await observe.raise_alerts(shop, (), now, deployed=Deployed(found))  # whatever is followed can be judged


# --- names ----------------------------------------------------------------------------------------------


async def test_a_flow_without_a_deployment_is_a_workflow_of_its_own(shop: Store, now: datetime) -> None:
    await shop.upsert_runs(
        [*hours(now, "." * 10), *hours(now, "F" * 10, 50, deployment_id=None, deployment_name=None)]
    )
    assert await observe.names(shop) == {"dep-1": ("orders", "prod"), "orders": ("orders", "")}
    scores = await observe.assess(shop, now)
    assert [(one.workflow_id, one.status) for one in scores] == [
        ("orders", "unhealthy"),
        ("dep-1", "healthy"),
    ]


async def test_the_metrics_name_health_as_they_name_runs(shop: Store, now: datetime) -> None:
    await shop.upsert_runs(hours(now, "." * 30))
    await observe.raise_alerts(shop, (), now)
    fleet = FleetMetrics()
    assert await fleets.refresh(fleet, shop, now) == 1
    text = fleet.render(now).decode()
    assert 'deployment_health_score{deployment="prod",flow="orders"} 1.0' in text
    assert 'flow_runs_total{deployment="prod",flow="orders"' in text


async def test_the_metrics_count_an_anomaly_once(shop: Store, now: datetime) -> None:
    await shop.upsert_runs(hours(now, "." * 60 + "FFF"))
    await observe.raise_alerts(shop, (), now)
    fleet = FleetMetrics()
    for second in range(3):
        await fleets.refresh(fleet, shop, now + timedelta(seconds=second), now)
    line = 'anomalies_total{deployment="prod",flow="orders",kind="consecutive_failures"} 1.0'
    assert line in fleet.render(now).decode()


@pytest.fixture
def seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A home whose store has seen two deployments of one name and a flow without one."""
    monkeypatch.setenv("PREFECT_AUTOPILOT_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("PREFECT_HOME", str(tmp_path / "prefect"))
    from prefect_autopilot.settings import load_settings

    now = datetime.now(UTC)
    loose = {"deployment_id": None, "deployment_name": None, "flow_name": "loose"}
    runs = [
        *hours(now, "." * 20),
        *hours(now, ".F" * 10, 100, deployment_id="dep-2", flow_name="bills"),
        *hours(now, "." * 8, 200, **loose),
    ]

    async def store_them() -> None:
        async with Store.open(load_settings().store_url.get_secret_value()) as store:
            await store.upsert_runs(runs)

    asyncio.run(store_them())


@pytest.mark.parametrize(
    ("word", "ids"),
    [
        (None, ["dep-1", "dep-2", "loose"]),
        ("prod", ["dep-1", "dep-2"]),
        ("orders", ["dep-1"]),
        ("bills/prod", ["dep-2"]),
        ("dep-1", ["dep-1"]),
        ("loose", ["loose"]),
    ],
)
def test_the_command_tells_health_by_the_ids_of_everywhere(
    seen: None, capsys: pytest.CaptureFixture[str], word: str | None, ids: list[str]
) -> None:
    assert main(["health", *([word] if word else []), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert sorted(one["workflow_id"] for one in told) == ids
    assert all(one["runs"] in {20, 8} for one in told)


def test_the_command_shows_names_to_people_and_the_worst_first(
    seen: None, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["health"]) == 0
    text = capsys.readouterr().out
    assert text.index("bills/prod") < text.index("orders/prod")
    assert "loose" in text
    assert "dep-1" not in text


def test_the_command_suggests_the_nearest_name(seen: None, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["health", "order"]) == 1
    told = capsys.readouterr()
    assert "orders" in told.err + told.out
