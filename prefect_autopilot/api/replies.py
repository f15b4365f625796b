"""Answers that need not be given twice: unchanged reads (ETag) and repeated calls (Idempotency-Key)."""

from __future__ import annotations

import hashlib
import re
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from http import HTTPStatus

from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from prefect_autopilot.api.errors import problem

CALLS = ("/workflows/", "/api/")
"""Paths of the calls; the page's forms, webhooks and metrics go through untouched."""
KEPT_S = 24 * 3600.0
MOST_KEPT = 1000
MOST_KEPT_BYTES = 32_000_000
_KEY = re.compile(r"[\x21-\x7e]{1,200}")


@dataclass
class _Answer:
    """What was answered to a call with a key; without a status it is still being worked on."""

    asked: str
    at: float
    status: int = 0
    headers: list[tuple[bytes, bytes]] = field(default_factory=list)
    body: bytes = b""


class _Kept:
    """Answers by who asked and their key, for a day, bounded in number and size; the oldest goes first."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._answers: OrderedDict[tuple[str, str], _Answer] = OrderedDict()
        self._bytes = 0

    def get(self, key: tuple[str, str]) -> _Answer | None:
        while self._answers:
            oldest, answer = next(iter(self._answers.items()))
            if self._clock() - answer.at < KEPT_S:
                break
            self.drop(oldest)
        return self._answers.get(key)

    def begin(self, key: tuple[str, str], asked: str) -> _Answer:
        answer = self._answers[key] = _Answer(asked, self._clock())
        return answer

    def settle(self, key: tuple[str, str], answer: _Answer) -> None:
        self._bytes += len(answer.body)
        done = [one for one, kept in self._answers.items() if kept.status and one != key]
        while done and (len(self._answers) > MOST_KEPT or self._bytes > MOST_KEPT_BYTES):
            self.drop(done.pop(0))

    def drop(self, key: tuple[str, str]) -> None:
        dropped = self._answers.pop(key, None)
        self._bytes -= len(dropped.body) if dropped is not None else 0


class Replies:
    """Says 304 where the client has the answer, and gives the first answer again to a repeated call.

    A call is repeated by the same principal with the same ``Idempotency-Key``; with another path or body it
    is refused (422), and while the first is under way too (409). Only success is kept: a refused call changed
    nothing and may be made again. Kept in memory: a restart forgets them.
    """

    def __init__(self, app: ASGIApp, clock: Callable[[], float] = time.monotonic) -> None:
        self._app = app
        self._kept = _Kept(clock)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one ASGI connection."""
        path = scope.get("path", "").removeprefix(scope.get("root_path", ""))
        if scope["type"] != "http" or not path.startswith(CALLS):
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        if scope["method"] == "GET":
            await self._app(scope, receive, _Tagged(send, headers.get("if-none-match", "")))
        elif scope["method"] == "POST" and "idempotency-key" in headers:
            await self._once(scope, receive, send, headers)
        else:
            await self._app(scope, receive, send)

    async def _once(self, scope: Scope, receive: Receive, send: Send, headers: Headers) -> None:
        given = headers["idempotency-key"].strip()
        if _KEY.fullmatch(given) is None:
            said = "An Idempotency-Key has 1 to 200 printable ASCII characters; send another."
            await _refused(HTTPStatus.UNPROCESSABLE_ENTITY, said, scope)(scope, receive, send)
            return
        try:
            body = await _read(receive)
        except HTTPException as error:
            await _refused(HTTPStatus(error.status_code), str(error.detail), scope)(scope, receive, send)
            return
        key, asked = (scope["state"]["principal"].seal, given), _digest(scope, body)
        known = self._kept.get(key)
        if known is not None:
            await _again(known, asked, scope)(scope, receive, send)
            return
        answer = self._kept.begin(key, asked)
        try:
            await self._app(scope, _replayed(body, receive), _recording(answer, send))
        finally:
            if HTTPStatus.OK <= answer.status < HTTPStatus.MULTIPLE_CHOICES:
                self._kept.settle(key, answer)
            else:
                self._kept.drop(key)


def _again(known: _Answer, asked: str, scope: Scope) -> Response:
    if known.asked != asked:
        said = "This Idempotency-Key was used for another call; take a new one for each call."
        return _refused(HTTPStatus.UNPROCESSABLE_ENTITY, said, scope)
    if not known.status:
        said = "The call with this Idempotency-Key is still under way; ask again later."
        return _refused(HTTPStatus.CONFLICT, said, scope)
    answer = Response(known.body, known.status)
    answer.raw_headers = [*known.headers, (b"idempotent-replayed", b"true")]
    return answer


def _refused(status: HTTPStatus, said: str, scope: Scope) -> Response:
    return problem(status, said, kind="idempotency", instance=scope["path"])


def _digest(scope: Scope, body: bytes) -> str:
    asked = f"{scope['method']} {scope['path']}?".encode() + scope.get("query_string", b"")
    return hashlib.sha256(hashlib.sha256(asked).digest() + body).hexdigest()


async def _read(receive: Receive) -> bytes:
    parts = []
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise HTTPException(HTTPStatus.BAD_REQUEST, "The body ended before it was complete.")
        parts.append(message.get("body", b""))
        if not message.get("more_body", False):
            return b"".join(parts)


def _replayed(body: bytes, receive: Receive) -> Receive:
    pending = [body]

    async def read() -> Message:
        if pending:
            return {"type": "http.request", "body": pending.pop(), "more_body": False}
        return await receive()

    return read


def _recording(answer: _Answer, send: Send) -> Send:
    status = 0

    async def record(message: Message) -> None:
        nonlocal status
        if message["type"] == "http.response.start":
            status, answer.headers = message["status"], list(message["headers"])
        else:
            answer.body += message.get("body", b"")
            if not message.get("more_body", False):
                answer.status = status  # complete: before, a repetition has to wait
        await send(message)

    return record


class _Tagged:
    """Passes an answer on; a whole JSON one gets an ETag, and is left out where the client has it."""

    def __init__(self, send: Send, known: str) -> None:
        self._send = send
        self._known = known
        self._start: Message | None = None
        self._parts: list[bytes] = []

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start" and _is_json(message):
            self._start = message
        elif self._start is None:
            await self._send(message)
        else:
            self._parts.append(message.get("body", b""))
            if not message.get("more_body", False):
                await self._finish(self._start, b"".join(self._parts))

    async def _finish(self, start: Message, body: bytes) -> None:
        headers = MutableHeaders(scope=start)
        tag = f'"{hashlib.sha256(body).hexdigest()[:32]}"'
        headers["ETag"] = tag
        headers["Cache-Control"] = "private, no-cache"  # may be kept, must be asked about
        if _is_among(tag, self._known.split(",")):
            start["status"] = HTTPStatus.NOT_MODIFIED.value
            for name in ("content-length", "content-type"):
                del headers[name]
            body = b""
        await self._send(start)
        await self._send({"type": "http.response.body", "body": body})


def _is_json(start: Message) -> bool:
    kind = Headers(raw=start["headers"]).get("content-type", "")
    return bool(start["status"] == HTTPStatus.OK) and kind.startswith("application/json")


def _is_among(tag: str, known: Iterable[str]) -> bool:
    return any(one.strip().removeprefix("W/") in {tag, "*"} for one in known)
