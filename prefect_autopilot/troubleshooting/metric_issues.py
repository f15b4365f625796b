"""Issues from metrics that somebody reports, by documented thresholds."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from prefect_autopilot.models import IssueCategory, Severity, WorkflowIssue
from prefect_autopilot.troubleshooting.text import digest


@dataclass(frozen=True, slots=True)
class Limit:
    """From where on a metric is an issue, and from where on a bad one; ``unit`` as reported."""

    category: IssueCategory
    direction: Literal["above", "below"]
    medium: float
    high: float
    unit: str
    why: str

    def exceeded(self, value: float) -> Severity | None:
        """Return how bad ``value`` is, None within limits."""
        sign = 1 if self.direction == "above" else -1
        if sign * value > sign * self.high:
            return Severity.HIGH
        return Severity.MEDIUM if sign * value > sign * self.medium else None


# Starting points for a workflow of which nothing else is known; a baseline of its own is better and
# is what monitoring uses. Shares lie between 0 and 1.
_SLOW = "callers time out at 5 to 60 s by default"
_FULL = "hardly any reserve is left"
LIMITS: dict[str, Limit] = {
    "avg_response_time": Limit(IssueCategory.PERFORMANCE, "above", 5, 30, "s", _SLOW),
    "p95_response_time": Limit(IssueCategory.PERFORMANCE, "above", 10, 60, "s", _SLOW),
    "error_rate": Limit(IssueCategory.EXTERNAL_SERVICE, "above", 0.05, 0.2, "share", "too many calls fail"),
    "completion_rate": Limit(IssueCategory.LOGIC, "below", 0.95, 0.8, "share", "too many runs end badly"),
    "throughput": Limit(IssueCategory.PERFORMANCE, "below", 0.1, 0.0001, "runs/min", "little gets done"),
    "cpu_usage": Limit(IssueCategory.RESOURCE, "above", 0.85, 0.95, "share", _FULL),
    "memory_usage": Limit(IssueCategory.RESOURCE, "above", 0.85, 0.95, "share", _FULL),
    "disk_usage": Limit(IssueCategory.RESOURCE, "above", 0.85, 0.95, "share", _FULL),
    "retry_rate": Limit(IssueCategory.CONNECTIVITY, "above", 0.1, 0.5, "share", "work needs repetition"),
    "timeout_rate": Limit(IssueCategory.TIMEOUT, "above", 0.02, 0.1, "share", "deadlines elapse too often"),
    "lateness": Limit(IssueCategory.PERFORMANCE, "above", 60, 600, "s", "runs start later than scheduled"),
    "queue_depth": Limit(IssueCategory.PERFORMANCE, "above", 50, 500, "runs", "work piles up"),
}
PERCENT = frozenset(name for name, limit in LIMITS.items() if limit.unit == "share")


def issues_from_metrics(
    workflow_id: str, metrics: Mapping[str, float], now: datetime
) -> tuple[WorkflowIssue, ...]:
    """Return an issue per metric beyond its limit, and one for each name or value that cannot be judged.

    Shares above 1 are read as percent. Limits are in ``LIMITS``.
    """
    found = (_issue(workflow_id, name, value, now) for name, value in sorted(metrics.items()))
    return tuple(issue for issue in found if issue is not None)


def _issue(workflow_id: str, name: str, value: float, now: datetime) -> WorkflowIssue | None:
    limit = LIMITS.get(name)
    if limit is None or not math.isfinite(value):
        why = "is not a known metric" if limit is None else "is not a finite number"
        text = f"{name} = {value:g} {why}, so it was not judged."
        return _built(workflow_id, name, value, now, (IssueCategory.UNKNOWN, Severity.INFO, text))
    share = value / 100 if name in PERCENT and value > 1 else value
    severity = limit.exceeded(share)
    if severity is None:
        return None
    text = f"{name} is {share:g} {limit.unit}, {limit.direction} {limit.medium:g}: {limit.why}."
    return _built(workflow_id, name, value, now, (limit.category, severity, text))


def _built(
    workflow_id: str, name: str, value: float, now: datetime, verdict: tuple[IssueCategory, Severity, str]
) -> WorkflowIssue:
    category, severity, text = verdict
    return WorkflowIssue(
        issue_id=f"issue-{digest((workflow_id, 'metric', name))}",
        workflow_id=workflow_id,
        category=category,
        severity=severity,
        description=text,
        symptoms=(f"{name} = {value:g}",),
        detection_time=now,
        affected_components=(name,),
        metrics_impact={name: value} if math.isfinite(value) else {},
    )
