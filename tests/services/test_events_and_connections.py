"""Events as flows see them, sample rows, and the names of connections."""

from __future__ import annotations

import re

import pytest

from prefect_autopilot.errors import UnknownNameError
from prefect_autopilot.models import Service
from prefect_autopilot.services import (
    address_fields,
    authorise,
    connection_name,
    credential_names,
    event_payload,
    find_trigger,
    load_catalogue,
    resource_of,
    sample_event,
    sample_rows,
    service_of_connection,
    simulated_credentials,
)

CATALOGUE = load_catalogue()
POLLED = [
    pytest.param(service, trigger.event, id=f"{service.id}.{trigger.event}")
    for service in CATALOGUE.services
    for trigger in service.triggers
    if trigger.kind == "poll" and trigger.fields and sample_event(service, trigger.event)
]


def test_a_mail_is_read_by_its_plain_names() -> None:
    trigger = find_trigger(CATALOGUE.get("gmail"), "new_message")
    row = {
        "id": "1",
        "snippet": "s",
        "labelIds": ["IMPORTANT"],
        "payload": {
            "headers": [{"name": "SUBJECT", "value": "Offer"}, {"name": "From", "value": "a@example.com"}]
        },
    }

    event = event_payload(trigger, row)

    assert (event["subject"], event["from"], event["labels"]) == ("Offer", "a@example.com", ["IMPORTANT"])
    assert event["payload"] == row["payload"]
    assert "to" not in event, "what the row does not hold is not made up"


@pytest.mark.parametrize(("service", "event"), POLLED)
def test_a_sample_event_offers_what_the_trigger_promises(service: Service, event: str) -> None:
    sample = sample_event(service, event)
    promised = set(find_trigger(service, event).fields)

    assert sample
    assert "id" in promised <= set(sample) | {"assignee", "due_on", "due", "thread_ts"}


def test_an_important_mail_can_be_told_from_the_others() -> None:
    labels = [row["labelIds"] for row in sample_rows("gmail")["message"]]

    assert sum("IMPORTANT" in held for held in labels) == 1
    assert len(labels) >= 3


def test_sample_rows_are_copies() -> None:
    sample_rows("gmail")["message"][0]["id"] = "changed"
    assert sample_rows("gmail")["message"][0]["id"] != "changed"
    assert sample_rows("no_such_service") == {}


def test_an_unknown_event_names_those_there_are() -> None:
    with pytest.raises(UnknownNameError, match="new_message"):
        find_trigger(CATALOGUE.get("gmail"), "mail_burned")


@pytest.mark.parametrize(
    ("operation", "resource"),
    [
        ("list_messages", "message"),
        ("get_message", "message"),
        ("create_task", "task"),
        ("list_companies", "company"),
        ("list_boxes", "box"),
        ("list_addresses", "address"),
        ("get_address", "address"),
        ("search", "search"),
    ],
)
def test_an_operation_tells_its_resource(operation: str, resource: str) -> None:
    assert resource_of("any", operation) == resource


@pytest.mark.parametrize(
    ("service", "name", "connection"),
    [
        ("asana", "default", "asana-default"),
        ("google_sheets", "default", "google-sheets-default"),
        ("slack", "Marketing Team", "slack-marketing-team"),
        ("slack", "ops_2", "slack-ops-2"),
    ],
)
def test_a_connection_is_named_after_its_service(service: str, name: str, connection: str) -> None:
    assert connection_name(service, name) == connection
    assert service_of_connection(connection, CATALOGUE).id == service


def test_every_default_connection_leads_back_to_its_service() -> None:
    for service in CATALOGUE.services:
        assert service_of_connection(connection_name(service.id), CATALOGUE) is service, service.id


def test_the_longest_service_name_wins() -> None:
    assert service_of_connection("google-sheets-reports", CATALOGUE).id == "google_sheets"
    assert service_of_connection("microsoft-outlook-work", CATALOGUE).id == "microsoft_outlook"


def test_a_connection_of_no_service_is_refused() -> None:
    with pytest.raises(UnknownNameError, match="connection"):
        service_of_connection("nothing-of-the-kind", CATALOGUE)


def test_what_only_the_person_knows_of_an_address_is_told() -> None:
    assert address_fields(CATALOGUE.get("jira")) == ("site",)
    assert address_fields(CATALOGUE.get("asana")) == ()
    assert address_fields(CATALOGUE.get("telegram")) == (), "the bot token is a credential"


@pytest.mark.parametrize(
    ("service", "names"),
    [
        ("notion", ("token",)),
        ("asana", ("access_token",)),
        ("gmail", ("access_token",)),
        ("jira", ("username", "password")),
        ("trello", ("key", "token")),
        ("openweathermap", ("api_key",)),
        ("hacker_news", ()),
    ],
)
def test_what_a_connection_must_hold(service: str, names: tuple[str, ...]) -> None:
    assert credential_names(CATALOGUE.get(service)) == names
    assert set(names) <= set(simulated_credentials(CATALOGUE.get(service)))


@pytest.mark.parametrize(
    ("service_id", "held"),
    [
        ("splunk_oncall", ("X-VO-Api-Id", "X-VO-Api-Key")),
        ("copper", ("X-PW-AccessToken", "X-PW-UserEmail")),
        ("salesmate", ("sessionToken", "x-linkname")),
    ],
)
def test_what_tells_who_asks_is_held_by_the_connection(service_id: str, held: tuple[str, ...]) -> None:
    service = CATALOGUE.get(service_id)
    assert credential_names(service) == held
    assert authorise(service, dict.fromkeys(held, "told")).headers == dict.fromkeys(held, "told")


@pytest.mark.parametrize("service", CATALOGUE.services, ids=lambda service: service.id)
def test_no_credential_is_a_parameter_of_a_call(service: Service) -> None:
    """A parameter would stand in the source of a generated flow."""
    telling = re.compile(r"(?i)api[-_]?(key|id|token|secret)|access[-_]?token")
    in_headers = [
        f"{operation.id}: {one.name}"
        for operation in service.operations
        for one in operation.parameters
        if one.location == "header" and (one.name in credential_names(service) or telling.search(one.name))
    ]
    assert in_headers == []
