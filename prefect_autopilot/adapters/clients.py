"""The client that fits a service: one call, whatever the service speaks."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Any, Protocol, Self

import httpx
from pydantic import SecretStr

from prefect_autopilot.adapters.network import TIMEOUT_S
from prefect_autopilot.adapters.oauth import Renew
from prefect_autopilot.adapters.rates import RateGate
from prefect_autopilot.adapters.services import ServiceClient
from prefect_autopilot.models import Operation, Service


class Client(Protocol):
    """What every client of a service offers, as an async context manager."""

    service: Service

    async def __aenter__(self) -> Self:
        """Open what a call needs."""

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close it."""

    async def call(
        self,
        operation_id: str,
        parameters: Mapping[str, Any] | None = None,
        *,
        all_pages: bool = False,
        idempotency_key: str | None = None,
    ) -> Any:
        """Call an operation and return its answer; raises UsageError or ServiceError."""


def open_client(
    service: Service,
    credentials: Mapping[str, SecretStr],
    *,
    base_url: str | None = None,
    transport: httpx.AsyncBaseTransport | None = None,
    connection: str | None = None,
    renew: Renew | None = None,
    gate: RateGate | None = None,
    timeout_s: float | None = None,
    allow_private_network: bool = False,
) -> Client:
    """Return the client for what the service speaks; ``transport``, ``renew`` and ``gate`` are for HTTP only.

    After ``timeout_s`` of silence a call is given up; None leaves it to the client. Raises
    ConfigurationError when the address is incomplete, or a credential or driver is missing.
    """
    kind = _own_client(service.protocol)
    if kind is not None:
        told = {} if timeout_s is None else {"timeout_s": timeout_s}
        return kind(
            service,
            credentials,
            base_url=base_url,
            connection=connection,
            allow_private_network=allow_private_network,
            **told,
        )
    if service.protocol == "any_http":
        from prefect_autopilot.adapters.any_http import AnyHTTPClient

        return AnyHTTPClient(
            service,
            credentials,
            base_url=base_url,
            transport=transport,
            connection=connection,
            gate=gate,
            timeout_s=timeout_s or TIMEOUT_S,
            allow_private_network=allow_private_network,
        )
    return ServiceClient(
        service,
        credentials,
        base_url=base_url,
        transport=transport,
        connection=connection,
        renew=renew,
        gate=gate,
        timeout_s=timeout_s or TIMEOUT_S,
        allow_private_network=allow_private_network,
    )


def _own_client(protocol: str) -> Callable[..., Client] | None:
    """Return what speaks a protocol other than HTTP, None for HTTP."""
    match protocol:
        case "sql":
            from prefect_autopilot.adapters.sql import SQLClient

            return SQLClient
        case "mongodb":
            from prefect_autopilot.adapters.mongodb import MongoDBClient

            return MongoDBClient
        case "smtp":
            from prefect_autopilot.adapters.smtp import SMTPClient

            return SMTPClient
    return None


def check_call(service: Service, operation: Operation, parameters: Mapping[str, Any]) -> None:
    """Check what the service's protocol demands of a call beyond names and types; raises UsageError.

    The simulator calls it as well, so that a preview refuses what the real service would be refused.
    """
    if service.protocol == "sql":
        from prefect_autopilot.adapters.sql_text import check_statement

        if "statement" in parameters:
            check_statement(
                str(parameters["statement"]),
                parameters.get("values") or {},
                reads_only=operation.id == "query",
            )
    elif service.protocol == "mongodb":
        from prefect_autopilot.adapters.mongodb import check_documents

        check_documents(operation.id, parameters)
    elif service.protocol == "any_http" and "url" in parameters:
        from prefect_autopilot.adapters.any_http import address

        address(str(parameters["url"]))
    elif service.protocol == "smtp" and "to" in parameters:
        from prefect_autopilot.adapters.smtp import compose

        compose({**parameters, "attachments": []}, sender="preview@example.com", message_id="<preview>")
