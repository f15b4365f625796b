"""What a call through the service client costs beside bare httpx: same stub, same request, interleaved.

    python benchmarks/client_overhead.py [--calls 400] [--warm 50]

Two stubs: an ASGI application in this process, and a server on a loopback socket in its own process. Bare
httpx does what a careful person writes by hand: build the request with its header, send, raise_for_status,
decode the JSON. Prints medians, the quartiles and the ratio, which may be 1.25.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable
from typing import Any

import httpx
from pydantic import SecretStr

from prefect_autopilot.adapters.rates import RateGate
from prefect_autopilot.adapters.services import ServiceClient
from prefect_autopilot.services import load_catalogue

LIMIT = 1.25
TASK = {"name": "Call the supplier", "notes": "before noon", "projects": ["1200000000000011"]}
ANSWER = json.dumps({"data": {"gid": "1", "resource_type": "task", **TASK}}).encode()
SERVER = """
import asyncio, sys
ANSWER = {answer!r}
HEAD = b"HTTP/1.1 201 Created\\r\\ncontent-type: application/json\\r\\n"
HEAD += b"content-length: %d\\r\\n\\r\\n" % len(ANSWER)
async def serve(reader, writer):
    try:
        while True:
            head = await reader.readuntil(b"\\r\\n\\r\\n")
            lines = dict(l.lower().split(b": ", 1) for l in head.split(b"\\r\\n")[1:] if b": " in l)
            await reader.readexactly(int(lines.get(b"content-length", 0)))
            writer.write(HEAD + ANSWER)
    except (asyncio.IncompleteReadError, ConnectionError):
        writer.close()
async def main():
    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()
asyncio.run(main())
"""


async def stub(
    scope: dict[str, Any], receive: Callable[[], Awaitable[Any]], send: Callable[..., Any]
) -> None:
    """Read the request and answer as Asana does."""
    assert scope["type"] == "http"
    while (await receive()).get("more_body"):
        pass
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(ANSWER)).encode())]
    await send({"type": "http.response.start", "status": 201, "headers": headers})
    await send({"type": "http.response.body", "body": ANSWER})


async def timed(call: Callable[[], Awaitable[Any]]) -> float:
    begun = time.perf_counter()
    await call()
    return 1e6 * (time.perf_counter() - begun)


async def compare(
    url: str, transport: Callable[[], httpx.AsyncBaseTransport | None], calls: int, warm: int
) -> tuple[list[float], list[float]]:
    token = "token-of-a-benchmark"
    service = load_catalogue().get("asana")
    ours = ServiceClient(
        service,
        {"access_token": SecretStr(token)},
        base_url=url,
        transport=transport(),
        connection="asana-default",
        gate=RateGate(None),  # how long the client holds calls back for Asana's rate limit is not its cost
        allow_private_network=True,
    )
    async with ours, httpx.AsyncClient(transport=transport(), timeout=30, follow_redirects=False) as bare:

        async def by_hand() -> Any:
            headers = {"Authorization": f"Bearer {token}", "Accept": "application/json"}
            response = await bare.post(f"{url}/tasks", json={"data": TASK}, headers=headers)
            response.raise_for_status()
            return response.json()

        async def by_client() -> Any:
            return await ours.call("create_task", TASK)

        assert await by_hand() == await by_client(), "both must get the same answer"
        for _ in range(warm):
            await by_hand()
            await by_client()
        gc.collect()
        gc.disable()
        hand, client = [], []
        for turn in range(calls):  # who goes first changes, so that neither always finds a warm cache
            for one in ((by_hand, hand), (by_client, client))[:: 1 if turn % 2 else -1]:
                one[1].append(await timed(one[0]))
        gc.enable()
        return hand, client


def told(name: str, hand: list[float], client: list[float]) -> float:
    ratio = statistics.median(client) / statistics.median(hand)
    for who, values in (("httpx", hand), ("client", client)):
        low, middle, high = statistics.quantiles(values, n=4)
        print(f"{name:9} {who:7} n={len(values)} median {middle:7.1f} us  quartiles {low:7.1f} {high:7.1f}")
    print(f"{name:9} ratio   {ratio:.3f} (limit {LIMIT})")
    return ratio


def ratios(calls: int, warm: int) -> tuple[float, float]:
    """Return how many times as long as bare httpx our client takes, in this process and on a socket."""
    in_process = asyncio.run(compare("http://stub/api", lambda: httpx.ASGITransport(stub), calls, warm))
    first = told("in-proc", *in_process)
    code = SERVER.format(answer=ANSWER)
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as server:
        try:
            assert server.stdout is not None
            port = int(server.stdout.readline())
            on_socket = asyncio.run(compare(f"http://127.0.0.1:{port}/api", lambda: None, calls, warm))
        finally:
            server.terminate()
    return first, told("loopback", *on_socket)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--calls", type=int, default=400)
    parser.add_argument("--warm", type=int, default=50)
    chosen = parser.parse_args()
    return 0 if max(ratios(chosen.calls, chosen.warm)) <= LIMIT else 1


if __name__ == "__main__":
    sys.exit(main())
