"""A person decides: yes, no, taken back, paused; and proposals that somebody else has seen to."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from prefect_autopilot.errors import ConflictError, UnknownNameError
from prefect_autopilot.journeys import proposals, resolve
from prefect_autopilot.journeys.desk import Desk
from prefect_autopilot.journeys.saved_time import saved_time
from prefect_autopilot.models import RemedyPolicy, ResolutionStatus, RetryRun, TroubleshootingSession
from prefect_autopilot.troubleshooting.learning import Record

ADA = "person:ada"
BOOKS_FIRST = """
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


@pytest.fixture
def careful(make_desk: Callable[..., Desk]) -> Desk:
    """A desk whose policy only proposes."""
    return make_desk(policy=RemedyPolicy())


async def take(desk: Desk, run_id: str = "run-1") -> TroubleshootingSession:
    session = await resolve.take_up(desk, await desk.api.run(run_id))
    assert session is not None
    return await later(desk, session, 5)


async def later(desk: Desk, session: TroubleshootingSession, seconds: float) -> TroubleshootingSession:
    desk.clock.forward(seconds)  # type: ignore[attr-defined]
    return await resolve.advance(desk, session.session_id)


async def say_yes(desk: Desk, session: TroubleshootingSession, **told: Any) -> TroubleshootingSession:
    await proposals.approve(desk.store, session.session_id, by=ADA, clock=desk.clock, **told)
    return await resolve.advance(desk, session.session_id)


async def outcomes(desk: Desk) -> list[str]:
    return [one.notice.outcome for one in await desk.store.pending_notices(desk.clock(), "webhook")]


async def test_a_proposal_is_carried_out_after_a_yes_and_verified_like_any_other(
    careful: Desk, prefect: Any
) -> None:
    prefect.fail("run-1")
    session = await take(careful)
    assert session.resolution_status is ResolutionStatus.MANUAL
    assert prefect.retries == []
    session = await say_yes(careful, session)
    assert len(prefect.retries) == 1
    prefect.finish("run-1")
    session = await later(careful, session, 60)
    assert session.resolution_status is ResolutionStatus.AUTO_RESOLVED
    actors = [entry.actor for entry in await careful.store.audit_trail(session.session_id)]
    assert ADA in actors
    assert await outcomes(careful) == ["proposal", "resolved"]


async def test_a_yes_holds_for_one_failure_and_not_for_the_next(careful: Desk, prefect: Any) -> None:
    prefect.fail("run-1")
    session = await say_yes(careful, await take(careful))
    prefect.fail("run-1")
    session = await later(careful, session, 60)
    session = await later(careful, session, 60)
    assert session.resolution_status is ResolutionStatus.MANUAL
    assert len(prefect.retries) == 1


async def test_a_second_yes_finds_nothing_that_waits(careful: Desk, prefect: Any) -> None:
    prefect.fail("run-1")
    session = await say_yes(careful, await take(careful))
    with pytest.raises(ConflictError, match="no proposal"):
        await say_yes(careful, session)
    assert len(prefect.retries) == 1


async def test_a_yes_does_nothing_while_everything_is_paused(careful: Desk, prefect: Any) -> None:
    prefect.fail("run-1")
    session = await take(careful)
    await proposals.pause_all(careful.store, by="person:eve", clock=careful.clock)
    session = await say_yes(careful, session)
    assert session.resolution_status is ResolutionStatus.MANUAL
    assert "person:eve" in session.trail[-1]
    assert prefect.retries == []
    await proposals.resume_all(careful.store, by="person:eve", clock=careful.clock)
    await say_yes(careful, session)
    assert len(prefect.retries) == 1


async def test_a_pause_between_the_decision_and_the_act_holds_it_back(desk: Desk) -> None:
    await desk.store.pause_all("person:eve", desk.clock())
    remedy = RetryRun(flow_run_id="run-1", delay_s=0)
    with pytest.raises(ConflictError, match="person:eve"):
        await desk.store.journal_intent("s", "run-1", "state", 1, remedy, None, desk.clock())
    assert await desk.store.journal("s") == ()


async def test_work_of_effect_needs_a_person_who_has_made_sure(careful: Desk, prefect: Any) -> None:
    prefect.deploy(BOOKS_FIRST)
    prefect.fail("run-1")
    session = await take(careful)
    with pytest.raises(ConflictError, match="not enough"):
        await say_yes(careful, session)
    assert prefect.retries == []
    await say_yes(careful, session, rerun=True)
    assert len(prefect.retries) == 1


