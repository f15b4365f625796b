"""From an analysis to a workflow, and to the rows of a batch."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from prefect_autopilot.cli.batch_analyze import analyze_rows, answer
from prefect_autopilot.codegen import generate
from prefect_autopilot.errors import UsageError
from prefect_autopilot.intelligence import analyze, design
from prefect_autopilot.models import (
    Analysis,
    Constant,
    FromParameter,
    FromStep,
    FromTrigger,
    Text,
    WorkflowSpec,
)
from prefect_autopilot.services import Catalogue

Ask = Callable[..., Analysis]

REQUESTS = [
    "when a typeform is submitted, add it to airtable and tell slack",
    "every weekday at 8:30 in berlin time list the projects of asana and post them to #standup in slack",
    "new github issue -> trello card",
    "every other friday at 16:00 post jira issues to slack",
    "every 45 minutes post 'still here' to #ops in slack",
    "create a jira issue for each new zendesk ticket",
]


@pytest.mark.parametrize("text", REQUESTS)
def test_a_clear_request_becomes_a_valid_workflow(text: str, ask: Ask, catalogue: Catalogue) -> None:
    analysis = ask(text)
    spec = design(analysis, catalogue)
    assert spec.request == text
    assert spec.steps == analysis.steps
    assert 2 <= len(spec.name.split("-")) <= 4
    assert WorkflowSpec.model_validate_json(spec.model_dump_json()) == spec


@pytest.mark.parametrize("text", REQUESTS)
def test_every_parameter_a_step_asks_for_is_described_once(text: str, ask: Ask, catalogue: Catalogue) -> None:
    spec = design(ask(text), catalogue)
    wanted = set()
    for step in spec.steps:
        for argument in step.arguments.values():
            parts = argument.parts if isinstance(argument, Text) else (argument,)
            wanted |= {part.name for part in parts if isinstance(part, FromParameter)}
    names = [parameter.name for parameter in spec.parameters]
    assert sorted(names) == sorted(wanted)
    assert all(parameter.required and parameter.description for parameter in spec.parameters)


@pytest.mark.parametrize("text", REQUESTS)
def test_arguments_are_parameters_the_operation_has(text: str, ask: Ask, catalogue: Catalogue) -> None:
    for step in design(ask(text), catalogue).steps:
        operation = catalogue.get(step.service).operation(step.operation)
        assert operation is not None
        known = {parameter.name for parameter in operation.parameters}
        assert set(step.arguments) <= known
        required = {p.name for p in operation.parameters if p.required and p.default is None}
        assert required <= set(step.arguments)


UPLOADED = "when a trello card is new upload it to sharepoint by a request of its own"


def test_fields_of_the_event_are_fields_the_trigger_offers(ask: Ask, catalogue: Catalogue) -> None:
    analysis = ask("when a gmail email arrives create a trello card and tell slack")
    assert analysis.trigger is not None
    event = next(t for t in catalogue.get("gmail").triggers if t.event == analysis.trigger.event)
    for step in analysis.steps:
        for argument in step.arguments.values():
            parts = argument.parts if isinstance(argument, Text) else (argument,)
            paths = {part.path for part in parts if part.kind == "trigger"}
            assert paths <= {*event.fields, ""}


def test_connections_are_named_after_their_service(ask: Ask, catalogue: Catalogue) -> None:
    spec = design(ask("new trello card -> google sheets row"), catalogue)
    assert spec.connections == ("google-sheets-default",)


def test_a_list_parameter_is_asked_for_as_a_list(ask: Ask, catalogue: Catalogue) -> None:
    spec = design(ask("new trello card -> create an asana task"), catalogue)
    types = {parameter.name: parameter.type for parameter in spec.parameters}
    assert types["asana_projects"] == "list"


def test_a_single_run_is_designed_to_be_started_by_hand(ask: Ask, catalogue: Catalogue) -> None:
    spec = design(ask("in 2 hours post 'tea' to #ops in slack"), catalogue)
    assert spec.trigger.type == "manual"


@pytest.mark.parametrize(
    "text",
    ["", "automate it", "when I get an email, tell slack", "slack trello", "when Zorblify7 beeps tell slack"],
)
def test_what_is_still_open_cannot_be_designed(text: str, ask: Ask, catalogue: Catalogue) -> None:
    with pytest.raises(UsageError, match="no flow to design yet"):
        design(ask(text), catalogue)


def test_a_call_nobody_described_becomes_an_http_request(ask: Ask, catalogue: Catalogue) -> None:
    [step] = design(ask(UPLOADED), catalogue).steps
    assert (step.service, step.operation, step.connection) == ("http", "request", "http-microsoft-sharepoint")
    assert step.summary == "Send to SharePoint over HTTP"


@pytest.mark.parametrize(
    ("text", "method", "body"),
    [
        (UPLOADED, "POST", FromTrigger(path="")),
        ("every day at 9 post 'hello' to hipchat", "POST", Constant(value={"text": "hello"})),
        ("every day at 9 create a note in evernote", "POST", FromParameter(name="evernote_json")),
        (
            "every day at 9 get the trello cards and put them into evernote",
            "POST",
            FromStep(step="trello_list_cards"),
        ),
        ("every day at 9 get the notes from evernote and post them to slack", "GET", None),
    ],
    ids=["an event", "a quoted text", "nothing known", "an earlier answer", "a read"],
)
def test_a_plain_request_asks_for_its_address_and_sends_what_is_known(
    text: str, method: str, body: object, ask: Ask, catalogue: Catalogue
) -> None:
    spec = design(ask(text), catalogue)
    step = next(step for step in spec.steps if step.service == "http")
    assert step.arguments["method"] == Constant(value=method)
    assert step.arguments.get("json") == body
    url = step.arguments["url"]
    assert isinstance(url, FromParameter)
    field = next(parameter for parameter in spec.parameters if parameter.name == url.name)
    assert field.required
    assert "address" in field.description
    compile(generate(spec, catalogue).source, "flow", "exec")


@pytest.mark.parametrize("service", ["redis", "ftp"])
def test_what_no_http_request_reaches_is_said_so(service: str, ask: Ask, catalogue: Catalogue) -> None:
    analysis = ask(f"when a trello card is new save it to {service}")
    with pytest.raises(UsageError, match="cannot be reached"):
        design(analysis, catalogue)


def test_names_that_begin_with_a_digit_still_make_a_valid_flow_name(catalogue: Catalogue, ask: Ask) -> None:
    analysis = ask("new trello card -> slack message")
    renamed = analysis.steps[0].model_copy(update={"service": "slack"})
    spec = design(analysis.model_copy(update={"steps": (renamed,)}), catalogue)
    assert spec.name[0].isalpha()


def rows(*texts: Any, **context: Any) -> list[dict[str, Any]]:
    return list(
        analyze_rows([{"id": f"r{i}", "text": text, "context": context} for i, text in enumerate(texts)])
    )


def test_a_batch_answers_row_by_row_in_order() -> None:
    answers = rows("new trello card -> discord", "", "when I get an email, tell slack")
    assert [row["id"] for row in answers] == ["r0", "r1", "r2"]
    assert [row["status"] for row in answers] == ["flow", "reject", "clarify"]
    assert json.loads(json.dumps(answers)) == answers


def test_a_row_has_the_fields_of_the_contract() -> None:
    (row,) = rows("every friday at 16:00 post 'weekend' to #all in slack")
    assert set(row) == {"id", "status", "services", "trigger", "steps", "questions"}
    assert row["trigger"] == {
        "type": "schedule",
        "service": None,
        "cron": "0 16 * * 5",
        "rrule": None,
        "timezone": "UTC",
    }
    assert row["steps"] == [{"service": "slack", "operation": "post_message", "condition": None}]
    assert [service["service"] for service in row["services"]] == ["slack"]
    assert all(0 <= service["confidence"] <= 1 for service in row["services"])


def test_an_interval_is_written_as_a_rule() -> None:
    (row,) = rows("every 45 minutes post 'x' to slack")
    assert row["trigger"]["rrule"] == "FREQ=MINUTELY;INTERVAL=45"
    (row,) = rows("every 7 hours post 'x' to slack")
    assert row["trigger"]["rrule"] == "FREQ=HOURLY;INTERVAL=7"
    (row,) = rows("every 45 seconds post 'x' to slack")
    assert row["trigger"]["rrule"] == "FREQ=SECONDLY;INTERVAL=45"


def test_excluded_and_mentioned_services_are_not_in_the_answer() -> None:
    (row,) = rows("post new jira issues to discord, not slack")
    assert {service["service"] for service in row["services"]} == {"jira", "discord"}


def test_the_context_of_a_row_is_used() -> None:
    (row,) = rows(
        "email me new jira issues at 9 every day", connected_services=["gmail", "jira"], timezone="Asia/Tokyo"
    )
    assert row["status"] == "flow"
    assert row["trigger"]["timezone"] == "Asia/Tokyo"
    assert "gmail" in {service["service"] for service in row["services"]}


@pytest.mark.parametrize("text", [None, 5, ["slack"], {"a": 1}])
def test_a_row_without_a_text_is_an_error_and_the_batch_goes_on(text: Any) -> None:
    first, second = rows(text, "new trello card -> discord")
    assert set(first) == {"id", "error"}
    assert "text" in first["error"]
    assert second["status"] == "flow"


def test_a_row_with_a_broken_context_is_an_error() -> None:
    (row,) = rows("new trello card -> discord", connected_services=7)
    assert set(row) == {"id", "error"}
    assert "connected_services" in row["error"]


def test_unknown_fields_of_a_row_are_ignored() -> None:
    (row,) = analyze_rows(
        [{"id": "a", "text": "new trello card -> discord", "gold": 1, "context": {"mood": "good"}}]
    )
    assert row["status"] == "flow"


def test_an_unknown_zone_in_the_context_is_an_error_and_not_guessed() -> None:
    (row,) = rows("every day at 9 post jira issues to slack", timezone="Mars/Olympus")
    assert set(row) == {"id", "error"}
    assert "Mars/Olympus" in row["error"]


def test_the_answer_is_the_same_every_time(ask: Ask) -> None:
    text = "when a stripe payment over $500 arrives tell slack or discord and text me"
    assert answer(ask(text)) == answer(ask(text))


def test_reading_the_same_analysis_twice_changes_nothing(ask: Ask, catalogue: Catalogue) -> None:
    from prefect_autopilot.models import RequestContext

    context = RequestContext(connected_services=("gmail",))
    assert analyze("mail me new rss items", context, catalogue) == analyze(
        "mail me new rss items", context, catalogue
    )
