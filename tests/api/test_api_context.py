"""Life and surroundings of the application: mounting, loops, work behind the scenes, slow clients."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.types import Receive, Scope, Send

from prefect_autopilot.api import create_app
from prefect_autopilot.api.context import MONITORING, Context, worked
from prefect_autopilot.api.guard import Guard
from prefect_autopilot.errors import ConfigurationError, PrefectError
from prefect_autopilot.models import RunRecord, StateRecord
from prefect_autopilot.models.names import WATCHER_LOOKS
from prefect_autopilot.monitoring import FleetMetrics
from prefect_autopilot.settings import Settings
from prefect_autopilot.store import Store
from prefect_autopilot.watcher import CURSOR

ADDRESS = "http://127.0.0.1:8642"
TROUBLESHOOTING = "/api/workflow-troubleshooting"


def client_of(app: FastAPI) -> httpx.AsyncClient:
    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url=ADDRESS)


@asynccontextmanager
async def no_prefect(_settings: Settings) -> AsyncIterator[Any]:
    raise ConfigurationError("No Prefect server is known.")
    yield


@pytest.fixture
async def context(settings: Settings, clock: Any) -> AsyncIterator[Context]:
    made = Context(settings, clock=clock, fleet=FleetMetrics(), desk_factory=no_prefect)
    async with made.lifespan():
        yield made


def test_the_cursor_that_shows_a_watcher_is_the_watchers() -> None:
    assert WATCHER_LOOKS == CURSOR


async def test_inside_another_application_it_works_without_a_life_cycle_of_its_own(
    settings: Settings, clock: Any
) -> None:
    inner = create_app(settings, clock=clock)
    outer = FastAPI()
    outer.mount("/autopilot", inner)
    async with client_of(outer) as client:
        body = {"workflow_id": "orders", "error_logs": ["KeyError: 'price'"]}
        opened = await client.post(f"/autopilot{TROUBLESHOOTING}/sessions", json=body)
        assert opened.status_code == 200
        at = f"/autopilot{TROUBLESHOOTING}/sessions/{opened.json()['session_id']}"
        assert (await client.get(at)).json()["workflow_id"] == "orders"
        assert (await client.get("/autopilot/docs")).status_code == 200
        assert (await client.get("/autopilot/metrics")).status_code == 200
    async with inner.state.context.lifespan():
        """End what was opened on first use."""


def test_a_second_event_loop_gets_a_store_of_its_own(settings: Settings, clock: Any) -> None:
    app = create_app(settings, clock=clock, fleet=FleetMetrics())

    async def once() -> int:
        async with app.router.lifespan_context(app), client_of(app) as client:
            return (await client.get(f"{TROUBLESHOOTING}/sessions")).status_code

    assert [asyncio.run(once()), asyncio.run(once())] == [200, 200]


async def test_two_applications_share_one_database_and_no_metrics(settings: Settings, clock: Any) -> None:
    first, second = (create_app(settings, clock=clock) for _ in range(2))
    async with (
        first.router.lifespan_context(first),
        second.router.lifespan_context(second),
        client_of(first) as one,
        client_of(second) as other,
    ):
        await one.post(f"{TROUBLESHOOTING}/sessions", json={"workflow_id": "orders"})
        assert len((await other.get(f"{TROUBLESHOOTING}/sessions")).json()["sessions"]) == 1
        assert (await one.get("/metrics")).status_code == 200
        assert (await other.get("/metrics")).status_code == 200


async def test_metrics_of_somebody_else_are_served_as_they_are(start: Any, store: Store, clock: Any) -> None:
    fleet = FleetMetrics()
    api = await start(fleet=fleet)
    ended = StateRecord(id="s", type="COMPLETED", name="Completed", timestamp=clock.now)
    stored = RunRecord(id="r", flow_name="stored", state=ended, start=clock.now - timedelta(minutes=1))
    await store.upsert_runs([stored])
    assert "flow_runs_total{" not in (await api.get("/metrics")).text
    fleet.observe(stored.model_copy(update={"flow_name": "observed"}))
    text = (await api.get("/metrics")).text
    assert 'flow="observed"' in text
    assert 'flow="stored"' not in text


async def test_work_behind_the_scenes_gets_time_to_end(settings: Settings, clock: Any) -> None:
    context = Context(settings, clock=clock, fleet=FleetMetrics(), desk_factory=no_prefect)
    done = []

    async def work() -> None:
        await asyncio.sleep(0.05)
        done.append(True)

    async with context.lifespan():
        context.begin(work())
    assert done == [True]


async def test_the_server_is_read_only_where_monitoring_was_asked_for(
    settings: Settings, clock: Any, store: Store
) -> None:
    asked = []

    @asynccontextmanager
    async def counting(_settings: Settings) -> AsyncIterator[Any]:
        asked.append(True)
        raise PrefectError("nobody there", permanent=False)
        yield

    context = Context(settings, clock=clock, fleet=FleetMetrics(), desk_factory=counting)
    async with context.lifespan():
        await context.monitor()
        assert asked == []
        await store.set_cursor(MONITORING, clock.now)
        await context.monitor()
        assert asked == [True]
        await store.set_cursor(WATCHER_LOOKS, clock.now)
        await context.monitor()
        assert asked == [True]
        clock.forward(minutes=6)
        await context.monitor()
        assert asked == [True, True]


async def test_a_server_that_is_not_there_is_a_reason_not_an_error(context: Context) -> None:
    async with context.desk_if_any() as (desk, reason):
        assert desk is None
        assert reason == "No Prefect server is known."
    assert await context.refreshed() == "No Prefect server is known."


async def test_an_error_inside_the_work_with_a_desk_is_not_swallowed(context: Context) -> None:
    async def work() -> None:
        async with context.desk_if_any():
            raise PrefectError("in the middle", permanent=False)

    with pytest.raises(PrefectError, match="in the middle"):
        await work()


async def test_work_in_a_thread_hands_its_error_on() -> None:
    with pytest.raises(ZeroDivisionError):
        await worked(divmod, 1, 0)


async def test_many_callers_of_one_session_leave_it_whole(api: httpx.AsyncClient, session_id: str) -> None:
    at = f"{TROUBLESHOOTING}/sessions/{session_id}"
    calls = [api.post(f"{at}/diagnose") for _ in range(5)]
    calls += [api.post(f"{at}/analyze-metrics", json={"metrics": {"error_rate": 0.5}}) for _ in range(5)]
    statuses = {answer.status_code for answer in await asyncio.gather(*calls)}
    assert statuses <= {200, 409}
    assert 200 in statuses
    session = (await api.get(at)).json()
    assert session["steps_completed"].count("diagnosis") <= 1
    assert len({issue["issue_id"] for issue in session["issues"]}) == len(session["issues"])


# The guard by itself


async def echo(scope: Scope, receive: Receive, send: Send) -> None:
    body = await Request(scope, receive).body()
    response: Response = PlainTextResponse(str(len(body)))
    await response(scope, receive, send)


async def ask(guard: Guard, chunks: list[bytes], pause_s: float = 0) -> list[Any]:
    """Send a body in chunks with pauses and return what was answered."""
    waiting = list(chunks)
    sent: list[Any] = []

    async def receive() -> Any:
        await asyncio.sleep(pause_s)
        chunk = waiting.pop(0)
        return {"type": "http.request", "body": chunk, "more_body": bool(waiting)}

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {
        "type": "http",
        "method": "POST",
        "path": "/",
        "query_string": b"",
        "headers": [(b"host", b"localhost")],
    }
    await guard(scope, receive, send)
    return sent


async def test_a_body_in_pieces_is_read_whole() -> None:
    sent = await ask(Guard(echo, most_bytes=10), [b"12345", b"67890"])
    assert sent[0]["status"] == 200
    assert sent[1]["body"] == b"10"


@pytest.mark.parametrize(
    ("guard", "pause_s", "status"),
    [(Guard(echo, most_bytes=9), 0, 413), (Guard(echo, within_s=0.02), 0.05, 408)],
    ids=["too large", "too slow"],
)
async def test_a_body_beyond_its_bounds_is_cut_off(guard: Guard, pause_s: float, status: int) -> None:
    from starlette.exceptions import HTTPException

    with pytest.raises(HTTPException) as caught:
        await ask(guard, [b"12345", b"67890"], pause_s)
    assert caught.value.status_code == status


async def test_the_names_of_the_existing_exporter_are_served_beside_ours(start: Any) -> None:
    api = await start()
    ours = (await api.get("/metrics")).text
    theirs = (await api.get("/metrics", params={"names": "exporter"})).text
    both = (await api.get("/metrics", params={"names": "both"})).text
    wrong = await api.get("/metrics", params={"names": "prometheus"})
    assert "prefect_flow_runs_total " not in ours
    assert "prefect_flow_runs_total " in theirs
    assert "prefect_autopilot_" not in theirs
    assert "prefect_flow_runs_total " in both
    assert "prefect_autopilot_runs_read_total" in both
    assert wrong.status_code == 422
