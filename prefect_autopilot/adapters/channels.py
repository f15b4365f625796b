"""Deliver notices to people: by webhook, through Apprise to what it knows, or by a block of Prefect's."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Protocol
from urllib.parse import urlsplit
from uuid import uuid4

import httpx
from pydantic import SecretStr

from prefect_autopilot.adapters import notice_blocks
from prefect_autopilot.adapters.incident_services import WORTH_RETRYING, events_of, tell_service
from prefect_autopilot.adapters.tickets import keep_tickets
from prefect_autopilot.errors import DeliveryError
from prefect_autopilot.models import JSONDict, Notice, Value
from prefect_autopilot.redaction import redact, redact_value
from prefect_autopilot.settings import Settings
from prefect_autopilot.store import PendingNotice

_TIMEOUT_S = 10
_LEASE_S = 120.0
_FIRST_RETRY = timedelta(seconds=5)
_LONGEST_RETRY = timedelta(hours=1)
_GIVE_UP_AFTER = 20
"""Attempts: with the pauses above about 12 hours."""

_LONGEST_TITLE = 200
_LONGEST_TEXT = 3000
_OK = range(200, 300)
_KEEPS = frozenset({"incidents", "tickets"})
"""Kinds of channels that keep what they are told open until it ends."""

_ANSI = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)?|[@-Z\\-_])")
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u200b-\u200f\u202a-\u202e\u2060-\u2069\ufeff]")
_MENTION = re.compile(r"(?<!\w)@(?=\w)")
_MARKUP = str.maketrans({"<": "‹", ">": "›", "`": "'"})
_WORD_JOINER = "\u2060"


class Channel(Value):
    """Somewhere people are told; its URL is a secret, its name is what the record shows."""

    name: str
    kind: str
    """One of ``SENDERS``."""
    url: SecretStr = SecretStr("")
    block: str | None = None
    """Of kind block: where the Prefect server keeps it, ``type-slug/name``."""
    escalated_only: bool = False
    """It is told what was escalated, and nothing else."""


class Outbox(Protocol):
    """What delivery needs of the store."""

    async def pending_notices(
        self, now: datetime, channel: str, limit: int = 100
    ) -> tuple[PendingNotice, ...]:
        """Return what a channel has to take now."""

    async def notice_delivered(self, notice_id: str, channel: str, now: datetime) -> None:
        """Record that a channel took a notice."""

    async def notice_failed(
        self, notice_id: str, channel: str, error: str, retry_at: datetime | None, now: datetime
    ) -> None:
        """Record that a channel did not take a notice."""

    async def acquire_lease(self, name: str, holder: str, ttl_s: float, now: datetime) -> int | None:
        """Return the token of a lease, None where somebody else holds it."""

    async def release_lease(self, name: str, token: int) -> bool:
        """Give a lease back."""


def configured_channels(settings: Settings) -> tuple[Channel, ...]:
    """Return the channels the settings name."""
    anywhere = (channel_at(f"notify-{number}", url) for number, url in enumerate(settings.notify, start=1))
    webhook = settings.notify_webhook
    first = (Channel(name="webhook", kind="webhook", url=webhook),) if webhook is not None else ()
    others = (
        Channel(name=f"apprise-{number}", kind="apprise", url=url)
        for number, url in enumerate(settings.notify_apprise, start=1)
    )
    services = (
        Channel(name=f"{urlsplit(url.get_secret_value()).scheme}-{number}", kind="incidents", url=url)
        for number, url in enumerate(settings.notify_incidents, start=1)
    )
    # Named after the block, so that a notice finds its channel again when the list is rearranged.
    blocks = (Channel(name=place, kind="block", block=place) for place in settings.notify_blocks)
    late = (
        channel_at(f"escalated-{number}", url).model_copy(update={"escalated_only": True})
        for number, url in enumerate(settings.notify_escalated, start=1)
    )
    return (*anywhere, *first, *others, *services, *blocks, *late)


def channel_at(name: str, url: SecretStr) -> Channel:
    """Return the channel at an address: its scheme tells the kind, and what is none of ours is Apprise's."""
    scheme, _, place = url.get_secret_value().partition("://")
    kind = KIND_OF_SCHEME.get(scheme.lower(), "apprise")
    if kind == "block":
        return Channel(name=place, kind=kind, block=place)
    return Channel(name=name, kind=kind, url=url)


