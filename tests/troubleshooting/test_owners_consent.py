"""The owner's side of the gate: modes, a yes, hours, shadow, budgets, and what remedies were worth."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, time, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from prefect_autopilot.effects import RerunVerdict
from prefect_autopilot.models import (
    Approval,
    AskOwner,
    Attempt,
    EndStuckRun,
    PauseDeployment,
    QuietHours,
    Remedy,
    RemedyDecision,
    RemedyPolicy,
    RemoveStaleLock,
    RetryRun,
    RunRefresher,
    StateRecord,
    Verification,
)
from prefect_autopilot.troubleshooting import decide, diagnose_text
from prefect_autopilot.troubleshooting.consent import BUDGET_PAUSE, SHARE_PAUSE, Done, Usage, names_of
from prefect_autopilot.troubleshooting.learning import FEWEST, Record, wilson
from prefect_autopilot.troubleshooting.remedies import choose

Make = Callable[..., Any]
Gate = Callable[..., RemedyDecision]
OUTAGE = diagnose_text("HTTPError: 503 Server Error: Service Unavailable for url: https://x.acme.test")
YES = {"by": "person:ada"}


def failed(decision: RemedyDecision) -> set[str]:
    return {check.name for check in decision.checks if not check.passed}


@pytest.fixture(scope="module")
def gate(evidence: Make, now: datetime) -> Gate:
    found = evidence("it failed")

    def decided(limits: dict[str, Any], level: str = "safe", yes: Any = None, **told: Any) -> RemedyDecision:
        approval = (
            Approval.model_validate({"at": now, "state_id": found.run.state.id} | YES | yes)
            if yes is not None
            else None
        )
        base: dict[str, Any] = {"rerun": RerunVerdict(level=level, evidence=()), "persisted_results": False}
        policy = RemedyPolicy.model_validate({"mode": "auto"} | limits)
        return decide(
            OUTAGE, found, policy, **(base | {"now": now, "jitter": 0.5, "approval": approval} | told)
        )

    return decided


MODES = [
    ({}, "auto"),
    ({"mode": "propose"}, "propose"),
    ({"mode": "approve"}, "approve"),
    ({"remedies": {"retry_run": "approve"}}, "approve"),
    ({"remedies": {"release_slots": "propose"}}, "auto"),
    ({"mode": "propose", "remedies": {"retry_run": "auto"}}, "auto"),
    ({"deployments": [{"match": ["dep-1"], "mode": "propose"}]}, "propose"),
    ({"deployments": [{"match": ["load-orders/prod"], "mode": "approve"}]}, "approve"),
    ({"deployments": [{"match": ["load-orders/prod"], "mode": "approve"}]}, "approve"),
    ({"deployments": [{"match": ["other"], "mode": "propose"}]}, "auto"),
    ({"mode": "propose", "deployments": [{"match": ["load-orders/prod"], "mode": "auto"}]}, "auto"),
    (
        {
            "deployments": [
                {"match": ["load-orders/prod"], "mode": "auto"},
                {"match": ["dep-1"], "mode": "propose"},
            ]
        },
        "propose",
    ),
    (
        {
            "deployments": [
                {"match": ["load-orders/prod"], "mode": "propose", "remedies": {"retry_run": "auto"}}
            ]
        },
        "auto",
    ),
    (
        {
            "remedies": {"retry_run": "auto"},
            "deployments": [{"match": ["load-orders/prod"], "mode": "propose"}],
        },
        "propose",
    ),
]


@pytest.mark.parametrize(("limits", "mode"), MODES, ids=[f"{n} {mode}" for n, (_, mode) in enumerate(MODES)])
def test_the_mode_of_a_remedy_is_that_of_the_closest_word_of_the_policy(
    gate: Gate, limits: dict[str, Any], mode: str
) -> None:
    decision = gate(limits)
    assert decision.mode == mode
    assert decision.action == ("act" if mode == "auto" else "propose")
    assert isinstance(decision.remedy, RetryRun)


def test_a_run_is_called_by_deployment_id_flow_and_tags(evidence: Make) -> None:
    run = evidence("x").run.model_copy(update={"tags": ("nightly", "")})
    assert names_of(run) == {"dep-1", "load-orders", "load-orders/prod", "nightly"}
    short = run.model_copy(update={"deployment_name": "prod"})
    assert names_of(short) == names_of(run) | {"prod"}


@pytest.mark.parametrize(
    "limits",
    [
        {"mode": "propose"},
        {"mode": "approve"},
        {"protected_deployments": ["dep-1"]},
        {"shadow_until": datetime(2999, 1, 1, tzinfo=UTC)},
        {"quiet_hours": [{"start": "00:00", "end": "23:59:59"}]},
    ],
    ids=["propose", "approve", "protected", "shadow", "quiet"],
)
def test_a_yes_answers_what_only_asks_for_one(gate: Gate, limits: dict[str, Any]) -> None:
    assert gate(limits).action in {"propose", "wait"}
    decision = gate(limits, yes={})
    assert decision.action == "act"
    assert any("person:ada said yes" in check.reason for check in decision.checks)


@pytest.mark.parametrize(
    ("limits", "told", "stopped_by"),
    [
        ({"paused": True}, {}, "paused"),
        ({}, {"usage": Usage(paused_by="person:eve")}, "paused"),
        ({"max_remedies_per_minute": 0}, {}, "budget"),
        ({}, {"usage": Usage(last_minute=10)}, "budget"),
        ({}, {"breaker_open": True}, "breaker"),
        ({}, {"human_touched": True}, "human"),
        ({}, {"own_flow": True}, "own flow"),
        ({"max_attempts_per_run": 0}, {}, "attempts"),
        ({"min_confidence": 1.0}, {}, "confidence"),
        ({"max_wait_s": 0}, {}, "wait"),
        ({}, {"level": "unsafe"}, "repeatable"),
    ],
    ids=[
        "file",
        "switch",
        "none",
        "used up",
        "breaker",
        "human",
        "own",
        "attempts",
        "unsure",
        "wait",
        "twice",
    ],
)
def test_a_yes_opens_no_other_check(
    gate: Gate, limits: dict[str, Any], told: dict[str, Any], stopped_by: str
) -> None:
    decision = gate(limits, yes={}, **told)
    assert decision.action != "act"
    assert stopped_by in failed(decision)


def test_a_yes_to_another_state_of_the_run_is_none(gate: Gate) -> None:
    assert gate({"mode": "propose"}, yes={"state_id": "an older one"}).action == "propose"


@pytest.mark.parametrize(("rerun", "action"), [(True, "act"), (False, "propose")], ids=["sure", "not sure"])
def test_only_who_has_made_sure_lets_work_of_effect_be_done_again(
    gate: Gate, *, rerun: bool, action: str
) -> None:
    assert gate({}, level="unsafe", yes={"rerun": rerun}).action == action


def test_having_made_sure_about_another_state_says_nothing(gate: Gate) -> None:
    assert gate({}, level="unsafe", yes={"rerun": True, "state_id": "old"}).action == "propose"


@pytest.mark.parametrize(
    ("usage", "limits", "action"),
    [
        (Usage(last_hour=59, runs_last_hour=60), {}, "act"),
        (Usage(last_hour=60, runs_last_hour=60), {}, "wait"),
        (Usage(last_hour=60, runs_last_hour=1200), {}, "wait"),
        (Usage(last_hour=60, runs_last_hour=1220), {}, "act"),
        (Usage(last_hour=500, runs_last_hour=10_000), {}, "wait"),
        (Usage(last_hour=499, runs_last_hour=10_000), {}, "act"),
        (Usage(last_hour=0, runs_last_hour=100), {"free_remedies": 0}, "act"),
        (Usage(last_hour=5, runs_last_hour=100), {"free_remedies": 0}, "wait"),
        (Usage(last_hour=0, runs_last_hour=0), {"free_remedies": 0}, "propose"),
    ],
    ids=["free", "few runs", "at the share", "below", "5 % used", "5 % free", "share", "share used", "never"],
)
def test_remedies_of_an_hour_keep_within_their_share_of_the_runs(
    gate: Gate, usage: Usage, limits: dict[str, Any], action: str
) -> None:
    decision = gate(limits, usage=usage)
    assert decision.action == action
    assert failed(decision) == (set() if action == "act" else {"share"})


def test_who_waits_is_told_until_when_and_keeps_the_plan(gate: Gate, now: datetime) -> None:
    decision = gate({}, usage=Usage(last_minute=10, last_hour=60))
    assert decision.wait_until == now + max(BUDGET_PAUSE, SHARE_PAUSE)
    assert isinstance(decision.remedy, RetryRun)
    assert gate({"mode": "propose"}, usage=Usage(last_minute=10)).wait_until is None


@pytest.mark.parametrize(
    ("ago", "said", "acts", "action"),
    [
        (299, {"min_between_attempts_s": 300}, 1, "wait"),
        (300, {"min_between_attempts_s": 300}, 1, "act"),
        (1, {"min_between_attempts_s": 0}, 1, "act"),
        (1, {}, 2, "act"),
        (299, {"max_attempts_per_run": 10}, 3, "wait"),
        (300, {"max_attempts_per_run": 10}, 3, "act"),
        (1, {"quick_attempts": 2}, 1, "act"),
        (299, {"quick_attempts": 2}, 2, "wait"),
        (299, {"quick_attempts": 2, "min_between_attempts_s": 200}, 2, "act"),
    ],
    ids=[
        *("too soon", "just", "no interval", "one backoff", "beyond its tries", "long enough"),
        *("within those said", "beyond those said", "both said"),
    ],
)
def test_two_remedies_of_one_run_lie_apart_and_the_tries_of_a_backoff_are_one(
    gate: Gate, now: datetime, ago: float, said: dict[str, float], acts: int, action: str
) -> None:
    before = _done(RetryRun(flow_run_id="run-1", delay_s=1), now - timedelta(seconds=ago))
    decision = gate(said, attempts=(before,), done=Done(acts))
    assert decision.action == action
    if action == "wait":
        assert decision.wait_until == now + timedelta(seconds=300 - ago)


def _done(remedy: Remedy, at: datetime) -> Attempt:
    return Attempt(number=1, remedy=remedy, state_id_before="s0", applied_at=at)


LOCK = RemoveStaleLock(flow_run_id="run-1", path="/tmp/x.lock", holder_pid=7, proof="nobody holds it")
RENEWING = {"deployment_id": "d", "renews": "token", "proof": "it writes what the flow reads"}
SEEN = Verification(outcome="verified", reason="done", checked_at=datetime(2026, 3, 2, tzinfo=UTC))
APART = {
    "a change after a retry": (RetryRun(flow_run_id="run-1", delay_s=1), LOCK, "wait"),
    "a retry after a change": (LOCK, None, "wait"),
    "a retry after what had to precede it": (RunRefresher(flow_run_id="run-1", **RENEWING), None, "act"),
    "a retry after the end of a stuck run": (EndStuckRun(flow_run_id="run-1", proof="twice"), None, "act"),
}


@pytest.mark.parametrize("case", APART)
@pytest.mark.parametrize("limits", [{}, {"min_between_attempts_s": 300}], ids=["by default", "said"])
def test_what_changes_something_comes_once_in_five_minutes(
    gate: Gate, now: datetime, limits: dict[str, Any], case: str
) -> None:
    first, repair, action = APART[case]
    before = _done(first, now - timedelta(seconds=299)).model_copy(update={"verification": SEEN})
    decision = gate(limits, attempts=(before,), repair=repair)
    assert (decision.action, failed(decision)) == (action, {"interval"} if action == "wait" else set())
    later = before.model_copy(update={"applied_at": now - timedelta(seconds=300)})
    assert gate(limits, attempts=(later,), repair=repair).action == "act"


@pytest.mark.parametrize(
    ("done", "limits", "action"),
    [
        (Done(1), {}, "act"),
        (Done(1), {"min_between_attempts_s": 300}, "wait"),
        (Done(1, retries_only=False), {}, "wait"),
    ],
    ids=["a try of the backoff", "the letter", "another remedy"],
)
def test_what_another_session_did_for_the_run_counts_for_the_interval(
    gate: Gate, now: datetime, done: Done, limits: dict[str, Any], action: str
) -> None:
    decision = gate(limits, done=replace(done, last_at=now - timedelta(seconds=100)))
    assert decision.action == action
    assert decision.wait_until == (now + timedelta(seconds=200) if action == "wait" else None)


def test_an_overrides_attempts_hold_for_its_deployments_only(gate: Gate) -> None:
    limits = {"deployments": [{"match": ["load-orders/prod"], "max_attempts_per_run": 0}]}
    assert failed(gate(limits)) == {"attempts"}
    assert gate({"deployments": [{"match": ["x"], "max_attempts_per_run": 0}]}).action == "act"


def test_shadow_ends_by_itself(gate: Gate, now: datetime) -> None:
    assert failed(gate({"shadow_until": now + timedelta(seconds=1)})) == {"shadow"}
    assert gate({"shadow_until": now}).action == "act"


# 2026-03-02 is a Monday.
HOURS = [
    ("22:00", "06:00", None, "2026-03-02T23:00", "2026-03-03T06:00"),
    ("22:00", "06:00", None, "2026-03-02T05:59", "2026-03-02T06:00"),
    ("22:00", "06:00", None, "2026-03-02T06:00", None),
    ("22:00", "06:00", None, "2026-03-02T21:59", None),
    ("09:00", "17:00", None, "2026-03-02T12:00", "2026-03-02T17:00"),
    ("09:00", "17:00", None, "2026-03-02T08:59", None),
    ("22:00", "06:00", ("sun",), "2026-03-02T03:00", "2026-03-02T06:00"),
    ("22:00", "06:00", ("mon",), "2026-03-02T03:00", None),
    ("09:00", "17:00", ("sat", "sun"), "2026-03-02T12:00", None),
]


@pytest.mark.parametrize(
    ("start", "end", "days", "at", "until"), HOURS, ids=[f"{n}" for n in range(len(HOURS))]
)
def test_quiet_hours_belong_to_the_day_on_which_they_begin(
    start: str, end: str, days: tuple[str, ...] | None, at: str, until: str | None
) -> None:
    told = {"start": start, "end": end} | ({"days": days} if days else {})
    found = QuietHours.model_validate(told).until(datetime.fromisoformat(at).replace(tzinfo=UTC))
    assert found == (datetime.fromisoformat(until).replace(tzinfo=UTC) if until else None)


def test_quiet_hours_are_those_of_their_place_also_when_the_clocks_change() -> None:
    night = QuietHours(start=time(22), end=time(6), timezone="Europe/Berlin")
    # Summer time begins in the night to 2026-03-29, so 06:00 is 04:00 UTC and no longer 05:00.
    assert night.until(datetime(2026, 3, 28, 5, 30, tzinfo=UTC)) is None
    assert night.until(datetime(2026, 3, 29, 3, 30, tzinfo=UTC)) == datetime(2026, 3, 29, 4, tzinfo=UTC)
    assert night.until(datetime(2026, 3, 29, 4, 30, tzinfo=UTC)) is None


@pytest.mark.parametrize(
    "wrong",
    [
        {"start": "22:00", "end": "22:00"},
        {"start": "22:00", "end": "06:00", "timezone": "Mars/Base"},
        {"start": "22:00", "end": "06:00", "timezone": "../etc/passwd"},
        {"start": "22:00", "end": "06:00", "days": ["someday"]},
        {"start": "22:00+02:00", "end": "06:00+02:00"},
        {"start": "25:00", "end": "06:00"},
    ],
    ids=["empty", "zone", "path", "day", "offset", "hour"],
)
def test_hours_that_cannot_be_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        QuietHours.model_validate(wrong)


@pytest.mark.parametrize(
    "wrong",
    [
        {"mode": "always"},
        {"remedies": {"reboot": "auto"}},
        {"remedies": {"retry_run": "yes"}},
        {"deployments": [{"match": [], "mode": "auto"}]},
        {"deployments": [{"match": [""], "mode": "auto"}]},
        {"deployments": [{"mode": "auto"}]},
        {"deployments": [{"match": ["a"], "max_attempts_per_run": 11}]},
        {"shadow_until": "2026-03-09T00:00:00"},
        {"max_share_of_runs": 1.5},
        {"storm_runs": 1},
    ],
    ids=[
        "mode",
        "remedy",
        "its mode",
        "matches nothing",
        "matches the empty name",
        "matches all",
        "attempts",
        "no zone",
        "share",
        "storm of one",
    ],
)
def test_a_policy_that_cannot_be_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        RemedyPolicy.model_validate(wrong)


# What remedies were worth


@pytest.mark.parametrize(
    ("good", "seen", "low", "high"),
    [
        (0, 0, 0.0, 1.0),
        (0, 5, 0.0, 0.4345),
        (5, 5, 0.5655, 1.0),
        (5, 10, 0.2366, 0.7634),
        (19, 20, 0.7639, 0.9911),
    ],
    ids=["nothing", "none of 5", "5 of 5", "half", "19 of 20"],
)
def test_the_interval_is_wilsons(good: int, seen: int, low: float, high: float) -> None:
    assert wilson(good, seen) == pytest.approx((low, high), abs=5e-5)


@given(st.integers(0, 10_000), st.integers(0, 10_000))
def test_the_share_lies_within_its_interval(good: int, bad: int) -> None:
    low, high = wilson(good, good + bad)
    assert 0 <= low <= high <= 1
    if good + bad:
        assert low - 1e-9 <= good / (good + bad) <= high + 1e-9


@pytest.mark.parametrize(("good", "seen"), [(-1, 3), (4, 3), (0, -1)], ids=["negative", "more", "negative n"])
def test_impossible_counts_are_refused(good: int, seen: int) -> None:
    with pytest.raises(ValueError, match="no share"):
        wilson(good, seen)


@pytest.mark.parametrize(
    ("record", "demoted"),
    [
        (Record(0, FEWEST - 1), False),
        (Record(0, FEWEST), True),
        (Record(1, 5), False),
        (Record(1, 9), True),
        (Record(50, 50), False),
        (Record(5, 0), False),
    ],
    ids=["too few", "never", "once of six", "once of ten", "half", "always"],
)
def test_only_what_was_seen_often_enough_not_to_help_is_demoted(record: Record, *, demoted: bool) -> None:
    assert record.demoted is demoted


def test_a_remedy_that_does_not_hold_is_proposed_and_a_yes_still_does_it(gate: Gate) -> None:
    bad = {"retry_run": Record(0, 6)}
    decision = gate({}, records=bad)
    assert (decision.action, failed(decision)) == ("propose", {"track record"})
    assert isinstance(decision.remedy, RetryRun)
    assert gate({}, records=bad, yes={}).action == "act"
    assert gate({}, records={"release_slots": Record(0, 6)}).action == "act"


BAD, GOOD, BETTER, FEW = Record(0, 6), Record(7, 0), Record(30, 0), Record(4, 0)


@pytest.mark.parametrize(
    ("records", "first"),
    [
        ({}, "run_refresher"),
        ({"run_refresher": BAD}, "retry_run"),
        ({"run_refresher": BAD, "retry_run": BAD}, "run_refresher"),
        ({"retry_run": GOOD}, "retry_run"),
        ({"retry_run": FEW}, "run_refresher"),
        ({"retry_run": Record(4, 3)}, "run_refresher"),
        ({"retry_run": GOOD, "run_refresher": BETTER}, "run_refresher"),
        ({"retry_run": BETTER, "run_refresher": GOOD}, "retry_run"),
        ({"retry_run": BETTER, "run_refresher": BAD}, "retry_run"),
    ],
    ids=[
        *("nothing known", "one does not hold", "neither holds", "one surely helps", "too few", "as often"),
        *("the better first", "the other better", "good before bad"),
    ],
)
def test_what_was_seen_to_hold_comes_first_and_what_was_not_last(
    evidence: Make, records: dict[str, Record], first: str
) -> None:
    repair = RunRefresher(
        flow_run_id="run-1", deployment_id="d2", renews="secret token", proof="it writes it"
    )
    chosen = choose(
        OUTAGE, evidence("x"), attempts=(), refreshable=False, jitter=0.5, repair=repair, records=records
    )
    assert chosen.kind == first


def test_no_record_of_a_retry_comes_before_the_pause_of_an_open_breaker(evidence: Make) -> None:
    pause = PauseDeployment(flow_run_id="run-1", deployment_id="d1", proof="it keeps failing")
    chosen = choose(
        OUTAGE,
        evidence("x"),
        attempts=(),
        refreshable=False,
        jitter=0.5,
        repair=pause,
        records={"retry_run": BETTER},
    )
    assert chosen == pause


def test_the_decision_keeps_the_state_it_was_made_for(gate: Gate, evidence: Make) -> None:
    state: StateRecord = evidence("it failed").run.state
    assert gate({}).state_id == state.id
    assert gate({}, human_touched=True).state_id == state.id
    assert isinstance(gate({}, human_touched=True).remedy, AskOwner)
