"""What a person chose before: the service meant by a kind, for each user, forgotten on a word."""

from __future__ import annotations

import json
from datetime import datetime

from sqlalchemy import delete, select

from prefect_autopilot.errors import UsageError
from prefect_autopilot.store import tables
from prefect_autopilot.store.concept import Concept, begins
from prefect_autopilot.store.encoding import storable

_LONGEST = 200
_PREFIX = "preference:"


class Preferences(Concept):
    """Choices by user and kind; the last one counts.

    A choice is a cursor whose name holds user, kind and service, and whose value is when it was made.
    """

    async def remember(self, user: str, kind: str, choice: str, now: datetime) -> None:
        """Keep a choice in place of an earlier one; raises UsageError for an empty or overlong text."""
        for text in (user, kind, choice):
            if not text.strip() or len(text) > _LONGEST:
                raise UsageError(f"A preference has 1 to {_LONGEST} characters in each part; shorten it.")
        column = tables.cursors.c.name
        insert = self._database.insert(tables.cursors).values(name=_name(user, kind, choice), value=now)
        async with self._database.write() as connection:
            await connection.execute(delete(tables.cursors).where(begins(column, _start(user, kind))))
            await connection.execute(insert)

    async def preferences(self, user: str) -> dict[str, str]:
        """Return the choices of a user by kind."""
        column = tables.cursors.c.name
        statement = select(column).where(begins(column, _start(user))).order_by(column)
        async with self._database.read() as connection:
            names = (await connection.execute(statement)).scalars().all()
        parts = (json.loads(name.removeprefix(_PREFIX)) for name in names)
        return {kind: choice for _, kind, choice in parts}

    async def forget(self, user: str, kind: str | None = None) -> int:
        """Forget one choice of a user, or all of them, and return how many there were."""
        column = tables.cursors.c.name
        start = _start(user) if kind is None else _start(user, kind)
        statement = delete(tables.cursors).where(begins(column, start))
        async with self._database.write() as connection:
            return int((await connection.execute(statement)).rowcount)


def _name(*parts: str) -> str:
    return _PREFIX + json.dumps([storable(one) for one in parts])


def _start(*parts: str) -> str:
    """Return how the names of all choices with these first parts begin; JSON ends each part for certain."""
    return f"{_name(*parts).removesuffix(']')}, "
