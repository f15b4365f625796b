"""Reading history: resumed where it was killed, with progress; what is odd is counted, nothing lost."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from prefect_autopilot.errors import PrefectError
from prefect_autopilot.journeys import reading
from prefect_autopilot.journeys.reading import Progress, backfill, read_runs
from prefect_autopilot.models import RunRecord, StateRecord
from prefect_autopilot.store import Store

NOW = datetime(2026, 3, 2, 3, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
DAY = timedelta(days=1)


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    async with Store.open(f"sqlite:///{tmp_path / 'autopilot.db'}") as opened:
        yield opened


@pytest.fixture(autouse=True)
def _small_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "NEWEST", 10)
    monkeypatch.setattr(reading, "PAGE", 7)


def run(ident: str, end: datetime | None, state: str = "COMPLETED", **more: Any) -> RunRecord:
    at = end or NOW - MINUTE
    fields: dict[str, Any] = {
        "id": ident,
        "flow_name": "orders",
        "state": StateRecord(id=f"{ident}-{state}", type=state, name=state, timestamp=at),
        "start": at - MINUTE,
        "end": end,
    }
    return RunRecord.model_validate(fields | more)


class Server:
    """Runs on a server that may break off after so many answers."""

    def __init__(self, runs: Sequence[RunRecord], answers: float = float("inf")) -> None:
        self.runs = list(runs)
        self.left = answers
        self.asked = 0

    def _answer(self) -> None:
        self.left -= 1
        self.asked += 1
        if self.left < 0:
            raise PrefectError("killed", permanent=False)

    async def runs_changed_since(
        self, since: datetime, *, overlap_s: float = 30, limit: int = 10_000
    ) -> tuple[RunRecord, ...]:
        self._answer()
        ended = await self._ended(since - timedelta(seconds=overlap_s), NOW + DAY, limit)
        return (*reversed(ended), *(one for one in self.runs if one.end is None))

    async def runs_ended_between(
        self, after: datetime, before: datetime, *, limit: int
    ) -> tuple[RunRecord, ...]:
        self._answer()
        return await self._ended(after, before, limit)

    async def _ended(self, after: datetime, before: datetime, limit: int) -> tuple[RunRecord, ...]:
        found = [one for one in self.runs if one.end is not None and after <= one.end <= before]
        return tuple(sorted(found, key=lambda one: one.end or after, reverse=True)[:limit])

    async def count_ended_between(self, after: datetime, before: datetime) -> int:
        return len(await self._ended(after, before, 10**9))

    async def runs_by_id(self, ids: Sequence[str]) -> tuple[RunRecord, ...]:
        return tuple(one for one in self.runs if one.id in ids)


def history(days: float, count: int) -> list[RunRecord]:
    return [run(f"r{i}", NOW - MINUTE - i * days * DAY / count) for i in range(count)]


async def stored(store: Store) -> set[str]:
    return {one.id for one in await store.runs(limit=10_000)}


async def test_a_long_history_is_read_whole_with_progress(store: Store) -> None:
    server = Server(history(80, 300))
    told: list[Progress] = []
    written = await backfill(server, store, NOW, NOW - 90 * DAY, told.append)
    assert written == 300
    assert await stored(store) == {f"r{i}" for i in range(300)}
    assert [one.read for one in told] == sorted(one.read for one in told)
    assert {one.total for one in told} == {told[0].total}
    assert told[-1].read == told[-1].total
    assert [one.back_to for one in told] == sorted((one.back_to for one in told), reverse=True)
    assert told[-1].back_to == NOW - 90 * DAY


@pytest.mark.parametrize("seed", range(6))
async def test_killed_at_any_answer_it_goes_on_where_it_was(store: Store, seed: int) -> None:
    chance = random.Random(seed)
    runs = history(80, 200)
    answers = 0
    for _ in range(60):
        server = Server(runs, answers=chance.randint(0, 12))
        try:
            await backfill(server, store, NOW, NOW - 90 * DAY, lambda _: None)
        except PrefectError:
            answers += server.asked
            continue
        break
    else:
        pytest.fail("it never came to an end")
    assert await stored(store) == {one.id for one in runs}


async def test_what_was_read_is_not_read_again_after_a_kill(store: Store) -> None:
    runs = history(80, 200)
    with pytest.raises(PrefectError):
        await backfill(Server(runs, answers=20), store, NOW, NOW - 90 * DAY, lambda _: None)
    already = len(await stored(store))
    rest = Server(runs)
    await backfill(rest, store, NOW, NOW - 90 * DAY, lambda _: None)
    assert already > 100
    assert rest.asked <= 2 + (200 - already) / 6 + 1


async def test_a_second_time_there_is_nothing_to_read(store: Store) -> None:
    runs = history(80, 60)
    await backfill(Server(runs), store, NOW, NOW - 90 * DAY, lambda _: None)
    told: list[Progress] = []
    again = Server(runs)
    assert await backfill(again, store, NOW, NOW - 90 * DAY, told.append) == 0
    assert again.asked == 1
    assert [one.total for one in told] == [0]


async def test_going_back_further_reads_only_what_lies_further_back(store: Store) -> None:
    runs = history(80, 80)
    await backfill(Server(runs), store, NOW, NOW - 20 * DAY, lambda _: None)
    told: list[Progress] = []
    await backfill(Server(runs), store, NOW, NOW - 90 * DAY, told.append)
    assert told[0].total <= 55
    assert await stored(store) == {one.id for one in runs}


async def test_a_day_off_is_made_up_for_in_passes_while_new_runs_come_first(store: Store) -> None:
    server = Server([run("old", NOW - 3 * DAY)])
    await read_runs(server, store, NOW - 2 * DAY)
    server.runs += [run(f"r{i}", NOW - 2 * DAY + i * 10 * MINUTE) for i in range(280)]
    first = await read_runs(server, store, NOW, pages=3)
    assert first.gap
    assert "r279" in await stored(store), "the newest come first"
    passes = 1
    while (await read_runs(server, store, NOW + passes * MINUTE, pages=3)).gap:
        passes += 1
    assert passes >= 5
    assert await stored(store) == {one.id for one in server.runs}


async def test_a_backlog_within_a_backlog_loses_nothing(store: Store) -> None:
    server = Server(history(20, 150))
    await read_runs(server, store, NOW, pages=2)
    server.runs += [run(f"new{i}", NOW + (1 + i) * MINUTE) for i in range(60)]
    while (await read_runs(server, store, NOW + 2 * 60 * MINUTE, pages=2)).gap:
        pass
    assert await stored(store) == {one.id for one in server.runs}


async def test_more_runs_of_one_moment_than_a_page_holds_are_read(store: Store) -> None:
    moment = NOW - 2 * DAY
    runs = [run(f"same{i}", moment) for i in range(40)] + [run("before", moment - DAY)]
    server = Server([*runs, *history(1, 30)])
    await read_runs(server, store, NOW)
    assert await stored(store) == {one.id for one in server.runs}


async def test_what_is_odd_is_counted_and_kept(store: Store) -> None:
    server = Server([run("first", NOW - 5 * MINUTE)])
    await read_runs(server, store, NOW)
    server.runs += [
        run("late", NOW - 6 * MINUTE),
        run("ahead", NOW + 10 * MINUTE),
        run("backwards", NOW - 4 * MINUTE, start=NOW - 3 * MINUTE),
        run("crashed", NOW - 4 * MINUTE, "CRASHED", start=None),
    ]
    odd = (await read_runs(server, store, NOW)).odd
    assert +odd == {"out_of_order": 1, "clock_skew": 2, "no_start": 1, "again": 1}
    assert await stored(store) == {"first", "late", "ahead", "backwards", "crashed"}


async def test_a_run_deleted_under_way_ends_and_does_not_hang_for_ever(store: Store) -> None:
    server = Server([run("one", None, "RUNNING", start=NOW - DAY), run("two", None, "RUNNING")])
    await read_runs(server, store, NOW)
    server.runs = server.runs[1:]
    assert (await read_runs(server, store, NOW + 5 * MINUTE)).odd["deleted"] == 1
    states = {one.id: (one.state.type, one.state.name) for one in await store.runs()}
    assert states == {"one": ("CANCELLED", "Deleted"), "two": ("RUNNING", "RUNNING")}
    assert (await read_runs(server, store, NOW + 10 * MINUTE)).odd["deleted"] == 0


async def test_a_run_that_ended_unseen_long_ago_is_asked_for_by_its_id(store: Store) -> None:
    began = StateRecord(id="one-r", type="RUNNING", name="Running", timestamp=NOW - DAY)
    await store.upsert_runs([run("one", None).model_copy(update={"start": NOW - DAY, "state": began})])
    await store.set_cursor(reading.CURSOR, NOW)
    server = Server([run("one", NOW - 10 * MINUTE)])
    await read_runs(server, store, NOW + MINUTE)
    assert [one.state.type for one in await store.runs()] == ["COMPLETED"]


async def test_what_just_began_is_not_called_lost(store: Store) -> None:
    await store.upsert_runs([run("young", None, "RUNNING", start=NOW - timedelta(seconds=10))])
    assert (await read_runs(Server([]), store, NOW)).odd["deleted"] == 0
