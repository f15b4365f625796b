"""Which remedy fits a diagnosis, whether the work may be repeated, and how long to wait."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from prefect_autopilot.effects import RerunVerdict
from prefect_autopilot.models import (
    AskOwner,
    Attempt,
    Diagnosis,
    Evidence,
    IssueCategory,
    PauseDeployment,
    RefreshCredentials,
    Remedy,
    RemedyClass,
    RemedyPolicy,
    Repair,
    RetryRun,
    RunRefresher,
)
from prefect_autopilot.troubleshooting.learning import Records

Effect = Literal["none", "safe", "idempotent", "unsafe", "unknown"]
REPEATABLE: frozenset[str] = frozenset({"none", "safe", "idempotent"})
NEEDS_CONSENT: frozenset[RemedyClass] = frozenset({"install_dependency"})
"""Not transient, but a person's yes is enough: proposed, not merely escalated."""

SETTLE_S = 6.0
"""A process worker of Prefect 3.8 must have seen the old process end before the run is started again."""
FIRST_S = BASE_S = 12.0
"""A worker begins what is due within ten seconds at once: sooner, and it would meet the old process."""
RATE_WINDOW_S = 40.0
MAX_BACKOFF_S = 600.0

_KILLED = re.compile(
    r"(?:status|exit|return)(?:ed)?[ -]?(?:with )?(?:code|status)?\W{0,3}(?:-9|-15|137|143)\b|SIGKILL|SIGTERM"
)
_BROUGHT_DOWN = frozenset({"killed", "worker-lost"})


@dataclass(frozen=True, slots=True)
class Repeatability:
    """Whether a retry of the same run can do harm, and why."""

    reason: str
    allowed: bool = False


def may_repeat(
    diagnosis: Diagnosis,
    evidence: Evidence,
    policy: RemedyPolicy,
    *,
    rerun: RerunVerdict,
    persisted_results: bool,
    failing_effect: Effect = "unknown",
    earlier_effect: Effect = "unknown",
) -> Repeatability:
    """Tell whether repeating the run is harmless: the failing call and all work before it, judged apart."""
    if _owner_allows(evidence, policy):
        return _yes("The owner says that this flow may be run again.")
    if rerun.level in REPEATABLE:
        return _yes(f"Everything the flow does may be done twice{_because(rerun)}.")
    effect = diagnosis.effect if diagnosis.effect != "unknown" else failing_effect
    # A refused call did nothing; one with new credentials is as good as the first.
    refused = diagnosis.refused and (diagnosis.transient or diagnosis.remedy == "refresh_credentials")
    call_is_harmless = effect in REPEATABLE or (refused and effect != "unknown")
    if not call_is_harmless:
        return Repeatability(_may_have_happened(diagnosis, effect, rerun))
    if persisted_results:
        return _yes("Finished tasks are persisted and not run again; the failed call may be repeated.")
    if earlier_effect in REPEATABLE:
        return _yes("What ran before the failed call may be done twice.")
    return Repeatability(f"Steps before the failed call are done and would be done again{_because(rerun)}.")


def _yes(reason: str) -> Repeatability:
    return Repeatability(reason, allowed=True)


def _owner_allows(evidence: Evidence, policy: RemedyPolicy) -> bool:
    """Tell whether the policy names the run's deployment as ``flow/deployment`` or by its id, or a tag of it.

    Deployments of other flows may have the same bare name, so that it allows nothing.
    """
    run = evidence.run
    name = run.deployment_name or ""
    both = f"{run.flow_name}/{name}" if name and "/" not in name else name
    return bool(({both, run.deployment_id or "", *run.tags} - {""}) & set(policy.rerun_allowed))


def _because(rerun: RerunVerdict) -> str:
    lines = [line for line in rerun.evidence if line][:2]
    return f" ({'; '.join(lines)})" if lines else ""


def _may_have_happened(diagnosis: Diagnosis, effect: Effect, rerun: RerunVerdict) -> str:
    what = f"the call to {diagnosis.service}" if diagnosis.service else "the failed step"
    how = f"answered {diagnosis.status}" if diagnosis.status else "failed without a final answer"
    if effect == "unsafe":
        return (
            f"It is not known whether {what} took effect before it {how};"
            f" a second time could do it twice{_because(rerun)}."
        )
    return f"It is not known what {what} does when it is repeated{_because(rerun)}; it {how}."


def choose(
    diagnosis: Diagnosis,
    evidence: Evidence,
    *,
    attempts: tuple[Attempt, ...],
    refreshable: bool,
    jitter: float,
    repair: Repair | None = None,
    records: Records | None = None,
    over: bool = False,
) -> Remedy:
    """Return the remedy that fits: a proved repair, new credentials, a retry for what passes, or a person.

    ``records`` say what each kind was seen to be worth for this cause: what surely helps comes before what is
    not known, that before what does not hold. ``over``: a service that was down was seen to answer again.
    """
    run_id = evidence.run.id
    if renewed(attempts):
        return RetryRun(flow_run_id=run_id, delay_s=SETTLE_S, because="refresh_credentials")
    fitting = _fitting(
        diagnosis,
        evidence,
        attempts=attempts,
        refreshable=refreshable,
        jitter=jitter,
        repair=repair,
        over=over,
    )
    done = {attempt.remedy.kind for attempt in attempts}
    # What was done and did not help gives way to the next; of what is equally good the first stays first.
    known = records or {}
    best = max(
        fitting, key=lambda one: (not (one.once and one.kind in done), _rank(one, known)), default=None
    )
    return best or AskOwner(flow_run_id=run_id, advice=diagnosis.root_cause)


