"""The reviews: what is stored becomes a page for people, and nothing is changed by it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from prefect_autopilot.adapters.catalogue import user_catalogue
from prefect_autopilot.adapters.prefect_api import PrefectAPI
from prefect_autopilot.intelligence import analyze
from prefect_autopilot.journeys import memory
from prefect_autopilot.journeys.desk import Desk
from prefect_autopilot.journeys.improvable import improvable
from prefect_autopilot.journeys.reviews import LENGTH, Period, review
from prefect_autopilot.models import (
    AlertType,
    Diagnosis,
    EvidenceLine,
    IssueCategory,
    MonitoringRule,
    RequestContext,
    Severity,
    TroubleshootingSession,
    WorkflowAlert,
)
from prefect_autopilot.settings import load_settings
from prefect_autopilot.store import Store

NOW = datetime(2026, 7, 1, 5, 0, tzinfo=UTC)
SLOW_FLOW = """
import httpx
from prefect import flow, task

@task
def read(path: str) -> object:
    return httpx.get("https://shop.test/" + path, timeout=5).json()

@flow
def report() -> list[object]:
    orders = read("orders")
    customers = read("customers")
    return [orders, customers]
"""


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    async with Store.open(f"sqlite:///{tmp_path / 'autopilot.db'}") as opened:
        yield opened


def desk_of(store: Store, deployments: list[dict[str, Any]] | None = None) -> Desk:
    def answer(request: httpx.Request) -> httpx.Response:
        kind = request.url.path.rsplit("/", 2)[-2]
        flows = [{"id": "flow-1", "name": "report"}, {"id": "flow-2", "name": "autopilot-poll"}]
        rows = {"flows": flows, "deployments": deployments or []}.get(kind, [])
        return httpx.Response(200, json=rows)

    api = PrefectAPI("http://prefect.test/api", transport=httpx.MockTransport(answer))
    return Desk(api=api, store=store, clock=lambda: NOW)


def deployment(name: str, entrypoint: str, path: Path | None, flow: str = "flow-1") -> dict[str, Any]:
    return {"name": name, "flow_id": flow, "entrypoint": entrypoint, "path": str(path) if path else None}


async def test_the_weekly_review_says_what_could_be_better_and_what_it_did_not_see(
    store: Store, tmp_path: Path
) -> None:
    file = tmp_path / "report.py"
    file.write_text(SLOW_FLOW, encoding="utf-8")
    deployments = [
        deployment("nightly", "report.py:report", tmp_path),
        deployment("hourly", "report.py:report", tmp_path),
        deployment("elsewhere", "gone.py:report", tmp_path),
        deployment("packaged", "shop.flows.report", None),
        deployment("pulled", "report.py:report", None)
        | {"pull_steps": [{"prefect.deployments.steps.git_clone": {"repository": "https://git.test/a"}}]},
        deployment("autopilot-poll", "report.py:report", tmp_path, "flow-2"),
    ]

    found = await review(desk_of(store, deployments), "weekly", NOW)

    assert found.title == "What could be faster, cheaper, safer"
    assert "report/nightly | faster | submit" in found.markdown.replace("\\", "")
    assert "report/nightly | safer | retry_reads" in found.markdown.replace("\\", "")
    assert "report/hourly" not in found.markdown, "one file is one row for each way"
    assert "names a module, not a file" in found.markdown
    assert "autopilot-poll" not in found.markdown
    assert "https://git.test/a" in found.markdown
    assert found.findings["Not looked at"] == 3
    assert file.read_text(encoding="utf-8") == SLOW_FLOW


POLLING_FLOW = (
    SLOW_FLOW
    + """

@task
def ready(job: str) -> bool:
    import time

    while not httpx.get("https://shop.test/jobs/" + job, timeout=5).json():
        time.sleep(30)
    return True

@task
def kept(rows: list[str]) -> None:
    import sqlite3

    cursor = sqlite3.connect("shop.db").cursor()
    for row in rows:
        cursor.execute("INSERT INTO orders VALUES (?)", row)
