"""The stage of the demonstration: a Prefect server and worker, simulated services, watcher and REST API."""

from __future__ import annotations

import asyncio
import importlib
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from prefect_autopilot.adapters.embedded import EmbeddedPrefect, free_port, running_server, running_worker
from prefect_autopilot.adapters.prefect_api import PrefectAPI
from prefect_autopilot.adapters.prefect_target import PrefectTarget
from prefect_autopilot.adapters.simulator import Simulator, serve_simulator
from prefect_autopilot.demo.screen import Screen
from prefect_autopilot.errors import PrefectError
from prefect_autopilot.models import TERMINAL_STATES, JSONDict, RunRecord
from prefect_autopilot.models.names import FAILURE_EVENTS, WORK_POOL
from prefect_autopilot.settings import PREFIX, Settings, load_settings
from prefect_autopilot.watcher import Watcher

SERVICES = ("gmail", "asana", "slack")
ASSESS_EVERY_S = 5
"""The watcher judges health and alerts more often than usual: nobody wants to wait a minute here."""

_NEEDED_LATER = (
    "prefect_autopilot.deployments.up",
    "prefect_autopilot.blocks",
    "prefect_autopilot.journeys.automate",
    "prefect_autopilot.journeys.improve",
    "libcst",
)

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

    @property
    def api_url(self) -> str:
        """Address of our own REST API."""
        return f"http://{self.settings.api_host}:{self.settings.api_port}"

    async def ended(self, run_id: str, *, within_s: float = 90) -> RunRecord:
        """Wait until a run has ended and return it."""

        async def over() -> RunRecord | None:
            run = await self.api.run(run_id)
            self.screen.now(f"run {run.name} of {run.flow_name} is {run.state.name}")
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
    async with AsyncExitStack() as stack:
        stack.enter_context(own_settings_only())
        settings = load_settings(home=folder / "autopilot", mode="auto", api_port=free_port())
        simulator = Simulator()
        services_url = stack.enter_context(serve_simulator(simulator))
        screen.act("A stage of its own")
        with screen.step("Start a Prefect server on a free port of this machine, with an empty database"):
            ahead = asyncio.create_task(asyncio.to_thread(_import_ahead))
            extra = {"PREFECT_AUTOPILOT_HOME": str(settings.home)}
            prefect = await stack.enter_async_context(running_server(folder / "prefect", extra=extra))
            await ahead
        watcher = await _staff(stack, screen, settings, prefect, folder)
        api = await stack.enter_async_context(PrefectAPI(prefect.url))
        world = World(screen, prefect, settings, simulator, services_url, api, folder, watcher)
        await _is_installed(world)
        with screen.step(f"Connect simulated {', '.join(SERVICES)}"):
            await _connect(world)
        yield world


async def _staff(
    stack: AsyncExitStack, screen: Screen, settings: Settings, prefect: EmbeddedPrefect, folder: Path
) -> Watcher:
    from prefect_autopilot.deployments.install import install
    from prefect_autopilot.deployments.up import prefect_client, serving, watching

    stack.enter_context(prefect_client(prefect))
    with screen.step("Install the product on it; start a worker, the watcher and the REST API"):
        await install()
        await stack.enter_async_context(running_worker(prefect, pool=WORK_POOL, cwd=folder))
        watcher: Watcher = await stack.enter_async_context(watching(settings, prefect, asyncio.Event()))
        watcher.assess_every_s = ASSESS_EVERY_S
        await stack.enter_async_context(serving(settings, watcher.fleet))
    return watcher


@contextmanager
def own_settings_only() -> Iterator[None]:
    """Hide the user's own settings within the block: their database and channels are none of our business."""
    held = {name: os.environ.pop(name) for name in list(os.environ) if name.startswith(PREFIX)}
    try:
        yield
    finally:
        os.environ.update(held)


def _import_ahead() -> None:
    """Import what is needed next while the server starts; a second core is idle then."""
    for name in _NEEDED_LATER:
        importlib.import_module(name)


async def _is_installed(world: World) -> None:
    """Check for exactly our deployments and the automation, and leave the failures to the watcher."""
    from prefect_autopilot.deployments.operational import OPERATIONAL_FLOWS

    found = await world.api.request("POST", "/deployments/filter", {})
    wanted = {definition.name for definition in OPERATIONAL_FLOWS}
    starts = {one["id"]: one["name"] for one in found}
    ours = [one for one in await world.api.request("POST", "/automations/filter", {}) if _is_on_failures(one)]
    right = [
        one
        for one in ours
        if one["enabled"]
        and set(one["trigger"]["expect"]) == set(FAILURE_EVENTS)
        and starts.get(one["actions"][0].get("deployment_id")) == "autopilot-troubleshoot"
    ]
    events = [event.rpartition(".")[2] for event in FAILURE_EVENTS]
    world.screen.check(
        "exactly our deployments and one automation are installed",
        f"{len(found)} deployments; {len(right)} automation on {', '.join(events)} runs",
        passed={one["name"] for one in found} == wanted and len(ours) == len(right) == 1,
    )
    for one in ours:
        await world.api.request("PATCH", f"/automations/{one['id']}", {"enabled": False})
    world.screen.say(
        "The automation is for servers without a watcher. One watches here, so it is switched off again."
    )


def _is_on_failures(automation: JSONDict) -> bool:
    return "prefect.flow-run.Failed" in (automation["trigger"].get("expect") or ())


async def _connect(world: World) -> None:
    from prefect.types import SecretDict

    from prefect_autopilot.blocks import ServiceConnection
    from prefect_autopilot.services import connection_name, load_catalogue, simulated_credentials

    verified = []
    for service_id in SERVICES:
        service = load_catalogue().get(service_id)
        block = ServiceConnection(
            service=service_id,
            base_url=f"{world.services_url}/{service_id}",
            token_url=f"{world.services_url}/{service_id}/oauth/token",
            credentials=SecretDict(simulated_credentials(service)),
            # The token that expires is to be a failure somebody has to see to.
            auto_refresh=service_id != "asana",
            allow_private_network=True,
        )
        await block.asave(connection_name(service_id), overwrite=True)
        verified.append(f"{service_id} ({await block.verify()})")
    world.screen.check(
        "each connection answers its check call", ", ".join(verified), passed=len(verified) == len(SERVICES)
    )
