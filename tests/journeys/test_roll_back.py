"""Back to the code that last completed a run: kept, proved, taken back where it does not help."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import httpx
import pytest
import taken_runs
from taken_runs import kinds, looked

from prefect_autopilot.adapters.deployed_code import code_of, is_other_code
from prefect_autopilot.journeys import proposals
from prefect_autopilot.journeys.desk import Desk
from prefect_autopilot.journeys.good_code import GOOD, LOOK_EVERY, SEEN, CodeWatch
from prefect_autopilot.models import RemedyPolicy, ResolutionStatus, TroubleshootingSession

BUG = "KeyError: 'total'"
OUTAGE = (
    "httpx.HTTPStatusError: Server error '503 Service Unavailable' for url 'https://api.shop.test/orders'"
)
NAMED = RemedyPolicy(mode="auto", remedies={"roll_back": "auto"}, rerun_allowed=("orders/prod",))


class Server:
    """The server in memory with one deployment that people deploy anew."""

    def __init__(self, prefect: Any) -> None:
        self.prefect = prefect
        self.asked = 0
        self.changes: list[dict[str, Any]] = []
        self.refuse_retry = False
        self.deployment: dict[str, Any] = {
            "id": "dep-1",
            "name": "prod",
            "path": str(prefect.folder),
            "entrypoint": "orders.py:orders",
            "pull_steps": None,
        }
        self.deploy("v1")

    def deploy(self, version: str, **more: Any) -> None:
        variables = {"image": f"shop:{version}", "cpu": 512}
        self.deployment |= {"version": version, "job_variables": variables} | more

    def __call__(self, request: httpx.Request) -> httpx.Response:
        path = request.url.path.removeprefix("/api")
        if path == "/deployments/dep-1" and request.method == "PATCH":
            self.changes.append(json.loads(request.content))
            self.deployment |= self.changes[-1]
            return httpx.Response(204)
        if path == "/deployments/dep-1":
            return httpx.Response(200, json=self.deployment)
        if path == "/deployments/filter":
            self.asked += 1
            return httpx.Response(200, json=[self.deployment])
        if path.endswith("/set_state") and self.refuse_retry:
            return httpx.Response(200, json={"status": "REJECT", "details": {"reason": "not now"}})
        answer: httpx.Response = self.prefect(request)
        return answer


@pytest.fixture
def server(prefect: Any) -> Server:
    return Server(prefect)


@pytest.fixture
def desk(desk_over: Callable[..., Desk], server: Server) -> Desk:
    return desk_over(server, policy=NAMED)


async def look(desk: Desk, watch: CodeWatch, run_id: str | None = None) -> None:
    """Take a run into the store, as every assessment does, and look a while later."""
    if run_id is not None:
        await desk.store.upsert_runs([await desk.api.run(run_id)])
    desk.clock.forward(LOOK_EVERY.total_seconds())  # type: ignore[attr-defined]
    await watch.look(desk)


async def release(desk: Desk, prefect: Any, server: Server, watch: CodeWatch) -> None:
    """Let the first version complete a run, then deploy the second."""
    prefect.finish("run-0")
    await look(desk, watch, "run-0")
    prefect.finish("run-0")
    await look(desk, watch, "run-0")
    server.deploy("v2")
    await look(desk, watch)


async def taken(desk: Desk, prefect: Any, error: str = BUG, **run: Any) -> TroubleshootingSession:
    return await taken_runs.taken(desk, prefect, error, **run)


async def test_a_release_that_never_completed_a_run_gives_way_to_the_one_that_did(
    desk: Desk, prefect: Any, server: Server
) -> None:
    await release(desk, prefect, server, CodeWatch())
    session = await taken(desk, prefect)
    assert kinds(session) == ["roll_back"]
    (change,) = server.changes
    assert (change["version"], change["job_variables"]) == ("v1", {"image": "shop:v1", "cpu": 512})
    assert len(prefect.retries) == 1, "set back first, retried then"
    assert "back at version v1" in prefect.retries[0]["state"]["message"]
    prefect.finish("run-1")
    session = await looked(desk, session)
    assert session.resolution_status is ResolutionStatus.AUTO_RESOLVED
    assert len(server.changes) == 1, "what helped stays"


async def test_where_the_older_code_fails_as_well_the_newer_one_is_put_back(
    desk: Desk, prefect: Any, server: Server
) -> None:
    await release(desk, prefect, server, CodeWatch())
    session = await taken(desk, prefect)
    desk.clock.forward(20)  # type: ignore[attr-defined]
    prefect.fail("run-1", error=BUG)
    session = await looked(desk, session)
    assert [change["version"] for change in server.changes] == ["v1", "v2"]
    assert server.deployment["job_variables"]["image"] == "shop:v2"
    assert (kinds(session), session.resolution_status) == (["roll_back"], ResolutionStatus.ESCALATED)


async def test_a_person_takes_it_back_until_the_retry_begins(
    desk: Desk, prefect: Any, server: Server
) -> None:
    await release(desk, prefect, server, CodeWatch())
    session = await taken(desk, prefect)
    session = await proposals.undo(desk, session.session_id, by="person:ada")
    assert server.deployment["version"] == "v2"
    assert prefect.runs["run-1"]["state_type"] == "FAILED"
    assert "the code of deployment prod" in session.trail[-1]


async def test_a_retry_that_is_refused_leaves_the_deployment_as_it_was(
    desk: Desk, prefect: Any, server: Server
) -> None:
    await release(desk, prefect, server, CodeWatch())
    server.refuse_retry = True
    session = await taken(desk, prefect)
    assert session.resolution_status is ResolutionStatus.ESCALATED
    assert server.deployment["version"] == "v2"


async def test_who_deploys_meanwhile_was_first(
    desk: Desk, prefect: Any, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    await release(desk, prefect, server, CodeWatch())
    hold = desk.store.must_hold

    async def deployed_meanwhile(*args: Any) -> None:
        server.deploy("v3")
        await hold(*args)

    monkeypatch.setattr(desk.store, "must_hold", deployed_meanwhile)
    session = await taken(desk, prefect)
    assert (server.changes, prefect.retries) == ([], [])
    assert session.resolution_status is ResolutionStatus.ESCALATED
    assert "changed meanwhile" in session.trail[-1]


@pytest.mark.parametrize(
    "case",
    ["never good", "good by now", "same code", "deployed since", "began before", "passes by itself"],
)
async def test_nothing_is_set_back_without_proof(desk: Desk, prefect: Any, server: Server, case: str) -> None:
    watch = CodeWatch()
    if case == "never good":
        await look(desk, watch)
        server.deploy("v2")
        await look(desk, watch)
    elif case == "same code":
        await release(desk, prefect, server, watch)
        server.deploy("v2", job_variables={"image": "shop:v1", "cpu": 512})
        await look(desk, watch)
    else:
        await release(desk, prefect, server, watch)
    if case == "good by now":
        prefect.finish("run-2")
    if case == "deployed since":
        server.deploy("v3")
    run = {}
    if case == "began before":
        prefect.start("run-1")
        run = {"start_time": prefect.runs["run-1"]["start_time"]}
        server.deploy("v3")
        await look(desk, watch)
    session = await taken(desk, prefect, OUTAGE if case == "passes by itself" else BUG, **run)
    assert "roll_back" not in kinds(session)
    assert server.changes == []


async def test_only_where_the_policy_names_it_is_anything_kept_or_done(
    desk_over: Callable[..., Desk], prefect: Any, server: Server
) -> None:
    desk = desk_over(server, policy=RemedyPolicy(mode="auto"))
    await release(desk, prefect, server, CodeWatch())
    assert await desk.store.audit_trail("dep-1") == ()
    session = await taken(desk, prefect)
    assert (kinds(session), server.changes) == ([], [])


async def test_each_code_is_written_down_once_when_it_is_seen_and_once_when_it_is_good(
    desk: Desk, prefect: Any, server: Server
) -> None:
    watch = CodeWatch()
    await release(desk, prefect, server, watch)
    for _ in range(3):
        await look(desk, watch)
    await look(desk, CodeWatch())
    trail = [
        (entry.action, entry.detail["code"]["version"]) for entry in await desk.store.audit_trail("dep-1")
    ]
    assert trail == [(SEEN, "v1"), (GOOD, "v1"), (SEEN, "v2")]


async def test_a_run_that_began_before_its_code_was_seen_says_nothing_of_it(
    desk: Desk, prefect: Any, server: Server
) -> None:
    watch = CodeWatch()
    prefect.finish("run-0")
    await look(desk, watch, "run-0")
    await look(desk, watch)
    assert [entry.action for entry in await desk.store.audit_trail("dep-1")] == [SEEN]


async def test_deployments_are_asked_for_every_three_minutes(
    desk: Desk, prefect: Any, server: Server
) -> None:
    watch = CodeWatch()
    prefect.finish("run-0")
    await look(desk, watch, "run-0")
    before = server.asked
    for _ in range(5):
        desk.clock.forward(20)  # type: ignore[attr-defined]
        await watch.look(desk)
    assert server.asked == before
    await look(desk, watch)
    assert server.asked == before + 1


STEP = {"prefect.deployments.steps.git_clone": {"repository": "https://git.test/shop", "branch": "v1"}}


@pytest.mark.parametrize(
    ("changes", "other"),
    [
        ({"version": "9"}, False),
        ({"job_variables": {"cpu": 1}}, False),
        ({"entrypoint": "a.py:b"}, True),
        ({"path": "/srv/b"}, True),
        ({"pull_steps": [STEP]}, True),
        ({"job_variables": {"image": "shop:2"}}, True),
    ],
    ids=["version", "other variable", "entrypoint", "path", "pull steps", "image"],
)
def test_other_code_is_what_selects_other_code(changes: Any, *, other: bool) -> None:
    whole = {
        "version": "1",
        "entrypoint": "a.py:a",
        "path": "/srv/a",
        "pull_steps": None,
        "job_variables": {},
    }
    one, two = code_of(whole), code_of(whole | changes)
    assert one is not None
    assert two is not None
    assert is_other_code(one, two) is other


def test_code_that_is_selected_with_a_secret_is_kept_nowhere() -> None:
    secret = "ghp_" + "a1B2" * 9
    step = {
        "prefect.deployments.steps.git_clone": {"access_token": secret, "repository": "https://git.test/x"}
    }
    assert code_of({"pull_steps": [step]}) is None
