"""What passes the store's door: no secret goes in, only sound values come out, times keep their zone."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import text

from prefect_autopilot.errors import StoreError
from prefect_autopilot.models import (
    AlertCondition,
    AlertType,
    Diagnosis,
    IssueCategory,
    MonitoringRule,
    Notice,
    RetryRun,
    RunRecord,
    Severity,
    StateRecord,
    TroubleshootingSession,
    WorkflowAlert,
)
from prefect_autopilot.store import Store, run_claim
from prefect_autopilot.store.encoding import canonical, clean, digest, dump, load

pytestmark = pytest.mark.anyio

NOW = datetime(2026, 3, 2, 3, 0, tzinfo=UTC)
TOKEN = "ghp_" + "a1B2c3D4e5F6g7H8i9J0"
KNOWN = "correct horse battery"
TELLING = f"login failed with password={'hunter2' * 3} and {TOKEN}, then {KNOWN}"


def run(**fields: Any) -> RunRecord:
    state = StateRecord(id="s", type="FAILED", name="Failed", timestamp=NOW, message=TELLING)
    return RunRecord.model_validate({"id": "run-1", "flow_name": "orders", "state": state} | fields)


def session(**fields: Any) -> TroubleshootingSession:
    return TroubleshootingSession.model_validate(
        {"session_id": "s-1", "workflow_id": "w", "flow_run_id": "run-1", "start_time": NOW} | fields
    )


def alert(**fields: Any) -> WorkflowAlert:
    return WorkflowAlert.model_validate(
        {
            "alert_id": "a-1",
            "fingerprint": "f",
            "workflow_id": "w",
            "alert_type": AlertType.CUSTOM_METRIC,
            "severity": Severity.LOW,
            "title": "t",
            "description": "d",
            "created_at": NOW,
        }
        | fields
    )


def diagnosis(cause: str) -> Diagnosis:
    return Diagnosis(
        category=IssueCategory.PERMISSIONS,
        confidence=0.9,
        severity=Severity.HIGH,
        transient=False,
        remedy="grant_permission",
        root_cause=cause,
    )


async def write_run(store: Store) -> None:
    await store.upsert_runs([run(parameters={"api_key": KNOWN, "note": TELLING}, tags=(TELLING,))])


async def write_session(store: Store) -> None:
    await store.save_session(session(diagnosis=diagnosis(TELLING), trail=(TELLING,)), None)


async def write_claimed_session(store: Store) -> None:
    assert await store.claim_session(session(recommendations=(TELLING,)), "holder", NOW)


async def write_alert(store: Store) -> None:
    await store.save_alert(alert(title=TELLING, trigger_conditions={"password": "hunter2" * 3, "x": TELLING}))


async def write_acknowledgement(store: Store) -> None:
    await store.save_alert(alert())
    await store.acknowledge_alert("a-1", TELLING)


async def write_rule(store: Store) -> None:
    await store.add_rule(
        MonitoringRule(
            workflow_id="w",
            metric_name="m",
            condition=AlertCondition.GREATER_THAN,
            threshold=1,
            description=TELLING,
        )
    )


async def write_notice(store: Store) -> None:
    await store.queue_notice(
        Notice(notice_id="n", outcome="info", title=TELLING, text=TELLING, action=TELLING), NOW
    )


async def write_failed_delivery(store: Store) -> None:
    await write_notice(store)
    await store.notice_failed("n", "webhook", TELLING, None, NOW)


async def write_journal(store: Store) -> None:
    entry = await store.journal_intent("s", "r", "st", 1, RetryRun(flow_run_id="r", delay_s=0), None, NOW)
    assert entry is not None
    await store.journal_result(entry, "failed", TELLING, NOW)


async def write_audit(store: Store) -> None:
    await store.audit(TELLING, "act", "subject", {"token": TOKEN, "deep": [{"note": TELLING}]}, NOW)


WRITERS: dict[str, Callable[[Store], Awaitable[None]]] = {
    "a run": write_run,
    "a session": write_session,
    "a claimed session": write_claimed_session,
    "an alert": write_alert,
    "who saw an alert": write_acknowledgement,
    "a rule": write_rule,
    "a notice": write_notice,
    "a failed delivery": write_failed_delivery,
    "the result of a remedy": write_journal,
    "an audit entry": write_audit,
}


def bytes_of(folder: Path) -> bytes:
    return b"".join(path.read_bytes() for path in folder.iterdir())


@pytest.mark.parametrize("write", WRITERS.values(), ids=WRITERS.keys())
async def test_no_byte_of_the_database_holds_a_secret(
    tmp_path: Path, write: Callable[[Store], Awaitable[None]]
) -> None:
    file = tmp_path / "autopilot.db"
    async with Store.open(f"sqlite:///{file}", secrets=[KNOWN]) as store:
        await write(store)
        held = bytes_of(tmp_path)
    held += bytes_of(tmp_path)
    for secret in ("hunter2hunter2", TOKEN, KNOWN):
        assert secret.encode() not in held
    assert "redacted" in held.decode("utf-8", "replace")


@pytest.mark.parametrize("write", WRITERS.values(), ids=WRITERS.keys())
async def test_what_surrounds_a_secret_stays_readable(
    tmp_path: Path, write: Callable[[Store], Awaitable[None]]
) -> None:
    file = tmp_path / "autopilot.db"
    async with Store.open(f"sqlite:///{file}", secrets=[KNOWN]) as store:
        await write(store)
    with sqlite3.connect(file) as connection:
        held = "\n".join(connection.iterdump())
    connection.close()
    assert "login failed with password=" in held


# --- Encoding.


@pytest.mark.parametrize(
    ("value", "stored"),
    [
        ("a\x00b", "a\ufffdb"),
        ("lone \ud800 surrogate", "lone ? surrogate"),
        (float("nan"), None),
        (float("inf"), None),
        ({"x": float("-inf")}, {"x": None}),
        ({"a\x00": 1}, {"a\ufffd": 1}),
        ((1, (2, 3)), [1, [2, 3]]),
        ([True, None, 0, ""], [True, None, 0, ""]),
        ({"password": "", "token": None}, {"password": "", "token": None}),
        ("日本 🚀", "日本 🚀"),
    ],
    ids=repr,
)
def test_what_a_database_refuses_is_replaced_and_the_rest_kept(value: object, stored: object) -> None:
    assert clean(value) == stored


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)


@given(value=json_values)
@settings(max_examples=100, deadline=None)
def test_cleaning_twice_changes_nothing_more(value: Any) -> None:
    once = clean(value)
    assert clean(once) == once
    json.loads(canonical(once).encode("utf-8"))


@given(value=st.dictionaries(st.text(max_size=6), st.integers() | st.text(max_size=6), max_size=5))
@settings(max_examples=60, deadline=None)
def test_a_digest_does_not_depend_on_the_order_of_keys(value: dict[str, Any]) -> None:
    turned = dict(reversed(value.items()))
    assert digest(turned) == digest(value)
    assert canonical(turned) == canonical(value)


@pytest.mark.parametrize(
    ("one", "other"),
    [({"a": 1}, {"a": "1"}), ([1, 2], [2, 1]), ({"a": None}, {}), ("1", 1), ({"a": "bc"}, {"ab": "c"})],
    ids=str,
)
def test_different_values_have_different_digests(one: object, other: object) -> None:
    assert digest(one) != digest(other)


def test_a_value_that_is_no_number_has_no_digest() -> None:
    with pytest.raises(ValueError, match="Out of range"):
        digest({"x": float("nan")})


def test_a_body_comes_back_as_the_same_value() -> None:
    assert load(TroubleshootingSession, dump(session(trail=("a",)))) == session(trail=("a",))


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "session_id"),
        ({"session_id": "s", "workflow_id": "w"}, "start_time"),
        ({"session_id": "s", "workflow_id": "w", "start_time": "yesterday"}, "start_time"),
        ({"session_id": "s", "workflow_id": "w", "start_time": NOW.isoformat(), "new_field": 1}, "new_field"),
        ({"session_id": 5, "workflow_id": "w", "start_time": NOW.isoformat()}, "session_id"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_body_of_another_version_names_the_field_and_what_to_do(body: dict[str, Any], field: str) -> None:
    with pytest.raises(StoreError) as caught:
        load(TroubleshootingSession, body)
    assert field in caught.value.message
    assert "another version" in caught.value.message
    assert "remove the row" in caught.value.message
    assert caught.value.permanent


async def test_an_unreadable_row_hides_its_content(store: Store) -> None:
    await store.save_session(session(), None)
    async with store._database.write() as connection:
        await connection.execute(
            text("UPDATE autopilot_sessions SET body = :body"),
            {"body": json.dumps({"oops": "private words"})},
        )
    with pytest.raises(StoreError) as caught:
        await store.session("s-1")
    assert "private words" not in caught.value.message


# --- Times.

ZONES = [UTC, timezone(timedelta(hours=5, minutes=30)), timezone(-timedelta(hours=9))]


@pytest.mark.parametrize("zone", ZONES, ids=str)
async def test_a_moment_is_the_same_in_every_zone(store: Store, zone: timezone) -> None:
    there = NOW.astimezone(zone)
    await store.set_cursor("runs", there)
    await store.save_session(session(due_at=there), None)
    cursor = await store.cursor("runs")
    assert cursor == NOW
    assert cursor is not None
    assert cursor.utcoffset() == timedelta(0)
    assert await store.next_due() == NOW
    assert [one.session_id for one in await store.due_sessions(NOW)] == ["s-1"]
    assert await store.due_sessions(NOW - timedelta(microseconds=1)) == ()


NAIVE = datetime(2026, 3, 2, 3, 0)  # noqa: DTZ001 - what must be refused
WITHOUT_ZONE: dict[str, Callable[[Store], Awaitable[object]]] = {
    "claim": lambda store: store.claim("k", "h", NAIVE),
    "lease": lambda store: store.acquire_lease("watcher", "h", 30, NAIVE),
    "cursor": lambda store: store.set_cursor("runs", NAIVE),
    "notice": lambda store: store.queue_notice(
        Notice(notice_id="n", outcome="info", title="t", text="x"), NAIVE
    ),
    "remedies": lambda store: store.remedies_since(NAIVE),
    "due": lambda store: store.due_sessions(NAIVE),
    "session": lambda store: store.save_session(session(start_time=NAIVE), None),
}


@pytest.mark.parametrize("call", WITHOUT_ZONE.values(), ids=WITHOUT_ZONE.keys())
async def test_a_time_without_a_zone_is_refused_and_nothing_is_written(
    store: Store, call: Callable[[Store], Awaitable[object]]
) -> None:
    with pytest.raises(Exception, match="needs a zone"):
        await call(store)
    assert await store.claimed_by("k") is None
    assert await store.cursor("runs") is None
    assert await store.sessions() == ()


async def test_microseconds_are_kept(store: Store) -> None:
    fine = NOW.replace(microsecond=123_456)
    await store.set_cursor("runs", fine)
    assert await store.cursor("runs") == fine


@pytest.mark.parametrize(
    ("run_id", "count", "key"), [("a", 0, "run:a:0"), ("a", 12, "run:a:12"), ("a:1", 2, "run:a:1:2")]
)
def test_the_claim_of_an_attempt_has_the_run_and_its_number(run_id: str, count: int, key: str) -> None:
    assert run_claim(run_id, count) == key


async def test_texts_that_look_like_sql_are_only_texts(store: Store) -> None:
    odd = "'; DROP TABLE autopilot_claims; --"
    assert await store.claim(odd, odd, NOW)
    assert await store.claimed_by(odd) == odd
    await store.upsert_runs([run(id=odd, flow_name=odd, deployment_id=odd)])
    assert [one.id for one in await store.runs(deployment_id=odd, flow_name=odd)] == [odd]
    assert await store.runs(flow_name="' OR 1=1 --") == ()


async def test_very_long_texts_come_back_whole(store: Store) -> None:
    long = "word " * 200_000
    await store.audit("a", "b", "c", {"text": long}, NOW)
    (entry,) = await store.audit_trail()
    assert entry.detail["text"] == long
