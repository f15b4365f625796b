"""Where Prefect's pages show an object that a failure is about."""

from __future__ import annotations

from collections.abc import Iterable
from urllib.parse import quote

from prefect_autopilot.models import PrefectObject

PAGES = {
    "work pool": "work-pools/work-pool/{name}",
    "block": "blocks/block/{id}",
    "automation": "automations/automation/{id}",
    "variable": "variables",
    "concurrency limit": "concurrency-limits?tab=Global",
}
"""Variables and global limits have no page of their own there."""


def object_pages(objects: Iterable[PrefectObject], ui: str) -> dict[str, str]:
    """Return the page of each object by what it shows; none for one whose id is needed and not known."""
    found = {}
    for one in objects:
        page = PAGES[one.kind]
        if one.id or "{id}" not in page:
            path = page.format(name=quote(one.name, safe=""), id=quote(one.id or "", safe=""))
            found[f"{one.kind} {one.name}"] = f"{ui}/{path}"
    return found
