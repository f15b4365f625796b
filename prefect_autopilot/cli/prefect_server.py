"""For commands that write to the Prefect server: is it there and ours to use, and its errors as sentences."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from prefect_autopilot.errors import PrefectError

_TRIES = 2


@asynccontextmanager
async def prefect_server() -> AsyncIterator[None]:
    """Ask the server of the environment for its version, then let the block write to it.

    Raises ConfigurationError where none is named (Prefect would start one of its own), and PrefectError
    where it cannot be reached, refuses us or is no Prefect, before and inside the block.
    """
    import httpx

    from prefect_autopilot.adapters.prefect_api import PrefectAPI
    from prefect_autopilot.journeys.desk import prefect_target

    target = prefect_target()
    async with PrefectAPI(target.url, auth=target.auth, tries=_TRIES) as api:
        await api.version()
    try:
        yield
    except httpx.HTTPStatusError as error:
        status = error.response.status_code
        raise PrefectError(
            f"The Prefect server refused a call (HTTP {status}); what was done before stays, and the same"
            " command may be run again.",
            permanent=status < httpx.codes.INTERNAL_SERVER_ERROR,
            status=status,
        ) from error
    except httpx.TransportError as error:
        raise PrefectError(
            "The connection to the Prefect server broke; what was done before stays, and the same command"
            " may be run again.",
            permanent=False,
        ) from error
