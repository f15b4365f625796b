"""An ASGI application that accepts what a recorded source describes, and refuses everything else."""

from __future__ import annotations

import base64
import email
import hmac
import json
import re
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

from recorded_graphql import root_of, wrong_call
from recorded_shapes import fits

Fact = Mapping[str, Any]
Shape = Mapping[str, Any]

SIGNATURE = re.compile(
    r"AWS4-HMAC-SHA256 Credential=(?P<key>[^/]+)/\d{8}/[a-z0-9-]+/[a-z0-9-]+/aws4_request, ?"
    r"SignedHeaders=[a-z0-9;-]*host[a-z0-9;-]*, ?Signature=[0-9a-f]{64}"
)
# OpenAPI leaves these headers to the HTTP client.
HTTP_OWN = frozenset({"accept", "content-type", "authorization"})
FORM = "application/x-www-form-urlencoded"
RENEWED = "renewed-access-token"
MARK = "next-page"


@dataclass(frozen=True)
class Received:
    """One request, taken apart."""

    method: str
    url: str
    path: str
    query: tuple[tuple[str, str], ...]
    headers: Mapping[str, str]
    body: bytes
    raw_query: str = ""
    without: frozenset[str] = frozenset()
    """Names of body fields that are credentials, and so no parameters of an operation."""

    @property
    def fields(self) -> dict[str, Any]:
        """The named fields of a body, whatever it is written as."""
        if "json" not in self.content_type:
            return dict(self.form)
        told = json.loads(self.body)
        return told if isinstance(told, dict) else {}

    @property
    def content_type(self) -> str:
        return self.headers.get("content-type", "").partition(";")[0].strip().lower()

    @property
    def form(self) -> list[tuple[str, str]]:
        """The fields of a form, of either encoding."""
        if not self.content_type.startswith("multipart/"):
            return parse_qsl(self.body.decode(), keep_blank_values=True)
        parts = self._messages()
        return [
            (str(part.get_param("name", header="content-disposition")), part.get_payload()) for part in parts
        ]

    @property
    def parts(self) -> list[bytes]:
        """What the parts of a multipart body hold."""
        return [part.get_payload(decode=True) for part in self._messages()]

    def _messages(self) -> list[Any]:
        head = f"Content-Type: {self.headers['content-type']}\r\n\r\n".encode()
        return list(email.message_from_bytes(head + self.body).get_payload())


@dataclass(frozen=True)
class Answer:
    """What the service answers next, whatever is asked."""

    status: int = 200
    content: Any = None
    headers: Mapping[str, str] = field(default_factory=dict)


