"""Whether a remedy helped, by what was observed and by nothing else."""

from __future__ import annotations

from datetime import datetime, timedelta

from prefect_autopilot.models import (
    FAILURE_STATES,
    AskOwner,
    Attempt,
    Observation,
    ReleaseSlots,
    RunRecord,
    TroubleshootingSession,
    Verification,
)


def verify(
    session: TroubleshootingSession, latest: RunRecord | None, *, now: datetime, timeout_s: float
) -> Verification:
    """Return what the run, as read now, says about the last remedy.

    Verified only when the run has completed by really running again after the act. ``timeout_s``
    counts from the moment at which the run should have ended: when the retry was due, and as long as runs of
    its deployment last.
    """
    attempt = next((item for item in reversed(session.attempts) if item.applied_at is not None), None)
    if attempt is None or attempt.applied_at is None:
        return Verification(
            outcome="unverified",
            reason="No remedy was applied, so there is nothing to verify.",
            checked_at=now,
        )
    ends_s = _delay(attempt) + attempt.lasts_s
    overdue = now > attempt.applied_at + timedelta(seconds=ends_s + timeout_s)
    if latest is None:
        reason = "The run could not be read."
        return Verification(outcome="unverified" if overdue else "pending", reason=reason, checked_at=now)
    seen = (_observed(latest, now),)
    outcome, reason = _judged(session, attempt, latest)
    if outcome == "pending" and overdue:
        outcome, reason = "unverified", f"{reason} The deadline of {timeout_s:.0f} s is over."
    return Verification.model_validate(
        {"outcome": outcome, "observations": seen, "reason": reason, "checked_at": now}
    )


def _delay(attempt: Attempt) -> float:
    return 0.0 if isinstance(attempt.remedy, AskOwner) else attempt.remedy.delay_s


def _observed(run: RunRecord, now: datetime) -> Observation:
    what = f"run is {run.state.name} since {run.state.timestamp.isoformat()}, started {run.run_count} times"
    return Observation(at=now, what=what, ok=run.state.type == "COMPLETED", subject=run.id)


def _judged(session: TroubleshootingSession, attempt: Attempt, run: RunRecord) -> tuple[str, str]:
    if run.id != session.flow_run_id:
        return "unverified", "Another run was read than the one that failed."
    after = attempt.applied_at is not None and run.state.timestamp > attempt.applied_at
    if run.state.id == attempt.state_id_before or not after:
        return "pending", "The run has not moved since the remedy."
    went_on = isinstance(attempt.remedy, ReleaseSlots) and run.run_count == session.run_count
    return _went_on(run) if went_on else _ended(run, ran_again=run.run_count > session.run_count)


def _went_on(run: RunRecord) -> tuple[str, str]:
    """Judge a run that was waiting and is the same one still."""
    if run.state.type == "COMPLETED":
        return "verified", "The run that waited went on and completed."
    if run.state.type in FAILURE_STATES or run.state.type == "CANCELLED":
        return "unverified", f"The run ended as {run.state.name} after the slots were given back."
    return "pending", f"The run is {run.state.name}."


def _ended(run: RunRecord, *, ran_again: bool) -> tuple[str, str]:
    state = run.state
    if state.type == "COMPLETED" and ran_again:
        return "verified", f"The run completed after the remedy, on start {run.run_count}."
    if state.type == "COMPLETED":
        return "unverified", "The run is marked completed but has not run again."
    if state.type in FAILURE_STATES:
        again = (
            f"failed again on start {run.run_count}" if ran_again else f"is {state.name} without a new start"
        )
        return "failed", f"The run {again}: {state.message or state.name}"
    if state.type == "CANCELLED":
        return "unverified", "The run was cancelled after the remedy."
    return "pending", f"The run is {state.name}."
