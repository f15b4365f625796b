"""Choices a person made before, as context of the next request; nothing leaves the own database."""

from __future__ import annotations

import getpass
from datetime import UTC, datetime
from pathlib import Path

from prefect_autopilot.adapters.catalogue import user_catalogue
from prefect_autopilot.errors import UnknownNameError
from prefect_autopilot.models import RequestContext
from prefect_autopilot.settings import Settings, load_settings
from prefect_autopilot.store import Store


def current_user() -> str:
    """Return whose choices are meant on this machine."""
    try:
        return getpass.getuser()
    except (KeyError, OSError, ImportError):
        return "user"  # a container may run under a number without a name


async def with_memory(context: RequestContext, settings: Settings | None = None) -> RequestContext:
    """Return the context with what its user chose before; what is said now goes first."""
    known = settings or load_settings()
    url = known.store_url.get_secret_value()
    if not _exists(url):
        return context  # nothing was remembered yet, and reading creates no database
    async with Store.open(url) as store:
        chosen = await store.preferences(context.user_id or current_user())
    under = context.preferences.get("services")
    said = under if isinstance(under, dict) else context.preferences
    return context.model_copy(update={"preferences": {"services": {**chosen, **said}}}) if chosen else context


def _exists(url: str) -> bool:
    """Tell whether the database is there: a file, or a server that is asked."""
    scheme, _, path = url.partition(":///")
    return not scheme.startswith("sqlite") or Path(path).is_file()


async def remember(
    kind: str, service: str, *, user: str | None = None, settings: Settings | None = None
) -> str:
    """Keep the service that a user means by a kind and return its id.

    Raises UnknownNameError for a service that is not in the catalogue, UsageError for a bad kind.
    """
    catalogue = user_catalogue()
    found = (catalogue.get(service),) if service in catalogue else catalogue.find(service)
    if len(found) != 1:
        raise UnknownNameError("service", service, catalogue.nearest(service))
    known = settings or load_settings()
    async with Store.open(known.store_url.get_secret_value()) as store:
        await store.remember(user or current_user(), kind.strip().lower(), found[0].id, datetime.now(UTC))
    return found[0].id


async def recall(*, user: str | None = None, settings: Settings | None = None) -> dict[str, str]:
    """Return what is remembered of a user: the service for each kind."""
    context = await with_memory(RequestContext(user_id=user or current_user()), settings)
    services = context.preferences.get("services", {})
    return dict(services)


async def forget(
    kind: str | None = None, *, user: str | None = None, settings: Settings | None = None
) -> int:
    """Forget the choice for a kind, or every choice of a user, and return how many there were."""
    known = settings or load_settings()
    async with Store.open(known.store_url.get_secret_value()) as store:
        return await store.forget(user or current_user(), kind.strip().lower() if kind else None)
