"""``remember`` and ``forget``: which service is meant by "chat" or "crm", kept in the own database."""

from __future__ import annotations

from typing import Annotated

from cyclopts import Parameter

from prefect_autopilot.cli.output import Flag, JSONFlag, write_json, write_line, write_table
from prefect_autopilot.errors import UsageError


async def remember(
    kind: Annotated[str | None, Parameter(help="Kind of service: chat, email, crm, sheet …")] = None,
    service: Annotated[str | None, Parameter(help="The service you mean by it, by id or name.")] = None,
    /,
    *,
    as_json: JSONFlag = False,
) -> int:
    """Remember the service you mean by a kind; without arguments, show what is remembered."""
    from prefect_autopilot.journeys import memory

    if (kind is None) is not (service is None):
        raise UsageError("Say kind and service, for example: prefect-autopilot remember chat slack.")
    if kind is not None and service is not None:
        found = await memory.remember(kind, service)
        write_line(f"By {kind.strip().lower()} you mean {found}.")
        return 0
    known = await memory.recall()
    if as_json:
        write_json(known)
    elif known:
        write_table("Remembered", ("kind", "service"), list(known.items()))
    else:
        write_line("Nothing is remembered.")
    return 0


async def forget(
    kind: Annotated[str | None, Parameter(help="Kind of service to forget.")] = None,
    /,
    *,
    everything: Annotated[Flag, Parameter(name="--all", help="Forget every choice.")] = False,
) -> int:
    """Forget the service you meant by a kind, or everything."""
    from prefect_autopilot.journeys import memory

    if (kind is None) is not everything:
        raise UsageError("Name a kind, or add --all.")
    count = await memory.forget(kind)
    write_line(f"Forgot {count} {'choice' if count == 1 else 'choices'}.")
    return 0
