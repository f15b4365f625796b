"""The connections whose webhooks are received: read from Prefect, and kept for a while."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import httpx
from pydantic import SecretStr

from prefect_autopilot.errors import PrefectError, UnknownNameError
from prefect_autopilot.journeys.desk import prefect_target
from prefect_autopilot.journeys.hooks import SECRETS

FRESH = timedelta(seconds=60)
"""How long a connection that was read is used without asking Prefect again."""
STALE = timedelta(hours=24)
"""How long it is used while Prefect cannot be asked: a webhook is not refused because Prefect is down."""
_MOST_KEPT = 1000


@dataclass(frozen=True)
class Known:
    """What a connection says of its webhooks, and when that was read."""

    service: str
    credentials: Mapping[str, SecretStr]
    read_at: datetime


@dataclass
class Connections:
    """Reads connection blocks, and keeps what webhooks need of them for a while."""

    _kept: dict[str, Known] = field(default_factory=dict)

    async def get(self, name: str, now: datetime) -> Known:
        """Return a connection; raises UnknownNameError, or PrefectError where Prefect cannot be asked."""
        known = self._kept.get(name)
        if known is not None and now - known.read_at < FRESH:
            return known
        try:
            found = await self.read(name, now)
        except PrefectError:
            if known is None or now - known.read_at > STALE:
                raise
            return known
        except UnknownNameError:
            self._kept.pop(name, None)
            raise
        if len(self._kept) >= _MOST_KEPT:
            self._kept.clear()
        self._kept[name] = found
        return found

    async def read(self, name: str, now: datetime) -> Known:
        """Read a connection from the Prefect server."""
        from prefect_autopilot.blocks.connection import load_connection

        target = prefect_target()  # without a known server Prefect would start one of its own
        try:
            block = await load_connection(name)
        except (httpx.HTTPError, RuntimeError) as error:
            raise PrefectError(
                f"The connection {name} cannot be read from {target.url}; check that the server runs.",
                permanent=False,
            ) from error
        return Known(block.service, block.secrets(), now)

    async def remember(self, name: str, secret: str) -> None:
        """Store the secret of a new webhook in the connection's block."""
        from prefect.types import SecretDict

        from prefect_autopilot.blocks.connection import load_connection

        prefect_target()
        try:
            block = await load_connection(name)
            held = block.credentials.get_secret_value()
            block.credentials = SecretDict({**held, SECRETS[0]: secret})
            await block.asave(name, overwrite=True)
        except (httpx.HTTPError, RuntimeError) as error:
            raise PrefectError(
                f"The secret of the webhook cannot be stored in {name}; check that the Prefect server runs.",
                permanent=False,
            ) from error
        self._kept.pop(name, None)
