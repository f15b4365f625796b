"""Retries channel: more completed runs than usual needed a second attempt."""

from __future__ import annotations

from collections.abc import Iterator

from prefect_autopilot.models import Severity
from prefect_autopilot.monitoring.sample import Finding, Sample
from prefect_autopilot.monitoring.shares import RisenShare

LEAST_SHARE = 0.15
RISEN_SHARE = 12.0
"""Log of the mean number of runs to a false alarm."""


class RetriesChannel:
    """Judges completed runs only: a failed run has used up its retries by definition."""

    def __init__(self) -> None:
        self._share = RisenShare(least=LEAST_SHARE)

    def observe(self, run: Sample) -> Iterator[Finding]:
        """Yield an alarm when retried runs have become frequent."""
        if run.state != "COMPLETED" or run.retries is None:
            return
        retried = run.retries > 0
        score = self._share.update(hit=retried)
        if retried and score >= RISEN_SHARE:
            reason = f"retries rose above their usual share of {self._share.usual:.1%} of runs"
            self._share.reset()
            yield Finding(run.start, run.end, "retry_rate", Severity.MEDIUM, score, reason)
