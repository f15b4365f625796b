"""The watcher over a Prefect server in memory: one acts, nothing is lost, trouble stays where it is."""

from __future__ import annotations

import asyncio
import json
import logging
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from pydantic import SecretStr

from prefect_autopilot import watcher as module
from prefect_autopilot.adapters.channels import Channel
from prefect_autopilot.errors import (
    AutopilotError,
    ConfigurationError,
    ConflictError,
    PrefectError,
    StoreError,
)
from prefect_autopilot.journeys.desk import Desk
from prefect_autopilot.models import (
    AlertCondition,
    AlertType,
    MonitoringRule,
    Notice,
    RemedyPolicy,
    ResolutionStatus,
    RunRecord,
    StateRecord,
    TroubleshootingSession,
)
from prefect_autopilot.store import WATCHER_LEASE, Store
from prefect_autopilot.watcher import CURSOR, FIRST_LOOK_BACK, LEASE, OVERLAP, Watcher

BUG = "KeyError: 'total'"
HOOK = Channel(name="webhook", kind="webhook", url=SecretStr("https://hooks.test/secret-path"))


@pytest.fixture
def watcher(desk: Desk) -> Watcher:
    return Watcher(desk)


async def session_of(store: Store, run_id: str = "run-1") -> TroubleshootingSession:
    session = await store.session_for_run(run_id)
    assert session is not None
    return session


async def ticks(watcher: Watcher, clock: Any, *pauses: float) -> None:
    """Tick once, then once more after each pause in seconds."""
    await watcher.tick()
    for seconds in pauses:
        clock.forward(seconds)
        await watcher.tick()


async def test_a_failure_is_seen_resolved_and_verified_tick_by_tick(
    watcher: Watcher, prefect: Any, clock: Any, store: Store
) -> None:
    prefect.fail("run-1")
    await ticks(watcher, clock, 5)
    assert len(prefect.retries) == 1
    prefect.finish("run-1")
    clock.forward(600)
    await watcher.tick()
    assert (await session_of(store)).resolution_status is ResolutionStatus.AUTO_RESOLVED
    assert len(prefect.retries) == 1


async def test_each_step_of_a_session_is_told_in_a_line(watcher: Watcher, prefect: Any, clock: Any) -> None:
    told: list[str] = []
    watcher.tell = told.append
    await watcher.tick()
    assert told == []
    prefect.fail("run-1")
    await ticks(watcher, clock, 5)
    prefect.finish("run-1")
    await ticks(watcher, clock, 600, 600)
    assert "auto resolved" in told[-1]
    assert len(told) == len(set(told)) > 1
    assert not any("\n" in line for line in told)


async def test_a_second_watcher_says_once_that_it_stands_by_and_that_it_takes_over(
    make_desk: Any, clock: Any, store: Store
) -> None:
    told: list[str] = []
    await store.acquire_lease(LEASE, "somebody", 30, clock.now)
    second = Watcher(make_desk(), tell=told.append)
    await ticks(second, clock, 1, 1)
    assert told == [module.STANDING_BY]
    await ticks(second, clock, 60)
    assert told == [module.STANDING_BY, "Taking over."]


@pytest.mark.parametrize(
    ("heard", "origin"),
    [
        (("prefect.flow-run.run-1",), "event"),
        (("prefect.flow-run.run-2", "prefect.flow-run.run-1"), "event"),
        (("prefect.flow-run.run-2",), "reconcile"),
        (("prefect.flow-run.run-11",), "reconcile"),
        ((), "reconcile"),
    ],
    ids=["its event", "two events", "another run's event", "a longer id", "no event"],
)
async def test_a_session_tells_by_which_way_its_failure_came(
    watcher: Watcher, prefect: Any, store: Store, heard: tuple[str, ...], origin: str
) -> None:
    prefect.fail("run-1")
    for resource in heard:
        watcher.hint.tell(resource)
    await watcher.tick()
    session = await session_of(store)
    assert session.origin == origin
    (opened,) = [one for one in await store.audit_trail(session.session_id) if one.action == "opened"]
    assert opened.detail["origin"] == origin


async def test_an_event_that_comes_later_does_not_change_by_which_way_a_failure_came(
    watcher: Watcher, prefect: Any, store: Store, clock: Any
) -> None:
    prefect.fail("run-1")
    await watcher.tick()
    watcher.hint.tell("prefect.flow-run.run-1")
    await ticks(watcher, clock, 5)
    assert (await session_of(store)).origin == "reconcile"


def test_an_event_asks_for_a_look_at_once_and_old_ones_are_forgotten() -> None:
    hint = module.Hint()
    assert not hint.is_set()
    for number in range(module.MOST_HEARD + 5):
        hint.tell(f"{module.RUN_RESOURCE}{number}")
    assert hint.is_set()
    assert len(hint.heard) == module.MOST_HEARD
    assert "4" not in hint.heard
    assert "5" in hint.heard


def test_what_was_heard_stays_known_when_the_look_has_been_taken() -> None:
    hint = module.Hint()
    hint.tell("prefect.flow-run.run-1")
    hint.clear()
    assert list(hint.heard) == ["run-1"]


