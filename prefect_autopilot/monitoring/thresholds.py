"""What rules and monitors were worth: how many alerts were false, and which threshold tells them apart."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from prefect_autopilot.models import AlertCondition, MonitoringRule, RunRecord, WorkflowAlert
from prefect_autopilot.monitoring.rehearsal import rehearse
from prefect_autopilot.monitoring.rules import NOT_LASTING, breaches

LEAST_FALSE = 3
"""False alarms below which no other threshold is suggested."""
BEFORE = timedelta(hours=1)
"""A failure this long before an alert is still what the alert was about."""
DIGITS = 3

_RISING = frozenset({AlertCondition.GREATER_THAN, AlertCondition.GREATER_THAN_OR_EQUAL})
_FALLING = frozenset({AlertCondition.LESS_THAN, AlertCondition.LESS_THAN_OR_EQUAL})

Verdict = Literal["true", "false", "open"]


@dataclass(frozen=True, slots=True)
class Suggestion:
    """Another threshold, and how often rule and suggestion fire over the same stored runs."""

    threshold: float
    fires: int
    fires_now: int
    runs: int


@dataclass(frozen=True, slots=True)
class AlertRecord:
    """What became of the alerts of one rule, or of one kind of anomaly, in a period."""

    source: str
    rule: MonitoringRule | None
    fired: int
    acknowledged: int
    false: int
    open: int
    suggestion: Suggestion | None
    why: str
    """Why the suggestion, or why none."""


def review_alerts(
    alerts: Iterable[WorkflowAlert],
    rules: Iterable[MonitoringRule],
    troubles: Mapping[str, Sequence[datetime]],
    histories: Mapping[str, Sequence[RunRecord]],
    since: datetime,
) -> tuple[AlertRecord, ...]:
    """Return what each rule and each kind of anomaly was worth since a moment, most false alarms first.

    ``troubles`` are the times of failures by workflow, ``histories`` the runs a suggestion is tried on. Rules
    that never fired are there, too; alerts that did not last were told nobody and are left out.
    """
    found: dict[str, list[WorkflowAlert]] = {}
    for alert in alerts:
        if alert.created_at >= since and _lasted(alert):
            found.setdefault(_source(alert), []).append(alert)
    known = {rule.rule_id: rule for rule in rules}
    records = [
        _record(source, known.get(source), found.get(source, []), troubles, histories, since)
        for source in sorted({*found, *known})
    ]
    return tuple(sorted(records, key=lambda one: (-one.false, -one.fired, one.source)))


def verdict(alert: WorkflowAlert, troubles: Sequence[datetime]) -> Verdict:
    """Tell whether an alert was true: somebody took it on, or a run failed while it lasted or just before.

    One that ended without either was false: it told people of something nobody had to do anything about.
    """
    if alert.acknowledged or any(_during(alert, at) for at in troubles):
        return "true"
    return "false" if alert.status == "resolved" else "open"


def _during(alert: WorkflowAlert, at: datetime) -> bool:
    return alert.created_at - BEFORE <= at and (alert.resolved_at is None or at <= alert.resolved_at)


def _lasted(alert: WorkflowAlert) -> bool:
    gone = alert.status == "resolved" and (alert.resolution_notes or "").startswith(NOT_LASTING)
    return alert.status != "pending" and not gone


def _source(alert: WorkflowAlert) -> str:
    told = alert.trigger_conditions
    return str(told.get("rule_id") or told.get("kind") or alert.alert_type.value)


def _record(
    source: str,
    rule: MonitoringRule | None,
    alerts: Sequence[WorkflowAlert],
    troubles: Mapping[str, Sequence[datetime]],
    histories: Mapping[str, Sequence[RunRecord]],
    since: datetime,
) -> AlertRecord:
    judged = [(alert, verdict(alert, troubles.get(alert.workflow_id, ()))) for alert in alerts]
    false = [alert for alert, said in judged if said == "false"]
    true = [alert for alert, said in judged if said == "true"]
    suggestion, why = _suggested(rule, false, true, histories, since)
    return AlertRecord(
        source=source,
        rule=rule,
        fired=len(alerts),
        acknowledged=sum(alert.acknowledged for alert in alerts),
        false=len(false),
        open=sum(said == "open" for _, said in judged),
        suggestion=suggestion,
        why=why,
    )


def _suggested(
    rule: MonitoringRule | None,
    false: Sequence[WorkflowAlert],
    true: Sequence[WorkflowAlert],
    histories: Mapping[str, Sequence[RunRecord]],
    since: datetime,
) -> tuple[Suggestion | None, str]:
    """Return the nearest threshold with none of the false alarms and all of the true ones, or why none."""
    if len(false) < LEAST_FALSE:
        return None, f"fewer than {LEAST_FALSE} false alarms" if false else "no false alarm"
    if rule is None:
        return None, "it has no threshold to move; a silence or a maintenance window can mute it"
    if rule.condition not in _RISING | _FALLING:
        return None, f"a {rule.condition.value} rule compares with a baseline; look at its window"
    quiet, loud = _values(rule, false), _values(rule, true)
    if len(quiet) < len(false) or len(loud) < len(true):
        return None, "the values of some alerts were not kept"
    wanted = _beyond(rule, quiet)
    other = rule.model_copy(update={"threshold": wanted})
    lost = sum(not breaches(other, value) for value in loud)
    if lost:
        return None, f"no threshold tells them apart: {lost} of {len(loud)} true alarms would be lost"
    fires, runs = _fires(other, histories, since)
    fires_now, _ = _fires(rule, histories, since)
    kept = f"all {len(loud)} true ones stay" if loud else "no true one was seen"
    return (
        Suggestion(threshold=wanted, fires=fires, fires_now=fires_now, runs=runs),
        f"none of the {len(false)} false alarms would come, {kept}",
    )


def _values(rule: MonitoringRule, alerts: Iterable[WorkflowAlert]) -> list[float]:
    known = (alert.current_values.get(rule.metric_name) for alert in alerts)
    return [value for value in known if value is not None and math.isfinite(value)]


def _beyond(rule: MonitoringRule, values: Sequence[float]) -> float:
    """Return the first number of three digits that none of the values breaches."""
    up = rule.condition in _RISING
    worst = max(values) if up else min(values)
    magnitude = math.floor(math.log10(abs(worst))) if worst else 0
    step = 10.0 ** (magnitude + 1 - DIGITS)
    place = round(worst / step)
    for further in range(3):
        candidate = float(f"{(place + further if up else place - further) * step:.{DIGITS + 1}g}")
        if not any(breaches(rule.model_copy(update={"threshold": candidate}), value) for value in values):
            return candidate
    raise AssertionError("two steps beyond the worst value nothing is breached")


def _fires(
    rule: MonitoringRule, histories: Mapping[str, Sequence[RunRecord]], since: datetime
) -> tuple[int, int]:
    rehearsed = rehearse([rule.model_copy(update={"is_active": True})], histories, since)
    return sum(len(one.fired) for one in rehearsed), sum(one.runs for one in rehearsed)
