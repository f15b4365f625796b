"""State channel: failures in a row, a risen share of failures, flapping."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterator
from itertools import pairwise

from prefect_autopilot.models import FAILURE_STATES, Severity
from prefect_autopilot.monitoring.sample import Finding, Sample
from prefect_autopilot.monitoring.shares import RisenShare

IN_A_ROW = 3
CHANCE = 2e-6
FAULTLESS_RUNS = 20
PRIOR_FAILURES = 0.75
PRIOR_RUNS = 25
"""Before its first run a deployment is taken to fail as one of which .75 of 25 runs failed."""
WINDOW = 20
SWITCHES = 9
ALTERNATING = 7
LEAST_SHARE = 0.15
RISEN_SHARE = 11.0
"""Log of the mean number of runs to a false alarm: one in 60,000."""
LAG = 80
"""A share that creeps up over so many runs does not become the usual one meanwhile."""
JUDGED = frozenset({"COMPLETED"}) | FAILURE_STATES


class StateChannel:
    """Judges final states; cancelled and running runs tell nothing about success."""

    def __init__(self) -> None:
        self._recent: deque[bool] = deque(maxlen=WINDOW)
        self._row = 0
        self._runs = 0
        self._failures = 0
        self._share = RisenShare(least=LEAST_SHARE, lag=LAG)

    def observe(self, run: Sample) -> Iterator[Finding]:
        """Yield what the state of this run adds up to."""
        if run.state not in JUDGED:
            return
        failed = run.state in FAILURE_STATES
        self._recent.append(failed)
        self._row = self._row + 1 if failed else 0
        self._runs += 1
        self._failures += failed
        score = self._share.update(hit=failed)
        in_a_row = self._row >= IN_A_ROW and self._unlikely()
        if failed and (in_a_row or score >= RISEN_SHARE):
            self._share.reset()
            yield self._finding(run, score, in_a_row=in_a_row)

    def _finding(self, run: Sample, score: float, *, in_a_row: bool) -> Finding:
        """Name what is seen: the pattern of the newest runs, whatever made it significant."""
        recent = list(self._recent)
        switches = sum(a != b for a, b in pairwise(recent))
        kind, value = "error_rate", score
        reason = f"{sum(recent)} of the last {len(recent)} runs failed, usual are {self._share.usual:.1%}"
        if switches >= SWITCHES and sum(recent) >= ALTERNATING:
            kind, value = "flapping_state", float(switches)
            reason = f"{switches} switches between success and failure in {len(recent)} runs"
        elif in_a_row:
            kind, value = "consecutive_failures", float(self._row)
            reason = f"{self._row} failures in a row"
        return Finding(run.start, run.end, kind, Severity.HIGH, value, reason)

    def _unlikely(self) -> bool:
        """Tell whether so many failures in a row are no chance.

        They never are where nothing has succeeded yet, or nothing has failed in twenty runs. Else the chance
        is that of the posterior of the usual share (beta-binomial): the less is known, the longer the row.
        """
        before, row = self._runs - self._row, self._row
        if not before or (self._failures == row and before >= FAULTLESS_RUNS):
            return True
        failed, runs = PRIOR_FAILURES + self._failures - row, PRIOR_RUNS + before
        chance = math.lgamma(failed + row) - math.lgamma(failed) + math.lgamma(runs) - math.lgamma(runs + row)
        return chance <= math.log(CHANCE)
