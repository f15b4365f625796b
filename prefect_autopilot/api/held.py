"""Answers to reads of the store, given again while nothing in it has changed."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from http import HTTPStatus
from typing import NamedTuple

from starlette.requests import Request
from starlette.responses import Response

from prefect_autopilot.store import Store

HOLDS = timedelta(seconds=1)
"""What is told depends on the time as well, so an answer is given again for no longer."""
MOST = 500
MOST_BYTES = 200_000
_NONE = timedelta(0)


class _Answer(NamedTuple):
    at: datetime
    body: bytes
    headers: list[tuple[bytes, bytes]]


class HeldAnswers:
    """Keeps the answers to reads that are the same for whoever may make them, bounded in number and size.

    A commit to the store by any process ends all of them. A store that cannot tell when it was written to
    (PostgreSQL) has none.
    """

    def __init__(self, store: Callable[[], Awaitable[Store]], clock: Callable[[], datetime]) -> None:
        self._store = store
        self._clock = clock
        self._mark: tuple[int, int] | None = None
        self._answers: OrderedDict[str, _Answer] = OrderedDict()

    async def answer(self, request: Request, work: Callable[[Request], Awaitable[Response]]) -> Response:
        """Return the answer that is held for this address, else what ``work`` answers."""
        mark, now = (await self._store()).mark(), self._clock()
        if mark is None:
            return await work(request)
        if mark != self._mark:
            self._mark = mark
            self._answers.clear()
        key = f"{request.url.path}?{request.url.query}"
        held = self._answers.get(key)
        if held is not None and _NONE <= now - held.at < HOLDS:
            again = Response(held.body)
            again.raw_headers = list(held.headers)
            return again
        answer = await work(request)
        # Of what was written meanwhile the answer may hold a part: the mark is the one from before.
        if mark == self._mark and answer.status_code == HTTPStatus.OK and len(answer.body) <= MOST_BYTES:
            self._answers[key] = _Answer(now, bytes(answer.body), list(answer.raw_headers))
            self._answers.move_to_end(key)
            while len(self._answers) > MOST:
                self._answers.popitem(last=False)
        return answer
