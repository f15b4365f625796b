"""Two processes whose token has ended, one connection on a real server: it is renewed once, for both."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest
from prefect.settings import PREFECT_API_URL, PREFECT_HOME, temporary_settings
from prefect.types import SecretDict

from prefect_autopilot.adapters.simulator import Simulator, serve_simulator
from prefect_autopilot.blocks import ServiceConnection
from prefect_autopilot.services import load_catalogue, simulated_credentials

pytestmark = [pytest.mark.live, pytest.mark.timeout(120)]

CONNECTION = "gmail-two-processes"
PROCESSES = 2
READER = """
import asyncio, sys
from prefect_autopilot.blocks.connection import load_connection

async def main() -> None:
    block = await load_connection(sys.argv[1])  # the ended token, as every process has read it
    async with block.client() as client:
        print("ready", flush=True)
        sys.stdin.readline()
        await client.call("list_labels")
    print("done", flush=True)

asyncio.run(main())
"""


@pytest.fixture
def simulated() -> Iterator[tuple[Simulator, str]]:
    simulator = Simulator()
    with serve_simulator(simulator) as url:
        yield simulator, url


def store(live_prefect: Any, url: str) -> None:
    held = simulated_credentials(load_catalogue().get("gmail"))
    with temporary_settings({PREFECT_API_URL: live_prefect.url, PREFECT_HOME: live_prefect.home}):
        ServiceConnection(
            service="gmail",
            base_url=f"{url}/gmail",
            token_url=f"{url}/gmail/oauth/token",
            credentials=SecretDict(held),
            allow_private_network=True,
        ).save(CONNECTION, overwrite=True)


def kept(live_prefect: Any) -> dict[str, Any]:
    with temporary_settings({PREFECT_API_URL: live_prefect.url, PREFECT_HOME: live_prefect.home}):
        return dict(ServiceConnection.load(CONNECTION).credentials.get_secret_value())


def test_two_processes_renew_a_token_once(live_prefect: Any, simulated: tuple[Simulator, str]) -> None:
    simulator, url = simulated
    store(live_prefect, url)
    simulator.rotate("gmail")  # a second use of the old refresh token would end the connection for both
    simulator.expire("gmail")
    readers = [
        subprocess.Popen(
            [sys.executable, "-c", READER, CONNECTION],
            env=live_prefect.environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for _ in range(PROCESSES)
    ]
    try:
        for reader in readers:
            assert reader.stdout is not None
            line = reader.stdout.readline()
            assert line == "ready\n", reader.communicate()[1]
        for reader in readers:
            assert reader.stdin is not None
            reader.stdin.write("\n")
            reader.stdin.flush()
        told = [reader.communicate(timeout=90) for reader in readers]
    finally:
        for reader in readers:
            if reader.poll() is None:
                reader.kill()
            reader.wait()
    assert [out for out, _ in told] == ["done\n"] * PROCESSES, told
    statuses = [call.status for call in simulator.calls]
    assert sorted(statuses) == [200] * PROCESSES + [401] * PROCESSES, "both had the ended token"
    assert simulator.accepted("gmail")._made == 1, "one of them renewed, the other read the new token"
    assert kept(live_prefect)["access_token"] == "simulated-gmail-access_token-2"
    assert kept(live_prefect)["refresh_token"] == "simulated-gmail-refresh_token-2"
