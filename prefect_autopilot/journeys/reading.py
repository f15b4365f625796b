"""Runs of the Prefect server into the store: what changed first; what lies further back page by page.

How far was read are four moments in the store: the latest end seen, how far back the history goes, and
between which two ends runs are still to be read. A page is stored before they move: a process that is killed,
a server that restarts and a day off cost a page read twice, never a run.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Protocol

from prefect_autopilot.models import TERMINAL_STATES, RunRecord, StateRecord
from prefect_autopilot.models.names import OWN_PREFIX
from prefect_autopilot.store import Store

CURSOR = "observed-runs"
BACK_TO = "observed-runs.back-to"
GAP_FROM = "observed-runs.gap-from"
GAP_TO = "observed-runs.gap-to"
FIRST_LOOK = timedelta(days=30)
OVERLAP_S = 120.0
SKEW = timedelta(seconds=5)
"""Clocks of workers and server differ by this much without anybody calling it skew."""
NEWEST = 2_000
"""Runs of one look at what changed; behind a full one the rest is read page by page."""
PAGE = 1_000
PAGES_AT_ONCE = 40
"""Pages of one pass: a watcher with a backlog still looks after new failures in between."""
MOST_LOST = 200
"""Unfinished runs of the store that are asked for by their ids in one pass."""
LOST_AFTER = timedelta(minutes=2)


class ReadsRuns(Protocol):
    """What reading needs of the Prefect API."""

    async def runs_changed_since(
        self, since: datetime, *, overlap_s: float = ..., limit: int = ...
    ) -> tuple[RunRecord, ...]:
        """Return the newest runs that ended since ``since`` less the overlap, and those under way."""

    async def runs_ended_between(
        self, after: datetime, before: datetime, *, limit: int
    ) -> tuple[RunRecord, ...]:
        """Return the newest ``limit`` runs that ended between two moments, both included."""

    async def runs_by_id(self, ids: Sequence[str]) -> tuple[RunRecord, ...]:
        """Return those of these runs that there are."""


class CountsRuns(ReadsRuns, Protocol):
    """What a progress needs besides."""

    async def count_ended_between(self, after: datetime, before: datetime) -> int:
        """Return how many runs ended between two moments."""


@dataclass
class Read:
    """What a pass read: runs that were new or newer, and by kind what was odd about the input."""

    written: int = 0
    odd: Counter[str] = field(default_factory=Counter)
    """``clock_skew``, ``no_start``, ``out_of_order``, ``again``, ``deleted``, ``unreadable``."""
    gap: bool = False
    """Runs further back are still to be read."""


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a backfill is: runs read of how many, and back to when."""

    read: int
    total: int
    back_to: datetime


async def read_runs(api: ReadsRuns, store: Store, now: datetime, *, pages: int = PAGES_AT_ONCE) -> Read:
    """Read what changed since the last time, then up to ``pages`` pages of what is missing further back.

    The cursor is the latest end seen, never our clock, and moves only after the runs are stored.
    """
    known = await store.cursor(CURSOR)
    since = now - FIRST_LOOK if known is None else known
    if await store.cursor(BACK_TO) is None:
        await store.set_cursor(BACK_TO, since)
    found = Read()
    unreadable = getattr(api, "unreadable", 0)
    runs = await api.runs_changed_since(since, overlap_s=OVERLAP_S, limit=NEWEST)
    await _write(store, runs, known, now, found)
    ends = _ends(runs)
    if len(ends) >= NEWEST:
        await _open_gap(store, since - timedelta(seconds=OVERLAP_S), min(ends))
    newest = max((end for end in ends if end <= now), default=since)
    if known is None or newest > known:
        await store.set_cursor(CURSOR, newest)
    await _look_for_lost(api, store, {run.id for run in runs}, now, found)
    await _fill(api, store, pages, now, found, None)
    found.odd["unreadable"] += getattr(api, "unreadable", 0) - unreadable
    return found


