"""From a stored connection to the client that speaks what its service speaks."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from prefect_autopilot.adapters.clients import Client
    from prefect_autopilot.blocks.connection import ServiceConnection


def client_of(block: ServiceConnection, *, connection: str | None = None) -> Client:
    """Return a client for the service of the block; ``connection`` is the name errors tell.

    Raises ConfigurationError when the address is incomplete, or a credential or driver is missing.
    """
    service = block.definition()
    if service.protocol == "http":
        return block.client(connection=connection)
    from prefect_autopilot.adapters.clients import open_client

    return open_client(service, block.secrets(), base_url=block.base_url, connection=connection or block.name)
