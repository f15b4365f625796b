"""A proposal is put to a person in the Prefect UI: approve, deny, change the wait; then it is done or not."""

from __future__ import annotations

from typing import Annotated

from prefect import flow
from pydantic import Field

from prefect_autopilot.adapters.channels import deliver_pending
from prefect_autopilot.errors import ConflictError
from prefect_autopilot.flows.forms import ask, decision_form
from prefect_autopilot.journeys import proposals, resolve
from prefect_autopilot.journeys.desk import Desk, open_desk
from prefect_autopilot.models import JSONDict, ResolutionStatus, TroubleshootingSession
from prefect_autopilot.settings import load_settings

BY = "person:prefect-ui"
"""Prefect does not tell who answered a form; its own event of the resumed run does where it has users."""


@flow(name="autopilot-resolve", description="Ask a person about a proposal, and carry it out when approved.")
async def resolve_session(
    session_id: str,
    wait_minutes: Annotated[float, Field(gt=0, le=1440)] = 60,
    wait_s: Annotated[float, Field(ge=0, le=7200)] = 900,
) -> JSONDict:
    """Pause with a form for the proposal of a session, and act through the gate when somebody approves.

    After a yes every other check is made again, on the state that the proposal was made for. A no closes
    the session. Where nobody answers, the proposal stays as it is.

    Args:
        session_id: Id of the session whose proposal waits for a person.
        wait_minutes: How long the form waits for an answer.
        wait_s: Seconds to wait for the verification of what was approved.
    """
    async with open_desk(load_settings()) as desk:
        session = await resolve.advance(desk, session_id)
        if session.resolution_status is not ResolutionStatus.MANUAL or session.decision is None:
            return _told(session, "nothing waits for a person")
        said, shown = decision_form(session), session
        answer = said.told(await ask(said, wait_minutes))
        if not answer:
            return _told(session, "nobody answered")
        try:
            outcome = await _answered(desk, shown, answer)
        except ConflictError as error:
            return _told(await resolve.advance(desk, session_id), error.message)
        session = await resolve.until_settled(desk, session_id, wait_s=wait_s)
        await deliver_pending(desk.store, desk.channels, desk.clock())
    return _told(session, outcome)


async def _answered(desk: Desk, session: TroubleshootingSession, answer: JSONDict) -> str:
    if not answer.get("approve"):
        await proposals.deny(desk.store, session.session_id, by=BY, clock=desk.clock)
        return "denied"
    assert session.decision is not None
    remedy = session.decision.remedy
    wished = {name: float(answer[name]) for name in remedy.changeable if name in answer}
    changes = {name: value for name, value in wished.items() if value != getattr(remedy, name)}
    await proposals.approve(
        desk.store,
        session.session_id,
        by=BY,
        clock=desk.clock,
        rerun=bool(answer.get("may_be_done_again")),
        changes=changes,
        seen=session.decision.state_id,
    )
    return "approved"


def _told(session: TroubleshootingSession, answer: str) -> JSONDict:
    return {
        "session_id": session.session_id,
        "flow_run_id": session.flow_run_id,
        "answer": answer,
        "outcome": session.resolution_status.value,
    }
