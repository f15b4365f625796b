"""Webhooks that were accepted: never twice, and no event of one is forgotten before Prefect has it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from sqlalchemy import delete, func, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from prefect_autopilot.errors import AutopilotError
from prefect_autopilot.models import Announcement, Value
from prefect_autopilot.store import tables
from prefect_autopilot.store.concept import Concept
from prefect_autopilot.store.encoding import clean, load, storable

REMEMBERED = timedelta(hours=48)
"""How long a delivery is known again: services repeat theirs for a day, two at most."""


class QueuedEvent(Value):
    """An event that Prefect has not taken yet, and how often that was tried."""

    announcement: Announcement
    attempts: int = 0
    error: str | None = None


class _SeenError(AutopilotError):
    """The delivery was accepted before; what this transaction wrote is undone."""


class Hooks(Concept):
    """Deliveries and the events they became. An event's payload is kept as it came, until it was sent."""

    async def accept_delivery(
        self, keys: Sequence[str], announcements: Sequence[Announcement], now: datetime
    ) -> bool:
        """Remember a delivery and queue its events, all or nothing; False where any key was seen before.

        Deliveries are forgotten after 48 hours, so that the table cannot grow without end.
        """
        delivery = tables.hook_deliveries
        try:
            async with self._database.write() as connection:
                await connection.execute(delete(delivery).where(delivery.c.at < now - REMEMBERED))
                for key in sorted(set(map(storable, keys))):
                    await self._remember(connection, key, now)
                for one in announcements:
                    await self._queue(connection, one, now)
        except _SeenError:
            return False
        return True

    async def _remember(self, connection: AsyncConnection, key: str, now: datetime) -> None:
        insert = self._database.insert(tables.hook_deliveries).values(key=key, at=now)
        statement = insert.on_conflict_do_nothing().returning(tables.hook_deliveries.c.key)
        if (await connection.execute(statement)).scalar_one_or_none() is None:
            raise _SeenError("This delivery was accepted before.")

    async def _queue(self, connection: AsyncConnection, one: Announcement, now: datetime) -> None:
        # Not redacted: a flow must get what the service sent. It is deleted once it was sent.
        row = {
            "id": str(one.event_id),
            "queued_at": now,
            "due_at": now,
            "attempts": 0,
            "body": storable(one.model_dump(mode="json")),
        }
        insert = self._database.insert(tables.events).values(**row)
        await connection.execute(insert.on_conflict_do_nothing())

    async def pending_events(self, now: datetime, limit: int = 100) -> tuple[QueuedEvent, ...]:
        """Return events that are due to be sent, in the order in which they came."""
        event = tables.events.c
        query = (
            select(event.body, event.attempts, event.error)
            .where(event.due_at <= now)
            .order_by(event.sequence)
            .limit(limit)
        )
        async with self._database.read() as connection:
            rows = (await connection.execute(query)).all()
        return tuple(
            QueuedEvent(announcement=load(Announcement, body), attempts=attempts, error=error)
            for body, attempts, error in rows
        )

    async def event_sent(self, event_id: str) -> None:
        """Forget an event that Prefect has taken."""
        async with self._database.write() as connection:
            await connection.execute(delete(tables.events).where(tables.events.c.id == event_id))

    async def event_failed(self, event_id: str, error: str, retry_at: datetime) -> None:
        """Keep an event that Prefect did not take, and try it again then."""
        told = clean(error, self._secrets) or "no reason given"
        change = update(tables.events).where(tables.events.c.id == event_id)
        values = {"error": told, "due_at": retry_at, "attempts": tables.events.c.attempts + 1}
        async with self._database.write() as connection:
            await connection.execute(change.values(values))

    async def waiting_events(self) -> int:
        """Count the events that Prefect has not taken yet."""
        async with self._database.read() as connection:
            query = select(func.count()).select_from(tables.events)
            return int((await connection.execute(query)).scalar_one())
