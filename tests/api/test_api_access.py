"""Who may do what: without a token, with one that is over, with too little, and from a browser."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any

import httpx
import pytest

from prefect_autopilot.api import check_loopback, create_app
from prefect_autopilot.api.access import COOKIE, Door
from prefect_autopilot.api.bounds import MOST_PEERS, Buckets
from prefect_autopilot.api.context import Context
from prefect_autopilot.api.routes import Route, routes
from prefect_autopilot.settings import Settings
from prefect_autopilot.store import Scope, Store

SESSIONS = "/api/workflow-troubleshooting/sessions"
ANALYZE = "/workflows/enhanced/intelligence/analyze"
RESOLVE = "/workflows/enhanced/troubleshooting/resolve"
Bearer = Callable[[Scope], Awaitable[dict[str, str]]]
LOCKED = [route for route in routes() if route.path != "/healthz"]


@pytest.fixture
def bearer(store: Store, clock: Any) -> Bearer:
    async def made(scope: Scope) -> dict[str, str]:
        day = timedelta(days=1)
        secret, _ = await store.create_token(f"a-{scope}", scope, day, clock.now, actor="test")
        return {"authorization": f"Bearer {secret}"}

    return made


def asked(route: Route) -> tuple[str, str]:
    ident = "00000000-0000-4000-8000-000000000000"
    path = route.path.replace("{session_id}", ident).replace("{workflow_id:path}", "orders")
    return route.method, path


@pytest.mark.parametrize("route", LOCKED, ids=lambda route: route.endpoint.__name__)
async def test_a_call_without_a_token_is_unauthorised(
    api: httpx.AsyncClient, bearer: Bearer, route: Route
) -> None:
    await bearer(Scope.ADMIN)
    answer = await api.request(*asked(route), json={})
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"].startswith("Bearer")
    assert answer.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize("path", ["/openapi.json", "/docs", "/nowhere", "/metrics", "/readyz", "//healthz"])
async def test_nothing_else_is_shown_either(api: httpx.AsyncClient, bearer: Bearer, path: str) -> None:
    await bearer(Scope.ADMIN)
    assert (await api.get(path)).status_code == 401


async def test_the_process_tells_everybody_that_it_lives(api: httpx.AsyncClient, bearer: Bearer) -> None:
    await bearer(Scope.ADMIN)
    assert (await api.get("/healthz")).status_code == 200


@pytest.mark.parametrize(
    "value",
    [
        "Bearer",
        "Bearer ",
        "Bearer pat_x",
        "Basic YTpi",
        "Bearer " + "x" * 9999,
        "pat_x",
        "Bearer a b",
        "bearer \t",
    ],
)
async def test_what_is_no_token_opens_nothing(api: httpx.AsyncClient, bearer: Bearer, value: str) -> None:
    await bearer(Scope.ADMIN)
    answer = await api.get(SESSIONS, headers={"authorization": value})
    assert answer.status_code == 401
    assert "x" * 50 not in answer.text


@pytest.mark.parametrize("held", list(Scope))
@pytest.mark.parametrize("route", LOCKED, ids=lambda route: route.endpoint.__name__)
def test_the_scopes_of_the_calls_are_in_order(route: Route, held: Scope) -> None:
    assert held.covers(route.scope) or held is not Scope.ADMIN


@pytest.mark.parametrize(
    ("held", "method", "path", "status"),
    [
        (Scope.VIEWER, "GET", SESSIONS, 200),
        (Scope.VIEWER, "POST", SESSIONS, 403),
        (Scope.VIEWER, "POST", RESOLVE, 403),
        (Scope.VIEWER, "DELETE", f"{SESSIONS}/00000000-0000-4000-8000-000000000000", 403),
        (Scope.OPERATOR, "POST", SESSIONS, 200),
        (Scope.OPERATOR, "POST", RESOLVE, 403),
        (Scope.APPROVER, "POST", RESOLVE, 200),
        (Scope.APPROVER, "DELETE", f"{SESSIONS}/00000000-0000-4000-8000-000000000000", 403),
        (Scope.ADMIN, "DELETE", f"{SESSIONS}/00000000-0000-4000-8000-000000000000", 404),
    ],
)
async def test_a_scope_opens_what_it_covers(
    api: httpx.AsyncClient, bearer: Bearer, held: Scope, method: str, path: str, status: int
) -> None:
    headers = await bearer(held)
    answer = await api.request(method, path, json={"workflow_id": "orders"}, headers=headers)
    assert answer.status_code == status, answer.text


async def test_a_refused_act_changes_nothing_and_is_written_down(
    api: httpx.AsyncClient, bearer: Bearer, store: Store
) -> None:
    headers = await bearer(Scope.VIEWER)
    body = {"workflow_id": "orders", "error_logs": ["boom"]}
    assert (await api.post(SESSIONS, json=body, headers=headers)).status_code == 403
    assert await store.sessions() == ()
    last = await store.audit_head()
    assert last is not None
    assert (last.actor, last.action, last.subject) == ("token:a-viewer", "access.denied", SESSIONS)


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/workflows/test-step", {"service": "slack", "action": "x", "live": True}),
        (
            "/workflows/enhanced/optimization/apply",
            {"workflow": {"source": "x = 1\n"}, "write": True},
        ),
    ],
    ids=["a live step", "a written file"],
)
async def test_what_reaches_outside_needs_an_approver(
    api: httpx.AsyncClient, bearer: Bearer, path: str, body: dict[str, Any]
) -> None:
    assert (await api.post(path, json=body, headers=await bearer(Scope.OPERATOR))).status_code == 403


async def test_an_act_is_told_by_the_name_of_the_token(
    api: httpx.AsyncClient, bearer: Bearer, store: Store
) -> None:
    body = {"workflow_id": "orders", "error_logs": ["KeyError: 'price'"]}
    opened = await api.post(SESSIONS, json=body, headers=await bearer(Scope.OPERATOR))
    trail = await store.audit_trail(opened.json()["session_id"])
    assert {entry.actor for entry in trail} == {"token:a-operator"}


async def test_a_token_that_ended_opens_nothing_and_nothing_falls_open(
    api: httpx.AsyncClient, bearer: Bearer, store: Store, clock: Any
) -> None:
    headers = await bearer(Scope.ADMIN)
    assert (await api.get(SESSIONS, headers=headers)).status_code == 200
    await store.revoke_token("a-admin", clock.now, actor="test")
    assert (await api.get(SESSIONS, headers=headers)).status_code == 401
    assert (await api.get(SESSIONS)).status_code == 401


async def test_an_expired_token_opens_nothing(api: httpx.AsyncClient, bearer: Bearer, clock: Any) -> None:
    headers = await bearer(Scope.ADMIN)
    clock.forward(days=1)
    assert (await api.get(SESSIONS, headers=headers)).status_code == 401


async def test_a_cookie_reads_but_does_not_act_on_the_api(api: httpx.AsyncClient, bearer: Bearer) -> None:
    secret = (await bearer(Scope.ADMIN))["authorization"].removeprefix("Bearer ")
    headers = {"cookie": f"{COOKIE}={secret}"}
    assert (await api.get(SESSIONS, headers=headers)).status_code == 200
    assert (await api.post(SESSIONS, json={"workflow_id": "o"}, headers=headers)).status_code == 401


async def test_guessing_is_slowed_down(api: httpx.AsyncClient, bearer: Bearer) -> None:
    good = await bearer(Scope.VIEWER)
    wrong = [await api.get(SESSIONS, headers={"authorization": f"Bearer pat_{n}"}) for n in range(25)]
    assert {answer.status_code for answer in wrong} == {401, 429}
    assert "retry-after" in wrong[-1].headers
    assert (await api.get(SESSIONS, headers=good)).status_code == 200


@pytest.mark.parametrize("peer", ["192.0.2.7", "10.0.0.8", "::ffff:192.0.2.7"])
async def test_without_tokens_another_machine_is_not_answered(
    settings: Settings, clock: Any, peer: str
) -> None:
    app = create_app(settings, clock=clock)
    transport = httpx.ASGITransport(app, client=(peer, 4711))
    async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:8642") as client:
        assert (await client.get(SESSIONS)).status_code == 401
        assert (await client.get("/healthz")).status_code == 200
    async with app.state.context.lifespan():
        """End what was opened on first use."""


async def test_without_tokens_a_name_of_the_network_is_not_answered(start: Any) -> None:
    api = await start(hosts=("autopilot.internal",))
    assert (await api.get(SESSIONS, headers={"host": "autopilot.internal"})).status_code == 401


async def test_a_locked_application_needs_tokens_before_there_is_one(start: Any) -> None:
    api = await start(locked=True)
    assert (await api.get(SESSIONS)).status_code == 401


async def test_a_locked_application_without_its_store_stays_locked(
    settings: Settings, clock: Any, tmp_path: Any
) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("", encoding="utf-8")
    broken = settings.model_copy(update={"store_url": type(settings.store_url)(f"sqlite:///{blocked}/x.db")})
    app = create_app(broken, clock=clock, locked=True)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://localhost") as client:
        answer = await client.post(ANALYZE, json={"user_input": "x"}, headers={"authorization": "Bearer x"})
    assert answer.status_code == 503
    assert Door.__name__ not in answer.text
    assert isinstance(app.state.context, Context)


def test_with_tokens_the_api_may_listen_elsewhere() -> None:
    check_loopback("0.0.0.0", has_tokens=True)


def test_a_bucket_fills_again_and_forgets_quiet_peers() -> None:
    now = [0.0]
    buckets = Buckets(burst=2, per_second=0.5, clock=lambda: now[0])
    assert [buckets.take("a") for _ in range(3)] == [True, True, False]
    now[0] = 2.0
    assert [buckets.take("a") for _ in range(2)] == [True, False]
    assert buckets.take("b")
    for number in range(MOST_PEERS + 5):
        buckets.take(f"peer-{number}")
    assert len(buckets._left) == MOST_PEERS
