"""A request to a simulated service, read back into the parameters the catalogue gives it."""

from __future__ import annotations

import asyncio
import base64
import binascii
import json
import re
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from email import message_from_bytes
from email.message import MIMEPart
from email.policy import default as email_policy
from typing import Any
from urllib.parse import parse_qsl, unquote

from starlette.requests import Request

from prefect_autopilot.errors import UsageError
from prefect_autopilot.models import Operation, Parameter, Service
from prefect_autopilot.services import pick
from prefect_autopilot.services.paths import WHOLE
from prefect_autopilot.services.rich_text import text_of
from prefect_autopilot.services.styles import gather

_SLOT = re.compile(r"\{([^{}]+)\}")
_OBJECT = Parameter(name="", type="object")


@dataclass(frozen=True)
class Asked:
    """A request as the service understands it."""

    operation: Operation
    path: Mapping[str, str]
    parameters: Mapping[str, Any]
    body: Any = None


async def is_awaited(request: Request, seconds: float) -> bool:
    """Wait ``seconds`` and return True; return False as soon as the caller has hung up."""
    await request.body()  # to look for the end would lose it
    end = time.monotonic() + seconds
    while (left := end - time.monotonic()) > 0:
        if await request.is_disconnected():
            return False
        await asyncio.sleep(min(left, 0.1))
    return True


def matching(service: Service, method: str, path: str) -> list[tuple[Operation, dict[str, str]]]:
    """Return the operations a raw path can mean with their path values, the most literal template first."""
    found = []
    for operation in service.operations:
        names = _SLOT.findall(operation.path)
        pattern = "([^/]+)".join(map(re.escape, _SLOT.split(operation.path)[::2]))
        match = re.fullmatch(pattern, path)
        if match and operation.method == method:
            values = {name: unquote(value) for name, value in zip(names, match.groups(), strict=True)}
            found.append((len(_SLOT.sub("", operation.path)), operation, values))
    best = max((literal for literal, _, _ in found), default=0)
    return [(operation, values) for literal, operation, values in found if literal == best]


def read_request(
    operation: Operation,
    path: Mapping[str, str],
    query: list[tuple[str, str]],
    headers: Mapping[str, str],
    body: bytes,
) -> Asked:
    """Return the parameters of a request by the names the catalogue gives them; raises UsageError."""
    known = {parameter.name: parameter for parameter in operation.parameters}
    parameters: dict[str, Any] = {name: _typed(known.get(name), value) for name, value in path.items()}
    styled, query = gather(query, (one for one in operation.parameters if one.location == "query"))
    parameters |= styled
    for name, value in query:
        parameter = known.get(name)
        if parameter is not None and parameter.type == "array":
            parameters.setdefault(name, []).append(value)
        else:
            parameters[name] = _typed(parameter, value)
    for name, parameter in known.items():
        if parameter.location == "header" and name.lower() in headers:
            parameters[name] = _typed(parameter, headers[name.lower()])
    if operation.json_header:
        where = f"The header {operation.json_header}"
        parameters |= _argument(operation, headers.get(operation.json_header.lower(), ""), where)
    kind = headers.get("content-type", "")
    if operation.body == "related":
        told, sent = _related(body, kind)
        parameters |= _argument(operation, told, "The first part of the body")
    else:
        sent = _content(operation, body, kind)
    return Asked(operation, path, {**parameters, **_fields(operation, sent)}, sent)


def _argument(operation: Operation, text: str, where: str) -> dict[str, Any]:
    try:
        told: Any = json.loads(text)
    except (ValueError, RecursionError):
        told = None
    if not isinstance(told, dict):
        msg = f"{where} must hold a JSON object."
        raise UsageError(msg)
    return _placed((one for one in operation.parameters if one.location == "body" and one.at != WHOLE), told)


def _typed(parameter: Parameter | None, value: str) -> Any:
    if parameter is None or parameter.type in ("string", "any"):
        return value
    try:
        return json.loads(value)
    except (ValueError, RecursionError):
        return value


