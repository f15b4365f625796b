"""Lists: in which order, how many, and exactly those that match; the same whoever asks."""

from __future__ import annotations

import random
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest

from prefect_autopilot.errors import ConflictError, UnknownNameError
from prefect_autopilot.models import (
    AlertCondition,
    AlertType,
    MonitoringRule,
    Notice,
    ResolutionStatus,
    RetryRun,
    RunRecord,
    Severity,
    TroubleshootingSession,
    WorkflowAlert,
)
from prefect_autopilot.store import Store, audit

pytestmark = pytest.mark.anyio

MakeRun = Callable[..., RunRecord]


def session(number: int, now: datetime, **fields: Any) -> TroubleshootingSession:
    return TroubleshootingSession.model_validate(
        {
            "session_id": f"s{number:03}",
            "workflow_id": "w",
            "flow_run_id": f"run-{number}",
            "fingerprint": "cause",
            "start_time": now + timedelta(minutes=number),
        }
        | fields
    )


def alert(number: int, now: datetime, **fields: Any) -> WorkflowAlert:
    return WorkflowAlert.model_validate(
        {
            "alert_id": f"a{number}",
            "fingerprint": f"f{number}",
            "workflow_id": "w",
            "alert_type": AlertType.CUSTOM_METRIC,
            "severity": Severity.LOW,
            "title": "t",
            "description": "d",
            "created_at": now + timedelta(minutes=number),
        }
        | fields
    )


def rule(number: int, **fields: Any) -> MonitoringRule:
    return MonitoringRule.model_validate(
        {
            "workflow_id": "w",
            "metric_name": f"m{number}",
            "condition": AlertCondition.GREATER_THAN,
            "threshold": number,
        }
        | fields
    )


def shuffled(values: list[Any], seed: int) -> list[Any]:
    mixed = list(values)
    random.Random(seed).shuffle(mixed)
    return mixed


# --- Runs.


@pytest.mark.parametrize("seed", range(3))
async def test_runs_come_oldest_first_in_whatever_order_they_were_written(
    store: Store, other: Store, make_run: MakeRun, now: datetime, seed: int
) -> None:
    made = [make_run(f"r{n:02}", start=now + timedelta(minutes=n)) for n in range(12)]
    for run in shuffled(made, seed):
        await store.upsert_runs([run])
    assert [one.id for one in await other.runs()] == [one.id for one in made]


@pytest.mark.parametrize(
    ("limit", "ids"),
    [(0, []), (1, ["r4"]), (2, ["r3", "r4"]), (5, ["r0", "r1", "r2", "r3", "r4"]), (99, None)],
)
async def test_a_limit_cuts_the_oldest(
    store: Store, make_run: MakeRun, now: datetime, limit: int, ids: list[str] | None
) -> None:
    await store.upsert_runs([make_run(f"r{n}", start=now + timedelta(minutes=n)) for n in range(5)])
    found = [one.id for one in await store.runs(limit=limit)]
    assert found == (ids if ids is not None else ["r0", "r1", "r2", "r3", "r4"])


async def test_runs_that_began_together_are_ordered_by_id(
    store: Store, make_run: MakeRun, now: datetime
) -> None:
    await store.upsert_runs([make_run(one, start=now) for one in ("b", "c", "a")])
    assert [one.id for one in await store.runs()] == ["a", "b", "c"]
    assert [one.id for one in await store.runs(limit=2)] == ["b", "c"]


@pytest.mark.parametrize(
    ("fields", "offset_s"),
    [
        ({"start": 1, "expected_start": 2, "created": 3}, 1),
        ({"expected_start": 2, "created": 3}, 2),
        ({"created": 3}, 3),
        ({}, 0),
    ],
    ids=["start", "expected start", "created", "state"],
)
async def test_when_a_run_began_is_the_first_time_that_is_known(
    store: Store, make_run: MakeRun, now: datetime, fields: dict[str, int], offset_s: int
) -> None:
    times = {name: now + timedelta(seconds=value) for name, value in fields.items()}
    await store.upsert_runs([make_run("r", at=now, **times)])
    began = now + timedelta(seconds=offset_s)
    assert len(await store.runs(since=began)) == 1
    assert await store.runs(since=began + timedelta(microseconds=1)) == ()


