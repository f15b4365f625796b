"""Observed runs, kept for monitoring, and how far they were read."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import datetime, timedelta
from itertools import islice
from typing import Any, NamedTuple

from sqlalchemy import Text, and_, delete, func, literal, or_, select, text, type_coerce, update

from prefect_autopilot.models import TERMINAL_STATES, JSONDict, RunRecord
from prefect_autopilot.store import tables
from prefect_autopilot.store.changes import EVERY, Changes, Kind
from prefect_autopilot.store.database import Database
from prefect_autopilot.store.encoding import digest, dump, load
from prefect_autopilot.store.measures import TALLIES, with_measures

_CHUNK = 500
"""Rows of one INSERT: ten columns each stay below SQLite's 32,766 bound values."""
_PORTION = 5_000
_COMPACTED = "compacted-runs"
_LATE = timedelta(days=2)
"""Runs that were written after their turn to be made shorter."""
_MOST_CHANGED = 200
_OF_RUNS: tuple[Kind, ...] = ("runs",)
RUN_CLAIM = "run:"
"""How the keys of claims on failed runs begin."""


class Workflow(NamedTuple):
    """A deployment, or a flow that runs without one, with the runs seen of it."""

    deployment_id: str | None
    deployment_name: str | None
    flow_name: str
    runs: int
    last_at: datetime
    changed_at: datetime
    """When the newest state of any of its runs began."""


