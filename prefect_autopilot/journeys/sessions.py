"""Troubleshooting on request: a report becomes a session that is diagnosed, advised and verified.

The steps are those of ``journeys.resolve``; the difference is who begins. Nothing here applies a remedy by
itself: sessions of runs are taken on by ``resolve.advance`` behind its gate. Everything stands in the store.
"""

from __future__ import annotations

import asyncio
import uuid
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta

from prefect_autopilot import troubleshooting
from prefect_autopilot.errors import ConflictError, UnknownNameError
from prefect_autopilot.journeys import observe, reported
from prefect_autopilot.journeys.reading import ReadsRuns
from prefect_autopilot.journeys.reported import Recommendation
from prefect_autopilot.journeys.verifying import VERIFY_WITHIN
from prefect_autopilot.journeys.workflows import find_workflow, runs_of
from prefect_autopilot.models import (
    FAILURE_STATES,
    TERMINAL_STATES,
    IssueCategory,
    JSONDict,
    Observation,
    ResolutionStatus,
    RunRecord,
    SessionStep,
    Severity,
    TroubleshootingSession,
    Value,
    Verification,
    WorkflowIssue,
)
from prefect_autopilot.redaction import redact, redact_value
from prefect_autopilot.store import Store
from prefect_autopilot.troubleshooting import session as steps

MOST_OBSERVED = 20
Clock = Callable[[], datetime]
_SETTLED = frozenset({ResolutionStatus.RESOLVED, ResolutionStatus.AUTO_RESOLVED})


class SessionSummary(Value):
    """A session in figures; the duration is in seconds and runs until now while it is open."""

    session_id: str
    workflow_id: str
    start_time: datetime
    end_time: datetime | None
    duration_seconds: float
    resolution_status: ResolutionStatus
    current_step: SessionStep
    steps_completed: tuple[SessionStep, ...]
    issues_count: int
    issues_by_severity: dict[Severity, int]
    issues_by_category: dict[IssueCategory, int]
    recommendations_count: int
    attempts: int
    trail: tuple[str, ...]


async def open_session(
    store: Store,
    workflow_id: str,
    error_logs: Sequence[str],
    now: datetime,
    *,
    actor: str,
    context: JSONDict | None = None,
) -> TroubleshootingSession:
    """Open a session on what somebody reports and return it with the issues found, ready for analysis.

    Log entries are redacted before anything else. Without any, the messages of the workflow's failed runs
    in the store are read instead.
    """
    logs, source = [redact(entry) for entry in error_logs], "the caller's log"
    if not any(entry.strip() for entry in logs):
        logs, source = await _stored_failures(store, workflow_id), "failed runs in the store"
    diagnoses = await asyncio.to_thread(reported.diagnoses_of, logs)
    issues = reported.issues_of(diagnoses, workflow_id, now)
    session = steps.start(str(uuid.uuid4()), workflow_id, flow_run_id=None, run_count=0, now=now)
    session = _noted(session, f"read {len(logs)} entries of {source}", now)
    session = steps.identify(session, issues, now=now).model_copy(
        update={
            "findings": reported.findings_of(diagnoses, issues, now),
            "diagnosis": diagnoses[0] if diagnoses else None,
            "fingerprint": diagnoses[0].fingerprint if diagnoses else "",
        }
    )
    detail = {"workflow": workflow_id, "entries": len(logs), "context": redact_value(context or {})}
    return await _save(store, session, None, actor, "opened", detail, now)


async def _stored_failures(store: Store, workflow_id: str) -> list[str]:
    workflow = await find_workflow(store, workflow_id)
    if workflow is None:
        return []
    runs = await runs_of(store, workflow)
    failed = [run for run in runs if run.state.type in FAILURE_STATES]
    return [run.state.message or f"Run ended in state {run.state.name}" for run in failed[-MOST_OBSERVED:]]


async def read(store: Store, session_id: str) -> TroubleshootingSession:
    """Return a session; raises UnknownNameError."""
    return (await store.load_session(session_id))[0]