async def test_filters_of_runs_are_all_applied(store: Store, make_run: MakeRun, now: datetime) -> None:
    grid = [(deployment, flow) for deployment in ("d1", "d2", None) for flow in ("f1", "f2")]
    runs = [
        make_run(f"r{n}", deployment_id=deployment, flow_name=flow, start=now + timedelta(hours=n))
        for n, (deployment, flow) in enumerate(grid)
    ]
    await store.upsert_runs(runs)
    assert [one.id for one in await store.runs(deployment_id="d1")] == ["r0", "r1"]
    assert [one.id for one in await store.runs(flow_name="f2")] == ["r1", "r3", "r5"]
    assert [one.id for one in await store.runs("d2", "f1")] == ["r2"]
    assert await store.runs("d2", "f1", since=now + timedelta(hours=3)) == ()
    assert await store.runs("d9") == ()


@pytest.mark.parametrize("count", [499, 500, 501, 1000])
async def test_a_batch_at_the_edge_of_a_statement_is_written_whole(
    store: Store, make_run: MakeRun, now: datetime, count: int
) -> None:
    runs = [make_run(f"r{n:05}", start=now) for n in range(count)]
    assert await store.upsert_runs(runs) == count
    assert await store.upsert_runs(runs) == 0
    assert len(await store.runs(limit=5000)) == count


async def test_two_records_of_one_run_in_one_batch_are_one_row(
    store: Store, make_run: MakeRun, now: datetime
) -> None:
    early = make_run("r", state="RUNNING", at=now)
    late = make_run("r", state="COMPLETED", at=now + timedelta(seconds=5))
    assert await store.upsert_runs([late, early]) == 1
    found = await store.run("r")
    assert found is not None
    assert found.state.type == "COMPLETED"


async def test_no_runs_are_no_work(store: Store) -> None:
    assert await store.upsert_runs([]) == 0
    assert await store.workflows() == ()


async def test_pruning_counts_runs_only_and_can_be_repeated(
    store: Store, make_run: MakeRun, now: datetime
) -> None:
    await store.upsert_runs([make_run(f"r{n}", start=now - timedelta(days=n)) for n in range(5)])
    await store.claim("run:r4:1", "h", now - timedelta(days=4))
    before = now - timedelta(days=2)
    assert await store.prune(before) == 2
    assert await store.prune(before) == 0
    assert [one.id for one in await store.runs()] == ["r2", "r1", "r0"]
    assert await store.claimed_by("run:r4:1") is None


# --- Sessions.


@pytest.mark.parametrize(
    ("limit", "offset", "numbers"),
    [
        (3, 0, [9, 8, 7]),
        (3, 3, [6, 5, 4]),
        (3, 9, [0]),
        (3, 10, []),
        (0, 0, []),
        (100, 8, [1, 0]),
    ],
)
async def test_pages_of_sessions_follow_one_another(
    store: Store, now: datetime, limit: int, offset: int, numbers: list[int]
) -> None:
    for number in shuffled(list(range(10)), 1):
        await store.save_session(session(number, now), None)
    found = await store.sessions(limit=limit, offset=offset)
    assert [one.session_id for one in found] == [f"s{number:03}" for number in numbers]


async def test_pages_hold_every_session_once_even_where_times_are_equal(store: Store, now: datetime) -> None:
    for number in range(7):
        await store.save_session(session(number, now, start_time=now), None)
    seen = [
        one.session_id for offset in range(0, 8, 2) for one in await store.sessions(limit=2, offset=offset)
    ]
    assert sorted(seen) == [f"s{number:03}" for number in range(7)]


@pytest.mark.parametrize("status", list(ResolutionStatus))
async def test_sessions_are_found_by_every_status(
    store: Store, now: datetime, status: ResolutionStatus
) -> None:
    for number, one in enumerate(ResolutionStatus):
        await store.save_session(session(number, now, resolution_status=one), None)
    found = await store.sessions(status=status)
    assert [one.resolution_status for one in found] == [status]
    assert await store.sessions(workflow_id="elsewhere", status=status) == ()


