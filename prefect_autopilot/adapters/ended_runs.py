"""Runs by the time they ended: a keyset, for offset paging grows faster than linear and loses rows."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from datetime import datetime, timedelta
from typing import Any

from prefect_autopilot.models import FAILURE_STATES, TERMINAL_STATES, JSONDict, RunRecord
from prefect_autopilot.models.names import OWN_PREFIX

PAGE = 200
"""Prefect's own page limit; 201 is answered with 422."""
ACTIVE: JSONDict = {"state": {"type": {"any_": ["RUNNING", "PENDING", "PAUSED", "CANCELLING"]}}}
"""Filter of the runs that are under way."""


class EndedRuns(ABC):
    """The reads of the Prefect API that watching and monitoring go by."""

    @abstractmethod
    async def request(self, method: str, path: str, body: Any = None, *, once: bool = False) -> Any:
        """Send one call and return its JSON."""

    @abstractmethod
    async def _page(self, flow_runs: JSONDict, sort: str, offset: int = 0) -> list[JSONDict]:
        """Return a page of the runs that pass the filter."""

    @abstractmethod
    async def _records(self, raws: list[JSONDict]) -> tuple[RunRecord, ...]:
        """Return what could be read of the answer as runs."""

    async def runs_changed_since(
        self, since: datetime, *, overlap_s: float = 30, limit: int = 10_000
    ) -> tuple[RunRecord, ...]:
        """Return runs that ended since ``since`` less the overlap, oldest first, and those under way.

        Of those that ended these are the newest ``limit``; of those under way the newest page.
        """
        ended = await self._ended(since - timedelta(seconds=overlap_s), TERMINAL_STATES, limit)
        active = await self._page(ACTIVE, "START_TIME_DESC")
        raws = [*reversed(ended.values()), *(raw for raw in active if raw["id"] not in ended)]
        return await self._records(raws)

    async def failed_runs_since(self, since: datetime) -> tuple[RunRecord, ...]:
        """Return failed and crashed runs of others' flows that ended since ``since``, oldest first."""
        raws = await self._ended(since, FAILURE_STATES)
        runs = await self._records(list(reversed(raws.values())))
        return tuple(run for run in runs if not run.flow_name.startswith(OWN_PREFIX))

    async def runs_ended_between(
        self, after: datetime, before: datetime, *, limit: int = 1_000
    ) -> tuple[RunRecord, ...]:
        """Return the newest ``limit`` runs (whole pages) that ended between two moments, newest first."""
        raws = await self._ended(after, TERMINAL_STATES, limit, before=before.isoformat())
        return await self._records(list(raws.values()))

    async def count_ended_between(self, after: datetime, before: datetime) -> int:
        """Return how many runs ended between two moments."""
        wanted = _ended_in(TERMINAL_STATES, after, before.isoformat())
        return int(await self.request("POST", "/flow_runs/count", {"flow_runs": wanted}))

    async def _ended(
        self, after: datetime, types: frozenset[str], limit: float = math.inf, *, before: str | None = None
    ) -> dict[str, JSONDict]:
        """Return runs that ended in these states, newest first; whole pages until there are ``limit``."""
        found: dict[str, JSONDict] = {}
        offset = 0
        while len(found) < limit:
            page = await self._page(_ended_in(types, after, before), "END_TIME_DESC", offset)
            found |= {raw["id"]: raw for raw in page if raw["id"] not in found}
            if len(page) < PAGE:
                break
            # Where more runs end at one moment than a page holds, only the offset leads further.
            offset = offset + PAGE if page[0]["end_time"] == page[-1]["end_time"] else 0
            before = page[-1]["end_time"]
        return found


def _ended_in(types: frozenset[str], after: datetime, before: str | None = None) -> JSONDict:
    window: JSONDict = {"after_": after.isoformat()} | ({"before_": before} if before else {})
    return {"end_time": window, "state": {"type": {"any_": sorted(types)}}}
