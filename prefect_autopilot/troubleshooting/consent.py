"""The owner's side of the gate: mode, pause, quiet hours, shadow, budgets, and a person's yes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from prefect_autopilot.models import (
    Approval,
    AskOwner,
    Attempt,
    ChangeRun,
    EndStuckRun,
    Evidence,
    LowerConcurrency,
    Mode,
    Remedy,
    RemedyPolicy,
    RetryRun,
    RunRecord,
    RunRefresher,
)

Action = Literal["act", "wait", "propose", "escalate", "stand_down"]

BUDGET_PAUSE = timedelta(seconds=20)
SHARE_PAUSE = timedelta(minutes=5)
ANSWERED_BY_A_PERSON = frozenset({"mode", "protected", "quiet hours", "shadow", "track record"})
"""Checks that ask for nothing but an owner's yes."""
KEEPS_THE_PLAN = ANSWERED_BY_A_PERSON | {
    "paused",
    "budget",
    "share",
    "interval",
    "under way",
    "service",
    "bound",
}
"""Checks that leave a plan concrete: somebody's yes, or time, is all it lacks."""


@dataclass(frozen=True, slots=True)
class Check:
    """A condition, what follows when it does not hold, and why it does or does not."""

    name: str
    passed: bool
    reason: str
    otherwise: Action
    until: datetime | None = None


@dataclass(frozen=True, slots=True)
class Outage:
    """A service that was asked and does not answer, and when to ask again."""

    said: str
    until: datetime
    over: bool = False
    """It was down at the last look and answers now."""


@dataclass(frozen=True, slots=True)
class Done:
    """What a run has had in any session: how many acts, when the last was, whether all were retries."""

    acts: int = 0
    last_at: datetime | None = None
    retries_only: bool = True


@dataclass(frozen=True, slots=True)
class Usage:
    """What has been done lately over all runs, and who paused everything, if anybody did."""

    last_minute: int = 0
    last_hour: int = 0
    runs_last_hour: int = 0
    paused_by: str | None = None


def names_of(run: RunRecord) -> frozenset[str]:
    """Return what a policy may call a run by: deployment, flow/deployment, id, flow and tags."""
    name = run.deployment_name or ""
    both = f"{run.flow_name}/{name}" if name and "/" not in name else name
    told = {name, run.deployment_id or "", run.flow_name, both, *run.tags}
    return frozenset(told - {""})


def approved(approval: Approval | None, run: RunRecord) -> bool:
    """Tell whether a person said yes to a remedy for the state that the run is in now."""
    return approval is not None and approval.state_id == run.state.id


def is_protected(run: RunRecord, policy: RemedyPolicy) -> bool:
    """Tell whether an owner lets nobody but a person touch runs of this deployment."""
    named = names_of(run) - {run.flow_name}
    return bool(named & set(policy.protected_deployments))


def mode_of(policy: RemedyPolicy, run: RunRecord, remedy: Remedy) -> Mode:
    """Return what the policy says of this remedy for this run."""
    return policy.mode_for(remedy.kind, names_of(run))


def consent(
    evidence: Evidence,
    policy: RemedyPolicy,
    remedy: Remedy,
    usage: Usage,
    *,
    now: datetime,
) -> tuple[Check, ...]:
    """Return the checks of the owner's policy."""
    run = evidence.run
    return (
        *_wishes(run, policy, remedy, usage, now),
        *_means(run, policy, remedy),
        *_budgets(policy, usage, now),
    )


def answered(checks: tuple[Check, ...], approval: Approval) -> tuple[Check, ...]:
    """Return the checks with those passed that only asked for a person's yes."""
    return tuple(
        Check(check.name, passed=True, reason=f"{approval.by} said yes.", otherwise=check.otherwise)
        if check.name in ANSWERED_BY_A_PERSON and not check.passed
        else check
        for check in checks
    )


def _wishes(
    run: RunRecord, policy: RemedyPolicy, remedy: Remedy, usage: Usage, now: datetime
) -> Iterator[Check]:
    mode = mode_of(policy, run, remedy)
    yield Check("mode", mode == "auto", f"The policy's mode is {mode}.", "propose")
    paused = policy.paused or usage.paused_by is not None
    by = f" by {usage.paused_by}" if usage.paused_by else ""
    said = f"All remedies are paused{by}." if paused else "Remedies are not paused."
    yield Check("paused", not paused, said, "propose")
    quiet = policy.quiet_until(now)
    said = f"Quiet hours last until {quiet.isoformat()}." if quiet else "It is not within quiet hours."
    yield Check("quiet hours", quiet is None, said, "wait", until=quiet)
    shadow = policy.shadow_until is not None and now < policy.shadow_until
    said = (
        f"Until {policy.shadow_until.isoformat()} only what would have been done is shown."
        if shadow and policy.shadow_until
        else "What is decided is done, not only shown."
    )
    yield Check("shadow", not shadow, said, "propose")


