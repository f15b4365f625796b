"""Rewrites of flow files that were written, and what their runs then showed."""

from __future__ import annotations

from sqlalchemy import select, update

from prefect_autopilot.errors import ConflictError
from prefect_autopilot.models import AppliedRewrite
from prefect_autopilot.store import tables
from prefect_autopilot.store.concept import Concept
from prefect_autopilot.store.encoding import dump, load


class Rewrites(Concept):
    """Applied rewrites by id; the newest of a file is the one that counts."""

    async def add_rewrite(self, rewrite: AppliedRewrite) -> None:
        """Write that a file was rewritten; raises ConflictError where that is written already."""
        insert = self._database.insert(tables.rewrites).values(
            id=rewrite.rewrite_id,
            status=rewrite.status,
            applied_at=rewrite.applied_at,
            body=dump(rewrite, self._secrets),
        )
        statement = insert.on_conflict_do_nothing().returning(tables.rewrites.c.id)
        async with self._database.write() as connection:
            if (await connection.execute(statement)).scalar_one_or_none() is None:
                raise ConflictError(f"The rewrite {rewrite.rewrite_id} is stored already.")

    async def move_rewrite(self, rewrite: AppliedRewrite, expected: str) -> None:
        """Write a rewrite's new status; raises ConflictError where it no longer has the ``expected`` one."""
        column = tables.rewrites.c
        statement = (
            update(tables.rewrites)
            .where(column.id == rewrite.rewrite_id, column.status == expected)
            .values(status=rewrite.status, body=dump(rewrite, self._secrets))
        )
        async with self._database.write() as connection:
            if (await connection.execute(statement)).rowcount == 0:
                raise ConflictError(f"The rewrite {rewrite.rewrite_id} is no longer {expected}.")

    async def rewrites(self, *, open_only: bool = False) -> tuple[AppliedRewrite, ...]:
        """Return the rewrites, the newest first; with ``open_only`` those that are still watched."""
        column = tables.rewrites.c
        query = select(column.body).order_by(column.applied_at.desc(), column.id)
        if open_only:
            query = query.where(column.status.in_(("watching", "reverting")))
        async with self._database.read() as connection:
            bodies = (await connection.execute(query)).scalars().all()
        return tuple(load(AppliedRewrite, body) for body in bodies)
