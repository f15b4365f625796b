"""Every list comes in pages of one shape: what is asked for, where the next one begins, nothing twice."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import httpx

from prefect_autopilot.client import AsyncClient
from prefect_autopilot.journeys import sessions
from prefect_autopilot.models import MonitoringRule, Silence, WorkflowAlert
from prefect_autopilot.store import Store

MONITORING = "/workflows/enhanced/monitoring"
SESSIONS = "/api/workflow-troubleshooting/sessions"
LISTS = {
    f"{MONITORING}/alerts": ("alerts", "alert_id"),
    f"{MONITORING}/rules": ("rules", "rule_id"),
    f"{MONITORING}/silences": ("silences", "silence_id"),
    SESSIONS: ("sessions", "session_id"),
}
MANY = 7


async def fill(store: Store, clock: Any) -> None:
    logs = ["ERROR 401 Unauthorized: token expired"]
    for number in range(MANY):
        later = clock.now + timedelta(minutes=number)
        told = {"alert_id": f"a-{number}", "fingerprint": f"f-{number}", "workflow_id": "orders"}
        words = {"title": "t", "description": "d", "severity": "high", "alert_type": "error_rate_increase"}
        await store.save_alert(WorkflowAlert.model_validate({**told, **words, "created_at": later}))
        await store.add_rule(
            MonitoringRule.model_validate(
                {
                    "workflow_id": f"w-{number}",
                    "metric_name": "error_rate",
                    "condition": "greater_than",
                    "threshold": 0.5,
                    "alert_type": "error_rate_increase",
                    "severity": "high",
                }
            )
        )
        end = clock.now + timedelta(days=1 + number)
        quiet = Silence(starts_at=clock.now, ends_at=end, created_by="test", kind=f"k-{number}")
        await store.add_silence(quiet)
        await sessions.open_session(store, f"w-{number}", logs, later, actor="test")


async def test_pages_together_are_the_list_and_no_page_is_longer_than_asked(
    api: httpx.AsyncClient, store: Store, clock: Any
) -> None:
    await fill(store, clock)
    for path, (field, ident) in LISTS.items():
        whole = (await api.get(path)).json()
        assert (whole["limit"], whole["offset"], whole["next_offset"]) == (100, 0, None)
        assert len(whole[field]) == MANY
        seen, offset = [], 0
        while offset is not None:
            page = (await api.get(path, params={"limit": 3, "offset": offset})).json()
            assert len(page[field]) <= 3
            assert (page["limit"], page["offset"]) == (3, offset)
            seen += page[field]
            offset = page["next_offset"]
        assert [one[ident] for one in seen] == [one[ident] for one in whole[field]], path
        beyond = (await api.get(path, params={"offset": 1000})).json()
        assert (beyond[field], beyond["next_offset"]) == ([], None)


async def test_the_last_full_page_leads_nowhere(api: httpx.AsyncClient, store: Store, clock: Any) -> None:
    await fill(store, clock)
    for path in LISTS:
        assert (await api.get(path, params={"limit": MANY})).json()["next_offset"] is None
        assert (await api.get(path, params={"limit": MANY - 1})).json()["next_offset"] == MANY - 1


async def test_a_page_that_cannot_be_is_refused(api: httpx.AsyncClient) -> None:
    wrong = ("limit=0", "limit=501", "limit=-1", "limit=x", "offset=-1", "offset=1e3", f"offset={10**9}")
    for path in LISTS:
        for query in wrong:
            answer = await api.get(f"{path}?{query}")
            assert answer.status_code == 422, (path, query)
            assert answer.headers["content-type"] == "application/problem+json"


async def test_the_issues_of_a_session_are_a_bare_list_with_a_link_to_the_next_page(
    api: httpx.AsyncClient, store: Store, clock: Any
) -> None:
    logs = [
        "ERROR 401 Unauthorized: token expired",
        "psycopg2.errors.UndefinedColumn: no column",
        "disk full",
    ]
    opened = await sessions.open_session(store, "orders", logs, clock.now, actor="test")
    path = f"{SESSIONS}/{opened.session_id}/issues"
    whole = await api.get(path)
    assert "link" not in whole.headers
    assert len(whole.json()) == len(opened.issues) > 1
    seen, here = [], f"{path}?limit=1"
    while here:
        page = await api.get(here)
        seen += page.json()
        here = page.headers.get("link", "").removeprefix("<").partition(">")[0]
    assert seen == whole.json()


async def test_the_client_reads_every_page_of_alerts(
    api: httpx.AsyncClient, store: Store, clock: Any, monkeypatch: Any
) -> None:
    await fill(store, clock)
    monkeypatch.setattr("prefect_autopilot.client_calls.PAGE", 3)
    transport = api._transport
    async with AsyncClient("http://127.0.0.1:8642", transport=transport) as client:
        assert [one.alert_id for one in await client.alerts()] == [f"a-{MANY - 1 - n}" for n in range(MANY)]
