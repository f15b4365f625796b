"""From checked parameters to the parts of an HTTP request, and from an answer to the next page."""

from __future__ import annotations

import base64
import copy
import json
import uuid
from collections.abc import Mapping
from email.message import EmailMessage
from pathlib import PurePath
from typing import Any
from urllib.parse import parse_qsl, quote, urljoin, urlsplit

from pydantic import Field

from prefect_autopilot.errors import ConfigurationError, UsageError
from prefect_autopilot.models import Auth, Operation, OperationEffect, Pagination, Service, Value
from prefect_autopilot.services.connections import credential_names, open_half
from prefect_autopilot.services.paths import WHOLE, pick, place
from prefect_autopilot.services.rich_text import atlassian_document
from prefect_autopilot.services.styles import as_text, spread, wire_name

MIME_FIELDS = ("to", "cc", "bcc", "subject", "body")
"""Parameters that become an e-mail message where an operation wants one."""

IN_HEADER = "header:"
"""Before the name of a header, where a path of the answer could stand."""

_WITHOUT_HEADER = ("none", "sigv4", "oauth1")  # those two sign each request
_MORE_HEADERS = ("x-ms-continuationtoken", "x-next-page", "x-next-cursor")
_MORE_FIELDS = tuple(
    f"{place}{name}"
    for place in (
        "",
        "meta.",
        "links.",
        "_links.",
        "paging.",
        "pagination.",
        "pages.",
        "info.",
        "_pagination.",
    )
    for name in (
        "has_more",
        "hasMore",
        "more",
        "more_records",
        "next",
        "next_page",
        "nextPage",
        "next_url",
        "nextUrl",
        "next_cursor",
        "nextCursor",
        "nextPageToken",
        "next_page_token",
        "nextRecordsUrl",
        "continuationToken",
        "@odata.nextLink",
    )
)
_LAST_FIELDS = ("isLast", "is_last", "last_page_reached")
_WITH_FIELDS = ("json", "form", "multipart")
_KEYS = uuid.UUID("b3f1f4a8-6f0c-5d0e-8c55-6a1f2a9c7d30")


class RequestParts(Value):
    """What is sent: ``path`` is below the base URL, ``body`` a JSON value, form fields or raw text.

    Of a ``related`` body it is the pair of the fields and the content.
    """

    method: str
    path: str
    query: tuple[tuple[str, str], ...] = ()
    headers: dict[str, str] = Field(default_factory=dict)
    body: Any = None


def build_request(operation: Operation, parameters: Mapping[str, Any]) -> RequestParts:
    """Place checked parameters where the operation wants them; raises UsageError for an unusable address."""
    at = {parameter.name: parameter for parameter in operation.parameters}
    path, query, headers, fields = operation.path, [], {}, {}
    for name, value in parameters.items():
        location = at[name].location
        if location == "path":
            written = spread(at[name], value)[0][1] if at[name].style == "comma" else as_text(value)
            path = path.replace("{" + name + "}", quote(written, safe=""))
        elif location == "query":
            query += spread(at[name], value)
        elif location == "header":
            wire = wire_name(at[name])
            written = spread(at[name], value)[0][1] if at[name].style == "comma" else as_text(value)
            headers[wire] = _header(wire, written)
        else:
            fields[name] = value
    if operation.json_header:
        told, content = _fields_and_content(operation, fields)
        # A header holds printable ASCII alone; what JSON escapes is read back as it was.
        written = json.dumps(told, separators=(",", ":")).replace("\x7f", "\\u007f")
        headers[operation.json_header] = written
        body = content.encode() if isinstance(content, str) else content
    elif operation.body == "related":
        body = _fields_and_content(operation, fields)
    else:
        body = None if operation.body == "none" else _body(operation, fields)
    return RequestParts(method=operation.method, path=path, query=tuple(query), headers=headers, body=body)


