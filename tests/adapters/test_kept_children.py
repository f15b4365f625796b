"""A worker that we started and that ends by itself is replaced, a few times; nothing else is touched."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sys
from pathlib import Path

import pytest

from prefect_autopilot.adapters.embedded import kept

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


async def test_what_cannot_be_started_is_told_at_once(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="nowhere"):
        async with kept([], os.environ, tmp_path / "log", tmp_path / "nowhere"):
            pytest.fail("there is no such folder")
    assert sys.executable
