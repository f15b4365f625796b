"""A server on loopback that speaks as an OpenAI-compatible one does, or as badly as a test wants."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest


@dataclass
class Reply:
    """One answer: raw bytes, or a text as the model's message."""

    text: str | None = None
    status: int = 200
    body: bytes = b"{}"
    headers: dict[str, str] = field(default_factory=dict)
    usage: dict[str, Any] | None = None
    waits: bool = False
    """Says nothing until the test is over."""
    drips: bool = False
    """Sends a byte now and then until the test is over."""

    def content(self) -> bytes:
        if self.text is None:
            return self.body
        told: dict[str, Any] = {
            "id": "chat-1",
            "object": "chat.completion",
            "created": 1,
            "model": "small",
            "choices": [
                {
                    "index": 0,
                    "finish_reason": "stop",
                    "message": {"role": "assistant", "content": self.text},
                }
            ],
        }
        return json.dumps(told | ({"usage": self.usage} if self.usage else {})).encode()


@dataclass
class ModelServer:
    """What was received, and what is answered: one reply after the other, the last one for ever."""

    url: str
    replies: list[Reply] = field(default_factory=list)
    received: list[dict[str, Any]] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    raw: list[bytes] = field(default_factory=list)
    over: threading.Event = field(default_factory=threading.Event)

    def says(self, *answers: object) -> None:
        """Answer with these values as JSON texts, in turn."""
        texts = [one if isinstance(one, str) else json.dumps(one) for one in answers]
        self.replies = [Reply(text=text) for text in texts]

    def does(self, *replies: Reply) -> None:
        self.replies = list(replies)


def handler_of(server: ModelServer) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            raw = self.rfile.read(int(self.headers.get("content-length", 0)))
            number = len(server.raw)
            server.raw.append(f"{self.path}\n{self.headers}\n".encode() + raw)
            server.received.append(json.loads(raw))
            server.headers.append({name.lower(): value for name, value in self.headers.items()})
            reply = server.replies[min(number, len(server.replies) - 1)]
            if reply.waits:
                server.over.wait(30)
                return
            content = reply.content()
            self.send_response(reply.status)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(content)))
            for name, value in reply.headers.items():
                self.send_header(name, value)
            self.end_headers()
            try:
                self._send(content, drips=reply.drips)
            except OSError:
                return  # the other side had enough

        def _send(self, content: bytes, *, drips: bool) -> None:
            if not drips:
                self.wfile.write(content)
                return
            for place in range(len(content)):
                self.wfile.write(content[place : place + 1])
                if server.over.wait(0.05):
                    return

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    return Handler


@pytest.fixture
def start_server() -> Iterator[Callable[[], ModelServer]]:
    running: list[tuple[ThreadingHTTPServer, threading.Thread, ModelServer]] = []

    def start() -> ModelServer:
        told = ModelServer(url="")
        http = ThreadingHTTPServer(("127.0.0.1", 0), handler_of(told))
        http.daemon_threads = True
        told.url = f"http://127.0.0.1:{http.server_address[1]}/v1"
        thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        thread.start()
        running.append((http, thread, told))
        return told

    yield start
    for http, thread, told in running:
        told.over.set()
        http.shutdown()
        http.server_close()
        thread.join()


@pytest.fixture
def server(start_server: Callable[[], ModelServer]) -> ModelServer:
    return start_server()


@pytest.fixture
def reply() -> type[Reply]:
    return Reply


@pytest.fixture(autouse=True)
def own_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keys of the developer's machine must not reach a test, and no proxy stands before loopback."""
    for name in ("OPENAI_API_KEY", "OPENAI_ORG_ID", "OPENAI_PROJECT_ID", "OPENAI_BASE_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1,localhost")