@pytest.mark.parametrize(
    ("status", "ended", "is_open"),
    [
        (ResolutionStatus.IN_PROGRESS, False, True),
        (ResolutionStatus.PARTIAL, False, True),
        (ResolutionStatus.ESCALATED, False, True),
        (ResolutionStatus.MANUAL, False, True),
        (ResolutionStatus.RESOLVED, False, False),
        (ResolutionStatus.AUTO_RESOLVED, False, False),
        (ResolutionStatus.CLOSED, False, False),
        (ResolutionStatus.ESCALATED, True, False),
        (ResolutionStatus.IN_PROGRESS, True, False),
    ],
)
async def test_a_session_is_open_until_it_ended_or_is_resolved(
    store: Store,
    now: datetime,
    status: ResolutionStatus,
    ended: bool,  # noqa: FBT001 - a column
    is_open: bool,  # noqa: FBT001 - a column
) -> None:
    made = session(1, now, resolution_status=status, end_time=now if ended else None)
    await store.save_session(made, None)
    assert (await store.open_session_for("cause") is not None) is is_open
    assert (await store.open_session_for("cause", "w") is not None) is is_open
    assert await store.open_session_for("cause", "elsewhere") is None
    assert await store.open_session_for("another cause") is None


async def test_due_sessions_come_longest_overdue_first_and_limited(store: Store, now: datetime) -> None:
    minutes = {1: -5, 2: -10, 3: 0, 4: 5, 5: -10}
    for number, minute in minutes.items():
        await store.save_session(session(number, now, due_at=now + timedelta(minutes=minute)), None)
    await store.save_session(session(6, now), None)
    due = [one.session_id for one in await store.due_sessions(now)]
    assert due == ["s002", "s005", "s001", "s003"]
    assert [one.session_id for one in await store.due_sessions(now, limit=1)] == ["s002"]
    assert await store.next_due() == now - timedelta(minutes=10)


async def test_the_latest_session_of_a_run_is_its_session(store: Store, now: datetime) -> None:
    await store.save_session(session(1, now, flow_run_id="r"), None)
    await store.save_session(session(2, now, flow_run_id="x", related_runs=("r", "q")), None)
    found = {run: await store.session_for_run(run) for run in ("r", "q", "x", "nobody")}
    assert {run: one.session_id if one else None for run, one in found.items()} == {
        "r": "s002",
        "q": "s002",
        "x": "s002",
        "nobody": None,
    }


async def test_a_run_added_to_a_session_later_finds_it(store: Store, now: datetime) -> None:
    version = await store.save_session(session(1, now), None)
    await store.save_session(session(1, now, related_runs=("late",)), version)
    found = await store.session_for_run("late")
    assert found is not None
    assert found.session_id == "s001"


async def test_a_deleted_session_is_found_nowhere(store: Store, other: Store, now: datetime) -> None:
    await store.save_session(session(1, now, due_at=now), None)
    assert await other.delete_session("s001", "ann", now)
    assert await store.session("s001") is None
    assert await store.session_for_run("run-1") is None
    assert await store.open_session_for("cause") is None
    assert await store.due_sessions(now) == ()
    assert await store.next_due() is None
    assert not await store.delete_session("s001", "ann", now)
    (entry,) = await store.audit_trail("s001")
    assert (entry.actor, entry.action) == ("ann", "session.deleted")


# --- Alerts and rules.


@pytest.mark.parametrize(
    ("query", "ids"),
    [
        ({}, ["a3", "a2", "a1", "a0"]),
        ({"open_only": True}, ["a3", "a1"]),
        ({"workflow_id": "w"}, ["a1", "a0"]),
        ({"workflow_id": "v", "open_only": True}, ["a3"]),
        ({"workflow_id": "nobody"}, []),
    ],
    ids=str,
)
async def test_alerts_are_found_by_state_and_workflow(
    store: Store, now: datetime, query: dict[str, Any], ids: list[str]
) -> None:
    for number, (workflow, status) in enumerate(
        [("w", "resolved"), ("w", "firing"), ("v", "resolved"), ("v", "pending")]
    ):
        await store.save_alert(alert(number, now, workflow_id=workflow, status=status))
    assert [one.alert_id for one in await store.alerts(**query)] == ids


async def test_a_fingerprint_may_fire_again_after_it_was_resolved(store: Store, now: datetime) -> None:
    first = alert(1, now, fingerprint="f")
    await store.save_alert(first)
    with pytest.raises(ConflictError, match="'f' is open already"):
        await store.save_alert(alert(2, now, fingerprint="f"))
    await store.save_alert(first.model_copy(update={"status": "resolved"}))
    assert await store.alert_by_fingerprint("f") is None
    await store.save_alert(alert(2, now, fingerprint="f"))
    found = await store.alert_by_fingerprint("f")
    assert found is not None
    assert found.alert_id == "a2"
    with pytest.raises(ConflictError):
        await store.save_alert(first)
    resolved = await store.alert("a1")
    assert resolved is not None
    assert resolved.status == "resolved", "a refused write changes nothing"