async def deliver(
    notice: Notice, channel: Channel, *, transport: httpx.AsyncBaseTransport | None = None
) -> None:
    """Send a notice, redacted, to one channel; raises DeliveryError.

    The error is permanent where the same notice will be refused again (a wrong URL, 404), and where it is
    nothing for this channel: a service that keeps incidents is not told what needs nobody, nor one for
    what is escalated what is not.
    """
    if channel.escalated_only and not _is_escalated(notice, channel):
        raise DeliveryError(f"Passed over: channel {channel.name} takes what is escalated, this is not.")
    await SENDERS[channel.kind](notice, channel, transport)


async def deliver_pending(
    store: Outbox,
    channels: Sequence[Channel],
    now: datetime,
    transport: httpx.AsyncBaseTransport | None = None,
) -> int:
    """Send every channel what waits for it, record each attempt, and return how many notices arrived.

    A channel that fails is left alone until the next call, with longer and longer pauses; the others go on.
    """
    arrived = await asyncio.gather(*(_drain(store, channel, now, transport) for channel in channels))
    return sum(arrived)


def retry_after(attempts: int) -> timedelta:
    """Return the pause after the ``attempts``-th failed attempt: 5 s, doubled each time, at most an hour."""
    # Bounded before it is doubled: 2 to the 5,000th would not fit any pause.
    return min(_LONGEST_RETRY, _FIRST_RETRY * (1 << min(max(attempts, 1) - 1, 16)))


def plain(text: str, limit: int = _LONGEST_TEXT) -> str:
    """Return text from outside as what it is: no escape codes, no markup, no mentions, no links, cut."""
    shown = _CONTROL.sub("", _ANSI.sub("", redact(text)))
    shown = _MENTION.sub(lambda match: f"{match[0]}{_WORD_JOINER}", shown)
    # A link needs its scheme in one piece; people can still read where it leads.
    shown = shown.translate(_MARKUP).replace("://", f":{_WORD_JOINER}//").replace("](", "] (")
    return shown if len(shown) <= limit else f"{shown[: limit - 1]}…"


def payload(notice: Notice) -> JSONDict:
    """Return the JSON a webhook receives: ids and outcome for programs, title and text for people."""
    body: JSONDict = redact_value(notice.model_dump(mode="json", exclude={"incidents", "escalated"}))
    if notice.incidents:
        shown = {"action", "key", "severity"}
        body["incidents"] = [event.model_dump(mode="json", include=shown) for event in notice.incidents]
    return body | {
        "title": plain(notice.title, _LONGEST_TITLE),
        "text": plain(notice.text),
        "action": plain(notice.action) if notice.action is not None else None,
    }


def _is_escalated(notice: Notice, channel: Channel) -> bool:
    # An incident that a session opened ends under its key, whatever the notice of its end is.
    ends = channel.kind in _KEEPS and {event.action for event in events_of(notice)} == {"resolve"}
    return notice.escalated or notice.outcome == "escalated" or ends


async def _drain(
    store: Outbox, channel: Channel, now: datetime, transport: httpx.AsyncBaseTransport | None
) -> int:
    if channel.kind != "tickets":
        return await _send_pending(store, channel, now, transport)
    if not await store.pending_notices(now, channel.name, 1):
        return 0
    # Two that look for one ticket at once would find none and open two.
    lease = f"channel:{channel.name}"
    token = await store.acquire_lease(lease, uuid4().hex, _LEASE_S, now)
    if token is None:
        return 0
    try:
        return await _send_pending(store, channel, now, transport)
    finally:
        await store.release_lease(lease, token)


async def _send_pending(
    store: Outbox, channel: Channel, now: datetime, transport: httpx.AsyncBaseTransport | None
) -> int:
    arrived = 0
    for pending in await store.pending_notices(now, channel.name):
        notice_id = pending.notice.notice_id
        try:
            await deliver(pending.notice, channel, transport=transport)
        except DeliveryError as error:
            attempts = pending.attempts + 1
            gone = error.permanent or attempts >= _GIVE_UP_AFTER
            retry_at = None if gone else now + retry_after(attempts)
            await store.notice_failed(notice_id, channel.name, error.message, retry_at, now)
            if not error.permanent:
                # The rest would meet the same closed door; their turn comes with the next call.
                break
        else:
            await store.notice_delivered(notice_id, channel.name, now)
            arrived += 1
    return arrived


