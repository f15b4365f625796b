"""Which alerts were false, and which threshold would have told true from false."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prefect_autopilot.models import (
    AlertCondition,
    AlertType,
    MonitoringRule,
    RunRecord,
    Severity,
    StateRecord,
    WorkflowAlert,
)
from prefect_autopilot.monitoring.rules import NOT_LASTING, breaches
from prefect_autopilot.monitoring.thresholds import AlertRecord, review_alerts, verdict

NOW = datetime(2026, 7, 1, tzinfo=UTC)
SINCE = NOW - timedelta(days=92)


def rule(**changes: Any) -> MonitoringRule:
    known: dict[str, Any] = {
        "rule_id": "slow",
        "workflow_id": "orders",
        "metric_name": "response_time",
        "condition": "greater_than",
        "threshold": 100,
        "alert_type": "performance_degradation",
        "severity": "high",
    }
    return MonitoringRule.model_validate(known | changes)


def alert(value: float | None, day: float, **changes: Any) -> WorkflowAlert:
    began = SINCE + timedelta(days=day)
    known: dict[str, Any] = {
        "alert_id": f"alert-{day}",
        "fingerprint": "rule:orders:slow",
        "workflow_id": "orders",
        "alert_type": AlertType.PERFORMANCE_DEGRADATION,
        "severity": Severity.HIGH,
        "title": "orders is slow",
        "description": "",
        "status": "resolved",
        "trigger_conditions": {"rule_id": "slow", "metric": "response_time"},
        "current_values": {"response_time": value},
        "created_at": began,
        "resolved_at": began + timedelta(hours=2),
    }
    return WorkflowAlert.model_validate(known | changes)


def only(alerts: list[WorkflowAlert], *, rules: tuple[MonitoringRule, ...] = (), **more: Any) -> AlertRecord:
    (found,) = review_alerts(alerts, rules, more.get("troubles", {}), more.get("runs", {}), SINCE)
    return found


@pytest.mark.parametrize(
    ("changes", "failed_after_h", "said"),
    [
        ({}, None, "false"),
        ({"acknowledged": True}, None, "true"),
        ({}, 1, "true"),
        ({}, -0.5, "true"),
        ({}, -1.5, "false"),
        ({}, 2.5, "false"),
        ({"status": "firing", "resolved_at": None}, None, "open"),
        ({"status": "firing", "resolved_at": None}, 400, "true"),
    ],
    ids=["nobody", "taken-on", "failure", "just-before", "long-before", "after", "open", "open-failed"],
)
def test_an_alert_is_true_where_somebody_took_it_on_or_a_run_failed(
    changes: dict[str, Any], failed_after_h: float | None, said: str
) -> None:
    one = alert(120, 5, **changes)
    failures = [] if failed_after_h is None else [one.created_at + timedelta(hours=failed_after_h)]

    assert verdict(one, failures) == said


def test_failures_of_another_workflow_make_no_alert_true() -> None:
    at = SINCE + timedelta(days=5, hours=1)

    assert only([alert(120, 5)], troubles={"billing": [at]}).false == 1
    assert only([alert(120, 5)], troubles={"orders": [at]}).false == 0


@pytest.mark.parametrize(
    "changes",
    [
        {"status": "pending", "resolved_at": None},
        {"resolution_notes": f"{NOT_LASTING}response_time is 90."},
        {"created_at": SINCE - timedelta(days=1)},
    ],
    ids=["pending", "did-not-last", "before-the-period"],
)
def test_what_nobody_was_told_of_is_not_counted(changes: dict[str, Any]) -> None:
    assert review_alerts([alert(120, 5, **changes)], (), {}, {}, SINCE) == ()


def test_a_rule_that_never_fired_is_there() -> None:
    found = only([], rules=(rule(),))

    assert (found.source, found.fired, found.suggestion, found.why) == ("slow", 0, None, "no false alarm")


def test_the_suggested_threshold_drops_the_false_alarms_and_keeps_the_true_ones() -> None:
    false = [alert(value, day) for day, value in enumerate((110, 131.7, 120))]
    true = [alert(value, day, acknowledged=True) for day, value in ((10, 400), (11, 133))]

    found = only([*false, *true], rules=(rule(),))

    assert found.suggestion is not None
    assert found.suggestion.threshold == 132
    assert (found.fired, found.acknowledged, found.false) == (5, 2, 3)
    assert found.why == "none of the 3 false alarms would come, all 2 true ones stay"


@pytest.mark.parametrize(
    ("condition", "values", "threshold"),
    [
        ("greater_than", (110, 120, 130), 130),
        ("greater_than_or_equal", (110, 120, 130), 131),
        ("less_than", (0.8, 0.7, 0.75), 0.7),
        ("less_than_or_equal", (0.8, 0.7, 0.75), 0.699),
        ("greater_than", (0.0123, 0.01, 0.011), 0.0123),
        ("greater_than_or_equal", (-5, -4, -3), -2.99),
        ("less_than_or_equal", (0, 0, 0), -0.01),
        ("greater_than", (123456, 1, 2), 124000),
    ],
)
def test_the_threshold_moves_just_beyond_the_worst_false_alarm(
    condition: str, values: tuple[float, ...], threshold: float
) -> None:
    found = only(
        [alert(value, day) for day, value in enumerate(values)],
        rules=(rule(condition=condition, threshold=1),),
    )

    assert found.suggestion is not None
    assert found.suggestion.threshold == pytest.approx(threshold)
    assert found.why.endswith("no true one was seen")


@given(
    condition=st.sampled_from(["greater_than", "greater_than_or_equal", "less_than", "less_than_or_equal"]),
    values=st.lists(st.floats(-1e9, 1e9).filter(lambda one: not 0 < abs(one) < 1e-6), min_size=3, max_size=6),
)
def test_no_false_alarm_is_ever_left_by_a_suggestion(condition: str, values: list[float]) -> None:
    known = rule(condition=condition)
    found = only([alert(value, day) for day, value in enumerate(values)], rules=(known,))

    assert found.suggestion is not None
    moved = known.model_copy(update={"threshold": found.suggestion.threshold})
    assert not any(breaches(moved, value) for value in values)


@pytest.mark.parametrize(
    ("alerts", "known", "why"),
    [
        ([alert(110, 1), alert(120, 2)], rule(), "fewer than 3 false alarms"),
        (
            [alert(110, 1), alert(120, 2), alert(150, 3), alert(140, 4, acknowledged=True)],
            rule(),
            "no threshold",
        ),
        (
            [alert(1, 1), alert(2, 2), alert(3, 3)],
            rule(condition="baseline_ratio"),
            "compares with a baseline",
        ),
        ([alert(110, 1), alert(None, 2), alert(120, 3)], rule(), "were not kept"),
        ([alert(1, 1), alert(2, 2), alert(3, 3)], None, "no threshold to move"),
    ],
    ids=["few", "mixed", "relative", "lost", "anomaly"],
)
def test_nothing_is_suggested_without_grounds(
    alerts: list[WorkflowAlert], known: MonitoringRule | None, why: str
) -> None:
    found = only(alerts, rules=(known,) if known else ())

    assert found.suggestion is None
    assert why in found.why


def test_anomalies_are_counted_by_kind_and_the_worst_come_first() -> None:
    kinds = [alert(None, day, trigger_conditions={"kind": "duration"}) for day in (1, 2, 3)]

    found = review_alerts([*kinds, alert(120, 4)], (rule(), rule(rule_id="quiet")), {}, {}, SINCE)

    assert [(one.source, one.false) for one in found] == [("duration", 3), ("slow", 1), ("quiet", 0)]


def test_a_suggestion_is_tried_on_the_stored_runs() -> None:
    runs = [run(number, 150 if number in range(60, 120) else 50) for number in range(180)]

    found = only(
        [alert(150, day) for day in (1, 2, 3)], rules=(rule(severity="critical"),), runs={"orders": runs}
    )

    assert found.suggestion is not None
    assert found.suggestion.runs == len(runs)
    assert found.suggestion.fires_now > found.suggestion.fires == 0


def test_nothing_of_what_is_reviewed_is_changed() -> None:
    known, given_alerts = rule(), [alert(110 + day, day) for day in range(4)]
    before = known.model_dump(), [one.model_dump() for one in given_alerts]

    review_alerts(given_alerts, (known,), {}, {}, SINCE)

    assert (known.model_dump(), [one.model_dump() for one in given_alerts]) == before
    assert known.condition is AlertCondition.GREATER_THAN


def run(number: int, seconds: float) -> RunRecord:
    start = SINCE + timedelta(hours=number)
    end = start + timedelta(seconds=seconds)
    return RunRecord(
        id=f"run-{number}",
        name=f"run-{number}",
        flow_id="flow",
        flow_name="orders",
        deployment_id="orders",
        deployment_name="orders",
        state=StateRecord(id=f"state-{number}", type="COMPLETED", name="Completed", timestamp=end),
        run_count=1,
        created=start,
        updated=end,
        expected_start=start,
        start=start,
        end=end,
        duration_s=seconds,
    )
