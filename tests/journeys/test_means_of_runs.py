"""More memory or time, fewer at once, another pool, a file aside, scratch: only where named and proved."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import httpx
import pytest
import taken_runs
from taken_runs import kinds, looked

from prefect_autopilot.adapters import lock_files
from prefect_autopilot.adapters.prefect_api import PrefectAPI
from prefect_autopilot.errors import ConflictError
from prefect_autopilot.journeys import means, proposals, resolve, taking_back
from prefect_autopilot.journeys.desk import Desk
from prefect_autopilot.models import RemedyPolicy, ResolutionStatus, TroubleshootingSession

MEMORY = "MemoryError: Unable to allocate 21.4 GiB for an array with shape (60000, 48000)"
TIMED_OUT = "prefect.exceptions.FlowRunTimedOut: Flow run exceeded timeout of 60.0 second(s)"
TOO_MANY = "psycopg.OperationalError: FATAL: sorry, too many clients already"
DISK = "OSError: [Errno 28] No space left on device: '/srv/out.parquet'"


class Server:
    """The server in memory, with a pool, job variables and a limit that can be changed."""

    def __init__(self, prefect: Any) -> None:
        self.prefect = prefect
        self.changes: list[tuple[str, dict[str, Any]]] = []
        self.variables: dict[str, Any] = {"memory": {"default": 1024}, "cpu": {"default": 512}}
        self.deployment: dict[str, Any] = {}
        self.twins: list[dict[str, Any]] = []
        self.pool_status = "READY"
        self.started: list[dict[str, Any]] = []
        self.refuse_retry = 0
        self.refuse_variables = False
        self.limits: dict[str, dict[str, Any]] = {}

    def __call__(self, request: httpx.Request) -> httpx.Response:  # noqa: C901, PLR0911  # a routing table
        path = request.url.path.removeprefix("/api")
        body = json.loads(request.content) if request.content else {}
        if request.method == "PATCH" and "job_variables" in body:
            state = self.prefect.runs["run-1"]["state_type"]
            if state != "SCHEDULED" or self.refuse_variables:  # as Prefect 3.8 does
                detail = f"Job variables for a flow run in state {state} cannot be updated"
                return httpx.Response(400, json={"detail": detail})
        if request.method == "PATCH":
            self.changes.append((path, body))
            target = self.prefect.runs["run-1"] if path.startswith("/flow_runs") else self.deployment
            target = self.limits.get(path, target)
            target |= body
            return httpx.Response(204)
        if path in self.limits:
            return httpx.Response(200, json=self.limits[path])
        if path.endswith("/workers/filter"):
            return httpx.Response(200, json=[])
        if path.startswith("/work_pools/"):
            template = {"variables": {"properties": self.variables}}
            told = {"type": "ecs", "status": self.pool_status, "base_job_template": template}
            return httpx.Response(200, json=told)
        if path == "/deployments/twin/create_flow_run":
            self.started.append(body)
            self.prefect.runs["other"] = {"id": "other", "name": "other", "flow_id": "flow-1", "run_count": 1}
            self.prefect.add_state("other", "COMPLETED", "Completed")
            return httpx.Response(201, json=self.prefect.runs["other"])
        if path.endswith("/set_state") and self.refuse_retry:
            return httpx.Response(
                self.refuse_retry, json={"status": "REJECT", "details": {"reason": "not now"}}
            )
        answer: httpx.Response = self.prefect(request)
        if path == "/deployments/dep-1":
            return httpx.Response(200, json=answer.json() | self.deployment)
        if path == "/deployments/filter" and self.twins:
            return httpx.Response(200, json=self.twins)
        return answer


@pytest.fixture
def server(prefect: Any) -> Server:
    return Server(prefect)


@pytest.fixture
def named(make_desk: Callable[..., Desk], server: Server) -> Callable[..., Desk]:
    """A desk whose policy names these remedies."""

    async def no_sleep(_seconds: float) -> None:
        return

    api = PrefectAPI(
        "http://prefect.test/api", transport=httpx.MockTransport(server), sleep=no_sleep, tries=2
    )

    def make(*kinds: str, **policy: Any) -> Desk:
        told = {"mode": "auto", "remedies": dict.fromkeys(kinds, "auto")} | policy
        return make_desk(api=api, policy=RemedyPolicy.model_validate(told))

    return make


async def taken(desk: Desk, prefect: Any, error: str, **run: Any) -> TroubleshootingSession:
    return await taken_runs.taken(desk, prefect, error, **{"work_pool_name": "cloud"} | run)


# What has helped must hold


@pytest.mark.parametrize(("minutes", "held"), [(10, False), (45, True)])
async def test_what_helped_and_did_not_hold_counts_as_failed(
    named: Any, prefect: Any, minutes: int, *, held: bool
) -> None:
    desk = named("more_memory", max_memory_mb=4096)
    session = await taken(desk, prefect, MEMORY)
    prefect.finish("run-1")
    session = await looked(desk, session)
    assert session.resolution_status is ResolutionStatus.AUTO_RESOLVED
    desk.clock.forward(60 * minutes)
    prefect.fail("run-2", error=MEMORY)
    again = await resolve.take_up(desk, await desk.api.run("run-2"))
    assert again is not None
    desk.clock.forward(10)
    again = await resolve.advance(desk, again.session_id)
    record = (await desk.store.remedy_records(again.fingerprint, "dep-1"))["more_memory"]
    assert (record.good, record.seen) == ((1, 1) if held else (0, 1))
    told = [entry.action for entry in await desk.store.audit_trail(session.session_id)]
    assert ("did not hold" in told) is not held


async def test_a_retry_is_for_one_run_and_has_held_when_that_completed(named: Any, prefect: Any) -> None:
    desk = named()
    for run_id in ("run-1", "run-2"):
        prefect.fail(run_id)
        prefect.runs[run_id]["parameters"] = {"day": run_id}
        session = await resolve.take_up(desk, await desk.api.run(run_id))
        assert session is not None
        desk.clock.forward(10)
        session = await resolve.advance(desk, session.session_id)
        assert kinds(session) == ["retry_run"]
        prefect.finish(run_id)
        session = await looked(desk, session)
        assert session.resolution_status is ResolutionStatus.AUTO_RESOLVED
    record = (await desk.store.remedy_records(session.fingerprint, "dep-1"))["retry_run"]
    assert (record.good, record.seen) == (2, 2)


# Memory


async def test_a_run_that_ran_out_of_memory_gets_twice_as_much_and_is_resolved_when_seen_good(
    named: Any, server: Server, prefect: Any
) -> None:
    desk = named("more_memory", max_memory_mb=4096)
    session = await taken(desk, prefect, MEMORY)
    assert kinds(session) == ["more_memory"]
    assert server.changes == [("/flow_runs/run-1", {"job_variables": {"memory": 2048}})]
    (retry,) = prefect.retries
    assert "memory is 2048" in retry["state"]["message"]
    due = datetime.fromisoformat(retry["state"]["state_details"]["scheduled_time"])
    assert (due - desk.clock()).total_seconds() > 20, "a worker takes it ten seconds before"
    prefect.finish("run-1")
    session = await looked(desk, session)
    assert session.resolution_status is ResolutionStatus.AUTO_RESOLVED
    assert len(server.changes) == 1, "what helped stays"


async def test_memory_that_did_not_help_is_not_given_again_and_stays_with_this_run(
    named: Any, server: Server, prefect: Any
) -> None:
    desk = named("more_memory", max_memory_mb=4096)
    session = await taken(desk, prefect, MEMORY, job_variables={"memory": "1Gi", "cpu": 256})
    assert server.changes[0][1] == {"job_variables": {"memory": "2Gi", "cpu": 256}}
    desk.clock.forward(20)
    prefect.fail("run-1", error=MEMORY)
    session = await looked(desk, session)
    assert len(server.changes) == 1
    assert session.resolution_status is ResolutionStatus.ESCALATED
    assert kinds(session) == ["more_memory"]
    told = {entry.action: entry.detail for entry in await desk.store.audit_trail(session.session_id)}
    assert "state FAILED cannot be updated" in told["not taken back"]["what"]


@pytest.mark.parametrize(
    ("policy", "run", "variables"),
    [
        ({}, {}, {"memory": {"default": 1024}}),
        ({"max_memory_mb": 1024}, {}, {"memory": {"default": 1024}}),
        ({"max_memory_mb": 4096}, {}, {"cpu": {"default": 1}}),
        ({"max_memory_mb": 4096}, {}, {"memory": {"default": 4}}),
        ({"max_memory_mb": 4096}, {}, {"memory": {"default": None}}),
        ({"max_memory_mb": 4096}, {}, {"memory": {"default": "lots"}}),
        ({"max_memory_mb": 4096}, {}, {"memory": {"default": True}}),
        ({"max_memory_mb": 4096}, {}, {"memory": {"default": 1024}, "mem_limit": {"default": "1g"}}),
    ],
    ids=["no bound", "at the bound", "no variable", "no unit", "empty", "a word", "a switch", "two of them"],
)
async def test_memory_is_given_only_where_one_value_and_a_bound_are_known(
    named: Any, server: Server, prefect: Any, policy: Any, run: Any, variables: Any
) -> None:
    server.variables = variables
    session = await taken(named("more_memory", **policy), prefect, MEMORY, **run)
    assert session.attempts == ()
    assert server.changes == []
    assert session.resolution_status is ResolutionStatus.ESCALATED


async def test_no_general_mode_gives_memory(named: Any, server: Server, prefect: Any) -> None:
    session = await taken(named(max_memory_mb=4096), prefect, MEMORY)
    assert session.attempts == ()
    assert server.changes == []


async def test_a_person_may_ask_for_another_amount_but_not_for_more_than_the_policy_allows(
    named: Any, server: Server, prefect: Any, clock: Any
) -> None:
    desk = named(max_memory_mb=4096, remedies={"more_memory": "approve"})
    session = await taken(desk, prefect, MEMORY)
    assert session.resolution_status is ResolutionStatus.MANUAL
    much = {"amount": 9000.0}
    await proposals.approve(desk.store, session.session_id, by="ada", clock=clock, changes=much)
    session = await resolve.advance(desk, session.session_id)
    assert (session.attempts, server.changes) == ((), [])
    less = {"amount": 3000.0}
    await proposals.approve(desk.store, session.session_id, by="ada", clock=clock, changes=less)
    session = await resolve.advance(desk, session.session_id)
    assert server.changes[0][1]["job_variables"]["memory"] == 3000


@pytest.mark.parametrize("status", [200, 403, 422])
async def test_a_retry_that_prefect_refuses_leaves_nothing_half_done(
    named: Any, server: Server, prefect: Any, status: int
) -> None:
    server.refuse_retry = status
    desk = named("longer_timeout", max_timeout_s=300)
    session = await taken(desk, prefect, TIMED_OUT, parameters={"timeout_s": 60})
    assert [body["parameters"]["timeout_s"] for _, body in server.changes] == [120, 60]
    assert session.resolution_status is ResolutionStatus.ESCALATED


async def test_where_prefect_refuses_the_change_the_retry_is_withdrawn_and_a_person_is_told(
    named: Any, server: Server, prefect: Any
) -> None:
    server.refuse_variables = True
    session = await taken(named("more_memory", max_memory_mb=4096), prefect, MEMORY)
    assert [one["state"]["type"] for one in prefect.retries] == ["SCHEDULED", "FAILED"]
    assert prefect.runs["run-1"]["run_count"] == 1
    assert session.resolution_status is ResolutionStatus.ESCALATED
    assert "cannot be updated" in session.trail[-1]
    assert await resolve.take_up(named(), await named().api.run("run-1")) is None


async def test_a_person_who_came_too_late_does_not_keep_it_from_being_changed_back(
    named: Any, server: Server, prefect: Any
) -> None:
    server.deployment = {"concurrency_limit": 8}
    desk = named("lower_concurrency")
    session = await taken(desk, prefect, TOO_MANY)
    desk.clock.forward(20)
    prefect.start("run-1")
    for said in ("cancel it in Prefect", "cannot be taken back any more"):
        with pytest.raises(ConflictError, match=said):
            await proposals.undo(desk, session.session_id, by="ada")
    prefect.add_state("run-1", "FAILED", "Failed", TOO_MANY)
    await looked(desk, session)
    assert server.deployment == {"concurrency_limit": 8}


async def test_an_undo_that_a_crash_cut_short_is_finished(
    named: Any, server: Server, prefect: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.deployment = {"concurrency_limit": 8}
    desk = named("lower_concurrency")
    session = await taken(desk, prefect, TOO_MANY)

    async def killed(*_args: Any, **_named: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(taking_back, "change_back", killed)
        with pytest.raises(KeyboardInterrupt):
            await proposals.undo(desk, session.session_id, by="ada")
    assert server.deployment == {"concurrency_limit": 4}
    session = await looked(desk, session)
    assert server.deployment == {"concurrency_limit": 8}
    assert session.resolution_status is ResolutionStatus.ESCALATED
    assert len(prefect.retries) == 2, "the retry and its withdrawal"


async def test_what_did_not_help_is_changed_back_when_the_pause_is_over(
    named: Any, server: Server, prefect: Any
) -> None:
    server.deployment = {"concurrency_limit": 8}
    desk = named("lower_concurrency")
    session = await taken(desk, prefect, TOO_MANY)
    prefect.fail("run-1", error=TOO_MANY)
    await desk.store.pause_all("ada", desk.clock())
    session = await looked(desk, session)
    assert server.deployment == {"concurrency_limit": 4}
    assert session.resolution_status is ResolutionStatus.IN_PROGRESS
    await desk.store.resume_all("ada", desk.clock())
    session = await looked(desk, session)
    assert server.deployment == {"concurrency_limit": 8}
    entries = [(one.kind, one.outcome) for one in await desk.store.journal(session.session_id)][:2]
    assert entries == [("lower_concurrency", "applied"), ("undo lower_concurrency", "applied")]


async def test_what_still_stands_changed_is_told_where_the_outcome_is_not_seen(
    named: Any, server: Server, prefect: Any
) -> None:
    server.deployment = {"concurrency_limit": 8}
    desk = named("lower_concurrency")
    session = await taken(desk, prefect, TOO_MANY)
    prefect.start("run-1")
    desk.clock.forward(7200)
    session = await resolve.advance(desk, session.session_id)
    assert session.resolution_status is ResolutionStatus.ESCALATED
    assert "not taken back: Let 4 at once of the deployment instead of 8" in session.trail[-1]


@pytest.mark.usefixtures("worker_here")
@pytest.mark.parametrize("kind", ["more_memory", "longer_timeout", "lower_concurrency", "quarantine_input"])
async def test_killed_between_the_change_and_the_retry_the_change_is_made_once(
    named: Any, server: Server, prefect: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    bad, aside = tmp_path / "in" / "part-7.csv", tmp_path / "aside"
    bad.parent.mkdir()
    bad.write_text("1,2")
    aside.mkdir()
    server.deployment = {"concurrency_limit": 10}
    quarantine = {str(bad.parent): str(aside)}
    desk = named(kind, max_memory_mb=9000, max_timeout_s=900, quarantine=quarantine)
    errors = {"more_memory": MEMORY, "longer_timeout": TIMED_OUT, "lower_concurrency": TOO_MANY}

    async def killed(*_args: Any, **_named: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(desk.api, "retry_run", killed)
        with pytest.raises(KeyboardInterrupt):
            await taken(desk, prefect, errors.get(kind, unreadable(bad)), parameters={"timeout_s": 60})
    begun = await desk.store.session_for_run("run-1")
    assert begun is not None
    desk.clock.forward(60)
    session = await resolve.advance(desk, begun.session_id)
    assert kinds(session) == [kind]
    assert len(prefect.retries) == 1
    assert all(change == server.changes[0] for change in server.changes)
    assert len(list(aside.iterdir())) == (kind == "quarantine_input")
    desk.clock.forward(20)
    prefect.fail("run-1", error="KeyError: 'total'")
    await looked(desk, session)
    assert server.deployment == {"concurrency_limit": 10}
    assert prefect.runs["run-1"]["parameters"] == {"timeout_s": 60}
    assert bad.exists()


async def test_killed_between_the_retry_and_its_memory_the_memory_is_given_while_the_run_waits(
    named: Any, server: Server, prefect: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk = named("more_memory", max_memory_mb=4096)

    async def killed(*_args: Any, **_named: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(means, "change_run", killed)
        with pytest.raises(KeyboardInterrupt):
            await taken(desk, prefect, MEMORY)
    assert (len(prefect.retries), server.changes) == (1, [])
    begun = await desk.store.session_for_run("run-1")
    assert begun is not None
    desk.clock.forward(31)
    session = await resolve.advance(desk, begun.session_id)
    assert server.changes == [("/flow_runs/run-1", {"job_variables": {"memory": 2048}})]
    assert (kinds(session), len(prefect.retries)) == (["more_memory"], 1)


async def test_undo_takes_the_retry_and_the_memory_back(named: Any, server: Server, prefect: Any) -> None:
    desk = named("more_memory", max_memory_mb=4096)
    session = await taken(desk, prefect, MEMORY)
    session = await proposals.undo(desk, session.session_id, by="ada")
    assert server.changes[-1][1] == {"job_variables": {}}
    assert prefect.runs["run-1"]["state_type"] == "FAILED"
    assert "memory of the run" in session.trail[-1]


# Time


@pytest.mark.parametrize(
    ("run", "changed"),
    [
        ({"parameters": {"timeout_s": 60, "day": "x"}}, {"parameters": {"timeout_s": 120, "day": "x"}}),
        ({"parameters": {"read_timeout": 200}}, {"parameters": {"read_timeout": 300}}),
        (
            {"parameters": {}, "job_variables": {"job_watch_timeout_seconds": 60}},
            {"job_variables": {"job_watch_timeout_seconds": 120}},
        ),
    ],
    ids=["parameter", "up to the bound", "job variable"],
)
async def test_the_one_timeout_of_a_run_is_raised_within_the_policy(
    named: Any, server: Server, prefect: Any, run: dict[str, Any], changed: dict[str, Any]
) -> None:
    session = await taken(named("longer_timeout", max_timeout_s=300), prefect, TIMED_OUT, **run)
    assert kinds(session) == ["longer_timeout"]
    assert server.changes == [("/flow_runs/run-1", changed)]


@pytest.mark.parametrize(
    ("policy", "parameters"),
    [
        ({}, {"timeout_s": 60}),
        ({"max_timeout_s": 60}, {"timeout_s": 60}),
        ({"max_timeout_s": 300}, {"connect_timeout": 5, "read_timeout": 60}),
        ({"max_timeout_s": 300}, {"timeout_s": "60"}),
        ({"max_timeout_s": 300}, {"timeouts_seen": 60}),
        ({"max_timeout_s": 300}, {"timeout_s": True}),
    ],
    ids=["no bound", "at the bound", "two", "text", "another word", "a switch"],
)
async def test_a_timeout_is_left_alone_where_it_is_not_certain_which(
    named: Any, server: Server, prefect: Any, policy: Any, parameters: Any
) -> None:
    session = await taken(named("longer_timeout", **policy), prefect, TIMED_OUT, parameters=parameters)
    assert "longer_timeout" not in kinds(session)
    assert server.changes == []


# Fewer at once


async def test_fewer_runs_at_once_and_back_again_where_that_did_not_help(
    named: Any, server: Server, prefect: Any
) -> None:
    server.deployment = {"concurrency_limit": 8}
    desk = named("lower_concurrency")
    session = await taken(desk, prefect, TOO_MANY)
    first = kinds(session)
    assert "lower_concurrency" in first
    assert server.changes == [("/deployments/dep-1", {"concurrency_limit": 4})]
    desk.clock.forward(20)
    prefect.fail("run-1", error=TOO_MANY)
    await looked(desk, session)
    assert server.changes[-1] == ("/deployments/dep-1", {"concurrency_limit": 8})


LIMITED = """
import httpx
from prefect import flow, task
from prefect.concurrency.sync import concurrency

