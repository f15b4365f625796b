"""Every error as problem details (RFC 9457): typed ones by kind, the unforeseen without its insides."""

from __future__ import annotations

import json
import logging
import re
import uuid
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from prefect_autopilot.errors import (
    AutopilotError,
    ConfigurationError,
    ConflictError,
    DeliveryError,
    PrefectError,
    ProofError,
    ServiceError,
    SignatureError,
    StoreError,
    UnknownNameError,
    UsageError,
)
from prefect_autopilot.models import JSONDict, Value
from prefect_autopilot.redaction import redact

if TYPE_CHECKING:
    from fastapi import FastAPI

logger = logging.getLogger("prefect_autopilot.api")

MEDIA_TYPE = "application/problem+json"
TYPE = "urn:prefect-autopilot:problem:"
RETRY_AFTER_S = 5
MOST_PROBLEMS = 20
MOST_DETAIL = 1000

# The first kind that fits decides, so the finer ones stand first.
STATUSES: tuple[tuple[type[AutopilotError], HTTPStatus], ...] = (
    (UnknownNameError, HTTPStatus.NOT_FOUND),
    (SignatureError, HTTPStatus.UNAUTHORIZED),
    (UsageError, HTTPStatus.UNPROCESSABLE_ENTITY),
    (ConflictError, HTTPStatus.CONFLICT),
    (ProofError, HTTPStatus.CONFLICT),
    (ConfigurationError, HTTPStatus.SERVICE_UNAVAILABLE),
    (StoreError, HTTPStatus.SERVICE_UNAVAILABLE),
    (ServiceError, HTTPStatus.BAD_GATEWAY),
    (DeliveryError, HTTPStatus.BAD_GATEWAY),
)


class Problem(Value):
    """Problem details (RFC 9457); ``errors`` names each place of a body that is wrong."""

    type: str
    title: str
    status: int
    detail: str
    instance: str | None = None
    errors: tuple[JSONDict, ...] | None = None


def status_of(error: AutopilotError) -> HTTPStatus:
    """Return the HTTP status that tells this error."""
    if isinstance(error, PrefectError):
        return HTTPStatus.BAD_GATEWAY if error.permanent else HTTPStatus.SERVICE_UNAVAILABLE
    fitting = (status for kind, status in STATUSES if isinstance(error, kind))
    return next(fitting, HTTPStatus.INTERNAL_SERVER_ERROR)


def problem(
    status: HTTPStatus,
    detail: str,
    *,
    kind: str | None = None,
    instance: str | None = None,
    errors: Sequence[JSONDict] = (),
    headers: Mapping[str, str] | None = None,
) -> Response:
    """Return problem details as a response; secrets in the detail are redacted."""
    told = Problem(
        type=f"{TYPE}{kind}" if kind else "about:blank",
        title=status.phrase,
        status=status.value,
        detail=redact(detail)[:MOST_DETAIL],
        instance=instance,
        errors=tuple(errors) or None,
    )
    # ASCII only: whatever a hostile name brought along, it can be encoded.
    text = json.dumps(told.model_dump(mode="json", exclude_none=True))
    return Response(text, status.value, headers=headers, media_type=MEDIA_TYPE)


def install(app: FastAPI) -> None:
    """Let ``app`` answer every foreseen error with problem details."""
    from fastapi.exceptions import RequestValidationError

    app.add_exception_handler(AutopilotError, _typed)
    app.add_exception_handler(HTTPException, _http)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(TimeoutError, _late)


async def _typed(request: Request, error: Exception) -> Response:
    assert isinstance(error, AutopilotError)
    status = status_of(error)
    later = status is HTTPStatus.SERVICE_UNAVAILABLE and not error.permanent
    headers = {"Retry-After": str(RETRY_AFTER_S)} if later else None
    return problem(status, error.message, kind=_kind(type(error)), instance=request.url.path, headers=headers)


def is_page(request: Request) -> bool:
    """Tell whether a browser asks for an address of the pages."""
    root = request.scope.get("root_path", "")
    asked = request.url.path.removeprefix(root)
    return asked.startswith("/ui/") and "text/html" in request.headers.get("accept", "")


def _kind(error: type[AutopilotError]) -> str:
    words = re.findall(r"[A-Z][a-z]+", error.__name__.removesuffix("Error"))
    return "-".join(words).lower()


async def _http(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    if error.status_code == HTTPStatus.NOT_FOUND and is_page(request):
        from prefect_autopilot.api.page_frame import no_page

        return no_page(request)
    return problem(
        HTTPStatus(error.status_code), str(error.detail), instance=request.url.path, headers=error.headers
    )


async def _invalid(request: Request, error: Exception) -> Response:
    found: Sequence[Any] = error.errors() if hasattr(error, "errors") else ()
    places = [
        {"place": ".".join(map(str, one["loc"]))[:200], "problem": redact(str(one["msg"]))[:300]}
        for one in found[:MOST_PROBLEMS]
    ]
    first = f"{places[0]['place']}: {places[0]['problem']}" if places else "it cannot be read"
    detail = f"The request is wrong at {first}."
    status = HTTPStatus.UNPROCESSABLE_ENTITY
    return problem(status, detail, kind="invalid-request", instance=request.url.path, errors=places)


async def _late(request: Request, error: Exception) -> Response:  # noqa: ARG001  # called by position
    detail = "The work took too long and was given up; send less at a time, or try again later."
    status = HTTPStatus.SERVICE_UNAVAILABLE
    headers = {"Retry-After": str(RETRY_AFTER_S)}
    return problem(status, detail, kind="timeout", instance=request.url.path, headers=headers)


class LastResort:
    """The outermost layer: an unforeseen error is logged with an id, and only the id goes out."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one ASGI connection."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        begun = False

        async def noted(message: Message) -> None:
            nonlocal begun
            begun = begun or message["type"] == "http.response.start"
            await send(message)

        try:
            await self._app(scope, receive, noted)
        except Exception:
            mark = uuid.uuid4().hex
            logger.exception("Unforeseen error %s at %s", mark, scope["path"])
            if begun:
                raise
            detail = f"Something unforeseen went wrong; the log of the server tells more under {mark}."
            status = HTTPStatus.INTERNAL_SERVER_ERROR
            await problem(status, detail, kind="unforeseen", instance=scope["path"])(scope, receive, send)
