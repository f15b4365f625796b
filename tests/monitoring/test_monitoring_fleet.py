from __future__ import annotations

import json
import re
from collections.abc import Callable
from datetime import datetime, timedelta
from importlib import resources
from typing import Any

import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from prefect_autopilot.models import Anomaly, HealthScore, RunRecord, Severity
from prefect_autopilot.monitoring import FleetMetrics, alerts_of
from prefect_autopilot.monitoring.fleet import PREFIX

Record = Callable[..., RunRecord]
ORDER = "flow deployment work_pool state severity rule kind le"
SERIES = re.compile(rf"\b{PREFIX}_\w+")


def samples(fleet: FleetMetrics, now: datetime | None = None) -> dict[tuple[str, tuple[str, ...]], float]:
    return {
        (
            sample.name.removeprefix(f"{PREFIX}_"),
            tuple(sample.labels[name] for name in sorted(sample.labels, key=ORDER.find)),
        ): sample.value
        for family in text_string_to_metric_families(fleet.render(now).decode())
        for sample in family.samples
    }


def test_finished_runs_are_counted_by_state(record: Record, now: datetime) -> None:
    fleet = FleetMetrics()
    for number, state in enumerate(["COMPLETED", "COMPLETED", "FAILED", "CRASHED", "CANCELLED"]):
        fleet.observe(record(number, state, start=now, run_count=3))
    seen = samples(fleet)
    assert seen["flow_runs_total", ("orders", "prod", "pool", "COMPLETED")] == 2
    assert seen["flow_runs_total", ("orders", "prod", "pool", "CRASHED")] == 1
    assert seen["flow_run_retries_total", ("orders", "prod", "pool")] == 10
    assert seen["flow_run_duration_seconds_count", ("orders", "prod", "pool")] == 2
    assert seen["flow_run_lateness_seconds_sum", ("orders", "prod", "pool")] == 10


def test_the_same_state_seen_again_counts_nothing(record: Record, now: datetime) -> None:
    fleet = FleetMetrics()
    for _ in range(3):
        fleet.observe(record(1, "FAILED", start=now))
    assert samples(fleet)["flow_runs_total", ("orders", "prod", "pool", "FAILED")] == 1


def test_a_crashed_run_without_a_start_is_counted(record: Record, now: datetime) -> None:
    fleet = FleetMetrics()
    fleet.observe(record(1, "CRASHED", start=now).model_copy(update={"start": None, "duration_s": None}))
    assert samples(fleet)["flow_runs_total", ("orders", "prod", "pool", "CRASHED")] == 1


def test_running_runs_are_shown_until_they_end(record: Record, now: datetime) -> None:
    fleet = FleetMetrics()
    fleet.observe(record(1, "RUNNING", start=now, duration=None))
    seen = samples(fleet, now + timedelta(minutes=5))
    assert seen["flow_runs_in_progress", ("orders", "prod", "pool")] == 1
    assert seen["flow_run_oldest_running_seconds", ("orders", "prod", "pool")] == 300
    fleet.observe(record(1, "COMPLETED", start=now))
    assert ("flow_runs_in_progress", ("orders", "prod", "pool")) not in samples(fleet, now)


def test_two_in_one_process_do_not_collide(record: Record, now: datetime) -> None:
    first, second = FleetMetrics(), FleetMetrics()
    first.observe(record(1, start=now))
    assert ("flow_runs_total", ("orders", "prod", "pool", "COMPLETED")) not in samples(second)


def test_deployments_beyond_the_cap_count_as_other(record: Record, now: datetime) -> None:
    fleet = FleetMetrics(most_deployments=2)
    for number in range(10):
        fleet.observe(record(number, start=now, deployment_name=f"d{number}"))
    seen = samples(fleet)
    assert seen["flow_runs_total", ("other", "other", "other", "COMPLETED")] == 8
    assert seen["series_dropped_total", ()] == 8


def test_labels_hold_no_ids_names_of_runs_or_times(record: Record, now: datetime) -> None:
    fleet = FleetMetrics()
    fleet.observe(record(1, start=now, name="crimson-fox", tags=("team-a",)))
    text = fleet.render(now).decode()
    assert not any(word in text for word in ("run-1", "state-1", "crimson-fox", "dep-1", "team-a"))


