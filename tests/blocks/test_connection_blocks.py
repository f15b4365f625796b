"""The product's blocks: to Prefect's standard, light to import, and silent about secrets."""

from __future__ import annotations

import asyncio
import json
import re
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest
from prefect.blocks.core import Block
from prefect.client.orchestration import get_client
from prefect.testing.standard_test_suites import BlockStandardTestSuite

from prefect_autopilot.adapters.simulator import Simulator
from prefect_autopilot.blocks import BLOCKS, AutopilotPolicy, NotificationChannel, ServiceConnection
from prefect_autopilot.errors import ConfigurationError, ServiceError, UnknownNameError, UsageError
from prefect_autopilot.models import RemedyPolicy
from prefect_autopilot.services import load_catalogue, simulated_credentials

NOW = datetime(2026, 3, 2, 3, 0, tzinfo=UTC)


@pytest.mark.parametrize("block", BLOCKS)
class TestBlockStandards(BlockStandardTestSuite):
    """Prefect's own suite; its logo test alone needs the network."""

    @pytest.fixture
    def block(self, block: type[Block]) -> type[Block]:
        return block

    @pytest.mark.skip(reason="reads the logo from the network")
    def test_has_a_valid_image(self, block: type[Block]) -> None:
        raise NotImplementedError


@pytest.mark.parametrize("block", BLOCKS)
def test_a_logo_is_that_of_one_commit_and_cannot_be_moved_away(block: type[Block]) -> None:
    assert re.search(r"/prefect/[0-9a-f]{40}/assets/", str(block._logo_url))


def connection(service: str, simulator_url: str = "http://simulator") -> ServiceConnection:
    return ServiceConnection(
        service=service,
        base_url=f"{simulator_url}/{service}",
        token_url=f"{simulator_url}/{service}/oauth/token",
        credentials=simulated_credentials(load_catalogue().get(service)),
    )


def test_credentials_are_stored_as_secrets_and_come_back(prefect_harness: None) -> None:
    connection("gmail").save("gmail-stored", overwrite=True)
    with get_client(sync_client=True) as client:
        document = client._client.get(
            "/block_types/slug/service-connection/block_documents/name/gmail-stored"
        )
    shown = json.dumps(document.json())

    assert document.status_code == 200
    assert "simulated-gmail" not in shown
    assert "access_token" in shown, "the names stay visible"
    loaded = ServiceConnection.load("gmail-stored")
    assert loaded.name == "gmail-stored"
    assert loaded.secrets()["refresh_token"].get_secret_value() == "simulated-gmail-refresh_token"


def test_no_secret_stands_in_what_a_block_shows() -> None:
    block = connection("gmail")
    channel = NotificationChannel(kind="webhook", url="https://hooks.example/secret-path")

    for shown in (repr(block), str(block), block.model_dump_json(), repr(block.secrets())):
        assert "simulated-gmail-access_token" not in shown
    assert "secret-path" not in repr(channel) + channel.model_dump_json()


def test_a_connection_is_verified_by_a_real_call() -> None:
    simulator = Simulator()
    transport = httpx.ASGITransport(simulator)

    assert asyncio.run(connection("asana").verify(transport)) == "get_current_user"
    assert [call.operation for call in simulator.calls] == ["get_current_user"]


@pytest.mark.parametrize(
    ("service", "operation", "parameters"),
    [
        ("openweathermap", "current", {"q": "London"}),
        ("plaid", "list_institutions", {"count": 1, "offset": 0, "country_codes": ["US"]}),
        ("docusign", "list_templates", {"account_id": "simulated-docusign-account_id"}),
        ("mixpanel", "list_funnels", {"project_id": "2195193"}),
    ],
)
def test_a_check_that_shows_nothing_by_itself_brings_what_it_is_asked_with(
    service: str, operation: str, parameters: dict[str, Any]
) -> None:
    simulator = Simulator()

    assert asyncio.run(connection(service).verify(httpx.ASGITransport(simulator))) == operation
    [call] = simulator.calls
    assert (call.operation, call.status) == (operation, 200)
    assert parameters.items() <= call.parameters.items()


@pytest.mark.parametrize("service", ["asana", "slack", "gmail"])
def test_a_connection_that_does_not_work_is_told(service: str) -> None:
    simulator = Simulator()
    simulator.expire(service)

    block = connection(service)
    block.auto_refresh = False

    with pytest.raises(ServiceError):
        asyncio.run(block.verify(httpx.ASGITransport(simulator)))


def test_a_connection_whose_token_ended_renews_it_by_itself() -> None:
    simulator = Simulator()
    simulator.expire("gmail")
    block = connection("gmail")

    assert asyncio.run(block.verify(httpx.ASGITransport(simulator))) == "list_labels"
    assert [call.status for call in simulator.calls] == [401, 200]
    assert block.secrets()["access_token"].get_secret_value() == "simulated-gmail-access_token-2"


def test_a_connection_nothing_can_check_is_not_called_verified() -> None:
    with pytest.raises(UsageError, match="no call"):
        asyncio.run(connection("google_sheets").verify(httpx.ASGITransport(Simulator())))