async def test_a_quiet_server_means_nothing_to_do(watcher: Watcher, prefect: Any, clock: Any) -> None:
    prefect.finish("run-1")
    assert await watcher.tick() == 0
    assert prefect.retries == []
    assert prefect.artifacts == []


async def test_the_number_of_sessions_moved_is_told(watcher: Watcher, prefect: Any, clock: Any) -> None:
    prefect.fail("run-1")
    prefect.fail("run-2", error=BUG)
    clock.forward(5)
    assert await watcher.tick() == 2
    clock.forward(1)
    assert await watcher.tick() == 0


async def test_in_the_default_mode_nothing_is_done_unattended(
    make_desk: Callable[..., Desk], prefect: Any, clock: Any, store: Store
) -> None:
    prefect.fail("run-1")
    await ticks(Watcher(make_desk(policy=RemedyPolicy())), clock, 5, 60, 600)
    assert prefect.retries == []
    assert (await session_of(store)).resolution_status is ResolutionStatus.MANUAL


async def test_our_own_failures_are_never_taken_up(
    watcher: Watcher, prefect: Any, clock: Any, store: Store
) -> None:
    prefect.flow_name = "autopilot-monitor"
    prefect.fail("run-1")
    await ticks(watcher, clock, 5, 60)
    assert await store.sessions() == ()
    assert prefect.retries == []
    assert await store.runs() == (), "and they are not observed either"


@pytest.mark.parametrize("type_", ["COMPLETED", "CANCELLED"])
async def test_what_did_not_fail_is_left_alone(
    watcher: Watcher, prefect: Any, clock: Any, store: Store, type_: str
) -> None:
    prefect.start("run-1")
    prefect.add_state("run-1", type_, type_.title())
    await ticks(watcher, clock, 5)
    assert await store.sessions() == ()


async def test_a_crash_is_a_failure_too(watcher: Watcher, prefect: Any, clock: Any, store: Store) -> None:
    prefect.fail("run-1", type_="CRASHED")
    await ticks(watcher, clock, 5)
    assert (await session_of(store)).diagnosis is None, "the worker may tell the same death once more"
    clock.forward(12)
    await ticks(watcher, clock, 2)
    assert (await session_of(store)).diagnosis is not None


async def test_the_same_failure_seen_at_every_look_is_one_session(
    watcher: Watcher, prefect: Any, clock: Any, store: Store
) -> None:
    prefect.fail("run-1", error=BUG)
    await ticks(watcher, clock, *[5] * 10)
    assert len(await store.sessions()) == 1
    assert len(prefect.artifacts) == 1


# Where it looks


class Looks:
    """Remembers since when failures were asked for."""

    def __init__(self, prefect: Any) -> None:
        self.prefect = prefect
        self.since: list[str] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        body = json.loads(request.content) if request.content else {}
        states = body.get("flow_runs", {}).get("state", {}).get("type", {}).get("any_", [])
        if states == ["CRASHED", "FAILED"]:
            self.since.append(body["flow_runs"]["end_time"]["after_"])
        answer: httpx.Response = self.prefect(request)
        return answer


async def test_the_first_look_goes_back_minutes_and_each_further_one_overlaps_the_last(
    make_desk: Callable[..., Desk], prefect: Any, clock: Any
) -> None:
    from prefect_autopilot.adapters.prefect_api import PrefectAPI

    looks = Looks(prefect)
    api = PrefectAPI("http://prefect.test/api", transport=httpx.MockTransport(looks))
    first = clock.now
    await ticks(Watcher(make_desk(api=api)), clock, 10, 10)
    expected = [first - FIRST_LOOK_BACK, first - OVERLAP, first + timedelta(seconds=10) - OVERLAP]
    assert looks.since == [at.isoformat() for at in expected]


async def test_failures_of_long_ago_are_history_for_a_watcher_that_never_ran_here(
    watcher: Watcher, prefect: Any, clock: Any, store: Store
) -> None:
    prefect.fail("ancient")
    clock.forward(FIRST_LOOK_BACK.total_seconds() + 1)
    prefect.fail("recent")
    await ticks(watcher, clock, 5)
    assert [session.flow_run_id for session in await store.sessions()] == ["recent"]


async def test_a_failure_that_ended_on_a_slower_clock_is_still_seen(
    watcher: Watcher, prefect: Any, clock: Any, store: Store
) -> None:
    await watcher.tick()
    clock.forward(10)
    prefect.fail("run-1", error=BUG)
    prefect.runs["run-1"]["end_time"] = (clock.now - timedelta(seconds=50)).isoformat()
    await watcher.tick()
    assert await store.session_for_run("run-1") is not None


@pytest.mark.parametrize("behind_s", [50, 200, 590], ids=["a minute", "some minutes", "ten minutes"])
async def test_a_failure_on_a_clock_that_is_minutes_behind_is_found_although_its_event_was_lost(
    watcher: Watcher, prefect: Any, clock: Any, store: Store, behind_s: int
) -> None:
    await ticks(watcher, clock, 10)
    prefect.fail("run-1", error=BUG)
    prefect.runs["run-1"]["end_time"] = (clock.now - timedelta(seconds=behind_s)).isoformat()
    await ticks(watcher, clock, *[30] * 10)
    assert len(await store.sessions()) == 1


