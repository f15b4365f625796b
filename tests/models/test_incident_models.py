"""Sessions, remedies and the policy: nothing is done by default, and a remedy is what it says it is."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from prefect_autopilot.models import (
    AskOwner,
    Attempt,
    Diagnosis,
    DiagnosticFinding,
    IncidentRun,
    Notice,
    RefreshCredentials,
    Remedy,
    RemedyDecision,
    RemedyPolicy,
    ResolutionStatus,
    RetryRun,
    SessionStep,
    TroubleshootingSession,
    Verification,
)

NOW = datetime(2026, 3, 2, 3, 0, tzinfo=UTC)
REMEDIES: TypeAdapter[Remedy] = TypeAdapter(Remedy)
RETRY = {"kind": "retry_run", "flow_run_id": "r1", "delay_s": 5}


def diagnosis(**more: Any) -> Diagnosis:
    needed = {
        "category": "unknown",
        "confidence": 0.5,
        "severity": "low",
        "transient": False,
        "remedy": "none",
        "root_cause": "?",
    }
    return Diagnosis.model_validate(needed | more)


@pytest.mark.parametrize(
    ("given_", "expected"),
    [
        (RETRY, RetryRun(flow_run_id="r1", delay_s=5)),
        (
            {"kind": "refresh_credentials", "flow_run_id": "r1", "connection": "asana-default"},
            RefreshCredentials(flow_run_id="r1", connection="asana-default"),
        ),
        (
            {"kind": "ask_owner", "flow_run_id": "r1", "advice": "Look."},
            AskOwner(flow_run_id="r1", advice="Look."),
        ),
    ],
    ids=["retry", "refresh", "ask"],
)
def test_a_remedy_is_read_by_its_kind(given_: dict[str, Any], expected: Remedy) -> None:
    assert REMEDIES.validate_python(given_) == expected
    assert REMEDIES.validate_json(REMEDIES.dump_json(expected)) == expected


@pytest.mark.parametrize(
    "given_",
    [
        {"flow_run_id": "r1", "delay_s": 5},
        {"kind": "delete_run", "flow_run_id": "r1"},
        {"kind": "retry_run", "flow_run_id": "r1"},
        RETRY | {"delay_s": -1},
        RETRY | {"command": "rm -rf /"},
        {"kind": "ask_owner", "flow_run_id": "r1"},
        {"kind": "refresh_credentials", "flow_run_id": "r1"},
    ],
    ids=["no kind", "no such kind", "no delay", "in the past", "a field of its own", "no advice", "no name"],
)
def test_what_is_no_remedy_is_refused(given_: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        REMEDIES.validate_python(given_)


def test_a_retry_says_why_it_waits_and_backs_off_unless_told_otherwise() -> None:
    assert RetryRun(flow_run_id="r1", delay_s=0).because == "retry_backoff"
    assert RefreshCredentials(flow_run_id="r1", connection="c").delay_s == 0


def test_the_kind_of_a_remedy_cannot_be_another() -> None:
    with pytest.raises(ValidationError, match="retry_run"):
        RetryRun.model_validate(RETRY | {"kind": "ask_owner"})


def test_a_decision_keeps_the_remedy_it_was_made_for() -> None:
    decision = RemedyDecision.model_validate(
        {"action": "act", "remedy": RETRY, "reason": "all checks passed"}
    )
    assert isinstance(decision.remedy, RetryRun)
    assert decision.checks == ()


@pytest.mark.parametrize("action", ["retry", "ACT", ""])
def test_a_decision_knows_four_actions_only(action: str) -> None:
    with pytest.raises(ValidationError, match="action"):
        RemedyDecision.model_validate({"action": action, "remedy": RETRY, "reason": ""})


def test_the_default_policy_proposes_and_never_acts() -> None:
    policy = RemedyPolicy()
    assert policy.mode == "propose"
    assert policy.rerun_allowed == ()
    assert 0.5 < policy.min_confidence <= 1
    assert 1 <= policy.max_attempts_per_run <= 3


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("mode", "yes"),
        ("mode", None),
        ("min_confidence", -0.01),
        ("min_confidence", 1.01),
        ("min_confidence", float("nan")),
        ("max_attempts_per_run", -1),
        ("max_attempts_per_run", 11),
        ("max_attempts_per_run", 1.5),
        ("max_remedies_per_minute", -1),
        ("breaker_failures", 0),
        ("max_wait_s", -1),
        ("paused", "perhaps"),
        ("protected_deployments", "prod"),
        ("rerun_allowed", "prod"),
    ],
)
def test_a_limit_outside_its_bounds_is_refused_by_name(field: str, value: object) -> None:
    with pytest.raises(ValidationError) as caught:
        RemedyPolicy.model_validate({field: value})
    assert caught.value.errors()[0]["loc"][0] == field


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("min_confidence", 0),
        ("min_confidence", 1),
        ("max_attempts_per_run", 0),
        ("max_attempts_per_run", 10),
        ("max_remedies_per_minute", 0),
        ("breaker_failures", 1),
        ("max_wait_s", 0),
        ("protected_deployments", []),
    ],
)
def test_a_limit_at_its_bound_is_taken(field: str, value: object) -> None:
    policy = RemedyPolicy.model_validate({field: value})
    assert getattr(policy, field) == (tuple(value) if isinstance(value, list) else value)


@given(st.floats(allow_nan=True, allow_infinity=True))
def test_a_confidence_is_a_probability_or_no_diagnosis(confidence: float) -> None:
    if 0 <= confidence <= 1:
        assert diagnosis(confidence=confidence).confidence == confidence
    else:
        with pytest.raises(ValidationError, match="confidence"):
            diagnosis(confidence=confidence)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("category", "bad luck"),
        ("severity", "awful"),
        ("remedy", "reboot"),
        ("effect", "harmless"),
        ("transient", None),
        ("status", "five hundred"),
    ],
)
def test_a_diagnosis_uses_the_words_everybody_knows(field: str, value: object) -> None:
    with pytest.raises(ValidationError) as caught:
        diagnosis(**{field: value})
    assert caught.value.errors()[0]["loc"] == (field,)


def test_what_a_diagnosis_does_not_know_it_does_not_claim() -> None:
    found = diagnosis()
    assert found.effect == "unknown"
    assert found.refused is False
    assert (found.status, found.retry_after_s, found.service, found.connection) == (None, None, None, None)
    assert (found.evidence, found.alternatives, found.missing) == ((), (), ())


@pytest.mark.parametrize("score", [-0.1, 1.1])
@pytest.mark.parametrize("field", ["confidence", "impact_score"])
def test_a_finding_weighs_between_zero_and_one(field: str, score: float) -> None:
    fields = {
        "finding_id": "f",
        "pattern": "trend_analysis",
        "confidence": 0.5,
        "description": "d",
        "detected_at": NOW,
    }
    with pytest.raises(ValidationError, match=field):
        DiagnosticFinding.model_validate(fields | {field: score})


def test_a_new_session_is_in_progress_at_its_first_step_and_nothing_is_due() -> None:
    session = TroubleshootingSession(session_id="s", workflow_id="w", start_time=NOW)
    assert session.resolution_status is ResolutionStatus.IN_PROGRESS
    assert session.current_step is SessionStep.IDENTIFICATION
    assert (session.steps_completed, session.attempts, session.due_at, session.end_time) == (
        (),
        (),
        None,
        None,
    )
    assert session.decision is None


def test_a_session_with_all_it_may_hold_survives_the_database() -> None:
    retry = RetryRun(flow_run_id="r1", delay_s=2.5, because="wait_rate_limit")
    refresh = RefreshCredentials(flow_run_id="r1", connection="asana-default")
    seen = Verification(outcome="failed", reason="again 503", checked_at=NOW)
    session = TroubleshootingSession(
        session_id="s",
        workflow_id="w",
        start_time=NOW,
        diagnosis=diagnosis(alternatives=[{"category": "data", "reason": "rows were read"}]),
        decision=RemedyDecision(action="act", remedy=refresh, reason="allowed"),
        attempts=(
            Attempt(number=1, remedy=retry, state_id_before="s1", applied_at=NOW, verification=seen),
            Attempt(number=2, remedy=refresh, state_id_before="s2", error="refused"),
        ),
        steps_completed=tuple(SessionStep),
    )
    again = TroubleshootingSession.model_validate_json(session.model_dump_json())
    assert again == session
    assert [type(attempt.remedy) for attempt in again.attempts] == [RetryRun, RefreshCredentials]


def test_a_remedy_that_was_not_applied_has_no_time() -> None:
    attempt = Attempt(number=1, remedy=RetryRun(flow_run_id="r", delay_s=0), state_id_before="s")
    assert (attempt.applied_at, attempt.error, attempt.verification) == (None, None, None)


@pytest.mark.parametrize("outcome", ["resolved", "ok", ""])
def test_a_verification_cannot_say_resolved(outcome: str) -> None:
    with pytest.raises(ValidationError, match="outcome"):
        Verification.model_validate({"outcome": outcome, "reason": "", "checked_at": NOW})


@pytest.mark.parametrize("outcome", ["verified", "failed", "unverified", "pending"])
def test_a_verification_without_observations_holds_none(outcome: str) -> None:
    seen = Verification.model_validate({"outcome": outcome, "reason": "", "checked_at": NOW})
    assert seen.observations == ()


def test_further_columns_of_an_incident_are_kept_for_they_may_be_what_failures_share() -> None:
    run = IncidentRun.model_validate({"run": "r1", "region": "eu", "image": {"tag": "v2"}})
    assert run.model_extra == {"region": "eu", "image": {"tag": "v2"}}
    assert run.model_dump()["region"] == "eu"
    assert IncidentRun.model_validate_json(run.model_dump_json()) == run


def test_an_incident_run_may_say_nothing_at_all() -> None:
    run = IncidentRun()
    assert (run.run, run.state, run.message, run.start) == ("", "", None, None)


@pytest.mark.parametrize("outcome", ["resolved", "proposal", "escalated", "no_action", "info"])
def test_a_notice_says_what_became_of_it(outcome: str) -> None:
    notice = Notice.model_validate({"notice_id": "n", "outcome": outcome, "title": "t", "text": "x"})
    assert notice.outcome == outcome


def test_a_notice_has_no_other_outcome() -> None:
    with pytest.raises(ValidationError, match="outcome"):
        Notice.model_validate({"notice_id": "n", "outcome": "auto_resolved", "title": "t", "text": "x"})
