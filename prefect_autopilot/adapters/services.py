"""One client for every service of the catalogue: checked, authorised, paged, with errors that tell."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping
from contextlib import ExitStack, suppress
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from uuid import uuid4

import anyio
import httpx
from pydantic import SecretStr

from prefect_autopilot.adapters.bodies import encoded, save
from prefect_autopilot.adapters.network import TIMEOUT_S, check_host, outgoing
from prefect_autopilot.adapters.oauth import Renew, is_due, token_of
from prefect_autopilot.adapters.rates import RateGate
from prefect_autopilot.adapters.service_answers import CallFacts, is_expired, read_answer, read_body
from prefect_autopilot.adapters.signing import signer
from prefect_autopilot.errors import ConfigurationError, ServiceError, UsageError
from prefect_autopilot.models import Operation, OperationEffect, Service
from prefect_autopilot.services import (
    NextPage,
    RequestParts,
    address_fields,
    authorise,
    build_request,
    check_parameters,
    find_operation,
    is_whole,
    list_fault,
    next_page,
    rows_of,
    same_origin,
    shows_more,
    takes_key,
    with_key,
    with_proof,
)

MOST_PAGES = 200
MOST_ROWS = 50_000
_TIMEOUTS_OF_A_CALL = 4
_TIMEOUTS_OF_A_FILE = 120
_HEADERS = {
    "Accept": "application/json",
    "Accept-Encoding": "gzip, deflate",
    "Connection": "keep-alive",
    "User-Agent": f"prefect-autopilot python-httpx/{httpx.__version__}",
}
_ADDRESS_PART = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_:")
_NOTHING = RequestParts(method="", path="")
_parsed = lru_cache(maxsize=512)(httpx.URL)


def utc_now() -> datetime:
    """Return the present moment; the one place where this client reads the clock."""
    return datetime.now(UTC)


class ServiceClient:
    """Calls one service with one connection's credentials; use it as an async context manager.

    With ``renew`` an access token that ends within a minute is replaced before a call, and one that is
    refused (401) once after it; the refused call was not done, so it is repeated, whatever its effect.
    ``adapters.oauth.renewal`` makes such a function for credentials that are kept in memory,
    ``ServiceConnection.client`` one that stores what it renewed.
    """

    def __init__(
        self,
        service: Service,
        credentials: Mapping[str, SecretStr],
        *,
        base_url: str | None = None,
        transport: httpx.AsyncBaseTransport | None = None,
        connection: str | None = None,
        timeout_s: float = TIMEOUT_S,
        clock: Callable[[], datetime] = utc_now,
        renew: Renew | None = None,
        gate: RateGate | None = None,
        allow_private_network: bool = False,
    ) -> None:
        """Prepare calls of ``service``; ``base_url`` replaces the catalogue's (own hosts, a simulator).

        ``gate`` is shared by clients that share a rate limit. Raises ConfigurationError when the address
        is incomplete, is one of a private network without ``allow_private_network``, or a credential is
        missing that cannot be renewed.
        """
        self.service = service
        self.connection = connection
        self._clock = clock
        self._timeout_s = timeout_s
        self._renew = renew
        self._renewing = asyncio.Lock()
        self._gate = gate or RateGate(service.rate_limit_per_s)
        self._told_url = base_url
        self._secrets: tuple[str, ...] = ()
        self._adopt(credentials)
        # The transport itself, no httpx.AsyncClient: that one keeps cookies between calls, logs whole
        # addresses, keys of the query included, and costs as much again as the call.
        self._transport = outgoing(self._base_url, transport, allow_private=allow_private_network)
        if not allow_private_network:
            for address in self._own.values():
                check_host(_parsed(address).host)
        # Waiting for a connection of our own is no silence of the service; the deadline of the call ends it.
        self._extensions = {"timeout": httpx.Timeout(timeout_s, pool=None).as_dict()}

    async def __aenter__(self) -> Self:
        await self._transport.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._transport.__aexit__(kind, error, trace)

    async def call(
        self,
        operation_id: str,
        parameters: Mapping[str, Any] | None = None,
        *,
        all_pages: bool = False,
        page_at: str | None = None,
        idempotency_key: str | None = None,
        save_to: Path | str | None = None,
    ) -> Any:
        """Call an operation and return its answer: JSON, text, or None where there is none.

        With ``all_pages`` the rows of every page of a list. With ``page_at`` one page of it, the first for
        an empty text, as ``answer``, and as ``next`` how the next one is asked for (``parameters`` or
        ``url``, which is the ``page_at`` of that call), None after the last. With ``save_to`` the answer goes
        into that file piece by piece, and ``path``, ``bytes`` and ``content_type`` are returned.
        ``idempotency_key`` is sent with an unsafe call where the service knows such a header or
        field. Nothing is sent before the parameters are checked. Raises UnknownNameError, UsageError (the
        words of the caller) or ServiceError (the call).
        """
        operation = find_operation(self.service, operation_id)
        # A call that is nobody's repetition is one of its own.
        given = with_key(self.service, operation, parameters or {}, idempotency_key or uuid4().hex)
        checked = check_parameters(self.service, operation, given, self._plain)
        if all_pages:
            return await self._all_pages(operation, checked)
        if page_at is not None:
            return await self._page(operation, checked, page_at)
        target = Path(save_to) if save_to is not None else None
        if target is not None and not _only_reads(self.service, operation, checked):
            msg = f"{self.service.id}.{operation.id} changes something; only what is read is saved to a file."
            raise UsageError(msg)
        request = build_request(operation, checked)
        key = idempotency_key if takes_key(self.service, operation) else None
        answer, _ = await self._send(operation, request, key=key, target=target)
        return answer

    async def _all_pages(self, operation: Operation, parameters: dict[str, Any]) -> list[Any]:
        rows: list[Any] = []
        seen: set[str] = set()
        url: str | None = None
        for _ in range(MOST_PAGES):
            answer, response = await self._read_list(operation, parameters, url)
            found = rows_of(operation, answer)
            rows += found
            follow = _following(operation, parameters, answer, response)
            if follow is None or is_whole(operation, answer, len(rows)):
                self._check_whole(operation, answer, response)
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

    async def _page(self, operation: Operation, parameters: dict[str, Any], url: str) -> dict[str, Any]:
        address = same_origin(self._server(operation), url) if url else None
        answer, response = await self._read_list(operation, parameters, address)
        follow = _following(operation, parameters, answer, response)
        return {"answer": answer, "next": follow.model_dump() if follow else None}

    async def _read_list(
        self, operation: Operation, parameters: dict[str, Any], url: str | None
    ) -> tuple[Any, httpx.Response]:
        if operation.effect is not OperationEffect.SAFE or operation.list_at is None:
            msg = f"{self.service.id}.{operation.id} is no list that could be read page by page."
            raise UsageError(msg)
        answer, response = await self._send(operation, build_request(operation, parameters), url=url)
        if response.status_code == httpx.codes.ACCEPTED:
            reason = f"{self.service.name} has not got the rows of {operation.id} ready; ask again later"
            raise self._facts(operation).error(reason, permanent=False, status=response.status_code)
        if fault := list_fault(operation, answer):
            raise self._facts(operation).error(f"{self.service.name} {fault}", permanent=True)
        return answer, response

    def _check_whole(self, operation: Operation, answer: Any, response: httpx.Response) -> None:
        """Raise where a list ends for us, but not for the service: half a list is no list."""
        if operation.pagination.kind == "none" and shows_more(answer, response.headers, _next_link(response)):
            reason = (
                f"{self.service.name} has more rows than it answered, and how to ask {operation.id} for them "
                "is not known; narrow the request, or read page by page with the parameters of the operation"
            )
            raise self._facts(operation).error(reason, permanent=True)

    async def _send(
        self, operation: Operation, request: RequestParts, **how: Any
    ) -> tuple[Any, httpx.Response]:
        """Make a call with a token that holds; one that is refused is renewed and the call made once more."""
        if self._renew is None:
            return await self._attempt(operation, request, **how)
        if is_due(self._credentials, self._clock()):
            await self._renew_early(self._credentials)
        held = self._credentials
        try:
            return await self._attempt(operation, request, **how)
        except ServiceError as error:
            if not is_expired(error):
                raise
        await self._renew_after(held)
        return await self._attempt(operation, request, **how)

    async def _renew_early(self, spent: Mapping[str, SecretStr]) -> None:
        if token_of(spent):
            # The old token may hold for a minute yet; if it does not, the refusal renews again and tells.
            with suppress(ServiceError):
                await self._renew_after(spent)
        else:
            await self._renew_after(spent)

    async def _renew_after(self, spent: Mapping[str, SecretStr]) -> None:
        async with self._renewing:
            if self._renew is not None and self._credentials is spent:  # else another call has just done it
                self._adopt(await self._renew(spent))

    def _adopt(self, credentials: Mapping[str, SecretStr]) -> None:
        """Work with these credentials from now on; the earlier ones stay secret."""
        plain = {name: secret.get_secret_value() for name, secret in credentials.items()}
        self._secrets = tuple(dict.fromkeys((*self._secrets, *filter(None, plain.values()))))
        self._credentials, self._plain = credentials, plain
        without = self._renew is not None and not token_of(credentials)
        self._proof = _NOTHING if without else authorise(self.service, plain, connection=self.connection)
        self._sign = signer(self.service, plain, self._clock)
        self._base_url = _address(self.service, self._told_url, plain)
        own = {operation.base_url for operation in self.service.operations if operation.base_url}
        self._own = {url: _address(self.service, self._told_url or url, plain) for url in own}

    async def _attempt(
        self,
        operation: Operation,
        request: RequestParts,
        *,
        url: str | None = None,
        key: str | None = None,
        target: Path | None = None,
    ) -> tuple[Any, httpx.Response]:
        facts = self._facts(operation, keyed=key is not None)
        with ExitStack() as files:
            built = self._built(operation, request, url, key, files)
            if target is not None:
                built.headers["Accept"] = "*/*"
            await self._gate.enter()
            if self._sign is not None:
                self._sign(built)
            return await self._exchange(built, operation, facts, target)

    async def _exchange(
        self, request: httpx.Request, operation: Operation, facts: CallFacts, target: Path | None
    ) -> tuple[Any, httpx.Response]:
        large = target is not None or operation.body in ("multipart", "raw", "related")
        deadline_s = self._timeout_s * (_TIMEOUTS_OF_A_FILE if large else _TIMEOUTS_OF_A_CALL)
        try:
            # The transport's own limit is that of one read: a byte now and then would keep a call for ever.
            with anyio.fail_after(deadline_s):
                response = await self._transport.handle_async_request(request)
                response.request = request
                if target is not None and response.is_success:
                    return await save(response, target, facts), response
                await read_body(response, facts)
        # No cause is chained: httpx puts whole addresses into its texts, and a query may hold a key.
        except httpx.TimeoutException:
            reason = f"{self.service.name} did not answer within {self._timeout_s:g} s"
            raise facts.error(reason, permanent=False) from None
        except TimeoutError:
            reason = f"{self.service.name} did not end its answer within {deadline_s:g} s"
            raise facts.error(reason, permanent=False) from None
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            reason = f"The connection to {self.service.name} failed ({type(error).__name__}: {error})"
            raise facts.error(reason, permanent=False) from None
        try:
            answer = read_answer(response, operation, facts, self._clock)
        except ServiceError as error:
            if error.retry_after_s is not None:
                self._gate.close(error.retry_after_s)
            raise
        self._gate.learn(response.headers, self._clock)
        return answer, response

    def _built(
        self,
        operation: Operation,
        request: RequestParts,
        url: str | None,
        key: str | None,
        files: ExitStack,
    ) -> httpx.Request:
        headers = {**_HEADERS, **request.headers, **self._proof.headers}
        if key and self.service.idempotency_header:
            headers[self.service.idempotency_header] = key
        query = self._proof.query if url else (*request.query, *self._proof.query)
        try:
            address = _parsed(url or self._server(operation) + request.path)
        except httpx.InvalidURL as error:
            reason = f"The connection to {self.service.name} failed ({type(error).__name__}: {error})"
            raise self._facts(operation).error(reason, permanent=False) from None
        if query:
            address = address.copy_merge_params(query)
        return encoded(
            operation,
            with_proof(operation, request.body, self._proof.body),
            files,
            method=request.method,
            url=address,
            headers=headers,
            extensions=self._extensions,
        )

    def _server(self, operation: Operation) -> str:
        return self._own.get(operation.base_url or "", self._base_url)

    def _facts(self, operation: Operation, *, keyed: bool = False) -> CallFacts:
        return CallFacts(
            self.service, operation.id, operation.effect.value, self.connection, self._secrets, keyed
        )


def _only_reads(service: Service, operation: Operation, given: Mapping[str, Any]) -> bool:
    # What any address is asked depends on the method of the call.
    reads = service.protocol == "any_http" and given.get("method") in ("GET", "HEAD")
    return reads or operation.effect is OperationEffect.SAFE


def _following(
    operation: Operation, parameters: Mapping[str, Any], answer: Any, response: httpx.Response
) -> NextPage | None:
    link, url = _next_link(response), str(response.url)
    return next_page(operation, parameters, answer, url=url, link=link, headers=response.headers)


def _next_link(response: httpx.Response) -> str | None:
    following = response.links.get("next", {})
    # Sentry links a next page after the last one as well, and says that it is empty.
    return following.get("url") if following.get("results") != "false" else None


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
