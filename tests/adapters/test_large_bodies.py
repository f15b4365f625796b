"""Large bodies both ways over a real socket: what is in memory at once is a piece, never the whole."""

from __future__ import annotations

import asyncio
import hashlib
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from pydantic import SecretStr

from prefect_autopilot.adapters.any_http import AnyHTTPClient
from prefect_autopilot.adapters.clients import open_client
from prefect_autopilot.adapters.services import ServiceClient
from prefect_autopilot.models import Auth, Operation, Parameter, Service
from prefect_autopilot.services import load_catalogue

MB = 2**20
SIZE = 48 * MB
MOST = 6 * MB
"""Bytes that may be held at once while ``SIZE`` pass."""

ZEROS = hashlib.sha256(bytes(SIZE)).hexdigest()
"""What the large file holds."""

STORE = Service(
    id="store",
    name="Store",
    base_url="http://store.example",
    auth=Auth(),
    operations=(
        Operation(id="get_file", method="GET", path="/file", effect="safe"),
        Operation(
            id="put_raw",
            method="PUT",
            path="/raw",
            body="raw",
            parameters=(Parameter(name="content", type="any", at="$"),),
        ),
        Operation(
            id="put_argued",
            method="POST",
            path="/argued",
            body="raw",
            json_header="X-Arg",
            parameters=(Parameter(name="content", type="any", at="$"), Parameter(name="path")),
        ),
        Operation(
            id="put_form",
            method="POST",
            path="/form",
            body="multipart",
            parameters=(Parameter(name="file", type="any"), Parameter(name="title")),
        ),
    ),
)


class Wire:
    """An HTTP server that keeps only how many bytes of a body it was sent."""

    def __init__(self) -> None:
        self.received = 0
        self.headers = ""

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
        self.headers = head
        left = int(head.partition("content-length: ")[2].partition("\r\n")[0] or 0)
        while left:
            piece = await reader.read(min(left, MB // 4))
            if not piece:
                break
            left -= len(piece)
            self.received += len(piece)
        size = SIZE if head.startswith("get") else 2
        writer.write(f"HTTP/1.1 200 OK\r\nContent-Length: {size}\r\nConnection: close\r\n\r\n".encode())
        if size == SIZE:
            piece = b"x" * (MB // 4)
            for _ in range(SIZE // len(piece)):
                writer.write(piece)
                await writer.drain()
        else:
            writer.write(b"{}")
        await writer.drain()
        writer.close()
        await writer.wait_closed()


@asynccontextmanager
async def served() -> Any:
    wire = Wire()
    server = await asyncio.start_server(wire.answer, "127.0.0.1", 0)
    async with server:
        yield wire, f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"


@pytest.fixture
def peak() -> Iterator[Callable[[], int]]:
    """Bytes that were held at once since the test began; the machinery is imported before."""
    tracemalloc.start()
    tracemalloc.reset_peak()
    yield lambda: tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()


@pytest.fixture
def large(tmp_path: Path) -> Path:
    file = tmp_path / "large.bin"
    with file.open("wb") as opened:
        opened.truncate(SIZE)
    return file


@pytest.mark.timeout(30)
@pytest.mark.parametrize("operation", ["put_raw", "put_argued", "put_form"])
async def test_a_large_file_is_sent_piece_by_piece(
    operation: str, large: Path, peak: Callable[[], int]
) -> None:
    async with served() as (wire, url):
        given = {"file": large, "title": "T"} if operation == "put_form" else {"content": large}
        async with open_client(STORE, {}, base_url=url, allow_private_network=True) as client:
            await client.call(operation, given)
    assert wire.received >= SIZE
    assert "transfer-encoding" not in wire.headers
    assert peak() < MOST


class Tap(httpx.AsyncBaseTransport):
    """Takes a body piece by piece, and keeps the largest piece and how many bytes came."""

    def __init__(self) -> None:
        self.largest = self.received = 0
        self.request: httpx.Request | None = None

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        self.request = request
        async for piece in request.stream:  # type: ignore[union-attr]
            self.largest = max(self.largest, len(piece))
            self.received += len(piece)
        return httpx.Response(200)


@pytest.mark.timeout(30)
@pytest.mark.parametrize(
    ("base_url", "digest"),
    [
        (None, "UNSIGNED-PAYLOAD"),
        ("http://127.0.0.1:9000", ZEROS),
    ],
    ids=["over TLS", "without TLS"],
)
async def test_a_large_file_is_signed_for_s3_without_being_held(
    base_url: str | None, digest: str, large: Path, peak: Callable[[], int]
) -> None:
    tap, service = Tap(), load_catalogue().get("aws_s3")
    keys = {"access_key_id": "AKID", "secret_access_key": "secret", "region": "eu-central-1"}
    held = {name: SecretStr(value) for name, value in keys.items()}
    async with ServiceClient(
        service, held, base_url=base_url, transport=tap, allow_private_network=True
    ) as client:
        await client.call("put_object", {"bucket": "b", "key": "k", "content": "s"})  # imports what signs
        tracemalloc.reset_peak()
        before = tracemalloc.get_traced_memory()[0]
        await client.call("put_object", {"bucket": "b", "key": "k", "content": large})
    assert tap.received == SIZE + 1
    assert tap.largest <= MB
    assert peak() - before < MOST
    assert tap.request is not None
    assert tap.request.headers["x-amz-content-sha256"] == digest
    assert tap.request.headers["content-length"] == str(SIZE)
    told = tap.request.headers["authorization"]
    assert "x-amz-content-sha256" in told.partition("SignedHeaders=")[2]


@pytest.mark.timeout(30)
async def test_a_large_answer_is_saved_piece_by_piece(tmp_path: Path, peak: Callable[[], int]) -> None:
    target = tmp_path / "answer.bin"
    async with served() as (_, url):
        client: Any = open_client(STORE, {}, base_url=url, allow_private_network=True)
        async with client:
            told = await client.call("get_file", save_to=target)
    assert told["bytes"] == SIZE == target.stat().st_size
    assert peak() < MOST


@pytest.mark.timeout(30)
async def test_a_large_answer_of_any_address_is_saved_piece_by_piece(
    tmp_path: Path, peak: Callable[[], int]
) -> None:
    target = tmp_path / "answer.bin"
    async with served() as (_, url):
        client = AnyHTTPClient(load_catalogue().get("http"), {}, allow_private_network=True)
        told = await client.call("request", {"url": f"{url}/file"}, save_to=target)
    assert told["bytes"] == SIZE
    assert peak() < MOST
