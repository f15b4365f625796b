"""The further runs of a storm: claimed for its one session, released little by little.

A run is the storm's by the holder of the claim on its failed attempt, ``storm:<session>:<stage>``.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import datetime
from typing import Literal

from sqlalchemy import func, select, update

from prefect_autopilot.store import tables
from prefect_autopilot.store.changes import Changes
from prefect_autopilot.store.concept import begins
from prefect_autopilot.store.runs import RUN_CLAIM

StormStage = Literal["waiting", "released", "resolved", "failed", "left"]
RunStart = tuple[str, int]
"""A run's id and the number of its failed start."""

_CHUNK = 200


class Storms(Changes):
    """Which runs belong to a storm, and how far each has come."""

    async def join_storm(self, session_id: str, runs: Sequence[RunStart], now: datetime) -> int:
        """Claim failed attempts for a storm's session and return how many nobody had claimed before."""
        joined = 0
        async with self._database.write() as connection:
            for start in range(0, len(runs), _CHUNK):
                chunk = runs[start : start + _CHUNK]
                rows = [
                    {"key": _key(run), "holder": _holder(session_id, "waiting"), "at": now} for run in chunk
                ]
                insert = self._database.insert(tables.claims).values(rows).on_conflict_do_nothing()
                taken = (await connection.execute(insert.returning(tables.claims.c.key))).scalars().all()
                ids = {_run(key)[0] for key in taken}
                if ids:
                    links = [{"session_id": session_id, "flow_run_id": one} for one in sorted(ids)]
                    link = self._database.insert(tables.session_runs).values(links)
                    await connection.execute(link.on_conflict_do_nothing())
                joined += len(taken)
        return joined

    async def storm_runs(self, session_id: str, stage: StormStage, limit: int) -> tuple[RunStart, ...]:
        """Return the runs of a storm at one stage, the longest waiting first."""
        column = tables.claims.c
        query = (
            select(column.key)
            .where(column.holder == _holder(session_id, stage))
            .order_by(column.at, column.key)
            .limit(limit)
        )
        async with self._database.read() as connection:
            return tuple(_run(key) for key in (await connection.execute(query)).scalars())

    async def storm_counts(self, session_id: str) -> Counter[str]:
        """Return how many runs of a storm are at each stage."""
        column = tables.claims.c
        query = select(column.holder).where(begins(column.holder, f"storm:{session_id}:"))
        async with self._database.read() as connection:
            return Counter(
                holder.rpartition(":")[2] for holder in (await connection.execute(query)).scalars()
            )

    async def storm_deployments(self, session_id: str) -> frozenset[str]:
        """Return the deployments, or flows without one, of the observed runs of a storm."""
        run, link = tables.runs.c, tables.session_runs.c
        query = (
            select(func.coalesce(run.deployment_id, run.flow_name))
            .join_from(tables.runs, tables.session_runs, link.flow_run_id == run.id)
            .where(link.session_id == session_id)
            .distinct()
        )
        async with self._database.read() as connection:
            return frozenset((await connection.execute(query)).scalars())

    async def move_storm_runs(
        self, session_id: str, runs: Sequence[RunStart], stage: StormStage, now: datetime
    ) -> None:
        """Write down how far runs of a storm have come, and when."""
        column = tables.claims.c
        async with self._database.write() as connection:
            for start in range(0, len(runs), _CHUNK):
                keys = [_key(run) for run in runs[start : start + _CHUNK]]
                ours = begins(column.holder, f"storm:{session_id}:")
                await connection.execute(
                    update(tables.claims)
                    .where(column.key.in_(keys), ours)
                    .values(holder=_holder(session_id, stage), at=now)
                )


def _holder(session_id: str, stage: StormStage) -> str:
    return f"storm:{session_id}:{stage}"


def _key(run: RunStart) -> str:
    return f"{RUN_CLAIM}{run[0]}:{run[1]}"


def _run(key: str) -> RunStart:
    ident, _, count = key.removeprefix(RUN_CLAIM).rpartition(":")
    return ident, int(count)
