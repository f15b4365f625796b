"""Every word of a request is used, asked about or told: nothing is passed over in silence."""

from __future__ import annotations

import re
from typing import Protocol

import pytest

from prefect_autopilot.intelligence import analyze
from prefect_autopilot.models import Analysis, RequestContext
from prefect_autopilot.services import load_catalogue


class Ask(Protocol):
    def __call__(self, text: str, *connected: str) -> Analysis: ...


def told(analysis: Analysis) -> str:
    said = [q.text for q in analysis.questions]
    return " ".join([*said, *analysis.unsupported, *analysis.reasons]).lower()


@pytest.mark.parametrize(
    ("text", "unused"),
    [
        ("new Dropbox file: resize the image, then post it to Slack", "resize the image"),
        ("new Zendesk ticket -> Slack #support. Encrypt the message first.", "Encrypt the message"),
        ("every Friday at 5 post the Clockify time entries to Slack, sorted by client", "sorted by client"),
        ("post new YouTube videos to Slack with a funny caption", "funny caption"),
        ("every day at 8 post the open Jira issues to Slack in the voice of a pirate", "pirate"),
    ],
    ids=["an unknown verb", "a sentence of its own", "an order of rows", "a manner", "a voice"],
)
def test_what_nothing_stands_for_is_told_and_its_place_is_given(text: str, unused: str, ask: Ask) -> None:
    analysis = ask(text)
    assert unused in " ".join(span.text for span in analysis.unused)
    assert unused.lower() in told(analysis)
    assert all(text[span.start : span.end] == span.text for span in analysis.unused)


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("forward new Gmail messages to Slack, ignore newsletters", "ignore newsletters"),
        ("post new Stripe payments to Slack but max 5 per day", "max 5 per day"),
        ("tell #ops in Slack about Sentry errors, at most once an hour", "at most once an hour"),
        ("sync Google Contacts with HubSpot both ways", "both ways"),
        ("copy new HubSpot contacts to Google Sheets without duplicates", "without duplicates"),
        ("every Monday at 9 list the Asana tasks in Slack, keep only the last 7", "keep only the last 7"),
        ("add new Typeform answers to Mailchimp, unless they use a Gmail address", "unless they use a Gmail"),
    ],
)
def test_what_keeps_something_out_or_sets_a_limit_is_asked_about(text: str, kept: str, ask: Ask) -> None:
    analysis = ask(text)
    assert analysis.status == "clarify"
    [question] = [q for q in analysis.questions if kept in q.text]
    start, end = map(int, question.id.removeprefix("part_").split("_"))
    assert kept in text[start:end]
    assert "leave it out" in question.options


@pytest.mark.parametrize(
    ("text", "filter_"),
    [
        ("when a new HubSpot contact from germany comes in, add it to Brevo", "from germany"),
        ("when a GitHub pull request is opened by dependabot, post it to Slack", "by dependabot"),
        ("when a Stripe payment fails for the third time tell Slack", "third time"),
        ("if a Typeform answer scores under 6, open a Zendesk ticket", "scores under 6"),
        ("post Stripe payments to Slack but only those in eur", "those in eur"),
        ("send new YouTube videos longer than 10 minutes to Discord", "longer than 10 minutes"),
        ("whenever I get a Gmail about invoices save it to Notion", "about invoices"),
        ("when a Telegram user who isn't a member writes, tell Slack", "member"),
    ],
)
def test_what_narrows_an_event_is_its_filter(text: str, filter_: str, ask: Ask) -> None:
    trigger = ask(text).trigger
    assert trigger is not None
    assert filter_ in (trigger.filter or "")


@pytest.mark.parametrize(
    "text",
    [
        "When a Stripe payment fails, tell #billing in Slack",
        "new Typeform response -> HubSpot contact",
        'every weekday at 9 post "Good morning" to #general in Slack',
        "When a new issue is opened in GitHub, create a Trello card",
        "every time a card is created in Trello, create a task in Asana and tell Slack",
        "we moved away from Mailchimp, so add new Shopify customers to Brevo",
        "When a Calendly meeting is booked, wait 2 hours and then tell #sales in Slack",
    ],
)
def test_of_a_plain_request_nothing_is_left(text: str, ask: Ask) -> None:
    analysis = ask(text)
    assert analysis.unused == ()
    assert "Nothing in the plan stands for" not in told(analysis)
    assert analysis.trigger is None or not analysis.trigger.filter


