"""A webhook becomes Prefect events: verified, stored with its events, answered, and sent until taken."""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal
from urllib.parse import urlsplit

from prefect_autopilot.codegen import event_name
from prefect_autopilot.errors import AutopilotError, ConfigurationError, ConflictError
from prefect_autopilot.models import Announcement, JSONDict, Service, Value, WebhookSignature
from prefect_autopilot.services import (
    STANDARD,
    Answer,
    Delivery,
    announced,
    handshake_secret,
    open_question,
    read_posted,
    signed_question,
    signs_url,
    verify,
)
from prefect_autopilot.store import Store

SECRETS = ("webhook_secret", "webhook_secret_previous")
"""Credentials of a connection that may sign: the present one, and the one before while keys rotate."""

UNNAMED = "webhook"
"""Event of what a service posts without being an event the catalogue knows."""

FIRST_RETRY = timedelta(seconds=5)
LONGEST_RETRY = timedelta(minutes=10)
_MOST_DOUBLINGS = 7
_NAMESPACE = uuid.UUID("0a7c9e7e-6f5f-5d0b-9a39-1f0b7b6f2f58")

MOST_EXPECTED = timedelta(days=1)
"""How long a person may leave the door open for the secret of a new webhook."""

Send = Callable[[Announcement, datetime], Awaitable[None]]
"""Hands one event to Prefect; raises AutopilotError where Prefect did not take it."""

Remember = Callable[[str], Awaitable[None]]
"""Stores the secret of a new webhook in the connection."""


@dataclass(frozen=True)
class Posted:
    """One HTTP request to /hooks/{connection}; names of headers are in lower case."""

    method: str
    url: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: bytes


class Received(Value):
    """What became of a webhook, and what its service wants to hear where it asked something."""

    status: Literal["accepted", "duplicate", "answered"]
    delivery_id: str | None = None
    events: tuple[str, ...] = ()
    answer: Answer | None = None


async def receive(
    posted: Posted,
    service: Service,
    connection: str,
    credentials: Mapping[str, str],
    *,
    store: Store,
    now: datetime,
    public_url: str | None = None,
    remember: Remember | None = None,
) -> Received:
    """Verify a webhook and store its events; after this they reach Prefect, whatever happens.

    1. answer what services ask before they post, 2. verify the raw body, 3. store delivery and events in
    one transaction. Nothing is stored of what is not signed. Raises SignatureError, ConfigurationError
    (no secret, no public_url), ConflictError for a handshake that nobody expects, StoreError.
    """
    signature = service.webhook or STANDARD
    secrets = [credentials[name] for name in SECRETS if credentials.get(name)]
    asked = await _told_secret(posted, signature, secrets, connection, store, now, remember)
    asked = asked or _asked(posted, signature, credentials)
    if asked is not None:
        return Received(status="answered", answer=asked)
    delivery = verify(
        signature,
        secrets=secrets,
        headers=posted.headers,
        body=posted.body,
        url=_public_address(posted, signature, public_url),
        now=now,
        method=posted.method,
    )
    if answer := signed_question(signature, posted.body, secrets):
        return Received(status="answered", answer=answer)
    told = announcements(service, connection, delivery, posted)
    keys = [_key(connection, "id", delivery.id)]
    if delivery.signed:
        keys.append(_key(connection, "digest", delivery.digest))
    accepted = await store.accept_delivery(keys, told, now)
    names = tuple(one.event for one in told) if accepted else ()
    return Received(
        status="accepted" if accepted else "duplicate", delivery_id=delivery.id[:200], events=names
    )


def announcements(
    service: Service, connection: str, delivery: Delivery, posted: Posted
) -> tuple[Announcement, ...]:
    """Return the Prefect events of a verified delivery; what the catalogue has no name for is one too."""
    content = read_posted(posted.body, posted.headers.get("content-type", ""))
    found = [(trigger.event, payload) for trigger, payload in announced(service, content, posted.headers)]
    if not found:
        found = [(UNNAMED, content if isinstance(content, dict) else {"items": content})]
    return tuple(
        _announcement(event_name(service.id, event), connection, f"{delivery.id} {place}", payload, delivery)
        for place, (event, payload) in enumerate(found)
    )


