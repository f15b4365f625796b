"""Lists as services really answer them: long, unsorted, changing, with clocks and rows that are off."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from prefect_autopilot.errors import PrefectError, ServiceError, UsageError
from prefect_autopilot.journeys import poll
from prefect_autopilot.journeys.poll import PollResult, poll_once, when
from prefect_autopilot.models import (
    Announcement,
    JSONDict,
    Operation,
    Pagination,
    Parameter,
    Service,
    ServiceTrigger,
)
from prefect_autopilot.store import Store

NOW = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)
PAGE = 3


def at(minutes: float) -> str:
    return (NOW + timedelta(minutes=minutes)).isoformat()


def shop(**trigger: Any) -> Service:
    """A service with a list of three rows a page and orders in full."""
    fields = {"event": "new_order", "kind": "poll", "operation": "list_orders", "id_field": "id"} | trigger
    offset = Parameter(name="offset", location="query", type="integer")
    ordered = Parameter(name="sort", location="query")
    operations = (
        Operation(
            id="list_orders",
            method="GET",
            path="/orders",
            list_at="orders",
            parameters=(offset, ordered),
            pagination=Pagination(kind="offset", request_param="offset"),
        ),
        Operation(
            id="get_order",
            method="GET",
            path="/orders/{id}",
            parameters=(Parameter(name="id", location="path", required=True),),
        ),
    )
    return Service(id="shop", name="Shop", operations=operations, triggers=(ServiceTrigger(**fields),))


@dataclass
class Looked:
    """A list somebody else fills, our looks at it, and what was told."""

    store: Store
    service: Service = field(default_factory=shop)
    rows: list[Any] = field(default_factory=list)
    told: list[Announcement] = field(default_factory=list)
    asked: list[JSONDict] = field(default_factory=list)
    more: JSONDict = field(default_factory=dict)
    now: datetime = NOW
    fail: Callable[[str, JSONDict], None] = lambda _operation, _given: None
    refuse: Callable[[Announcement], None] = lambda _told: None

    async def look(self) -> PollResult:
        async def call(operation: str, given: JSONDict) -> Any:
            self.fail(operation, given)
            if operation == "get_order":
                return {"id": given["id"], "full": True}
            self.asked.append(given)
            start = int(given.get("offset", 0))
            return {"orders": self.rows[start : start + PAGE], **self.more}

        async def page(_operation: str, given: JSONDict, url: str) -> JSONDict:
            self.asked.append(given)
            start = int(url.partition("#")[2] or 0)
            more = start + PAGE < len(self.rows)
            following = {"parameters": None, "url": f"https://shop.example/orders#{start + PAGE}"}
            answer = {"orders": self.rows[start : start + PAGE]}
            return {"answer": answer, "next": following if more else None}

        async def emit(one: Announcement) -> None:
            self.refuse(one)
            self.told.append(one)

        self.now += timedelta(minutes=1)
        return await poll_once(
            self.service,
            "new_order",
            "shop-default",
            call=call,
            page=page,
            emit=emit,
            store=self.store,
            now=self.now,
        )

    @property
    def ids(self) -> list[Any]:
        return [one.payload["id"] for one in self.told]


@pytest.fixture
async def looked(tmp_path: Path) -> AsyncIterator[Looked]:
    async with Store.open(f"sqlite:///{tmp_path / 'autopilot.db'}") as store:
        yield Looked(store)


pytestmark = pytest.mark.anyio


def rows(*ids: int, **more: Any) -> list[JSONDict]:
    return [{"id": one, **more} for one in ids]


async def test_the_first_look_at_a_long_list_tells_nothing(looked: Looked) -> None:
    looked.rows = rows(*range(100, 0, -1))
    first = await looked.look()
    assert (first.first, first.announced) == (True, 0)
    assert (await looked.look()).announced == 0
    assert looked.told == []


async def test_an_empty_first_look_is_a_first_look(looked: Looked) -> None:
    assert (await looked.look()).first
    looked.rows = rows(1)
    assert (await looked.look()).announced == 1


async def test_more_than_a_page_of_new_rows_is_told_in_full_and_in_order(looked: Looked) -> None:
    looked.rows = rows(2, 1)
    await looked.look()
    looked.rows = rows(*range(10, 0, -1))
    result = await looked.look()
    assert looked.ids == [3, 4, 5, 6, 7, 8, 9, 10]
    assert (result.announced, result.more) == (8, False)


async def test_a_page_with_a_known_row_is_the_last_that_is_read(looked: Looked) -> None:
    looked.rows = rows(*range(30, 0, -1))
    await looked.look()
    looked.rows = rows(31, *range(30, 0, -1))
    looked.asked.clear()
    await looked.look()
    assert len(looked.asked) == 1
    assert looked.ids == [31]


async def test_a_burst_of_new_rows_is_told_whole(looked: Looked) -> None:
    await looked.look()
    looked.rows = rows(*range(50, 0, -1))
    result = await looked.look()
    assert looked.ids == list(range(1, 51))
    assert not result.more


async def test_more_new_rows_than_a_look_may_read_are_said_and_none_is_lost(
    looked: Looked, monkeypatch: pytest.MonkeyPatch
) -> None:
    await looked.look()
    looked.rows = rows(*range(50, 0, -1))
    monkeypatch.setattr(poll, "MOST_PAGES", 10)
    for _ in range(2):
        with pytest.raises(UsageError, match="narrow it"):
            await looked.look()
    assert looked.told == []
    monkeypatch.setattr(poll, "MOST_PAGES", 20)
    await looked.look()
    assert looked.ids == list(range(1, 51))


async def test_rows_that_are_another_thing_are_not_told(looked: Looked) -> None:
    looked.service = shop(without=("draft",))
    await looked.look()
    looked.rows = [{"id": 3, "draft": {"by": "me"}}, {"id": 2, "draft": None}, {"id": 1}]
    assert (await looked.look()).announced == 2
    assert looked.ids == [1, 2]


async def test_a_list_without_order_is_read_to_its_end_with_each_look(looked: Looked) -> None:
    looked.service = shop(whole=True)
    looked.rows = rows(*range(1, 9))
    await looked.look()
    looked.rows += rows(9, 10)
    await looked.look()
    assert sorted(looked.ids) == [9, 10]


async def test_a_list_that_cannot_be_turned_says_that_it_holds_more(looked: Looked) -> None:
    one = looked.service.operations[0].model_copy(update={"pagination": Pagination()})
    looked.service = looked.service.model_copy(update={"operations": (one,)})
    looked.more = {"has_more": True}
    assert not (await looked.look()).more
    looked.rows = rows(3, 2, 1)
    assert (await looked.look()).more
    assert not (await looked.look()).more


async def test_pages_with_addresses_of_their_own_are_turned(looked: Looked) -> None:
    one = looked.service.operations[0].model_copy(update={"pagination": Pagination(kind="link")})
    looked.service = looked.service.model_copy(update={"operations": (one,)})
    await looked.look()
    looked.rows = rows(*range(8, 0, -1))
    await looked.look()
    assert looked.ids == list(range(1, 9))


async def test_a_list_that_repeats_its_page_ends(looked: Looked) -> None:
    await looked.look()

    class Same(list[Any]):
        def __getitem__(self, _: Any) -> Any:
            return rows(3, 2, 1)

    looked.rows = Same()
    result = await looked.look()
    assert looked.ids == [1, 2, 3]
    assert not result.more


async def test_a_list_sorted_the_oldest_first_is_read_to_its_end(looked: Looked) -> None:
    looked.service = shop(cursor_field="made")
    looked.rows = [{"id": n, "made": at(-100 + n)} for n in range(1, 9)]
    await looked.look()
    looked.rows += [{"id": 9, "made": at(1)}, {"id": 10, "made": at(2)}]
    await looked.look()
    assert looked.ids == [9, 10]


async def test_a_list_in_no_order_is_told_in_the_order_of_time(looked: Looked) -> None:
    looked.service = shop(cursor_field="made")
    await looked.look()
    looked.rows = [{"id": n, "made": at(n)} for n in (5, 1, 4, 2, 3)]
    await looked.look()
    assert looked.ids == [1, 2, 3, 4, 5]
    looked.rows = [looked.rows[n] for n in (3, 0, 4, 1, 2)]
    assert (await looked.look()).announced == 0


async def test_a_row_from_before_the_first_look_that_comes_into_sight_is_no_news(looked: Looked) -> None:
    looked.service = shop(cursor_field="made")
    looked.rows = [{"id": n, "made": at(-60 * (10 - n))} for n in range(9, 0, -1)]
    await looked.look()
    looked.rows = looked.rows[3:]  # the newest were deleted: old ones move up to the first page
    assert (await looked.look()).announced == 0


@pytest.mark.parametrize("minutes", [-9, 0, 9], ids=["their clock is behind", "same", "ahead"])
async def test_clocks_may_differ_by_minutes(looked: Looked, minutes: int) -> None:
    looked.service = shop(cursor_field="made")
    await looked.look()
    looked.rows = [{"id": 1, "made": at(1 + minutes)}]
    await looked.look()
    assert looked.ids == [1]


async def test_a_day_without_a_time_is_not_taken_for_the_past(looked: Looked) -> None:
    looked.service = shop(cursor_field="made")
    await looked.look()
    looked.rows = [{"id": 1, "made": "2026-03-02"}]
    await looked.look()
    assert looked.ids == [1]


async def test_windows_that_overlap_tell_every_row_once(looked: Looked) -> None:
    await looked.look()
    for newest in range(1, 12):
        looked.rows = rows(*range(newest, max(0, newest - 5), -1))
        await looked.look()
    assert looked.ids == list(range(1, 12))


async def test_a_changed_row_is_no_new_row(looked: Looked) -> None:
    looked.rows = rows(1, status="open")
    await looked.look()
    looked.rows = rows(1, status="closed")
    assert (await looked.look()).announced == 0


async def test_every_change_is_told_where_changes_are_the_event(looked: Looked) -> None:
    looked.service = shop(version_field="status")
    looked.rows = rows(1, 2, status="draft")
    await looked.look()
    looked.rows = [{"id": 1, "status": "sent"}, {"id": 2, "status": "draft"}]
    await looked.look()
    await looked.look()
    looked.rows[0]["status"] = "signed"
    await looked.look()
    assert [(one.payload["id"], one.payload["status"]) for one in looked.told] == [(1, "sent"), (1, "signed")]
    assert len({one.event_id for one in looked.told}) == 2


async def test_a_clock_that_goes_back_tells_nothing_twice_and_loses_nothing(looked: Looked) -> None:
    looked.rows = rows(1)
    await looked.look()
    looked.now -= timedelta(days=2)
    looked.rows = rows(2, 1)
    await looked.look()
    assert looked.ids == [2]
    cursor = await looked.store.cursor("poll prefect-autopilot.shop.new_order shop-default")
    assert cursor == NOW + timedelta(minutes=1)


@pytest.mark.parametrize(
    "poison", [{}, {"id": None}, {"id": ""}, {"id": {"a": 1}}, "text", None, 7], ids=repr
)
async def test_a_row_that_cannot_be_told_does_not_hold_up_the_others(looked: Looked, poison: Any) -> None:
    await looked.look()
    looked.rows = [{"id": 2}, poison, {"id": 1}]
    result = await looked.look()
    assert looked.ids == [1, 2]
    assert result.skipped == 1


async def test_a_list_without_any_id_is_a_wrong_entry(looked: Looked) -> None:
    looked.rows = [{"name": "a"}, {"name": "b"}]
    with pytest.raises(UsageError, match="correct the catalogue entry"):
        await looked.look()


async def test_what_prefect_refuses_is_told_again_and_the_others_are_told_now(looked: Looked) -> None:
    await looked.look()
    looked.rows = rows(3, 2, 1)

    def refuse(one: Announcement) -> None:
        if one.payload["id"] == 2:
            raise PrefectError("Too large.", permanent=True, status=413)

    looked.refuse = refuse
    with pytest.raises(PrefectError):
        await looked.look()
    assert looked.ids == [1, 3]
    looked.refuse = lambda _told: None
    await looked.look()
    assert looked.ids == [1, 3, 2]


async def test_while_prefect_is_down_nothing_is_remembered_as_told(looked: Looked) -> None:
    await looked.look()
    looked.rows = rows(2, 1)
    before = await looked.store.cursor("poll prefect-autopilot.shop.new_order shop-default")

    def down(_told: Announcement) -> None:
        raise PrefectError("Down.", permanent=False)

    looked.refuse = down
    with pytest.raises(PrefectError):
        await looked.look()
    assert await looked.store.cursor("poll prefect-autopilot.shop.new_order shop-default") == before
    looked.refuse = lambda _told: None
    await looked.look()
    assert looked.ids == [1, 2]


def failing(status: int) -> Callable[[str, JSONDict], None]:
    def fail(operation: str, given: JSONDict) -> None:
        if operation == "get_order" and given["id"] == "2":
            raise ServiceError(
                "No", service="shop", operation=operation, effect="safe", permanent=True, status=status
            )

    return fail


@pytest.mark.parametrize("status", [404, 410])
async def test_a_row_that_is_gone_when_it_is_read_in_full_is_passed_over(looked: Looked, status: int) -> None:
    looked.service = shop(detail="get_order")
    await looked.look()
    looked.rows, looked.fail = rows(3, 2, 1), failing(status)
    result = await looked.look()
    assert (result.announced, result.skipped) == (2, 1)
    assert (await looked.look()).announced == 0


@pytest.mark.parametrize("status", [401, 403])
async def test_a_refused_credential_loses_no_row(looked: Looked, status: int) -> None:
    looked.service = shop(detail="get_order")
    await looked.look()
    looked.rows, looked.fail = rows(3, 2, 1), failing(status)
    with pytest.raises(ServiceError):
        await looked.look()
    looked.fail = lambda _operation, _given: None
    await looked.look()
    assert sorted(map(int, looked.ids)) == [1, 2, 3]


async def test_a_next_page_that_a_header_tells_of_is_read(looked: Looked) -> None:
    paging = Pagination(kind="cursor", request_param="offset", response_field="header:X-Next")
    one = looked.service.operations[0].model_copy(update={"pagination": paging})
    looked.service = looked.service.model_copy(update={"operations": (one,)})
    await looked.look()
    looked.rows = rows(*range(8, 0, -1))
    await looked.look()
    assert looked.ids == list(range(1, 9))


async def test_an_answer_of_another_shape_is_an_error_and_no_look(looked: Looked) -> None:
    looked.more = {"orders": {"1": {"id": 1}}}
    with pytest.raises(ServiceError, match="something else than a list"):
        await looked.look()
    looked.more = {}
    assert (await looked.look()).first


async def test_the_list_is_asked_as_the_entry_says_and_the_person_wins(looked: Looked) -> None:
    looked.service = shop(parameters={"sort": "newest"})
    await looked.look()
    assert looked.asked[0]["sort"] == "newest"


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("2026-03-02T12:00:00+00:00", NOW),
        ("2026-03-02T12:00:00Z", NOW),
        ("2026-03-02T12:00:00", NOW),
        ("2026-03-02", datetime(2026, 3, 2, tzinfo=UTC)),
        (1772452800, NOW),
        (1772452800000, NOW),
        ("1772452800", NOW),
        ("1772452800.000200", NOW + timedelta(microseconds=200)),
        (7, None),
        ("987654321098765432", None),
        ("soon", None),
        ("", None),
        (None, None),
        (True, None),
        ({"a": 1}, None),
        (float("nan"), None),
        (10**400, None),
    ],
    ids=[str(n) for n in range(17)],
)
def test_times_are_read_as_services_write_them(value: Any, expected: datetime | None) -> None:
    assert when(value) == expected