def _content(operation: Operation, body: bytes, content_type: str) -> Any:
    if not body or operation.body == "none":
        return {}
    known = {parameter.name: parameter for parameter in operation.parameters}
    if "multipart" in content_type:
        parts = _parts(body, content_type)
        names = [str(part.get_param("name", header="content-disposition")) for part in parts]
        texts = [_part_text(part).strip() for part in parts]
        # A field that holds others is an object, as JSON.
        known |= {one.at.partition(".")[0]: _OBJECT for one in known.values() if one.at and "." in one.at}
        return {name: _typed(known.get(name), text) for name, text in zip(names, texts, strict=True)}
    text = body.decode("utf-8", errors="replace")
    if "form" in content_type:
        fields = (one for one in operation.parameters if one.location == "body")
        styled, rest = gather(parse_qsl(text, keep_blank_values=True), fields)
        return styled | {name: _typed(known.get(name), value) for name, value in rest}
    if operation.body == "raw" and "json" not in content_type:
        return text
    try:
        sent = json.loads(text)
    except (ValueError, RecursionError):
        msg = "The body is not valid JSON."
        raise UsageError(msg) from None
    if operation.body_at is None:
        return sent
    if not isinstance(sent, dict) or set(sent) != {operation.body_at}:
        msg = f"The body must hold everything below {operation.body_at!r}."
        raise UsageError(msg)
    return sent[operation.body_at]


def _parts(body: bytes, content_type: str) -> list[MIMEPart]:
    head = b"Content-Type: " + content_type.encode() + b"\r\n\r\n"
    return list(message_from_bytes(head + body, policy=email_policy).iter_parts())


def _related(body: bytes, content_type: str) -> tuple[str, str]:
    """Return what the two parts of multipart/related hold; raises UsageError where they are not two."""
    try:
        told, content = (_part_text(part) for part in _parts(body, content_type))
    except ValueError:
        msg = "The body must hold two parts: a JSON object and the content of a file."
        raise UsageError(msg) from None
    return told, content


def _part_text(part: MIMEPart) -> str:
    held = part.get_payload(decode=True)
    return held.decode("utf-8", errors="replace") if isinstance(held, bytes) else ""


def _fields(operation: Operation, sent: Any) -> dict[str, Any]:
    bodies = [parameter for parameter in operation.parameters if parameter.location == "body"]
    whole = next((parameter.name for parameter in bodies if parameter.at == WHOLE), None)
    if whole is not None:
        return {whole: sent} if sent not in ({}, None) else {}
    fields = _placed(bodies, sent)
    if operation.mime_at and (raw := pick(sent, operation.mime_at)):
        fields |= read_mime(str(raw))
        fields.pop(operation.mime_at.partition(".")[0], None)
    return fields


def _placed(bodies: Iterable[Parameter], sent: Any) -> dict[str, Any]:
    """Return what stands at the places of the parameters by their names, and what else stands there."""
    fields: dict[str, Any] = {}
    used = set()
    for parameter in bodies:
        at = parameter.at or parameter.name
        used.add(parameter.name if at == parameter.name else at.partition(".")[0])
        if (value := pick(sent, at)) is not None:
            read = text_of(value) if parameter.document else None
            fields[parameter.name] = value if read is None else read
    unknown = [name for name in sent if name not in used] if isinstance(sent, dict) else []
    return fields | {name: sent[name] for name in unknown}


def read_mime(raw: str) -> dict[str, str]:
    """Return to, cc, bcc, subject and body of a base64url message; raises UsageError."""
    try:
        message = message_from_bytes(base64.urlsafe_b64decode(raw + "=="), policy=email_policy)
    except (binascii.Error, ValueError):
        msg = "The message is not base64url."
        raise UsageError(msg) from None
    told = {name: str(message[name]) for name in ("to", "cc", "bcc", "subject") if message[name]}
    text = message.get_body(("plain",))
    return told | ({"body": str(text.get_content()).rstrip("\n")} if text is not None else {})
