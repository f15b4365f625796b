"""How the infrastructure of a failed run ended, asked at its source.

Prefect says "exited with status 1" of what was killed, evicted, or never begun. Only what is at hand is
asked: the API of the cluster this process runs in, Docker and the kernel of this machine. Two reads at most,
2 s each; nothing is written anywhere.
"""

from __future__ import annotations

import asyncio
import time

import httpx

from prefect_autopilot.adapters.container_ends import Told
from prefect_autopilot.adapters.docker_containers import read_container
from prefect_autopilot.adapters.kernel_kills import read_kernel
from prefect_autopilot.adapters.kubernetes_pods import read_pod
from prefect_autopilot.models import RunRecord

MOST_READS = 2


async def read_infrastructure(
    run: RunRecord, pool_type: str, *, silent: bool, transport: httpx.AsyncBaseTransport | None = None
) -> Told:
    """Read how the run's pod, container or process ended, or why it has not begun; two reads at most.

    ``silent`` is true where the run shipped no log: then the end of its container's output is read where its
    end tells no reason. ``transport`` stands for the way to either source. Raises nothing: what could not be
    read is named.
    """
    if "kubernetes" in pool_type:
        return await read_pod(run, transport, silent=silent)
    if "docker" in pool_type:
        return await read_container(run, transport, silent=silent)
    if pool_type == "process":
        return await asyncio.to_thread(read_kernel, run, time.time() - time.monotonic())
    return Told()
