"""A small catalogue of our own, so that these tests do not move when the packaged one grows."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from prefect_autopilot.models import Constant, FromTrigger, StepSpec, TriggerSpec, WorkflowSpec
from prefect_autopilot.services import Catalogue

GMAIL = """
id = "gmail"
name = "Gmail"
kinds = ["email"]
base_url = "https://gmail.example/v1"

[[operations]]
id = "send_message"
method = "POST"
path = "/send"
body = "json"
parameters = [
  { name = "to", required = true },
  { name = "from" },
  { name = "subject" },
  { name = "body" },
  { name = "labels", type = "array" },
]

[[operations]]
id = "list_messages"
method = "GET"
path = "/messages"
list_at = "messages"
effect = "safe"
parameters = [{ name = "q", location = "query" }]

[[triggers]]
event = "new_email"
kind = "poll"
operation = "list_messages"
id_field = "id"
[triggers.fields]
id = "id"
subject = "payload.subject"
from = "payload.from"
snippet = "snippet"
labels = "labelIds"
"""

ASANA = """
id = "asana"
name = "Asana"
kinds = ["tasks"]
base_url = "https://asana.example/v1"

[[operations]]
id = "create_task"
method = "POST"
path = "/tasks"
body = "json"
body_at = "data"
parameters = [
  { name = "name", required = true },
  { name = "notes" },
  { name = "due-on" },
  { name = "followers", type = "array" },
  { name = "custom_fields", type = "object" },
]

[[operations]]
id = "add_comment"
method = "POST"
path = "/tasks/{task_gid}/stories"
body = "json"
parameters = [{ name = "task_gid", location = "path", required = true }, { name = "text" }]

[[operations]]
id = "list_projects"
method = "GET"
path = "/projects"
list_at = "data"
effect = "safe"
"""

STRIPE = """
id = "stripe"
name = "Stripe"
kinds = ["payment"]
base_url = "https://stripe.example/v1"

[[operations]]
id = "list_charges"
method = "GET"
path = "/charges"
list_at = "data"
effect = "safe"

[[triggers]]
event = "charge_succeeded"
kind = "webhook"
[triggers.fields]
id = "id"
amount = "amount"
currency = "currency"
status = "status"
description = "description"
"""

SHOPIFY = """
id = "shopify"
name = "Shopify"
kinds = ["shop"]
base_url = "https://shopify.example/v1"

[[triggers]]
event = "new_order"
kind = "webhook"
[triggers.fields]
id = "id"
name = "name"
total_price = "total_price"
currency = "currency"
line_items = "line_items"
"""


@pytest.fixture(scope="session")
def catalogue() -> Catalogue:
    return Catalogue(
        {"gmail.toml": GMAIL, "asana.toml": ASANA, "stripe.toml": STRIPE, "shopify.toml": SHOPIFY}
    )


@pytest.fixture(scope="session")
def spec() -> Callable[..., WorkflowSpec]:
    """Return a maker of the workflow "important mail becomes a task", any field of which can be replaced."""

    def make(**changes: object) -> WorkflowSpec:
        fields: dict[str, object] = {
            "name": "gmail-important-to-asana",
            "request": "When I get an important email in Gmail, create a task in Asana",
            "trigger": TriggerSpec(type="app_event", service="gmail", event="new_email", filter="important"),
            "steps": (
                StepSpec(
                    id="step-1",
                    service="asana",
                    operation="create_task",
                    connection="asana-default",
                    arguments={"name": FromTrigger(path="subject"), "notes": Constant(value="From my inbox")},
                ),
            ),
        }
        return WorkflowSpec.model_validate(fields | changes)

    return make