async def test_a_failure_that_an_event_told_of_is_found_whatever_its_clock_says(
    watcher: Watcher, prefect: Any, clock: Any, store: Store
) -> None:
    await ticks(watcher, clock, 10)
    prefect.fail("run-1", error=BUG)
    prefect.finish("run-2")
    prefect.runs["run-1"]["end_time"] = (clock.now - timedelta(days=3)).isoformat()
    for run in ("run-1", "run-2", "deleted meanwhile"):
        watcher.hint.tell(f"prefect.flow-run.{run}")
    await watcher.tick()
    assert (await session_of(store)).origin == "event"
    assert len(await store.sessions()) == 1


async def test_an_event_is_asked_about_once_and_only_where_the_look_did_not_find_its_run(
    desk_over: Callable[..., Desk], prefect: Any, clock: Any
) -> None:
    asked: list[list[str]] = []

    def server(request: httpx.Request) -> httpx.Response:
        wanted = json.loads(request.content).get("flow_runs", {}) if request.content else {}
        asked.extend([wanted["id"]["any_"]] if "id" in wanted else [])
        answer: httpx.Response = prefect(request)
        return answer

    watcher = Watcher(desk_over(server))
    await watcher.tick()
    prefect.fail("run-1", error=BUG)
    for run in ("run-1", "gone"):
        watcher.hint.tell(f"prefect.flow-run.{run}")
    await ticks(watcher, clock, 5, 600)
    assert asked.count(["gone"]) == 1
    assert asked[0] == ["gone"], "the look itself found run-1"
    assert watcher.hint.unseen == set()


async def test_what_an_event_told_of_is_kept_until_a_look_succeeds(
    watcher: Watcher, prefect: Any, clock: Any, store: Store
) -> None:
    await ticks(watcher, clock, 10)
    prefect.fail("run-1", error=BUG)
    prefect.runs["run-1"]["end_time"] = (clock.now - timedelta(days=3)).isoformat()
    watcher.hint.tell("prefect.flow-run.run-1")
    prefect.down = True
    with pytest.raises(PrefectError):
        await watcher.tick()
    prefect.down = False
    await watcher.tick()
    assert await store.session_for_run("run-1") is not None


async def test_a_look_that_goes_far_back_opens_nothing_anew_for_what_was_handed_over(
    watcher: Watcher, prefect: Any, clock: Any, store: Store
) -> None:
    await ticks(watcher, clock, 5)
    prefect.fail("run-1", error=BUG)
    await ticks(watcher, clock, 15, 60, 15)
    prefect.runs["run-1"]["run_count"] = 2  # an attempt that no session has claimed
    await ticks(watcher, clock, *[60] * 12)
    assert len(await store.sessions()) == 1


async def test_a_watcher_whose_clock_is_ahead_asks_by_the_clock_of_the_server(
    make_desk: Callable[..., Desk], prefect: Any, clock: Any, store: Store
) -> None:
    desk = make_desk()
    desk.api.server_behind = timedelta(hours=1)
    watcher = Watcher(desk)
    for run in ("run-1", "run-2", "run-3"):
        prefect.fail(run, error=BUG)
        prefect.runs[run]["end_time"] = (clock.now - timedelta(hours=1)).isoformat()
        await ticks(watcher, clock)
        assert await store.session_for_run(run) is not None
        clock.forward(20)


async def test_what_failed_while_no_watcher_ran_is_found_by_the_next(
    make_desk: Callable[..., Desk], prefect: Any, clock: Any, store: Store
) -> None:
    await Watcher(make_desk(holder="before")).tick()
    clock.forward(3600)
    prefect.fail("run-1", error=BUG)
    clock.forward(3 * 3600)
    await ticks(Watcher(make_desk(holder="after")), clock, 5)
    assert await store.session_for_run("run-1") is not None


async def test_what_failed_while_the_server_was_out_of_reach_is_found_afterwards(
    watcher: Watcher, prefect: Any, clock: Any, store: Store
) -> None:
    await watcher.tick()
    prefect.fail("run-1", error=BUG)
    prefect.down = True
    for _ in range(3):
        clock.forward(600)
        with pytest.raises(PrefectError) as caught:
            await watcher.tick()
        assert not caught.value.permanent
    prefect.down = False
    await ticks(watcher, clock, 5)
    assert await store.session_for_run("run-1") is not None


