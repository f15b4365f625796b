"""From an HTTP answer of a service to a value, or to a ServiceError that says what diagnosis needs."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from types import TracebackType
from typing import Any, Self

import httpx

from prefect_autopilot.adapters.decoding import TooLargeError, read_within
from prefect_autopilot.adapters.rates import believable, reset_after
from prefect_autopilot.adapters.xml_answers import from_xml
from prefect_autopilot.errors import ServiceError
from prefect_autopilot.models import Operation, Parameter, Service
from prefect_autopilot.redaction import redact
from prefect_autopilot.services import pick

BODY_HEAD = 300
"""Characters of an answer that an error quotes."""

LARGEST_ANSWER = 25 * 1024 * 1024
"""Bytes of an answer that are read; more is an error, not a memory problem."""

_READ_AT_ONCE = 2**20
_TRANSIENT = frozenset({408, 425, 429, 500, 502, 503, 504, 509, 520, 521, 522, 523, 524, 529})
_TRANSIENT_CODES = frozenset(
    {
        "fatal_error",
        "internal_error",
        "internal_server_error",
        "rate_limited",
        "ratelimited",
        "request_timeout",
        "service_unavailable",
        "throttled",
    }
)
_EXPIRED_CODES = frozenset(
    {"token_expired", "unauthenticated", "authentication_error", "invalid_token", "expired_token"}
)
_REQUEST_ID = (
    "x-request-id",
    "request-id",
    "x-slack-req-id",
    "x-github-request-id",
    "x-amzn-requestid",
    "cf-ray",
)
_REASON: Mapping[int, str] = {
    400: "{name} refused the request as malformed; check the parameters",
    401: "{name} did not accept the credentials; reconnect or refresh them",
    403: "{name} does not allow this with these credentials; grant the permission",
    404: "{name} has nothing at this address; check the ids in the call",
    409: "{name} reports a conflict with what is there already",
    422: "{name} refused the values of the request; check the parameters",
    429: "{name} limits the rate of calls; wait before calling again",
}


class CallByCall:
    """A client that holds nothing between its calls: each has a connection, session or loop of its own."""

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close nothing."""


@dataclass(frozen=True)
class CallFacts:
    """What is known of a call before its answer; every error of the call carries it."""

    service: Service
    operation: str
    effect: str
    connection: str | None = None
    secrets: Iterable[str] = field(default=(), repr=False)
    keyed: bool = False

    def error(self, reason: str, *, permanent: bool, **told: Any) -> ServiceError:
        """Return the error of this call with redacted texts."""
        body = told.pop("body", "")
        head = redact(body[: 4 * BODY_HEAD], self.secrets)[:BODY_HEAD]
        return ServiceError(
            redact(reason, self.secrets),
            service=self.service.id,
            operation=self.operation,
            effect=self.effect,
            permanent=permanent,
            connection=self.connection,
            body_head=head,
            keyed=self.keyed,
            **told,
        )


def retry_after(headers: Mapping[str, str], now: datetime) -> float | None:
    """Return the seconds to wait as Retry-After (seconds or date) or X-RateLimit-Reset tell, else None.

    A wait of more than a year is not believed.
    """
    told = headers.get("retry-after", "").strip()
    if not told:
        return reset_after(headers, now)
    try:
        return believable(float(told))
    except ValueError:
        return _seconds_to_date(told, now)


def _seconds_to_date(told: str, now: datetime) -> float | None:
    try:
        moment = parsedate_to_datetime(told)
    except ValueError:
        return None
    aware = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return believable((aware - now).total_seconds())


def is_expired(error: ServiceError) -> bool:
    """Tell whether a call was refused for its access token, so that it was not done."""
    good = error.status == httpx.codes.OK
    return error.status == httpx.codes.UNAUTHORIZED or (good and (error.code or "") in _EXPIRED_CODES)


async def read_body(response: httpx.Response, facts: CallFacts) -> None:
    """Read what was answered; raises ServiceError for more than ``LARGEST_ANSWER``."""
    try:
        told = response.headers.get("content-length", "")
        if told.isdigit() and int(told) <= _READ_AT_ONCE and "content-encoding" not in response.headers:
            await response.aread()
            return
        content = await read_within(response, LARGEST_ANSWER)
        response._content = content  # noqa: SLF001  what aread() does, with a limit
    except TooLargeError:
        reason = f"{facts.service.name} answered with more than {LARGEST_ANSWER // 2**20} MB"
        raise facts.error(reason, permanent=True, status=response.status_code) from None
    finally:
        await response.aclose()


