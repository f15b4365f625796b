"""Where the rows of an answer are and how the next page is asked for, read from a response schema by rule."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from prefect_autopilot.models import Pagination, Parameter
from prefect_autopilot.services.openapi_names import snake_case
from prefect_autopilot.services.openapi_schema import (
    NotImportableError,
    Schemas,
    Shape,
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
_DEEP = 3
_MOST_FIELDS = 60


def read_rows(schemas: Schemas, operation: Mapping[str, Any], path: str) -> str | None:
    """Return the dotted path of the rows of a list, None where the answer is no list."""
    shape = answer_shape(schemas, operation)
    if shape is None:
        return None
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


def answer_shape(schemas: Schemas, operation: Mapping[str, Any]) -> Shape | None:
    """Return the shape of the JSON answer of success, None where none is described."""
    response = _success(schemas, operation)
    if response is None:
        return None
    content = mapping(response.get("content"))
    schema = response.get("schema")
    for media, value in content.items():
        if "json" in str(media).lower() or str(media) == "*/*":
            schema = mapping(value).get("schema")
            break
    return _shape(schemas, schema) if isinstance(schema, Mapping) else None


def _success(schemas: Schemas, operation: Mapping[str, Any]) -> Mapping[str, Any] | None:
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
    schemas: Schemas, operation: Mapping[str, Any], parameters: Sequence[Parameter], rows: str
) -> Pagination:
    """Return how the next page of the list at ``rows`` is asked for, kind "none" where no rule fits."""
    asked = {snake_case(one.name): one for one in parameters if one.location == "query"}
    shape = answer_shape(schemas, operation) or Shape()
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
        str(name).lower() == "link" for name in mapping((_success(schemas, operation) or {}).get("headers"))
    ):
        return Pagination(kind="link")
    counted = Pagination(kind="offset", request_param=offset.name) if offset is not None else Pagination()
    counted = Pagination(kind="page", request_param=page.name) if page is not None else counted
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