def _rank(remedy: Remedy, records: Records) -> float:
    """Return how a remedy is ranked by its record; a pause is what is left once others have failed."""
    if isinstance(remedy, PauseDeployment):
        return 1.0
    record = records.get(remedy.kind)
    return record.rank if record is not None else 0.0


def _fitting(
    diagnosis: Diagnosis,
    evidence: Evidence,
    *,
    attempts: tuple[Attempt, ...],
    refreshable: bool,
    jitter: float,
    repair: Repair | None,
    over: bool,
) -> Iterator[Remedy]:
    run_id = evidence.run.id
    if repair is not None:
        yield repair
    expired = diagnosis.remedy == "refresh_credentials" and diagnosis.pattern != "grant-revoked"
    if expired and refreshable and diagnosis.connection:
        yield RefreshCredentials(flow_run_id=run_id, connection=diagnosis.connection, delay_s=SETTLE_S)
    taken_away = killed(diagnosis, evidence)
    passes = diagnosis.transient and diagnosis.category is not IssueCategory.UNKNOWN
    if not (_ran_again(attempts, evidence) or _killed_before(evidence)) if taken_away else passes:
        delay = retry_delay(diagnosis, attempts=0 if over else len(attempts), jitter=jitter)
        because: RemedyClass = "retry_backoff" if taken_away else diagnosis.remedy
        yield RetryRun(flow_run_id=run_id, delay_s=delay, because=because)


def renewed(attempts: tuple[Attempt, ...]) -> bool:
    """Tell whether the last act renewed credentials, as was observed, and the retry is still to be made."""
    last = attempts[-1] if attempts else None
    return (
        last is not None
        and isinstance(last.remedy, RunRefresher)
        and last.verification is not None
        and last.verification.outcome == "verified"
    )


def killed(diagnosis: Diagnosis, evidence: Evidence) -> bool:
    """Tell whether the run's process or machine was taken away, and nobody says for want of what.

    Prefect adds to every SIGKILL that memory may be the reason; that alone is no sign of it.
    """
    state = evidence.run.state
    if state.type != "CRASHED":
        return False
    if diagnosis.pattern in _BROUGHT_DOWN:
        return True
    return (
        diagnosis.pattern in {"out-of-memory", "perhaps-memory"}
        and _KILLED.search(state.message or "") is not None
    )


def passes(diagnosis: Diagnosis, evidence: Evidence) -> bool:
    """Tell whether a further try belongs to the retry before: a death told twice is one, and none began."""
    return diagnosis.transient or killed(diagnosis, evidence)


def _ran_again(attempts: tuple[Attempt, ...], evidence: Evidence) -> bool:
    """Tell whether the run began anew after our first act; a worker may report one death twice."""
    since = next((attempt.applied_at for attempt in attempts if attempt.applied_at is not None), None)
    if since is None:
        return bool(attempts)
    return any(state.type == "RUNNING" and state.timestamp > since for state in evidence.states)


def _killed_before(evidence: Evidence) -> bool:
    """Tell whether the run before of the same work was taken away, too."""
    before = [
        run
        for run in evidence.recent_runs
        if run.state.type in {"COMPLETED", "FAILED", "CRASHED"}
        and run.state.timestamp < evidence.run.state.timestamp
    ]
    last = max(before, key=lambda run: run.state.timestamp, default=None)
    return (
        last is not None and last.state.type == "CRASHED" and bool(_KILLED.search(last.state.message or ""))
    )


def retry_delay(diagnosis: Diagnosis, *, attempts: int, jitter: float) -> float:
    """Return seconds to wait before a retry.

    Retry-After if the other side named it, never earlier; else exponential with equal jitter (half
    fixed, half random), so that three attempts outlast an outage of half a minute. Where requests are counted
    the old process must have ended before that begins to count.
    """
    if diagnosis.retry_after_s is not None and (diagnosis.refused or diagnosis.remedy == "wait_rate_limit"):
        return round(max(diagnosis.retry_after_s, SETTLE_S) + 1 + 2 * jitter, 3)
    counted = diagnosis.remedy == "wait_rate_limit"
    whole = min((RATE_WINDOW_S if counted else BASE_S) * 2.0**attempts, MAX_BACKOFF_S)
    least = SETTLE_S + whole / 2 if counted else max(whole / 2, FIRST_S)
    return float(round(least + jitter * whole / 2, 3))
