"""Reads of the store are answered again from memory, and never after something in it has changed."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from prefect_autopilot.api.held import HOLDS, MOST, MOST_BYTES, HeldAnswers
from prefect_autopilot.settings import Settings
from prefect_autopilot.store import Scope, Store

SESSIONS = "/api/workflow-troubleshooting/sessions"
NOW = datetime(2026, 3, 2, tzinfo=UTC)


class Reader:
    """A call that counts how often it was worked out."""

    def __init__(self, **how: Any) -> None:
        self.how = how
        self.times = 0

    async def __call__(self, request: Request) -> Response:
        self.times += 1
        return JSONResponse({"time": self.times, "path": request.url.path}, **self.how)


def asking(path: str = "/a", query: str = "") -> Request:
    scope = {"type": "http", "method": "GET", "path": path, "query_string": query.encode()}
    return Request(scope | {"headers": [], "server": ("127.0.0.1", 80), "scheme": "http"})


@pytest.fixture
def held(store: Store, clock: Any) -> HeldAnswers:
    async def opened() -> Store:
        return store

    return HeldAnswers(opened, clock)


async def test_an_answer_is_given_again_with_its_headers(held: HeldAnswers) -> None:
    reader = Reader(headers={"Link": "<next>"})
    first, second = [await held.answer(asking(), reader) for _ in range(2)]
    assert reader.times == 1
    assert (second.body, second.raw_headers) == (first.body, first.raw_headers)


async def test_another_address_is_another_answer(held: HeldAnswers) -> None:
    reader = Reader()
    for request in (asking("/a"), asking("/b"), asking("/a", "limit=2"), asking("/a", "limit=3")):
        await held.answer(request, reader)
    assert reader.times == 4


async def test_a_commit_of_another_process_ends_every_answer(held: HeldAnswers, settings: Settings) -> None:
    reader = Reader()
    async with Store.open(settings.store_url.get_secret_value()) as other:
        for _ in range(2):
            await held.answer(asking(), reader)
        await other.set_cursor("somewhere", NOW)
        for _ in range(2):
            await held.answer(asking(), reader)
    assert reader.times == 2


async def test_what_is_written_while_an_answer_is_worked_out_ends_it_too(
    held: HeldAnswers, store: Store
) -> None:
    async def writing(_: Request) -> Response:
        await store.set_cursor("somewhere", NOW)
        return JSONResponse("old")

    await held.answer(asking(), writing)
    reader = Reader()
    await held.answer(asking(), reader)
    assert reader.times == 1


@pytest.mark.parametrize("seconds", [HOLDS.total_seconds(), -1.0], ids=["too old", "clock set back"])
async def test_an_answer_is_no_older_than_a_second(held: HeldAnswers, clock: Any, seconds: float) -> None:
    reader = Reader()
    await held.answer(asking(), reader)
    clock.now += timedelta(seconds=seconds)
    await held.answer(asking(), reader)
    assert reader.times == 2


@pytest.mark.parametrize(
    "how", [{"status_code": 404}, {"status_code": 500}, {"headers": {"x": "y"}, "status_code": 202}]
)
async def test_only_a_plain_answer_is_held(held: HeldAnswers, how: dict[str, Any]) -> None:
    reader = Reader(**how)
    for _ in range(2):
        await held.answer(asking(), reader)
    assert reader.times == 2


async def test_memory_is_bounded(held: HeldAnswers) -> None:
    async def large(_: Request) -> Response:
        return Response(b"x" * (MOST_BYTES + 1))

    await held.answer(asking("/large"), large)
    for number in range(MOST + 20):
        await held.answer(asking(f"/{number}"), Reader())
    last, first = Reader(), Reader()
    await held.answer(asking(f"/{MOST + 19}"), last)
    await held.answer(asking("/0"), first)
    assert (last.times, first.times) == (0, 1)
    again = Reader()
    await held.answer(asking("/large"), again)
    assert again.times == 1


async def test_a_store_that_cannot_tell_is_read_each_time(clock: Any) -> None:
    async with Store.open("sqlite://") as store:

        async def opened() -> Store:
            return store

        assert store.mark() is None
        held, reader = HeldAnswers(opened, clock), Reader()
        for _ in range(2):
            await held.answer(asking(), reader)
    assert reader.times == 2


async def test_marks_of_two_views_are_never_taken_for_one_another(settings: Settings) -> None:
    marks = []
    for _ in range(2):
        async with Store.open(settings.store_url.get_secret_value()) as store:
            marks.append(store.mark())
            assert store.mark() == marks[-1]
    assert marks[0] != marks[1]


async def test_whoever_writes_reads_what_was_written(api: httpx.AsyncClient, store: Store) -> None:
    async def listed() -> list[str]:
        return [one["session_id"] for one in (await api.get(SESSIONS)).json()["sessions"]]

    assert await listed() == []
    opened = (await api.post(SESSIONS, json={"workflow_id": "a", "error_logs": ["KeyError: 'x'"]})).json()
    assert await listed() == [opened["session_id"]]
    await api.post(f"{SESSIONS}/{opened['session_id']}/diagnose")
    told = (await api.get(f"{SESSIONS}/{opened['session_id']}")).json()
    assert told["diagnosis"] is not None
    await store.delete_session(opened["session_id"], "test", NOW)
    assert await listed() == []


async def test_the_first_token_locks_what_was_open_a_moment_ago(
    api: httpx.AsyncClient, store: Store, clock: Any
) -> None:
    assert [(await api.get(SESSIONS)).status_code for _ in range(2)] == [200, 200]
    await store.create_token("ops", Scope.VIEWER, timedelta(days=1), clock(), actor="test")
    assert (await api.get(SESSIONS)).status_code == 401
