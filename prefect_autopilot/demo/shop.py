"""A small shop API on loopback whose every answer takes its time, for the flow that is optimised."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

LATENCY_S = 0.3
ORDERS = 4


class _Shop(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        """Answer a list or one order after the latency."""
        time.sleep(LATENCY_S)
        parts = self.path.strip("/").split("/")
        answer: dict[str, object]
        if parts[0] == "orders" and len(parts) > 1:
            answer = {"id": int(parts[1]), "amount": 10 * int(parts[1])}
        else:
            answer = {"items": [{"id": number} for number in range(1, ORDERS + 1)]}
        body = json.dumps(answer).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  # the name is http.server's
        """Stay silent: the demonstration has a screen of its own."""


@contextmanager
def running_shop() -> Iterator[str]:
    """Serve the shop on a free loopback port within the block and yield its address."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Shop)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join(5)
