"""Renewal of access tokens."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qs

import httpx
import pytest
from pydantic import SecretStr

from prefect_autopilot.adapters import oauth
from prefect_autopilot.adapters.simulator import Simulator
from prefect_autopilot.errors import ConfigurationError, ServiceError
from prefect_autopilot.models import Service
from prefect_autopilot.services import load_catalogue, simulated_credentials

GMAIL = load_catalogue().get("gmail")
NOW = datetime(2026, 3, 2, 3, 0, tzinfo=UTC)
HELD = {
    "access_token": "old-access-token",
    "refresh_token": "old-refresh-token",
    "client_id": "client-1",
    "client_secret": "client-secret-1",
    "site": "acme",
}


def renew(
    answer: Any, held: dict[str, str] = HELD, service: Service = GMAIL, **more: Any
) -> tuple[dict[str, str], list[httpx.Request]]:
    received: list[httpx.Request] = []

    def record(request: httpx.Request) -> httpx.Response:
        received.append(request)
        return answer(request) if callable(answer) else answer

    credentials = {name: SecretStr(value) for name, value in held.items()}
    renewed = asyncio.run(
        oauth.refresh(
            service, credentials, now=NOW, transport=httpx.MockTransport(record), connection="gmail-a", **more
        )
    )
    return {name: secret.get_secret_value() for name, secret in renewed.items()}, received


def test_a_refresh_token_is_exchanged() -> None:
    renewed, (request,) = renew(httpx.Response(200, json={"access_token": "new", "expires_in": 3600}))

    assert str(request.url) == "https://oauth2.googleapis.com/token"
    assert parse_qs(request.content.decode()) == {
        "grant_type": ["refresh_token"],
        "refresh_token": ["old-refresh-token"],
        "client_id": ["client-1"],
        "client_secret": ["client-secret-1"],
    }
    assert renewed == {**HELD, "access_token": "new", "expires_at": "2026-03-02T04:00:00+00:00"}


def test_a_rotated_refresh_token_replaces_the_old_one() -> None:
    answer = httpx.Response(200, json={"access_token": "new", "refresh_token": "rotated"})
    renewed, _ = renew(answer, {**HELD, "expires_at": "long ago", "token": "stale"})

    assert renewed["refresh_token"] == "rotated"
    assert "expires_at" not in renewed, "an unknown lifetime is not an old one"
    assert "token" not in renewed, "no stale name of the same thing is left"


def test_the_token_address_of_the_connection_wins() -> None:
    _, (request,) = renew(
        httpx.Response(200, json={"access_token": "new"}), token_url="https://login.example/token"
    )
    assert str(request.url) == "https://login.example/token"


@pytest.mark.parametrize("status", [400, 401])
def test_a_worthless_refresh_token_needs_a_person(status: int) -> None:
    with pytest.raises(ServiceError, match="reconnect") as caught:
        renew(httpx.Response(status, json={"error": "invalid_grant"}))
    assert caught.value.permanent
    assert (caught.value.operation, caught.value.connection) == ("refresh_credentials", "gmail-a")


@pytest.mark.parametrize(
    ("answer", "permanent"),
    [
        pytest.param(httpx.Response(503), False, id="outage"),
        pytest.param(httpx.Response(429, headers={"retry-after": "3"}), False, id="rate limit"),
        pytest.param(httpx.Response(400, json={"error": "invalid_client"}), True, id="wrong client"),
        pytest.param(httpx.Response(200, json={"token_type": "Bearer"}), True, id="no token"),
        pytest.param(httpx.Response(200, json=["new"]), True, id="no object"),
        pytest.param(httpx.Response(302, headers={"location": "https://x.example"}), True, id="redirect"),
    ],
)
def test_every_other_answer_is_an_error(answer: httpx.Response, *, permanent: bool) -> None:
    with pytest.raises(ServiceError) as caught:
        renew(answer)
    assert caught.value.permanent is permanent


def test_a_failed_connection_shows_no_secret() -> None:
    def fail(request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError(request.content.decode())

    with pytest.raises(ServiceError) as caught:
        renew(fail)
    assert not caught.value.permanent
    assert not [value for name, value in HELD.items() if name != "site" and value in str(caught.value)]


def test_an_echoed_secret_is_removed() -> None:
    with pytest.raises(ServiceError) as caught:
        renew(lambda request: httpx.Response(400, text=f"invalid_grant {request.content.decode()}"))
    assert "old-refresh-token" not in str(caught.value)
    assert "client-secret-1" not in str(caught.value)


@pytest.mark.parametrize(
    ("service", "held", "told"),
    [("gmail", {"access_token": "a"}, "refresh token"), ("discord", {"refresh_token": "r"}, "token address")],
)
def test_what_cannot_be_renewed_is_said(service: str, held: dict[str, str], told: str) -> None:
    credentials = {name: SecretStr(value) for name, value in held.items()}
    with pytest.raises(ConfigurationError, match=told):
        asyncio.run(oauth.refresh(load_catalogue().get(service), credentials, now=NOW))


AZURE = load_catalogue().get("azure")
PRINCIPAL = {"client_id": "client-1", "client_secret": "client-secret-1", "tenant": "acme.example"}


@pytest.mark.parametrize(
    ("more", "scope"),
    [
        ({}, "https://management.azure.com/.default"),
        ({"scope": "https://other/.default"}, "https://other/.default"),
    ],
    ids=["the service's", "the connection's"],
)
def test_client_credentials_ask_for_a_scope_at_the_address_of_the_tenant(
    more: dict[str, str], scope: str
) -> None:
    renewed, (request,) = renew(
        httpx.Response(200, json={"access_token": "new"}), {**PRINCIPAL, **more}, AZURE
    )

    assert str(request.url) == "https://login.microsoftonline.com/acme.example/oauth2/v2.0/token"
    form = parse_qs(request.content.decode())
    assert (form["grant_type"], form["scope"]) == (["client_credentials"], [scope])
    assert renewed["access_token"] == "new"


def test_a_refresh_token_asks_for_no_scope_of_its_own() -> None:
    held = {**PRINCIPAL, "refresh_token": "old"}
    _, (request,) = renew(httpx.Response(200, json={"access_token": "new"}), held, AZURE)
    assert "scope" not in parse_qs(request.content.decode())


@pytest.mark.parametrize("tenant", ["", ".", ".."])
def test_a_tenant_that_is_missing_or_leads_elsewhere_is_told_and_nothing_is_sent(tenant: str) -> None:
    def nobody(_: httpx.Request) -> httpx.Response:
        pytest.fail("something was sent")

    with pytest.raises(ConfigurationError, match="'tenant'"):
        renew(nobody, {**PRINCIPAL, "tenant": tenant}, AZURE)


def test_a_tenant_stays_one_step_of_the_address() -> None:
    _, (request,) = renew(
        httpx.Response(200, json={"access_token": "new"}), {**PRINCIPAL, "tenant": "a/b?c"}, AZURE
    )
    assert request.url.raw_path == b"/a%2Fb%3Fc/oauth2/v2.0/token"


@pytest.mark.parametrize(
    ("answer", "token"),
    [
        ({"data": {"token": "new", "expires_in": 86400}}, "new"),
        ({"access_token": "other"}, None),
        ({"data": {"token": ""}}, None),
        ({"data": "token"}, None),
        ([], None),
    ],
    ids=["in its place", "elsewhere", "empty", "no object", "a list"],
)
def test_a_token_is_taken_from_where_the_service_writes_it(answer: Any, token: str | None) -> None:
    held = {"client_id": "client-1", "client_secret": "client-secret-1"}
    personio = load_catalogue().get("personio")
    if token is None:
        with pytest.raises(ServiceError, match="without a token"):
            renew(httpx.Response(200, json=answer), held, personio)
        return

    renewed, (request,) = renew(httpx.Response(200, json=answer), held, personio)

    assert str(request.url) == "https://api.personio.de/v1/auth"
    assert renewed["access_token"] == token
    assert renewed["expires_at"] == (NOW + timedelta(days=1)).isoformat()


@pytest.mark.parametrize("service", ["personio", "dropbox"])
def test_a_simulated_service_gives_tokens_as_the_real_one_does(service: str) -> None:
    simulator = Simulator()
    known = load_catalogue().get(service)
    held = {
        name: SecretStr(value)
        for name, value in simulated_credentials(known).items()
        if name != "refresh_token"
    }
    renewed = asyncio.run(
        oauth.refresh(
            known,
            held,
            now=NOW,
            token_url=f"http://simulator/{service}/oauth/token",
            transport=httpx.ASGITransport(simulator),
        )
    )

    assert renewed["access_token"].get_secret_value().startswith(f"simulated-{service}-access_token")
