"""Any HTTP address behind the same call as every service, for what the catalogue does not know."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AsyncExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import httpx
from pydantic import SecretStr

from prefect_autopilot.adapters.network import TIMEOUT_S, outgoing, proxy_of
from prefect_autopilot.adapters.rates import RateGate
from prefect_autopilot.adapters.services import ServiceClient
from prefect_autopilot.errors import UsageError
from prefect_autopilot.models import Auth, Operation, OperationEffect, Parameter, Service
from prefect_autopilot.services import check_parameters, find_operation

_SAFE = ("GET", "HEAD")
_IDEMPOTENT = ("PUT", "DELETE")


class AnyHTTPClient:
    """Calls the address of each request; use it as an async context manager, so that connections are kept."""

    def __init__(
        self,
        service: Service,
        credentials: Mapping[str, SecretStr],
        *,
        base_url: str | None = None,
        transport: httpx.AsyncBaseTransport | None = None,
        connection: str | None = None,
        gate: RateGate | None = None,
        timeout_s: float = TIMEOUT_S,
        allow_private_network: bool = False,
    ) -> None:
        """Prepare calls; a ``token`` is sent to the host of ``base_url`` and to nobody else.

        ``gate`` is shared by clients that share a rate limit. After ``timeout_s`` of silence a call is
        given up.
        """
        self.service = service
        self.connection = connection
        self._credentials = dict(credentials)
        self._base_url = base_url
        self._transport = transport
        self._gate = gate or RateGate(service.rate_limit_per_s)
        self._timeout_s = timeout_s
        self._allow_private = allow_private_network
        self._kept: dict[str | None, httpx.AsyncBaseTransport] | None = None

    async def __aenter__(self) -> Self:
        self._kept = {}
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        kept, self._kept = self._kept or {}, None
        async with AsyncExitStack() as stack:
            for transport in kept.values():
                stack.push_async_callback(transport.aclose)

    def _way(self, url: httpx.URL) -> httpx.AsyncBaseTransport | None:
        """Return the way out that is kept between calls, the same for all hosts behind one proxy or none."""
        if self._transport is not None or self._kept is None:
            return self._transport
        proxy = proxy_of(url)
        if proxy not in self._kept:
            self._kept[proxy] = outgoing(_origin(url), None, allow_private=self._allow_private)
        return _Lent(self._kept[proxy])

    async def call(
        self,
        operation_id: str,
        parameters: Mapping[str, Any] | None = None,
        *,
        all_pages: bool = False,  # noqa: ARG002  nothing is known of pages
        idempotency_key: str | None = None,  # noqa: ARG002  no header is known for it
        save_to: Path | str | None = None,
    ) -> Any:
        """Make one request and return its answer: JSON, text, or None where there is none.

        With ``save_to`` the answer to a GET goes into that file piece by piece, whatever its type. Raises
        UsageError for parameters, ConfigurationError for a private address that is not allowed, ServiceError
        for what the other side says.
        """
        operation = find_operation(self.service, operation_id)
        given = check_parameters(self.service, operation, parameters or {})
        url = address(given["url"])
        meant, sent = _described(given, url)
        known = self._base_url is not None and _origin(address(self._base_url)) == _origin(url)
        held = self._credentials if known and "token" in self._credentials else {}
        auth = Auth(scheme="bearer") if held else Auth()
        service = self.service.model_copy(
            update={"base_url": _origin(url), "auth": auth, "operations": (meant,), "protocol": "http"}
        )
        async with ServiceClient(
            service,
            held,
            transport=self._way(url),
            connection=self.connection,
            gate=self._gate,
            timeout_s=self._timeout_s,
            allow_private_network=self._allow_private,
        ) as client:
            return await client.call(meant.id, sent, save_to=save_to)


class _Lent(httpx.AsyncBaseTransport):
    """A way out that stays open after the call it is lent to."""

    def __init__(self, kept: httpx.AsyncBaseTransport) -> None:
        self._kept = kept

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        return await self._kept.handle_async_request(request)


def address(text: str) -> httpx.URL:
    """Return the address; raises UsageError unless it is http(s), with a host and without a password."""
    try:
        url = httpx.URL(text)
    except httpx.InvalidURL:
        url = httpx.URL("")
    if url.scheme not in ("http", "https") or not url.host or url.userinfo:
        msg = "The parameter 'url' must be an http or https address, without a name and password in it."
        raise UsageError(msg)
    return url


def _origin(url: httpx.URL) -> str:
    return f"{url.scheme}://{url.netloc.decode('ascii')}"


def _described(given: Mapping[str, Any], url: httpx.URL) -> tuple[Operation, dict[str, Any]]:
    """Return the request as an operation with its parameters, so that it is sent like any other."""
    method = given.get("method", "GET")
    effect = (
        OperationEffect.SAFE
        if method in _SAFE
        else OperationEffect.IDEMPOTENT
        if method in _IDEMPOTENT
        else OperationEffect.UNSAFE
    )
    headers = {str(name): str(value) for name, value in (given.get("headers") or {}).items()}
    parameters = [Parameter(name=name, location="header") for name in headers]
    sent: dict[str, Any] = dict(headers)
    if "json" in given:
        if method in _SAFE:
            msg = f"A {method} request has no body; leave out 'json', or use another method."
            raise UsageError(msg)
        # A name no header can have.
        parameters.append(Parameter(name="json body", type="any", at="$"))
        sent["json body"] = given["json"]
    operation = Operation(
        id="request",
        method=method,
        path=url.raw_path.decode("ascii"),
        parameters=tuple(parameters),
        body="json" if "json" in given else "none",
        effect=effect,
    )
    return operation, sent