@task(tags=["database"])
def fetch() -> list[int]:
    with concurrency("shop-api", occupy=1):
        response = httpx.get("https://api.shop.test/orders", timeout=10)
        response.raise_for_status()
        return response.json()

@flow
def orders() -> list[int]:
    return fetch()
"""
TAG, GLOBAL = "/v2/concurrency_limits/tag:database", "/v2/concurrency_limits/shop-api"
QUEUE = "/work_pools/cloud/queues/high"


@pytest.mark.parametrize(
    ("limits", "changed"),
    [
        ((TAG, GLOBAL, QUEUE), (TAG, {"limit": 4})),
        ((GLOBAL, QUEUE), (GLOBAL, {"limit": 4})),
        ((QUEUE,), (QUEUE, {"concurrency_limit": 4})),
        ((), None),
    ],
    ids=["a tag", "a global limit", "the queue", "none"],
)
async def test_without_a_limit_of_its_own_the_nearest_that_the_run_is_under_is_lowered(
    named: Any, server: Server, prefect: Any, limits: tuple[str, ...], changed: Any
) -> None:
    prefect.deploy(LIMITED)
    for path in limits:
        name = "concurrency_limit" if path == QUEUE else "limit"
        server.limits[path] = {"active": True, name: 8}
    desk = named("lower_concurrency")
    session = await taken(desk, prefect, TOO_MANY, work_queue_name="high")
    assert server.changes == ([changed] if changed else [])
    desk.clock.forward(20)
    prefect.fail("run-1", error=TOO_MANY)
    await looked(desk, session)
    back = [(changed[0], dict.fromkeys(changed[1], 8))] if changed else []
    assert server.changes[1:] == back


async def test_of_two_limits_that_may_be_the_one_neither_is_touched(
    named: Any, server: Server, prefect: Any
) -> None:
    prefect.deploy(LIMITED.replace('["database"]', '["database", "shop"]'))
    for tag in ("database", "shop"):
        server.limits[f"/v2/concurrency_limits/tag:{tag}"] = {"active": True, "limit": 8}
    await taken(named("lower_concurrency"), prefect, TOO_MANY)
    assert server.changes == []


@pytest.mark.parametrize("limit", [None, 1], ids=["no limit", "one"])
async def test_a_limit_is_neither_invented_nor_taken_to_nothing(
    named: Any, server: Server, prefect: Any, limit: int | None
) -> None:
    server.deployment = {"concurrency_limit": limit}
    session = await taken(named("lower_concurrency"), prefect, TOO_MANY)
    assert "lower_concurrency" not in kinds(session)
    assert server.changes == []


async def test_a_limit_that_somebody_changed_meanwhile_stays_as_they_want_it(
    named: Any, server: Server, prefect: Any
) -> None:
    server.deployment = {"concurrency_limit": 8}
    desk = named("lower_concurrency")
    session = await taken(desk, prefect, TOO_MANY)
    server.deployment["concurrency_limit"] = 2
    desk.clock.forward(20)
    prefect.fail("run-1", error=TOO_MANY)
    session = await looked(desk, session)
    assert len(server.changes) == 1
    told = {entry.action for entry in await desk.store.audit_trail(session.session_id)}
    assert "not taken back" in told


# A file aside, scratch freed


@pytest.fixture
def worker_here(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lock_files, "worker_is_here", lambda _pool: True)


def unreadable(path: Path) -> str:
    return f"pandas.errors.ParserError: Error tokenizing data in {path}: expected 3 fields, saw 5"


@pytest.mark.usefixtures("worker_here")
async def test_the_one_file_that_cannot_be_read_is_set_aside_and_put_back_where_that_did_not_help(
    named: Any, prefect: Any, tmp_path: Path
) -> None:
    inbox, aside = tmp_path / "in", tmp_path / "aside"
    inbox.mkdir()
    aside.mkdir()
    bad = inbox / "part-7.csv"
    bad.write_text("1,2,3,4,5")
    desk = named("quarantine_input", quarantine={str(inbox): str(aside)})
    session = await taken(desk, prefect, unreadable(bad))
    assert kinds(session) == ["quarantine_input"]
    assert not bad.exists()
    (moved,) = aside.iterdir()
    assert moved.read_text() == "1,2,3,4,5"
    desk.clock.forward(20)
    prefect.fail("run-1", error="KeyError: 'total'")
    session = await looked(desk, session)
    assert bad.read_text() == "1,2,3,4,5"
    assert list(aside.iterdir()) == []
    assert session.resolution_status is ResolutionStatus.ESCALATED


@pytest.mark.usefixtures("worker_here")
@pytest.mark.parametrize("why", ["elsewhere", "two", "link", "only input", "no folder", "not named"])
async def test_a_file_is_left_where_it_is_unless_all_is_certain(
    named: Any, prefect: Any, tmp_path: Path, why: str
) -> None:
    inbox, aside = tmp_path / "in", tmp_path / "aside"
    inbox.mkdir()
    if why != "no folder":
        aside.mkdir()
    bad = (tmp_path if why == "elsewhere" else inbox) / "part-7.csv"
    other = inbox / "part-8.csv"
    other.write_text("x")
    if why == "link":
        bad.symlink_to(other)
    else:
        bad.write_text("1,2")
    error = unreadable(bad) + (f" and {other}" if why == "two" else "")
    named_kinds = () if why == "not named" else ("quarantine_input",)
    desk = named(*named_kinds, quarantine={str(inbox): str(aside)})
    parameters = {"path": str(bad)} if why == "only input" else {}
    session = await taken(desk, prefect, error, parameters=parameters)
    assert "quarantine_input" not in kinds(session)
    assert bad.read_text()
    assert other.exists()


def aged(path: Path, now: float, days: float) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"x" * 3_000_000)
    os.utime(path, (now - days * 86_400,) * 2)
    return path


@pytest.mark.usefixtures("worker_here")
async def test_old_scratch_of_marked_folders_is_removed_and_nothing_else(
    named: Any, prefect: Any, tmp_path: Path, clock: Any
) -> None:
    marked, plain = tmp_path / "scratch", tmp_path / "data"
    # A file's change time cannot be set, so the clock is taken two days ahead.
    import time
    from datetime import UTC, datetime

    clock.now = datetime.fromtimestamp(time.time() + 2 * 86_400, UTC)
    now = clock.now.timestamp()
    old, kept = aged(marked / "a" / "old.bin", now, 3), aged(plain / "old.bin", now, 3)
    open_file = aged(marked / "open.bin", now, 3)
    (marked / ".autopilot-scratch").touch()
    link = marked / "link"
    link.symlink_to(kept)
    with open_file.open("rb"):
        desk = named("free_scratch", scratch_folders=[str(marked), str(plain)])
        session = await taken(desk, prefect, DISK)
    assert kinds(session) == ["free_scratch"]
    assert not old.exists()
    assert kept.exists(), "its folder has no mark"
    assert open_file.exists(), "somebody had it open"
    assert link.is_symlink()
    assert (marked / ".autopilot-scratch").exists()


# Another pool


def twin(**changes: Any) -> dict[str, Any]:
    same = {"flow_id": "flow-1", "entrypoint": "orders.py:orders", "path": "/srv", "pull_steps": None}
    return same | {"id": "twin", "name": "spare", "work_pool_name": "spare", "paused": False} | changes


BROKEN_POOL = "Flow run infrastructure was evicted before it began: the node was low on resource: memory."


async def crashed_before_it_began(desk: Desk, prefect: Any) -> TroubleshootingSession:
    prefect.runs["run-1"] = {
        "id": "run-1",
        "name": "blue-owl",
        "flow_id": "flow-1",
        "deployment_id": "dep-1",
        "work_pool_name": "cloud",
        "parameters": {"day": "2026-03-01"},
        "run_count": 0,
    }
    prefect.add_state("run-1", "CRASHED", "Crashed", BROKEN_POOL)
    session = await resolve.take_up(desk, await desk.api.run("run-1"))
    assert session is not None
    desk.clock.forward(20)  # type: ignore[attr-defined]
    return await resolve.advance(desk, session.session_id)


async def test_a_run_that_never_began_is_run_once_by_its_twin_in_another_pool(
    named: Any, server: Server, prefect: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from prefect_autopilot.journeys import means

    own = twin(id="dep-1", name="prod", work_pool_name="cloud")
    server.twins = [own, twin()]
    desk = named("rerun_elsewhere")
    prefect.runs["run-1"] = {"id": "run-1", "flow_id": "flow-1", "deployment_id": "dep-1", "run_count": 0}
    prefect.add_state("run-1", "CRASHED", "Crashed", BROKEN_POOL)
    from prefect_autopilot.adapters.evidence import read_evidence

    evidence = await read_evidence(desk.api, await desk.api.run("run-1"), now=desk.clock())
    remedy = await means._elsewhere(desk, evidence)
    assert remedy is not None
    assert (remedy.deployment_id, remedy.work_pool) == ("twin", "spare")
    for other in (
        [own],
        [own, twin(), twin(id="third", work_pool_name="third")],
        [own, twin(work_pool_name="cloud")],
        [own, twin(entrypoint="other.py:orders")],
        [own, twin(paused=True)],
        [own, twin(flow_id="flow-2")],
        [own, twin(job_variables={"image": "orders:old"})],
        [own, twin(job_variables={"env": {"SHOP": "test"}})],
    ):
        server.twins = other
        assert await means._elsewhere(desk, evidence) is None
    server.twins, server.pool_status = [own, twin()], "NOT_READY"
    assert await means._elsewhere(desk, evidence) is None


async def test_the_twins_run_is_what_shows_that_it_helped(named: Any, server: Server, prefect: Any) -> None:
    server.twins = [twin(id="dep-1", name="prod", work_pool_name="cloud"), twin()]
    desk = named("rerun_elsewhere")
    session = await crashed_before_it_began(desk, prefect)
    assert kinds(session) == ["rerun_elsewhere"]
    assert [one["parameters"] for one in server.started] == [{"day": "2026-03-01"}]
    assert prefect.retries == []
    session = await looked(desk, session)
    assert session.resolution_status is ResolutionStatus.AUTO_RESOLVED
