"""The REST API: two families of calls over the journeys, with health, readiness, metrics and OpenAPI."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from datetime import UTC, datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fastapi import FastAPI

    from prefect_autopilot.journeys.desk import Desk
    from prefect_autopilot.monitoring import FleetMetrics
    from prefect_autopilot.settings import Settings

    DeskFactory = Callable[[Settings], AbstractAsyncContextManager[Desk]]

__all__ = ["check_loopback", "create_app"]


def create_app(
    settings: Settings | None = None,
    *,
    fleet: FleetMetrics | None = None,
    clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    desk_factory: DeskFactory | None = None,
    hosts: Sequence[str] = (),
) -> FastAPI:
    """Return the API as an application; ``fleet`` are metrics that somebody else keeps up to date.

    ``hosts`` are names it answers to besides those of the loopback address. Without settings they are read
    from environment and file; raises ConfigurationError where they are wrong.
    """
    from prefect_autopilot.api.app import build
    from prefect_autopilot.api.context import Context
    from prefect_autopilot.journeys.desk import open_desk
    from prefect_autopilot.settings import load_settings

    known = settings or load_settings()
    return build(Context(known, clock=clock, fleet=fleet, desk_factory=desk_factory or open_desk), hosts)


def check_loopback(host: str) -> None:
    """Raise ConfigurationError unless only this machine can reach ``host``: nobody is authenticated yet."""
    from prefect_autopilot.api.guard import is_loopback
    from prefect_autopilot.errors import ConfigurationError

    if not is_loopback(host):
        raise ConfigurationError(
            f"The API has no authentication yet, so it listens on this machine only, not on {host!r}; "
            "use 127.0.0.1, ::1 or localhost."
        )
