"""Calls that a service would make long or large: bounded in time and size, and a wait it asks for is kept."""

from __future__ import annotations

import asyncio
import gzip
import zlib
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from pydantic import SecretStr

from prefect_autopilot.adapters import services
from prefect_autopilot.adapters.decoding import TooLargeError, read_within
from prefect_autopilot.adapters.rates import LONGEST_REFUSAL_S, RateGate
from prefect_autopilot.adapters.services import ServiceClient
from prefect_autopilot.errors import ServiceError, UsageError
from prefect_autopilot.models import Auth, Operation, OperationEffect, Pagination, Parameter, Service

LISTED = Operation(
    id="list_things",
    method="GET",
    path="/things",
    list_at="things",
    parameters=(Parameter(name="after", location="query"),),
    effect=OperationEffect.SAFE,
)


class Pieces(httpx.AsyncByteStream):
    def __init__(self, *pieces: bytes, pause_s: float = 0.0) -> None:
        self.pieces = pieces
        self.pause_s = pause_s

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for piece in self.pieces:
            await asyncio.sleep(self.pause_s)
            yield piece


def client(answer: Any, operation: Operation = LISTED, **more: Any) -> ServiceClient:
    shop = Service(id="shop", name="Shop", auth=Auth(scheme="bearer"), operations=(operation,))
    return ServiceClient(
        shop,
        {"token": SecretStr("t")},
        base_url="https://shop.example/v1",
        transport=httpx.MockTransport(answer),
        **more,
    )


async def called(one: ServiceClient, **how: Any) -> Any:
    async with one:
        return await one.call("list_things", {}, **how)


@pytest.mark.parametrize(
    ("packing", "packed"),
    [
        ("", b"0" * 1000),
        ("identity", b"0" * 1000),
        ("gzip", gzip.compress(b"0" * 1000)),
        ("deflate", zlib.compress(b"0" * 1000)),
    ],
    ids=["plain", "identity", "gzip", "deflate"],
)
def test_a_body_is_read_up_to_the_limit_and_not_beyond(packing: str, packed: bytes) -> None:
    def response() -> httpx.Response:
        return httpx.Response(200, headers={"content-encoding": packing}, stream=Pieces(packed))

    assert asyncio.run(read_within(response(), 1000)) == b"0" * 1000
    with pytest.raises(TooLargeError):
        asyncio.run(read_within(response(), 999))


@pytest.mark.parametrize("packing", ["gzip, gzip", "br", "zstd", "deflate, gzip"])
def test_a_packing_that_was_not_asked_for_is_not_unpacked(packing: str) -> None:
    def answer(_: httpx.Request) -> httpx.Response:
        return httpx.Response(200, headers={"content-encoding": packing}, stream=Pieces(b"x"))

    with pytest.raises(ServiceError, match="not asked for"):
        asyncio.run(called(client(answer)))


def test_an_answer_that_drips_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    def answer(_: httpx.Request) -> httpx.Response:
        return httpx.Response(200, stream=Pieces(*[b" "] * 1000, pause_s=0.01))

    monkeypatch.setattr(services, "_TIMEOUTS_OF_A_CALL", 0.1)
    with pytest.raises(ServiceError, match=r"did not end its answer within 0\.1 s") as caught:
        asyncio.run(called(client(answer, timeout_s=1.0)))
    assert not caught.value.permanent


@pytest.mark.parametrize(("told", "waited"), [("5", 5.0), ("3600", LONGEST_REFUSAL_S)], ids=["short", "long"])
def test_a_refusal_holds_back_the_next_call(told: str, waited: float) -> None:
    slept: list[float] = []

    async def sleep(seconds: float) -> None:
        slept.append(seconds)

    gate = RateGate(None, time_s=lambda: 100.0, sleep=sleep)
    answers = [httpx.Response(429, headers={"retry-after": told}), httpx.Response(200, json={"things": []})]
    one = client(lambda _: answers.pop(0), gate=gate)
    with pytest.raises(ServiceError):
        asyncio.run(called(one))
    asyncio.run(called(one))
    assert slept == [waited]


@pytest.mark.parametrize(
    ("body", "headers"),
    [
        ({"has_more": True}, {}),
        ({"next_page": "https://shop.example/v1/things?page=2"}, {}),
        ({"meta": {"next_cursor": "abc"}}, {}),
        ({"paging": {"next": {"after": "7"}}}, {}),
        ({"isLast": False}, {}),
        ({}, {"link": '<https://shop.example/v1/things?page=2>; rel="next"'}),
        ({}, {"x-ms-continuationtoken": "abc"}),
    ],
    ids=["has_more", "next_page", "meta", "paging", "isLast", "link", "header"],
)
def test_half_a_list_is_not_answered_as_all_of_it(body: dict[str, Any], headers: dict[str, str]) -> None:
    def answer(_: httpx.Request) -> httpx.Response:
        return httpx.Response(200, json={"things": [{"id": 1}], **body}, headers=headers)

    with pytest.raises(ServiceError, match="more rows than it answered"):
        asyncio.run(called(client(answer), all_pages=True))
    assert asyncio.run(called(client(answer)))["things"] == [{"id": 1}]


