"""Every legal and illegal move of a session, driven by a machine that knows the rules in its own words."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from prefect_autopilot.errors import ConflictError
from prefect_autopilot.models import (
    AskOwner,
    Attempt,
    RefreshCredentials,
    RemedyDecision,
    ResolutionStatus,
    RetryRun,
    SessionStep,
    TroubleshootingSession,
    Verification,
)
from prefect_autopilot.troubleshooting import diagnose_text, session

BEGIN = datetime(2026, 3, 2, 3, 0, tzinfo=UTC)
CAUSES = [
    diagnose_text("HTTPError: 503 Server Error: Service Unavailable"),
    diagnose_text("KeyError: 'express'"),
]
OPEN = {ResolutionStatus.IN_PROGRESS, ResolutionStatus.MANUAL, ResolutionStatus.PARTIAL}
ENDED = {ResolutionStatus.ESCALATED, ResolutionStatus.CLOSED, ResolutionStatus.AUTO_RESOLVED}
REMEDIES: list[Any] = [
    RetryRun(flow_run_id="run-1", delay_s=12),
    RefreshCredentials(flow_run_id="run-1", connection="asana-main", delay_s=6),
]
ASK = AskOwner(flow_run_id="run-1", advice="look")


def decision(action: Any, remedy: Any = REMEDIES[0]) -> RemedyDecision:
    return RemedyDecision(action=action, remedy=remedy if action == "act" else ASK, reason="because")


def attempt(number: int, remedy: Any, at: datetime) -> Attempt:
    return Attempt(number=number, remedy=remedy, state_id_before=f"s{number}", applied_at=at)


class Life(RuleBasedStateMachine):
    """A session and what must be true of it, kept apart from the code under test."""

    def __init__(self) -> None:
        super().__init__()
        self.now = BEGIN
        self.value = session.start("t1", "load", flow_run_id="run-1", run_count=1, now=self.now)
        self.trails = [self.value.trail]
        self.verified = False
        self.decided_to_act = False

    @property
    def step(self) -> SessionStep:
        return self.value.current_step

    @property
    def open(self) -> bool:
        return self.value.resolution_status in OPEN

    def at(self, step: SessionStep) -> bool:
        return self.open and self.step is step

    def move(self, value: TroubleshootingSession) -> None:
        self.value = value
        self.trails.append(value.trail)

    def expect(self, allowed: bool, call: Any) -> bool:  # noqa: FBT001  a rule reads as a sentence
        """Make the move where it is allowed, see it refused and nothing changed where it is not."""
        self.now += timedelta(seconds=1)
        if not allowed:
            with pytest.raises(ConflictError):
                call()
            return False
        self.move(call())
        return True

    @rule()
    def identify(self) -> None:
        self.expect(
            self.at(SessionStep.IDENTIFICATION), lambda: session.identify(self.value, (), now=self.now)
        )

    @rule()
    def analyse(self) -> None:
        self.expect(self.at(SessionStep.ANALYSIS), lambda: session.analyse(self.value, (), now=self.now))

    @rule(cause=st.sampled_from(CAUSES))
    def conclude(self, cause: Any) -> None:
        legal = self.at(SessionStep.DIAGNOSIS)
        if self.expect(legal, lambda: session.conclude(self.value, cause, ("wait",), now=self.now)):
            assert self.value.fingerprint == cause.fingerprint
            assert self.value.recommendations == ("wait",)

    @rule(action=st.sampled_from(["act", "propose", "escalate", "stand_down"]))
    def resolve(self, action: str) -> None:
        legal = self.at(SessionStep.RESOLUTION)
        if self.expect(legal, lambda: session.resolve(self.value, decision(action), now=self.now)):
            self.decided_to_act = True

    @rule(remedy=st.sampled_from(REMEDIES), skip=st.sampled_from([0, 0, 0, 1]))
    def apply(self, remedy: Any, skip: int) -> None:
        number = len(self.value.attempts) + 1 + skip
        legal = self.at(SessionStep.RESOLUTION) and self.value.decision is not None and not skip
        if self.expect(
            legal, lambda: session.applied(self.value, attempt(number, remedy, self.now), now=self.now)
        ):
            assert self.value.due_at == self.now + timedelta(seconds=remedy.delay_s + 5)

    @rule(outcome=st.sampled_from(["verified", "failed", "unverified", "pending"]))
    def check(self, outcome: Any) -> None:
        told = Verification(outcome=outcome, reason="looked", checked_at=self.now)
        legal = self.at(SessionStep.VERIFICATION)
        if self.expect(legal, lambda: session.checked(self.value, told, now=self.now)):
            self.verified |= outcome == "verified"
            assert self.value.attempts[-1].verification == told
            if outcome == "failed":
                assert self.value.decision is None, "the old decision must not be carried out again"

    @rule(cause=st.sampled_from(CAUSES))
    def diagnose_again(self, cause: Any) -> None:
        self.expect(
            self.at(SessionStep.RESOLUTION), lambda: session.diagnosed_again(self.value, cause, now=self.now)
        )

    @rule()
    def claim_that_it_is_resolved(self) -> None:
        allowed = self.verified and self.value.resolution_status is not ResolutionStatus.CLOSED
        self.expect(
            allowed,
            lambda: session.close(
                self.value, "looks good", now=self.now, status=ResolutionStatus.AUTO_RESOLVED
            ),
        )

    @precondition(lambda self: len(self.trails) > 6)
    @rule()
    def escalate(self) -> None:
        self.expect(self.open, lambda: session.escalate(self.value, "enough", now=self.now))

    @precondition(lambda self: len(self.trails) > 6)
    @rule()
    def close(self) -> None:
        allowed = self.value.resolution_status is not ResolutionStatus.CLOSED
        self.expect(allowed, lambda: session.close(self.value, "over", now=self.now))

    @invariant()
    def the_trail_only_grows(self) -> None:
        for before, after in zip(self.trails, self.trails[1:], strict=False):
            assert after[: len(before)] == before

    @invariant()
    def steps_come_in_order(self) -> None:
        order = list(SessionStep)
        firsts = list(dict.fromkeys(self.value.steps_completed))
        assert firsts == order[: len(firsts)]

    @invariant()
    def resolved_only_after_it_was_seen(self) -> None:
        if self.value.resolution_status is ResolutionStatus.AUTO_RESOLVED:
            assert self.verified
            assert any(
                item.verification is not None and item.verification.outcome == "verified"
                for item in self.value.attempts
            )

    @invariant()
    def what_has_ended_waits_for_nothing(self) -> None:
        if self.value.resolution_status in ENDED:
            assert self.value.due_at is None
            assert self.value.end_time is not None

    @invariant()
    def attempts_are_numbered_from_one(self) -> None:
        assert [item.number for item in self.value.attempts] == list(range(1, len(self.value.attempts) + 1))

    @invariant()
    def it_survives_being_stored(self) -> None:
        assert TroubleshootingSession.model_validate_json(self.value.model_dump_json()) == self.value


Life.TestCase.settings = settings(max_examples=60, stateful_step_count=25, deadline=None)
TestLife = Life.TestCase


def at_resolution() -> TroubleshootingSession:
    value = session.start("t1", "load", flow_run_id="run-1", run_count=1, now=BEGIN)
    value = session.analyse(session.identify(value, (), now=BEGIN), (), now=BEGIN)
    return session.conclude(value, CAUSES[0], (), now=BEGIN)


def acted(number: int = 1) -> TroubleshootingSession:
    value = session.resolve(at_resolution(), decision("act"), now=BEGIN)
    return session.applied(value, attempt(number, REMEDIES[0], BEGIN), now=BEGIN)


def test_a_session_begins_due_at_once_and_knows_its_run() -> None:
    value = session.start("t1", "load", flow_run_id="run-1", run_count=4, now=BEGIN)
    assert (value.due_at, value.related_runs, value.run_count) == (BEGIN, ("run-1",), 4)
    assert value.resolution_status is ResolutionStatus.IN_PROGRESS
    assert value.trail == (f"{BEGIN.isoformat()} opened",)


def test_a_session_about_no_run_relates_to_none() -> None:
    value = session.start("t1", "load", flow_run_id=None, run_count=0, now=BEGIN)
    assert value.related_runs == ()


@pytest.mark.parametrize("action", ["escalate", "stand_down"])
def test_a_decision_against_acting_ends_the_session(action: str) -> None:
    value = session.resolve(at_resolution(), decision(action), now=BEGIN)
    assert value.resolution_status not in OPEN
    assert SessionStep.RESOLUTION in value.steps_completed
    with pytest.raises(ConflictError, match="open a new one"):
        session.applied(value, attempt(1, REMEDIES[0], BEGIN), now=BEGIN)


def test_a_proposal_waits_for_a_person_and_may_still_be_carried_out() -> None:
    value = session.resolve(at_resolution(), decision("propose"), now=BEGIN)
    assert (value.resolution_status, value.due_at) == (
        ResolutionStatus.MANUAL,
        BEGIN + session.LOOK_AT_PROPOSAL,
    )
    done = session.applied(value, attempt(1, REMEDIES[0], BEGIN), now=BEGIN)
    assert done.resolution_status is ResolutionStatus.IN_PROGRESS


def test_an_error_of_an_attempt_stands_in_the_trail() -> None:
    failed = attempt(1, REMEDIES[0], BEGIN).model_copy(update={"error": "409 from the API"})
    value = session.applied(session.resolve(at_resolution(), decision("act"), now=BEGIN), failed, now=BEGIN)
    assert value.trail[-1].endswith("error: 409 from the API")


@pytest.mark.parametrize("look_after_s", [1, 5, 60])
def test_the_next_look_comes_when_it_was_asked_for(look_after_s: float) -> None:
    pending = Verification(outcome="pending", reason="waits", checked_at=BEGIN)
    value = session.checked(acted(), pending, now=BEGIN, look_after_s=look_after_s)
    assert value.due_at == BEGIN + timedelta(seconds=look_after_s)


def test_waiting_a_hundred_times_leaves_one_trail() -> None:
    pending = Verification(outcome="pending", reason="waits", checked_at=BEGIN)
    value = acted()
    for _ in range(100):
        value = session.checked(value, pending, now=BEGIN)
    assert value.trail == acted().trail
    assert len(value.attempts) == 1


def test_the_same_failure_twice_is_told_from_another() -> None:
    failed = Verification(outcome="failed", reason="again", checked_at=BEGIN)
    value = session.checked(acted(), failed, now=BEGIN)
    same = session.diagnosed_again(value, CAUSES[0], now=BEGIN)
    other = session.diagnosed_again(value, CAUSES[1], now=BEGIN)
    assert "same failure" in same.trail[-1]
    assert "another failure" in other.trail[-1]
    assert other.fingerprint == CAUSES[1].fingerprint != same.fingerprint


def test_a_refusal_names_the_session_and_where_it_stands() -> None:
    with pytest.raises(ConflictError, match="Session t1 is at resolution, not at analysis"):
        session.analyse(at_resolution(), (), now=BEGIN)
    with pytest.raises(ConflictError) as caught:
        session.identify(session.close(at_resolution(), "over", now=BEGIN), (), now=BEGIN)
    assert caught.value.permanent


def test_closing_keeps_the_moment_at_which_it_had_ended() -> None:
    ended = session.escalate(at_resolution(), "enough", now=BEGIN)
    closed = session.close(ended, "read", now=BEGIN + timedelta(days=1))
    assert closed.end_time == BEGIN
    assert closed.resolution_status is ResolutionStatus.CLOSED
