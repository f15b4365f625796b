"""Which blocks a run loaded is read of a Prefect server's events, and failures are compared by it."""

from __future__ import annotations

import asyncio
import json
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from prefect_autopilot.adapters.prefect_api import PrefectAPI
from prefect_autopilot.journeys.desk import Desk
from prefect_autopilot.journeys.resolve import advance, take_up
from prefect_autopilot.journeys.ties import with_ties
from prefect_autopilot.models import Evidence, PrefectObject, RunRecord, StateRecord
from prefect_autopilot.troubleshooting import diagnose, recommendations, with_what_is_shared

AT = datetime(2026, 3, 2, 3, tzinfo=UTC)
REFUSED = "Flow run encountered an exception: PermissionError: 401 Unauthorized: the token was rejected"
WRONG = "Flow run encountered an exception: NameError: name 'orders' is not defined"
SLOW = "Flow run encountered an exception: ConnectionResetError: [Errno 104] Connection reset by peer"
POOL = {
    "type": "kubernetes",
    "base_job_template": {"variables": {"properties": {"memory": {"default": "512Mi"}, "cpu": {}}}},
}
RUNS = """
from prefect import flow, task
from prefect.blocks.system import Secret

Secret(value="v").save("warehouse-key", overwrite=True)
ids = []

@task
def key():
    return Secret.load("warehouse-key").get()

@flow
def load(number: int):
    from prefect.runtime import flow_run
    ids.append(str(flow_run.id))
    if number % 2:
        key()
        raise PermissionError("401 Unauthorized: the token was rejected")

for number in range(14):
    load(number, return_state=True)
print(*ids)
"""


@pytest.mark.live
@pytest.mark.timeout(120)
async def test_a_block_that_only_failures_load_is_named_on_a_real_server(
    live_prefect: Any, tmp_path: Path
) -> None:
    script = tmp_path / "runs.py"
    script.write_text(RUNS, encoding="utf-8")
    child = await asyncio.create_subprocess_exec(
        sys.executable, str(script), env=live_prefect.environment, stdout=asyncio.subprocess.PIPE
    )
    out, _ = await child.communicate()
    ids = out.decode().split()
    assert len(ids) == 14
    async with PrefectAPI(live_prefect.url, tries=10) as api:
        *others, failed = sorted(await api.runs_by_id(ids), key=lambda run: run.parameters["number"])
        evidence = Evidence(run=failed, recent_runs=tuple(others), read_at=datetime.now(UTC))
        for _ in range(40):  # the server writes events down a moment later
            found = await with_ties(api, evidence, diagnose(evidence))
            key = with_what_is_shared(found, diagnose(found))[1]
            if key is not None:
                break
            await asyncio.sleep(0.5)
    assert key is not None
    assert (key.field, key.value) == ("blocks.secret/warehouse-key", True)


def run_of(number: int, error: str | None, days: float = 0) -> RunRecord:
    ended = AT - timedelta(days=days, minutes=10 - number)
    kind = "FAILED" if error else "COMPLETED"
    state = StateRecord(id=f"s{number}", type=kind, name=kind.title(), timestamp=ended, message=error)
    return RunRecord(
        id=f"r{number}", flow_name="load", state=state, start=ended - timedelta(minutes=2), duration_s=120
    )


def loaded(run: str, name: str = "warehouse", what: str = "loaded") -> dict[str, Any]:
    return {
        "event": f"prefect.block.secret.{what}",
        "occurred": (AT - timedelta(minutes=5)).isoformat(),
        "resource": {"prefect.resource.id": "prefect.block-document.1", "prefect.resource.name": name},
        "related": [{"prefect.resource.id": f"prefect.flow-run.{run}"}],
    }


async def tied(
    runs: list[RunRecord], events: list[Any], *, status: int = 200
) -> tuple[Evidence, list[dict[str, Any]]]:
    asked: list[dict[str, Any]] = []

    def answer(request: httpx.Request) -> httpx.Response:
        if not request.url.path.endswith("/events/filter"):
            return httpx.Response(200, json=[])
        asked.append(json.loads(request.content)["filter"])
        return httpx.Response(status, json={"events": events, "next_page": None})

    evidence = Evidence(run=runs[-1], recent_runs=tuple(runs[:-1]), read_at=AT)
    async with PrefectAPI("http://prefect.test/api", transport=httpx.MockTransport(answer), tries=1) as api:
        return await with_ties(api, evidence, diagnose(evidence)), asked


