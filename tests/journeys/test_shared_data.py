"""Of a failure of data it is told what else reads or writes the same data, by assets and by places."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest

from prefect_autopilot.adapters.prefect_api import PrefectAPI
from prefect_autopilot.journeys.shared_data import with_shared_data
from prefect_autopilot.models import Evidence, RunRecord, StateRecord
from prefect_autopilot.troubleshooting import diagnose

AT = datetime(2026, 3, 2, 3, 0, tzinfo=UTC)
MISSING = "FileNotFoundError: [Errno 2] No such file or directory: '/lake/raw/orders/2026-03-02.parquet'"
PASSES = "ConnectionRefusedError: [Errno 111] Connection refused"
RAW, MART = "s3://lake/raw/orders", "s3://lake/marts/orders"
Shared = Callable[..., Awaitable[dict[str, str]]]


def event(kind: str, asset: str, run: str, *sources: str, deployment: str | None = None) -> dict[str, Any]:
    related = [{"prefect.resource.id": f"prefect.flow-run.{run}", "prefect.resource.name": f"name-{run}"}]
    related += [{"prefect.resource.id": key, "prefect.resource.role": "asset"} for key in sources]
    if deployment:
        related.append({"prefect.resource.id": "prefect.deployment.d9", "prefect.resource.name": deployment})
    return {
        "event": f"prefect.asset.{kind}",
        "occurred": "2026-03-02T02:40:00.123Z",
        "resource": {"prefect.resource.id": asset},
        "related": related,
    }


class Prefect:
    def __init__(self) -> None:
        self.paths: list[str] = []
        self.own: list[dict[str, Any]] = []
        self.others: list[dict[str, Any]] = []
        self.deployments: Any = []
        self.events_status = 200

    def __call__(self, request: httpx.Request) -> httpx.Response:
        path = request.url.path.removeprefix("/api")
        self.paths.append(path)
        if path == "/events/filter":
            found = self.others if b"any_resource" in request.content else self.own
            return httpx.Response(self.events_status, json={"events": found})
        return httpx.Response(200, json=self.deployments)


@pytest.fixture
def prefect() -> Prefect:
    return Prefect()


@pytest.fixture
def evidence_of(prefect: Prefect) -> Callable[..., Awaitable[Evidence]]:
    async def read(message: str = MISSING, **parameters: Any) -> Evidence:
        state = StateRecord(id="s", type="FAILED", name="Failed", timestamp=AT, message=message)
        run = RunRecord(id="r", flow_name="marts", deployment_id="own", state=state, parameters=parameters)
        evidence = Evidence(run=run, read_at=AT)
        transport = httpx.MockTransport(prefect)
        async with PrefectAPI("http://prefect.test/api", transport=transport, tries=1) as api:
            return await with_shared_data(api, evidence, diagnose(evidence))

    return read


@pytest.fixture
def shared(evidence_of: Callable[..., Awaitable[Evidence]]) -> Shared:
    async def told(*given: str, **parameters: Any) -> dict[str, str]:
        return {line.where: line.text for line in (await evidence_of(*given, **parameters)).surroundings}

    return told


@pytest.mark.parametrize(
    ("kind", "did"),
    [
        ("materialization.failed", "failed to write"),
        ("materialization.succeeded", "wrote"),
        ("referenced", "read"),
    ],
)
async def test_what_another_run_did_with_an_asset_is_told(
    shared: Shared, prefect: Prefect, kind: str, did: str
) -> None:
    prefect.own = [event("materialization.failed", MART, "r", RAW)]
    prefect.others = [event(kind, RAW, "up", deployment="ingest"), event("referenced", RAW, "r")]
    assert await shared() == {f"asset {RAW}": f"run up of ingest {did} it, 2026-03-02T02:40:00"}


async def test_the_newest_event_of_a_workflow_and_asset_counts(shared: Shared, prefect: Prefect) -> None:
    prefect.own = [event("materialization.failed", MART, "r", RAW)]
    prefect.others = [
        event("materialization.failed", RAW, "new", deployment="ingest"),
        event("materialization.succeeded", RAW, "old", deployment="ingest"),
    ]
    assert list((await shared()).values()) == ["run new of ingest failed to write it, 2026-03-02T02:40:00"]


async def test_who_reads_what_was_not_written_is_told(shared: Shared, prefect: Prefect) -> None:
    prefect.own = [event("materialization.failed", MART, "r")]
    prefect.others = [event("materialization.succeeded", "s3://lake/report", "later", MART)]
    assert f"asset {MART}" in await shared()


@pytest.mark.parametrize(
    ("parameters", "shares"),
    [
        pytest.param({"target": "/lake/raw/orders"}, {"deployment ingest"}, id="the folder of the file"),
        pytest.param(
            {"out": {"files": ["/lake/raw/orders/2026-03-02.parquet"]}}, {"deployment ingest"}, id="nested"
        ),
        pytest.param({"target": "/lake/raw/orders_old"}, set(), id="begins alike"),
        pytest.param({"target": "/lake"}, set(), id="a root is everybody's"),
        pytest.param({"url": "https://api.test/v1/orders"}, set(), id="no data"),
        pytest.param({"day": "2026-03-02", "n": 3}, set(), id="no place"),
    ],
)
async def test_a_deployment_that_names_the_same_place_is_told(
    shared: Shared, prefect: Prefect, parameters: dict[str, Any], shares: set[str]
) -> None:
    prefect.deployments = [
        {"id": "own", "name": "self", "parameters": {"path": "/lake/raw/orders"}},
        {"id": "d2", "name": "ingest", "parameters": parameters},
    ]
    assert set(await shared()) == shares


async def test_a_parameter_of_the_run_ties_too(shared: Shared, prefect: Prefect) -> None:
    prefect.deployments = [{"id": "d2", "name": "ingest", "parameters": {"sink": "s3://lake/raw"}}]
    found = await shared("KeyError: \"['qty'] not in index\"", source="s3://lake/raw/orders")
    assert found == {
        "deployment ingest": "its parameter sink is s3://lake/raw, which its parameter source names, too"
    }


async def test_a_failure_that_is_not_of_data_asks_nothing(shared: Shared, prefect: Prefect) -> None:
    assert await shared(PASSES) == {}
    assert prefect.paths == []


async def test_a_server_without_events_leaves_the_places(shared: Shared, prefect: Prefect) -> None:
    prefect.events_status = 404
    prefect.deployments = [{"id": "d2", "name": "ingest", "parameters": {"out": "/lake/raw/orders"}}]
    assert "deployment ingest" in await shared()


async def test_what_cannot_be_read_is_said(
    evidence_of: Callable[..., Awaitable[Evidence]], prefect: Prefect
) -> None:
    prefect.events_status = 500
    assert any(one.startswith("workflows that share its data (") for one in (await evidence_of()).missing)


async def test_three_calls_at_most(shared: Shared, prefect: Prefect) -> None:
    prefect.own = [event("materialization.failed", MART, "r", RAW)]
    await shared()
    assert prefect.paths == ["/events/filter", "/events/filter", "/deployments/filter"]
