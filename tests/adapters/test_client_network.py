"""Where the client connects: to public addresses, the very ones that were checked, or where it is allowed."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterable
from typing import Any

import anyio
import httpcore
import httpx
import pytest
from pydantic import SecretStr

from prefect_autopilot.adapters.network import (
    NetworkTransport,
    PublicNetwork,
    check_host,
    is_public,
    outgoing,
)
from prefect_autopilot.adapters.oauth import refresh
from prefect_autopilot.adapters.services import ServiceClient, utc_now
from prefect_autopilot.adapters.simulator import Simulator, serve_simulator
from prefect_autopilot.errors import ConfigurationError, ServiceError
from prefect_autopilot.services import load_catalogue, simulated_credentials

ASANA = load_catalogue().get("asana")
HELD = {name: SecretStr(value) for name, value in simulated_credentials(ASANA).items()}


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)


PRIVATE = [
    "127.0.0.1",
    "127.8.9.1",
    "10.1.2.3",
    "172.16.0.1",
    "172.31.255.255",
    "192.168.0.1",
    "169.254.169.254",
    "100.64.0.1",
    "0.0.0.0",
    "255.255.255.255",
    "224.0.0.1",
    "192.0.2.1",
    "198.18.0.1",
    "::1",
    "::",
    "fd00::1",
    "fd00:ec2::254",
    "fe80::1",
    "fe80::1%eth0",
    "fec0::1",
    "ff02::1",
    "::ffff:10.0.0.1",
    "::ffff:169.254.169.254",
    "64:ff9b::10.0.0.1",
    "2002:a00:1::",
    "::7f00:1",
    "no address",
    "",
]


@pytest.mark.parametrize("address", PRIVATE)
def test_a_private_address_is_known_however_it_is_written(address: str) -> None:
    assert not is_public(address)


@pytest.mark.parametrize(
    "address", ["8.8.8.8", "172.32.0.1", "11.0.0.1", "2606:4700::1111", "::ffff:8.8.8.8", "64:ff9b::8.8.8.8"]
)
def test_a_public_address_is_public(address: str) -> None:
    assert is_public(address)


@pytest.mark.parametrize(
    "host",
    [
        "localhost",
        "LOCALHOST",
        "localhost.",
        "api.localhost",
        "printer.local",
        "metadata.google.internal",
        "127.0.0.1",
        "127.1",
        "2130706433",
        "0x7f.0.0.1",
        "0177.0.0.1",
        "169.254.169.254",
        "[::1]",
        "::1",
        "fd00::1",
    ],
)
def test_a_host_that_is_private_by_its_writing_is_refused_before_anything_is_sent(host: str) -> None:
    with pytest.raises(ConfigurationError, match="allow_private_network"):
        check_host(host)
    if host.startswith("[") or ":" not in host:
        asked: list[httpx.Request] = []
        transport = httpx.MockTransport(lambda request: asked.append(request) or httpx.Response(200))
        with pytest.raises(ConfigurationError, match=r"nothing was sent|not reached over HTTP"):
            ServiceClient(ASANA, HELD, base_url=f"http://{host}/api", transport=transport)
        assert asked == []


@pytest.mark.parametrize("host", ["app.asana.com", "localhost.example.com", "8.8.8.8", "local", "10.example"])
def test_a_host_that_may_be_public_is_not_refused_by_its_writing(host: str) -> None:
    check_host(host)


class Recording(httpcore.AsyncNetworkBackend):
    """Remembers where a socket would have been opened."""

    def __init__(self, refusing: tuple[str, ...] = ()) -> None:
        self.opened: list[str] = []
        self._refusing = refusing

    async def connect_tcp(self, host: str, *_: Any) -> httpcore.AsyncNetworkStream:
        self.opened.append(host)
        if host in self._refusing:
            raise httpcore.ConnectError("refused")
        answer = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\r\n{}"
        return httpcore.AsyncMockStream([answer])


def names(monkeypatch: pytest.MonkeyPatch, *answers: Iterable[str] | OSError) -> None:
    """Let every look-up of a name give the next of these answers."""
    waiting = list(answers)

    async def look_up(host: str, port: int, **_: Any) -> list[Any]:
        found = waiting.pop(0) if len(waiting) > 1 else waiting[0]
        if isinstance(found, OSError):
            raise found
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (one, port)) for one in found]

    monkeypatch.setattr(anyio, "getaddrinfo", look_up)


def get(backend: Recording) -> int:
    async def ask() -> int:
        async with NetworkTransport(PublicNetwork(backend)) as transport:
            request = httpx.Request("GET", "http://shop.example/x", extensions={"timeout": {"connect": 5.0}})
            response = await transport.handle_async_request(request)
            await response.aread()
            await response.aclose()
            return response.status_code

    return asyncio.run(ask())


def test_the_socket_is_opened_to_the_address_that_was_checked(monkeypatch: pytest.MonkeyPatch) -> None:
    names(monkeypatch, ["93.184.216.34"], ["127.0.0.1"])
    backend = Recording()

    assert get(backend) == 200
    assert backend.opened == ["93.184.216.34"], "no second look-up can lead elsewhere"


@pytest.mark.parametrize(
    "found", [["127.0.0.1"], ["93.184.216.34", "10.0.0.1"], ["10.0.0.1", "93.184.216.34"], ["fd00::1"]]
)
def test_a_name_with_any_private_address_is_refused(
    monkeypatch: pytest.MonkeyPatch, found: list[str]
) -> None:
    names(monkeypatch, found)
    backend = Recording()

    with pytest.raises(ConfigurationError, match=r"shop\.example"):
        get(backend)
    assert backend.opened == []


def test_the_next_address_is_tried_where_one_refuses(monkeypatch: pytest.MonkeyPatch) -> None:
    names(monkeypatch, ["93.184.216.34", "93.184.216.35"])
    backend = Recording(refusing=("93.184.216.34",))

    assert get(backend) == 200
    assert backend.opened == ["93.184.216.34", "93.184.216.35"]


@pytest.mark.parametrize("found", [socket.gaierror(-2, "unknown"), []], ids=["unknown name", "no address"])
def test_a_name_that_leads_nowhere_is_a_failed_connection(
    monkeypatch: pytest.MonkeyPatch, found: Any
) -> None:
    names(monkeypatch, found)
    with pytest.raises(httpx.ConnectError):
        get(Recording())


def test_a_refused_name_is_told_by_the_client_and_nothing_is_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    names(monkeypatch, ["169.254.169.254"])

    async def call() -> Any:
        async with ServiceClient(ASANA, HELD, base_url="http://shop.example") as one:
            return await one.call("create_task", {"name": "T"})

    with pytest.raises(ConfigurationError, match=r"shop\.example is an address of a private network"):
        asyncio.run(call())


def test_an_unknown_name_is_a_service_error_that_may_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    names(monkeypatch, socket.gaierror(-2, "unknown"))

    async def call() -> Any:
        async with ServiceClient(ASANA, HELD, base_url="http://shop.example") as one:
            return await one.call("create_task", {"name": "T"})

    with pytest.raises(ServiceError) as caught:
        asyncio.run(call())
    assert not caught.value.permanent


def test_a_service_on_this_machine_is_reached_where_that_is_allowed() -> None:
    simulator = Simulator()

    async def calls(url: str) -> list[Any]:
        async with ServiceClient(ASANA, HELD, base_url=f"{url}/asana", allow_private_network=True) as one:
            return [await one.call("create_task", {"name": f"T{n}"}) for n in range(3)]

    with serve_simulator(simulator) as url:
        answers = asyncio.run(calls(url))
        with pytest.raises(ConfigurationError):
            ServiceClient(ASANA, HELD, base_url=f"{url}/asana")
    assert [answer["data"]["name"] for answer in answers] == ["T0", "T1", "T2"]


class OpensTogether(httpcore.AsyncNetworkBackend):
    """Opens connections only once so many are asked for at the same time."""

    def __init__(self, together: int) -> None:
        self.waiting, self.together, self.opened = 0, together, anyio.Event()

    async def connect_tcp(self, *_: Any, **__: Any) -> httpcore.AsyncNetworkStream:
        self.waiting += 1
        if self.waiting == self.together:
            self.opened.set()
        await self.opened.wait()
        answer = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 11\r\n\r\n"
        return httpcore.AsyncMockStream([answer, b'{"data":{}}'])


def test_a_dozen_calls_at_once_do_not_wait_for_each_other() -> None:
    async def calls() -> list[Any]:
        transport = NetworkTransport(OpensTogether(12))
        with anyio.fail_after(5):
            async with ServiceClient(ASANA, HELD, base_url="http://asana.test", transport=transport) as one:
                return await asyncio.gather(*(one.call("get_task", {"task_gid": "1"}) for _ in range(12)))

    assert asyncio.run(calls()) == [{"data": {}}] * 12


def test_waiting_for_a_connection_is_no_silence_of_the_service() -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        assert request.extensions["timeout"] == {"connect": 7.0, "read": 7.0, "write": 7.0, "pool": None}
        return httpx.Response(200, json={"data": {}})

    async def call() -> Any:
        async with ServiceClient(ASANA, HELD, transport=httpx.MockTransport(answer), timeout_s=7.0) as one:
            return await one.call("get_task", {"task_gid": "1"})

    assert asyncio.run(call()) == {"data": {}}


def test_tokens_are_not_asked_for_at_a_private_address_either() -> None:
    with pytest.raises(ConfigurationError, match="private network"):
        asyncio.run(refresh(ASANA, HELD, now=utc_now(), token_url="http://169.254.169.254/token"))


def test_a_proxy_is_used_where_one_is_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("https_proxy", "http://proxy.example:3128")
    assert isinstance(outgoing("https://a.example", None, allow_private=False), httpx.AsyncHTTPTransport)
    assert isinstance(outgoing("http://a.example", None, allow_private=False), NetworkTransport)
    monkeypatch.setenv("no_proxy", "a.example")
    assert isinstance(outgoing("https://a.example", None, allow_private=False), NetworkTransport)
    with pytest.raises(ConfigurationError):
        outgoing("https://10.0.0.1", None, allow_private=False)


@pytest.mark.parametrize(
    ("raised", "seen"),
    [
        (httpcore.ConnectTimeout("t"), httpx.ConnectTimeout),
        (httpcore.ReadTimeout("t"), httpx.ReadTimeout),
        (httpcore.ReadError("t"), httpx.ReadError),
        (httpcore.WriteError("t"), httpx.WriteError),
        (httpcore.RemoteProtocolError("t"), httpx.RemoteProtocolError),
    ],
    ids=["connect timeout", "read timeout", "read", "write", "protocol"],
)
def test_errors_of_the_socket_are_those_of_httpx(raised: Exception, seen: type[Exception]) -> None:
    class Failing(httpcore.AsyncNetworkBackend):
        async def connect_tcp(self, *_: Any, **__: Any) -> httpcore.AsyncNetworkStream:
            raise raised

    async def ask() -> None:
        async with NetworkTransport(Failing()) as transport:
            await transport.handle_async_request(httpx.Request("GET", "http://shop.example/x"))

    with pytest.raises(seen):
        asyncio.run(ask())