async def test_runs_older_than_kept_events_are_not_taken_for_runs_without_blocks() -> None:
    young = [run_of(number, REFUSED if number % 2 else None) for number in range(10)]
    events = [loaded(run.id) for run in young if run.state.message] + [loaded("r0", "other", "get.called")]
    found, (asked, *more) = await tied([run_of(20, None, days=30), *young], events)
    known = {run.id: run.blocks for run in (*found.recent_runs, found.run)}
    assert known == {
        "r20": None,
        **{run.id: ("secret/warehouse",) if run.state.message else () for run in young},
    }
    assert set(asked["related"]["id"]) == {f"prefect.flow-run.{ident}" for ident in known}
    assert not more


@pytest.mark.parametrize("error", [WRONG, None], ids=["a fault of the code", "nothing failed before"])
async def test_no_block_is_asked_for_where_none_can_be_blamed(error: str | None) -> None:
    runs = [run_of(number, error if number % 2 else None) for number in range(9)]
    assert (await tied([*runs, run_of(9, error or SLOW)], []))[1] == []


async def test_of_a_refused_credential_the_block_is_named_at_once() -> None:
    found, (asked,) = await tied([run_of(9, REFUSED)], [loaded("r9", "crm")])
    assert asked["related"]["id"] == ["prefect.flow-run.r9"]
    assert found.objects == (PrefectObject(kind="block", name="secret/crm", id="1"),)
    assert "(secret/crm, which the run loaded)" in recommendations(diagnose(found), found)[0]


@pytest.mark.parametrize(
    ("pool", "deployed", "told"),
    [
        ({"type": "process"}, {}, ("process", None, None, None)),
        (POOL, {}, ("kubernetes", "memory", "512Mi", "1024Mi")),
        (POOL, {"memory": "2Gi"}, ("kubernetes", "memory", "2Gi", "4Gi")),
        (POOL, {"memory": "much"}, ("kubernetes", "memory", None, None)),
    ],
    ids=["process", "pool", "deployment", "no size"],
)
async def test_what_memory_a_run_has_is_read_where_it_ran_out(
    pool: dict[str, Any], deployed: dict[str, str], told: tuple[str | None, ...]
) -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        known = {"/api/work_pools/p": pool, "/api/deployments/d": {"job_variables": deployed}}
        return httpx.Response(200, json=known.get(request.url.path, []))

    run = run_of(1, "MemoryError").model_copy(update={"work_pool": "p", "deployment_id": "d"})
    evidence = Evidence(run=run, read_at=AT)
    async with PrefectAPI("http://prefect.test/api", transport=httpx.MockTransport(answer), tries=1) as api:
        memory = (await with_ties(api, evidence, diagnose(evidence))).memory
    assert memory is not None
    assert (memory.pool_type, memory.name, memory.present, memory.proposed) == told


async def test_blocks_that_cannot_be_read_are_said_to_be_missing() -> None:
    found, _ = await tied(
        [run_of(number, REFUSED if number % 2 else None) for number in range(10)], [], status=500
    )
    assert any(what.startswith("blocks that runs loaded") for what in found.missing)
    assert found.run.blocks is None


async def test_a_session_keeps_what_was_seen_and_the_objects_it_is_about(desk: Desk, prefect: Any) -> None:
    prefect.fail("run-1", error="MemoryError")
    prefect.runs["run-1"]["work_pool_name"] = "k8s"
    taken = await take_up(desk, await desk.api.run("run-1"))
    assert taken is not None
    prefect.clock.forward(5)
    await advance(desk, taken.session_id)
    stored, _ = await desk.store.load_session(taken.session_id)
    assert PrefectObject(kind="work pool", name="k8s") in stored.objects
    assert any(one.startswith("Could not be read") for one in stored.facts)
    assert not any(one.startswith("Could not be read") for one in stored.recommendations)
