"""Credentials of the Prefect server itself: shown to it, believed as long as it takes them."""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections import OrderedDict
from collections.abc import Callable
from http import HTTPStatus

import httpx

from prefect_autopilot.adapters.prefect_target import PrefectTarget
from prefect_autopilot.errors import PrefectError

BELIEVED_S = 60.0
MOST_KEPT = 1000
WITHIN_S = 5.0
LONGEST = 2000
KINDS = ("basic ", "bearer ")


class PrefectAuth:
    """Asks the Prefect server whether it takes an Authorization header, and keeps a yes for a minute.

    A server that answers without credentials proves nothing about anybody: then nobody is let in. Digests
    are kept, in memory.
    """

    def __init__(
        self,
        target: Callable[[], PrefectTarget],
        *,
        transport: httpx.AsyncBaseTransport | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._target = target
        self._transport = transport
        self._clock = clock
        self._believed: OrderedDict[str, float] = OrderedDict()
        self._turns = asyncio.Semaphore(4)

    async def accepts(self, authorization: str) -> bool:
        """Tell whether the server takes this header and refuses to go without; raises PrefectError.

        Raises ConfigurationError where no server is known.
        """
        if not authorization.lower().startswith(KINDS) or not 0 < len(authorization) <= LONGEST:
            return False
        key = hashlib.sha256(authorization.encode("utf-8", "replace")).hexdigest()
        at = self._believed.get(key)
        if at is not None and self._clock() - at < BELIEVED_S:
            return True
        self._believed.pop(key, None)
        async with self._turns:
            taken = await self._status(authorization) == HTTPStatus.OK and await self._status(None) in {
                HTTPStatus.UNAUTHORIZED,
                HTTPStatus.FORBIDDEN,
            }
        if taken:
            self._believed[key] = self._clock()
            if len(self._believed) > MOST_KEPT:
                self._believed.popitem(last=False)
        return taken

    async def _status(self, authorization: str | None) -> int:
        url = self._target().url.rstrip("/")
        headers = {"Authorization": authorization} if authorization is not None else {}
        try:
            async with httpx.AsyncClient(transport=self._transport, timeout=WITHIN_S) as http:
                answer = await http.get(f"{url}/admin/version", headers=headers)
        except (httpx.HTTPError, UnicodeEncodeError) as error:
            raise PrefectError(
                "The Prefect server cannot be asked who this is; check that it runs.", permanent=False
            ) from error
        return answer.status_code
