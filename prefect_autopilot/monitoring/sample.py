"""What the channels see of a run, and what they say about it: plain numbers, times in unix seconds."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from prefect_autopilot.models import Anomaly, HistoryRun, Severity

FIRST = datetime(2, 1, 1, tzinfo=UTC).timestamp()
LAST = datetime(9998, 12, 31, tzinfo=UTC).timestamp()
"""A forecast, or a duration that cannot be true, may lie beyond what a date can say in every time zone."""


@dataclass(frozen=True, slots=True)
class Sample:
    """One run as numbers; what is not finite or negative in the source is None."""

    index: int
    start: float
    state: str
    expected: float | None = None
    duration: float | None = None
    version: str | None = None
    retries: float | None = None
    rows: float | None = None
    memory: float | None = None
    measures: tuple[tuple[str, float], ...] = ()

    @property
    def end(self) -> float:
        """End of the run, its start while the duration is unknown."""
        return self.start + (self.duration or 0.0)


@dataclass(frozen=True, slots=True)
class Finding:
    """Something unusual, before it becomes an ``Anomaly``."""

    start: float
    end: float
    kind: str
    severity: Severity
    score: float
    reason: str
    eta: float | None = None

    def lasting_to(self, end: float) -> Finding:
        """Return the same finding, lasting to a later end."""
        return replace(self, end=max(self.end, end))

    def as_anomaly(self) -> Anomaly:
        """Return the value that leaves the room."""
        return Anomaly(
            start=moment(self.start),
            end=moment(max(self.start, self.end)),
            kind=self.kind,
            severity=self.severity,
            score=round(self.score, 4),
            reason=self.reason,
            eta=None if self.eta is None else moment(self.eta),
        )


def moment(seconds: float) -> datetime:
    """Return unix seconds as an aware time, at most the ends of the calendar."""
    return datetime.fromtimestamp(min(max(seconds, FIRST), LAST), UTC)


def seconds(at: datetime) -> float:
    """Return a time as unix seconds; one without zone is UTC."""
    return (at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp()


def sample(index: int, run: HistoryRun) -> Sample:
    """Return the numbers of one run."""
    return Sample(
        index=index,
        start=seconds(run.start),
        state=run.state,
        expected=None if run.expected_start is None else seconds(run.expected_start),
        duration=_amount(run.duration_s),
        version=run.version,
        retries=_amount(run.retries),
        rows=_amount(run.rows),
        memory=_amount(run.memory_mb),
        measures=tuple((name, value) for name, value in run.measures.items() if math.isfinite(value)),
    )


def _amount(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) and value >= 0 else None
