"""Find new things at a service that does not announce them, and announce each as a Prefect event."""

from __future__ import annotations

import inspect
import uuid
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from typing import Any

from prefect_autopilot.codegen import event_name
from prefect_autopilot.errors import AutopilotError, ServiceError, UsageError
from prefect_autopilot.models import Announcement, JSONDict, Operation, Service, ServiceTrigger, Value
from prefect_autopilot.services import (
    IN_HEADER,
    NextPage,
    event_payload,
    find_operation,
    find_trigger,
    list_fault,
    next_page,
    pick,
    rows_of,
    shows_more,
)
from prefect_autopilot.store import Store

Call = Callable[[str, JSONDict], Awaitable[Any]]
"""Calls an operation of the polled service with parameters."""

Page = Callable[[str, JSONDict, str], Awaitable[JSONDict]]
"""Reads one page of a list as ``ServiceClient.call`` does with ``page_at``: ``answer`` and ``next``."""

Emit = Callable[[Announcement], Awaitable[None] | None]
"""Hands one event to Prefect; returns once Prefect has taken it."""

MOST_ROWS = 50_000
"""Rows that one look reads at most; where more are new, it tells so instead of losing some."""
MOST_PAGES = 500
SKEW = timedelta(minutes=10)
"""How much the clocks of service and ours may differ where it is told what was there before."""

_NAMESPACE = uuid.UUID("5c0d1b4e-9a63-5c55-8a43-6f2f2f0c7d11")
_GONE = frozenset({HTTPStatus.NOT_FOUND.value, HTTPStatus.GONE.value})
_SECONDS = range(10**9, 10**10)
_MILLISECONDS = range(10**12, 10**13)
_BY_ADDRESS = frozenset({"link", "next_url"})
"""Kinds of list whose next page has an address of its own."""


class PollResult(Value):
    """What one look at the service found."""

    found: int
    announced: int
    first: bool
    """True for the first look, which only remembers what is there."""
    skipped: int = 0
    """Rows that cannot be announced: without an id, or gone since they were listed."""
    more: bool = False
    """True where all rows were new and the service has more, which the catalogue cannot ask for."""


@dataclass(frozen=True)
class _Look:
    """One look: what is asked, where the answers go, and what was known before."""

    service: Service
    trigger: ServiceTrigger
    name: str
    connection: str
    place: str
    given: JSONDict
    call: Call
    page: Page | None
    emit: Emit
    store: Store
    now: datetime
    since: datetime | None
    """When the first look was; None in the first look itself."""


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
    page: Page | None = None,
) -> PollResult:
    """Announce every row of the trigger's list that was not there before.

    1. read the list, further pages only while they hold nothing but new rows or are not sorted, 2. leave
    out rows that are known or older than the first look, 3. read each new row in full where the list tells
    little, 4. announce it, 5. remember it. A crash between 4 and 5 announces it again, with the same event
    id: at least once, never lost. The first look announces nothing. ``parameters`` narrow the list (a
    channel, a project). A row that cannot be announced does not hold up the others; what Prefect refuses is
    raised once they are through and tried again. ``page`` reads a page of a list whose next page has an
    address of its own or is told in a header. Raises UsageError for an event that is not found by polling
    and for a list with more new rows than a look may read (nothing of it is told or remembered),
    ServiceError when the service fails.
    """
    given = parameters or {}
    trigger = check_polling(service, event, given)
    name = event_name(service.id, event)
    place = " ".join([name, connection, *(f"{key}={value}" for key, value in sorted(given.items()))])
    looked_at = await store.cursor(f"poll {place}")
    # A list that was looked at before the first look was noted has no past that could be told apart.
    since = await store.cursor(f"poll first {place}") or looked_at
    look = _Look(service, trigger, name, connection, place, given, call, page, emit, store, now, since)
    rows, more = await _rows(look)
    if rows and not any(_id(row, trigger) for row in rows):
        raise UsageError(f"A row of {place} has no id at {trigger.id_field!r}; correct the catalogue entry.")
    announced, skipped, refused = await _tell(look, rows)
    if since is None:
        await store.set_cursor(f"poll first {place}", now)
    if refused is not None:
        raise refused
    # Only now, when Prefect has taken every event; a clock that goes back does not move the cursor back.
    await store.set_cursor(f"poll {place}", max(now, looked_at) if looked_at else now)
    return PollResult(
        found=len(rows), announced=announced, first=looked_at is None, skipped=skipped, more=more
    )


async def _rows(look: _Look) -> tuple[list[Any], bool]:
    """Return the rows to look at, the newest first, and whether there are more that cannot be asked for."""
    operation = find_operation(look.service, look.trigger.operation or "")
    asked: JSONDict = {**look.trigger.parameters, **look.given}
    url = ""
    rows: list[Any] = []
    seen: set[str] = set()
    for _ in range(MOST_PAGES):
        answer, follow = await _read(look, operation, asked, url)
        if fault := list_fault(operation, answer):
            raise ServiceError(
                f"{look.service.name} {fault}",
                service=look.service.id,
                operation=operation.id,
                effect=operation.effect.value,
                permanent=True,
                connection=look.connection,
            )
        page = rows_of(operation, answer)
        fresh = [row for row in page if (_id(row, look.trigger) or repr(row)) not in seen]
        seen |= {_id(row, look.trigger) or repr(row) for row in fresh}
        rows += fresh
        if len(rows) > MOST_ROWS:
            break
        if not fresh or not await _goes_on(look, fresh):
            return _newest_first(rows, look.trigger), False
        if follow is None:
            cut = operation.pagination.kind == "none" and shows_more(answer, {}) and look.since is not None
            return _newest_first(rows, look.trigger), cut
        asked, url = follow.parameters or asked, follow.url or ""
    raise UsageError(
        f"The list of {look.place} holds more rows than one look reads ({MOST_ROWS}, {MOST_PAGES} pages), "
        "and none of them is known; narrow it with the parameters of the list."
    )


