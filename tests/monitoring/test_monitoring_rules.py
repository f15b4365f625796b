from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest

from prefect_autopilot.models import (
    AlertCondition,
    AlertType,
    Anomaly,
    MonitoringRule,
    RunRecord,
    Severity,
    WorkflowAlert,
    WorkflowMetric,
)
from prefect_autopilot.monitoring import alerts_of, evaluate

RISING = [10.0, 11.0, 12.0, 13.0, 14.0, 15.0, 16.0, 17.0]


def rule(condition: str = "greater_than", threshold: float = 0.2, **more: Any) -> MonitoringRule:
    return MonitoringRule(
        workflow_id="w", metric_name="m", condition=AlertCondition(condition), threshold=threshold, **more
    )


def metric(value: float, now: datetime, *, workflow: str = "w", name: str = "m") -> WorkflowMetric:
    return WorkflowMetric(name=name, value=value, tags={"workflow_id": workflow}, timestamp=now)


@pytest.mark.parametrize(
    ("condition", "threshold", "value", "baseline", "expected"),
    [
        ("greater_than", 5, 5.1, (), True),
        ("greater_than", 5, 5, (), False),
        ("greater_than_or_equal", 5, 5, (), True),
        ("greater_than_or_equal", 5, 4.9, (), False),
        ("less_than", 5, 4.9, (), True),
        ("less_than", 5, 5, (), False),
        ("less_than_or_equal", 5, 5, (), True),
        ("less_than_or_equal", 5, 5.1, (), False),
        ("equal", 0.3, 0.1 + 0.2, (), True),
        ("equal", 0.3, 0.31, (), False),
        ("not_equal", 0.3, 0.31, (), True),
        ("not_equal", 0.3, 0.1 + 0.2, (), False),
        ("change_percent", 50, 15, [99, 10], True),
        ("change_percent", 50, 14, [99, 10], False),
        ("change_percent", -50, 5, [10], True),
        ("change_percent", -50, 15, [10], False),
        ("change_percent", 50, 15, (), False),
        ("change_percent", 50, 15, [0.0], False),
        ("baseline_ratio", 2, 20, [9, 10, 11], True),
        ("baseline_ratio", 2, 19, [9, 10, 11], False),
        ("baseline_ratio", 0.5, 4, [9, 10, 11], True),
        ("baseline_ratio", 2, 20, (), False),
        ("trend", 20, 18, RISING, True),
        ("trend", 200, 18, RISING, False),
        ("trend", 20, 10, [10, 30, 5, 22, 9, 31, 12, 8], False),
        ("trend", 20, 18, RISING[:3], False),
        ("trend", -20, 9, RISING[::-1], True),
        ("greater_than", 5, float("nan"), (), False),
        ("less_than", 5, float("-inf"), (), False),
    ],
)
def test_every_condition_compares_as_its_name_says(
    condition: str,
    threshold: float,
    value: float,
    baseline: list[float],
    expected: bool,  # noqa: FBT001  a column of the table
    now: datetime,
) -> None:
    raised = evaluate([rule(condition, threshold)], [metric(value, now)], {("w", "m"): baseline}, [], now)
    assert bool(raised) is expected


def test_every_condition_of_the_contract_is_covered_by_the_table() -> None:
    marks = [
        mark
        for mark in test_every_condition_compares_as_its_name_says.pytestmark
        if mark.name == "parametrize"
    ]
    burn = {AlertCondition.SLO_BURN.value}  # reads outcomes of runs, and has tests of its own
    assert {case[0] for case in marks[0].args[1]} == {condition.value for condition in AlertCondition} - burn


class Life:
    """Evaluates one rule again and again and keeps the alerts as a store would."""

    def __init__(self, one: MonitoringRule, now: datetime) -> None:
        self.rule = one
        self.now = now
        self.alerts: dict[str, WorkflowAlert] = {}

    def see(self, value: float, *, minutes: float = 1) -> list[str]:
        self.now += timedelta(minutes=minutes)
        changed = evaluate([self.rule], [metric(value, self.now)], {}, self.alerts.values(), self.now)
        self.alerts |= {alert.alert_id: alert for alert in changed}
        return [alert.status for alert in changed]


def test_an_alert_is_pending_then_firing_then_resolved(now: datetime) -> None:
    life = Life(rule(), now)
    assert [life.see(value) for value in (0.1, 0.5, 0.5, 0.5, 0.1, 0.1)] == [
        [], ["pending"], ["firing"], [], ["resolved"], [],
    ]  # fmt: skip
    assert len(life.alerts) == 1


def test_a_breach_that_does_not_last_never_fires(now: datetime) -> None:
    life = Life(rule(), now)
    assert [life.see(value) for value in (0.5, 0.1)] == [["pending"], ["resolved"]]


def test_a_critical_rule_fires_at_once(now: datetime) -> None:
    assert Life(rule(severity=Severity.CRITICAL), now).see(0.5) == ["firing"]


def test_a_firing_alert_needs_some_distance_to_be_over(now: datetime) -> None:
    life = Life(rule(severity=Severity.CRITICAL), now)
    assert [life.see(value) for value in (0.5, 0.19, 0.17)] == [["firing"], [], ["resolved"]]


def test_the_cooldown_keeps_a_resolved_alert_quiet(now: datetime) -> None:
    life = Life(rule(severity=Severity.CRITICAL, cooldown_minutes=10), now)
    assert [life.see(value) for value in (0.5, 0.1, 0.5)] == [["firing"], ["resolved"], []]
    assert life.see(0.5, minutes=11) == ["firing"]
    assert len(life.alerts) == 2


