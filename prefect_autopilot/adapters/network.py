"""The way out: connections only to public addresses, unless a connection is told otherwise.

A name is resolved here, every address it has is checked, and the socket is opened to the checked address
itself, so that a name cannot mean another host by the time it is used (DNS rebinding). TLS still checks the
certificate against the name.
"""

from __future__ import annotations

import ipaddress
import socket
import ssl
import urllib.request
from collections.abc import AsyncIterator, Iterable
from types import TracebackType
from typing import Any, Self

import anyio
import httpcore
import httpx

from prefect_autopilot.errors import ConfigurationError

_LOCAL_NAMES = ("localhost", ".localhost", ".local", ".internal")
TIMEOUT_S = 30.0
"""Seconds of silence after which a call is given up, where a connection names no others."""
KEPT_S = 30.0
"""Seconds an unused connection stays open."""
MOST_CONNECTIONS = 100
"""Connections of one client that are open at once; further calls wait for one of them."""


def is_public(address: str) -> bool:
    """Tell whether an IP address is one of the public internet, also when it hides in an IPv6 one."""
    try:
        found = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return False
    if isinstance(found, ipaddress.IPv6Address):
        inner = found.ipv4_mapped or found.sixtofour or _nat64(found)
        if inner is not None:
            return is_public(str(inner))
        if found.is_reserved or found.is_site_local:
            return False
    return found.is_global and not found.is_multicast


def _nat64(address: ipaddress.IPv6Address) -> ipaddress.IPv4Address | None:
    if address in ipaddress.ip_network("64:ff9b::/96"):
        return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    return None


def _private(host: str) -> ConfigurationError:
    return ConfigurationError(
        f"{host} is an address of a private network; nothing was sent."
        " Set allow_private_network of the connection if the service runs there."
    )


def check_host(host: str) -> None:
    """Raise ConfigurationError for a host that is private by its writing alone."""
    name = host.strip("[]").rstrip(".").lower()
    if name.endswith(_LOCAL_NAMES):
        raise _private(host)
    try:
        # As the system reads numbers: 127.1 and 0x7f.0.0.1 are addresses too.
        name = socket.inet_ntoa(socket.inet_aton(name)) if ":" not in name else name
        ipaddress.ip_address(name.partition("%")[0])
    except (OSError, ValueError):
        return
    if not is_public(name):
        raise _private(host)


class PublicNetwork(httpcore.AsyncNetworkBackend):
    """Opens sockets to public addresses only, and to the very addresses that were checked."""

    def __init__(self, backend: httpcore.AsyncNetworkBackend | None = None) -> None:
        self._backend = backend or httpcore.AnyIOBackend()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109  httpcore's interface
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        """Open a socket to the first address of ``host`` that answers; raises ConfigurationError."""
        refused: Exception = httpcore.ConnectError(f"{host} has no address")
        try:
            found = await public_addresses(host, port, timeout)
        except TimeoutError as error:
            raise httpcore.ConnectTimeout(str(error)) from error
        except OSError as error:
            raise httpcore.ConnectError(str(error)) from error
        for address in found:
            try:
                return await self._backend.connect_tcp(address, port, timeout, local_address, socket_options)
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
                refused = error
        raise refused

    async def sleep(self, seconds: float) -> None:
        """Wait."""
        await self._backend.sleep(seconds)


async def public_addresses(host: str, port: int, timeout_s: float | None) -> list[str]:
    """Return the addresses a host has now, in the order in which they are to be tried.

    Raises ConfigurationError where one of them is private, OSError (TimeoutError when it takes longer than
    ``timeout_s``) where the host has none.
    """
    check_host(host)
    try:
        with anyio.fail_after(timeout_s):
            rows = await anyio.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except TimeoutError as error:
        raise TimeoutError(f"{host} could not be resolved in time") from error
    except (OSError, UnicodeError) as error:
        raise OSError(f"{host} could not be resolved") from error
    found = list(dict.fromkeys(str(row[4][0]) for row in rows))
    if not all(map(is_public, found)):  # one private address among public ones is no accident
        raise _private(host)
    return found


class NetworkTransport(httpx.AsyncBaseTransport):
    """httpx's transport with a network of our choice, and certificates read once a process."""

    def __init__(self, network: httpcore.AsyncNetworkBackend) -> None:
        self._pool = httpcore.AsyncConnectionPool(
            ssl_context=_tls(),
            max_connections=MOST_CONNECTIONS,
            keepalive_expiry=KEPT_S,
            network_backend=network,
        )

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send one request."""
        url = request.url
        asked = httpcore.Request(
            method=request.method,
            url=httpcore.URL(scheme=url.raw_scheme, host=url.raw_host, port=url.port, target=url.raw_path),
            headers=request.headers.raw,
            content=request.stream,
            extensions=request.extensions,
        )
        try:
            answer = await self._pool.handle_async_request(asked)
        except _HTTPCORE as error:
            raise _of_httpx(error) from error
        return httpx.Response(
            answer.status, headers=answer.headers, stream=_Stream(answer), extensions=answer.extensions
        )

    async def __aenter__(self) -> Self:
        await self._pool.__aenter__()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None = None,
        error: BaseException | None = None,
        trace: TracebackType | None = None,
    ) -> None:
        await self._pool.__aexit__(kind, error, trace)

    async def aclose(self) -> None:
        """Close every connection."""
        await self._pool.aclose()


class _Stream(httpx.AsyncByteStream):
    def __init__(self, answer: httpcore.Response) -> None:
        self._answer = answer

    async def __aiter__(self) -> AsyncIterator[bytes]:
        try:
            async for part in self._answer.aiter_stream():
                yield part
        except _HTTPCORE as error:
            raise _of_httpx(error) from error

    async def aclose(self) -> None:
        await self._answer.aclose()


_HTTPCORE = (
    httpcore.TimeoutException,
    httpcore.NetworkError,
    httpcore.ProtocolError,
    httpcore.UnsupportedProtocol,
)


def _of_httpx(error: Exception) -> httpx.TransportError:
    """Return httpx's error of the same name."""
    kind = getattr(httpx, type(error).__name__, httpx.TransportError)
    made: httpx.TransportError = kind(str(error))
    return made


_shared: list[ssl.SSLContext] = []


def _tls() -> ssl.SSLContext:
    # Reading the certificates takes about 20 ms, and a context may be shared.
    if not _shared:
        _shared.append(httpx.create_ssl_context())
    return _shared[0]


def outgoing(
    address: str, transport: httpx.AsyncBaseTransport | None, *, allow_private: bool
) -> httpx.AsyncBaseTransport:
    """Return the transport for calls of ``address``: a given one, or one to the network as allowed.

    Raises ConfigurationError when the address is private by its writing, or none. Behind a proxy, which
    resolves names itself, only that can be checked.
    """
    try:
        url = httpx.URL(address)
    except httpx.InvalidURL as error:
        raise ConfigurationError(f"{address!r} is no address; correct it in the connection.") from error
    if not allow_private:
        check_host(url.host)
    if transport is not None:
        return transport
    if proxy := proxy_of(url):
        return httpx.AsyncHTTPTransport(proxy=proxy, verify=_tls())
    return NetworkTransport(httpcore.AnyIOBackend() if allow_private else PublicNetwork())


def proxy_of(url: httpx.URL) -> str | None:
    """Return the proxy that calls of an address go through, as the environment says; None for none."""
    proxies = urllib.request.getproxies()
    proxy = proxies.get(url.scheme) or proxies.get("all")
    return proxy if proxy and not urllib.request.proxy_bypass(url.host) else None
