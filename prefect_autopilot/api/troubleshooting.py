"""Calls of the second journey: sessions from a report to an observed good run."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from prefect_autopilot.api.access import actor_of
from prefect_autopilot.api.answers import (
    AutomatedAnswer,
    DeletedAnswer,
    DiagnosisAnswer,
    IssuesAnswer,
    RecommendationsAnswer,
    ResolveAnswer,
    RootCause,
    SessionAnswer,
    SessionsAnswer,
    TroubleshootAnswer,
    VerificationAnswer,
)
from prefect_autopilot.api.bodies import (
    Limit,
    LogsBody,
    MetricsBody,
    Offset,
    ResolveBody,
    SessionId,
    VerifyBody,
)
from prefect_autopilot.api.context import Context, context_of, logger
from prefect_autopilot.api.lists import DEFAULT_LIMIT, link_to_next, page_of
from prefect_autopilot.errors import AutopilotError
from prefect_autopilot.journeys import sessions
from prefect_autopilot.journeys.settle import settle
from prefect_autopilot.models import (
    IssueCategory,
    ResolutionStatus,
    TroubleshootingSession,
    WorkflowIssue,
)

SESSIONS = "/api/workflow-troubleshooting/sessions"
MOST_ISSUES = 500
NOTHING_KNOWN = "The session holds no failure text and no metric beyond its limit; send logs or metrics."


async def analyze_failure(body: LogsBody, request: Request) -> TroubleshootAnswer:
    """Open a session on log entries and return issues, causes and advice at once."""
    context = context_of(request)
    session = await _opened(context, body, actor_of(request))
    store, now = await context.store(), context.clock()
    session = await sessions.diagnose(store, session.session_id, now, actor=actor_of(request))
    advice = await sessions.recommend(store, session.session_id, now, actor=actor_of(request))
    causes = _causes(session)
    return TroubleshootAnswer(
        success=bool(session.issues),
        error=None if session.issues else NOTHING_KNOWN,
        session_id=session.session_id,
        issues=session.issues,
        root_causes=causes,
        recommendations=tuple(one.recommendation for one in advice),
        confidence_score=max((cause.confidence for cause in causes), default=0.0),
    )


async def resolve_issues(body: ResolveBody, request: Request) -> ResolveAnswer:
    """Take a workflow's sessions as far as they go; only an observed good run makes an issue resolved."""
    context = context_of(request)
    async with context.desk_if_any() as (desk, unread):
        store = await context.store()
        found = await settle(
            store, body.workflow_id, body.issue_ids, actor=actor_of(request), clock=context.clock, desk=desk
        )
    return ResolveAnswer(
        success=bool(found.resolved) and not found.remaining,
        error=None if not found.remaining else f"{len(found.remaining)} issues remain.",
        resolved_issues=found.resolved,
        remaining_issues=found.remaining,
        resolution_status=found.status,
        actions=found.done,
        prefect=unread,
    )


async def open_session(body: LogsBody, request: Request) -> SessionAnswer:
    """Open a troubleshooting session on log entries; without any, stored failed runs are read."""
    session = await _opened(context_of(request), body, actor_of(request))
    return SessionAnswer(
        session_id=session.session_id,
        workflow_id=session.workflow_id,
        issues_found=len(session.issues),
        current_step=session.current_step,
        resolution_status=session.resolution_status,
        start_time=session.start_time,
        recommendations_count=len(session.recommendations),
    )


async def list_sessions(
    request: Request,
    workflow_id: str | None = None,
    status: ResolutionStatus | None = None,
    limit: Limit = DEFAULT_LIMIT,
    offset: Offset = 0,
) -> SessionsAnswer:
    """Return sessions, the latest first."""
    store = await context_of(request).store()
    found = await store.sessions(workflow_id=workflow_id, status=status, limit=limit + 1, offset=offset)
    return SessionsAnswer(sessions=found[:limit], **page_of(len(found), limit, offset))


async def read_session(session_id: SessionId, request: Request) -> TroubleshootingSession:
    """Return a session with everything that is known."""
    return await sessions.read(await context_of(request).store(), str(session_id))


async def delete_session(session_id: SessionId, request: Request) -> DeletedAnswer:
    """Delete a session; the audit trail stays and tells who deleted it."""
    context = context_of(request)
    store = await context.store()
    await sessions.delete(store, str(session_id), context.clock(), actor=actor_of(request))
    kept = await store.audit_trail(str(session_id))
    return DeletedAnswer(session_id=str(session_id), audit_entries=len(kept))


async def session_issues(
    session_id: SessionId,
    request: Request,
    response: Response,
    limit: Limit = MOST_ISSUES,
    offset: Offset = 0,
) -> tuple[WorkflowIssue, ...]:
    """Return the issues of a session; a bare list, so the header ``Link`` leads to the next page."""
    session = await sessions.read(await context_of(request).store(), str(session_id))
    found = session.issues[offset : offset + limit + 1]
    response.headers.update(link_to_next(request, page_of(len(found), limit, offset)))
    return found[:limit]


