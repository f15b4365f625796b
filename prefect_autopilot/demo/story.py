"""The demonstration in order; it succeeds only if every claim was observed."""

from __future__ import annotations

import asyncio
import tempfile
from pathlib import Path

from prefect_autopilot.demo.evidence import look_around
from prefect_autopilot.demo.faults import break_and_mend
from prefect_autopilot.demo.improve import show_faster, try_faster
from prefect_autopilot.demo.request import request_to_run
from prefect_autopilot.demo.screen import Screen
from prefect_autopilot.demo.world import World, open_world
from prefect_autopilot.errors import AutopilotError


async def tell(*, keep: bool) -> int:
    """Play all acts and return 0 if every claim was observed, else 1."""
    screen = Screen()
    with tempfile.TemporaryDirectory(prefix="autopilot-demo-", ignore_cleanup_errors=True) as folder:
        (Path(folder) / "flows").mkdir()
        try:
            async with open_world(screen, Path(folder)) as world:
                await _play(world)
                screen.summary()
                if keep:
                    await _stay(world)
        except AutopilotError as error:
            screen.check("the demonstration went on to its end", error.message, passed=False)
            screen.summary()
    return 0 if screen.passed else 1


async def _play(world: World) -> None:
    await request_to_run(world)
    # The proof mostly waits for a slow service, so it runs while the faults are mended.
    trial = asyncio.create_task(try_faster(world))
    try:
        await break_and_mend(world)
        await show_faster(world, trial)
    finally:
        trial.cancel()
    await look_around(world)


async def _stay(world: World) -> None:
    world.screen.say(f"Prefect UI: {world.prefect.ui_url}")
    world.screen.say(f"simulated services: {world.services_url}")
    world.screen.say(f"flows: {world.folder / 'flows'}")
    world.screen.say("Everything stays up; press Ctrl-C to stop it.")
    await asyncio.Event().wait()
