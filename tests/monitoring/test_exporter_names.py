"""The names of the existing exporter, bounded, from memory; and what promtool says of all that is exposed."""

from __future__ import annotations

import os
import shutil
import subprocess
from datetime import datetime, timedelta
from importlib import resources
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from prefect_autopilot.models import HealthScore, RunRecord, StateRecord
from prefect_autopilot.monitoring import FleetMetrics
from prefect_autopilot.monitoring.exporter import MOST_RUNS

FAMILIES = {
    "prefect_deployments_total", "prefect_flows_total", "prefect_flow_runs_total", "prefect_work_pools_total",
    "prefect_work_queues_total", "prefect_flow_runs_total_run_time", "prefect_info_flows",
    "prefect_info_deployment", "prefect_info_flow_runs", "prefect_info_work_pools",
    "prefect_info_work_queues",
}  # fmt: skip


def run(number: int, now: datetime, state: str = "COMPLETED", **more: Any) -> RunRecord:
    fields: dict[str, Any] = {
        "id": f"run-{number}",
        "name": f"blue-owl-{number}",
        "flow_id": "flow-1",
        "flow_name": "orders",
        "deployment_id": "dep-1",
        "deployment_name": "prod",
        "work_pool": "docker",
        "work_queue": "default",
        "run_count": 1,
        "state": StateRecord(id=f"s{number}", type=state, name=state.title(), timestamp=now),
        "start": now - timedelta(seconds=90),
        "end": None if state == "RUNNING" else now - timedelta(seconds=30),
    }
    return RunRecord.model_validate(fields | more)


def samples(fleet: FleetMetrics, now: datetime) -> dict[str, list[Any]]:
    text = fleet.exporter.render(now).decode()
    return {family.name: family.samples for family in text_string_to_metric_families(text)}


def test_every_family_of_the_exporter_is_there_with_its_labels(now: datetime) -> None:
    fleet = FleetMetrics()
    fleet.observe(run(1, now))
    fleet.observe(run(2, now, "RUNNING"))
    fleet.set_names({"dep-1": ("orders", "prod"), "adhoc": ("adhoc", "")}, runs=12)
    found = samples(fleet, now)
    assert found.keys() == FAMILIES
    values = {name: rows[0].value for name, rows in found.items() if name.endswith("_total")}
    assert values == {
        "prefect_deployments_total": 1,
        "prefect_flows_total": 2,
        "prefect_flow_runs_total": 12,
        "prefect_work_pools_total": 1,
        "prefect_work_queues_total": 1,
    }
    (time,) = found["prefect_flow_runs_total_run_time"]
    assert time.name == "prefect_flow_runs_total_run_time_total"
    assert time.labels == {"flow_id": "flow-1", "flow_name": "orders", "flow_run_name": ""}
    assert time.value == 60
    (deployment,) = found["prefect_info_deployment"]
    assert deployment.labels["deployment_name"] == "prod"
    assert deployment.labels["work_pool_name"] == "docker"
    assert deployment.labels["path"] == "null"
    running = {row.labels["flow_run_name"]: row.value for row in found["prefect_info_flow_runs"]}
    assert running == {"blue-owl-1": 0, "blue-owl-2": 1}


def test_single_runs_are_told_a_short_while_only(now: datetime) -> None:
    fleet = FleetMetrics()
    for number in range(MOST_RUNS + 50):
        fleet.observe(run(number, now, "RUNNING"))
    assert len(samples(fleet, now)["prefect_info_flow_runs"]) == MOST_RUNS
    fleet.observe(run(5000, now))
    later = {
        row.labels["flow_run_id"]
        for row in samples(fleet, now + timedelta(minutes=4))["prefect_info_flow_runs"]
    }
    assert "run-5000" not in later


def test_the_time_of_a_run_counts_once_however_often_it_is_read(now: datetime) -> None:
    fleet = FleetMetrics()
    for _ in range(3):
        fleet.observe(run(1, now))
    fleet.observe(run(2, now, "CRASHED", start=None, end=None, duration_s=None))
    (time,) = samples(fleet, now)["prefect_flow_runs_total_run_time"]
    assert time.value == 60


