"""One call of the REST API as the typed client makes it: its request, and how its answer is read."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any, Generic, NoReturn, TypeVar, get_args

import httpx
from pydantic import BaseModel, TypeAdapter, ValidationError

from prefect_autopilot.errors import (
    AutopilotError,
    ConfigurationError,
    ConflictError,
    PrefectError,
    StoreError,
    UnknownNameError,
    UsageError,
)
from prefect_autopilot.models import JSONDict

T = TypeVar("T")


class APIError(AutopilotError):
    """The API refused a call for a reason of access or transport; ``status`` is its HTTP status, if any."""

    def __init__(self, message: str, *, permanent: bool, status: int | None = None) -> None:
        super().__init__(message, permanent=permanent)
        self.status = status


@dataclass(frozen=True)
class Call(Generic[T]):
    """One request, and what its answer is read as; ``part`` is the field of the answer that is wanted."""

    method: str
    path: str
    kind: Any
    body: Mapping[str, Any] | None = None
    query: Mapping[str, Any] = field(default_factory=dict)
    part: str | None = None
    timeout_s: float | None = None
    """Seconds that the answer may take, where it may take longer than others."""

    def request(self) -> dict[str, Any]:
        """Return the arguments of httpx; the key stays the same however often it is sent."""
        headers = {"Idempotency-Key": str(uuid.uuid4())} if self.method == "POST" else {}
        wanted = {name: value for name, value in self.query.items() if value is not None}
        return {
            "method": self.method,
            "url": self.path,
            "json": self.body,
            "params": wanted,
            "headers": headers,
            **({"timeout": self.timeout_s} if self.timeout_s is not None else {}),
        }

    def read(self, answer: httpx.Response) -> T:
        """Return the answer as its model; raises the error that the problem details tell."""
        if not answer.is_success:
            fail(answer)
        try:
            told = answer.json()
            found: T = TypeAdapter(self.kind).validate_python(
                _known(self.kind, told[self.part] if self.part else told)
            )
        except (ValueError, KeyError, TypeError, ValidationError) as error:
            raise APIError(
                f"The answer at {self.path} cannot be read; check that prefect-autopilot answers there.",
                permanent=True,
                status=answer.status_code,
            ) from error
        return found


def _known(kind: Any, told: Any) -> Any:
    """Return an answer without fields that this version of the client does not know."""
    if isinstance(told, list) and get_args(kind):
        return [_known(get_args(kind)[0], one) for one in told]
    if isinstance(told, dict) and isinstance(kind, type) and issubclass(kind, BaseModel):
        return {name: value for name, value in told.items() if name in kind.model_fields}
    return told


_ERRORS: dict[str, type[AutopilotError]] = {
    "usage": UsageError,
    "invalid-request": UsageError,
    "invalid-flow": UsageError,
    "idempotency": UsageError,
    "conflict": ConflictError,
    "proof": ConflictError,
    "configuration": ConfigurationError,
    "store": StoreError,
}


def fail(answer: httpx.Response) -> NoReturn:
    """Raise what the problem details of an answer tell."""
    try:
        told: JSONDict = answer.json()
        detail, kind = str(told["detail"]), str(told.get("type", "")).rpartition(":")[2]
    except (ValueError, KeyError, TypeError):
        detail, kind = f"The API answered {answer.status_code} without a reason; look at its log.", ""
    status = answer.status_code
    permanent = "retry-after" not in answer.headers and status != HTTPStatus.REQUEST_TIMEOUT
    if kind == "unknown-name":
        unknown = UnknownNameError("object", answer.request.url.path)
        unknown.message, unknown.args = detail, (detail,)
        raise unknown
    if kind == "prefect":
        raise PrefectError(detail, permanent=permanent, status=status)
    if kind in _ERRORS:
        raise _ERRORS[kind](detail, permanent=permanent)
    raise APIError(detail, permanent=permanent, status=status)
