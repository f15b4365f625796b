"""Requests to addresses the catalogue does not know."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import httpx
import pytest
from pydantic import SecretStr

from prefect_autopilot.adapters.any_http import AnyHTTPClient
from prefect_autopilot.adapters.services import ServiceClient
from prefect_autopilot.adapters.simulator import Simulator
from prefect_autopilot.errors import ConfigurationError, ServiceError, UsageError
from prefect_autopilot.services import load_catalogue

URL = "https://api.example.com/orders?open=yes&page=1"


class Side:
    """The other side: what it received, and what it answers."""

    def __init__(self, status: int = 200) -> None:
        self.status = status
        self.requests: list[httpx.Request] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        return httpx.Response(self.status, json={"ok": True})


def client(side: Side | None = None, *, base_url: str | None = None, **options: Any) -> AnyHTTPClient:
    transport = httpx.MockTransport(side) if side else None
    held = {"token": SecretStr("t0ken-secret")} if base_url else {}
    return AnyHTTPClient(
        load_catalogue().get("http"), held, base_url=base_url, transport=transport, **options
    )


async def test_a_request_without_more_is_a_get_of_that_very_address() -> None:
    side = Side()

    answer = await client(side).call("request", {"url": URL})

    [request] = side.requests
    assert answer == {"ok": True}
    assert (request.method, str(request.url)) == ("GET", URL)
    assert request.content == b""
    assert "authorization" not in request.headers


@pytest.mark.timeout(30)
async def test_calls_of_an_open_client_share_a_connection() -> None:
    opened = 0

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal opened
        opened += 1
        while await reader.readline():
            while await reader.readline() not in (b"\r\n", b""):
                pass
            writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\r\n{}")
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/orders"
        calls = client(allow_private_network=True)
        async with calls:
            assert [await calls.call("request", {"url": url}) for _ in range(3)] == [{}] * 3
        assert opened == 1
        await calls.call("request", {"url": url})
        assert opened == 2


async def test_a_kept_connection_refuses_private_addresses_as_well() -> None:
    async with client() as calls:
        with pytest.raises(ConfigurationError, match="private network"):
            await calls.call("request", {"url": "http://127.0.0.1:9/orders"})


async def test_method_headers_and_json_are_sent() -> None:
    side = Side()

    await client(side).call(
        "request", {"url": URL, "method": "POST", "headers": {"X-Shop": "7"}, "json": [{"a": None}]}
    )

    [request] = side.requests
    assert request.method == "POST"
    assert request.headers["x-shop"] == "7"
    assert json.loads(request.content) == [{"a": None}]


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("https://api.example.com/orders", True),
        ("https://other.example.com/orders", False),
        ("http://api.example.com/orders", False),
        ("https://api.example.com:8443/orders", False),
        ("https://api.example.com.evil.example/", False),
    ],
)
async def test_a_token_goes_to_the_host_of_the_connection_only(url: str, *, told: bool) -> None:
    side = Side()

    await client(side, base_url="https://api.example.com").call("request", {"url": url})

    assert (side.requests[0].headers.get("authorization") == "Bearer t0ken-secret") is told
    assert ("authorization" in side.requests[0].headers) is told


@pytest.mark.parametrize(
    ("method", "effect"),
    [
        ("GET", "safe"),
        ("HEAD", "safe"),
        ("PUT", "idempotent"),
        ("DELETE", "idempotent"),
        ("POST", "unsafe"),
        ("PATCH", "unsafe"),
    ],
)
async def test_whether_a_request_may_be_repeated_depends_on_its_method(method: str, effect: str) -> None:
    with pytest.raises(ServiceError) as caught:
        await client(Side(503)).call("request", {"url": URL, "method": method})

    assert caught.value.effect == effect
    assert not caught.value.permanent


@pytest.mark.parametrize(
    "url",
    ["http://127.0.0.1/admin", "http://169.254.169.254/latest/meta-data", "http://localhost:4200/api",
     "http://[::1]/", "http://10.0.0.5/", "http://printer.local/"],
)  # fmt: skip
async def test_a_private_address_is_refused_unless_the_connection_allows_it(url: str) -> None:
    with pytest.raises(ConfigurationError, match="private network"):
        await client().call("request", {"url": url})


@pytest.mark.parametrize(
    ("parameters", "told"),
    [
        ({}, "'url'"),
        ({"url": "api.example.com"}, "'url'"),
        ({"url": "ftp://api.example.com"}, "'url'"),
        ({"url": "file:///etc/passwd"}, "'url'"),
        ({"url": "https://me:s3cret@api.example.com"}, "'url'"),
        ({"url": "https://"}, "'url'"),
        ({"url": URL, "method": "TRACE"}, "'method'"),
        ({"url": URL, "headers": "X: 1"}, "'headers'"),
        ({"url": URL, "headers": {"X": "a\r\nEvil: 1"}}, "'X'"),
        ({"url": URL, "json": {}}, "'json'"),
        ({"url": URL, "body": "x"}, "body"),
    ],
)
async def test_a_wrong_parameter_is_named_and_nothing_is_sent(parameters: dict[str, Any], told: str) -> None:
    side = Side()

    with pytest.raises(UsageError, match=told) as caught:
        await client(side).call("request", parameters)

    assert side.requests == []
    assert "s3cret" not in str(caught.value)


async def test_the_stand_in_takes_a_request_and_refuses_a_wrong_address() -> None:
    simulator = Simulator()
    transport = httpx.ASGITransport(simulator)

    async with httpx.AsyncClient(transport=transport, base_url="http://simulator") as web:
        good = await web.post("/http/request", json={"url": URL})
        bad = await web.post("/http/request", json={"url": "file:///etc/passwd"})

    assert (good.status_code, bad.status_code) == (200, 400)


PAGE = "Straße;7\n" * 1000
CONTENTS = {
    "text": ("text/csv; charset=utf-8", PAGE.encode()),
    "another charset": ("text/plain; charset=latin-1", PAGE.encode("latin-1")),
    "a web page": ("text/html", b"<html>Hello</html>"),
    "JSON": ("application/json", b'{"rows": [1, 2]}'),
    "bytes": ("application/pdf", b"%PDF\x00\xff"),
    "nothing": ("text/plain", b""),
}


def answering(kind: str, content: bytes, status: int = 200) -> httpx.MockTransport:
    return httpx.MockTransport(
        lambda _: httpx.Response(status, content=content, headers={"content-type": kind})
    )


def names_in(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir()]


def reader(transport: httpx.MockTransport) -> AnyHTTPClient:
    return AnyHTTPClient(load_catalogue().get("http"), {}, transport=transport)


@pytest.mark.parametrize(("kind", "content"), CONTENTS.values(), ids=CONTENTS.keys())
async def test_an_answer_is_saved_byte_for_byte_whatever_it_is(
    tmp_path: Path, kind: str, content: bytes
) -> None:
    target = tmp_path / "answer"
    told = await reader(answering(kind, content)).call("request", {"url": URL}, save_to=target)
    assert target.read_bytes() == content
    assert told == {
        "path": str(target),
        "bytes": len(content),
        "content_type": kind.partition(";")[0],
    }


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
async def test_what_changes_something_is_not_saved_and_not_sent(tmp_path: Path, method: str) -> None:
    side = Side()
    with pytest.raises(UsageError, match="only what is read"):
        await client(side).call("request", {"url": URL, "method": method}, save_to=tmp_path / "x")
    assert side.requests == []
    assert names_in(tmp_path) == []


async def test_a_refusal_is_told_and_leaves_no_file(tmp_path: Path) -> None:
    transport = answering("text/plain", b"gone", 410)
    with pytest.raises(ServiceError) as caught:
        await reader(transport).call("request", {"url": URL}, save_to=tmp_path / "x")
    assert caught.value.status == 410
    assert names_in(tmp_path) == []


@pytest.mark.parametrize(("method", "saved"), [("GET", True), ("POST", False)])
async def test_a_preview_saves_what_the_real_call_would(tmp_path: Path, method: str, *, saved: bool) -> None:
    target = tmp_path / "answer.json"
    transport = httpx.ASGITransport(Simulator())
    async with ServiceClient(
        load_catalogue().get("http"), {}, transport=transport, base_url="http://simulator/http"
    ) as calls:
        given = {"url": URL, "method": method}
        if saved:
            assert (await calls.call("request", given, save_to=target))["path"] == str(target)
        else:
            with pytest.raises(UsageError, match="only what is read"):
                await calls.call("request", given, save_to=target)
    assert target.exists() is saved
