"""What somebody is sent on a schedule: it is read first, and the messenger alone writes."""

from __future__ import annotations

import pytest

from prefect_autopilot.intelligence import analyze
from prefect_autopilot.models import Constant, RequestContext
from prefect_autopilot.services import load_catalogue

MAIL, TEXT, SLACK = "gmail.send_message", "twilio.send_message", "slack.post_message"


@pytest.mark.parametrize(
    ("text", "steps", "to"),
    [
        (
            "every thursday at 6pm email the salesforce leads to chief@corp.example",
            ["salesforce.query", MAIL],
            "chief@corp.example",
        ),
        ("each evening mail us the overdue quickbooks invoices", ["quickbooks.list_invoices", MAIL], None),
        ("daily at 7 email me today's google calendar events", ["google_calendar.list_events", MAIL], None),
        ("every weekday at 8 email me the open github issues", ["github.list_issues", MAIL], None),
        (
            "every tuesday at 10 send the jira issues by mail to qa@corp.example",
            ["jira.search_issues", MAIL],
            "qa@corp.example",
        ),
        (
            "every night at 11 send the new jira issues to qa@corp.example",
            ["jira.search_issues", MAIL],
            "qa@corp.example",
        ),
        (
            "every evening text me the forecast from openweathermap",
            ["openweathermap.forecast", TEXT],
            None,
        ),
        ("every friday send #dev in slack the open asana tasks", ["asana.list_tasks", SLACK], None),
        ("every monday at 9 message me the late asana tasks on slack", ["asana.list_tasks", SLACK], None),
        ("every hour check email and post to slack #ops", ["gmail.list_messages", SLACK], None),
        (
            "every day except saturday post the open asana tasks to slack #ops",
            ["asana.list_tasks", SLACK],
            None,
        ),
        ("every day at 9 except on sundays post asana tasks to slack", ["asana.list_tasks", SLACK], None),
        ("every day at 9 send slack messages to #ops", [SLACK], None),
    ],
)
def test_what_is_sent_is_read_first(text: str, steps: list[str], to: str | None) -> None:
    context = RequestContext(connected_services=("gmail", "slack", "twilio"))
    found = analyze(text, context, load_catalogue())
    assert found.status == "flow", found.questions
    assert [f"{step.service}.{step.operation}" for step in found.steps] == steps
    if to:
        assert found.steps[-1].arguments["to"] == Constant(value=to)
