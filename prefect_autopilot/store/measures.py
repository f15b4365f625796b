"""What runs measured of themselves: rows, memory, and whatever else their owners count."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from prefect_autopilot.models import Measure, RunRecord
from prefect_autopilot.store import tables
from prefect_autopilot.store.concept import Concept

_CHUNK = 500
TALLIES = "tallies:"
"""How what parts of ours count of themselves is filed."""


class Measures(Concept):
    """One value by run and name; of two the later one stands, in any order of arrival."""

    async def keep_measures(self, measures: Iterable[Measure]) -> int:
        """Write measures in one transaction and return how many were new or later than what was there."""
        newest: dict[tuple[str, str], Measure] = {}
        for one in measures:
            known = newest.get((one.flow_run_id, one.name))
            if known is None or one.at >= known.at:
                newest[one.flow_run_id, one.name] = one
        if not newest:
            return 0
        rows = [one.model_dump() for one in newest.values()]
        written = 0
        async with self._database.write() as connection:
            for first in range(0, len(rows), _CHUNK):
                insert = self._database.insert(tables.measures).values(rows[first : first + _CHUNK])
                statement = insert.on_conflict_do_update(
                    index_elements=["flow_run_id", "name"],
                    set_={"value": insert.excluded.value, "at": insert.excluded.at},
                    where=insert.excluded.at > tables.measures.c.at,
                ).returning(tables.measures.c.name)
                written += len((await connection.execute(statement)).all())
        return written

    async def add_tallies(self, subject: str, counts: Mapping[str, float], now: datetime) -> None:
        """Add to what a part of ours counts of itself; it stands beside the measures of runs."""
        rows = [
            {"flow_run_id": f"{TALLIES}{subject}", "name": name, "value": float(count), "at": now}
            for name, count in counts.items()
            if count
        ]
        if not rows:
            return
        insert = self._database.insert(tables.measures).values(rows)
        total = tables.measures.c.value + insert.excluded.value
        async with self._database.write() as connection:
            await connection.execute(
                insert.on_conflict_do_update(
                    index_elements=["flow_run_id", "name"], set_={"value": total, "at": insert.excluded.at}
                )
            )

    async def tallies(self, subject: str) -> dict[str, float]:
        """Return the totals of what a part of ours counted."""
        column = tables.measures.c
        query = select(column.name, column.value).where(column.flow_run_id == f"{TALLIES}{subject}")
        async with self._database.read() as connection:
            return {str(name): float(value) for name, value in (await connection.execute(query)).all()}


async def with_measures(connection: AsyncConnection, runs: Sequence[RunRecord]) -> tuple[RunRecord, ...]:
    """Return the runs with what they measured."""
    column = tables.measures.c
    found: dict[str, dict[str, float]] = defaultdict(dict)
    for first in range(0, len(runs), _CHUNK):
        ids = [run.id for run in runs[first : first + _CHUNK]]
        query = select(column.flow_run_id, column.name, column.value).where(column.flow_run_id.in_(ids))
        for run_id, name, value in (await connection.execute(query)).all():
            found[run_id][name] = value
    if not found:
        return tuple(runs)
    return tuple(
        run.model_copy(update={"measures": found[run.id]}) if run.id in found else run for run in runs
    )
