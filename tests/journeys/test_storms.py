"""Many runs that fail for one cause: one session, few notices, a canary before the others."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from prefect_autopilot.journeys import proposals
from prefect_autopilot.journeys.desk import Desk
from prefect_autopilot.journeys.storms import _allowed, _yes_for, cause_of
from prefect_autopilot.models import RemedyPolicy, ResolutionStatus, RetryRun, Storm, TroubleshootingSession
from prefect_autopilot.watcher import Watcher

BUG = "KeyError: 'total'"
REFUSED = "ConnectionRefusedError: [Errno 111] Connection refused"
QUICK = {"mode": "auto", "max_remedies_per_minute": 1000, "free_remedies": 10_000}


def fail_many(prefect: Any, count: int, name: str = "run", **how: Any) -> None:
    for number in range(count):
        run_id = f"{name}-{number}"
        prefect.fail(run_id, **how)
        prefect.clock.forward(-1.9)
        prefect.runs[run_id]["parameters"] = {"part": run_id}


@pytest.fixture
def desk(make_desk: Callable[..., Desk]) -> Desk:
    return make_desk(policy=RemedyPolicy.model_validate(QUICK))


async def ticks(desk: Desk, count: int = 1, seconds: float = 15) -> None:
    watcher = Watcher(desk)
    for _ in range(count):
        await watcher.tick()
        desk.clock.forward(seconds)  # type: ignore[attr-defined]


async def all_sessions(desk: Desk) -> tuple[TroubleshootingSession, ...]:
    return await desk.store.sessions(limit=1000)


async def notices(desk: Desk) -> list[Any]:
    """What people are told of sessions; alerts about the workflow's health are another matter."""
    return [one for one in await everything_told(desk) if one.session_id]


async def everything_told(desk: Desk) -> list[Any]:
    return [one.notice for one in await desk.store.pending_notices(desk.clock(), "webhook")]


def finish_retried(prefect: Any) -> None:
    for one in prefect.retries:
        if prefect.runs[one["run"]]["state_type"] == "SCHEDULED":
            prefect.finish(one["run"])


async def test_three_causes_are_three_sessions_and_a_handful_of_notices(desk: Desk, prefect: Any) -> None:
    fail_many(prefect, 30, "outage")
    fail_many(prefect, 30, "bug", error=BUG)
    fail_many(prefect, 30, "refused", error=REFUSED)
    await ticks(desk, 3)
    assert len(await all_sessions(desk)) == 3
    told = await notices(desk)
    assert [one.outcome for one in told] == ["escalated"]
    assert "29 further runs" in told[0].title
    assert len(await everything_told(desk)) <= 10
    assert len(prefect.retries) == 2


async def test_the_canary_goes_first_then_a_tenth_then_the_rest(desk: Desk, prefect: Any) -> None:
    fail_many(prefect, 60)
    await ticks(desk, 3)
    assert len(prefect.retries) == 1
    finish_retried(prefect)
    await ticks(desk, 4)
    assert len(prefect.retries) == 6
    finish_retried(prefect)
    for _ in range(12):
        await ticks(desk)
        finish_retried(prefect)
    assert len({one["run"] for one in prefect.retries}) == len(prefect.retries) == 60
    [session] = await all_sessions(desk)
    assert session.resolution_status is ResolutionStatus.AUTO_RESOLVED
    assert session.storm is not None
    assert (session.storm.runs, session.storm.resolved) == (59, 59)
    assert [one.outcome for one in await notices(desk)] == ["resolved"]
    records = await desk.store.remedy_records(session.fingerprint, "dep-1")
    assert (records["retry_run"].good, records["retry_run"].bad) == (60, 0), "each run was seen by itself"


async def test_nothing_but_the_canary_is_touched_while_it_fails(desk: Desk, prefect: Any) -> None:
    fail_many(prefect, 25)
    for _ in range(12):
        await ticks(desk, 1, 60)
        for one in prefect.retries:
            if prefect.runs[one["run"]]["state_type"] == "SCHEDULED":
                prefect.fail(one["run"])
    assert {one["run"] for one in prefect.retries} == {"run-0"}
    [session] = await all_sessions(desk)
    assert session.resolution_status is ResolutionStatus.ESCALATED
    assert [one.outcome for one in await notices(desk)] == ["escalated"]


async def test_three_runs_that_fail_again_stop_the_release(desk: Desk, prefect: Any) -> None:
    fail_many(prefect, 60)
    await ticks(desk, 3)
    finish_retried(prefect)
    await ticks(desk, 4)
    for one in prefect.retries[1:]:
        prefect.fail(one["run"])
    await ticks(desk, 4)
    assert len(prefect.retries) == 6
    [session] = await all_sessions(desk)
    assert session.resolution_status is ResolutionStatus.ESCALATED
    assert "5 failed again" in session.trail[-1]
    records = await desk.store.remedy_records(session.fingerprint, "dep-1")
    assert (records["retry_run"].good, records["retry_run"].bad) == (1, 5)


