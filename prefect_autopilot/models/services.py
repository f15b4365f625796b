"""A service and what can be done with it, as the catalogue or an OpenAPI document tells it."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Any, Literal, Self
from uuid import UUID

from pydantic import Field, model_validator

from prefect_autopilot.models.base import JSONDict, Value


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


class RequestSignature(Value):
    """How a service wants each request signed with a shared secret (HMAC)."""

    name: str
    """Header or query parameter that takes the signature."""
    location: Literal["header", "query"] = "header"
    """Where signature, time and nonce go."""
    prefix: str = ""
    algorithm: Literal["sha256", "sha1", "sha512"] = "sha256"
    encoding: Literal["hex", "base64"] = "hex"
    key: Literal["text", "base64", "hex"] = "text"
    """How the secret becomes the key."""
    template: str = "{timestamp}{method}{target}{body}"
    """The signed bytes, of {method}, {host}, {path}, {query}, {target} (path and query), {body},
    {timestamp}, {nonce} and {api_key}."""
    timestamp_name: str | None = None
    timestamp_unit: Literal["s", "ms", "iso"] = "s"
    nonce_name: str | None = None


class Auth(Value):
    """How a request proves who sends it."""

    scheme: Literal[
        "none", "bearer", "header", "query", "body", "basic", "oauth2", "sigv4", "oauth1", "hmac", "bot_token"
    ] = "none"
    name: str = "Authorization"
    prefix: str = ""
    token_url: str | None = None
    """Where tokens are given out; a slot in it (``{tenant}``) is filled from what the connection holds."""
    refresh_url: str | None = None
    token_at: str | None = None
    """Dotted path of the token in what that address answers, where that is not ``access_token``; how long it
    holds stands beside it."""
    scope: str | None = None
    """What client credentials ask for, where the connection names no scope of its own."""
    username: str | None = None
    password: str | None = None
    """The half of basic auth that is the same for everybody, empty mostly; the other half is the key."""
    signature: RequestSignature | None = None
    """How each request is signed, of the scheme ``hmac``; ``name`` is the header that takes the key's id."""

    @model_validator(mode="after")
    def _tells_how_to_sign(self) -> Self:
        if (self.scheme == "hmac") != (self.signature is not None):
            msg = "The scheme hmac and a table [auth.signature] go together; give both or neither."
            raise ValueError(msg)
        return self


class Parameter(Value):
    """One parameter of an operation; ``fields`` is the next level of an object."""

    name: str
    location: Literal["path", "query", "header", "body"] = "body"
    type: Literal["string", "integer", "number", "boolean", "object", "array", "any"] = "string"
    required: bool = False
    description: str = ""
    default: Any = None
    choices: tuple[str, ...] = ()
    example: Any = None
    """A value that the service would take, where not every one of the type will do."""
    fields: tuple[Parameter, ...] = ()
    at: str | None = None
    """Dotted path of the body where the value goes, where that is not its name ('$': the body itself);

    for a query, header or form parameter the name the service knows it by.
    """
    style: Literal["plain", "repeat", "comma", "space", "pipe", "deep"] = "plain"
    """How a list or object is written into an address or form; plain: a list repeats the name in an address
    and is JSON in a form; deep: ``filter[from]=1``."""
    held: str | None = None
    """Name under which a connection holds the value (a tenant, an account) where the call gives none."""
    file: bool = False
    """True for the field of a form that is a file, whether its content or its path is given."""
    document: Literal["atlassian"] | None = None
    """The kind of document that the service wants instead of a text; the text of a person becomes one."""


class Pagination(Value):
    """How the next page is asked for; ``list_at`` is the dotted path of the rows ('$': the answer itself)."""

    kind: Literal["none", "cursor", "page", "offset", "link", "next_url", "last_row"] = "none"
    """``last_row``: the next page begins after the last row of this one, which ``row_field`` names."""
    request_param: str | None = None
    """Parameter that asks for the next page; of a ``next_url`` the only one that is taken over from the
    address, where that names another host than the service is called at."""
    response_field: str | None = None
    """Dotted path of what leads to the next page, or ``header:NAME``; of ``last_row`` the field that is true
    while more follows, None where the pages end with an empty one."""
    more_field: str | None = None
    """Dotted path of what is true while more follows, where a cursor's mark is told on the last page too."""
    total_field: str | None = None
    """Dotted path of the number of rows on all pages, for services that never answer an empty page."""
    row_field: str = "id"
    first: int | None = None
    """Number of the first page or row; None: pages are counted from 1, rows from 0."""


class Returns(Value):
    """What a call answers, in words, and what of it later steps mostly want."""

    what: str
    fields: tuple[str, ...] = ()
    """Dotted paths of the answer, of one row where it is a list; each stands in the recorded source."""


