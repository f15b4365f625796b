"""Credentials of the Prefect server, headers of proxies: believed where the settings say so, nowhere else."""

from __future__ import annotations

import base64
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from prefect_autopilot.adapters.prefect_target import PrefectTarget
from prefect_autopilot.api import check_loopback, create_app, has_tokens
from prefect_autopilot.api.prefect_auth import PrefectAuth
from prefect_autopilot.errors import ConfigurationError, PrefectError
from prefect_autopilot.settings import Settings, load_settings
from prefect_autopilot.store import Store

BASIC = "Basic " + base64.b64encode(b"admin:a-password").decode()
SESSIONS = "/api/workflow-troubleshooting/sessions"
ADDRESS = "http://127.0.0.1:8642"


class Server:
    """Answers the version to those who show one of its credentials; counts who asks."""

    def __init__(self, *accepted: str, open_to_all: bool = False) -> None:
        self.accepted = accepted
        self.open_to_all = open_to_all
        self.asked: list[str | None] = []
        self.down = False

    def __call__(self, request: httpx.Request) -> httpx.Response:
        if self.down:
            raise httpx.ConnectError("refused", request=request)
        assert request.url.path == "/api/admin/version"
        given = request.headers.get("authorization")
        self.asked.append(given)
        known = self.open_to_all or given in self.accepted
        return httpx.Response(200, json="3.8.8") if known else httpx.Response(401)


def auth(server: Server, clock: Callable[[], float] = lambda: 0.0) -> PrefectAuth:
    target = PrefectTarget("http://prefect.test/api")
    return PrefectAuth(lambda: target, transport=httpx.MockTransport(server), clock=clock)


@pytest.fixture
def forwarding(tmp_path: Path, settings: Settings) -> Callable[..., Settings]:
    def made(scope: str = "operator", **more: Any) -> Settings:
        return load_settings(home=settings.home, api_prefect_auth=scope, **more)

    return made


def client(app: FastAPI, peer: str = "127.0.0.1", **headers: str) -> httpx.AsyncClient:
    transport = httpx.ASGITransport(app, client=(peer, 40000))
    return httpx.AsyncClient(transport=transport, base_url=ADDRESS, headers=headers)


async def test_a_yes_is_kept_for_a_minute_and_a_no_is_not() -> None:
    now = [0.0]
    server = Server(BASIC, "Bearer pnu_key")
    known = auth(server, lambda: now[0])
    assert await known.accepts(BASIC)
    assert await known.accepts(BASIC)
    assert server.asked == [BASIC, None], "the second time nobody was asked"
    now[0] = 61.0
    server.accepted = ()
    assert not await known.accepts(BASIC)
    assert not await known.accepts(BASIC)
    assert server.asked[2:] == [BASIC, BASIC]
    server.accepted = ("Bearer pnu_key",)
    assert await known.accepts("Bearer pnu_key")


async def test_a_server_that_asks_nobody_for_credentials_proves_nothing() -> None:
    assert not await auth(Server(open_to_all=True)).accepts(BASIC)


async def test_what_is_no_credential_is_not_even_forwarded() -> None:
    server = Server(BASIC)
    for given in ("", "Digest x", "Bearer", "Basic " + "x" * 3000, "pat_x"):
        assert not await auth(server).accepts(given), given
    assert server.asked == []
    server.down = True
    with pytest.raises(PrefectError, match="cannot be asked"):
        await auth(server).accepts(BASIC)


