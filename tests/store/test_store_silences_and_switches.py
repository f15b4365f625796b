"""Silences, the global pause and storms: what is written comes back, once, whoever else writes."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest

from prefect_autopilot.errors import UnknownNameError
from prefect_autopilot.models import Silence
from prefect_autopilot.store import Store, run_claim

pytestmark = pytest.mark.anyio
HOUR = timedelta(hours=1)
FULL_WIDTH = "注文/夜間"
SECRET = "hunter2hunter2"  # made up


def silence(now: datetime, **fields: Any) -> Silence:
    return Silence.model_validate({"starts_at": now, "ends_at": now + HOUR, **fields})


# --- Silences.


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"workflow": "orders/*", "kind": "error_rate_increase", "work_pool": "pool-?"},
        {"cron": "0 2 * * *", "minutes": 0.5, "timezone": "Europe/Berlin"},
        {"workflow": FULL_WIDTH, "reason": "\u202egnp.exe \U0001f680"},
        {"workflow": "a'; DROP TABLE autopilot_silences; --", "reason": "<script>alert(1)</script>"},
        {"workflow": "%", "kind": "_", "reason": "{{ 7*7 }} ${HOME} $(id)"},
        {"silence_id": "mine", "created_by": "person:ana"},
    ],
    ids=["defaults", "patterns", "recurring", "other scripts", "SQL and markup", "wildcards", "own id"],
)
async def test_a_silence_comes_back_as_it_was(
    store: Store, other: Store, now: datetime, fields: dict[str, Any]
) -> None:
    stored = await store.add_silence(silence(now, **fields))
    assert stored == silence(now, **fields).model_copy(update={"silence_id": stored.silence_id})
    assert await other.silences(now) == (stored,)


async def test_an_id_is_made_of_the_content_alone(store: Store, now: datetime) -> None:
    first = await store.add_silence(silence(now))
    again = await store.add_silence(silence(now))
    longer = await store.add_silence(silence(now, ends_at=now + 2 * HOUR))
    assert first.silence_id.startswith("silence-")
    assert first == again
    assert longer.silence_id != first.silence_id
    assert [one.silence_id for one in await store.silences(now)] == [first.silence_id, longer.silence_id]


async def test_a_silence_of_the_same_id_is_replaced_with_its_end(store: Store, now: datetime) -> None:
    await store.add_silence(silence(now, silence_id="s", reason="old"))
    await store.add_silence(silence(now, silence_id="s", reason="new", ends_at=now + 3 * HOUR))
    (only,) = await store.silences(now + 2 * HOUR)
    assert only.reason == "new"


@pytest.mark.parametrize(
    ("after", "seen"),
    [(-HOUR, True), (timedelta(0), True), (HOUR - timedelta(microseconds=1), True), (HOUR, False)],
    ids=["before it begins", "as it begins", "just before its end", "at its end"],
)
async def test_a_silence_is_listed_until_the_moment_it_ends(
    store: Store, now: datetime, after: timedelta, *, seen: bool
) -> None:
    await store.add_silence(silence(now))
    assert bool(await store.silences(now + after)) is seen


async def test_the_first_to_end_is_listed_first_whatever_its_zone(store: Store, now: datetime) -> None:
    east = timezone(timedelta(hours=9))
    ends = {"late": now + 3 * HOUR, "early": (now + HOUR).astimezone(east), "middle": now + 2 * HOUR}
    for ident, end in ends.items():
        await store.add_silence(silence(now, silence_id=ident, ends_at=end))
    assert [one.silence_id for one in await store.silences(now.astimezone(east))] == [
        "early",
        "middle",
        "late",
    ]


async def test_a_secret_in_a_reason_is_not_stored(store: Store, now: datetime) -> None:
    await store.add_silence(silence(now, reason=f"password={SECRET} rotates"))
    (only,) = await store.silences(now)
    assert SECRET not in only.model_dump_json()
    assert only.reason.startswith("password=")


@pytest.mark.parametrize("ident", ["none", "", "%", "silence-%", "s' OR '1'='1", "S"], ids=repr)
async def test_only_the_silence_that_is_named_ends(store: Store, now: datetime, ident: str) -> None:
    kept = await store.add_silence(silence(now, silence_id="s"))
    with pytest.raises(UnknownNameError):
        await store.end_silence(ident)
    assert await store.silences(now) == (kept,)


async def test_of_many_who_end_a_silence_one_does(store: Store, other: Store, now: datetime) -> None:
    await store.add_silence(silence(now, silence_id="s"))
    ended = await asyncio.gather(
        *(side.end_silence("s") for side in (store, other) * 4), return_exceptions=True
    )
    assert [one for one in ended if one is None] == [None]
    assert sum(isinstance(one, UnknownNameError) for one in ended) == 7


async def test_one_silence_added_by_many_at_once_is_one(store: Store, other: Store, now: datetime) -> None:
    added = await asyncio.gather(*(side.add_silence(silence(now)) for side in (store, other) * 4))
    assert len({one.silence_id for one in added}) == 1
    assert len(await store.silences(now)) == 1


# --- The global pause.


@pytest.mark.parametrize(
    "by",
    ["person:ana", FULL_WIDTH, 'a"b\\c', "%_", "x" * 150, "\u202egnp", "'; DROP TABLE autopilot_cursors; --"],
    ids=["plain", "other scripts", "quotes", "wildcards", "long", "bidi", "SQL"],
)
async def test_a_pause_tells_who_and_when_to_every_process(
    store: Store, other: Store, now: datetime, by: str
) -> None:
    paused = await store.pause_all(by, now)
    assert (paused.by, paused.at) == (by, now)
    assert await other.pause() == paused
    assert await other.resume_all("ben", now)
    assert await store.pause() is None
    assert [(one.actor, one.action) for one in await store.audit_trail("everything")] == [
        (by, "paused"),
        ("ben", "resumed"),
    ]


async def test_the_first_pause_stands_and_is_written_down_once(store: Store, now: datetime) -> None:
    first = await store.pause_all("ana", now)
    assert await store.pause_all("ben", now + HOUR) == first
    assert [one.actor for one in await store.audit_trail("everything")] == ["ana"]


async def test_many_who_pause_at_once_share_one_pause(store: Store, other: Store, now: datetime) -> None:
    sides = [(side, f"p{number}") for number, side in enumerate((store, other) * 4)]
    paused = await asyncio.gather(*(side.pause_all(name, now) for side, name in sides))
    assert len({one.by for one in paused}) == 1
    assert len(await store.audit_trail("everything")) == 1
    assert await store.verify_audit() is None


async def test_of_many_who_resume_at_once_one_ends_the_pause(
    store: Store, other: Store, now: datetime
) -> None:
    await store.pause_all("ana", now)
    resumed = await asyncio.gather(*(side.resume_all("ben", now) for side in (store, other) * 4))
    assert sorted(resumed) == [False] * 7 + [True]
    assert [one.action for one in await store.audit_trail()] == ["paused", "resumed"]


async def test_resuming_what_runs_writes_nothing_down(store: Store, now: datetime) -> None:
    assert not await store.resume_all("ana", now)
    assert await store.audit_trail() == ()


async def test_a_pause_is_no_preference_and_a_preference_no_pause(store: Store, now: datetime) -> None:
    await store.remember("pause:", "chat", "slack", now)
    assert await store.pause() is None
    assert not await store.resume_all("ana", now)
    await store.pause_all("ana", now)
    assert await store.preferences("ana") == {}
    await store.resume_all("ana", now)
    assert await store.preferences("pause:") == {"chat": "slack"}


async def test_a_secret_in_a_name_is_neither_told_nor_stored(store: Store, now: datetime) -> None:
    paused = await store.pause_all(f"token={SECRET}", now)
    assert SECRET not in paused.by
    assert await store.pause() == paused
    assert SECRET not in "".join([line async for line in store.export_audit()])


async def test_a_pause_and_its_end_are_told_in_utc(store: Store) -> None:
    local = datetime(2026, 3, 2, 12, 0, tzinfo=timezone(timedelta(hours=9)))
    await store.pause_all("ana", local)
    standing = await store.pause()
    assert standing is not None
    assert standing.at == datetime(2026, 3, 2, 3, 0, tzinfo=UTC)


# --- Storms.


async def test_two_storms_that_want_the_same_runs_share_none(
    store: Store, other: Store, now: datetime
) -> None:
    runs = [(f"run-{number:03}", 1) for number in range(250)]
    joined = await asyncio.gather(
        store.join_storm("one", runs, now), other.join_storm("two", list(reversed(runs)), now)
    )
    assert sum(joined) == len(runs)
    one, two = [set(await store.storm_runs(name, "waiting", 999)) for name in ("one", "two")]
    assert (one & two, one | two) == (set(), set(runs))


@pytest.mark.parametrize(
    ("mine", "yours"),
    [("a_c", "abc"), ("a%", "abc"), ("A", "a"), ("s", "s1")],
    ids=["underscore", "percent", "case", "beginning"],
)
async def test_a_storm_never_counts_or_moves_those_of_a_like_name(
    store: Store, now: datetime, mine: str, yours: str
) -> None:
    await store.join_storm(yours, [("run-1", 1)], now)
    assert await store.storm_counts(mine) == {}
    await store.move_storm_runs(mine, [("run-1", 1)], "left", now)
    assert await store.storm_counts(yours) == {"waiting": 1}


@pytest.mark.parametrize("ident", ["run:1", "a:b:c", FULL_WIDTH, "x" * 36], ids=repr)
async def test_the_id_of_a_run_comes_back_whole(store: Store, now: datetime, ident: str) -> None:
    await store.join_storm("s", [(ident, 12)], now)
    assert await store.storm_runs("s", "waiting", 5) == ((ident, 12),)
    assert await store.claimed_by(run_claim(ident, 12)) == "storm:s:waiting"


async def test_the_longest_waiting_go_first_and_no_more_than_asked(store: Store, now: datetime) -> None:
    for number in (2, 0, 1):
        await store.join_storm("s", [(f"run-{number}", 1)], now - number * HOUR)
    assert await store.storm_runs("s", "waiting", 2) == (("run-2", 1), ("run-1", 1))
    assert await store.storm_runs("s", "waiting", 0) == ()


async def test_a_run_that_is_named_twice_joins_once(store: Store, now: datetime) -> None:
    assert await store.join_storm("s", [("run-1", 1), ("run-1", 1)], now) == 1
    assert await store.storm_counts("s") == {"waiting": 1}


async def test_what_a_storm_claimed_is_nobody_elses(store: Store, other: Store, now: datetime) -> None:
    await store.join_storm("s", [("run-1", 1)], now)
    await asyncio.gather(*(side.claim(run_claim("run-1", 1), "watcher", now) for side in (store, other)))
    assert await store.claimed_by(run_claim("run-1", 1)) == "storm:s:waiting"


# --- Preferences.


@pytest.mark.parametrize(
    ("mine", "yours"),
    [("ana", "Ana"), ("ana", "ana2"), ("a_a", "ana"), ("a%", "ana"), ('ana", "chat', "ana"), ("É", "é")],
    ids=["case", "beginning", "underscore", "percent", "quotes", "case of other letters"],
)
async def test_nobody_reads_replaces_or_forgets_the_choice_of_a_like_name(
    store: Store, now: datetime, mine: str, yours: str
) -> None:
    await store.remember(yours, "chat", "slack", now)
    assert await store.preferences(mine) == {}
    await store.remember(mine, "chat", "discord", now)
    assert await store.forget(mine) == 1
    assert await store.preferences(yours) == {"chat": "slack"}
