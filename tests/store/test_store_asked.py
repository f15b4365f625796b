"""Which services were asked for: counted by request, without the request's words, bounded."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from prefect_autopilot.store import Store, asked

NOW = datetime(2026, 3, 2, 3, 0, tzinfo=UTC)


async def test_a_service_counts_once_for_each_request(store: Store) -> None:
    await store.note_asked(["Frobnitz", "Zorblify"], "request-1", NOW)
    await store.note_asked(["frobnitz"], "request-2", NOW + timedelta(hours=1))
    await store.note_asked(["Frobnitz"], "request-1", NOW + timedelta(hours=2))

    first, second = await store.asked_services(NOW)

    assert (first.name, first.requests, first.last) == ("Frobnitz", 2, NOW + timedelta(hours=2))
    assert (second.name, second.requests) == ("Zorblify", 1)


async def test_only_what_was_asked_since_is_told(store: Store) -> None:
    await store.note_asked(["Old"], "request-1", NOW - timedelta(days=40))
    await store.note_asked(["New"], "request-2", NOW)

    assert [one.name for one in await store.asked_services(NOW - timedelta(days=31))] == ["New"]


async def test_no_name_writes_nothing(store: Store) -> None:
    await store.note_asked([], "request-1", NOW)

    assert await store.asked_services(NOW - timedelta(days=1)) == ()


@pytest.mark.parametrize("name", ['"quoted", "name"', "a]b", "Ünïcode", "nul\x00", "x" * 5000, "a%b_c"])
async def test_any_name_can_be_asked_for(store: Store, name: str) -> None:
    await store.note_asked([name], "request-1", NOW)

    (found,) = await store.asked_services(NOW)
    assert found.requests == 1
    assert len(found.name) <= 100


async def test_the_oldest_go_when_there_are_too_many(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(asked, "_MOST", 3)
    for number in range(5):
        await store.note_asked([f"Name{number}"], "request", NOW + timedelta(minutes=number))

    assert {one.name for one in await store.asked_services(NOW)} == {"Name2", "Name3", "Name4"}


async def test_other_cursors_and_preferences_stay(store: Store) -> None:
    await store.remember("ana", "chat", "slack", NOW)
    await store.note_asked(["Frobnitz"], "request-1", NOW)

    assert await store.preferences("ana") == {"chat": "slack"}
    assert await store.forget("ana") == 1
    assert len(await store.asked_services(NOW)) == 1
