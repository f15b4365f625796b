"""A rewriting of the flow's source as a remedy: found when a run fails, proved and written after a yes."""

from __future__ import annotations

import asyncio
from pathlib import Path

from prefect_autopilot.adapters.files import digest
from prefect_autopilot.adapters.git_branch import tracked_in
from prefect_autopilot.errors import AutopilotError, ConflictError, PrefectError, UnknownNameError
from prefect_autopilot.journeys.aftermath import apply_and_watch, put_back
from prefect_autopilot.journeys.desk import Desk
from prefect_autopilot.journeys.flow_source import FlowSource, flow_source
from prefect_autopilot.journeys.lasting import RULES, answer, planned_for
from prefect_autopilot.journeys.proving import proved_as_deployed
from prefect_autopilot.journeys.reruns import HARMLESS, RerunCode
from prefect_autopilot.models import ApplyRewrite, Diagnosis, Evidence, OptimizationPlan
from prefect_autopilot.troubleshooting.remedies import SETTLE_S


async def find_rewrite(desk: Desk, diagnosis: Diagnosis, evidence: Evidence) -> ApplyRewrite | None:
    """Return the rewriting that answers the cause of a failure; None where there is none to be proved here.

    The proof runs the flow, so all that it does must be harmless a second time.
    """
    rules, run = RULES.get(diagnosis.remedy), evidence.run
    if not rules or run.deployment_id is None or RerunCode.of(evidence).verdict.level not in HARMLESS:
        return None
    try:
        found, planned = await _planned(desk, run.deployment_id, run.flow_name)
        if await asyncio.to_thread(tracked_in, found.path) is not None:
            return None  # what is in git is changed there, by review
    except (PrefectError, UnknownNameError):
        raise
    except AutopilotError:
        return None  # the source is elsewhere, or no flow that can be read
    edit = answer(planned, rules)
    if edit is None:
        return None
    what = f"{edit.rule}, line {edit.line}: {edit.reason}"
    return ApplyRewrite(
        flow_run_id=run.id,
        path=str(found.path),
        what=what,
        deployment_id=run.deployment_id,
        before_sha256=digest(found.source),
        after_sha256=digest(planned.source),
        proof=f"{what}, which the failure asks for",
        delay_s=SETTLE_S,
    )


async def _planned(desk: Desk, deployment_id: str, flow_name: str) -> tuple[FlowSource, OptimizationPlan]:
    raw = await desk.api.deployment(deployment_id)
    found = await flow_source(desk.api, raw | {"flow_name": flow_name})
    return found, await asyncio.to_thread(planned_for, found.path)


async def write_rewrite(desk: Desk, remedy: ApplyRewrite) -> str:
    """Prove the rewriting with the run's own parameters and write it; its next runs are compared.

    Raises ConflictError where the file was changed or the proof does not hold, ProofError where it cannot be
    made; then nothing was written.
    """
    run = await desk.api.run(remedy.flow_run_id)
    found, planned = await _planned(desk, remedy.deployment_id, run.flow_name)
    if (digest(found.source), digest(planned.source)) != (remedy.before_sha256, remedy.after_sha256):
        raise ConflictError(f"{found.path} was changed meanwhile; nothing was written.")
    proved = await proved_as_deployed(
        desk, planned, found.path, found.source, found.deployment, parameters=run.parameters
    )
    await apply_and_watch(
        desk,
        proved,
        found.path,
        found.source,
        by=desk.holder,
        flow_name=found.flow_name,
        deployment=found.deployment,
    )
    runs = proved.proof.n if proved.proof else 0
    return f"{found.path.name} was rewritten, proved in {runs} runs"


async def take_rewrite_back(desk: Desk, remedy: ApplyRewrite) -> str:
    """Put the file back as it had been; ConflictError where somebody has changed it since."""
    ended = await put_back(desk, remedy.path, "the run failed again after it")
    if ended is None or ended.status != "reverted":
        raise ConflictError(
            ended.reason if ended else f"{remedy.path} is no longer watched; it stays as it is."
        )
    return f"{Path(remedy.path).name}, which was rewritten"