async def analyze_metrics(
    store: Store, session_id: str, metrics: Mapping[str, float], now: datetime, *, actor: str
) -> tuple[WorkflowIssue, ...]:
    """Add the issues that reported metrics show to an open session and return them.

    A metric reported again replaces what it said before. Raises ConflictError when the session is over.
    """
    session, version = await store.load_session(session_id)
    _must_be_open(session)
    found = troubleshooting.issues_from_metrics(session.workflow_id, metrics, now)
    kept = [issue for issue in session.issues if not set(issue.metrics_impact) & set(metrics)]
    told = ", ".join(sorted(metrics)) or "none"
    moved = _noted(session, f"read metrics ({told}): {len(found)} issues", now, issues=(*kept, *found))
    await _save(store, moved, version, actor, "metrics", {"metrics": dict(metrics)}, now)
    return found


async def diagnose(store: Store, session_id: str, now: datetime, *, actor: str) -> TroubleshootingSession:
    """Take a session through analysis and diagnosis and return it; doing it again changes nothing.

    Metrics that came after the diagnosis become findings of it. A session without any issue stays where it
    is: there is nothing to diagnose.
    """
    session, version = await store.load_session(session_id)
    findings = reported.with_metrics(session.findings, session.issues, now)
    advice = tuple(one.recommendation for one in reported.recommendations_of(findings))
    if session.current_step is SessionStep.ANALYSIS:
        chosen = session.diagnosis or reported.diagnosis_of_metrics(session.issues)
        if chosen is None:
            return session
        moved = steps.conclude(steps.analyse(session, findings, now=now), chosen, advice, now=now)
    elif session.resolution_status in steps.OPEN and _differ(findings, session.findings):
        kept = tuple(dict.fromkeys((*session.recommendations, *advice)))
        said = f"analysed again: {len(findings)} findings"
        moved = _noted(session, said, now, findings=findings, recommendations=kept)
    else:
        return session
    return await _save(store, moved, version, actor, "diagnosis", _new_trail(session, moved), now)


def _differ(findings: Sequence[Value], known: Sequence[Value]) -> bool:
    def marks(values: Sequence[Value]) -> list[JSONDict]:
        return [value.model_dump(exclude={"detected_at"}) for value in values]

    return marks(findings) != marks(known)


async def recommend(
    store: Store, session_id: str, now: datetime, *, actor: str
) -> tuple[Recommendation, ...]:
    """Return what to do, each with its evidence; a session that was not diagnosed yet is diagnosed first."""
    session = await diagnose(store, session_id, now, actor=actor)
    found = reported.recommendations_of(session.findings)
    told = {one.recommendation for one in found}
    # What a session of a run was told beyond its findings (history, gaps) rests on the same evidence.
    evidence = session.diagnosis.evidence if session.diagnosis else ()
    confidence = session.diagnosis.confidence if session.diagnosis else 0.0
    further = (
        Recommendation(recommendation=text, finding_id="", confidence=confidence, evidence=evidence)
        for text in session.recommendations
        if text not in told
    )
    return (*found, *further)


async def verify(
    store: Store,
    session_id: str,
    now: datetime,
    *,
    actor: str,
    api: ReadsRuns | None = None,
    test_results: JSONDict | None = None,
) -> tuple[TroubleshootingSession, Verification]:
    """Return the session and what was observed since its last act; only observed runs can resolve it.

    ``test_results`` are a caller's word: written down, never believed. With ``api`` the newest runs are read
    first. Nothing observed is unverified, and the session stays as it is.
    """
    if api is not None:
        await observe.ingest(api, store, now)
    session, version = await store.load_session(session_id)
    if session.flow_run_id is not None:
        # The session of a run belongs to whoever advances it: look, and leave it alone.
        latest = await store.run(session.flow_run_id)
        return session, troubleshooting.verify(
            session, latest, now=now, timeout_s=VERIFY_WITHIN.total_seconds()
        )
    seen = await _finished_since(store, session.workflow_id, _last_act(session))
    verification = _judged(seen, now)
    if session.resolution_status not in steps.OPEN:
        return session, verification
    moved = session
    if test_results:
        said = f"a caller says {redact_value(test_results)}; that is no observation"
        moved = _noted(moved, said, now)
    said = f"looked: {verification.outcome}: {verification.reason}"
    moved = _noted(moved, said, now)
    if verification.outcome == "verified":
        moved = _resolved(moved, now)
    detail = {"outcome": verification.outcome, "test_results": test_results or {}}
    return await _save(store, moved, version, actor, "verification", detail, now), verification


def _last_act(session: TroubleshootingSession) -> datetime:
    applied = [attempt.applied_at for attempt in session.attempts if attempt.applied_at is not None]
    return max([session.start_time, *applied])


