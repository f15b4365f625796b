"""The steps of a troubleshooting session as pure transitions; a step out of order is refused."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from prefect_autopilot.errors import ConflictError
from prefect_autopilot.models import (
    Approval,
    AskOwner,
    Attempt,
    Diagnosis,
    DiagnosticFinding,
    GoodAgain,
    RemedyDecision,
    ResolutionStatus,
    SessionStep,
    TroubleshootingSession,
    Verification,
    WorkflowIssue,
)
from prefect_autopilot.troubleshooting.consent import KEEPS_THE_PLAN

LOOK_AT_PROPOSAL = timedelta(seconds=30)
SELDOM = timedelta(minutes=30)
PROPOSAL_LASTS = timedelta(days=3)

MOST_RELATED = 100
"""Further runs that a session names; the store knows the session of each."""
TOOK_IN = "took in "

OPEN = frozenset({ResolutionStatus.IN_PROGRESS, ResolutionStatus.MANUAL, ResolutionStatus.PARTIAL})
ORDER = tuple(SessionStep)


def start(
    session_id: str, workflow_id: str, *, flow_run_id: str | None, run_count: int, now: datetime
) -> TroubleshootingSession:
    """Return a new session at its first step."""
    return TroubleshootingSession(
        session_id=session_id,
        workflow_id=workflow_id,
        flow_run_id=flow_run_id,
        run_count=run_count,
        start_time=now,
        due_at=now,
        related_runs=(flow_run_id,) if flow_run_id else (),
        trail=(_line(now, "opened"),),
    )


def identify(
    session: TroubleshootingSession, issues: tuple[WorkflowIssue, ...], *, now: datetime
) -> TroubleshootingSession:
    """Return the session with its issues, ready for analysis."""
    _must_be(session, SessionStep.IDENTIFICATION)
    said = f"identified {len(issues)} issues"
    return _moved(session, SessionStep.ANALYSIS, said, now, issues=issues, due_at=now)


def analyse(
    session: TroubleshootingSession, findings: tuple[DiagnosticFinding, ...], *, now: datetime
) -> TroubleshootingSession:
    """Return the session with its findings, ready for diagnosis."""
    _must_be(session, SessionStep.ANALYSIS)
    said = f"analysed: {len(findings)} findings"
    return _moved(session, SessionStep.DIAGNOSIS, said, now, findings=findings, due_at=now)


def conclude(
    session: TroubleshootingSession,
    diagnosis: Diagnosis,
    recommendations: tuple[str, ...],
    *,
    now: datetime,
) -> TroubleshootingSession:
    """Return the session with its diagnosis, ready for resolution."""
    _must_be(session, SessionStep.DIAGNOSIS)
    said = f"diagnosed {diagnosis.category} at {diagnosis.confidence:.2f}: {diagnosis.root_cause}"
    return _moved(
        session,
        SessionStep.RESOLUTION,
        said,
        now,
        diagnosis=diagnosis,
        recommendations=recommendations,
        fingerprint=diagnosis.fingerprint,
        due_at=now,
    )


def resolve(
    session: TroubleshootingSession, decision: RemedyDecision, *, now: datetime
) -> TroubleshootingSession:
    """Return the session with the gate's decision; anything but act and wait ends or hands over.

    A proposal is looked at again soon: it ends by itself when somebody else has seen to the run.
    """
    _must_be(session, SessionStep.RESOLUTION)
    said = f"decided to {decision.action.replace('_', ' ')}: {decision.reason}"
    if decision.action == "act":
        return _changed(
            session, said, now, decision=decision, due_at=now, resolution_status=ResolutionStatus.IN_PROGRESS
        )
    if decision.action == "wait":
        return _waits(session, decision, said, now)
    if decision.action == "propose":
        return _changed(
            session,
            said,
            now,
            decision=decision,
            due_at=now + LOOK_AT_PROPOSAL,
            resolution_status=ResolutionStatus.MANUAL,
        )
    status = ResolutionStatus.ESCALATED if decision.action == "escalate" else ResolutionStatus.CLOSED
    return _changed(
        session,
        said,
        now,
        decision=decision,
        due_at=None,
        resolution_status=status,
        end_time=now,
        steps_completed=(*session.steps_completed, SessionStep.RESOLUTION),
    )


def _waits(
    session: TroubleshootingSession, decision: RemedyDecision, said: str, now: datetime
) -> TroubleshootingSession:
    """Return the session that asks the gate again later; the same reason is written down once."""

    def stopped(one: RemedyDecision) -> list[str]:
        return [check.name for check in one.checks if not check.passed]

    before = session.decision
    changes = {
        "decision": decision,
        "due_at": decision.wait_until or now + LOOK_AT_PROPOSAL,
        "resolution_status": ResolutionStatus.IN_PROGRESS,
    }
    if before is not None and before.action == "wait" and stopped(before) == stopped(decision):
        return session.model_copy(update=changes)
    return _changed(session, said, now, **changes)


def approve(session: TroubleshootingSession, approval: Approval, *, now: datetime) -> TroubleshootingSession:
    """Return the session with a person's yes; the gate is asked again before anything is done.

    Raises ConflictError where nothing waits for a person, and where a yes alone would change nothing.
    """
    decision = _awaiting(session)
    if approval.state_id != decision.state_id:
        raise ConflictError("The run has changed since the proposal was made; look at the session again.")
    if isinstance(decision.remedy, AskOwner) and not _rerun_is_all(decision, approval):
        raise ConflictError(f"A yes is not enough here: {decision.reason}")
    how = ", who has made sure that the work may be done again" if approval.rerun else ""
    return _changed(
        session,
        f"approved by {approval.by}{how}",
        now,
        approval=approval,
        due_at=now,
        resolution_status=ResolutionStatus.IN_PROGRESS,
    )


def _rerun_is_all(decision: RemedyDecision, approval: Approval) -> bool:
    failed = {check.name for check in decision.checks if not check.passed}
    return approval.rerun and "repeatable" in failed and failed - KEEPS_THE_PLAN == {"repeatable"}


def deny(session: TroubleshootingSession, by: str, reason: str, *, now: datetime) -> TroubleshootingSession:
    """Return the session closed by a person's no; raises ConflictError where nothing waits for a person."""
    _awaiting(session)
    return close(session, f"denied by {by}{f': {reason}' if reason else ''}", now=now)


