"""The server around the application: how long connections are kept, and the order in which it stops."""

from __future__ import annotations

import asyncio
import socket
from typing import TYPE_CHECKING, Any

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

if TYPE_CHECKING:
    from fastapi import FastAPI

STOP_WITHIN_S = 15
"""Seconds that calls under way get; below the 30 s after which containers are killed."""
KEEP_ALIVE_S = 75
"""Seconds that an idle connection is kept: longer than clients and proxies keep theirs (5 to 60 s as a rule).

Who closes first must be the client: a request that it sends while we close is lost ("server disconnected").
"""
ASKED_WITHIN_S = 75.0


class PromptProtocol(H11Protocol):
    """Hangs up on who connects and does not ask: the headers of a request have to come, too."""

    asked_within_s = ASKED_WITHIN_S

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn has it
        """Take a connection."""
        super().connection_made(transport)
        self._watch = self.loop.call_later(self.asked_within_s, self._look, None)

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget a connection."""
        self._watch.cancel()
        super().connection_lost(exc)

    def _look(self, last: object) -> None:
        """Close where nothing was asked since the last look, at which nothing was under way either."""
        idle = self.cycle is None or self.cycle.response_complete
        if idle and self.cycle is last:
            self.transport.close()
            return
        self._watch = self.loop.call_later(self.asked_within_s, self._look, self.cycle if idle else self)


class Server(uvicorn.Server):
    """Ends the streams first: a server waits for its connections, and a stream is one that never ends."""

    def __init__(self, app: FastAPI, **settings: Any) -> None:
        self._app = app
        # What X-Forwarded-For says is believed here from nobody; the application has its own list.
        told = {"proxy_headers": False, "server_header": False, "log_level": "warning", "lifespan": "on"}
        times = {"timeout_graceful_shutdown": STOP_WITHIN_S, "timeout_keep_alive": KEEP_ALIVE_S}
        super().__init__(uvicorn.Config(app, http=PromptProtocol, **{**told, **times, **settings}))

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Stop taking connections, end streams, let calls end, then stop the application."""
        self._app.state.context.live.close()
        await super().shutdown(sockets=sockets)
