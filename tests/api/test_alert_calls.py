"""Alerts over HTTP: acknowledged, silenced, tried out; and what is refused."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import httpx
import pytest

from prefect_autopilot.models import RunRecord, StateRecord, WorkflowAlert
from prefect_autopilot.store import Store

BASE = "/workflows/enhanced/monitoring"
NOW = datetime.fromisoformat("2026-03-02T03:00:00+00:00")
RULE = {"workflow_id": "*", "metric_name": "response_time", "condition": "greater_than", "threshold": 30}


@pytest.fixture
async def alert(store: Store) -> WorkflowAlert:
    raised = WorkflowAlert.model_validate(
        {
            "alert_id": "a1", "fingerprint": "f", "workflow_id": "w", "alert_type": "error_rate_increase",
            "severity": "high", "title": "orders fail", "description": "", "created_at": NOW,
            "told": 1, "told_at": NOW,
        }
    )  # fmt: skip
    await store.save_alert(raised)
    return raised


async def test_an_alert_is_acknowledged_once(
    api: httpx.AsyncClient, store: Store, alert: WorkflowAlert
) -> None:
    for _ in range(2):
        answer = await api.post(f"{BASE}/alerts/{alert.alert_id}/acknowledge")
        assert answer.status_code == 200
        assert answer.json()["acknowledged"] is True
    waiting = await store.pending_notices(datetime.now(NOW.tzinfo), "webhook")
    assert [one.notice.title for one in waiting] in ([], ["Acknowledged: orders fail"])
    assert {entry.action for entry in await store.audit_trail("a1")} == {"alert.acknowledged"}


@pytest.mark.parametrize("path", ["alerts/none/acknowledge", "silences/none/end"])
async def test_what_does_not_exist_is_not_found(api: httpx.AsyncClient, path: str) -> None:
    answer = await api.post(f"{BASE}/{path}")
    assert answer.status_code == 404
    assert answer.headers["content-type"].startswith("application/problem+json")


async def test_a_silence_is_made_listed_and_ended(api: httpx.AsyncClient) -> None:
    wanted = {"workflow": "orders/*", "ends_at": "2036-03-02T03:00:00Z", "reason": "backups"}
    made = (await api.post(f"{BASE}/silences", json=wanted)).json()
    assert made["workflow"] == "orders/*"
    listed = (await api.get(f"{BASE}/silences")).json()["silences"]
    assert [one["silence_id"] for one in listed] == [made["silence_id"]]
    assert (await api.post(f"{BASE}/silences/{made['silence_id']}/end")).status_code == 200
    assert (await api.get(f"{BASE}/silences")).json()["silences"] == []


@pytest.mark.parametrize(
    "change",
    [
        {"ends_at": "2001-01-01T00:00:00Z"},
        {"ends_at": "2036-03-02T03:00:00"},
        {"ends_at": None},
        {"cron": "often"},
        {"cron": "* * * * *", "timezone": "Mars/Base"},
        {"minutes": 0},
        {"minutes": 1e9},
        {"workflow": ""},
        {"workflow": "x" * 301},
        {"reason": "x" * 1001},
    ],
    ids=",".join,
)
async def test_a_silence_that_cannot_hold_is_refused(
    api: httpx.AsyncClient, store: Store, change: dict[str, Any]
) -> None:
    answer = await api.post(f"{BASE}/silences", json={"ends_at": "2036-03-02T03:00:00Z"} | change)
    assert 400 <= answer.status_code < 500
    assert await store.silences(NOW) == ()


async def test_a_rule_is_tried_out_and_not_stored(api: httpx.AsyncClient, store: Store) -> None:
    for i in range(20):
        at = NOW - timedelta(hours=20 - i)
        state = StateRecord(id=f"s{i}", type="COMPLETED", name="Completed", timestamp=at)
        fields: dict[str, Any] = {"flow_name": "orders", "run_count": 1, "state": state, "duration_s": 60.0}
        await store.upsert_runs([RunRecord(id=f"r{i}", start=at, end=at + timedelta(minutes=1), **fields)])
    answer = await api.post(f"{BASE}/alerts/dry-run", json=RULE, params={"days": 3000})
    assert answer.status_code == 200, answer.text
    assert answer.json()["fired"] == 1
    assert await store.rules() == ()
    assert await store.alerts() == ()


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"metric_name": "respose_time"}, "response_time"),
        ({"condition": "slo_burn", "threshold": 500}, "100"),
    ],
    ids=str,
)
async def test_a_rule_that_can_never_fire_is_not_tried_out(
    api: httpx.AsyncClient, change: dict[str, Any], told: str
) -> None:
    answer = await api.post(f"{BASE}/alerts/dry-run", json=RULE | change)
    assert 400 <= answer.status_code < 500
    assert told in answer.text