def test_odd_names_are_escaped(record: Record, now: datetime) -> None:
    fleet = FleetMetrics()
    name = 'a"b\\c\nd ü 火'
    fleet.observe(record(1, start=now, deployment_name=name))
    assert samples(fleet)["flow_runs_total", ("orders", name, "pool", "COMPLETED")] == 1


def score(name: str, value: float | None, now: datetime) -> HealthScore:
    status = "unknown" if value is None else "healthy"
    return HealthScore(workflow_id=name, status=status, score=value, reason="", last_updated=now)


def test_health_is_a_share_and_unknown_is_no_series(now: datetime) -> None:
    fleet = FleetMetrics()
    fleet.set_health([score("a", 80, now), score("b", None, now), score("c", 10, now)])
    fleet.set_health([score("a", 90, now)])
    seen = {key: value for key, value in samples(fleet).items() if key[0] == "deployment_health_score"}
    assert seen == {("deployment_health_score", ("", "a")): 0.9}


def test_anomalies_polls_and_their_errors_are_counted(now: datetime) -> None:
    fleet = FleetMetrics()
    missed = Anomaly(start=now, end=now, kind="missed_schedule", severity=Severity.HIGH, score=3)
    fleet.set_names({"dep-1": ("orders", "prod")})
    for _ in range(2):
        fleet.set_alerts(alerts_of("dep-1", "prod", [missed], [], [], now))
    fleet.observe_poll(0.2, ok=True, now=now)
    fleet.observe_poll(0.2, ok=False, now=now + timedelta(minutes=1))
    seen = samples(fleet)
    assert seen["anomalies_total", ("orders", "prod", "missed_schedule")] == 1
    assert seen["schedule_missed_total", ("orders", "prod")] == 3
    assert seen["poll_errors_total", ()] == 1
    assert seen["last_successful_poll_timestamp_seconds", ()] == now.timestamp()
    assert seen["poll_duration_seconds_count", ()] == 2


def test_a_thousand_deployments_are_rendered(record: Record, now: datetime) -> None:
    fleet = FleetMetrics()
    for number in range(1000):
        fleet.observe(record(number, start=now, deployment_name=f"d{number}"))
    text = fleet.render(now).decode()
    assert all(f'deployment="d{number}"' in text for number in (0, 500, 999))


def packaged(folder: str, name: str) -> str:
    return resources.files("prefect_autopilot.deployments").joinpath(folder, name).read_text(encoding="utf-8")


def exposed() -> dict[str, set[str]]:
    """Every series name that a fleet can expose, with its label names."""
    names: dict[str, set[str]] = {}
    for family in FleetMetrics().registry.collect():
        endings = {"counter": ("_total",), "histogram": ("_bucket", "_sum", "_count"), "gauge": ("",)}[
            family.type
        ]
        for ending in endings:
            names[family.name + ending] = set()
    return names


def expressions() -> dict[str, str]:
    rules = yaml.safe_load(packaged("prometheus", "rules.yaml"))
    found = {one["alert"]: one["expr"] for group in rules["groups"] for one in group["rules"]}
    board: dict[str, Any] = json.loads(packaged("grafana", "fleet.json"))
    for panel in board["panels"]:
        found |= {f"{panel['title']} {target['refId']}": target["expr"] for target in panel["targets"]}
    found |= {
        one["name"]: one["query"]["query"] for one in board["templating"]["list"] if one["type"] == "query"
    }
    return found


@pytest.mark.parametrize("name", expressions())
def test_dashboard_and_alert_rules_ask_only_for_what_is_exposed(name: str) -> None:
    asked = set(SERIES.findall(expressions()[name]))
    assert asked
    assert asked <= exposed().keys()


def test_alert_rules_are_complete_and_named_once() -> None:
    rules = [
        one
        for group in yaml.safe_load(packaged("prometheus", "rules.yaml"))["groups"]
        for one in group["rules"]
    ]
    assert len({one["alert"] for one in rules}) == len(rules)
    assert all(one["labels"]["severity"] and one["annotations"]["summary"] for one in rules)


def test_panels_have_ids_of_their_own_and_do_not_overlap() -> None:
    panels = json.loads(packaged("grafana", "fleet.json"))["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    cells = [
        (x, y)
        for panel in panels
        for x in range(panel["gridPos"]["x"], panel["gridPos"]["x"] + panel["gridPos"]["w"])
        for y in range(panel["gridPos"]["y"], panel["gridPos"]["y"] + panel["gridPos"]["h"])
    ]
    assert len(cells) == len(set(cells))
