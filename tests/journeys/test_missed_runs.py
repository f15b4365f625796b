"""A scheduled time at which no run came is made up for once; every doubt leaves it to the next time."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from prefect_autopilot.journeys import resolve
from prefect_autopilot.journeys.desk import Desk
from prefect_autopilot.journeys.missed_runs import MissedWatch, last_missable
from prefect_autopilot.models import RemedyPolicy, ResolutionStatus, RunMissed
from prefect_autopilot.store import Store

DAILY = {"cron": "0 3 * * *", "timezone": "UTC"}
DUE = datetime(2026, 3, 3, 3, 0, tzinfo=UTC)


class Server:
    """The server in memory with one scheduled deployment whose runs have times they were planned for."""

    def __init__(self, prefect: Any) -> None:
        self.prefect = prefect
        self.entries: list[dict[str, Any]] = [
            {"active": True, "schedule": DAILY, "parameters": {"day": "last"}}
        ]
        self.paused = False
        self.gone = False
        self.made: dict[str, dict[str, Any]] = {}
        self.asked: list[dict[str, Any]] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        path = request.url.path.removeprefix("/api")
        body = json.loads(request.content) if request.content else {}
        told = {"id": "dep-1", "name": "prod", "paused": self.paused, "schedules": self.entries}
        told |= {"path": str(self.prefect.folder), "entrypoint": "orders.py:orders"}
        if path == "/deployments/filter":
            return httpx.Response(200, json=[] if self.gone else [told])
        if path == "/deployments/dep-1":
            return httpx.Response(404) if self.gone else httpx.Response(200, json=told)
        if path == "/deployments/dep-1/create_flow_run":
            return httpx.Response(200, json=self._create(body))
        window = body.get("flow_runs", {}).get("expected_start_time") if "flow_runs" in body else None
        if window:
            runs = [run for run in self.prefect.runs.values() if _within(run, window)]
            return httpx.Response(200, json=runs)
        answer: httpx.Response = self.prefect(request)
        if path == "/flow_runs/filter" and "deployment_id" in body["flow_runs"]:
            newest = sorted(json.loads(answer.content), key=lambda run: run["expected_start_time"])
            return httpx.Response(200, json=newest[::-1])
        return answer

    def _create(self, body: dict[str, Any]) -> dict[str, Any]:
        self.asked.append(body)
        key = body["idempotency_key"]
        if key not in self.made:
            run_id = f"made-{len(self.made) + 1}"
            self.run(run_id, self.prefect.clock.now, "SCHEDULED", "Scheduled")
            self.made[key] = self.prefect.runs[run_id]
        return self.made[key]

    def run(self, run_id: str, planned: datetime, *state: str) -> None:
        self.prefect.start(run_id)
        self.prefect.runs[run_id]["expected_start_time"] = planned.isoformat()
        if state:
            self.prefect.add_state(run_id, *state)


def _within(run: dict[str, Any], window: dict[str, str]) -> bool:
    planned = datetime.fromisoformat(run["expected_start_time"])
    return datetime.fromisoformat(window["after_"]) <= planned <= datetime.fromisoformat(window["before_"])


@pytest.fixture
def server(prefect: Any) -> Server:
    return Server(prefect)


@pytest.fixture
def desk(desk_over: Callable[..., Desk], server: Server) -> Desk:
    return desk_over(server)


@pytest.fixture
async def before(desk: Desk, server: Server, clock: Any, store: Store) -> MissedWatch:
    """Yesterday's run has completed, and the schedule was seen active ten minutes before its next time."""
    server.run("run-1", clock.now, "COMPLETED", "Completed")
    await store.upsert_runs([await desk.api.run("run-1")])
    clock.now = DUE - timedelta(minutes=10)
    watch = MissedWatch()
    assert await watch.look(desk) == ()
    return watch


async def after(watch: MissedWatch, desk: Desk, clock: Any, minutes: float = 40) -> Any:
    clock.now = DUE + timedelta(minutes=minutes)
    return await watch.look(desk)


async def test_a_missed_run_is_made_up_for_once_with_the_parameters_of_the_schedule(
    desk: Desk, server: Server, prefect: Any, clock: Any, before: MissedWatch
) -> None:
    (opened,) = await after(before, desk, clock)
    session = await resolve.advance(desk, opened.session_id)
    assert session.resolution_status is ResolutionStatus.IN_PROGRESS
    (asked,) = server.asked
    assert asked["parameters"] == {"day": "last"}
    assert asked["idempotency_key"] == "autopilot-missed-dep-1-2026-03-03T03:00:00+00:00"
    clock.forward(30)
    prefect.add_state("made-1", "COMPLETED", "Completed")
    session = await resolve.advance(desk, opened.session_id)
    assert session.resolution_status is ResolutionStatus.AUTO_RESOLVED
    clock.forward(120)
    assert await before.look(desk) == ()
    assert len(server.asked) == 1


async def test_another_watcher_that_saw_it_too_opens_nothing(
    desk: Desk, server: Server, clock: Any, before: MissedWatch
) -> None:
    clock.forward(-60)
    other = MissedWatch()
    await other.look(desk)
    assert len(await after(before, desk, clock)) + len(await after(other, desk, clock)) == 1


async def test_in_propose_mode_nothing_is_started(
    desk: Desk, make_desk: Any, server: Server, clock: Any, before: MissedWatch
) -> None:
    (opened,) = await after(before, desk, clock)
    proposing = make_desk(api=desk.api, policy=RemedyPolicy(mode="propose"))
    session = await resolve.advance(proposing, opened.session_id)
    assert session.resolution_status is ResolutionStatus.MANUAL
    assert session.decision is not None
    assert isinstance(session.decision.remedy, RunMissed)
    assert server.asked == []


