"""How a recorded source lets a list be read page by page, and what of it may be repeated without harm.

A fixture says so itself where a plan names the place it was read from (``paging``, ``repeatable``); else the
names in it show it. What a catalogue entry says is held against that, never taken from the entry.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from prefect_autopilot.models import Operation
from prefect_autopilot.services import first_of

Fact = Mapping[str, Any]

PAGES = frozenset(
    {
        "page", "page[number]", "page_number", "pageNum", "pageNumber", "pagination[page]",
        "searchCriteria[currentPage]"
    }
)  # fmt: skip
OFFSETS = frozenset(
    {"offset", "skip", "start", "startAt", "startRow", "$skip", "limit_start", "sysparm_offset"}
)
CURSORS = frozenset(
    {
        "after", "after_id", "before", "bookmark", "continuation", "continuation-token", "continuation_token",
        "continuationToken", "continue", "cursor", "ExclusiveStartKey", "ExclusiveStartTableName",
        "Marker", "marker", "next_page_token", "next_token", "NextToken", "offset", "page-token",
        "page[cursor]", "page_token", "PageToken", "pageToken", "pagetoken", "pagination_token",
        "start_cursor", "starting_after"
    }
)  # fmt: skip
TOKENS = frozenset(
    {
        "after", "bookmark", "continuation", "continuationToken", "continue", "cursor", "end_cursor",
        "last_id", "LastEvaluatedKey", "LastEvaluatedTableName", "next_cursor", "next_marker",
        "next_page_token", "next_token", "NextContinuationToken", "nextCursor", "NextMarker",
        "nextPageToken", "NextToken", "offset", "starting_after"
    }
)  # fmt: skip
ADDRESSES = frozenset(
    {
        "@odata.nextLink", "next", "next_page", "next_page_uri", "next_url", "nextLink",
        "nextPageLink", "nextRecordsUrl", "nextUri", "nextUrl"
    }
)  # fmt: skip
MOMENTS = frozenset({"from", "until"})
ROWS_AFTER = frozenset({"after", "before", "starting_after"})
MORE = frozenset({"has_more", "hasMore"})
DEPTH = 3


class Pager(NamedTuple):
    """One way to the next page, in the terms of the catalogue."""

    kind: str
    request_param: str | None = None
    response_field: str | None = None


def pagers(fact: Fact) -> list[Pager]:
    """Return the ways to the next page that the source of an operation tells; none where it tells none."""
    if "paging" in fact:
        said = (
            Pager(one["kind"], one.get("request_param"), one.get("response_field")) for one in fact["paging"]
        )
        return [one for one in said if one.kind != "none"]
    return list(dict.fromkeys(_shown(fact)))


def _shown(fact: Fact) -> Iterator[Pager]:
    asked = [one["name"] for one in fact["parameters"] if one["in"] == "query"]
    asked += list(fact["body"].get("properties", ()))
    answers = list(fact["responses"].values())
    if any("link" in map(str.lower, answer.get("headers", ())) for answer in answers):
        yield Pager("link")
    told = [named for answer in answers for named in _fields(answer["shape"], DEPTH)]
    for path, kind in told:
        name = path if path.startswith("@odata.") else path.rpartition(".")[2]
        if (name in ADDRESSES or path == "_links.next.href") and kind in ("string", "any"):
            yield Pager("next_url", None, path)
            yield from (Pager("next_url", one, path) for one in asked if one in CURSORS)
        if name == "next" and kind in ("number", "integer"):  # a moment, from which the next page counts
            yield from (Pager("cursor", one, path) for one in asked if one in MOMENTS)
        if name in TOKENS and kind != "array":
            yield from (Pager("cursor", one, path) for one in asked if one in CURSORS)
    yield from (Pager("page", one) for one in asked if one in PAGES)
    if {"from", "size"} <= set(asked):
        yield Pager("offset", "from")
    if {"index", "size"} <= set(asked):
        yield Pager("page", "index")
    counted = {path.rpartition(".")[2] for path, kind in told if kind == "string"}
    # A text of that name in the answer is a mark, and no number of rows.
    yield from (Pager("offset", one) for one in asked if one in OFFSETS and one not in counted)
    more = [path for path, _ in told if path in MORE]
    yield from (Pager("last_row", one, path) for one in asked if one in ROWS_AFTER for path in more)


def _fields(shape: Fact, levels: int, above: str = "") -> Iterator[tuple[str, str]]:
    for name, inner in shape.get("properties", {}).items():
        yield above + name, inner["type"]
        if levels > 1:
            yield from _fields(inner, levels - 1, f"{above}{name}.")


def wrong_paging(operation: Operation, fact: Fact) -> str:
    """Return what an entry says of the pages of a list that its source does not, empty where they agree."""
    said = operation.pagination
    entry, source = Pager(said.kind, said.request_param, said.response_field), pagers(fact)
    if operation.effect != "safe" or operation.list_at is None:
        return ""
    if entry in source:
        return wrong_first(operation, fact)
    if entry.kind == "none":
        return f"the source tells of further pages: {source}" if source else ""
    return f"the entry pages by {tuple(entry)}, the source by {[tuple(one) for one in source]}"


def wrong_first(operation: Operation, fact: Fact) -> str:
    """Return what an entry counts pages or rows from where its source says another number, else nothing."""
    said, told = first_of(operation.pagination), told_first(operation, fact)
    if operation.pagination.kind not in ("page", "offset") or told in (None, said):
        return ""
    return f"the entry counts from {said}, the source from {told}"


def told_first(operation: Operation, fact: Fact) -> int | None:
    """Return the number the source counts pages or rows from; None where it does not say it."""
    if "first" in fact:
        return int(fact["first"]["number"])
    asked = operation.pagination.request_param
    wire = next((one.at or one.name for one in operation.parameters if one.name == asked), asked)
    told = [one.get("first") for one in fact["parameters"] if one["name"] == wire]
    return next((number for number in told if number is not None), None)


def left_out(operation: Operation, fact: Fact) -> str:
    """Return what an entry leaves out of a list: the place of its rows, or how the next page is asked for."""
    if operation.list_at is not None or operation.effect != "safe":
        return ""
    found = pagers(fact)
    return f"no list_at, though the source pages by {tuple(found[0])}" if found else ""


READS = frozenset({"download", "find", "get", "list", "query", "read", "scan", "search"})


def wrong_effect(operation: Operation, fact: Fact) -> str:
    """Return why an entry must not let a call be repeated: its source gives no reason for that."""
    if operation.effect == "unsafe" or fact["method"] not in ("POST", "PATCH") or fact.get("repeatable"):
        return ""
    if fact.get("graphql", {}).get("kind") == "query":
        return ""
    named = re.sub(r"([a-z])([A-Z])", r"\1 \2", f"{fact['path']} {fact['at'].partition(' servers')[0]}")
    words = re.findall(r"[a-z]+", named.lower())
    if operation.effect == "safe" and READS & set(words):
        return ""
    return f"{fact['method']} {fact['path']} is said to be {operation.effect}, and no source says why"