def _awaiting(session: TroubleshootingSession) -> RemedyDecision:
    decision = session.decision
    waits = decision is not None and decision.action in {"propose", "wait"}
    if session.current_step is not SessionStep.RESOLUTION or not waits or session.end_time is not None:
        raise ConflictError(
            f"Session {session.session_id} is {session.resolution_status};"
            " no proposal of it waits for a person."
        )
    assert decision is not None
    return decision


def looked_at_proposal(session: TroubleshootingSession, *, now: datetime) -> TroubleshootingSession:
    """Return a proposal that still stands, to be looked at later; the older it is, the later.

    After three days nobody looks any more, and the proposal stays as it is.
    """
    _must_be(session, SessionStep.RESOLUTION)
    age = now - session.start_time
    if age > PROPOSAL_LASTS:
        return session.model_copy(update={"due_at": None})
    return session.model_copy(update={"due_at": now + min(max(LOOK_AT_PROPOSAL, age / 4), SELDOM)})


def applied(
    session: TroubleshootingSession, attempt: Attempt, *, now: datetime, look_after_s: float = 5
) -> TroubleshootingSession:
    """Return the session after a remedy was carried out; it is looked at again when the retry is due."""
    _must_be(session, SessionStep.RESOLUTION)
    if session.decision is None or isinstance(attempt.remedy, AskOwner):
        raise ConflictError(
            "A remedy can only be recorded after a decision for one; resolve the session first."
        )
    if attempt.number != len(session.attempts) + 1:
        raise ConflictError(
            f"Attempt {attempt.number} does not follow attempt {len(session.attempts)} of the session."
        )
    said = f"applied attempt {attempt.number}: {attempt.remedy.kind}" + (
        f", error: {attempt.error}" if attempt.error else ""
    )
    due = now + timedelta(seconds=attempt.remedy.delay_s + look_after_s)
    return _moved(
        session,
        SessionStep.VERIFICATION,
        said,
        now,
        attempts=(*session.attempts, attempt),
        due_at=due,
        resolution_status=ResolutionStatus.IN_PROGRESS,
    )


def checked(
    session: TroubleshootingSession, verification: Verification, *, now: datetime, look_after_s: float = 5
) -> TroubleshootingSession:
    """Return the session after a look: resolved, back to resolution, or waiting for the next look."""
    _must_be(session, SessionStep.VERIFICATION)
    if not session.attempts:
        raise ConflictError("There is no attempt to verify.")
    last = session.attempts[-1].model_copy(update={"verification": verification})
    attempts = (*session.attempts[:-1], last)
    said = f"looked: {verification.outcome}: {verification.reason}"
    if verification.outcome == "pending":
        due = now + timedelta(seconds=look_after_s)
        return session.model_copy(update={"attempts": attempts, "due_at": due})
    if verification.outcome == "verified":
        status = ResolutionStatus.AUTO_RESOLVED
        return _moved(
            session,
            SessionStep.VERIFICATION,
            said,
            now,
            attempts=attempts,
            due_at=None,
            end_time=now,
            resolution_status=status,
        )
    if verification.outcome == "failed":
        return _moved(
            session, SessionStep.RESOLUTION, said, now, attempts=attempts, decision=None, due_at=now
        )
    return _changed(session, said, now, attempts=attempts, due_at=None)


