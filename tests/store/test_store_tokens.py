"""Tokens: shown once, kept as digests, ended by time or by hand, and never more than their parent."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest
from sqlalchemy import text

from prefect_autopilot.errors import ConflictError, UnknownNameError, UsageError
from prefect_autopilot.store import Scope, Store

DAY = timedelta(days=1)


async def made(store: Store, now: datetime, name: str = "ops", scope: Scope = Scope.OPERATOR) -> str:
    return (await store.create_token(name, scope, DAY, now, actor="test"))[0]


@pytest.mark.parametrize("held", list(Scope))
@pytest.mark.parametrize("needed", list(Scope))
def test_a_scope_includes_those_before_it(held: Scope, needed: Scope) -> None:
    order = ["viewer", "operator", "approver", "admin"]
    assert held.covers(needed) is (order.index(held) >= order.index(needed))


async def test_a_token_opens_with_its_scope(store: Store, now: datetime) -> None:
    found = await store.token(await made(store, now), now)
    assert found is not None
    assert (found.name, found.scope, found.expires_at) == ("ops", Scope.OPERATOR, now + DAY)


async def test_the_database_does_not_hold_the_token(store: Store, now: datetime) -> None:
    secret = await made(store, now)
    async with store._database.read() as connection:
        rows = (await connection.execute(text("SELECT * FROM autopilot_tokens"))).all()
        trail = (await connection.execute(text("SELECT * FROM autopilot_audit"))).all()
    assert len(rows) == 1
    assert secret not in repr(rows) + repr(trail)
    assert secret.removeprefix("pat_") not in repr(rows) + repr(trail)


@pytest.mark.parametrize("wrong", ["", "pat_", "pat_x", "x" * 10_000, "pat_\ud800", "' OR 1=1 --"])
async def test_anything_else_opens_nothing(store: Store, now: datetime, wrong: str) -> None:
    await made(store, now)
    assert await store.token(wrong, now) is None


async def test_a_token_ends_at_its_time(store: Store, now: datetime) -> None:
    secret = await made(store, now)
    assert await store.token(secret, now + DAY - timedelta(seconds=1)) is not None
    assert await store.token(secret, now + DAY) is None


@pytest.mark.parametrize("by_name", [True, False], ids=["by name", "by id"])
async def test_a_revoked_token_opens_nothing(store: Store, now: datetime, by_name: bool) -> None:  # noqa: FBT001
    secret = await made(store, now)
    [token] = await store.tokens()
    assert await store.revoke_token(token.name if by_name else token.token_id, now, actor="test") == 1
    assert await store.token(secret, now) is None
    with pytest.raises(UnknownNameError):
        await store.revoke_token("ops", now, actor="test")


async def test_revoking_one_leaves_the_others(store: Store, now: datetime) -> None:
    first, second = await made(store, now, "one"), await made(store, now, "two")
    await store.revoke_token("one", now, actor="test")
    assert await store.token(first, now) is None
    assert await store.token(second, now) is not None


async def test_a_name_is_taken_only_while_its_token_is_active(store: Store, now: datetime) -> None:
    await made(store, now)
    with pytest.raises(ConflictError, match="revoke it first"):
        await made(store, now)
    await store.revoke_token("ops", now, actor="test")
    await made(store, now)
    await made(store, now + 2 * DAY)


@pytest.mark.parametrize("name", ["", "  ", "a\nb", "x" * 61, "\x1b[2J"])
async def test_a_name_nobody_can_read_is_refused(store: Store, now: datetime, name: str) -> None:
    with pytest.raises(UsageError, match="printable"):
        await made(store, now, name)


@pytest.mark.parametrize("lifetime", [timedelta(0), -DAY, timedelta(days=3651)], ids=["none", "past", "ever"])
async def test_a_lifetime_without_end_is_refused(store: Store, now: datetime, lifetime: timedelta) -> None:
    with pytest.raises(UsageError, match="days"):
        await store.create_token("ops", Scope.ADMIN, lifetime, now, actor="test")


async def test_a_session_is_never_more_than_its_token_and_ends_with_it(store: Store, now: datetime) -> None:
    parent = await store.token(await made(store, now), now)
    secret, session = await store.create_token("ops", Scope.ADMIN, 9 * DAY, now, actor="ops", parent=parent)
    assert (session.scope, session.expires_at) == (Scope.OPERATOR, now + DAY)
    assert await store.token(secret, now) is not None
    assert len(await store.tokens()) == 1
    assert parent is not None
    await store.revoke_token(parent.token_id, now, actor="test")
    assert await store.token(secret, now) is None


async def test_sessions_that_are_over_are_forgotten_and_tokens_stay(store: Store, now: datetime) -> None:
    parent = await store.token(await made(store, now), now)
    await store.create_token("ops", Scope.VIEWER, DAY / 2, now, actor="ops", parent=parent)
    assert await store.forget_expired_sessions(now) == 0
    assert await store.forget_expired_sessions(now + 2 * DAY) == 1
    assert len(await store.tokens()) == 1


async def test_what_was_ever_locked_stays_locked(store: Store, now: datetime) -> None:
    assert not await store.has_tokens()
    await made(store, now)
    await store.revoke_token("ops", now, actor="test")
    assert await store.has_tokens()


async def test_who_made_and_ended_a_token_stands_in_the_trail(store: Store, now: datetime) -> None:
    await made(store, now)
    await store.revoke_token("ops", now, actor="someone")
    trail = await store.audit_trail()
    assert [(one.actor, one.action) for one in trail] == [
        ("test", "token.created"),
        ("someone", "token.revoked"),
    ]
    assert await store.verify_audit() is None