async def send_pending(store: Store, send: Send, now: datetime, *, limit: int = 100) -> int:
    """Send the events that are due, the oldest first; return how many Prefect took.

    An event that is not taken waits 5 s, then twice as long, 10 minutes at most, for ever: nothing is lost.
    """
    taken = 0
    for queued in await store.pending_events(now, limit):
        told = queued.announcement
        try:
            await send(told, told.occurred or now)
        except AutopilotError as error:
            wait = min(FIRST_RETRY * 2 ** min(queued.attempts, _MOST_DOUBLINGS), LONGEST_RETRY)
            await store.event_failed(str(told.event_id), error.message, now + wait)
            if not error.permanent:
                break  # Prefect is down: the others wait for it as well
        else:
            await store.event_sent(str(told.event_id))
            taken += 1
    return taken


async def expect_secret(store: Store, connection: str, until: datetime) -> None:
    """Let the service tell the secret of one new webhook until then.

    The post that tells it cannot be signed: outside this time anybody's would do.
    """
    await store.set_cursor(_expected(connection), until)


async def _told_secret(
    posted: Posted,
    signature: WebhookSignature,
    secrets: Sequence[str],
    connection: str,
    store: Store,
    now: datetime,
    remember: Remember | None,
) -> Answer | None:
    told = handshake_secret(signature, posted.headers) if posted.method == "POST" else None
    if told is None:
        return None
    if told not in secrets:
        until = await store.cursor(_expected(connection))
        if secrets or remember is None or until is None or until <= now:
            raise ConflictError(
                "Nobody expects the secret of a new webhook for this connection: run prefect-autopilot"
                " services expect-webhook CONNECTION, then create the webhook; where the connection holds the"
                " secret of another webhook, remove its webhook_secret first or use a connection of its own."
            )
        await store.set_cursor(_expected(connection), now)
        await remember(told)
    return Answer(headers={signature.challenge or "": told})


def _expected(connection: str) -> str:
    return f"hooks.expected.{connection}"


def _asked(posted: Posted, signature: WebhookSignature, credentials: Mapping[str, str]) -> Answer | None:
    answer = open_question(
        signature,
        method=posted.method,
        query=posted.query,
        headers=posted.headers,
        verify_token=credentials.get("webhook_verify_token"),
    )
    if answer is None and posted.method in ("GET", "HEAD"):
        return Answer()  # a probe: the address is there, and that is all it is told
    return answer


def _public_address(posted: Posted, signature: WebhookSignature, public_url: str | None) -> str:
    """Return the address as the service knows it: behind a proxy ours is another one."""
    parts = urlsplit(posted.url)
    if public_url is None:
        if signs_url(signature):
            raise ConfigurationError(
                "This service signs the address it posts to; set PREFECT_AUTOPILOT_PUBLIC_URL to the one that"
                " was given to it, without /hooks/…"
            )
        return posted.url
    return public_url.rstrip("/") + parts.path + (f"?{parts.query}" if parts.query else "")


def _key(connection: str, kind: str, value: str) -> str:
    # Bounded and of one form, whatever a service puts into its ids.
    return f"{connection} {kind} {hashlib.sha256(value.encode('utf-8', 'replace')).hexdigest()}"


def _announcement(
    name: str, connection: str, mark: str, payload: JSONDict | Any, delivery: Delivery
) -> Announcement:
    return Announcement(
        event=name,
        event_id=uuid.uuid5(_NAMESPACE, f"{name} {connection} {mark}".encode("utf-8", "replace").decode()),
        resource=f"{name}.{connection}",
        payload=payload,
        occurred=delivery.at,
    )