async def test_a_bug_cannot_be_approved_away(careful: Desk, prefect: Any) -> None:
    prefect.fail("run-1", error="KeyError: 'total'")
    session = await take(careful)
    with pytest.raises(ConflictError):
        await say_yes(careful, session, rerun=True)
    assert prefect.retries == []


async def test_a_no_closes_the_session_and_says_whose_it_was(careful: Desk, prefect: Any) -> None:
    prefect.fail("run-1")
    session = await take(careful)
    closed = await proposals.deny(
        careful.store, session.session_id, by=ADA, clock=careful.clock, reason="month end"
    )
    assert closed.resolution_status is ResolutionStatus.CLOSED
    assert "month end" in closed.trail[-1]
    entry = (await careful.store.audit_trail(session.session_id))[-1]
    assert (entry.actor, entry.action, entry.detail) == (ADA, "denied", {"reason": "month end"})
    with pytest.raises(ConflictError):
        await say_yes(careful, session)
    session = await later(careful, session, 3600)
    assert prefect.retries == []


@pytest.mark.parametrize("word", ["approve", "deny", "undo"])
async def test_an_unknown_session_is_named(desk: Desk, word: str) -> None:
    said = (
        proposals.undo(desk, "no-such", by=ADA)
        if word == "undo"
        else getattr(proposals, word)(desk.store, "no-such", by=ADA, clock=desk.clock)
    )
    with pytest.raises(UnknownNameError, match="no-such"):
        await said


async def test_a_yes_after_somebody_retried_does_nothing(careful: Desk, prefect: Any) -> None:
    prefect.fail("run-1")
    session = await take(careful)
    prefect.add_state("run-1", "SCHEDULED", "AwaitingRetry", "retried in the UI")
    session = await say_yes(careful, session)
    assert prefect.retries == []
    assert session.resolution_status is ResolutionStatus.CLOSED


# Proposals that somebody else has seen to


async def test_a_proposal_ends_when_somebody_retried_the_run_and_it_completed(
    careful: Desk, prefect: Any
) -> None:
    prefect.fail("run-1")
    session = await take(careful)
    prefect.add_state("run-1", "SCHEDULED", "AwaitingRetry", "retried in the UI")
    session = await later(careful, session, 60)
    assert session.resolution_status is ResolutionStatus.MANUAL
    prefect.finish("run-1")
    session = await later(careful, session, 600)
    assert session.resolution_status is ResolutionStatus.CLOSED
    assert "completed meanwhile" in session.trail[-1]
    assert "retry run" in session.trail[-1]
    assert await outcomes(careful) == ["proposal"]


@pytest.mark.parametrize(
    ("type_", "name", "said"),
    [("CANCELLED", "Cancelled", "cancelled"), ("COMPLETED", "Completed", "completed")],
    ids=["cancelled", "marked completed"],
)
async def test_a_proposal_ends_with_its_run(
    careful: Desk, prefect: Any, type_: str, name: str, said: str
) -> None:
    prefect.fail("run-1")
    session = await take(careful)
    prefect.add_state("run-1", type_, name)
    session = await later(careful, session, 60)
    assert session.resolution_status is ResolutionStatus.CLOSED
    assert said in session.trail[-1]


async def test_a_proposal_whose_run_failed_anew_leaves_it_to_a_session_of_its_own(
    careful: Desk, prefect: Any
) -> None:
    prefect.fail("run-1")
    session = await take(careful)
    prefect.fail("run-1")
    session = await later(careful, session, 60)
    assert session.resolution_status is ResolutionStatus.CLOSED
    assert await resolve.take_up(careful, await careful.api.run("run-1")) is not None


async def test_one_death_told_twice_is_one_proposal_for_the_later_state(careful: Desk, prefect: Any) -> None:
    prefect.fail("run-1")
    session = await take(careful)
    prefect.add_state("run-1", "CRASHED", "Crashed", "the worker tells it, too")
    session = await later(careful, session, 60)
    assert session.decision is not None
    assert session.decision.state_id == prefect.runs["run-1"]["state"]["id"]
    assert session.due_at is not None


async def test_a_proposal_ends_with_a_deleted_run(careful: Desk, prefect: Any) -> None:
    prefect.fail("run-1")
    session = await take(careful)
    del prefect.runs["run-1"]
    assert (await later(careful, session, 60)).resolution_status is ResolutionStatus.CLOSED