def _header(name: str, value: str) -> str:
    if any(sign in value for sign in "\r\n\0"):
        msg = f"The header {name!r} must not hold line breaks."
        raise UsageError(msg)
    if not value.isascii():
        msg = f"The header {name!r} must hold nothing but ASCII characters; copy its value again."
        raise UsageError(msg)
    return value


def _fields_and_content(operation: Operation, fields: Mapping[str, Any]) -> tuple[Any, Any]:
    """Return the fields of the body, and the content that stands beside them."""
    raw = {parameter.name for parameter in operation.parameters if parameter.at == WHOLE}
    told = _body(operation, {name: value for name, value in fields.items() if name not in raw})
    return told, next((fields[name] for name in raw if name in fields), None)


def _body(operation: Operation, fields: Mapping[str, Any]) -> Any:
    places = {parameter.name: parameter.at or parameter.name for parameter in operation.parameters}
    written = {parameter.name for parameter in operation.parameters if parameter.document is not None}
    fields = {n: atlassian_document(value) if n in written else value for n, value in fields.items()}
    body: dict[str, Any] = {}
    if operation.mime_at:
        place(body, operation.mime_at, mime_message({n: v for n, v in fields.items() if n in MIME_FIELDS}))
        fields = {name: value for name, value in fields.items() if name not in MIME_FIELDS}
    # Whole objects first: a field placed inside one must not be wiped out by it.
    depths = {name: (at != name, at.count(".")) for name, at in places.items()}
    for name, value in sorted(fields.items(), key=lambda field: depths[field[0]]):
        if places[name] == WHOLE:
            return value
        if name == places[name]:
            body[name] = copy.deepcopy(value)  # a name may hold dots of its own
        else:
            place(body, places[name], copy.deepcopy(value))
    if operation.body in ("form", "multipart"):
        return _form(operation, body)
    return {operation.body_at: body} if operation.body_at else body


def is_file(value: Any) -> bool:
    """Tell whether a value is the content of a file, or the path of one."""
    return isinstance(value, (bytes, PurePath))


def _form(operation: Operation, body: Mapping[str, Any]) -> dict[str, Any]:
    """Return form fields as text, a list where a field stands several times; files stay what they are."""
    styled = {
        wire_name(one): one for one in operation.parameters if one.location == "body" and one.style != "plain"
    }
    files = {one.at or one.name for one in operation.parameters if one.file}
    form: dict[str, Any] = {}
    # Files last: some services refuse fields behind them.
    for name, value in sorted(body.items(), key=lambda field: field[0] in files or is_file(field[1])):
        if name in files and not is_file(value):
            form[name] = as_text(value).encode()
            continue
        if is_file(value) or name not in styled:
            form[name] = value if is_file(value) else as_text(value)
            continue
        pairs = spread(styled[name], value)
        for wire in dict.fromkeys(wire for wire, _ in pairs):
            texts = [told for other, told in pairs if other == wire]
            form[wire] = texts[0] if len(texts) == 1 else texts
    return form


def mime_message(fields: Mapping[str, Any]) -> str:
    """Return an RFC 5322 message of to, cc, bcc, subject and body, base64url-encoded."""
    message = EmailMessage()
    for name in ("to", "cc", "bcc", "subject"):
        value = fields.get(name)
        if value:
            told = ", ".join(value) if isinstance(value, (list, tuple)) else str(value)
            message[name.capitalize()] = " ".join(told.split())  # a line break would start a new header
    message.set_content(str(fields.get("body", "")))
    return base64.urlsafe_b64encode(message.as_bytes()).decode("ascii")


