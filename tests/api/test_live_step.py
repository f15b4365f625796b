"""A step called live: through a connection stored on a real Prefect server, to a service on a socket."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import Any

import httpx
import pytest
from prefect.settings import PREFECT_API_URL, PREFECT_HOME, temporary_settings
from prefect.types import SecretDict

from prefect_autopilot.adapters.simulator import Simulator, serve_simulator
from prefect_autopilot.blocks import ServiceConnection
from prefect_autopilot.services import load_catalogue, simulated_credentials
from prefect_autopilot.store import Store

pytestmark = pytest.mark.live
STEP = "/workflows/test-step"
SLACK = {"service": "slack", "action": "list_channels", "live": True}


@pytest.fixture
def simulator() -> Iterator[tuple[Simulator, str]]:
    simulated = Simulator()
    with serve_simulator(simulated) as url:
        yield simulated, url


@pytest.fixture
async def live_api(
    settings: Any, live_prefect: Any, start: Any, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[httpx.AsyncClient]:
    """The API beside a real server; its connection is stored by each test under a name of its own."""
    monkeypatch.setenv("PREFECT_API_URL", live_prefect.url)
    with temporary_settings({PREFECT_API_URL: live_prefect.url, PREFECT_HOME: live_prefect.home}):
        yield await start()


async def stored(name: str, url: str) -> None:
    held = simulated_credentials(load_catalogue().get("slack"))
    block = ServiceConnection(
        service="slack",
        base_url=f"{url}/slack",
        credentials=SecretDict(held),
        allow_private_network=True,
    )
    await block.asave(name, overwrite=True)


async def test_a_live_step_reaches_the_service_and_leaves_a_trace(
    live_api: httpx.AsyncClient, simulator: tuple[Simulator, str], store: Store
) -> None:
    simulated, url = simulator
    await stored("slack-live-step", url)
    answer = await live_api.post(STEP, json=SLACK | {"connection": "slack-live-step"})
    told = answer.json()
    assert told["success"] is True, answer.text
    assert told["mode"] == "live"
    assert [call.operation for call in simulated.calls] == ["list_channels"]
    actions = [entry.action for entry in await store.audit_trail("slack-live-step")]
    assert actions == ["step.called"]


async def test_a_live_service_that_fails_is_told_without_its_credentials(
    live_api: httpx.AsyncClient, simulator: tuple[Simulator, str]
) -> None:
    simulated, url = simulator
    await stored("slack-failing-step", url)
    simulated.fail("slack", status=503, times=1)
    answer = await live_api.post(STEP, json=SLACK | {"connection": "slack-failing-step"})
    told = answer.json()
    assert told["success"] is False
    assert told["status"] == 503
    assert told["result"] is None
    held = simulated_credentials(load_catalogue().get("slack"))
    assert not any(value in answer.text for value in held.values())


async def test_a_connection_that_is_not_there_is_not_found(live_api: httpx.AsyncClient) -> None:
    answer = await live_api.post(STEP, json=SLACK | {"connection": "slack-nobody"})
    assert answer.status_code == 404
    assert "slack-nobody" in answer.json()["detail"]


async def test_the_connection_of_another_service_is_refused(
    live_api: httpx.AsyncClient, simulator: tuple[Simulator, str]
) -> None:
    await stored("slack-misused", simulator[1])
    body = {"service": "asana", "action": "create_task", "live": True, "connection": "slack-misused"}
    answer = await live_api.post(STEP, json=body)
    assert answer.status_code == 422
    assert simulator[0].calls == []


async def test_a_real_server_makes_the_api_ready_and_is_read(live_api: httpx.AsyncClient) -> None:
    assert (await live_api.get("/readyz")).json() == {
        "ready": True,
        "checks": {"store": "ok", "prefect": "ok"},
    }
    told = await live_api.post("/workflows/enhanced/monitoring/start", json={"workflow_id": "nobody"})
    assert told.status_code == 404
    assert "nobody" in told.json()["detail"]
