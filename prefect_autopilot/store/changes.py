"""What changed last, in the order in which it was committed: each subject once, at its newest change.

One writer at a time, so a number given inside a transaction is seen only after every smaller one: whoever has
read up to a number misses nothing by asking for what is greater, also after a restart.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import datetime
from typing import Literal, NamedTuple

from sqlalchemy import delete, func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from prefect_autopilot.store import tables
from prefect_autopilot.store.concept import Concept

Kind = Literal["session", "alert", "runs"]
TOLD: tuple[Kind, ...] = ("session", "alert")
EVERY = ""
"""Subject of a change to the runs of every workflow."""


class Change(NamedTuple):
    """A session or an alert (by its id), or the runs of a workflow, changed."""

    sequence: int
    kind: Kind
    subject: str
    workflow_id: str


class Changes(Concept):
    """Changes after a number; the greatest number is where the store stands."""

    async def changes(
        self, after: int, limit: int = 100, *, kinds: Collection[Kind] = TOLD
    ) -> tuple[Change, ...]:
        """Return what changed after a number, the oldest change first."""
        column = tables.changes.c
        query = (
            select(column.sequence, column.kind, column.subject, column.workflow_id)
            .where(column.sequence > after, column.kind.in_(sorted(kinds)))
            .order_by(column.sequence)
            .limit(limit)
        )
        async with self._database.read() as connection:
            return tuple(Change(*row) for row in (await connection.execute(query)).all())

    async def position(self) -> int:
        """Return the number of the newest change, 0 where nothing ever changed."""
        async with self._database.read() as connection:
            return await _newest(connection)

    async def _note(
        self, connection: AsyncConnection, kind: Kind, subjects: Mapping[str, str], at: datetime | None = None
    ) -> None:
        """Note that subjects (with their workflows) change in this transaction."""
        if not subjects:
            return
        first = await _newest(connection) + 1
        rows = [
            {"kind": kind, "subject": subject, "workflow_id": workflow, "sequence": first + number, "at": at}
            for number, (subject, workflow) in enumerate(subjects.items())
        ]
        insert = self._database.insert(tables.changes)
        new = {name: insert.excluded[name] for name in ("workflow_id", "sequence", "at")}
        statement = insert.on_conflict_do_update(index_elements=["kind", "subject"], set_=new)
        await connection.execute(statement, rows)

    async def _forget_alert_changes(self, connection: AsyncConnection, before: datetime) -> None:
        """Forget the changes of old alerts that are gone."""
        column = tables.changes.c
        # The newest stays whatever it is: numbers are never given twice.
        old = delete(tables.changes).where(
            column.kind == "alert",
            column.at < before,
            column.sequence < await _newest(connection),
            column.subject.not_in(select(tables.alerts.c.id)),
        )
        await connection.execute(old)


async def _newest(connection: AsyncConnection) -> int:
    newest = (await connection.execute(select(func.max(tables.changes.c.sequence)))).scalar_one_or_none()
    return int(newest or 0)