"""
)


async def test_the_weekly_review_tells_what_is_worth_doing_by_hand_once(store: Store, tmp_path: Path) -> None:
    (tmp_path / "report.py").write_text(POLLING_FLOW, encoding="utf-8")

    found = await review(desk_of(store, [deployment("a", "report.py:report", tmp_path)]), "weekly", NOW)

    text = found.markdown.replace("\\", "")
    assert found.findings["Worth doing by hand"] == 2, "batches are advice for speed and for cost"
    assert "| report/a | 20 | drop_polling | ready asks again and again" in text
    assert "let a webhook of the service" in text
    assert "an event tells of it, or it may be found a schedule's interval late" in text
    assert "| report/a | 30 | batch_calls | kept calls" in text


async def test_without_history_no_saving_is_told(store: Store, tmp_path: Path) -> None:
    (tmp_path / "report.py").write_text(SLOW_FLOW, encoding="utf-8")

    found, passed = await improvable(desk_of(store, [deployment("a", "report.py:report", tmp_path)]).api)

    assert {(one.saving_s, one.runs) for one in found} == {(None, 0)}
    assert passed == ()


async def test_a_file_that_is_no_flow_is_passed_over_with_its_reason(store: Store, tmp_path: Path) -> None:
    (tmp_path / "report.py").write_text("def nothing(: pass", encoding="utf-8")

    found, passed = await improvable(desk_of(store, [deployment("a", "report.py:report", tmp_path)]).api)

    assert found == ()
    assert [one.workflow for one in passed] == ["report/a"]
    assert passed[0].why


async def test_the_monthly_review_names_services_and_failures_that_were_not_known(store: Store) -> None:
    await store.note_asked(["Frobnitz"], "request-1", NOW - timedelta(days=2))
    await store.note_asked(["Slack"], "request-2", NOW - timedelta(days=2))
    await store.note_asked(["Old"], "request-3", NOW - timedelta(days=40))
    await store.save_session(session("FluxError: capacitor | <b>x</b> [a](http://x.test)"), None)

    found = await review(desk_of(store), "monthly", NOW)

    assert "| Frobnitz | 1 | 2026-06-29 | unknown |" in found.markdown
    assert "Slack" not in found.markdown, "it can be called by now"
    assert "Old" not in found.markdown
    assert "FluxError: capacitor" in found.markdown
    assert "<b>" not in found.markdown
    assert "\\[a\\](http" in found.markdown, "text, no link"
    assert found.findings["Failures that no pattern knew"] == 1


async def test_the_quarterly_review_counts_false_alarms_and_suggests_a_threshold(store: Store) -> None:
    rule = MonitoringRule(
        rule_id="slow",
        workflow_id="orders",
        metric_name="response_time",
        condition="greater_than",
        threshold=100,
        alert_type="performance_degradation",
        severity="high",
    )
    await store.add_rule(rule)
    for day in range(3):
        await store.save_alert(alert(day, 110 + day))

    found = await review(desk_of(store), "quarterly", NOW)

    row = next(line for line in found.markdown.splitlines() if line.startswith("| slow"))
    assert row.startswith("| slow | 3 | 0 | 3 | 0 | greater\\_than 100 | 112 (0, 0 in 0 runs) |")
    assert (await store.rules()) == (rule,), "nothing is changed"


@pytest.mark.parametrize("period", ["weekly", "monthly", "quarterly"])
async def test_nothing_stored_is_a_review_that_says_none(store: Store, period: Period) -> None:
    found = await review(desk_of(store), period, NOW)

    assert set(found.findings.values()) == {0}
    assert "None." in found.markdown
    assert f"{NOW - LENGTH[period]:%Y-%m-%d} to 2026-07-01" in found.markdown


@pytest.mark.parametrize(
    ("request_text", "missing"),
    [
        ("when I get a new email, create a card in Frobnitz and post to Slack", ("Frobnitz",)),
        ("Every day at 9 post the open Jira issues to Slack", ()),
        ("Wenn eine E-Mail kommt, schreibe in Slack", ()),
    ],
    ids=["unknown", "known", "german"],
)
def test_a_request_tells_which_services_are_missing(request_text: str, missing: tuple[str, ...]) -> None:
    told = analyze(request_text, RequestContext(), user_catalogue())

    assert memory.missing_services(told, user_catalogue()) == missing


async def test_a_missing_service_is_counted_where_there_is_a_database(tmp_path: Path) -> None:
    settings = load_settings(home=tmp_path)
    told = analyze("Create a card in Frobnitz and post to Slack", RequestContext(), user_catalogue())

    assert await memory.note_missing(told, settings) == ("Frobnitz",)
    assert not (tmp_path / "autopilot.db").exists(), "none is made for a count"
    async with Store.open(settings.store_url.get_secret_value()) as store:
        await memory.note_missing(told, settings)
        await memory.note_missing(told, settings)
        (asked,) = await store.asked_services(datetime(2020, 1, 1, tzinfo=UTC))
    assert (asked.name, asked.requests) == ("Frobnitz", 1)
    assert told.text.encode() not in (tmp_path / "autopilot.db").read_bytes()


async def test_a_damaged_database_keeps_nobody_from_an_answer(tmp_path: Path) -> None:
    (tmp_path / "autopilot.db").write_bytes(b"no database" * 200)
    told = analyze("Create a card in Frobnitz and post to Slack", RequestContext(), user_catalogue())

    assert await memory.note_missing(told, load_settings(home=tmp_path)) == ("Frobnitz",)


def session(quote: str) -> TroubleshootingSession:
    diagnosis = Diagnosis(
        category=IssueCategory.UNKNOWN,
        confidence=0.1,
        severity=Severity.MEDIUM,
        transient=False,
        remedy="none",
        root_cause="No known cause fits.",
        fingerprint="flux",
        evidence=(EvidenceLine(text=quote, where="log 1"),),
    )
    return TroubleshootingSession(
        session_id="session-1", workflow_id="orders", diagnosis=diagnosis, start_time=NOW - timedelta(days=3)
    )


def alert(day: int, value: float) -> WorkflowAlert:
    began = NOW - timedelta(days=30 - day)
    return WorkflowAlert(
        alert_id=f"alert-{day}",
        fingerprint="rule:orders:slow",
        workflow_id="orders",
        alert_type=AlertType.PERFORMANCE_DEGRADATION,
        severity=Severity.HIGH,
        title="orders is slow",
        description="",
        status="resolved",
        trigger_conditions={"rule_id": "slow"},
        current_values={"response_time": value},
        created_at=began,
        resolved_at=began + timedelta(hours=1),
    )
