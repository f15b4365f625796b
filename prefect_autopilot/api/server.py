"""The server around the application: it stops in an order that lets nobody wait for an open stream."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING, Any

import uvicorn

if TYPE_CHECKING:
    from fastapi import FastAPI

STOP_WITHIN_S = 15
"""Seconds that calls under way get; below the 30 s after which containers are killed."""


class Server(uvicorn.Server):
    """Ends the streams first: a server waits for its connections, and a stream is one that never ends."""

    def __init__(self, app: FastAPI, **settings: Any) -> None:
        self._app = app
        # What X-Forwarded-For says is believed here from nobody; the application has its own list.
        told = {"proxy_headers": False, "server_header": False, "log_level": "warning", "lifespan": "on"}
        super().__init__(uvicorn.Config(app, timeout_graceful_shutdown=STOP_WITHIN_S, **{**told, **settings}))

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Stop taking connections, end streams, let calls end, then stop the application."""
        self._app.state.context.live.close()
        await super().shutdown(sockets=sockets)
