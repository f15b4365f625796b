"""What one simulated service remembers and how it answers: a stand-in with state, no network."""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from prefect_autopilot.adapters.simulated_request import Asked
from prefect_autopilot.models import JSONDict, Operation, Pagination, Service
from prefect_autopilot.services import (
    IN_HEADER,
    first_of,
    listed_fields,
    pick,
    place,
    resource_of,
    sample_rows,
)
from prefect_autopilot.services.events import answer_text
from prefect_autopilot.services.paths import WHOLE

_LISTS = ("list", "search", "query")
_CHANGES = (
    "update",
    "modify",
    "set",
    "patch",
    "move",
    "close",
    "transition",
    "append",
    "complete",
    "archive",
)
_SIZES = ("limit", "maxResults", "per_page", "page_size", "pageSize", "count", "$top", "pagelen")
_IDS = ("gid", "id", "ts", "uuid", "key")
_DATE_WORDS = ("after", "before", "newer_than", "older_than", "older", "newer")


@dataclass(frozen=True)
class Reply:
    """An answer: ``body`` None is sent as no content."""

    status: int
    body: Any = None
    headers: dict[str, str] = field(default_factory=dict)


class SimulatedService:
    """Rows of one service by resource, newest first, and the answers its operations give."""

    def __init__(self, service: Service, *, page_size: int, seeded: bool = True) -> None:
        self.service = service
        self.rows: dict[str, list[JSONDict]] = copy.deepcopy(sample_rows(service.id)) if seeded else {}
        self._page_size = page_size
        self._made = 0
        self._good = service.success_value or True
        self._wrapper = next((op.body_at for op in service.operations if op.body_at), None)

    def answer(self, asked: Asked, address: str) -> Reply:
        """Do what was asked and return what the service says; ``address`` is that of the request."""
        operation = asked.operation
        verb = operation.id.partition("_")[0]
        resource = resource_of(self.service.id, operation.id)
        if operation.list_at is not None or verb in _LISTS:
            return self._list(asked, resource, address)
        if operation.method == "GET":
            row = self._one(asked, resource)
            return (
                Reply(200, self._wrapped(row, resource))
                if row is not None
                else self.refusal(404, "not_found")
            )
        if operation.method == "DELETE":
            return self._delete(asked, resource)
        if operation.method in ("PUT", "PATCH") or (verb in _CHANGES and asked.path):
            return self._change(asked, resource)
        return self._create(asked, resource)

    def add(self, resource: str, row: Mapping[str, Any]) -> JSONDict:
        """Put a row on top of a resource and return it; without an id it gets one."""
        name = self._id_name(resource)
        made = {**row} if name in row else {name: self._new_id(name, resource), **row}
        self.rows.setdefault(resource, []).insert(0, made)
        return made

    def refusal(
        self, status: int, code: str, message: str = "", headers: dict[str, str] | None = None
    ) -> Reply:
        """Return an error in the service's own form; some services say it with status 200."""
        told = message or code.replace("_", " ")
        if self.service.success_field and status < 429:  # noqa: PLR2004  rate limits and outages keep their status
            failed: JSONDict = {self.service.success_field: "fail" if self.service.success_value else False}
            place(failed, self.service.error_field or "error", code)
            return Reply(200, failed)
        body: JSONDict = {}
        if self.service.error_field:
            place(body, self.service.error_field, told)
        else:
            body = {"error": code, "message": told}
        return Reply(status, body, headers or {})

    def _create(self, asked: Asked, resource: str) -> Reply:
        sent = asked.body if isinstance(asked.body, dict) else {"items": asked.body}
        if asked.operation.mime_at:
            sent = _mail_row(asked.parameters)
        context = {name: value for name, value in asked.path.items() if name not in sent}
        defaults = {p.name for p in asked.operation.parameters if p.default is not None}
        row = self.add(resource, {**{n: v for n, v in context.items() if n not in defaults}, **sent})
        if text_at := answer_text(self.service.id, asked.operation.id):
            answer: JSONDict = {"id": row[self._id_name(resource)]}
            place(answer, text_at, f"What {self.service.name} would answer.")
            return Reply(200, answer)
        return Reply(201 if self._wrapper else 200, self._wrapped(row, resource))

    def _change(self, asked: Asked, resource: str) -> Reply:
        row = self._one(asked, resource)
        if row is None:
            return self.refusal(404, "not_found")
        for name, value in (asked.body if isinstance(asked.body, dict) else {}).items():
            change = re.fullmatch(r"(add|remove)([A-Z]\w*)", name)
            if change and isinstance(value, list):
                held = change[2][0].lower() + change[2][1:]
                left = [item for item in row.get(held, []) if item not in value]
                row[held] = left + value if change[1] == "add" else left
            else:
                row[name] = value
        return Reply(200, self._wrapped(row, resource))

    def _delete(self, asked: Asked, resource: str) -> Reply:
        wanted = self._wanted(asked)
        for rows in self.rows.values():
            for row in rows:
                if wanted is not None and any(str(row.get(name)) == wanted for name in _IDS):
                    rows.remove(row)
                    return Reply(204)
        return self.refusal(404, "not_found") if resource in self.rows else Reply(204)

    def _wanted(self, asked: Asked) -> str | None:
        """Return the id asked for: the last value of the path that has no default."""
        defaults = {p.name for p in asked.operation.parameters if p.default is not None}
        return next((asked.path[name] for name in reversed(list(asked.path)) if name not in defaults), None)

    def _one(self, asked: Asked, resource: str) -> JSONDict | None:
        wanted = self._wanted(asked)
        if wanted is None:
            rows = self.rows.get(resource)
            return rows[0] if rows else self.add(resource, {})
        for rows in (self.rows.get(resource, []), *self.rows.values()):
            for row in rows:
                if any(str(row.get(name)) == wanted for name in _IDS):
                    return row
        # A thing of a kind we hold none of is taken to exist: a preview names what only the person has.
        return None if resource in self.rows else self.add(resource, {self._id_name(resource): wanted})

    def _id_name(self, resource: str) -> str:
        rows = self.rows.get(resource) or []
        if rows:
            return next((name for name in _IDS if name in rows[0]), "id")
        slots = " ".join(operation.path for operation in self.service.operations)
        return (
            "gid"
            if "_gid}" in slots
            else "ts"
            if self.service.id == "slack" and resource == "message"
            else "id"
        )

    def _new_id(self, name: str, resource: str) -> Any:
        self._made += 1
        number = 9_000_000 + self._made
        if name == "ts":
            return f"17725{self._made:05d}.000100"
        rows = self.rows.get(resource) or []
        return number if rows and isinstance(rows[0].get(name), int) else str(number)

    def _wrapped(self, row: JSONDict, resource: str) -> Any:
        if self._wrapper:
            return {self._wrapper: row}
        if self.service.success_field:
            return {**row, self.service.success_field: self._good, resource: row}
        return row

    def _list(self, asked: Asked, resource: str, address: str) -> Reply:
        rows = [row for row in self.rows.get(resource, []) if _fits(row, asked)]
        paging = asked.operation.pagination
        if paging.kind == "last_row":  # each row bears what the next page is asked for with
            rows = [{paging.row_field: row.get("id"), **row} for row in rows]
        position = asked.parameters.get(paging.request_param or "_page")
        try:
            size = next((int(asked.parameters[n]) for n in _SIZES if n in asked.parameters), self._page_size)
            start = (
                _after(rows, paging, position)
                if paging.kind == "last_row"
                else _start(paging, position, size)
            )
        except ValueError:
            return self.refusal(400, "invalid_cursor")
        page, more = rows[start : start + size], len(rows) > start + size
        if paging.kind == "none":
            page, more = rows, False
        fields = listed_fields(self.service.id, resource)
        shown = [{name: row[name] for name in fields if name in row} for row in page] if fields else page
        body: Any = shown
        if asked.operation.list_at != WHOLE:
            body = {self.service.success_field: self._good} if self.service.success_field else {}
            place(body, asked.operation.list_at or f"{resource}s", shown)
        if paging.kind == "last_row" and paging.response_field:
            place(body, paging.response_field, more)
        if paging.more_field:
            place(body, paging.more_field, more)
        if paging.total_field:
            place(body, paging.total_field, len(rows))
        return self._paged(asked, body, address, _mark(asked.operation, start + size) if more else None)

    def _paged(self, asked: Asked, body: Any, address: str, cursor: str | int | None) -> Reply:
        paging = asked.operation.pagination
        headers: dict[str, str] = {}
        if cursor is not None:
            name = paging.request_param or "_page"
            following = f"{address}{'&' if '?' in address else '?'}{name}={cursor}"
            if paging.response_field and paging.response_field.startswith(IN_HEADER):
                headers[paging.response_field.removeprefix(IN_HEADER)] = str(cursor)
            elif paging.kind == "cursor" and paging.response_field:
                place(body, paging.response_field, cursor)
            elif paging.kind == "next_url" and paging.response_field:
                place(body, paging.response_field, following)
            elif paging.kind == "link":
                headers["Link"] = f'<{following}>; rel="next"'
        return Reply(200, body, headers)


