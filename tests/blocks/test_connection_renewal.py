"""A stored connection renews its token: stored at once, by one process at a time."""

from __future__ import annotations

import asyncio
import gc
from datetime import UTC, datetime

import httpx
import pytest
from pydantic import SecretStr

from prefect_autopilot.adapters.simulator import Simulator
from prefect_autopilot.blocks import ServiceConnection
from prefect_autopilot.blocks.connection import load_connection, renew_connection
from prefect_autopilot.errors import ServiceError, UnknownNameError
from prefect_autopilot.services import load_catalogue, simulated_credentials

NOW = datetime(2026, 3, 2, 3, 0, tzinfo=UTC)


def stored(name: str, **fields: object) -> ServiceConnection:
    block = ServiceConnection(
        service="gmail",
        base_url="http://simulator/gmail",
        token_url="http://simulator/gmail/oauth/token",
        credentials=simulated_credentials(load_catalogue().get("gmail")),
        **fields,
    )
    block.save(name, overwrite=True)
    return ServiceConnection.load(name)


def expired() -> tuple[Simulator, httpx.ASGITransport]:
    simulator = Simulator()
    simulator.rotate("gmail")
    simulator.expire("gmail")
    return simulator, httpx.ASGITransport(simulator)


def kept(name: str) -> dict[str, str]:
    return {k: v.get_secret_value() for k, v in ServiceConnection.load(name).secrets().items()}


async def listed(block: ServiceConnection, transport: httpx.ASGITransport) -> None:
    async with block.client(transport) as client:
        await client.call("list_labels")


def test_a_call_with_an_ended_token_stores_the_new_one(prefect_harness: None) -> None:
    simulator, transport = expired()
    block = stored("gmail-renewed")

    asyncio.run(listed(block, transport))

    assert [call.status for call in simulator.calls] == [401, 200]
    assert kept("gmail-renewed")["access_token"] == "simulated-gmail-access_token-2"
    assert kept("gmail-renewed")["refresh_token"] == "simulated-gmail-refresh_token-2"
    assert kept("gmail-renewed")["client_id"] == "simulated-client"


def test_clients_that_renew_at_once_do_not_end_each_others_connection(prefect_harness: None) -> None:
    simulator, transport = expired()
    stored("gmail-at-once")

    async def at_once() -> None:
        # Each has read the block by itself, as processes do; only the stored block and the lease are common.
        blocks = [await load_connection("gmail-at-once") for _ in range(3)]
        await asyncio.gather(*(listed(block, transport) for block in blocks))

    asyncio.run(at_once())

    assert sorted(call.status for call in simulator.calls) == [200, 200, 200, 401, 401, 401]
    assert simulator.accepted("gmail")._made == 1, "the others took the token that was stored"
    gc.collect()


def test_a_token_another_process_renewed_is_taken(prefect_harness: None) -> None:
    simulator, transport = expired()
    stale = stored("gmail-stale")
    asyncio.run(renew_connection("gmail-stale", NOW, transport=transport))

    asyncio.run(listed(stale, transport))

    assert [call.status for call in simulator.calls] == [401, 200]
    assert simulator.accepted("gmail")._made == 1


def test_without_knowing_the_spent_token_it_is_renewed_in_any_case(prefect_harness: None) -> None:
    simulator, transport = expired()
    stored("gmail-anyway")
    for _ in range(2):
        asyncio.run(renew_connection("gmail-anyway", NOW, transport=transport))
    assert simulator.accepted("gmail")._made == 2


def test_a_connection_that_must_not_renew_lets_the_call_fail(prefect_harness: None) -> None:
    simulator, transport = expired()
    block = stored("gmail-by-hand", auto_refresh=False)

    with pytest.raises(ServiceError) as caught:
        asyncio.run(listed(block, transport))
    assert caught.value.status == 401
    assert simulator.accepted("gmail")._made == 0
    assert kept("gmail-by-hand")["access_token"] == "simulated-gmail-access_token"


def test_a_refused_renewal_stores_nothing(prefect_harness: None) -> None:
    simulator = Simulator()
    block = stored("gmail-revoked")
    simulator.revoke("gmail")

    with pytest.raises(ServiceError, match="reconnect"):
        asyncio.run(listed(block, httpx.ASGITransport(simulator)))
    assert kept("gmail-revoked")["refresh_token"] == "simulated-gmail-refresh_token"


def test_a_missing_connection_names_those_that_are_near_and_how_one_is_stored(prefect_harness: None) -> None:
    stored("gmail-office")
    with pytest.raises(UnknownNameError, match="did you mean gmail-office") as error:
        asyncio.run(load_connection("gmail-ofice"))
    assert "prefect-autopilot services connect" in str(error.value)


def test_a_connection_that_is_gone_cannot_be_renewed(prefect_harness: None) -> None:
    with pytest.raises(UnknownNameError, match="gmail-gone"):
        asyncio.run(renew_connection("gmail-gone", NOW, spent={"access_token": SecretStr("t")}))


@pytest.mark.parametrize("rate", [0, -1])
def test_a_rate_must_let_something_through(rate: float) -> None:
    with pytest.raises(ValueError, match="greater than 0"):
        ServiceConnection(service="gmail", rate_limit_per_s=rate)


def test_the_rate_of_the_connection_comes_before_that_of_the_catalogue() -> None:
    block = ServiceConnection(service="asana", credentials={"access_token": "t"}, rate_limit_per_s=2.5)
    first, second = (block.client(connection="asana-rated")._gate for _ in range(2))
    assert first.per_s == 2.5
    assert first is second