def authorise(
    service: Service, credentials: Mapping[str, str], *, connection: str | None = None
) -> RequestParts:
    """Return the headers, query and body fields that prove who asks; ``path`` stays empty.

    Nothing for a scheme that signs each request. Raises ConfigurationError when a credential is missing, with
    the name of the ``connection`` where it has one.
    """
    auth, scheme = service.auth, service.auth.scheme
    held = _held(service, credentials, connection)
    headers: dict[str, str] = {}
    query: tuple[tuple[str, str], ...] = ()
    body: dict[str, str] | None = None
    if scheme == "basic":
        halves = {"username": auth.username, "password": auth.password} | held
        if key := open_half(auth):
            halves[key] = held["api_key"]
        pair = f"{halves['username']}:{halves['password']}".encode()
        headers["Authorization"] = "Basic " + base64.b64encode(pair).decode("ascii")
    elif scheme == "query":
        query = tuple(_named(auth, held).items())
    elif scheme == "body":
        body = _named(auth, held)
    elif scheme == "header" and "+" in auth.name:
        headers = {name: _header(name, value) for name, value in held.items()}
    elif scheme not in _WITHOUT_HEADER and not _token_in_address(auth):
        prefix = auth.prefix or ("Bearer " if scheme in ("bearer", "oauth2") else "")
        headers[auth.name] = _header(auth.name, prefix + next(iter(held.values())))
    return RequestParts(method="", path="", headers=headers, query=query, body=body)


def _named(auth: Auth, held: Mapping[str, str]) -> dict[str, str]:
    return {name if "+" in auth.name else auth.name: value for name, value in held.items()}


def with_proof(operation: Operation, body: Any, proof: Mapping[str, str] | None) -> Any:
    """Return a body with the fields that prove who asks; raises UsageError where it holds no fields."""
    if not proof:
        return body
    if operation.body not in _WITH_FIELDS or not isinstance(body, Mapping | None):
        msg = f"The body of {operation.id} must be an object: the service wants the credential in it."
        raise UsageError(msg)
    return {**(body or {}), **proof}


def takes_key(service: Service, operation: Operation) -> bool:
    """Tell whether the service does a call with the same idempotency key only once."""
    if operation.effect is not OperationEffect.UNSAFE or operation.unkeyed:
        return False
    name = service.idempotency_field
    in_body = any(one.name == name and one.location == "body" for one in operation.parameters)
    return bool(service.idempotency_header) or (name is not None and in_body)


def with_key(
    service: Service, operation: Operation, parameters: Mapping[str, Any], key: str
) -> Mapping[str, Any]:
    """Return the parameters with an idempotency key where the service wants one among them.

    One that is given stays.
    """
    name = service.idempotency_field
    if name is None or parameters.get(name) is not None or not takes_key(service, operation):
        return parameters
    # Of one length, which no service finds too long.
    return {**parameters, name: str(uuid.uuid5(_KEYS, key))}


def _token_in_address(auth: Auth) -> bool:
    return auth.scheme == "bot_token" and auth.name == "path"


def _held(service: Service, credentials: Mapping[str, str], connection: str | None) -> dict[str, str]:
    aliases = {"token": "access_token", "access_token": "token", "api_key": open_half(service.auth)}
    held = {}
    for name in credential_names(service):
        value = credentials.get(name) or credentials.get(aliases.get(name) or name)
        if not value:
            block = (
                f"connection {connection} to {service.name}"
                if connection
                else f"connection to {service.name}"
            )
            # The block is named after the service and what follows the first dash of it.
            own = (connection or "").removeprefix(service.id.replace("_", "-")).removeprefix("-")
            named = f" --name {own}" if own and own != "default" else ""
            command = f"prefect-autopilot services connect {service.id}{named} --replace"
            msg = f"The {block} holds no {name!r}; add it with {command}."
            raise ConfigurationError(msg)
        held[name] = value
    return held


def rows_of(operation: Operation, answer: Any) -> list[Any]:
    """Return the rows of a list answer, none where the answer holds no list."""
    rows = pick(answer, operation.list_at or WHOLE)
    return rows if isinstance(rows, list) else []


def list_fault(operation: Operation, answer: Any) -> str | None:
    """Return what is wrong with the shape of a list answer, None for rows and where nothing stands at all."""
    at = operation.list_at or WHOLE
    rows = pick(answer, at)
    if isinstance(rows, list) or answer in (None, "", []):
        return None
    if rows is None and isinstance(answer, Mapping):
        return None  # a service may leave out a list that is empty
    found = type(answer if rows is None else rows).__name__
    return f"answered {operation.id} with something else than a list at {at!r} ({found})"


