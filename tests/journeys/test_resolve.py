"""Failed run → resolved, over a Prefect server in memory and a real store."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest

from prefect_autopilot.errors import PrefectError
from prefect_autopilot.journeys import resolve
from prefect_autopilot.journeys.desk import Desk
from prefect_autopilot.models import (
    IssueCategory,
    RemedyPolicy,
    ResolutionStatus,
    SessionStep,
    TroubleshootingSession,
)

BUG = "KeyError: 'total'"
ALL_STEPS = tuple(SessionStep)


async def take(desk: Desk, run_id: str = "run-1") -> TroubleshootingSession:
    """Take up a failed run and go as far as now allows, three seconds later."""
    session = await resolve.take_up(desk, await desk.api.run(run_id))
    assert session is not None
    desk.clock.forward(5)  # type: ignore[attr-defined]
    return await resolve.advance(desk, session.session_id)


async def later(desk: Desk, session: TroubleshootingSession, seconds: float = 600) -> TroubleshootingSession:
    desk.clock.forward(seconds)  # type: ignore[attr-defined]
    return await resolve.advance(desk, session.session_id)


async def notices(desk: Desk) -> list[str]:
    return [pending.notice.outcome for pending in await desk.store.pending_notices(desk.clock(), "webhook")]


async def test_a_passing_outage_is_retried_and_resolved_only_when_the_good_run_is_seen(
    desk: Desk, prefect: Any
) -> None:
    prefect.fail("run-1")
    session = await take(desk)
    assert session.resolution_status is ResolutionStatus.IN_PROGRESS
    assert len(prefect.retries) == 1
    prefect.finish("run-1")
    session = await later(desk, session)
    assert session.resolution_status is ResolutionStatus.AUTO_RESOLVED
    assert session.steps_completed[-5:] == ALL_STEPS
    assert await notices(desk) == ["resolved"]


async def test_nothing_is_resolved_while_the_run_has_not_ended(desk: Desk, prefect: Any) -> None:
    prefect.fail("run-1")
    session = await take(desk)
    prefect.start("run-1")
    session = await later(desk, session, seconds=60)
    assert session.resolution_status is ResolutionStatus.IN_PROGRESS
    assert session.due_at is not None


async def test_a_run_that_never_ends_is_escalated_as_unverified(desk: Desk, prefect: Any) -> None:
    prefect.fail("run-1")
    session = await take(desk)
    prefect.start("run-1")
    for _ in range(4):
        session = await later(desk, session, seconds=3600)
    assert session.resolution_status is not ResolutionStatus.AUTO_RESOLVED
    assert session.due_at is None


async def test_a_retry_that_fails_again_is_tried_at_most_three_times_and_then_escalated(
    desk: Desk, prefect: Any
) -> None:
    prefect.fail("run-1")
    session = await take(desk)
    for _ in range(8):
        if prefect.runs["run-1"]["state_type"] == "SCHEDULED":
            prefect.fail("run-1")
        session = await later(desk, session)
    assert session.resolution_status is ResolutionStatus.ESCALATED
    assert 1 <= len(prefect.retries) <= 3
    assert await notices(desk) == ["escalated"]


async def test_a_run_whose_retries_outlast_every_session_has_three_in_all(desk: Desk, prefect: Any) -> None:
    for _ in range(6):
        prefect.fail("run-1")
        session = await take(desk)
        prefect.start("run-1")
        for _ in range(3):
            session = await later(desk, session, seconds=3600)
        assert session.resolution_status is ResolutionStatus.ESCALATED
    assert len(prefect.retries) == 3
    assert "3 of 3 attempts are used" in session.trail[-1]


async def test_a_bug_is_escalated_with_its_evidence_and_never_retried(desk: Desk, prefect: Any) -> None:
    prefect.fail("run-1", error=BUG)
    session = await take(desk)
    assert session.resolution_status is ResolutionStatus.ESCALATED
    assert prefect.retries == []
    assert session.diagnosis is not None
    assert not session.diagnosis.transient
    assert any("total" in line.text for line in session.diagnosis.evidence)
    assert await notices(desk) == ["escalated"]
    trail = [entry.action for entry in await desk.store.audit_trail(session.session_id)]
    assert trail == ["opened", "identification", "analysis", "diagnosis", "escalated"]


async def test_in_propose_mode_nothing_is_done_and_a_person_is_told(
    make_desk: Callable[..., Desk], prefect: Any
) -> None:
    desk = make_desk(policy=RemedyPolicy())
    prefect.fail("run-1")
    session = await take(desk)
    assert prefect.retries == []
    assert session.decision is not None
    assert session.decision.action == "propose"
    assert await notices(desk) == ["proposal"]


async def test_a_paused_policy_acts_on_nothing(make_desk: Callable[..., Desk], prefect: Any) -> None:
    desk = make_desk(policy=RemedyPolicy(mode="auto", paused=True))
    prefect.fail("run-1")
    await take(desk)
    assert prefect.retries == []


async def test_a_flow_that_may_have_booked_something_is_not_run_again(desk: Desk, prefect: Any) -> None:
    prefect.deploy(
        """
