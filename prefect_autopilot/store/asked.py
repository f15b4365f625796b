"""Services that requests named and the catalogue cannot call, for the monthly review."""

from __future__ import annotations

import json
from collections.abc import Iterable
from datetime import datetime

from sqlalchemy import delete, func, select

from prefect_autopilot.models import Value
from prefect_autopilot.store import tables
from prefect_autopilot.store.concept import Concept, begins
from prefect_autopilot.store.encoding import storable

_PREFIX = "asked:"
_LONGEST = 100
_MOST = 2000
"""Entries that are kept; the oldest go first."""


class AskedService(Value):
    """A service that was asked for: in how many different requests, and when last."""

    name: str
    requests: int
    last: datetime


class AskedServices(Concept):
    """Names that were asked for; of the request only a digest is kept.

    An entry is a cursor whose name holds the name and the request's digest, and whose value is when it was
    asked last.
    """

    async def note_asked(self, names: Iterable[str], request: str, now: datetime) -> None:
        """Note that a request, told by its digest, named these services; asked again it counts once."""
        wanted = {f"{_PREFIX}{json.dumps([storable(name[:_LONGEST]), request])}" for name in names}
        if not wanted:
            return
        column = tables.cursors.c
        async with self._database.write() as connection:
            for name in sorted(wanted):
                insert = self._database.insert(tables.cursors).values(name=name, value=now)
                await connection.execute(
                    insert.on_conflict_do_update(index_elements=[column.name], set_={"value": now})
                )
            ours = begins(column.name, _PREFIX)
            count = (await connection.execute(select(func.count()).where(ours))).scalar_one()
            if count > _MOST:
                oldest = select(column.name).where(ours).order_by(column.value).limit(count - _MOST)
                await connection.execute(delete(tables.cursors).where(column.name.in_(oldest)))

    async def asked_services(self, since: datetime) -> tuple[AskedService, ...]:
        """Return what was asked for since a moment, the most often asked first; case makes no difference."""
        column = tables.cursors.c
        query = select(column.name, column.value).where(begins(column.name, _PREFIX), column.value >= since)
        async with self._database.read() as connection:
            rows = (await connection.execute(query.order_by(column.value, column.name))).all()
        found: dict[str, list[tuple[str, datetime]]] = {}
        for row in rows:
            name, _ = json.loads(row.name.removeprefix(_PREFIX))
            found.setdefault(name.casefold(), []).append((name, row.value))
        asked = [
            AskedService(name=group[-1][0], requests=len(group), last=group[-1][1])
            for group in found.values()
        ]
        return tuple(sorted(asked, key=lambda one: (-one.requests, one.name.casefold())))