class NextPage(Value):
    """How the next page is asked for: the same call with other parameters, or another address."""

    parameters: dict[str, Any] | None = None
    url: str | None = None


def next_page(
    operation: Operation,
    parameters: Mapping[str, Any],
    answer: Any,
    *,
    url: str,
    link: str | None = None,
    headers: Mapping[str, str] | None = None,
) -> NextPage | None:
    """Return where the next page is, None after the last; ``link`` is the address of a Link header.

    Raises UsageError when the service sends us to another host.
    """
    paging = operation.pagination
    rows = rows_of(operation, answer)
    if paging.kind in ("link", "next_url"):
        address = link if paging.kind == "link" else pick(answer, paging.response_field or WHOLE)
        return _at_address(paging, parameters, url, address) if address and isinstance(address, str) else None
    name = paging.request_param
    if paging.kind == "none" or name is None:
        return None
    if paging.kind in ("cursor", "last_row"):
        mark = _mark(paging, answer, rows, headers or {})
        return NextPage(parameters={**parameters, name: mark}) if mark else None
    if not rows:
        return None
    step = 1 if paging.kind == "page" else len(rows)
    return NextPage(parameters={**parameters, name: _counted(parameters.get(name), first_of(paging)) + step})


def _at_address(paging: Pagination, parameters: Mapping[str, Any], url: str, address: str) -> NextPage | None:
    if paging.request_param is None:
        return NextPage(url=same_origin(url, address))
    mark = dict(parse_qsl(urlsplit(address).query)).get(paging.request_param)
    return NextPage(parameters={**parameters, paging.request_param: mark}) if mark else None


def _mark(paging: Pagination, answer: Any, rows: list[Any], headers: Mapping[str, str]) -> Any:
    """Return what the next page is asked for by, None after the last."""
    if paging.more_field and not pick(answer, paging.more_field):
        return None
    if paging.response_field and paging.response_field.startswith(IN_HEADER):
        return headers.get(paging.response_field.removeprefix(IN_HEADER).lower())
    if paging.kind == "cursor":
        return pick(answer, paging.response_field) if paging.response_field else None
    ended = paging.response_field is not None and not pick(answer, paging.response_field)
    return None if ended or not rows else pick(rows[-1], paging.row_field)


def is_whole(operation: Operation, answer: Any, rows: int) -> bool:
    """Tell whether so many rows are all that a list says it has."""
    told = pick(answer, operation.pagination.total_field) if operation.pagination.total_field else None
    return isinstance(told, int) and rows >= told


def shows_more(answer: Any, headers: Mapping[str, str], link: str | None = None) -> bool:
    """Tell whether an answer says that further pages follow, however services say it."""
    if link or any(headers.get(name) for name in _MORE_HEADERS):
        return True
    if not isinstance(answer, Mapping):
        return False
    said = {name: pick(answer, name) for name in _MORE_FIELDS}
    if any(value is True or (value and isinstance(value, str | Mapping)) for value in said.values()):
        return True
    return any(pick(answer, name) is False for name in _LAST_FIELDS)


def first_of(paging: Pagination) -> int:
    """Return the number by which the first page, or the first row, is asked for."""
    if paging.first is not None:
        return paging.first
    return 1 if paging.kind == "page" else 0


def _counted(value: Any, first: int) -> int:
    return int(value) if isinstance(value, (int, str)) and str(value).isdigit() else first


def same_origin(url: str, address: str) -> str:
    """Return an address, which may be relative to ``url``; raises UsageError for one on another host."""
    here, there = urlsplit(url), urlsplit(urljoin(url, address))
    if (here.scheme, here.netloc) != (there.scheme, there.netloc):
        msg = f"The next page is said to be on another host ({there.hostname}); it was not followed."
        raise UsageError(msg)
    return there.geturl()
