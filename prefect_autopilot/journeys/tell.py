"""Tell people what became of a session: an artifact on the run for the Prefect UI, a notice for channels."""

from __future__ import annotations

import hashlib
from typing import Literal

from prefect_autopilot.errors import PrefectError, UnknownNameError
from prefect_autopilot.journeys.desk import Desk
from prefect_autopilot.journeys.joining import is_told
from prefect_autopilot.journeys.lasting import lasting_cure
from prefect_autopilot.models import Notice, ResolutionStatus, TroubleshootingSession
from prefect_autopilot.troubleshooting import report
from prefect_autopilot.troubleshooting.report import links, recognised

ARTIFACT_KEY = "autopilot-diagnosis"

Outcome = Literal["resolved", "proposal", "escalated", "no_action", "info"]

ONCE = frozenset({"proposal", "escalated"})
_OUTCOMES: dict[ResolutionStatus, Outcome] = {
    ResolutionStatus.AUTO_RESOLVED: "resolved",
    ResolutionStatus.RESOLVED: "resolved",
    ResolutionStatus.ESCALATED: "escalated",
    ResolutionStatus.MANUAL: "proposal",
}
"""What is worth telling a person; closed without an act (a human was first) is nobody's alarm."""


async def publish(desk: Desk, session: TroubleshootingSession) -> None:
    """Attach the report to the run and queue a notice, once for each outcome and attempt of the session.

    That a workflow needs a person for one cause is told once in half a day, however many runs it fails.
    """
    session = await recognise(desk, session)
    if cure := await lasting_cure(desk, session):
        session = session.model_copy(update={"recommendations": (*session.recommendations, cure)})
    await attach(desk, session)
    outcome = _OUTCOMES.get(session.resolution_status)
    if session.storm is not None and session.resolution_status is ResolutionStatus.PARTIAL:
        outcome = "info"  # the end of a storm, with what became of its runs
    if outcome is None or (outcome in ONCE and await is_told(desk, session, outcome)):
        return
    now = desk.clock()
    mark = f"{session.session_id}:{outcome}:{len(session.attempts)}"
    diagnosis = session.diagnosis
    cause = diagnosis.root_cause if diagnosis else "unknown cause"
    advice = "\n".join(f"- {item}" for item in session.recommendations)
    page = links(session, desk.api.ui).get("the run", "")
    lines = (session.last_said, recognised(session), advice, page, _address(desk, session))
    await desk.store.queue_notice(
        Notice(
            notice_id=hashlib.sha256(mark.encode()).hexdigest()[:32],
            outcome=outcome,
            title=f"{subject(session)}{_further(session)}: {cause}",
            text="\n".join(line for line in lines if line),
            flow_run_id=session.flow_run_id,
            deployment_id=session.workflow_id,
            session_id=session.session_id,
            action=session.decision.remedy.kind if session.decision else None,
        ),
        now,
    )


async def recognise(desk: Desk, session: TroubleshootingSession) -> TroubleshootingSession:
    """Return the session with what is known of its cause from before."""
    if not session.fingerprint:
        return session
    known = await desk.store.recurrence(session.fingerprint, session.workflow_id, besides=session.session_id)
    return session.model_copy(update={"recurrence": known})


async def attach(desk: Desk, session: TroubleshootingSession, run_id: str | None = None) -> None:
    """Attach the report of a session to its run, or to another one that it took in."""
    run_id = run_id or session.flow_run_id
    if run_id is None:
        return
    try:
        await desk.api.attach_markdown(
            run_id,
            key=ARTIFACT_KEY,
            markdown=report(session, desk.api.ui) + _place(desk, session),
            description=f"autopilot session {session.session_id}: {session.resolution_status.value}",
        )
    except (PrefectError, UnknownNameError) as error:
        # The report is a courtesy: the session, its audit and its notice stand in our own store.
        await desk.store.audit(
            desk.holder, "artifact not attached", session.session_id, {"error": error.message}, desk.clock()
        )


def _address(desk: Desk, session: TroubleshootingSession) -> str:
    return f"{desk.page_url}/ui/sessions/{session.session_id}" if desk.page_url is not None else ""


def _place(desk: Desk, session: TroubleshootingSession) -> str:
    address = _address(desk, session)
    return f"\n\n[This session on the status page]({address})\n" if address else ""


def headline(session: TroubleshootingSession) -> str:
    """Return what is about which run and where it stands, in one line."""
    cause = session.diagnosis.root_cause if session.diagnosis else "not diagnosed yet"
    status = session.resolution_status.value.replace("_", " ")
    said = f"; {session.last_said}" if session.last_said else ""
    said = f"{said.removesuffix('.')}. {known}" if (known := recognised(session)) else said
    return " ".join(f"{subject(session)}{_further(session)}: {status}. {cause}{said}".split())


def _further(session: TroubleshootingSession) -> str:
    number = session.further_runs + (session.storm.runs if session.storm is not None else 0)
    return f" and {number} further run{'s' * (number > 1)}" if number else ""


def subject(session: TroubleshootingSession) -> str:
    """Return the name of what a session is about."""
    component = session.issues[0].affected_components if session.issues else ()
    return component[0] if component else f"run {session.flow_run_id}"
