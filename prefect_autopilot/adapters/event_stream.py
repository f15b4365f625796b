"""The event stream of a Prefect server over its websocket, spoken without importing Prefect.

A watcher that does nothing else would hold thirty megabytes of it. The messages are those that Prefect's own
subscriber exchanges: auth, then a filter, then one message for each event.
"""

from __future__ import annotations

import base64
import json
from collections.abc import AsyncIterator, Collection
from datetime import UTC, datetime, timedelta

from prefect_autopilot.adapters.prefect_target import PrefectTarget
from prefect_autopilot.errors import PrefectError

LOOK_BACK = timedelta(minutes=1)
"""What happened while the connection was made is told as well."""
AHEAD = timedelta(days=365)
LONGEST = 2**22
"""Bytes of one message."""


async def resources_of(target: PrefectTarget, names: Collection[str]) -> AsyncIterator[str]:
    """Yield the id of the resource of each event of these names as it happens, until the server ends it.

    Raises ``PrefectError`` where our credentials are refused, and what websockets raises where the connection
    cannot be made or breaks.
    """
    from websockets.asyncio.client import connect
    from websockets.typing import Subprotocol

    protocols = [Subprotocol("prefect")]
    async with connect(_socket(target.url), subprotocols=protocols, max_size=LONGEST) as socket:
        await socket.send(json.dumps({"type": "auth", "token": _token(target.auth)}))
        answer = json.loads(await socket.recv())
        if answer.get("type") != "auth_success":
            raise PrefectError("The event stream of Prefect refused our credentials.", permanent=True)
        now = datetime.now(UTC)
        occurred = {"since": (now - LOOK_BACK).isoformat(), "until": (now + AHEAD).isoformat()}
        wanted = {"event": {"name": sorted(names)}, "occurred": occurred}
        await socket.send(json.dumps({"type": "filter", "filter": wanted}))
        async for text in socket:
            message = json.loads(text)
            if message.get("type") == "event":
                yield str(message["event"]["resource"]["prefect.resource.id"])


def _socket(url: str) -> str:
    return f"ws{url.rstrip('/').removeprefix('http')}/events/out"


def _token(auth: str | None) -> str | None:
    """Return what the stream wants of an Authorization header: the key, or user and password in clear."""
    scheme, _, text = (auth or "").partition(" ")
    return base64.b64decode(text).decode() if scheme == "Basic" else text or None