def test_what_cannot_be_measured_changes_nothing(now: datetime) -> None:
    life = Life(rule(severity=Severity.CRITICAL), now)
    assert [life.see(value) for value in (0.5, float("nan"))] == [["firing"], []]


def test_a_rule_concerns_its_workflow_and_metric_only(now: datetime) -> None:
    others = [metric(9, now, workflow="x"), metric(9, now, name="n")]
    assert evaluate([rule()], others, {}, [], now) == ()
    assert evaluate([rule(is_active=False)], [metric(9, now)], {}, [], now) == ()
    everywhere = rule().model_copy(update={"workflow_id": "*"})
    raised = evaluate([everywhere], [metric(9, now), metric(9, now, workflow="x")], {}, [], now)
    assert [alert.workflow_id for alert in raised] == ["w", "x"]
    assert len({alert.fingerprint for alert in raised}) == 2


def test_an_alert_says_what_was_measured(now: datetime) -> None:
    (alert,) = evaluate(
        [rule(rule_id="r1", alert_type=AlertType.ERROR_RATE_INCREASE)], [metric(0.5, now)], {}, [], now
    )
    assert alert.alert_type is AlertType.ERROR_RATE_INCREASE
    assert alert.current_values == {"m": 0.5}
    assert alert.trigger_conditions["rule_id"] == "r1"
    assert "0.5" in alert.description
    assert "0.2" in alert.description


def anomaly(at: datetime, *, kind: str = "duration_spike", severity: Severity = Severity.HIGH) -> Anomaly:
    return Anomaly(start=at, end=at, kind=kind, severity=severity, score=2.0, reason="three times the usual")


def told(
    anomalies: list[Anomaly], known: list[WorkflowAlert], runs: list[RunRecord], now: datetime
) -> list[str]:
    return [alert.status for alert in alerts_of("w", "orders", anomalies, known, runs, now)]


def test_a_new_anomaly_becomes_one_alert(now: datetime) -> None:
    (alert,) = alerts_of("w", "orders", [anomaly(now)], [], [], now)
    assert (alert.status, alert.alert_type) == ("firing", AlertType.PERFORMANCE_DEGRADATION)
    assert alert.title == "orders: duration spike"
    assert told([anomaly(now)], [alert], [], now + timedelta(minutes=5)) == []


@pytest.mark.parametrize(
    "quiet",
    [{"severity": Severity.INFO}, {"at_hours_ago": 7}],
    ids=["only information", "long over"],
)
def test_what_is_no_alarm_becomes_no_alert(now: datetime, quiet: dict[str, Any]) -> None:
    at = now - timedelta(hours=quiet.pop("at_hours_ago", 0))
    assert told([anomaly(at, **quiet)], [], [], now) == []


@pytest.mark.parametrize(
    ("kind", "about"),
    [
        ("consecutive_failures", AlertType.ERROR_RATE_INCREASE),
        ("flapping_state", AlertType.ERROR_RATE_INCREASE),
        ("stuck_run", AlertType.WORKFLOW_STALLED),
        ("missed_schedule", AlertType.WORKFLOW_STALLED),
        ("late_run", AlertType.WORKFLOW_STALLED),
        ("memory_growth", AlertType.RESOURCE_EXHAUSTION),
        ("silent_zero_rows", AlertType.DATA_QUALITY_ISSUE),
        ("retry_rate", AlertType.CONNECTIVITY_ISSUE),
        ("pool_slowdown", AlertType.PERFORMANCE_DEGRADATION),
    ],
)
def test_an_alert_names_what_it_is_about(now: datetime, kind: str, about: AlertType) -> None:
    assert alerts_of("w", "orders", [anomaly(now, kind=kind)], [], [], now)[0].alert_type is about


def test_five_good_runs_end_an_alert_and_four_do_not(now: datetime, record: Callable[..., RunRecord]) -> None:
    (alert,) = alerts_of("w", "orders", [anomaly(now)], [], [], now)
    runs = [record(i, start=now + timedelta(minutes=10 * (i + 1))) for i in range(5)]
    later = now + timedelta(hours=2)
    assert told([anomaly(now)], [alert], runs[:4], later) == []
    failed = [*runs[:4], record(9, "FAILED", start=now + timedelta(minutes=55))]
    assert told([anomaly(now)], [alert], failed, later) == []
    assert told([anomaly(now)], [alert], runs, later) == ["resolved"]


def test_a_resolved_kind_stays_quiet_for_an_hour(now: datetime) -> None:
    (alert,) = alerts_of("w", "orders", [anomaly(now)], [], [], now)
    over = alert.model_copy(update={"status": "resolved", "resolved_at": now + timedelta(minutes=10)})
    again = anomaly(now + timedelta(minutes=30))
    assert told([again], [over], [], now + timedelta(minutes=40)) == []
    assert told([again], [over], [], now + timedelta(minutes=75)) == ["firing"]


@pytest.mark.parametrize(
    ("tags", "named"),
    [
        ({"workflow_id": "w", "workflow": "orders/nightly"}, "orders/nightly"),
        ({"workflow_id": "w", "workflow": ""}, "w"),
        ({"workflow_id": "w"}, "w"),
    ],
    ids=["named", "no name", "no such tag"],
)
def test_an_alert_names_the_workflow_as_people_do_and_keeps_its_id(
    now: datetime, tags: dict[str, str], named: str
) -> None:
    measured = WorkflowMetric(name="m", value=9, tags=tags, timestamp=now)
    (alert,) = evaluate([rule(threshold=5)], [measured], {}, (), now)
    assert alert.title == f"{named}: m is 9"
    assert alert.workflow_id == "w"
