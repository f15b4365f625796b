"""Whether a service answers again: one GET without credentials, to public or named hosts only."""

from __future__ import annotations

import httpx

from prefect_autopilot.adapters.network import outgoing
from prefect_autopilot.errors import ConfigurationError

TIMEOUT_S = 5.0
_NOT_YET = frozenset({408, 425, 429})
_SERVER_ERROR = 500


async def answers(
    url: str, *, allow_private: bool = False, transport: httpx.AsyncBaseTransport | None = None
) -> bool | None:
    """Tell whether something answers at ``url`` without an error of its own; None where it may not be asked.

    What is refused for want of credentials answers. Redirects are not followed.
    """
    try:
        network = outgoing(url, transport, allow_private=allow_private)
        async with (
            httpx.AsyncClient(transport=network, timeout=TIMEOUT_S) as http,
            http.stream("GET", url, headers={"User-Agent": "prefect-autopilot"}) as answer,
        ):
            return answer.status_code < _SERVER_ERROR and answer.status_code not in _NOT_YET
    except ConfigurationError:
        return None
    except (httpx.HTTPError, httpx.InvalidURL):
        return False
