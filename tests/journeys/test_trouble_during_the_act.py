"""Whatever happens around an act: never done twice, and the session goes on or a person is told."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from prefect_autopilot.adapters.prefect_api import PrefectAPI
from prefect_autopilot.errors import AutopilotError
from prefect_autopilot.journeys import resolve
from prefect_autopilot.journeys.desk import Desk
from prefect_autopilot.models import ResolutionStatus
from prefect_autopilot.watcher import Watcher


class Troubled:
    """The server in memory; ``trouble`` says what befalls each try to set a state, in order."""

    def __init__(self, prefect: Any) -> None:
        self.prefect = prefect
        self.trouble: list[str] = []
        self.befell: list[str] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        if not request.url.path.endswith("/set_state") or not self.trouble:
            answer: httpx.Response = self.prefect(request)
            return answer
        what = self.trouble.pop(0)
        self.befell.append(what)
        if what.isdigit():
            return httpx.Response(int(what), json={"detail": "no"})
        if what == "refused":
            raise httpx.ConnectError("refused", request=request)
        if what == "lost before":
            raise httpx.ReadTimeout("late", request=request)
        self.prefect(request)
        if what == "deleted after":
            del self.prefect.runs["run-1"]
        raise httpx.RemoteProtocolError("cut", request=request)


@pytest.fixture
def troubled(prefect: Any) -> Troubled:
    return Troubled(prefect)


@pytest.fixture
def desk_in_trouble(make_desk: Callable[..., Desk], troubled: Troubled) -> Callable[..., Desk]:
    async def no_sleep(_seconds: float) -> None:
        return

    def make(**more: Any) -> Desk:
        transport = httpx.MockTransport(troubled)
        api = PrefectAPI("http://prefect.test/api", transport=transport, sleep=no_sleep, tries=3)
        return make_desk(api=api, **more)

    return make


async def seen_through(desk: Desk, prefect: Any, *, looks: int = 12) -> Any:
    """Go on as the watcher does, a server error notwithstanding; the run completes once it is retried."""
    run = await desk.api.run("run-1")
    session = await resolve.take_up(desk, run)
    assert session is not None
    for _ in range(looks):
        desk.clock.forward(40)  # type: ignore[attr-defined]
        run = prefect.runs.get("run-1")
        if run is not None and run["state_type"] == "SCHEDULED":
            prefect.finish("run-1")
            desk.clock.forward(40)  # type: ignore[attr-defined]
        try:
            session = await resolve.advance(desk, session.session_id)
        except AutopilotError as error:
            if error.permanent:
                raise
    return session


@pytest.mark.parametrize(
    "trouble",
    [
        ["503"],
        ["429", "503"],
        ["503", "503", "503"],
        ["500"],
        ["refused"],
        ["refused", "refused", "refused"],
        ["lost before"],
        ["lost before", "lost before"],
        ["lost after"],
        ["503", "lost after"],
    ],
    ids=" then ".join,
)
async def test_a_server_in_trouble_costs_time_and_nothing_else(
    desk_in_trouble: Any, troubled: Troubled, prefect: Any, trouble: list[str]
) -> None:
    prefect.fail("run-1")
    troubled.trouble = list(trouble)
    session = await seen_through(desk_in_trouble(), prefect)
    assert troubled.befell == trouble
    assert len(prefect.retries) == 1
    assert session.resolution_status is ResolutionStatus.AUTO_RESOLVED


@pytest.mark.parametrize("status", ["401", "403", "404", "409", "422"])
async def test_what_does_not_pass_goes_to_a_person_and_is_not_tried_again(
    desk_in_trouble: Any, troubled: Troubled, prefect: Any, status: str
) -> None:
    prefect.fail("run-1")
    troubled.trouble = [status] * 9
    session = await seen_through(desk_in_trouble(), prefect)
    assert session.resolution_status is ResolutionStatus.ESCALATED
    assert troubled.befell == [status]
    assert prefect.retries == []


async def test_a_run_that_is_deleted_during_the_act_ends_its_session(
    desk_in_trouble: Any, troubled: Troubled, prefect: Any
) -> None:
    prefect.fail("run-1")
    troubled.trouble = ["deleted after"]
    session = await seen_through(desk_in_trouble(), prefect)
    assert session.due_at is None
    assert session.resolution_status in {ResolutionStatus.CLOSED, ResolutionStatus.ESCALATED}
    assert len(prefect.retries) == 1


@pytest.mark.parametrize("step_s", [3600, -3600, -86_400], ids=["ahead", "back", "a day back"])
@pytest.mark.parametrize("when", ["before the act", "after the act"])
async def test_a_clock_that_steps_makes_no_second_act(
    desk_in_trouble: Any, prefect: Any, clock: Any, step_s: float, when: str
) -> None:
    prefect.fail("run-1")
    desk = desk_in_trouble()
    session = await resolve.take_up(desk, await desk.api.run("run-1"))
    assert session is not None
    if when == "after the act":
        clock.forward(5)
        await resolve.advance(desk, session.session_id)
        assert len(prefect.retries) == 1
    clock.forward(step_s)
    for _ in range(20):
        clock.forward(7200)
        if prefect.runs["run-1"]["state_type"] == "SCHEDULED":
            prefect.finish("run-1")
        session = await resolve.advance(desk, session.session_id)
    assert len(prefect.retries) <= 1
    assert session.due_at is None, "it ends, whatever the clock says"


async def test_events_that_come_three_times_late_and_shuffled_are_one_session_and_one_act_each(
    desk_in_trouble: Any, prefect: Any, clock: Any
) -> None:
    names = [f"run-{number}" for number in range(6)]
    for number, name in enumerate(names):
        prefect.fail(name)
        prefect.runs[name]["parameters"] = {"part": number}
    told = names * 3
    random.Random(7).shuffle(told)
    watcher = Watcher(desk_in_trouble())
    for name in told:
        watcher.hint.tell(f"prefect.flow-run.{name}")
        await watcher.tick()
        clock.forward(3)
    assert len(await watcher.desk.store.sessions(limit=100)) == 6
    assert sorted(one["run"] for one in prefect.retries) == names


async def test_a_run_that_succeeds_between_decision_and_act_is_left_alone(
    desk_in_trouble: Any, prefect: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    prefect.fail("run-1")
    desk = desk_in_trouble()
    journal = desk.store.journal_intent

    async def and_somebody_is_first(*args: Any, **named: Any) -> Any:
        entry = await journal(*args, **named)
        prefect.finish("run-1")
        return entry

    monkeypatch.setattr(desk.store, "journal_intent", and_somebody_is_first)
    session = await seen_through(desk, prefect)
    assert prefect.retries == []
    assert prefect.runs["run-1"]["run_count"] == 2
    assert session.due_at is None
