"""Server-sent events: what changes is told once and in order, to those who may know, as long as they may."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncIterator, Mapping
from datetime import timedelta
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from prefect_autopilot.api import create_app, live, streams
from prefect_autopilot.api.server import Server
from prefect_autopilot.journeys import sessions
from prefect_autopilot.models import WorkflowAlert
from prefect_autopilot.settings import Settings
from prefect_autopilot.store import Scope, Store

EVENTS = "/workflows/enhanced/events"
DAY = timedelta(days=1)
LOGS = ["ERROR 401 Unauthorized: token expired"]

pytestmark = pytest.mark.timeout(30)


class Listener:
    """A client of one stream; each part is taken when the test asks for it, never when it is slow."""

    def __init__(
        self, app: FastAPI, query: str = "", headers: Mapping[str, str] | None = None, *, slow: bool = False
    ) -> None:
        self.parts: asyncio.Queue[str] = asyncio.Queue()
        self.status = 0
        self.headers: dict[str, str] = {}
        self._slow = slow
        self._hung_up = asyncio.Event()
        sent = {"host": "127.0.0.1:8642", **(headers or {})}
        scope = {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "method": "GET",
            "scheme": "http",
            "path": EVENTS,
            "raw_path": EVENTS.encode(),
            "query_string": query.encode(),
            "root_path": "",
            "headers": [(name.encode(), value.encode()) for name, value in sent.items()],
            "client": ("127.0.0.1", 40000),
            "server": ("127.0.0.1", 8642),
        }
        self.task = asyncio.create_task(app(scope, self._receive, self._send))  # type: ignore[arg-type]
        self._asked = False

    async def _receive(self) -> dict[str, Any]:
        if not self._asked:
            self._asked = True
            return {"type": "http.request", "body": b"", "more_body": False}
        await self._hung_up.wait()
        return {"type": "http.disconnect"}

    async def _send(self, message: Any) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            self.headers = {name.decode(): value.decode() for name, value in message["headers"]}
            return
        if self._slow:
            await asyncio.Event().wait()
        await self.parts.put(message["body"].decode())

    async def part(self) -> str:
        return await asyncio.wait_for(self.parts.get(), 25)

    async def event(self) -> tuple[int, str, dict[str, Any]]:
        """Return number, kind and data of the next event; heartbeats are passed over."""
        while (text := await self.part()).startswith(":"):
            pass
        lines = dict(line.split(": ", 1) for line in text.strip().splitlines())
        return int(lines["id"]), lines["event"], json.loads(lines["data"])

    async def hang_up(self) -> None:
        self._hung_up.set()
        await asyncio.wait_for(self.task, 25)

    async def ended(self) -> None:
        await asyncio.wait_for(self.task, 25)


@pytest.fixture
async def app(settings: Settings, clock: Any) -> AsyncIterator[FastAPI]:
    made = create_app(settings, clock=clock)
    async with made.router.lifespan_context(made):
        await made.state.context.store()
        made.state.context.live.look_s = 0.01
        made.state.context.live.heartbeat_s = 0.05
        yield made


def alert(ident: str, workflow: str = "orders", **fields: Any) -> WorkflowAlert:
    told = {"alert_id": ident, "fingerprint": ident, "workflow_id": workflow, "severity": "high"}
    words = {"title": "Failures rise", "description": "2 of 20", "alert_type": "error_rate_increase"}
    return WorkflowAlert.model_validate({**told, **words, "created_at": "2026-03-02T03:00:00Z", **fields})


async def test_what_changes_is_told_as_it_happens(app: FastAPI, store: Store, clock: Any) -> None:
    listener = Listener(app)
    number, kind, data = await listener.event()
    assert (number, kind, data) == (0, "ready", {"position": 0})
    assert listener.status == 200
    assert listener.headers["content-type"].startswith("text/event-stream")
    assert listener.headers["cache-control"] == "no-store"
    assert "default-src 'none'" in listener.headers["content-security-policy"]
    opened = await sessions.open_session(store, "orders", LOGS, clock.now, actor="test")
    _, kind, data = await listener.event()
    assert kind == "session"
    assert data["session_id"] == opened.session_id
    assert data["resolution_status"] == "in_progress"
    assert not data["deleted"]
    await store.save_alert(alert("a-1"))
    first = await listener.event()
    assert first[1:] == ("alert", first[2])
    assert (first[2]["alert_id"], first[2]["acknowledged"]) == ("a-1", False)
    await store.acknowledge_alert("a-1", "anna")
    second = await listener.event()
    assert second[0] > first[0]
    assert second[2]["acknowledged_by"] == "anna"
    await store.delete_session(opened.session_id, "test", clock.now)
    assert (await listener.event())[2] == {
        "session_id": opened.session_id,
        "workflow_id": "orders",
        "deleted": True,
    }
    await listener.hang_up()


async def test_who_comes_back_is_told_what_was_missed_once(app: FastAPI, store: Store) -> None:
    for name in ("a-1", "a-2", "a-1"):
        await store.save_alert(alert(name))
    for query, headers in (("after=1", {}), ("after=3", {"last-event-id": "1"})):
        listener = Listener(app, query, headers)
        assert (await listener.event())[:2] == (1, "ready")
        assert [(await listener.event())[2]["alert_id"] for _ in range(2)] == ["a-2", "a-1"]
        await store.save_alert(alert("a-3"))
        assert (await listener.event())[2]["alert_id"] == "a-3"
        await listener.hang_up()
        await store.save_alert(alert("a-3", status="resolved"))
        await store.prune(alert("a-3").created_at + DAY)


async def test_a_number_that_is_none_of_ours_says_read_anew(app: FastAPI, store: Store) -> None:
    for now, number in enumerate(["nonsense", "-1", "99", "9" * 30, "", "٣", "1e3"], 1):
        await store.save_alert(alert(f"a-{now}"))
        listener = Listener(app, headers={"last-event-id": number.encode().decode("latin-1")})
        assert await listener.event() == (now, "reset", {"position": now}), number
        await listener.hang_up()


async def test_who_was_away_for_too_long_reads_anew(
    app: FastAPI, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live, "FARTHEST_BACK", 2)
    for number in range(5):
        await store.save_alert(alert(f"a-{number}"))
    for after, kind in ((2, "reset"), (3, "ready")):
        listener = Listener(app, f"after={after}")
        assert (await listener.event())[1] == kind
        await listener.hang_up()


async def test_one_session_or_one_workflow_can_be_listened_to(app: FastAPI, store: Store, clock: Any) -> None:
    one = await sessions.open_session(store, "orders", LOGS, clock.now, actor="test")
    other = await sessions.open_session(store, "stock", LOGS, clock.now, actor="test")
    await store.save_alert(alert("a-1"))
    await store.save_alert(alert("a-2", "stock"))
    of_session = Listener(app, f"after=0&session_id={one.session_id}")
    of_workflow = Listener(app, "after=0&workflow_id=stock")
    assert (await of_session.event())[1] == "ready"
    assert (await of_workflow.event())[1] == "ready"
    assert (await of_session.event())[2]["session_id"] == one.session_id
    told = [(await of_workflow.event())[2] for _ in range(2)]
    assert [told[0].get("session_id"), told[1].get("alert_id")] == [other.session_id, "a-2"]
    await sessions.recommend(store, one.session_id, clock.now, actor="test")
    assert (await of_session.event())[2]["session_id"] == one.session_id
    await asyncio.gather(of_session.hang_up(), of_workflow.hang_up())


async def test_a_silent_stream_shows_that_it_lives(app: FastAPI) -> None:
    listener = Listener(app)
    await listener.event()
    assert [await listener.part() for _ in range(2)] == [": still here\n\n"] * 2
    await listener.hang_up()


async def test_more_changes_than_are_remembered_are_read_from_the_store(
    app: FastAPI, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live, "MOST_AT_ONCE", 3)
    for number in range(10):
        await store.save_alert(alert(f"a-{number}"))
    listener = Listener(app, "after=0")
    await listener.event()
    assert [(await listener.event())[0] for _ in range(10)] == list(range(1, 11))
    await listener.hang_up()


@pytest.mark.parametrize("way", ["revoked", "expired"])
async def test_a_stream_ends_with_its_token(app: FastAPI, store: Store, clock: Any, way: str) -> None:
    secret, token = await store.create_token("ops", Scope.VIEWER, DAY, clock.now, actor="test")
    nobody = Listener(app)
    await nobody.ended()
    assert nobody.status == 401
    listener = Listener(app, headers={"authorization": f"Bearer {secret}"})
    assert (await listener.event())[1] == "ready"
    assert (await listener.part()).startswith(":")
    if way == "revoked":
        await store.revoke_token(token.name, clock.now, actor="test")
    else:
        clock.forward(days=2)
    await listener.ended()


async def test_a_stream_that_was_opened_without_a_token_ends_with_the_first_one(
    app: FastAPI, store: Store, clock: Any
) -> None:
    listener = Listener(app)
    await listener.event()
    await store.create_token("ops", Scope.VIEWER, DAY, clock.now, actor="test")
    await listener.ended()


async def test_a_client_that_takes_nothing_is_left_and_holds_nobody_else_up(
    app: FastAPI, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(streams.EventStream.__init__, "__defaults__", (0.05,))
    slow, quick = Listener(app, slow=True), Listener(app)
    await quick.event()
    await store.save_alert(alert("a-1"))
    assert (await quick.event())[2]["alert_id"] == "a-1"
    await slow.ended()
    assert app.state.context.live._listeners.total() == 1
    await quick.hang_up()


async def test_places_are_bounded_and_given_back(app: FastAPI, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "MOST_EACH", 2)
    held = [Listener(app) for _ in range(2)]
    for one in held:
        await one.event()
    refused = Listener(app)
    await refused.ended()
    assert (refused.status, refused.headers["retry-after"]) == (429, "30")
    assert refused.headers["content-type"] == "application/problem+json"
    await held[0].hang_up()
    again = Listener(app)
    assert (await again.event())[1] == "ready"
    monkeypatch.setattr(live, "MOST_EACH", 20)
    monkeypatch.setattr(live, "MOST_LISTENERS", 2)
    full = Listener(app)
    await full.ended()
    assert full.status == 503
    await asyncio.gather(held[1].hang_up(), again.hang_up())
    assert not app.state.context.live._listeners


async def test_nobody_looks_at_the_store_where_nobody_listens(app: FastAPI, store: Store) -> None:
    hub = app.state.context.live
    assert not hub._looking
    listener = Listener(app)
    await listener.event()
    assert hub._looking
    await listener.hang_up()
    for _ in range(500):
        if hub._looking:
            await asyncio.sleep(0.01)
    assert not hub._looking
    await store.save_alert(alert("a-1"))
    again = Listener(app)
    assert await again.event() == (1, "ready", {"position": 1}), "what nobody heard is not told as news"
    await again.hang_up()


async def test_streams_end_when_the_process_stops(app: FastAPI) -> None:
    listener = Listener(app)
    await listener.event()
    app.state.context.live.close()
    await listener.ended()
    late = Listener(app)
    await late.ended()
    assert late.status == 503


async def test_a_wrong_question_is_refused(app: FastAPI) -> None:
    for query in ("after=-1", "after=x", "session_id=1", "workflow_id=%00", f"after={'9' * 40}"):
        refused = Listener(app, query)
        await refused.ended()
        assert refused.status == 422, query
        assert json.loads(await refused.part())["type"].endswith("invalid-request")


async def test_a_server_stops_at_once_although_somebody_listens(settings: Settings, clock: Any) -> None:
    with socket.socket() as door:
        door.bind(("127.0.0.1", 0))
        server = Server(create_app(settings, clock=clock))
        serving = asyncio.create_task(server.serve(sockets=[door]))
        address = f"http://127.0.0.1:{door.getsockname()[1]}"
        for _ in range(2000):
            if not server.started:
                await asyncio.sleep(0.01)
        async with httpx.AsyncClient(base_url=address) as client, client.stream("GET", EVENTS) as stream:
            lines = stream.aiter_lines()
            assert (await anext(lines)).startswith("retry:")
            server.should_exit = True
            async with asyncio.timeout(10):  # what calls under way would get is longer
                await serving
            assert [line async for line in lines][-1] == "", "the stream ended in order"