async def _post(notice: Notice, channel: Channel, transport: httpx.AsyncBaseTransport | None) -> None:
    url = channel.url.get_secret_value()
    try:
        async with httpx.AsyncClient(transport=transport, timeout=_TIMEOUT_S) as client:
            # The id lets the receiver drop what arrives twice: delivery is at least once.
            answer = await client.post(
                url, json=payload(notice), headers={"Idempotency-Key": notice.notice_id}
            )
    except (httpx.InvalidURL, httpx.UnsupportedProtocol):
        raise DeliveryError(
            f"Channel {channel.name} has a URL that cannot be used; write http:// or https://."
        ) from None
    except httpx.HTTPError as error:
        # Neither the URL nor the error's own text, which holds it: the URL is a secret.
        kind = type(error).__name__
        raise DeliveryError(
            f"Channel {channel.name} could not be reached ({kind}); it is tried again.", permanent=False
        ) from None
    if answer.status_code not in _OK:
        later = answer.status_code in WORTH_RETRYING
        advice = "it is tried again" if later else "check its URL"
        raise DeliveryError(
            f"Channel {channel.name} answered {answer.status_code}; {advice}.", permanent=not later
        )


async def _incidents(notice: Notice, channel: Channel, transport: httpx.AsyncBaseTransport | None) -> None:
    events = tuple(
        event.model_copy(update={"title": plain(event.title, _LONGEST_TITLE)}) for event in events_of(notice)
    )
    if not events:
        raise DeliveryError(f"Passed over: channel {channel.name} takes incidents, this needs nobody.")
    tell = keep_tickets if channel.kind == "tickets" else tell_service
    await tell(events, plain(notice.text), channel.name, channel.url, transport)


async def _by_block(notice: Notice, channel: Channel, transport: httpx.AsyncBaseTransport | None) -> None:
    place = channel.block or ""
    block: Any = await notice_blocks.load_block(place)
    if block.get_block_type_slug() == notice_blocks.OWN_TYPE:
        found = channel_at(channel.name, block.url)
        named = found if block.kind == "address" else found.model_copy(update={"kind": block.kind})
        if named.kind == "block":
            raise DeliveryError(f"The block {place} names another block; give it an address.")
        await deliver(notice, named, transport=transport)
        return
    title, body = _words(notice)
    await notice_blocks.notify(block, place, title, body)


def _words(notice: Notice) -> tuple[str, str]:
    message = payload(notice)
    lines = (message["text"], message["action"])
    return str(message["title"]), "\n".join(line for line in lines if line)


async def _notify(notice: Notice, channel: Channel, _transport: httpx.AsyncBaseTransport | None) -> None:
    title, body = _words(notice)
    taken = await asyncio.to_thread(_apprise, channel.url.get_secret_value(), title, body)
    if taken is None:
        raise DeliveryError(f"Channel {channel.name} has a URL Apprise does not know; correct it.")
    if not taken:
        raise DeliveryError(
            f"Channel {channel.name} did not take the notice; it is tried again.", permanent=False
        )


def _apprise(url: str, title: str, body: str) -> bool | None:
    import apprise

    sender = apprise.Apprise()
    if not sender.add(url):
        return None
    return bool(sender.notify(title=title, body=body or title, body_format=apprise.NotifyFormat.TEXT))


Send = Callable[[Notice, Channel, httpx.AsyncBaseTransport | None], Awaitable[None]]

SENDERS: Mapping[str, Send] = {
    "webhook": _post,
    "incidents": _incidents,
    "tickets": _incidents,
    "block": _by_block,
    "apprise": _notify,
}
"""How each kind of channel delivers; a new kind is a line here and one in ``KIND_OF_SCHEME``."""

KIND_OF_SCHEME: Mapping[str, str] = {
    "http": "webhook",
    "https": "webhook",
    "pagerduty": "incidents",
    "opsgenie": "incidents",
    "ticket": "tickets",
    "block": "block",
}
"""The kind of an address by its scheme."""
