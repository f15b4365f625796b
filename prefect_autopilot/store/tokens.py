"""Access tokens: who may do how much. Digests are kept; a token itself is shown once, when it is made."""

from __future__ import annotations

import hashlib
import secrets
import uuid
from datetime import datetime, timedelta
from enum import StrEnum

from sqlalchemy import delete, func, insert, or_, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from prefect_autopilot.errors import ConflictError, UnknownNameError, UsageError
from prefect_autopilot.models import Value
from prefect_autopilot.store import tables
from prefect_autopilot.store.audit import Audit

PREFIX = "pat_"
_RANDOM_BYTES = 32
_LONGEST_NAME = 60
_LONGEST = timedelta(days=3650)


class Scope(StrEnum):
    """What a token may do; each scope includes the ones before it."""

    VIEWER = "viewer"
    OPERATOR = "operator"
    APPROVER = "approver"
    ADMIN = "admin"

    def covers(self, needed: Scope) -> bool:
        """Tell whether this scope is at least the needed one."""
        order = tuple(Scope)
        return order.index(self) >= order.index(needed)


class AccessToken(Value):
    """A token as far as it is kept; ``parent`` is the token with which a browser session was opened."""

    token_id: str
    name: str
    scope: Scope
    created_at: datetime
    expires_at: datetime
    revoked_at: datetime | None = None
    parent: str | None = None

    def is_active(self, now: datetime) -> bool:
        """Tell whether the token opens anything at ``now``."""
        return self.revoked_at is None and now < self.expires_at


class Tokens(Audit):
    """Tokens are made, found by their digest, and revoked; each change stands in the audit trail."""

    async def create_token(
        self,
        name: str,
        scope: Scope,
        lifetime: timedelta,
        now: datetime,
        *,
        actor: str,
        parent: AccessToken | None = None,
    ) -> tuple[str, AccessToken]:
        """Return a new token and what is kept of it; raises UsageError, or ConflictError for a name in use.

        A token with a parent never covers more or lasts longer than it, and ends with it.
        """
        name = name.strip()
        if not name.isprintable() or not 0 < len(name) <= _LONGEST_NAME:
            raise UsageError(f"A token is named by 1 to {_LONGEST_NAME} printable characters; choose a name.")
        if not timedelta(0) < lifetime <= _LONGEST:
            raise UsageError(f"A token lasts from 1 to {_LONGEST.days} days; choose a lifetime.")
        expires = now + lifetime
        if parent is not None:
            expires = min(expires, parent.expires_at)
            scope = scope if parent.scope.covers(scope) else parent.scope
        secret = PREFIX + secrets.token_urlsafe(_RANDOM_BYTES)
        token = AccessToken(
            token_id=uuid.uuid4().hex[:12],
            name=name,
            scope=scope,
            created_at=now,
            expires_at=expires,
            parent=parent.token_id if parent is not None else None,
        )
        async with self._database.write() as connection:
            if parent is None:
                await _refuse_name_in_use(connection, name, now)
            row = token.model_dump() | {"digest": _digest(secret), "scope": scope.value}
            await connection.execute(insert(tables.tokens).values(**row))
            detail = {"name": name, "scope": scope.value, "expires_at": expires.isoformat()}
            action = "token.created" if parent is None else "signed_in"
            await self._append_audit(connection, actor, action, token.token_id, detail, now)
        return secret, token

    async def token(self, secret: str, now: datetime) -> AccessToken | None:
        """Return what a token stands for, None where it opens nothing: unknown, expired or revoked."""
        async with self._database.read() as connection:
            found = await _by(connection, "digest", _digest(secret))
            if found is None or not found.is_active(now):
                return None
            if found.parent is not None:
                parent = await _by(connection, "token_id", found.parent)
                if parent is None or not parent.is_active(now):
                    return None
        return found

    async def is_active(self, token_id: str, now: datetime) -> bool:
        """Tell whether a token, and the one it was opened with, still opens something."""
        async with self._database.read() as connection:
            found = await _by(connection, "token_id", token_id)
            if found is None or not found.is_active(now):
                return False
            parent = await _by(connection, "token_id", found.parent) if found.parent is not None else None
            return found.parent is None or (parent is not None and parent.is_active(now))

    async def has_tokens(self) -> bool:
        """Tell whether a token was ever made; expired and revoked ones count, so that nothing falls open."""
        query = select(func.count()).select_from(tables.tokens)
        async with self._database.read() as connection:
            return bool((await connection.execute(query)).scalar_one())

    async def tokens(self) -> tuple[AccessToken, ...]:
        """Return every token that people made, the latest first; browser sessions are left out."""
        column = tables.tokens.c
        query = (
            select(tables.tokens)
            .where(column.parent.is_(None))
            .order_by(column.created_at.desc(), column.token_id)
        )
        async with self._database.read() as connection:
            rows = (await connection.execute(query)).mappings().all()
        return tuple(_read(dict(row)) for row in rows)

    async def revoke_token(self, name: str, now: datetime, *, actor: str) -> int:
        """End the active tokens of this name or id and the sessions opened with them; return how many.

        Raises UnknownNameError where there is none.
        """
        column = tables.tokens.c
        named = or_(column.name == name, column.token_id == name)
        ending = update(tables.tokens).where(named, column.revoked_at.is_(None), column.expires_at > now)
        async with self._database.write() as connection:
            ended = (await connection.execute(ending.values(revoked_at=now))).rowcount
            if ended:
                await self._append_audit(connection, actor, "token.revoked", name, {"tokens": ended}, now)
        if not ended:
            raise UnknownNameError("active token", name)
        return ended

    async def forget_expired_sessions(self, now: datetime) -> int:
        """Delete browser sessions that are over; tokens that people made stay listed."""
        column = tables.tokens.c
        over = delete(tables.tokens).where(column.parent.is_not(None), column.expires_at <= now)
        async with self._database.write() as connection:
            return (await connection.execute(over)).rowcount


async def _refuse_name_in_use(connection: AsyncConnection, name: str, now: datetime) -> None:
    column = tables.tokens.c
    query = select(column.token_id).where(
        column.name == name, column.parent.is_(None), column.revoked_at.is_(None), column.expires_at > now
    )
    if (await connection.execute(query.limit(1))).scalar_one_or_none() is not None:
        raise ConflictError(f"A token named {name!r} is active; revoke it first or choose another name.")


async def _by(connection: AsyncConnection, name: str, value: str) -> AccessToken | None:
    query = select(tables.tokens).where(tables.tokens.c[name] == value)
    row = (await connection.execute(query)).mappings().one_or_none()
    return _read(dict(row)) if row is not None else None


def _read(row: dict[str, object]) -> AccessToken:
    return AccessToken.model_validate({name: value for name, value in row.items() if name != "digest"})


def _digest(secret: str) -> str:
    # 256 random bits need no slow hash: there is nothing to guess.
    return hashlib.sha256(secret.encode("utf-8", "replace")).hexdigest()