async def analyze_metrics(session_id: SessionId, body: MetricsBody, request: Request) -> IssuesAnswer:
    """Add the issues that reported metrics show."""
    context = context_of(request)
    store, ident = await context.store(), str(session_id)
    found = await sessions.analyze_metrics(
        store, ident, body.metrics, context.clock(), actor=actor_of(request)
    )
    session = await sessions.read(store, ident)
    return IssuesAnswer(session_id=ident, issues=found, current_step=session.current_step)


async def diagnose_session(session_id: SessionId, request: Request) -> DiagnosisAnswer:
    """Return the causes of a session's issues, each with confidence and evidence."""
    context = context_of(request)
    session = await sessions.diagnose(
        await context.store(), str(session_id), context.clock(), actor=actor_of(request)
    )
    causes = _causes(session)
    return DiagnosisAnswer(
        session_id=session.session_id,
        root_causes=causes,
        current_step=session.current_step,
        reason=None if causes else NOTHING_KNOWN,
    )


async def recommend_for_session(session_id: SessionId, request: Request) -> RecommendationsAnswer:
    """Return what to do, each with the evidence it rests on."""
    context = context_of(request)
    found = await sessions.recommend(
        await context.store(), str(session_id), context.clock(), actor=actor_of(request)
    )
    return RecommendationsAnswer(
        session_id=str(session_id), recommendations=found, reason=None if found else NOTHING_KNOWN
    )


async def verify_session(
    session_id: SessionId, request: Request, body: VerifyBody | None = None
) -> VerificationAnswer:
    """Say what was observed since the session's last act; nothing observed is unverified."""
    context = context_of(request)
    results = body.test_results if body is not None else None
    async with context.desk_if_any() as (desk, unread):
        session, seen = await sessions.verify(
            await context.store(),
            str(session_id),
            context.clock(),
            actor=actor_of(request),
            api=desk.api if desk is not None else None,
            test_results=results,
        )
    said = f"a caller says {results}" if results else None
    return VerificationAnswer(
        session_id=session.session_id,
        outcome=seen.outcome,
        reason=seen.reason,
        observations=seen.observations,
        test_results_recorded=said is not None and any("a caller says" in line for line in session.trail),
        resolution_status=session.resolution_status,
        current_step=session.current_step,
        checked_at=seen.checked_at,
        prefect=unread,
    )


async def summarize_session(session_id: SessionId, request: Request) -> sessions.SessionSummary:
    """Return a session in figures, with its trail."""
    context = context_of(request)
    return sessions.summary(await sessions.read(await context.store(), str(session_id)), context.clock())


async def troubleshoot_automatically(body: LogsBody, request: Request) -> AutomatedAnswer:
    """Open a session and return its id at once; diagnosis, resolution and a look at the runs follow."""
    context = context_of(request)
    session = await _opened(context, body, actor_of(request))
    context.begin(_work_through(context, session, actor_of(request)))
    return AutomatedAnswer(
        session_id=session.session_id,
        status="started",
        result=f"{SESSIONS}/{session.session_id}",
        issues_found=len(session.issues),
        resolution_status=session.resolution_status,
    )


async def _opened(context: Context, body: LogsBody, actor: str) -> TroubleshootingSession:
    return await sessions.open_session(
        await context.store(),
        body.workflow_id,
        body.error_logs,
        context.clock(),
        actor=actor,
        context=body.additional_context,
    )


async def _work_through(context: Context, session: TroubleshootingSession, actor: str) -> None:
    store = await context.store()
    try:
        await sessions.diagnose(store, session.session_id, context.clock(), actor=actor)
        issues = [issue.issue_id for issue in session.issues]
        async with context.desk_if_any() as (desk, _):
            await settle(store, session.workflow_id, issues, actor=actor, clock=context.clock, desk=desk)
    except AutopilotError as error:
        logger.warning("Session %s stopped: %s", session.session_id, error.message)
        detail = {"error": error.message}
        await store.audit(actor, "automation.stopped", session.session_id, detail, context.clock())


def _causes(session: TroubleshootingSession) -> tuple[RootCause, ...]:
    categories = {issue.issue_id: issue.category for issue in session.issues}
    return tuple(
        RootCause(
            finding_id=finding.finding_id,
            description=finding.description,
            category=next(
                (categories[issue] for issue in finding.related_issues if issue in categories),
                IssueCategory.UNKNOWN,
            ),
            confidence=finding.confidence,
            evidence=finding.evidence,
            related_issues=finding.related_issues,
            suggested_actions=finding.suggested_actions,
        )
        for finding in session.findings
    )
