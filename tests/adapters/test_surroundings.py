"""What stands around a failed run is read where the run gives reason to, and cited in what to do."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from prefect_autopilot.adapters.evidence import read_evidence
from prefect_autopilot.adapters.prefect_api import PrefectAPI
from prefect_autopilot.models import Evidence, RunRecord, StateRecord
from prefect_autopilot.troubleshooting import diagnose, recommendations

NOW = datetime(2026, 3, 2, 3, 0, tzinfo=UTC)
FAILED = {"id": "s1", "type": "FAILED", "name": "Failed", "timestamp": "2026-03-02T02:59:00Z"}
CHILD = {
    "id": "t9",
    "name": "load-0",
    "flow_run_run_count": 1,
    "state": FAILED | {"state_details": {"child_flow_run_id": "c1"}, "message": "1/1 states failed"},
}
CHILD_RUN = {
    "id": "c1",
    "name": "odd-newt",
    "flow_id": "f2",
    "state": FAILED | {"message": "Flow run encountered an exception: ValueError: no rows"},
    "state_type": "FAILED",
}
POOL = "/work_pools/k8s"
WORKERS = "/work_pools/k8s/workers/filter"
Read = Callable[..., Awaitable[Evidence]]


class Prefect:
    """Answers by path; what no test set is empty."""

    def __init__(self) -> None:
        self.paths: list[str] = []
        self.answers: dict[str, Any] = {"/flows/filter": [{"id": "f2", "name": "load"}]}

    def __call__(self, request: httpx.Request) -> httpx.Response:
        path = request.url.path.removeprefix("/api")
        self.paths.append(path)
        answer = self.answers.get(path, [])
        return answer if isinstance(answer, httpx.Response) else httpx.Response(200, json=answer)


@pytest.fixture
def prefect() -> Prefect:
    return Prefect()


@pytest.fixture
def read(prefect: Prefect) -> Read:
    async def reading(state: dict[str, Any] | None = None, **more: Any) -> Evidence:
        fields = {"id": "r1", "run_count": 1, "state": StateRecord.model_validate(FAILED | (state or {}))}
        transport = httpx.MockTransport(prefect)
        async with PrefectAPI("http://prefect.test/api", transport=transport, tries=1) as api:
            return await read_evidence(api, RunRecord.model_validate(fields | more), now=NOW)

    return reading


def cited(evidence: Evidence) -> dict[str, str]:
    return {line.where: line.text for line in evidence.surroundings}


async def test_a_plain_failure_costs_no_further_call(read: Read, prefect: Prefect) -> None:
    evidence = await read(work_pool="k8s")
    assert evidence.surroundings == ()
    assert evidence.root_run is None
    assert not [path for path in prefect.paths if "pool" in path or "limit" in path]


async def test_a_failed_sub_flow_is_told_as_the_root(read: Read, prefect: Prefect) -> None:
    prefect.answers |= {"/task_runs/filter": [CHILD], "/flow_runs/filter": [CHILD_RUN]}
    evidence = await read()
    assert evidence.root_run is not None
    assert evidence.root_run.id == "c1"
    assert "ValueError: no rows" in cited(evidence)["sub-flow run c1"]
    first = recommendations(diagnose(evidence), evidence)[0]
    assert "sub-flow run load (c1)" in first


@pytest.mark.parametrize(
    "task",
    [
        pytest.param(CHILD | {"state": CHILD["state"] | {"type": "COMPLETED"}}, id="it completed"),  # type: ignore[operator]
        pytest.param(CHILD | {"flow_run_run_count": 2}, id="it is of another attempt"),
        pytest.param(CHILD | {"state": FAILED}, id="it is no sub-flow"),
    ],
)
async def test_other_task_runs_are_no_root(read: Read, prefect: Prefect, task: dict[str, Any]) -> None:
    prefect.answers |= {"/task_runs/filter": [task], "/flow_runs/filter": [CHILD_RUN]}
    evidence = await read()
    assert evidence.root_run is None
    assert "/flow_runs/filter" not in prefect.paths


async def test_a_sub_flow_that_recovered_since_is_no_root(read: Read, prefect: Prefect) -> None:
    well = CHILD_RUN | {"state": FAILED | {"type": "COMPLETED", "name": "Completed"}}
    prefect.answers |= {"/task_runs/filter": [CHILD], "/flow_runs/filter": [well]}
    assert (await read()).root_run is None


async def test_the_first_of_several_failed_sub_flows_is_the_root(read: Read, prefect: Prefect) -> None:
    second = CHILD_RUN | {"id": "c2", "state": FAILED | {"timestamp": "2026-03-02T02:58:00Z"}}
    tasks = [CHILD, CHILD | {"id": "t8", "state": FAILED | {"state_details": {"child_flow_run_id": "c2"}}}]
    prefect.answers |= {"/task_runs/filter": tasks, "/flow_runs/filter": [CHILD_RUN, second]}
    root = (await read()).root_run
    assert root is not None
    assert root.id == "c2"


async def test_the_parent_of_a_sub_flow_is_cited(read: Read, prefect: Prefect) -> None:
    prefect.answers |= {
        "/task_runs/tp": {"id": "tp", "flow_run_id": "p1"},
        "/flow_runs/filter": [
            CHILD_RUN | {"id": "p1", "state": FAILED | {"type": "RUNNING", "name": "Running"}}
        ],
    }
    evidence = await read(parent_task_run_id="tp")
    assert cited(evidence)["parent run p1"] == "load is Running"


@pytest.mark.parametrize(
    "state",
    [
        {"type": "CRASHED", "name": "Crashed"},
        {"type": "SCHEDULED", "name": "Late"},
        {"type": "PENDING", "name": "Pending"},
        {"message": "Flow run infrastructure exited with non-zero status code 1."},
    ],
    ids=lambda state: str(next(iter(state.values()))),
)
async def test_pool_and_workers_are_looked_at_where_the_infrastructure_is_in_question(
    read: Read, prefect: Prefect, state: dict[str, Any]
) -> None:
    prefect.answers |= {
        POOL: {"status": "NOT_READY", "is_paused": True, "concurrency_limit": 3},
        WORKERS: [
            {
                "name": "w1",
                "last_heartbeat_time": "2026-03-02T02:40:00+00:00",
                "heartbeat_interval_seconds": 30,
            },
            {"name": "w2", "last_heartbeat_time": "2026-03-02T02:58:50+00:00"},
            {"name": "w3", "last_heartbeat_time": None},
        ],
    }
    told = cited(await read(state, work_pool="k8s"))
    assert told["work pool k8s"] == "status NOT_READY, paused, at most 3 runs at once"
    assert "1140 s before the failure: it was silent" in told["worker w1"]
    assert "silent" not in told["worker w2"]
    assert told["worker w3"] == "has never sent a heartbeat"


async def test_a_pool_without_any_worker_says_so(read: Read, prefect: Prefect) -> None:
    prefect.answers[POOL] = {"status": "NOT_READY"}
    evidence = await read({"type": "CRASHED"}, work_pool="k8s")
    assert "no worker has ever polled it" in [line.text for line in evidence.surroundings]


async def test_full_limits_are_read_where_the_run_waited_for_one(read: Read, prefect: Prefect) -> None:
    prefect.answers["/v2/concurrency_limits/filter"] = [
        {"name": "warehouse", "active": True, "limit": 2, "active_slots": 2},
        {"name": "free", "active": True, "limit": 2, "active_slots": 1},
    ]
    told = cited(await read({"name": "AwaitingConcurrencySlot", "type": "SCHEDULED"}))
    assert told == {"concurrency limit warehouse": "2 of 2 slots of 'warehouse' are taken"}


CHANGES = [  # minutes before the failure, version of the good run, its region, days it ended before, told
    (5, "1", "eu", 2, "version went from 1 to 2"),
    (1439, "2", "us", 2, "parameter region went from us to eu"),
    (5, "2", "eu", 2, None),
    (5, "1", "us", 0, None),
    (1441, "1", "eu", 2, None),
    (-1, "1", "eu", 2, None),
]


@pytest.mark.parametrize(("minutes", "version", "region", "days", "told"), CHANGES, ids=str)
async def test_what_a_change_of_the_deployment_just_before_made_different_is_cited(
    read: Read, prefect: Prefect, minutes: int, version: str, region: str, days: int, told: str | None
) -> None:
    at = datetime.fromisoformat(FAILED["timestamp"])
    prefect.answers["/deployments/d1"] = {
        "id": "d1",
        "created": "2026-01-01T00:00:00+00:00",
        "updated": (at - timedelta(minutes=minutes)).isoformat(),
        "parameters": {"region": "eu"},
    }
    good = FAILED | {"type": "COMPLETED", "timestamp": (at - timedelta(days=days)).isoformat()}
    run = {"id": "g", "state": good, "deployment_version": version, "parameters": {"region": region}}
    prefect.answers["/flow_runs/filter"] = [run | {"state_type": "COMPLETED"}]
    evidence = await read(
        deployment_id="d1", deployment_name="nightly", deployment_version="2", parameters={"region": "eu"}
    )
    line = cited(evidence).get("deployment nightly")
    assert line is None if told is None else line is not None and line.endswith(told)


async def test_a_deployment_that_was_never_changed_is_no_news(read: Read, prefect: Prefect) -> None:
    good = FAILED | {"type": "COMPLETED", "timestamp": "2026-03-02T02:50:00Z"}
    prefect.answers["/flow_runs/filter"] = [{"id": "g", "state": good, "state_type": "COMPLETED"}]
    prefect.answers["/deployments/d1"] = {
        "id": "d1",
        "created": "2026-03-02T02:58:00.728919Z",  # as Prefect 3.8.8 writes them down
        "updated": "2026-03-02T02:58:00.725747Z",
    }
    assert (await read(deployment_id="d1", deployment_version="2")).surroundings == ()


@pytest.mark.parametrize("path", [POOL, WORKERS])
async def test_what_around_the_run_cannot_be_read_is_listed(read: Read, prefect: Prefect, path: str) -> None:
    prefect.answers |= {POOL: {"status": "READY"}, path: httpx.Response(500, json={})}
    evidence = await read({"type": "CRASHED"}, work_pool="k8s")
    assert any("k8s (HTTP 500" in missing or "k8s (" in missing for missing in evidence.missing)


async def test_it_never_costs_more_than_fifteen_calls(read: Read, prefect: Prefect) -> None:
    prefect.answers |= {
        "/task_runs/filter": [CHILD],
        "/task_runs/tp": {"id": "tp", "flow_run_id": "c1"},
        "/flow_runs/filter": [CHILD_RUN],
        POOL: {"status": "READY"},
        "/deployments/d1": {"id": "d1"},
    }
    state = {"type": "CRASHED", "message": "concurrency limit; the worker exited with status code 1"}
    await read(state, work_pool="k8s", parent_task_run_id="tp", deployment_id="d1")
    assert len(prefect.paths) <= 15


async def test_a_secret_in_the_message_of_a_sub_flow_is_not_cited(read: Read, prefect: Prefect) -> None:
    leaky = CHILD_RUN | {"state": FAILED | {"message": "no: postgres://u:hunter2secret@db/x"}}
    prefect.answers |= {"/task_runs/filter": [CHILD], "/flow_runs/filter": [leaky]}
    assert "hunter2secret" not in (await read()).model_dump_json()


async def test_the_automation_that_started_a_run_is_named_without_a_further_call(
    prefect: Prefect, read: Read
) -> None:
    plain = await read()
    before = len(prefect.paths)
    found = cited(await read(started_by="restart nightly"))
    assert found["automation restart nightly"] == "started this run"
    assert len(prefect.paths) == 2 * before
    assert not any(where.startswith("automation") for where in cited(plain))


async def test_other_runs_of_the_pool_are_counted_where_the_infrastructure_is_in_question(
    prefect: Prefect, read: Read
) -> None:
    counts = iter((4, 2))
    prefect.answers[POOL] = {"status": "READY"}
    real = prefect.__call__

    def answer(request: httpx.Request) -> httpx.Response:
        if request.url.path.endswith("/flow_runs/count"):
            return httpx.Response(200, json=next(counts))
        return real(request)

    transport = httpx.MockTransport(answer)
    crashed = StateRecord.model_validate(FAILED | {"type": "CRASHED", "name": "Crashed"})
    async with PrefectAPI("http://prefect.test/api", transport=transport, tries=1) as api:
        run = RunRecord(id="r1", run_count=1, work_pool="k8s", state=crashed)
        evidence = await read_evidence(api, run, now=NOW)
        assert api.calls <= 15
    said = [line.text for line in evidence.surroundings if line.where == "work pool k8s"]
    assert "4 of 6 other runs that ended in it in the 30 min before failed" in said


async def test_counts_that_cannot_be_read_are_listed(prefect: Prefect, read: Read) -> None:
    prefect.answers |= {"/flow_runs/count": httpx.Response(500), POOL: {"status": "READY"}}
    evidence = await read({"type": "CRASHED", "name": "Crashed"}, work_pool="k8s")
    assert any(what.startswith("other runs of k8s") for what in evidence.missing)


def pod_event(reason: str | None) -> dict[str, Any]:
    resource = {"prefect.resource.id": "prefect.kubernetes.pod.u1", "prefect.resource.name": "otter-x"}
    resource |= {"kubernetes.reason": reason} if reason else {}
    return {"event": "prefect.kubernetes.pod.evicted", "resource": resource, "related": []}


@pytest.mark.parametrize(
    ("reason", "pattern"),
    [
        pytest.param("OOMKilled", "out-of-memory", id="it tells"),
        pytest.param("Error", "exit-code-1", id="it only ended"),
        pytest.param(None, "exit-code-1", id="no reason"),
    ],
)
async def test_why_the_pod_ended_decides_where_its_observer_told_it(
    read: Read, prefect: Prefect, reason: str | None, pattern: str
) -> None:
    prefect.answers |= {"/events/filter": {"events": [pod_event(reason)]}, POOL: {"status": "READY"}}
    state = {"type": "CRASHED", "message": "Flow run infrastructure exited with non-zero status code 1."}
    evidence = await read(state, work_pool="k8s")
    assert cited(evidence)["container: pod otter-x"].startswith("evicted")
    assert diagnose(evidence).pattern == pattern
