"""Make a service of an OpenAPI 3.0, 3.1 or Swagger 2 document; what does not come through has a reason."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal, cast

from prefect_autopilot.errors import UsageError
from prefect_autopilot.models import (
    Auth,
    Operation,
    OperationEffect,
    Pagination,
    Service,
    ServiceStatus,
    Value,
)
from prefect_autopilot.services.openapi_access import Need, SignIns, base_url, same_address, server_of
from prefect_autopilot.services.openapi_answers import answer_shape, read_pagination, read_returns, read_rows
from prefect_autopilot.services.openapi_names import (
    changes_something,
    operation_name,
    phrases,
    plain_text,
    service_name,
    unique,
)
from prefect_autopilot.services.openapi_parameters import Taken, read_parameters
from prefect_autopilot.services.openapi_schema import (
    NotImportableError,
    Schemas,
    listed,
    mapping,
    text,
    words,
)

Method = Literal["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD"]

MOST_FIELDS = 3_000_000
"""Parameters of one document together; what comes after that is left out with this reason."""

_METHODS = ("get", "post", "put", "patch", "delete", "head")
_NOT_CALLED = ("options", "trace", "query")
_ID = re.compile(r"[a-z][a-z0-9_]{0,59}")
_PATH = re.compile(r"[^\s\\\x00-\x1f]*")
_SHORT_TEXT = 80


class LeftOut(Value):
    """An operation of a document that did not come through, and why."""

    method: str
    path: str
    operation_id: str = ""
    reason: str


class ImportReport(Value):
    """The service a document describes, what did not come through, and what to know about it."""

    service: Service
    left_out: tuple[LeftOut, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def reasons(self) -> dict[str, int]:
        """How many operations were left out for each reason, the most frequent first."""
        return dict(Counter(one.reason for one in self.left_out).most_common())


@dataclass
class _Found:
    """An operation of the document before it is read."""

    method: str
    path: str
    item: Mapping[str, Any]
    told: Mapping[str, Any]
    reason: str | None = None
    needs: tuple[Need, ...] = ()

    @property
    def server(self) -> str:
        """Address the operation or its path names for itself."""
        return server_of(self.told) or server_of(self.item)

    def left_out(self, reason: str) -> LeftOut:
        name = text(self.told.get("operationId"))[:_SHORT_TEXT]
        return LeftOut(method=self.method, path=self.path[:200], operation_id=name, reason=reason)


def import_document(
    document: Mapping[str, Any],
    *,
    service_id: str,
    name: str | None = None,
    source: str | None = None,
    auth: Auth | None = None,
) -> ImportReport:
    """Return the service that an OpenAPI document describes; ``source`` is the URL it was read from.

    ``auth`` is the sign-in to use where the document declares none, or another one than it says.

    Deprecated operations and those that cannot be called are left out with the reason. References out
    of the document are never followed. Raises UsageError for what is no OpenAPI document.
    """
    if not _ID.fullmatch(service_id):
        raise UsageError(
            f"{service_id[:60]!r} is no id of a service; use small letters, digits and underscores."
        )
    version = _version(document)
    schemas = Schemas(document)
    found = list(_operations(document, schemas))
    address = base_url(document, source, (one.server for one in found))
    sign_ins = SignIns(document, schemas, address)
    for one in found:
        one.needs = sign_ins.needs(one.told)
    told_auth = auth
    auth = auth or sign_ins.choose(one.needs for one in found if one.reason is None)
    if told_auth is None and not sign_ins.declared and any(_asks_for_token(one, schemas) for one in found):
        auth = Auth(scheme="bearer", prefix="Bearer ")
    if told_auth is not None:
        for one in found:
            one.needs = ()
    reader = _Reader(document, schemas, sign_ins, auth, address)
    left_out = [refused for one in found if (refused := reader.read(one)) is not None]
    if not found:
        raise UsageError("The document describes no operations; there is nothing to import.")
    title = text(mapping(document.get("info")).get("title"))
    told = name or service_name(title) or service_id.replace("_", " ").title()
    service = Service(
        id=service_id,
        name=told[:_SHORT_TEXT],
        aliases=_aliases(service_id, told),
        base_url=address,
        auth=auth,
        idempotency_header=reader.idempotency_header(),
        verification=_verification(reader.operations),
        operations=reader.whole(),
        docs_url=_docs(document),
        provenance=(f"{version}: {plain_text(title) or 'untitled'}",),
        status=ServiceStatus.DECLARED,
    )
    return ImportReport(service=service, left_out=tuple(left_out), notes=_notes(service, sign_ins))


def _version(document: Mapping[str, Any]) -> str:
    if not isinstance(document, Mapping):
        raise UsageError("This is no OpenAPI document: it is no object.")
    told = document.get("openapi", document.get("swagger"))
    version = str(told) if isinstance(told, (str, int, float)) else ""
    if not re.match(r"3\.[0-9]|2(?:\.0)?$", version):
        known = "OpenAPI 3.0, 3.1 and Swagger 2 are read"
        if not version:
            raise UsageError(f"This is no OpenAPI document: it names no version; {known}.")
        raise UsageError(f"The document is of version {version[:20]!r}; {known}.")
    if not isinstance(document.get("paths"), Mapping):
        raise UsageError("The document describes no paths; there is nothing to import.")
    return f"Swagger {version}" if "swagger" in document else f"OpenAPI {version}"


def _operations(document: Mapping[str, Any], schemas: Schemas) -> Iterator[_Found]:
    for path, value in mapping(document.get("paths")).items():
        if not isinstance(path, str) or path.startswith("x-"):
            continue
        try:
            item = schemas.resolve(value)
        except NotImportableError as error:
            yield _Found("", path, {}, {}, error.message)
            continue
        for method in (*_METHODS, *_NOT_CALLED):
            if not isinstance(item.get(method), Mapping):
                continue
            reason = None if method in _METHODS else f"the method {method.upper()} is not called"
            try:  # no document may refer to an operation, but some do
                told = schemas.resolve(item[method])
            except NotImportableError as error:
                told, reason = {}, error.message
            yield _Found(method.upper(), path, item, told, reason)


def _asks_for_token(found: _Found, schemas: Schemas) -> bool:
    for value in (*listed(found.item.get("parameters")), *listed(found.told.get("parameters"))):
        try:
            parameter = schemas.resolve(value)
        except NotImportableError:  # told where the operation itself is read
            continue
        if parameter.get("in") == "header" and text(parameter.get("name")).lower() == "authorization":
            return True
    return False


class _Reader:
    """Reads one operation after the other into ``operations``."""

    def __init__(
        self,
        document: Mapping[str, Any],
        schemas: Schemas,
        sign_ins: SignIns,
        auth: Auth,
        address: str | None,
    ) -> None:
        self._consumes = document.get("consumes")
        self._servers = [one for one in (server_of(document), address) if one]
        self._schemas, self._sign_ins, self._auth = schemas, sign_ins, auth
        self._headers: Counter[str] = Counter()
        self._keyed: set[str] = set()
        self._left = MOST_FIELDS
        self.operations: dict[str, Operation] = {}

    def idempotency_header(self) -> str | None:
        """Return the header most operations know for it, None where none does."""
        return self._headers.most_common(1)[0][0] if self._headers else None

    def whole(self) -> tuple[Operation, ...]:
        """Return the operations, those marked that know no key where others of the document do."""
        if not self._keyed:
            return tuple(self.operations.values())
        return tuple(
            one if one.id in self._keyed else one.model_copy(update={"unkeyed": True})
            for one in self.operations.values()
        )

    def read(self, found: _Found) -> LeftOut | None:
        """Read an operation; return it with the reason where it does not come through."""
        try:
            self._check(found)
            told = found.told
            consumes = told.get("consumes", self._consumes)
            auth = self._auth if found.needs else None
            taken = read_parameters(
                self._schemas, found.item, told, _plain(found.path), consumes=consumes, auth=auth
            )
        except NotImportableError as reason:
            return found.left_out(reason.message)
        self._left -= len(taken.parameters)
        if self._left < 0:
            return found.left_out("the document has too many parameters")
        if taken.idempotency_header:
            self._headers[taken.idempotency_header] += 1
        operation = self._operation(found, taken)
        if taken.idempotency_header:
            self._keyed.add(operation.id)
        self.operations[operation.id] = operation
        return None

    def _check(self, found: _Found) -> None:
        if found.reason is not None:
            raise NotImportableError(found.reason)
        if found.told.get("deprecated") is True:
            raise NotImportableError("deprecated")
        steps = _plain(found.path).split("/")
        if not _PATH.fullmatch(_plain(found.path)) or "." in steps or ".." in steps:
            raise NotImportableError("its path cannot be part of an address")
        if found.server and not any(same_address(found.server, one) for one in self._servers):
            raise NotImportableError("is served at another address than the rest")
        self._sign_ins.check(found.needs, self._auth)

    def _operation(self, found: _Found, taken: Taken) -> Operation:
        method = cast("Method", found.method)
        path = _plain(found.path)
        summary = text(found.told.get("summary")) or text(found.told.get("description"))[:400]
        name = operation_name(text(found.told.get("operationId")), summary, method, path)
        effect = _effect(method, name)
        parameters = tuple(taken.parameters.values())
        rows, paging = None, Pagination()
        answer = answer_shape(self._schemas, found.told)
        if effect is OperationEffect.SAFE and method == "GET":
            rows = read_rows(self._schemas, answer, path)
            paging = read_pagination(self._schemas, found.told, answer, parameters, rows) if rows else paging
        drops_body = method in ("GET", "HEAD", "DELETE") and not any(
            one.required for one in parameters if one.location == "body"
        )
        return Operation(
            id=unique(name, method, self.operations),
            verbs=phrases(name, summary),
            method=method,
            path=path,
            parameters=tuple(p for p in parameters if p.location != "body") if drops_body else parameters,
            body="none" if drops_body else taken.body,
            body_at=None if drops_body else taken.body_at,
            list_at=rows,
            returns=read_returns(self._schemas, found.told, answer, name, rows),
            pagination=paging,
            effect=effect,
            sources=(f"{method} {found.path}",),
        )


def _plain(path: str) -> str:
    """Return the path as it is sent: a fragment only tells two operations of one path apart."""
    told = path.partition("#")[0]
    return told if told.startswith("/") else f"/{told}"


def _effect(method: str, name: str) -> OperationEffect:
    if method in ("GET", "HEAD"):
        return OperationEffect.UNSAFE if changes_something(name) else OperationEffect.SAFE
    return OperationEffect.IDEMPOTENT if method in ("PUT", "DELETE") else OperationEffect.UNSAFE


def _verification(operations: Mapping[str, Operation]) -> str | None:
    """Return a harmless call that needs nothing but the connection, the likelier to say who asks first."""
    able = [
        one
        for one in operations.values()
        if one.method == "GET" and one.effect is OperationEffect.SAFE
        and not any(p.required and p.default is None for p in one.parameters)
    ]  # fmt: skip
    if not able:
        return None
    return min(able, key=lambda one: (not set(one.id.split("_")) & words("checks"), len(one.id), one.id)).id


def _aliases(service_id: str, name: str) -> tuple[str, ...]:
    spoken = service_id.replace("_", " ")
    return (spoken,) if spoken.casefold() != name.casefold() and spoken != service_id else ()


def _docs(document: Mapping[str, Any]) -> str | None:
    told = text(mapping(document.get("externalDocs")).get("url"))
    return told[:300] if told.startswith(("https://", "http://")) else None


def _notes(service: Service, sign_ins: SignIns) -> tuple[str, ...]:
    notes = []
    if service.base_url is None:
        notes.append("The document names no address; connect the service with --base-url.")
    elif service.base_url.startswith("http://"):
        notes.append("The document names an address without encryption (http).")
    if service.auth.scheme == "none":
        notes.append("The document declares no sign-in that could be used; requests are sent without one.")
    elif not sign_ins.declared:
        notes.append("The sign-in is read from an Authorization header among the parameters.")
    return tuple(notes)