class RecordedService:
    """The service as its fixture describes it; ``secrets`` are the credentials it accepts."""

    def __init__(self, fixture: Fact, secrets: Iterable[str]) -> None:
        self.fixture = fixture
        self.secrets = set(secrets)
        self.received: list[Received] = []
        self.renewals: list[dict[str, str]] = []
        self.answers: list[Answer] = []
        self.paged: Callable[[Received], Answer] | None = None
        self.handed_out: set[str] = set()
        """Marks of the next pages' addresses, which are the service's own business."""
        self._routes = [
            (operation["method"], _pattern(self._address(operation)), name)
            for name, operation in fixture["operations"].items()
        ]

    def _address(self, operation: Fact) -> str:
        servers = self.fixture["servers"]
        server = servers[operation.get("server", 0)]["url"] if servers else "https://{host}"
        return str(server).rstrip("/") + str(operation["path"])

    async def __call__(
        self,
        scope: Mapping[str, Any],
        receive: Callable[[], Awaitable[Mapping[str, Any]]],
        send: Callable[[Mapping[str, Any]], Awaitable[None]],
    ) -> None:
        body = bytearray()
        more = True
        while more:
            message = await receive()
            body += message.get("body", b"")
            more = bool(message.get("more_body"))
        request = _received(scope, bytes(body))
        answer = self._answer(request)
        content = b"" if answer.content is None else json.dumps(answer.content).encode()
        headers = {"content-type": "application/json", **answer.headers} if content else dict(answer.headers)
        listed = [(name.encode(), value.encode()) for name, value in headers.items()]
        await send({"type": "http.response.start", "status": answer.status, "headers": listed})
        await send({"type": "http.response.body", "body": content})

    def _answer(self, request: Received) -> Answer:
        if self._is_renewal(request):
            return self._renew(request)
        self.received.append(request)
        found = self.operation_of(request)
        if found is None:
            return Answer(404, {"refused": [f"no operation is {request.method} {request.url}"]})
        name, slots = found
        if not self._proved(request, slots):
            return Answer(401, {"refused": ["no credential where the source wants one"]})
        operation = self.fixture["operations"][name]
        asked = replace(request, without=frozenset(self._credential_names(operation)))
        refusals = [*self._wrong_parameters(operation, asked), *_wrong_body(operation, asked)]
        if "graphql" in operation and not refusals:
            refusals += wrong_call(operation["graphql"], request.body)
        if refusals:
            return Answer(400, {"refused": refusals})
        if self.answers:
            return self.answers.pop(0)
        return self.paged(request) if self.paged else good_answer(operation)

    def operation_of(self, request: Received) -> tuple[str, Mapping[str, str]] | None:
        """Return the operation a request is of, the most literal address first, with what fills its slots."""
        root = root_of(request.body) if "json" in request.content_type else None
        found = []
        for method, pattern, name in self._routes:
            if method == request.method and (match := pattern.fullmatch(request.url)):
                operation = self.fixture["operations"][name]
                if operation.get("graphql", {}).get("field") not in (None, root):
                    continue
                fixed = _fixed(operation)
                told = {n.lower(): v for n, v in (*request.headers.items(), *request.query)}
                if operation["body"].get("content") == [FORM]:
                    told |= {n.lower(): v for n, v in request.form}
                fitting = sum(told.get(name.lower()) == value for name, value in fixed)
                misfits = len(fixed) - fitting
                if "graphql" in operation:  # several calls may ask for one field, each for other parts of it
                    misfits += len(list(wrong_call(operation["graphql"], request.body)))
                named = "graphql" in operation  # rather the call of this field than one that takes any text
                found.append((named, -misfits, fitting, -len(match.groups()), name, match.groupdict()))
        if not found:
            return None
        best = max(found, key=lambda one: one[:4])
        return best[4], best[5]

    def _is_renewal(self, request: Received) -> bool:
        places = [
            url for one in self.fixture["auth"] for url in (one.get("token_url"), one.get("refresh_url"))
        ]
        return request.method == "POST" and any(
            url and _pattern(url.partition("?")[0]).fullmatch(request.url) for url in places
        )

    def _renew(self, request: Received) -> Answer:
        form = dict(request.form)
        self.renewals.append(form)
        if not self._granted(form):
            return Answer(400, {"error": "invalid_grant"})
        self.secrets.add(RENEWED)
        at = next((one["token_at"] for one in self.fixture["auth"] if "token_at" in one), "access_token")
        *outer, name = at.split(".")
        answer: Any = {name: RENEWED, "expires_in": 3600, "token_type": "Bearer"}
        for step in reversed(outer):
            answer = {step: answer}
        return Answer(200, answer)

    def _granted(self, form: Mapping[str, str]) -> bool:
        """Tell whether a token is given: for the refresh token, or to a machine where a source names that."""
        if form.get("grant_type") == "refresh_token":
            return form.get("refresh_token") in self.secrets
        named = any("client_credentials" in one.get("grants", ()) for one in self.fixture["auth"])
        pair = {form.get("client_id"), form.get("client_secret")}
        return form.get("grant_type") == "client_credentials" and named and pair <= self.secrets

    def _proved(self, request: Received, slots: Mapping[str, str]) -> bool:
        auth = self.fixture["auth"]
        if not auth:
            return True  # such a service is not operable; its operations are compared all the same
        proofs = [self._proof(one, request, slots) for one in auth]
        return any(
            proved and all(proofs[other] for other in one.get("with", ()))
            for one, proved in zip(auth, proofs, strict=True)
        )

    def _proof(self, auth: Fact, request: Received, slots: Mapping[str, str]) -> bool:
        kind, told = auth["type"], request.headers.get("authorization", "")
        if kind == "oauth2" or (kind == "http" and auth["scheme"] == "bearer"):
            return told.startswith("Bearer ") and told.removeprefix("Bearer ") in self.secrets
        if kind == "http":
            basic = auth["scheme"] == "basic" and told.startswith("Basic ")
            return basic and self._known_pair(auth, told.removeprefix("Basic "))
        if kind == "apiKey":
            return self._key(auth, request, slots) in self.secrets
        if kind == "hmac":
            return self._hashed(auth, request)
        return kind == "none" or self._signed(kind, told, request)

    def _hashed(self, auth: Fact, request: Received) -> bool:
        """Tell whether the query ends with its digest under one of the secrets, as the source has it."""
        mark = f"&{auth['parameter']}="
        query, _, made = request.raw_query.rpartition(mark)
        content = query.encode() + request.body
        digests = {hmac.new(one.encode(), content, auth["algorithm"]).hexdigest() for one in self.secrets}
        timed = auth["timestamp"] in dict(request.query)
        return timed and made in digests and request.headers.get(auth["name"].lower()) in self.secrets

    def _signed(self, kind: str, told: str, request: Received) -> bool:
        if kind == "sigv4":
            match = SIGNATURE.fullmatch(told)
            return match is not None and match["key"] in self.secrets and "x-amz-date" in request.headers
        parts = dict(re.findall(r'(oauth_\w+)="([^"]*)"', told))
        wanted = {"oauth_signature", "oauth_nonce", "oauth_timestamp", "oauth_signature_method"}
        return unquote(parts.get("oauth_consumer_key", "")) in self.secrets and wanted <= set(parts)

    def _known_pair(self, auth: Fact, encoded: str) -> bool:
        name, _, password = base64.b64decode(encoded).decode().partition(":")
        halves = {"username": name, "password": password}
        return all(auth[n] == v if n in auth else v in self.secrets for n, v in halves.items())

    @staticmethod
    def _key(auth: Fact, request: Received, slots: Mapping[str, str]) -> str | None:
        name, prefix = auth["name"], auth.get("prefix")
        if auth["in"] == "query":
            return dict(request.query).get(name)
        if auth["in"] == "path":
            return slots.get(_group(name))
        if auth["in"] == "body":
            return request.fields.get(name)
        value = request.headers.get(name.lower())
        if value is None:
            return None
        if prefix is None:
            return value.rpartition(" ")[2]  # the source names the header, not what precedes the key
        return value.removeprefix(prefix) if value.startswith(prefix) else None

    def _credential_names(self, operation: Fact) -> set[str]:
        marked = {one["name"].lower() for one in operation["parameters"] if one.get("credential")}
        return marked | {one["name"].lower() for one in self.fixture["auth"] if one["type"] == "apiKey"}

    def _wrong_parameters(self, operation: Fact, request: Received) -> Iterable[str]:
        if any(name == MARK and value in self.handed_out for name, value in request.query):
            return
        ours = self._credential_names(operation)
        told = [one for one in operation["parameters"] if one["name"].lower() not in ours]
        for where, given in (("query", list(request.query)), ("header", list(request.headers.items()))):
            expected = {_plain(one["name"], where): one for one in told if one["in"] == where}
            for name, fact in expected.items():
                if where == "header" and name in HTTP_OWN:
                    continue
                values = _values(name, fact, given)
                if fact["required"] and not values:
                    yield f"{where} parameter {fact['name']} is missing"
                yield from _wrong_texts(f"{where} parameter {fact['name']}", fact, values)
            if where == "query" and not operation.get("open"):
                for name in dict.fromkeys(name for name, _ in given):
                    if name.lower() not in ours and not any(
                        _names(name, n, one) for n, one in expected.items()
                    ):
                        yield f"query parameter {name} is unknown"


