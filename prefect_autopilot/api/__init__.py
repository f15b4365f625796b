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

__all__ = ["check_loopback", "create_app", "has_tokens"]


def create_app(
    settings: Settings | None = None,
    *,
    fleet: FleetMetrics | None = None,
    clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    desk_factory: DeskFactory | None = None,
    hosts: Sequence[str] = (),
    locked: bool = False,
) -> FastAPI:
    """Return the API as an application; ``fleet`` are metrics that somebody else keeps up to date.

    ``hosts`` are names it answers to besides those of this machine and of the settings; ``locked`` asks for
    a token even where none was made yet. Without settings they are read from environment and file; raises
    ConfigurationError where they are wrong.
    """
    from prefect_autopilot.api.app import build
    from prefect_autopilot.api.context import Context
    from prefect_autopilot.journeys.desk import open_desk
    from prefect_autopilot.settings import load_settings

    known = settings or load_settings()
    context = Context(known, clock=clock, fleet=fleet, desk_factory=desk_factory or open_desk)
    return build(context, (*hosts, *known.api_hosts), locked=locked)


def check_loopback(host: str, *, has_tokens: bool = False) -> None:
    """Raise ConfigurationError where others could reach ``host`` and no access token was ever made."""
    from prefect_autopilot.api.guard import is_loopback
    from prefect_autopilot.errors import ConfigurationError

    if not has_tokens and not is_loopback(host):
        raise ConfigurationError(
            f"There is no access token, so the API listens on this machine only, not on {host!r};"
            " make one with prefect-autopilot tokens create, or use 127.0.0.1."
        )


async def has_tokens(settings: Settings) -> bool:
    """Tell whether an access token was ever made, or credentials of Prefect count; raises StoreError."""
    if settings.api_prefect_auth != "off":
        return True
    from prefect_autopilot.store import Store

    async with Store.open(settings.store_url.get_secret_value()) as store:
        return await store.has_tokens()
