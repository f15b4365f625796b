"""What an answer is, where its rows are, how the next page is asked for: read from responses by rule."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

from prefect_autopilot.models import Pagination, Parameter, Returns
from prefect_autopilot.services.openapi_names import plain_text, snake_case
from prefect_autopilot.services.openapi_schema import (
    NotImportableError,
    Schemas,
    Shape,
    listed,
    mapping,
    text,
    vocabulary,
    words,
)

_BESIDE = re.compile(
    r"(?i)(?:.*(?:page|pagination|paging|cursor|next|prev|previous|first|last|token|count|total|limit|offset|size|"
    r"start|has_?more|more|link|meta|etag|kind|url|uri|self|href|object|ok|success|status|error|errors|warnings|"
    r"sync|version|expand|response|code|message|order|sort|query|included|schema|time|id).*|\W*)"
)
_NEXT_OFFSET = re.compile(r"(?i)next[\w.]*offset$")
_FROM_ZERO = re.compile(
    r"(?i)\b(?:zero|0)[- ](?:based|indexed)\b|\b(?:start|begin)\w* (?:from|at|with) (?:0|zero)\b"
)
_STATUS = re.compile(
    r"(?i)^(?:(?:http )?(?:status|error)(?: code)?\W*)?\d{3}\b\W*(?:(?:ok|created|accepted)\b\W*)?"
)
_MOST_TOLD = 6
_MOST_SAID = 600
_DEEP = 3
_MOST_FIELDS = 60


def read_rows(schemas: Schemas, shape: Shape, path: str) -> str | None:
    """Return the dotted path of the rows of a list of this shape, None where the answer is no list."""
    if shape.type == "array":
        return "$"
    single = path.rstrip("/").endswith("}")
    return _rows_in(schemas, shape, _last_noun(path), single=single)


def _last_noun(path: str) -> str:
    static = [part for part in path.split("/") if part and "{" not in part]
    return snake_case(static[-1]) if static else ""


def _rows_in(schemas: Schemas, shape: Shape, noun: str, *, single: bool, depth: int = 0) -> str | None:
    kinds = {name: _shape(schemas, value) for name, value in list(shape.properties.items())[:_MOST_FIELDS]}
    arrays = [
        name for name, inner in kinds.items() if inner.type == "array" and name.lower() not in words("aside")
    ]
    named = [name for name in arrays if name.lower() in words("rows")]
    if named and not ("id" in kinds and single):
        return min(named, key=lambda name: vocabulary()["rows"].index(name.lower()))
    same = [name for name in arrays if noun and snake_case(name) in (noun, noun + "s", noun.rstrip("s"))]
    if same and not single:
        return same[0]
    others = [name for name in kinds if name not in arrays and not _BESIDE.fullmatch(name)]
    if len(arrays) == 1 and not others and not single and "id" not in kinds:
        return arrays[0]
    if depth == 0 and not arrays:
        for name in vocabulary()["wrappers"]:
            if name in kinds and kinds[name].type == "object":
                inner = _rows_in(schemas, kinds[name], noun, single=single, depth=1)
                return None if inner is None else f"{name}.{inner}"
    return None


def answer_shape(schemas: Schemas, operation: Mapping[str, Any]) -> Shape:
    """Return the shape of the JSON answer of success, that of anything where none is described."""
    response = success(schemas, operation)
    if response is None:
        return Shape()
    content = mapping(response.get("content"))
    schema = response.get("schema")
    for media, value in content.items():
        if "json" in str(media).lower() or str(media) == "*/*":
            schema = mapping(value).get("schema")
            break
    return _shape(schemas, schema) if isinstance(schema, Mapping) else Shape()


def read_returns(
    schemas: Schemas, operation: Mapping[str, Any], shape: Shape, name: str, rows: str | None
) -> Returns | None:
    """Return what a call answers, in the document's words, and the fields by which things are known.

    None where the document says neither.
    """
    row = shape
    for step in (rows or "").split("."):
        row = _shape(schemas, row.properties.get(step)) if step not in ("", "$") else row
    if rows is not None:
        row = _shape(schemas, row.items)
    fields = _telling(row)
    if not fields and rows is None:
        wrapped = next((one for one in vocabulary()["wrappers"] if one in row.properties), None)
        inner = _shape(schemas, row.properties[wrapped]) if wrapped else Shape()
        fields = tuple(f"{wrapped}.{field}" for field in _telling(inner))
    said = _said(text((success(schemas, operation) or {}).get("description"))[:_MOST_SAID])
    if said:
        return Returns(what=said, fields=fields)
    thing = name.partition("_")[2].replace("_", " ") or "answer"
    return Returns(what=f"Rows of {thing}." if rows else f"The {thing}.", fields=fields) if fields else None


@lru_cache(maxsize=1024)
def _said(description: str) -> str:
    """Return what a description says of an answer, empty where it says no more than that there is one."""
    said = plain_text(_STATUS.sub("", description))
    named = set(re.findall(r"[a-z]+", said.lower()))
    return said if len(named - words("commonplace")) > 1 else ""


def _telling(shape: Shape) -> tuple[str, ...]:
    """Return the plain fields of a thing that say which it is, where, how it is called and how it stands."""
    plain = {
        snake_case(name): name
        for name, value in list(shape.properties.items())[:_MOST_FIELDS]
        if "." not in name and mapping(value).get("type", "object") not in ("object", "array")
    }
    return tuple(plain[name] for name in vocabulary()["telling"] if name in plain)[:_MOST_TOLD]


def success(schemas: Schemas, operation: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """Return the response of success that a document describes, None where it describes none."""
    responses = {str(status).upper(): value for status, value in mapping(operation.get("responses")).items()}
    for status in ("200", "201", "202", "203", "206", "2XX", "DEFAULT"):
        if status in responses:
            try:
                return schemas.resolve(responses[status])
            except NotImportableError:
                return None
    return None


def _shape(schemas: Schemas, schema: Any) -> Shape:
    try:
        return schemas.shape(schema)
    except NotImportableError:  # an answer that cannot be understood is no reason not to make the call
        return Shape()


def read_pagination(
    schemas: Schemas, operation: Mapping[str, Any], shape: Shape, parameters: Sequence[Parameter], rows: str
) -> Pagination:
    """Return how the next page of the list at ``rows`` is asked for, kind "none" where no rule fits."""
    asked = {snake_case(one.name): one for one in parameters if one.location == "query"}
    told = {} if shape.type == "array" else _fields(schemas, shape)
    page = next((one for name, one in asked.items() if name in words("page") and one.type != "object"), None)
    offset = next((one for name, one in asked.items() if name in words("offset") and _is_count(one)), None)
    cursor = next(
        (one for name, one in asked.items() if name in words("cursor_asked") and one is not offset), None
    )
    if cursor is not None:
        field = next(
            (path for path in told if snake_case(path.rpartition(".")[2]) in words("cursor_told")), None
        )
        field = field or next((path for path in told if "next" in path.lower()), None)
        if field is not None and not _is_address(told[field]):
            return Pagination(kind="cursor", request_param=cursor.name, response_field=field)
    mark = asked.get("offset")
    if mark is not None and not _is_count(mark):  # a mark the service gives, as Asana's
        field = next((path for path in told if _NEXT_OFFSET.search(path)), None)
        if field is not None:
            return Pagination(kind="cursor", request_param=mark.name, response_field=field)
    address = next((path for path, shape in told.items() if _names_address(path, shape)), None)
    if address is not None:
        return Pagination(kind="next_url", response_field=address)
    if any(
        str(name).lower() == "link" for name in mapping((success(schemas, operation) or {}).get("headers"))
    ):
        return Pagination(kind="link")
    counted = Pagination(kind="offset", request_param=offset.name) if offset is not None else Pagination()
    if page is not None:
        counted = Pagination(kind="page", request_param=page.name, first=_first(schemas, operation, page))
    return _after_the_last(schemas, shape, asked, rows) or counted


def _after_the_last(
    schemas: Schemas, shape: Shape, asked: Mapping[str, Parameter], rows: str
) -> Pagination | None:
    """Return the way of Stripe: the id of the last row asks for what follows while a field tells of more."""
    mark = next((one for name, one in asked.items() if name in words("row_asked")), None)
    more = next((name for name in shape.properties if snake_case(name) in words("more_told")), None)
    listed = _shape(schemas, shape.properties.get(rows))
    row = _shape(schemas, listed.items)
    if mark is None or more is None or "id" not in row.properties:
        return None
    return Pagination(kind="last_row", request_param=mark.name, response_field=more)


def _first(schemas: Schemas, operation: Mapping[str, Any], page: Parameter) -> int | None:
    """Return the number of the first page, the one answered where none is asked, if the document says it."""
    for one in listed(operation.get("parameters")):
        told = schemas.resolve(one)
        if told.get("name") == page.name:
            shape = _shape(schemas, told.get("schema", told))
            default = shape.keywords.get("default")
            if type(default) is int and default in (0, 1):
                return default
    return 0 if _FROM_ZERO.search(page.description) else None


def _is_count(parameter: Parameter) -> bool:
    return parameter.type in ("integer", "number")


def _fields(schemas: Schemas, shape: Shape, prefix: str = "", depth: int = 1) -> dict[str, Shape]:
    """Return the text, number and object fields of an answer by dotted path, the outer ones first."""
    found: dict[str, Shape] = {}
    inner: dict[str, Shape] = {}
    for name, value in list(shape.properties.items())[:_MOST_FIELDS]:
        field = _shape(schemas, value)
        if field.type == "object" and depth < _DEEP and _BESIDE.fullmatch(name):
            inner |= _fields(schemas, field, f"{prefix}{name}.", depth + 1)
        elif field.type in ("string", "integer", "any"):
            found[prefix + name] = field
    return found | inner


def _is_address(shape: Shape) -> bool:
    told = text(shape.keywords.get("description"))[:300].lower()
    return shape.keywords.get("format") in ("uri", "url") or bool(
        re.search(r"\burl\b|\buri\b|\blink\b", told)
    )


def _names_address(path: str, shape: Shape) -> bool:
    if shape.type not in ("string", "any"):
        return False
    parts = [snake_case(part) for part in path.split(".")]
    if parts[-1] == "href":
        return len(parts) > 1 and parts[-2] == "next"
    if parts[-1] == "next":
        return len(parts) == 1 or "link" in parts[-2] or _is_address(shape) or "pag" in parts[-2]
    return parts[-1] in words("next_url")
