"""Whole requests: what starts each, which calls follow, and that its flow is generated or asked about."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache

import pytest

from prefect_autopilot.cli.batch_analyze import analyze_rows
from prefect_autopilot.codegen import generate
from prefect_autopilot.errors import UsageError
from prefect_autopilot.intelligence import analyze, design
from prefect_autopilot.models import Analysis, FromStep, FromTrigger, RequestContext, Text, WorkflowSpec
from prefect_autopilot.services import load_catalogue

ASKED = "asked"
"""The flow is not generated: somebody must say something first."""


@dataclass(frozen=True)
class Request:
    """``start`` is type, service and event ("schedule" with its cron); ``steps`` are service.operation."""

    text: str
    start: str
    steps: str
    filter: str | None = None
    conditions: dict[int, str] = field(default_factory=dict)
    ends: str = "generated"


REQUESTS = [
    # Something new in a service.
    Request(
        "When a new issue is opened in GitHub, create a Trello card",
        "app_event github new_issue",
        "trello.create_card",
    ),
    Request(
        "New GitHub issue to Jira issue",
        "app_event github new_issue",
        "jira.create_issue",
    ),
    Request(
        "Create a Jira issue whenever a GitHub issue is opened",
        "app_event github new_issue",
        "jira.create_issue",
    ),
    Request(
        "For each new row in Google Sheets, create a contact in Mailchimp",
        "app_event google_sheets new_row",
        "mailchimp.add_member",
    ),
    Request(
        "When a new row is added to Google Sheets, create a HubSpot contact and tell #leads in Slack",
        "app_event google_sheets new_row",
        "hubspot.create_contact slack.post_message",
    ),
    Request(
        "When a customer is created in Stripe, add them to Mailchimp",
        "app_event stripe new_customer",
        "mailchimp.add_member",
    ),
    Request(
        "New Airtable record -> Google Calendar event",
        "app_event airtable new_record",
        "google_calendar.create_event",
    ),
    Request(
        "When a Calendly meeting is booked, create a contact in HubSpot",
        "app_event calendly new_meeting",
        "hubspot.create_contact",
    ),
    Request(
        "When a new contact is added in HubSpot, then create a Trello card, then post to Slack",
        "app_event hubspot new_contact",
        "trello.create_card slack.post_message",
    ),
    Request(
        "When an event is created in Google Calendar, post a message to Discord",
        "app_event google_calendar new_event",
        "discord.create_message",
    ),
    Request(
        "When a new file is added to Dropbox, post it to Slack",
        "app_event dropbox new_file",
        "slack.post_message",
    ),
    Request(
        "post to slack when sentry reports a new error",
        "app_event sentry new_error",
        "slack.post_message",
    ),
    Request(
        "As soon as a lead is created in Salesforce, send an email to sales@example.com with Gmail",
        "app_event salesforce new_lead",
        "gmail.send_message",
    ),
    Request(
        "When a new page is created in Notion, post it to #wiki in Slack",
        "app_event notion new_page",
        "slack.post_message",
    ),
    Request(
        "Whenever a task is added in Asana, add a card in Trello",
        "app_event asana new_task",
        "trello.create_card",
    ),
    Request(
        "every time a card is created in Trello, create a task in Asana and tell Slack",
        "app_event trello new_card",
        "asana.create_task slack.post_message",
    ),
    Request(
        "When a Pipedrive deal is created, create an Asana task and send a message to Slack",
        "app_event pipedrive new_deal",
        "asana.create_task slack.post_message",
    ),
    Request(
        "If a new ticket comes in at Zendesk, create a Jira issue",
        "app_event zendesk new_ticket",
        "jira.create_issue",
    ),
    Request(
        "When someone stars our repository on GitHub, post it to Slack",
        "app_event github star",
        "slack.post_message",
    ),
    Request(
        "When a new invoice is created in Xero, notify #finance in Slack",
        "app_event xero new_invoice",
        "slack.post_message",
    ),
    Request(
        "On a new Jira issue, comment on the GitHub issue",
        "app_event jira issue_created",
        "github.create_comment",
    ),
    Request(
        "Shopify order arrives => Slack message",
        "app_event shopify new_order",
        "slack.post_message",
    ),
    Request(
        "Copy new HubSpot contacts to Mailchimp",
        "app_event hubspot new_contact",
        "mailchimp.add_member",
    ),
    Request(
        "When a new tweet mentions us on Twitter, post it to Slack",
        "app_event twitter new_tweet",
        "slack.post_message",
    ),
    # Mail.
    Request(
        "When an email from boss@example.com arrives in Gmail, send a message to #urgent in Slack",
        "email gmail new_message",
        "slack.post_message",
        "from boss@example.com",
    ),
    Request(
        "When a Gmail email arrives, create an Asana task",
        "email gmail new_message",
        "asana.create_task",
    ),
    Request(
        "When I get an important Gmail email, create a Trello card and tell Slack",
        "email gmail new_message",
        "trello.create_card slack.post_message",
        "important",
    ),
    Request(
        "When an email with an attachment arrives in Gmail, create a page in Notion",
        "email gmail new_message",
        "notion.create_page",
        "with an attachment",
        ends=ASKED,
    ),
    Request(
        "When an email from my boss lands in Gmail, tell Slack",
        "email gmail new_message",
        "slack.post_message",
        "from my boss",
        ends=ASKED,
    ),
    Request(
        "When I star an email in Gmail, create a card in Trello",
        "email gmail new_message",
        "trello.create_card",
        "i star",
    ),
    Request(
        "For every unread email in Gmail create a Trello card",
        "email gmail new_message",
        "trello.create_card",
        "unread",
    ),
    # Forms, webhooks, people.
    Request(
        "When someone submits the Typeform, add a row to Google Sheets and send a message to Slack",
        "form typeform new_response",
        "google_sheets.append_row slack.post_message",
    ),
    Request(
        "After a form is submitted in Jotform, create a HubSpot contact, and notify Slack",
        "form jotform new_item",
        "hubspot.create_contact slack.post_message",
    ),
    Request(
        "New Google Forms response -> create a Trello card",
        "form google_forms new_response",
        "trello.create_card",
    ),
    Request(
        "When our webhook is called, add a row to Google Sheets",
        "webhook - -",
        "google_sheets.append_row",
    ),
    Request(
        "When a webhook is received, create a Jira issue and post to #ops in Slack",
        "webhook - -",
        "jira.create_issue slack.post_message",
    ),
    Request(
        "Manually: copy the contacts of HubSpot to Mailchimp",
        "manual - -",
        "hubspot.list_contacts mailchimp.add_member",
    ),
    Request(
        "At the click of a button, create a Jira issue",
        "manual - -",
        "jira.create_issue",
    ),
    # Schedules.
    Request(
        "Every weekday at 8:30, list the open issues of GitHub and post them to #dev in Slack",
        "schedule 30 8 * * 1-5",
        "github.list_issues slack.post_message",
    ),
    Request(
        "Each morning at 7 get the weather from OpenWeatherMap and post it to #general in Slack",
        "schedule 0 7 * * *",
        "openweathermap.current slack.post_message",
    ),
    Request(
        "Every hour, fetch new orders from Shopify and append each one to Google Sheets",
        "schedule 0 * * * *",
        "shopify.list_orders google_sheets.append_row",
    ),
    Request(
        "Every evening at 9 list the tasks of Asana and post them to Slack",
        "schedule 0 21 * * *",
        "asana.list_tasks slack.post_message",
    ),
    Request(
        'Every day at 9 post "Good morning" to #general in Slack',
        "schedule 0 9 * * *",
        "slack.post_message",
    ),
    Request(
        'Every Monday and Thursday at 10:00 post "Stand-up" to #team in Slack',
        "schedule 0 10 * * 1,4",
        "slack.post_message",
    ),
    Request(
        "Every Monday at 9 read the rows of Google Sheets and create a Trello card for each row",
        "schedule 0 9 * * 1",
        "google_sheets.read_range trello.create_card",
    ),
    Request(
        "On the last day of every month at 18:00, list the invoices of Stripe and post them to Slack",
        "schedule 0 18 L * *",
        "stripe.list_invoices slack.post_message",
    ),
    Request(
        "On the first Monday of each month at 9, create an Asana task",
        "schedule 0 9 * * 1#1",
        "asana.create_task",
    ),
    Request(
        "Every 15 minutes between 9 and 17 on weekdays check Zendesk for tickets and tell Slack",
        "schedule */15 9-16 * * 1-5",
        "zendesk.list_tickets slack.post_message",
    ),
    Request(
        "Every quarter on the 1st at 8, list the deals of Pipedrive and send them to Slack",
        "schedule 0 8 1 1,4,7,10 *",
        "pipedrive.list_deals slack.post_message",
    ),
    # Filters and conditions.
    Request(
        "When a deal is created in Pipedrive, congratulate the team in #sales on Slack",
        "app_event pipedrive new_deal",
        "slack.post_message",
    ),
    Request(
        "When a payment fails in Stripe, create a Zendesk ticket and post to #billing in Slack",
        "app_event stripe payment_failed",
        "zendesk.create_ticket slack.post_message",
    ),
    Request(
        "When an order over $200 is placed in Shopify, create a task in Asana",
        "app_event shopify new_order",
        "asana.create_task",
        "over $200",
    ),
    Request(
        "If an issue is moved to Done in Linear, post it to Discord",
        "app_event linear issue_updated",
        "discord.create_message",
        "moved to done",
        ends=ASKED,
    ),
    Request(
        "When a pull request is merged in GitHub, tell the team in Slack",
        "app_event github pull_request",
        "slack.post_message",
        "is merged",
        ends=ASKED,
    ),
    Request(
        'When a GitHub issue labelled bug is opened, create a Jira issue titled "Bug from GitHub"',
        "app_event github new_issue",
        "jira.create_issue",
        "labelled bug",
    ),
    Request(
        "When a Typeform comes in, create a HubSpot contact if the score is above 8",
        "form typeform new_response",
        "hubspot.create_contact",
        None,
        {0: "the score is above 8"},
    ),
    Request(
        "When a Stripe payment arrives, tell Slack unless the amount is below 50",
        "app_event stripe new_payment",
        "slack.post_message",
        None,
        {0: "not the amount is below 50"},
    ),
    Request(
        "When a Shopify order comes in, if the total is over 100 tell Slack, otherwise create a Trello card",
        "app_event shopify new_order",
        "slack.post_message trello.create_card",
        None,
        {0: "the total is over 100", 1: "not the total is over 100"},
    ),
    Request(
        "When a Zendesk ticket arrives, classify it with OpenAI and, if it is negative, tell #cs in Slack",
        "app_event zendesk new_ticket",
        "openai.chat slack.post_message",
        None,
        {1: "it is negative"},
        ASKED,
    ),
    # Services that work on content in between.
    Request(
        "When a Stripe payment arrives, have OpenAI write a thank-you note and email it with Gmail",
        "app_event stripe new_payment",
        "openai.chat gmail.send_message",
    ),
    Request(
        "When a new Notion page is created, summarize it with OpenAI and post the summary to Slack",
        "app_event notion new_page",
        "openai.chat slack.post_message",
    ),
    Request(
        "Every Friday at 16:00 get the issues from GitHub, summarize them with OpenAI and tell Slack",
        "schedule 0 16 * * 5",
        "github.list_issues openai.chat slack.post_message",
    ),
    # Services without a described operation: called by a plain HTTP request, never by a wrong operation.
    Request(
        "When a message is posted in #support on Slack, create a Linear issue",
        "app_event slack message",
        "linear.create_issue",
        "in #support",
        ends=ASKED,
    ),
    Request(
        "When a Trello card is created, upload it to Dropbox",
        "app_event trello new_card",
        "dropbox.upload_file",
    ),
    Request(
        "Every Friday at 17:00 get the deals from HubSpot and send a summary via Telegram",
        "schedule 0 17 * * 5",
        "hubspot.list_deals telegram.send_message",
    ),
]

GENERATED = [request for request in REQUESTS if request.ends != ASKED]
OPEN = [request for request in REQUESTS if request.ends == ASKED]


@cache
def understood(text: str) -> Analysis:
    return analyze(text, RequestContext(timezone="Europe/Vienna"), load_catalogue())


def by_text(requests: list[Request]) -> Callable[..., object]:
    return pytest.mark.parametrize("request_", requests, ids=[request.text for request in requests])


def starts(analysis: Analysis) -> str:
    trigger = analysis.trigger
    assert trigger is not None
    if trigger.type == "schedule":
        return f"schedule {trigger.cron}"
    return f"{trigger.type} {trigger.service or '-'} {trigger.event or '-'}"


@by_text(REQUESTS)
def test_it_is_started_by_what_the_words_say(request_: Request) -> None:
    analysis = understood(request_.text)
    assert analysis.status == "flow"
    assert starts(analysis) == request_.start


@by_text(REQUESTS)
def test_the_calls_come_in_order_and_no_other(request_: Request) -> None:
    calls = [f"{step.service}.{step.operation}" for step in understood(request_.text).steps]
    assert " ".join(calls) == request_.steps


@by_text(REQUESTS)
def test_the_filter_is_kept_word_by_word_or_there_is_none(request_: Request) -> None:
    trigger = understood(request_.text).trigger
    assert trigger is not None
    assert trigger.filter == request_.filter


@by_text(REQUESTS)
def test_each_condition_stays_with_its_step(request_: Request) -> None:
    found = {
        i: step.condition
        for i, step in enumerate(understood(request_.text).steps)
        if step.condition is not None
    }
    assert found == request_.conditions


@by_text(REQUESTS)
def test_no_service_is_called_that_the_text_does_not_name(request_: Request) -> None:
    said = re.sub(r"[^a-z]", "", request_.text.lower())
    for step in understood(request_.text).steps:
        assert step.service.replace("_", "") in said


@by_text(GENERATED)
def test_its_flow_is_generated_and_compiles(request_: Request) -> None:
    catalogue = load_catalogue()
    spec = design(understood(request_.text), catalogue)
    flow = generate(spec, catalogue)
    tree = ast.parse(flow.source)
    compile(tree, flow.file_name, "exec")
    functions = [node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)]
    assert functions == [flow.function]
    for step in spec.steps:
        assert f'"{step.connection}"' in flow.source


@by_text(GENERATED)
def test_its_deployment_starts_as_the_trigger_says(request_: Request) -> None:
    catalogue = load_catalogue()
    spec = design(understood(request_.text), catalogue)
    deployment = generate(spec, catalogue).deployment
    assert deployment.cron == spec.trigger.cron
    assert deployment.rrule == spec.trigger.rrule
    scheduled = spec.trigger.type == "schedule"
    assert (deployment.timezone == "Europe/Vienna") is scheduled
    assert (deployment.event is not None) is (spec.trigger.type not in {"schedule", "manual"})


@by_text(OPEN)
def test_what_cannot_be_generated_says_what_is_missing(request_: Request) -> None:
    catalogue = load_catalogue()
    with pytest.raises(UsageError) as raised:
        generate(design(understood(request_.text), catalogue), catalogue)
    text = str(raised.value)
    assert raised.value.permanent
    assert "?" in text or "OpenAPI" in text
    asked = [request_.filter, *request_.conditions.values()]
    assert any(words and words in text for words in asked)


@by_text(REQUESTS)
def test_its_spec_is_valid_and_survives_a_round_trip(request_: Request) -> None:
    spec = design(understood(request_.text), load_catalogue())
    assert WorkflowSpec.model_validate_json(spec.model_dump_json()) == spec
    assert spec.request == request_.text
    assert re.fullmatch(r"[a-z][a-z0-9]*(?:-[a-z0-9]+){1,3}", spec.name)
    assert len({step.id for step in spec.steps}) == len(spec.steps)
    assert all(step.id.isidentifier() for step in spec.steps)


@by_text(REQUESTS)
def test_every_reference_points_at_something_that_is_there(request_: Request) -> None:
    catalogue = load_catalogue()
    spec = design(understood(request_.text), catalogue)
    parameters = {parameter.name for parameter in spec.parameters}
    earlier: list[str] = []
    for step in spec.steps:
        for argument in step.arguments.values():
            for part in argument.parts if isinstance(argument, Text) else (argument,):
                if isinstance(part, FromStep):
                    assert part.step in earlier
                elif isinstance(part, FromTrigger):
                    assert spec.trigger.type not in {"schedule", "manual"}
                elif part.kind == "parameter":
                    assert part.name in parameters
        assert step.for_each is None or step.for_each in earlier
        earlier.append(step.id)


@by_text(REQUESTS)
def test_every_required_parameter_of_a_call_is_filled(request_: Request) -> None:
    catalogue = load_catalogue()
    for step in understood(request_.text).steps:
        operation = catalogue.get(step.service).operation(step.operation)
        if operation is None:
            assert step.operation == "http_request"
            continue
        required = {p.name for p in operation.parameters if p.required and p.default is None}
        assert required <= set(step.arguments)
        assert set(step.arguments) <= {p.name for p in operation.parameters}


@by_text(REQUESTS)
def test_every_constant_stands_in_the_request(request_: Request) -> None:
    for step in understood(request_.text).steps:
        for name, argument in step.arguments.items():
            if argument.kind == "constant" and (step.service, name) != ("gmail", "user_id"):
                operation = load_catalogue().get(step.service).operation(step.operation)
                if operation is None:
                    assert (name, argument.value) in {("method", "GET"), ("method", "POST")}
                    continue
                fixed = next(p for p in operation.parameters if p.name == name).choices
                assert str(argument.value) in request_.text or list(fixed) == [argument.value]


@by_text(REQUESTS)
def test_every_step_cites_words_of_the_request(request_: Request) -> None:
    for step in understood(request_.text).steps:
        assert step.span is not None
        assert request_.text[step.span.start : step.span.end] == step.span.text
        assert step.span.text.strip()


@by_text(REQUESTS)
def test_typing_it_without_care_changes_nothing(request_: Request) -> None:
    careless = f"  {request_.text.replace(' ', '  ')}\n"
    analysis = analyze(careless, RequestContext(timezone="Europe/Vienna"), load_catalogue())
    assert starts(analysis) == request_.start
    assert " ".join(f"{step.service}.{step.operation}" for step in analysis.steps) == request_.steps


@by_text(REQUESTS)
def test_a_name_in_lower_case_is_the_same_service(request_: Request) -> None:
    analysis = analyze(request_.text.lower(), RequestContext(timezone="Europe/Vienna"), load_catalogue())
    assert starts(analysis) == request_.start
    assert [step.service for step in analysis.steps] == [
        call.split(".")[0] for call in request_.steps.split()
    ]


def test_a_batch_of_them_all_gives_one_row_each_in_order() -> None:
    given = [{"id": f"row-{i}", "text": request.text} for i, request in enumerate(REQUESTS)]
    rows = list(analyze_rows(given))
    assert [row["id"] for row in rows] == [row["id"] for row in given]
    assert json.loads(json.dumps(rows)) == rows
    for row, request in zip(rows, REQUESTS, strict=True):
        assert row["status"] == "flow"
        assert row["trigger"]["type"] == request.start.split()[0]
        assert [f"{s['service']}.{s['operation']}" for s in row["steps"]] == request.steps.split()
        conditions = {i: s["condition"] for i, s in enumerate(row["steps"]) if s["condition"]}
        assert conditions == request.conditions
        assert {s["service"] for s in row["steps"]} <= {s["service"] for s in row["services"]}
