"""A failed run taken up and gone on with, for tests of what is done about it."""

from __future__ import annotations

from typing import Any

from prefect_autopilot.journeys import resolve
from prefect_autopilot.journeys.desk import Desk
from prefect_autopilot.models import TroubleshootingSession


async def taken(desk: Desk, prefect: Any, error: str, **run: Any) -> TroubleshootingSession:
    """Fail the run, take it up and go as far as now allows."""
    prefect.fail("run-1", error=error)
    prefect.runs["run-1"] |= run
    session = await resolve.take_up(desk, await desk.api.run("run-1"))
    assert session is not None
    desk.clock.forward(10)  # type: ignore[attr-defined]
    return await resolve.advance(desk, session.session_id)


async def looked(desk: Desk, session: TroubleshootingSession) -> TroubleshootingSession:
    """Let time pass until what was done is judged."""
    for _ in range(3):
        desk.clock.forward(40)  # type: ignore[attr-defined]
        session = await resolve.advance(desk, session.session_id)
    return session


def kinds(session: TroubleshootingSession) -> list[str]:
    """Return what was done, in order."""
    return [attempt.remedy.kind for attempt in session.attempts]
