"""A service and what can be done with it, as the catalogue or an OpenAPI document tells it."""

from __future__ import annotations

from enum import StrEnum
from typing import Any, Literal

from pydantic import Field

from prefect_autopilot.models.base import Value


class OperationEffect(StrEnum):
    """What calling an operation twice does: nothing, the same as once, or possibly harm."""

    SAFE = "safe"
    IDEMPOTENT = "idempotent"
    UNSAFE = "unsafe"


class ServiceStatus(StrEnum):
    """What may honestly be said of a service.

    operable: base URL, auth and two operations confirmed by a named source and driven by a contract
    test; declared: has operations, not all confirmed; recognised: known by name only.
    """

    OPERABLE = "operable"
    DECLARED = "declared"
    RECOGNISED = "recognised"


class Auth(Value):
    """How a request proves who sends it."""

    scheme: Literal[
        "none", "bearer", "header", "query", "basic", "oauth2", "sigv4", "oauth1", "bot_token"
    ] = "none"
    name: str = "Authorization"
    prefix: str = ""
    token_url: str | None = None
    refresh_url: str | None = None


class Parameter(Value):
    """One parameter of an operation; ``fields`` is the next level of an object."""

    name: str
    location: Literal["path", "query", "header", "body"] = "body"
    type: Literal["string", "integer", "number", "boolean", "object", "array", "any"] = "string"
    required: bool = False
    description: str = ""
    default: Any = None
    choices: tuple[str, ...] = ()
    fields: tuple[Parameter, ...] = ()
    at: str | None = None
    """Dotted path of the body where the value goes, where that is not its name ('$': the body itself)."""


class Pagination(Value):
    """How the next page is asked for; ``list_at`` is the dotted path of the rows ('$': the answer itself)."""

    kind: Literal["none", "cursor", "page", "offset", "link", "next_url"] = "none"
    request_param: str | None = None
    response_field: str | None = None


class Operation(Value):
    """One call a service offers; ``path`` is below the service's base URL."""

    id: str
    verbs: tuple[str, ...] = ()
    method: Literal["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD"]
    path: str
    parameters: tuple[Parameter, ...] = ()
    body: Literal["none", "json", "form", "multipart", "raw"] = "none"
    body_at: str | None = None
    """Where the service wants the body fields wrapped, Asana's ``data`` for one."""
    mime_at: str | None = None
    """Where the body wants a base64url MIME message, built from to, cc, bcc, subject and body (Gmail)."""
    list_at: str | None = None
    pagination: Pagination = Pagination()
    effect: OperationEffect = OperationEffect.UNSAFE
    sources: tuple[str, ...] = ()


class WebhookSignature(Value):
    """How a service signs what it posts to us; fields as in the webhook table of the docs."""

    header: str
    prefix: str = ""
    algorithm: Literal["sha256", "sha1", "ed25519", "token"] = "sha256"
    template: str = "{body}"
    encoding: Literal["hex", "base64"] = "hex"
    timestamp_header: str | None = None
    delivery_id_header: str | None = None
    challenge: str | None = None


class ServiceTrigger(Value):
    """An event of a service: announced by webhook, or found by polling ``operation``."""

    event: str
    phrases: tuple[str, ...] = ()
    kind: Literal["webhook", "poll"]
    operation: str | None = None
    cursor_field: str | None = None
    id_field: str | None = None
    detail: str | None = None
    """Operation that reads a found row in full, where ``operation`` answers little more than ids."""
    fields: dict[str, str] = Field(default_factory=dict)
    """What the event offers by name, each with the dotted path of the row it is read from."""
    signature: WebhookSignature | None = None


class Service(Value):
    """One service of the catalogue."""

    id: str
    name: str
    aliases: tuple[str, ...] = ()
    keywords: tuple[str, ...] = ()
    category: str = "other"
    kinds: tuple[str, ...] = ()
    """The kinds of service it can stand for: email, chat, task_list, crm …"""
    generic: bool = False
    """True for a protocol or kind (email, sms, rss) that is no brand."""
    ambiguous: bool = False
    """True where the name is an ordinary English word as well (box, monday, front)."""
    english_words: tuple[str, ...] = ()
    """Those of its names that are ordinary English words."""
    base_url: str | None = None
    auth: Auth = Auth()
    rate_limit_per_s: float | None = None
    idempotency_header: str | None = None
    success_field: str | None = None
    """Body field that must be true in an answer with status 200 (Slack's ``ok``)."""
    error_field: str | None = None
    verification: str | None = None
    """Operation that shows that a connection works."""
    operations: tuple[Operation, ...] = ()
    triggers: tuple[ServiceTrigger, ...] = ()
    docs_url: str | None = None
    provenance: tuple[str, ...] = Field(default=(), description="Sources that confirm base URL and auth")
    status: ServiceStatus = ServiceStatus.RECOGNISED

    def operation(self, operation_id: str) -> Operation | None:
        """Return the operation of this id, or None."""
        return next((op for op in self.operations if op.id == operation_id), None)
