"""Measures are read from events and artifacts; what is none is counted, and no answer is believed blindly."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from prefect_autopilot.adapters.measures import Measured, measures_since
from prefect_autopilot.adapters.prefect_api import PrefectAPI
from prefect_autopilot.errors import PrefectError

NOW = datetime(2026, 3, 2, 3, tzinfo=UTC)
SINCE = NOW - timedelta(hours=1)


def event(run: str | None = "run-1", *, related: bool = False, **payload: Any) -> dict[str, Any]:
    about = {"prefect.resource.id": f"prefect.flow-run.{run}"} if run else {"prefect.resource.id": "x"}
    own: dict[str, Any] = {"resource": {"prefect.resource.id": "shop.orders"}, "related": [about]}
    return {
        "occurred": (NOW - timedelta(minutes=5)).isoformat(),
        "payload": {"name": "rows", "value": 5} | payload,
        **(own if related else {"resource": about, "related": []}),
    }


def artifact(key: str, data: Any, kind: str = "markdown", minutes: int = 5, run: str | None = "run-1") -> Any:
    updated = (NOW - timedelta(minutes=minutes)).isoformat()
    return {"key": key, "data": data, "type": kind, "flow_run_id": run, "updated": updated}


async def read(answer: Callable[[str, dict[str, Any], httpx.Request], Any]) -> Measured:
    def handle(request: httpx.Request) -> httpx.Response:
        body = json.loads(request.content) if request.content else {}
        found = answer(request.url.path, body, request)
        return httpx.Response(404) if found is None else httpx.Response(200, json=found)

    async with PrefectAPI("http://prefect.test/api", transport=httpx.MockTransport(handle)) as api:
        return await measures_since(api, SINCE, NOW)


def server(events: list[Any], artifacts: list[Any]) -> Callable[[str, dict[str, Any], httpx.Request], Any]:
    def answer(path: str, _: dict[str, Any], __: httpx.Request) -> Any:
        return {"events": events, "next_page": None} if path.endswith("/events/filter") else artifacts

    return answer


@pytest.mark.parametrize("related", [False, True], ids=["about the run", "related to the run"])
async def test_an_event_is_a_measure_of_its_run(*, related: bool) -> None:
    found = await read(server([event(related=related, value=7.5)], []))
    (one,) = found.measures
    assert (one.flow_run_id, one.name, one.value, one.at) == (
        "run-1",
        "rows",
        7.5,
        NOW - timedelta(minutes=5),
    )
    assert found.unusable == 0


@pytest.mark.parametrize(
    "wrong",
    [
        event(None),
        event(name="Not a name"),
        event(name=None),
        event(value="many"),
        event(value=None),
        event(value=True),
        event(value="NaN"),
        event(value="inf"),
        event(value=10**400),
        event(value=[1]),
        event() | {"payload": None},
    ],
    ids=[
        "no run",
        "odd name",
        "no name",
        "text",
        "null",
        "true",
        "NaN",
        "inf",
        "too large",
        "list",
        "no payload",
    ],
)
async def test_what_is_no_measure_is_counted_and_stops_nothing(wrong: dict[str, Any]) -> None:
    found = await read(server([wrong, event(value=3)], []))
    assert [one.value for one in found.measures] == [3.0]
    assert found.unusable == 1


@pytest.mark.parametrize(
    ("one", "value"),
    [
        (artifact("metric-rows", "1200"), 1200.0),
        (artifact("metric-rows", " -3.5e2\n"), -350.0),
        (artifact("metric-rows", 42.5, "progress"), 42.5),
        (artifact("metric-rows", [{"a": 1}, {"a": 2}], "table"), 2.0),
        (artifact("metric-rows", json.dumps([[1], [2], [3]]), "table"), 3.0),
        (artifact("metric-rows", {"a": [1, 2], "b": [3, 4]}, "table"), 2.0),
        (artifact("metric-rows", "[]", "table"), 0.0),
        (artifact("metric-rows", "12 rows"), None),
        (artifact("metric-rows", "not json", "table"), None),
        (artifact("metric-rows", None), None),
        (artifact("metric-", "5"), None),
        (artifact("metric-rows", "5", run=None), None),
    ],
)
async def test_an_artifact_is_a_measure_by_its_key(one: dict[str, Any], value: float | None) -> None:
    found = await read(server([], [one]))
    assert [found.value for found in found.measures] == ([] if value is None else [value])
    assert found.unusable == (value is None)


async def test_a_dash_in_a_key_becomes_part_of_the_name() -> None:
    found = await read(server([], [artifact("metric-rows-left-out", "5")]))
    assert [one.name for one in found.measures] == ["rows_left_out"]


async def test_pages_are_read_to_the_end_and_by_the_address_we_know() -> None:
    asked = []

    def answer(path: str, body: dict[str, Any], request: httpx.Request) -> Any:
        if path.endswith("/artifacts/filter"):
            return []
        asked.append((request.url.host, request.url.query.decode(), body))
        page = len(asked)
        more = f"http://inner:4200/api/events/filter/next?page-token=t{page}" if page < 3 else None
        return {"events": [event(f"run-{page}")], "next_page": more}

    found = await read(answer)
    assert [one.flow_run_id for one in found.measures] == ["run-1", "run-2", "run-3"]
    assert {host for host, _, _ in asked} == {"prefect.test"}
    assert [query for _, query, _ in asked] == ["", "page-token=t1", "page-token=t2"]
    window = asked[0][2]["filter"]["occurred"]
    assert window == {"since": SINCE.isoformat(), "until": NOW.isoformat()}


async def test_artifacts_are_read_back_to_the_moment_and_no_further() -> None:
    offsets = []

    def answer(path: str, body: dict[str, Any], _: httpx.Request) -> Any:
        if path.endswith("/events/filter"):
            return {"events": [], "next_page": None}
        offsets.append(body["offset"])
        old = 0 if body["offset"] == 0 else 150
        return [artifact("metric-rows", "1", run=f"r{body['offset'] + i}") for i in range(200 - old)] + [
            artifact("metric-rows", "1", minutes=90, run="old") for _ in range(old)
        ]

    found = await read(answer)
    assert offsets == [0, 200]
    assert len(found.measures) == 250
    assert "old" not in {one.flow_run_id for one in found.measures}


async def test_a_server_without_events_and_artifacts_has_no_measures() -> None:
    assert await read(lambda *_: None) == Measured(())


async def test_a_server_that_refuses_is_told() -> None:
    transport = httpx.MockTransport(lambda _: httpx.Response(403))
    async with PrefectAPI("http://prefect.test/api", transport=transport) as api:
        with pytest.raises(PrefectError, match="refused"):
            await measures_since(api, SINCE, NOW)