async def test_a_proposal_is_looked_at_less_and_less_and_after_days_not_at_all(
    careful: Desk, prefect: Any
) -> None:
    prefect.fail("run-1")
    session = await take(careful)
    pauses = []
    for _ in range(200):
        if session.due_at is None:
            break
        pause = (session.due_at - careful.clock()).total_seconds()
        pauses.append(pause)
        session = await later(careful, session, pause)
    assert session.due_at is None
    assert session.resolution_status is ResolutionStatus.MANUAL
    assert pauses == sorted(pauses)
    assert len(pauses) < 170
    assert len(session.trail) < 10
    await say_yes(careful, session)
    assert len(prefect.retries) == 1


# Waiting, taking back, counting


async def test_a_remedy_beyond_the_budget_waits_and_is_done_later(
    make_desk: Callable[..., Desk], prefect: Any
) -> None:
    desk = make_desk(policy=RemedyPolicy(mode="auto", max_remedies_per_minute=1))
    prefect.fail("run-1")
    prefect.fail("run-2")
    await take(desk, "run-1")
    session = await take(desk, "run-2")
    assert session.resolution_status is ResolutionStatus.IN_PROGRESS
    assert [one["run"] for one in prefect.retries] == ["run-1"]
    for _ in range(4):
        session = await later(desk, session, 20)
    assert [one["run"] for one in prefect.retries] == ["run-1", "run-2"]
    assert sum("decided to wait" in line for line in session.trail) == 1


async def test_a_retry_is_taken_back_before_it_begins(desk: Desk, prefect: Any) -> None:
    prefect.fail("run-1")
    session = await take(desk)
    undone = await proposals.undo(desk, session.session_id, by=ADA)
    assert prefect.runs["run-1"]["state_type"] == "FAILED"
    assert ADA in prefect.runs["run-1"]["state"]["message"]
    assert undone.resolution_status is ResolutionStatus.ESCALATED
    assert await resolve.take_up(desk, await desk.api.run("run-1")) is None
    with pytest.raises(ConflictError):
        await proposals.undo(desk, session.session_id, by=ADA)


async def test_a_retry_that_has_begun_cannot_be_taken_back(desk: Desk, prefect: Any) -> None:
    prefect.fail("run-1")
    session = await take(desk)
    prefect.start("run-1")
    with pytest.raises(ConflictError, match="cancel it"):
        await proposals.undo(desk, session.session_id, by=ADA)
    assert prefect.runs["run-1"]["state_type"] == "RUNNING"


async def test_nothing_done_is_nothing_to_take_back(careful: Desk, prefect: Any) -> None:
    prefect.fail("run-1")
    session = await take(careful)
    with pytest.raises(ConflictError, match="no act"):
        await proposals.undo(careful, session.session_id, by=ADA)


async def test_pausing_twice_keeps_the_first_and_resuming_twice_says_so(desk: Desk) -> None:
    first = await proposals.pause_all(desk.store, by=ADA, clock=desk.clock)
    again = await proposals.pause_all(desk.store, by="person:eve", clock=desk.clock)
    assert (first.by, again.by) == (ADA, ADA)
    assert await proposals.resume_all(desk.store, by=ADA, clock=desk.clock)
    assert not await proposals.resume_all(desk.store, by=ADA, clock=desk.clock)
    assert [entry.action for entry in await desk.store.audit_trail()] == ["paused", "resumed"]
    assert await desk.store.pause() is None


async def test_what_was_observed_is_the_record_of_a_remedy_until_it_is_reset(
    desk: Desk, prefect: Any
) -> None:
    prefect.fail("run-1")
    session = await take(desk)
    prefect.finish("run-1")
    session = await later(desk, session, 60)
    records = await desk.store.all_remedy_records()
    assert records == {(session.fingerprint, "dep-1"): {"retry_run": Record(1, 0)}}
    await desk.store.reset_remedy_records(ADA, desk.clock())
    assert await desk.store.all_remedy_records() == {}
    assert (await desk.store.audit_trail())[-1].actor == ADA


async def test_saved_time_is_told_only_from_what_was_seen_of_both(
    desk: Desk, make_desk: Callable[..., Desk], prefect: Any
) -> None:
    prefect.fail("run-1")
    session = await take(desk)
    prefect.finish("run-1")
    session = await later(desk, session, 60)
    first = await saved_time(desk.store)
    assert (first.resolved, first.by_people, first.saved_s) == (1, 0, None)
    assert "cannot be told" in first.sentence()
    careful = make_desk(policy=RemedyPolicy())
    prefect.fail("run-2")
    proposal = await take(careful, "run-2")
    prefect.finish("run-2")
    await later(careful, proposal, 7200)
    found = await saved_time(desk.store)
    assert found.by_people == 1
    assert found.saved_s is not None
    assert 7000 < found.saved_s < 7210
