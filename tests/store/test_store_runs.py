"""Observed runs: idempotent, out of order, out of the way when old."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from itertools import permutations

import pytest
from sqlalchemy.exc import StatementError

from prefect_autopilot.models import Notice, RunRecord, WorkflowAlert
from prefect_autopilot.store import Store

pytestmark = pytest.mark.anyio
MakeRun = Callable[..., RunRecord]


async def test_a_run_comes_back_as_it_was(store: Store, make_run: MakeRun, now: datetime) -> None:
    run = make_run(
        deployment_id="d",
        parameters={"day": "2026-03-02", "n": 3},
        tags=("a", "b"),
        start=now,
        duration_s=4.5,
    )
    assert await store.upsert_runs([run]) == 1
    assert await store.run("run-1") == run


async def test_a_run_nobody_saw_is_none(store: Store) -> None:
    assert await store.run("run-1") is None
    assert await store.upsert_runs([]) == 0


async def test_the_same_record_again_changes_nothing(store: Store, make_run: MakeRun) -> None:
    assert await store.upsert_runs([make_run()]) == 1
    assert await store.upsert_runs([make_run()]) == 0
    assert len(await store.runs()) == 1


@pytest.mark.parametrize("order", list(permutations(range(3))), ids=str)
@pytest.mark.parametrize("arrival", ["together", "one-by-one"])
async def test_the_latest_state_wins_in_any_order(
    store: Store, make_run: MakeRun, now: datetime, order: tuple[int, ...], arrival: str
) -> None:
    states = [
        make_run(state=state, at=now + timedelta(seconds=second))
        for second, state in enumerate(("PENDING", "RUNNING", "FAILED"))
    ]
    shuffled = [states[index] for index in order]
    if arrival == "together":
        await store.upsert_runs(shuffled)
    else:
        for run in shuffled:
            await store.upsert_runs([run])
    stored = await store.run("run-1")
    assert stored is not None
    assert stored.state.type == "FAILED"


async def test_of_one_state_the_later_update_wins(store: Store, make_run: MakeRun, now: datetime) -> None:
    later = make_run(updated=now + timedelta(seconds=9), infrastructure_pid="9")
    assert await store.upsert_runs([later]) == 1
    assert (
        await store.upsert_runs([make_run(updated=now + timedelta(seconds=3), infrastructure_pid="3")]) == 0
    )
    assert await store.upsert_runs([make_run()]) == 0
    stored = await store.run("run-1")
    assert stored is not None
    assert stored.infrastructure_pid == "9"


async def test_what_becomes_known_of_the_same_state_is_added(store: Store, make_run: MakeRun) -> None:
    await store.upsert_runs([make_run()])
    assert await store.upsert_runs([make_run(deployment_name="prod")]) == 1
    stored = await store.run("run-1")
    assert stored is not None
    assert stored.deployment_name == "prod"


async def test_runs_are_found_by_deployment_flow_and_time(
    store: Store, make_run: MakeRun, now: datetime
) -> None:
    hour = timedelta(hours=1)
    await store.upsert_runs(
        [
            make_run("a", deployment_id="d1", start=now - 3 * hour),
            make_run("b", deployment_id="d2", start=now - 2 * hour),
            make_run("c", deployment_id="d1", start=now - hour, flow_name="other"),
        ]
    )
    assert [run.id for run in await store.runs()] == ["a", "b", "c"]
    assert [run.id for run in await store.runs(deployment_id="d1")] == ["a", "c"]
    assert [run.id for run in await store.runs(flow_name="nightly-orders")] == ["a", "b"]
    assert [run.id for run in await store.runs(since=now - 2 * hour)] == ["b", "c"]
    assert [run.id for run in await store.runs(deployment_id="d3")] == []


async def test_a_long_run_that_just_ended_is_found_by_its_change_and_not_by_its_beginning(
    store: Store, make_run: MakeRun, now: datetime
) -> None:
    hour = timedelta(hours=1)
    await store.upsert_runs(
        [
            make_run("long", start=now - 5 * hour, at=now),
            make_run("old", start=now - 5 * hour, at=now - 4 * hour),
            make_run("short", start=now - hour / 2, at=now - hour / 3),
        ]
    )
    assert [run.id for run in await store.runs(changed_since=now - hour)] == ["long", "short"]
    assert [run.id for run in await store.runs(since=now - hour)] == ["short"]
    assert [run.id for run in await store.runs(changed_since=now)] == ["long"]


async def test_a_limit_keeps_the_newest_and_their_order(
    store: Store, make_run: MakeRun, now: datetime
) -> None:
    runs = [make_run(f"{n:02}", start=now + timedelta(minutes=n)) for n in range(20)]
    await store.upsert_runs(runs)
    assert [run.id for run in await store.runs(limit=3)] == ["17", "18", "19"]


async def test_workflows_are_the_deployments_and_flows_seen(
    store: Store, make_run: MakeRun, now: datetime
) -> None:
    await store.upsert_runs(
        [
            make_run("a", deployment_id="d1", deployment_name="prod", start=now),
            make_run("b", deployment_id="d1", deployment_name="prod", start=now + timedelta(hours=2)),
            make_run("c", start=now + timedelta(hours=1)),
        ]
    )
    first, second = await store.workflows()
    assert first[:5] == ("d1", "prod", "nightly-orders", 2, now + timedelta(hours=2))
    assert second[:5] == (None, None, "nightly-orders", 1, now + timedelta(hours=1))
    states = {run.id: run.state.timestamp for run in await store.runs()}
    assert (first.changed_at, second.changed_at) == (max(states["a"], states["b"]), states["c"])


async def test_more_runs_than_one_statement_takes_are_written_whole(
    store: Store, make_run: MakeRun, now: datetime
) -> None:
    runs = [make_run(f"{n:04}", start=now + timedelta(seconds=n)) for n in range(1203)]
    assert await store.upsert_runs(runs) == 1203
    assert len(await store.runs(limit=5000)) == 1203


async def test_a_time_without_a_zone_is_refused(store: Store, now: datetime) -> None:
    with pytest.raises(StatementError, match="needs a zone"):
        await store.set_cursor("runs", now.replace(tzinfo=None))
    assert await store.cursor("runs") is None


async def test_secrets_never_reach_the_database(store: Store, make_run: MakeRun) -> None:
    token = "ghp_" + "a1B2" * 9
    run = make_run(
        parameters={"password": "hunter2", "note": f"use {token}"},
        job_variables={"env": {"DB_PASSWORD": "hunter2"}},
        tags=(f"t:{token}",),
    )
    await store.upsert_runs([run])
    stored = await store.run("run-1")
    assert stored is not None
    text = stored.model_dump_json()
    assert "hunter2" not in text
    assert token not in text
    assert stored.parameters == {"password": "…(redacted)", "note": "use ghp_…(redacted)"}


@pytest.mark.parametrize(
    ("hostile", "stored"),
    [
        ("a\x00b", "a\ufffdb"),
        ("a\ud800b", "a?b"),
        (float("nan"), None),
        (float("inf"), None),
        ("\x1b[31m", "\x1b[31m"),
    ],
    ids=["nul", "surrogate", "nan", "infinite", "ansi"],
)
async def test_what_a_database_refuses_is_replaced(
    store: Store, make_run: MakeRun, hostile: object, stored: object
) -> None:
    await store.upsert_runs([make_run(parameters={"value": [hostile]})])
    run = await store.run("run-1")
    assert run is not None
    assert run.parameters == {"value": [stored]}


async def test_pruning_takes_ended_runs_and_keeps_the_rest(
    store: Store, make_run: MakeRun, now: datetime
) -> None:
    old = now - timedelta(days=100)
    await store.upsert_runs(
        [
            make_run("old", start=old),
            make_run("old-but-running", state="RUNNING", start=old),
            make_run("new", start=now),
        ]
    )
    await store.claim("run:old:1", "w", old)
    await store.claim("run:new:1", "w", now)
    alert = WorkflowAlert(
        alert_id="a", fingerprint="f", workflow_id="d", alert_type="custom_metric", severity="low",
        title="t", description="", created_at=old,
    )  # fmt: skip
    await store.save_alert(alert)
    await store.queue_notice(Notice(notice_id="n", outcome="info", title="t", text=""), old)
    await store.audit("me", "did", "x", {}, old)
    assert await store.prune(now - timedelta(days=90)) == 1
    assert {run.id for run in await store.runs()} == {"old-but-running", "new"}
    assert await store.claimed_by("run:old:1") is None
    assert await store.claimed_by("run:new:1") == "w"
    assert await store.alert("a") is not None, "an open alert stays however old it is"
    assert not await store.deliveries("n")
    assert len(await store.audit_trail()) == 1
    await store.save_alert(alert.model_copy(update={"status": "resolved"}))
    assert await store.prune(now - timedelta(days=90)) == 0
    assert await store.alert("a") is None


async def test_what_polling_has_seen_is_no_news_after_any_time(store: Store, now: datetime) -> None:
    key = "prefect-autopilot.gmail.new_message gmail-default 1"
    await store.claim(key, "gmail-default", now - timedelta(days=1000))
    await store.prune(now)
    assert await store.claimed_by(key) == "gmail-default"


async def test_a_cursor_is_remembered(store: Store, other: Store, now: datetime) -> None:
    assert await store.cursor("runs") is None
    await store.set_cursor("runs", now)
    await store.set_cursor("runs", now + timedelta(microseconds=7))
    assert await other.cursor("runs") == now + timedelta(microseconds=7)
    assert await other.cursor("logs") is None
