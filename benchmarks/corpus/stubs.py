"""Loopback servers that answer, stall or break off as told, under whatever host name a case uses."""

from __future__ import annotations

import http.server
import os
import socket
import struct
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any

_PORTS: dict[str, int] = {}
_resolve = socket.getaddrinfo


def resolve_here(host: Any, port: Any, *args: Any, **options: Any) -> list[Any]:
    """Resolve the names of our stubs to the loopback, leave numeric addresses, know no other name."""
    name = host.decode() if isinstance(host, bytes) else host
    if name in _PORTS:
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", _PORTS[name]))]
    if name is None or name == "localhost" or str(name).replace(".", "").isdigit():
        return _resolve(host, port, *args, **options)
    if str(name).endswith(".again"):
        raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")
    raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")


def name_hosts() -> None:
    """Let this process resolve names by the stubs."""
    socket.getaddrinfo = resolve_here


def tcp(behave: Callable[[socket.socket], None], host: str) -> int:
    """Serve ``behave`` for each connection under ``host``; returns the port."""
    listener = socket.create_server(("127.0.0.1", 0))

    def accept() -> None:
        while True:
            connection, _ = listener.accept()
            threading.Thread(target=_quietly, args=(behave, connection), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    _PORTS[host] = listener.getsockname()[1]
    return _PORTS[host]


def _quietly(behave: Callable[[socket.socket], None], connection: socket.socket) -> None:
    try:
        behave(connection)
    except OSError:
        connection.close()


def close(connection: socket.socket) -> None:
    """End the connection without a word."""
    connection.recv(1)
    connection.close()


def hang_up(connection: socket.socket) -> None:
    """End the connection before the client has said anything."""
    connection.close()


def reset(connection: socket.socket) -> None:
    """Break the connection off with RST."""
    connection.recv(1)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()


def silent(connection: socket.socket) -> None:
    """Take everything and say nothing."""
    while connection.recv(65536):
        time.sleep(0.01)


def says(answer: bytes, *, greet: bool = False) -> Callable[[socket.socket], None]:
    """Give the same answer to whatever is said; ``greet`` speaks first."""

    def behave(connection: socket.socket) -> None:
        if greet:
            connection.sendall(answer)
        while connection.recv(65536):
            connection.sendall(answer)

    return behave


def mysql_error(number: int, state: str, message: str) -> Callable[[socket.socket], None]:
    """Greet with MySQL's error packet."""
    body = b"\xff" + struct.pack("<H", number) + b"#" + state.encode() + message.encode()
    packet = struct.pack("<I", len(body))[:3] + b"\x00" + body

    def behave(connection: socket.socket) -> None:
        connection.sendall(packet)
        time.sleep(0.2)
        connection.close()

    return behave


def serve(
    status: int,
    body: str = "",
    headers: Mapping[str, str] | None = None,
    host: str = "api.shop.test",
    path: str = "/v1/orders",
) -> str:
    """Answer every request with ``status`` and ``body``; returns the address to ask."""

    class Answer(http.server.BaseHTTPRequestHandler):
        def _answer(self) -> None:
            data = body.encode()
            self.rfile.read(int(self.headers.get("Content-Length") or 0))
            self.send_response(status)
            for name, value in (headers or {}).items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        do_GET = do_POST = do_PUT = do_DELETE = do_PATCH = do_HEAD = _answer  # noqa: N815 - names of http.server

        def log_message(self, *_: Any) -> None:
            """Keep quiet."""

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answer)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    _PORTS[host] = server.server_port
    return f"http://{host}{path}"


def at(host: str) -> str:
    """Return ``host:port`` of a stub."""
    return f"{host}:{_PORTS[host]}"


def unprivileged() -> None:
    """Give up root in this process, so that file modes count."""
    if os.getuid() == 0:
        os.setgid(65534)
        os.setuid(65534)
