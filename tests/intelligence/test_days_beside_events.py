"""Days said beside an event start nothing: the event does, and the days are asked about."""

from __future__ import annotations

import pytest

from prefect_autopilot.intelligence import analyze
from prefect_autopilot.models import RequestContext
from prefect_autopilot.services import load_catalogue


@pytest.mark.parametrize(
    ("text", "service", "days"),
    [
        (
            "tell #oncall on slack, unless it's the weekend, when a sentry error happens",
            "sentry",
            "unless it's the weekend",
        ),
        (
            "when a stripe payment fails post to slack #money but not on sundays",
            "stripe",
            "but not on sundays",
        ),
        ("when a stripe payment fails tell #money in slack, only on weekdays", "stripe", "only on weekdays"),
    ],
)
def test_days_beside_an_event_are_asked_about(text: str, service: str, days: str) -> None:
    found = analyze(text, RequestContext(), load_catalogue())
    assert found.status == "clarify"
    assert found.trigger is not None
    assert (found.trigger.type, found.trigger.service) == ("app_event", service)
    assert [f"{step.service}.{step.operation}" for step in found.steps] == ["slack.post_message"]
    (question,) = found.questions
    _, start, end = question.id.split("_")
    assert text[int(start) : int(end)] == days


@pytest.mark.parametrize(
    ("text", "cron"),
    [
        ("every day at 9 unless it's the weekend post the asana tasks to slack", "0 9 * * 1-5"),
        ("every day at 9 but not on weekends post the asana tasks to slack", "0 9 * * 1-5"),
    ],
)
def test_without_an_event_days_are_the_schedule(text: str, cron: str) -> None:
    found = analyze(text, RequestContext(), load_catalogue())
    assert found.trigger is not None
    assert found.trigger.cron == cron


@pytest.mark.parametrize("word", ["is", "gets", "got"])
def test_what_something_gets_is_a_condition_as_what_it_is(word: str) -> None:
    request = f"when a pull request {word} merged in github post to slack #releases"
    trigger = analyze(request, RequestContext(), load_catalogue()).trigger
    assert trigger is not None
    assert trigger.filter == f"{word} merged"
