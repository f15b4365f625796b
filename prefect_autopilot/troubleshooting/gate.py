"""The gate: what may be done about a failure now, with every condition and what was found."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta

from prefect_autopilot.effects import RerunVerdict
from prefect_autopilot.models import (
    FAILURE_STATES,
    Approval,
    AskOwner,
    Attempt,
    Diagnosis,
    EndStuckRun,
    Evidence,
    GateCheck,
    IssueCategory,
    PauseDeployment,
    ProvedRepair,
    ReleaseSlots,
    Remedy,
    RemedyDecision,
    RemedyPolicy,
    Repair,
    RetryRun,
    RunMissed,
    RunRecord,
)
from prefect_autopilot.troubleshooting.consent import (
    KEEPS_THE_PLAN,
    Action,
    Check,
    Done,
    Outage,
    Usage,
    answered,
    answering,
    approved,
    consent,
    interval,
    mode_of,
    names_of,
    used_of,
    within,
)
from prefect_autopilot.troubleshooting.learning import Record, Records
from prefect_autopilot.troubleshooting.remedies import (
    NEEDS_CONSENT,
    REPEATABLE,
    SETTLE_S,
    Effect,
    Repeatability,
    choose,
    killed,
    may_repeat,
    passes,
    renewed,
)

SAME_MOMENT = timedelta(seconds=5)
ABOUT_TO_END = frozenset({"PENDING", "RUNNING"})
LOOK_AT_ANOTHER = timedelta(seconds=15)
LONGEST_WAIT_FOR_ANOTHER = timedelta(minutes=5)
"""After this a run is repeated although another one of the same work still runs: schedules may overlap."""
HARMLESS_ASKS = 0.75
"""Share of the confidence that is asked for the first retry of work that may be done twice as a whole."""
COUNTED = frozenset({"wait_rate_limit", "refresh_credentials"})
"""Where the other side counts who asks again, no retry is harmless: limits last longer, accounts lock."""
QUOTA_PATTERNS = frozenset({"hard-quota", "http-429-daily", "resource-class"})


def decide(
    diagnosis: Diagnosis,
    evidence: Evidence,
    policy: RemedyPolicy,
    *,
    rerun: RerunVerdict,
    persisted_results: bool,
    attempts: tuple[Attempt, ...] = (),
    usage: Usage | None = None,
    breaker_open: bool = False,
    own_flow: bool = False,
    human_touched: bool = False,
    refreshable: bool = False,
    now: datetime,
    jitter: float,
    failing_effect: Effect = "unknown",
    earlier_effect: Effect = "unknown",
    repair: Repair | None = None,
    records: Records | None = None,
    approval: Approval | None = None,
    outage: Outage | None = None,
    done: Done | None = None,
) -> RemedyDecision:
    """Return what may be done now; acts only if every check passes, and records all of them.

    ``usage`` is what was done lately over all runs; ``attempts`` are the remedies of this session, ``done``
    tells of those that the run has had in any session;
    ``persisted_results`` that every finished task of the run can be skipped; ``failing_effect`` and
    ``earlier_effect`` what the failed step and the finished steps before it do when repeated;
    ``repair`` is what can be removed with proof; ``jitter`` lies between 0 and 1. ``records`` say what
    remedies were worth for this cause; ``approval`` is a person's yes to an earlier proposal; ``outage``
    that the service a retry has failed against is still down, or no longer.
    """
    approval = approval if approved(approval, evidence.run) else None
    remedy = choose(
        diagnosis,
        evidence,
        attempts=attempts,
        refreshable=refreshable,
        jitter=jitter,
        repair=repair,
        records=records,
        over=outage is not None and outage.over,
    )
    if approval is not None:
        remedy = _as_wished(remedy, approval, diagnosis)
    repeat = may_repeat(
        diagnosis,
        evidence,
        policy,
        rerun=rerun,
        persisted_results=persisted_results,
        failing_effect=failing_effect,
        earlier_effect=earlier_effect,
    )
    done = done or Done()
    checks = (
        *_standing(evidence, diagnosis, remedy, own_flow=own_flow, human_touched=human_touched, now=now),
        *_fitness(diagnosis, evidence, policy, remedy, attempts, rerun=rerun, used=used_of(done, attempts)),
        *_held(remedy, attempts, (records or {}).get(remedy.kind, Record()), breaker_open=breaker_open),
        _repeatable(repeat, remedy, approval),
        *within(remedy),
        answering(remedy, outage),
        *consent(evidence, policy, remedy, usage or Usage(), now=now),
        interval(policy, remedy, attempts, done, passes=passes(diagnosis, evidence), now=now),
    )
    if approval is not None:
        checks = answered(checks, approval)
    told = {"state_id": evidence.run.state.id, "mode": mode_of(policy, evidence.run, remedy)}
    return _decided(diagnosis, evidence, remedy, checks).model_copy(update=told)


def _as_wished(remedy: Remedy, approval: Approval, diagnosis: Diagnosis) -> Remedy:
    """Return a remedy with a person's numbers; no wait is shorter than what the other side asked for."""
    changes = {name: value for name, value in approval.changes.items() if name in remedy.changeable}
    if "delay_s" in changes:
        least = max(SETTLE_S, (diagnosis.retry_after_s or 0.0) + 1)
        changes["delay_s"] = max(changes["delay_s"], least)
    return remedy.model_copy(update=changes)


