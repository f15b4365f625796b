"""The call that streams changes as server-sent events: until the client goes, is too slow or may no more."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Annotated
from uuid import UUID

from pydantic import Field
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from prefect_autopilot.api.access import principal_of
from prefect_autopilot.api.bodies import WorkflowName
from prefect_autopilot.api.context import context_of
from prefect_autopilot.api.live import Live, Wanted
from prefect_autopilot.errors import AutopilotError

SLOW_S = 20.0
"""Seconds within which a client has to take what it is sent."""
MEDIA_TYPE = "text/event-stream"
_LONGEST_ID = 18


class EventStream(Response):
    """Sends parts as they come; the place among the listeners is held as long as it does."""

    media_type = MEDIA_TYPE

    def __init__(self, live: Live, actor: str, parts: AsyncGenerator[bytes], slow_s: float = SLOW_S) -> None:
        super().__init__(headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"})
        del self.headers["content-length"]
        self._live = live
        self._actor = actor
        self._parts = parts
        self._slow_s = slow_s

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002  # ASGI
        """Serve one ASGI connection."""
        with self._live.place_of(self._actor):
            talk = asyncio.create_task(self._talk(send))
            gone = asyncio.create_task(_until_gone(receive))
            try:
                await asyncio.wait({talk, gone}, return_when=asyncio.FIRST_COMPLETED)
            finally:
                gone.cancel()
                talk.cancel()
                ended = await asyncio.gather(talk, gone, return_exceptions=True)
        if isinstance(ended[0], Exception):
            raise ended[0]

    async def _talk(self, send: Send) -> None:
        async with aclosing(self._parts) as parts:
            begun = False
            async for part in parts:
                if not begun:
                    # Only now: what cannot be read from the store is still an error with a status.
                    begun = True
                    await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
                try:
                    async with asyncio.timeout(self._slow_s):
                        await send({"type": "http.response.body", "body": part, "more_body": True})
                except TimeoutError:
                    return  # too slow: it is left, and comes back with the number it was told last
        await send({"type": "http.response.body", "body": b""})


async def _until_gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def stream_events(
    request: Request,
    session_id: UUID | None = None,
    workflow_id: WorkflowName | None = None,
    after: Annotated[int, Field(ge=0, lt=10**_LONGEST_ID)] | None = None,
) -> Response:
    """Stream changes of sessions and alerts as server-sent events, until the client hangs up.

    ``Last-Event-ID`` (or ``after``) is the number of the last event that was seen: what changed since is sent
    first. ``reset`` says that too much changed: read the lists again. Without a number it begins now.
    """
    context, principal = context_of(request), principal_of(request)
    wanted = Wanted(str(session_id) if session_id is not None else None, workflow_id)

    async def may_stay() -> bool:
        try:
            if principal.by == "prefect":
                return await context.prefect_auth.accepts(request.headers.get("authorization", ""))
            store = await context.store()
            if principal.token is None:
                return not await store.has_tokens()
            return await store.is_active(principal.token.token_id, context.clock())
        except AutopilotError:
            return False  # nobody can be recognised now; who may comes back

    told_before = _number(request.headers.get("last-event-id"), after)
    parts = context.live.told(wanted, told_before, may_stay)
    return EventStream(context.live, principal.actor, parts)


def _number(header: str | None, query: int | None) -> int | None:
    """Return how far a client was told; what is no number of ours is before everything: it reads anew."""
    if header is None:
        return query
    return int(header) if header.isascii() and header.isdecimal() and len(header) <= _LONGEST_ID else -1
