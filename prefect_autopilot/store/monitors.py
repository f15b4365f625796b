"""Where the judgement of each workflow goes on."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from sqlalchemy import delete, select

from prefect_autopilot.models import Value
from prefect_autopilot.store import tables
from prefect_autopilot.store.concept import Concept

_COLUMNS = tables.monitors.c
_CHUNK = 100


class MonitorMark(Value):
    """When a workflow was judged, up to which change of its runs, and when waiting alone is to be judged.

    ``settings`` is a digest of its schedule and rules.
    """

    workflow_id: str
    work_pool: str | None = None
    judged_at: datetime
    changed_at: datetime
    runs: int
    settings: str
    next_at: datetime | None = None


class KeptMonitor(MonitorMark):
    """What a judgement left: its state reaches to the run that began at ``through``.

    ``leans`` are (unix time, standard errors, log duration) of the newest runs, for the work pool.
    """

    through: datetime | None = None
    leans: tuple[tuple[float, float, float], ...] = ()
    state: bytes | None = None


_MARK = tuple(_COLUMNS[name] for name in MonitorMark.model_fields)


class Monitors(Concept):
    """States of monitors by workflow; losing them costs time, nothing else."""

    async def monitor_marks(self) -> dict[str, MonitorMark]:
        """Return the mark of every workflow that was judged, without its state."""
        async with self._database.read() as connection:
            rows = (await connection.execute(select(*_MARK))).mappings().all()
        return {row["workflow_id"]: MonitorMark(**row) for row in rows}

    async def kept_monitor(self, workflow_id: str) -> KeptMonitor | None:
        """Return what the last judgement of a workflow left, None before the first."""
        query = select(tables.monitors).where(_COLUMNS.workflow_id == workflow_id)
        async with self._database.read() as connection:
            row = (await connection.execute(query)).mappings().one_or_none()
        return KeptMonitor(**row) if row is not None else None

    async def pool_leans(self, pools: Iterable[str]) -> dict[str, KeptMonitor]:
        """Return what was kept of every workflow of these work pools but its state, by workflow."""
        query = select(*_MARK, _COLUMNS.leans).where(_COLUMNS.work_pool.in_(sorted(pools)))
        async with self._database.read() as connection:
            rows = (await connection.execute(query)).mappings().all()
        return {row["workflow_id"]: KeptMonitor(**row) for row in rows}

    async def keep_monitors(self, kept: Iterable[KeptMonitor]) -> None:
        """Write what judgements left."""
        rows = [one.model_dump() for one in kept]
        async with self._database.write() as connection:
            for first in range(0, len(rows), _CHUNK):
                chunk = rows[first : first + _CHUNK]
                insert = self._database.insert(tables.monitors).values(chunk)
                fresh = {name: insert.excluded[name] for name in chunk[0] if name != "workflow_id"}
                await connection.execute(
                    insert.on_conflict_do_update(index_elements=["workflow_id"], set_=fresh)
                )

    async def forget_monitors(self, before: datetime) -> int:
        """Delete what was kept of workflows not judged since; return how many."""
        statement = delete(tables.monitors).where(_COLUMNS.judged_at < before)
        async with self._database.write() as connection:
            return (await connection.execute(statement)).rowcount
