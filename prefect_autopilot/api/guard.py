"""What every request has to pass: the host it was meant for, where it comes from, its size and its time."""

from __future__ import annotations

import asyncio
import ipaddress
from collections.abc import Iterable
from functools import lru_cache
from http import HTTPStatus
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from prefect_autopilot.api.errors import problem

MOST_BYTES = 1_000_000
BODY_WITHIN_S = 30.0
HARMLESS = frozenset({"GET", "HEAD", "OPTIONS"})
SIGNED = "/hooks/"
SECURITY_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'; base-uri 'none'",
}

API_VERSION = "1"
"""Within a version calls and fields are added; none is removed, renamed or given another meaning."""
_SEALS = [
    (name.lower().encode(), value.encode())
    for name, value in (SECURITY_HEADERS | {"API-Version": API_VERSION}).items()
]


@lru_cache(maxsize=1000)
def is_loopback(host: str) -> bool:
    """Tell whether a host name or address, brackets or not, can only mean this machine."""
    name = host.strip().removeprefix("[").removesuffix("]").lower().rstrip(".")
    if name == "localhost":
        return True
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False


class Guard:
    """Refuses foreign hosts (DNS rebinding), foreign origins and large or slow bodies; adds headers."""

    def __init__(
        self,
        app: ASGIApp,
        hosts: Iterable[str] = (),
        most_bytes: int = MOST_BYTES,
        within_s: float = BODY_WITHIN_S,
    ) -> None:
        self._app = app
        self._hosts = frozenset(host.lower() for host in hosts)
        self._most = most_bytes
        self._within_s = within_s

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one ASGI connection."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def sealed(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = list(message.get("headers", ()))
                given = {name.lower() for name, _ in headers}
                missing = (header for header in _SEALS if header[0] not in given)
                message = {**message, "headers": [*headers, *missing]}
            await send(message)

        refusal = self._refusal(scope["method"], scope["path"], Headers(scope=scope))
        if refusal is not None:
            await refusal(scope, receive, sealed)
        else:
            await self._app(scope, self._bounded(receive), sealed)

    def _refusal(self, method: str, path: str, headers: Headers) -> Response | None:
        # Webhooks come through a proxy under its name; each is authenticated by its signature.
        is_signed = path.startswith(SIGNED)
        host = headers.get("host", "")
        if not is_signed and not self._known(host):
            detail = "The API answers to the names of this machine only, such as 127.0.0.1 or localhost."
            return problem(HTTPStatus.MISDIRECTED_REQUEST, detail, kind="foreign-host")
        origin = headers.get("origin")
        is_foreign = origin is not None and not self._known(_host_of(origin))
        if is_foreign and not is_signed and method not in HARMLESS:
            detail = "A page of another site may not call the API."
            return problem(HTTPStatus.FORBIDDEN, detail, kind="foreign-origin")
        length = headers.get("content-length", "0")
        if length.isdecimal() and int(length[:20]) > self._most:
            return _too_large(self._most)
        return None

    def _known(self, host: str) -> bool:
        name = without_port(host)
        return is_loopback(name) or name.lower() in self._hosts

    def _bounded(self, receive: Receive) -> Receive:
        loop = asyncio.get_running_loop()
        deadline, size = loop.time() + self._within_s, 0
        complete = False

        async def read() -> Message:
            nonlocal size, complete
            if complete:
                return await receive()  # waits for the client to go, which may take as long as it likes
            try:
                async with asyncio.timeout_at(deadline):
                    message = await receive()
            except TimeoutError:
                raise HTTPException(HTTPStatus.REQUEST_TIMEOUT, "The body did not arrive in time.") from None
            if message["type"] == "http.request":
                size += len(message.get("body", b""))
                complete = not message.get("more_body", False)
            if size > self._most:
                raise HTTPException(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, _said(self._most))
            return message

        return read


def _too_large(most: int) -> Response:
    return problem(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, _said(most), kind="too-large")


def _said(most: int) -> str:
    return f"A body may have {most} bytes at most; send less at a time."


def without_port(host: str) -> str:
    """Return the name or address of a Host header, brackets kept."""
    if host.startswith("["):
        return host.partition("]")[0] + "]"
    name, colon, port = host.rpartition(":")
    return name if colon and port.isdecimal() else host


def _host_of(origin: str) -> str:
    try:
        return urlsplit(origin).hostname or ""
    except ValueError:
        return ""
