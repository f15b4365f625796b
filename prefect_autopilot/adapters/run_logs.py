"""The log of a run in a few bounded reads: its end, its beginning, its errors, what led to the last."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from typing import Any

from prefect_autopilot.adapters.ended_runs import PAGE
from prefect_autopilot.adapters.prefect_api import PrefectAPI
from prefect_autopilot.models import LogRecord

AROUND = 50
"""Lines that are read up to the last error before the newest page."""
ERROR = 40

Part = Callable[[Awaitable[Any], str], Awaitable[Any]]
"""Awaits a read and returns None where it failed, having written down what is missing."""


async def read_logs(
    api: PrefectAPI, run_id: str, part: Part, missing: list[str]
) -> tuple[LogRecord, ...] | None:
    """Return the lines of a run's log, oldest first, None where it cannot be read.

    One call where the newest page holds all of it, two where the oldest page holds the rest. Of a longer log
    also the newest page of errors before its end, and what led to the last of these: four calls at most. That
    lines between were not read is said in ``missing``.
    """
    newest: tuple[LogRecord, ...] | None = await part(api.logs(run_id), "logs")
    if newest is None or len(newest) < PAGE:
        return newest
    before = newest[0].timestamp
    first = await part(api.logs(run_id, until=before, oldest=True), "first log lines") or ()
    found = _besides(first, newest)
    if len(first) == PAGE:
        missing.append(f"log lines between the first and the newest {PAGE}, but for the newest {PAGE} errors")
        errors = await part(api.logs(run_id, until=before, least_level=ERROR), "errors within the log") or ()
        errors = _besides(errors, (*found, *newest))
        found = (*found, *errors)
        if errors:
            read = api.logs(run_id, until=errors[-1].timestamp, limit=AROUND)
            found = (*found, *_besides(await part(read, "lines before an error") or (), (*found, *newest)))
    return (*sorted(found, key=lambda one: one.timestamp), *newest)


def _besides(lines: Iterable[LogRecord], others: Iterable[LogRecord]) -> tuple[LogRecord, ...]:
    """Return the lines that are not among the others: filters of time include their bounds."""
    known = set(others)
    return tuple(line for line in lines if line not in known)
