"""The world outside of a run: a service that keeps books on every call, and what a fault is."""

from __future__ import annotations

import json
import os
import signal
import socket
import struct
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar, Literal

Expected = Literal["resolved", "told", "quiet"]
"""resolved: without a person; told: a person hears of it and nothing is done; quiet: neither."""


@dataclass(frozen=True)
class Call:
    """One call that the service saw, and what it answered."""

    at: float
    method: str
    path: str
    status: int
    key: str
    body: str


@dataclass(frozen=True)
class Answer:
    """What the service answers; ``how`` spoils the line instead."""

    status: int = 200
    body: Any = None
    headers: dict[str, str] = field(default_factory=dict)
    how: Literal["whole", "half", "reset", "late"] = "whole"


class Outside:
    """A service on loopback; ``rule`` decides each answer, ``calls`` is what it saw."""

    def __init__(self, rule: Callable[[Call], Answer] | None = None) -> None:
        self.calls: list[Call] = []
        self.rule = rule or (lambda _call: Answer(body={}))
        self._lock = threading.Lock()
        self._server: ThreadingHTTPServer | None = None
        self._port = 0
        self.open()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._port}"

    def open(self) -> None:
        """Listen, on the same port as before."""
        outside = self

        class Line(BaseHTTPRequestHandler):
            def do(self) -> None:
                outside.answer(self)

            do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = do  # noqa: N815  # names of the library

            def log_message(self, *_: object) -> None:
                return

        class Server(ThreadingHTTPServer):
            daemon_threads = True
            allow_reuse_address = True

            def handle_error(self, *_: object) -> None:
                return  # a line that was cut on purpose

        self._server = Server(("127.0.0.1", self._port), Line)
        self._port = self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()

    def close(self) -> None:
        """Stop listening: the next connection is refused."""
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
            self._server = None

    def answer(self, line: BaseHTTPRequestHandler) -> None:
        """Answer one call by the rule, and write it down."""
        length = int(line.headers.get("Content-Length") or 0)
        body = line.rfile.read(length).decode(errors="replace")
        key = line.headers.get("Idempotency-Key") or ""
        call = Call(time.time(), line.command, line.path, 0, key, body)
        with self._lock:
            told = self.rule(call)
            self.calls.append(Call(call.at, call.method, call.path, told.status, key, body))
        with suppress(OSError):
            _send(line, told)

    def seen(self, method: str = "", status: int = 0) -> list[Call]:
        """Return the calls of a method that were answered so; all where neither is given."""
        return [call for call in self.calls if method in {"", call.method} and status in {0, call.status}]


def _send(line: BaseHTTPRequestHandler, told: Answer) -> None:
    text = told.body if isinstance(told.body, str) else json.dumps(told.body)
    content = text.encode()
    if told.how == "reset":
        # Closed with a reset: what was on its way is lost.
        line.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        line.connection.close()
        line.close_connection = True
        return
    if told.how == "late":
        time.sleep(6)
    line.send_response(told.status)
    for name, value in told.headers.items():
        line.send_header(name, value)
    line.send_header("Content-Length", str(len(content) + (100 if told.how == "half" else 0)))
    line.end_headers()
    line.wfile.write(content)
    line.close_connection = True


@dataclass
class Scene:
    """One fault as it happens: its folder, its service, its run."""

    folder: Path
    outside: Outside
    run_id: str = ""
    deployment_id: str = ""
    failed_at: float = 0.0
    call: Callable[..., Any] = lambda *_: None
    """Asks the Prefect API: method, path, body."""
    processes: Callable[[], list[int]] = list
    """Returns the processes of the run."""
    notes: dict[str, Any] = field(default_factory=dict)

    def file(self, name: str) -> str:
        """Return the text of a file of the fault's folder, empty where it does not exist."""
        path = self.folder / name
        return path.read_text(encoding="utf-8") if path.exists() else ""

    def run(self) -> dict[str, Any]:
        """Return the run as Prefect tells it."""
        found: dict[str, Any] = self.call("GET", f"/flow_runs/{self.run_id}")
        return found

    def starts(self) -> int:
        """Return how many times the run was begun."""
        return int(self.run()["run_count"])


def _answer_with(scene: Scene, answer: Answer | None) -> None:
    if answer is not None:
        scene.outside.rule = lambda _call: answer


def kill_after(scene: Scene, called: Callable[[], object]) -> None:
    """Kill the processes of the run as soon as its service was called."""
    deadline = time.monotonic() + 60
    while not called() and time.monotonic() < deadline:
        time.sleep(0.2)
    for pid in scene.processes():
        os.kill(pid, signal.SIGKILL)


class Fault:
    """A fault: a flow, what goes wrong outside, when that is over, and how the outside tells the outcome."""

    name: ClassVar[str]
    expected: ClassVar[Expected]
    lasts_s: ClassVar[float] = 15
    """Seconds from the first failure after which the world is whole again."""
    flow: ClassVar[str]
    """Source of the flow; its function is ``work`` and takes ``url`` and ``folder``."""
    begins: ClassVar[bool] = True
    """Whether the flow's own code runs before it fails; else it was the machine that failed."""
    most_starts: ClassVar[int] = 4
    """More starts of a run than these are a storm of retries."""
    bad: ClassVar[Answer | None] = None
    """What the service answers from the beginning, where that is the fault."""
    good: ClassVar[Answer | None] = None
    """What it answers when the world is whole again, where that is another answer."""

    def prepare(self, scene: Scene) -> None:
        """Make the fault; the run is started afterwards."""
        _answer_with(scene, self.bad)

    def running(self, scene: Scene) -> None:
        """Do what happens while the run is under way, once."""

    def failed(self, scene: Scene) -> None:
        """Do what happens right after the first failure, once."""

    def heal(self, scene: Scene) -> None:
        """Make the world whole again."""
        _answer_with(scene, self.good)

    def shows(self, _scene: Scene) -> bool:
        """Tell whether the fault shows by now, other than by a failed state."""
        return False

    def resolved(self, _scene: Scene) -> bool:
        """Tell from outside whether the work is done, besides that the run completed."""
        return False

    def harm(self, _scene: Scene) -> list[str]:
        """Return what was done that must not be done."""
        return []

    def clean(self, scene: Scene) -> None:
        """Take away what lives longer than the folder."""
        scene.outside.close()
