"""A Prefect server and worker of our own, as child processes that end with us."""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import sys
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from math import inf
from pathlib import Path

import httpx

from prefect_autopilot.errors import PrefectError, UsageError

logger = logging.getLogger(__name__)

START_TIMEOUT_S = 120
"""A first start migrates an empty database: 39 s were measured on a busy two-core machine."""

STOP_TIMEOUT_S = 15

RESTART_PAUSES_S = (1.0, 5.0, 15.0, 60.0, 60.0)
LOOK_EVERY_S = 30.0
HUNG_AFTER_S = 300.0
"""A worker tells the server every 30 s that it lives; one that does so no more for this long hangs."""
WELL_AFTER_S = 600.0

LAST_PORT = 65_535
LONGEST_WORDS = 300

QUIET: Mapping[str, str] = {
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "DO_NOT_TRACK": "1",
    "PREFECT_CLI_PROMPT": "false",
    "PREFECT_LOGGING_LEVEL": "WARNING",
}


@dataclass(frozen=True)
class SignsOfLife:
    """How it is seen that a child which runs does nothing any more."""

    silent_s: Callable[[], Awaitable[float | None]]
    """Tells for how many seconds it has given no sign of life; None where nobody knows."""
    look_every_s: float = LOOK_EVERY_S
    hung_after_s: float = HUNG_AFTER_S


_LOOKS = 2
"""A machine that slept shows one old sign of life, and a new one at the next look."""


@dataclass(frozen=True)
class EmbeddedPrefect:
    """Where the server listens and the environment that its clients and workers need."""

    url: str
    home: Path
    environment: Mapping[str, str]

    @property
    def ui_url(self) -> str:
        """Address of the Prefect UI."""
        return self.url.removesuffix("/api")


