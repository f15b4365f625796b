"""Find new things at a service that does not announce them, and announce each as a Prefect event."""

from __future__ import annotations

import uuid
from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Any

from prefect_autopilot.codegen import event_name
from prefect_autopilot.errors import UsageError
from prefect_autopilot.models import JSONDict, Service, ServiceTrigger, Value
from prefect_autopilot.services import event_payload, find_operation, find_trigger, pick, rows_of
from prefect_autopilot.store import Store

Call = Callable[[str, JSONDict], Awaitable[Any]]
"""Calls an operation of the polled service with parameters."""

Emit = Callable[["Announcement"], None]

MOST_ROWS = 200
_NAMESPACE = uuid.UUID("5c0d1b4e-9a63-5c55-8a43-6f2f2f0c7d11")


class Announcement(Value):
    """One new thing; ``event_id`` is the same whenever the same thing is announced again."""

    event: str
    event_id: uuid.UUID
    resource: str
    payload: JSONDict


class PollResult(Value):
    """What one look at the service found."""

    found: int
    announced: int
    first: bool
    """True for the first look, which only remembers what is there."""


async def poll_once(
    service: Service,
    event: str,
    connection: str,
    *,
    call: Call,
    emit: Emit,
    store: Store,
    now: datetime,
    parameters: JSONDict | None = None,
) -> PollResult:
    """Announce every row of the trigger's list that was not there before.

    1. read the list, 2. leave out rows that are known, 3. read each new row in full where the list
    tells little, 4. announce it, 5. remember it. A crash between 4 and 5 announces it again, with the
    same event id: at least once, never lost. The first look announces nothing. ``parameters`` narrow
    the list (a channel, a project). Raises UsageError for an event that is not found by polling,
    ServiceError when the service fails.
    """
    given = parameters or {}
    trigger = check_polling(service, event, given)
    name = event_name(service.id, event)
    place = " ".join([name, connection, *(f"{key}={value}" for key, value in sorted(given.items()))])
    cursor = f"poll {place}"
    is_first = await store.cursor(cursor) is None
    operation = find_operation(service, trigger.operation or "")
    rows = rows_of(operation, await call(operation.id, given))[:MOST_ROWS]
    announced = 0
    # Services list the newest first; events are told in the order in which things happened.
    for row in reversed(rows):
        key, row_id = _key(place, row, trigger)
        if await store.claimed_by(key) is not None:
            continue
        if not is_first:
            full = await _in_full(service, trigger, row, row_id, given, call)
            emit(_announcement(name, connection, key, event_payload(trigger, full)))
            announced += 1
        await store.claim(key, connection, now)
    await store.set_cursor(cursor, now)
    return PollResult(found=len(rows), announced=announced, first=is_first)


def check_polling(service: Service, event: str, parameters: JSONDict) -> ServiceTrigger:
    """Return the trigger of an event that is found by polling with ``parameters``; raises UsageError."""
    trigger = find_trigger(service, event)
    if trigger.kind != "poll" or trigger.operation is None or trigger.id_field is None:
        raise UsageError(
            f"The event {event!r} of {service.name} is not found by polling; it comes by webhook."
        )
    operation = find_operation(service, trigger.operation)
    for one in operation.parameters:
        if one.required and one.default is None and one.name not in parameters:
            raise UsageError(f"Which {one.name!r} of {service.name} should be looked at for {event}?")
    return trigger


def _key(place: str, row: Any, trigger: ServiceTrigger) -> tuple[str, str]:
    found = pick(row, trigger.id_field or "")
    if found is None or isinstance(found, dict | list):
        raise UsageError(f"A row of {place} has no id at {trigger.id_field!r}; correct the catalogue entry.")
    return f"{place} {found}", str(found)


async def _in_full(
    service: Service, trigger: ServiceTrigger, row: Any, row_id: str, given: JSONDict, call: Call
) -> JSONDict:
    known = row if isinstance(row, dict) else {"value": row}
    if trigger.detail is None:
        return known
    operation = find_operation(service, trigger.detail)
    # The id the detail asks for is the one the list did not need: owner and repository stay the same.
    asked = [
        one.name
        for one in operation.parameters
        if one.required and one.default is None and one.name not in given
    ]
    if len(asked) != 1:
        raise UsageError(
            f"{service.id}.{operation.id} asks for {len(asked)} ids; correct the catalogue entry."
        )
    shared = {one.name: given[one.name] for one in operation.parameters if one.name in given}
    answer = await call(operation.id, {**shared, asked[0]: row_id})
    return known | answer if isinstance(answer, dict) else known


def _announcement(name: str, connection: str, key: str, payload: JSONDict) -> Announcement:
    return Announcement(
        event=name,
        event_id=uuid.uuid5(_NAMESPACE, key),
        resource=f"{name}.{connection}",
        payload=payload,
    )
