"""Rules through their whole life, alerts of anomalies, health at its boundaries and the fleet's text."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from importlib import resources
from itertools import pairwise
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families

from prefect_autopilot.models import (
    AlertCondition,
    AlertType,
    Anomaly,
    HealthScore,
    MonitoringRule,
    RunRecord,
    Severity,
    WorkflowAlert,
    WorkflowMetric,
)
from prefect_autopilot.monitoring import (
    FleetMetrics,
    alerts_of,
    baselines,
    evaluate,
    health,
    metrics,
    trend,
    trends,
)
from prefect_autopilot.monitoring.alarms import FRESH, GOOD_RUNS, QUIET
from prefect_autopilot.monitoring.fleet import PREFIX
from prefect_autopilot.monitoring.measures import MOMENTARY, UNITS, duration, finished, in_order, lateness
from prefect_autopilot.monitoring.rules import HYSTERESIS, NOT_LASTING, breaches, fingerprint, read

Record = Callable[..., RunRecord]
Records = Callable[..., list[RunRecord]]
NOW = datetime(2026, 3, 2, 3, 0, tzinfo=UTC)


def rule(condition: str = "greater_than", threshold: float = 10, **more: Any) -> MonitoringRule:
    fields = {"rule_id": "r", "workflow_id": "w", "metric_name": "m"} | more
    return MonitoringRule(condition=AlertCondition(condition), threshold=threshold, **fields)


class Life:
    """One rule judged again and again, its alerts kept as a store keeps them."""

    def __init__(self, one: MonitoringRule, baseline: Sequence[float] = ()) -> None:
        self.rule, self.baseline = one, list(baseline)
        self.now = NOW
        self.alerts: dict[str, WorkflowAlert] = {}

    def see(self, value: float, minutes: float = 1) -> str:
        self.now += timedelta(minutes=minutes)
        metric = WorkflowMetric(name="m", value=value, tags={"workflow_id": "w"}, timestamp=self.now)
        changed = evaluate([self.rule], [metric], {("w", "m"): self.baseline}, self.alerts.values(), self.now)
        self.alerts |= {alert.alert_id: alert for alert in changed}
        assert len(changed) <= 1
        return changed[0].status if changed else ""


STORIES = {
    "greater_than": (10, (), [9, 10, 11, 12, 9.5, 9.1, 9.0]),
    "greater_than_or_equal": (10, (), [9, 9.9, 10, 12, 9.5, 9.0, 8.9]),
    "less_than": (10, (), [11, 10, 9, 8, 10.5, 10.9, 11.0]),
    "less_than_or_equal": (10, (), [11, 10.1, 10, 8, 10.5, 11.0, 11.1]),
    "equal": (10, (), [11, 9, 10, 10, 10, 10, 11]),
    "not_equal": (10, (), [10, 10, 11, 9, 8, 11, 10]),
    "change_percent": (50, (100.0,), [100, 149, 151, 160, 149, 146, 144]),
    "baseline_ratio": (2, (9.0, 10.0, 11.0), [10, 19, 21, 22, 19.5, 18.5, 17.9]),
}


@pytest.mark.parametrize("condition", STORIES)
def test_every_condition_goes_from_pending_to_firing_to_resolved(condition: str) -> None:
    threshold, baseline, values = STORIES[condition]
    life = Life(rule(condition, threshold), baseline)
    assert [life.see(value) for value in values] == ["", "", "pending", "firing", "", "", "resolved"]
    (alert,) = life.alerts.values()
    assert alert.resolved_at == life.now
    assert not (alert.resolution_notes or "").startswith(NOT_LASTING)


@pytest.mark.parametrize("condition", STORIES)
def test_a_critical_rule_of_every_condition_fires_at_once(condition: str) -> None:
    threshold, baseline, values = STORIES[condition]
    life = Life(rule(condition, threshold, severity=Severity.CRITICAL), baseline)
    assert [life.see(value) for value in values[:4]] == ["", "", "firing", ""]


@pytest.mark.parametrize("condition", STORIES)
@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_what_is_no_number_changes_no_alert(condition: str, value: float) -> None:
    threshold, baseline, values = STORIES[condition]
    life = Life(rule(condition, threshold), baseline)
    assert life.see(value) == ""
    for seen in values[:4]:
        life.see(seen)
    assert life.see(value) == ""
    assert [alert.status for alert in life.alerts.values()] == ["firing"]


@pytest.mark.parametrize(
    ("cooldown", "minutes", "again"), [(0, 1, True), (30, 29, False), (30, 30, True), (30, 500, True)]
)
def test_a_resolved_alert_fires_again_after_its_cooldown(
    cooldown: float,
    minutes: float,
    again: bool,  # noqa: FBT001 - a column of the table
) -> None:
    life = Life(rule(cooldown_minutes=cooldown, severity=Severity.CRITICAL))
    assert [life.see(20), life.see(1)] == ["firing", "resolved"]
    assert life.see(20, minutes) == ("firing" if again else "")
    assert len({alert.fingerprint for alert in life.alerts.values()}) == 1
    assert len(life.alerts) == 1 + again


def test_a_breach_seen_twice_at_the_same_moment_stays_pending() -> None:
    life = Life(rule())
    assert life.see(20) == "pending"
    assert life.see(20, minutes=0) == ""
    assert life.see(20) == "firing"


def test_what_did_not_last_says_so() -> None:
    life = Life(rule())
    assert [life.see(20), life.see(1)] == ["pending", "resolved"]
    (alert,) = life.alerts.values()
    assert (alert.resolution_notes or "").startswith(NOT_LASTING)


@pytest.mark.parametrize(
    ("condition", "value", "baseline"),
    [
        ("change_percent", 5.0, ()), ("change_percent", 5.0, (0.0,)), ("change_percent", 5.0, (math.nan,)),
        ("baseline_ratio", 5.0, ()),
        ("baseline_ratio", 5.0, (0.0, 0.0)), ("baseline_ratio", 5.0, (math.inf,)),
        ("trend", 5.0, (1.0,) * 6), ("trend", 5.0, (0.0,) * 12),
    ],
)  # fmt: skip
def test_without_a_baseline_there_is_nothing_to_compare(
    condition: str, value: float, baseline: Sequence[float]
) -> None:
    assert read(rule(condition, 1), value, baseline) is None


@pytest.mark.parametrize(
    ("values", "sign"),
    [
        ([10.0 + i for i in range(12)], 1),
        ([30.0 - i for i in range(12)], -1),
        ([10.0, 30.0] * 6, 0),
        ([10.0] * 12, 0),
        ([-20.0 + i for i in range(12)], 1),
    ],
    ids=["rising", "falling", "to and fro", "level", "below zero"],
)
def test_a_trend_is_read_only_where_there_is_one(values: list[float], sign: int) -> None:
    reading = read(rule("trend", 10), values[-1], values[:-1])
    assert reading is not None
    assert (reading.value > 0) - (reading.value < 0) == sign


@given(st.floats(-1e6, 1e6), st.floats(-1e6, 1e6), st.sampled_from(list(AlertCondition)))
def test_the_way_back_is_never_shorter_than_the_way_there(
    value: float, threshold: float, condition: AlertCondition
) -> None:
    one = rule(condition.value, threshold)
    if breaches(one, value):
        assert breaches(one, value, margin=HYSTERESIS)


def test_fingerprints_tell_rules_and_workflows_apart_and_nothing_else() -> None:
    same = [rule(threshold=1), rule(threshold=2), rule(severity=Severity.LOW), rule(description="x")]
    assert len({fingerprint(one, "w") for one in same}) == 1
    other = [
        rule(rule_id="s"),
        rule(rule_id=""),
        rule(rule_id="", threshold=3),
        rule(rule_id="", metric_name="n"),
    ]
    marks = {fingerprint(one, workflow) for one in (*other, same[0]) for workflow in ("w", "x")}
    assert len(marks) == 2 * (len(other) + 1)


def test_two_rules_over_one_metric_have_a_life_each() -> None:
    metric = WorkflowMetric(name="m", value=20, tags={"workflow_id": "w"}, timestamp=NOW)
    found = evaluate([rule(), rule(rule_id="s", threshold=15)], [metric], {}, [], NOW)
    assert len({alert.fingerprint for alert in found}) == len({alert.alert_id for alert in found}) == 2


# --- alerts of anomalies --------------------------------------------------------------------------------


def anomaly(at: datetime = NOW, kind: str = "duration_spike", **more: Any) -> Anomaly:
    fields: dict[str, Any] = {"severity": Severity.HIGH, "score": 2.0, "reason": "three times the usual"}
    return Anomaly(**{"start": at, "end": at, "kind": kind} | fields | more)


def alert_of(one: Anomaly, workflow: str = "w", now: datetime = NOW) -> WorkflowAlert:
    (alert,) = alerts_of(workflow, "orders", [one], [], [], now)
    return alert


def good(record: Record, number: int, first: datetime = NOW) -> list[RunRecord]:
    return [record(i, start=first + timedelta(minutes=10 * (i + 1))) for i in range(number)]


@pytest.mark.parametrize("severity", [s for s in Severity if s is not Severity.INFO])
def test_an_alert_keeps_the_severity_of_its_anomaly(severity: Severity) -> None:
    assert alert_of(anomaly(severity=severity)).severity is severity


@pytest.mark.parametrize(("ago", "told"), [(timedelta(0), 1), (FRESH, 1), (FRESH + timedelta(seconds=1), 0)])
def test_history_is_not_told(ago: timedelta, told: int) -> None:
    assert len(alerts_of("w", "orders", [anomaly(NOW - ago)], [], [], NOW)) == told


def test_an_old_anomaly_that_still_lasts_is_told() -> None:
    assert len(alerts_of("w", "orders", [anomaly(NOW - 9 * FRESH, end=NOW)], [], [], NOW)) == 1


def test_an_alert_says_when_a_limit_will_be_met() -> None:
    alert = alert_of(anomaly(kind="memory_growth", eta=NOW + timedelta(days=2)))
    assert "2026-03-04 03:00 UTC" in alert.description
    assert alert.alert_type is AlertType.RESOURCE_EXHAUSTION


def test_the_same_anomaly_has_the_same_alert_wherever_it_is_found() -> None:
    assert alert_of(anomaly()).alert_id == alert_of(anomaly(), now=NOW + timedelta(hours=1)).alert_id
    assert alert_of(anomaly()).alert_id != alert_of(anomaly(), "x").alert_id
    assert alert_of(anomaly()).alert_id != alert_of(anomaly(kind="late_run")).alert_id


@pytest.mark.parametrize(
    ("number", "status"), [(0, []), (GOOD_RUNS - 1, []), (GOOD_RUNS, ["resolved"]), (50, ["resolved"])]
)
def test_an_alert_is_over_after_enough_good_runs(record: Record, number: int, status: list[str]) -> None:
    later = NOW + timedelta(days=1)
    changed = alerts_of("w", "orders", [anomaly()], [alert_of(anomaly())], good(record, number), later)
    assert [alert.status for alert in changed] == status


@pytest.mark.parametrize("state", ["FAILED", "CRASHED"])
@pytest.mark.parametrize("place", range(GOOD_RUNS))
def test_a_failure_among_the_last_runs_keeps_an_alert_open(record: Record, state: str, place: int) -> None:
    runs = good(record, GOOD_RUNS)
    runs[place] = record(place, state, start=runs[place].start)
    assert alerts_of("w", "orders", [], [alert_of(anomaly())], runs, NOW + timedelta(days=1)) == ()


def test_cancelled_and_running_runs_neither_end_an_alert_nor_keep_it(record: Record) -> None:
    runs = good(record, GOOD_RUNS)
    odd = [
        record(90 + i, state, start=NOW + timedelta(minutes=15 + i))
        for i, state in enumerate(["CANCELLED", "RUNNING"])
    ]
    known, later = [alert_of(anomaly())], NOW + timedelta(days=1)
    assert len(alerts_of("w", "orders", [], known, [*runs, *odd], later)) == 1
    assert alerts_of("w", "orders", [], known, [*runs[:3], *odd], later) == ()


def test_good_runs_before_the_alert_do_not_end_it(record: Record) -> None:
    early = good(record, 20, NOW - timedelta(days=1))
    assert alerts_of("w", "orders", [], [alert_of(anomaly())], early, NOW + timedelta(hours=1)) == ()


@pytest.mark.parametrize("other", ["w:x", "x", "w:", "W"])
def test_an_alert_of_another_workflow_is_left_alone(record: Record, other: str) -> None:
    theirs = alert_of(anomaly(), other)
    assert alerts_of("w", "orders", [], [theirs], good(record, 9), NOW + timedelta(days=1)) == ()


def test_an_alert_of_a_rule_is_left_to_its_rule(record: Record) -> None:
    ruled = alert_of(anomaly()).model_copy(update={"fingerprint": "rule:w:r"})
    assert alerts_of("w", "orders", [], [ruled], good(record, 9), NOW + timedelta(days=1)) == ()


@pytest.mark.parametrize(
    ("starts", "asked", "told"),
    [(10, 20, 0), (30, 59, 0), (30, 60, 1), (-5, 75, 0), (0, 75, 0), (61, 61, 1)],
    ids=["while quiet", "nearly", "after the quiet", "from before it was over", "at its end", "just after"],
)
def test_the_same_trouble_is_told_again_only_after_a_quiet_hour(starts: int, asked: int, told: int) -> None:
    over = alert_of(anomaly()).model_copy(update={"status": "resolved", "resolved_at": NOW})
    again = anomaly(NOW + timedelta(minutes=starts))
    now = NOW + timedelta(minutes=asked)
    assert len(alerts_of("w", "orders", [again], [over], [], now)) == told
    assert timedelta(hours=1) == QUIET


# --- measures and health --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, 60.0),
        ({"duration_s": None}, 60.0),
        ({"duration_s": 0.0}, 0.0),
        ({"duration_s": -1.0}, None),
        ({"duration_s": math.nan}, None),
        ({"duration_s": math.inf}, None),
        ({"duration_s": None, "end": None}, None),
        ({"duration_s": None, "start": None}, None),
    ],
    ids=str,
)
def test_a_duration_is_known_or_it_is_none(
    record: Record, changes: dict[str, Any], expected: float | None
) -> None:
    assert duration(record(1, start=NOW).model_copy(update=changes)) == expected


@pytest.mark.parametrize("state", ["FAILED", "CRASHED", "CANCELLED", "RUNNING", "PENDING", "PAUSED"])
def test_only_completed_runs_have_taken_their_time(record: Record, state: str) -> None:
    assert duration(record(1, state, start=NOW)) is None


@pytest.mark.parametrize(("late", "expected"), [(0.0, 0.0), (90.0, 90.0), (-30.0, 0.0)])
def test_lateness_is_never_negative(record: Record, late: float, expected: float) -> None:
    assert lateness(record(1, start=NOW, late=late)) == expected


def test_runs_are_put_in_order_and_the_last_word_on_each_counts(record: Record) -> None:
    runs = [record(i, start=NOW + timedelta(minutes=i)) for i in (3, 1, 2)]
    later = record(2, "FAILED", start=NOW + timedelta(minutes=2))
    never = record(9, "SCHEDULED", start=NOW).model_copy(update={"start": None, "expected_start": None})
    assert [run.id for run in in_order([*runs, later, never])] == ["run-1", "run-2", "run-3"]
    assert [run.state.type for run in finished([*runs, later])] == ["COMPLETED", "FAILED", "COMPLETED"]


@pytest.mark.parametrize("n", [1, 10, 49, 50, 51, 100, 149, 150, 230])
def test_baselines_hold_whole_blocks_and_never_the_newest_runs(records: Records, n: int) -> None:
    found = baselines("w", records(["COMPLETED"] * n), NOW)
    blocks = max(0, (n - 50) // 50) if n >= 100 else int(n > 50)
    assert len(found.get(("w", "error_rate"), [])) == blocks
    assert not {name for _, name in found} & MOMENTARY


def test_every_metric_has_a_unit_and_is_finite(records: Records) -> None:
    found = metrics("w", records(["COMPLETED"] * 30 + ["FAILED", "RUNNING", "CANCELLED"]), NOW)
    assert {one.name for one in found} == set(UNITS)
    assert all(one.unit == UNITS[one.name] and math.isfinite(one.value) for one in found)
    assert sum(one.value for one in found if one.name in {"error_rate", "completion_rate"}) == pytest.approx(
        1
    )


@pytest.mark.parametrize(("n", "status"), [(4, "unknown"), (5, "healthy"), (500, "healthy")])
def test_health_is_known_from_the_fifth_run_on(records: Records, n: int, status: str) -> None:
    assert health("w", records(["COMPLETED"] * n), NOW).status == status


@pytest.mark.parametrize("tail", ["", "F", "FF", "FFF", "FFFF", "FFFFFF", "F" * 10])
def test_more_failures_in_a_row_are_never_healthier(records: Records, tail: str) -> None:
    names = {"F": "FAILED"}
    scores = [
        health("w", records(["COMPLETED"] * 60 + [names[x] for x in tail[:n]]), NOW).score
        for n in range(len(tail) + 1)
    ]
    assert all(earlier >= later for earlier, later in pairwise(scores))  # type: ignore[operator]


@pytest.mark.parametrize("states", [["FAILED"] * 30, ["CRASHED"] * 30, ["FAILED", "CRASHED"] * 15])
def test_what_always_fails_is_unhealthy_and_never_below_zero(records: Records, states: list[str]) -> None:
    score = health("w", records(states), NOW)
    assert score.status == "unhealthy"
    assert score.score is not None
    assert 0 <= score.score < 50


@pytest.mark.parametrize("seed", range(4))
def test_the_order_of_runs_does_not_change_their_health(records: Records, seed: int) -> None:
    runs = records(["COMPLETED", "COMPLETED", "FAILED"] * 25, seed=seed)
    assert health("w", runs[::-1], NOW) == health("w", runs, NOW)


@pytest.mark.parametrize("per_day", [-5.0, -0.5, 0.5, 5.0])
def test_a_slope_is_found_with_its_sign_and_size(per_day: float) -> None:
    points = [(NOW - timedelta(hours=100 - i), 1000 + per_day * i / 24 + math.sin(i)) for i in range(100)]
    found = trend("m", points, None, NOW)
    assert found.slope_per_day == pytest.approx(per_day, rel=0.3, abs=0.15)
    assert found.eta is None


@pytest.mark.parametrize(
    ("limit", "days"),
    [(2000.0, 100), (1000.0 + 400 * 10, None), (500.0, None), (math.nan, None), (math.inf, None)],
)
def test_a_limit_is_forecast_within_a_year_only(limit: float, days: int | None) -> None:
    points = [
        (NOW - timedelta(hours=100 - i), 1000 + 10.0 * (i - 100) / 24 + 0.1 * math.sin(i)) for i in range(100)
    ]
    eta = trend("m", points, limit, NOW).eta
    assert (eta is None) == (days is None)
    if days is not None and eta is not None:
        assert abs((eta - NOW).days - days) <= 2


@pytest.mark.parametrize("n", [0, 11, 12])
def test_a_trend_needs_twelve_runs(records: Records, n: int) -> None:
    assert len(trends(records(["COMPLETED"] * n), {}, NOW)) == (2 if n >= 12 else 0)


# --- the fleet's text -----------------------------------------------------------------------------------


def series(fleet: FleetMetrics, name: str) -> dict[tuple[str, ...], float]:
    return {
        tuple(sample.labels.values()): sample.value
        for family in text_string_to_metric_families(fleet.render(NOW).decode())
        for sample in family.samples
        if sample.name == f"{PREFIX}_{name}"
    }


def score(ident: str, value: float | None) -> HealthScore:
    return HealthScore(
        workflow_id=ident,
        status="unknown" if value is None else "healthy",
        score=value,
        reason="",
        last_updated=NOW,
    )


def test_health_has_the_names_that_runs_have(record: Record) -> None:
    fleet = FleetMetrics()
    fleet.observe(record(1, start=NOW))
    fleet.set_names({"dep-1": ("orders", "prod"), "loose": ("loose", "")})
    fleet.set_health([score("dep-1", 50), score("loose", 70), score("unheard-of", 90)])
    text = fleet.render().decode()
    runs = re.search(r'flow_runs_total\{(deployment="prod",flow="orders")', text)
    assert runs is not None
    assert f"deployment_health_score{{{runs[1]}}} 0.5" in text
    assert 'deployment_health_score{deployment="",flow="loose"} 0.7' in text
    assert 'deployment_health_score{deployment="unheard-of",flow=""} 0.9' in text


def test_deployments_of_one_name_are_told_apart_by_their_flow() -> None:
    fleet = FleetMetrics()
    fleet.set_names({f"d{i}": (f"flow{i}", "default") for i in range(3)})
    fleet.set_health([score(f"d{i}", 10.0 * i) for i in range(3)])
    assert sorted(series(fleet, "deployment_health_score").values()) == [0.0, 0.1, 0.2]


def test_beyond_the_cap_the_worst_health_is_shown() -> None:
    fleet = FleetMetrics(most_deployments=2)
    fleet.set_health([score(f"d{i}", value) for i, value in enumerate([90, 80, 30, 60])])
    assert sorted(series(fleet, "deployment_health_score").values()) == [0.3, 0.8, 0.9]


def test_an_anomaly_is_counted_once_however_long_its_alert_stands() -> None:
    fleet = FleetMetrics()
    alerts = [alert_of(anomaly(kind="missed_schedule", score=4.0)), alert_of(anomaly(), "x")]
    for _ in range(5):
        fleet.set_alerts(alerts)
    fleet.set_alerts([])
    assert sum(series(fleet, "anomalies_total").values()) == 2
    assert list(series(fleet, "schedule_missed_total").values()) == [4.0]
    assert series(fleet, "alerts_firing") == {}


@pytest.mark.parametrize("status", ["pending", "resolved"])
def test_only_firing_alerts_are_counted(status: str) -> None:
    fleet = FleetMetrics()
    fleet.set_alerts([alert_of(anomaly()).model_copy(update={"status": status})])
    assert series(fleet, "alerts_firing") == series(fleet, "anomalies_total") == {}


@pytest.mark.parametrize("name", ["other", 'quote"', "back\\slash", "new\nline", "ü火🔥", "{}", ""])
def test_any_name_is_a_label_and_is_not_dropped(record: Record, name: str) -> None:
    fleet = FleetMetrics()
    fleet.observe(record(1, start=NOW, deployment_name=name))
    assert any(name in labels for labels in series(fleet, "flow_runs_total"))
    assert series(fleet, "series_dropped_total") == {(): 0.0}


@pytest.mark.parametrize("value", [math.nan, math.inf, -1.0])
def test_an_impossible_duration_does_not_spoil_the_sum(record: Record, value: float) -> None:
    fleet = FleetMetrics()
    fleet.observe(record(1, start=NOW).model_copy(update={"duration_s": value}))
    fleet.observe(record(2, start=NOW))
    assert list(series(fleet, "flow_run_duration_seconds_sum").values()) == [60.0]
    assert list(series(fleet, "flow_runs_total").values()) == [2.0]


@given(
    st.lists(
        st.tuples(st.integers(0, 5), st.sampled_from(["COMPLETED", "FAILED", "RUNNING", "CRASHED"])),
        max_size=40,
    )
)
def test_each_state_of_each_run_is_counted_once(seen: list[tuple[int, str]]) -> None:
    from prefect_autopilot.models import StateRecord

    fleet = FleetMetrics()
    for number, state in seen:
        fleet.observe(
            RunRecord(
                id=f"run-{number}",
                state=StateRecord(id=f"{number}-{state}", type=state, name=state, timestamp=NOW),
                start=NOW,
                end=NOW,
            )
        )
    ended = {one for one in seen if one[1] != "RUNNING"}
    assert sum(series(fleet, "flow_runs_total").values()) == len(ended)


@pytest.mark.parametrize("after", ["COMPLETED", "FAILED", "CRASHED", "CANCELLED", "PAUSED", "SCHEDULED"])
def test_a_run_that_left_running_is_in_progress_no_more(record: Record, after: str) -> None:
    fleet = FleetMetrics()
    fleet.observe(record(1, "RUNNING", start=NOW - timedelta(hours=1), duration=None))
    assert list(series(fleet, "flow_runs_in_progress").values()) == [1.0]
    fleet.observe(record(1, after, start=NOW))
    assert series(fleet, "flow_runs_in_progress") == series(fleet, "flow_run_oldest_running_seconds") == {}


def packaged(folder: str, name: str) -> str:
    return resources.files("prefect_autopilot.deployments").joinpath(folder, name).read_text(encoding="utf-8")


def labels_of() -> dict[str, set[str]]:
    """The label names of every series a fleet can expose."""
    fleet, found = FleetMetrics(), {}
    for collector in fleet.registry._collector_to_names:
        for name in fleet.registry._collector_to_names[collector]:
            found[name] = set(collector._labelnames)  # type: ignore[attr-defined]
    return found


def queries() -> list[str]:
    rules = yaml.safe_load(packaged("prometheus", "rules.yaml"))
    board = json.loads(packaged("grafana", "fleet.json"))
    asked = [one["expr"] for group in rules["groups"] for one in group["rules"]]
    return asked + [target["expr"] for panel in board["panels"] for target in panel["targets"]]


@pytest.mark.parametrize("query", queries())
def test_dashboard_and_rules_select_and_group_only_by_labels_there_are(query: str) -> None:
    known = labels_of()
    names = re.findall(rf"{PREFIX}_\w+", query)
    assert names
    for name, selector in re.findall(rf"({PREFIX}_\w+)\{{([^}}]*)\}}", query):
        assert {part.split("=")[0].rstrip("!~") for part in selector.split(",")} <= known[name], name
    groups = {
        label.strip() for group in re.findall(r"(?:by|on) \(([^)]*)\)", query) for label in group.split(",")
    }
    allowed = set.intersection(*(known[name] for name in names)) | {"le"}
    # A histogram's bucket label is its own; everything else must be a label of every series asked for.
    assert groups <= allowed


def test_summaries_of_alert_rules_use_only_labels_their_expression_keeps() -> None:
    known = labels_of()
    for group in yaml.safe_load(packaged("prometheus", "rules.yaml"))["groups"]:
        for one in group["rules"]:
            asked = set(
                re.findall(r"\$labels\.(\w+)", json.dumps(one["annotations"]) + json.dumps(one["labels"]))
            )
            grouped = re.findall(r"by \(([^)]*)\)", one["expr"])
            kept = (
                {label.strip() for label in grouped[0].split(",")}
                if grouped
                else known[re.findall(rf"{PREFIX}_\w+", one["expr"])[0]]
            )
            assert asked <= kept, one["alert"]