def _after(rows: list[JSONDict], paging: Pagination, position: Any) -> int:
    """Return the place after the row a list goes on from; raises ValueError where none has that id."""
    if position is None:
        return 0
    return [str(pick(row, paging.row_field)) for row in rows].index(str(position)) + 1


def _mark(operation: Operation, begin: int) -> str | int:
    """Return the mark of the page that begins at this row: a number where the service asks for one."""
    asked = operation.pagination.request_param
    counted = any(one.name == asked and one.type in ("integer", "number") for one in operation.parameters)
    return begin if counted else f"p{begin}"


def _start(paging: Pagination, position: Any, size: int) -> int:
    if position is None:
        return 0
    if paging.kind in ("page", "offset"):
        counted = int(position) - first_of(paging)
        return counted * size if paging.kind == "page" else counted
    return int(str(position).removeprefix("p"))


def _fits(row: JSONDict, asked: Asked) -> bool:
    for parameter in asked.operation.parameters:
        wanted = asked.parameters.get(parameter.name)
        if wanted is None or parameter.default is not None:
            continue
        if parameter.name in ("q", "query", "search"):
            if not _found(row, str(wanted)):
                return False
        elif parameter.name in row and not _same(row[parameter.name], wanted):
            return False
    return True


def _same(held: Any, wanted: Any) -> bool:
    if isinstance(held, list):
        return all(item in held for item in (wanted if isinstance(wanted, list) else [wanted]))
    return isinstance(held, dict) or str(held) == str(wanted)


def _found(row: JSONDict, words: str) -> bool:
    """Tell whether every word of a search occurs in the row; ``key:value`` looks for the value."""
    text = json.dumps(row, ensure_ascii=False).casefold()
    for word in words.casefold().split():
        key, colon, value = word.partition(":")
        if colon and key in _DATE_WORDS:
            continue
        wanted = (value if colon else word).strip("\"'()")
        if (wanted.lstrip("-") in text) is (word.startswith("-")):
            return False
    return True


def _mail_row(parameters: Mapping[str, Any]) -> JSONDict:
    headers = [
        {"name": name.capitalize(), "value": str(parameters[name])}
        for name in ("to", "cc", "subject")
        if parameters.get(name)
    ]
    return {
        "labelIds": ["SENT"],
        "snippet": str(parameters.get("body", ""))[:100],
        "payload": {"headers": headers},
    }