async def test_a_run_that_comes_before_the_act_makes_it_needless(
    desk: Desk, server: Server, clock: Any, before: MissedWatch
) -> None:
    (opened,) = await after(before, desk, clock)
    server.run("run-2", clock.now, "COMPLETED", "Completed")
    session = await resolve.advance(desk, opened.session_id)
    assert session.resolution_status is ResolutionStatus.CLOSED
    assert server.asked == []


@pytest.mark.parametrize(
    ("state", "status"),
    [
        ("FAILED", ResolutionStatus.CLOSED),
        ("CRASHED", ResolutionStatus.CLOSED),
        ("CANCELLED", ResolutionStatus.ESCALATED),
        ("RUNNING", ResolutionStatus.IN_PROGRESS),
    ],
)
async def test_only_a_completed_run_makes_up_for_it(
    desk: Desk, prefect: Any, clock: Any, before: MissedWatch, state: str, status: ResolutionStatus
) -> None:
    (opened,) = await after(before, desk, clock)
    await resolve.advance(desk, opened.session_id)
    clock.forward(30)
    prefect.add_state("made-1", state, state.title())
    session = await resolve.advance(desk, opened.session_id)
    assert session.resolution_status is status


def _paused(server: Server, **_: Any) -> None:
    server.paused = True


def _switched_off(server: Server, **_: Any) -> None:
    server.entries[0]["active"] = False


def _two_schedules(server: Server, **_: Any) -> None:
    server.entries.append({"active": True, "schedule": {"interval": 7200}})


def _changed(server: Server, **_: Any) -> None:
    server.entries[0]["schedule"] = {"cron": "0 3 * * 1-5", "timezone": "UTC"}


def _deleted(server: Server, **_: Any) -> None:
    server.gone = True


def _came(server: Server, **_: Any) -> None:
    server.run("run-2", DUE)


def _is_late(server: Server, **_: Any) -> None:
    server.run("run-2", DUE, "SCHEDULED", "Late")


def _cancelled(server: Server, **_: Any) -> None:
    server.run("run-2", DUE, "CANCELLED", "Cancelled")


def _by_hand(server: Server, **_: Any) -> None:
    server.run("run-2", DUE + timedelta(minutes=20), "COMPLETED", "Completed")


def _last_failed(prefect: Any, **_: Any) -> None:
    prefect.add_state("run-1", "FAILED", "Failed")


def _still_running(server: Server, **_: Any) -> None:
    server.run("run-0", DUE - timedelta(days=3))


DOUBTS = [
    _paused,
    _switched_off,
    _two_schedules,
    _changed,
    _deleted,
    _came,
    _is_late,
    _cancelled,
    _by_hand,
    _last_failed,
    _still_running,
]


@pytest.mark.parametrize("doubt", DOUBTS, ids=lambda one: one.__name__.strip("_"))
async def test_with_any_doubt_nothing_is_made_up_for(
    desk: Desk, server: Server, prefect: Any, clock: Any, before: MissedWatch, doubt: Any
) -> None:
    doubt(server=server, prefect=prefect)
    assert await after(before, desk, clock) == ()


async def test_a_schedule_that_was_not_seen_active_before_its_time_proves_nothing(
    desk: Desk, clock: Any, before: MissedWatch
) -> None:
    fresh = MissedWatch()
    assert await after(fresh, desk, clock) == ()
    clock.forward(181)
    assert await fresh.look(desk) == ()


async def test_a_pause_around_the_time_is_an_owners_wish(
    desk: Desk, server: Server, clock: Any, before: MissedWatch
) -> None:
    server.paused = True
    assert await after(before, desk, clock, -2) == ()
    server.paused = False
    assert await after(before, desk, clock, 20) == ()
    assert await after(before, desk, clock, 40) == ()


async def test_a_server_that_is_away_makes_nothing_up_and_forgets_nothing(
    desk: Desk, prefect: Any, server: Server, clock: Any, before: MissedWatch
) -> None:
    broken, server.gone = server.gone, True
    assert await after(before, desk, clock, 20) == (), "not listed: nothing is known of it"
    server.gone = broken
    assert len(await after(before, desk, clock, 40)) == 1


NOW = datetime(2026, 3, 3, 12, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("schedule", "now", "due"),
    [
        (DAILY, DUE + timedelta(minutes=40), DUE),
        (DAILY, DUE + timedelta(minutes=10), None),
        (DAILY, DUE + timedelta(hours=20), None),
        (DAILY, DUE - timedelta(minutes=1), None),
        ({"cron": "0 3 * * 1-5"}, datetime(2026, 3, 8, 12, tzinfo=UTC), None),
        ({"interval": 600, "anchor_date": "2026-03-01T00:00:00+00:00"}, NOW + timedelta(minutes=5), None),
        (
            {"interval": 7200, "anchor_date": "2026-03-01T00:00:00+00:00"},
            NOW + timedelta(minutes=20),
            NOW,
        ),
        ({"cron": "not a cron"}, NOW, None),
        ({}, NOW, None),
    ],
    ids=[
        "late",
        "may still come",
        "the next is near",
        "not yet",
        "weekend",
        "often",
        "every two hours",
        "unreadable",
        "none",
    ],
)
def test_the_time_that_can_be_made_up_for(
    schedule: dict[str, Any], now: datetime, due: datetime | None
) -> None:
    assert last_missable(schedule, now) == due
