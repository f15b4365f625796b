"""Stand-in for the network in a proof: each read over HTTP is made once, then answered from memory.

It stands alone, as the session that loads it: the interpreter that runs it needs prefect, not this package.
A repeated answer takes as long as the first one took, so what waits can be timed. Anything but a read is
refused, and so is a read that the first run did not make; ``effects`` then raises and nothing is proved.
"""

from __future__ import annotations

import asyncio
import contextlib
import email.message
import functools
import io
import threading
import time
import urllib.error
import urllib.request
import urllib.response
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

_READS = frozenset({"GET", "HEAD", "OPTIONS"})
_OF_TRANSPORT = frozenset({"content-encoding", "content-length", "transfer-encoding", "connection"})
"""Headers that speak of how a body travelled, not of what it holds."""
_REFUSED = 300
"""From this status on, urllib raises what it was answered."""
_OURS = "prefect/"
"""How the calls of Prefect itself name their sender: they go on to its server."""

Key = tuple[str, str, bytes]


@dataclass(frozen=True)
class Answer:
    """What one read was answered: the response's parts, or the exception."""

    seconds: float
    status: int = 0
    headers: Mapping[str, str] = field(default_factory=dict)
    content: bytes = b""
    reason: str = ""
    error: BaseException | None = None


@dataclass
class Recording:
    """The answers of the first run by request, and what the present run asked for."""

    answers: dict[Key, list[Answer]] = field(default_factory=dict)
    asked: list[Key] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)
    runs: int = 0
    left_out: str = ""
    """Address of Prefect's own server: what is asked there is not the flow's doing."""
    lock: threading.Lock = field(default_factory=threading.Lock)

    def begin(self) -> None:
        """Begin another run."""
        self.runs += 1
        self.asked, self.refused = [], []

    def take(self, key: Key) -> Answer | None:
        """Return the answer to a request, None where it has to be asked for; raises what was recorded."""
        with self.lock:
            known = self.answers.get(key, [])
            again = self.asked.count(key)
            self.asked.append(key)
            if key[0] not in _READS:
                self._refuse(f"{key[0]} {key[1]} writes, and a recorded proof only reads: give stubs")
            if self.runs > 1 and not known:
                self._refuse(f"{key[0]} {key[1]} was not asked for in the first run")
            if self.runs == 1:
                return None
            return known[min(again, len(known) - 1)]

    def _refuse(self, told: str) -> None:
        self.refused.append(told)
        raise PermissionError(told)

    def keep(self, key: Key, answer: Answer) -> None:
        """Keep the answer to a request of the first run."""
        with self.lock:
            self.answers.setdefault(key, []).append(answer)

    @contextlib.contextmanager
    def watching(self, key: Key, since: float) -> Iterator[None]:
        """Keep the exception that a request ends with."""
        try:
            yield
        except Exception as error:
            self.keep(key, Answer(time.perf_counter() - since, error=error))
            raise


RECORDING = Recording()


def reset() -> None:
    """Begin another run of the flow."""
    RECORDING.begin()


def leave_out(address: str) -> None:
    """Let every request go on to this address."""
    RECORDING.left_out = address


def effects() -> list[list[str]]:
    """Return the requests of the run; raises PermissionError where one of them was refused."""
    if RECORDING.refused:
        raise PermissionError(RECORDING.refused[0])
    return [[f"{method} {address}"] for method, address, _ in RECORDING.asked]


def _kept_headers(headers: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in headers.items() if name.lower() not in _OF_TRANSPORT}


def _begin_answer(answer: Answer) -> None:
    if answer.error is not None:
        raise answer.error


