"""Troubleshooting on request: reports become sessions, and only observed runs resolve them."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest

from prefect_autopilot.errors import ConflictError, UnknownNameError, UsageError
from prefect_autopilot.journeys import fleet, reported, sessions, workflows
from prefect_autopilot.journeys.settle import settle
from prefect_autopilot.models import (
    IssueCategory,
    ResolutionStatus,
    RunRecord,
    SessionStep,
    Severity,
    StateRecord,
    TroubleshootingSession,
)
from prefect_autopilot.monitoring import FleetMetrics
from prefect_autopilot.store import Store

TRACEBACK = [
    "Traceback (most recent call last):",
    '  File "/srv/flows/orders.py", line 12, in total',
    '    return row["price"]',
    "KeyError: 'price'",
]
EXPIRED = "ERROR 401 Unauthorized: the access token expired"


def record(number: int, at: datetime, state: str = "COMPLETED", **fields: Any) -> RunRecord:
    ended = StateRecord(
        id=f"state-{number}-{state}", type=state, name=state.title(), timestamp=at + timedelta(minutes=1)
    )
    return RunRecord.model_validate(
        {
            "id": f"run-{number}",
            "flow_name": "orders",
            "deployment_id": "dep-1",
            "deployment_name": "prod",
            "run_count": 1,
            "state": ended,
            "start": at,
            "end": at + timedelta(minutes=1),
            "duration_s": 60.0,
            **fields,
        }
    )


async def opened(store: Store, now: datetime, *logs: str, workflow: str = "prod") -> TroubleshootingSession:
    return await sessions.open_session(store, workflow, logs, now, actor="tester")


# Reading what was reported


@pytest.mark.parametrize(
    ("logs", "numbers"),
    [
        ([], []),
        (["", "  "], []),
        (["one", "two"], [1, 2]),
        (TRACEBACK, [1]),
        ([*TRACEBACK, "next failure"], [1, 5]),
        (["\n".join(TRACEBACK), "next failure"], [1, 2]),
        (["before", *TRACEBACK, *TRACEBACK], [1, 2, 6]),
        (TRACEBACK[:1], [1]),
    ],
    ids=["nothing", "blank", "lines", "traceback", "then more", "in one entry", "twice", "cut off"],
)
def test_the_lines_of_one_traceback_are_one_failure(logs: list[str], numbers: list[int]) -> None:
    assert [number for number, _ in reported.failures(logs)] == numbers


def test_a_traceback_in_lines_is_diagnosed_like_one_in_a_piece() -> None:
    (whole,) = reported.diagnoses_of(["\n".join(TRACEBACK)])
    (split,) = reported.diagnoses_of(TRACEBACK)
    assert split.category is whole.category
    assert split.pattern == whole.pattern
    assert any("orders.py:12" in line.where for line in split.evidence)


@pytest.mark.parametrize(
    "line",
    ["INFO all is well", "2026-03-02 03:00:00,123 INFO loaded 3 rows", "[2026-03-02T03:00:00Z] DEBUG x"],
)
def test_a_line_that_says_it_is_no_failure_is_none(line: str) -> None:
    assert reported.diagnoses_of([line]) == ()


def test_an_unknown_failure_is_kept_as_unknown() -> None:
    (only,) = reported.diagnoses_of(["ERROR the frobnicator went sideways"])
    assert only.category is IssueCategory.UNKNOWN


def test_the_same_failure_counts_once_and_the_surest_stands_first() -> None:
    found = reported.diagnoses_of(["the frobnicator went sideways", EXPIRED, EXPIRED])
    assert [one.category for one in found] == [IssueCategory.PERMISSIONS, IssueCategory.UNKNOWN]


def test_evidence_tells_the_entry_it_stands_in() -> None:
    found = reported.diagnoses_of(["INFO fine", EXPIRED])
    assert found[0].evidence[0].where.startswith("log 2, ")


# Opening


async def test_a_new_session_is_stored_and_never_due(store: Store, now: datetime) -> None:
    session = await opened(store, now, EXPIRED)
    assert session.current_step is SessionStep.ANALYSIS
    assert session.issues[0].category is IssueCategory.PERMISSIONS
    assert await store.session(session.session_id) == session
    assert await store.due_sessions(now + timedelta(days=365)) == ()


async def test_opening_is_audited_with_its_context(store: Store, now: datetime) -> None:
    session = await sessions.open_session(
        store, "prod", [EXPIRED], now, actor="ada", context={"ticket": "OPS-7", "password": "hunter2hunter2"}
    )
    (entry,) = await store.audit_trail(session.session_id)
    assert (entry.actor, entry.action) == ("ada", "opened")
    assert entry.detail["context"]["ticket"] == "OPS-7"
    assert "hunter2hunter2" not in str(entry.detail)


async def test_secrets_are_gone_before_anything_is_made_of_a_log(store: Store, now: datetime) -> None:
    secret = "ghp_" + "A1b2C3d4" * 5
    session = await opened(store, now, f"ERROR 401 Unauthorized for {secret}")
    assert session.issues[0].category is IssueCategory.PERMISSIONS
    assert secret not in session.model_dump_json()


async def test_without_logs_the_failures_in_the_store_are_read(store: Store, now: datetime) -> None:
    failed = record(1, now - timedelta(hours=1), "FAILED")
    message = failed.state.model_copy(update={"message": "ModuleNotFoundError: No module named 'pandas'"})
    await store.upsert_runs([failed.model_copy(update={"state": message})])
    session = await opened(store, now)
    assert "pandas" in session.issues[0].description
    assert any("failed runs in the store" in line for line in session.trail)


async def test_without_logs_and_runs_nothing_is_invented(store: Store, now: datetime) -> None:
    session = await opened(store, now)
    assert session.issues == ()
    after = await sessions.diagnose(store, session.session_id, now, actor="tester")
    assert after == session
    assert await sessions.recommend(store, session.session_id, now, actor="tester") == ()


# Metrics


async def test_metrics_beyond_their_limits_are_issues(store: Store, now: datetime) -> None:
    session = await opened(store, now, EXPIRED)
    given = {"avg_response_time": 40.0, "error_rate": 0.01}
    found = await sessions.analyze_metrics(store, session.session_id, given, now, actor="tester")
    assert [(one.category, one.severity) for one in found] == [(IssueCategory.PERFORMANCE, Severity.HIGH)]
    stored = await sessions.read(store, session.session_id)
    assert len(stored.issues) == 2


async def test_a_metric_reported_again_replaces_what_it_said(store: Store, now: datetime) -> None:
    session = await opened(store, now, EXPIRED)
    for value in (40.0, 10.0):
        given = {"avg_response_time": value}
        await sessions.analyze_metrics(store, session.session_id, given, now, actor="tester")
    stored = await sessions.read(store, session.session_id)
    values = [one.metrics_impact for one in stored.issues if one.metrics_impact]
    assert values == [{"avg_response_time": 10.0}]
    await sessions.analyze_metrics(store, session.session_id, {"avg_response_time": 1.0}, now, actor="tester")
    assert len((await sessions.read(store, session.session_id)).issues) == 1


async def test_metrics_alone_show_that_something_is_wrong_not_what(store: Store, now: datetime) -> None:
    session = await opened(store, now)
    await sessions.analyze_metrics(store, session.session_id, {"error_rate": 0.5}, now, actor="tester")
    after = await sessions.diagnose(store, session.session_id, now, actor="tester")
    assert after.diagnosis is not None
    assert after.diagnosis.confidence == 0
    assert after.diagnosis.remedy == "none"
    assert "not known" in after.findings[0].description


async def test_a_metric_that_fits_a_failure_supports_its_finding(store: Store, now: datetime) -> None:
    session = await opened(store, now, "requests.exceptions.ReadTimeout: Read timed out. (read timeout=5)")
    category = session.issues[0].category
    metric = {IssueCategory.TIMEOUT: "timeout_rate", IssueCategory.CONNECTIVITY: "retry_rate"}[category]
    await sessions.analyze_metrics(store, session.session_id, {metric: 0.9}, now, actor="tester")
    after = await sessions.diagnose(store, session.session_id, now, actor="tester")
    assert len(after.findings) == 1
    assert len(after.findings[0].related_issues) == 2


async def test_metrics_after_the_diagnosis_become_findings_of_it(store: Store, now: datetime) -> None:
    session = await opened(store, now, EXPIRED)
    first = await sessions.diagnose(store, session.session_id, now, actor="tester")
    await sessions.analyze_metrics(store, session.session_id, {"cpu_usage": 0.99}, now, actor="tester")
    second = await sessions.diagnose(store, session.session_id, now, actor="tester")
    assert len(second.findings) == len(first.findings) + 1
    assert second.diagnosis == first.diagnosis
    assert set(first.recommendations) < set(second.recommendations)


# Diagnosis and advice


async def test_a_diagnosis_completes_three_steps(store: Store, now: datetime) -> None:
    session = await opened(store, now, EXPIRED)
    after = await sessions.diagnose(store, session.session_id, now, actor="tester")
    assert after.steps_completed == (
        SessionStep.IDENTIFICATION,
        SessionStep.ANALYSIS,
        SessionStep.DIAGNOSIS,
    )
    assert after.current_step is SessionStep.RESOLUTION
    assert after.due_at is None


async def test_diagnosing_again_changes_nothing(store: Store, now: datetime) -> None:
    session = await opened(store, now, EXPIRED)
    first = await sessions.diagnose(store, session.session_id, now, actor="tester")
    again = await sessions.diagnose(store, session.session_id, now + timedelta(hours=1), actor="tester")
    assert again == first
    assert len(await store.audit_trail(session.session_id)) == 2


async def test_advice_cites_the_lines_it_rests_on(store: Store, now: datetime) -> None:
    session = await opened(store, now, EXPIRED, *TRACEBACK)
    found = await sessions.recommend(store, session.session_id, now, actor="tester")
    assert len({one.finding_id for one in found}) == 2
    assert all(one.evidence and one.issues for one in found)
    stored = await sessions.read(store, session.session_id)
    assert stored.recommendations == tuple(one.recommendation for one in found)


@pytest.mark.parametrize("step", ["read", "analyze_metrics", "diagnose", "recommend", "verify", "delete"])
async def test_an_unknown_session_is_unknown_at_every_step(store: Store, now: datetime, step: str) -> None:
    calls = {
        "read": lambda: sessions.read(store, "nobody"),
        "analyze_metrics": lambda: sessions.analyze_metrics(store, "nobody", {}, now, actor="tester"),
    }
    otherwise = lambda: getattr(sessions, step)(store, "nobody", now, actor="tester")  # noqa: E731 - a row of the table
    with pytest.raises(UnknownNameError):
        await calls.get(step, otherwise)()


# Verification


@pytest.mark.parametrize(
    ("runs", "outcome"),
    [
        ([], "unverified"),
        ([(-10, "COMPLETED")], "unverified"),
        ([(10, "COMPLETED")], "verified"),
        ([(10, "FAILED")], "failed"),
        ([(10, "CRASHED")], "failed"),
        ([(10, "RUNNING")], "unverified"),
        ([(10, "CANCELLED")], "unverified"),
        ([(10, "FAILED"), (20, "COMPLETED")], "verified"),
        ([(10, "COMPLETED"), (20, "FAILED")], "failed"),
        ([(10, "COMPLETED"), (20, "CANCELLED")], "verified"),
    ],
    ids=str,
)
async def test_only_runs_that_began_and_ended_since_then_are_evidence(
    store: Store, now: datetime, runs: list[tuple[int, str]], outcome: str
) -> None:
    session = await opened(store, now, EXPIRED)
    await store.upsert_runs(
        [record(n, now + timedelta(minutes=minute), state) for n, (minute, state) in enumerate(runs)]
    )
    later = now + timedelta(hours=1)
    after, seen = await sessions.verify(store, session.session_id, later, actor="tester")
    assert seen.outcome == outcome
    verified = outcome == "verified"
    assert (after.resolution_status is ResolutionStatus.RESOLVED) is verified
    assert (after.end_time == later) is verified
    assert (await sessions.read(store, session.session_id)).resolution_status is after.resolution_status


async def test_runs_of_another_workflow_prove_nothing(store: Store, now: datetime) -> None:
    session = await opened(store, now, EXPIRED)
    other = record(1, now + timedelta(minutes=5), deployment_id="dep-2", deployment_name="test")
    await store.upsert_runs([record(2, now - timedelta(hours=1)), other])
    _, seen = await sessions.verify(store, session.session_id, now + timedelta(hours=1), actor="tester")
    assert seen.outcome == "unverified"


async def test_a_callers_word_is_recorded_and_not_believed(store: Store, now: datetime) -> None:
    session = await opened(store, now, EXPIRED)
    told = {"resolved": True, "verified": True}
    after, seen = await sessions.verify(store, session.session_id, now, actor="ada", test_results=told)
    assert seen.outcome == "unverified"
    assert after.resolution_status is ResolutionStatus.IN_PROGRESS
    assert any("no observation" in line for line in after.trail)
    last = (await store.audit_trail(session.session_id))[-1]
    assert last.detail["test_results"] == told


async def test_a_verified_session_has_its_steps_and_stays_as_it_is(store: Store, now: datetime) -> None:
    session = await opened(store, now, EXPIRED)
    await sessions.diagnose(store, session.session_id, now, actor="tester")
    await store.upsert_runs([record(1, now + timedelta(minutes=1))])
    later = now + timedelta(hours=1)
    after, _ = await sessions.verify(store, session.session_id, later, actor="tester")
    assert after.steps_completed == tuple(SessionStep)
    assert sessions.is_settled(after)
    await store.upsert_runs([record(2, later + timedelta(minutes=1), "FAILED")])
    again, seen = await sessions.verify(store, session.session_id, later + timedelta(hours=1), actor="tester")
    assert seen.outcome == "failed"
    assert again == after


async def test_a_session_that_is_over_takes_no_metrics(store: Store, now: datetime) -> None:
    session = await opened(store, now, EXPIRED)
    await store.upsert_runs([record(1, now + timedelta(minutes=1))])
    await sessions.verify(store, session.session_id, now + timedelta(hours=1), actor="tester")
    with pytest.raises(ConflictError, match="open a new one"):
        await sessions.analyze_metrics(store, session.session_id, {"error_rate": 1}, now, actor="tester")


async def test_the_session_of_a_run_is_only_looked_at(
    store: Store, now: datetime, prefect: Any, make_desk: Callable[..., Any], clock: Any
) -> None:
    from prefect_autopilot.journeys import resolve

    prefect.fail("run-9")
    desk = make_desk()
    session = await resolve.take_up(desk, await desk.api.run("run-9"))
    assert session is not None
    before = await store.session(session.session_id)
    _, seen = await sessions.verify(store, session.session_id, clock.now, actor="tester")
    assert seen.outcome == "unverified"
    assert await store.session(session.session_id) == before


# Settling


async def test_an_issue_is_resolved_only_by_an_observed_run(store: Store, now: datetime) -> None:
    session = await opened(store, now, EXPIRED)
    issue = session.issues[0].issue_id
    later = now + timedelta(hours=1)
    nothing = await settle(store, "prod", [issue], actor="tester", clock=lambda: later, desk=None)
    assert nothing.resolved == ()
    assert nothing.status is ResolutionStatus.IN_PROGRESS
    await store.upsert_runs([record(1, now + timedelta(minutes=1))])
    after = await settle(store, "prod", [issue], actor="tester", clock=lambda: later, desk=None)
    assert [one.issue_id for one in after.resolved] == [issue]
    assert after.status is ResolutionStatus.RESOLVED


async def test_no_issues_named_means_no_session_is_touched(store: Store, now: datetime) -> None:
    session = await opened(store, now, EXPIRED)
    found = await settle(store, "prod", (), actor="tester", clock=lambda: now, desk=None)
    assert found.sessions == ()
    assert await store.session(session.session_id) == session


async def test_an_issue_nobody_knows_remains_with_the_reason(store: Store, now: datetime) -> None:
    found = await settle(store, "prod", ["issue-x"], actor="tester", clock=lambda: now, desk=None)
    assert "No session" in found.remaining[0].reason


async def test_issues_of_other_workflows_are_left_alone(store: Store, now: datetime) -> None:
    session = await opened(store, now, EXPIRED, workflow="other")
    found = await settle(store, "prod", None, actor="tester", clock=lambda: now, desk=None)
    assert found.sessions == ()
    assert await store.session(session.session_id) == session


# Workflows by name, health, summary, deletion, fleet


@pytest.mark.parametrize("name", ["dep-1", "prod", "orders", "orders/prod"])
async def test_a_workflow_is_found_by_each_of_its_names(store: Store, now: datetime, name: str) -> None:
    await store.upsert_runs([record(1, now)])
    found = await workflows.find_workflow(store, name)
    assert found is not None
    assert found.deployment_id == "dep-1"


async def test_a_name_that_stands_for_several_is_refused_with_their_ids(store: Store, now: datetime) -> None:
    other = record(2, now, deployment_id="dep-2", deployment_name="test")
    await store.upsert_runs([record(1, now), other])
    with pytest.raises(UsageError, match=r"dep-1.*dep-2|dep-2.*dep-1"):
        await workflows.find_workflow(store, "orders")
    assert await workflows.find_workflow(store, "prod") is not None


async def test_the_health_of_an_unseen_workflow_is_unknown(store: Store, now: datetime) -> None:
    told = await workflows.workflow_health(store, "nobody", now)
    assert (told.status, told.score) == ("unknown", None)


async def test_a_summary_counts_what_the_session_holds(store: Store, now: datetime) -> None:
    session = await opened(store, now, EXPIRED, *TRACEBACK)
    told = sessions.summary(session, now + timedelta(seconds=30))
    assert told.duration_seconds == 30
    assert told.issues_count == 2
    assert sum(told.issues_by_category.values()) == 2
    assert told.trail == session.trail


async def test_a_deleted_session_leaves_its_audit_entries(store: Store, now: datetime) -> None:
    session = await opened(store, now, EXPIRED)
    await sessions.delete(store, session.session_id, now, actor="ada")
    trail = await store.audit_trail(session.session_id)
    assert [entry.action for entry in trail] == ["opened", "session.deleted"]
    with pytest.raises(UnknownNameError):
        await sessions.read(store, session.session_id)


async def test_the_fleet_counts_a_state_once_however_often_it_is_read(store: Store, now: datetime) -> None:
    metrics = FleetMetrics()
    await store.upsert_runs([record(n, now - timedelta(minutes=5)) for n in range(3)])
    for _ in range(2):
        assert await fleet.refresh(metrics, store, now) == 3
    line = next(text for text in metrics.render(now).decode().splitlines() if "flow_runs_total{" in text)
    assert line.endswith(" 3.0")
