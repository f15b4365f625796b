"""Anomalies in, alerts out: each incident is told once and resolved when runs are good again."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime, timedelta

from prefect_autopilot.models import AlertType, Anomaly, RunRecord, Severity, WorkflowAlert
from prefect_autopilot.monitoring.measures import finished

FRESH = timedelta(hours=6)
"""An anomaly that ended before this is history: the first look at a server must not page."""
QUIET = timedelta(hours=1)
"""After a resolved alert the same kind stays quiet for this long."""
GOOD_RUNS = 5
ALERT_TYPES = (
    (frozenset({"metric"}), AlertType.CUSTOM_METRIC),
    (frozenset({"failures", "error", "flapping"}), AlertType.ERROR_RATE_INCREASE),
    (frozenset({"stuck", "missed", "late"}), AlertType.WORKFLOW_STALLED),
    (frozenset({"memory"}), AlertType.RESOURCE_EXHAUSTION),
    (frozenset({"rows"}), AlertType.DATA_QUALITY_ISSUE),
    (frozenset({"retry"}), AlertType.CONNECTIVITY_ISSUE),
)
"""Words in an anomaly's kind and what its alert is about; else it is about performance."""
NEW_LEVELS = frozenset({"duration_shift", "duration_drift", "duration_regression", "pool_slowdown"})
PREFIX = "anomaly:"


def alerts_of(
    workflow_id: str,
    name: str,
    anomalies: Sequence[Anomaly],
    known: Iterable[WorkflowAlert],
    runs: Sequence[RunRecord],
    now: datetime,
) -> tuple[WorkflowAlert, ...]:
    """Return the alerts of one workflow that are new, and those that are over.

    ``known`` are its alerts so far. An anomaly of severity info is no alert, nor is one that ended more than
    six hours ago. An alert is over after five successful runs in a row without its anomaly.
    """
    newest: dict[str, WorkflowAlert] = {}
    for alert in sorted(known, key=lambda alert: alert.created_at):
        newest[alert.fingerprint] = alert
    latest: dict[str, Anomaly] = {}
    for anomaly in anomalies:
        if anomaly.severity is not Severity.INFO:
            latest[f"{PREFIX}{workflow_id}:{anomaly.kind}"] = anomaly
    new = [
        _alert(workflow_id, name, mark, anomaly, now)
        for mark, anomaly in latest.items()
        if anomaly.end >= now - FRESH and _tellable(newest.get(mark), anomaly, now)
    ]
    over = [
        alert.model_copy(
            update={
                "status": "resolved",
                "resolved_at": now,
                "resolution_notes": _why_over(mark),
            }
        )
        for mark, alert in newest.items()
        if mark.startswith(PREFIX)
        and alert.workflow_id == workflow_id
        and alert.status != "resolved"
        and _is_over(alert, latest.get(mark), runs)
    ]
    return (*new, *over)


def _why_over(mark: str) -> str:
    """Return why an alert is over; a change of level is not undone, it is known."""
    new_level = mark.rpartition(":")[2] in NEW_LEVELS
    return f"{GOOD_RUNS} good runs since{'; the new level is taken as usual' if new_level else ''}."


def _tellable(known: WorkflowAlert | None, anomaly: Anomaly, now: datetime) -> bool:
    if known is None:
        return True
    if known.status != "resolved" or known.resolved_at is None:
        return False
    return anomaly.start > known.resolved_at and now >= known.resolved_at + QUIET


def _is_over(alert: WorkflowAlert, anomaly: Anomaly | None, runs: Sequence[RunRecord]) -> bool:
    since = max(alert.created_at, anomaly.end) if anomaly is not None else alert.created_at
    good = list(_states_since(runs, since))[-GOOD_RUNS:]
    return len(good) == GOOD_RUNS and set(good) == {"COMPLETED"}


def _states_since(runs: Sequence[RunRecord], since: datetime) -> Iterator[str]:
    return (run.state.type for run in finished(runs) if run.start is not None and run.start > since)


def _alert(workflow_id: str, name: str, mark: str, anomaly: Anomaly, now: datetime) -> WorkflowAlert:
    about = (kind for words, kind in ALERT_TYPES if not words.isdisjoint(anomaly.kind.split("_")))
    ahead = f" The limit is expected at {anomaly.eta:%Y-%m-%d %H:%M} UTC." if anomaly.eta else ""
    return WorkflowAlert(
        alert_id=hashlib.sha256(f"{mark}@{anomaly.start.isoformat()}".encode()).hexdigest()[:32],
        fingerprint=mark,
        workflow_id=workflow_id,
        alert_type=next(about, AlertType.PERFORMANCE_DEGRADATION),
        severity=anomaly.severity,
        title=f"{name}: {anomaly.kind.replace('_', ' ')}",
        description=f"{anomaly.reason[:1].upper()}{anomaly.reason[1:]}.{ahead}",
        status="firing",
        trigger_conditions={"kind": anomaly.kind, "start": anomaly.start.isoformat()},
        current_values={"score": anomaly.score},
        created_at=now,
    )
