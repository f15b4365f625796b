"""The whole job on one machine: a request becomes a flow that runs, fails, is resolved and verified."""

from __future__ import annotations

import asyncio


def run_demo(*, keep: bool = False) -> int:
    """Run the demonstration and return 0 only if everything it claims was observed.

    ``keep`` leaves server, worker, watcher and simulated services running until interrupted.
    """
    from prefect_autopilot.demo.story import tell

    return asyncio.run(tell(keep=keep))
