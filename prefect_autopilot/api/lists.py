"""Lists in pages, all of one shape."""

from __future__ import annotations

from typing import TypedDict

from starlette.requests import Request

DEFAULT_LIMIT = 100
MOST_RULES = 500


class Paging(TypedDict):
    """Where a page stands in its list."""

    limit: int
    offset: int
    next_offset: int | None


def page_of(found: int, limit: int, offset: int) -> Paging:
    """Return where a page stands; ``found`` counts one more than ``limit`` where there is a next one."""
    return Paging(limit=limit, offset=offset, next_offset=offset + limit if found > limit else None)


def link_to_next(request: Request, paging: Paging) -> dict[str, str]:
    """Return the header that leads to the next page (RFC 8288), none on the last one."""
    if paging["next_offset"] is None:
        return {}
    url = request.url.include_query_params(limit=paging["limit"], offset=paging["next_offset"])
    return {"Link": f'<{url.path}?{url.query}>; rel="next"'}
