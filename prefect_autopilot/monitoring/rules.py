"""Monitoring rules: metrics in, alerts out; pending, then firing, then resolved, one per fingerprint."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from statistics import fmean, median

from prefect_autopilot.models import AlertCondition, MonitoringRule, Severity, WorkflowAlert, WorkflowMetric
from prefect_autopilot.monitoring.statistics import mann_kendall

EVERY_WORKFLOW = "*"
NOT_LASTING = "It did not last: "
"""How the note of an alert begins that was only ever pending."""
HYSTERESIS = 0.1
"""A firing alert resolves only when the value is this share of the threshold on the good side of it."""
SAME = 1e-9
OUTCOMES = "outcomes"
"""Name under which the baselines hold 1 for each failed and 0 for each completed run, oldest first."""
BURN_PARTS = 12
LEAST_BURNING = 3
TREND_VALUES = 8
TREND_Z = 1.96

Baselines = Mapping[tuple[str, str], Sequence[float]]
"""Earlier values of a metric, oldest first, by workflow id and metric name."""


@dataclass(frozen=True, slots=True)
class Reading:
    """What a condition looks at: the quantity it compares, its earlier values being part of it."""

    value: float
    text: str


def evaluate(
    rules: Iterable[MonitoringRule],
    metrics: Iterable[WorkflowMetric],
    baselines: Baselines,
    alerts: Iterable[WorkflowAlert],
    now: datetime,
) -> tuple[WorkflowAlert, ...]:
    """Return the alerts that are new or have changed.

    ``alerts`` are the open ones and, for the cooldown, the lately resolved ones. A breach is pending until
    the next evaluation confirms it; a critical one fires at once. What cannot be measured (no value, NaN, no
    baseline) changes nothing.
    """
    newest: dict[str, WorkflowAlert] = {}
    for alert in sorted(alerts, key=lambda alert: alert.created_at):
        newest[alert.fingerprint] = alert
    measured = list(metrics)
    changed = []
    for rule in rules:
        if not rule.is_active:
            continue
        for metric in measured:
            workflow = metric.tags.get("workflow_id", "")
            if metric.name != rule.metric_name or rule.workflow_id not in {workflow, EVERY_WORKFLOW}:
                continue
            burns = rule.condition is AlertCondition.SLO_BURN
            earlier = baselines.get((workflow, OUTCOMES if burns else metric.name), ())
            reading = read(rule, metric.value, earlier)
            if reading is None:
                continue
            known = newest.get(fingerprint(rule, workflow))
            changed += list(_step(rule, workflow, metric, reading, known, now))
    return tuple(changed)


def fingerprint(rule: MonitoringRule, workflow_id: str) -> str:
    """Return the identity of what a rule says about a workflow; the threshold may change under it."""
    name = rule.rule_id or f"{rule.metric_name}:{rule.condition}:{rule.threshold:g}"
    return f"rule:{workflow_id}:{name}"


def read(rule: MonitoringRule, value: float, baseline: Sequence[float]) -> Reading | None:
    """Return the quantity that the rule compares with its threshold, None where it cannot be known."""
    if not math.isfinite(value):
        return None
    earlier = [known for known in baseline if math.isfinite(known)]
    if rule.condition is AlertCondition.SLO_BURN:
        return _burn(rule, earlier)
    special = READINGS.get(rule.condition)
    if special is not None:
        return special(rule.metric_name, value, earlier)
    return Reading(value, f"{rule.metric_name} is {value:g}")


def breaches(rule: MonitoringRule, value: float, *, margin: float = 0.0) -> bool:
    """Tell whether a quantity breaches the rule; ``margin`` moves the threshold to the good side."""
    threshold = rule.threshold
    slack = margin * abs(threshold)
    if rule.condition in {AlertCondition.CHANGE_PERCENT, AlertCondition.TREND}:
        # A negative threshold asks for a fall.
        return value <= threshold + slack if threshold < 0 else value >= threshold - slack
    return COMPARE[rule.condition](value, threshold, slack)


COMPARE: dict[AlertCondition, Callable[[float, float, float], bool]] = {
    AlertCondition.GREATER_THAN: lambda value, threshold, slack: value > threshold - slack,
    AlertCondition.GREATER_THAN_OR_EQUAL: lambda value, threshold, slack: value >= threshold - slack,
    AlertCondition.LESS_THAN: lambda value, threshold, slack: value < threshold + slack,
    AlertCondition.LESS_THAN_OR_EQUAL: lambda value, threshold, slack: value <= threshold + slack,
    AlertCondition.SLO_BURN: lambda value, threshold, slack: value >= threshold - slack,
    AlertCondition.EQUAL: lambda value, threshold, _: math.isclose(value, threshold, abs_tol=SAME),
    AlertCondition.NOT_EQUAL: lambda value, threshold, _: not math.isclose(value, threshold, abs_tol=SAME),
    AlertCondition.BASELINE_RATIO: lambda value, threshold, slack: (
        value >= threshold - slack if threshold >= 1 else value <= threshold + slack
    ),
}


def _change(name: str, value: float, earlier: Sequence[float]) -> Reading | None:
    if not earlier or abs(earlier[-1]) < SAME:
        return None
    change = 100 * (value - earlier[-1]) / abs(earlier[-1])
    return Reading(change, f"{name} changed by {change:+.1f} % from {earlier[-1]:g} to {value:g}")


def _ratio(name: str, value: float, earlier: Sequence[float]) -> Reading | None:
    if not earlier or abs(median(earlier)) < SAME:
        return None
    ratio = value / median(earlier)
    return Reading(ratio, f"{name} is {value:g}, {ratio:.2f} times its baseline of {median(earlier):g}")


def _trend(name: str, value: float, earlier: Sequence[float]) -> Reading | None:
    """Return the change from the older to the newer half in percent; 0 where it is no trend."""
    values = [*earlier, value]
    if len(values) < TREND_VALUES:
        return None
    half = len(values) // 2
    start, end = median(values[:half]), median(values[half:])
    if abs(start) < SAME:
        return None
    z = mann_kendall(values)
    change = 100 * (end - start) / abs(start) if abs(z) >= TREND_Z else 0.0
    return Reading(change, f"{name} has a trend of {change:+.1f} % over {len(values)} values (z {z:.1f})")


def _burn(rule: MonitoringRule, outcomes: Sequence[float]) -> Reading | None:
    """Return how many times faster than allowed failures use up the error budget, in both windows.

    The long window says that it matters, the short one that it still goes on (multi-window burn rates of the
    SRE workbook, in runs instead of hours: flows run too seldom for hours). ``outcomes`` are 1 for a failure.
    """
    short = max(LEAST_BURNING, rule.window_runs // BURN_PARTS)
    if len(outcomes) < max(short, rule.window_runs // 2):
        return None
    window = outcomes[-rule.window_runs :]
    shares = [fmean(window), fmean(window[-short:])]
    burn = min(shares) / (1 - rule.objective)
    text = (
        f"the error budget of {1 - rule.objective:.2%} is used up {burn:.1f} times too fast"
        f" ({sum(window):g} of the last {len(window)} runs failed)"
    )
    return Reading(burn, text)


READINGS: dict[AlertCondition, Callable[[str, float, Sequence[float]], Reading | None]] = {
    AlertCondition.CHANGE_PERCENT: _change,
    AlertCondition.BASELINE_RATIO: _ratio,
    AlertCondition.TREND: _trend,
}


def _step(
    rule: MonitoringRule,
    workflow: str,
    metric: WorkflowMetric,
    reading: Reading,
    known: WorkflowAlert | None,
    now: datetime,
) -> Iterator[WorkflowAlert]:
    """Yield the alert's next state, nothing where it stays as it is."""
    is_open = known is not None and known.status != "resolved"
    if known is not None and is_open:
        firing = known.status == "firing"
        if not breaches(rule, reading.value, margin=HYSTERESIS if firing else 0.0):
            note = f"{reading.text}." if firing else f"{NOT_LASTING}{reading.text}."
            yield known.model_copy(
                update={"status": "resolved", "resolved_at": now, "resolution_notes": note}
            )
        elif not firing and now > known.created_at:
            yield known.model_copy(update={"status": "firing", "current_values": {metric.name: metric.value}})
        return
    if not breaches(rule, reading.value) or _cooling(rule, known, now):
        return
    yield _new(rule, workflow, metric, reading, now)


def _cooling(rule: MonitoringRule, known: WorkflowAlert | None, now: datetime) -> bool:
    if known is None or known.resolved_at is None:
        return False
    return now < known.resolved_at + timedelta(minutes=rule.cooldown_minutes)


def _new(
    rule: MonitoringRule, workflow: str, metric: WorkflowMetric, reading: Reading, now: datetime
) -> WorkflowAlert:
    mark = fingerprint(rule, workflow)
    return WorkflowAlert(
        alert_id=hashlib.sha256(f"{mark}@{now.isoformat()}".encode()).hexdigest()[:32],
        fingerprint=mark,
        workflow_id=workflow,
        alert_type=rule.alert_type,
        severity=rule.severity,
        title=f"{metric.tags.get('workflow') or workflow}: {reading.text}",
        description=rule.description
        or f"{reading.text}; the rule is {rule.condition.value} {rule.threshold:g}.",
        status="firing" if rule.severity is Severity.CRITICAL else "pending",
        trigger_conditions={
            "rule_id": rule.rule_id,
            "metric": rule.metric_name,
            "condition": rule.condition.value,
            "threshold": rule.threshold,
        },
        current_values={metric.name: metric.value},
        created_at=now,
    )
