"""One client for every service of the catalogue: checked, authorised, paged, with errors that tell."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from types import TracebackType
from typing import Any, Self

import httpx
from pydantic import SecretStr

from prefect_autopilot.adapters.service_answers import LARGEST_ANSWER, CallFacts, read_answer
from prefect_autopilot.errors import ConfigurationError, UsageError
from prefect_autopilot.models import Operation, OperationEffect, Service
from prefect_autopilot.services import (
    RequestParts,
    address_fields,
    authorise,
    build_request,
    check_parameters,
    find_operation,
    next_page,
    rows_of,
)

MOST_PAGES = 200
MOST_ROWS = 50_000
_CODED = frozenset({"content-encoding", "content-length", "transfer-encoding"})  # the content is decoded
_ADDRESS_PART = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_:")


def utc_now() -> datetime:
    """Return the present moment; the one place where this client reads the clock."""
    return datetime.now(UTC)


class ServiceClient:
    """Calls one service with one connection's credentials; use it as an async context manager."""

    def __init__(
        self,
        service: Service,
        credentials: Mapping[str, SecretStr],
        *,
        base_url: str | None = None,
        transport: httpx.AsyncBaseTransport | None = None,
        connection: str | None = None,
        timeout_s: float = 30.0,
        clock: Callable[[], datetime] = utc_now,
    ) -> None:
        """Prepare calls of ``service``; ``base_url`` replaces the catalogue's (own hosts, the simulator).

        Raises ConfigurationError when the address is incomplete or a credential is missing.
        """
        self.service = service
        self.connection = connection
        self._clock = clock
        self._timeout_s = timeout_s
        plain = {name: secret.get_secret_value() for name, secret in credentials.items()}
        self._secrets = tuple(value for value in plain.values() if value)
        self._proof = authorise(service, plain)
        self._base_url = _address(service, base_url, plain)
        self._client = httpx.AsyncClient(
            transport=transport,
            timeout=timeout_s,
            follow_redirects=False,
            headers={"Accept": "application/json"},
        )

    async def __aenter__(self) -> Self:
        await self._client.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._client.__aexit__(kind, error, trace)

    async def call(
        self,
        operation_id: str,
        parameters: Mapping[str, Any] | None = None,
        *,
        all_pages: bool = False,
        idempotency_key: str | None = None,
    ) -> Any:
        """Call an operation and return its answer: JSON, text, or None where there is none.

        With ``all_pages`` the rows of every page of a list. ``idempotency_key`` is sent with an unsafe
        call where the service knows such a header. Nothing is sent before the parameters are checked.
        Raises UnknownNameError, UsageError (the words of the caller) or ServiceError (the call).
        """
        operation = find_operation(self.service, operation_id)
        checked = check_parameters(self.service, operation, parameters or {})
        if all_pages:
            return await self._all_pages(operation, checked)
        answer, _ = await self._send(operation, build_request(operation, checked), key=idempotency_key)
        return answer

    async def _all_pages(self, operation: Operation, parameters: dict[str, Any]) -> list[Any]:
        if operation.effect is not OperationEffect.SAFE or operation.list_at is None:
            msg = f"{self.service.id}.{operation.id} is no list that could be read page by page."
            raise UsageError(msg)
        rows: list[Any] = []
        seen: set[str] = set()
        url: str | None = None
        for _ in range(MOST_PAGES):
            answer, response = await self._send(operation, build_request(operation, parameters), url=url)
            found = rows_of(operation, answer)
            rows += found
            follow = next_page(
                operation, parameters, answer, url=str(response.url), link=_next_link(response)
            )
            if follow is None:
                return rows
            counted = operation.pagination.kind in ("page", "offset")
            mark = json.dumps(found if counted else [follow.url, follow.parameters], default=str)
            if mark in seen or len(rows) > MOST_ROWS:
                break
            seen.add(mark)
            url, parameters = follow.url, follow.parameters or parameters
        reason = (
            f"{self.service.name} repeats a page of the list, or the list is too long; narrow the request"
        )
        raise self._facts(operation).error(reason, permanent=True)

    async def _send(
        self, operation: Operation, request: RequestParts, *, url: str | None = None, key: str | None = None
    ) -> tuple[Any, httpx.Response]:
        facts = self._facts(operation)
        headers = {**request.headers, **self._proof.headers}
        if key and self.service.idempotency_header and operation.effect is OperationEffect.UNSAFE:
            headers[self.service.idempotency_header] = key
        query = self._proof.query if url else (*request.query, *self._proof.query)
        try:
            built = self._client.build_request(
                request.method,
                httpx.URL(url or self._base_url + request.path).copy_merge_params(query),
                headers=headers,
                **_encoded(operation, request.body),
            )
            response = await self._read(built, facts)
        # No cause is chained: httpx puts whole addresses into its texts, and a query may hold a key.
        except httpx.TimeoutException:
            reason = f"{self.service.name} did not answer within {self._timeout_s:g} s"
            raise facts.error(reason, permanent=False) from None
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            reason = f"The connection to {self.service.name} failed ({type(error).__name__}: {error})"
            raise facts.error(reason, permanent=False) from None
        return read_answer(response, operation, facts, self._clock()), response

    async def _read(self, request: httpx.Request, facts: CallFacts) -> httpx.Response:
        response = await self._client.send(request, stream=True)
        content = bytearray()
        try:
            async for chunk in response.aiter_bytes():
                content += chunk
                if len(content) > LARGEST_ANSWER:
                    reason = f"{self.service.name} answered with more than {LARGEST_ANSWER // 2**20} MB"
                    raise facts.error(reason, permanent=True, status=response.status_code)
        finally:
            await response.aclose()
        headers = [(n, v) for n, v in response.headers.multi_items() if n.lower() not in _CODED]
        return httpx.Response(response.status_code, headers=headers, content=bytes(content), request=request)

    def _facts(self, operation: Operation) -> CallFacts:
        return CallFacts(self.service, operation.id, operation.effect.value, self.connection, self._secrets)


def _next_link(response: httpx.Response) -> str | None:
    return response.links.get("next", {}).get("url")


def _encoded(operation: Operation, body: Any) -> dict[str, Any]:
    if body is None or operation.body == "none":
        return {}
    if operation.body == "form":
        return {"data": body}
    if operation.body == "multipart":
        return {"files": {name: (None, value) for name, value in body.items()}}
    if operation.body == "raw" and isinstance(body, str):
        return {"content": body}
    return {"json": body}


def _address(service: Service, base_url: str | None, credentials: Mapping[str, str]) -> str:
    """Return the address calls start with; raises ConfigurationError when a part of it is not known."""
    address = base_url or service.base_url or ""
    for field in (*address_fields(service), *credentials):
        slot = "{" + field + "}"
        value = credentials.get(field, "")
        if slot in address and value and set(value) <= _ADDRESS_PART:
            address = address.replace(slot, value)
    if "{" in address:
        missing = address[address.index("{") + 1 :].partition("}")[0]
        msg = f"The address of {service.name} needs {missing!r}; set the base URL of the connection."
        raise ConfigurationError(msg)
    try:
        scheme = httpx.URL(address).scheme
    except httpx.InvalidURL:
        scheme = ""
    if scheme not in ("http", "https"):
        msg = f"{service.name} is not reached over HTTP; set an http(s) base URL of the connection."
        raise ConfigurationError(msg)
    return address.rstrip("/")
