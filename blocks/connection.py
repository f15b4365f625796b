"""The connection to a service: one block type for every service of the catalogue."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, cast

from prefect.blocks.core import Block
from prefect.types import SecretDict
from pydantic import Field, HttpUrl, SecretStr

if TYPE_CHECKING:
    import httpx

    from prefect_autopilot.adapters.clients import Client
    from prefect_autopilot.adapters.oauth import Renew
    from prefect_autopilot.models import Service

LEASE_S = 60.0
"""Seconds after which the lease of a process that died during a renewal is free again."""

LEASE_WAIT_S = 90.0
MOST_TIMEOUT_S = 3600.0
"""Seconds of silence that a connection may wait through at most."""


class ServiceConnection(Block):
    """Credentials and address of a service, used by every flow that calls it.

    Stored under the name ``<service>-<name>``, ``asana-default`` for one.

    Example:
        Call a service with a stored connection:
        ```python
        from prefect_autopilot.blocks import ServiceConnection

        connection = ServiceConnection.load("BLOCK_NAME")
        async with connection.client() as client:
            tasks = await client.call("list_tasks", {"project": "1200000000000011"})
        ```
    """

    _block_type_name = "Service Connection"
    _block_type_slug = "service-connection"  # models.names, which is too heavy for an import here
    _description = (
        "Credentials and address of a service that generated flows call. Store and test one with "
        "`prefect-autopilot services connect SERVICE`; the rest is told on the page 'Calling services' "
        "of the documentation of prefect-autopilot."
    )
    _logo_url = HttpUrl(
        "https://raw.githubusercontent.com/PrefectHQ/prefect/420d0d6a78bb6df1fc18bcf188fdad43c1d22ea9/assets/block-logos/webhook.png"
    )
    _documentation_url = HttpUrl("https://docs.prefect.io/v3/concepts/blocks")

    service: str = Field(description="Id of the service in the catalogue, asana for one.")
    base_url: str | None = Field(
        default=None,
        description="Address that replaces the catalogue's, where a service runs on a host of your own.",
    )
    token_url: str | None = Field(
        default=None, description="Address where access tokens are renewed, if it is not the catalogue's."
    )
    credentials: SecretDict = Field(
        default_factory=lambda: SecretDict({}),
        description="What proves who calls: token, access_token, refresh_token, api_key, and so on.",
    )
    auto_refresh: bool = Field(
        default=True,
        description="Whether a call renews an access token that ends, and stores the new one here.",
    )
    allow_private_network: bool = Field(
        default=False,
        description="Whether the service may be on this machine or in a private network (own hosts).",
    )
    rate_limit_per_s: float | None = Field(
        default=None,
        gt=0,
        description="Calls a second of one process at most, where the usual limit is another.",
    )
    timeout_s: float | None = Field(
        default=None,
        gt=0,
        le=MOST_TIMEOUT_S,
        description="Seconds of silence after which a call is given up, mostly 30 where none are given.",
    )

    @property
    def name(self) -> str | None:
        """Name the block is stored under, None before it is."""
        return self._block_document_name

    def definition(self) -> Service:
        """Return the service; raises UnknownNameError when the catalogue does not have it."""
        from prefect_autopilot.adapters.catalogue import known_service

        return known_service(self.service)

    def secrets(self) -> dict[str, SecretStr]:
        """Return the credentials one by one, each still hidden from sight."""
        held = self.credentials.get_secret_value()
        return {name: SecretStr(str(value)) for name, value in held.items() if value is not None}

    def client(
        self, transport: httpx.AsyncBaseTransport | None = None, *, connection: str | None = None
    ) -> Client:
        """Return the client that speaks what the service speaks; ``connection`` is the name errors tell.

        Raises ConfigurationError when the address is incomplete, or a credential or driver is missing.
        """
        from prefect_autopilot.adapters.clients import open_client
        from prefect_autopilot.adapters.rates import gate_of

        service, name = self.definition(), connection or self.name
        per_s = self.rate_limit_per_s or service.rate_limit_per_s
        return open_client(
            service,
            self.secrets(),
            base_url=self.base_url,
            transport=transport,
            connection=name,
            renew=self._renewal(service, transport),
            gate=gate_of(name, per_s) if name else None,
            timeout_s=self.timeout_s,
            allow_private_network=self.allow_private_network,
        )

    def _renewal(self, service: Service, transport: httpx.AsyncBaseTransport | None) -> Renew | None:
        from prefect_autopilot.adapters.oauth import can_renew

        if not (self.auto_refresh and can_renew(service, self.secrets(), self.token_url)):
            return None

        async def renew(spent: Mapping[str, SecretStr]) -> Mapping[str, SecretStr]:
            now = datetime.now(UTC)
            if self.name is None:
                await self.refresh(now, transport)
                return self.secrets()
            return (await renew_connection(self.name, now, spent=spent, transport=transport)).secrets()

        return renew

    async def verify(self, transport: httpx.AsyncBaseTransport | None = None) -> str:
        """Make the service's harmless check call and return its operation.

        Raises ServiceError when the connection does not work, UsageError when nothing can show it.
        """
        from prefect_autopilot.errors import UsageError

        service = self.definition()
        if service.verification is None:
            msg = f"The catalogue knows no call that shows whether {self.service} is connected."
            raise UsageError(msg)
        async with self.client(transport) as client:
            await client.call(service.verification, service.verification_parameters)
        return service.verification

    async def refresh(self, now: datetime, transport: httpx.AsyncBaseTransport | None = None) -> None:
        """Renew the access token in place; save the block at once, the old token may be worthless.

        Raises ServiceError, permanent when a person has to reconnect.
        """
        from prefect_autopilot.adapters import oauth
        from prefect_autopilot.adapters.network import TIMEOUT_S

        renewed = await oauth.refresh(
            self.definition(),
            self.secrets(),
            now=now,
            token_url=self.token_url,
            transport=transport,
            connection=self.name,
            allow_private_network=self.allow_private_network,
            timeout_s=self.timeout_s or TIMEOUT_S,
        )
        plain: dict[str, Any] = {name: secret.get_secret_value() for name, secret in renewed.items()}
        self.credentials = SecretDict(plain)


async def load_connection(name: str) -> ServiceConnection:
    """Return a stored connection; raises UnknownNameError that names the block to create."""
    from prefect_autopilot.errors import UnknownNameError

    try:
        block = await ServiceConnection.aload(name)
    except ValueError as error:
        raise UnknownNameError("service connection block", name, await _nearest(name)) from error
    return cast("ServiceConnection", block)


async def _nearest(name: str) -> tuple[str, ...]:
    """Return the names of stored connections that are closest to one that is not there."""
    import difflib

    from prefect.client.orchestration import get_client
    from prefect.exceptions import ObjectNotFound

    async with get_client() as client:
        try:
            kind = await client.read_block_type_by_slug(str(ServiceConnection.get_block_type_slug()))
        except ObjectNotFound:
            return ()
        found = await client.read_block_documents(include_secrets=False)
    stored = [one.name for one in found if one.block_type_id == kind.id and one.name]
    return tuple(difflib.get_close_matches(name, stored, n=3, cutoff=0.4))


async def renew_connection(
    name: str,
    now: datetime,
    *,
    spent: Mapping[str, SecretStr] | None = None,
    transport: httpx.AsyncBaseTransport | None = None,
) -> ServiceConnection:
    """Renew the token of a stored connection, store it at once, and return the connection.

    One process at a time does so: a second use of a rotating refresh token would end the connection for
    all. Where the stored token is no longer the one of ``spent``, another process has renewed it, and
    that one is returned. Raises ServiceError when the service refuses, PrefectError when the lease for it
    cannot be had.
    """
    from prefect_autopilot.adapters.oauth import token_of

    async with _lease(f"autopilot-renewal-{name}"):
        block = await load_connection(name)
        if spent is None or token_of(block.secrets()) == token_of(spent):
            await block.refresh(now, transport)
            await block.asave(name, overwrite=True)
    return block


@asynccontextmanager
async def _lease(name: str) -> AsyncIterator[None]:
    """Hold a lease of the Prefect server, which every process that reads the connection can reach."""
    from prefect.client.orchestration import get_client
    from prefect.concurrency.asyncio import (
        AcquireConcurrencySlotTimeoutError,
        ConcurrencySlotAcquisitionError,
        concurrency,
    )
    from prefect.exceptions import ObjectAlreadyExists

    from prefect_autopilot.errors import PrefectError

    async with get_client() as client:
        with suppress(ObjectAlreadyExists):  # another process has just made it
            await client.upsert_global_concurrency_limit_by_name(name, 1)
    async with AsyncExitStack() as stack:
        try:
            held = concurrency(name, timeout_seconds=LEASE_WAIT_S, lease_duration=LEASE_S, strict=True)
            await stack.enter_async_context(held)
        except (AcquireConcurrencySlotTimeoutError, ConcurrencySlotAcquisitionError) as error:
            msg = f"The lease {name} could not be had from the Prefect server; try the call again."
            raise PrefectError(msg, permanent=False) from error
        yield
