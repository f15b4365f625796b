"""The global pause: one switch for every process on this store; the audit trail says who turned it."""

from __future__ import annotations

import json
from datetime import datetime

from sqlalchemy import delete, select
from sqlalchemy.ext.asyncio import AsyncConnection

from prefect_autopilot.errors import ConflictError
from prefect_autopilot.models import Value
from prefect_autopilot.store import tables
from prefect_autopilot.store.audit import Audit
from prefect_autopilot.store.encoding import clean

_PREFIX = "pause:"
_SUBJECT = "everything"


class GlobalPause(Value):
    """Who paused every remedy, and when."""

    by: str
    at: datetime


class Switches(Audit):
    """Pausing and resuming; a pause is a cursor whose name holds who and whose value is when."""

    async def pause_all(self, by: str, now: datetime) -> GlobalPause:
        """Pause every remedy until ``resume_all``; where it is paused already, return that pause."""
        told = clean(by, self._secrets)
        async with self._database.write() as connection:
            standing = await self._standing(connection)
            if standing is not None:
                return standing
            name = _PREFIX + json.dumps(told)
            await connection.execute(self._database.insert(tables.cursors).values(name=name, value=now))
            await self._append_audit(connection, told, "paused", _SUBJECT, {}, now)
        return GlobalPause(by=told, at=now)

    async def resume_all(self, by: str, now: datetime) -> bool:
        """End the pause, False where there was none."""
        column = tables.cursors.c.name
        async with self._database.write() as connection:
            ended = await connection.execute(
                delete(tables.cursors).where(column.startswith(_PREFIX, autoescape=True))
            )
            if not ended.rowcount:
                return False
            await self._append_audit(connection, by, "resumed", _SUBJECT, {}, now)
        return True

    async def pause(self) -> GlobalPause | None:
        """Return the pause that stands, None where remedies may be done."""
        async with self._database.read() as connection:
            return await self._standing(connection)

    async def _refuse_if_paused(self, connection: AsyncConnection) -> None:
        """Raise ConflictError while everything is paused; the caller holds the transaction of the act."""
        standing = await self._standing(connection)
        if standing is not None:
            raise ConflictError(
                f"All remedies were paused by {standing.by}, so nothing was done; resume them with"
                " prefect-autopilot resume-all."
            )

    async def _standing(self, connection: AsyncConnection) -> GlobalPause | None:
        column = tables.cursors.c
        query = select(column.name, column.value).where(column.name.startswith(_PREFIX, autoescape=True))
        row = (await connection.execute(query.limit(1))).one_or_none()
        if row is None:
            return None
        return GlobalPause(by=json.loads(row.name.removeprefix(_PREFIX)), at=row.value)
