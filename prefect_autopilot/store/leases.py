"""Who may work on what: claims that are taken once, and leases that run out."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from sqlalchemy import or_, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from prefect_autopilot.errors import ConflictError
from prefect_autopilot.store import tables
from prefect_autopilot.store.concept import Concept

WATCHER_LEASE = "watcher"
"""The lease whose holder acts and speaks for the whole fleet."""

_NEVER = datetime(1970, 1, 1, tzinfo=UTC)


class Leases(Concept):
    """Claims and leases; losing is a normal answer, not an error."""

    async def claim(self, key: str, holder: str, now: datetime) -> bool:
        """Take a key once and for all; False where anybody took it before."""
        async with self._database.write() as connection:
            return await self._claim(connection, key, holder, now)

    async def claimed_by(self, key: str) -> str | None:
        """Return who took a key, None where nobody did."""
        query = select(tables.claims.c.holder).where(tables.claims.c.key == key)
        async with self._database.read() as connection:
            return (await connection.execute(query)).scalar_one_or_none()

    async def pass_claim(self, key: str, holder: str, to: str, now: datetime) -> bool:
        """Hand a key from its holder to another; False where somebody else has it by now."""
        column = tables.claims.c
        statement = update(tables.claims).where(column.key == key, column.holder == holder)
        async with self._database.write() as connection:
            return (await connection.execute(statement.values(holder=to, at=now))).rowcount == 1

    async def acquire_lease(self, name: str, holder: str, ttl_s: float, now: datetime) -> int | None:
        """Take a lease that is free, has run out or is the holder's own; None where another holds it.

        The token is greater than every token of this lease before: whoever holds an older one is fenced off.
        """
        lease = tables.leases
        seed = self._database.insert(lease).values(name=name, holder="", token=0, expires_at=_NEVER)
        take = (
            update(lease)
            .where(lease.c.name == name, or_(lease.c.expires_at <= now, lease.c.holder == holder))
            .values(holder=holder, token=lease.c.token + 1, expires_at=now + timedelta(seconds=ttl_s))
            .returning(lease.c.token)
        )
        async with self._database.write() as connection:
            await connection.execute(seed.on_conflict_do_nothing())
            token: int | None = (await connection.execute(take)).scalar_one_or_none()
        return token

    async def renew_lease(self, name: str, token: int, ttl_s: float, now: datetime) -> bool:
        """Prolong a lease; False where it was lost, even if nobody wants it now."""
        lease = tables.leases
        statement = (
            update(lease)
            .where(lease.c.name == name, lease.c.token == token, lease.c.expires_at > now)
            .values(expires_at=now + timedelta(seconds=ttl_s))
        )
        async with self._database.write() as connection:
            return (await connection.execute(statement)).rowcount == 1

    async def release_lease(self, name: str, token: int) -> bool:
        """Give a lease back; False where it was lost before."""
        lease = tables.leases
        statement = (
            update(lease)
            .where(lease.c.name == name, lease.c.token == token)
            .values(expires_at=_NEVER, holder="")
        )
        async with self._database.write() as connection:
            return (await connection.execute(statement)).rowcount == 1

    async def lease_holder(self, name: str, now: datetime) -> tuple[str, datetime] | None:
        """Return who holds a lease and until when, None where nobody does."""
        lease = tables.leases
        query = select(lease.c.holder, lease.c.expires_at).where(
            lease.c.name == name, lease.c.expires_at > now
        )
        async with self._database.read() as connection:
            row = (await connection.execute(query)).one_or_none()
        return (row.holder, row.expires_at) if row is not None else None

    async def _claim(self, connection: AsyncConnection, key: str, holder: str, now: datetime) -> bool:
        insert = self._database.insert(tables.claims).values(key=key, holder=holder, at=now)
        statement = insert.on_conflict_do_nothing().returning(tables.claims.c.key)
        return (await connection.execute(statement)).scalar_one_or_none() is not None

    async def _check_lease(self, connection: AsyncConnection, name: str, token: int, now: datetime) -> None:
        """Raise ConflictError unless ``token`` is the lease's newest and not run out, and hold it so."""
        lease = tables.leases.c
        query = select(lease.token, lease.expires_at).where(lease.name == name)
        row = (await connection.execute(query)).one_or_none()
        if row is None or row.token != token or row.expires_at <= now:
            raise ConflictError(
                f"The lease {name!r} is no longer ours (token {token}); acquire it again before acting."
            )
