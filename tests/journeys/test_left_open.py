"""An act that a crash left without a result: ours where its trace says so, never because the run moved."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import taken_runs

from prefect_autopilot.journeys import proposals, resolve, taking_back
from prefect_autopilot.journeys.desk import Desk
from prefect_autopilot.journeys.left_open import acts_before
from prefect_autopilot.models import (
    EndStuckRun,
    PauseDeployment,
    RefreshCredentials,
    ReleaseSlots,
    Remedy,
    ResolutionStatus,
    RetryRun,
    RunRefresher,
    TroubleshootingSession,
)
from prefect_autopilot.models.names import MARK
from prefect_autopilot.store.journal import UNDO


async def begun(desk: Desk, prefect: Any, remedy: Remedy) -> TroubleshootingSession:
    """A session whose act was intended by a process that is gone."""
    prefect.fail("run-1")
    run = await desk.api.run("run-1")
    session = await resolve.take_up(desk, run)
    assert session is not None
    token = await desk.store.acquire_lease("session:gone", "gone", 30, desk.clock())
    await desk.store.journal_intent(
        session.session_id, "run-1", run.state.id, 1, remedy, token, desk.clock(), lease="session:gone"
    )
    desk.clock.forward(40)  # type: ignore[attr-defined]
    return session


RETRY = RetryRun(flow_run_id="run-1", delay_s=10)
TOKEN = RefreshCredentials(flow_run_id="run-1", connection="asana-default")


def moved_by_a_person(prefect: Any) -> None:
    prefect.add_state("run-1", "SCHEDULED", "AwaitingRetry", "")


def moved_by_another_session(prefect: Any) -> None:
    prefect.add_state("run-1", "SCHEDULED", "AwaitingRetry", f"{MARK}: attempt 1 of session another, x")


@pytest.mark.parametrize("mover", [moved_by_a_person, moved_by_another_session])
@pytest.mark.parametrize("completes", [True, False], ids=["it completed", "it waits"])
async def test_a_retry_that_a_person_made_in_between_is_not_called_ours(
    desk: Desk, prefect: Any, mover: Callable[[Any], None], *, completes: bool
) -> None:
    session = await begun(desk, prefect, RETRY)
    mover(prefect)
    if completes:
        prefect.finish("run-1")
    desk.clock.forward(40)  # type: ignore[attr-defined]
    session = await resolve.advance(desk, session.session_id)
    assert session.resolution_status is ResolutionStatus.CLOSED
    assert session.attempts == ()
    assert prefect.retries == []
    (entry,) = await desk.store.journal(session.session_id)
    assert entry.outcome == "skipped"
    assert await desk.store.remedy_records(session.fingerprint, "dep-1") == {}


async def test_our_own_retry_is_told_by_its_name_whatever_came_after_it(desk: Desk, prefect: Any) -> None:
    session = await begun(desk, prefect, RETRY)
    said = f"{MARK}: attempt 1 of session {session.session_id[:8]}, retry backoff"
    prefect.add_state("run-1", "SCHEDULED", "AwaitingRetry", said)
    prefect.finish("run-1")
    for _ in range(3):
        desk.clock.forward(40)  # type: ignore[attr-defined]
        session = await resolve.advance(desk, session.session_id)
    assert session.resolution_status is ResolutionStatus.AUTO_RESOLVED
    assert [attempt.remedy for attempt in session.attempts] == [RETRY]


async def test_a_death_told_twice_is_no_retry_and_the_gate_is_asked_anew(desk: Desk, prefect: Any) -> None:
    session = await begun(desk, prefect, RETRY)
    prefect.add_state("run-1", "FAILED", "Failed", prefect.runs["run-1"]["state"]["message"])
    session = await resolve.advance(desk, session.session_id)
    assert taken_runs.kinds(session) == ["retry_run"]
    assert len(prefect.retries) == 1
    outcomes = [entry.outcome for entry in await desk.store.journal(session.session_id)]
    assert outcomes == ["skipped", "applied"]


@pytest.mark.parametrize(
    ("remedy", "moved", "said"),
    [
        (TOKEN, False, "asana-default"),
        (TOKEN, True, "somebody else has moved the run"),
        (PauseDeployment(flow_run_id="run-1", deployment_id="dep-1"), False, "Pause the deployment"),
        (PauseDeployment(flow_run_id="run-1", deployment_id="dep-1"), True, "Pause the deployment"),
    ],
    ids=["a token", "a token, and a person", "a pause", "a pause, and a person"],
)
async def test_what_may_have_been_done_and_must_not_be_begun_twice_goes_to_a_person(
    desk: Desk, prefect: Any, remedy: Remedy, said: str, *, moved: bool
) -> None:
    session = await begun(desk, prefect, remedy)
    if moved:
        moved_by_a_person(prefect)
    session = await resolve.advance(desk, session.session_id)
    assert session.resolution_status is ResolutionStatus.ESCALATED
    assert said in session.trail[-1]
    assert prefect.retries == []


@pytest.mark.parametrize(
    "remedy",
    [
        ReleaseSlots(flow_run_id="run-1", limit_name="db", slots=1, active_slots=1),
        EndStuckRun(flow_run_id="run-1"),
    ],
    ids=["slots", "the end of a run"],
)
async def test_a_run_that_goes_on_by_itself_is_credited_to_nobody(
    desk: Desk, prefect: Any, remedy: Remedy
) -> None:
    session = await begun(desk, prefect, remedy)
    prefect.finish("run-1")
    session = await resolve.advance(desk, session.session_id)
    assert session.resolution_status is ResolutionStatus.CLOSED
    assert session.attempts == ()
    (entry,) = await desk.store.journal(session.session_id)
    assert entry.outcome == "unknown"


@pytest.mark.parametrize("exists", [True, False], ids=["started", "not started"])
async def test_a_run_that_was_started_is_found_by_its_key(desk: Desk, prefect: Any, *, exists: bool) -> None:
    remedy = RunRefresher(flow_run_id="run-1", deployment_id="dep-2", renews="token")
    session = await begun(desk, prefect, remedy)
    prefect.start("other")
    prefect.runs["other"]["deployment_id"] = "dep-2"
    if exists:
        prefect.runs["other"]["idempotency_key"] = f"{MARK}-{session.session_id}-1"
    session = await resolve.advance(desk, session.session_id)
    started = [attempt.started_run_id for attempt in session.attempts]
    assert started == (["other"] if exists else [None]), "any other run is not ours"
    assert taken_runs.kinds(session) == (["run_refresher"] if exists else ["retry_run"])


async def test_a_taking_back_is_no_attempt_and_is_never_gone_on_with_as_a_remedy(
    desk: Desk, prefect: Any
) -> None:
    session = await taken_runs.taken(desk, prefect, "httpx.ConnectError: refused")
    assert taken_runs.kinds(session) == ["retry_run"]
    undone = await proposals.undo(desk, session.session_id, by="ada")
    assert undone.resolution_status is ResolutionStatus.ESCALATED
    entries = await desk.store.journal(session.session_id)
    assert [(one.kind, one.attempt, one.outcome) for one in entries] == [
        ("retry_run", 1, "applied"),
        (f"{UNDO}retry_run for a person", -1, "applied"),
    ]
    run = await desk.api.run("run-1")
    done, begun = await acts_before(desk, session, run)
    assert (done.acts, done.last_at, done.retries_only, begun) == (1, entries[0].intended_at, True, None)
    assert await desk.store.remedies_since(session.start_time) == 1


async def test_an_undo_that_a_crash_cut_short_is_finished_and_no_other_remedy_follows(
    desk: Desk, prefect: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = await taken_runs.taken(desk, prefect, "httpx.ConnectError: refused")

    async def killed(*_args: Any, **_named: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(taking_back, "change_back", killed)
        with pytest.raises(KeyboardInterrupt):
            await proposals.undo(desk, session.session_id, by="ada")
    assert prefect.runs["run-1"]["state_type"] == "FAILED"
    desk.clock.forward(600)  # type: ignore[attr-defined]
    session = await resolve.advance(desk, session.session_id)
    assert session.resolution_status is ResolutionStatus.ESCALATED
    assert "taken back" in session.trail[-1]
    assert [one["state"]["type"] for one in prefect.retries] == ["SCHEDULED", "FAILED"]


async def test_nobody_takes_back_while_the_session_is_worked_on(desk: Desk, prefect: Any) -> None:
    session = await taken_runs.taken(desk, prefect, "httpx.ConnectError: refused")
    lease = f"session:{session.session_id}"
    assert await desk.store.acquire_lease(lease, "the watcher", 30, desk.clock()) is not None
    with pytest.raises(proposals.ConflictError, match="worked on just now"):
        await proposals.undo(desk, session.session_id, by="ada")
    assert len(prefect.retries) == 1


async def test_a_person_takes_back_while_everything_is_paused(desk: Desk, prefect: Any) -> None:
    session = await taken_runs.taken(desk, prefect, "httpx.ConnectError: refused")
    await proposals.pause_all(desk.store, by="ada", clock=desk.clock)
    await proposals.undo(desk, session.session_id, by="ada")
    assert prefect.runs["run-1"]["state_type"] == "FAILED"
