"""A session takes its steps in order, keeps its trail, and is never resolved by a word."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest
from hypothesis import settings
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from prefect_autopilot.errors import ConflictError
from prefect_autopilot.models import (
    AskOwner,
    Attempt,
    RemedyDecision,
    ResolutionStatus,
    RetryRun,
    SessionStep,
    TroubleshootingSession,
    Verification,
)
from prefect_autopilot.troubleshooting import diagnose_text, session

NOW = datetime.fromisoformat("2026-03-02T03:00:00+00:00")
RETRY = RetryRun(flow_run_id="run-1", delay_s=10)
DIAGNOSIS = diagnose_text("HTTPError: 503 Server Error: Service Unavailable")


def opened() -> TroubleshootingSession:
    return session.start("t1", "load", flow_run_id="run-1", run_count=1, now=NOW)


def decided(action: Any) -> RemedyDecision:
    remedy: Any = RETRY if action == "act" else AskOwner(flow_run_id="run-1", advice="look")
    return RemedyDecision(action=action, remedy=remedy, reason="because")


def attempt(number: int = 1) -> Attempt:
    return Attempt(number=number, remedy=RETRY, state_id_before=f"s{number}", applied_at=NOW)


def seen(outcome: Any) -> Verification:
    return Verification(outcome=outcome, reason="looked", checked_at=NOW)


def at_resolution() -> TroubleshootingSession:
    found = session.analyse(session.identify(opened(), (), now=NOW), (), now=NOW)
    return session.conclude(found, DIAGNOSIS, ("wait",), now=NOW)


def at_verification() -> TroubleshootingSession:
    return session.applied(session.resolve(at_resolution(), decided("act"), now=NOW), attempt(), now=NOW)


STEPS: dict[str, Callable[[TroubleshootingSession], TroubleshootingSession]] = {
    "identify": lambda s: session.identify(s, (), now=NOW),
    "analyse": lambda s: session.analyse(s, (), now=NOW),
    "conclude": lambda s: session.conclude(s, DIAGNOSIS, (), now=NOW),
    "resolve": lambda s: session.resolve(s, decided("act"), now=NOW),
    "applied": lambda s: session.applied(s, attempt(len(s.attempts) + 1), now=NOW),
    "checked": lambda s: session.checked(s, seen("failed"), now=NOW),
}
STARTS = {
    "identification": (opened, {"identify"}),
    "analysis": (lambda: session.identify(opened(), (), now=NOW), {"analyse"}),
    "resolution": (at_resolution, {"resolve"}),
    "verification": (at_verification, {"checked"}),
}


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("where", STARTS)
def test_a_step_out_of_order_is_refused(where: str, step: str) -> None:
    begin, allowed = STARTS[where]
    if step in allowed:
        assert STEPS[step](begin()).trail != begin().trail
    else:
        with pytest.raises(ConflictError):
            STEPS[step](begin())


def test_the_whole_way_to_a_verified_resolution() -> None:
    found = session.checked(at_verification(), seen("verified"), now=NOW)
    assert found.resolution_status is ResolutionStatus.AUTO_RESOLVED
    assert found.end_time == NOW
    assert found.due_at is None
    assert found.steps_completed == tuple(SessionStep)
    assert found.attempts[0].verification is not None
    assert len(found.trail) == 7
    assert found.fingerprint == DIAGNOSIS.fingerprint


def test_a_session_is_looked_at_when_the_retry_is_due() -> None:
    assert at_verification().due_at == NOW + timedelta(seconds=15)


def test_a_failed_check_leads_back_to_resolution_with_a_new_decision_to_take() -> None:
    found = session.checked(at_verification(), seen("failed"), now=NOW)
    assert found.current_step is SessionStep.RESOLUTION
    assert found.decision is None
    assert found.due_at == NOW
    with pytest.raises(ConflictError):
        session.applied(found, attempt(2), now=NOW)
    again = session.applied(session.resolve(found, decided("act"), now=NOW), attempt(2), now=NOW)
    assert [item.number for item in again.attempts] == [1, 2]


def test_waiting_changes_only_the_clock() -> None:
    waiting = session.checked(at_verification(), seen("pending"), now=NOW, look_after_s=7)
    assert waiting.due_at == NOW + timedelta(seconds=7)
    assert waiting.current_step is SessionStep.VERIFICATION
    assert waiting.trail == at_verification().trail


def test_nothing_observed_is_not_resolved() -> None:
    found = session.checked(at_verification(), seen("unverified"), now=NOW)
    assert found.resolution_status is ResolutionStatus.IN_PROGRESS
    assert found.end_time is None


@pytest.mark.parametrize(
    ("action", "status", "ended"),
    [
        ("act", ResolutionStatus.IN_PROGRESS, False),
        ("propose", ResolutionStatus.MANUAL, False),
        ("escalate", ResolutionStatus.ESCALATED, True),
        ("stand_down", ResolutionStatus.CLOSED, True),
    ],
)
def test_a_decision_sets_the_status(action: str, status: ResolutionStatus, *, ended: bool) -> None:
    found = session.resolve(at_resolution(), decided(action), now=NOW)
    assert found.resolution_status is status
    assert (found.end_time is not None) is ended


def test_an_attempt_out_of_number_is_refused() -> None:
    acting = session.resolve(at_resolution(), decided("act"), now=NOW)
    with pytest.raises(ConflictError):
        session.applied(acting, attempt(2), now=NOW)


def test_asking_a_person_is_no_attempt() -> None:
    acting = session.resolve(at_resolution(), decided("act"), now=NOW)
    asked = attempt().model_copy(update={"remedy": AskOwner(flow_run_id="run-1", advice="look")})
    with pytest.raises(ConflictError):
        session.applied(acting, asked, now=NOW)


def test_a_session_cannot_be_closed_as_resolved_by_a_word() -> None:
    with pytest.raises(ConflictError):
        session.close(at_verification(), "looks good", now=NOW, status=ResolutionStatus.AUTO_RESOLVED)
    assert session.close(at_verification(), "given up", now=NOW).resolution_status is ResolutionStatus.CLOSED


def test_a_closed_session_takes_no_step() -> None:
    closed = session.close(opened(), "not needed", now=NOW)
    for step in (
        *STEPS.values(),
        lambda s: session.escalate(s, "x", now=NOW),
        lambda s: session.close(s, "x", now=NOW),
    ):
        with pytest.raises(ConflictError):
            step(closed)


def test_a_repeated_failure_is_diagnosed_again_between_attempts() -> None:
    back = session.checked(at_verification(), seen("failed"), now=NOW)
    other = diagnose_text("KeyError: 'express'")
    found = session.diagnosed_again(back, other, now=NOW)
    assert found.diagnosis == other
    assert "another failure" in found.trail[-1]
    with pytest.raises(ConflictError):
        session.diagnosed_again(opened(), other, now=NOW)


def test_a_session_survives_being_stored() -> None:
    found = at_verification()
    assert TroubleshootingSession.model_validate_json(found.model_dump_json()) == found


class AnyOrder(RuleBasedStateMachine):
    """Whatever is called in whatever order: the trail grows, the steps stay in order."""

    def __init__(self) -> None:
        super().__init__()
        self.value = opened()
        self.verified = False

    def take(self, step: Callable[[TroubleshootingSession], TroubleshootingSession]) -> bool:
        before = self.value
        try:
            self.value = step(before)
        except ConflictError:
            return False
        assert self.value.trail[: len(before.trail)] == before.trail
        return True

    @rule()
    def identify(self) -> None:
        self.take(STEPS["identify"])

    @rule()
    def analyse(self) -> None:
        self.take(STEPS["analyse"])

    @rule()
    def conclude(self) -> None:
        self.take(STEPS["conclude"])

    @rule()
    def act(self) -> None:
        self.take(STEPS["resolve"])

    @rule()
    def apply(self) -> None:
        self.take(STEPS["applied"])

    @rule()
    def fail(self) -> None:
        self.take(STEPS["checked"])

    @rule()
    def succeed(self) -> None:
        self.verified |= self.take(lambda s: session.checked(s, seen("verified"), now=NOW))

    @rule()
    def escalate(self) -> None:
        self.take(lambda s: session.escalate(s, "enough", now=NOW))

    @invariant()
    def steps_are_in_order(self) -> None:
        order = list(SessionStep)
        firsts = list(dict.fromkeys(self.value.steps_completed))
        assert firsts == order[: len(firsts)]

    @invariant()
    def resolved_means_verified(self) -> None:
        assert (self.value.resolution_status is ResolutionStatus.AUTO_RESOLVED) == self.verified


AnyOrder.TestCase.settings = settings(max_examples=40, stateful_step_count=20, deadline=None)
TestAnyOrder = AnyOrder.TestCase
