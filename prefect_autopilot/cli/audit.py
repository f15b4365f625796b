"""``audit``: who or what decided, on which evidence, what was done, and what was seen after."""

from __future__ import annotations

import csv
import io
import json
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import Parameter

from prefect_autopilot.cli.local import open_store
from prefect_autopilot.cli.output import Flag, write_line
from prefect_autopilot.errors import UsageError

if TYPE_CHECKING:
    from prefect_autopilot.models import AuditEntry

_FIELDS = ("sequence", "at", "actor", "action", "subject", "detail", "previous", "digest")
_BEGINS_FORMULA = ("=", "+", "-", "@", "\t", "\r")


async def audit(
    session_id: Annotated[str | None, Parameter(help="Only the entries of one session.")] = None,
    /,
    *,
    format: Annotated[  # noqa: A002  # the option is called so
        Literal["jsonl", "csv"], Parameter(help="jsonl keeps every value; csv opens in a spreadsheet.")
    ] = "jsonl",
    check: Annotated[Flag, Parameter(help="Say whether the trail is unbroken instead.")] = False,
    saved: Annotated[Flag, Parameter(help="Say how long resolved runs stood still instead.")] = False,
) -> int:
    """Write the audit trail to the standard output."""
    from prefect_autopilot.journeys.saved_time import saved_time

    if check and saved:
        raise UsageError("Choose --check or --saved.")
    async with open_store() as store:
        if check:
            return _checked(await store.verify_audit())
        if saved:
            write_line((await saved_time(store)).sentence())
            return 0
        entries = await store.audit_trail(session_id)
    for line in [_csv_line(_FIELDS)] if format == "csv" else []:
        write_line(line)
    for entry in entries:
        write_line(entry.model_dump_json() if format == "jsonl" else _csv_row(entry))
    return 0


def _checked(broken: int | None) -> int:
    write_line("The audit trail is unbroken." if broken is None else f"Entry {broken} breaks the chain.")
    return 0 if broken is None else 1


def _csv_row(entry: AuditEntry) -> str:
    told = entry.model_dump(mode="json") | {"detail": json.dumps(entry.detail, sort_keys=True)}
    return _csv_line([_cell(told[name]) for name in _FIELDS])


def _cell(value: object) -> object:
    """Return a cell that no spreadsheet takes for a formula."""
    return f"'{value}" if isinstance(value, str) and value.startswith(_BEGINS_FORMULA) else value


def _csv_line(cells: tuple[object, ...] | list[object] | tuple[str, ...]) -> str:
    out = io.StringIO()
    csv.writer(out, lineterminator="").writerow(cells)
    return out.getvalue()
