"""The connection to a service: one block type for every service of the catalogue."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any, cast

from prefect.blocks.core import Block
from prefect.types import SecretDict
from pydantic import Field, HttpUrl, SecretStr

if TYPE_CHECKING:
    import httpx

    from prefect_autopilot.adapters.services import ServiceClient
    from prefect_autopilot.models import Service


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
    _block_type_slug = "service-connection"
    _description = "Credentials and address of a service that generated flows call."
    _logo_url = HttpUrl(
        "https://raw.githubusercontent.com/PrefectHQ/prefect/main/docs/logos/prefect-logomark.png"
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
        description="What proves who calls: token, access_token, refresh_token, api_key, username, password.",
    )

    @property
    def name(self) -> str | None:
        """Name the block is stored under, None before it is."""
        return self._block_document_name

    def definition(self) -> Service:
        """Return the service; raises UnknownNameError when the catalogue does not have it."""
        from prefect_autopilot.services import load_catalogue

        return load_catalogue().get(self.service)

    def secrets(self) -> dict[str, SecretStr]:
        """Return the credentials one by one, each still hidden from sight."""
        held = self.credentials.get_secret_value()
        return {name: SecretStr(str(value)) for name, value in held.items() if value is not None}

    def client(
        self, transport: httpx.AsyncBaseTransport | None = None, *, connection: str | None = None
    ) -> ServiceClient:
        """Return a client for the service; ``connection`` is the name errors tell."""
        from prefect_autopilot.adapters.services import ServiceClient

        return ServiceClient(
            self.definition(),
            self.secrets(),
            base_url=self.base_url,
            transport=transport,
            connection=connection or self.name,
        )

    async def verify(self, transport: httpx.AsyncBaseTransport | None = None) -> str:
        """Make the service's harmless check call and return its operation.

        Raises ServiceError when the connection does not work, UsageError when nothing can show it.
        """
        from prefect_autopilot.errors import UsageError

        operation = self.definition().verification
        if operation is None:
            msg = f"The catalogue knows no call that shows whether {self.service} is connected."
            raise UsageError(msg)
        async with self.client(transport) as client:
            await client.call(operation)
        return operation

    async def refresh(self, now: datetime, transport: httpx.AsyncBaseTransport | None = None) -> None:
        """Renew the access token in place; save the block at once, the old token may be worthless.

        Raises ServiceError, permanent when a person has to reconnect.
        """
        from prefect_autopilot.adapters import oauth

        renewed = await oauth.refresh(
            self.definition(),
            self.secrets(),
            now=now,
            token_url=self.token_url,
            transport=transport,
            connection=self.name,
        )
        plain: dict[str, Any] = {name: secret.get_secret_value() for name, secret in renewed.items()}
        self.credentials = SecretDict(plain)


async def load_connection(name: str) -> ServiceConnection:
    """Return a stored connection; raises UnknownNameError that names the block to create."""
    from prefect_autopilot.errors import UnknownNameError

    try:
        block = await ServiceConnection.aload(name)
    except ValueError as error:
        raise UnknownNameError("service connection block", name) from error
    return cast("ServiceConnection", block)