def read_answer(
    response: httpx.Response, operation: Operation | None, facts: CallFacts, clock: Callable[[], datetime]
) -> Any:
    """Return the JSON value or text of a good answer; raises ServiceError for any other.

    ``clock`` is read only where an answer tells a moment to wait for.
    """
    if response.is_success and response.headers.get("content-type", "").startswith("application/json"):
        with suppress(ValueError, RecursionError):  # no JSON after all: read again below, as text
            value = json.loads(response.content)
            _check_success(value, operation, facts, response)
            return value
    text = response.text if "octet-stream" not in response.headers.get("content-type", "") else ""
    if response.is_error:
        raise _refused(response, facts, _told(response, text), clock())
    if response.is_redirect:
        reason = f"{facts.service.name} redirects the call elsewhere; correct the base URL of the connection"
        raise facts.error(reason, permanent=True, **_told(response, text))
    value = _value(response, text, facts)
    if (
        operation is not None
        and operation.list_at
        and isinstance(value, str)
        and value.lstrip("\ufeff")[:1] == "<"
    ):
        value = from_xml(value, operation.list_at)
    _check_success(value, operation, facts, response)
    return value


def _told(response: httpx.Response, text: str) -> dict[str, Any]:
    headers = response.headers
    return {
        "status": response.status_code,
        "content_type": headers.get("content-type", "").partition(";")[0] or None,
        "request_id": next((headers[name][:80] for name in _REQUEST_ID if name in headers), None),
        "body": text,
    }


def _refused(response: httpx.Response, facts: CallFacts, told: dict[str, Any], now: datetime) -> ServiceError:
    status, headers = response.status_code, response.headers
    limited = status == httpx.codes.FORBIDDEN and (
        "retry-after" in headers or headers.get("x-ratelimit-remaining") == "0"
    )
    wait = retry_after(headers, now) if status in _TRANSIENT or limited else None
    known = _REASON.get(429 if limited else status)
    server = "{name} failed on its side; the same call may succeed later" if status in _TRANSIENT else None
    reason = (known or server or "{name} answered with status {status}").format(
        name=facts.service.name, status=status
    )
    permanent = status not in _TRANSIENT and not limited
    return facts.error(reason, permanent=permanent, retry_after_s=wait, **told)


def _value(response: httpx.Response, text: str, facts: CallFacts) -> Any:
    if not text.strip():
        return None
    kind = response.headers.get("content-type", "")
    if "json" not in kind and text.lstrip()[:1] not in ("{", "["):
        if "html" in kind and not facts.service.generic:
            reason = (
                f"{facts.service.name} answered with a web page instead of data; the address may be wrong"
            )
            raise facts.error(reason, permanent=False, **_told(response, text))
        return text
    try:
        return json.loads(text.removeprefix("\ufeff"))
    except (ValueError, RecursionError):
        if "json" not in kind:
            return text
        reason = f"{facts.service.name} said its answer was JSON, but it cannot be read"
        raise facts.error(reason, permanent=False, **_told(response, text)) from None


def _check_success(
    value: Any, operation: Operation | None, facts: CallFacts, response: httpx.Response
) -> None:
    """Raise for an answer with a good status that reports a failure in its body."""
    service = facts.service
    said = pick(value, service.success_field) if service.success_field else True
    failed = said != service.success_value if service.success_field and service.success_value else not said
    code = pick(value, service.error_field) if service.error_field else None
    graphql = operation is not None and (
        operation.path.endswith("graphql")
        or operation.id == "graphql"
        or any(_is_graphql(one) for one in operation.parameters)
    )
    if graphql and isinstance(value, dict) and value.get("errors"):
        failed, code = True, pick(value, "errors.0.message")
        kind = pick(value, "errors.0.extensions.code") or pick(value, "errors.0.type")
    else:
        kind = code
    if failed:
        shown = code if isinstance(code, str) else "no reason given"
        word = kind.lower() if isinstance(kind, str) else None
        reason = f"{service.name} accepted the call but reports a failure: {shown}"
        passes = shown in _TRANSIENT_CODES or word in _TRANSIENT_CODES
        told = _told(response, response.text)
        raise facts.error(reason, permanent=not passes, code=word, **told)


def _is_graphql(parameter: Parameter) -> bool:
    return parameter.name == "query" and parameter.location == "body" and len(parameter.choices) == 1