async def test_the_budget_of_a_minute_holds_within_a_storm(
    make_desk: Callable[..., Desk], prefect: Any
) -> None:
    desk = make_desk(policy=RemedyPolicy(mode="auto", max_remedies_per_minute=2))
    fail_many(prefect, 30)
    await ticks(desk, 3)
    for _ in range(8):
        before = len(prefect.retries)
        finish_retried(prefect)
        await ticks(desk, 3, 20)
        assert len(prefect.retries) - before <= 3
    assert len(prefect.retries) > 8


async def test_a_run_somebody_has_seen_to_is_left_alone(desk: Desk, prefect: Any) -> None:
    fail_many(prefect, 25)
    await ticks(desk, 3)
    prefect.finish("run-3")
    prefect.add_state("run-4", "CANCELLED", "Cancelled")
    del prefect.runs["run-5"]
    for _ in range(12):
        finish_retried(prefect)
        await ticks(desk)
    touched = {one["run"] for one in prefect.retries}
    assert not touched & {"run-3", "run-4", "run-5"}
    [session] = await all_sessions(desk)
    assert session.resolution_status is ResolutionStatus.PARTIAL
    assert session.storm is not None
    assert (session.storm.resolved, session.storm.left) == (21, 3)
    assert [one.outcome for one in await notices(desk)] == ["info"]
    fail_many(prefect, 2, "later")
    await ticks(desk)
    assert len(await all_sessions(desk)) == 3, "nobody looks at what joins a storm that is over"


async def test_late_runs_of_the_cause_join_the_storm_that_stands(desk: Desk, prefect: Any) -> None:
    fail_many(prefect, 25, error=BUG)
    await ticks(desk, 2)
    [session] = await all_sessions(desk)
    assert session.resolution_status is ResolutionStatus.ESCALATED
    fail_many(prefect, 3, "late", error=BUG)
    await ticks(desk, 2)
    assert len(await all_sessions(desk)) == 1
    assert len(await notices(desk)) == 1
    fail_many(prefect, 2, "elsewhere", error=BUG)
    for number in range(2):
        prefect.runs[f"elsewhere-{number}"]["deployment_id"] = "dep-2"
    await ticks(desk, 3)
    assert len(await all_sessions(desk)) == 2, "its people know nothing of the other deployment"


async def test_a_storm_that_was_handed_over_names_every_deployment_it_came_to(
    desk: Desk, prefect: Any
) -> None:
    for round_ in ("first", "later"):
        fail_many(prefect, 30, round_, error=BUG)
        for number in range(30):
            prefect.runs[f"{round_}-{number}"]["deployment_id"] = f"dep-{number % 3}"
        await ticks(desk, 2)
    [session] = await all_sessions(desk)
    assert session.resolution_status is ResolutionStatus.ESCALATED


async def test_a_few_failures_alike_are_sessions_of_their_own(desk: Desk, prefect: Any) -> None:
    fail_many(prefect, 19)
    await ticks(desk)
    assert len(await all_sessions(desk)) == 19


async def test_failures_that_come_in_drops_are_a_storm_from_the_twentieth_on(
    desk: Desk, prefect: Any
) -> None:
    watcher = Watcher(desk)
    for look in range(10):
        fail_many(prefect, 3, f"drop-{look}", error=BUG)
        await watcher.tick()
        desk.clock.forward(50)  # type: ignore[attr-defined]
    found = await all_sessions(desk)
    assert [one.storm is not None for one in found].count(True) == 1
    assert len(found) == 2, "one of the eighteen before the twentieth, and the storm"


async def test_failures_that_come_slowly_are_no_storm(desk: Desk, prefect: Any) -> None:
    watcher = Watcher(desk)
    for look in range(12):
        fail_many(prefect, 2, f"slow-{look}", error=BUG)
        await watcher.tick()
        desk.clock.forward(120)  # type: ignore[attr-defined]
    assert all(one.storm is None for one in await all_sessions(desk))


async def test_a_storm_that_lasts_for_hours_is_still_the_same(
    make_desk: Callable[..., Desk], prefect: Any
) -> None:
    desk = make_desk(policy=RemedyPolicy(mode="propose"))
    fail_many(prefect, 25)
    await ticks(desk, 3)
    desk.clock.forward(5 * 3600)  # type: ignore[attr-defined]
    fail_many(prefect, 25, "late")
    await ticks(desk, 2)
    [session] = await all_sessions(desk)
    assert (await desk.store.storm_counts(session.session_id)).total() == 49


async def test_a_retry_of_a_storm_counts_the_acts_of_earlier_sessions_on_that_run(
    desk: Desk, prefect: Any
) -> None:
    fail_many(prefect, 25)
    for number in range(3):
        retry = RetryRun(flow_run_id="run-7", delay_s=1)
        await desk.store.journal_intent("before", "run-7", f"s{number}", number, retry, None, desk.clock())
    desk.clock.forward(60)  # type: ignore[attr-defined]
    for _ in range(12):
        await ticks(desk, 2)
        finish_retried(prefect)
    retried = [one["run"] for one in prefect.retries]
    assert "run-7" not in retried
    assert len(retried) == len(set(retried)) == 24


