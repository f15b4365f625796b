"""Words for looking something up, however they are bent, never become a call that writes."""

from __future__ import annotations

import pytest

from prefect_autopilot.intelligence import analyze
from prefect_autopilot.models import RequestContext
from prefect_autopilot.services import load_catalogue

LOOKED_UP = {
    "every day at 9 look up the customer in Stripe and tell #ops in Slack": ("stripe", "list_customers"),
    "This flow looks up a customer in Stripe every day and tells #ops in Slack": ("stripe", "list_customers"),
    "Looks up the contact in HubSpot whenever a Typeform is submitted": ("hubspot", "search_contacts"),
    "Every morning, looking up open deals in Pipedrive, post them to Slack": ("pipedrive", "list_deals"),
}


ROWS = [
    ("postgres", "query"), ("mysql", "query"), ("mongodb", "find"), ("airtable", "list_records"),
]  # fmt: skip


@pytest.mark.parametrize(("service", "operation"), ROWS, ids=[row[0] for row in ROWS])
@pytest.mark.parametrize("what", ["open orders", "unpaid invoices", "the tickets", "customers"])
def test_a_table_may_hold_anything_and_is_read(what: str, service: str, operation: str) -> None:
    text = f"every day at 6 read {what} from {service} and post them to #ops in Slack"
    first = analyze(text, RequestContext(), load_catalogue()).steps[0]
    assert (first.service, first.operation) == (service, operation)


@pytest.mark.parametrize(("text", "call"), LOOKED_UP.items(), ids=["look", "looks", "first word", "looking"])
def test_looking_up_reads(text: str, call: tuple[str, str]) -> None:
    analysis = analyze(text, RequestContext(), load_catalogue())
    first = analysis.steps[0]
    assert (first.service, first.operation) == call
