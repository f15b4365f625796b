"""What remedies change of deployments and limits, on a real server: read, set, and set back."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from prefect.settings import PREFECT_API_URL

from prefect_autopilot.adapters import run_changes
from prefect_autopilot.adapters.deployed_code import code_of, set_code
from prefect_autopilot.adapters.prefect_api import PrefectAPI
from prefect_autopilot.errors import ConflictError

STEP = {"prefect.deployments.steps.git_clone": {"repository": "https://git.test/shop", "branch": "v1"}}


def on_the_server(work: Callable[[PrefectAPI], Awaitable[Any]]) -> Any:
    async def run() -> Any:
        async with PrefectAPI(str(PREFECT_API_URL.value())) as api:
            return await work(api)

    return asyncio.run(run())


async def deployed(api: PrefectAPI, name: str, **more: Any) -> str:
    flow = await api.request("POST", "/flows/", {"name": "changes-on-a-server"})
    raw = await api.request("POST", "/deployments/", {"name": name, "flow_id": flow["id"]} | more)
    return str(raw["id"])


@pytest.mark.usefixtures("prefect_harness")
def test_a_deployment_gets_its_earlier_code_back_and_keeps_what_else_it_has() -> None:
    async def work(api: PrefectAPI) -> None:
        told = {"version": "2", "entrypoint": "b.py:work", "path": "/srv/b"}
        variables = {"image": "shop:2", "cpu": 512}
        ident = await deployed(api, "rolled", **told, job_variables=variables, tags=["mine"])
        now = code_of(await api.deployment(ident))
        assert now is not None
        good = now | {"version": "1", "entrypoint": "a.py:work", "pull_steps": [STEP], "image": None}
        await set_code(api, ident, before=now, after=good)
        raw = await api.deployment(ident)
        assert code_of(raw) == good
        assert (raw["job_variables"], raw["tags"]) == ({"cpu": 512}, ["mine"])
        await set_code(api, ident, before=now, after=good)  # twice is as once
        await set_code(api, ident, before=good, after=now)
        assert code_of(await api.deployment(ident)) == now
        await api.request("PATCH", f"/deployments/{ident}", {"version": "3"})
        with pytest.raises(ConflictError, match="changed meanwhile"):
            await set_code(api, ident, before=now, after=good)
        await api.request("DELETE", f"/deployments/{ident}")

    on_the_server(work)


@pytest.mark.usefixtures("prefect_harness")
def test_every_sort_of_limit_is_read_and_lowered_where_the_server_keeps_it() -> None:
    async def work(api: PrefectAPI) -> None:
        ident = await deployed(api, "limited", concurrency_limit=8)
        await api.request("POST", "/work_pools/", {"name": "limited", "type": "process"})
        queue = {"name": "high", "concurrency_limit": 8}
        await api.request("POST", "/work_pools/limited/queues", queue)
        await api.request("POST", "/concurrency_limits/", {"tag": "database", "concurrency_limit": 8})
        await api.request("POST", "/v2/concurrency_limits/", {"name": "shop-api", "limit": 8})
        places = (
            run_changes.deployment_limit(ident),
            run_changes.queue_limit("limited", "high"),
            run_changes.global_limit("tag:database"),
            run_changes.global_limit("shop-api"),
        )
        for path in places:
            assert await run_changes.read_limit(api, path) == 8, path
            await run_changes.set_limit(api, path, limit=4, before=8)
            assert await run_changes.read_limit(api, path) == 4, path
        assert await run_changes.read_limit(api, run_changes.global_limit("nobody's")) is None
        await api.request("DELETE", f"/deployments/{ident}")
        await api.request("DELETE", "/work_pools/limited")

    on_the_server(work)
