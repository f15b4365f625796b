"""The page of monitoring rules: what is watched for, and what rules would have done before they count."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from prefect_autopilot.api.access import principal_of, require
from prefect_autopilot.api.context import context_of, worked
from prefect_autopilot.api.page_frame import back, form_of, rendered
from prefect_autopilot.api.page_workflows import names_of
from prefect_autopilot.errors import UsageError
from prefect_autopilot.journeys.rules import apply_rules, dry_run, rules_of_text
from prefect_autopilot.redaction import redact
from prefect_autopilot.store import Scope

MOST_TEXT = 20_000
DAYS = 30
EXAMPLE = """rules:
  - rule_id: orders-errors
    workflow_id: orders/prod
    metric_name: error_rate
    condition: ">"
    threshold: 0.2
    severity: high
"""


async def rules_page(request: Request) -> Response:
    """Show the rules, and what those of the form would have done; only what is to be stored is stored."""
    context = context_of(request)
    store, now = await context.store(), context.clock()
    shown: dict[str, Any] = {"text": EXAMPLE, "found": None, "error": ""}
    if request.method == "POST":
        fields = await form_of(request, Scope.VIEWER)
        shown["text"] = fields.get("text", "")[:MOST_TEXT]
        try:
            rules = await worked(rules_of_text, shown["text"])
            if fields.get("store") == "yes":
                await require(request, Scope.OPERATOR)
                await apply_rules(store, rules, principal_of(request).actor, now)
                return back(request, "/ui/rules")
            shown["found"] = await dry_run(store, rules, now, days=DAYS)
        except UsageError as error:
            shown["error"] = redact(error.message)
    names = defaultdict(str, names_of(await store.workflows()))
    return rendered(request, "page_rules.html.j2", rules=await store.rules(), names=names, days=DAYS, **shown)
