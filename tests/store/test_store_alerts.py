"""Alerts, rules and the outbox."""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta

import pytest

from prefect_autopilot.errors import ConflictError, UnknownNameError
from prefect_autopilot.models import MonitoringRule, Notice, WorkflowAlert
from prefect_autopilot.store import Store

pytestmark = pytest.mark.anyio


def alert(alert_id: str, now: datetime, **fields: object) -> WorkflowAlert:
    return WorkflowAlert.model_validate(
        {
            "alert_id": alert_id,
            "fingerprint": f"f-{alert_id}",
            "workflow_id": "d",
            "alert_type": "error_rate_increase",
            "severity": "high",
            "title": "Three runs in a row failed",
            "description": "",
            "created_at": now,
            **fields,
        }
    )


def notice(notice_id: str = "n") -> Notice:
    return Notice(
        notice_id=notice_id, outcome="escalated", title="Orders failed", text="The password is wrong."
    )


async def test_an_alert_comes_back_as_it_was(store: Store, now: datetime) -> None:
    raised = alert("a", now, current_values={"failures": 3.0, "rate": None}, trigger_conditions={"k": [1]})
    await store.save_alert(raised)
    assert await store.alert("a") == raised
    assert await store.alert_by_fingerprint("f-a") == raised
    assert await store.alert("b") is None
    assert await store.alert_by_fingerprint("f-b") is None


async def test_alerts_are_listed_latest_first_open_or_all(store: Store, now: datetime) -> None:
    await store.save_alert(alert("a", now))
    await store.save_alert(alert("b", now + timedelta(minutes=1), status="resolved"))
    await store.save_alert(alert("c", now + timedelta(minutes=2), workflow_id="e", status="pending"))
    assert [found.alert_id for found in await store.alerts()] == ["c", "b", "a"]
    assert [found.alert_id for found in await store.alerts(open_only=True)] == ["c", "a"]
    assert [found.alert_id for found in await store.alerts(workflow_id="d")] == ["b", "a"]


async def test_one_fingerprint_has_one_open_alert(store: Store, other: Store, now: datetime) -> None:
    saves = [
        side.save_alert(alert(f"{name}{n}", now, fingerprint="f"))
        for n in range(4)
        for name, side in (("a", store), ("b", other))
    ]
    results = await asyncio.gather(*saves, return_exceptions=True)
    assert sum(isinstance(result, ConflictError) for result in results) == 7
    (first,) = await store.alerts()
    await store.save_alert(first.model_copy(update={"status": "resolved"}))
    await store.save_alert(alert("new", now, fingerprint="f"))
    open_one = await store.alert_by_fingerprint("f")
    assert open_one is not None
    assert open_one.alert_id == "new"


async def test_who_saw_an_alert_first_is_remembered(store: Store, now: datetime) -> None:
    await store.save_alert(alert("a", now))
    assert (await store.acknowledge_alert("a", "ana")).acknowledged_by == "ana"
    assert (await store.acknowledge_alert("a", "ben")).acknowledged_by == "ana"
    stored = await store.alert("a")
    assert stored is not None
    assert (stored.acknowledged, stored.acknowledged_by, stored.status) == (True, "ana", "firing")
    with pytest.raises(UnknownNameError):
        await store.acknowledge_alert("b", "ana")


def rule(**fields: object) -> MonitoringRule:
    base = {"workflow_id": "d", "metric_name": "duration_s", "condition": "greater_than", "threshold": 60}
    return MonitoringRule.model_validate(base | fields)


async def test_rules_are_added_changed_and_removed(store: Store) -> None:
    added = await store.add_rule(rule(rule_id="r1"))
    await store.add_rule(rule(rule_id="r2", workflow_id="e"))
    assert await store.rules() == (added, rule(rule_id="r2", workflow_id="e"))
    assert await store.rules("d") == (added,)
    await store.add_rule(rule(rule_id="r1", threshold=90))
    assert [found.threshold for found in await store.rules("d")] == [90]
    assert await store.remove_rule("r1")
    assert not await store.remove_rule("r1")
    assert await store.rules("d") == ()


async def test_the_same_rule_without_an_id_is_kept_once(store: Store) -> None:
    first, second, third = [await store.add_rule(rule(threshold=value)) for value in (60, 60, 61)]
    assert first.rule_id
    assert first == second
    assert third.rule_id != first.rule_id
    assert len(await store.rules()) == 2


async def test_a_notice_waits_until_it_is_delivered(store: Store, now: datetime) -> None:
    assert await store.queue_notice(notice(), now)
    assert not await store.queue_notice(notice(), now), "the same notice is queued once"
    (pending,) = await store.pending_notices(now, "chat")
    assert (pending.notice, pending.attempts) == (notice(), 0)
    await store.notice_delivered("n", "chat", now)
    assert await store.pending_notices(now, "chat") == ()
    assert len(await store.pending_notices(now, "mail")) == 1, "every channel for itself"


async def test_a_failed_notice_waits_for_its_time(store: Store, now: datetime) -> None:
    await store.queue_notice(notice(), now)
    later = now + timedelta(seconds=5)
    await store.notice_failed("n", "chat", "503", later, now)
    assert await store.pending_notices(now, "chat") == ()
    (pending,) = await store.pending_notices(later, "chat")
    assert pending.attempts == 1
    await store.notice_failed("n", "chat", "503", later + timedelta(seconds=10), later)
    assert await store.pending_notices(later, "chat") == ()
    (pending,) = await store.pending_notices(now + timedelta(days=3), "chat")
    assert pending.attempts == 2, "what was tried once is tried again however old it is"


async def test_a_notice_given_up_is_left_alone(store: Store, now: datetime) -> None:
    await store.queue_notice(notice(), now)
    await store.notice_failed("n", "chat", "404", None, now)
    assert await store.pending_notices(now + timedelta(hours=1), "chat") == ()


async def test_a_new_channel_is_not_given_old_notices(store: Store, now: datetime) -> None:
    await store.queue_notice(notice("old"), now - timedelta(days=2))
    await store.queue_notice(notice("new"), now)
    assert [pending.notice.notice_id for pending in await store.pending_notices(now, "chat")] == ["new"]


async def test_pending_notices_come_oldest_first_and_limited(store: Store, now: datetime) -> None:
    for n in (2, 0, 1):
        await store.queue_notice(notice(f"n{n}"), now + timedelta(seconds=n))
    found = await store.pending_notices(now + timedelta(minutes=1), "chat", limit=2)
    assert [pending.notice.notice_id for pending in found] == ["n0", "n1"]


async def test_every_attempt_is_on_record_without_secrets(store: Store, now: datetime) -> None:
    await store.queue_notice(notice(), now)
    await store.notice_failed("n", "chat", "refused: token=abcd1234abcd", now, now)
    await store.notice_failed("n", "chat", "", now, now)
    await store.notice_delivered("n", "chat", now)
    attempts = await store.deliveries("n")
    assert [attempt.error for attempt in attempts] == [
        "refused: token=…(redacted)",
        "no reason given",
        None,
    ]


async def test_a_notice_is_stored_without_secrets(store: Store, now: datetime) -> None:
    leaking = notice().model_copy(update={"text": "tried password=hunter2"})
    await store.queue_notice(leaking, now)
    (pending,) = await store.pending_notices(now, "chat")
    assert pending.notice.text == "tried password=…(redacted)"
