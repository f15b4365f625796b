"""What the store knows around a failed run is cited with it, and costs Prefect no call."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from prefect_autopilot.adapters import call_budget
from prefect_autopilot.adapters.evidence import read_evidence
from prefect_autopilot.journeys import resolve
from prefect_autopilot.journeys.desk import Desk
from prefect_autopilot.journeys.known_around import NEAR, onlooker, read_around, understand
from prefect_autopilot.models import (
    AlertType,
    Diagnosis,
    FindingPattern,
    IssueCategory,
    RunRecord,
    Severity,
    StateRecord,
    TroubleshootingSession,
    WorkflowAlert,
)


@pytest.fixture
async def run(desk: Desk, prefect: Any) -> RunRecord:
    prefect.fail("run-1")
    return await desk.api.run("run-1")


def other(
    run: RunRecord, number: int, type_: str, *, minutes: float = 5, pool: str | None = None
) -> RunRecord:
    at = run.state.timestamp - timedelta(minutes=minutes)
    state = StateRecord(id=f"o{number}", type=type_, name=type_.title(), timestamp=at)
    return RunRecord(
        id=f"other-{number}", flow_name=f"flow-{number}", deployment_id=f"d-{number}", state=state,
        start=at, created=at, work_pool=pool,
    )  # fmt: skip


async def said(desk: Desk, run: RunRecord) -> dict[str, str]:
    return {line.where: line.text for line in (await read_around(onlooker(desk), run)).surroundings}


async def test_open_alerts_of_the_workflow_are_cited(desk: Desk, run: RunRecord) -> None:
    for key, workflow, status in (
        ("a", "dep-1", "firing"),
        ("b", "dep-2", "firing"),
        ("c", "dep-1", "resolved"),
    ):
        await desk.store.save_alert(
            WorkflowAlert(
                alert_id=key,
                fingerprint=key,
                workflow_id=workflow,
                alert_type=next(iter(AlertType)),
                severity=Severity.HIGH,
                title="Runs take twice as long",
                description="",
                status=status,  # type: ignore[arg-type]  # the table says which
                created_at=run.state.timestamp - timedelta(hours=2),
            )
        )
    found = await said(desk, run)
    assert found["alert a"].startswith("Runs take twice as long (high), firing since ")
    assert not {"alert b", "alert c"} & set(found)


async def test_failures_of_neighbours_are_counted_with_their_pool(desk: Desk, run: RunRecord) -> None:
    pooled = run.model_copy(update={"work_pool": "k8s"})
    await desk.store.upsert_runs(
        [
            other(run, 1, "FAILED", pool="k8s"),
            other(run, 2, "CRASHED", pool="ecs"),
            other(run, 3, "COMPLETED"),
            other(run, 4, "FAILED", minutes=NEAR.total_seconds() / 60 + 5),
        ]
    )
    text = (await said(desk, pooled))["neighbouring runs"]
    assert text == "2 of 3 runs of other workflows failed within 30 min, 1 of them in work pool k8s"


async def test_a_failure_that_stands_alone_is_said_to(desk: Desk, run: RunRecord) -> None:
    await desk.store.upsert_runs([other(run, number, "COMPLETED") for number in range(3)])
    assert "it is this one alone" in (await said(desk, run))["neighbouring runs"]


async def test_too_few_neighbours_say_nothing(desk: Desk, run: RunRecord) -> None:
    await desk.store.upsert_runs([other(run, 1, "COMPLETED"), run.model_copy(update={"id": "earlier"})])
    assert "neighbouring runs" not in await said(desk, run)


@pytest.mark.parametrize(
    ("workflow", "minutes", "told"), [("dep-9", 5, True), ("dep-1", 5, False), ("dep-9", 45, False)]
)
async def test_a_service_that_others_name_just_then_is_cited(
    desk: Desk,
    run: RunRecord,
    workflow: str,
    minutes: int,
    told: bool,  # noqa: FBT001  # a column of the table
) -> None:
    diagnosis = Diagnosis(
        category=IssueCategory.CONNECTIVITY,
        confidence=0.9,
        severity=Severity.MEDIUM,
        transient=True,
        remedy="retry_backoff",
        root_cause="refused",
        service="postgres",
    )
    session = TroubleshootingSession(
        session_id="s-9",
        workflow_id=workflow,
        diagnosis=diagnosis,
        start_time=run.state.timestamp - timedelta(minutes=minutes),
    )
    await desk.store.save_session(session, None)
    found = await said(desk, run)
    assert (found.get("service postgres") == "named by 1 other failure in the same time") is told


async def test_the_store_costs_prefect_no_call(desk: Desk, run: RunRecord) -> None:
    before = desk.api.calls
    await read_evidence(desk.api, run, now=desk.clock())
    alone = desk.api.calls - before
    await read_around(onlooker(desk), run)
    assert desk.api.calls - before == 2 * alone


async def test_all_that_reads_of_a_run_keeps_one_budget_and_says_what_was_left_out(
    desk: Desk, prefect: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    prefect.fail("run-1", error="KeyError: 'total'")
    whole = await understand(onlooker(desk), "run-1")
    assert whole.evidence.missing == ()
    assert desk.api.calls == 10
    await understand(onlooker(desk), "run-1")
    assert desk.api.calls == 10 + 7, "names and automations are known"
    monkeypatch.setattr(call_budget, "MOST_CALLS", 6)
    least = await understand(onlooker(desk), "run-1")
    assert desk.api.calls == 17 + 6
    assert least.evidence.missing == (
        "workflows before and after it (left out: 6 calls were made for this run)",
    )
    assert least.diagnosis == whole.diagnosis


async def test_what_the_failures_of_a_workflow_share_becomes_a_finding_and_a_fact(
    desk: Desk, prefect: Any
) -> None:
    prefect.fail("run-1")
    prefect.runs["run-1"]["parameters"] = {"region": "eu"}
    run = await desk.api.run("run-1")
    earlier = []
    for number in range(1, 27):
        failed = number % 5 == 0
        at = run.state.timestamp - timedelta(hours=number)
        state = run.state if failed else StateRecord(id="g", type="COMPLETED", name="Completed", timestamp=at)
        changes = {
            "id": f"before-{number}",
            "state": state.model_copy(update={"id": f"b{number}", "timestamp": at}),
            "start": at,
            "created": at,
            "parameters": {"region": "eu" if failed else "us"},
        }
        earlier.append(run.model_copy(update=changes))
    await desk.store.upsert_runs(earlier)
    session = await resolve.take_up(desk, run)
    assert session is not None
    desk.clock.forward(5)  # type: ignore[attr-defined]
    session = await resolve.advance(desk, session.session_id)
    shared = [one for one in session.findings if one.pattern is FindingPattern.CORRELATION_ANALYSIS]
    assert ["params.region = eu" in one.description for one in shared] == [True]
    assert any("6 of 6 failures share params.region = eu" in one for one in session.facts)
