"""Remedies that change a run's means: within bounds, only by name, once, and then the next that fits."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest

from prefect_autopilot.effects import RerunVerdict
from prefect_autopilot.models import (
    AskOwner,
    Attempt,
    LongerTimeout,
    LowerConcurrency,
    MoreMemory,
    QuarantineInput,
    RemedyDecision,
    RemedyPolicy,
    RetryRun,
)
from prefect_autopilot.models.policy import ONLY_BY_NAME, Approval
from prefect_autopilot.troubleshooting import decide, diagnose_text
from prefect_autopilot.troubleshooting.consent import Outage

SAFE = RerunVerdict(level="safe", evidence=("line 4: reads",))
UNSAFE = RerunVerdict(level="unsafe", evidence=("line 9: httpx.post",))
MEMORY = "MemoryError: Unable to allocate 21.4 GiB"
DOWN = "httpx.HTTPStatusError: Server error '503 Service Unavailable' for url 'https://api.shop.test/orders'"
MORE = MoreMemory(
    flow_run_id="run-1",
    place="job_variables",
    name="memory",
    amount=2048,
    most=4096,
    before=1024,
    proof="memory ran out with memory 1024",
    delay_s=6,
)
FEWER = LowerConcurrency(flow_run_id="run-1", path="/deployments/d", limit=4, before=8, proof="8 at once")
NAMED = RemedyPolicy(mode="auto", remedies=dict.fromkeys(sorted(ONLY_BY_NAME), "auto"))


@pytest.fixture
def gate(evidence: Callable[..., Any], now: datetime) -> Callable[..., RemedyDecision]:
    def decided(text: str = MEMORY, policy: RemedyPolicy = NAMED, **more: Any) -> RemedyDecision:
        parts: dict[str, Any] = {"rerun": SAFE, "persisted_results": False, "now": now, "jitter": 0.5}
        return decide(diagnose_text(text), evidence(text), policy, **(parts | more))

    return decided


def failed(decision: RemedyDecision) -> set[str]:
    return {check.name for check in decision.checks if not check.passed}


def test_a_named_and_proved_remedy_acts_where_the_cause_does_not_pass_by_itself(gate: Any) -> None:
    decision = gate(repair=MORE)
    assert (decision.action, decision.remedy) == ("act", MORE)
    assert gate(repair=None).action == "escalate"


def test_work_that_may_have_had_an_effect_is_not_repeated_for_more_memory(gate: Any) -> None:
    decision = gate(repair=MORE, rerun=UNSAFE)
    assert decision.action == "propose"
    assert "repeatable" in failed(decision)


@pytest.mark.parametrize(
    "policy",
    [
        RemedyPolicy(mode="auto"),
        RemedyPolicy(mode="auto", remedies={"retry_run": "auto"}),
        RemedyPolicy.model_validate({"deployments": [{"match": ["prod", "dep-1"], "mode": "auto"}]}),
    ],
    ids=["auto", "another is named", "auto for the deployment"],
)
@pytest.mark.parametrize("repair", [MORE, FEWER], ids=["memory", "concurrency"])
def test_no_general_mode_changes_more_than_the_run(gate: Any, policy: RemedyPolicy, repair: Any) -> None:
    assert gate(policy=policy, repair=repair).action == "propose"


@pytest.mark.parametrize(
    ("remedy", "allowed"),
    [
        (MORE.model_copy(update={"amount": 4096}), True),
        (MORE.model_copy(update={"amount": 4097}), False),
        (FEWER.model_copy(update={"limit": 1}), True),
        (FEWER.model_copy(update={"limit": 8}), False),
        (FEWER.model_copy(update={"limit": 12}), False),
        (FEWER.model_copy(update={"limit": 0.5}), False),
    ],
    ids=["at the bound", "beyond", "one", "as many", "more", "none"],
)
def test_a_number_stays_within_its_bound(gate: Any, remedy: Any, allowed: bool) -> None:  # noqa: FBT001
    assert (gate(repair=remedy).action == "act") is allowed


def test_a_yes_may_change_the_number_and_the_bound_holds_for_people_too(
    gate: Any, evidence: Callable[..., Any], now: datetime
) -> None:
    state = evidence(MEMORY).run.state.id
    asks = RemedyPolicy(mode="approve", remedies={"more_memory": "approve"})

    def yes(amount: float, name: str = "amount") -> RemedyDecision:
        approval = Approval(by="ada", at=now, state_id=state, changes={name: amount})
        decision: RemedyDecision = gate(policy=asks, repair=MORE, approval=approval)
        return decision

    assert (yes(3000).action, yes(3000).remedy.amount) == ("act", 3000)  # type: ignore[union-attr]
    beyond = yes(9000)
    assert (beyond.action, failed(beyond)) == ("propose", {"bound"})
    assert yes(1, "most").remedy == MORE, "only what may be changed is"
    assert yes(1, "before").remedy == MORE


def test_a_wait_that_a_person_shortens_is_never_shorter_than_what_the_other_side_asked_for(
    gate: Any, evidence: Callable[..., Any], now: datetime
) -> None:
    text = "HTTP 429 Too Many Requests, Retry-After: 90"
    approval = Approval(by="ada", at=now, state_id=evidence(text).run.state.id, changes={"delay_s": 1})
    decision = gate(text, policy=RemedyPolicy(mode="approve"), approval=approval)
    assert isinstance(decision.remedy, RetryRun)
    assert decision.remedy.delay_s >= 91


def test_a_remedy_that_did_not_help_gives_way_to_the_next_that_fits(gate: Any, now: datetime) -> None:
    before = Attempt(number=1, remedy=FEWER, state_id_before="s0", applied_at=now - timedelta(minutes=5))
    again = gate(DOWN, repair=FEWER, attempts=(before,))
    assert (again.action, again.remedy.kind) == ("act", "retry_run")
    alone = gate(MEMORY, repair=MORE, attempts=(before.model_copy(update={"remedy": MORE}),))
    assert (alone.action, type(alone.remedy)) == ("escalate", AskOwner)


def test_a_retry_waits_for_its_service_and_keeps_its_plan(gate: Any, now: datetime) -> None:
    until = now + timedelta(seconds=30)
    decision = gate(DOWN, outage=Outage("api.shop.test does not answer yet.", until))
    assert (decision.action, decision.wait_until, decision.remedy.kind) == ("wait", until, "retry_run")
    assert "does not answer" in decision.reason
    assert gate(DOWN, outage=None).action == "act"


def test_a_repair_does_not_wait_for_a_service(gate: Any, now: datetime) -> None:
    down = Outage("api.shop.test does not answer yet.", now + timedelta(seconds=30))
    assert gate(MEMORY, repair=MORE, outage=down).action == "act"


def test_a_person_is_not_made_to_wait_for_a_service_for_what_needs_them(gate: Any, now: datetime) -> None:
    down = Outage("api.shop.test does not answer yet.", now + timedelta(seconds=30))
    assert gate(DOWN, rerun=UNSAFE, outage=down).action == "propose"


@pytest.mark.parametrize(
    ("amount", "unit", "written"),
    [(2048, "", 2048), (1.5, "", 1.5), (2, "Gi", "2Gi"), (2.0, "g", "2g"), (1.5, "Gi", "1.5Gi")],
)
def test_a_value_is_written_as_its_pool_reads_it(amount: float, unit: str, written: Any) -> None:
    value = MORE.model_copy(update={"amount": amount, "unit": unit}).value()
    assert value == written
    assert type(value) is type(written)


def test_plans_tell_numbers_and_places() -> None:
    assert MORE.told() == "Give the run 2048 in job variable memory, then retry"
    assert FEWER.told() == "Let 4 at once of the deployment instead of 8, then retry"
    longer = LongerTimeout(
        flow_run_id="r", place="parameters", name="timeout_s", amount=120, most=300, before=60
    )
    assert longer.told() == "Raise timeout_s of the run to 120 s, then retry"
    aside = QuarantineInput(flow_run_id="r", path="/in/a.csv", target="/aside/a.csv")
    assert aside.told() == "Move /in/a.csv to /aside/a.csv, then retry without it"


UNSURE = "RuntimeError: aggregate lasted 9.1 s, budget is 3 s: too slow for the board"


@pytest.mark.parametrize(
    ("told", "rerun", "changes", "action"),
    [
        ({}, SAFE, {}, "act"),
        ({}, UNSAFE, {}, "propose"),
        ({"min_confidence": 0.7}, SAFE, {}, "propose"),
        ({"min_confidence": 0.95}, SAFE, {}, "propose"),
        ({}, SAFE, {"confidence": 0.52}, "propose"),
        ({}, SAFE, {"remedy": "wait_rate_limit"}, "propose"),
        ({}, SAFE, {"attempts": 1}, "propose"),
        ({}, SAFE, {"attempts": 1, "confidence": 0.7}, "act"),
    ],
    ids=[
        "harmless",
        "not harmless",
        "the owner asks for as much",
        "the owner asks for more",
        "hardly more than a guess",
        "a limit counts who asks",
        "one was needless already",
        "sure again after one",
    ],
)
def test_less_is_asked_for_the_first_retry_where_a_needless_one_does_nothing(
    gate: Any,
    evidence: Callable[..., Any],
    now: datetime,
    told: Any,
    rerun: RerunVerdict,
    changes: dict[str, Any],
    action: str,
) -> None:
    before = Attempt(number=1, remedy=RetryRun(flow_run_id="run-1", delay_s=6), state_id_before="s")
    changes = {"confidence": 0.6, "transient": True} | changes
    attempts = (before,) * changes.pop("attempts", 0)
    unsure = diagnose_text(UNSURE).model_copy(
        update={"confidence": 0.6, "transient": True} | {k: v for k, v in changes.items() if k != "attempts"}
    )
    decision = decide(
        unsure,
        evidence(UNSURE),
        RemedyPolicy.model_validate({"mode": "auto"} | told),
        rerun=rerun,
        persisted_results=False,
        attempts=attempts,
        now=now,
        jitter=0.5,
    )
    assert decision.action == action
    assert ("confidence" in failed(decision)) is (action == "propose")
