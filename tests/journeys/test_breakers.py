"""A deployment that keeps failing is paused only where its owner named that, and resumed by a good run."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import httpx
import pytest

from prefect_autopilot.adapters import run_life
from prefect_autopilot.adapters.prefect_api import PrefectAPI
from prefect_autopilot.errors import ConflictError, PrefectError
from prefect_autopilot.journeys import resolve
from prefect_autopilot.journeys.desk import Desk
from prefect_autopilot.journeys.proposals import undo
from prefect_autopilot.models import PauseDeployment, RemedyPolicy, ResolutionStatus, TroubleshootingSession
from prefect_autopilot.troubleshooting import diagnose, diagnose_text

NAMED = RemedyPolicy(mode="auto", remedies={"pause_deployment": "auto"})


class Server:
    """The server in memory with a scheduled deployment that can be paused."""

    def __init__(self, prefect: Any) -> None:
        self.prefect = prefect
        self.paused = False
        self.scheduled = True
        self.schedules: list[dict[str, Any]] = []
        self.changes: list[dict[str, Any]] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        path = request.url.path.removeprefix("/api")
        if path.startswith("/deployments/dep-1/schedules/"):
            self.changes.append({path.rpartition("/")[2]: json.loads(request.content)})
            entry = next(one for one in self.schedules if path.endswith(one["id"]))
            # As Prefect 3.8 does: parameters that are left out are none.
            entry |= {"parameters": {}} | json.loads(request.content)
            return httpx.Response(204)
        if path != "/deployments/dep-1":
            answer: httpx.Response = self.prefect(request)
            return answer
        if request.method == "PATCH":
            self.changes.append(json.loads(request.content))
            self.paused = self.changes[-1]["paused"]
            return httpx.Response(204)
        told = {"id": "dep-1", "name": "prod", "paused": self.paused, "path": str(self.prefect.folder)}
        told |= {
            "entrypoint": "orders.py:orders",
            "schedules": self.schedules or [{"active": self.scheduled}],
        }
        return httpx.Response(200, json=told)


@pytest.fixture
def server(prefect: Any) -> Server:
    return Server(prefect)


@pytest.fixture
def desk(make_desk: Callable[..., Desk], server: Server) -> Desk:
    async def no_sleep(_seconds: float) -> None:
        return

    api = PrefectAPI("http://prefect.test/api", transport=httpx.MockTransport(server), sleep=no_sleep)
    return make_desk(api=api, policy=NAMED)


async def failed(desk: Desk, prefect: Any, clock: Any, times: int = 3) -> TroubleshootingSession:
    """A run that failed for a cause of which so many verifications have failed before."""
    prefect.fail("run-1")
    run = await desk.api.run("run-1")
    clock.forward(10)
    opened = await resolve.take_up(desk, run)
    assert opened is not None
    fingerprint = diagnose(await resolve.read_evidence(desk.api, run, now=desk.clock())).fingerprint
    for number in range(times):
        await desk.store.record_verification(f"before-{number}", 1, fingerprint, "dep-1", "failed", clock.now)
    return await resolve.advance(desk, opened.session_id)


async def test_a_deployment_whose_breaker_is_open_is_paused_and_a_completed_run_resumes_it(
    desk: Desk, server: Server, prefect: Any, clock: Any
) -> None:
    session = await failed(desk, prefect, clock)
    assert [attempt.remedy.kind for attempt in session.attempts] == ["pause_deployment"]
    assert server.changes == [{"paused": True}]
    clock.forward(90)
    session = await resolve.advance(desk, session.session_id)
    assert session.resolution_status is ResolutionStatus.IN_PROGRESS
    prefect.finish("run-2")
    clock.forward(90)
    session = await resolve.advance(desk, session.session_id)
    assert server.changes == [{"paused": True}, {"paused": False}]
    assert session.resolution_status is ResolutionStatus.PARTIAL
    assert "resumed" in session.trail[-1]
    assert prefect.retries == []


@pytest.mark.parametrize(
    "policy",
    [
        RemedyPolicy(mode="auto"),
        RemedyPolicy(mode="auto", remedies={"pause_deployment": "propose"}),
        RemedyPolicy.model_validate({"deployments": [{"match": ["prod"], "mode": "auto"}]}),
        RemedyPolicy.model_validate(
            {
                "mode": "auto",
                "remedies": {"pause_deployment": "auto"},
                "deployments": [{"match": ["prod"], "mode": "propose"}],
            }
        ),
    ],
    ids=["auto in general", "proposed", "auto for the deployment", "strict for the deployment"],
)
async def test_no_general_mode_pauses_a_deployment(
    desk: Desk, make_desk: Any, server: Server, prefect: Any, clock: Any, policy: RemedyPolicy
) -> None:
    session = await failed(make_desk(api=desk.api, policy=policy), prefect, clock)
    assert session.attempts == ()
    assert server.changes == []


@pytest.mark.parametrize("times", [0, 1, 2])
async def test_below_the_breaker_a_run_is_retried_as_ever(
    desk: Desk, server: Server, prefect: Any, clock: Any, times: int
) -> None:
    session = await failed(desk, prefect, clock, times)
    assert [attempt.remedy.kind for attempt in session.attempts] == ["retry_run"]
    assert server.changes == []


@pytest.mark.parametrize("stands", [{"paused": True}, {"scheduled": False}], ids=["paused", "unscheduled"])
async def test_where_a_pause_would_change_nothing_a_person_is_told(
    desk: Desk, server: Server, prefect: Any, clock: Any, stands: dict[str, bool]
) -> None:
    vars(server).update(stands)
    session = await failed(desk, prefect, clock)
    assert session.resolution_status is ResolutionStatus.ESCALATED
    assert server.changes == []


async def test_what_a_person_resumed_is_theirs(desk: Desk, server: Server, prefect: Any, clock: Any) -> None:
    session = await failed(desk, prefect, clock)
    server.paused = False
    prefect.finish("run-2")
    clock.forward(90)
    session = await resolve.advance(desk, session.session_id)
    assert session.resolution_status is ResolutionStatus.CLOSED
    assert server.changes == [{"paused": True}]


@pytest.mark.parametrize("how", ["by somebody", "by the policy"])
async def test_while_everything_is_paused_no_deployment_is_resumed(
    desk: Desk, make_desk: Any, server: Server, prefect: Any, clock: Any, how: str
) -> None:
    session = await failed(desk, prefect, clock)
    prefect.finish("run-2")
    clock.forward(90)
    paused = NAMED.model_copy(update={"paused": how == "by the policy"})
    held = make_desk(api=desk.api, policy=paused)
    if how == "by somebody":
        await desk.store.pause_all("ada", clock.now)
    session = await resolve.advance(held, session.session_id)
    assert session.resolution_status is ResolutionStatus.IN_PROGRESS
    assert server.changes == [{"paused": True}]
    await desk.store.resume_all("ada", clock.now)
    clock.forward(90)
    session = await resolve.advance(desk, session.session_id)
    assert server.changes == [{"paused": True}, {"paused": False}]
    kinds = [entry.kind for entry in await desk.store.journal(session.session_id)]
    assert kinds == ["pause_deployment", "undo pause_deployment"]


async def test_a_server_that_is_silent_leaves_the_pause_for_the_next_look(
    desk: Desk, server: Server, prefect: Any, clock: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = await failed(desk, prefect, clock)
    prefect.finish("run-2")
    clock.forward(90)

    async def silent(*_args: Any, **_named: Any) -> None:
        raise PrefectError("The server is gone.", permanent=False)

    with monkeypatch.context() as patch:
        patch.setattr(run_life, "set_paused", silent)
        with pytest.raises(PrefectError):
            await resolve.advance(desk, session.session_id)
    clock.forward(90)
    session = await resolve.advance(desk, session.session_id)
    assert session.resolution_status is ResolutionStatus.PARTIAL
    assert server.changes == [{"paused": True}, {"paused": False}]
    assert await desk.store.open_intents() == ()


async def test_a_run_that_completed_before_the_pause_is_no_probe(
    desk: Desk, server: Server, prefect: Any, clock: Any
) -> None:
    prefect.finish("run-0")
    clock.forward(60)
    session = await failed(desk, prefect, clock)
    for _ in range(3):
        clock.forward(90)
        session = await resolve.advance(desk, session.session_id)
    assert server.changes in ([], [{"paused": True}])
    assert {"paused": False} not in server.changes


async def test_a_pause_of_days_is_a_persons_matter(
    desk: Desk, server: Server, prefect: Any, clock: Any
) -> None:
    session = await failed(desk, prefect, clock)
    clock.now += timedelta(days=4)
    session = await resolve.advance(desk, session.session_id)
    assert session.resolution_status is ResolutionStatus.ESCALATED
    assert server.paused


async def test_a_pause_can_be_taken_back_once(desk: Desk, server: Server, prefect: Any, clock: Any) -> None:
    session = await failed(desk, prefect, clock)
    assert isinstance(session.attempts[0].remedy, PauseDeployment)
    undone = await undo(desk, session.session_id, by="ada")
    assert undone.resolution_status is ResolutionStatus.ESCALATED
    assert server.changes == [{"paused": True}, {"paused": False}]
    with pytest.raises(ConflictError):
        await undo(desk, session.session_id, by="ada")
    assert len(server.changes) == 2


async def test_approve_asks_first(
    desk: Desk, make_desk: Any, server: Server, prefect: Any, clock: Any
) -> None:
    asking = make_desk(
        api=desk.api, policy=RemedyPolicy(mode="auto", remedies={"pause_deployment": "approve"})
    )
    session = await failed(asking, prefect, clock)
    assert session.resolution_status is ResolutionStatus.MANUAL
    assert session.decision is not None
    assert (session.decision.remedy.kind, session.decision.mode) == ("pause_deployment", "approve")
    assert server.changes == []


def test_the_cause_of_these_runs_passes_by_itself() -> None:
    assert diagnose_text("httpx.HTTPStatusError: Server error '503 Service Unavailable'").transient


HOURLY, NIGHTLY = (
    {"id": name, "active": True, "parameters": {"part": name}} for name in ("hourly", "nightly")
)


async def two_schedules(
    desk: Desk, server: Server, prefect: Any, clock: Any, *, ended: str = "finish", other: str = "nightly"
) -> TroubleshootingSession:
    """Runs of the hourly schedule fail; the last run of the other one has ended as told."""
    server.schedules = [dict(HOURLY), dict(NIGHTLY)]
    planned = {"run-0": other, "run-1": "hourly"}
    for run_id, schedule in planned.items():
        prefect.start(run_id)
        prefect.runs[run_id] |= {
            "idempotency_key": f"scheduled dep-1 {schedule} 2026-03-02T00:00:00+00:00",
            "parameters": {"part": schedule},
        }
    getattr(prefect, ended)("run-0")
    clock.forward(60)
    return await failed(desk, prefect, clock)


async def test_only_the_schedule_whose_runs_fail_is_paused_and_a_run_of_its_parameters_resumes_it(
    desk: Desk, server: Server, prefect: Any, clock: Any
) -> None:
    session = await two_schedules(desk, server, prefect, clock)
    assert "Pause its schedule until" in session.attempts[-1].remedy.told()
    assert server.schedules == [HOURLY | {"active": False}, NIGHTLY], "its parameters stay as they were"
    prefect.finish("run-2")
    prefect.runs["run-2"]["parameters"] = {"part": "nightly"}
    clock.forward(90)
    session = await resolve.advance(desk, session.session_id)
    assert session.resolution_status is ResolutionStatus.IN_PROGRESS, "that is another schedule's"
    prefect.finish("run-3")
    prefect.runs["run-3"]["parameters"] = {"part": "hourly"}
    clock.forward(90)
    session = await resolve.advance(desk, session.session_id)
    assert server.schedules == [HOURLY, NIGHTLY]
    assert "its schedule was resumed" in session.trail[-1]
    assert session.resolution_status is ResolutionStatus.PARTIAL


@pytest.mark.parametrize("case", [{"ended": "fail"}, {"other": "hourly"}], ids=["both fail", "no other ran"])
async def test_where_no_other_schedule_goes_well_the_deployment_is_paused(
    desk: Desk, server: Server, prefect: Any, clock: Any, case: dict[str, str]
) -> None:
    await two_schedules(desk, server, prefect, clock, **case)
    assert server.changes == [{"paused": True}]


@pytest.mark.parametrize("how", ["resumed", "deleted", "undone"])
async def test_a_schedule_that_a_person_has_seen_to_is_theirs(
    desk: Desk, server: Server, prefect: Any, clock: Any, how: str
) -> None:
    session = await two_schedules(desk, server, prefect, clock)
    if how == "undone":
        session = await undo(desk, session.session_id, by="ada")
        assert server.schedules == [HOURLY, NIGHTLY]
        assert session.resolution_status is ResolutionStatus.ESCALATED
        return
    server.schedules = [dict(HOURLY), dict(NIGHTLY)] if how == "resumed" else [dict(NIGHTLY)]
    clock.forward(90)
    session = await resolve.advance(desk, session.session_id)
    assert session.resolution_status is ResolutionStatus.CLOSED
    assert how in session.trail[-1]
    assert len(server.changes) == 1
