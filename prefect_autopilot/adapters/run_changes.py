"""Values of a run and of its deployment that a remedy changes, and how they are changed back."""

from __future__ import annotations

from typing import Any, Literal
from urllib.parse import quote

from prefect_autopilot.adapters.prefect_api import PrefectAPI
from prefect_autopilot.errors import ConflictError, UnknownNameError
from prefect_autopilot.models import JSONDict

Place = Literal["parameters", "job_variables"]
_GLOBAL = "/v2/concurrency_limits/"


async def pool_defaults(api: PrefectAPI, pool: str) -> JSONDict:
    """Return the defaults of a work pool's job variables, by name; None where one has none."""
    raw = await api.request("GET", f"/work_pools/{quote(pool, safe='')}")
    template = raw.get("base_job_template") if isinstance(raw, dict) else None
    variables = ((template or {}).get("variables") or {}).get("properties") or {}
    return {name: told.get("default") for name, told in variables.items() if isinstance(told, dict)}


async def move_value(
    api: PrefectAPI, run_id: str, place: Place, name: str, *, before: Any, after: Any
) -> None:
    """Set one parameter or job variable of a run; None for one that the run itself does not name.

    Done already counts as done; ``ConflictError`` where somebody has set it to something else.
    """
    raw = await api.request("GET", f"/flow_runs/{quote(run_id, safe='')}")
    told: JSONDict = dict(raw.get(place) or {})
    if told.get(name) == after:
        return
    if told.get(name) != before:
        raise ConflictError(f"{name} of the run was changed meanwhile; nothing was done.")
    if after is None:
        del told[name]
    else:
        told[name] = after
    await api.request("PATCH", f"/flow_runs/{quote(run_id, safe='')}", {place: told})


def deployment_limit(deployment_id: str) -> str:
    """Return where the limit of a deployment is kept."""
    return f"/deployments/{quote(deployment_id, safe='')}"


def queue_limit(pool: str, queue: str) -> str:
    """Return where the limit of a work queue is kept."""
    return f"/work_pools/{quote(pool, safe='')}/queues/{quote(queue, safe='')}"


def global_limit(name: str) -> str:
    """Return where a global limit is kept; that of a tag is called ``tag:TAG``."""
    return f"{_GLOBAL}{quote(name, safe='')}"


async def read_limit(api: PrefectAPI, path: str) -> int | None:
    """Return how many may go on at once, None where there is no limit or it limits a rate or nothing."""
    try:
        return limit_of(await api.request("GET", path))
    except UnknownNameError:
        return None


async def set_limit(api: PrefectAPI, path: str, *, limit: int, before: int) -> None:
    """Set how many may go on at once; ``ConflictError`` where somebody changed it."""
    now = await read_limit(api, path)
    if now == limit:
        return
    if now != before:
        raise ConflictError(f"The limit is {now} by now; nothing was done.")
    name = "limit" if path.startswith(_GLOBAL) else "concurrency_limit"
    await api.request("PATCH", path, {name: limit})


def limit_of(raw: JSONDict) -> int | None:
    """Return the limit of a deployment, a work queue or a global limit as the server tells them."""
    if raw.get("active") is False or raw.get("slot_decay_per_second"):
        return None
    told = (raw.get("global_concurrency_limit") or {}).get("limit")
    found = raw.get("concurrency_limit", raw.get("limit")) if told is None else told
    return int(found) if found is not None else None
