"""Claims are taken once; leases run out and fence off whoever held them before."""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta

import pytest

from prefect_autopilot.store import Store

pytestmark = pytest.mark.anyio


async def test_the_second_claim_of_a_key_loses(store: Store, other: Store, now: datetime) -> None:
    assert await store.claim("run:1:1", "first", now)
    assert not await other.claim("run:1:1", "second", now)
    assert not await store.claim("run:1:1", "first", now), "even for the one who took it"
    assert await other.claimed_by("run:1:1") == "first"
    assert await other.claim("run:1:2", "second", now)


async def test_of_many_claims_at_once_exactly_one_wins(store: Store, other: Store, now: datetime) -> None:
    claims = [side.claim("key", f"{n}", now) for n in range(10) for side in (store, other)]
    assert (await asyncio.gather(*claims)).count(True) == 1


async def test_a_free_lease_is_given_and_a_held_one_is_not(store: Store, other: Store, now: datetime) -> None:
    token = await store.acquire_lease("watcher", "a", 30, now)
    assert token is not None
    assert await other.acquire_lease("watcher", "b", 30, now + timedelta(seconds=29)) is None
    assert await other.acquire_lease("another", "b", 30, now) is not None


async def test_an_expired_lease_is_taken_over_with_a_greater_token(
    store: Store, other: Store, now: datetime
) -> None:
    first = await store.acquire_lease("watcher", "a", 30, now)
    later = now + timedelta(seconds=30)
    second = await other.acquire_lease("watcher", "b", 30, later)
    assert first is not None
    assert second is not None
    assert second > first
    assert not await store.renew_lease("watcher", first, 30, later)
    assert not await store.release_lease("watcher", first), "a fenced holder cannot free another's lease"
    assert await other.renew_lease("watcher", second, 30, later)


async def test_tokens_only_grow(store: Store, now: datetime) -> None:
    tokens = []
    for turn in range(5):
        token = await store.acquire_lease("watcher", f"h{turn}", 30, now)
        assert token is not None
        tokens.append(token)
        assert await store.release_lease("watcher", token)
    assert tokens == sorted(set(tokens))


async def test_a_holder_that_asks_again_fences_its_former_self(store: Store, now: datetime) -> None:
    first = await store.acquire_lease("watcher", "a", 30, now)
    second = await store.acquire_lease("watcher", "a", 30, now)
    assert first is not None
    assert second is not None
    assert second > first
    assert not await store.renew_lease("watcher", first, 30, now)


async def test_a_renewed_lease_lasts_longer(store: Store, other: Store, now: datetime) -> None:
    token = await store.acquire_lease("watcher", "a", 30, now)
    assert token is not None
    assert await store.renew_lease("watcher", token, 30, now + timedelta(seconds=20))
    assert await other.acquire_lease("watcher", "b", 30, now + timedelta(seconds=40)) is None
    assert await other.acquire_lease("watcher", "b", 30, now + timedelta(seconds=50)) is not None


async def test_a_lease_that_ran_out_is_not_renewed_but_acquired(store: Store, now: datetime) -> None:
    token = await store.acquire_lease("watcher", "a", 30, now)
    assert token is not None
    assert not await store.renew_lease("watcher", token, 30, now + timedelta(minutes=5))


async def test_a_clock_that_jumps_back_takes_nothing_away(store: Store, other: Store, now: datetime) -> None:
    assert await store.acquire_lease("watcher", "a", 30, now) is not None
    assert await other.acquire_lease("watcher", "b", 30, now - timedelta(hours=1)) is None


async def test_of_many_who_want_a_lease_exactly_one_gets_it(
    store: Store, other: Store, now: datetime
) -> None:
    wanted = [
        side.acquire_lease("watcher", f"{name}{n}", 30, now)
        for n in range(8)
        for name, side in (("a", store), ("b", other))
    ]
    tokens = await asyncio.gather(*wanted)
    assert len([token for token in tokens if token is not None]) == 1


async def test_a_lease_nobody_has_cannot_be_renewed(store: Store, now: datetime) -> None:
    assert not await store.renew_lease("watcher", 1, 30, now)
    assert not await store.release_lease("watcher", 1)
