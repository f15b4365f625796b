"""An order or a condition that no step stands for is asked about or told, and never dropped in silence."""

from __future__ import annotations

import pytest

from prefect_autopilot.intelligence import analyze
from prefect_autopilot.journeys.answers import answered, last_part_first
from prefect_autopilot.models import Analysis, Question, RequestContext
from prefect_autopilot.services import load_catalogue


def read(text: str) -> Analysis:
    return analyze(text, RequestContext(connected_services=("hubspot", "slack")), load_catalogue())


def parts(analysis: Analysis) -> list[str]:
    return [
        analysis.text[slice(*map(int, question.id.split("_")[1:]))]
        for question in analysis.questions
        if question.id.startswith("part_")
    ]


@pytest.mark.parametrize(
    ("text", "asked"),
    [
        (
            "When a HubSpot contact is created, greet them in Slack and add to the welcome course.",
            "add to the welcome course",
        ),
        ("Each day at 8 read my Jira issues, add up the hours, then post to Slack", "add up the hours"),
        (
            "If the page https://x.test is down, open a PagerDuty incident",
            "If the page https://x.test is down",
        ),
        (
            "When a HubSpot contact is created, tell #crm in Slack, unless it has no owner",
            "unless it has no owner",
        ),
        (
            "Every Friday send the Stripe invoices to Slack, archive the old reports",
            "archive the old reports",
        ),
    ],
    ids=["no service", "arithmetic", "a condition", "an exception", "another thing"],
)
def test_a_part_without_a_step_is_asked_about_in_its_words(text: str, asked: str) -> None:
    analysis = read(text)
    assert analysis.status == "clarify"
    assert parts(analysis) == [asked]


@pytest.mark.parametrize(
    "text",
    [
        "When a Stripe payment fails, post it to Slack and create a Zendesk ticket",
        "If possible, post new GitHub issues to Slack",
        "Tell me in Slack, if that is ok, when a Typeform response arrives",
        "When a Trello card is called done, archive it and add a row in Airtable",
        "Post to Slack if a Stripe payment is over $500",
    ],
    ids=["all done", "if possible", "if that is ok", "archive it", "a condition of a step"],
)
def test_what_a_step_does_is_not_asked_again(text: str) -> None:
    assert parts(read(text)) == []


def test_an_order_about_it_is_done_in_the_service_spoken_of_before() -> None:
    analysis = read("When a Trello card is called done, archive it and add a row in Airtable")
    assert (analysis.steps[0].service, analysis.steps[0].operation) == ("trello", "update_card")


def test_what_a_program_makes_itself_is_told_and_not_asked() -> None:
    analysis = read("When an Eventbrite order comes in, make a badge, post it to Slack")
    assert analysis.status == "flow"
    assert any("make a badge" in told for told in analysis.unsupported)


def test_naming_the_service_of_a_part_gives_it_its_step() -> None:
    text = (
        "When a HubSpot contact is created, add to the audience unless they are from a rival; post to Slack"
    )
    (question, *_) = [q for q in read(text).questions if q.id.startswith("part_")]
    request, _ = answered(text, RequestContext(), question, "mailchimp")
    assert "add to the audience in Mailchimp unless they are from a rival" in request
    analysis = read(request)
    assert parts(analysis) == []
    (step,) = [one for one in analysis.steps if one.service == "mailchimp"]
    assert step.condition == "not they are from a rival"


@pytest.mark.parametrize(
    ("said", "request_then"),
    [
        ("leave it out", "Post to Slack daily"),
        ("log it in Notion", "Post to Slack daily, log it in Notion"),
        ("notion", "Post to Slack daily, sing a song in Notion"),
    ],
    ids=["left out", "other words", "a service"],
)
def test_an_answer_changes_only_the_part_it_is_about(said: str, request_then: str) -> None:
    text = "Post to Slack daily, sing a song"
    question = Question(id="part_21_32", text="", options=())
    assert answered(text, RequestContext(), question, said)[0] == request_then


def test_no_more_than_three_questions_are_asked_at_once() -> None:
    orders = ", ".join(f"store thing {word}" for word in ("red", "blue", "green", "pink", "grey"))
    analysis = read(f"Every day read my Jira issues, {orders}, then post to Slack")
    assert len(analysis.questions) <= 3
    assert "grey" in " ".join(question.text for question in analysis.questions)


def test_answers_to_several_parts_go_in_from_the_end_so_that_each_finds_its_place() -> None:
    text = "Read Jira at 7:00, store thing red, store thing blue, post to Slack"
    questions = read(text).questions
    assert [question.id for question in questions][:2] == ["part_19_34", "part_36_52"]
    request = text
    for question in last_part_first(questions):
        request, _ = answered(request, RequestContext(), question, "notion")
    assert (
        request == "Read Jira at 7:00, store thing red in Notion, store thing blue in Notion, post to Slack"
    )
