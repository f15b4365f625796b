"""What is said to happen and no service named tells of: asked, and never taken for the messenger."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from prefect_autopilot.models import Analysis

Ask = Callable[..., Analysis]

UNTOLD = {
    "an address down": (
        "If the page https://shop.example.com is down, tell #ops on Slack",
        "If the page https",
    ),
    "a page down, last": ("Post to #ops on Slack if the checkout is broken", "if the checkout is broken"),
    "a disk": ("When disk usage goes above 90 %, message #infra on Slack", "When disk usage"),
    "a build": ("Tell me on Slack when the build fails", "when the build fails"),
    "a backup": ("if the backup did not run, alert #ops in Slack", "if the backup did not run"),
    "a temperature": ("when the temperature drops below 5 degrees, tell #hall on Slack", "when the temp"),
    "a complaint": ("when a customer complains, create a ticket in Zendesk", "when a customer complains"),
    "a leaver": ("when someone leaves the company, remove them from Slack", "when someone leaves"),
    "a joiner": ("when someone joins the firm, create an Asana task", "when someone joins the firm"),
    "a competitor": ("if a competitor lowers a price, tell #market on Slack", "if a competitor lowers"),
    "a lead": ("as soon as a lead comes in, message the rep on Slack", "as soon as a lead comes in"),
    "a queue": ("in case the queue is longer than 100, tell #ops in Slack", "in case the queue"),
    "a parcel": ("when a parcel is delivered, notify me on Telegram", "when a parcel is delivered"),
    "a login": ("notify #sec on Slack if someone logs in from a new country", "if someone logs in"),
    "a nightly job": ("if the nightly import fails, create a GitHub issue", "if the nightly import fails"),
    "traffic": ("if traffic doubles, tell #growth on Slack", "if traffic doubles"),
    "a certificate": ("If our certificate expires soon, create a Jira ticket", "If our certificate"),
    "one who unsubscribes": ("When someone unsubscribes, remove them from HubSpot", "When someone unsub"),
    "teams": ("when the pipeline on main turns red, tell #dev on Microsoft Teams", "when the pipeline"),
    "production": ("whenever production breaks, page me with Opsgenie", "whenever production breaks"),
}


@pytest.mark.parametrize(("text", "part"), UNTOLD.values(), ids=UNTOLD)
def test_who_tells_of_it_is_asked_and_the_messenger_is_told(text: str, part: str, ask: Ask) -> None:
    analysis = ask(text)
    assert analysis.status == "clarify"
    assert analysis.trigger is not None
    assert (analysis.trigger.type, analysis.trigger.service) == ("app_event", None)
    (question,) = analysis.questions
    assert question.id.startswith("part_")
    assert part.lower() in question.text.lower()
    assert analysis.steps, "what is to be done stays"


TOLD = {
    "a message": ("when someone posts in #help on Slack, create a Jira ticket", "slack"),
    "a mention": ("reply on Slack when someone mentions me", "slack"),
    "words in a messenger": ('if someone writes "urgent" in Slack, create a Linear issue', "slack"),
    "an error": ("if there's an error in Sentry, tell #dev on Slack", "sentry"),
    "last": ("Tell #dev on Slack if there is a new error in Sentry", "sentry"),
    "a repository": ("post to Slack when a GitHub issue is opened", "github"),
    "told of before": (
        "Leaks are reported through a Jotform. When one comes in, create a Trello card",
        "jotform",
    ),
    "a post": ("post to Slack when a new blog post is published on WordPress", "wordpress"),
    "a signature": ("once a contract is signed in DocuSign, tell #sales on Slack", "docusign"),
}


@pytest.mark.parametrize(("text", "service"), TOLD.values(), ids=TOLD)
def test_a_service_that_tells_of_it_starts_it(text: str, service: str, ask: Ask) -> None:
    analysis = ask(text)
    assert analysis.trigger is not None
    assert analysis.trigger.service == service
    assert not [one for one in analysis.questions if one.id.startswith("part_")]


@pytest.mark.parametrize(
    "text",
    [
        "when I press a button post the open Jira issues to Slack",
        "post the Jira issues to Slack every day at 9, if possible",
        "post the Jira issues to Slack every day at 9 if you can",
        "when it is 9 am every day, post the Jira issues to Slack",
        "when the market opens at 9:30 every weekday, post the Jira issues to Slack",
    ],
    ids=["by hand", "if possible", "if you can", "a clock", "an opening time"],
)
def test_a_time_a_button_and_a_manner_of_speaking_are_no_happening(text: str, ask: Ask) -> None:
    assert [one.id for one in ask(text).questions] == []


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("if nobody has checked in by 10am, ping #office on Slack", "nobody has checked in"),
        ("when the door opens after 10pm, send me a Pushover notification", "the door opens"),
        ("Every day at 6pm, when the till is short, tell #cash on Slack", "the till is short"),
    ],
    ids=["by a time", "after a time", "beside a schedule"],
)
def test_what_is_said_beside_a_time_is_not_dropped(text: str, part: str, ask: Ask) -> None:
    analysis = ask(text)
    assert analysis.trigger is not None
    assert analysis.trigger.type == "schedule"
    assert part in " ".join(one.text for one in analysis.questions if one.id.startswith("part_"))


def test_a_condition_of_a_schedule_stays_one(ask: Ask) -> None:
    analysis = ask("Every day at 6pm, if sales are below 1000, tell #sales on Slack")
    assert [step.condition for step in analysis.steps] == ["sales are below 1000"]


def test_a_service_not_known_is_asked_for_once(ask: Ask) -> None:
    analysis = ask("when a job fails in Quuxly, tell #data on Slack")
    assert [one.id for one in analysis.questions] == ["unknown_quuxly"]


@pytest.mark.parametrize(
    ("text", "part"),
    [
        (
            "When a GitHub issue is opened, create a Trello card, and when it is closed, archive it",
            "when it is closed, archive it",
        ),
        (
            "When a Stripe invoice is paid tell #a on Slack. Whenever one is refunded email bob@acme.com",
            "Whenever one is refunded email bob@acme.com",
        ),
    ],
    ids=["in one sentence", "in a sentence of its own"],
)
def test_a_second_event_is_a_flow_of_its_own(text: str, part: str, ask: Ask) -> None:
    analysis = ask(text, "gmail")
    assert analysis.status == "clarify"
    (question,) = [one for one in analysis.questions if "one start" in one.text]
    assert part in question.text
    assert question.options == ("leave it out",)
    start, end = (int(one) for one in question.id.split("_")[1:])
    rest = ask(text[:start].rstrip(" ,") + text[end:], "gmail")
    assert rest.status == "flow"


@pytest.mark.parametrize(
    ("text", "operation"),
    [
        ("when a HubSpot contact is created, remove them from Mailchimp", "mailchimp"),
        ("when an Intercom contact is created, delete the contact from our Freshdesk", "freshdesk"),
    ],
    ids=["them", "the contact"],
)
def test_what_is_taken_out_of_a_service_does_not_come_from_it(text: str, operation: str, ask: Ask) -> None:
    analysis = ask(text)
    assert analysis.trigger is not None
    assert analysis.trigger.service != operation
    assert [step.service for step in analysis.steps] == [operation]
