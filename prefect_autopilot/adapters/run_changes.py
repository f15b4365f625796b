"""Values of a run and of its deployment that a remedy changes, and how they are changed back."""

from __future__ import annotations

from typing import Any, Literal
from urllib.parse import quote

from prefect_autopilot.adapters.prefect_api import PrefectAPI
from prefect_autopilot.errors import ConflictError
from prefect_autopilot.models import JSONDict

Place = Literal["parameters", "job_variables"]


async def pool_defaults(api: PrefectAPI, pool: str) -> JSONDict:
    """Return the defaults of a work pool's job variables, by name; None where one has none."""
    raw = await api.request("GET", f"/work_pools/{quote(pool, safe='')}")
    template = raw.get("base_job_template") if isinstance(raw, dict) else None
    variables = ((template or {}).get("variables") or {}).get("properties") or {}
    return {name: told.get("default") for name, told in variables.items() if isinstance(told, dict)}


async def change_value(api: PrefectAPI, run_id: str, place: Place, name: str, value: Any) -> None:
    """Set one parameter or job variable of a run; None takes a job variable away again."""
    raw = await api.request("GET", f"/flow_runs/{quote(run_id, safe='')}")
    told: JSONDict = dict(raw.get(place) or {})
    if value is None:
        told.pop(name, None)
    else:
        told[name] = value
    await api.request("PATCH", f"/flow_runs/{quote(run_id, safe='')}", {place: told})


async def set_limit(api: PrefectAPI, deployment_id: str, *, limit: int, before: int) -> None:
    """Set how many runs of a deployment run at once; ``ConflictError`` where somebody changed it."""
    raw = await api.deployment(deployment_id)
    now = limit_of(raw)
    if now == limit:
        return
    if now != before:
        raise ConflictError(f"The limit of the deployment is {now} by now; nothing was done.")
    await api.request("PATCH", f"/deployments/{quote(deployment_id, safe='')}", {"concurrency_limit": limit})


def limit_of(deployment: JSONDict) -> int | None:
    """Return how many runs of a deployment may run at once, None where nothing limits them."""
    told = (deployment.get("global_concurrency_limit") or {}).get("limit")
    found = deployment.get("concurrency_limit") if told is None else told
    return int(found) if found is not None else None
