"""Before a deployment's file is replaced both versions are run; what cannot be proved stays a proposal."""

from __future__ import annotations

from pathlib import Path

from prefect_autopilot.errors import ConflictError, ProofError
from prefect_autopilot.journeys.desk import Desk
from prefect_autopilot.models import JSONDict, OptimizationPlan

NOTHING_WRITTEN = "It could not be proved that the deployment does the same then, so nothing was written"


async def proved_as_deployed(
    desk: Desk,
    plan: OptimizationPlan,
    path: Path,
    original: str,
    deployment: JSONDict,
    *,
    parameters: JSONDict | None = None,
) -> OptimizationPlan:
    """Return a plan with its proof, made with the deployment's flow and the parameters that it last ran with.

    Raises ConflictError where the two versions do not do the same, ProofError where nothing can be proved.
    """
    function = str(deployment.get("entrypoint") or "").rpartition(":")[2]
    if parameters is None:
        parameters = await _last_parameters(desk, deployment)
    proof = await desk.prove(plan, original, function, parameters, path)
    if not proof.equal:
        raise ConflictError(f"The rewriting does not do the same, so nothing was written: {proof.reason}.")
    return plan.model_copy(update={"proof": proof})


async def proved_or_told(
    desk: Desk, plan: OptimizationPlan, path: Path, original: str, deployment: JSONDict, *, otherwise: str
) -> OptimizationPlan:
    """Return a plan with its proof as ``proved_as_deployed``; ``otherwise`` says how to go on without one.

    Raises ConflictError for every other end: then nothing may be written.
    """
    try:
        return await proved_as_deployed(desk, plan, path, original, deployment)
    except ProofError as error:
        raise ConflictError(f"{NOTHING_WRITTEN}: {error.message} {otherwise}") from error


async def _last_parameters(desk: Desk, deployment: JSONDict) -> JSONDict:
    """Return the deployment's parameters, with those of its last completed run where it has one."""
    given: JSONDict = dict(deployment.get("parameters") or {})
    wanted = {
        "deployments": {"id": {"any_": [deployment.get("id")]}},
        "flow_runs": {"state": {"type": {"any_": ["COMPLETED"]}}},
        "sort": "END_TIME_DESC",
        "limit": 1,
    }
    found: list[JSONDict] = await desk.api.request("POST", "/flow_runs/filter", wanted)
    return given | (found[0].get("parameters") or {} if found else {})
