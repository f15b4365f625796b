"""What every act of ours has around it: the lease prolonged, no pause, and silence told from refusal."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from prefect_autopilot.errors import AutopilotError, PrefectError

if TYPE_CHECKING:
    from prefect_autopilot.journeys.desk import Desk

LEASE_TTL_S = 30.0
"""A killed process holds a session no longer than this; the journal refuses a token that has expired."""


def lease_of(session_id: str) -> str:
    """Return the name of a session's lease."""
    return f"session:{session_id}"


@asynccontextmanager
async def prolonged(desk: Desk, lease: str, token: int) -> AsyncIterator[None]:
    """Prolong the lease while the block lasts: an act may take longer than it."""

    async def prolong() -> None:
        held = True
        while held:
            await asyncio.sleep(LEASE_TTL_S / 3)
            held = await desk.store.renew_lease(lease, token, LEASE_TTL_S, desk.clock())

    work = asyncio.create_task(prolong())
    try:
        yield
    finally:
        work.cancel()
        await asyncio.gather(work, return_exceptions=True)


def may_pass(error: AutopilotError) -> bool:
    """Tell whether the server fell silent, so that nobody knows what became of the act."""
    return isinstance(error, PrefectError) and not error.permanent


async def is_paused(desk: Desk) -> bool:
    """Tell whether every act is paused, by the policy or by somebody."""
    return desk.policy.paused or await desk.store.pause() is not None
