"""How many runs failed for one cause lately, look by look: many that come in drops are a storm as well."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta

LATELY = timedelta(minutes=10)


class RecentFailures:
    """Failures by cause and when each was seen first; memory only, so a restart counts anew."""

    def __init__(self) -> None:
        self._seen: dict[str, dict[str, datetime]] = {}

    def count(self, cause: str, run_ids: Iterable[str], now: datetime) -> int:
        """Take note of runs that failed for a cause and return how many different ones did so lately."""
        seen = self._seen.get(cause, {})
        for run_id in run_ids:
            seen.setdefault(run_id, now)
        lately = {run_id: at for run_id, at in seen.items() if now - at <= LATELY}
        self._seen[cause] = lately
        return len(lately)

    def forget(self, now: datetime) -> None:
        """Drop causes of which nothing was seen lately."""
        self._seen = {
            cause: seen
            for cause, seen in self._seen.items()
            if any(now - at <= LATELY for at in seen.values())
        }
