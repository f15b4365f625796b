"""The gate: what must be done, and above all what must not."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from prefect_autopilot.effects import RerunVerdict
from prefect_autopilot.errors import ServiceError
from prefect_autopilot.models import (
    AskOwner,
    Attempt,
    Diagnosis,
    Evidence,
    IssueCategory,
    RefreshCredentials,
    RemedyDecision,
    RemedyPolicy,
    RetryRun,
    Severity,
)
from prefect_autopilot.troubleshooting import decide, diagnose_text
from prefect_autopilot.troubleshooting.consent import Outage, Usage
from prefect_autopilot.troubleshooting.gate import LOOK_AT_ANOTHER
from prefect_autopilot.troubleshooting.remedies import retry_delay

Make = Callable[..., Any]
AUTO = RemedyPolicy(mode="auto")
SAFE = RerunVerdict(level="safe", evidence=("line 4: reads",))
UNSAFE = RerunVerdict(level="unsafe", evidence=("line 9: httpx.post",))
UNKNOWN = RerunVerdict(level="unknown", evidence=("line 9: eval",))
BUSY = "HTTPError: 503 Server Error: Service Unavailable for url: https://erp.example.test/orders"


def service_error(
    status: int | None, effect: str, retry_after: float | None = None, reason: str = "It failed."
) -> Diagnosis:
    error = ServiceError(
        reason, service="asana", operation="create_task", effect=effect, permanent=False, status=status,
        retry_after_s=retry_after, connection="asana-main",
    )  # fmt: skip
    return diagnose_text(f"ServiceError: {error}")


@pytest.fixture(scope="module")
def gate(evidence: Make, now: datetime) -> Callable[..., RemedyDecision]:
    def decided(
        diagnosis: Diagnosis, found: Evidence | None = None, policy: RemedyPolicy = AUTO, **changes: Any
    ) -> RemedyDecision:
        given_: dict[str, Any] = {"rerun": SAFE, "persisted_results": False, "now": now, "jitter": 0.5}
        return decide(diagnosis, found or evidence(BUSY), policy, **(given_ | changes))

    return decided


PASSING = [
    BUSY,
    "ConnectionRefusedError: [Errno 111] Connection refused",
    "httpx.ReadTimeout: slow",
    "sqlite3.OperationalError: database is locked",
    "Process exited with status code: -9",
    "json.decoder.JSONDecodeError: Expecting value: line 1 column 1 (char 0)",
]


@pytest.mark.parametrize("text", PASSING)
@pytest.mark.parametrize("level", ["safe", "idempotent"])
def test_what_passes_and_may_be_repeated_is_retried(gate: Make, text: str, level: str) -> None:
    decision = gate(diagnose_text(text), rerun=RerunVerdict(level=level, evidence=()))
    assert decision.action == "act"
    assert isinstance(decision.remedy, RetryRun)
    assert decision.remedy.delay_s > 0
    assert all(check.passed and check.reason for check in decision.checks)


@pytest.mark.parametrize(
    "text",
    [
        BUSY,
        "httpx.ReadTimeout: slow",
        "HTTPError: 500 Server Error: x",
        "ConnectionResetError: [Errno 104] x",
        "HTTPError: 502 Server Error: Bad Gateway",
    ],
)
@pytest.mark.parametrize("rerun", [UNSAFE, UNKNOWN], ids=["unsafe", "unknown"])
def test_what_may_have_happened_is_proposed_and_never_repeated(
    gate: Make, text: str, rerun: RerunVerdict
) -> None:
    decision = gate(diagnose_text(text), rerun=rerun)
    assert decision.action == "propose"
    assert isinstance(decision.remedy, AskOwner)
    assert rerun.evidence[0] in decision.remedy.advice


@pytest.mark.parametrize("status", [500, 502, 503, 504, None])
def test_an_unsafe_call_that_may_have_taken_effect_is_explained(gate: Make, status: int | None) -> None:
    reason = "It failed." if status else "The answer was cut off: connection reset by peer."
    decision = gate(service_error(status, "unsafe", reason=reason), rerun=UNSAFE, persisted_results=True)
    assert decision.action == "propose"
    assert isinstance(decision.remedy, AskOwner)
    assert "not known whether the call to asana took effect" in decision.remedy.advice


@pytest.mark.parametrize(("status", "retry_after"), [(429, 20.0), (429, None), (503, 20.0)])
def test_a_refused_unsafe_call_is_retried_when_nothing_was_done_before(
    gate: Make, evidence: Make, task: Make, status: int, retry_after: float | None
) -> None:
    found = evidence(BUSY, task_runs=(task("create-0", "FAILED"),))
    error = service_error(status, "unsafe", retry_after)
    assert gate(error, found, rerun=UNSAFE, earlier_effect="none").action == "act"
    # The flow's own body may have done something although no task has finished.
    assert gate(error, found, rerun=UNSAFE, earlier_effect="unsafe").action == "propose"


def test_a_refused_call_after_finished_work_is_not_retried(gate: Make, evidence: Make, task: Make) -> None:
    found = evidence(BUSY, task_runs=(task("pay-0", "COMPLETED"), task("create-0", "FAILED")))
    assert gate(service_error(429, "unsafe", 9), found, rerun=UNSAFE).action == "propose"
    assert gate(service_error(429, "unsafe", 9), found, rerun=UNSAFE, persisted_results=True).action == "act"
    assert gate(service_error(429, "unsafe", 9), found, rerun=UNSAFE, earlier_effect="safe").action == "act"
    assert (
        gate(service_error(429, "unsafe", 9), found, rerun=UNSAFE, earlier_effect="unsafe").action
        == "propose"
    )


def test_no_task_known_is_not_nothing_done(gate: Make, evidence: Make) -> None:
    assert gate(service_error(429, "unsafe", 9), evidence(BUSY), rerun=UNSAFE).action == "propose"


def test_persisted_work_before_an_idempotent_failed_step_is_retried(gate: Make) -> None:
    assert (
        gate(diagnose_text(BUSY), rerun=UNSAFE, persisted_results=True, failing_effect="idempotent").action
        == "act"
    )
    assert gate(diagnose_text(BUSY), rerun=UNSAFE, persisted_results=True).action == "propose"
    assert (
        gate(diagnose_text(BUSY), rerun=UNSAFE, persisted_results=True, failing_effect="unsafe").action
        == "propose"
    )
    assert gate(diagnose_text(BUSY), rerun=UNSAFE, failing_effect="idempotent").action == "propose"


PERSONS = [
    pytest.param(
        "HTTPError: 403 Client Error: Forbidden for url: https://x.example.test", "escalate", id="permission"
    ),
    pytest.param(
        "HTTPError: 401 Client Error: Unauthorized for url: https://x.example.test",
        "escalate",
        id="credential",
    ),
    pytest.param("KeyError: 'express'", "escalate", id="logic"),
    pytest.param("TypeError: can't multiply sequence by non-int", "escalate", id="code"),
    pytest.param(
        "HTTPError: 400 Client Error: Bad Request for url: https://x.example.test", "escalate", id="data"
    ),
    pytest.param("duplicate key value violates unique constraint", "escalate", id="constraint"),
    pytest.param("[SSL: WRONG_VERSION_NUMBER] wrong version number", "escalate", id="configuration"),
    pytest.param(
        "RefreshError: ('invalid_grant: Token has been expired or revoked.')", "escalate", id="revoked"
    ),
    pytest.param("it went wrong", "escalate", id="unknown"),
    pytest.param("ModuleNotFoundError: No module named 'openpyxl'", "propose", id="missing module"),
    pytest.param(
        "HTTPError: 429 Client Error: Too Many Requests; Daily quota exceeded", "propose", id="daily quota"
    ),
]


@pytest.mark.parametrize(("text", "action"), PERSONS)
@pytest.mark.parametrize("allowed", [(), ("load-orders/prod",)], ids=["unmarked", "owner allows reruns"])
def test_what_a_retry_cannot_cure_goes_to_a_person(
    gate: Make, text: str, action: str, allowed: tuple[str, ...]
) -> None:
    decision = gate(diagnose_text(text), policy=RemedyPolicy(mode="auto", rerun_allowed=allowed))
    assert decision.action == action
    assert isinstance(decision.remedy, AskOwner)
    assert decision.remedy.advice


def test_the_default_policy_only_proposes_but_with_a_concrete_plan(gate: Make) -> None:
    decision = gate(diagnose_text(BUSY), policy=RemedyPolicy())
    assert decision.action == "propose"
    assert isinstance(decision.remedy, RetryRun)


BLOCKED = [
    ({"policy": RemedyPolicy(mode="auto", paused=True)}, "propose", "paused"),
    (
        {"policy": RemedyPolicy(mode="auto", protected_deployments=("load-orders/prod",))},
        "propose",
        "protected",
    ),
    ({"policy": RemedyPolicy(mode="auto", min_confidence=0.99)}, "propose", "confidence"),
    ({"policy": RemedyPolicy(mode="auto", max_wait_s=1)}, "propose", "wait"),
    ({"policy": RemedyPolicy(mode="auto", max_attempts_per_run=0)}, "escalate", "attempts"),
    ({"usage": Usage(last_minute=10)}, "wait", "budget"),
    ({"breaker_open": True}, "escalate", "breaker"),
    ({"own_flow": True}, "stand_down", "own flow"),
    ({"human_touched": True}, "stand_down", "human"),
]


@pytest.mark.parametrize(("changes", "action", "check"), BLOCKED, ids=[name for _, _, name in BLOCKED])
def test_every_check_can_stop_an_act_alone(
    gate: Make, changes: dict[str, Any], action: str, check: str
) -> None:
    decision = gate(diagnose_text(BUSY), **changes)
    assert decision.action == action
    assert [item.name for item in decision.checks if not item.passed] == [check]


@pytest.mark.parametrize(
    "kind", ["COMPLETED", "RUNNING", "SCHEDULED", "PENDING", "CANCELLED", "CANCELLING", "PAUSED"]
)
def test_a_run_that_is_no_failure_any_more_is_left_alone(
    gate: Make, evidence: Make, run: Make, state: Make, kind: str
) -> None:
    assert gate(diagnose_text(BUSY), evidence(run=run(state=state(kind)))).action == "stand_down"


def test_a_cancelled_run_is_left_alone(gate: Make, evidence: Make, run: Make, state: Make) -> None:
    found = evidence(run=run(state=state("CANCELLED", message="wrong year")))
    assert gate(diagnose_text("wrong year", "CANCELLED"), found).action == "stand_down"


def later(run: Make, state: Make, failed_at: datetime, **changes: Any) -> Any:
    base = {
        "id": "run-2",
        "expected_start": failed_at - timedelta(seconds=19),
        "state": state("COMPLETED", at=failed_at + timedelta(seconds=3)),
    }
    return run(**(base | changes))


def test_work_that_another_run_has_done_since_is_left_alone(
    gate: Make, evidence: Make, run: Make, state: Make, failed_at: datetime
) -> None:
    found = evidence(BUSY, recent_runs=(later(run, state, failed_at),))
    assert gate(diagnose_text(BUSY), found).action == "stand_down"


@pytest.mark.parametrize(
    "changes",
    [{"deployment_id": "dep-2"}, {"parameters": {"day": 2}}, {"id": "run-1"}],
    ids=["another deployment", "other parameters", "the run itself"],
)
def test_other_work_is_no_recovery(
    gate: Make, evidence: Make, run: Make, state: Make, failed_at: datetime, changes: dict[str, Any]
) -> None:
    found = evidence(BUSY, recent_runs=(later(run, state, failed_at, **changes),))
    assert gate(diagnose_text(BUSY), found).action == "act"


@pytest.mark.parametrize(
    ("kind", "minutes", "parameters", "since", "action"),
    [
        ("RUNNING", 0, None, 0, "wait"),
        ("PENDING", 1, None, 0, "wait"),
        ("RUNNING", 0, None, 6, "act"),
        ("RUNNING", -60, None, 0, "act"),
        ("RUNNING", 0, {"day": "another"}, 0, "act"),
        ("FAILED", 0, None, 0, "act"),
        ("COMPLETED", 0, None, 0, "stand_down"),
    ],
    ids=[
        "started with it",
        "about to start",
        "it takes long",
        "an earlier one",
        "other work",
        "failed as well",
        "it is done",
    ],
)
def test_a_run_of_the_same_work_that_is_under_way_is_waited_for_a_little(
    gate: Make,
    evidence: Make,
    run: Make,
    state: Make,
    failed_at: datetime,
    kind: str,
    minutes: int,
    parameters: dict[str, str] | None,
    since: int,
    action: str,
) -> None:
    at, now = failed_at + timedelta(minutes=minutes), failed_at + timedelta(minutes=since, seconds=5)
    sister = run(id="run-2", expected_start=at, start=at, state=state(kind, at=at))
    if parameters is not None:
        sister = sister.model_copy(update={"parameters": parameters})
    found = evidence(run=run(expected_start=failed_at, state=state(message=BUSY)), recent_runs=(sister,))
    decision = gate(diagnose_text(BUSY), found, now=now)
    assert decision.action == action
    if action == "wait":
        assert decision.wait_until == now + LOOK_AT_ANOTHER
        assert "under way" in decision.reason


def test_an_earlier_success_is_no_recovery(
    gate: Make, evidence: Make, run: Make, state: Make, failed_at: datetime
) -> None:
    before = failed_at - timedelta(hours=1)
    old = run(id="run-0", expected_start=before, start=before, state=state("COMPLETED", at=before))
    assert gate(diagnose_text(BUSY), evidence(BUSY, recent_runs=(old,))).action == "act"


def test_a_run_without_deployment_cannot_be_retried(
    gate: Make, evidence: Make, run: Make, state: Make
) -> None:
    assert (
        gate(diagnose_text(BUSY), evidence(run=run(deployment_id=None, state=state(message=BUSY)))).action
        == "propose"
    )


def test_the_owners_mark_allows_a_rerun_by_name_or_tag(
    gate: Make, evidence: Make, run: Make, state: Make
) -> None:
    tagged = evidence(run=run(tags=("rerun-ok",), state=state(message=BUSY)))
    assert (
        gate(
            diagnose_text(BUSY), tagged, RemedyPolicy(mode="auto", rerun_allowed=("rerun-ok",)), rerun=UNSAFE
        ).action
        == "act"
    )
    assert (
        gate(diagnose_text(BUSY), tagged, RemedyPolicy(mode="auto", rerun_allowed=("",)), rerun=UNSAFE).action
        == "propose"
    )


@pytest.mark.parametrize(
    ("named", "action"),
    [("orders/prod", "act"), ("dep-7", "act"), ("prod", "propose"), ("payroll/prod", "propose")],
)
def test_the_owners_word_is_on_a_deployment_and_not_on_those_of_other_flows_called_alike(
    gate: Make, evidence: Make, run: Make, state: Make, named: str, action: str
) -> None:
    about = {"flow_name": "orders", "deployment_name": "prod", "deployment_id": "dep-7"}
    found = evidence(run=run(state=state(message=BUSY), **about))
    policy = RemedyPolicy(mode="auto", rerun_allowed=(named,))
    assert gate(diagnose_text(BUSY), found, policy, rerun=UNSAFE).action == action


def attempts(*remedies: Any) -> tuple[Attempt, ...]:
    return tuple(
        Attempt(number=n, remedy=remedy, state_id_before="s0") for n, remedy in enumerate(remedies, start=1)
    )


def test_what_does_not_heal_is_escalated_after_the_last_attempt(gate: Make) -> None:
    retry = RetryRun(flow_run_id="run-1", delay_s=5)
    assert gate(diagnose_text(BUSY), attempts=attempts(retry, retry)).action == "act"
    assert gate(diagnose_text(BUSY), attempts=attempts(retry, retry, retry)).action == "escalate"


def test_expired_credentials_are_refreshed_once_where_that_is_possible(gate: Make) -> None:
    expired = service_error(401, "safe", reason="The access token expired.")
    decision = gate(expired, refreshable=True)
    assert decision.action == "act"
    assert isinstance(decision.remedy, RefreshCredentials)
    assert decision.remedy.connection == "asana-main"
    assert gate(expired, refreshable=False).action == "escalate"
    assert gate(expired, refreshable=True, attempts=attempts(decision.remedy)).action == "escalate"


def test_a_revoked_grant_is_never_refreshed(gate: Make) -> None:
    revoked = service_error(400, "safe", reason="The token endpoint said invalid_grant.")
    assert gate(revoked, refreshable=True).action == "escalate"


def test_an_unsafe_call_refused_by_401_is_refreshed_only_where_repeating_is_harmless(
    gate: Make, evidence: Make, task: Make
) -> None:
    expired = service_error(401, "unsafe", reason="The access token expired.")
    done = evidence(BUSY, task_runs=(task("pay-0", "COMPLETED"), task("create-0", "FAILED")))
    assert gate(expired, done, refreshable=True, rerun=UNSAFE).action == "propose"


@pytest.mark.parametrize("jitter", [0.0, 0.5, 1.0])
def test_a_retry_never_comes_before_the_asked_time(jitter: float) -> None:
    assert retry_delay(service_error(429, "safe", 25), attempts=0, jitter=jitter) > 25
    assert retry_delay(service_error(503, "safe", 40), attempts=2, jitter=jitter) > 40


def test_waits_grow_and_three_of_them_outlast_half_a_minute() -> None:
    waits = [retry_delay(diagnose_text(BUSY), attempts=n, jitter=0) for n in range(3)]
    assert waits == sorted(waits)
    assert sum(waits) > 40
    assert retry_delay(diagnose_text(BUSY), attempts=60, jitter=1) <= 610


@pytest.mark.parametrize("attempts", [1, 2])
def test_a_service_seen_to_answer_again_is_not_waited_for_any_longer(
    gate: Make, now: datetime, attempts: int
) -> None:
    busy = diagnose_text(BUSY)
    tried = tuple(
        Attempt(number=n, remedy=RetryRun(flow_run_id="run-1", delay_s=9), state_id_before=f"s{n}")
        for n in range(1, attempts + 1)
    )
    waits = [
        gate(busy, attempts=tried, outage=outage).remedy.delay_s
        for outage in (None, Outage("it answers again", now, over=True))
    ]
    assert waits == [retry_delay(busy, attempts=n, jitter=0.5) for n in (attempts, 0)]


def test_the_gate_always_records_every_check(gate: Make) -> None:
    names = {check.name for check in gate(diagnose_text(BUSY)).checks}
    assert names == {check.name for check in gate(diagnose_text("KeyError: 'x'"), own_flow=True).checks}
    assert {
        "state",
        "own flow",
        "human",
        "recovered",
        "under way",
        "confidence",
        "class",
        "repeatable",
        "mode",
        "paused",
        "protected",
        "attempts",
        "budget",
        "breaker",
    } <= names


def test_no_combination_repeats_what_may_do_harm(gate: Make, evidence: Make, run: Make, state: Make) -> None:
    found = evidence(run=run(state=state(message=BUSY)))

    @settings(max_examples=300, deadline=None)
    @given(
        category=st.sampled_from(IssueCategory),
        transient=st.booleans(),
        confidence=st.floats(0, 1),
        effect=st.sampled_from(["safe", "idempotent", "unsafe", "unknown"]),
        refused=st.booleans(),
        level=st.sampled_from(["safe", "idempotent", "unsafe", "unknown"]),
        failing=st.sampled_from(["none", "safe", "idempotent", "unsafe", "unknown"]),
        earlier=st.sampled_from(["none", "safe", "idempotent", "unsafe", "unknown"]),
        flags=st.fixed_dictionaries(
            {
                name: st.booleans()
                for name in ("own_flow", "human_touched", "breaker_open", "persisted_results")
            }
        ),
    )
    def holds(
        category: IssueCategory, level: Any, failing: Any, earlier: Any, flags: dict[str, bool], **fields: Any
    ) -> None:
        diagnosis = Diagnosis(
            category=category, severity=Severity.MEDIUM, remedy="retry_backoff", root_cause="x", **fields
        )
        rerun = RerunVerdict(level=level, evidence=())
        decision = gate(
            diagnosis, found, rerun=rerun, failing_effect=failing, earlier_effect=earlier, **flags
        )
        if decision.action != "act":
            return
        assert diagnosis.transient
        # Less is asked only where the whole flow may be done twice, and never less than an even chance.
        asked = 0.52 if level in {"safe", "idempotent"} else AUTO.min_confidence
        assert diagnosis.confidence >= asked
        assert category is not IssueCategory.UNKNOWN
        assert not (flags["own_flow"])
        assert not (flags["human_touched"])
        assert not (flags["breaker_open"])
        call = diagnosis.effect if diagnosis.effect != "unknown" else failing
        whole = level in {"safe", "idempotent"}
        assert whole or call in {"none", "safe", "idempotent"} or (diagnosis.refused and call != "unknown")
        assert whole or flags["persisted_results"] or earlier in {"none", "safe", "idempotent"}

    holds()