async def test_an_alert_nobody_raised_cannot_be_seen(store: Store) -> None:
    with pytest.raises(UnknownNameError, match="no alert named 'a9'"):
        await store.acknowledge_alert("a9", "ann")
    assert await store.alert("a9") is None


async def test_who_saw_an_alert_first_stays_whoever_comes_later(
    store: Store, other: Store, now: datetime
) -> None:
    await store.save_alert(alert(1, now))
    first = await store.acknowledge_alert("a1", "ann")
    second = await other.acknowledge_alert("a1", "bob")
    assert (first.acknowledged_by, second.acknowledged_by) == ("ann", "ann")


@pytest.mark.parametrize(
    "change",
    [
        {"threshold": 2},
        {"metric_name": "other"},
        {"workflow_id": "v"},
        {"cooldown_minutes": 6},
        {"condition": "less_than"},
        {"severity": "high"},
        {"description": "x"},
    ],
    ids=str,
)
async def test_rules_that_differ_are_two_rules(store: Store, change: dict[str, Any]) -> None:
    one = await store.add_rule(rule(1))
    two = await store.add_rule(rule(1, **change))
    assert one.rule_id != two.rule_id
    assert len(await store.rules()) == 2


async def test_a_rule_switched_off_keeps_its_id(store: Store) -> None:
    one = await store.add_rule(rule(1))
    off = await store.add_rule(rule(1, is_active=False))
    assert off.rule_id == one.rule_id
    (kept,) = await store.rules()
    assert not kept.is_active


async def test_rules_come_by_id_and_by_workflow(store: Store) -> None:
    for number in (3, 1, 2):
        await store.add_rule(rule(number, rule_id=f"r{number}", workflow_id="w" if number < 3 else "v"))
    assert [one.rule_id for one in await store.rules()] == ["r1", "r2", "r3"]
    assert [one.rule_id for one in await store.rules("v")] == ["r3"]
    assert await store.remove_rule("r2")
    assert not await store.remove_rule("r2")
    assert [one.rule_id for one in await store.rules("w")] == ["r1"]


# --- The outbox and the journal.


def notice(number: int) -> Notice:
    return Notice(notice_id=f"n{number}", outcome="info", title="t", text="x")


@pytest.mark.parametrize(("limit", "count"), [(0, 0), (1, 1), (3, 3), (100, 5)])
async def test_pending_notices_are_limited_oldest_first(
    store: Store, now: datetime, limit: int, count: int
) -> None:
    for number in (4, 2, 0, 1, 3):
        await store.queue_notice(notice(number), now + timedelta(seconds=number))
    found = await store.pending_notices(now + timedelta(minutes=1), "mail", limit)
    assert [one.notice.notice_id for one in found] == [f"n{number}" for number in range(count)]


async def test_each_channel_has_its_own_history(store: Store, now: datetime) -> None:
    await store.queue_notice(notice(1), now)
    await store.notice_delivered("n1", "mail", now)
    await store.notice_failed("n1", "chat", "no", now + timedelta(seconds=5), now)
    assert await store.pending_notices(now, "mail") == ()
    assert await store.pending_notices(now, "chat") == ()
    assert len(await store.pending_notices(now, "pager")) == 1
    (later,) = await store.pending_notices(now + timedelta(seconds=5), "chat")
    assert later.attempts == 1
    assert [(one.channel, one.error) for one in await store.deliveries("n1")] == [
        ("mail", None),
        ("chat", "no"),
    ]


async def test_a_notice_that_arrived_at_last_is_not_given_out_again(store: Store, now: datetime) -> None:
    await store.queue_notice(notice(1), now)
    for second in range(3):
        await store.notice_failed("n1", "mail", "no", now + timedelta(seconds=second), now)
    (pending,) = await store.pending_notices(now + timedelta(minutes=1), "mail")
    assert pending.attempts == 3
    await store.notice_delivered("n1", "mail", now)
    assert await store.pending_notices(now + timedelta(days=9), "mail") == ()