async def test_two_watchers_see_one_storm(make_desk: Callable[..., Desk], prefect: Any) -> None:
    policy = RemedyPolicy.model_validate(QUICK)
    first, second = make_desk(policy=policy, holder="a"), make_desk(policy=policy, holder="b")
    fail_many(prefect, 25)
    for desk in (first, second, first, second):
        await ticks(desk)
    assert len(await all_sessions(first)) == 1
    assert len(prefect.retries) == 1


async def test_one_yes_is_enough_for_all_that_failed_alike(
    make_desk: Callable[..., Desk], prefect: Any
) -> None:
    desk = make_desk(policy=RemedyPolicy.model_validate(QUICK | {"mode": "propose"}))
    fail_many(prefect, 25)
    await ticks(desk, 3)
    assert prefect.retries == []
    [session] = await all_sessions(desk)
    [told] = await notices(desk)
    assert (told.outcome, "24 further runs" in told.title) == ("proposal", True)
    await proposals.approve(desk.store, session.session_id, by="person:ada", clock=desk.clock)
    for _ in range(12):
        await ticks(desk)
        finish_retried(prefect)
    assert len(prefect.retries) == 25


POSTING_FLOW = """
import httpx
from prefect import flow

@flow
def orders():
    httpx.post("https://api.shop.test/pay", json={}, timeout=5).raise_for_status()
"""


async def test_a_yes_to_doing_the_work_again_is_of_the_canarys_work_and_deployment_only(
    make_desk: Callable[..., Desk], prefect: Any
) -> None:
    prefect.deploy(POSTING_FLOW)
    desk = make_desk(policy=RemedyPolicy.model_validate(QUICK | {"mode": "propose"}))
    fail_many(prefect, 25)
    await ticks(desk, 3)
    [session] = await all_sessions(desk)
    await proposals.approve(desk.store, session.session_id, by="person:ada", clock=desk.clock, rerun=True)
    for _ in range(15):
        await ticks(desk)
        finish_retried(prefect)
    assert [one["run"] for one in prefect.retries] == ["run-0"]
    session = await desk.store.session(session.session_id) or session
    assert session.resolution_status is ResolutionStatus.PARTIAL
    assert session.approval is not None
    run = await desk.api.run("run-1")
    yes = _yes_for(run, session, desk.policy)
    assert yes is not None
    assert (yes.state_id, yes.rerun) == (run.state.id, False)
    assert _yes_for(run.model_copy(update={"deployment_id": "dep-2"}), session, desk.policy) is None
    guarded = desk.policy.model_copy(update={"protected_deployments": ("orders/prod",)})
    assert _yes_for(run, session, guarded) is None


async def test_a_pause_holds_a_storm_where_it_is(desk: Desk, prefect: Any) -> None:
    fail_many(prefect, 60)
    await ticks(desk, 3)
    finish_retried(prefect)
    await desk.store.pause_all("person:eve", desk.clock())
    await ticks(desk, 6)
    assert len(prefect.retries) == 1
    await desk.store.resume_all("person:eve", desk.clock())
    await ticks(desk, 4)
    assert len(prefect.retries) == 6


async def test_a_storm_whose_canary_somebody_retried_is_handed_over(desk: Desk, prefect: Any) -> None:
    fail_many(prefect, 25)
    await ticks(desk, 1, 1)
    prefect.add_state("run-0", "SCHEDULED", "AwaitingRetry", "retried in the UI")
    desk.clock.forward(10)  # type: ignore[attr-defined]
    await ticks(desk, 2)
    [session] = await all_sessions(desk)
    assert session.resolution_status is ResolutionStatus.ESCALATED
    assert prefect.retries == []


@pytest.mark.parametrize(
    ("storm", "most"),
    [
        ({"runs": 9}, 10),
        ({"runs": 59}, 5),
        ({"runs": 59, "released": 5}, 0),
        ({"runs": 59, "released": 2, "resolved": 2}, 1),
        ({"runs": 59, "resolved": 5}, 10),
        ({"runs": 59, "released": 3, "failed": 1}, 2),
        ({"runs": 9999}, 10),
        ({"runs": 9999, "released": 999}, 0),
        ({"runs": 9999, "resolved": 999}, 10),
    ],
    ids=["ten", "a tenth", "is out", "half seen", "seen", "some failed", "many", "all out", "then any"],
)
def test_a_tenth_is_seen_good_before_the_rest_is_released(storm: dict[str, int], most: int) -> None:
    assert _allowed(Storm.model_validate({"cause": "f", "spreads": True} | storm)) == most


async def test_runs_are_alike_when_only_ids_and_numbers_differ(desk: Desk, prefect: Any) -> None:
    prefect.fail("run-1", error="ValueError: row 17 of /data/a/b.csv")
    prefect.fail("run-2", error="ValueError: row 18 of /data/a/c.csv")
    prefect.fail("run-3", error="ValueError: no such column")
    causes = [cause_of(await desk.api.run(f"run-{number}")) for number in (1, 2, 3)]
    assert causes[0] == causes[1] != causes[2]