def _fixed(operation: Fact) -> list[tuple[str, str]]:
    """Return what every call of an operation says, by which calls of one address are told apart."""
    told = [(one["name"], one["fixed"]) for one in operation["parameters"] if one.get("fixed") is not None]
    if operation["body"].get("content") == [FORM]:
        fields = operation["body"].get("properties", {}).items()
        told += [(name, shape["value"]) for name, shape in fields if "value" in shape]
    return [(name, str(value)) for name, value in told]


def _names(given: str, name: str, fact: Fact) -> bool:
    """Tell whether a name that was sent is this parameter's (``filter[name]`` is one of ``filter``)."""
    if fact["type"] == "object" and fact.get("style") == "repeat":
        return True  # each of its keys is a name of its own
    bracketed = fact.get("style") in ("deepObject", "brackets") and given.startswith(f"{name}[")
    return given == name or bracketed


def _plain(name: str, where: str) -> str:
    return name.lower() if where == "header" else name


def _values(name: str, fact: Fact, given: list[tuple[str, str]]) -> list[str]:
    if fact["type"] == "object" and fact.get("style") == "repeat":
        return []
    if fact.get("style") == "deepObject" and fact["type"] == "object":
        return [json.dumps({n: v}) for n, v in given if re.match(re.escape(name) + r"\[", n)]
    if fact.get("style") in ("deepObject", "brackets"):
        return [v for n, v in given if re.match(re.escape(name) + r"\[\d*\]", n)]
    return [value for n, value in given if n == name]


