"""Slots nobody alive holds are given back; a slot that somebody may hold is never touched."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from prefect_autopilot.journeys.desk import Desk
from prefect_autopilot.journeys.leaked_slots import SlotWatch, prove
from prefect_autopilot.journeys.resolve import advance
from prefect_autopilot.models import ReleaseSlots, RemedyPolicy, ResolutionStatus

USING = """\
from prefect import flow
from prefect.concurrency.sync import concurrency

@flow
def orders():
    with concurrency("warehouse", occupy=1):
        pass
"""
OTHER = USING.replace("warehouse", "kitchen")


class Server:
    """The server in memory with global concurrency limits; each deployment has a file of its own."""

    def __init__(self, prefect: Any, folder: Path) -> None:
        self.prefect = prefect
        self.folder = folder
        self.limits: list[dict[str, Any]] = []
        self.released: list[dict[str, Any]] = []
        self.loose: list[dict[str, Any]] = []
        self.answers = True

    def limit(self, **changes: Any) -> dict[str, Any]:
        raw = {
            "name": "warehouse",
            "limit": 1,
            "active": True,
            "active_slots": 1,
            "slot_decay_per_second": 0.0,
            "updated": self.prefect.clock.now.isoformat(),
        } | changes
        self.limits.append(raw)
        return raw

    def run(self, run_id: str, source: str | None = USING) -> None:
        """Start a run of a deployment of its own; without a source nobody here can read it."""
        self.prefect.start(run_id)
        self.prefect.runs[run_id]["deployment_id"] = run_id.replace("run", "dep")
        if source is not None:
            (self.folder / f"{run_id.replace('run', 'dep')}.py").write_text(source, encoding="utf-8")

    def __call__(self, request: httpx.Request) -> httpx.Response:
        path = request.url.path.removeprefix("/api")
        body = json.loads(request.content) if request.content else {}
        parts = path.strip("/").split("/")
        if "concurrency_limits" in parts:
            return self._limits(parts, body)
        if path == "/task_runs/filter" and "task_runs" in body:
            return httpx.Response(200, json=self.loose)
        if path == "/deployments/filter":
            wanted = body["deployments"]["id"]["any_"]
            return httpx.Response(200, json=[{"id": one, "name": one} for one in wanted])
        if parts[0] == "deployments":
            entry = {"id": parts[1], "path": str(self.folder), "entrypoint": f"{parts[1]}.py:orders"}
            return httpx.Response(200, json=entry)
        answer: httpx.Response = self.prefect(request)
        return answer

    def _limits(self, parts: list[str], body: dict[str, Any]) -> httpx.Response:
        if not self.answers:
            return httpx.Response(404)
        if parts[-1] == "filter":
            return httpx.Response(200, json=self.limits)
        if parts[-1] == "decrement":
            self.released.append(body)
            for raw in self.limits:
                raw["active_slots"] -= body["slots"] * (raw["name"] in body["names"])
            return httpx.Response(200, json=[])
        return httpx.Response(200, json=next(raw for raw in self.limits if raw["name"] == parts[-1]))


@pytest.fixture
def server(prefect: Any, tmp_path: Path) -> Server:
    return Server(prefect, tmp_path)


@pytest.fixture
def desk(desk_over: Callable[..., Desk], server: Server) -> Desk:
    return desk_over(server)


def leak(server: Server, clock: Any, **limit: Any) -> None:
    """A slot taken long ago, and a run that has waited since it began."""
    server.limit(**limit)
    clock.now += timedelta(hours=1)
    server.run("run-1")
    clock.forward(30)


async def looks(desk: Desk, clock: Any, times: int = 2) -> list[Any]:
    watch, opened = SlotWatch(), []
    for _ in range(times):
        opened += await watch.look(desk)
        clock.forward(10)
    return opened


async def test_leaked_slots_are_given_back_once_and_the_run_that_goes_on_proves_it(
    desk: Desk, server: Server, prefect: Any, clock: Any
) -> None:
    leak(server, clock)
    (opened,) = await looks(desk, clock, 4)
    session = await advance(desk, opened.session_id)
    assert server.released == [{"names": ["warehouse"], "slots": 1}]
    assert (server.limits[0]["limit"], server.limits[0]["active"]) == (1, True)
    assert session.resolution_status is ResolutionStatus.IN_PROGRESS
    clock.forward(1)
    prefect.add_state("run-1", "COMPLETED", "Completed")
    clock.forward(10)
    session = await advance(desk, opened.session_id)
    assert session.resolution_status is ResolutionStatus.AUTO_RESOLVED
    assert len(server.released) == 1
    assert prefect.retries == []


async def test_in_propose_mode_nothing_is_given_back(
    desk: Desk, make_desk: Any, server: Server, clock: Any
) -> None:
    leak(server, clock)
    proposing = make_desk(api=desk.api, policy=RemedyPolicy(mode="propose"))
    (opened,) = await looks(proposing, clock)
    session = await advance(proposing, opened.session_id)
    assert session.resolution_status is ResolutionStatus.MANUAL
    assert session.decision is not None
    assert isinstance(session.decision.remedy, ReleaseSlots)
    assert server.released == []


async def test_all_slots_of_a_wider_limit_are_given_back(desk: Desk, server: Server, clock: Any) -> None:
    leak(server, clock, limit=3, active_slots=3)
    repair = await prove(desk, "warehouse")
    assert repair is not None
    assert repair.slots == 3


@pytest.mark.parametrize(
    "limit",
    [
        {"active_slots": 0},
        {"limit": 2},
        {"active": False},
        {"slot_decay_per_second": 0.5},
        {"name": "tag:warehouse"},
        {"name": "deployment:7"},
        {"name": "kitchen"},
    ],
    ids=["free", "one free", "switched off", "a rate", "of a tag", "of a deployment", "nobody waits for it"],
)
async def test_a_limit_that_holds_nobody_up_is_left_alone(
    desk: Desk, server: Server, clock: Any, limit: dict[str, Any]
) -> None:
    leak(server, clock, **limit)
    assert await looks(desk, clock, 3) == []


async def test_a_run_that_began_before_the_slot_was_taken_may_hold_it(
    desk: Desk, server: Server, clock: Any
) -> None:
    server.run("run-1")
    clock.forward(30)
    server.limit()
    clock.forward(60)
    assert await prove(desk, "warehouse") is None


@pytest.mark.parametrize(
    "source",
    [USING, None, "def orders(:", USING.replace('"warehouse"', "name")],
    ids=["uses it", "not readable", "no Python", "by a variable"],
)
async def test_an_older_run_that_may_hold_it_keeps_the_slot(
    desk: Desk, server: Server, clock: Any, source: str | None
) -> None:
    server.run("run-2", source)
    clock.forward(30)
    leak(server, clock)
    assert await prove(desk, "warehouse") is None


async def test_an_older_run_that_uses_another_limit_is_no_holder(
    desk: Desk, server: Server, clock: Any
) -> None:
    server.run("run-2", OTHER)
    clock.forward(30)
    leak(server, clock)
    assert await prove(desk, "warehouse") is not None


async def test_code_beside_the_flow_could_take_the_slot(
    desk: Desk, server: Server, clock: Any, tmp_path: Path
) -> None:
    server.run("run-2", "import nearby\n" + OTHER)
    (tmp_path / "nearby.py").write_text(USING, encoding="utf-8")
    clock.forward(30)
    leak(server, clock)
    assert await prove(desk, "warehouse") is None


async def test_what_a_run_held_that_ended_lately_the_server_takes_back_itself(
    desk: Desk, server: Server, prefect: Any, clock: Any
) -> None:
    server.run("run-2")
    clock.forward(30)
    server.limit()
    clock.now += timedelta(hours=1)
    prefect.add_state("run-2", "CRASHED", "Crashed")
    clock.forward(5)
    server.run("run-1")
    clock.forward(30)
    assert await prove(desk, "warehouse") is None
    clock.now += timedelta(minutes=7)
    assert await prove(desk, "warehouse") is not None, "its lease is over, and the slot is still taken"


async def test_tasks_outside_of_flows_could_hold_it(desk: Desk, server: Server, clock: Any) -> None:
    leak(server, clock)
    server.loose.append({"id": "task-1"})
    assert await prove(desk, "warehouse") is None


async def test_a_run_that_began_just_now_is_not_said_to_wait(desk: Desk, server: Server, clock: Any) -> None:
    server.limit()
    clock.now += timedelta(hours=1)
    server.run("run-1")
    clock.forward(3)
    assert await prove(desk, "warehouse") is None


async def test_one_look_is_none(desk: Desk, server: Server, clock: Any) -> None:
    leak(server, clock)
    assert await looks(desk, clock, 1) == []


async def test_slots_that_change_between_looks_are_in_use(desk: Desk, server: Server, clock: Any) -> None:
    leak(server, clock)
    watch = SlotWatch()
    for _ in range(4):
        server.limits[0]["updated"] = clock.now.isoformat()
        assert await watch.look(desk) == ()
        clock.forward(10)


async def test_slots_that_were_given_back_meanwhile_are_not_given_back_again(
    desk: Desk, server: Server, clock: Any
) -> None:
    leak(server, clock)
    (opened,) = await looks(desk, clock)
    server.limits[0]["active_slots"] = 0
    session = await advance(desk, opened.session_id)
    assert server.released == []
    assert session.resolution_status is ResolutionStatus.CLOSED


async def test_a_server_that_knows_no_limits_holds_nothing_up(desk: Desk, server: Server, clock: Any) -> None:
    leak(server, clock)
    server.answers = False
    assert await looks(desk, clock, 3) == []