async def test_a_failure_that_could_not_be_taken_up_is_looked_for_again(
    watcher: Watcher, prefect: Any, clock: Any, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    await watcher.tick()
    reached = await store.cursor(CURSOR)
    clock.forward(600)
    prefect.fail("run-1", error=BUG)
    clock.forward(300)

    async def busy(*_args: object) -> None:
        raise StoreError("The database is locked.", permanent=False)

    with monkeypatch.context() as patch:
        patch.setattr(store, "claim_session", busy)
        with pytest.raises(StoreError):
            await watcher.tick()
    assert await store.cursor(CURSOR) == reached, "it must not move past what nobody has taken up"
    await ticks(watcher, clock, 5)
    assert await store.session_for_run("run-1") is not None


# Only one acts


def test_the_lease_has_the_name_the_journal_checks() -> None:
    assert LEASE == WATCHER_LEASE


async def test_a_second_watcher_stands_by(
    make_desk: Callable[..., Desk], prefect: Any, clock: Any, store: Store
) -> None:
    first, second = Watcher(make_desk(holder="first")), Watcher(make_desk(holder="second"))
    await first.tick()
    prefect.fail("run-1")
    clock.forward(5)
    assert await second.tick() == 0
    assert await store.sessions() == ()
    assert prefect.retries == []


async def test_a_watcher_on_standby_asks_prefect_nothing_and_tells_nobody(
    make_desk: Callable[..., Desk], prefect: Any, clock: Any
) -> None:
    sent: list[httpx.Request] = []
    standby = make_desk(
        holder="second",
        channels=(HOOK,),
        outgoing=httpx.MockTransport(lambda request: sent.append(request) or httpx.Response(200)),
    )
    first = Watcher(make_desk(holder="first"))
    prefect.fail("run-1", error=BUG)
    await ticks(first, clock, 5)
    calls = standby.api.calls
    await Watcher(standby).tick()
    assert standby.api.calls == calls
    assert sent == []


async def test_a_watcher_that_falls_silent_is_replaced_and_does_not_come_back_by_itself(
    make_desk: Callable[..., Desk], prefect: Any, clock: Any, store: Store
) -> None:
    first, second = Watcher(make_desk(holder="first")), Watcher(make_desk(holder="second"))
    await first.tick()
    clock.forward(31)
    prefect.fail("run-1")
    await ticks(second, clock, 5)
    assert len(prefect.retries) == 1
    prefect.fail("run-2")
    clock.forward(5)
    assert await first.tick() == 0, "its lease is another's now"
    assert await store.session_for_run("run-2") is None


async def test_a_watcher_that_keeps_ticking_keeps_its_lease(
    make_desk: Callable[..., Desk], prefect: Any, clock: Any
) -> None:
    first, second = Watcher(make_desk(holder="first")), Watcher(make_desk(holder="second"))
    for _ in range(10):
        clock.forward(20)
        await first.tick()
        clock.forward(5)
        await second.tick()
    assert first._token is not None
    assert second._token is None


async def test_of_many_watchers_that_start_at_once_one_acts_and_one_remedy_is_applied(
    make_desk: Callable[..., Desk], prefect: Any, clock: Any, store: Store
) -> None:
    watchers = [Watcher(make_desk(holder=f"watcher-{number}")) for number in range(5)]
    prefect.fail("run-1")
    for _ in range(3):
        clock.forward(5)
        await asyncio.gather(*(watcher.tick() for watcher in watchers))
    assert sum(watcher._token is not None for watcher in watchers) == 1
    assert len(prefect.retries) == 1
    assert len(await store.sessions()) == 1


async def test_a_session_left_behind_is_taken_on_by_the_next_watcher(
    make_desk: Callable[..., Desk], prefect: Any, clock: Any, store: Store
) -> None:
    prefect.fail("run-1")
    await ticks(Watcher(make_desk(holder="killed")), clock, 5)
    prefect.finish("run-1")
    clock.forward(600)
    await Watcher(make_desk(holder="next")).tick()
    assert (await session_of(store)).resolution_status is ResolutionStatus.AUTO_RESOLVED
    assert len(prefect.retries) == 1


# Trouble


async def test_one_sessions_trouble_does_not_hold_up_the_others(
    watcher: Watcher,
    prefect: Any,
    clock: Any,
    store: Store,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    for number in range(1, 8):
        prefect.fail(f"run-{number}", error=BUG)
        prefect.runs[f"run-{number}"]["deployment_id"] = f"dep-{number}"
    advance = module.resolve.advance

    async def partly(desk: Desk, session_id: str) -> TroubleshootingSession:
        session = await store.session(session_id)
        if session is not None and session.flow_run_id == "run-3":
            raise ConflictError("The session was changed meanwhile.")
        return await advance(desk, session_id)

    clock.forward(5)
    with monkeypatch.context() as patch, caplog.at_level(logging.WARNING, logger="prefect_autopilot"):
        patch.setattr(module.resolve, "advance", partly)
        await watcher.tick()
    done = {session.flow_run_id for session in await store.sessions(status=ResolutionStatus.ESCALATED)}
    assert done == {f"run-{number}" for number in (1, 2, 4, 5, 6, 7)}
    assert "The session was changed meanwhile." in caplog.text
    clock.forward(1)
    await watcher.tick()
    assert (await session_of(store, "run-3")).resolution_status is ResolutionStatus.ESCALATED


async def test_a_mistake_of_ours_is_not_hidden_as_one_sessions_trouble(
    watcher: Watcher, prefect: Any, clock: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def broken(*_args: object) -> None:
        raise ZeroDivisionError

    prefect.fail("run-1")
    clock.forward(5)
    monkeypatch.setattr(module.resolve, "advance", broken)
    with pytest.raises(ZeroDivisionError):
        await watcher.tick()


async def test_few_sessions_are_taken_on_at_the_same_time(
    watcher: Watcher, prefect: Any, clock: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(12):
        prefect.fail(f"run-{number}", error=BUG)
    clock.forward(5)
    advance, under_way, most = module.resolve.advance, 0, 0

    async def counted(desk: Desk, session_id: str) -> TroubleshootingSession:
        nonlocal under_way, most
        under_way += 1
        most = max(most, under_way)
        try:
            return await advance(desk, session_id)
        finally:
            under_way -= 1

    monkeypatch.setattr(module.resolve, "advance", counted)
    assert await watcher.tick() == 12
    assert most == module.AT_ONCE


class Restless(Watcher):
    """A watcher that notes its pauses instead of making them, and stops after ten; a test may intervene."""

    def __init__(self, desk: Desk, between: Callable[[int], None] = lambda _turn: None) -> None:
        super().__init__(desk)
        self.pauses: list[float] = []
        self.between = between

    async def _pause(self) -> None:
        self.pauses.append(await self._idle_s())
        self.between(len(self.pauses))
        if len(self.pauses) == 10:
            self.stopped.set()


async def test_an_unreachable_server_is_waited_for_and_work_goes_on_when_it_is_back(
    desk: Desk, prefect: Any, clock: Any, store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    prefect.fail("run-1", error=BUG)
    clock.forward(5)
    prefect.down = True

    def back_at_the_third(turn: int) -> None:
        prefect.down = turn < 3

    with caplog.at_level(logging.WARNING, logger="prefect_autopilot"):
        await Restless(desk, back_at_the_third).run()
    assert "cannot be reached" in caplog.text
    assert caplog.text.count("Trying again in 15 s.") == 3
    assert (await session_of(store)).resolution_status is ResolutionStatus.ESCALATED


@pytest.mark.parametrize(
    "error",
    [
        PrefectError("refused our credentials", permanent=True, status=401),
        StoreError("The database was written by a newer version."),
    ],
    ids=["credentials", "database"],
)
async def test_what_does_not_pass_ends_the_watcher_with_its_reason(
    desk: Desk, error: AutopilotError, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def refused(*_args: object, **_named: object) -> None:
        raise error

    watcher = Restless(desk)
    monkeypatch.setattr(desk.api, "failed_runs_since", refused)
    with pytest.raises(type(error), match=error.message):
        await watcher.run()
    assert watcher.pauses == []


# When it looks again


async def test_without_anything_due_it_sleeps_one_interval(watcher: Watcher) -> None:
    await watcher.tick()
    assert await watcher._idle_s() == watcher.poll_interval_s


async def test_it_wakes_when_the_next_session_is_due(watcher: Watcher, prefect: Any) -> None:
    prefect.fail("run-1")
    await watcher.tick()
    assert await watcher._idle_s() == 3, "the time logs are given to arrive"


async def test_a_session_due_far_away_does_not_stop_the_watching(
    watcher: Watcher, prefect: Any, clock: Any
) -> None:
    prefect.fail("run-1")
    await ticks(watcher, clock, 5)
    due = await watcher.desk.store.next_due()
    assert due is not None
    assert due > clock.now + timedelta(seconds=10)
    assert await watcher._idle_s() == watcher.poll_interval_s


async def test_more_overdue_work_is_gone_on_with_at_once(watcher: Watcher, prefect: Any, clock: Any) -> None:
    prefect.fail("run-1")
    await watcher.tick()
    clock.forward(60)
    assert await watcher._idle_s() == 0.2


async def test_a_session_in_trouble_is_not_tried_again_without_a_pause(
    desk: Desk, prefect: Any, clock: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def refused(*_args: object) -> None:
        raise ConflictError("no")

    prefect.fail("run-1")
    clock.forward(60)
    monkeypatch.setattr(module.resolve, "advance", refused)
    watcher = Restless(desk)
    await watcher.run()
    assert watcher.pauses == [watcher.poll_interval_s] * 10


async def test_a_server_out_of_reach_is_not_called_without_a_pause(
    desk: Desk, prefect: Any, clock: Any
) -> None:
    watcher = Restless(desk)
    prefect.fail("run-1")
    await watcher.tick()
    clock.forward(60)
    prefect.down = True
    await watcher.run()
    assert watcher.pauses == [watcher.poll_interval_s] * 10


async def test_a_watcher_on_standby_sleeps_a_whole_interval_whatever_is_due(
    make_desk: Callable[..., Desk], watcher: Watcher, prefect: Any, clock: Any
) -> None:
    prefect.fail("run-1")
    await Watcher(make_desk(holder="first")).tick()
    clock.forward(20)
    await watcher.tick()
    assert await watcher._idle_s() == watcher.poll_interval_s


async def test_a_hint_is_used_up_by_the_look_it_causes(watcher: Watcher) -> None:
    watcher.hint.set()
    await watcher._pause()
    assert not watcher.hint.is_set()


async def test_a_hint_wakes_it_before_its_interval_is_over(watcher: Watcher) -> None:
    watcher.poll_interval_s = 3600
    await watcher.tick()
    pause = asyncio.create_task(watcher._pause())
    await asyncio.sleep(0)
    watcher.hint.set()
    await asyncio.wait_for(pause, 20)


async def test_it_stops_when_told_and_gives_its_lease_back(
    make_desk: Callable[..., Desk], watcher: Watcher, prefect: Any
) -> None:
    watcher.poll_interval_s = 3600
    running = asyncio.create_task(watcher.run())
    async with asyncio.timeout(20):
        while watcher._token is None:  # noqa: ASYNC110  # the lease has no event to wait for
            await asyncio.sleep(0.01)
    watcher.stopped.set()
    await asyncio.wait_for(running, 20)
    successor = Watcher(make_desk(holder="successor"))
    await successor.tick()
    assert successor._token is not None, "no need to wait until the lease runs out"


async def test_a_watcher_that_is_stopped_before_it_began_does_nothing(
    watcher: Watcher, prefect: Any, store: Store
) -> None:
    prefect.fail("run-1")
    watcher.stopped.set()
    await watcher.run()
    assert await store.sessions() == ()


# What people are told


class Receiver:
    """A webhook that can be out of order."""

    def __init__(self) -> None:
        self.bodies: list[str] = []
        self.status = 200

    def __call__(self, request: httpx.Request) -> httpx.Response:
        if self.status == 200:
            self.bodies.append(request.content.decode())
        return httpx.Response(self.status)


@pytest.fixture
def receiver() -> Receiver:
    return Receiver()


@pytest.fixture
def telling(make_desk: Callable[..., Desk], receiver: Receiver) -> Watcher:
    return Watcher(make_desk(channels=(HOOK,), outgoing=httpx.MockTransport(receiver)))


async def test_an_escalation_is_told_once(
    telling: Watcher, receiver: Receiver, prefect: Any, clock: Any
) -> None:
    prefect.fail("run-1", error=BUG)
    await ticks(telling, clock, 5, 60, 60)
    (body,) = receiver.bodies
    assert "escalated" in body
    assert "run-1" in body
    assert "KeyError" in body


async def test_a_verified_resolution_is_told_and_not_before_it_is_seen(
    telling: Watcher, receiver: Receiver, prefect: Any, clock: Any
) -> None:
    prefect.fail("run-1")
    await ticks(telling, clock, 5, 5)
    assert receiver.bodies == []
    prefect.finish("run-1")
    await ticks(telling, clock, 600)
    (body,) = receiver.bodies
    assert '"resolved"' in body


async def test_a_channel_out_of_order_gets_its_notice_later(
    telling: Watcher, receiver: Receiver, prefect: Any, clock: Any
) -> None:
    receiver.status = 503
    prefect.fail("run-1", error=BUG)
    await ticks(telling, clock, 5)
    assert receiver.bodies == []
    receiver.status = 200
    await ticks(telling, clock, 3600)
    assert len(receiver.bodies) == 1


async def test_what_is_to_be_told_does_not_wait_for_an_unreachable_prefect(
    telling: Watcher, receiver: Receiver, prefect: Any, clock: Any, store: Store
) -> None:
    await store.queue_notice(Notice(notice_id="n1", outcome="escalated", title="t", text="x"), clock.now)
    prefect.down = True
    with pytest.raises(PrefectError):
        await telling.tick()
    assert len(receiver.bodies) == 1


# What it measures


def lines(watcher: Watcher, name: str) -> list[str]:
    text = watcher.fleet.render(watcher.desk.clock()).decode()
    return [line for line in text.splitlines() if line.startswith(f"prefect_autopilot_{name}")]


def value(watcher: Watcher, name: str) -> float:
    (line,) = lines(watcher, name)
    return float(line.rpartition(" ")[2])


async def test_finished_runs_are_counted_once_by_flow_deployment_and_state(
    watcher: Watcher, prefect: Any, clock: Any
) -> None:
    prefect.finish("run-1")
    prefect.finish("run-2")
    prefect.fail("run-3", error=BUG)
    await ticks(watcher, clock, 61, 61)
    counted = sorted(lines(watcher, "flow_runs_total"))
    assert [line.rpartition(" ")[2] for line in counted] == ["2.0", "1.0"]
    assert 'deployment="prod",flow="orders",state="COMPLETED"' in counted[0]
    assert 'state="FAILED"' in counted[1]


async def test_a_run_that_took_long_is_counted_when_it_ends(
    watcher: Watcher, prefect: Any, clock: Any
) -> None:
    prefect.start("run-1")
    await watcher.tick()
    assert value(watcher, "flow_runs_in_progress") == 1
    await ticks(watcher, clock, 600, 600, 600)
    prefect.add_state("run-1", "COMPLETED", "Completed")
    await ticks(watcher, clock, 61)
    assert lines(watcher, "flow_runs_in_progress{") == []
    assert value(watcher, "flow_runs_total") == 1
    assert value(watcher, "flow_run_duration_seconds_count") == 1


async def test_runs_that_ended_while_the_assessment_failed_are_counted_by_the_next(
    watcher: Watcher, prefect: Any, clock: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    await watcher.tick()
    clock.forward(70)
    prefect.finish("run-1")
    with monkeypatch.context() as patch:

        async def unreachable(*_args: object) -> None:
            raise PrefectError("gone", permanent=False)

        patch.setattr(module.observe, "ingest", unreachable)
        for _ in range(5):
            clock.forward(70)
            with pytest.raises(PrefectError):
                await watcher.tick()
    await watcher.tick()
    assert value(watcher, "flow_runs_total") == 1


async def test_the_fleet_is_judged_once_in_a_while_and_not_at_every_tick(
    watcher: Watcher, prefect: Any, clock: Any, store: Store
) -> None:
    await watcher.tick()
    prefect.finish("run-1")
    clock.forward(30)
    await watcher.tick()
    assert await store.runs() == ()
    clock.forward(30)
    await watcher.tick()
    assert [run.id for run in await store.runs()] == ["run-1"]


async def test_a_good_look_is_stamped_and_a_failed_one_is_counted(
    watcher: Watcher, prefect: Any, clock: Any
) -> None:
    await watcher.tick()
    good = clock.now.timestamp()
    prefect.down = True
    clock.forward(60)
    with pytest.raises(PrefectError):
        await watcher.tick()
    assert value(watcher, "last_successful_poll_timestamp_seconds") == good
    assert value(watcher, "poll_errors_total") == 1
    assert value(watcher, "poll_duration_seconds_count") == 2


async def test_an_alert_of_a_rule_is_a_metric_and_a_notice(
    telling: Watcher, receiver: Receiver, prefect: Any, clock: Any, store: Store
) -> None:
    rule = MonitoringRule(
        workflow_id="dep-1",
        metric_name="error_rate",
        condition=AlertCondition.GREATER_THAN,
        threshold=0.5,
        alert_type=AlertType.ERROR_RATE_INCREASE,
        cooldown_minutes=0,
    )
    await store.add_rule(rule)
    for number in range(6):
        prefect.fail(f"run-{number}", error=BUG)
    for _ in range(8):
        await ticks(telling, clock, 61)
    assert any(float(line.rpartition(" ")[2]) >= 1 for line in lines(telling, "alerts_firing{"))
    assert any('"info"' in body for body in receiver.bodies)


async def test_health_becomes_a_metric_only_when_it_is_known(
    watcher: Watcher, prefect: Any, clock: Any
) -> None:
    for number in range(4):
        prefect.finish(f"run-{number}")
    await ticks(watcher, clock, 61)
    assert lines(watcher, "deployment_health_score{") == []
    prefect.finish("run-5")
    await ticks(watcher, clock, 61)
    assert lines(watcher, "deployment_health_score{") == [
        'prefect_autopilot_deployment_health_score{deployment="prod",flow="orders"} 1.0'
    ]


async def test_runs_older_than_the_retention_are_forgotten_once_a_day(
    watcher: Watcher, clock: Any, store: Store
) -> None:
    watcher.retention_days = 7

    def old(name: str) -> RunRecord:
        at = clock.now - timedelta(days=8)
        state = StateRecord(id=f"{name}-s", type="COMPLETED", name="Completed", timestamp=at)
        return RunRecord(id=name, flow_name="orders", state=state, start=at, end=at)

    recent = old("recent").model_copy(update={"start": clock.now - timedelta(days=6)})
    await store.upsert_runs([old("first"), recent])
    await watcher.tick()
    assert [run.id for run in await store.runs()] == ["recent"]
    await store.upsert_runs([old("second")])
    await ticks(watcher, clock, 3600)
    assert len(await store.runs()) == 2
    await ticks(watcher, clock, 23 * 3600)
    assert [run.id for run in await store.runs()] == ["recent"]


# From the settings


async def test_the_watcher_gets_what_the_settings_say_and_tells_where_it_looks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from prefect_autopilot.settings import load_settings

    seen: list[Watcher] = []

    async def remembered(self: Watcher) -> None:
        seen.append(self)

    monkeypatch.setenv("PREFECT_API_URL", "http://127.0.0.1:1/api")
    monkeypatch.setattr(Watcher, "run", remembered)
    hook, told = "https://hooks.test/x", list[str]()
    given = {"mode": "auto", "notify_webhook": hook, "poll_interval_s": 3}
    settings = load_settings(home=tmp_path, lease_ttl_s=9, retention_days=5, **given)
    await module.watch(settings, tell=told.append)
    (watcher,) = seen
    assert (watcher.poll_interval_s, watcher.lease_ttl_s, watcher.retention_days) == (3, 9, 5)
    assert watcher.desk.policy.mode == "auto"
    assert [channel.url.get_secret_value() for channel in watcher.desk.channels] == [hook]
    assert told == ["Watching http://127.0.0.1:1/api, mode auto; Ctrl-C ends."]


async def test_a_policy_that_cannot_be_read_stops_the_watcher_before_it_looks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from prefect_autopilot.settings import load_settings

    policy = tmp_path / "policy.toml"
    policy.write_text("mode = 'whatever'\n", encoding="utf-8")
    monkeypatch.setenv("PREFECT_API_URL", "http://127.0.0.1:1/api")
    with pytest.raises(ConfigurationError, match="wrong at mode"):
        await module.watch(settings=load_settings(home=tmp_path, policy_file=policy))


# The policy, while watching


def reading(desk: Desk, *told: RemedyPolicy | AutopilotError) -> tuple[Watcher, list[int]]:
    """Return a watcher whose policy is read as told, the last one from then on; and how often it was."""
    times: list[int] = []

    async def reread() -> RemedyPolicy:
        times.append(1)
        found = told[min(len(times), len(told)) - 1]
        if isinstance(found, AutopilotError):
            raise found
        return found

    return Watcher(replace(desk, policy=RemedyPolicy(mode="auto", paused=True), reread=reread)), times


async def test_a_policy_that_is_edited_while_watching_holds_within_a_minute(
    desk: Desk, prefect: Any, clock: Any
) -> None:
    watcher, times = reading(desk, RemedyPolicy(), RemedyPolicy(mode="auto"))
    await ticks(watcher, clock, 20, 20)
    assert (watcher.desk.policy.mode, len(times)) == ("propose", 1)
    prefect.fail("run-1")
    await ticks(watcher, clock, 30, 10)
    assert (watcher.desk.policy.mode, len(times)) == ("auto", 2)
    assert len(prefect.retries) == 1


async def test_a_policy_is_read_seldom_while_there_is_nothing_to_decide(
    desk: Desk, prefect: Any, clock: Any
) -> None:
    watcher, times = reading(desk, RemedyPolicy(mode="auto"))
    prefect.finish("run-1")
    await ticks(watcher, clock, *[15] * 4 * 19)
    assert len(times) == 2
    prefect.fail("run-2", error=BUG)
    await watcher.tick()
    assert len(times) == 3


async def test_a_policy_that_is_edited_wrongly_holds_everything_until_it_is_mended(
    desk: Desk, prefect: Any, clock: Any, caplog: pytest.LogCaptureFixture
) -> None:
    wrong = ConfigurationError("The block autopilot is wrong at mode.")
    watcher, _ = reading(desk, wrong, RemedyPolicy(mode="auto"))
    prefect.fail("run-1")
    await ticks(watcher, clock, 20)
    assert watcher.desk.policy.paused
    assert prefect.retries == []
    assert "wrong at mode" in caplog.text
    clock.forward(60)
    await watcher.tick()
    assert watcher.desk.policy == RemedyPolicy(mode="auto")


async def test_nothing_is_decided_while_nobody_knows_the_policy(desk: Desk, prefect: Any, clock: Any) -> None:
    away = PrefectError("The Prefect API cannot be reached.", permanent=False)
    watcher, times = reading(desk, away, away, RemedyPolicy(mode="auto"))
    prefect.fail("run-1")
    for _ in range(2):
        with pytest.raises(PrefectError):
            await watcher.tick()
    assert await desk.store.sessions() == ()
    await ticks(watcher, clock, 10)
    assert (len(times), len(prefect.retries)) == (3, 1)


# What looking costs


class Counting:
    """The server in memory, counting what it is asked."""

    def __init__(self, prefect: Any) -> None:
        self.prefect = prefect
        self.asked: Counter[str] = Counter()

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.asked[request.url.path.removeprefix("/api")] += 1
        if request.url.path.endswith(("/artifacts/filter", "/v2/concurrency_limits/filter")):
            return httpx.Response(200, json=[])
        answer: httpx.Response = self.prefect(request)
        return answer


async def test_while_runs_are_good_hardly_anything_is_asked(
    desk_over: Callable[..., Desk], prefect: Any, clock: Any
) -> None:
    server = Counting(prefect)
    prefect.finish("run-1")
    watcher = Watcher(desk_over(server))
    await watcher.tick()
    server.asked.clear()
    for _ in range(80):
        clock.forward(watcher.poll_interval_s)
        await watcher.tick()
    # Twenty minutes: each look asks once, each minute what ended, what is under way and what is deployed.
    assert server.asked["/flow_runs/filter"] <= 80 + 2 * 20
    assert server.asked["/automations/filter"] <= 2
    assert server.asked["/artifacts/filter"] <= 2
    assert sum(server.asked.values()) < 20 * 10


async def test_measures_are_read_each_time_while_runs_tell_them(
    desk_over: Callable[..., Desk], prefect: Any, clock: Any
) -> None:
    told: list[dict[str, Any]] = []

    def server(request: httpx.Request) -> httpx.Response:
        if request.url.path.endswith("/events/filter"):
            return httpx.Response(200, json={"events": told, "next_page": None})
        answer: httpx.Response = Counting(prefect)(request)
        return answer

    prefect.finish("run-1")
    desk = desk_over(server)
    watcher = Watcher(desk)
    await watcher.tick()

    def tell(value: float) -> None:
        resource = {"prefect.resource.id": "prefect.flow-run.run-1"}
        event = {"occurred": clock.now.isoformat(), "payload": {"name": "rows", "value": value}}
        told[:] = [event | {"resource": resource}]

    tell(5)
    await ticks(watcher, clock, 601)
    assert [run.measures for run in await desk.store.runs()] == [{"rows": 5.0}]
    tell(6)
    await ticks(watcher, clock, 61)
    assert [run.measures for run in await desk.store.runs()] == [{"rows": 6.0}]
