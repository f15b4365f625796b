"""The audit trail: every entry holds the digest of the one before, so that a change shows."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Row, insert, select
from sqlalchemy.ext.asyncio import AsyncConnection

from prefect_autopilot.models import AuditEntry, JSONDict
from prefect_autopilot.store import tables
from prefect_autopilot.store.concept import Concept
from prefect_autopilot.store.encoding import canonical, clean, digest

_PAGE = 1000


class Audit(Concept):
    """Who did what to what, in one unbroken sequence; entries are never changed or deleted.

    The chain shows a change, an insertion and a gap. Entries cut off at the end show only against a head
    (``audit_head``) that was kept elsewhere.
    """

    async def audit(
        self, actor: str, action: str, subject: str, detail: JSONDict, now: datetime
    ) -> AuditEntry:
        """Append an entry and return it."""
        async with self._database.write() as connection:
            return await self._append_audit(connection, actor, action, subject, detail, now)

    async def audit_trail(self, subject: str | None = None) -> tuple[AuditEntry, ...]:
        """Return the entries, of one subject or all, in order."""
        return tuple([entry async for entry in self._audit_entries(subject)])

    async def audit_head(self) -> AuditEntry | None:
        """Return the last entry; its digest, kept elsewhere, proves that nothing was cut off later."""
        query = select(tables.audit).order_by(tables.audit.c.sequence.desc()).limit(1)
        async with self._database.read() as connection:
            row = (await connection.execute(query)).one_or_none()
        return _entry(row) if row is not None else None

    async def verify_audit(self) -> int | None:
        """Return the sequence of the first entry that does not fit the chain, None where all do."""
        previous, expected = "", 1
        async for entry in self._audit_entries(None):
            sound = entry.previous == previous and entry.digest == _digest(entry)
            if entry.sequence != expected or not sound:
                return min(entry.sequence, expected)
            previous, expected = entry.digest, expected + 1
        return None

    async def export_audit(self) -> AsyncIterator[str]:
        """Give the trail as JSON lines."""
        async for entry in self._audit_entries(None):
            yield entry.model_dump_json()

    async def _append_audit(
        self,
        connection: AsyncConnection,
        actor: str,
        action: str,
        subject: str,
        detail: JSONDict,
        now: datetime,
    ) -> AuditEntry:
        column = tables.audit.c
        query = select(column.sequence, column.digest).order_by(column.sequence.desc()).limit(1)
        last = (await connection.execute(query)).one_or_none()
        told = clean({"actor": actor, "action": action, "subject": subject, "detail": detail}, self._secrets)
        # Through JSON once, so that the entry returned is the entry read later.
        told["detail"] = json.loads(canonical(told["detail"]))
        entry = AuditEntry(
            sequence=last.sequence + 1 if last else 1,
            at=now.astimezone(UTC),
            previous=last.digest if last else "",
            **told,
        )
        entry = entry.model_copy(update={"digest": _digest(entry)})
        row = entry.model_dump() | {"detail": canonical(entry.detail)}
        await connection.execute(insert(tables.audit).values(**row))
        return entry

    async def _audit_entries(self, subject: str | None) -> AsyncIterator[AuditEntry]:
        column = tables.audit.c
        last = 0
        while True:
            query = select(tables.audit).where(column.sequence > last).order_by(column.sequence).limit(_PAGE)
            if subject is not None:
                query = query.where(column.subject == subject)
            async with self._database.read() as connection:
                rows = (await connection.execute(query)).all()
            for row in rows:
                yield _entry(row)
            if len(rows) < _PAGE:
                return
            last = rows[-1].sequence


def _entry(row: Row[Any]) -> AuditEntry:
    return AuditEntry.model_validate(dict(row._mapping) | {"detail": json.loads(row.detail)})  # noqa: SLF001  # SQLAlchemy's public name


def _digest(entry: AuditEntry) -> str:
    facts = entry.model_dump(exclude={"digest"}) | {"at": entry.at.astimezone(UTC).isoformat()}
    return digest(facts)
