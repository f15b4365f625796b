"""Rows channel: completed runs that delivered nothing, or much less than ever at this hour."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator

from prefect_autopilot.models import Severity
from prefect_autopilot.monitoring.sample import Finding, Sample
from prefect_autopilot.monitoring.windows import SortedWindow

LEAST_RUNS = 30
RUNS_OF_PART_OF_A_DAY = 72
"""So many runs tell what is usual although they do not yet cover a day with its quiet hours."""
DAY = 86_400.0
MEMORY_DAYS = 15
OF_LEAST = 0.6
OF_MEDIAN = 0.5
RUNS_FOR_DROP = 2


class RowsChannel:
    """Compares rows with the least of the recent runs and of the same hour on earlier days."""

    def __init__(self) -> None:
        self._rows = SortedWindow(200)
        self._hours: list[deque[tuple[int, float]]] = [deque(maxlen=120) for _ in range(24)]
        self._first: float | None = None
        self._low = 0

    def observe(self, run: Sample) -> Iterator[Finding]:
        """Yield an alarm for rows that vanished or dropped."""
        if run.state != "COMPLETED" or run.rows is None:
            return
        self._first = run.start if self._first is None else self._first
        low = self._is_low(run)
        self._low = self._low + 1 if low else 0
        vanished = low and run.rows == 0 and self._rows.ordered[0] > 0
        if low and (vanished or self._low >= RUNS_FOR_DROP):
            usual = self._rows.median()
            kind, severity = (
                ("silent_zero_rows", Severity.HIGH) if run.rows == 0 else ("rows_drop", Severity.MEDIUM)
            )
            reason = f"{run.rows:.0f} rows, usual are {usual:.0f}"
            yield Finding(run.start, run.end, kind, severity, min(99.0, usual / max(run.rows, 1.0)), reason)
        # The first runs of a drop stay out of the history; a lasting one is the new normal.
        if not low or self._low > LEAST_RUNS:
            self._rows.push(run.rows)
        self._remember(run)

    def _is_low(self, run: Sample) -> bool:
        assert run.rows is not None
        assert self._first is not None
        known = self._rows
        if len(known) < LEAST_RUNS or known.median() < 1:
            return False
        if len(known) < RUNS_OF_PART_OF_A_DAY and run.start - self._first < DAY:
            return False
        if run.rows >= OF_MEDIAN * known.median() or (
            run.rows > 0 and run.rows >= OF_LEAST * known.ordered[0]
        ):
            return False
        return not self._usual_at_this_hour(run)

    def _usual_at_this_hour(self, run: Sample) -> bool:
        assert run.rows is not None
        hour, day = int(run.start % DAY // 3600), int(run.start // DAY)
        nearby = [
            (then, rows)
            for h in (hour - 1, hour, hour + 1)
            for then, rows in self._hours[h % 24]
            if day - MEMORY_DAYS <= then < day
        ]
        days = {then for then, _ in nearby}
        alike = {then for then, rows in nearby if rows <= 2 * run.rows}
        return bool(alike) and len(alike) >= 0.2 * len(days)

    def _remember(self, run: Sample) -> None:
        assert run.rows is not None
        self._hours[int(run.start % DAY // 3600)].append((int(run.start // DAY), run.rows))