def record_httpx() -> None:
    """Answer httpx's clients, of threads and of an event loop."""
    import httpx

    def response(answer: Answer) -> httpx.Response:
        _begin_answer(answer)
        return httpx.Response(answer.status, headers=dict(answer.headers), content=answer.content)

    def kept(answered: httpx.Response, key: Key, since: float) -> httpx.Response:
        seconds, headers = time.perf_counter() - since, _kept_headers(answered.headers)
        answer = Answer(seconds, answered.status_code, headers, answered.content)
        RECORDING.keep(key, answer)
        return response(answer)

    def is_ours(request: httpx.Request) -> bool:
        sender = str(request.headers.get("user-agent", ""))
        server = RECORDING.left_out
        return sender.startswith(_OURS) or bool(server and str(request.url).startswith(server))

    send, asend = httpx.HTTPTransport.handle_request, httpx.AsyncHTTPTransport.handle_async_request

    @functools.wraps(send)
    def sync(self: httpx.HTTPTransport, request: httpx.Request) -> httpx.Response:
        if is_ours(request):
            return send(self, request)
        key = (request.method, str(request.url), request.read())
        known, since = RECORDING.take(key), time.perf_counter()
        if known is not None:
            time.sleep(known.seconds)
            return response(known)
        with RECORDING.watching(key, since):
            answered = send(self, request)
            answered.read()
        return kept(answered, key, since)

    @functools.wraps(asend)
    async def in_loop(self: httpx.AsyncHTTPTransport, request: httpx.Request) -> httpx.Response:
        if is_ours(request):
            return await asend(self, request)
        key = (request.method, str(request.url), await request.aread())
        known, since = RECORDING.take(key), time.perf_counter()
        if known is not None:
            await asyncio.sleep(known.seconds)
            return response(known)
        with RECORDING.watching(key, since):
            answered = await asend(self, request)
            await answered.aread()
        return kept(answered, key, since)

    httpx.HTTPTransport.handle_request = sync  # type: ignore[method-assign]
    httpx.AsyncHTTPTransport.handle_async_request = in_loop  # type: ignore[method-assign]


def record_requests() -> None:
    """Answer requests' sessions where that library is installed."""
    try:
        import requests
        from requests.adapters import HTTPAdapter
    except ImportError:
        return
    adapters: Any = HTTPAdapter
    send = adapters.send

    def response(adapter: Any, request: Any, answer: Answer) -> Any:
        _begin_answer(answer)
        made: Any = requests.Response()
        made.status_code, made.url, made.request, made.connection = (
            answer.status,
            request.url,
            request,
            adapter,
        )
        made.headers.update(answer.headers)
        made.encoding = requests.utils.get_encoding_from_headers(made.headers)
        made.raw = io.BytesIO(answer.content)
        made._content = answer.content  # noqa: SLF001 - as the library's own caches of answers do
        made._content_consumed = True  # noqa: SLF001
        return made

    @functools.wraps(send)
    def recorded(self: Any, request: Any, **options: Any) -> Any:
        body = request.body or b""
        key = (str(request.method), str(request.url), body if isinstance(body, bytes) else str(body).encode())
        known, since = RECORDING.take(key), time.perf_counter()
        if known is not None:
            time.sleep(known.seconds)
            return response(self, request, known)
        with RECORDING.watching(key, since):
            answered = send(self, request, **options)
            content = answered.content
        answer = Answer(
            time.perf_counter() - since, answered.status_code, _kept_headers(answered.headers), content
        )
        RECORDING.keep(key, answer)
        return response(self, request, answer)

    adapters.send = recorded


def record_urllib() -> None:
    """Answer ``urllib.request.urlopen``."""
    send = urllib.request.urlopen

    def response(key: Key, answer: Answer) -> Any:
        _begin_answer(answer)
        headers = email.message.Message()
        for name, value in answer.headers.items():
            headers[name] = value
        body = io.BytesIO(answer.content)
        if (answer.status or 0) >= _REFUSED:  # a new error each time: its body can be read once
            raise urllib.error.HTTPError(key[1], answer.status, answer.reason, headers, body)
        return urllib.response.addinfourl(body, headers, key[1], answer.status)

    @functools.wraps(send)
    def recorded(url: Any, data: Any = None, *arguments: Any, **options: Any) -> Any:
        request = url if isinstance(url, urllib.request.Request) else urllib.request.Request(url, data)  # noqa: S310
        body = request.data if isinstance(request.data, bytes) else b""
        key = (request.get_method(), request.full_url, body)
        known, since = RECORDING.take(key), time.perf_counter()
        if known is not None:
            time.sleep(known.seconds)
            return response(key, known)
        with RECORDING.watching(key, since):
            try:
                answered = send(url, data, *arguments, **options)
            except urllib.error.HTTPError as error:
                answered = error
            with answered:
                content = answered.read()
        headers = _kept_headers(dict(answered.headers.items()))
        reason = str(getattr(answered, "reason", ""))
        answer = Answer(time.perf_counter() - since, answered.status, headers, content, reason)
        RECORDING.keep(key, answer)
        return response(key, answer)

    urllib.request.urlopen = recorded


def install() -> None:
    """Take the place of the clients' way to the network."""
    record_httpx()
    record_requests()
    record_urllib()


if __name__ == "autopilot_stubs":  # the name under which a proof's session loads it
    install()