def _standing(
    evidence: Evidence,
    diagnosis: Diagnosis,
    remedy: Remedy,
    *,
    own_flow: bool,
    human_touched: bool,
    now: datetime,
) -> tuple[Check, ...]:
    """Return the checks that say whether there is anything to do at all."""
    run, state = evidence.run, evidence.run.state
    stuck = isinstance(remedy, ReleaseSlots | EndStuckRun) and state.type == "RUNNING"
    # The run of a missed time is the one before it.
    missed = isinstance(remedy, RunMissed) and state.type == "COMPLETED"
    failing = stuck or missed or state.type in FAILURE_STATES
    later = recovery(evidence)
    return (
        Check("state", failing, f"The run is {state.name}.", "stand_down"),
        Check(
            "cancelled",
            diagnosis.pattern != "cancelled",
            "Nobody cancelled the run." if diagnosis.pattern != "cancelled" else "The run was cancelled.",
            "stand_down",
        ),
        Check(
            "own flow",
            not own_flow,
            f"{run.flow_name or 'The flow'} is {'one' if own_flow else 'none'} of our own.",
            "stand_down",
        ),
        Check(
            "human",
            not human_touched,
            "A person has acted on this run since it failed."
            if human_touched
            else "No person has acted on this run since it failed.",
            "stand_down",
        ),
        Check(
            "recovered",
            later is None,
            f"Run {later.name or later.id} of the same work has completed since."
            if later
            else "No later run of the same work has completed.",
            "stand_down",
        ),
        _alone(evidence, now, needed=state.type in FAILURE_STATES),
        Check(
            "clock",
            state.timestamp <= now + SAME_MOMENT,
            f"The state dates from {state.timestamp.isoformat()}.",
            "propose",
        ),
    )


def recovery(evidence: Evidence) -> RunRecord | None:
    """Return a run that has done the same work since: same deployment and parameters, completed later."""
    return next((other for other in _same_work(evidence) if other.state.type == "COMPLETED"), None)


def _same_work(evidence: Evidence) -> Iterator[RunRecord]:
    """Yield runs of the same deployment and parameters that were due with this one or after it failed."""
    run = evidence.run
    for other in evidence.recent_runs:
        same = other.deployment_id == run.deployment_id if run.deployment_id else other.flow_id == run.flow_id
        if other.id == run.id or not same or other.parameters != run.parameters:
            continue
        ours, theirs = _due(run), _due(other)
        began_with_it = ours is not None and theirs is not None and theirs >= ours - SAME_MOMENT
        if began_with_it or (other.start is not None and other.start >= run.state.timestamp):
            yield other


def _alone(evidence: Evidence, now: datetime, *, needed: bool) -> Check:
    """Wait a little for a run of the same work that is under way: it may make ours needless."""
    other = next((one for one in _same_work(evidence) if one.state.type in ABOUT_TO_END), None)
    waited = now - evidence.run.state.timestamp > LONGEST_WAIT_FOR_ANOTHER
    passed = other is None or waited or not needed
    said = f"Run {other.name or other.id} of the same work is under way." if other else ""
    return Check(
        "under way",
        passed,
        said if not passed else "No other run of the same work is waited for.",
        "wait",
        until=None if passed else now + LOOK_AT_ANOTHER,
    )


def _due(run: RunRecord) -> datetime | None:
    return run.expected_start or run.created or run.start


def _fitness(
    diagnosis: Diagnosis,
    evidence: Evidence,
    policy: RemedyPolicy,
    remedy: Remedy,
    attempts: tuple[Attempt, ...],
    *,
    rerun: RerunVerdict,
    used: int,
) -> tuple[Check, ...]:
    """Return the checks that say whether a remedy of ours can help."""
    asked = policy.min_confidence
    if (
        not attempts
        and _harmless(diagnosis, remedy, rerun)
        and "min_confidence" not in policy.model_fields_set
    ):
        asked *= HARMLESS_ASKS
    allowed = not isinstance(remedy, AskOwner)
    consent = (
        diagnosis.remedy in NEEDS_CONSENT
        or diagnosis.pattern in QUOTA_PATTERNS
        or killed(diagnosis, evidence)
    )
    proof = remedy.proof if isinstance(remedy, ProvedRepair) else ""
    known = diagnosis.category is not IssueCategory.UNKNOWN or bool(proof)
    sure = diagnosis.confidence >= asked or bool(proof) or renewed(attempts)
    most = policy.attempts_for(names_of(evidence.run))
    # Pausing the deployment is what is left when attempts are used up.
    left = used < most or isinstance(remedy, PauseDeployment)
    return (
        Check(
            "cause known", known, "The cause is known." if known else "The cause is not known.", "escalate"
        ),
        Check(
            "class",
            allowed,
            f"{diagnosis.remedy} can be done without a person."
            if allowed
            else _needs_person(diagnosis, evidence),
            "propose" if consent else "escalate",
        ),
        Check(
            "confidence",
            sure,
            f"Proved: {proof}."
            if proof
            else f"Confidence {diagnosis.confidence:.2f}, {asked:.2f} is asked for.",
            "propose",
        ),
        Check("attempts", left, f"{used} of {most} attempts are used.", "escalate"),
    )