def _means(run: RunRecord, policy: RemedyPolicy, remedy: Remedy) -> Iterator[Check]:
    protected = is_protected(run, policy)
    delay = 0.0 if isinstance(remedy, AskOwner) else remedy.delay_s
    yield Check(
        "protected",
        not protected,
        "The deployment is protected." if protected else "The deployment is not protected.",
        "propose",
    )
    yield Check(
        "deployment",
        run.deployment_id is not None,
        "The run belongs to a deployment."
        if run.deployment_id
        else "The run has no deployment, so Prefect cannot start it again.",
        "propose",
    )
    yield Check(
        "wait",
        delay <= policy.max_wait_s,
        f"The wait is {delay:.0f} s, at most {policy.max_wait_s:.0f} s are allowed.",
        "propose",
    )


def _budgets(policy: RemedyPolicy, usage: Usage, now: datetime) -> Iterator[Check]:
    most = policy.max_remedies_per_minute
    said = f"{usage.last_minute} of {most} remedies a minute are used."
    # Nothing is ever free of a budget of none: a person is told instead of waiting for ever.
    yield Check(
        "budget",
        usage.last_minute < most,
        said,
        "wait" if most else "propose",
        until=now + BUDGET_PAUSE if most else None,
    )
    allowed = max(policy.free_remedies, int(policy.max_share_of_runs * usage.runs_last_hour))
    yield Check(
        "share",
        usage.last_hour < allowed,
        f"{usage.last_hour} remedies in the last hour, at most {allowed} for {usage.runs_last_hour} runs.",
        "wait" if allowed else "propose",
        until=now + SHARE_PAUSE if allowed else None,
    )


def used_of(done: Done, attempts: tuple[Attempt, ...]) -> int:
    """Return how many remedies a run has had, in this session or in any."""
    return max(done.acts, len(attempts))


def interval(
    policy: RemedyPolicy,
    remedy: Remedy,
    attempts: tuple[Attempt, ...],
    done: Done,
    *,
    passes: bool,
    now: datetime,
) -> Check:
    """Keep the remedies of one run apart: a retry with its backoff, of what passes by itself, is one of them.

    So is a retry with the act that had to precede it. ``passes`` says that the cause passes by itself.
    """
    tries, apart_s = policy.pace
    times = (done.last_at, *(one.applied_at for one in attempts))
    since = max((at for at in times if at is not None), default=None)
    prepared = bool(attempts) and isinstance(attempts[-1].remedy, RunRefresher | EndStuckRun)
    retried = done.retries_only and all(isinstance(one.remedy, RetryRun) for one in attempts)
    same = isinstance(remedy, RetryRun) and (
        prepared or (passes and retried and used_of(done, attempts) < tries)
    )
    next_at = since + timedelta(seconds=apart_s) if since is not None and not same else now
    said = (
        f"At least {apart_s:.0f} s lie between two remedies of one run;"
        f" {tries} tries of what passes by itself count as one."
    )
    passed = isinstance(remedy, AskOwner) or next_at <= now
    return Check("interval", passed, said, "wait", until=next_at)


def answering(remedy: Remedy, outage: Outage | None) -> Check:
    """Let a retry wait for a service that is known to be down."""
    down = outage if isinstance(remedy, RetryRun) and outage is not None and not outage.over else None
    said = down.said if down else "No service is known to be down."
    return Check("service", down is None, said, "wait", until=down.until if down else None)


def within(remedy: Remedy) -> Iterator[Check]:
    """Check what a remedy changes against the policy's bound, whoever chose the number."""
    if isinstance(remedy, ChangeRun):
        yield Check(
            "bound",
            remedy.amount <= remedy.most,
            f"{remedy.name} would be {remedy.amount:g}{remedy.unit}, allowed are {remedy.most:g}.",
            "propose",
        )
    elif isinstance(remedy, LowerConcurrency):
        yield Check(
            "bound",
            1 <= int(remedy.limit) < remedy.before,
            f"{int(remedy.limit)} at once instead of {remedy.before}.",
            "propose",
        )
