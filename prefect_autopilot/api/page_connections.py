"""The page of connections: which services flows may call, and whether a connection works."""

from __future__ import annotations

from typing import NamedTuple
from urllib.parse import quote

from starlette.requests import Request
from starlette.responses import Response

from prefect_autopilot.api.access import principal_of
from prefect_autopilot.api.context import context_of
from prefect_autopilot.api.page_frame import form_of, rendered
from prefect_autopilot.errors import AutopilotError, ConfigurationError, PrefectError, UnknownNameError
from prefect_autopilot.journeys.deployment import open_client
from prefect_autopilot.models.names import CONNECTION_BLOCK
from prefect_autopilot.redaction import redact
from prefect_autopilot.store import Scope

MOST_SHOWN = 200


class Shown(NamedTuple):
    """A connection without anything secret."""

    name: str
    service: str
    can_check: bool
    """Whether the catalogue knows a harmless call that shows whether it works."""


class Checked(NamedTuple):
    """What a check found."""

    name: str
    works: bool
    said: str


async def connections_page(request: Request) -> Response:
    """List the stored connections."""
    return await _page(request, None)


async def check(name: str, request: Request) -> Response:
    """Make the service's harmless check call with a stored connection; who did so is written down before."""
    await form_of(request, Scope.OPERATOR)
    from prefect_autopilot.blocks.connection import load_connection

    if name not in {one.name for one in await _stored()}:
        raise UnknownNameError("connection", name)
    context, actor = context_of(request), principal_of(request).actor
    store = await context.store()
    await store.audit(actor, "connection.checked", name, {}, context.clock())
    try:
        block = await load_connection(name)
        operation = await block.verify()
        found = Checked(name, works=True, said=f"It works: {block.service} answered {operation}.")
    except AutopilotError as error:
        found = Checked(name, works=False, said=redact(error.message))
    return await _page(request, found)


async def _page(request: Request, checked: Checked | None) -> Response:
    try:
        shown, error = await _stored(), ""
    except (ConfigurationError, PrefectError) as refused:
        shown, error = (), redact(refused.message)
    return rendered(
        request, "page_connections.html.j2", connections=shown, checked=checked, error=error, quote=quote
    )


async def _stored() -> tuple[Shown, ...]:
    """Return the connections on the Prefect server; raises ConfigurationError or PrefectError."""
    from prefect.exceptions import ObjectNotFound

    from prefect_autopilot.adapters.catalogue import user_catalogue

    catalogue = user_catalogue()
    async with open_client(None) as client:
        try:
            documents = await client.read_block_documents_by_type(
                CONNECTION_BLOCK, limit=MOST_SHOWN, include_secrets=False
            )
        except ObjectNotFound:
            return ()  # the block type is registered with the first connection
    found = []
    for document in documents:
        service = str(document.data.get("service", ""))
        is_known = service in catalogue and catalogue.get(service).verification is not None
        found.append(Shown(str(document.name), service, is_known))
    return tuple(sorted(found))
