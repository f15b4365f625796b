"""Measure how long it takes from a sentence to the source of its flow, on this machine.

python benchmarks/creation.py
"""

from __future__ import annotations

import platform
import sys
from statistics import median
from time import process_time

from prefect_autopilot.codegen import generate
from prefect_autopilot.intelligence import analyze, design
from prefect_autopilot.models import RequestContext
from prefect_autopilot.services import load_catalogue

REQUESTS = (
    "When I receive important emails, create Asana tasks and notify Slack",
    "Every weekday at 9 post the open Jira issues to Slack",
    "When a Stripe payment fails, tell #billing on Slack",
    "When a GitHub issue is opened, create a Trello card",
    "Every Monday at 8 post the new HubSpot contacts to Slack",
    "When a Shopify order is created, add a row to Google Sheets",
    "Every hour post the new Notion pages to Discord",
    "When a new GitHub pull request is opened, post to #dev on Slack",
    "Each first of the month at 7 create a Jira issue called Rotate keys",
    "When a new Trello card is created, send an email with Gmail",
)
CONNECTED = (
    *("asana", "discord", "github", "gmail", "google_sheets", "hubspot", "jira"),
    *("notion", "shopify", "slack", "stripe", "trello"),
)
ROUNDS = 3


def main() -> int:
    """Print medians and maxima; 1 when a request became no flow."""
    began = process_time()
    catalogue, context = load_catalogue(), RequestContext(connected_services=CONNECTED)
    took: list[float] = []
    first = process_time() - began
    for number in range(ROUNDS * len(REQUESTS)):
        request = REQUESTS[number % len(REQUESTS)]
        begun = process_time()
        analysis = analyze(request, context, catalogue)
        if analysis.status != "flow":
            sys.stdout.write(f"{request!r} became {analysis.status}.\n")
            return 1
        generate(design(analysis, catalogue), catalogue)
        took.append(process_time() - begun)
    sys.stdout.write(
        f"From a sentence to its source, processor time: median {1000 * median(took):.0f} ms, at most"
        f" {1000 * max(took):.0f} ms (n = {len(took)}, {len(REQUESTS)} requests); the catalogue takes"
        f" {1000 * first:.0f} ms once. Python {platform.python_version()}.\n"
    )
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
