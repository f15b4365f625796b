"""Everything on one machine: Prefect server, worker, our deployments, watcher and REST API."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager, nullcontext
from pathlib import Path

from prefect.settings import PREFECT_API_URL, PREFECT_HOME, temporary_settings

from prefect_autopilot.adapters.embedded import (
    EmbeddedPrefect,
    check_address,
    running_server,
    running_worker,
)
from prefect_autopilot.adapters.prefect_target import PrefectTarget
from prefect_autopilot.adapters.versions import require_compatible
from prefect_autopilot.api import check_loopback, create_app, has_tokens
from prefect_autopilot.api.server import Server
from prefect_autopilot.deployments.install import install
from prefect_autopilot.errors import ConfigurationError
from prefect_autopilot.journeys.desk import open_desk
from prefect_autopilot.models.names import WORK_POOL
from prefect_autopilot.monitoring import FleetMetrics
from prefect_autopilot.settings import Settings, load_settings
from prefect_autopilot.watcher import Watcher, listen

Tell = Callable[[str], None]


async def up(settings: Settings | None = None, *, port: int = 4200, tell: Tell = print) -> None:
    """Run all parts until SIGTERM or SIGINT, then stop them in the reverse order."""
    settings = settings or load_settings()
    if settings.page_url is None:
        # Everything is on this machine, so is whoever reads the reports.
        page = f"http://{settings.api_host}:{settings.api_port}"
        settings = settings.model_copy(update={"page_url": page})
    require_compatible()
    check_address("127.0.0.1", port, advice="choose another --port")
    taken = "set PREFECT_AUTOPILOT_API_PORT to another"
    check_address(settings.api_host, settings.api_port, advice=taken)
    check_loopback(settings.api_host, has_tokens=await has_tokens(settings))
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopped.set)
    async with AsyncExitStack() as stack:
        tell("Starting the Prefect server; the first start takes up to a minute.")
        extra = {"PREFECT_AUTOPILOT_HOME": str(settings.home)}
        server = running_server(settings.home / "prefect", port=port, extra=extra)
        prefect = await stack.enter_async_context(server)
        stack.enter_context(prefect_client(prefect))
        for line in await install():
            tell(line)
        await stack.enter_async_context(running_worker(prefect, pool=WORK_POOL, cwd=Path.cwd()))
        watcher = await stack.enter_async_context(watching(settings, prefect, stopped, tell))
        await stack.enter_async_context(serving(settings, watcher.fleet))
        tell(f"Prefect UI: {prefect.ui_url}")
        tell(f"API: http://{settings.api_host}:{settings.api_port}/docs")
        await stopped.wait()
        tell("Stopping.")


@contextmanager
def prefect_client(prefect: EmbeddedPrefect) -> Iterator[None]:
    """Let Prefect's client and our own talk to this server within the block."""
    before = {key: os.environ.get(key) for key in ("PREFECT_API_URL", "PREFECT_HOME")}
    os.environ |= {"PREFECT_API_URL": prefect.url, "PREFECT_HOME": str(prefect.home)}
    try:
        with temporary_settings({PREFECT_API_URL: prefect.url, PREFECT_HOME: prefect.home}):
            yield
    finally:
        for key, value in before.items():
            if value is None:
                os.environ.pop(key, None)
            else:
                os.environ[key] = value


@asynccontextmanager
async def watching(
    settings: Settings,
    prefect: EmbeddedPrefect,
    stopped: asyncio.Event,
    tell: Tell = lambda _line: None,
) -> AsyncIterator[Watcher]:
    """Run a watcher within the block."""
    target = PrefectTarget(prefect.url)
    async with open_desk(settings, target=target) as desk:
        watcher = Watcher(
            desk,
            poll_interval_s=settings.poll_interval_s,
            lease_ttl_s=settings.lease_ttl_s,
            retention_days=settings.retention_days,
            stopped=stopped,
            tell=tell,
        )
        hints = asyncio.create_task(listen(target, watcher.hint))
        work = asyncio.create_task(watcher.run())
        # A watcher that gives up stops the rest too, instead of leaving a server that nobody watches.
        work.add_done_callback(lambda _done: stopped.set())
        try:
            yield watcher
        finally:
            stopped.set()
            hints.cancel()
            # Both are awaited, so that an error of the watcher is not lost with it.
            await asyncio.gather(hints, return_exceptions=True)
            await work


class _QuietServer(Server):
    """A server that leaves signals to us."""

    def capture_signals(self) -> nullcontext[None]:  # type: ignore[override]
        return nullcontext()


@asynccontextmanager
async def serving(settings: Settings, fleet: FleetMetrics | None = None) -> AsyncIterator[None]:
    """Run the REST API within the block; ``fleet`` are the metrics of the watcher of this process.

    Raises ConfigurationError where its address is taken.
    """
    locked = await has_tokens(settings)
    app = create_app(settings, fleet=fleet, hosts=(settings.api_host,), locked=locked)
    with _listening(settings.api_host, settings.api_port) as door:
        server = _QuietServer(app)
        work = asyncio.create_task(server.serve(sockets=[door]))
        try:
            yield
        finally:
            server.should_exit = True
            await work


def _listening(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family)
    except OSError as error:
        raise ConfigurationError(
            f"The API cannot listen on {host}:{port} ({error.strerror}); set PREFECT_AUTOPILOT_API_PORT."
        ) from error