def _wrong_texts(where: str, fact: Fact, values: list[str]) -> Iterable[str]:
    kind, style = fact["type"], fact.get("style")
    if len(values) > 1 and style not in ("repeat", "deepObject", "brackets", "either"):
        yield f"{where} is given {len(values)} times"
    for value in values:
        if fact.get("fixed") is not None and value != _as_text(fact["fixed"]):
            yield f"{where} must be {fact['fixed']}"
        if kind == "array" and style in ("repeat", "csv", "brackets", "deepObject") and value[:1] == "[":
            yield f"{where} is a list in the style {style}, not JSON"
        if not _reads_as(kind, value):
            yield f"{where} is no {kind}: {value}"


def _as_text(value: Any) -> str:
    return json.dumps(value) if isinstance(value, bool) else str(value)


def _reads_as(kind: str, text: str) -> bool:
    if kind == "integer":
        return bool(re.fullmatch(r"-?\d+", text))
    if kind == "number":
        return bool(re.fullmatch(r"-?\d+(\.\d+)?", text))
    if kind == "boolean":
        return text in ("true", "false")
    if kind == "object":
        return text[:1] == "{"
    return True


def _wrong_body(operation: Fact, request: Received) -> Iterable[str]:
    body = operation["body"]
    if body["root"] == "none":
        if request.body and not operation.get("open"):
            yield f"a body that no source knows: {request.body[:80]!r}"
        return
    if not request.body:
        if body.get("required") or body.get("needed"):
            yield "the body is missing"
        return
    if not any(_same_kind(request.content_type, kind) for kind in body["content"]):
        yield f"the body is {request.content_type}, not {' or '.join(body['content'])}"
        return
    yield from _wrong_content(body, request)


def _wrong_content(body: Fact, request: Received) -> Iterable[str]:
    shape = {**body, "type": body["root"]}
    if "json" in request.content_type:
        try:
            value = json.loads(request.body)
        except ValueError:
            yield "the body is no JSON"
        else:
            yield from wrong_value("body", _parameters(value, request), shape)
    elif request.content_type == "multipart/related":
        told, *contents = request.parts
        if len(contents) != 1:
            yield f"the body has {len(contents)} files beside its fields, not one"
        yield from wrong_value("body", json.loads(told), shape)
    elif "form" in request.content_type:
        form = [pair for pair in request.form if pair[0].lower() not in request.without]
        yield from _wrong_form(body, form)


def _parameters(value: Any, request: Received) -> Any:
    """Return what of a JSON body is no credential."""
    if not isinstance(value, dict):
        return value
    return {name: inner for name, inner in value.items() if name.lower() not in request.without}


