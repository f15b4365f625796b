"""Failures with one cause share a session where only a person helps; what can be retried keeps its own."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from prefect_autopilot.journeys import resolve
from prefect_autopilot.journeys.desk import Desk
from prefect_autopilot.models import RemedyPolicy, ResolutionStatus, TroubleshootingSession
from prefect_autopilot.watcher import Watcher

UNAVAILABLE = "ConnectionRefusedError: [Errno 111] Connection refused"
BUG = "KeyError: 'total'"
RUNS = ("run-1", "run-2", "run-3")


async def looks(desk: Any, count: int = 3) -> tuple[TroubleshootingSession, ...]:
    watcher = Watcher(desk)
    for _ in range(count):
        desk.clock.forward(8)
        await watcher.tick()
    found: tuple[TroubleshootingSession, ...] = await desk.store.sessions()
    return found


async def told(desk: Any) -> list[str]:
    pending = [one.notice for one in await desk.store.pending_notices(desk.clock(), "webhook")]
    return [one.outcome for one in pending if one.session_id]


@pytest.mark.parametrize("together", [True, False], ids=["at once", "one after the other"])
async def test_a_cause_that_lasts_is_one_session_and_one_notice(
    desk: Desk, prefect: Any, *, together: bool
) -> None:
    for run in RUNS:
        prefect.fail(run, error=BUG)
        if not together:
            await looks(desk)
    (session,) = await looks(desk)
    assert session.resolution_status is ResolutionStatus.ESCALATED
    assert (set(session.related_runs), session.further_runs) == (set(RUNS), 2)
    assert await told(desk) == ["escalated"]
    assert {one["flow_run_id"] for one in prefect.artifacts} == set(RUNS), "each run leads to it"
    assert [one.action for one in await desk.store.audit_trail(session.session_id)].count("took in") == 2
    assert await desk.store.verify_audit() is None
    found = [await desk.store.session_for_run(run) for run in RUNS]
    assert {one and one.session_id for one in found} == {session.session_id}
    assert await looks(desk) == (session,), "what was taken in is not taken up again"


@pytest.mark.parametrize(
    ("change", "error"),
    [
        pytest.param({"deployment_id": "dep-2"}, BUG, id="another workflow"),
        pytest.param({}, "ValueError: no such column", id="another cause"),
        pytest.param({}, None, id="the same run, started again by somebody"),
        pytest.param({"later": 13 * 3600}, BUG, id="half a day later"),
    ],
)
async def test_what_is_news_is_a_session_of_its_own(
    desk: Any, prefect: Any, change: dict[str, Any], error: str | None
) -> None:
    prefect.fail("run-1", error=BUG)
    await looks(desk)
    desk.clock.forward(change.get("later", 1))
    second = "run-2" if error else "run-1"
    prefect.fail(second, error=error or BUG)
    prefect.runs[second] |= change
    assert len(await looks(desk)) == 2
    assert await told(desk) == ["escalated", "escalated"]


@pytest.mark.parametrize(
    ("mode", "outcomes"), [("propose", ["proposal"]), ("auto", ["escalated"])], ids=["propose", "auto"]
)
async def test_what_can_be_retried_keeps_a_session_for_each_run_and_is_told_once(
    make_desk: Any, prefect: Any, mode: Any, outcomes: list[str]
) -> None:
    desk = make_desk(policy=RemedyPolicy(mode=mode))
    for run in RUNS:
        prefect.fail(run)
    for _ in range(12):
        desk.clock.forward(300)
        for run in RUNS:
            if prefect.runs[run]["state_type"] == "SCHEDULED":
                prefect.fail(run)
        sessions = await looks(desk, 2)
    assert {one.flow_run_id for one in sessions} == set(RUNS)
    assert len(sessions) == 3
    assert len({one["run"] for one in prefect.retries}) == (3 if mode == "auto" else 0)
    assert await told(desk) == outcomes


@pytest.mark.parametrize(
    ("error", "mode", "kept", "outcomes"),
    [
        pytest.param(BUG, "propose", "child", ["escalated"], id="a bug: the sub-flow's"),
        pytest.param(UNAVAILABLE, "propose", "run-1", ["proposal"], id="a retry is proposed: the parent's"),
        pytest.param(UNAVAILABLE, "auto", "run-1", [], id="a retry is made: the parent's"),
    ],
)
async def test_a_sub_flow_and_its_parent_share_a_session(
    make_desk: Any, prefect: Any, error: str, mode: Any, kept: str, outcomes: list[str]
) -> None:
    desk = make_desk(policy=RemedyPolicy(mode=mode))
    prefect.fail_within("run-1", "child", error)
    (session,) = await looks(desk, 4)
    assert session.flow_run_id == kept
    assert set(session.related_runs) == {"child", "run-1"}
    assert await told(desk) == outcomes
    assert {one["run"] for one in prefect.retries} == ({"run-1"} if mode == "auto" else set())


@pytest.mark.parametrize("point", ["before", "after"])
async def test_a_process_killed_while_it_joins_leaves_one_session_all_the_same(
    desk: Any, make_desk: Any, prefect: Any, monkeypatch: pytest.MonkeyPatch, point: str
) -> None:
    prefect.fail("run-1", error=BUG)
    await looks(desk)
    prefect.fail("run-2", error=BUG)
    merge = desk.store.merge_session

    async def killed(*args: Any) -> None:
        if point == "after":
            await merge(*args)
        raise KeyboardInterrupt

    opened = await resolve.take_up(desk, await desk.api.run("run-2"))
    assert opened is not None
    desk.clock.forward(8)
    with monkeypatch.context() as patch:
        patch.setattr(desk.store, "merge_session", killed)
        with pytest.raises(KeyboardInterrupt):
            await resolve.advance(desk, opened.session_id)
    desk.clock.forward(40)
    (session,) = await looks(make_desk(holder="next"))
    assert set(session.related_runs) == {"run-1", "run-2"}
    assert session.further_runs == 1


async def test_many_processes_at_once_make_one_session(make_desk: Any, prefect: Any) -> None:
    desks = [make_desk(holder=str(number)) for number in range(4)]
    opened = {}
    for number, desk in enumerate(desks):
        prefect.fail(f"run-{number}", error=BUG)
        session = await resolve.take_up(desk, await desk.api.run(f"run-{number}"))
        assert session is not None
        opened[session.session_id] = desk
    for _ in range(12):
        desks[0].clock.forward(4)
        due = await desks[0].store.due_sessions(desks[0].clock())
        await asyncio.gather(*(resolve.advance(opened[one.session_id], one.session_id) for one in due))
    (session,) = await desks[0].store.sessions()
    assert (len(session.related_runs), session.further_runs) == (4, 3)
    assert await told(desks[0]) == ["escalated"]
