"""Acts on the server: read again right before, sent once, and looked up where their answer was lost."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest

from prefect_autopilot.adapters import run_changes
from prefect_autopilot.adapters.prefect_api import PrefectAPI
from prefect_autopilot.errors import ConflictError, PrefectError

NOW = datetime(2026, 3, 2, 3, 0, tzinfo=UTC)


class Server:
    """One run, one deployment, one pool; ``befalls`` spoils the calls that change something, in order."""

    def __init__(self) -> None:
        self.state = {"id": "s1", "type": "FAILED", "name": "Failed", "timestamp": NOW.isoformat()}
        self.run: dict[str, Any] = {"id": "run-1", "flow_id": None, "parameters": {"day": 1}}
        self.deployment: dict[str, Any] = {"id": "dep-1", "concurrency_limit": 8}
        self.befalls: list[str] = []
        self.sent: list[tuple[str, Any]] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        path = request.url.path.removeprefix("/api")
        body = json.loads(request.content) if request.content else None
        if request.method != "GET":
            return self._change(request, path, body)
        if path.startswith("/work_pools/"):
            variables = {"memory": {"default": 512}, "image": {}, "odd": "text"}
            template = {"variables": {"properties": variables}}
            return httpx.Response(200, json={"base_job_template": template})
        told = self.deployment if path.startswith("/deployments/") else self.run | {"state": self.state}
        return httpx.Response(200, json=told)

    def _change(self, request: httpx.Request, path: str, body: Any) -> httpx.Response:
        self.sent.append((path, body))
        what = self.befalls.pop(0) if self.befalls else ""
        if what == "busy":
            return httpx.Response(503)
        if what == "unsent":
            raise httpx.ConnectError("refused", request=request)
        if what == "lost":
            raise httpx.ReadTimeout("late", request=request)
        if what == "refused":
            return httpx.Response(200, json={"status": "ABORT", "details": {"reason": "it is over"}})
        if path.endswith("/set_state"):
            self.state = self.state | {"id": "s2", **body["state"], "timestamp": NOW.isoformat()}
        if what == "cut":
            raise httpx.RemoteProtocolError("cut", request=request)
        target = self.deployment if path.startswith("/deployments/") else self.run
        target |= body or {}
        return httpx.Response(200, json={"status": "ACCEPT", "details": {}, "state": self.state})


@pytest.fixture
def server() -> Server:
    return Server()


@pytest.fixture
async def api(server: Server) -> AsyncIterator[PrefectAPI]:
    async def no_sleep(_seconds: float) -> None:
        return

    transport = httpx.MockTransport(server)
    async with PrefectAPI("http://prefect.test/api", transport=transport, sleep=no_sleep, tries=4) as opened:
        yield opened


async def retry(api: PrefectAPI, state_id: str = "s1") -> None:
    await api.retry_run("run-1", expected_state_id=state_id, at=NOW, message="autopilot: attempt 1")


@pytest.mark.parametrize(
    ("befalls", "sent"),
    [([], 1), (["busy"], 2), (["unsent", "unsent"], 3), (["cut"], 1)],
    ids=["well", "busy", "never sent", "made, and its answer lost"],
)
async def test_a_retry_is_made_once(api: PrefectAPI, server: Server, befalls: list[str], sent: int) -> None:
    server.befalls = befalls
    await retry(api)
    assert len(server.sent) == sent
    assert server.state["name"] == "AwaitingRetry"


async def test_a_retry_that_may_have_been_made_is_not_sent_again(api: PrefectAPI, server: Server) -> None:
    server.befalls = ["lost"]
    with pytest.raises(PrefectError) as caught:
        await retry(api)
    assert not caught.value.permanent
    assert len(server.sent) == 1


async def test_who_acted_first_wins_and_nothing_is_sent(api: PrefectAPI, server: Server) -> None:
    with pytest.raises(ConflictError, match="somebody acted first"):
        await retry(api, "another state")
    assert server.sent == []


async def test_a_retry_that_prefect_does_not_accept_is_told_with_its_reason(
    api: PrefectAPI, server: Server
) -> None:
    server.befalls = ["refused"]
    with pytest.raises(ConflictError, match="it is over"):
        await retry(api)


async def test_what_reads_is_asked_again_after_a_lost_answer(server: Server) -> None:
    tries: list[str] = []

    def answer(request: httpx.Request) -> httpx.Response:
        tries.append(request.url.path)
        if len(tries) < 3:
            raise httpx.ReadTimeout("late", request=request)
        return server(request)

    async def no_sleep(_seconds: float) -> None:
        return

    async with PrefectAPI("http://p.test/api", transport=httpx.MockTransport(answer), sleep=no_sleep) as api:
        assert (await api.run("run-1")).id == "run-1"
    assert len(tries) == 3


# Values of a run and its deployment


async def test_one_value_is_changed_and_the_others_stay(api: PrefectAPI, server: Server) -> None:
    server.run["job_variables"] = {"cpu": 256}
    await run_changes.move_value(api, "run-1", "job_variables", "memory", before=None, after="2Gi")
    await run_changes.move_value(api, "run-1", "parameters", "timeout_s", before=None, after=120)
    assert server.sent == [
        ("/flow_runs/run-1", {"job_variables": {"cpu": 256, "memory": "2Gi"}}),
        ("/flow_runs/run-1", {"parameters": {"day": 1, "timeout_s": 120}}),
    ]


async def test_a_value_that_the_run_did_not_have_is_taken_away_again(api: PrefectAPI, server: Server) -> None:
    server.run["job_variables"] = None
    for before, after in ((None, 2048), (2048, None), (2048, None)):
        await run_changes.move_value(api, "run-1", "job_variables", "memory", before=before, after=after)
    assert server.run["job_variables"] == {}
    assert len(server.sent) == 2, "done already is done"


@pytest.mark.parametrize("after", [2048, None], ids=["changed", "changed back"])
async def test_a_value_that_somebody_set_meanwhile_is_theirs(
    api: PrefectAPI, server: Server, after: Any
) -> None:
    server.run["job_variables"] = {"memory": 777}
    with pytest.raises(ConflictError, match="changed meanwhile"):
        await run_changes.move_value(api, "run-1", "job_variables", "memory", before=512, after=after)
    assert server.sent == []


async def test_defaults_of_a_pool_are_read_as_far_as_it_has_them(api: PrefectAPI) -> None:
    assert await run_changes.pool_defaults(api, "a pool/with signs") == {"memory": 512, "image": None}


async def test_a_limit_is_set_from_what_it_was_and_once(api: PrefectAPI, server: Server) -> None:
    path = run_changes.deployment_limit("dep-1")
    await run_changes.set_limit(api, path, limit=4, before=8)
    await run_changes.set_limit(api, path, limit=4, before=8)
    assert server.sent == [("/deployments/dep-1", {"concurrency_limit": 4})]
    with pytest.raises(ConflictError, match="is 4 by now"):
        await run_changes.set_limit(api, path, limit=2, before=8)


def test_every_limit_has_its_own_place() -> None:
    assert run_changes.queue_limit("a pool", "high/low") == "/work_pools/a%20pool/queues/high%2Flow"
    assert run_changes.global_limit("tag:db") == "/v2/concurrency_limits/tag%3Adb"


@pytest.mark.parametrize(
    ("deployment", "limit"),
    [
        ({}, None),
        ({"concurrency_limit": 3}, 3),
        ({"concurrency_limit": None, "global_concurrency_limit": {"limit": 5}}, 5),
        ({"concurrency_limit": 3, "global_concurrency_limit": {"limit": 5}}, 5),
        ({"global_concurrency_limit": None}, None),
        ({"name": "high", "concurrency_limit": 2}, 2),
        ({"name": "tag:db", "limit": 6, "active": True, "slot_decay_per_second": 0.0}, 6),
        ({"name": "tag:db", "limit": 6, "active": False}, None),
        ({"name": "per-second", "limit": 6, "active": True, "slot_decay_per_second": 2.0}, None),
    ],
)
def test_the_limit_of_a_deployment_is_where_its_server_keeps_it(
    deployment: dict[str, Any], limit: int | None
) -> None:
    assert run_changes.limit_of(deployment) == limit
