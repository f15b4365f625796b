"""What starts an automation, and the calls that follow in order."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from prefect_autopilot.codegen import generate
from prefect_autopilot.intelligence import design
from prefect_autopilot.intelligence.operations import choose_operation, stem
from prefect_autopilot.models import Analysis, Constant, FromParameter, FromStep, FromTrigger, Text
from prefect_autopilot.services import Catalogue

Ask = Callable[..., Analysis]

TRIGGERS = [
    ("when a new row is added in google sheets, create a trello card", "app_event", "google_sheets"),
    ("create a trello card when a new row is added in google sheets", "app_event", "google_sheets"),
    ("new github issue -> slack message", "app_event", "github"),
    ("shopify orders into airtable", "app_event", "shopify"),
    ("copy new hubspot contacts to mailchimp", "app_event", "hubspot"),
    ("add mailchimp subscribers from new hubspot contacts", "app_event", "hubspot"),
    ("send an sms with twilio for each new pipedrive deal", "app_event", "pipedrive"),
    ("sync trello with asana", "app_event", "trello"),
    ("whenever somebody stars my repo on github tell me in discord", "app_event", "github"),
    ("as soon as a stripe charge fails ping slack", "app_event", "stripe"),
    ("post to slack every time a zendesk ticket is closed", "app_event", "zendesk"),
    ("new gmail email to todoist", "email", "gmail"),
    ("when an email arrives in outlook save it to onedrive", "email", "microsoft_outlook"),
    ("auto-label incoming gmail messages with openai", "email", "gmail"),
    ("when a typeform is submitted add the person to hubspot", "form", "typeform"),
    ("jotform submissions to google sheets", "form", "jotform"),
    ("on new google forms responses notify slack", "form", "google_forms"),
    ("when our webhook is called create a jira issue", "webhook", None),
    ("build a chatbot with openai that answers from our notion pages", "chat", None),
    ("answer questions in telegram with openai", "app_event", "telegram"),
    ("every day at 9 copy trello cards to notion", "schedule", None),
    ("each monday post the open jira issues to slack", "schedule", None),
    ("write a poem with openai and save it in notion", "manual", None),
    ("run it manually: export hubspot contacts to s3", "manual", None),
    ("on a schedule, back up airtable to dropbox", "schedule", None),
    ("if an invoice in xero is 14 days overdue post it to slack", "schedule", None),
]


@pytest.mark.parametrize(("text", "kind", "service"), TRIGGERS, ids=[text for text, _, _ in TRIGGERS])
def test_the_start_is_read_from_the_words(text: str, kind: str, service: str | None, ask: Ask) -> None:
    trigger = ask(text).trigger
    assert trigger is not None
    assert (trigger.type, trigger.service) == (kind, service)


ORDERS = [
    ("when a typeform comes in, add it to airtable, then tell slack", ["airtable", "slack"]),
    (
        "nightly fetch invoices from xero, write them to snowflake and update airtable",
        ["xero", "snowflake", "airtable"],
    ),
    ("each friday share a digest of stale github issues in discord", ["github", "discord"]),
    ("stripe payment → xero invoice → slack message", ["xero", "slack"]),
    ("new gmail mail: have claude sort it and put it in notion", ["anthropic", "notion"]),
    ("tell slack and create a jira issue when sentry reports an error", ["slack", "jira"]),
    (
        "daily at 8 get the weather from openweathermap and send it via telegram",
        ["openweathermap", "telegram"],
    ),
]


@pytest.mark.parametrize(("text", "services"), ORDERS, ids=[text for text, _ in ORDERS])
def test_steps_come_in_the_order_of_the_work(text: str, services: list[str], ask: Ask) -> None:
    assert [step.service for step in ask(text).steps] == services


OPERATIONS = [
    ("when a stripe payment arrives create a trello card", "trello", "create_card"),
    ("when a stripe payment arrives post it to slack", "slack", "post_message"),
    ("when a trello card is new create a slack channel", "slack", "create_channel"),
    ("when a stripe payment arrives add a row in google sheets", "google_sheets", "append_row"),
    ("when a trello card moves comment on the asana task", "asana", "add_comment"),
    ("when a stripe payment arrives email bob@example.com with gmail", "gmail", "send_message"),
    ("when a stripe payment arrives draft an email in gmail", "gmail", "create_draft"),
    ("every day at 9 get the projects of asana and post them to slack", "asana", "list_projects"),
    ("when a slack message is new create a jira issue", "jira", "create_issue"),
    ("when a jira issue closes update the asana task", "asana", "update_task"),
]


@pytest.mark.parametrize(
    ("text", "service", "operation"), OPERATIONS, ids=[text for text, _, _ in OPERATIONS]
)
def test_the_verb_and_the_noun_choose_the_operation(
    text: str, service: str, operation: str, ask: Ask
) -> None:
    step = next(step for step in ask(text).steps if step.service == service)
    assert step.operation == operation


def test_no_operation_is_better_than_a_wrong_one(ask: Ask, catalogue: Catalogue) -> None:
    assert choose_operation(catalogue.get("microsoft_sharepoint"), "upload the file", "sink") is None
    analysis = ask("when a trello card is new upload it to sharepoint")
    assert analysis.steps[0].operation == "http_request"
    assert any("SharePoint" in reason for reason in analysis.reasons)


def test_nothing_is_deleted_that_nobody_asked_to_delete(catalogue: Catalogue) -> None:
    for service in catalogue.services:
        chosen = choose_operation(service, "create a new thing in it", "sink")
        assert chosen is None or not chosen.id.startswith(("delete", "remove"))


def test_plumbing_is_not_offered_as_a_step(catalogue: Catalogue) -> None:
    for service in catalogue.services:
        chosen = choose_operation(service, "create a task", "sink")
        assert chosen is None or "webhook" not in chosen.id


def test_nouns_lose_their_plural() -> None:
    assert [stem(word) for word in ("tasks", "stories", "class", "ties")] == ["task", "story", "class", "tie"]


def test_important_mail_becomes_a_task_and_a_message(ask: Ask) -> None:
    analysis = ask(
        "When I receive important emails, create Asana tasks and notify Slack", "gmail", "asana", "slack"
    )
    assert analysis.status == "flow"
    assert analysis.questions == ()
    trigger = analysis.trigger
    assert trigger is not None
    assert (trigger.type, trigger.service, trigger.event, trigger.filter) == (
        "email",
        "gmail",
        "new_message",
        "important",
    )
    assert [(s.service, s.operation) for s in analysis.steps] == [
        ("asana", "create_task"),
        ("slack", "post_message"),
    ]
    task, message = analysis.steps
    assert task.arguments["name"] == FromTrigger(path="subject")
    assert task.arguments["projects"] == FromParameter(name="asana_projects")
    assert message.arguments["channel"] == FromParameter(name="slack_channel")
    text = message.arguments["text"]
    assert isinstance(text, Text)
    assert {part.path for part in text.parts if isinstance(part, FromTrigger)} == {
        "subject",
        "from",
        "snippet",
    }
    assert any("asana_projects" in reason and "slack_channel" in reason for reason in analysis.reasons)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("when I get an urgent gmail email, tell slack", "urgent"),
        ("when a gmail email from my boss arrives, tell slack", "from my boss"),
        ("when a stripe payment over $500 arrives, tell slack", "over $500"),
        ("when a gmail message with an attachment arrives, tell slack", "with an attachment"),
        ("when a github issue labelled bug is opened, tell slack", "labelled bug"),
        ("when a gmail mail from ceo@example.com arrives, tell slack", "from ceo@example.com"),
        ("when a zendesk ticket tagged vip comes in post it to #vip on slack", "tagged vip"),
    ],
)
def test_a_filter_keeps_the_words_of_the_person(text: str, words: str, ask: Ask) -> None:
    trigger = ask(text).trigger
    assert trigger is not None
    assert trigger.filter is not None
    assert trigger.filter == words


@pytest.mark.parametrize(
    "text",
    [
        "when a trello card is created, tell slack",
        "when a PagerDuty incident opens tell #ops on Discord",
        "when a PagerDuty incident opens ping me on Discord",
        "when a new order comes in on shopify post it to #sales on slack",
    ],
)
def test_an_event_without_condition_has_no_filter(text: str, ask: Ask) -> None:
    trigger = ask(text).trigger
    assert trigger is not None
    assert trigger.filter is None


def test_literals_become_constants(ask: Ask) -> None:
    step = ask("every day at 9 post 'Stand-up in five' to #team-a in slack").steps[0]
    assert step.arguments["channel"] == Constant(value="#team-a")
    assert step.arguments["text"] == Constant(value="Stand-up in five")


def test_an_address_becomes_the_recipient(ask: Ask) -> None:
    step = ask("when a stripe payment arrives email bob.b@example.com with gmail").steps[0]
    assert step.arguments["to"] == Constant(value="bob.b@example.com")


def test_a_value_nobody_said_is_never_made_up(ask: Ask) -> None:
    analysis = ask("when a typeform is submitted add a row to google sheets and a card to trello")
    for step in analysis.steps:
        for argument in step.arguments.values():
            assert argument.kind in {"parameter", "trigger", "text"}


def test_what_was_read_flows_into_the_next_step(ask: Ask) -> None:
    read, post = ask("every day at 9 list the projects of asana and post them to slack").steps
    assert read.operation == "list_projects"
    assert post.arguments["text"] == Text(parts=(FromStep(step=read.id, path="name"),), form="lines")


def test_a_step_for_each_row_names_the_rows(ask: Ask) -> None:
    read, create = ask(
        "every hour read new records in airtable and create a jira issue for each record"
    ).steps
    assert create.for_each == read.id
    assert read.for_each is None


CONDITIONS = [
    ("when a hubspot deal is new, if it is over $5000 tell slack", "it is over $5000"),
    ("when a typeform comes in, tell slack only if the score is above 8", "the score is above 8"),
    ("when a shopify order comes in: country is France -> xero invoice", "country is france"),
]


@pytest.mark.parametrize(("text", "words"), CONDITIONS, ids=[text for text, _ in CONDITIONS])
def test_a_step_keeps_its_condition(text: str, words: str, ask: Ask) -> None:
    assert ask(text).steps[0].condition == words


def test_a_service_left_of_an_arrow_is_no_condition(ask: Ask) -> None:
    assert [s.condition for s in ask("every day at 9, toggl entries -> google sheets -> slack").steps] == [
        None,
        None,
        None,
    ]


def test_otherwise_is_the_opposite_of_the_condition(ask: Ask) -> None:
    first, second = ask(
        "when a hubspot deal is new, if it is over $5000 create a pipedrive deal, otherwise tell slack"
    ).steps
    assert first.condition == "it is over $5000"
    assert second.condition == "not over $5000"


def test_the_event_is_no_condition_of_its_steps(ask: Ask) -> None:
    analysis = ask("if a stripe payment arrives, tell slack and create a trello card")
    assert [step.condition for step in analysis.steps] == [None, None]


def test_every_step_cites_its_words(ask: Ask) -> None:
    text = "When a Typeform is submitted, add it to Airtable and tell Slack"
    for step in ask(text).steps:
        assert step.span is not None
        assert text[step.span.start : step.span.end] == step.span.text
        assert step.service in step.span.text.lower()


def test_ids_of_repeated_steps_differ(ask: Ask) -> None:
    analysis = ask(
        "when a stripe payment arrives, tell slack, then create a trello card, then tell slack again"
    )
    ids = [step.id for step in analysis.steps]
    assert len(ids) == len(set(ids)) == 3


def test_the_zone_of_the_context_is_used_and_said(ask: Ask) -> None:
    analysis = ask("every day at 9 post jira issues to slack", timezone="Europe/Vienna")
    assert analysis.trigger is not None
    assert analysis.trigger.timezone == "Europe/Vienna"
    assert any("Europe/Vienna (from your context)" in reason for reason in analysis.reasons)


def test_the_zone_of_the_request_wins(ask: Ask) -> None:
    analysis = ask("every day at 9 tokyo time post jira issues to slack", timezone="Europe/Vienna")
    assert analysis.trigger is not None
    assert analysis.trigger.timezone == "Asia/Tokyo"


def test_a_single_run_is_told_apart_from_a_schedule(ask: Ask) -> None:
    analysis = ask("in 3 hours post hello to slack")
    assert analysis.status == "flow"
    assert analysis.trigger is not None
    assert (analysis.trigger.type, analysis.trigger.cron, analysis.trigger.rrule) == ("schedule", None, None)
    assert any("once" in reason for reason in analysis.reasons)


def test_reads_that_do_not_depend_on_each_other_are_pointed_out(ask: Ask) -> None:
    analysis = ask("each night read deals from pipedrive and from hubspot and share them in slack")
    assert any("at the same time" in advice for advice in analysis.recommendations)


def test_a_harmless_request_gets_no_advice(ask: Ask) -> None:
    assert ask("every day at 9 list the projects of asana").recommendations == ()


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        (
            "when our webhook is called and the total is 500 or more, post to #big in Slack",
            "the total is 500 or more",
        ),
        ("when a webhook is received, post to #big in Slack", None),
    ],
    ids=["a condition", "none"],
)
def test_a_condition_on_what_nobody_named_sends_is_kept(text: str, wanted: str | None, ask: Ask) -> None:
    trigger = ask(text).trigger
    assert trigger is not None
    assert (trigger.type, trigger.filter) == ("webhook", wanted)


STEPS_AS_SAID = {
    "its own phrase": (
        "move the Trello card to the list Done when a Stripe payment arrives",
        ["trello.update_card"],
    ),
    "a call": ("call the customer with Twilio when a Stripe payment fails", ["twilio.create_call"]),
    "a picture": (
        "every monday at 9 generate an image of 'a fox' with OpenAI and post it to Discord",
        ["openai.images", "discord.create_message"],
    ),
    "an account that sends": (
        'every night at 3 post "Done" to #ops on Slack and mail ann@acme.example from Outlook',
        ["slack.post_message", "microsoft_outlook.send_mail"],
    ),
    "an export is no reading": (
        "every night at 2 export all HubSpot contacts to a Google Sheet",
        ["hubspot.list_contacts", "google_sheets.append_row"],
    ),
    "a note in a chat": (
        "when a Mailchimp subscriber is added drop a note in #growth on Slack",
        ["slack.post_message"],
    ),
    "services of a reminder": (
        "remind #finance in Slack every Thursday at 3pm to approve the invoices in Xero",
        ["slack.post_message"],
    ),
    "what is added up is read": (
        "every day at 18:00 add up my Harvest time entries and text me the total with Twilio",
        ["harvest.list_time_entries", "twilio.send_message"],
    ),
    "drafted where it arrived": (
        "draft a Gmail reply with Claude whenever a Gmail message arrives",
        ["anthropic.create_message", "gmail.create_draft"],
    ),
    "commented on": (
        'when a GitHub issue is opened, make an Asana task and leave a comment on the issue saying "Hi"',
        ["asana.create_task", "github.create_comment"],
    ),
    "a list of tables": (
        "list the tables of Postgres every monday at 8 and post them to Slack #db",
        ["postgres.list_tables", "slack.post_message"],
    ),
    "a report is run": (
        "run a Google Analytics report every Monday at 8 and post it to Slack",
        ["google_analytics.run_report", "slack.post_message"],
    ),
}


@pytest.mark.parametrize(("text", "steps"), STEPS_AS_SAID.values(), ids=STEPS_AS_SAID)
def test_each_call_is_the_one_that_is_said(text: str, steps: list[str], ask: Ask) -> None:
    assert [f"{step.service}.{step.operation}" for step in ask(text).steps] == steps


def test_what_is_done_to_a_new_thing_itself_takes_its_id_from_the_event(
    ask: Ask, catalogue: Catalogue
) -> None:
    analysis = ask("assign new Zendesk tickets to agent 4711")
    (step,) = analysis.steps
    assert step.operation == "update_ticket"
    assert step.arguments == {"id": FromTrigger(path="id"), "assignee_id": Constant(value=4711)}
    sample = generate(design(analysis, catalogue), catalogue).sample_event
    assert isinstance(sample["id"], int)
