"""Silences and maintenance windows: times in which alerts that match are not told."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import delete, select

from prefect_autopilot.errors import UnknownNameError
from prefect_autopilot.models import Silence
from prefect_autopilot.store import tables
from prefect_autopilot.store.concept import Concept
from prefect_autopilot.store.encoding import digest, dump, load


class Silences(Concept):
    """Silences by id; one that ended is no longer returned and is deleted with what is old."""

    async def add_silence(self, silence: Silence) -> Silence:
        """Write a silence and return it; one without an id gets an id made of its content."""
        if not silence.silence_id:
            content = digest(silence.model_dump(mode="json", exclude={"silence_id"}))
            silence = silence.model_copy(update={"silence_id": f"silence-{content[:12]}"})
        row = {"ends_at": silence.ends_at, "body": dump(silence, self._secrets)}
        insert = self._database.insert(tables.silences).values(id=silence.silence_id, **row)
        async with self._database.write() as connection:
            await connection.execute(insert.on_conflict_do_update(index_elements=["id"], set_=row))
        return silence

    async def silences(self, now: datetime) -> tuple[Silence, ...]:
        """Return the silences that have not ended, those to come included, the first to end first."""
        column = tables.silences.c
        query = select(column.body).where(column.ends_at > now).order_by(column.ends_at, column.id)
        async with self._database.read() as connection:
            bodies = (await connection.execute(query)).scalars().all()
        return tuple(load(Silence, body) for body in bodies)

    async def end_silence(self, silence_id: str) -> None:
        """Delete a silence; raises UnknownNameError where there is none."""
        statement = delete(tables.silences).where(tables.silences.c.id == silence_id)
        async with self._database.write() as connection:
            if (await connection.execute(statement)).rowcount == 0:
                raise UnknownNameError("silence", silence_id)