class Operation(Value):
    """One call a service offers; ``path`` is below the base URL of the service, or its own."""

    id: str
    verbs: tuple[str, ...] = ()
    method: Literal["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD"]
    path: str
    base_url: str | None = None
    """Where this call goes, where that is another host than the service's (uploads, reports)."""
    parameters: tuple[Parameter, ...] = ()
    body: Literal["none", "json", "form", "multipart", "raw", "related"] = "none"
    """How the body is written; ``related`` is JSON of the fields, then the content of a file."""
    body_at: str | None = None
    """Where the service wants the body fields wrapped, Asana's ``data`` for one."""
    mime_at: str | None = None
    """Where the body wants a base64url MIME message, built from to, cc, bcc, subject and body (Gmail)."""
    json_header: str | None = None
    """Header that takes the body parameters as one JSON object, where the body is raw or there is none."""
    list_at: str | None = None
    returns: Returns | None = None
    """What a call answers, None where no source says it."""
    pagination: Pagination = Pagination()
    effect: OperationEffect = OperationEffect.UNSAFE
    unkeyed: bool = False
    """True where the service takes idempotency keys, but not for this operation."""
    confirmed: bool = False
    """True where a recorded source describes it and the contract tests call it; the recorder writes it."""
    partly: bool = False
    """True where that source names some of its parameters only, code of a connector for one."""
    rows_unseen: bool = False
    """True where that source does not show that the rows of the answer stand at ``list_at``."""
    sources: tuple[str, ...] = ()


class WebhookSignature(Value):
    """How a service signs what it posts to us."""

    header: str
    prefix: str = ""
    """What stands before each value of the header; values without it belong to another scheme."""
    algorithm: Literal["sha256", "sha1", "sha512", "ed25519", "ecdsa", "token"] = "sha256"
    template: str = "{body}"
    """The signed bytes, of {body}, {timestamp}, {id}, {url}, {method} and {form} (sorted form fields)."""
    encoding: Literal["hex", "base64"] = "hex"
    key: Literal["text", "base64", "hex"] = "text"
    """How the secret becomes the key; ``base64`` is what follows ``whsec_``."""
    signature_key: str | None = None
    """Name of the signatures in a header of pairs, ``v1`` in ``t=…,v1=…``; None: the header is no pairs."""
    timestamp_key: str | None = None
    timestamp_header: str | None = None
    timestamp_unit: Literal["s", "ms", "iso"] = "s"
    delivery_id_header: str | None = None
    delivery_id_at: str | None = None
    """Dotted path of the body where the delivery's id stands, where no header has it."""
    challenge: str | None = None
    """How the service asks whether the address is ours: a name of ``services.challenges``."""
    sources: tuple[str, ...] = ()


class Hook(Value):
    """How an event looks in what the service posts: which bodies announce it and where its thing stands."""

    match: dict[str, tuple[str, ...]] = Field(default_factory=dict)
    """What must hold: ``header:NAME`` or a dotted path (``row.``: of the thing), and its values."""
    row_at: str = "$"
    """Dotted path of the thing, shaped as a poll finds it; a list holds several."""


class ServiceTrigger(Value):
    """An event of a service: announced by webhook, or found by polling ``operation``."""

    event: str
    phrases: tuple[str, ...] = ()
    kind: Literal["webhook", "poll"]
    operation: str | None = None
    cursor_field: str | None = None
    id_field: str | None = None
    version_field: str | None = None
    """Field that changes with the row, where every change is an event; None: a row is told once."""
    parameters: dict[str, Any] = Field(default_factory=dict)
    """What the list is asked with so that the newest rows are on its first pages."""
    whole: bool = False
    """True where the list cannot be asked newest first and tells no times: it is read to its end."""
    without: tuple[str, ...] = ()
    """Dotted paths that make a row another thing than the event tells of (a pull request among issues)."""
    detail: str | None = None
    """Operation that reads a found row in full, where ``operation`` answers little more than ids."""
    fields: dict[str, str] = Field(default_factory=dict)
    """What the event offers by name, each with the dotted path of the row it is read from."""
    hook: Hook | None = None
    """How the same event comes by webhook; a polled event may have both."""


class Announcement(Value):
    """One new thing at a service; ``event_id`` is the same whenever the same thing is announced again."""

    event: str
    event_id: UUID
    resource: str
    payload: JSONDict
    occurred: datetime | None = None


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
    protocol: Literal["http", "any_http", "sql", "mongodb", "smtp"] = "http"
    """What the service speaks; any_http: a call names its own address. Except for http, method and
    path of an operation are those by which its simulated stand-in is called."""
    base_url: str | None = None
    auth: Auth = Auth()
    rate_limit_per_s: float | None = None
    idempotency_header: str | None = None
    idempotency_field: str | None = None
    """Body parameter that takes the idempotency key, of those unsafe operations that have it."""
    success_field: str | None = None
    """Body field that must be true in an answer with status 200 (Slack's ``ok``)."""
    success_value: str | None = None
    """What that field holds in a good answer, where it is no truth value (UptimeRobot's ``ok``)."""
    error_field: str | None = None
    verification: str | None = None
    """Operation that shows that a connection works."""
    verification_parameters: dict[str, Any] = Field(default_factory=dict)
    """What that operation is asked with, where it shows nothing without parameters."""
    operations: tuple[Operation, ...] = ()
    triggers: tuple[ServiceTrigger, ...] = ()
    webhook: WebhookSignature | None = None
    """How the service signs its webhooks; None: as Standard Webhooks do."""
    docs_url: str | None = None
    provenance: tuple[str, ...] = Field(default=(), description="Sources that confirm base URL and auth")
    status: ServiceStatus = ServiceStatus.RECOGNISED

    def operation(self, operation_id: str) -> Operation | None:
        """Return the operation of this id, or None."""
        return next((op for op in self.operations if op.id == operation_id), None)
