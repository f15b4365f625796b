"""``backup`` and ``restore``: copies of the SQLite store."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from prefect_autopilot.cli.output import write_line


async def backup(file: Annotated[Path, Parameter(help="New file the copy is written to.")], /) -> int:
    """Copy the SQLite store into a new file, also while it is in use."""
    from prefect_autopilot.settings import load_settings
    from prefect_autopilot.store.backup import backup as copied

    rows = await copied(load_settings().store_url.get_secret_value(), file)
    write_line(f"{file} holds {rows} rows; it is as secret as the store.")
    return 0


async def restore(file: Annotated[Path, Parameter(help="Backup that takes the store's place.")], /) -> int:
    """Put a backup in place of the SQLite store; what was there is kept beside it."""
    from prefect_autopilot.settings import load_settings
    from prefect_autopilot.store.backup import restore as put_back

    kept = await put_back(load_settings().store_url.get_secret_value(), file, datetime.now(UTC))
    write_line(f"The store is that of {file} again.")
    if kept is not None:
        write_line(f"What was there before is kept as {kept}.")
    return 0
