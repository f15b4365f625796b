"""What stands in the way of a run: found with proof, done once, and left alone without proof."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from prefect_autopilot.adapters.evidence import read_evidence
from prefect_autopilot.adapters.prefect_api import PrefectAPI
from prefect_autopilot.journeys.desk import Desk
from prefect_autopilot.journeys.repairs import at_lock, find_repair
from prefect_autopilot.journeys.reruns import RerunCode
from prefect_autopilot.journeys.resolve import advance, take_up
from prefect_autopilot.models import (
    ForgetCachedResult,
    RemedyPolicy,
    RemoveStaleLock,
    Repair,
    ResolutionStatus,
    RunRefresher,
    TroubleshootingSession,
)
from prefect_autopilot.troubleshooting import diagnose

POOL = f"pool-of-repairs-{os.getpid()}"
LOCKING = """\
import json, os
from pathlib import Path
from prefect import flow

@flow
def orders(folder):
    lock = Path(folder) / "orders.lock"
    try:
        fd = os.open(lock, os.O_CREAT | os.O_EXCL | os.O_WRONLY)
    except FileExistsError:
        raise RuntimeError(f"already running (pid {lock.read_text()}), lock file {lock}") from None
    os.write(fd, str(os.getpid()).encode())
    (Path(folder) / "done.json").write_text("{}")
    lock.unlink()
"""
PAYING_FIRST = LOCKING.replace(
    "    lock = Path", '    import httpx\n    httpx.post("https://bank.test/pay", json={})\n    lock = Path'
)
CACHED = """\
from prefect import flow, task

@task(cache_key_fn=lambda context, given: "rates", persist_result=True)
def rates():
    return {"EUR": 1.0, "USD": 1.1}

@flow
def orders():
    table = rates()
    return table["USD"]
"""
READING = """\
import httpx
from prefect import flow
from prefect.variables import Variable

@flow
def orders():
    head = {"Authorization": f"Bearer {Variable.get('shop_token')}"}
    response = httpx.get("https://api.shop.test/orders", headers=head, timeout=10)
    response.raise_for_status()
    return response.json()
"""
RENEWING = """\
import httpx
from prefect import flow
from prefect.variables import Variable

@flow
def renew_token():
    answer = httpx.post("https://id.shop.test/oauth/token", data={"grant_type": "refresh_token"}, timeout=10)
    Variable.set("shop_token", answer.json()["access_token"], overwrite=True)
