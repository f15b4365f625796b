"""Changes of sessions and alerts as they happen: one look at the store for all who listen.

A listener is a number, how far it was told: it has no queue that could grow. Whoever is slow or comes back
is told of each subject once, as it stands then.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections import Counter, deque
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http import HTTPStatus
from itertools import islice
from typing import Any, Literal

from starlette.exceptions import HTTPException

from prefect_autopilot.api import page_views as views
from prefect_autopilot.errors import AutopilotError
from prefect_autopilot.models import JSONDict
from prefect_autopilot.store import Change, Store

logger = logging.getLogger("prefect_autopilot.api")

LOOK_S = 1.0
HEARTBEAT_S = 15.0
LONGEST_S = 3600.0
"""A stream ends after an hour; clients come back by themselves and miss nothing."""
MOST_LISTENERS = 100
MOST_EACH = 20
MOST_AT_ONCE = 100
MOST_REMEMBERED = 500
FARTHEST_BACK = 10_000
"""Changes; who was told less has read so long ago that reading anew is cheaper."""
RETRY_MS = 3000
HEARTBEAT = b": still here\n\n"

Begin = Callable[[Coroutine[Any, Any, None]], None]


@dataclass(frozen=True)
class Event:
    """One event: its number is what a client sends back as ``Last-Event-ID``."""

    sequence: int
    kind: Literal["session", "alert", "ready", "reset"]
    data: JSONDict
    subject: str = ""
    workflow_id: str = ""

    def encoded(self) -> bytes:
        """Return the event as ``text/event-stream`` has it; JSON has no line breaks of its own."""
        return f"id: {self.sequence}\nevent: {self.kind}\ndata: {json.dumps(self.data)}\n\n".encode()


@dataclass(frozen=True)
class Wanted:
    """What a listener wants to be told: everything, one workflow, or one session."""

    session_id: str | None = None
    workflow_id: str | None = None

    def covers(self, event: Event) -> bool:
        """Tell whether an event is wanted."""
        if self.session_id is not None and (event.kind, event.subject) != ("session", self.session_id):
            return False
        return self.workflow_id in {None, event.workflow_id}


@dataclass
class Live:
    """Looks at the store while somebody listens, and wakes those who listen."""

    store: Callable[[], Awaitable[Store]]
    begin: Begin
    look_s: float = LOOK_S
    heartbeat_s: float = HEARTBEAT_S
    longest_s: float = LONGEST_S
    _events: deque[Event] = field(default_factory=lambda: deque(maxlen=MOST_REMEMBERED))
    _floor: int = 0
    _head: int = 0
    _news: asyncio.Event = field(default_factory=asyncio.Event)
    _listeners: Counter[str] = field(default_factory=Counter)
    _turn: asyncio.Lock = field(default_factory=asyncio.Lock)
    _looking: bool = False
    _closed: bool = False

    @contextmanager
    def place_of(self, actor: str) -> Iterator[None]:
        """Hold a place among the listeners; raises HTTPException 429 or 503 where there is none left."""
        later = {"Retry-After": "30"}
        if self._listeners[actor] >= MOST_EACH:
            said = f"{MOST_EACH} streams of this principal are open already; close one."
            raise HTTPException(HTTPStatus.TOO_MANY_REQUESTS.value, said, later)
        if self._listeners.total() >= MOST_LISTENERS or self._closed:
            said = "As many streams as can be served are open; read the calls again and again meanwhile."
            raise HTTPException(HTTPStatus.SERVICE_UNAVAILABLE.value, said, later)
        self._listeners[actor] += 1
        try:
            yield
        finally:
            self._listeners[actor] -= 1
            self._listeners += Counter()  # forgets who has none left

    def close(self) -> None:
        """End every stream: the process is about to stop."""
        self._closed = True
        self._wake()

    async def told(
        self, wanted: Wanted, after: int | None, may_stay: Callable[[], Awaitable[bool]]
    ) -> AsyncGenerator[bytes]:
        """Give what a listener is told, from the change ``after`` on, until it may not listen any more."""
        head = await self._begin_to_look()
        position = head if after is None else after
        if not 0 <= position <= head:
            head = await (await self.store()).position()  # the last look was a moment ago
        kind: Literal["ready", "reset"] = "ready"
        if not max(0, head - FARTHEST_BACK) <= position <= head:
            kind, position = "reset", head
        yield f"retry: {RETRY_MS}\n".encode() + Event(position, kind, {"position": position}).encoded()
        loop = asyncio.get_running_loop()
        end = loop.time() + self.longest_s
        while not self._closed and loop.time() < end:
            news = self._news
            found = await self._after(position)
            for event in found:
                position = event.sequence
                if wanted.covers(event):
                    yield event.encoded()
            if found or await _happens(news, self.heartbeat_s):
                continue
            if not await may_stay():
                return
            yield HEARTBEAT

    async def _begin_to_look(self) -> int:
        async with self._turn:
            if not self._looking:
                self._events.clear()
                self._head = self._floor = await (await self.store()).position()
                self._looking = True
                self.begin(self._look())
        return self._head

    async def _look(self) -> None:
        try:
            while self._listeners and not self._closed:
                try:
                    found = await self._read(self._head)
                except AutopilotError as error:
                    logger.warning("Changes cannot be read: %s", error.message)
                    found = ()
                for event in found:
                    if len(self._events) == MOST_REMEMBERED:
                        self._floor = self._events[0].sequence
                    self._events.append(event)
                    self._head = event.sequence
                if found:
                    self._wake()
                else:
                    await asyncio.sleep(self.look_s)
        finally:
            self._looking = False

    async def _after(self, position: int) -> tuple[Event, ...]:
        if position < self._floor:
            return await self._read(position)
        return tuple(islice((one for one in self._events if one.sequence > position), MOST_AT_ONCE))

    async def _read(self, after: int) -> tuple[Event, ...]:
        store = await self.store()
        return tuple([await _event(store, one) for one in await store.changes(after, MOST_AT_ONCE)])

    def _wake(self) -> None:
        woken, self._news = self._news, asyncio.Event()
        woken.set()


async def _happens(event: asyncio.Event, within_s: float) -> bool:
    try:
        async with asyncio.timeout(within_s):
            await event.wait()
    except TimeoutError:
        return False
    return True


async def _event(store: Store, change: Change) -> Event:
    told = await (_session(store, change) if change.kind == "session" else _alert(store, change))
    kind: Literal["session", "alert"] = "session" if change.kind == "session" else "alert"
    data = {"workflow_id": change.workflow_id, "deleted": told is None, **(told or {})}
    return Event(
        change.sequence, kind, {f"{kind}_id": change.subject, **data}, change.subject, change.workflow_id
    )


async def _session(store: Store, change: Change) -> JSONDict | None:
    session = await store.session(change.subject)
    if session is None:
        return None
    facts = views.facts_of(session)
    return {
        "resolution_status": session.resolution_status.value,
        "current_step": session.current_step.value,
        "attempts": len(session.attempts),
        "title": facts.title,
        "todo": facts.todo,
        "last": session.trail[-1] if session.trail else "",
    }


async def _alert(store: Store, change: Change) -> JSONDict | None:
    alert = await store.alert(change.subject)
    if alert is None:
        return None
    return {
        "status": alert.status,
        "severity": str(alert.severity),
        "title": alert.title,
        "description": alert.description,
        "acknowledged": alert.acknowledged,
        "acknowledged_by": alert.acknowledged_by,
    }
