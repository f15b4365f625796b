"""Look for new things at a service that does not announce them; each becomes a Prefect event."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from prefect import flow
from prefect.events import emit_event

from prefect_autopilot.adapters.catalogue import known_service
from prefect_autopilot.journeys.poll import Announcement, poll_once
from prefect_autopilot.models import JSONDict
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

    async with Store.open(load_settings().store_url.get_secret_value()) as store:
        result = await poll_once(
            known_service(service),
            event,
            connection,
            call=call,
            emit=announce,
            store=store,
            now=datetime.now(UTC),
            parameters=parameters,
        )
    return result.model_dump()


def announce(told: Announcement) -> None:
    """Emit the Prefect event of one new thing."""
    emit_event(
        told.event,
        resource={"prefect.resource.id": told.resource, "prefect.resource.name": told.event},
        payload=told.payload,
        id=told.event_id,
    )
