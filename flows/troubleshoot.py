"""Failed run → resolved, started by the automation on failed runs or by hand in the Prefect UI."""

from __future__ import annotations

from typing import Annotated, Literal

from prefect import flow
from prefect.artifacts import acreate_markdown_artifact
from pydantic import Field

from prefect_autopilot.adapters.channels import deliver_pending
from prefect_autopilot.journeys import resolve
from prefect_autopilot.journeys.desk import open_desk
from prefect_autopilot.models import JSONDict
from prefect_autopilot.settings import load_settings
from prefect_autopilot.troubleshooting import report


@flow(
    name="autopilot-troubleshoot", description="Diagnose a failed run, resolve it where allowed, verify it."
)
async def troubleshoot(
    flow_run_id: str,
    mode: Literal["propose", "approve", "auto"] = "propose",
    wait_s: Annotated[float, Field(ge=0, le=7200)] = 900,
) -> JSONDict:
    """Take one failed run from identification to verification.

    A second event for the same failure finds it claimed and ends at once. Returns the session's id, its
    status and its root cause.

    Args:
        flow_run_id: Id of the failed flow run.
        mode: propose says what would help; approve also asks by a form; auto acts where every check passes.
        wait_s: Seconds to wait for the verification.
    """
    async with open_desk(load_settings(mode=mode)) as desk:
        run = await desk.api.run(flow_run_id)
        session = await resolve.take_up(desk, run, join=False, origin="flow")
        if session is None:
            return {"flow_run_id": flow_run_id, "outcome": "nothing to do, or taken up already"}
        session = await resolve.until_settled(desk, session.session_id, wait_s=wait_s)
        await deliver_pending(desk.store, desk.channels, desk.clock())
    await acreate_markdown_artifact(
        markdown=report(session), key="autopilot-session", description=f"Session {session.session_id}"
    )
    return {
        "flow_run_id": flow_run_id,
        "session_id": session.session_id,
        "outcome": session.resolution_status.value,
        "root_cause": session.diagnosis.root_cause if session.diagnosis else None,
    }
