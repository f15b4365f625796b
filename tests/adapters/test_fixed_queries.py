"""Services whose operations share one address: each call is the one meant, with a text nobody can change."""

from __future__ import annotations

from typing import Any

import httpx
import pytest
from pydantic import SecretStr

from prefect_autopilot.adapters.services import ServiceClient
from prefect_autopilot.adapters.simulator import Simulator
from prefect_autopilot.errors import ServiceError, UsageError
from prefect_autopilot.models import Operation, Parameter, Service
from prefect_autopilot.services import build_request, check_parameters, load_catalogue, simulated_credentials

IDS = ["monday", "linear", "salesforce", "quickbooks", "facebook"]
GRAPHQL = ["monday", "linear"]
CALLS = [
    pytest.param(service, operation, id=f"{service}.{operation.id}")
    for service in IDS
    for operation in load_catalogue().get(service).operations
    if operation.id != "graphql"
]
FIXED = [
    pytest.param(service, operation, id=f"{service}.{operation.id}")
    for service in GRAPHQL
    for operation in load_catalogue().get(service).operations
    if operation.id != "graphql"
]


@pytest.fixture
def simulator() -> Simulator:
    return Simulator()


class Opened:
    """Clients of simulated services by id."""

    def __init__(self, simulator: Simulator) -> None:
        self.transport = httpx.ASGITransport(simulator)

    async def call(self, service_id: str, operation: str, parameters: dict[str, Any]) -> Any:
        service = load_catalogue().get(service_id)
        held = {name: SecretStr(value) for name, value in simulated_credentials(service).items()}
        async with ServiceClient(
            service, held, base_url=f"http://simulator/{service_id}", transport=self.transport
        ) as client:
            return await client.call(operation, parameters)


@pytest.fixture
def services(simulator: Simulator) -> Opened:
    return Opened(simulator)


def needed(operation: Operation) -> dict[str, Any]:
    """Return a value of the right type for every parameter that has no default."""
    values: dict[str, Any] = {"object": {"Name": "x"}, "array": [{"Amount": 1}], "integer": 3, "any": "7"}
    return {
        one.name: values.get(one.type, f"some {one.name}")
        for one in operation.parameters
        if one.required and one.default is None
    }


@pytest.mark.parametrize(("service", "operation"), CALLS)
async def test_the_call_that_arrives_is_the_call_that_was_made(
    simulator: Simulator, services: Opened, service: str, operation: Operation
) -> None:
    await services.call(service, operation.id, needed(operation))

    assert [(call.operation, call.status < 300) for call in simulator.calls] == [(operation.id, True)]


@pytest.mark.parametrize(("service", "operation"), FIXED)
def test_the_text_of_a_call_is_fixed_and_values_are_variables(service: str, operation: Operation) -> None:
    definition = load_catalogue().get(service)
    hostile = {
        name: 'x" } } mutation { delete_board (board_id: 1) { id }' if isinstance(value, str) else value
        for name, value in needed(operation).items()
    }

    body = build_request(operation, check_parameters(definition, operation, hostile)).body

    [text] = [one.default for one in operation.parameters if one.name == "query"]
    assert body["query"] == text
    assert "delete_board" not in body["query"]
    assert text.count("{") == text.count("}")
    assert text.count("(") == text.count(")")


@pytest.mark.parametrize(("service", "operation"), FIXED)
def test_a_caller_cannot_send_another_text(service: str, operation: Operation) -> None:
    given = needed(operation) | {"query": "mutation { delete_everything { id } }"}

    with pytest.raises(UsageError, match="'query'"):
        check_parameters(load_catalogue().get(service), operation, given)


@pytest.mark.parametrize(("service", "operation"), FIXED)
def test_every_variable_is_declared_and_only_mutations_have_an_effect(
    service: str, operation: Operation
) -> None:
    [text] = [one.default for one in operation.parameters if one.name == "query"]
    variables = {
        one.at.split(".")[1] for one in operation.parameters if one.at and one.at.startswith("variables.")
    }

    assert all(f"${name}:" in text for name in variables)
    assert text.count("$") == 2 * len(variables)
    assert text.startswith("mutation") is (operation.effect != "safe")


@pytest.mark.parametrize(
    ("path", "parameters"),
    [
        pytest.param("/graphql", (Parameter(name="payload", type="object", at="$"),), id="by its path"),
        pytest.param("/", (Parameter(name="query", default="{me}", choices=("{me}",)),), id="by its text"),
    ],
)
async def test_an_error_in_a_good_answer_is_an_error(path: str, parameters: tuple[Parameter, ...]) -> None:
    operation = Operation(id="get_me", method="POST", path=path, body="json", parameters=parameters)
    service = Service(id="graph", name="Graph", base_url="https://graph.example", operations=(operation,))
    told = {"errors": [{"message": "No such board"}], "data": None}
    transport = httpx.MockTransport(lambda _: httpx.Response(200, json=told))

    async with ServiceClient(service, {}, transport=transport) as client:
        with pytest.raises(ServiceError, match="No such board") as caught:
            await client.call("get_me")

    assert caught.value.permanent


async def test_lists_are_read_from_where_the_service_puts_them(
    services: Opened, simulator: Simulator
) -> None:
    simulator.seed("linear", "issue", {"id": "i-1", "title": "Broken lamp"})

    answer = await services.call("linear", "list_issues", {})

    assert answer["data"]["issues"]["nodes"][0]["title"] == "Broken lamp"


@pytest.mark.parametrize(
    ("service", "operation", "names"),
    [
        ("twilio", "send_message", {"To", "From", "Body"}),
        ("jira", "search_issues", {"jql", "fields", "nextPageToken"}),
        ("salesforce", "create_record", {"object", "fields"}),
        ("facebook", "create_post", {"page_id", "message", "link"}),
        ("quickbooks", "create_invoice", {"customer_id", "Line"}),
    ],
)
def test_an_operation_takes_what_its_service_needs(service: str, operation: str, names: set[str]) -> None:
    found = load_catalogue().get(service).operation(operation)

    assert found is not None
    assert names <= {one.name for one in found.parameters}


PROMISED = [
    "slack", "microsoft_teams", "salesforce", "asana", "gmail", "microsoft_outlook", "google_calendar",
    "google_drive", "google_sheets", "notion", "jira", "github", "gitlab", "hubspot", "trello", "zoom",
    "discord", "stripe", "shopify", "zendesk", "dropbox", "box", "airtable", "monday", "clickup", "linear",
    "figma", "quickbooks", "xero", "twilio", "sendgrid", "mailchimp", "intercom", "whatsapp", "telegram",
    "openai", "anthropic", "aws_s3", "aws_lambda", "google_bigquery", "google_pubsub", "azure_devops",
    "microsoft_entra", "snowflake", "databricks", "postgres", "mysql", "facebook", "calendly", "email",
]  # fmt: skip


@pytest.mark.parametrize("service", PROMISED)
def test_a_service_people_name_first_can_be_called(service: str) -> None:
    assert len(load_catalogue().get(service).operations) >= 2