def spread(session: TroubleshootingSession, *, now: datetime) -> TroubleshootingSession:
    """Return a storm's session whose canary was verified, to go on with the runs that failed alike."""
    if session.storm is None:
        raise ConflictError("Only the session of a storm has further runs to go on with.")
    return _changed(
        session,
        f"goes on with {session.storm.runs} further runs that failed alike",
        now,
        storm=session.storm.model_copy(update={"spreads": True}),
        resolution_status=ResolutionStatus.IN_PROGRESS,
        due_at=now,
        end_time=None,
    )


def prepared(
    session: TroubleshootingSession, verification: Verification, *, now: datetime
) -> TroubleshootingSession:
    """Return the session back at resolution: what must precede the retry was observed to be done."""
    _must_be(session, SessionStep.VERIFICATION)
    if not session.attempts or verification.outcome != "verified":
        raise ConflictError("Only what was observed to be done prepares a retry.")
    last = session.attempts[-1].model_copy(update={"verification": verification})
    attempts = (*session.attempts[:-1], last)
    said = f"looked: {verification.reason}"
    return _moved(session, SessionStep.RESOLUTION, said, now, attempts=attempts, decision=None, due_at=now)


def diagnosed_again(
    session: TroubleshootingSession, diagnosis: Diagnosis, *, now: datetime
) -> TroubleshootingSession:
    """Return the session with the diagnosis of a repeated failure; only between two attempts."""
    _must_be(session, SessionStep.RESOLUTION)
    same = "same" if diagnosis.fingerprint == session.fingerprint else "another"
    said = f"diagnosed again, {same} failure: {diagnosis.root_cause}"
    return _changed(session, said, now, diagnosis=diagnosis, fingerprint=diagnosis.fingerprint)


def good_again(session: TroubleshootingSession, seen: GoodAgain, *, now: datetime) -> TroubleshootingSession:
    """Return a session that was handed over with the good run that was seen after it."""
    return _changed(session, seen.told(), now, good_again=seen)


def took_in(session: TroubleshootingSession, run_id: str, *, now: datetime) -> TroubleshootingSession:
    """Return the session with a further run that failed alike, or passed its failure on.

    One line of the trail tells of all of them that came in a row.
    """
    number = session.further_runs + 1
    said = f"{TOOK_IN}{number} further run{'s' * (number > 1)}, the last one {run_id}"
    before = session.trail[:-1] if session.last_said.startswith(TOOK_IN) else session.trail
    own, *others = session.related_runs or (run_id,)
    related = tuple(dict.fromkeys((own, *others[-MOST_RELATED:], run_id)))
    return session.model_copy(
        update={"related_runs": related, "further_runs": number, "trail": (*before, _line(now, said))}
    )


def escalate(session: TroubleshootingSession, reason: str, *, now: datetime) -> TroubleshootingSession:
    """Return the session handed to a person."""
    _must_be_open(session)
    return _changed(
        session,
        f"escalated: {reason}",
        now,
        due_at=None,
        end_time=now,
        resolution_status=ResolutionStatus.ESCALATED,
    )


def close(
    session: TroubleshootingSession,
    reason: str,
    *,
    now: datetime,
    status: ResolutionStatus = ResolutionStatus.CLOSED,
) -> TroubleshootingSession:
    """Return the session closed; raises ConflictError where it is closed already.

    ``AUTO_RESOLVED`` is accepted only where a verification says so; ``RESOLVED`` is a person's word.
    """
    if session.resolution_status is ResolutionStatus.CLOSED:
        raise ConflictError(f"Session {session.session_id} is closed already.")
    seen = any(item.verification and item.verification.outcome == "verified" for item in session.attempts)
    if status is ResolutionStatus.AUTO_RESOLVED and not seen:
        raise ConflictError("Nothing was verified, so the session cannot be closed as resolved.")
    return _changed(
        session,
        f"closed: {reason}",
        now,
        due_at=None,
        end_time=session.end_time or now,
        resolution_status=status,
    )


def _must_be_open(session: TroubleshootingSession) -> None:
    if session.resolution_status not in OPEN:
        raise ConflictError(f"Session {session.session_id} is {session.resolution_status}; open a new one.")


def _must_be(session: TroubleshootingSession, step: SessionStep) -> None:
    _must_be_open(session)
    if session.current_step is not step:
        raise ConflictError(
            f"Session {session.session_id} is at {session.current_step}, not at {step}; keep the order."
        )


def _moved(
    session: TroubleshootingSession, step: SessionStep, said: str, now: datetime, **changes: Any
) -> TroubleshootingSession:
    done = (*session.steps_completed, session.current_step)
    return _changed(session, said, now, current_step=step, steps_completed=done, **changes)


def _changed(
    session: TroubleshootingSession, said: str, now: datetime, **changes: Any
) -> TroubleshootingSession:
    return session.model_copy(update={**changes, "trail": (*session.trail, _line(now, said))})


def _line(now: datetime, said: str) -> str:
    return f"{now.isoformat()} {said}"
