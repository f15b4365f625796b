"""What deployments look like, and since when: an update is told by what differs from the time before."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime
from typing import NamedTuple

from sqlalchemy import delete, select

from prefect_autopilot.store import tables
from prefect_autopilot.store.concept import Concept, begins
from prefect_autopilot.store.encoding import canonical

_PREFIX = "deployment:"
_MOST = 500
"""Names in one statement."""
Form = Mapping[str, str]
"""Digests of a deployment's parts by their names."""


class Update(NamedTuple):
    """When the last update of a deployment was first seen, and which of its parts it changed."""

    at: datetime
    parts: tuple[str, ...]


class Deployments(Concept):
    """The form of each deployment.

    It is a cursor whose name holds deployment, digests and what changed last, and whose value is since when.
    """

    async def updated(self, forms: Mapping[str, Form], now: datetime) -> dict[str, Update]:
        """Keep how deployments look now; return the last update of each that once looked otherwise.

        A deployment that is not among them is forgotten.
        """
        name = tables.cursors.c.name
        async with self._database.read() as connection:
            rows = (await connection.execute(select(tables.cursors).where(begins(name, _PREFIX)))).all()
        found: dict[str, Update] = {}
        known: dict[str, Form] = {}
        outdated: list[str] = []
        for row in rows:
            ident, form, parts = json.loads(row.name.removeprefix(_PREFIX))
            known[ident] = form
            if forms.get(ident) != form:
                outdated.append(row.name)
            elif parts:
                found[ident] = Update(row.value, tuple(parts))
        fresh = []
        for ident, form in forms.items():
            if (before := known.get(ident)) != form:
                parts = [] if before is None else sorted(_differing(before, form))
                if parts:
                    found[ident] = Update(now, tuple(parts))
                fresh.append({"name": _PREFIX + canonical([ident, form, parts]), "value": now})
        if outdated or fresh:
            async with self._database.write() as connection:
                for start in range(0, len(outdated), _MOST):
                    gone = name.in_(outdated[start : start + _MOST])
                    await connection.execute(delete(tables.cursors).where(gone))
                for start in range(0, len(fresh), _MOST):
                    insert = self._database.insert(tables.cursors).values(fresh[start : start + _MOST])
                    await connection.execute(insert.on_conflict_do_nothing())
        return found

    async def last_update(self, deployment_id: str) -> Update | None:
        """Return the last update that was seen of a deployment, None where there was none."""
        name = tables.cursors.c.name
        query = select(tables.cursors).where(begins(name, f'{_PREFIX}["{deployment_id}",'))
        async with self._database.read() as connection:
            rows = (await connection.execute(query)).all()
        told = ((row.value, json.loads(row.name.removeprefix(_PREFIX))[2]) for row in rows)
        return next((Update(at, tuple(parts)) for at, parts in told if parts), None)


def _differing(before: Form, after: Form) -> set[str]:
    return {part for part in before.keys() | after.keys() if before.get(part) != after.get(part)}
