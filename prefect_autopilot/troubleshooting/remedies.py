"""Which remedy fits a diagnosis, whether the work may be repeated, and how long to wait."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from prefect_autopilot.effects import RerunVerdict
from prefect_autopilot.models import (
    AskOwner,
    Attempt,
    Diagnosis,
    Evidence,
    IssueCategory,
    RefreshCredentials,
    Remedy,
    RemedyClass,
    RemedyPolicy,
    RetryRun,
)

Effect = Literal["none", "safe", "idempotent", "unsafe", "unknown"]
REPEATABLE: frozenset[str] = frozenset({"none", "safe", "idempotent"})
NEEDS_CONSENT: frozenset[RemedyClass] = frozenset({"install_dependency"})
"""Not transient, but a person's yes is enough: proposed, not merely escalated."""

SETTLE_S = 6.0
"""A process worker of Prefect 3.8 must have seen the old process end before the run is started again."""
BASE_S = 12.0
RATE_WINDOW_S = 40.0
MAX_BACKOFF_S = 600.0


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
    marks = {evidence.run.deployment_name or "", *evidence.run.tags} - {""}
    return bool(marks & set(policy.rerun_allowed))


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
) -> Remedy:
    """Return the remedy that fits: a retry for what passes, new credentials, or a person."""
    run_id = evidence.run.id
    expired = diagnosis.remedy == "refresh_credentials" and diagnosis.pattern != "grant-revoked"
    if expired and refreshable and diagnosis.connection:
        return RefreshCredentials(flow_run_id=run_id, connection=diagnosis.connection, delay_s=SETTLE_S)
    if diagnosis.transient and diagnosis.category is not IssueCategory.UNKNOWN:
        delay = retry_delay(diagnosis, attempts=len(attempts), jitter=jitter)
        return RetryRun(flow_run_id=run_id, delay_s=delay, because=diagnosis.remedy)
    return AskOwner(flow_run_id=run_id, advice=diagnosis.root_cause)


def retry_delay(diagnosis: Diagnosis, *, attempts: int, jitter: float) -> float:
    """Return seconds to wait before a retry.

    Retry-After if the other side named it, never earlier; else exponential with equal jitter (half
    fixed, half random), so that three attempts outlast an outage of half a minute.
    """
    if diagnosis.retry_after_s is not None and (diagnosis.refused or diagnosis.remedy == "wait_rate_limit"):
        return round(max(diagnosis.retry_after_s, SETTLE_S) + 1 + 2 * jitter, 3)
    base = RATE_WINDOW_S if diagnosis.remedy == "wait_rate_limit" else BASE_S
    whole = min(base * 2.0**attempts, MAX_BACKOFF_S)
    return float(round(SETTLE_S + whole / 2 + jitter * whole / 2, 3))
