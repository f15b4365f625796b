"""Branches: "if not", "otherwise", "if there is none", and what an earlier step has to find out first."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from prefect_autopilot.intelligence import design
from prefect_autopilot.models import Analysis, Constant, FromTrigger, Text
from prefect_autopilot.models.conditions import ANSWER, opposite
from prefect_autopilot.services import Catalogue

Ask = Callable[..., Analysis]


def conditions(analysis: Analysis) -> list[str | None]:
    return [step.condition for step in analysis.steps]


LOOKED_UP = {
    "if not found": "search HubSpot for the contact by email, if not found create it",
    "if there is none": "look up the contact in HubSpot by email; if there is none, create one",
    "if none exists": "look up the contact in HubSpot by email. If none exists, create one",
    "if it does not exist": "check HubSpot for the contact by email, if it does not exist create it",
    "if it doesn't exist yet": "find the contact in HubSpot by email, if it doesn't exist yet, create it",
    "if not": "check hubspot if the contact exists by email, if not create it",
    "if nothing is found": "search HubSpot for the contact by email, if nothing is found create it",
    "if they are new": "look up the contact in HubSpot by email, if they are new create one",
    "otherwise": "look up the contact in HubSpot by email, otherwise create it",
}


@pytest.mark.parametrize("text", LOOKED_UP.values(), ids=LOOKED_UP)
def test_what_is_made_where_nothing_was_found(text: str, ask: Ask) -> None:
    analysis = ask(f"When an Intercom contact is created, {text}")
    assert (analysis.status, analysis.questions) == ("flow", ())
    assert [step.operation for step in analysis.steps] == ["search_contacts", "create_contact"]
    assert conditions(analysis) == [None, "hubspot_search_contacts finds nothing"]
    assert analysis.steps[0].arguments["query"] == FromTrigger(path="email")


FOUND = {
    "if found": "look up the contact in HubSpot by email, if found tell #sales on Slack",
    "if it exists": "look up the contact in HubSpot by email, if it exists tell #sales on Slack",
    "if so": "check HubSpot if the contact exists by email, if so tell #sales on Slack",
}


@pytest.mark.parametrize("text", FOUND.values(), ids=FOUND)
def test_what_is_done_where_something_was_found(text: str, ask: Ask) -> None:
    analysis = ask(f"When an Intercom contact is created, {text}")
    assert conditions(analysis) == [None, "hubspot_search_contacts finds something"]


def test_by_which_value_is_asked_where_nothing_tells(ask: Ask) -> None:
    analysis = ask("When a Trello card is created, look up the contact in HubSpot, if not found create it")
    (question,) = analysis.questions
    assert analysis.status == "clarify"
    assert question.id == "lookup_hubspot_search_contacts"
    assert "HubSpot" in question.text


def test_the_value_that_is_said_is_taken(ask: Ask) -> None:
    analysis = ask(
        "When a Trello card is created, look up the contact in HubSpot by name, if not found create it"
    )
    assert analysis.status == "flow"
    assert analysis.steps[0].arguments["query"] == FromTrigger(path="name")


def test_by_email_names_no_mail_service(ask: Ask) -> None:
    analysis = ask("When an Intercom contact is created, look up the contact in HubSpot by email", "gmail")
    assert {step.service for step in analysis.steps} == {"hubspot"}


JUDGED = {
    "check with": ("check with OpenAI if it is spam, if not tell #inbox on Slack", "openai_chat says no"),
    "ask": ("ask Claude if it is an order, if so tell #orders on Slack", "anthropic_create_message says yes"),
    "use to check": ("use OpenAI to check if it is hot, if yes tell #now on Slack", "openai_chat says yes"),
    "whether": ("ask Claude whether it is an order, if it is, tell #orders on Slack",
                "anthropic_create_message says yes"),
}  # fmt: skip


@pytest.mark.parametrize(("text", "condition"), JUDGED.values(), ids=JUDGED)
def test_a_model_is_asked_for_yes_or_no(text: str, condition: str, ask: Ask) -> None:
    analysis = ask(f"When a Gmail message arrives, {text}")
    assert analysis.status == "flow"
    assert conditions(analysis) == [None, condition]
    messages = analysis.steps[0].arguments["messages"]
    assert isinstance(messages, Text)
    told = messages.parts[0]
    assert isinstance(told, Constant)
    assert str(told.value).startswith("Answer with yes or no only, is it so that it is ")
    assert "?" in str(told.value)


def test_yes_and_no_are_two_branches(ask: Ask) -> None:
    analysis = ask(
        "When a Zendesk ticket comes in, ask Claude if it is spam, if so close it, if not tell #help on Slack"
    )
    assert conditions(analysis) == [
        None, "anthropic_create_message says yes", "anthropic_create_message says no"
    ]  # fmt: skip
    assert analysis.steps[1].arguments["status"] == Constant(value="closed")


SEVERAL = {
    "otherwise": (
        "When a Stripe payment fails, if the amount is over 500 tell #a on Slack, otherwise add a Jira issue",
        ["the amount is over 500", "not the amount is over 500"],
    ),
    "three ways": (
        (
            "When a Zendesk ticket is created, if it is urgent tell #a on Slack, if it is about billing"
            " create a Jira issue, otherwise create a Trello card"
        ),
        ["it is urgent", "it is about billing", "not urgent and not about billing"],
    ),
    "two orders under one condition": (
        (
            "When a Stripe payment fails, if the amount is over 500 tell #a on Slack and create a Jira issue,"
            " otherwise create a Trello card"
        ),
        ["the amount is over 500", "the amount is over 500", "not the amount is over 500"],
    ),
    "a filter of the event": (
        "When a Stripe payment over $1000 succeeds post to #big in Slack, otherwise post to #small",
        ["over $1000", "not over $1000"],
    ),
    "a filter, the same service named again": (
        "When a Shopify order comes in over $500, tell #vip on Slack, otherwise tell #orders on Slack",
        ["over $500", "not over $500"],
    ),
    "a sign for more": (
        "new shopify order -> if total > 200 -> trello card, else notion page",
        ["total > 200", "not total > 200"],
    ),
    "words looked for": (
        "If a new Zendesk ticket mentions refund, create a Linear issue; else add a row to Google Sheets",
        ["mentions refund", "not mentions refund"],
    ),
}


@pytest.mark.parametrize(("text", "expected"), SEVERAL.values(), ids=SEVERAL)
def test_conditions_become_branches(text: str, expected: list[str], ask: Ask, catalogue: Catalogue) -> None:
    analysis = ask(text)
    assert analysis.status == "flow"
    assert conditions(analysis) == expected
    assert design(analysis, catalogue).trigger.filter is None


def test_an_order_after_a_full_stop_is_under_no_condition(ask: Ask) -> None:
    analysis = ask(
        "When a Stripe payment fails, if the amount is over 500 tell #a on Slack. Create a Jira issue."
    )
    assert conditions(analysis) == ["the amount is over 500", None]


def test_an_otherwise_that_no_step_does_is_asked_for(ask: Ask) -> None:
    analysis = ask(
        "When a Stripe payment over $1000 succeeds post to #big in Slack, otherwise hang the laundry"
    )
    assert [one.id for one in analysis.questions] == ["otherwise"]


@pytest.mark.parametrize(
    ("said", "other"),
    [
        ("it is urgent", "not urgent"),
        ("over $500", "not over $500"),
        ("not paid", "paid"),
        ("urgent and about billing", "not (urgent and about billing)"),
        ("hubspot_search_contacts finds nothing", "hubspot_search_contacts finds something"),
        ("openai_chat says yes", "openai_chat says no"),
    ],
)
def test_the_opposite_in_words(said: str, other: str) -> None:
    assert opposite(said) == other


@pytest.mark.parametrize("told", ["finds something", "finds nothing", "says yes", "says no"])
def test_the_opposite_of_an_opposite_is_the_condition(told: str) -> None:
    condition = f"step_1 {told}"
    assert opposite(opposite(condition)) == condition
    assert ANSWER.fullmatch(condition)


@pytest.mark.parametrize(
    "text", ["", "finds nothing", "a step finds nothing", "step finds", "step says maybe"]
)
def test_other_words_speak_of_no_answer(text: str) -> None:
    assert ANSWER.fullmatch(text) is None
