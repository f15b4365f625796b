"""A worker that we started and that ends by itself, or hangs, is replaced, a few times; nothing else is."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sys
from math import inf
from pathlib import Path

import httpx
import pytest

from prefect_autopilot.adapters.embedded import SignsOfLife, kept, worker_silent_s

APPEND = "import os, sys; open(sys.argv[1], 'a').write(f'{os.getpid()}\\n')"
ENDS = f"{APPEND}; sys.exit(3)"
STAYS = f"{APPEND}; import time; time.sleep(60)"

pytestmark = pytest.mark.timeout(30)


def pids(book: Path) -> list[int]:
    return [int(line) for line in book.read_text().split()] if book.exists() else []


def lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


async def until_started(book: Path, times: int) -> list[int]:
    while len(pids(book)) < times:  # noqa: ASYNC110  # another process writes it
        await asyncio.sleep(0.05)
    return pids(book)


async def test_a_worker_that_is_killed_is_replaced_and_the_new_one_ends_with_us(tmp_path: Path) -> None:
    book = tmp_path / "pids"
    async with kept(["-c", STAYS, str(book)], os.environ, tmp_path / "log", pauses=(0, 0)):
        (first,) = await until_started(book, 1)
        os.kill(first, signal.SIGKILL)
        _, second = await until_started(book, 2)
        assert lives(second)
    assert not lives(second)
    assert len(pids(book)) == 2


async def test_a_worker_that_ends_each_time_stays_ended_and_a_person_is_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    book = tmp_path / "pids"
    with caplog.at_level(logging.WARNING):
        async with kept(["-c", ENDS, str(book)], os.environ, tmp_path / "log", pauses=(0, 0)):
            await until_started(book, 3)
            while "stays ended" not in caplog.text:  # noqa: ASYNC110  # a log record sets no event
                await asyncio.sleep(0.05)
            await asyncio.sleep(0.2)
    assert len(pids(book)) == 3
    assert "code 3" in caplog.text


async def test_a_worker_that_lives_is_left_alone(tmp_path: Path) -> None:
    book = tmp_path / "pids"
    async with kept(["-c", STAYS, str(book)], os.environ, tmp_path / "log", pauses=(0,)):
        (only,) = await until_started(book, 1)
        await asyncio.sleep(0.3)
        assert pids(book) == [only]


SILENCES = {
    "it hangs": ([400.0, 400.0], 2),
    "it never told of itself": ([inf, inf], 2),
    "a machine that slept": ([400.0, 0.001] * 3, 1),
    "a server that does not say": ([None] * 6, 1),
    "not for long enough": ([0.009] * 6, 1),
}


@pytest.mark.parametrize("case", SILENCES)
async def test_a_worker_that_gives_no_sign_of_life_is_killed_and_replaced(tmp_path: Path, case: str) -> None:
    told, started = SILENCES[case]
    asked, over, book = iter(told), asyncio.Event(), tmp_path / "pids"

    async def silent_s() -> float | None:
        await until_started(book, 1)
        silent = next(asked, 0.0)
        if silent == 0.0:
            over.set()
        return silent

    signs = SignsOfLife(silent_s, look_every_s=0.02, hung_after_s=0.01)
    async with kept(["-c", STAYS, str(book)], os.environ, tmp_path / "log", pauses=(0, 0), signs=signs):
        first, *others = await until_started(book, started)
        await over.wait()
        assert len(others) == started - 1
        assert lives(first) is (started == 1)


WORKERS = [{"name": "ours", "last_heartbeat_time": "2026-03-02T03:00:00Z"}, {"name": "theirs"}]


@pytest.mark.parametrize(
    ("name", "answer", "silent"),
    [
        ("ours", httpx.Response(200, json=WORKERS), 61),
        ("theirs", httpx.Response(200, json=WORKERS), inf),
        ("gone", httpx.Response(200, json=WORKERS), inf),
        ("ours", httpx.Response(503), None),
        ("ours", httpx.Response(200, text="a proxy's page"), None),
    ],
    ids=["a while ago", "never", "unknown to the server", "a server in trouble", "no server"],
)
async def test_how_long_a_worker_is_silent_goes_by_the_servers_own_clock(
    name: str, answer: httpx.Response, silent: float | None
) -> None:
    answer.headers["Date"] = "Mon, 02 Mar 2026 03:01:01 GMT"
    transport = httpx.MockTransport(lambda _request: answer)
    assert await worker_silent_s("http://prefect.test/api", "pool", name, transport) == silent


async def test_what_cannot_be_started_is_told_at_once(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="nowhere"):
        async with kept([], os.environ, tmp_path / "log", tmp_path / "nowhere"):
            pytest.fail("there is no such folder")
    assert sys.executable