def free_port() -> int:
    """Return a loopback port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def check_address(host: str, port: int, *, advice: str) -> None:
    """Raise ``UsageError``, which ends in ``advice``, when nobody could listen there now."""
    if not 0 <= port <= LAST_PORT:
        raise UsageError(f"There is no port {port}; {advice}.")
    try:
        family, kind, protocol, _, place = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind, protocol) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(place)
    except OSError as error:
        raise UsageError(f"Cannot listen on {host} port {port}: {error.strerror}; {advice}.") from error


@asynccontextmanager
async def running_server(
    home: Path, *, port: int | None = None, extra: Mapping[str, str] | None = None
) -> AsyncIterator[EmbeddedPrefect]:
    """Run a Prefect server on loopback with its own home until the block ends.

    ``extra`` is added to the environment that its workers get.

    Raises ``PrefectError`` with the end of the server's log when it does not become healthy.
    """
    port = port or free_port()
    url = f"http://127.0.0.1:{port}/api"
    environment = _environment(home, url) | dict(extra or {})
    command = ["-m", "prefect", "server", "start", "--host", "127.0.0.1", "--port", str(port)]
    log = home / "server.log"
    async with _child(command, environment, log) as server:
        await _until_healthy(server, url, log)
        yield EmbeddedPrefect(url, home, environment)


@asynccontextmanager
async def running_worker(prefect: EmbeddedPrefect, *, pool: str, cwd: Path) -> AsyncIterator[None]:
    """Run a process worker for ``pool`` until the block ends; one that ends before, or hangs, is replaced."""
    name = f"{pool}-{uuid.uuid4().hex[:8]}"
    command = ["-m", "prefect", "worker", "start", "--pool", pool, "--type", "process", "--name", name]

    async def silent_s() -> float | None:
        return await worker_silent_s(prefect.url, pool, name)

    async with kept(
        command, prefect.environment, prefect.home / "worker.log", cwd, signs=SignsOfLife(silent_s)
    ):
        yield


async def worker_silent_s(
    url: str, pool: str, name: str, transport: httpx.AsyncBaseTransport | None = None
) -> float | None:
    """Return the seconds since a worker last told the server that it lives, by the server's clock.

    Infinite where it never did, None where the server does not say: that is no sign of a worker's.
    """
    try:
        async with httpx.AsyncClient(timeout=10, transport=transport) as http:
            answer = await http.post(f"{url}/work_pools/{pool}/workers/filter", json={"limit": 200})
            workers = answer.raise_for_status().json()
    except (httpx.HTTPError, ValueError):
        return None
    beat = next((one.get("last_heartbeat_time") for one in workers if one.get("name") == name), None)
    now = parsedate_to_datetime(answer.headers["Date"]) if "Date" in answer.headers else datetime.now(UTC)
    return (now - datetime.fromisoformat(beat)).total_seconds() if beat else inf


@asynccontextmanager
async def kept(
    arguments: list[str],
    environment: Mapping[str, str],
    log: Path,
    cwd: Path | None = None,
    *,
    pauses: Sequence[float] = RESTART_PAUSES_S,
    signs: SignsOfLife | None = None,
) -> AsyncIterator[None]:
    """Keep a child process running until the block ends: one that ends is started again after a pause.

    Only what was started here is replaced, and only when it has ended by itself, or when ``signs`` say, at
    two looks in a row, that it gives no sign of life any more: then it is killed, the runs it began are not.
    Each further pause is the next of ``pauses``; one that has run for ten minutes counts as well again, and
    after the last it stays ended, for a worker that dies each time needs a person.
    """
    first = asyncio.get_running_loop().create_future()
    task = asyncio.create_task(_keep(arguments, environment, log, cwd, pauses, first, signs))
    try:
        await asyncio.wait({first, task}, return_when=asyncio.FIRST_COMPLETED)
        if task.done():
            task.result()  # it could not be started at all
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):  # cancelled in the line above
            await task


async def _keep(
    arguments: list[str],
    environment: Mapping[str, str],
    log: Path,
    cwd: Path | None,
    pauses: Sequence[float],
    first: asyncio.Future[None],
    signs: SignsOfLife | None,
) -> None:
    loop, ended = asyncio.get_running_loop(), 0
    while True:
        begun = loop.time()
        async with _child(arguments, environment, log, cwd) as process:
            if not first.done():
                first.set_result(None)
            code = await _ended(process, signs)
        ended = 1 if loop.time() - begun > WELL_AFTER_S else ended + 1
        if ended > len(pauses):
            logger.error(
                "The worker ended %d times, last with code %s; it stays ended, see %s.", ended, code, log
            )
            return
        pause = pauses[ended - 1]
        logger.warning(
            "The worker ended with code %s; it is started again in %s s, see %s.", code, pause, log
        )
        await asyncio.sleep(pause)


async def _ended(process: asyncio.subprocess.Process, signs: SignsOfLife | None) -> int:
    """Return the exit code of a process once it has ended; one that hangs is killed.

    By SIGKILL, which a process that hangs heeds, and which leaves the runs that it has begun alone.
    """
    loop, looks = asyncio.get_running_loop(), 0
    begun = loop.time()
    while signs is not None and looks < _LOOKS:
        with suppress(TimeoutError):  # it lives
            return await asyncio.wait_for(process.wait(), signs.look_every_s)
        silent = await signs.silent_s()
        hangs = silent is not None and min(silent, loop.time() - begun) > signs.hung_after_s
        looks = looks + 1 if hangs else 0
    if looks:
        logger.error("The worker lives and tells the server no more that it does; it is killed.")
        process.kill()
    return await process.wait()


def _environment(home: Path, url: str) -> dict[str, str]:
    home.mkdir(parents=True, exist_ok=True)
    # Credentials and profiles of another server must not reach ours.
    foreign = {"PREFECT_API_KEY", "PREFECT_API_AUTH_STRING", "PREFECT_PROFILE"}
    inherited = {key: value for key, value in os.environ.items() if key not in foreign}
    return {
        **inherited,
        **QUIET,
        "PREFECT_HOME": str(home),
        "PREFECT_API_URL": url,
        "PREFECT_WORKER_QUERY_SECONDS": "1",
    }


def _last_words(log: Path) -> str:
    """Return the last paragraph of a log in one line: terminals wrap what Prefect says of itself."""
    text = log.read_text(encoding="utf-8", errors="replace").strip()
    last = " ".join(text.split("\n\n")[-1].split())
    return (last if len(last) <= LONGEST_WORDS else f"…{last[-LONGEST_WORDS:]}") or "it said nothing"


@asynccontextmanager
async def _child(
    arguments: list[str], environment: Mapping[str, str], log: Path, cwd: Path | None = None
) -> AsyncIterator[asyncio.subprocess.Process]:
    with log.open("ab") as output:
        process = await asyncio.create_subprocess_exec(
            sys.executable, *arguments, env=dict(environment), stdout=output, stderr=output, cwd=cwd
        )
        try:
            yield process
        finally:
            await _stop(process)


async def _stop(process: asyncio.subprocess.Process) -> None:
    if process.returncode is not None:
        return
    process.terminate()
    try:
        await asyncio.wait_for(process.wait(), STOP_TIMEOUT_S)
    except TimeoutError:
        process.kill()
        await process.wait()


async def _until_healthy(server: asyncio.subprocess.Process, url: str, log: Path) -> None:
    deadline = asyncio.get_running_loop().time() + START_TIMEOUT_S
    async with httpx.AsyncClient(timeout=2) as http:
        while asyncio.get_running_loop().time() < deadline and server.returncode is None:
            try:
                if (await http.get(f"{url}/health")).is_success:
                    return
            except httpx.TransportError:
                pass  # not listening yet
            await asyncio.sleep(0.2)
    raise PrefectError(
        f"The Prefect server did not start: {_last_words(log)}; see {log}, "
        "and let `prefect-autopilot doctor` check the versions.",
        permanent=server.returncode is not None,
    )