class Runs(Changes):
    """Runs by id; of two records of one run the one with the later state wins, in any order of arrival."""

    def __init__(self, database: Database, secrets: tuple[str, ...] = ()) -> None:
        super().__init__(database, secrets)
        self._seen: dict[tuple[str | None, str], Workflow] = {}
        self._seen_until = -1
        self._seen_turn = asyncio.Lock()

    async def upsert_runs(self, runs: Sequence[RunRecord]) -> int:
        """Write runs in one transaction and return how many were new or newer than what was there."""
        newest: dict[str, RunRecord] = {}
        for run in runs:
            known = newest.get(run.id)
            if known is None or _stamps(run) >= _stamps(known):
                newest[run.id] = run
        if not newest:
            return 0
        written: list[str] = []
        left = iter(newest.values())
        async with self._database.write() as connection:
            while chunk := [self._run_row(run) for run in islice(left, _CHUNK)]:
                insert = self._database.insert(tables.runs).values(chunk)
                statement = insert.on_conflict_do_update(
                    index_elements=[tables.runs.c.id],
                    set_={name: insert.excluded[name] for name in chunk[0] if name != "id"},
                    where=_is_newer(insert.excluded),
                ).returning(tables.runs.c.id)
                written += (await connection.execute(statement)).scalars()
            changed = {key: key for key in sorted({_workflow_key(newest[ident]) for ident in written})}
            await self._note(connection, "runs", changed)
        return len(written)

    async def runs(
        self,
        deployment_id: str | None = None,
        flow_name: str | None = None,
        since: datetime | None = None,
        changed_since: datetime | None = None,
        limit: int = 500,
    ) -> tuple[RunRecord, ...]:
        """Return the newest ``limit`` runs that match, oldest first.

        ``since`` is about when a run began, ``changed_since`` about when it came into its present state.
        """
        column = tables.runs.c
        query = select(column.body).order_by(column.began.desc(), column.id.desc()).limit(limit)
        if deployment_id is not None:
            query = query.where(column.deployment_id == deployment_id)
        if flow_name is not None:
            query = query.where(column.flow_name == flow_name)
        if since is not None:
            query = query.where(column.began >= since)
        if changed_since is not None:
            query = query.where(column.state_at >= changed_since)
        async with self._database.read() as connection:
            bodies = (await connection.execute(query)).scalars().all()
            found = [load(RunRecord, body) for body in reversed(bodies)]
            return await with_measures(connection, found)

    async def changed_runs(
        self, since: datetime, *, after: tuple[datetime, str] | None = None, limit: int = 1000
    ) -> tuple[RunRecord, ...]:
        """Return runs in the order in which they came into their present state; for a page ``after`` another.

        ``after`` is state time and id of the last run of the page before.
        """
        column = tables.runs.c
        query = select(column.body).where(column.state_at >= since)
        if after is not None:
            at, ident = after
            later = or_(column.state_at > at, and_(column.state_at == at, column.id > ident))
            query = query.where(later)
        async with self._database.read() as connection:
            query = query.order_by(column.state_at, column.id).limit(limit)
            bodies = (await connection.execute(query)).scalars().all()
        return tuple(load(RunRecord, body) for body in bodies)

    async def unfinished_runs(self, before: datetime, *, limit: int = 200) -> tuple[RunRecord, ...]:
        """Return runs that are under way as far as was seen, and began before; the oldest first."""
        column = tables.runs.c
        # Written as the index is, or it would not be used.
        query = select(column.body).where(
            text(tables.UNFINISHED), column.began < before, column.state_type != "SCHEDULED"
        )
        async with self._database.read() as connection:
            query = query.order_by(column.began).limit(limit)
            bodies = (await connection.execute(query)).scalars().all()
        return tuple(load(RunRecord, body) for body in bodies)

    async def run(self, run_id: str) -> RunRecord | None:
        """Return one run, None where it was never seen."""
        query = select(tables.runs.c.body).where(tables.runs.c.id == run_id)
        async with self._database.read() as connection:
            body = (await connection.execute(query)).scalar_one_or_none()
        return load(RunRecord, body) if body is not None else None

    async def workflows(self) -> tuple[Workflow, ...]:
        """Return every deployment (or flow without one) of which runs were seen, the latest first.

        Only what has changed since the last time is counted anew: counting all takes a second where there are
        a hundred thousand runs.
        """
        async with self._seen_turn:
            changed = await self.changes(self._seen_until, _MOST_CHANGED, kinds=_OF_RUNS)
            subjects = {one.subject for one in changed}
            if self._seen_until < 0 or EVERY in subjects or len(changed) == _MOST_CHANGED:
                self._seen_until = await self.position()
                self._seen = {_key_of(one): one for one in await self._counted(None)}
            elif subjects:
                self._seen_until = changed[-1].sequence
                kept = {key: one for key, one in self._seen.items() if _subject_of(one) not in subjects}
                self._seen = kept | {_key_of(one): one for one in await self._counted(subjects)}
            found = sorted(self._seen.values(), key=lambda one: one.flow_name)
            return tuple(sorted(found, key=lambda one: one.last_at, reverse=True))

    async def _counted(self, subjects: set[str] | None) -> tuple[Workflow, ...]:
        column = tables.runs.c
        last = func.max(column.began, type_=tables.Moment())
        changed = func.max(column.state_at, type_=tables.Moment())
        query = (
            select(
                column.deployment_id,
                func.max(column.deployment_name),
                column.flow_name,
                func.count(),
                last,
                changed,
            )
            .group_by(column.deployment_id, column.flow_name)
            .order_by(last.desc(), column.flow_name)
        )
        if subjects is not None:
            names = sorted(subjects)
            unnamed = and_(column.deployment_id.is_(None), column.flow_name.in_(names))
            query = query.where(or_(column.deployment_id.in_(names), unnamed))
        async with self._database.read() as connection:
            rows = (await connection.execute(query)).all()
        return tuple(Workflow(*row) for row in rows)

    async def prune(self, before: datetime) -> int:
        """Delete what ended before and return how many runs that were.

        Deleted are runs, their measures and claims, resolved alerts, silences, notices, what monitors kept.
        Sessions, the journal and the audit trail stay, and so do claims on anything else: what polling has
        seen once is no news as long as its service lists it.
        """
        run, claim, alert = tables.runs.c, tables.claims.c, tables.alerts.c
        measure = tables.measures.c
        notice, delivery = tables.notices.c, tables.deliveries.c
        old_notices = select(notice.id).where(notice.queued_at < before)
        # In portions: a writer that waits for all of a year's runs would take the database for broken.
        old = select(run.id).where(run.began < before, run.state_type.in_(TERMINAL_STATES)).limit(_PORTION)
        gone = 0
        while True:
            async with self._database.write() as connection:
                portion = await connection.execute(delete(tables.runs).where(run.id.in_(old)))
            gone += portion.rowcount
            if portion.rowcount < _PORTION:
                break
        async with self._database.write() as connection:
            if gone:
                await self._note(connection, "runs", {EVERY: EVERY})
            ours = measure.flow_run_id.startswith(TALLIES)
            await connection.execute(delete(tables.measures).where(measure.at < before, ~ours))
            await connection.execute(
                delete(tables.claims).where(claim.at < before, claim.key.startswith(RUN_CLAIM))
            )
            await connection.execute(
                delete(tables.alerts).where(alert.created_at < before, alert.status == "resolved")
            )
            await self._forget_alert_changes(connection, before)
            await connection.execute(delete(tables.monitors).where(tables.monitors.c.judged_at < before))
            await connection.execute(delete(tables.silences).where(tables.silences.c.ends_at < before))
            await connection.execute(delete(tables.deliveries).where(delivery.notice_id.in_(old_notices)))
            await connection.execute(delete(tables.notices).where(notice.queued_at < before))
        return gone

    async def compact(self, before: datetime) -> int:
        """Drop the parameters of runs that began before and are over, and return how many lost them.

        Monitors, charts and rules do not read them, and they are most of a row.
        """
        since = await self.cursor(_COMPACTED)
        run = tables.runs.c
        shorter: Any = (
            run.body.op("-")(literal("parameters", Text))
            if self._database.is_postgresql
            else type_coerce(func.json_remove(run.body, "$.parameters"), Text)
        )
        wanted = [run.began < before, run.state_type.in_(TERMINAL_STATES)]
        if since is not None:
            wanted.append(run.began >= since - _LATE)
        async with self._database.write() as connection:
            done = await connection.execute(update(tables.runs).where(*wanted).values(body=shorter))
        await self.set_cursor(_COMPACTED, before)
        await self._database.give_back()
        return done.rowcount

    async def cursor(self, name: str) -> datetime | None:
        """Return how far something was read, None before its first time."""
        query = select(tables.cursors.c.value).where(tables.cursors.c.name == name)
        async with self._database.read() as connection:
            return (await connection.execute(query)).scalar_one_or_none()

    async def set_cursor(self, name: str, value: datetime) -> None:
        """Remember how far something was read."""
        insert = self._database.insert(tables.cursors).values(name=name, value=value)
        async with self._database.write() as connection:
            await connection.execute(
                insert.on_conflict_do_update(index_elements=["name"], set_={"value": value})
            )

    def _run_row(self, run: RunRecord) -> JSONDict:
        # What a run measured stands in a table of its own: it comes by another way and at other times.
        body = {name: part for name, part in dump(run, self._secrets).items() if name != "measures"}
        stamp, updated = _stamps(run)
        return {
            "id": run.id,
            "flow_name": body["flow_name"],
            "deployment_id": run.deployment_id,
            "deployment_name": body["deployment_name"],
            "state_type": run.state.type,
            "state_at": stamp,
            "updated": updated,
            "began": run.start or run.expected_start or run.created or stamp,
            "digest": digest(body),
            "body": body,
        }


def _key_of(workflow: Workflow) -> tuple[str | None, str]:
    return workflow.deployment_id, workflow.flow_name


def _subject_of(workflow: Workflow) -> str:
    return workflow.deployment_id or workflow.flow_name


def _workflow_key(run: RunRecord) -> str:
    return run.deployment_id or run.flow_name


def _stamps(run: RunRecord) -> tuple[datetime, datetime]:
    return run.state.timestamp, run.updated or run.state.timestamp


def _is_newer(excluded: Any) -> Any:
    """Compare the record that arrives with the row that is there; the same record again changes nothing."""
    row = tables.runs.c
    same_state = excluded.state_at == row.state_at
    return or_(
        excluded.state_at > row.state_at,
        and_(same_state, excluded.updated > row.updated),
        and_(same_state, excluded.updated == row.updated, excluded.digest != row.digest),
    )
