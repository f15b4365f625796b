"""Clients that stay open between the calls of a flow run."""

from __future__ import annotations

import asyncio
import atexit
import concurrent.futures
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Hashable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

from prefect_autopilot.errors import ServiceError

if TYPE_CHECKING:
    from prefect_autopilot.adapters.clients import Client

IDLE_S = 15.0
"""Seconds without a call after which a client is closed: longer than a pause in a run, shorter than a run."""

_REFUSED = (401, 403)


@dataclass
class _Open:
    client: asyncio.Task[Client]
    users: int = 0
    timer: asyncio.TimerHandle | None = None


class OpenClients:
    """Clients by key, each in the event loop that opened it."""

    def __init__(self, idle_s: float = IDLE_S) -> None:
        self._idle_s = idle_s
        self._loops: WeakKeyDictionary[asyncio.AbstractEventLoop, dict[Hashable, _Open]] = WeakKeyDictionary()

    def count(self) -> int:
        """Return how many clients are open."""
        return sum(len(held) for held in self._loops.values())

    @asynccontextmanager
    async def use(self, key: Hashable, make: Callable[[], Awaitable[Client]]) -> AsyncIterator[Client]:
        """Yield the client of ``key``, opened with ``make`` where there is none.

        One whose credentials were refused is not used again: the next call reads them anew.
        """
        held = self._loops.setdefault(asyncio.get_running_loop(), {})
        one = held.get(key)
        if one is None:
            one = held[key] = _Open(asyncio.ensure_future(_opened(make)))
        one.users += 1
        if one.timer is not None:
            one.timer.cancel()
        try:
            # Another call may wait for the same client: this one's end must not take it away.
            yield await asyncio.shield(one.client)
        except ServiceError as error:
            if error.status in _REFUSED:
                _forget(held, key, one)
            raise
        finally:
            one.users -= 1
            if one.client.done() and (one.client.cancelled() or one.client.exception() is not None):
                _forget(held, key, one)
            elif one.users == 0:
                await self._rest(held, key, one)

    async def _rest(self, held: dict[Hashable, _Open], key: Hashable, one: _Open) -> None:
        if held.get(key) is not one:
            await _close(one)
            return
        loop = asyncio.get_running_loop()
        one.timer = loop.call_later(self._idle_s, lambda: loop.create_task(self._expire(held, key, one)))

    async def _expire(self, held: dict[Hashable, _Open], key: Hashable, one: _Open) -> None:
        if one.users == 0:
            _forget(held, key, one)
            await _close(one)

    async def close(self) -> None:
        """Close the clients of the running event loop that nobody uses."""
        held = self._loops.get(asyncio.get_running_loop(), {})
        for key, one in list(held.items()):
            if one.timer is not None:
                one.timer.cancel()
            await self._expire(held, key, one)

    def close_all(self) -> None:
        """Close the clients of every event loop that still runs; for the end of the process."""
        for loop in list(self._loops):
            if loop.is_running():
                closing = asyncio.run_coroutine_threadsafe(self.close(), loop)
                # The process ends anyway; a client that does not close in time must not hold it up.
                with contextlib.suppress(concurrent.futures.TimeoutError, concurrent.futures.CancelledError):
                    closing.result(timeout=2)


async def _opened(make: Callable[[], Awaitable[Client]]) -> Client:
    return await (await make()).__aenter__()


def _forget(held: dict[Hashable, _Open], key: Hashable, one: _Open) -> None:
    if held.get(key) is one:
        del held[key]


async def _close(one: _Open) -> None:
    client = await one.client
    await client.__aexit__(None, None, None)


CLIENTS = OpenClients()
atexit.register(CLIENTS.close_all)