def _same_kind(sent: str, wanted: str) -> bool:
    kind = wanted.partition(";")[0].strip().lower()
    return kind in (sent, "*/*") or (kind.endswith("/*") and sent.startswith(kind[:-1]))


def _wrong_form(body: Fact, given: list[tuple[str, str]]) -> Iterable[str]:
    known: set[str] = set()
    properties = body.get("properties", {})
    for name, shape in properties.items():
        style = body.get("styles", {}).get(name)
        fact = {"type": shape["type"], "style": style or ("repeat" if shape["type"] == "array" else None)}
        values = _values(name, fact, given)
        known |= {n for n, _ in given if _names(n, name, fact)}
        if name in body.get("required", ()) and not values:
            yield f"form field {name} is missing"
        if "value" in shape and values not in ([], [shape["value"]]):
            yield f"form field {name} must be {shape['value']}"
        loose = (
            {**fact, "style": "either"} if style is None and shape["type"] in ("array", "object") else fact
        )
        yield from _wrong_texts(f"form field {name}", loose, values)
    if not body.get("open") and properties:
        for name in dict.fromkeys(n for n, _ in given):
            if name not in known:
                yield f"form field {name} is unknown"


def wrong_value(where: str, value: Any, shape: Shape) -> Iterable[str]:
    """Yield what of a JSON value a shape does not allow."""
    kind = shape["type"]
    if not fits(value, kind):
        yield f"{where} is {type(value).__name__}, not {kind}"
    elif kind == "object":
        properties = shape.get("properties", {})
        for name in shape.get("required", ()):
            if name not in value:
                yield f"{where}.{name} is missing"
        for name, inner in value.items():
            if name in properties:
                yield from wrong_value(f"{where}.{name}", inner, properties[name])
            elif properties and not shape.get("open"):
                yield f"{where}.{name} is unknown"
    elif kind == "array" and "items" in shape:
        for place, inner in enumerate(value):
            yield from wrong_value(f"{where}[{place}]", inner, shape["items"])


def good_answer(operation: Fact) -> Answer:
    """Return an answer of the shape the source tells, for the first good status it names."""
    for status, told in sorted(operation["responses"].items()):
        code = int(status) if status.isdigit() else 200
        kind = told["shape"]["type"]
        return Answer(code, {} if kind == "any" else None if kind == "none" else sample(told["shape"]))
    return Answer(200, {})


def sample(shape: Shape) -> Any:
    """Return a value of a shape, with one entry in every list."""
    kind = shape["type"]
    if "value" in shape:
        return shape["value"]
    if kind == "object":
        return {name: sample(inner) for name, inner in shape.get("properties", {}).items()}
    if kind == "array":
        return [sample(shape.get("items", {"type": "any"}))]
    return {"string": "text", "integer": 7, "number": 1.5, "boolean": True}.get(kind, "text")


def _group(name: str) -> str:
    return "slot_" + re.sub(r"\W", "_", name)


def _pattern(template: str) -> re.Pattern[str]:
    """Return what an address with slots matches: a slot is one part of a path or a piece of one."""
    seen: set[str] = set()
    parts = []
    for text, slot in re.findall(r"([^{]+)|\{([^}]*)\}", template):
        name = _group(slot.lstrip("+"))
        inside = ".+" if slot.startswith("+") else "[^/]+"
        parts.append(re.escape(text) if text else f"({inside})" if name in seen else f"(?P<{name}>{inside})")
        seen |= set() if text else {name}
    return re.compile("".join(parts))


def _received(scope: Mapping[str, Any], body: bytes) -> Received:
    headers = {name.decode().lower(): value.decode() for name, value in scope["headers"]}
    raw = scope["raw_path"].partition(b"?")[0].decode()
    url = f"{scope['scheme']}://{headers['host']}{raw}"
    query = tuple(parse_qsl(scope["query_string"].decode(), keep_blank_values=True))
    raw_query = scope["query_string"].decode()
    return Received(scope["method"], url, urlsplit(url).path, query, headers, body, raw_query)
