"""In mode approve a run of ours asks in the Prefect UI, once; in every other mode nobody is asked."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from prefect_autopilot.adapters.prefect_api import PrefectAPI
from prefect_autopilot.journeys import proposals, resolve
from prefect_autopilot.journeys.desk import Desk
from prefect_autopilot.models import RemedyPolicy, ResolutionStatus

BUG = "KeyError: 'total'"


class Server:
    """The server in memory, with or without the deployment that asks."""

    def __init__(self, prefect: Any) -> None:
        self.prefect = prefect
        self.deployed = True
        self.asked: list[dict[str, Any]] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        path = request.url.path.removeprefix("/api")
        if path == "/deployments/name/autopilot-resolve/autopilot-resolve":
            return httpx.Response(200, json={"id": "dep-ask"}) if self.deployed else httpx.Response(404)
        if path == "/deployments/dep-ask/create_flow_run":
            self.asked.append(json.loads(request.content))
            self.prefect.runs.setdefault("asking", {"id": "asking", "flow_id": "flow-1", "run_count": 0})
            self.prefect.add_state("asking", "SCHEDULED", "Scheduled")
            return httpx.Response(201, json=self.prefect.runs["asking"])
        answer: httpx.Response = self.prefect(request)
        return answer


def changed(wait: float | None) -> dict[str, float]:
    return {} if wait is None else {"delay_s": wait}


@pytest.fixture
def server(prefect: Any) -> Server:
    return Server(prefect)


@pytest.fixture
def asking(make_desk: Callable[..., Desk], server: Server) -> Callable[..., Desk]:
    async def no_sleep(_seconds: float) -> None:
        return

    api = PrefectAPI("http://prefect.test/api", transport=httpx.MockTransport(server), sleep=no_sleep)
    return lambda **policy: make_desk(api=api, policy=RemedyPolicy(**{"mode": "approve"} | policy))


async def settled(desk: Desk, prefect: Any, clock: Any, **failure: Any) -> Any:
    prefect.fail("run-1", **failure)
    clock.forward(10)
    opened = await resolve.take_up(desk, await desk.api.run("run-1"))
    assert opened is not None
    return await resolve.advance(desk, opened.session_id)


async def test_a_proposal_in_mode_approve_is_put_to_a_person_once(
    asking: Any, server: Server, prefect: Any, clock: Any
) -> None:
    desk = asking()
    session = await settled(desk, prefect, clock)
    assert session.resolution_status is ResolutionStatus.MANUAL
    assert [one["parameters"] for one in server.asked] == [{"session_id": session.session_id}]
    assert server.asked[0]["idempotency_key"].endswith(session.decision.state_id)
    for _ in range(3):
        clock.forward(300)
        await resolve.advance(desk, session.session_id)
    assert len(server.asked) == 1
    assert prefect.retries == []


@pytest.mark.parametrize(
    "policy",
    [{"mode": "propose"}, {"mode": "auto"}, {"remedies": {"retry_run": "propose"}}],
    ids=["propose", "auto", "proposed for this remedy"],
)
async def test_in_other_modes_nobody_is_asked(
    asking: Any, server: Server, prefect: Any, clock: Any, policy: dict[str, Any]
) -> None:
    await settled(asking(**policy), prefect, clock)
    assert server.asked == []


async def test_what_a_yes_cannot_help_is_not_asked(
    asking: Any, server: Server, prefect: Any, clock: Any
) -> None:
    session = await settled(asking(), prefect, clock, error=BUG)
    assert session.resolution_status is ResolutionStatus.ESCALATED
    assert server.asked == []


async def test_without_the_deployment_the_proposal_stands_and_the_audit_says_why(
    asking: Any, server: Server, prefect: Any, clock: Any
) -> None:
    server.deployed = False
    desk = asking()
    session = await settled(desk, prefect, clock)
    assert session.resolution_status is ResolutionStatus.MANUAL
    told = [entry.action for entry in await desk.store.audit_trail(session.session_id)]
    assert "not asked in Prefect" in told


@pytest.mark.parametrize(
    ("wished", "least", "most"),
    [(300, 300, 300), (0, 6, 10), (None, 6, 60)],
    ids=["longer", "none", "as proposed"],
)
async def test_a_person_may_change_the_wait_but_never_below_what_is_safe(
    asking: Any, prefect: Any, clock: Any, wished: float | None, least: float, most: float
) -> None:
    desk = asking()
    session = await settled(desk, prefect, clock)
    await proposals.approve(desk.store, session.session_id, by="ada", clock=clock, changes=changed(wished))
    session = await resolve.advance(desk, session.session_id)
    (attempt,) = session.attempts
    assert least <= attempt.remedy.delay_s <= most


async def test_a_wait_beyond_the_policys_is_not_taken_from_a_yes(
    asking: Any, prefect: Any, clock: Any
) -> None:
    desk = asking(max_wait_s=120)
    session = await settled(desk, prefect, clock)
    await proposals.approve(desk.store, session.session_id, by="ada", clock=clock, changes=changed(500))
    session = await resolve.advance(desk, session.session_id)
    assert session.attempts == ()
    assert prefect.retries == []
