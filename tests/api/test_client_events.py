"""The typed client listens: events as values, connections opened again, refusals told."""

from __future__ import annotations

import asyncio
from contextlib import aclosing, closing
from itertools import islice
from typing import Any

import httpx
import pytest

from prefect_autopilot.client import APIError, AsyncClient, Client, Event
from prefect_autopilot.client_events import MOST_FAILURES
from prefect_autopilot.errors import UsageError

READY = 'retry: 3000\nid: 4\nevent: ready\ndata: {"position": 4}\n\n'
CHANGE = 'id: 5\nevent: alert\ndata: {"alert_id": "a-1", "title": "line\\nbreak"}\n\n'
BEAT = ": still here\n\n"
STREAM = {"content-type": "text/event-stream"}


class Server:
    """Answers each connection with the next of its answers, the last one ever after."""

    def __init__(self, *answers: httpx.Response | Exception | str) -> None:
        self._answers = list(answers)
        self.asked: list[httpx.Request] = []
        self.pauses: list[float] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.asked.append(request)
        answer = self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]
        if isinstance(answer, Exception):
            raise answer
        # A stream can be read once: each connection gets one of its own.
        return httpx.Response(200, headers=STREAM, text=answer) if isinstance(answer, str) else answer

    def client(self) -> Client:
        return Client(token="t", transport=httpx.MockTransport(self), sleep=self.pauses.append)


def first(number: int, server: Server, **about: Any) -> list[Event]:
    with server.client() as client, closing(client.events(**about)) as events:
        return list(islice(events, number))


def refused(status: int, kind: str = "unauthorised", **headers: str) -> httpx.Response:
    told = {"type": f"urn:prefect-autopilot:problem:{kind}", "detail": "It is so.", "status": status}
    return httpx.Response(status, json=told, headers=headers)


def test_events_are_values_and_heartbeats_are_none() -> None:
    found = first(2, Server(BEAT + READY + BEAT + CHANGE))
    assert [(one.sequence, one.kind) for one in found] == [(4, "ready"), (5, "alert")]
    assert found[1].data == {"alert_id": "a-1", "title": "line\nbreak"}


def test_a_stream_that_ends_goes_on_where_it_ended() -> None:
    server = Server(READY + CHANGE, 'id: 6\nevent: reset\ndata: {"position": 6}\n\n')
    found = first(3, server, session_id="s-1", after=3)
    assert [one.kind for one in found] == ["ready", "alert", "reset"]
    assert [one.headers.get("last-event-id") for one in server.asked] == [None, "5"]
    assert dict(server.asked[0].url.params) == {"session_id": "s-1", "after": "3"}
    assert server.asked[1].headers["authorization"] == "Bearer t"
    assert server.pauses == [3.0], "as long as the server says"


def test_half_an_event_is_none_and_is_told_again() -> None:
    server = Server(READY + CHANGE[:-1], READY + CHANGE)
    assert [one.kind for one in first(3, server)] == ["ready", "ready", "alert"]
    assert server.asked[1].headers["last-event-id"] == "4"


def test_broken_connections_are_opened_again_ever_more_slowly() -> None:
    gone = httpx.ConnectError("refused")
    server = Server(gone, gone, refused(503, "busy", **{"Retry-After": "30"}), READY)
    assert first(1, server)[0].kind == "ready"
    assert server.pauses == [3.0, 6.0, 12.0]


def test_a_server_that_stays_away_is_told_after_some_tries() -> None:
    server = Server(httpx.ReadTimeout("silent"))
    with pytest.raises(APIError, match="start prefect-autopilot serve"):
        first(1, server)
    assert len(server.asked) == MOST_FAILURES
    assert max(server.pauses) == 30.0


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (refused(401), APIError),
        (refused(403), APIError),
        (refused(422, "invalid-request"), UsageError),
        (httpx.Response(200, text="<html>"), APIError),
        ("id: x\nevent: alert\ndata: {}\n\n", APIError),
        ("id: 1\nevent: news\ndata: {}\n\n", APIError),
        ("id: 1\nevent: alert\ndata: {\n\n", APIError),
        ("event: alert\ndata: {}\n\n", APIError),
    ],
    ids=["no token", "small token", "wrong question", "a page", "no number", "no kind", "no JSON", "no id"],
)
def test_what_can_never_be_heard_is_told_at_once(answer: Any, kind: type[Exception]) -> None:
    server = Server(answer)
    with pytest.raises(kind):
        first(1, server)
    assert (len(server.asked), server.pauses) == (1, [])


async def test_the_awaited_client_listens_to_the_api(api: httpx.AsyncClient) -> None:
    slept: list[float] = []

    async def sleep(seconds: float) -> None:
        slept.append(seconds)

    async with asyncio.timeout(10), AsyncClient(transport=api._transport, sleep=sleep) as client:
        heard = []
        async with aclosing(client.events(after=0)) as events:
            async for event in events:
                heard.append(event)
                if len(heard) == 2:
                    break
    # The transport of this test gives the first part of a stream only, so each connection says "ready".
    assert [one.kind for one in heard] == ["ready", "ready"]
    assert slept == [3.0]
