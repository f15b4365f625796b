"""``call_service`` with what speaks no HTTP: databases and mail, stored connections and stand-ins."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from prefect import flow

from prefect_autopilot.adapters.clients import open_client
from prefect_autopilot.adapters.services import ServiceClient
from prefect_autopilot.adapters.simulator import Simulator, serve_simulator
from prefect_autopilot.adapters.smtp import SMTPClient
from prefect_autopilot.adapters.sql import SQLClient
from prefect_autopilot.blocks import ServiceConnection
from prefect_autopilot.errors import ServiceError, UsageError
from prefect_autopilot.services import load_catalogue, simulated_credentials
from prefect_autopilot.tasks import call_service
from prefect_autopilot.tasks import services as task_module

DATABASES = ["postgres", "mysql", "microsoft_sql_server", "sqlite"]


@pytest.fixture
def simulator(monkeypatch: pytest.MonkeyPatch, prefect_harness: None) -> Iterator[Simulator]:
    simulated = Simulator()
    with serve_simulator(simulated) as url:
        monkeypatch.setenv("PREFECT_AUTOPILOT_SIMULATE", url)
        monkeypatch.setattr(task_module.call_service, "retry_delay_seconds", [0.0, 0.0])
        yield simulated


@pytest.fixture
def shop(tmp_path: Path, prefect_harness: None, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A database file, and a stored connection to it."""
    monkeypatch.delenv("PREFECT_AUTOPILOT_SIMULATE", raising=False)
    path = tmp_path / "shop.db"
    held = sqlite3.connect(path)
    held.execute("CREATE TABLE orders (id INTEGER PRIMARY KEY, name TEXT)")
    held.commit()
    held.close()
    ServiceConnection(service="sqlite", base_url=f"sqlite:///{path}").save("sqlite-default", overwrite=True)
    return path


def in_a_flow(connection: str, operation: str, **parameters: Any) -> Any:
    @flow
    def once() -> Any:
        return call_service(connection, operation, **parameters)

    return once()


@pytest.mark.parametrize("database", DATABASES)
def test_a_simulated_database_answers_rows_and_takes_some(simulator: Simulator, database: str) -> None:
    rows = in_a_flow(f"{database}-default", "query", statement="SELECT * FROM orders")
    in_a_flow(f"{database}-default", "insert_rows", table="orders", rows=[{"id": 3}], key=["id"])

    assert [sorted(row) for row in rows] == [["amount", "created_at", "id", "name"]] * 2
    assert [(call.operation, call.status) for call in simulator.calls] == [
        ("query", 200),
        ("insert_rows", 200),
    ]


@pytest.mark.parametrize("database", DATABASES)
@pytest.mark.parametrize(
    "parameters",
    [
        pytest.param({"statement": "DELETE FROM orders"}, id="writes"),
        pytest.param({"statement": "SELECT 1; SELECT 2"}, id="two statements"),
        pytest.param({"statement": "SELECT :id"}, id="value missing"),
        pytest.param({"statement": "SELECT 1", "values": {"id": 1}}, id="value too many"),
    ],
)
def test_a_stand_in_refuses_what_the_database_would_be_refused(
    simulator: Simulator, database: str, parameters: dict[str, Any]
) -> None:
    with pytest.raises(ServiceError) as caught:
        in_a_flow(f"{database}-default", "query", **parameters)

    assert caught.value.permanent
    assert [call.status for call in simulator.calls] == [400]


def test_values_of_every_json_type_reach_the_stand_in(simulator: Simulator) -> None:
    values = {"a": 1, "b": "x & y", "c": None, "d": [1, 2], "e": True}

    in_a_flow("postgres-default", "query", statement="SELECT :a, :b, :c, :d, :e", values=values)

    assert simulator.calls[0].parameters["values"] == values


def test_a_simulated_mail_server_takes_a_mail_and_refuses_a_forged_header(simulator: Simulator) -> None:
    mail = {"to": ["ann@example.com"], "subject": "Ready", "body": "It is."}

    in_a_flow("email-default", "send_email", **mail)
    with pytest.raises(ServiceError):
        in_a_flow("email-default", "send_email", **{**mail, "subject": "x\nBcc: eve@example.com"})

    assert [call.status for call in simulator.calls] == [200, 400]
    assert simulator.calls[0].parameters == mail


def test_a_failing_query_is_tried_again_and_a_failing_insert_is_not(simulator: Simulator) -> None:
    simulator.fail("postgres", times=1)
    in_a_flow("postgres-default", "query", statement="SELECT 1")

    simulator.fail("postgres", times=1)
    with pytest.raises(ServiceError):
        in_a_flow("postgres-default", "insert_rows", table="orders", rows=[{"id": 1}])

    assert [call.operation for call in simulator.calls] == ["query", "query", "insert_rows"]


def test_a_stored_connection_reaches_the_real_database(shop: Path) -> None:
    in_a_flow("sqlite-default", "insert_rows", table="orders", rows=[{"id": 1, "name": "Lamp"}])

    assert in_a_flow("sqlite-default", "query", statement="SELECT name FROM orders") == [{"name": "Lamp"}]


def test_a_parameter_the_database_does_not_take_is_named(shop: Path) -> None:
    with pytest.raises(UsageError, match="statment"):
        in_a_flow("sqlite-default", "query", statment="SELECT 1")


def test_two_equal_inserts_of_one_run_are_both_made(shop: Path) -> None:
    @flow
    def twice() -> None:
        for _ in range(2):
            call_service("sqlite-default", "insert_rows", table="orders", rows=[{"name": "Same"}])

    twice()

    answer = in_a_flow("sqlite-default", "query", statement="SELECT count(*) AS n FROM orders")
    assert answer == [{"n": 2}]


@pytest.mark.parametrize(
    ("service", "address", "kind"),
    [
        ("asana", None, ServiceClient),
        ("postgres", "postgresql://127.0.0.1/shop", SQLClient),
        ("email", "smtp://127.0.0.1", SMTPClient),
    ],
)
def test_a_service_gets_the_client_that_speaks_as_it_does(
    service: str, address: str | None, kind: type[object]
) -> None:
    from pydantic import SecretStr

    definition = load_catalogue().get(service)
    held = {name: SecretStr(value) for name, value in simulated_credentials(definition).items()}

    assert type(open_client(definition, held, base_url=address)) is kind


def test_every_service_that_speaks_no_http_has_operations_an_adapter_knows() -> None:
    known = {
        "sql": {"query", "execute", "insert_rows", "list_tables", "ping"},
        "mongodb": {
            *("find", "aggregate", "count_documents", "list_collections", "ping"),
            *("insert_documents", "update_documents", "delete_documents"),
        },
        "smtp": {"send_email", "sign_in"},
        "any_http": {"request"},
    }
    spoken = [service for service in load_catalogue().services if service.protocol != "http"]

    assert {service.id for service in spoken} == {*DATABASES, "mongodb", "email", "http"}
    for service in spoken:
        assert {operation.id for operation in service.operations} == known[service.protocol]