import httpx
from prefect import flow, task

@task
def book() -> None:
    with open("/srv/ledger.csv", "a") as ledger:
        ledger.write("sale\\n")

@task
def confirm() -> None:
    httpx.get("https://api.shop.test/orders", timeout=5).raise_for_status()

@flow
def orders() -> None:
    book()
    confirm()
"""
    )
    prefect.fail("run-1")
    await take(desk)
    assert prefect.retries == []
    assert await notices(desk) == ["proposal"]


async def test_the_second_event_for_a_failure_finds_it_taken(desk: Desk, prefect: Any) -> None:
    prefect.fail("run-1")
    run = await desk.api.run("run-1")
    sessions = await asyncio.gather(*(resolve.take_up(desk, run) for _ in range(5)))
    known = {session.session_id for session in sessions if session is not None}
    assert len(known) == 1


async def test_an_open_session_is_left_to_whoever_opened_it_unless_joined(desk: Desk, prefect: Any) -> None:
    prefect.fail("run-1")
    run = await desk.api.run("run-1")
    opened = await resolve.take_up(desk, run, join=False)
    assert opened is not None
    assert await resolve.take_up(desk, run, join=False) is None
    joined = await resolve.take_up(desk, run)
    assert joined is not None
    assert joined.session_id == opened.session_id


async def test_two_workers_on_one_session_apply_one_remedy(
    make_desk: Callable[..., Desk], prefect: Any
) -> None:
    first, second = make_desk(holder="first"), make_desk(holder="second")
    prefect.fail("run-1")
    session = await resolve.take_up(first, await first.api.run("run-1"))
    assert session is not None
    first.clock.forward(5)  # type: ignore[attr-defined]
    await asyncio.gather(*(resolve.advance(desk, session.session_id) for desk in (first, second, first)))
    assert len(prefect.retries) == 1


async def test_a_person_who_was_first_wins(desk: Desk, prefect: Any) -> None:
    prefect.fail("run-1")
    session = await resolve.take_up(desk, await desk.api.run("run-1"))
    assert session is not None
    prefect.add_state("run-1", "SCHEDULED", "AwaitingRetry", "retried in the UI")
    session = await later(desk, session, seconds=5)
    assert prefect.retries == []
    assert session.due_at is None
    assert await notices(desk) == []


async def test_a_run_deleted_meanwhile_closes_its_session(desk: Desk, prefect: Any) -> None:
    prefect.fail("run-1")
    session = await resolve.take_up(desk, await desk.api.run("run-1"))
    assert session is not None
    del prefect.runs["run-1"]
    session = await later(desk, session, seconds=5)
    assert session.resolution_status is ResolutionStatus.CLOSED
    assert session.due_at is None


async def test_our_own_flows_are_never_taken_up(desk: Desk, prefect: Any) -> None:
    prefect.flow_name = "autopilot-monitor"
    prefect.fail("run-1")
    assert await resolve.take_up(desk, await desk.api.run("run-1")) is None


@pytest.mark.parametrize("type_", ["COMPLETED", "CANCELLED", "RUNNING"])
async def test_what_is_no_failure_is_not_taken_up(desk: Desk, prefect: Any, type_: str) -> None:
    prefect.start("run-1")
    prefect.add_state("run-1", type_, type_.title())
    assert await resolve.take_up(desk, await desk.api.run("run-1")) is None


async def test_logs_are_given_time_to_arrive_before_they_are_read(desk: Desk, prefect: Any) -> None:
    prefect.fail("run-1")
    session = await resolve.take_up(desk, await desk.api.run("run-1"))
    assert session is not None
    waiting = await resolve.advance(desk, session.session_id)
    assert waiting.diagnosis is None
    assert waiting.due_at is not None
    assert waiting.due_at - desk.clock() >= timedelta(seconds=2)


async def test_a_killed_process_leaves_a_session_that_the_next_one_finishes(
    make_desk: Callable[..., Desk], prefect: Any
) -> None:
    before = make_desk(holder="killed")
    prefect.fail("run-1")
    session = await take(before)
    after = make_desk(holder="next")
    prefect.finish("run-1")
    due = await after.store.due_sessions(after.clock() + timedelta(hours=1))
    assert [found.session_id for found in due] == [session.session_id]
    session = await later(after, session)
    assert session.resolution_status is ResolutionStatus.AUTO_RESOLVED
    assert len(prefect.retries) == 1


async def test_an_unreachable_server_leaves_the_session_as_it_was(desk: Desk, prefect: Any) -> None:
    prefect.fail("run-1")
    session = await resolve.take_up(desk, await desk.api.run("run-1"))
    assert session is not None
    prefect.down = True
    desk.clock.forward(5)  # type: ignore[attr-defined]
    with pytest.raises(PrefectError) as caught:
        await resolve.advance(desk, session.session_id)
    assert not caught.value.permanent
    prefect.down = False
    session = await resolve.advance(desk, session.session_id)
    assert len(prefect.retries) == 1


async def test_an_expired_token_is_refreshed_before_the_run_is_retried(
    make_desk: Callable[..., Desk], prefect: Any
) -> None:
    refreshed: list[str] = []

    async def refresh(connection: str, _now: datetime) -> None:
        assert prefect.retries == []
        refreshed.append(connection)

    prefect.deploy(
        """
