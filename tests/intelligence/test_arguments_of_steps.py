"""What a call is given: words of the person, fields of the event, earlier results, and else a parameter."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from prefect_autopilot.codegen import generate
from prefect_autopilot.intelligence import analyze, design
from prefect_autopilot.intelligence.arguments import role_of
from prefect_autopilot.intelligence.deeds import reads
from prefect_autopilot.intelligence.named_values import parameter_name
from prefect_autopilot.intelligence.operations import choose_operation
from prefect_autopilot.models import (
    Analysis,
    Argument,
    Constant,
    FromStep,
    FromTrigger,
    RequestContext,
    StepSpec,
    Text,
)
from prefect_autopilot.services import Catalogue, load_catalogue

Ask = Callable[..., Analysis]

PAID = "when a stripe payment arrives, "
CARD = "when a trello card is created, "
MAIL = "when a gmail email arrives, "
DAILY = "every day at 9 "


PAYMENT = "New Stripe payment: event.amount event.currency, event.email\nevent.receipt_url"


def told(argument: Argument) -> Any:
    """Write an argument short: a literal, ``event.x``, ``step:x`` or ``?name`` for a parameter."""
    match argument:
        case Constant(value=value):
            return value
        case FromTrigger(path=path):
            return f"event.{path}"
        case FromStep(step=step):
            return f"step:{step}"
        case Text(parts=parts):
            return "".join(str(told(part)) for part in parts)
        case _:
            return f"?{argument.name}"


def given_to(step: StepSpec) -> dict[str, Any]:
    return {name: told(argument) for name, argument in step.arguments.items()}


@dataclass(frozen=True)
class Call:
    """The last step of the request, or the one at ``at``, and the arguments that matter."""

    text: str
    operation: str
    arguments: dict[str, Any]
    at: int = -1
    ids: tuple[str, ...] = field(default=())


CALLS = [
    # Literal texts.
    Call(PAID + 'post "Paid!" to #sales in slack', "post_message", {"channel": "#sales", "text": "Paid!"}),
    Call(PAID + "post 'Paid!' to #sales in slack", "post_message", {"channel": "#sales", "text": "Paid!"}),
    Call(PAID + 'send a message saying "New payment" to slack', "post_message", {"text": "New payment"}),
    Call(PAID + 'send slack the message "New payment"', "post_message", {"text": "New payment"}),
    Call(CARD + 'post "it\'s done" to #ops in slack', "post_message", {"text": "it's done"}),
    Call(CARD + "post “Done” to #ops in slack", "post_message", {"text": "Done"}),
    Call(CARD + 'comment "See the card" on the asana task', "add_comment", {"text": "See the card"}),
    Call(CARD + 'add a comment to the jira issue saying "See Trello"', "add_comment", {"body": "See Trello"}),
    Call(DAILY + 'post "Good morning" to #general in slack', "post_message", {"text": "Good morning"}),
    # Titles and names are no message texts.
    Call(
        PAID + 'create a trello card called "Call them"',
        "create_card",
        {"name": "Call them", "desc": PAYMENT},
    ),
    Call(PAID + 'create a trello card named "Call them"', "create_card", {"name": "Call them"}),
    Call(PAID + 'create a trello card titled "Call them"', "create_card", {"name": "Call them"}),
    Call(
        PAID + 'create an asana task named "Call" in project "Sales"',
        "create_task",
        {"name": "Call", "projects": "?asana_sales_projects"},
    ),
    Call(PAID + 'create a notion page titled "Lead"', "create_page", {"title": "Lead"}),
    Call(PAID + 'create a slack channel called "vip"', "create_channel", {"name": "vip"}),
    Call(CARD + 'create a google calendar event called "Plan"', "create_event", {"summary": "Plan"}),
    Call(
        PAID + 'send an email with the subject "Paid" to ann@example.com with gmail',
        "send_message",
        {"subject": "Paid", "body": PAYMENT, "to": "ann@example.com"},
    ),
    Call(CARD + 'create a jira issue with the title "Card"', "create_issue", {"summary": "Card"}),
    # Recipients.
    Call(PAID + "email ann@example.com with gmail", "send_message", {"to": "ann@example.com"}),
    Call(
        PAID + "email ann@example.com and bob@example.com with gmail",
        "send_message",
        {"to": "ann@example.com, bob@example.com"},
    ),
    Call(
        PAID + "email ann+shop@mail.example.co.uk with gmail",
        "send_message",
        {"to": "ann+shop@mail.example.co.uk"},
    ),
    Call(PAID + "send an sms with twilio to +43 660 1234567", "send_message", {"To": "+436601234567"}),
    Call(PAID + "send an sms with twilio to +1 (555) 123-4567", "send_message", {"To": "+15551234567"}),
    Call(PAID + "send an sms with twilio", "send_message", {"To": "?twilio_to"}),
    Call(PAID + "send an email with gmail", "send_message", {"to": "?gmail_to"}),
    # Places.
    Call(PAID + "tell #sales in slack", "post_message", {"channel": "#sales"}),
    Call(PAID + "tell the team in slack", "post_message", {"channel": "?slack_channel"}),
    Call(PAID + "create a trello card", "create_card", {"idList": "?trello_id_list"}),
    Call(PAID + "post order #1 to slack", "post_message", {"channel": "?slack_channel"}),
    # Fields of the event.
    Call(MAIL + "create a trello card", "create_card", {"name": "event.subject"}),
    Call(MAIL + "create a jira issue", "create_issue", {"summary": "event.subject"}),
    Call(
        MAIL + "tell slack",
        "post_message",
        {"text": "New Gmail message from event.from: event.subject\nevent.snippet"},
    ),
    Call(CARD + "create an asana task", "create_task", {"name": "event.name"}),
    Call(CARD + "tell slack", "post_message", {"text": "New Trello card: event.name\nevent.desc\nevent.url"}),
    Call("when a github issue is opened, create a trello card", "create_card", {"name": "event.title"}),
    Call("when a hubspot contact is added, email them with gmail", "send_message", {"to": "event.email"}),
    Call(
        "when a hubspot contact is added, add them to mailchimp",
        "add_member",
        {"email_address": "event.email"},
    ),
    Call(
        PAID + "tell slack",
        "post_message",
        {"text": PAYMENT},
    ),
    Call("when our webhook is called, tell slack", "post_message", {"text": "event."}),
    # Earlier results.
    Call(
        DAILY + "list the issues of github and post them to #dev in slack",
        "post_message",
        {"channel": "#dev"},
    ),
    Call(
        DAILY + "list the issues of github and email them to ann@example.com with gmail",
        "send_message",
        {"to": "ann@example.com", "subject": "GitHub issues"},
    ),
    Call(
        DAILY + "list the issues of github, summarize them with openai and post to #dev in slack",
        "post_message",
        {"text": "step:openai_chat"},
    ),
    Call(
        "when a zendesk ticket comes in, search notion and post the result to slack",
        "post_message",
        {"text": "step:notion_search"},
    ),
    # By hand and on a schedule there is no event to take from.
    Call(DAILY + "create a trello card", "create_card", {"name": "?trello_name", "desc": "?trello_desc"}),
    Call("manually create a trello card", "create_card", {"name": "?trello_name", "desc": "?trello_desc"}),
    Call(DAILY + "post to slack", "post_message", {"text": "?slack_text", "channel": "?slack_channel"}),
]


@pytest.mark.parametrize("call", CALLS, ids=[call.text for call in CALLS])
def test_a_call_is_given_what_the_words_say(call: Call, ask: Ask) -> None:
    step = ask(call.text).steps[call.at]
    assert step.operation == call.operation
    assert given_to(step).items() >= call.arguments.items()


@pytest.mark.parametrize("call", CALLS, ids=[call.text for call in CALLS])
def test_its_flow_compiles_and_holds_the_literals(call: Call, ask: Ask, catalogue: Catalogue) -> None:
    flow = generate(design(ask(call.text), catalogue), catalogue)
    compile(flow.source, flow.file_name, "exec")
    for value in call.arguments.values():
        if not str(value).startswith(("step:", "?")) and "event." not in str(value):
            assert str(value).split("\n")[0] in flow.source


@pytest.mark.parametrize("call", CALLS, ids=[call.text for call in CALLS])
def test_what_was_not_said_is_a_required_parameter_without_default(
    call: Call, ask: Ask, catalogue: Catalogue
) -> None:
    spec = design(ask(call.text), catalogue)
    asked = {
        told(argument)[1:]
        for step in spec.steps
        for argument in step.arguments.values()
        if argument.kind == "parameter"
    }
    assert {parameter.name for parameter in spec.parameters} == asked
    for parameter in spec.parameters:
        assert parameter.required
        assert parameter.default is None
        assert parameter.description.endswith(".") or parameter.description


def test_every_channel_that_is_named_gets_a_message(ask: Ask, catalogue: Catalogue) -> None:
    analysis = ask(PAID + "tell #sales, #finance and #ops in slack")
    assert [given_to(step)["channel"] for step in analysis.steps] == ["#sales", "#finance", "#ops"]
    assert len({step.id for step in analysis.steps}) == 3
    assert {step.operation for step in analysis.steps} == {"post_message"}
    source = generate(design(analysis, catalogue), catalogue).source
    assert all(channel in source for channel in ("#sales", "#finance", "#ops"))


def test_the_same_channel_named_twice_gets_one_message(ask: Ask) -> None:
    assert len(ask(PAID + "tell #sales in slack, really #sales").steps) == 1


@pytest.mark.parametrize(
    ("text", "field_"),
    [
        ("ann@example.com", "to"),
        ("bob.smith@example.org", "to"),
    ],
)
def test_an_address_inside_a_title_is_the_recipient_only_once(text: str, field_: str, ask: Ask) -> None:
    (step,) = ask(PAID + f"email {text} and again {text} with gmail").steps
    assert given_to(step)[field_] == text


EACH = [
    DAILY + "read the rows of google sheets and create a trello card for each row",
    DAILY + "read the rows of google sheets and create a trello card for every row",
    DAILY + "read the rows of google sheets and for each row create a trello card",
    DAILY + "read the rows of google sheets, then create one trello card per row",
    "every hour list the orders of shopify and for each order create a trello card",
]


@pytest.mark.parametrize("text", EACH)
def test_a_step_is_repeated_for_what_was_read(text: str, ask: Ask, catalogue: Catalogue) -> None:
    analysis = ask(text)
    read, create = analysis.steps
    assert create.for_each == read.id
    assert read.for_each is None
    source = generate(design(analysis, catalogue), catalogue).source
    assert "for " in source


ONCE = [
    DAILY + "read the rows of google sheets and create a trello card",
    "each morning read the rows of google sheets and create a trello card",
    "every night at 1 read the rows of google sheets and create a trello card",
    "every monday list the projects of asana and post them to slack",
    "each week list the projects of asana and post them to slack",
    "every other friday list the projects of asana and post them to slack",
    "list the projects of asana and post them to slack every 5 minutes",
    "list the projects of asana and post them to slack every hour",
    "list the projects of asana and post them to slack every weekday at 8",
    "list the projects of asana and post them to slack each day",
]


@pytest.mark.parametrize("text", ONCE)
def test_words_of_a_schedule_repeat_no_step(text: str, ask: Ask) -> None:
    assert [step.for_each for step in ask(text).steps] == [None, None]


OPERATIONS = [
    ("slack", "post a message", "sink", "post_message"),
    ("slack", "send it", "sink", "post_message"),
    ("slack", "notify", "sink", "post_message"),
    ("slack", "create a channel", "sink", "create_channel"),
    ("slack", "list the channels", "source", "list_channels"),
    ("discord", "post it", "sink", "create_message"),
    ("discord", "send a message", "sink", "create_message"),
    ("discord", "notify the team", "sink", "create_message"),
    ("telegram", "send a message", "sink", "send_message"),
    ("gmail", "send an email", "sink", "send_message"),
    ("gmail", "draft a reply", "sink", "create_draft"),
    ("trello", "create a card", "sink", "create_card"),
    ("trello", "add a card", "sink", "create_card"),
    ("trello", "update the card", "sink", "update_card"),
    ("trello", "delete the card", "sink", "delete_card"),
    ("trello", "comment on the card", "sink", "add_comment"),
    ("trello", "list the cards", "source", "list_cards"),
    ("asana", "create a task", "sink", "create_task"),
    ("asana", "update the task", "sink", "update_task"),
    ("asana", "list the projects", "source", "list_projects"),
    ("jira", "create an issue", "sink", "create_issue"),
    ("jira", "open an issue", "sink", "create_issue"),
    ("jira", "comment on the issue", "sink", "add_comment"),
    ("github", "open an issue", "sink", "create_issue"),
    ("github", "list the issues", "source", "list_issues"),
    ("github", "create a release", "sink", "create_release"),
    ("google_sheets", "add a row", "sink", "append_row"),
    ("google_sheets", "append it", "sink", "append_row"),
    ("google_sheets", "read the rows", "source", "read_range"),
    ("hubspot", "create a contact", "sink", "create_contact"),
    ("hubspot", "add the lead", "sink", "create_contact"),
    ("hubspot", "get the contacts", "source", "list_contacts"),
    ("stripe", "list the invoices", "source", "list_invoices"),
    ("stripe", "refund the charge", "sink", "create_refund"),
    ("xero", "create an invoice", "sink", "create_invoice"),
    ("notion", "create a page", "sink", "create_page"),
    ("zendesk", "create a ticket", "sink", "create_ticket"),
    ("zendesk", "list the tickets", "source", "list_tickets"),
    ("google_calendar", "create an event", "sink", "create_event"),
    ("mailchimp", "add them", "sink", "add_member"),
    ("pipedrive", "list the deals", "source", "list_deals"),
    ("pipedrive", "create a deal", "sink", "create_deal"),
    ("openai", "summarize it", "tool", "chat"),
    ("openweathermap", "get the weather", "source", "current"),
]


@pytest.mark.parametrize(
    ("service", "said", "direction", "operation"),
    OPERATIONS,
    ids=[f"{service}: {said}" for service, said, _, _ in OPERATIONS],
)
def test_the_words_choose_the_operation(
    service: str, said: str, direction: Any, operation: str, catalogue: Catalogue
) -> None:
    chosen = choose_operation(catalogue.get(service), said, direction)
    assert chosen is not None
    assert chosen.id == operation


NONE_FITS = [
    ("hubspot", "get the invoices", "source"),
    ("microsoft_sharepoint", "upload the file", "sink"),
    ("rss", "read the feed", "source"),
    ("linkedin", "post it", "sink"),
]


@pytest.mark.parametrize(("service", "said", "direction"), NONE_FITS)
def test_where_no_operation_fits_none_is_chosen(
    service: str, said: str, direction: Any, catalogue: Catalogue
) -> None:
    assert choose_operation(catalogue.get(service), said, direction) is None


@pytest.mark.parametrize("verb", ["post it", "send it", "notify", "tell them", "publish it", "share it"])
def test_nobody_who_writes_is_given_a_reading_operation(verb: str, catalogue: Catalogue) -> None:
    for service in catalogue.services:
        chosen = choose_operation(service, verb, "sink")
        assert chosen is None or not reads(chosen), service.id


@pytest.mark.parametrize("verb", ["get it", "list them", "fetch everything", "read it"])
def test_nobody_who_reads_is_given_a_deleting_operation(verb: str, catalogue: Catalogue) -> None:
    for service in catalogue.services:
        chosen = choose_operation(service, verb, "source")
        assert chosen is None or not chosen.id.startswith(("delete", "remove", "cancel")), service.id


ROLES = [
    ("subject", "title"),
    ("Name", "title"),
    ("task_name", "title"),
    ("text", "text"),
    ("Body", "text"),
    ("content", "text"),
    ("to", "recipient"),
    ("email-address", "recipient"),
    ("phoneNumber", "recipient"),
    ("channel", "place"),
    ("idList", "place"),
    ("project_id", "place"),
    ("status", None),
    ("limit", None),
    ("", None),
]


@pytest.mark.parametrize(("name", "role"), ROLES, ids=[name or "empty" for name, _ in ROLES])
def test_the_name_of_a_parameter_tells_what_it_is_for(name: str, role: str | None) -> None:
    assert role_of(name) == role


NAMES = [
    ("slack", "channel", "slack_channel"),
    ("trello", "idList", "trello_id_list"),
    ("twilio", "To", "twilio_to"),
    ("xero", "xero-tenant-id", "xero_xero_tenant_id"),
    ("3cx", "name", "p_3cx_name"),
    ("google_sheets", "spreadsheet.id", "google_sheets_spreadsheet_id"),
]


@pytest.mark.parametrize(("service", "parameter", "name"), NAMES)
def test_a_flow_parameter_is_named_after_its_service(service: str, parameter: str, name: str) -> None:
    assert parameter_name(service, parameter) == name


@settings(max_examples=100, deadline=None)
@given(st.text(max_size=20), st.text(max_size=20))
def test_any_flow_parameter_has_a_name_python_takes(service: str, parameter: str) -> None:
    name = parameter_name(service, parameter)
    assert name.isidentifier()
    assert name == name.lower()


def test_every_flow_parameter_of_the_catalogue_has_a_name_of_its_own(catalogue: Catalogue) -> None:
    for service in catalogue.services:
        for operation in service.operations:
            names = [parameter_name(service.id, p.name) for p in operation.parameters if p.required]
            assert all(name.isidentifier() for name in names), (service.id, operation.id)


quoted = st.text(
    alphabet=st.characters(categories=("L", "Nd"), include_characters=" !?.,:{}$%&/()=+*'#<>|\\"),
    min_size=3,
    max_size=60,
).filter(lambda text: text.strip() == text and "  " not in text)


@settings(max_examples=60, deadline=None)
@given(quoted)
def test_whatever_stands_in_quotation_marks_is_only_ever_a_value(text: str) -> None:
    catalogue = load_catalogue()
    analysis = analyze(f'every day at 9 post "{text}" to #general in slack', RequestContext(), catalogue)
    assert [step.service for step in analysis.steps] == ["slack"]
    spec = design(analysis, catalogue)
    flow = generate(spec, catalogue)
    compile(flow.source, flow.file_name, "exec")
    assert spec.trigger.cron == "0 9 * * *"
