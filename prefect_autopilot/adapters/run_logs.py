"""The log of a run in a few bounded reads: its end, its errors, what led to the last, its beginning."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from typing import Any

from prefect_autopilot.adapters.ended_runs import PAGE
from prefect_autopilot.adapters.prefect_api import PrefectAPI
from prefect_autopilot.models import LogRecord

HEAD = 50
"""First lines of a long log that are read."""
AROUND = 50
"""Lines that are read up to the last error before the newest page."""
ERROR = 40

Part = Callable[[Awaitable[Any], str], Awaitable[Any]]
"""Awaits a read and returns None where it failed, having written down what is missing."""


async def read_logs(
    api: PrefectAPI, run_id: str, part: Part, missing: list[str]
) -> tuple[LogRecord, ...] | None:
    """Return the lines of a run's log, oldest first, None where it cannot be read.

    One call where the newest page holds all of it. Of a longer log also the newest page of errors before it,
    the lines up to the last of these, and the first lines: three further calls at most. That lines between
    were not read is said in ``missing``.
    """
    newest: tuple[LogRecord, ...] | None = await part(api.logs(run_id), "logs")
    if newest is None or len(newest) < PAGE:
        return newest
    before = newest[0].timestamp
    errors = await part(api.logs(run_id, until=before, least_level=ERROR), "errors earlier in the log") or ()
    errors = _besides(errors, newest)
    around: tuple[LogRecord, ...] = ()
    if errors:
        last = errors[-1].timestamp
        around = await part(api.logs(run_id, until=last, limit=AROUND), "lines before an earlier error") or ()
    first = await part(api.logs(run_id, until=before, limit=HEAD, oldest=True), "first log lines") or ()
    found = dict.fromkeys(_besides((*first, *around, *errors), newest))
    earlier = sorted(found, key=lambda one: one.timestamp)
    if len(first) == HEAD:
        between = f"log lines between the first {HEAD} and the newest {PAGE}"
        missing.append(f"{between}, but for the newest {PAGE} errors")
    return (*earlier, *newest)


def _besides(lines: Iterable[LogRecord], others: Iterable[LogRecord]) -> tuple[LogRecord, ...]:
    """Return the lines that are not among the others: filters of time include their bounds."""
    known = set(others)
    return tuple(line for line in lines if line not in known)
