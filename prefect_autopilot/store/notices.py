"""The outbox: a notice stays until every channel took it or refused it for good."""

from __future__ import annotations

from datetime import datetime, timedelta

from sqlalchemy import and_, case, func, insert, or_, select

from prefect_autopilot.models import Notice, Value
from prefect_autopilot.store import tables
from prefect_autopilot.store.concept import Concept
from prefect_autopilot.store.encoding import clean, dump, load

_FRESH = timedelta(days=1)


class PendingNotice(Value):
    """A notice that one channel still has to take, and how often that was tried."""

    notice: Notice
    attempts: int = 0


class Delivery(Value):
    """One attempt to deliver a notice; no error: it arrived. No ``retry_at`` after an error: given up."""

    notice_id: str
    channel: str
    at: datetime
    error: str | None = None
    retry_at: datetime | None = None


class Notices(Concept):
    """Notices are delivered at least once per channel, with a record of every attempt."""

    async def queue_notice(self, notice: Notice, now: datetime) -> bool:
        """Put a notice into the outbox; False where its id was queued before."""
        row = {"id": notice.notice_id, "queued_at": now, "body": dump(notice, self._secrets)}
        insertion = self._database.insert(tables.notices).values(**row)
        statement = insertion.on_conflict_do_nothing().returning(tables.notices.c.id)
        async with self._database.write() as connection:
            return (await connection.execute(statement)).scalar_one_or_none() is not None

    async def pending_notices(
        self, now: datetime, channel: str, limit: int = 100
    ) -> tuple[PendingNotice, ...]:
        """Return what a channel has to take now, the oldest first.

        A channel is not given notices older than a day that it never tried: it was added later.
        """
        notice, tried = tables.notices.c, tables.deliveries.c
        failed = tried.error.is_not(None)
        final = or_(~failed, tried.retry_at.is_(None))
        history = (
            select(
                tried.notice_id,
                func.count().label("attempts"),
                func.max(case((final, 1), else_=0)).label("done"),
                func.max(tried.retry_at, type_=tables.Moment()).label("retry_at"),
            )
            .where(tried.channel == channel)
            .group_by(tried.notice_id)
            .subquery()
        )
        seen = history.c
        due = or_(
            and_(seen.attempts.is_(None), notice.queued_at > now - _FRESH),
            and_(seen.done == 0, seen.retry_at <= now),
        )
        query = (
            select(notice.body, func.coalesce(seen.attempts, 0))
            .select_from(tables.notices.outerjoin(history, seen.notice_id == notice.id))
            .where(due)
            .order_by(notice.queued_at, notice.id)
            .limit(limit)
        )
        async with self._database.read() as connection:
            rows = (await connection.execute(query)).all()
        return tuple(PendingNotice(notice=load(Notice, body), attempts=count) for body, count in rows)

    async def notice_delivered(self, notice_id: str, channel: str, now: datetime) -> None:
        """Record that a channel took a notice."""
        await self._record(Delivery(notice_id=notice_id, channel=channel, at=now))

    async def notice_failed(
        self, notice_id: str, channel: str, error: str, retry_at: datetime | None, now: datetime
    ) -> None:
        """Record that a channel did not take a notice; without ``retry_at`` it is given up."""
        told = clean(error, self._secrets) or "no reason given"
        await self._record(
            Delivery(notice_id=notice_id, channel=channel, at=now, error=told, retry_at=retry_at)
        )

    async def deliveries(self, notice_id: str) -> tuple[Delivery, ...]:
        """Return every attempt to deliver a notice, in order."""
        column = tables.deliveries.c
        fields = [column[name] for name in Delivery.model_fields]
        query = select(*fields).where(column.notice_id == notice_id).order_by(column.id)
        async with self._database.read() as connection:
            rows = (await connection.execute(query)).mappings().all()
        return tuple(load(Delivery, dict(row)) for row in rows)

    async def _record(self, delivery: Delivery) -> None:
        async with self._database.write() as connection:
            await connection.execute(insert(tables.deliveries).values(**delivery.model_dump()))
