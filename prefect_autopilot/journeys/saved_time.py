"""Saved time from real numbers: how long resolved runs stood still, and those a person had to see to."""

from __future__ import annotations

from statistics import median

from prefect_autopilot.models import ResolutionStatus, TroubleshootingSession, Value
from prefect_autopilot.store import Store

_PAGE = 500


class SavedTime(Value):
    """Sessions that ended by themselves and those a person ended, with the median of their seconds each."""

    resolved: int
    resolved_median_s: float | None
    by_people: int
    by_people_median_s: float | None

    @property
    def saved_s(self) -> float | None:
        """Return seconds saved, None until both kinds were seen: there is nothing to compare with before."""
        if self.resolved_median_s is None or self.by_people_median_s is None:
            return None
        return self.resolved * max(0.0, self.by_people_median_s - self.resolved_median_s)

    def sentence(self) -> str:
        """Return the counts and what follows from them, in one sentence."""
        told = f"{self.resolved} runs were resolved unattended"
        if self.resolved_median_s is not None:
            told += f" (median {self.resolved_median_s:.0f} s from failure to good run)"
        told += f", {self.by_people} by people"
        if self.by_people_median_s is not None:
            told += f" (median {self.by_people_median_s:.0f} s)"
        if self.saved_s is None:
            return f"{told}; what was saved cannot be told until both have been seen."
        return f"{told}: {self.saved_s / 3600:.1f} h of standing still were saved."


async def saved_time(store: Store) -> SavedTime:
    """Return what the stored sessions tell; nothing is estimated."""
    ours, theirs, offset = [], [], 0
    while page := await store.sessions(limit=_PAGE, offset=offset):
        ours += [_lasted(one) for one in page if one.resolution_status is ResolutionStatus.AUTO_RESOLVED]
        theirs += [_lasted(one) for one in page if _by_people(one)]
        offset += _PAGE
    return SavedTime(
        resolved=len(ours),
        resolved_median_s=median(ours) if ours else None,
        by_people=len(theirs),
        by_people_median_s=median(theirs) if theirs else None,
    )


def _by_people(session: TroubleshootingSession) -> bool:
    """Tell whether a run of ours was seen good after somebody else saw to it."""
    closed = session.resolution_status is ResolutionStatus.CLOSED and bool(session.trail)
    seen = closed and "completed" in session.trail[-1]
    return seen or session.resolution_status is ResolutionStatus.RESOLVED


def _lasted(session: TroubleshootingSession) -> float:
    return ((session.end_time or session.start_time) - session.start_time).total_seconds()
