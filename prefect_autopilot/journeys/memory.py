"""Choices a person made before, and services that were missed; nothing leaves the own database."""

from __future__ import annotations

import getpass
import hashlib
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path

from prefect_autopilot.adapters.catalogue import user_catalogue
from prefect_autopilot.errors import StoreError, UnknownNameError
from prefect_autopilot.models import Analysis, RequestContext, ServiceStatus
from prefect_autopilot.services import Catalogue
from prefect_autopilot.settings import Settings, load_settings
from prefect_autopilot.store import Store

_USED = "used:"
"""Begins the names under which it is kept when a service was deployed with last."""


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
    if not chosen:
        return context
    used = {name.removeprefix(_USED): when for name, when in chosen.items() if name.startswith(_USED)}
    recent = sorted(used, key=lambda service: used[service], reverse=True)
    choices = {name: choice for name, choice in chosen.items() if not name.startswith(_USED)}
    under = context.preferences.get("services")
    said = under if isinstance(under, dict) else context.preferences
    known_before = {"preferences": {"services": {**choices, **said}}} if choices else {}
    return context.model_copy(
        update={**known_before, "recent_services": context.recent_services or tuple(recent)}
    )


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


async def remember_use(
    services: Iterable[str], *, user: str | None = None, settings: Settings | None = None
) -> None:
    """Keep which services a user's flow was deployed with, and when."""
    known, now = settings or load_settings(), datetime.now(UTC)
    async with Store.open(known.store_url.get_secret_value()) as store:
        for service in dict.fromkeys(services):
            await store.remember(user or current_user(), f"{_USED}{service}", now.isoformat(), now)


async def remember_learned(
    learned: Mapping[str, str], *, user: str | None = None, settings: Settings | None = None
) -> None:
    """Keep what a change of a flow told of a user: services by kind, places by service and parameter."""
    known = settings or load_settings()
    if not learned:
        return
    async with Store.open(known.store_url.get_secret_value()) as store:
        for name, choice in learned.items():
            await store.remember(user or current_user(), name, choice, datetime.now(UTC))


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


async def note_missing(analysis: Analysis, settings: Settings | None = None) -> tuple[str, ...]:
    """Count for the monthly review which services a request named that cannot be called; return their names.

    Of the request only a digest is kept. Where there is no database yet, none is made for it.
    """
    names = missing_services(analysis, user_catalogue())
    url = (settings or load_settings()).store_url.get_secret_value()
    if not names or not _exists(url):
        return names
    request = hashlib.sha256(analysis.text.encode()).hexdigest()[:16]
    try:
        async with Store.open(url) as store:
            await store.note_asked(names, request, datetime.now(UTC))
    except StoreError:
        return names  # a count that is missing keeps nobody from an answer
    return names


def missing_services(analysis: Analysis, catalogue: Catalogue) -> tuple[str, ...]:
    """Return the names a request used for services that are unknown, or known by name only."""
    used = (catalogue.get(one.service) for one in analysis.services if one.role == "used")
    by_name = (one.name for one in used if one.status is ServiceStatus.RECOGNISED)
    # What else is unsupported is told in words: a language, a part of the request.
    unknown = (told for told in analysis.unsupported if " " not in told)
    return tuple(dict.fromkeys([*unknown, *by_name]))