"""
EXPIRED = "httpx.HTTPStatusError: Client error '401 Unauthorized' for url 'https://api.shop.test/orders'"


class Server:
    """The server in memory with a work pool, sister deployments and runs of theirs."""

    def __init__(self, prefect: Any, folder: Path) -> None:
        self.prefect = prefect
        self.folder = folder
        self.sisters: list[dict[str, Any]] = []
        self.started: list[dict[str, Any]] = []

    def sister(self, source: str = RENEWING, **changes: Any) -> dict[str, Any]:
        number = len(self.sisters) + 2
        (self.folder / f"sister{number}.py").write_text(source, encoding="utf-8")
        raw = {
            "id": f"dep-{number}",
            "name": "refresh-shop-token",
            "description": "Gets a new token.",
            "path": str(self.folder),
            "entrypoint": f"sister{number}.py:renew_token",
            "parameters": {},
        } | changes
        self.sisters.append(raw)
        return raw

    def __call__(self, request: httpx.Request) -> httpx.Response:
        path = request.url.path.removeprefix("/api")
        body = json.loads(request.content) if request.content else {}
        if path == "/deployments/filter" and "deployments" not in body:
            return httpx.Response(200, json=[{"id": "dep-1", "name": "prod"}, *self.sisters])
        if path.endswith("/create_flow_run"):
            run_id = f"renewal-{body['idempotency_key']}"
            self.started.append(body)
            self.prefect.clock.forward(1)
            self.prefect.start(run_id)
            self.prefect.runs[run_id]["deployment_id"] = path.split("/")[2]
            return httpx.Response(200, json=self.prefect.runs[run_id])
        answer: httpx.Response = self.prefect(request)
        return answer


@pytest.fixture
def server(prefect: Any, tmp_path: Path) -> Server:
    return Server(prefect, tmp_path)


@pytest.fixture
def desk(make_desk: Callable[..., Desk], server: Server) -> Desk:
    async def no_sleep(_seconds: float) -> None:
        return

    api = PrefectAPI("http://prefect.test/api", transport=httpx.MockTransport(server), sleep=no_sleep)
    return make_desk(api=api)


@pytest.fixture
def worker() -> Iterator[None]:
    """A process that looks like a worker of the pool to whoever reads command lines."""
    up = "print('up', flush=True); input()"
    command = [sys.executable, "-c", up, "worker", "start", "--pool", POOL]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout
        process.stdout.readline()
        yield
        process.kill()


@pytest.fixture
def dead_pid() -> int:
    with subprocess.Popen([sys.executable, "-c", "pass"]) as process:
        process.wait()
    return process.pid


def fail_at(prefect: Any, where: Path, source: str, line_says: str, error: str, **parameters: Any) -> None:
    """Let the run fail where the source says so, with the traceback Prefect would log."""
    prefect.deploy(source)
    prefect.fail("run-1", error)
    number, code = next(
        (number, line.strip()) for number, line in enumerate(source.splitlines(), 1) if line_says in line
    )
    prefect.logs["run-1"][-1]["message"] = (
        f"Encountered exception during execution:\nTraceback (most recent call last):\n"
        f'  File "{where / "orders.py"}", line {number}, in orders\n    {code}\n{error}'
    )
    prefect.runs["run-1"] |= {"work_pool_name": POOL, "parameters": parameters}


async def found(desk: Desk) -> Repair | None:
    run = await desk.api.run("run-1")
    evidence = await read_evidence(desk.api, run, now=desk.clock())
    return await find_repair(desk, diagnose(evidence), evidence, RerunCode.of(evidence))


async def settle(desk: Desk, clock: Any, times: int = 4) -> TroubleshootingSession:
    session = await take_up(desk, await desk.api.run("run-1"))
    assert session is not None
    for _ in range(times):
        clock.forward(15)
        session = await advance(desk, session.session_id)
    return session


# Locks


def held(prefect: Any, folder: Path, pid: int, source: str = LOCKING) -> Path:
    lock = folder / "orders.lock"
    lock.write_text(str(pid), encoding="utf-8")
    error = f"RuntimeError: already running (pid {pid}), lock file {lock}"
    fail_at(prefect, folder, source, "raise RuntimeError", error, folder=str(folder))
    return lock


@pytest.mark.usefixtures("worker")
async def test_a_dead_holders_lock_is_removed_and_the_run_goes_on(
    desk: Desk, prefect: Any, clock: Any, tmp_path: Path, dead_pid: int
) -> None:
    lock = held(prefect, tmp_path, dead_pid)
    session = await settle(desk, clock, 1)
    assert not lock.exists()
    assert (tmp_path / "orders.py").exists()
    assert len(prefect.retries) == 1
    assert session.attempts[0].remedy.kind == "remove_stale_lock"
    (entry,) = await desk.store.journal(session.session_id)
    assert (entry.outcome, entry.remedy.kind) == ("applied", "remove_stale_lock")


@pytest.mark.usefixtures("worker")
async def test_a_lock_that_only_the_parameters_lead_to_is_found(
    desk: Desk, prefect: Any, tmp_path: Path, dead_pid: int
) -> None:
    lock = held(prefect, tmp_path, dead_pid)
    log = prefect.logs["run-1"][-1]
    log["message"] = log["message"].replace(f", lock file {lock}", "")
    prefect.runs["run-1"]["state"]["message"] = f"already running (pid {dead_pid})"
    repair = await found(desk)
    assert isinstance(repair, RemoveStaleLock)
    assert repair.path == str(lock)


@pytest.mark.usefixtures("worker")
async def test_a_living_holders_lock_is_waited_for(
    desk: Desk, prefect: Any, clock: Any, tmp_path: Path
) -> None:
    lock = held(prefect, tmp_path, os.getpid())
    session = await settle(desk, clock, 1)
    assert lock.exists()
    assert session.attempts[0].remedy.kind == "retry_run", "it may be gone by then, and nothing was begun"


async def test_without_a_worker_among_our_processes_the_holder_could_live_elsewhere(
    desk: Desk, prefect: Any, tmp_path: Path, dead_pid: int
) -> None:
    held(prefect, tmp_path, dead_pid)
    assert await found(desk) is None


@pytest.mark.usefixtures("worker")
async def test_another_pid_than_the_failure_told_is_another_holder(
    desk: Desk, prefect: Any, tmp_path: Path, dead_pid: int
) -> None:
    lock = held(prefect, tmp_path, dead_pid)
    lock.write_text(str(dead_pid + 1), encoding="utf-8")
    assert await found(desk) is None


@pytest.mark.usefixtures("worker")
async def test_a_second_run_of_the_deployment_under_way_may_be_the_holder(
    desk: Desk, prefect: Any, tmp_path: Path, dead_pid: int
) -> None:
    held(prefect, tmp_path, dead_pid)
    prefect.start("run-2")
    assert await found(desk) is None


@pytest.mark.usefixtures("worker")
async def test_a_file_the_source_does_not_know_as_its_lock_stays(
    desk: Desk, prefect: Any, tmp_path: Path, dead_pid: int
) -> None:
    held(prefect, tmp_path, dead_pid, LOCKING.replace("orders.lock", "ledger.lock"))
    assert await found(desk) is None


@pytest.mark.usefixtures("worker")
async def test_work_done_before_the_lock_keeps_the_run_from_being_repeated(
    desk: Desk, prefect: Any, clock: Any, tmp_path: Path, dead_pid: int
) -> None:
    lock = held(prefect, tmp_path, dead_pid, PAYING_FIRST)
    session = await settle(desk, clock, 1)
    assert session.resolution_status is ResolutionStatus.MANUAL
    assert lock.exists(), "what is only proposed is not done"
    assert prefect.retries == []


async def test_a_failure_elsewhere_is_not_at_the_lock(desk: Desk, prefect: Any, tmp_path: Path) -> None:
    fail_at(prefect, tmp_path, LOCKING, "done.json", "OSError: no space left", folder=str(tmp_path))
    run = await desk.api.run("run-1")
    assert at_lock(await read_evidence(desk.api, run, now=desk.clock())) is None


@pytest.mark.usefixtures("worker")
async def test_somebody_who_restarts_the_run_first_keeps_the_lock(
    make_desk: Any, desk: Desk, prefect: Any, clock: Any, tmp_path: Path, dead_pid: int
) -> None:
    lock = held(prefect, tmp_path, dead_pid)
    acquire = desk.store.journal_intent

    async def person_first(*args: Any, **named: Any) -> int | None:
        prefect.add_state("run-1", "SCHEDULED", "Scheduled", "started by hand")
        return await acquire(*args, **named)

    desk.store.journal_intent = person_first  # type: ignore[method-assign]  # a person acts in the same moment
    session = await settle(desk, clock, 1)
    assert lock.exists()
    assert prefect.retries == []
    assert session.resolution_status is ResolutionStatus.ESCALATED


# Cached results


def poisoned(prefect: Any, folder: Path, source: str = CACHED, **task: Any) -> Path:
    record = folder / "storage" / "rates"
    record.parent.mkdir()
    record.write_text(
        json.dumps({"metadata": {"storage_key": str(record)}, "result": "gA=="}), encoding="utf-8"
    )
    record.with_name("tariffs").write_text("{}", encoding="utf-8")
    fail_at(prefect, folder, source, 'table["USD"]', "KeyError: 'USD'")
    data = {"storage_key": str(record), "storage_block_id": None}
    state = {"id": "t", "type": "COMPLETED", "name": "Cached", "timestamp": prefect.clock.now.isoformat()}
    taken = prefect.failed_task("run-1", "rates-1a2b", state=state | {"data": data | task.pop("data", {})})
    prefect.task_runs["run-1"] = [taken | task]
    return record


async def test_the_cached_result_that_failed_is_forgotten_and_no_other(
    desk: Desk, prefect: Any, clock: Any, tmp_path: Path
) -> None:
    record = poisoned(prefect, tmp_path)
    session = await settle(desk, clock, 1)
    assert session.attempts[0].remedy.kind == "forget_cached_result"
    assert [path.name for path in record.parent.iterdir()] == ["tariffs"]
    assert len(prefect.retries) == 1


@pytest.mark.parametrize(
    "source",
    [
        CACHED.replace('return {"EUR"', 'import httpx; httpx.post("https://fx.test/buy")\n    return {"EUR"'),
        CACHED.replace(
            '    return table["USD"]',
            '    other = {}\n    table = other\n    return {}["USD"] or table["USD"]',
        ).replace('table["USD"]', 'other["USD"]'),
    ],
    ids=["computing it costs", "another's data"],
)
async def test_a_cached_result_stays_where_proof_is_lacking(
    desk: Desk, prefect: Any, tmp_path: Path, source: str
) -> None:
    marker = 'table["USD"]' if 'table["USD"]' in source else 'other["USD"]'
    record = poisoned(prefect, tmp_path)
    fail_at(prefect, tmp_path, source, marker, "KeyError: 'USD'")
    prefect.task_runs["run-1"][0]["flow_run_run_count"] = prefect.runs["run-1"]["run_count"]
    assert await found(desk) is None
    assert record.exists()


@pytest.mark.parametrize(
    "task",
    [
        {"data": {"storage_block_id": "block-1"}},
        {"data": {"storage_key": None}},
        {"data": {"storage_key": "rates"}},
        {"data": {"storage_key": "/nowhere/rates"}},
        {"flow_run_run_count": 7},
    ],
    ids=["in a bucket", "nowhere", "relative", "elsewhere", "of another attempt"],
)
async def test_a_record_that_is_not_here_is_not_removed(
    desk: Desk, prefect: Any, tmp_path: Path, task: dict[str, Any]
) -> None:
    poisoned(prefect, tmp_path, **task)
    assert await found(desk) is None


async def test_a_result_computed_in_this_run_is_no_poisoned_cache(
    desk: Desk, prefect: Any, tmp_path: Path
) -> None:
    poisoned(prefect, tmp_path)
    prefect.task_runs["run-1"][0]["state"]["name"] = "Completed"
    assert await found(desk) is None


async def test_a_bug_that_stays_after_the_cache_is_forgotten_is_escalated(
    desk: Desk, prefect: Any, clock: Any, tmp_path: Path
) -> None:
    poisoned(prefect, tmp_path)
    session = await settle(desk, clock, 1)
    prefect.fail("run-1", "KeyError: 'USD'")
    for _ in range(4):
        clock.forward(15)
        session = await advance(desk, session.session_id)
    assert session.resolution_status is ResolutionStatus.ESCALATED
    assert len(prefect.retries) == 1


# Credentials


def expired(prefect: Any, folder: Path, source: str = READING, error: str = EXPIRED) -> None:
    fail_at(prefect, folder, source, "raise_for_status", error)


async def test_the_deployment_that_renews_the_token_is_run_once_and_then_the_run_is_retried(
    desk: Desk, server: Server, prefect: Any, clock: Any, tmp_path: Path
) -> None:
    server.sister()
    expired(prefect, tmp_path)
    session = await settle(desk, clock, 3)
    assert len(server.started) == 1
    assert prefect.retries == [], "the token is not there yet"
    prefect.add_state(session.attempts[0].started_run_id, "COMPLETED", "Completed")
    clock.forward(5)
    session = await advance(desk, session.session_id)
    assert [one.remedy.kind for one in session.attempts] == ["run_refresher", "retry_run"]
    assert len(prefect.retries) == 1
    clock.forward(10)
    prefect.finish("run-1")
    clock.forward(60)
    session = await advance(desk, session.session_id)
    assert session.resolution_status is ResolutionStatus.AUTO_RESOLVED
    assert len(server.started) == 1


@pytest.mark.parametrize("ended", ["FAILED", "CRASHED", "CANCELLED"])
async def test_a_renewal_that_fails_is_a_persons_matter_and_nothing_is_retried(
    desk: Desk, server: Server, prefect: Any, clock: Any, tmp_path: Path, ended: str
) -> None:
    server.sister()
    expired(prefect, tmp_path)
    session = await settle(desk, clock, 2)
    prefect.add_state(session.attempts[0].started_run_id, ended, ended.title())
    clock.forward(5)
    session = await advance(desk, session.session_id)
    assert session.resolution_status is ResolutionStatus.ESCALATED
    assert prefect.retries == []


async def test_a_renewal_that_does_not_end_is_not_waited_for_for_ever(
    desk: Desk, server: Server, prefect: Any, clock: Any, tmp_path: Path
) -> None:
    server.sister()
    expired(prefect, tmp_path)
    session = await settle(desk, clock, 1)
    clock.now += timedelta(minutes=6)
    session = await advance(desk, session.session_id)
    assert session.resolution_status is ResolutionStatus.ESCALATED


@pytest.mark.parametrize(
    ("source", "changes"),
    [
        (RENEWING.replace('"shop_token"', '"other_token"'), {}),
        (RENEWING.replace("oauth/token", "payments"), {}),
        (RENEWING + '    httpx.post("https://mail.test/send", json={})\n', {}),
        (RENEWING + '    Variable.set("rates", 1, overwrite=True)\n', {}),
        (RENEWING, {"name": "prod", "description": "", "entrypoint": "sister2.py:main"}),
        (RENEWING, {"paused": True}),
        (RENEWING, {"parameter_openapi_schema": {"required": ["api"]}}),
        (RENEWING, {"entrypoint": "absent.py:renew_token"}),
        (RENEWING, {"entrypoint": "package.module.renew_token"}),
        (RENEWING, {"entrypoint": None}),
        ("def renew_token(:", {}),
    ],
    ids=[
        "another variable",
        "another call",
        "sends mail, too",
        "writes more",
        "does not say so",
        "paused",
        "asks for a value",
        "source not here",
        "a module",
        "no entry",
        "no Python",
    ],
)
async def test_a_deployment_that_is_not_proved_to_renew_is_not_run(
    desk: Desk, server: Server, prefect: Any, tmp_path: Path, source: str, changes: dict[str, Any]
) -> None:
    server.sister(source, **changes)
    expired(prefect, tmp_path)
    assert await found(desk) is None
    assert server.started == []


async def test_two_deployments_that_renew_are_one_too_many(
    desk: Desk, server: Server, prefect: Any, tmp_path: Path
) -> None:
    server.sister()
    assert server.sister() != server.sisters[0]
    expired(prefect, tmp_path)
    assert await found(desk) is None


async def test_a_revoked_grant_is_not_renewed(
    desk: Desk, server: Server, prefect: Any, tmp_path: Path
) -> None:
    server.sister()
    expired(prefect, tmp_path, error="RuntimeError: 400 Bad Request: invalid_grant: Token has been revoked")
    assert not isinstance(await found(desk), RunRefresher)


async def test_another_failure_of_the_same_flow_renews_nothing(
    desk: Desk, server: Server, prefect: Any, tmp_path: Path
) -> None:
    server.sister()
    expired(prefect, tmp_path, error="httpx.HTTPStatusError: Server error '503 Service Unavailable'")
    assert await found(desk) is None


async def test_in_propose_mode_nothing_is_touched(
    make_desk: Any, desk: Desk, server: Server, prefect: Any, clock: Any, tmp_path: Path
) -> None:
    record = poisoned(prefect, tmp_path)
    proposing = make_desk(api=desk.api, policy=RemedyPolicy(mode="propose"))
    session = await settle(proposing, clock, 1)
    assert session.resolution_status is ResolutionStatus.MANUAL
    assert session.decision is not None
    assert isinstance(session.decision.remedy, ForgetCachedResult), "a yes is enough"
    assert record.exists()
