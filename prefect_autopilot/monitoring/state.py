"""State channel: failures in a row, failures in a window, a risen share of failures, flapping."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterator
from itertools import pairwise

from prefect_autopilot.models import FAILURE_STATES, Severity
from prefect_autopilot.monitoring.cusum import BernoulliCusum
from prefect_autopilot.monitoring.sample import Finding, Sample

IN_A_ROW = 3
CHANCE = 5e-5
WINDOW_CHANCE = 2e-3
COLD_RUNS = 30
WINDOW = 20
IN_WINDOW = 7
SWITCHES = 9
RISEN_SHARE = 10.5
JUDGED = frozenset({"COMPLETED"}) | FAILURE_STATES


class StateChannel:
    """Judges final states; cancelled and running runs tell nothing about success."""

    def __init__(self) -> None:
        self._recent: deque[bool] = deque(maxlen=WINDOW)
        self._row = 0
        self._cusum = BernoulliCusum(prior=0.02, least=0.12, ratio=4.0)

    def observe(self, run: Sample) -> Iterator[Finding]:
        """Yield what the state of this run adds up to."""
        if run.state not in JUDGED:
            return
        failed = run.state in FAILURE_STATES
        self._recent.append(failed)
        self._row = self._row + 1 if failed else 0
        score = self._cusum.update(hit=failed)
        if not failed:
            return
        recent = list(self._recent)
        failures = sum(recent)
        switches = sum(a != b for a, b in pairwise(recent))
        many = failures >= IN_WINDOW and self._many(failures, len(recent))
        found: tuple[str, Severity, float, str] | None = None
        if switches >= SWITCHES and many:
            found = ("flapping_state", Severity.HIGH, switches, f"{switches} switches in {len(recent)} runs")
        elif self._row >= IN_A_ROW and self._unlikely():
            found = ("consecutive_failures", Severity.HIGH, self._row, f"{self._row} failures in a row")
        elif many:
            found = (
                "error_rate",
                Severity.HIGH,
                failures,
                f"{failures} of the last {len(recent)} runs failed",
            )
        elif score >= RISEN_SHARE:
            reason = f"failures rose above their usual share of {self._cusum.base:.1%}"
            found = ("error_rate", Severity.HIGH, score, reason)
        if found:
            self._cusum.reset()
            kind, severity, value, reason = found
            yield Finding(run.start, run.end, kind, severity, float(value), reason)

    def _many(self, failures: int, runs: int) -> bool:
        """Tell whether so many failures among the newest runs are more than the usual share explains."""
        if self._cusum.known < COLD_RUNS:
            return True
        share = self._cusum.highest
        tail = sum(
            math.comb(runs, k) * share**k * (1 - share) ** (runs - k) for k in range(failures, runs + 1)
        )
        return tail <= WINDOW_CHANCE

    def _unlikely(self) -> bool:
        """Tell whether so many failures in a row are no chance; early on three are always worth telling."""
        return self._cusum.known < COLD_RUNS or self._cusum.highest**self._row <= CHANCE