def _harmless(diagnosis: Diagnosis, remedy: Remedy, rerun: RerunVerdict) -> bool:
    """Tell whether a retry does nothing where it is needless."""
    retried = isinstance(remedy, RetryRun) and diagnosis.transient and diagnosis.remedy not in COUNTED
    return retried and rerun.level in REPEATABLE


def _held(
    remedy: Remedy, attempts: tuple[Attempt, ...], record: Record, *, breaker_open: bool
) -> tuple[Check, ...]:
    """Return the checks that say whether the remedy has held where it was done before."""
    failed = remedy.once and any(attempt.remedy.kind == remedy.kind for attempt in attempts)
    stopped = breaker_open and not isinstance(remedy, PauseDeployment)
    return (
        Check(
            "remedy not yet failed",
            not failed,
            f"{remedy.kind.replace('_', ' ').capitalize()} was done already and the run failed again."
            if failed
            else "This remedy has not failed here.",
            "escalate",
        ),
        Check(
            "breaker",
            not stopped,
            "The breaker is open: this remedy has failed too often for this cause."
            if stopped
            else "The breaker is closed, or this is what it is for.",
            "escalate",
        ),
        Check(
            "track record",
            not record.demoted,
            f"It has helped {record.good} of {record.seen} times here,"
            f" at best {record.interval[1]:.0%} of the time."
            if record.demoted
            else f"It has helped {record.good} of {record.seen} times here.",
            "propose",
        ),
    )


def _needs_person(diagnosis: Diagnosis, evidence: Evidence) -> str:
    if killed(diagnosis, evidence):
        return "It was killed more than once: give it more memory (job variable memory) or smaller parts."
    return f"{diagnosis.category} with remedy {diagnosis.remedy} needs a person, not a retry."


def _repeatable(repeat: Repeatability, remedy: Remedy, approval: Approval | None) -> Check:
    if not remedy.repeats:
        return Check("repeatable", passed=True, reason="Nothing would be repeated.", otherwise="propose")
    if not repeat.allowed and approval is not None and approval.rerun:
        said = f"{approval.by} has made sure that it may be done again."
        return Check("repeatable", passed=True, reason=said, otherwise="propose")
    return Check("repeatable", repeat.allowed, repeat.reason, "propose")


def _decided(
    diagnosis: Diagnosis, evidence: Evidence, remedy: Remedy, checks: tuple[Check, ...]
) -> RemedyDecision:
    told = tuple(GateCheck(name=check.name, passed=check.passed, reason=check.reason) for check in checks)
    failed = [check for check in checks if not check.passed]
    if not failed:
        return RemedyDecision(action="act", remedy=remedy, checks=told, reason=_plan(diagnosis, remedy))
    order: tuple[Action, ...] = ("stand_down", "escalate", "propose", "wait")
    action = next(kind for kind in order if any(check.otherwise == kind for check in failed))
    reasons = [check.reason for check in failed if check.otherwise == action]
    reason = reasons[0] if action == "stand_down" else " ".join(reasons)
    # A plan that only lacks the owner's yes, or time, stays concrete, so that either is enough.
    concrete = action in {"propose", "wait"} and all(check.name in KEEPS_THE_PLAN for check in failed)
    if concrete and not isinstance(remedy, AskOwner):
        ends = [check.until for check in failed if check.until is not None]
        return RemedyDecision(
            action=action,
            remedy=remedy,
            checks=told,
            reason=f"{_plan(diagnosis, remedy)} {reason}",
            wait_until=max(ends) if action == "wait" else None,
        )
    asked = AskOwner(flow_run_id=evidence.run.id, advice=_advice(diagnosis, action, reason))
    return RemedyDecision(action=action, remedy=asked, checks=told, reason=reason)


def _plan(diagnosis: Diagnosis, remedy: Remedy) -> str:
    if isinstance(remedy, AskOwner):
        return diagnosis.root_cause
    why = ""
    if isinstance(remedy, ProvedRepair):
        why = f", because {remedy.proof}"
    elif isinstance(remedy, RetryRun) and diagnosis.retry_after_s is not None and diagnosis.refused:
        why = " as the service asked"
    return f"{remedy.told()}{why}: {diagnosis.root_cause}"


def _advice(diagnosis: Diagnosis, action: Action, reason: str) -> str:
    if action == "stand_down":
        return f"Nothing to do. {reason}"
    return f"{diagnosis.root_cause} {reason}"
