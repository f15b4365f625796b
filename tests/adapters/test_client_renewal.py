"""Access tokens that end: renewed before a call or after a refusal, once, and never at the cost of a call."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qs

import httpx
import pytest
from pydantic import SecretStr

from prefect_autopilot.adapters import oauth
from prefect_autopilot.adapters.services import ServiceClient
from prefect_autopilot.adapters.simulator import Simulator
from prefect_autopilot.errors import ConfigurationError, ServiceError
from prefect_autopilot.models import Auth, Operation, Service
from prefect_autopilot.services import load_catalogue, simulated_credentials

NOW = datetime(2026, 3, 2, 3, 0, tzinfo=UTC)
ASANA = load_catalogue().get("asana")
MACHINE = Service(
    id="machine",
    name="Machine",
    base_url="https://machine.example",
    auth=Auth(scheme="oauth2", token_url="https://machine.example/token"),
    operations=(Operation(id="read", method="GET", path="/read", effect="safe"),),
)
Answer = Callable[[httpx.Request], httpx.Response]


def secrets(**plain: str) -> dict[str, SecretStr]:
    return {name: SecretStr(value) for name, value in plain.items()}


def held(**more: str) -> dict[str, SecretStr]:
    return secrets(**{**simulated_credentials(ASANA), **more})


def client(
    simulator: Simulator, credentials: Mapping[str, SecretStr], renew: oauth.Renew | None = None
) -> ServiceClient:
    transport = httpx.ASGITransport(simulator)
    url = "http://simulator/asana"
    by_itself = oauth.renewal(ASANA, clock=lambda: NOW, token_url=f"{url}/oauth/token", transport=transport)
    return ServiceClient(
        ASANA,
        credentials,
        base_url=url,
        transport=transport,
        clock=lambda: NOW,
        connection="asana-default",
        renew=renew or by_itself,
    )


def create(one: ServiceClient, times: int = 1, *, at_once: bool = False) -> list[Any]:
    async def calls() -> list[Any]:
        async with one:
            made = [one.call("create_task", {"name": f"T{n}"}) for n in range(times)]
            return await asyncio.gather(*made) if at_once else [await call for call in made]

    return asyncio.run(calls())


def statuses(simulator: Simulator) -> list[int]:
    return [call.status for call in simulator.calls]


def test_a_refused_token_is_renewed_and_the_call_made_once_more() -> None:
    simulator = Simulator()
    simulator.expire("asana")

    answers = create(client(simulator, held()), 2)

    assert [answer["data"]["name"] for answer in answers] == ["T0", "T1"]
    assert statuses(simulator) == [401, 201, 201], "the next call uses the new token at once"


def test_without_a_renewal_the_refusal_is_told() -> None:
    simulator = Simulator()
    simulator.expire("asana")
    transport = httpx.ASGITransport(simulator)
    plain = ServiceClient(ASANA, held(), base_url="http://simulator/asana", transport=transport)

    with pytest.raises(ServiceError) as caught:
        create(plain)
    assert (caught.value.status, statuses(simulator)) == (401, [401])


def test_a_token_that_is_refused_again_is_not_renewed_again() -> None:
    simulator = Simulator()
    simulator.fail("asana", "create_task", status=401)

    with pytest.raises(ServiceError) as caught:
        create(client(simulator, held()))
    assert (caught.value.status, statuses(simulator)) == (401, [401, 401])


@pytest.mark.parametrize("status", [400, 403, 404, 409, 422, 429, 500, 503])
def test_no_other_refusal_renews_or_repeats(status: int) -> None:
    simulator = Simulator()
    simulator.fail("asana", "create_task", status=status)
    asked: list[object] = []

    async def renew(spent: Mapping[str, SecretStr]) -> Mapping[str, SecretStr]:
        asked.append(spent)
        return spent

    with pytest.raises(ServiceError):
        create(client(simulator, held(), renew))
    assert (statuses(simulator), asked) == ([status], [])


@pytest.mark.parametrize(
    ("left_s", "renewed"), [(-1, True), (0, True), (59, True), (60, True), (61, False), (3600, False)]
)
def test_a_token_that_ends_within_a_minute_is_renewed_before_the_call(left_s: int, *, renewed: bool) -> None:
    simulator = Simulator()
    end = (NOW + timedelta(seconds=left_s)).isoformat()

    one = client(simulator, held(expires_at=end))
    create(one)

    assert statuses(simulator) == [201]
    token = one._credentials["access_token"].get_secret_value()
    assert (token == "simulated-asana-access_token-2") is renewed


@pytest.mark.parametrize(
    ("told", "due"),
    [
        ("2026-03-02T03:00:30", True),  # no zone is UTC
        ("2026-03-02T04:00:30+01:00", True),
        ("2026-03-02T04:00:30Z", False),
        ("soon", False),
        ("", False),
    ],
)
def test_the_end_of_a_token_is_read_as_services_write_it(told: str, *, due: bool) -> None:
    assert oauth.is_due(secrets(access_token="t", expires_at=told), NOW) is due


def test_a_token_without_an_end_is_not_due_and_a_missing_one_is() -> None:
    assert not oauth.is_due(secrets(access_token="t"), NOW)
    assert not oauth.is_due(secrets(token="t"), NOW)
    assert oauth.is_due(secrets(refresh_token="r"), NOW)


def test_an_early_renewal_that_fails_leaves_the_token_that_still_holds() -> None:
    simulator = Simulator()

    async def fails(_: Mapping[str, SecretStr]) -> Mapping[str, SecretStr]:
        raise ServiceError(
            "down", service="asana", operation="refresh_credentials", effect="unsafe", permanent=False
        )

    create(client(simulator, held(expires_at=NOW.isoformat()), fails))
    assert statuses(simulator) == [201]


def test_a_renewal_that_is_refused_is_told_instead_of_the_call() -> None:
    simulator = Simulator()
    simulator.revoke("asana")

    with pytest.raises(ServiceError, match="a person has to reconnect") as caught:
        create(client(simulator, held()))
    assert caught.value.operation == oauth.OPERATION
    assert caught.value.permanent
    assert statuses(simulator) == [401]
    assert "simulated-asana-refresh_token" not in str(caught.value)


def test_calls_at_once_renew_once_even_where_refresh_tokens_rotate() -> None:
    simulator = Simulator()
    simulator.rotate("asana")
    simulator.expire("asana")

    assert len(create(client(simulator, held()), 8, at_once=True)) == 8
    assert statuses(simulator).count(201) == 8
    token = simulator.accepted("asana")._made
    assert token == 1


def test_a_rotated_token_used_twice_ends_the_connection_in_the_simulator() -> None:
    simulator = Simulator()
    simulator.rotate("asana")
    simulator.expire("asana")
    create(client(simulator, held()))

    with pytest.raises(ServiceError, match="reconnect"):
        create(client(simulator, held(access_token="stale")))
    with pytest.raises(ServiceError, match=r"did not accept|reconnect"):
        create(client(simulator, held(access_token="simulated-asana-access_token-2")))


def test_the_old_token_stays_secret_after_its_end() -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        if request.headers["authorization"] == "Bearer old-token-1":
            return httpx.Response(401)
        return httpx.Response(400, json={"error": "old-token-1 and new-token-2"})

    async def renew(_: Mapping[str, SecretStr]) -> Mapping[str, SecretStr]:
        return secrets(access_token="new-token-2")

    one = ServiceClient(
        ASANA, secrets(access_token="old-token-1"), transport=httpx.MockTransport(answer), renew=renew
    )
    with pytest.raises(ServiceError) as caught:
        create(one)
    assert "old-token-1" not in str(caught.value)
    assert "new-token-2" not in str(caught.value)


@pytest.mark.parametrize("code", ["token_expired", "invalid_token"])
def test_a_refusal_told_in_a_good_answer_renews_as_well(code: str) -> None:
    talker = MACHINE.model_copy(update={"success_field": "ok", "error_field": "error"})

    def answer(request: httpx.Request) -> httpx.Response:
        fresh = request.headers["authorization"] == "Bearer new"
        return httpx.Response(200, json={"ok": True} if fresh else {"ok": False, "error": code})

    async def renew(_: Mapping[str, SecretStr]) -> Mapping[str, SecretStr]:
        return secrets(access_token="new")

    async def read() -> Any:
        transport = httpx.MockTransport(answer)
        async with ServiceClient(
            talker, secrets(access_token="old"), transport=transport, renew=renew
        ) as one:
            return await one.call("read")

    assert asyncio.run(read()) == {"ok": True}


def ask(answer: Answer, **credentials: str) -> dict[str, str]:
    renewed = asyncio.run(
        oauth.refresh(
            MACHINE, secrets(**credentials), now=NOW, transport=httpx.MockTransport(answer), connection="m"
        )
    )
    return {name: secret.get_secret_value() for name, secret in renewed.items()}


def test_a_machine_gets_its_token_by_client_credentials() -> None:
    asked: list[dict[str, list[str]]] = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(parse_qs(request.content.decode()))
        return httpx.Response(200, json={"access_token": "a", "expires_in": 600})

    renewed = ask(answer, client_id="id", client_secret="secret-1", scope="read write", audience="api")

    assert asked == [
        {
            "grant_type": ["client_credentials"],
            "scope": ["read write"],
            "audience": ["api"],
            "client_id": ["id"],
            "client_secret": ["secret-1"],
        }
    ]
    assert renewed["access_token"] == "a"
    assert renewed["expires_at"] == (NOW + timedelta(minutes=10)).isoformat()
    assert "refresh_token" not in renewed


def test_a_refresh_token_comes_before_client_credentials() -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        assert b"grant_type=refresh_token" in request.content
        return httpx.Response(200, json={"access_token": "a"})

    assert ask(answer, refresh_token="r", client_id="id", client_secret="s")["access_token"] == "a"


def test_a_client_that_is_refused_in_the_form_proves_itself_by_basic() -> None:
    seen: list[tuple[bool, bool]] = []

    def answer(request: httpx.Request) -> httpx.Response:
        seen.append(("authorization" in request.headers, b"client_secret" in request.content))
        if "authorization" not in request.headers:
            return httpx.Response(401, json={"error": "invalid_client"})
        assert request.headers["authorization"] == "Basic aWQlM0ExOnMlMkYy"  # id%3A1:s%2F2
        return httpx.Response(200, json={"access_token": "a"})

    assert ask(answer, client_id="id:1", client_secret="s/2")["access_token"] == "a"
    assert seen == [(False, True), (True, False)], "never both at once"


def test_a_client_that_is_refused_both_ways_is_an_error_without_its_secret() -> None:
    with pytest.raises(ServiceError) as caught:
        ask(
            lambda _: httpx.Response(401, json={"error": "invalid_client"}),
            client_id="i",
            client_secret="hush-hush",
        )
    assert caught.value.permanent
    assert "hush-hush" not in str(caught.value)


@pytest.mark.parametrize(
    ("credentials", "possible"),
    [
        ({}, False),
        ({"access_token": "t"}, False),
        ({"refresh_token": "r"}, True),
        ({"client_id": "i"}, False),
        ({"client_secret": "s"}, False),
        ({"client_id": "i", "client_secret": "s"}, True),
        ({"client_id": "i", "client_secret": ""}, False),
        ({"refresh_token": ""}, False),
    ],
)
def test_what_can_be_renewed_without_a_person(credentials: dict[str, str], *, possible: bool) -> None:
    assert oauth.can_renew(MACHINE, secrets(**credentials)) is possible
    nowhere = MACHINE.model_copy(update={"auth": Auth(scheme="oauth2")})
    assert not oauth.can_renew(nowhere, secrets(**credentials))
    assert oauth.can_renew(nowhere, secrets(**credentials), "https://own.example/token") is possible


def test_a_connection_that_holds_no_token_yet_gets_one_first() -> None:
    simulator = Simulator()
    plain = simulated_credentials(ASANA)
    machine = secrets(client_id=plain["client_id"], client_secret=plain["client_secret"])

    create(client(simulator, machine), 2)
    assert statuses(simulator) == [201, 201]


def test_a_connection_that_can_get_no_token_is_refused_at_once() -> None:
    with pytest.raises(ConfigurationError, match="access_token"):
        ServiceClient(ASANA, secrets(client_id="i", client_secret="s"))


@pytest.mark.parametrize(
    ("given", "status", "error"),
    [
        ({"grant_type": "client_credentials", "client_id": "x", "client_secret": "y"}, 401, "invalid_client"),
        ({"grant_type": "password"}, 400, "unsupported_grant_type"),
        ({}, 400, "unsupported_grant_type"),
        ({"grant_type": "refresh_token"}, 400, "invalid_grant"),
        ({"grant_type": "refresh_token", "refresh_token": ""}, 400, "invalid_grant"),
    ],
    ids=["stranger", "password", "nothing", "no token", "empty token"],
)
def test_the_simulator_refuses_a_grant_as_services_do(given: dict[str, str], status: int, error: str) -> None:
    assert Simulator().accepted("asana").renew(given, "")[0] == status
    assert Simulator().accepted("asana").renew(given, "Basic ???")[1]["error"] == error
