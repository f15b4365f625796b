"""The stage of the demonstration: a Prefect server and worker, simulated services, a watcher."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from prefect_autopilot.adapters.embedded import EmbeddedPrefect, running_server, running_worker
from prefect_autopilot.adapters.prefect_api import PrefectAPI
from prefect_autopilot.adapters.prefect_target import PrefectTarget
from prefect_autopilot.adapters.simulator import Simulator, serve_simulator
from prefect_autopilot.demo.screen import Screen
from prefect_autopilot.errors import PrefectError
from prefect_autopilot.models import TERMINAL_STATES, RunRecord
from prefect_autopilot.settings import Settings, load_settings
from prefect_autopilot.watcher import Watcher

SERVICES = ("gmail", "asana", "slack")
POOL = "autopilot"

Found = TypeVar("Found")


@dataclass
class World:
    """All that the scenes act on and look at."""

    screen: Screen
    prefect: EmbeddedPrefect
    settings: Settings
    simulator: Simulator
    services_url: str
    api: PrefectAPI
    folder: Path
    watcher: Watcher
    notes: dict[str, str] = field(default_factory=dict)

    @property
    def target(self) -> PrefectTarget:
        """The embedded server."""
        return PrefectTarget(self.prefect.url)

    async def ended(self, run_id: str, *, within_s: float = 60) -> RunRecord:
        """Wait until a run has ended and return it."""

        async def over() -> RunRecord | None:
            run = await self.api.run(run_id)
            return run if run.state.type in TERMINAL_STATES else None

        return await wait_for(over, within_s=within_s, what=f"run {run_id} has ended")


async def wait_for(look: Callable[[], Awaitable[Found | None]], *, within_s: float, what: str) -> Found:
    """Look every quarter second until something is there; raises ``PrefectError`` when the time is up."""
    deadline = asyncio.get_running_loop().time() + within_s
    while True:
        found = await look()
        if found is not None:
            return found
        if asyncio.get_running_loop().time() > deadline:
            raise PrefectError(f"Waited {within_s:.0f} s in vain until {what}.", permanent=False)
        await asyncio.sleep(0.25)


@asynccontextmanager
async def open_world(screen: Screen, folder: Path) -> AsyncIterator[World]:
    """Start everything below ``folder``, and stop it in the reverse order."""
    from prefect_autopilot.deployments.up import prefect_client, watching

    settings = load_settings(home=folder / "autopilot", mode="auto", poll_interval_s=2)
    async with AsyncExitStack() as stack:
        simulator = Simulator()
        services_url = stack.enter_context(serve_simulator(simulator))
        with screen.step("Start a Prefect server of its own"):
            extra = {"PREFECT_AUTOPILOT_HOME": str(settings.home)}
            prefect = await stack.enter_async_context(running_server(folder / "prefect", extra=extra))
        stack.enter_context(prefect_client(prefect))
        with screen.step("Install work pool, blocks, deployments and the failed-run automation"):
            await _install(screen)
        await stack.enter_async_context(running_worker(prefect, pool=POOL, cwd=folder))
        watcher = await stack.enter_async_context(watching(settings, prefect, asyncio.Event()))
        watcher.assess_every_s = 5
        api = await stack.enter_async_context(PrefectAPI(prefect.url))
        world = World(screen, prefect, settings, simulator, services_url, api, folder, watcher)
        with screen.step(f"Connect simulated {', '.join(SERVICES)}"):
            await _connect(world)
        yield world


async def _install(screen: Screen) -> None:
    from prefect_autopilot.deployments.install import install

    told = await install()
    screen.check("operational flows are installed", f"{len(told)} objects", passed=len(told) > 0)


async def _connect(world: World) -> None:
    from prefect.types import SecretDict

    from prefect_autopilot.blocks import ServiceConnection
    from prefect_autopilot.services import load_catalogue, simulated_credentials

    verified = []
    for service_id in SERVICES:
        service = load_catalogue().get(service_id)
        block = ServiceConnection(
            service=service_id,
            base_url=f"{world.services_url}/{service_id}",
            token_url=f"{world.services_url}/{service_id}/oauth/token",
            credentials=SecretDict(simulated_credentials(service)),
        )
        await block.asave(f"{service_id}-default", overwrite=True)
        verified.append(f"{service_id} ({await block.verify()})")
    world.screen.check("connections work", ", ".join(verified), passed=len(verified) == len(SERVICES))
