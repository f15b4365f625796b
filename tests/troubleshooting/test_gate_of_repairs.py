"""Killed runs, and what may be removed with proof: when the gate acts, and when it must not."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest

from prefect_autopilot.effects import RerunVerdict
from prefect_autopilot.models import (
    AskOwner,
    Attempt,
    Diagnosis,
    Evidence,
    ForgetCachedResult,
    IssueCategory,
    ReleaseSlots,
    RemedyDecision,
    RemedyPolicy,
    RemoveStaleLock,
    RetryRun,
    RunRefresher,
    Severity,
    TroubleshootingSession,
    Verification,
)
from prefect_autopilot.troubleshooting import decide, diagnose_text, verify
from prefect_autopilot.troubleshooting.consent import Usage

Make = Callable[..., Any]
AUTO = RemedyPolicy(mode="auto")
SAFE = RerunVerdict(level="safe", evidence=("line 4: reads",))
UNSAFE = RerunVerdict(level="unsafe", evidence=("line 9: httpx.post",))
SIGKILL = (
    "Process exited with status code: -9. Process exited due to a SIGKILL signal. Typically caused by the "
    "operating system terminating the process for exceeding memory limits, or by manual cancellation."
)
LOCK = RemoveStaleLock(flow_run_id="run-1", path="/srv/a.lock", holder_pid=42, proof="process 42 is dead")
CACHE = ForgetCachedResult(flow_run_id="run-1", task_run_id="t", storage_key="/srv/r", proof="it was used")
RENEW = RunRefresher(
    flow_run_id="run-1", deployment_id="dep-9", renews="variable token", proof="it writes it"
)
SLOTS = ReleaseSlots(flow_run_id="run-1", limit_name="db", slots=1, active_slots=1, proof="nobody holds it")
REPAIRS = [LOCK, CACHE, RENEW, SLOTS]


@pytest.fixture(scope="module")
def gate(evidence: Make, now: datetime) -> Callable[..., RemedyDecision]:
    def decided(text: str, found: Evidence | None = None, policy: RemedyPolicy = AUTO, **more: Any) -> Any:
        parts: dict[str, Any] = {"rerun": SAFE, "persisted_results": False, "now": now, "jitter": 0.5}
        return decide(diagnose_text(text), found or evidence(text), policy, **(parts | more))

    return decided


@pytest.fixture(scope="module")
def crashed(evidence: Make, run: Make, state: Make) -> Callable[..., Evidence]:
    def made(message: str = SIGKILL, **changes: Any) -> Any:
        return evidence(run=run(state=state("CRASHED", message=message)), **changes)

    return made


def attempt(remedy: Any, at: datetime, outcome: str | None = None) -> Attempt:
    checked = (
        Verification.model_validate({"outcome": outcome, "reason": "seen", "checked_at": at})
        if outcome
        else None
    )
    return Attempt(number=1, remedy=remedy, state_id_before="s0", applied_at=at, verification=checked)


RETRIED = RetryRun(flow_run_id="run-1", delay_s=10)

KILLS = [
    SIGKILL,
    "Process exited with status code: -9",
    "Flow run infrastructure exited with non-zero status code 137",
    "Process exited with status code: -15",
]


@pytest.mark.parametrize("text", KILLS, ids=["prefect's words", "-9", "137", "-15"])
def test_a_run_that_was_killed_once_is_retried_when_that_is_harmless(
    gate: Make, crashed: Make, text: str
) -> None:
    decision = gate(text, crashed(text))
    assert decision.action == "act"
    assert isinstance(decision.remedy, RetryRun)
    assert decision.remedy.delay_s > 5, "the worker must have seen the end"


@pytest.mark.parametrize("text", KILLS, ids=["prefect's words", "-9", "137", "-15"])
def test_a_killed_run_that_may_have_done_something_is_proposed(gate: Make, crashed: Make, text: str) -> None:
    decision = gate(text, crashed(text), rerun=UNSAFE, failing_effect="unsafe")
    assert decision.action == "propose"


def test_a_run_killed_again_after_it_began_anew_gets_no_third_chance(
    gate: Make, crashed: Make, state: Make, failed_at: datetime
) -> None:
    acted = failed_at - timedelta(seconds=60)
    again = state("RUNNING", at=failed_at - timedelta(seconds=20), ident="s3")
    decision = gate(SIGKILL, crashed(states=(again,)), attempts=(attempt(RETRIED, acted, "failed"),))
    assert decision.action == "propose"
    assert "memory" in decision.reason


def test_one_death_told_twice_is_one_death(
    gate: Make, crashed: Make, state: Make, failed_at: datetime
) -> None:
    acted = failed_at - timedelta(seconds=2)
    before = state("RUNNING", at=failed_at - timedelta(seconds=20), ident="s3")
    decision = gate(SIGKILL, crashed(states=(before,)), attempts=(attempt(RETRIED, acted, "failed"),))
    assert decision.action == "act"


def test_a_deployment_whose_last_run_was_killed_too_needs_a_person(
    gate: Make, crashed: Make, run: Make, state: Make, failed_at: datetime
) -> None:
    last = run(id="run-0", state=state("CRASHED", at=failed_at - timedelta(hours=1), message=SIGKILL))
    decision = gate(SIGKILL, crashed(recent_runs=(last,)))
    assert decision.action == "propose"
    assert "memory" in decision.reason


def test_a_good_run_in_between_makes_it_a_first_death_again(
    gate: Make, crashed: Make, run: Make, state: Make, failed_at: datetime
) -> None:
    older = run(id="run-0", state=state("CRASHED", at=failed_at - timedelta(hours=2), message=SIGKILL))
    good = run(id="run-x", state=state("COMPLETED", at=failed_at - timedelta(hours=1)), parameters={"a": 1})
    assert gate(SIGKILL, crashed(recent_runs=(older, good))).action == "act"


@pytest.mark.parametrize(
    "text",
    ["MemoryError", "Last State: Terminated, Reason: OOMKilled, Exit Code: 137"],
    ids=["python", "kubernetes"],
)
def test_where_memory_is_named_as_the_reason_a_retry_is_no_remedy(gate: Make, text: str) -> None:
    assert gate(text).action != "act"


@pytest.mark.parametrize("repair", [LOCK, CACHE, RENEW], ids=lambda one: one.kind)
def test_what_is_proved_is_done_before_a_mere_retry_and_says_why(gate: Make, repair: Any) -> None:
    decision = gate("KeyError: 'USD'", repair=repair)
    assert decision.action == "act"
    assert decision.remedy == repair
    assert repair.proof in decision.reason


@pytest.mark.parametrize("repair", REPAIRS, ids=lambda one: one.kind)
@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"policy": RemedyPolicy(mode="propose")}, "propose"),
        ({"policy": RemedyPolicy(mode="auto", paused=True)}, "propose"),
        ({"policy": RemedyPolicy(mode="auto", protected_deployments=("load-orders/prod",))}, "propose"),
        ({"policy": RemedyPolicy(mode="auto", max_attempts_per_run=0)}, "escalate"),
        ({"usage": Usage(last_minute=10)}, "wait"),
        ({"breaker_open": True}, "escalate"),
        ({"own_flow": True}, "stand_down"),
        ({"human_touched": True}, "stand_down"),
    ],
    ids=["propose", "paused", "protected", "no attempts", "budget", "breaker", "own flow", "person"],
)
def test_proof_does_not_open_the_gate(
    gate: Make, repair: Any, changes: dict[str, Any], expected: str
) -> None:
    assert gate("KeyError: 'USD'", repair=repair, **changes).action == expected


@pytest.mark.parametrize("repair", [LOCK, CACHE, RENEW], ids=lambda one: one.kind)
def test_nothing_is_removed_for_a_run_that_must_not_be_repeated(gate: Make, repair: Any) -> None:
    assert gate("KeyError: 'USD'", repair=repair, rerun=UNSAFE).action == "propose"


@pytest.mark.parametrize("repair", [LOCK, CACHE, RENEW], ids=lambda one: one.kind)
def test_what_did_not_help_is_not_done_twice(gate: Make, repair: Any, failed_at: datetime) -> None:
    before = (attempt(repair, failed_at - timedelta(minutes=1), "failed"),)
    decision = gate("KeyError: 'USD'", repair=repair, attempts=before)
    assert decision.action == "escalate"
    assert "was done already" in decision.reason


@pytest.mark.parametrize("repair", [LOCK, CACHE, RENEW], ids=lambda one: one.kind)
def test_a_run_that_is_running_is_left_alone(
    gate: Make, evidence: Make, run: Make, state: Make, repair: Any
) -> None:
    running = evidence(run=run(state=state("RUNNING")))
    assert gate("KeyError: 'USD'", running, repair=repair).action == "stand_down"


def test_slots_are_given_back_while_the_run_waits(gate: Make, evidence: Make, run: Make, state: Make) -> None:
    waiting = evidence(run=run(state=state("RUNNING")))
    assert gate("KeyError: 'USD'", waiting, repair=SLOTS, rerun=UNSAFE).action == "act"


@pytest.mark.parametrize("kind", ["COMPLETED", "SCHEDULED", "PENDING", "PAUSED", "CANCELLED"])
def test_slots_are_not_given_back_for_a_run_that_does_not_run(
    gate: Make, evidence: Make, run: Make, state: Make, kind: str
) -> None:
    assert gate("KeyError: 'USD'", evidence(run=run(state=state(kind))), repair=SLOTS).action == "stand_down"


EXPIRED = "httpx.HTTPStatusError: Client error '401 Unauthorized' for url 'https://api.shop.test/orders'"


def test_after_the_credentials_were_renewed_the_run_is_retried(gate: Make, failed_at: datetime) -> None:
    decision = gate(EXPIRED, attempts=(attempt(RENEW, failed_at, "verified"),), repair=RENEW)
    assert decision.action == "act"
    assert isinstance(decision.remedy, RetryRun)
    assert decision.remedy.because == "refresh_credentials"


@pytest.mark.parametrize("outcome", ["pending", "failed", "unverified", None])
def test_without_renewed_credentials_there_is_no_retry(
    gate: Make, failed_at: datetime, outcome: str | None
) -> None:
    decision = gate(EXPIRED, attempts=(attempt(RENEW, failed_at, outcome),), repair=RENEW)
    assert decision.action == "escalate"


def test_renewed_once_and_refused_again_is_a_persons_matter(gate: Make, failed_at: datetime) -> None:
    tried = (attempt(RENEW, failed_at, "verified"), attempt(RETRIED, failed_at, "failed"))
    decision = gate(EXPIRED, attempts=tried, repair=RENEW)
    assert decision.action == "escalate"


def test_a_cause_nobody_knows_is_no_hindrance_to_proof(gate: Make) -> None:
    decision = gate("Strange: thing", repair=LOCK)
    assert decision.action == "act"
    assert gate("Strange: thing").action == "escalate"


@pytest.mark.parametrize(
    ("kind", "outcome"),
    [
        ("RUNNING", "pending"),
        ("COMPLETED", "verified"),
        ("FAILED", "unverified"),
        ("CRASHED", "unverified"),
        ("CANCELLED", "unverified"),
    ],
)
def test_given_back_slots_are_verified_by_the_run_that_waited(
    run: Make, state: Make, failed_at: datetime, kind: str, outcome: str
) -> None:
    acted = attempt(SLOTS, failed_at - timedelta(seconds=30))
    session = TroubleshootingSession(
        session_id="s", workflow_id="dep-1", flow_run_id="run-1", run_count=1,
        attempts=(acted,), start_time=failed_at - timedelta(minutes=1),
    )  # fmt: skip
    latest = run(state=state(kind, ident="s9"), run_count=1)
    assert verify(session, latest, now=failed_at, timeout_s=600).outcome == outcome


def test_a_diagnosis_of_leaked_slots_asks_a_person_without_proof(
    evidence: Make, run: Make, state: Make, now: datetime
) -> None:
    diagnosis = Diagnosis(
        category=IssueCategory.RESOURCE, confidence=0.9, severity=Severity.HIGH, transient=False,
        remedy="reduce_concurrency", root_cause="slots", pattern="leaked-slots",
    )  # fmt: skip
    decision = decide(
        diagnosis, evidence(run=run(state=state("RUNNING"))), AUTO,
        rerun=SAFE, persisted_results=False, now=now, jitter=0.5,
    )  # fmt: skip
    assert decision.action == "stand_down"
    assert isinstance(decision.remedy, AskOwner)
