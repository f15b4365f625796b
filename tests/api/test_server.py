"""The server around the application: who asks nothing is hung up on, who asks again is not."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from typing import Any

import pytest

from prefect_autopilot.api import create_app
from prefect_autopilot.api.server import PromptProtocol, Server
from prefect_autopilot.settings import Settings

LONGEST_OF_OTHERS_S = 60  # nginx keeps connections to what is behind it for so long, httpx for five
ASK = b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"

pytestmark = pytest.mark.timeout(30)


@pytest.fixture
async def port(settings: Settings, clock: Any, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[int]:
    """The port of a server that waits for a request a tenth of a second only."""
    monkeypatch.setattr(PromptProtocol, "asked_within_s", 0.1)
    with socket.socket() as door:
        door.bind(("127.0.0.1", 0))
        app = create_app(settings, clock=clock)
        server = Server(app)
        serving = asyncio.create_task(server.serve(sockets=[door]))
        for _ in range(2000):
            if not server.started:
                await asyncio.sleep(0.01)
        app.state.context.live.heartbeat_s = 0.2
        yield door.getsockname()[1]
        server.should_exit = True
        await serving


def test_the_client_is_the_one_that_closes(settings: Settings) -> None:
    assert Server(create_app(settings)).config.timeout_keep_alive > LONGEST_OF_OTHERS_S
    assert PromptProtocol.asked_within_s > LONGEST_OF_OTHERS_S


@pytest.mark.parametrize("sent", [b"", ASK[:20], ASK[:-2]], ids=["nothing", "half a line", "no end"])
async def test_who_does_not_ask_is_hung_up_on(port: int, sent: bytes) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(sent)
    assert await asyncio.wait_for(reader.read(), 25) == b""
    writer.close()


async def test_after_an_answer_headers_have_to_come_as_well(port: int) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(ASK + ASK[:20])
    answer = await asyncio.wait_for(reader.read(), 25)
    assert answer.startswith(b"HTTP/1.1 200")
    assert answer.count(b"HTTP/1.1") == 1
    writer.close()


async def test_a_stream_is_no_silence(port: int) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(ASK.replace(b"/healthz", b"/workflows/enhanced/events"))
    assert b"200 OK" in await asyncio.wait_for(reader.readuntil(b"event: ready"), 25)
    for _ in range(3):  # each is later than two looks at the connection
        await asyncio.wait_for(reader.readuntil(b"still here"), 10)
    writer.close()
