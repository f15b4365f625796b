"""Remarks become no steps, and what no step does is asked or said."""

from __future__ import annotations

import pytest

from prefect_autopilot.intelligence import analyze
from prefect_autopilot.journeys.answers import answered
from prefect_autopilot.models import Analysis, RequestContext
from prefect_autopilot.services import load_catalogue


def read(text: str) -> Analysis:
    return analyze(text, RequestContext(), load_catalogue())


@pytest.mark.parametrize(
    ("text", "unused", "used"),
    [
        ("Our Shopify store looks great. Every Sunday at 6pm post 'bye' to Slack", "shopify", ["slack"]),
        ("The Zendesk queue is busy. Every Monday at 9 create a task in Asana", "zendesk", ["asana"]),
        (
            "We love Notion at our company. When a GitHub issue is opened, post it to Slack",
            "notion",
            ["slack"],
        ),
        ("I really like Trello. Every day at 8 post 'hi' to #all in Slack", "trello", ["slack"]),
        ("My boss at Spotify wants new Zendesk tickets posted to Slack", "spotify", ["slack"]),
        ("Zoom in on this: every Monday at 9 post 'numbers' to #all in Slack", "zoom", ["slack"]),
    ],
    ids=["store", "queue", "love", "like", "boss", "figure of speech"],
)
def test_a_remark_on_a_service_is_no_step(text: str, unused: str, used: list[str]) -> None:
    analysis = read(text)
    assert analysis.status == "flow"
    assert [step.service for step in analysis.steps] == used
    assert [one.role for one in analysis.services if one.service == unused] == ["mentioned"]


@pytest.mark.parametrize(
    ("text", "used"),
    [
        ("Every day at 9 add the Shopify orders to Airtable", {"shopify", "airtable"}),
        ("I would like new Typeform responses in Notion", {"notion"}),
        ("When our Zendesk ticket is solved, post it to Slack", {"slack"}),
    ],
    ids=["no remark", "would like", "our, in an event"],
)
def test_what_is_asked_for_is_no_remark(text: str, used: set[str]) -> None:
    assert used <= {step.service for step in read(text).steps}


def test_a_remark_alone_makes_no_flow() -> None:
    analysis = read("Our Shopify store looks great")
    assert (analysis.status, analysis.steps) == ("clarify", ())


@pytest.mark.parametrize(
    "text",
    [
        "When a Stripe payment over $1000 succeeds post to #big in Slack, otherwise hang the laundry",
        "If a new Zendesk ticket mentions refund, create a Linear issue; else hang the laundry",
    ],
    ids=["otherwise", "else"],
)
def test_a_branch_that_no_step_takes_is_asked_for(text: str) -> None:
    analysis = read(text)
    assert analysis.status == "clarify"
    assert [question.id for question in analysis.questions] == ["otherwise"]


def test_what_a_flow_would_not_do_is_said() -> None:
    text = "When an order comes in on Shopify ask #ok in Slack for approval, then bill it in Xero"
    assert "approval" in " ".join(read(text).unsupported)


def test_a_wait_of_days_is_asked_about_and_gone_on_with_as_answered() -> None:
    text = "when a Shopify order is placed, wait 2 days, then email the customer with Gmail"
    (question,) = read(text).questions
    assert "'wait 2 days'" in question.text
    request, _ = answered(text, RequestContext(), question, "wait 1 day")
    assert (read(request).status, read(request).steps[0].wait_s) == ("flow", 86_400)


@pytest.mark.parametrize(
    ("text", "asked"),
    [
        ("Each day at 9 get the boss's approval, then delete the Trello card", "get the boss's approval"),
        ("When a Stripe invoice is paid, tell #ops in Slack only after Ann approves", "after Ann approves"),
    ],
    ids=["an order", "a condition"],
)
def test_no_flow_goes_on_without_an_approval_until_it_is_said_to(text: str, asked: str) -> None:
    analysis = read(text)
    assert analysis.status == "clarify"
    (question,) = analysis.questions
    _, start, end = question.id.split("_")
    assert text[int(start) : int(end)] == asked
    assert "approval" in question.text


@pytest.mark.parametrize(
    ("text", "waits"),
    [
        ("When a GitHub issue opens, delay for 10 minutes, then post to Slack", [600]),
        ("When a Calendly meeting is booked, wait 2 hours and then text them with Twilio", [7200]),
        ("wait half an hour after a Shopify order is placed and then tell #ops in Slack", [1800]),
        ("When a Trello card is created post to Slack and send a Gmail 3 hours later", [None, 10_800]),
        ("When a Trello card is created post to Slack, wait a minute, then add it to Airtable", [None, 60]),
        ("When a Typeform response arrives post to Slack", [None]),
    ],
    ids=["delay", "wait", "half an hour", "later", "between two steps", "no wait"],
)
def test_a_run_waits_before_the_step_that_comes_after(text: str, waits: list[int | None]) -> None:
    analysis = read(text)
    assert [step.wait_s for step in analysis.steps] == waits
    assert analysis.unsupported == ()


@pytest.mark.parametrize(
    "text",
    [
        "When a Shopify order is delayed, post it to Slack",
        "When a Zendesk ticket is waiting, tell #help in Slack",
    ],
    ids=["delayed", "waiting"],
)
def test_a_state_is_no_wait(text: str) -> None:
    assert read(text).unsupported == ()


@pytest.mark.parametrize(
    "text", ["slack me when stripe payment fails", "slack us when a GitHub issue is opened"], ids=["me", "us"]
)
def test_who_is_told_by_a_messenger_is_written_to(text: str) -> None:
    assert [(step.service, step.operation) for step in read(text).steps] == [("slack", "post_message")]


def test_the_name_of_a_channel_is_no_condition() -> None:
    trigger = read("New HubSpot deals above 5k EUR go to Slack #vip").trigger
    assert trigger is not None
    assert trigger.filter == "above 5k eur"
