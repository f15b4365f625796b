"""The demonstration in order; it succeeds only if every claim was observed."""

from __future__ import annotations

import asyncio
import signal
import tempfile
from contextlib import AsyncExitStack
from pathlib import Path

from prefect_autopilot.demo.evidence import look_around
from prefect_autopilot.demo.faults import break_and_mend, start_buggy
from prefect_autopilot.demo.improve import show_faster, try_faster
from prefect_autopilot.demo.request import first_run, request_to_deployment
from prefect_autopilot.demo.screen import Screen
from prefect_autopilot.demo.world import World, open_world


async def tell(*, keep: bool) -> int:
    """Play all acts and return 0 if every claim was observed, else 1.

    ``keep`` leaves everything running until SIGINT or SIGTERM, also where a claim did not hold.
    """
    screen = Screen()
    with tempfile.TemporaryDirectory(prefix="autopilot-demo-", ignore_cleanup_errors=True) as folder:
        (Path(folder) / "flows").mkdir()
        async with AsyncExitStack() as stack:
            world = None
            with screen:
                world = await stack.enter_async_context(open_world(screen, Path(folder)))
                await _play(world)
            if keep and world is not None:
                await _stay(world)
    if screen.mistake is not None:
        raise screen.mistake
    return 0 if screen.passed else 1


async def _play(world: World) -> None:
    await request_to_deployment(world)
    # The proof mostly waits for a slow service and the bug needs nobody: both go on beside the first run.
    buggy = await start_buggy(world)
    trial = asyncio.create_task(try_faster(world))
    try:
        await first_run(world)
        await break_and_mend(world, buggy)
        await show_faster(world, trial)
    finally:
        trial.cancel()
        await asyncio.gather(trial, return_exceptions=True)
    await look_around(world)


async def _stay(world: World) -> None:
    for name, place in {
        "Prefect UI": world.prefect.ui_url,
        "Prefect API": world.prefect.url,
        "REST API": f"{world.api_url}/docs",
        "health": f"{world.api_url}/healthz",
        "metrics": f"{world.api_url}/metrics",
        "simulated services": world.services_url,
        "flows": world.folder / "flows",
        "home and logs": world.folder,
    }.items():
        world.screen.say(f"{name + ':':<20}{place}")
    world.screen.say("Server, worker, watcher, API and services stay up; press Ctrl-C to stop them.")
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stopped.set)
    try:
        await stopped.wait()
    finally:
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.remove_signal_handler(number)  # a second Ctrl-C does not wait for the end of everything
    world.screen.say("Stopping.")