from prefect import flow
from prefect_autopilot.tasks import call_service

@flow
def orders() -> None:
    call_service("asana-default", "list_projects")
"""
    )
    prefect.fail(
        "run-1",
        error="prefect_autopilot.errors.ServiceError: the access token expired [service=asana "
        "operation=list_projects connection=asana-default effect=safe status=401]",
    )
    prefect.task_runs["run-1"] = [prefect.failed_task("run-1", "call_service-1a2b3c4d")]
    session = await take(make_desk(refresh=refresh))
    assert refreshed == ["asana-default"], session.trail
    assert len(prefect.retries) == 1
    assert session.diagnosis is not None
    assert session.diagnosis.category is IssueCategory.PERMISSIONS


async def test_the_report_stands_on_the_failed_run(desk: Desk, prefect: Any) -> None:
    prefect.fail("run-1", error=BUG)
    await take(desk)
    assert prefect.artifacts[-1]["flow_run_id"] == "run-1"
    assert "KeyError" in prefect.artifacts[-1]["data"]


async def test_every_step_is_in_an_unbroken_audit_trail(desk: Desk, prefect: Any) -> None:
    prefect.fail("run-1")
    session = await take(desk)
    prefect.finish("run-1")
    session = await later(desk, session)
    entries = await desk.store.audit_trail(session.session_id)
    assert len(entries) >= 3
    assert await desk.store.verify_audit() is None


async def test_a_secret_in_the_traceback_is_in_nothing_we_keep_or_send(desk: Desk, prefect: Any) -> None:
    secret = "ghp_" + "a1B2" * 9
    prefect.fail("run-1", error=f"RuntimeError: token {secret} was refused")
    session = await take(desk)
    told = await desk.store.pending_notices(desk.clock(), "webhook")
    kept = (
        session.model_dump_json()
        + str(prefect.artifacts)
        + "".join(pending.notice.model_dump_json() for pending in told)
    )
    assert secret not in kept


# What is asked of the server

DIAGNOSIS = ("", "states", "task runs", "logs", "deployment", "runs of the deployment")


async def until_seen(desk: Desk, prefect: Any, *, lasts_s: float) -> int:
    """Resolve a run whose retry lasts so long; return the calls beyond those of the diagnosis."""
    prefect.fail("run-1")
    run = await desk.api.run("run-1")
    before = desk.api.calls
    session = await resolve.take_up(desk, run)
    assert session is not None
    desk.clock.forward(5)  # type: ignore[attr-defined]
    session = await resolve.advance(desk, session.session_id)
    ends = None
    while session.due_at is not None:
        clock: Any = desk.clock
        if ends is None:
            clock.forward(20)
            prefect.start("run-1")
            ends = clock.now + timedelta(seconds=lasts_s)
        if ends <= session.due_at and prefect.runs["run-1"]["state_type"] == "RUNNING":
            clock.now = ends
            prefect.add_state("run-1", "COMPLETED", "Completed")
        clock.now = max(clock.now, session.due_at)
        session = await resolve.advance(desk, session.session_id)
    assert session.resolution_status is ResolutionStatus.AUTO_RESOLVED
    return desk.api.calls - before - len(DIAGNOSIS)


async def test_a_resolved_run_costs_five_calls_beyond_its_diagnosis(desk: Desk, prefect: Any) -> None:
    assert await until_seen(desk, prefect, lasts_s=5) <= 5


async def test_a_run_whose_length_is_known_is_looked_at_when_it_ends(desk: Desk, prefect: Any) -> None:
    for number in range(3):
        known = f"earlier-{number}"
        prefect.finish(known)
        began = desk.clock() - timedelta(seconds=240)
        prefect.runs[known] |= {"start_time": began.isoformat(), "parameters": {"day": number}}
    assert await until_seen(desk, prefect, lasts_s=200) <= 5


async def test_a_run_of_unknown_length_is_asked_for_more_and_more_seldom(desk: Desk, prefect: Any) -> None:
    assert await until_seen(desk, prefect, lasts_s=600) <= 16


async def test_a_retry_that_is_seen_to_fail_is_looked_at_before_its_time(desk: Desk, prefect: Any) -> None:
    prefect.fail("run-1")
    session = await take(desk)
    assert session.due_at is not None
    desk.clock.forward(13)  # type: ignore[attr-defined]
    prefect.fail("run-1")
    assert session.due_at > desk.clock(), "nobody would look yet"
    seen = await resolve.take_up(desk, await desk.api.run("run-1"))
    assert seen is not None
    assert seen.session_id == session.session_id
    assert seen.due_at is not None
    assert seen.due_at <= desk.clock()
    again = await resolve.take_up(desk, await desk.api.run("run-1"))
    assert again is not None
    assert again.due_at == seen.due_at


async def test_the_failure_that_a_session_ended_on_opens_no_second_one_and_a_persons_retry_does(
    desk: Desk, prefect: Any
) -> None:
    prefect.fail("run-1")
    session = await resolve.take_up(desk, await desk.api.run("run-1"))
    assert session is not None
    for _ in range(12):
        desk.clock.forward(90)  # type: ignore[attr-defined]
        if prefect.runs["run-1"]["state_type"] == "SCHEDULED":
            prefect.fail("run-1")
            desk.clock.forward(90)  # type: ignore[attr-defined]
        session = await resolve.advance(desk, session.session_id)
    assert session.resolution_status is ResolutionStatus.ESCALATED
    assert len(session.attempts) == len(prefect.retries) == 3
    assert await resolve.take_up(desk, await desk.api.run("run-1")) is None
    assert await notices(desk) == ["escalated"]
    prefect.fail("run-1")
    again = await resolve.take_up(desk, await desk.api.run("run-1"))
    assert again is not None
    assert again.session_id != session.session_id


# Killed at any point

POINTS = {
    "claimed": ("store", "claim_session", 1),
    "identified": ("store", "save_session", 1),
    "analysed": ("store", "save_session", 2),
    "diagnosed": ("store", "save_session", 3),
    "intended": ("store", "journal_intent", 1),
    "acted": ("api", "retry_run", 1),
    "journalled": ("store", "journal_result", 1),
    "saved": ("store", "save_session", 4),
    "told": ("store", "queue_notice", 1),
}


@pytest.mark.parametrize("point", POINTS)
async def test_killed_at_any_point_the_next_process_makes_it_exactly_one_remedy(
    make_desk: Callable[..., Desk], prefect: Any, monkeypatch: pytest.MonkeyPatch, point: str
) -> None:
    owner, name, which = POINTS[point]
    first = make_desk(holder="killed")
    calls = 0
    call = getattr(getattr(first, owner), name)

    async def and_die(*args: Any, **named: Any) -> Any:
        nonlocal calls
        answer = await call(*args, **named)
        calls += 1
        if calls == which:
            raise KeyboardInterrupt
        return answer

    async def go_on(desk: Desk) -> Any:
        session = await resolve.take_up(desk, await desk.api.run("run-1"))
        session = session or await desk.store.session_for_run("run-1")
        for _ in range(8):
            desk.clock.forward(40)  # type: ignore[attr-defined]
            if prefect.runs["run-1"]["state_type"] == "SCHEDULED":
                prefect.finish("run-1")
                desk.clock.forward(40)  # type: ignore[attr-defined]
            session = await resolve.advance(desk, session.session_id)
        return session

    prefect.fail("run-1")
    with monkeypatch.context() as patch:
        patch.setattr(getattr(first, owner), name, and_die)
        with pytest.raises(KeyboardInterrupt):
            await go_on(first)
    session = await go_on(make_desk(holder="next"))
    assert len(prefect.retries) == 1
    assert session.resolution_status is ResolutionStatus.AUTO_RESOLVED
    (entry,) = await first.store.journal(session.session_id)
    assert entry.outcome == "applied"
    assert await notices(first) == ["resolved"]


async def test_a_server_that_falls_silent_during_the_act_costs_neither_the_remedy_nor_a_second_one(
    make_desk: Callable[..., Desk], prefect: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk = make_desk()
    prefect.fail("run-1")
    session = await resolve.take_up(desk, await desk.api.run("run-1"))
    assert session is not None
    desk.clock.forward(5)
    act = desk.api.retry_run

    async def made_and_lost(*args: Any, **named: Any) -> None:
        await act(*args, **named)
        raise PrefectError("The connection broke.", permanent=False)

    with monkeypatch.context() as patch:
        patch.setattr(desk.api, "retry_run", made_and_lost)
        with pytest.raises(PrefectError):
            await resolve.advance(desk, session.session_id)
    prefect.finish("run-1")
    for _ in range(3):
        session = await later(desk, session, seconds=60)
    assert len(prefect.retries) == 1
    assert session.resolution_status is ResolutionStatus.AUTO_RESOLVED
