"""The event stream as Prefect's own subscriber speaks it; one that breaks is opened again."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

import pytest
from websockets.asyncio.server import ServerConnection, serve

from prefect_autopilot import watcher as module
from prefect_autopilot.adapters.event_stream import resources_of
from prefect_autopilot.adapters.prefect_target import PrefectTarget
from prefect_autopilot.errors import PrefectError
from prefect_autopilot.models.names import FAILURE_EVENTS
from prefect_autopilot.watcher import Hint, listen


class Stream:
    """A server that tells of some runs at every connection and then ends it."""

    def __init__(self, *runs: str, auth: str = "auth_success") -> None:
        self.runs = runs
        self.auth = auth
        self.heard: list[Any] = []
        self.paths: list[str] = []
        self.thrice = asyncio.Event()

    async def __call__(self, connection: ServerConnection) -> None:
        assert connection.request is not None
        self.paths.append(connection.request.path)
        if len(self.paths) == 3:
            self.thrice.set()
        assert connection.subprotocol == "prefect"
        self.heard.append(json.loads(await connection.recv()))
        await connection.send(json.dumps({"type": self.auth}))
        if self.auth != "auth_success":
            return
        self.heard.append(json.loads(await connection.recv()))
        await connection.send(json.dumps({"type": "ping"}))
        for run in self.runs:
            resource = {"prefect.resource.id": f"prefect.flow-run.{run}"}
            await connection.send(json.dumps({"type": "event", "event": {"resource": resource}}))


@asynccontextmanager
async def at(stream: Stream, auth: str | None = None) -> AsyncIterator[PrefectTarget]:
    async with serve(stream, "127.0.0.1", 0, subprotocols=["prefect"]) as server:  # type: ignore[list-item]
        port = next(iter(server.sockets)).getsockname()[1]
        yield PrefectTarget(f"http://127.0.0.1:{port}/api", auth)


async def test_each_event_tells_its_resource() -> None:
    stream = Stream("a", "b")
    async with at(stream) as target:
        found = [one async for one in resources_of(target, FAILURE_EVENTS)]
    assert found == ["prefect.flow-run.a", "prefect.flow-run.b"]
    auth, wanted = stream.heard
    assert auth == {"type": "auth", "token": None}
    assert wanted["type"] == "filter"
    assert set(wanted["filter"]["event"]["name"]) == set(FAILURE_EVENTS)
    assert wanted["filter"]["occurred"]["since"] < wanted["filter"]["occurred"]["until"]
    assert stream.paths == ["/api/events/out"]


@pytest.mark.parametrize(
    ("auth", "token"),
    [
        ("Bearer pnu_key", "pnu_key"),
        ("Basic " + base64.b64encode(b"admin:pass word").decode(), "admin:pass word"),
        (None, None),
    ],
    ids=["key", "user and password", "none"],
)
async def test_the_stream_gets_the_credentials_of_the_api(auth: str | None, token: str | None) -> None:
    stream = Stream()
    async with at(stream, auth) as target:
        assert [one async for one in resources_of(target, FAILURE_EVENTS)] == []
    assert stream.heard[0]["token"] == token


async def test_refused_credentials_are_told() -> None:
    async with at(Stream(auth="auth_failure")) as target:
        with pytest.raises(PrefectError, match="refused our credentials"):
            await anext(resources_of(target, FAILURE_EVENTS))


async def test_a_stream_that_ends_is_opened_again_and_each_failure_is_a_hint(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "LISTEN_AGAIN_S", 0.0)
    stream, hint = Stream("a"), Hint()
    async with at(stream) as target:
        task = asyncio.create_task(listen(target, hint))
        await asyncio.wait_for(stream.thrice.wait(), 25)
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
    assert list(hint.heard) == ["a"]
    assert hint.is_set()


async def test_where_nobody_answers_polling_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LISTEN_AGAIN_S", 0.0)
    async with at(Stream()) as gone:
        pass
    task = asyncio.create_task(listen(gone, Hint()))
    await asyncio.sleep(0.05)
    assert not task.done()
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task