@pytest.mark.parametrize(
    ("body", "headers"),
    [
        ({"has_more": False, "next_page": None}, {}),
        ({"meta": {"next_cursor": ""}, "isLast": True}, {}),
        ({}, {"link": '<https://shop.example/v1/things?page=2>; rel="next"; results="false"'}),
    ],
    ids=["none", "empty", "sentry"],
)
def test_a_whole_list_is_answered(body: dict[str, Any], headers: dict[str, str]) -> None:
    def answer(_: httpx.Request) -> httpx.Response:
        return httpx.Response(200, json={"things": [{"id": 1}], **body}, headers=headers)

    assert asyncio.run(called(client(answer), all_pages=True)) == [{"id": 1}]


@pytest.mark.parametrize("field", ["has_more", None], ids=["has_more", "until an empty page"])
def test_pages_that_begin_after_the_last_row_are_all_read(field: str | None) -> None:
    paging = Pagination(kind="last_row", request_param="after", response_field=field)
    asked: list[str | None] = []

    def answer(request: httpx.Request) -> httpx.Response:
        after = request.url.params.get("after")
        asked.append(after)
        rows = [{"id": one} for one in ("a", "b", "c", "d") if after is None or one > after][:2]
        more = {"has_more": bool(rows) and rows[-1]["id"] != "d"} if field else {}
        return httpx.Response(200, json={"things": rows, **more})

    one = client(answer, LISTED.model_copy(update={"pagination": paging}))
    assert [row["id"] for row in asyncio.run(called(one, all_pages=True))] == ["a", "b", "c", "d"]
    assert asked == ([None, "b"] if field else [None, "b", "d"])


def test_a_mark_is_taken_out_of_an_address_on_another_host() -> None:
    paging = Pagination(kind="next_url", request_param="after", response_field="next")

    def answer(request: httpx.Request) -> httpx.Response:
        assert request.url.host == "shop.example"
        if request.url.params.get("after") == "7":
            return httpx.Response(200, json={"things": [2], "next": None})
        return httpx.Response(200, json={"things": [1], "next": "https://acme.shop.example/things?after=7"})

    one = client(answer, LISTED.model_copy(update={"pagination": paging}))
    assert asyncio.run(called(one, all_pages=True)) == [1, 2]


def test_one_page_tells_where_the_next_is_and_no_other_host_is_asked() -> None:
    paging = Pagination(kind="next_url", response_field="next")

    def answer(request: httpx.Request) -> httpx.Response:
        more = None if "page" in request.url.params else "/v1/things?page=2"
        return httpx.Response(200, json={"things": [1], "next": more})

    one = client(answer, LISTED.model_copy(update={"pagination": paging}))
    first = asyncio.run(called(one, page_at=""))
    assert first["next"]["url"] == "https://shop.example/v1/things?page=2"
    assert asyncio.run(called(one, page_at=first["next"]["url"]))["next"] is None
    with pytest.raises(UsageError, match="another host"):
        asyncio.run(called(one, page_at="https://evil.example/v1/things"))


@pytest.mark.parametrize(
    ("list_at", "answer"),
    [("$", {"count": 1, "value": [1]}), ("things", {"things": {"1": {}}}), ("things", [1]), ("$", "late")],
    ids=["an object", "an object in place of rows", "rows elsewhere", "a text"],
)
@pytest.mark.parametrize("how", [{"all_pages": True}, {"page_at": ""}], ids=["all pages", "one page"])
def test_an_answer_of_another_shape_is_an_error_and_no_empty_list(
    list_at: str, answer: Any, how: dict[str, Any]
) -> None:
    one = client(lambda _: httpx.Response(200, json=answer), LISTED.model_copy(update={"list_at": list_at}))
    with pytest.raises(ServiceError, match="something else than a list"):
        asyncio.run(called(one, **how))


@pytest.mark.parametrize(
    ("list_at", "answer"), [("things", {"total": 0}), ("things", {"things": None}), ("$", []), ("$", None)]
)
def test_a_list_without_rows_may_be_left_out(list_at: str, answer: Any) -> None:
    one = client(lambda _: httpx.Response(200, json=answer), LISTED.model_copy(update={"list_at": list_at}))
    assert asyncio.run(called(one, all_pages=True)) == []
