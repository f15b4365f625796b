"""Retries channel: more completed runs than usual needed a second attempt."""

from __future__ import annotations

from collections.abc import Iterator

from prefect_autopilot.models import Severity
from prefect_autopilot.monitoring.cusum import BernoulliCusum
from prefect_autopilot.monitoring.sample import Finding, Sample

RISEN_SHARE = 11.0


class RetriesChannel:
    """Judges completed runs only: a failed run has used up its retries by definition."""

    def __init__(self) -> None:
        self._cusum = BernoulliCusum(prior=0.02, least=0.15, ratio=4.0)

    def observe(self, run: Sample) -> Iterator[Finding]:
        """Yield an alarm when retried runs have become frequent."""
        if run.state != "COMPLETED" or run.retries is None:
            return
        retried = run.retries > 0
        score = self._cusum.update(hit=retried)
        if retried and score >= RISEN_SHARE:
            reason = f"retries rose above their usual share of {self._cusum.base:.1%} of runs"
            self._cusum.reset()
            yield Finding(run.start, run.end, "retry_rate", Severity.MEDIUM, score, reason)
