"""What deployments look like: an update is told with what it changed, and since when, until the next one."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from prefect_autopilot.store import Store, Update

NOW = datetime(2026, 3, 2, 3, 0, tzinfo=UTC)
HOUR = timedelta(hours=1)


async def test_the_first_look_is_no_update(store: Store) -> None:
    assert await store.updated({"a": {"version": "1"}, "b": {"version": "1"}}, NOW) == {}
    assert await store.updated({"a": {"version": "1"}, "b": {"version": "1"}}, NOW + HOUR) == {}


async def test_an_update_is_told_with_its_parts_until_the_next_one(store: Store) -> None:
    await store.updated({"a": {"version": "1", "path": "x"}, "b": {}}, NOW)
    changed = {"a": {"version": "2", "path": "x"}, "b": {}}
    told = {"a": Update(NOW + HOUR, ("version",))}
    assert await store.updated(changed, NOW + HOUR) == told
    assert await store.updated(changed, NOW + 9 * HOUR) == told
    back = {"a": {"version": "1", "path": "y"}, "b": {}}
    assert await store.updated(back, NOW + 10 * HOUR) == {"a": Update(NOW + 10 * HOUR, ("path", "version"))}


async def test_a_deployment_that_is_gone_is_forgotten(store: Store) -> None:
    await store.updated({"a": {"version": "1"}, "b": {"version": "1"}}, NOW)
    await store.updated({"b": {"version": "1"}}, NOW)
    assert await store.updated({"a": {"version": "2"}, "b": {"version": "1"}}, NOW) == {}


async def test_another_process_knows_the_update_too(store: Store, other: Store) -> None:
    await store.updated({"a": {"version": "1"}}, NOW)
    assert await other.updated({"a": {"version": "2"}}, NOW + HOUR) == {"a": Update(NOW + HOUR, ("version",))}
    told = await store.updated({"a": {"version": "2"}}, NOW + 2 * HOUR)
    assert told == {"a": Update(NOW + HOUR, ("version",))}


async def test_more_deployments_than_one_statement_takes_are_kept_whole(store: Store) -> None:
    many = {f"d{number}": {"version": "1"} for number in range(1_100)}
    await store.updated(many, NOW)
    found = await store.updated({ident: {"version": "2"} for ident in many}, NOW + HOUR)
    assert set(found) == set(many)
    assert await store.updated({}, NOW + HOUR) == {}
    assert await store.updated(many, NOW + HOUR) == {}
