"""What is said literally arrives, and what nobody said is listed as open or assumed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from prefect_autopilot.codegen import generate
from prefect_autopilot.codegen.markdown import analysis_markdown
from prefect_autopilot.intelligence import design
from prefect_autopilot.models import Analysis, Constant, FromParameter
from prefect_autopilot.services import Catalogue

Ask = Callable[..., Analysis]

LITERALS: list[tuple[str, dict[str, Any]]] = [
    ("post **hello** to Slack #general every morning at 9", {"channel": "#general", "text": "hello"}),
    ("post to Slack #general every day at 9: Good morning team", {"text": "Good morning team"}),
    ("send a message to Slack #ops saying the backup is done every day at 7", {"text": "the backup is done"}),
    ("Every day at 10 post hello to Slack #general", {"text": "hello"}),
    ("send good morning everyone to #ops on Slack each weekday at 8", {"text": "good morning everyone"}),
    ("every friday at 16:00 remind #ops in Slack to submit timesheets", {"text": "submit timesheets"}),
    ("remind me on Slack to call the bank every monday at 9", {"text": "call the bank"}),
    ("every 1st of the month remind the team to pay the rent in Slack #home", {"text": "pay the rent"}),
    ('tweet "we are live" on twitter every monday at 10', {"text": "we are live"}),
    (
        "email ann@example.com with gmail every day at 8 with the message Please check the queue",
        {"to": "ann@example.com", "body": "Please check the queue"},
    ),
    ("create a Jira ticket in project OPS when a Stripe payment fails", {"project": "OPS"}),
    (
        "when a github issue is opened, create a task in Asana in project Website Relaunch titled **Triage**",
        {"name": "Triage"},
    ),
    ("every day at 9 start the Jenkins job nightly-build", {"job": "nightly-build"}),
    ("every day at 9 list the issues in acme/site on GitHub and tell #dev on Slack", {"owner": "acme"}),
    ("when a Linear issue is created, translate it to French with DeepL", {"target_lang": "FR"}),
    ("when a Stripe customer is created add them to Mailchimp with tag vip", {"tags": ["vip"]}),
    ("every day at 8 get the weather in Oslo from OpenWeatherMap and tell #all on Slack", {"q": "Oslo"}),
    (
        "export the Postgres table customers to Google Sheets every monday at 9",
        {"statement": "SELECT * FROM customers"},
    ),
    (
        "every friday at 8 send the orders table from MySQL to Google Sheets",
        {"statement": "SELECT * FROM orders"},
    ),
    ("put a row into the MySQL table payments when a Stripe payment arrives", {"table": "payments"}),
]


@pytest.mark.parametrize(("text", "values"), LITERALS, ids=[row[0] for row in LITERALS])
def test_what_is_said_literally_arrives(
    text: str, values: dict[str, Any], ask: Ask, catalogue: Catalogue
) -> None:
    analysis = ask(text)
    given = {name: getattr(value, "value", None) for name, value in analysis.steps[0].arguments.items()}
    assert given.items() >= values.items()
    source = generate(design(analysis, catalogue), catalogue).source
    assert all(str(value).strip("[']") in source for value in values.values())


@pytest.mark.parametrize(
    "text",
    [
        "every hour copy new rows of the MySQL table orders to Google Sheets",
        "every day at 9 export unpaid orders from the Postgres table invoices to Slack #fin",
    ],
)
def test_which_rows_of_a_table_are_meant_is_not_guessed(text: str, ask: Ask) -> None:
    step = ask(text).steps[0]
    assert step.operation == "query"
    assert not isinstance(step.arguments["statement"], Constant)


@pytest.mark.parametrize(
    "text",
    [
        "Send Slack alerts: when a Stripe payment fails",
        "When a Gmail email arrives: save to Notion, then post to Slack",
        "Post to Slack: new Stripe payments",
        "Post WordPress articles to social media: Twitter, LinkedIn",
    ],
)
def test_what_follows_a_colon_and_is_no_text_stays_part_of_the_request(text: str, ask: Ask) -> None:
    told = [a for step in ask(text).steps for a in step.arguments.values() if a.kind == "constant"]
    assert not [a for a in told if str(a.value) in text.partition(": ")[2]]


@pytest.mark.parametrize(
    "text",
    [
        "every day at 9 post sales numbers to Slack",
        "every day at 9 send a thank you note to Slack",
        "every day at 9 send a good morning message to Slack",
        "remind me in Slack about new Jira tickets every day at 9",
        "every day at 9 alert the team to new tickets in Slack",
        "every day at 9 post happy customers to Slack",
    ],
)
def test_what_is_to_be_told_and_not_said_itself_stays_open(text: str, ask: Ask) -> None:
    told = [step.arguments["text"] for step in ask(text).steps if step.service == "slack"]
    assert not [one for one in told if one.kind == "constant"]


def test_what_is_open_and_assumed_is_listed(ask: Ask) -> None:
    analysis = ask("Post to Slack every day")
    assert analysis.open_parameters == ("slack_channel", "slack_text")
    assert any("09:00 is proposed" in one for one in analysis.assumptions)
    assert any("UTC (from your context)" in one for one in analysis.assumptions)
    shown = analysis_markdown(analysis)
    assert "Still open" in shown
    assert "Assumed" in shown


def test_nothing_is_listed_where_all_is_said(ask: Ask) -> None:
    analysis = ask('post "hello" to Slack #general every day at 9 in Berlin time')
    assert analysis.open_parameters == ()
    assert analysis.assumptions == ()


def test_a_condition_loses_the_words_that_are_none_of_it(ask: Ask) -> None:
    analysis = ask("When a Shopify order comes in and the customer is in germany also, tell #sales on Slack")
    assert analysis.trigger is not None
    assert analysis.trigger.filter == "the customer is in germany"


def test_a_failed_payment_is_told_with_its_sum_its_customer_and_the_reason(
    ask: Ask, catalogue: Catalogue
) -> None:
    analysis = ask(
        "When a Stripe payment over $500 fails, tell #billing on Slack"
        " and create a Jira ticket in project OPS"
    )
    flow = generate(design(analysis, catalogue), catalogue)
    assert 'amount = event["amount"] / 100' in flow.source
    assert 'f"Stripe payment failed: {amount:.2f} {currency}, {email_text}, {failure_message}"' in flow.source
    assert 'summary=f"Stripe payment failed: {amount:.2f} {currency}, {email_text}"' in flow.source
    assert 'project="OPS"' in flow.source


@pytest.mark.parametrize(
    "text",
    [
        "new Zendesk tickets to Slack #a",
        "new Shopify orders to Slack #a",
        "new Discord messages to Slack #a",
        "new WordPress posts to Twitter",
    ],
)
def test_no_f_string_holds_a_name_alone(text: str, ask: Ask, catalogue: Catalogue) -> None:
    source = generate(design(ask(text), catalogue), catalogue).source
    assert not [line for line in source.splitlines() if line.strip().endswith(('f"{text}",', 'f"{title}",'))]


@pytest.mark.parametrize(
    ("text", "argument", "said"),
    [
        ("when a Typeform response comes in, create a card in the Leads list in Trello", "idList", "Leads"),
        (
            "when a github issue is opened, create a task in Asana in project Website Relaunch",
            "projects",
            "Website Relaunch",
        ),
        ("every day at 9 refresh the Power BI dataset sales-2024", "datasetId", "sales-2024"),
    ],
    ids=["a list", "a project", "a dataset"],
)
def test_what_is_named_where_an_id_is_wanted_is_asked_for_by_its_name(
    text: str, argument: str, said: str, ask: Ask, catalogue: Catalogue
) -> None:
    step = ask(text).steps[0]
    asked = step.arguments[argument]
    assert isinstance(asked, FromParameter)
    assert asked.said == said
    (form,) = [p for p in design(ask(text), catalogue).parameters if p.name == asked.name]
    assert form.description.endswith(f"The request calls it {said!r}.")


def test_an_id_is_taken_as_it_stands(ask: Ask) -> None:
    step = ask("close Todoist task 2995104339 every Sunday at 11").steps[0]
    assert step.arguments["id"] == Constant(value="2995104339")


@pytest.mark.parametrize(
    ("text", "of"),
    [
        ("when a BambooHR employee is added, block the user in Okta", "Okta"),
        ("when a SurveyMonkey response arrives, merge the contacts in HubSpot", "HubSpot"),
        ("every monday at 9 refresh the Metabase dashboard", "Metabase"),
    ],
    ids=["another deed", "a deed of no operation", "another thing"],
)
def test_what_no_operation_does_is_asked_with_the_nearest_and_never_called(
    text: str, of: str, ask: Ask
) -> None:
    analysis = ask(text)
    assert analysis.status == "clarify"
    (question,) = analysis.questions
    assert question.text.startswith(f"No operation known of {of} does")
    assert len(question.options) > 2
