"""A run whose process is gone is ended and retried; one that may live is never touched."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import httpx
import pytest

from prefect_autopilot.journeys import resolve, storms
from prefect_autopilot.journeys.desk import Desk
from prefect_autopilot.journeys.stuck_runs import StuckWatch, prove_stuck
from prefect_autopilot.models import EndStuckRun, RemedyPolicy, ResolutionStatus, RetryRun

pytestmark = pytest.mark.xdist_group("stuck runs")
"""In one process: what lives of a run is looked for on the whole machine, and each run is called run-1."""
POOL = f"pool-{os.getpid()}"
"""Of this test process alone: workers are counted by what the machine shows."""
SENDING_FLOW = """
import httpx
from prefect import flow

@flow
def orders() -> None:
    httpx.post("https://api.shop.test/orders", timeout=10)
"""


class Server:
    """The server in memory with heartbeats, one process pool and its workers."""

    def __init__(self, prefect: Any) -> None:
        self.prefect = prefect
        self.beats: list[str] = []
        self.told: list[dict[str, Any]] = []
        """What workers told of pods and containers."""
        self.asked = 0
        self.pool_type = "process"
        self.workers = [{"name": "one", "status": "ONLINE"}]
        self.accepts = True

    def __call__(self, request: httpx.Request) -> httpx.Response:
        path = request.url.path.removeprefix("/api")
        if path == "/events/filter":
            return httpx.Response(200, json={"events": self._events(json.loads(request.content)["filter"])})
        if path == "/task_runs/filter":
            wanted, tasks = json.loads(request.content), self.prefect.task_runs.get("run-1", [])
            ordered = tasks if wanted["sort"] == "EXPECTED_START_TIME_ASC" else tasks[::-1]
            return httpx.Response(200, json=ordered[: wanted["limit"]])
        if path == f"/work_pools/{POOL}":
            return httpx.Response(200, json={"name": POOL, "type": self.pool_type})
        if path == f"/work_pools/{POOL}/workers/filter":
            return httpx.Response(200, json=self.workers)
        if path.endswith("/set_state") and not self.accepts:
            return httpx.Response(200, json={"status": "REJECT", "details": {"reason": "it has ended"}})
        answer: httpx.Response = self.prefect(request)
        return answer

    def _events(self, wanted: dict[str, Any]) -> list[dict[str, Any]]:
        if "related" in wanted:
            assert wanted["related"] == {"id": ["prefect.flow-run.run-1"]}
            self.asked += 1
            return self.told[-1:]
        assert wanted["resource"]["id"] == ["prefect.flow-run.run-1"]
        return [{"occurred": beat} for beat in self.beats[-1:]]


@pytest.fixture
def server(prefect: Any) -> Server:
    return Server(prefect)


@pytest.fixture
def desk(desk_over: Callable[..., Desk], server: Server) -> Desk:
    return desk_over(server)


@pytest.fixture
def worker() -> Iterator[subprocess.Popen[bytes]]:
    """A process that looks like a worker of the pool."""
    code = "print('up', flush=True); import time; time.sleep(60)"
    command = [sys.executable, "-c", code, "worker", "start", "--pool", POOL]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        # A program that has just been started may not have its command line yet.
        assert process.stdout
        process.stdout.readline()
        yield process
        process.kill()


@pytest.fixture
def dead_pid() -> str:
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    return str(ended.pid)


@pytest.fixture
async def stuck(desk: Desk, prefect: Any, clock: Any, worker: Any, dead_pid: str) -> dict[str, Any]:
    """Three runs that completed within seconds, and one that has run for an hour without a process."""
    for number in (7, 8, 9):
        prefect.finish(f"run-{number}")
        clock.forward(60)
    prefect.start("run-1")
    run: dict[str, Any] = prefect.runs["run-1"]
    run |= {"work_pool_name": POOL, "infrastructure_pid": dead_pid}
    await desk.store.upsert_runs([await desk.api.run("run-1")])
    clock.now += timedelta(hours=1)
    return run


async def proof(desk: Desk) -> EndStuckRun | None:
    return await prove_stuck(desk, await desk.api.run("run-1"))


async def test_a_stuck_run_is_ended_and_then_retried_and_its_completion_is_the_proof(
    desk: Desk, prefect: Any, clock: Any, stuck: Any
) -> None:
    (opened,) = await StuckWatch().look(desk)
    session = await resolve.advance(desk, opened.session_id)
    assert [(one["state"]["type"], one["force"]) for one in prefect.retries] == [("CRASHED", False)]
    assert prefect.retries[0]["state"]["message"].startswith("autopilot")
    clock.forward(20)
    session = await resolve.advance(desk, opened.session_id)
    assert [attempt.remedy.kind for attempt in session.attempts] == ["end_stuck_run", "retry_run"]
    assert prefect.retries[1]["state"]["name"] == "AwaitingRetry"
    clock.forward(60)
    prefect.finish("run-1")
    clock.forward(60)
    session = await resolve.advance(desk, opened.session_id)
    assert session.resolution_status is ResolutionStatus.AUTO_RESOLVED
    assert len(prefect.retries) == 2


async def test_the_end_that_we_set_opens_no_second_session_and_is_no_storm(
    desk: Desk, prefect: Any, clock: Any, stuck: Any
) -> None:
    (opened,) = await StuckWatch().look(desk)
    await resolve.advance(desk, opened.session_id)
    run = await desk.api.run("run-1")
    assert run.state.type == "CRASHED"
    assert await resolve.take_up(desk, run) is None
    sorted_out = await storms.sort_out(desk, [run] * 50, lambda _run: "event")
    assert (sorted_out.single, sorted_out.storms) == ((), ())


async def test_work_that_must_not_be_done_twice_is_ended_and_then_proposed(
    desk: Desk, prefect: Any, clock: Any, stuck: Any
) -> None:
    prefect.deploy(SENDING_FLOW)
    (opened,) = await StuckWatch().look(desk)
    await resolve.advance(desk, opened.session_id)
    clock.forward(20)
    session = await resolve.advance(desk, opened.session_id)
    assert session.resolution_status is ResolutionStatus.MANUAL
    assert [one["state"]["type"] for one in prefect.retries] == ["CRASHED"]


async def test_in_propose_mode_a_stuck_run_stays_as_it_is(
    desk: Desk, make_desk: Any, prefect: Any, stuck: Any
) -> None:
    proposing = make_desk(api=desk.api, policy=RemedyPolicy(mode="propose"))
    (opened,) = await StuckWatch().look(proposing)
    session = await resolve.advance(proposing, opened.session_id)
    assert session.resolution_status is ResolutionStatus.MANUAL
    assert session.decision is not None
    assert isinstance(session.decision.remedy, EndStuckRun)
    assert prefect.retries == []


async def test_a_stuck_run_is_told_once(desk: Desk, clock: Any, stuck: Any) -> None:
    watch = StuckWatch()
    opened = []
    for _ in range(4):
        opened += await watch.look(desk)
        clock.forward(61)
    assert len(opened) == 1


@pytest.mark.parametrize("at", ["before the decision", "after the decision"])
async def test_a_run_that_completes_meanwhile_is_never_touched(
    desk: Desk, prefect: Any, clock: Any, stuck: Any, at: str
) -> None:
    (opened,) = await StuckWatch().look(desk)
    if at == "before the decision":
        prefect.add_state("run-1", "COMPLETED", "Completed")
        session = await resolve.advance(desk, opened.session_id)
        assert session.resolution_status is ResolutionStatus.CLOSED
        assert prefect.retries == []
    else:
        await resolve.advance(desk, opened.session_id)
        prefect.add_state("run-1", "COMPLETED", "Completed")
        clock.forward(20)
        session = await resolve.advance(desk, opened.session_id)
        assert session.resolution_status is ResolutionStatus.ESCALATED
        assert [one["state"]["type"] for one in prefect.retries] == ["CRASHED"]


async def test_an_end_that_prefect_refuses_goes_to_a_person(desk: Desk, server: Server, stuck: Any) -> None:
    (opened,) = await StuckWatch().look(desk)
    server.accepts = False
    session = await resolve.advance(desk, opened.session_id)
    assert session.resolution_status is ResolutionStatus.ESCALATED


async def test_the_proof_names_both_reasons(desk: Desk, stuck: Any) -> None:
    found = await proof(desk)
    assert found is not None
    assert "last sign of life" in found.proof
    assert f"no process {stuck['infrastructure_pid']} exists" in found.proof


def _no_pid(run: Any, **_: Any) -> None:
    run["infrastructure_pid"] = None


def _living_pid(run: Any, worker: Any, clock: Any, **_: Any) -> None:
    run["infrastructure_pid"] = str(os.getpid())
    run["state"]["timestamp"] = "2100-01-01T00:00:00+00:00"
    clock.now = clock.now.replace(year=2101)


def _pod(run: Any, **_: Any) -> None:
    run["infrastructure_pid"] = "cluster:orders-x7"


def _other_pool(server: Server, **_: Any) -> None:
    server.pool_type = "kubernetes"


def _second_worker(server: Server, **_: Any) -> None:
    server.workers.append({"name": "elsewhere", "status": "ONLINE"})


def _heartbeat(server: Server, clock: Any, **_: Any) -> None:
    server.beats.append((clock.now - timedelta(minutes=2)).isoformat())


def _log(prefect: Any, clock: Any, **_: Any) -> None:
    line = {"timestamp": (clock.now - timedelta(minutes=3)).isoformat(), "level": 20, "message": "still here"}
    prefect.logs["run-1"] = [line]


def _task(prefect: Any, clock: Any, **_: Any) -> None:
    prefect.task_runs["run-1"] = [prefect.failed_task("run-1", "load-1")]


def _last_of_many_tasks(prefect: Any, clock: Any, **_: Any) -> None:
    old = prefect.failed_task("run-1", "load-1")
    old["state"] = old["state"] | {"timestamp": (clock.now - timedelta(hours=1)).isoformat()}
    prefect.task_runs["run-1"] = [*[old] * 250, prefect.failed_task("run-1", "load-251")]


def _short_history(prefect: Any, **_: Any) -> None:
    del prefect.runs["run-9"]


def _long_before(prefect: Any, clock: Any, **_: Any) -> None:
    prefect.runs["run-9"]["start_time"] = (clock.now - timedelta(hours=3)).isoformat()


def _pending(prefect: Any, clock: Any, **_: Any) -> None:
    prefect.add_state("run-1", "PENDING", "Pending")
    clock.now += timedelta(hours=1)


def _no_deployment(run: Any, **_: Any) -> None:
    run["deployment_id"] = None


DOUBTS = [
    _no_pid,
    _living_pid,
    _pod,
    _other_pool,
    _second_worker,
    _heartbeat,
    _log,
    _task,
    _last_of_many_tasks,
    _short_history,
    _long_before,
    _pending,
    _no_deployment,
]


@pytest.mark.parametrize("doubt", DOUBTS, ids=lambda one: one.__name__.strip("_"))
async def test_with_any_doubt_a_run_counts_as_alive(
    desk: Desk, server: Server, prefect: Any, clock: Any, stuck: Any, worker: Any, doubt: Any
) -> None:
    assert await proof(desk) is not None
    doubt(run=stuck, server=server, prefect=prefect, clock=clock, worker=worker)
    assert await proof(desk) is None


@pytest.fixture
def serving() -> Iterator[subprocess.Popen[bytes]]:
    """A process that was started for the run."""
    mine = os.environ | {"PREFECT__FLOW_RUN_ID": "run-1"}
    command = [sys.executable, "-c", "print('up', flush=True); input()"]
    with subprocess.Popen(command, env=mine, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout
        process.stdout.readline()
        yield process
        process.kill()


async def test_a_process_started_for_the_run_is_its_life_whatever_its_number(
    desk: Desk, stuck: Any, serving: Any
) -> None:
    assert serving.pid != int(stuck["infrastructure_pid"])
    assert await proof(desk) is None
    serving.communicate(b"\n")
    assert await proof(desk) is not None


async def test_a_number_that_another_process_has_got_since_proves_the_death(desk: Desk, stuck: Any) -> None:
    stuck["infrastructure_pid"] = str(os.getpid())  # the run began in March, this process long after
    found = await proof(desk)
    assert found is not None
    assert "it is another one" in found.proof


POD = {"prefect.resource.name": "orders-x7", "prefect.resource.id": "prefect.kubernetes.pod.u1"}
ENDS = {
    "prefect.kubernetes.pod.failed": "pod orders-x7 is failed since",
    "prefect.kubernetes.pod.evicted": "pod orders-x7 is evicted since",
    "prefect.docker.container.exited": "container orders-x7 is exited since",
    "prefect.kubernetes.pod.running": None,
    "prefect.docker.container.paused": None,
}


@pytest.mark.parametrize("event", ENDS)
async def test_of_a_container_the_worker_must_have_told_that_it_ended(
    desk: Desk, server: Server, prefect: Any, stuck: Any, event: str
) -> None:
    said, server.pool_type = ENDS[event], "kubernetes"
    stuck["infrastructure_pid"] = "cluster:orders-x7"
    assert await proof(desk) is None, "nobody has told anything"
    server.told = [{"event": event, "occurred": "2026-03-02T03:30:00+00:00", "resource": POD}]
    found = await proof(desk)
    assert (found is None) == (said is None)
    if found is not None and said is not None:
        assert said in found.proof
        assert "last sign of life" in found.proof
        server.told.append(
            {"event": event.rpartition(".")[0] + ".pending", "occurred": "2026-03-02T03:31:00Z"}
        )
        assert await proof(desk) is None, "another pod has followed"


async def test_the_server_is_asked_seldom_for_containers(
    desk: Desk, server: Server, prefect: Any, clock: Any, stuck: Any
) -> None:
    stuck["infrastructure_pid"] = "cluster:orders-x7"
    await desk.store.upsert_runs([await desk.api.run("run-1")])
    watch = StuckWatch()
    for _ in range(18):
        assert await watch.look(desk) == ()
        clock.forward(61)
    assert server.asked == 2


async def test_without_a_worker_here_nobody_can_tell(desk: Desk, stuck: Any, worker: Any) -> None:
    worker.kill()
    worker.wait()
    assert await proof(desk) is None


async def test_our_own_flows_are_left_alone(desk: Desk, stuck: Any) -> None:
    ours = (await desk.api.run("run-1")).model_copy(update={"flow_name": "autopilot-monitor"})
    assert await prove_stuck(desk, ours) is None


async def test_runs_that_are_simply_under_way_are_asked_for_by_nobody(
    desk: Desk, prefect: Any, clock: Any, stuck: Any
) -> None:
    await desk.store.upsert_runs(
        [(await desk.api.run("run-1")).model_copy(update={"infrastructure_pid": None})]
    )
    calls = desk.api.calls
    assert await StuckWatch().look(desk) == ()
    assert desk.api.calls == calls


async def test_a_run_that_was_deleted_since_it_was_seen_is_none(desk: Desk, prefect: Any, stuck: Any) -> None:
    del prefect.runs["run-1"]
    assert await StuckWatch().look(desk) == ()


async def test_a_server_that_does_not_answer_ends_no_run(desk: Desk, prefect: Any, stuck: Any) -> None:
    prefect.down = True
    assert await StuckWatch().look(desk) == ()
    prefect.down = False
    assert prefect.retries == []


async def test_a_run_that_was_killed_before_is_not_retried_again(
    desk: Desk, prefect: Any, clock: Any, stuck: Any
) -> None:
    (opened,) = await StuckWatch().look(desk)
    await resolve.advance(desk, opened.session_id)
    clock.forward(20)
    session = await resolve.advance(desk, opened.session_id)
    assert isinstance(session.attempts[-1].remedy, RetryRun)
    clock.forward(60)
    prefect.fail("run-1", "Process exited with status code: -9", "CRASHED")
    for _ in range(4):
        clock.forward(60)
        session = await resolve.advance(desk, opened.session_id)
    assert session.resolution_status in {ResolutionStatus.ESCALATED, ResolutionStatus.MANUAL}
    assert len(prefect.retries) == 2