def test_no_series_is_told_twice_whatever_the_names(now: datetime) -> None:
    fleet = FleetMetrics()
    names = ["a", 'b"\n\\', "ä\u0000", "a", "", "\U0001f989"]
    for number, name in enumerate(names):
        fleet.observe(run(number, now, flow_name=name, work_pool=name or None, work_queue=name))
    fleet.set_names({f"w{i}": (name, name) for i, name in enumerate(names)}, runs=6)
    for text in (fleet.exporter.render(now).decode(), fleet.render(now).decode()):
        series = [line.rsplit(" ", 1)[0] for line in text.splitlines() if line and not line.startswith("#")]
        assert len(series) == len(set(series))


def promtool() -> str:
    found = shutil.which("promtool")
    if found is None:
        if os.environ.get("CI"):
            pytest.fail("promtool is missing; install Debian's package prometheus.")
        pytest.skip("promtool is not installed")
    return found


def test_promtool_finds_nothing_wrong_with_the_rules() -> None:
    with resources.as_file(
        resources.files("prefect_autopilot.deployments") / "prometheus/rules.yaml"
    ) as path:
        done = subprocess.run(
            [promtool(), "check", "rules", path], capture_output=True, text=True, check=False, timeout=30
        )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "SUCCESS" in done.stdout


def test_promtool_finds_nothing_wrong_with_what_is_exposed(now: datetime) -> None:
    fleet = FleetMetrics()
    for state in ("COMPLETED", "FAILED", "RUNNING"):
        fleet.observe(run(len(state), now, state, expected_start=now - timedelta(seconds=95)))
    fleet.set_names({"dep-1": ("orders", "prod")}, runs=3)
    fleet.set_health(
        [HealthScore(workflow_id="dep-1", status="healthy", score=90, reason="fine", last_updated=now)]
    )
    fleet.set_tallies({"runs_read": 3, "clock_skew": 1}, backlog=False)
    fleet.observe_poll(0.1, ok=True, now=now)
    done = subprocess.run(
        [promtool(), "check", "metrics"],
        input=fleet.render(now),
        capture_output=True,
        check=False,
        timeout=30,
    )
    assert done.returncode == 0, (done.stdout + done.stderr).decode()
    # The exporter's own names break the style: its gauges are called totals. That they parse is all we ask.
    theirs = subprocess.run(
        [promtool(), "check", "metrics"],
        input=fleet.exporter.render(now), capture_output=True, check=False, timeout=30,
    )  # fmt: skip
    assert b"error while linting" not in theirs.stderr


def test_the_alert_rules_fire_where_they_should(tmp_path: Path) -> None:
    """Run the packaged rules over series that call for them, and over quiet ones."""
    with resources.as_file(
        resources.files("prefect_autopilot.deployments") / "prometheus/rules.yaml"
    ) as path:
        case = tmp_path / "case.yaml"
        case.write_text(CASE.format(rules=path), encoding="utf-8")
        done = subprocess.run(
            [promtool(), "test", "rules", case], capture_output=True, text=True, check=False, timeout=30
        )
    assert done.returncode == 0, done.stdout + done.stderr


CASE = """
rule_files: [{rules}]
evaluation_interval: 1m
tests:
  - interval: 1m
    input_series:
      - series: prefect_autopilot_last_successful_poll_timestamp_seconds
        values: 0x30
      - series: prefect_autopilot_deployment_health_score{{flow="orders", deployment="prod"}}
        values: 0.9x10 0.2x20
      - series: prefect_autopilot_deployment_health_score{{flow="orders", deployment="fine"}}
        values: 0.95x30
    alert_rule_test:
      - eval_time: 4m
        alertname: PrefectAutopilotBlind
        exp_alerts: []
      - eval_time: 15m
        alertname: PrefectAutopilotBlind
        exp_alerts:
          - exp_labels: {{severity: critical}}
            exp_annotations: {{summary: The Prefect API has not been read for more than five minutes}}
      - eval_time: 15m
        alertname: PrefectDeploymentUnhealthy
        exp_alerts: []
      - eval_time: 25m
        alertname: PrefectDeploymentUnhealthy
        exp_alerts:
          - exp_labels: {{severity: high, flow: orders, deployment: prod}}
            exp_annotations: {{summary: orders/prod is unhealthy (20%)}}
"""