async def _finished_since(store: Store, workflow_id: str, since: datetime) -> list[RunRecord]:
    """Return the runs that began after ``since`` and ended, in that order; a cancelled one says nothing."""
    workflow = await find_workflow(store, workflow_id)
    if workflow is None:
        return []
    judged = TERMINAL_STATES - {"CANCELLED"}
    runs = await runs_of(store, workflow)
    seen = [run for run in runs if run.state.type in judged and run.start is not None and run.start > since]
    return sorted(seen, key=lambda run: run.state.timestamp)


def _judged(seen: Sequence[RunRecord], now: datetime) -> Verification:
    """Judge by the last run that ended: it began after the act, so it shows whether the act helped."""
    observations = tuple(
        Observation(
            at=run.state.timestamp,
            what=f"run {run.name or run.id} ended as {run.state.name}",
            ok=run.state.type == "COMPLETED",
            subject=run.id,
        )
        for run in seen[-MOST_OBSERVED:]
    )
    if not seen:
        return Verification(
            outcome="unverified", reason="No run of the workflow has ended since then.", checked_at=now
        )
    good = sum(run.state.type == "COMPLETED" for run in seen)
    counted = f"{good} of {len(seen)} runs since then completed"
    if seen[-1].state.type == "COMPLETED":
        return Verification(
            outcome="verified",
            observations=observations,
            reason=f"The last run completed; {counted}.",
            checked_at=now,
        )
    return Verification(
        outcome="failed",
        observations=observations,
        reason=f"The last run failed ({seen[-1].state.message or seen[-1].state.name}); {counted}.",
        checked_at=now,
    )


def _resolved(session: TroubleshootingSession, now: datetime) -> TroubleshootingSession:
    """Close a session on an observed good run: resolved, by whoever acted outside."""
    done = [*session.steps_completed]
    if session.current_step is SessionStep.RESOLUTION:
        done.append(SessionStep.RESOLUTION)
    ended = steps.close(session, "a good run was observed", now=now, status=ResolutionStatus.RESOLVED)
    return ended.model_copy(
        update={
            "current_step": SessionStep.VERIFICATION,
            "steps_completed": (*done, SessionStep.VERIFICATION),
        }
    )


def summary(session: TroubleshootingSession, now: datetime) -> SessionSummary:
    """Return a session in figures."""
    lasted: timedelta = (session.end_time or now) - session.start_time
    return SessionSummary(
        session_id=session.session_id,
        workflow_id=session.workflow_id,
        start_time=session.start_time,
        end_time=session.end_time,
        duration_seconds=lasted.total_seconds(),
        resolution_status=session.resolution_status,
        current_step=session.current_step,
        steps_completed=session.steps_completed,
        issues_count=len(session.issues),
        issues_by_severity=dict(Counter(issue.severity for issue in session.issues)),
        issues_by_category=dict(Counter(issue.category for issue in session.issues)),
        recommendations_count=len(session.recommendations),
        attempts=len(session.attempts),
        trail=session.trail,
    )


async def delete(store: Store, session_id: str, now: datetime, *, actor: str) -> None:
    """Delete a session; its audit entries stay. Raises UnknownNameError."""
    if not await store.delete_session(session_id, actor, now):
        raise UnknownNameError("session", session_id)


def is_settled(session: TroubleshootingSession) -> bool:
    """Tell whether a session ended because a good run was observed."""
    return session.resolution_status in _SETTLED


def _must_be_open(session: TroubleshootingSession) -> None:
    if session.resolution_status not in steps.OPEN:
        raise ConflictError(f"Session {session.session_id} is {session.resolution_status}; open a new one.")


def _noted(
    session: TroubleshootingSession, said: str, now: datetime, **changes: object
) -> TroubleshootingSession:
    return session.model_copy(update={**changes, "trail": (*session.trail, f"{now.isoformat()} {said}")})


def _new_trail(before: TroubleshootingSession, after: TroubleshootingSession) -> JSONDict:
    return {"trail": list(after.trail[len(before.trail) :])}


async def _save(
    store: Store,
    session: TroubleshootingSession,
    version: int | None,
    actor: str,
    action: str,
    detail: JSONDict,
    now: datetime,
) -> TroubleshootingSession:
    # Never due: only sessions of runs are taken on by watchers, this one waits for its caller.
    waiting = session if session.flow_run_id else session.model_copy(update={"due_at": None})
    await store.save_session(waiting, version)
    await store.audit(actor, action, waiting.session_id, detail, now)
    return waiting