async def test_a_failure_without_words_is_still_a_failure(store: Store, now: datetime) -> None:
    await store.queue_notice(notice(1), now)
    await store.notice_failed("n1", "mail", "", None, now)
    (attempt,) = await store.deliveries("n1")
    assert attempt.error == "no reason given"
    assert await store.pending_notices(now, "mail") == ()


@pytest.mark.parametrize(
    ("age", "given"),
    [(timedelta(hours=23, minutes=59), True), (timedelta(days=1), False), (timedelta(days=30), False)],
)
async def test_a_channel_that_never_tried_is_given_only_fresh_notices(
    store: Store,
    now: datetime,
    age: timedelta,
    given: bool,  # noqa: FBT001 - a column
) -> None:
    await store.queue_notice(notice(1), now - age)
    assert bool(await store.pending_notices(now, "mail")) is given


async def test_a_channel_that_tried_is_given_old_notices_too(store: Store, now: datetime) -> None:
    old = now - timedelta(days=5)
    await store.queue_notice(notice(1), old)
    await store.notice_failed("n1", "mail", "no", old, old)
    assert len(await store.pending_notices(now, "mail")) == 1


async def test_journal_entries_come_in_the_order_they_were_made(
    store: Store, other: Store, now: datetime
) -> None:
    for number in range(6):
        side = (store, other)[number % 2]
        retry = RetryRun(flow_run_id="r", delay_s=number)
        assert await side.journal_intent("s", "r", f"st{number}", number, retry, None, now)
    assert [one.attempt for one in await store.journal("s")] == list(range(6))
    assert await store.journal("another") == ()


@pytest.mark.parametrize(
    ("offset_s", "count"), [(0, 1), (-1, 1), (1, 0)], ids=["just then", "before", "after"]
)
async def test_remedies_are_counted_from_the_very_moment(
    store: Store, now: datetime, offset_s: int, count: int
) -> None:
    await store.journal_intent("s", "r", "st", 1, RetryRun(flow_run_id="r", delay_s=0), None, now)
    assert await store.remedies_since(now + timedelta(seconds=offset_s)) == count


@pytest.mark.parametrize(
    ("found", "failures"),
    [
        ([], 0),
        (["failed"], 1),
        (["failed", "failed"], 2),
        (["failed", "verified"], 0),
        (["failed", "verified", "failed"], 1),
        (["unverified", "unverified"], 0),
        (["failed", "unverified", "failed"], 2),
        (["verified", "failed", "failed", "failed"], 3),
    ],
    ids=str,
)
async def test_failures_are_counted_since_the_last_success(
    store: Store, now: datetime, found: list[Any], failures: int
) -> None:
    for number, outcome in enumerate(found):
        at = now + timedelta(minutes=number)
        await store.record_verification(f"s{number}", 1, "cause", "d", outcome, at)
    assert await store.failed_verifications("cause", "d") == failures
    assert await store.failed_verifications("cause", None) == 0
    assert await store.failed_verifications("another", "d") == 0


async def test_the_last_word_on_an_attempt_counts(store: Store, now: datetime) -> None:
    await store.record_verification("s", 1, "cause", None, "failed", now)
    await store.record_verification("s", 1, "cause", None, "verified", now + timedelta(seconds=1))
    assert await store.failed_verifications("cause", None) == 0


# --- The audit trail.


@pytest.mark.parametrize("count", [2, 3, 4])
async def test_a_trail_at_the_edge_of_a_page_is_read_whole(
    store: Store, now: datetime, count: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(audit, "_PAGE", 3)
    for number in range(count):
        await store.audit("a", "b", f"subject-{number % 2}", {"n": number}, now)
    assert [one.detail["n"] for one in await store.audit_trail()] == list(range(count))
    assert [one.detail["n"] for one in await store.audit_trail("subject-1")] == list(range(1, count, 2))
    assert [line async for line in store.export_audit()] == [
        one.model_dump_json() for one in await store.audit_trail()
    ]
    assert await store.verify_audit() is None


async def test_the_head_is_the_last_entry_and_links_the_next(
    store: Store, other: Store, now: datetime
) -> None:
    assert await store.audit_head() is None
    first = await store.audit("a", "b", "c", {}, now)
    assert await other.audit_head() == first
    second = await other.audit("a", "b", "c", {}, now)
    assert (second.sequence, second.previous) == (first.sequence + 1, first.digest)
