"""Mode approve: a proposal is put to a person in the Prefect UI, by a run of ours that pauses with a form."""

from __future__ import annotations

from prefect_autopilot.errors import PrefectError, UnknownNameError
from prefect_autopilot.journeys.desk import Desk
from prefect_autopilot.models import AskOwner, ResolutionStatus, TroubleshootingSession
from prefect_autopilot.models.names import OWN_PREFIX

ASKING_FLOW = f"{OWN_PREFIX}resolve"


async def ask_in_prefect(desk: Desk, session: TroubleshootingSession) -> str | None:
    """Start the run that asks about a proposal in mode ``approve``, once for the state it was made for.

    None where the mode is another one, a yes alone would change nothing, or the flow is not deployed: the
    notice tells of the proposal all the same.
    """
    decision = session.decision
    if decision is None or decision.mode != "approve" or isinstance(decision.remedy, AskOwner):
        return None
    if session.resolution_status is not ResolutionStatus.MANUAL:
        return None
    try:
        raw = await desk.api.request("GET", f"/deployments/name/{ASKING_FLOW}/{ASKING_FLOW}")
        run = await desk.api.start_run(
            str(raw["id"]),
            parameters={"session_id": session.session_id},
            idempotency_key=f"autopilot-ask-{session.session_id}-{decision.state_id}",
        )
    except (PrefectError, UnknownNameError) as error:
        # The form is one of several ways to say yes; the page and the command line stay.
        detail = {"error": error.message}
        await desk.store.audit(desk.holder, "not asked in Prefect", session.session_id, detail, desk.clock())
        return None
    await desk.store.audit(desk.holder, "asked in Prefect", session.session_id, {"run": run.id}, desk.clock())
    return run.id
