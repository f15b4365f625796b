"""The status page in a browser beside a real Prefect server: a connection is checked, a flow deployed."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest
from prefect.settings import PREFECT_API_URL, PREFECT_HOME, temporary_settings
from prefect.types import SecretDict

from prefect_autopilot.adapters.simulator import Simulator, serve_simulator
from prefect_autopilot.blocks import ServiceConnection
from prefect_autopilot.services import connection_name, load_catalogue, simulated_credentials

pytestmark = [pytest.mark.live, pytest.mark.timeout(180)]

REQUEST = "Every day at 9:00 post 'Hello' to #general in Slack"
HELD = simulated_credentials(load_catalogue().get("slack"))


@pytest.fixture
def simulator(live_prefect: Any) -> Iterator[Simulator]:
    """A simulated Slack on a socket, with a connection to it stored on the server."""

    async def stored(url: str) -> None:
        with temporary_settings({PREFECT_API_URL: live_prefect.url, PREFECT_HOME: live_prefect.home}):
            block = ServiceConnection(
                service="slack",
                base_url=f"{url}/slack",
                credentials=SecretDict(HELD),
                allow_private_network=True,
            )
            await block.asave(connection_name("slack"), overwrite=True)

    simulated = Simulator()
    # The browser has a loop of its own in this thread.
    with serve_simulator(simulated) as url, ThreadPoolExecutor(1) as other:
        other.submit(lambda: asyncio.run(stored(url))).result()
        yield simulated


def test_a_connection_is_checked_and_a_described_flow_tried_and_deployed(
    live_prefect: Any, served_beside_prefect: str, simulator: Simulator, browser: Any, tmp_path: Path
) -> None:
    name = connection_name("slack")
    page = browser.new_context().new_page()
    page.set_default_timeout(60_000)
    page.goto(f"{served_beside_prefect}/ui/connections")
    page.click(f"button:has-text('Check {name}')")
    said = page.locator("p[role=status]")
    said.wait_for()
    assert "It works: slack answered auth_test." in said.inner_text()
    assert [call.operation for call in simulator.calls] == ["auth_test"]
    assert not any(value in page.content() for value in HELD.values())

    simulator.fail("slack", status=503, times=1)
    page.click(f"button:has-text('Check {name}')")
    page.locator("p[role=status]", has_text="\N{BALLOT X}").wait_for()

    page.goto(f"{served_beside_prefect}/ui/describe")
    page.fill("#text", REQUEST)
    page.click("text=Show what it becomes")
    page.click("text=Try it with simulated services")
    page.locator("p[role=status]", has_text="It ran to its end").wait_for()
    assert len(simulator.calls) == 2, "a preview calls no service outside"
    told = page.inner_text("form[action$=deploy]")
    assert "it starts by itself from then on" in told, "what a yes does is told before"
    assert deployments(live_prefect.url, "Hello") == []
    page.click("text=Yes, deploy it")
    done = page.locator("section[role=status]")
    done.wait_for()
    assert "connections" not in done.inner_text(), "the one it needs is there"
    flow_name, _, deployment = done.inner_text().partition("Deployed as ")[2].partition(".")[0].partition("/")
    (made,) = deployments(live_prefect.url, deployment)
    assert flow_name
    assert [one["schedule"]["cron"] for one in made["schedules"]] == ["0 9 * * *"]
    assert [file.suffix for file in (tmp_path / "flows").iterdir()] == [".py", ".py"], "the flow and its test"
    base = live_prefect.url.removesuffix("/api")
    link = page.get_attribute("section[role=status] a", "href")
    assert link == f"{base}/deployments/deployment/{made['id']}"
    page.context.close()


def deployments(url: str, name: str) -> list[dict[str, Any]]:
    wanted = {"deployments": {"name": {"any_": [name]}}}
    found: list[dict[str, Any]] = (
        httpx.post(f"{url}/deployments/filter", json=wanted, timeout=30).raise_for_status().json()
    )
    return found
