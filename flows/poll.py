"""Look for new things at a service that does not announce them; each becomes a Prefect event."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import httpx
from prefect import flow, get_run_logger
from prefect.client.orchestration import get_client

from prefect_autopilot.adapters.catalogue import known_service
from prefect_autopilot.errors import PrefectError
from prefect_autopilot.journeys.poll import poll_once
from prefect_autopilot.models import Announcement, JSONDict
from prefect_autopilot.settings import load_settings
from prefect_autopilot.store import Store
from prefect_autopilot.tasks import call_service


@flow(name="autopilot-poll", description="Find new things at a service and announce each as an event.")
async def poll(
    service: str, event: str, connection: str, parameters: dict[str, Any] | None = None
) -> JSONDict:
    """Look once and return how many things were found and announced; the first look announces nothing.

    Args:
        service: Id of the service in the catalogue, gmail for one.
        event: Event of the service that is looked for, new_message for one.
        connection: Name of the connection to use, gmail-default for one.
        parameters: What narrows the list that is looked at: a channel, a project.
    """

    async def call(operation: str, given: JSONDict) -> Any:
        return call_service(connection, operation, **given)

    async def page(operation: str, given: JSONDict, url: str) -> JSONDict:
        read: JSONDict = call_service(connection, operation, **given, page_at=url)
        return read

    async with Store.open(load_settings().store_url.get_secret_value()) as store:
        result = await poll_once(
            known_service(service),
            event,
            connection,
            call=call,
            page=page,
            emit=announce,
            store=store,
            now=datetime.now(UTC),
            parameters=parameters,
        )
    if result.skipped or result.more:
        told = "holds more new rows than can be asked for" if result.more else "holds rows without an id"
        get_run_logger().warning("The list of %s %s.", connection, told)
    return result.model_dump()


async def announce(told: Announcement) -> None:
    """Hand the Prefect event of one new thing to the server; raises PrefectError where it is not taken."""
    event = {
        "id": str(told.event_id),
        "event": told.event,
        "occurred": (told.occurred or datetime.now(UTC)).isoformat(),
        "resource": {"prefect.resource.id": told.resource, "prefect.resource.name": told.event},
        "payload": told.payload,
    }
    try:
        # Not emit_event: it only queues, and what is queued may be lost after it was remembered as told.
        async with get_client() as client:
            await client.request("POST", "/events", json=[event])
    except httpx.HTTPStatusError as error:
        status = error.response.status_code
        raise PrefectError(
            f"Prefect refused an event with status {status}; the others are told all the same.",
            permanent=status < httpx.codes.INTERNAL_SERVER_ERROR,
            status=status,
        ) from error
    except httpx.TransportError as error:
        raise PrefectError(
            "Prefect cannot be reached; the event is told with the next look.", permanent=False
        ) from error