@pytest.mark.parametrize(
    "extra",
    [
        "and juggle the zebra",
        "unless the moon is full",
        "in the style of Hemingway",
        "but never the purple ones",
        "while humming",
        "except for the wombats",
    ],
)
@pytest.mark.parametrize(
    "request_",
    [
        "when a Stripe payment arrives post it to Slack",
        "every day at 9 post the Jira issues to Slack",
        "post new GitHub issues to Discord",
    ],
)
def test_no_word_that_is_added_is_passed_over(request_: str, extra: str, ask: Ask) -> None:
    analysis = ask(f"{request_} {extra}")
    answer = told(analysis) + " " + " ".join(span.text.lower() for span in analysis.unused)
    if analysis.trigger:
        answer += f" {analysis.trigger.filter}"
    answer += " ".join(f" {step.condition} {step.arguments}" for step in analysis.steps)
    said = set(re.findall(r"[a-z]{4,}", extra.lower())) - {
        "unless",
        "while",
        "except",
        "style",
        "never",
        "ones",
    }
    assert {word for word in said if word not in answer.lower()} == set()


@pytest.mark.parametrize(
    ("text", "offered"),
    [
        ("when a Zendesk ticket is closed tell Slack", "new ticket"),
        ("when a Shopify order is refunded tell Slack", "new order"),
        ("whenever a Trello card is archived post to Discord", "new card"),
        ("once a Freshdesk ticket is reopened tell Slack", "new ticket"),
    ],
)
def test_an_event_that_nobody_announces_is_asked_about(text: str, offered: str, ask: Ask) -> None:
    analysis = ask(text)
    assert analysis.status == "clarify"
    [question] = [q for q in analysis.questions if q.text.startswith("Nothing tells of")]
    assert offered in question.text
    again = text.replace(text[: text.index(" tell") if " tell" in text else text.index(" post")], "")
    assert ask(f"{question.options[0]}{again}").status == "flow"


def test_a_title_that_names_no_event_is_no_question(ask: Ask) -> None:
    assert ask("New GitHub releases to Slack").status == "flow"


@pytest.mark.parametrize(
    ("text", "event", "filter_"),
    [
        ("when a Jira issue is resolved tell Slack", "issue_updated", "resolved"),
        ("if a DocuSign envelope is declined tell #legal in Slack", "envelope_changed", "declined"),
        ("when a Linear issue is moved to done, post it to Slack", "issue_updated", "done"),
    ],
)
def test_a_change_is_one_of_those_that_an_event_of_any_change_tells_of(
    text: str, event: str, filter_: str, ask: Ask
) -> None:
    trigger = ask(text).trigger
    assert trigger is not None
    assert trigger.event == event
    assert filter_ in (trigger.filter or "")


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("post new GitHub issues to Slack after 2 hours", [7200]),
        (
            "when a Calendly meeting is booked post to Slack, and 30 minutes after that tell Discord",
            [None, 1800],
        ),
        ("when a Zendesk ticket arrives, after an hour tell Slack", [3600]),
    ],
)
def test_after_some_time_is_a_wait(text: str, seconds: list[int | None], ask: Ask) -> None:
    analysis = ask(text)
    assert [step.wait_s for step in analysis.steps] == seconds
    assert not [q for q in analysis.questions if "keeps to" in q.text]


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("jeden Montag um 9 die offenen Jira Tickets in Slack posten", "de"),
        ("elke maandag om 9 uur de Trello kaarten naar Slack", "nl"),
        ("cuando llegue un pago en Stripe avisa en Slack", "es"),
        ("chaque lundi envoyer les tâches Asana sur Slack", "fr"),
        ("Post new Stripe payments to Slack", "en"),
        ("Slack die Jira issues at 9", "en"),
    ],
)
def test_the_names_of_services_are_no_english(text: str, language: str) -> None:
    assert analyze(text, RequestContext(), load_catalogue()).language == language


@pytest.mark.parametrize(
    ("text", "used"),
    [
        ("no Slack please. New GitLab issues to Telegram.", {"gitlab", "telegram"}),
        ("Our team hates Jira. New Zendesk tickets should become Linear issues.", {"zendesk", "linear"}),
        ("our Notion is a mess so please put new Typeform answers in Airtable", {"typeform", "airtable"}),
        ("tell me in Slack about PagerDuty incidents", {"pagerduty", "slack"}),
    ],
)
def test_what_is_disliked_or_remarked_upon_is_not_used(text: str, used: set[str], ask: Ask) -> None:
    assert {m.service for m in ask(text).services if m.role == "used"} == used