async def _read(look: _Look, operation: Operation, asked: JSONDict, url: str) -> tuple[Any, NextPage | None]:
    paging = operation.pagination
    elsewhere = paging.kind in _BY_ADDRESS or (paging.response_field or "").startswith(IN_HEADER)
    if look.page is not None and elsewhere:
        read = await look.page(operation.id, asked, url)
        return read["answer"], NextPage.model_validate(read["next"]) if read["next"] else None
    answer = await look.call(operation.id, asked)
    return answer, None if elsewhere else next_page(operation, asked, answer, url="")


async def _goes_on(look: _Look, page: list[Any]) -> bool:
    """Tell whether the next page may hold new rows: this one holds no known one, or is not sorted."""
    if look.trigger.whole:
        return True
    times = [when(pick(row, look.trigger.cursor_field or "$")) for row in page]
    known = [time for time in times if time is not None]
    if len(known) == len(page) and known != sorted(known, reverse=True):
        return True
    if look.since is None:
        return False
    keys = [_key(look, row) for row in page]
    return all([key is None or await look.store.claimed_by(key) is None for key in keys])


def _newest_first(rows: list[Any], trigger: ServiceTrigger) -> list[Any]:
    """Return the rows sorted by their times; as the service listed them where they have none."""
    times = [when(pick(row, trigger.cursor_field or "$")) for row in rows]
    known = [time for time in times if time is not None]
    if len(known) < len(rows):
        return rows
    order = sorted(range(len(rows)), key=known.__getitem__, reverse=True)
    return [rows[place] for place in order]


async def _tell(look: _Look, rows: list[Any]) -> tuple[int, int, AutopilotError | None]:
    """Announce and remember; return how many were announced, how many cannot be, and what was refused."""
    announced = skipped = 0
    refused: AutopilotError | None = None
    # Events are told in the order in which things happened.
    for row in reversed(rows):
        key = _key(look, row)
        if key is None:
            skipped += 1
            continue
        if await look.store.claimed_by(key) is not None:
            continue
        # What is another thing is remembered like the rest, so that a page of it ends the look.
        if not _was_there(look, row) and not _is_other(look.trigger, row):
            try:
                await _announce(look, row, key)
            except ServiceError as error:
                if error.status not in _GONE:
                    raise
                skipped += 1
            except AutopilotError as error:
                if not error.permanent:
                    raise
                refused = error
                continue
            else:
                announced += 1
        await look.store.claim(key, look.connection, look.now)
    return announced, skipped, refused


def _was_there(look: _Look, row: Any) -> bool:
    """Tell whether a row is older than our first look, though it came into sight only now."""
    if look.since is None:
        return True
    if look.trigger.cursor_field is None:
        return False
    value = pick(row, look.trigger.cursor_field)
    time = when(value)
    is_day = isinstance(value, str) and len(value) == len("2026-03-02")
    return time is not None and not is_day and time < look.since - SKEW


def _is_other(trigger: ServiceTrigger, row: Any) -> bool:
    return any(pick(row, path) is not None for path in trigger.without)


async def _announce(look: _Look, row: Any, key: str) -> None:
    full = await _in_full(look.service, look.trigger, row, str(_id(row, look.trigger)), look.given, look.call)
    told = _announcement(look.name, look.connection, key, event_payload(look.trigger, full))
    waiting = look.emit(told)
    if inspect.isawaitable(waiting):
        await waiting


def when(value: Any) -> datetime | None:
    """Return the time a field holds (ISO 8601, seconds or milliseconds since 1970), None where it is none."""
    if isinstance(value, bool):
        return None
    if isinstance(value, str) and not value.replace(".", "", 1).isdecimal():
        try:
            read = datetime.fromisoformat(value)
        except ValueError:
            return None
        return read if read.tzinfo else read.replace(tzinfo=UTC)
    if not isinstance(value, str | int | float):
        return None
    number = float(value) if value == value and len(str(value)) < 30 else 0.0  # noqa: PLR0124, PLR2004  # NaN
    if int(number) in _SECONDS:
        return datetime.fromtimestamp(number, UTC)
    return datetime.fromtimestamp(number / 1000, UTC) if int(number) in _MILLISECONDS else None


def check_polling(service: Service, event: str, parameters: JSONDict) -> ServiceTrigger:
    """Return the trigger of an event that is found by polling with ``parameters``; raises UsageError."""
    trigger = find_trigger(service, event)
    if trigger.kind != "poll" or trigger.operation is None or trigger.id_field is None:
        raise UsageError(
            f"The event {event!r} of {service.name} is not found by polling; it comes by webhook."
        )
    operation = find_operation(service, trigger.operation)
    for one in operation.parameters:
        if one.required and one.default is None and one.name not in {**trigger.parameters, **parameters}:
            raise UsageError(f"Which {one.name!r} of {service.name} should be looked at for {event}?")
    return trigger


def _id(row: Any, trigger: ServiceTrigger) -> str | None:
    found = pick(row, trigger.id_field or "")
    return None if found is None or isinstance(found, dict | list) or str(found) == "" else str(found)


def _key(look: _Look, row: Any) -> str | None:
    """Return what a row is remembered by, with its version where every change is an event."""
    found = _id(row, look.trigger)
    if found is None:
        return None
    version = pick(row, look.trigger.version_field) if look.trigger.version_field else None
    return f"{look.place} {found}" if version is None else f"{look.place} {found} {version}"


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