def test_a_database_is_verified_by_a_real_query(tmp_path: Path) -> None:
    path = tmp_path / "shop.db"
    path.touch()
    block = ServiceConnection(service="sqlite", base_url=f"sqlite:///{path}")

    assert asyncio.run(block.verify()) == "ping"


def test_a_database_that_is_not_there_is_told(tmp_path: Path) -> None:
    block = ServiceConnection(service="sqlite", base_url=f"sqlite:///{tmp_path / 'no' / 'shop.db'}")

    with pytest.raises((ServiceError, ConfigurationError)):
        asyncio.run(block.verify())


def test_a_mail_server_that_does_not_answer_is_told() -> None:
    held = {"username": "ada", "password": "made up"}
    block = ServiceConnection(
        service="email", base_url="smtp://127.0.0.1:1", credentials=held, allow_private_network=True
    )

    with pytest.raises(ServiceError):
        asyncio.run(block.verify())


def test_calls_of_any_address_share_the_rate_of_their_connection() -> None:
    block = ServiceConnection(service="http", rate_limit_per_s=2)

    first, second = (block.client(connection="http-rated") for _ in range(2))

    assert first._gate is second._gate
    assert first._gate.per_s == 2


@pytest.mark.parametrize("given", [None, 7.5], ids=["usual", "its own"])
@pytest.mark.parametrize(("service", "usual"), [("asana", 30), ("http", 30), ("email", 60), ("postgres", 60)])
def test_how_long_a_call_waits_is_said_by_the_connection(
    service: str, usual: float, given: float | None
) -> None:
    block = connection(service)
    block.timeout_s = given
    block.base_url = {"email": "smtp://mail.example.com", "postgres": "postgresql://db.example.com/a"}.get(
        service
    )

    client: Any = block.client()

    assert client._timeout_s == (given or usual)


def test_a_renewal_waits_as_long_as_the_connection_says() -> None:
    asked: list[Any] = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(request.extensions["timeout"]["read"])
        return httpx.Response(200, json={"access_token": "new", "expires_in": 3600})

    block = connection("gmail")
    block.token_url, block.timeout_s = "https://oauth2.googleapis.com/token", 7.5
    asyncio.run(block.refresh(NOW, httpx.MockTransport(answer)))

    assert asked == [7.5]


@pytest.mark.parametrize("seconds", [0, -1, 3601])
def test_a_connection_cannot_wait_no_time_or_for_ever(seconds: float) -> None:
    with pytest.raises(ValueError, match="timeout_s"):
        ServiceConnection(service="asana", timeout_s=seconds)


def test_a_renewed_token_works_and_is_kept() -> None:
    simulator = Simulator()
    transport = httpx.ASGITransport(simulator)
    block = connection("gmail")
    simulator.expire("gmail")

    asyncio.run(block.refresh(NOW, transport))

    assert asyncio.run(block.verify(transport)) == "list_labels"
    assert block.secrets()["client_id"].get_secret_value() == "simulated-client"


def test_a_renewal_that_is_refused_changes_nothing() -> None:
    simulator = Simulator()
    block = connection("gmail")
    before = block.credentials.get_secret_value()
    simulator.revoke("gmail")

    with pytest.raises(ServiceError, match="reconnect"):
        asyncio.run(block.refresh(NOW, httpx.ASGITransport(simulator)))
    assert block.credentials.get_secret_value() == before


def test_a_connection_to_an_unknown_service_names_the_nearest() -> None:
    with pytest.raises(UnknownNameError, match="asana"):
        ServiceConnection(service="asanna").client()


def test_a_connection_without_credentials_cannot_call() -> None:
    with pytest.raises(ConfigurationError, match="'access_token'"):
        ServiceConnection(service="asana").client()


def test_the_policy_is_the_one_the_gate_works_with() -> None:
    assert AutopilotPolicy().remedy_policy() == RemedyPolicy()
    allowed = AutopilotPolicy(mode="auto", rerun_allowed=["nightly"], max_wait_s=60).remedy_policy()
    assert (allowed.mode, allowed.rerun_allowed, allowed.max_wait_s) == ("auto", ("nightly",), 60)


def test_the_policy_block_has_every_field_of_the_policy() -> None:
    assert set(RemedyPolicy.model_fields) <= set(AutopilotPolicy.model_fields)


def test_importing_the_blocks_loads_nothing_heavy() -> None:
    code = (
        "import sys, prefect.blocks.core; before = set(sys.modules); import prefect_autopilot.blocks;"
        "new = {name.partition('.')[0] for name in set(sys.modules) - before};"
        "heavy = new & {'starlette', 'fastapi', 'sklearn', 'statsmodels', 'libcst', 'sqlalchemy', 'pandas'};"
        "ours = {n for n in sys.modules if n.startswith('prefect_autopilot.') and 'blocks' not in n};"
        "sys.exit(repr((heavy, ours)) if heavy or ours else 0)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
