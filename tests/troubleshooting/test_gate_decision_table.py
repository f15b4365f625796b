"""The gate as a table: one row for each combination that matters, with the check that stops it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest

from prefect_autopilot.effects import RerunVerdict
from prefect_autopilot.errors import ServiceError
from prefect_autopilot.models import (
    AskOwner,
    Attempt,
    Diagnosis,
    RefreshCredentials,
    RemedyDecision,
    RemedyPolicy,
    RetryRun,
)
from prefect_autopilot.troubleshooting import decide, diagnose_text, may_repeat, recovery
from prefect_autopilot.troubleshooting.consent import Usage
from prefect_autopilot.troubleshooting.remedies import choose, retry_delay

Make = Callable[..., Any]
AUTO = RemedyPolicy(mode="auto")


def called(
    status: int | None, effect: str = "unsafe", wait: float | None = None, reason: str = "It failed."
) -> Diagnosis:
    """Return the diagnosis of a call of a service that told its effect."""
    error = ServiceError(
        reason,
        service="asana",
        operation="create_task",
        effect=effect,
        permanent=False,
        status=status,
        retry_after_s=wait,
        connection="asana-main",
    )
    return diagnose_text(f"ServiceError: {error}")


KINDS: dict[str, Callable[[], Diagnosis]] = {
    "outage": lambda: diagnose_text(
        "HTTPError: 503 Server Error: Service Unavailable for url: https://x.acme.test"
    ),
    "rate": lambda: diagnose_text(
        "HTTPError: 429 Client Error: Too Many Requests for url: https://x.acme.test"
    ),
    "refused": lambda: diagnose_text("ConnectionRefusedError: [Errno 111] Connection refused"),
    "cut": lambda: diagnose_text("ConnectionResetError: [Errno 104] Connection reset by peer"),
    "slow": lambda: diagnose_text("httpx.ReadTimeout: The read operation timed out"),
    "locked": lambda: diagnose_text("sqlite3.OperationalError: database is locked"),
    "killed": lambda: diagnose_text("Process exited with status code: -9"),
    "call-500": lambda: called(500),
    "call-503-wait": lambda: called(503, wait=20),
    "call-429": lambda: called(429, wait=20),
    "call-429-put": lambda: called(429, "idempotent", wait=20),
    "call-500-put": lambda: called(500, "idempotent"),
    "call-500-get": lambda: called(500, "safe"),
}

# "call" and "before" are what the failed step and the finished ones do when repeated, as the code shows;
# "kept" tells whether results of finished tasks are stored. The failing check stands last.
REPEATS = """
kind           flow        call        kept  before      action   stopped by
outage         safe        unknown     no    unknown     act      -
outage         idempotent  unknown     no    unknown     act      -
outage         unsafe      unknown     no    unknown     propose  repeatable
outage         unknown     unknown     no    unknown     propose  repeatable
outage         unsafe      unsafe      yes   none        propose  repeatable
outage         unsafe      unknown     yes   none        propose  repeatable
outage         unsafe      idempotent  no    unsafe      propose  repeatable
outage         unsafe      idempotent  no    unknown     propose  repeatable
outage         unsafe      idempotent  no    none        act      -
outage         unsafe      idempotent  no    safe        act      -
outage         unsafe      idempotent  no    idempotent  act      -
outage         unsafe      idempotent  yes   unsafe      act      -
outage         unsafe      safe        yes   unsafe      act      -
outage         unsafe      safe        no    unsafe      propose  repeatable
outage         unsafe      none        yes   unsafe      act      -
rate           unsafe      unsafe      no    none        act      -
rate           unsafe      unsafe      yes   unsafe      act      -
rate           unsafe      unsafe      no    unsafe      propose  repeatable
rate           unsafe      unsafe      no    unknown     propose  repeatable
rate           unsafe      unknown     yes   none        propose  repeatable
rate           unknown     unsafe      yes   unsafe      act      -
refused        unsafe      unsafe      no    none        act      -
refused        unsafe      unsafe      yes   unsafe      act      -
refused        unsafe      unsafe      no    unsafe      propose  repeatable
refused        unsafe      unknown     yes   none        propose  repeatable
cut            unsafe      unsafe      yes   none        propose  repeatable
cut            unsafe      idempotent  yes   unsafe      act      -
cut            safe        unsafe      no    unsafe      act      -
slow           unsafe      unsafe      yes   none        propose  repeatable
slow           unsafe      safe        yes   unsafe      act      -
slow           unknown     unknown     yes   none        propose  repeatable
locked         unsafe      unknown     yes   none        propose  repeatable
locked         unsafe      idempotent  yes   none        act      -
killed         unsafe      unknown     yes   none        propose  repeatable
killed         unsafe      unsafe      yes   unsafe      propose  repeatable
killed         safe        unknown     no    unknown     act      -
call-500       unsafe      unknown     yes   none        propose  repeatable
call-500       unsafe      safe        yes   none        propose  repeatable
call-500       unknown     idempotent  yes   none        propose  repeatable
call-500       safe        unknown     no    unknown     act      -
call-503-wait  unsafe      unknown     yes   unsafe      act      -
call-503-wait  unsafe      unknown     no    none        act      -
call-503-wait  unsafe      unknown     no    unsafe      propose  repeatable
call-429       unsafe      unknown     yes   unsafe      act      -
call-429       unsafe      unknown     no    none        act      -
call-429       unsafe      unknown     no    unsafe      propose  repeatable
call-429       unsafe      unknown     no    unknown     propose  repeatable
call-429-put   unsafe      unknown     yes   unsafe      act      -
call-500-put   unsafe      unknown     yes   unsafe      act      -
call-500-put   unsafe      unsafe      yes   unsafe      act      -
call-500-put   unsafe      unknown     no    unsafe      propose  repeatable
call-500-get   unsafe      unknown     yes   unsafe      act      -
call-500-get   unsafe      unknown     no    safe        act      -
call-500-get   unsafe      unknown     no    unsafe      propose  repeatable
"""
ROWS = [line.split() for line in REPEATS.strip().splitlines()[1:]]


@pytest.fixture(scope="module")
def gate(evidence: Make, now: datetime) -> Callable[..., RemedyDecision]:
    def decided(diagnosis: Diagnosis, found: Any = None, policy: RemedyPolicy = AUTO, **told: Any) -> Any:
        base: dict[str, Any] = {
            "rerun": RerunVerdict(level="safe", evidence=()),
            "persisted_results": False,
            "now": now,
            "jitter": 0.5,
        }
        return decide(diagnosis, found or evidence("it failed"), policy, **(base | told))

    return decided


def stopped_by(decision: RemedyDecision) -> list[str]:
    return [check.name for check in decision.checks if not check.passed]


@pytest.mark.parametrize("row", ROWS, ids=[" ".join(row[:5]) for row in ROWS])
def test_the_same_work_is_done_twice_only_where_that_harms_nobody(gate: Make, row: list[str]) -> None:
    kind, flow, call, kept, before, action, check = row
    decision = gate(
        KINDS[kind](),
        rerun=RerunVerdict(level=flow, evidence=("line 9: post(url)",)),
        failing_effect=call,
        persisted_results=kept == "yes",
        earlier_effect=before,
    )
    assert decision.action == action
    assert stopped_by(decision) == ([] if check == "-" else [check])
    assert isinstance(decision.remedy, RetryRun if action == "act" else AskOwner)


def test_no_row_of_the_table_stands_twice() -> None:
    assert len({tuple(row[:5]) for row in ROWS}) == len(ROWS)


@pytest.mark.parametrize("kind", KINDS)
def test_with_the_least_knowledge_nothing_of_effect_is_repeated(gate: Make, kind: str) -> None:
    decision = gate(KINDS[kind](), rerun=RerunVerdict(level="unknown", evidence=()))
    assert decision.action == "propose"


POLICIES = [
    pytest.param({"mode": "propose"}, {}, "propose", ["mode"], id="nothing is done by default"),
    pytest.param({"paused": True}, {}, "propose", ["paused"], id="paused"),
    pytest.param({"mode": "propose", "paused": True}, {}, "propose", ["mode", "paused"], id="both"),
    pytest.param({"protected_deployments": ("dep-1",)}, {}, "propose", ["protected"], id="protected by id"),
    pytest.param(
        {"protected_deployments": ("load-orders/prod",)}, {}, "propose", ["protected"], id="protected by name"
    ),
    pytest.param({"protected_deployments": ("other/prod",)}, {}, "act", [], id="another one is protected"),
    pytest.param({"protected_deployments": ("",)}, {}, "act", [], id="an empty name protects nobody"),
    pytest.param({"min_confidence": 1.0}, {}, "propose", ["confidence"], id="surer than one can be"),
    pytest.param({"min_confidence": 0.0}, {}, "act", [], id="any confidence"),
    pytest.param({"max_attempts_per_run": 0}, {}, "escalate", ["attempts"], id="no attempt allowed"),
    pytest.param({"max_remedies_per_minute": 0}, {}, "propose", ["budget"], id="no budget"),
    pytest.param(
        {"max_remedies_per_minute": 3},
        {"usage": Usage(last_minute=2)},
        "act",
        [],
        id="last of the budget",
    ),
    pytest.param(
        {"max_remedies_per_minute": 3}, {"usage": Usage(last_minute=3)}, "wait", ["budget"], id="budget used"
    ),
    pytest.param({"max_wait_s": 0}, {}, "propose", ["wait"], id="no wait allowed"),
    pytest.param({}, {"breaker_open": True}, "escalate", ["breaker"], id="breaker open"),
    pytest.param({}, {"own_flow": True}, "stand_down", ["own flow"], id="our own flow"),
    pytest.param({}, {"human_touched": True}, "stand_down", ["human"], id="a person was first"),
    pytest.param(
        {"mode": "propose"},
        {"breaker_open": True},
        "escalate",
        ["breaker", "mode"],
        id="escalating outweighs proposing",
    ),
    pytest.param(
        {"max_attempts_per_run": 0},
        {"human_touched": True},
        "stand_down",
        ["human", "attempts"],
        id="standing down outweighs all",
    ),
]


@pytest.mark.parametrize(("limits", "told", "action", "checks"), POLICIES)
def test_the_policy_decides(
    gate: Make, limits: dict[str, Any], told: dict[str, Any], action: str, checks: list[str]
) -> None:
    policy = RemedyPolicy.model_validate({"mode": "auto"} | limits)
    decision = gate(KINDS["outage"](), policy=policy, **told)
    assert decision.action == action
    assert stopped_by(decision) == checks


@pytest.mark.parametrize(
    ("limits", "concrete"),
    [
        ({"mode": "propose"}, True),
        ({"mode": "propose", "paused": True}, True),
        ({"mode": "auto", "protected_deployments": ("dep-1",)}, True),
        ({"mode": "auto", "max_remedies_per_minute": 0}, True),
        ({"mode": "propose", "min_confidence": 1.0}, False),
        ({"mode": "auto", "max_wait_s": 0}, False),
    ],
    ids=["mode", "mode and pause", "protected", "budget", "confidence", "wait"],
)
def test_a_proposal_is_concrete_where_only_a_yes_is_missing(
    gate: Make, limits: dict[str, Any], *, concrete: bool
) -> None:
    decision = gate(KINDS["outage"](), policy=RemedyPolicy.model_validate(limits))
    assert isinstance(decision.remedy, RetryRun) is concrete
    assert decision.action == "propose"


def tried(*remedies: Any) -> tuple[Attempt, ...]:
    return tuple(
        Attempt(number=n, remedy=remedy, state_id_before=f"s{n}")
        for n, remedy in enumerate(remedies, start=1)
    )


RETRY = RetryRun(flow_run_id="run-1", delay_s=5)
RENEWAL = RefreshCredentials(flow_run_id="run-1", connection="asana-main")


@pytest.mark.parametrize(
    ("used", "most", "action"),
    [
        (0, 1, "act"),
        (1, 1, "escalate"),
        (2, 3, "act"),
        (3, 3, "escalate"),
        (9, 10, "act"),
        (10, 10, "escalate"),
    ],
)
def test_attempts_are_counted_over_all_remedies_of_a_run(
    gate: Make, used: int, most: int, action: str
) -> None:
    mixed = tried(*[RETRY if n % 2 else RENEWAL for n in range(used)])
    decision = gate(
        KINDS["outage"](), policy=RemedyPolicy(mode="auto", max_attempts_per_run=most), attempts=mixed
    )
    assert decision.action == action


CREDENTIALS = [
    pytest.param(401, "safe", True, (), "act", RefreshCredentials, id="expired, renewable"),
    pytest.param(401, "safe", False, (), "escalate", AskOwner, id="expired, nothing to renew with"),
    pytest.param(401, "safe", True, (RENEWAL,), "escalate", AskOwner, id="renewed already"),
    pytest.param(401, "safe", True, (RETRY,), "act", RefreshCredentials, id="only retried so far"),
    pytest.param(403, "safe", True, (), "escalate", AskOwner, id="a missing right is not renewed"),
]


@pytest.mark.parametrize(("status", "effect", "refreshable", "used", "action", "remedy"), CREDENTIALS)
def test_credentials_are_renewed_once_and_only_where_they_can_be(
    gate: Make,
    status: int,
    effect: str,
    used: tuple[Any, ...],
    action: str,
    remedy: type,
    *,
    refreshable: bool,
) -> None:
    decision = gate(called(status, effect), refreshable=refreshable, attempts=tried(*used))
    assert decision.action == action
    assert isinstance(decision.remedy, remedy)


PEOPLE = {
    "AttributeError: 'NoneType' object has no attribute 'strip'": "escalate",
    "psycopg2.errors.UniqueViolation: duplicate key value violates unique constraint": "escalate",
    "KeyError: 'WAREHOUSE_URL'": "escalate",
    "MemoryError": "escalate",
    "OSError: [Errno 28] No space left on device": "escalate",
    "HTTPError: 402 Client Error: Payment Required": "escalate",
    "PermissionError: [Errno 13] Permission denied: '/srv/out'": "escalate",
    "certificate verify failed: certificate has expired": "escalate",
    "ModuleNotFoundError: No module named 'polars'": "propose",
    "Error code: 429 - monthly quota exceeded, see billing": "propose",
    "something odd happened": "escalate",
    "": "escalate",
}


@pytest.mark.parametrize(("text", "action"), PEOPLE.items(), ids=[text[:40] or "no text" for text in PEOPLE])
@pytest.mark.parametrize("level", ["safe", "idempotent"])
def test_what_stays_broken_is_never_run_again(gate: Make, text: str, action: str, level: str) -> None:
    decision = gate(diagnose_text(text), rerun=RerunVerdict(level=level, evidence=()), persisted_results=True)
    assert decision.action in {action, "escalate"}
    assert decision.action != "act"
    assert isinstance(decision.remedy, AskOwner)
    assert "class" in stopped_by(decision) or "cause known" in stopped_by(decision)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("jitter", [0.0, 0.25, 1.0])
def test_every_wait_lets_the_old_process_end_first(kind: str, jitter: float) -> None:
    for attempts in range(4):
        assert retry_delay(KINDS[kind](), attempts=attempts, jitter=jitter) >= 6


@pytest.mark.parametrize(("asked", "least"), [(0.0, 6.0), (1.0, 6.0), (20.0, 20.0), (3500.0, 3500.0)])
def test_a_service_that_names_a_time_is_given_it(asked: float, least: float) -> None:
    for attempts in range(3):
        assert retry_delay(called(429, wait=asked), attempts=attempts, jitter=0) > least


def test_a_wait_longer_than_the_owner_allows_is_proposed(gate: Make) -> None:
    decision = gate(called(429, "safe", wait=7200))
    assert (decision.action, stopped_by(decision)) == ("propose", ["wait"])
    assert "3600 s are allowed" in decision.reason


def test_jitter_spreads_the_retries_of_a_storm() -> None:
    waits = {retry_delay(KINDS["outage"](), attempts=1, jitter=step / 20) for step in range(21)}
    assert len(waits) == 21
    assert max(waits) - min(waits) >= 10


@pytest.mark.parametrize("jitter", [0.0, 1.0])
def test_waits_of_later_attempts_are_never_shorter(jitter: float) -> None:
    waits = [retry_delay(KINDS["outage"](), attempts=n, jitter=jitter) for n in range(12)]
    assert waits == sorted(waits)
    assert waits[-1] <= 606


def test_the_plan_says_what_is_done_when_and_why(gate: Make) -> None:
    decision = gate(called(429, "safe", wait=20))
    assert decision.reason.startswith("Retry the same run in 2")
    assert "as the service asked" in decision.reason
    assert "asana" in decision.reason or "429" in decision.reason


def test_the_owners_word_allows_what_the_code_does_not_show(
    gate: Make, evidence: Make, policy_for: Make
) -> None:
    unsafe = RerunVerdict(level="unsafe", evidence=())
    assert gate(KINDS["killed"](), policy=policy_for("load-orders/prod"), rerun=unsafe).action == "act"
    assert gate(KINDS["killed"](), policy=policy_for("dep-9"), rerun=unsafe).action == "propose"


@pytest.fixture
def policy_for() -> Callable[[str], RemedyPolicy]:
    return lambda name: RemedyPolicy(mode="auto", rerun_allowed=(name,))


@pytest.mark.parametrize("status", [500, 502, 504, None])
def test_the_reason_names_the_call_that_may_have_happened(evidence: Make, status: int | None) -> None:
    found = may_repeat(
        called(status, reason="The answer was cut off: connection reset by peer."),
        evidence("x"),
        AUTO,
        rerun=RerunVerdict(
            level="unsafe", evidence=("line 9: httpx.post", "", "line 12: open", "line 20: x")
        ),
        persisted_results=True,
    )
    assert not found.allowed
    assert "asana" in found.reason
    assert "line 9: httpx.post; line 12: open" in found.reason
    assert "line 20" not in found.reason


def test_a_diagnosis_that_does_not_pass_is_given_to_a_person_with_its_cause(evidence: Make) -> None:
    diagnosis = diagnose_text("TypeError: can only concatenate str")
    remedy = choose(diagnosis, evidence("x"), attempts=(), refreshable=True, jitter=0)
    assert isinstance(remedy, AskOwner)
    assert remedy.advice == diagnosis.root_cause


RECOVERED = [
    pytest.param({}, True, id="the next run of the schedule"),
    pytest.param({"parameters": {"day": "2026-02-10"}}, False, id="another day"),
    pytest.param({"deployment_id": "dep-2"}, False, id="another deployment"),
    pytest.param({"state_type": "FAILED"}, False, id="failed as well"),
    pytest.param({"state_type": "RUNNING"}, False, id="still running"),
    pytest.param({"id": "run-1"}, False, id="the run itself"),
    pytest.param({"minutes": -60}, False, id="an hour before"),
    pytest.param({"minutes": 60}, True, id="an hour later"),
]


@pytest.mark.parametrize(("changes", "expected"), RECOVERED)
def test_only_the_same_work_done_later_is_a_recovery(
    evidence: Make, run: Make, state: Make, failed_at: datetime, changes: dict[str, Any], *, expected: bool
) -> None:
    told = {"state_type": "COMPLETED", "minutes": 1} | changes
    kind, at = told.pop("state_type"), failed_at + timedelta(minutes=told.pop("minutes"))
    other = run(**({"id": "run-2", "expected_start": at, "start": at, "state": state(kind, at=at)} | told))
    assert (recovery(evidence("x", recent_runs=(other,))) is not None) is expected


def test_a_run_without_deployment_is_recovered_by_its_flow(
    evidence: Make, run: Make, state: Make, failed_at: datetime
) -> None:
    ours = run(deployment_id=None, state=state(message="x"))
    at = failed_at + timedelta(minutes=1)
    other = run(id="run-2", deployment_id=None, expected_start=at, start=at, state=state("COMPLETED", at=at))
    stranger = other.model_copy(update={"flow_id": "flow-9"})
    assert recovery(evidence(run=ours, recent_runs=(other,))) == other
    assert recovery(evidence(run=ours, recent_runs=(stranger,))) is None


def test_a_state_from_the_future_is_not_acted_upon(
    gate: Make, evidence: Make, run: Make, state: Make, now: datetime
) -> None:
    ahead = evidence(run=run(state=state(message="x", at=now + timedelta(minutes=5))))
    decision = gate(KINDS["outage"](), ahead)
    assert decision.action == "propose"
    assert stopped_by(decision) == ["clock"]
