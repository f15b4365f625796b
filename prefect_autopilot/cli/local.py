"""What a command stands on here: our own store, and the person at this machine."""

from __future__ import annotations

import getpass
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from prefect_autopilot.store import Store


@asynccontextmanager
async def open_store() -> AsyncIterator[Store]:
    """Open the store of the settings within the block.

    Raises what Store.open raises where it cannot be reached or is at another schema.
    """
    from prefect_autopilot.settings import load_settings
    from prefect_autopilot.store import Store

    async with Store.open(load_settings().store_url.get_secret_value()) as store:
        yield store


@asynccontextmanager
async def known_store() -> AsyncIterator[Store | None]:
    """Open the store of the settings within the block; None where nothing has made its file yet."""
    if not _is_there():
        yield None
        return
    async with open_store() as store:
        yield store


def _is_there() -> bool:
    from sqlalchemy import make_url

    from prefect_autopilot.settings import load_settings

    url = make_url(load_settings().store_url.get_secret_value())
    return url.get_backend_name() != "sqlite" or Path(url.database or "").is_file()


def person() -> str:
    """Return who sits at this machine, as the audit trail tells it."""
    try:
        return f"person:{getpass.getuser()}"
    except (OSError, KeyError):
        return "person"  # a container's user may have no name