async def backfill(
    api: CountsRuns, store: Store, now: datetime, since: datetime, tell: Callable[[Progress], None]
) -> int:
    """Read all that ended since ``since`` and return how many runs were new or newer; resumes where it was.

    ``tell`` is called after every page.
    """
    found = await read_runs(api, store, now, pages=0)
    back_to = await store.cursor(BACK_TO) or now
    if since < back_to:
        await _open_gap(store, since, back_to)
        await store.set_cursor(BACK_TO, since)
    low, high = await _gap(store) or (now, now)
    total = await api.count_ended_between(low, high) if low < high else 0
    tell(Progress(0, total, high))
    await _fill(api, store, None, now, found, lambda read, at: tell(Progress(min(read, total), total, at)))
    return found.written


async def _gap(store: Store) -> tuple[datetime, datetime] | None:
    low, high = await store.cursor(GAP_FROM), await store.cursor(GAP_TO)
    return (low, high) if low is not None and high is not None and low < high else None


async def _open_gap(store: Store, low: datetime, high: datetime) -> None:
    """Note what is to be read; with what was missing already, and all between them, which is read again."""
    before = await _gap(store)
    if before is not None:
        low, high = min(low, before[0]), max(high, before[1])
    await store.set_cursor(GAP_FROM, low)
    await store.set_cursor(GAP_TO, high)


async def _fill(
    api: ReadsRuns,
    store: Store,
    pages: int | None,
    now: datetime,
    found: Read,
    tell: Callable[[int, datetime], None] | None,
) -> None:
    done, read, limit = 0, 0, PAGE
    while (gap := await _gap(store)) is not None and (pages is None or done < pages):
        low, high = gap
        runs = await api.runs_ended_between(low, high, limit=limit)
        await _write(store, runs, None, now, found)
        ends = _ends(runs)
        oldest = min(ends, default=low) if len(ends) >= limit else low
        # A full page of one single moment: a larger one has to reach beyond it.
        limit = limit * 4 if oldest == high else PAGE
        await store.set_cursor(GAP_TO, oldest)
        done, read = done + 1, read + len(ends)
        if tell is not None:
            tell(read, oldest)
    found.gap = await _gap(store) is not None


async def _write(
    store: Store, runs: Sequence[RunRecord], known: datetime | None, now: datetime, found: Read
) -> None:
    others = [run for run in runs if not run.flow_name.startswith(OWN_PREFIX)]
    late = [run for run in others if known is not None and run.end is not None and run.end < known]
    late_ids = {run.id for run in late}
    written_late = await store.upsert_runs(late)
    written = await store.upsert_runs([run for run in others if run.id not in late_ids])
    found.odd["out_of_order"] += written_late
    found.odd["again"] += len(others) - written - written_late
    found.odd["clock_skew"] += sum(_is_skewed(run, now) for run in others)
    found.odd["no_start"] += sum(run.start is None and run.state.type in TERMINAL_STATES for run in others)
    found.written += written + written_late


def _is_skewed(run: RunRecord, now: datetime) -> bool:
    if run.end is not None and run.end > now + SKEW:
        return True
    if run.start is not None and run.start > now + SKEW:
        return True
    return run.start is not None and run.end is not None and run.end < run.start


async def _look_for_lost(api: ReadsRuns, store: Store, seen: set[str], now: datetime, found: Read) -> None:
    """Ask for runs that the store believes under way and the server did not tell of: some were deleted."""
    open_runs = await store.unfinished_runs(now - LOST_AFTER, limit=MOST_LOST)
    lost = {run.id: run for run in open_runs if run.id not in seen}
    if not lost:
        return
    there = await api.runs_by_id(sorted(lost))
    await store.upsert_runs(there)
    gone = [run for ident, run in lost.items() if ident not in {one.id for one in there}]
    await store.upsert_runs([_deleted(run, now) for run in gone])
    found.odd["deleted"] += len(gone)


def _deleted(run: RunRecord, now: datetime) -> RunRecord:
    """Return a run that somebody deleted while it was under way: it ended, nobody knows how."""
    state = StateRecord(id=f"{run.state.id}:deleted", type="CANCELLED", name="Deleted", timestamp=now)
    return run.model_copy(update={"state": state, "duration_s": None, "updated": now})


def _ends(runs: Iterable[RunRecord]) -> list[datetime]:
    return [run.end for run in runs if run.end is not None and run.state.type in TERMINAL_STATES]
