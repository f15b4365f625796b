"""Tickets by the services of the catalogue: opened once for what needs a person, commented and closed after.

``ticket://CONNECTION?project=OPS`` names the stored connection and where in the service tickets belong. Which
operations find, open, comment and close one stands in tickets.toml; a further service is a table there.
"""

from __future__ import annotations

import hashlib
import re
import tomllib
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, urlsplit

from pydantic import Field, SecretStr

from prefect_autopilot.adapters.notice_blocks import load_block
from prefect_autopilot.errors import AutopilotError, DeliveryError, UsageError
from prefect_autopilot.models import IncidentEvent, JSONDict, Value
from prefect_autopilot.models.names import CONNECTION_BLOCK
from prefect_autopilot.services import find_operation
from prefect_autopilot.services.paths import pick

if TYPE_CHECKING:
    import httpx

    from prefect_autopilot.adapters.clients import Client

_PLACE = re.compile(r"\{(\w+)\}")


class Step(Value):
    """A call of the catalogue, with words to be filled in."""

    operation: str
    parameters: JSONDict = Field(default_factory=dict)


class Tickets(Value):
    """How a service keeps tickets."""

    needs: tuple[str, ...] = ()
    may: tuple[str, ...] = ()
    passed_on: tuple[str, ...] = ()
    """What the address says that a new ticket is given under the same name."""
    id: str
    rows: str
    marked: str | None = None
    find: Step
    open: Step
    comment: Step
    close: Step | None = None
    """Left out where the address says nothing of what it needs."""


@cache
def ticket_services() -> Mapping[str, Tickets]:
    """Return the services that keep tickets, by their id in the catalogue."""
    text = files(__package__).joinpath("tickets.toml").read_text(encoding="utf-8")
    return {name: Tickets.model_validate(entry) for name, entry in tomllib.loads(text).items()}


async def keep_tickets(
    events: tuple[IncidentEvent, ...],
    text: str,
    name: str,
    url: SecretStr,
    transport: httpx.AsyncBaseTransport | None,
) -> None:
    """Open, comment or close the ticket of every event; raises DeliveryError, permanent where it is refused.

    A ticket is looked for by its key first, so that a try that failed half-way opens no second one.
    """
    parts = urlsplit(url.get_secret_value())
    block: Any = await load_block(f"{CONNECTION_BLOCK}/{parts.netloc}")
    try:
        told = told_by(block.service, dict(parse_qsl(parts.query)))
        async with block.client(transport, connection=parts.netloc) as client:
            for event in events:
                await _keep(client, told, event, text)
    except DeliveryError:
        raise
    except AutopilotError as error:
        raise DeliveryError(f"Channel {name}: {error.message}", permanent=error.permanent) from None


def told_by(service: str, told: Mapping[str, str]) -> Mapping[str, str]:
    """Return what an address says, checked against what the service needs; raises UsageError."""
    known = ticket_services().get(service)
    if known is None:
        names = ", ".join(ticket_services())
        raise UsageError(f"{service} keeps no tickets that we can open; connect one of {names}.")
    missing, further = set(known.needs) - set(told), set(told) - {*known.needs, *known.may}
    if missing or further:
        wrong = f"lacks {', '.join(sorted(missing))}" if missing else f"has {', '.join(sorted(further))}"
        allowed = ", ".join((*known.needs, *(f"[{one}]" for one in known.may)))
        raise UsageError(f"The ticket address for {service} {wrong}; it says {allowed}.")
    return told


def key_of_ticket(event: IncidentEvent) -> str:
    """Return the mark by which the ticket of an event is found again: a word that may be a label."""
    return f"autopilot-{hashlib.sha256(event.key.encode()).hexdigest()[:16]}"


async def _keep(client: Client, told: Mapping[str, str], event: IncidentEvent, text: str) -> None:
    known, key = ticket_services()[client.service.id], key_of_ticket(event)
    words = {**told, "key": key, "title": event.title, "text": text or event.title}
    found = await _find(client, known, words)
    if found is None:
        if event.action == "trigger":
            await _call(
                client, known.open, words, {one: told[one] for one in known.passed_on if one in told}, key
            )
        return  # nothing there to close is what was wanted
    words["id"] = found
    mark = hashlib.sha256(f"{event.action}{text}".encode()).hexdigest()[:16]
    await _call(client, known.comment, words, {}, f"{key}-{mark}")
    closes = known.close is not None and ("done" in told or "done" not in known.may)
    if event.action == "resolve" and known.close is not None and closes:
        await _call(client, known.close, words, {}, f"{key}-closed")


async def _find(client: Client, known: Tickets, words: Mapping[str, str]) -> str | None:
    """Return the id of the ticket that bears the key; a search that finds by other words finds none."""
    rows = pick(await _call(client, known.find, words, {}, None), known.rows)
    for row in rows if isinstance(rows, list) else ():
        if known.marked is None or words["key"] in (pick(row, known.marked) or ""):
            return str(pick(row, known.id))
    return None


async def _call(
    client: Client, step: Step, words: Mapping[str, str], further: Mapping[str, str], key: str | None
) -> Any:
    operation = find_operation(client.service, step.operation)
    numbers = {one.name for one in operation.parameters if one.type == "integer"}
    filled = {name: _filled(value, words) for name, value in step.parameters.items()}
    parameters = {name: int(value) if name in numbers else value for name, value in filled.items()}
    return await client.call(step.operation, {**parameters, **further}, idempotency_key=key)


def _filled(value: Any, words: Mapping[str, str]) -> Any:
    """Return a value with its words filled in, once: what is filled in is data, never a further place."""
    if isinstance(value, str):
        return _PLACE.sub(lambda match: words.get(match[1], match[0]), value)
    if isinstance(value, Mapping):
        return {name: _filled(one, words) for name, one in value.items()}
    return [_filled(one, words) for one in value] if isinstance(value, list | tuple) else value
