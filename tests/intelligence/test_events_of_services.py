"""Which event of a service starts a flow: its thing, and what happened to it."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from prefect_autopilot.intelligence.events import changes, known_event, unannounced
from prefect_autopilot.models import Analysis
from prefect_autopilot.services import Catalogue

Ask = Callable[..., Analysis]

EVENTS = [
    ("when a stripe payment fails tell slack", "stripe", "payment_failed", None),
    ("when a stripe payment failed tell slack", "stripe", "payment_failed", None),
    ("a charge gets declined in stripe -> slack", "stripe", "payment_failed", None),
    ("new failed stripe payment -> slack", "stripe", "payment_failed", None),
    ("when a payment comes in on stripe tell slack", "stripe", "new_payment", None),
    ("when there is a new stripe payment tell slack", "stripe", "new_payment", None),
    ("when a stripe invoice is paid tell slack", "stripe", "invoice_paid", None),
    ("when a new invoice is created in stripe tell slack", "stripe", "new_invoice", None),
    ("when a new customer is created in stripe tell slack", "stripe", "new_customer", None),
    ("when a stripe subscription is cancelled tell slack", "stripe", "subscription_cancelled", None),
    ("when a linear issue is updated tell slack", "linear", "issue_updated", None),
    ("when a linear issue changes its status tell slack", "linear", "issue_updated", None),
    ("when a linear issue is created tell slack", "linear", "new_issue", None),
    ("when a jira issue is created tell slack", "jira", "issue_created", None),
    ("whenever a jira ticket is updated tell slack", "jira", "issue_updated", None),
    ("when a calendly meeting is booked tell slack", "calendly", "new_meeting", None),
    ("when a calendly meeting is cancelled tell slack", "calendly", "booking_canceled", None),
    ("when a calendly booking gets canceled tell slack", "calendly", "booking_canceled", None),
    ("when somebody stars my github repo tell slack", "github", "star", None),
    ("when code is pushed to github tell slack", "github", "push", None),
    ("when a github issue is opened tell slack", "github", "new_issue", None),
    ("when a github issue is closed tell slack", "github", "issue_closed", None),
    ("when a trello card is updated tell slack", "trello", "card_updated", None),
    ("when a trello card is created tell slack", "trello", "new_card", None),
]


@pytest.mark.parametrize(("text", "service", "event", "filter_"), EVENTS, ids=[row[0] for row in EVENTS])
def test_what_happened_decides_between_events_of_one_thing(
    text: str, service: str, event: str, filter_: str | None, ask: Ask
) -> None:
    trigger = ask(text).trigger
    assert trigger is not None
    assert (trigger.service, trigger.event, trigger.filter) == (service, event, filter_)


@pytest.mark.parametrize(
    ("text", "change"),
    [
        ("it fails", "failed"),
        ("it failed", "failed"),
        ("declined", "failed"),
        ("cancelled", "cancelled"),
        ("canceled", "cancelled"),
        ("new", "created"),
        ("has been paid", "paid"),
    ],
)
def test_every_form_of_a_word_says_the_same_change(text: str, change: str) -> None:
    assert changes(text) == {change}


def test_a_thing_without_a_change_says_none() -> None:
    assert changes("the invoice of march") == frozenset()


def test_words_about_nothing_the_service_tells_of_name_no_event(catalogue: Catalogue) -> None:
    assert known_event(catalogue.get("stripe"), "when the moon rises") is None
    assert known_event(catalogue.get("stripe"), "when something fails") is None


def test_a_change_nobody_announces_gets_an_event_of_its_own(catalogue: Catalogue) -> None:
    card = next(t for t in catalogue.get("trello").triggers if t.event == "new_card")
    assert unannounced(card, "when a card is archived") == "card_archived"
    assert unannounced(card, "when a card is created") is None
    assert unannounced(card, "when a card appears") is None
    assert unannounced(card, "when a card gets tagged urgent") == "card_labelled"
    assert unannounced(card, "when a card tagged urgent is created") is None
    assert unannounced(None, "when a subscription expires") == "subscription_expired"


@pytest.mark.parametrize(
    ("text", "operation"),
    [
        ("jira: open an issue when a zendesk ticket is created", "create_issue"),
        ("slack: post 'hi' every day at 9", "post_message"),
        ("every day at 9 in trello: create a card", "create_card"),
    ],
)
def test_a_service_before_a_colon_is_told_what_to_do(text: str, operation: str, ask: Ask) -> None:
    assert [step.operation for step in ask(text).steps] == [operation]


QUOTED = [
    ('when a github issue is closed comment "See Trello" on the asana task', {"github", "asana"}),
    ("when a github issue is closed comment 'See Trello, don't wait' on the asana task", {"github", "asana"}),
    ('post "moved from Slack to Teams" in discord every day at 9', {"discord"}),
    ('in slack say "the gmail inbox is full" every friday at noon', {"slack"}),
    ("every day at 9 post “Zoom call at 10” to slack", {"slack"}),
    ('create a card "check the stripe dashboard" in trello every monday at 8', {"trello"}),
    ('from "Stripe" to "Slack"', {"stripe", "slack"}),
    ('"when a trello card is new post to slack"', {"trello", "slack"}),
]


@pytest.mark.parametrize(("text", "expected"), QUOTED, ids=[row[0] for row in QUOTED])
def test_a_name_in_a_quoted_text_is_no_step(text: str, expected: set[str], ask: Ask) -> None:
    analysis = ask(text)
    used = {match.service for match in analysis.services if match.role == "used"}
    assert used == expected
    assert {step.service for step in analysis.steps} <= expected


def test_a_quoted_text_arrives_unchanged_with_the_name_in_it(ask: Ask) -> None:
    [step] = ask('when a github issue is closed comment "See Trello" on the asana task').steps
    values = [argument.value for argument in step.arguments.values() if argument.kind == "constant"]
    assert "See Trello" in values