async def test_prefects_credentials_open_with_the_scope_of_the_settings(
    forwarding: Callable[..., Settings], store: Store, clock: Any
) -> None:
    settings = forwarding()
    app = create_app(settings, clock=clock)
    server = Server(BASIC)
    app.state.context.prefect_auth = auth(server)
    async with app.router.lifespan_context(app), client(app) as nobody:
        assert (await nobody.get(SESSIONS)).status_code == 401
        wrong = await nobody.get(SESSIONS, headers={"authorization": "Basic d3Jvbmc="})
        assert wrong.status_code == 401
        assert wrong.headers["www-authenticate"].startswith("Bearer"), "no browser is asked to remember it"
        told = {"authorization": BASIC}
        assert (await nobody.get(SESSIONS, headers=told)).status_code == 200
        body = {"workflow_id": "orders", "error_logs": ["ERROR 401 Unauthorized"]}
        opened = await nobody.post(SESSIONS, json=body, headers=told)
        ident = opened.json()["session_id"]
        assert (await nobody.delete(f"{SESSIONS}/{ident}", headers=told)).status_code == 403
        server.down = True
        later = await nobody.get(SESSIONS, headers={"authorization": "Basic b3RoZXI="})
        assert later.status_code == 503
    trail = await store.audit_trail(ident)
    assert {entry.actor for entry in trail} == {"prefect"}


async def test_with_prefects_credentials_the_api_may_listen_on_a_network(
    forwarding: Callable[..., Settings], settings: Settings
) -> None:
    assert not await has_tokens(settings)
    assert await has_tokens(forwarding())
    check_loopback("0.0.0.0", has_tokens=await has_tokens(forwarding()))  # what is tested
    with pytest.raises(ConfigurationError):
        check_loopback("0.0.0.0", has_tokens=await has_tokens(settings))  # as above


async def test_many_wrong_credentials_are_not_forwarded_for_ever(
    forwarding: Callable[..., Settings], clock: Any
) -> None:
    app = create_app(forwarding(), clock=clock)
    server = Server(BASIC)
    app.state.context.prefect_auth = auth(server)
    async with app.router.lifespan_context(app), client(app) as guessing:
        statuses = []
        for number in range(30):
            given = {"authorization": "Basic " + base64.b64encode(f"admin:{number}".encode()).decode()}
            statuses.append((await guessing.get(SESSIONS, headers=given)).status_code)
    assert statuses[:20] == [401] * 20
    assert statuses[20:] == [429] * 10
    assert len(server.asked) <= 21


@pytest.mark.parametrize("header", ["x-forwarded-for", "forwarded", "via", "x-real-ip", "x-forwarded-host"])
async def test_who_comes_through_a_proxy_is_not_on_this_machine(
    settings: Settings, clock: Any, header: str
) -> None:
    app = create_app(settings, clock=clock)
    async with app.router.lifespan_context(app), client(app) as here:
        assert (await here.get(SESSIONS)).status_code == 200
        assert (await here.get(SESSIONS, headers={header: "127.0.0.1"})).status_code == 401


async def test_forwarding_headers_are_believed_from_trusted_addresses_only(
    settings: Settings, store: Store, clock: Any
) -> None:
    trusting = load_settings(home=settings.home, api_trusted_proxies=["10.0.0.0/24"])
    for given, peer, seen in (
        (settings, "10.0.0.7", "10.0.0.7"),
        (trusting, "10.0.1.7", "10.0.1.7"),
        (trusting, "10.0.0.7", "203.0.113.9"),
    ):
        app = create_app(given, clock=clock)
        found: dict[str, str] = {}

        @app.middleware("http")
        async def look(request: Any, call_next: Any, found: dict[str, str] = found) -> Any:
            found["peer"], found["scheme"] = request.client.host, request.url.scheme
            return await call_next(request)

        # The one added last is outermost; the proxy's is to be around this one.
        app.user_middleware.append(app.user_middleware.pop(0))
        headers = {"x-forwarded-for": "198.51.100.1, 203.0.113.9", "x-forwarded-proto": "https"}
        async with app.router.lifespan_context(app), client(app, peer) as there:
            await there.get("/healthz", headers=headers)
        assert found["peer"] == seen, "of a chain, the last one that the proxy itself has seen"
        assert found["scheme"] == ("https" if seen == "203.0.113.9" else "http")


@pytest.mark.parametrize("wrong", ["*", "example.com", "10.0.0.0/99", "10.0.0.1/24", ""])
def test_a_proxy_is_named_by_an_address(wrong: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="addresses or networks"):
        load_settings(home=tmp_path, api_trusted_proxies=[wrong])
