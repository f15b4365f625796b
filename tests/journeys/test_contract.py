"""The Python interface of the original system: plain functions, everything kept, nothing invented."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest

import prefect_autopilot
from prefect_autopilot import (
    MonitoringRule,
    add_monitoring_rule,
    analyze_workflow_metrics,
    generate_recommendations,
    start_monitoring_server,
    start_troubleshooting_session,
)
from prefect_autopilot.errors import UnknownNameError, UsageError
from prefect_autopilot.journeys.contract import MonitoringServer
from prefect_autopilot.models import IssueCategory, RunRecord, StateRecord
from prefect_autopilot.settings import load_settings
from prefect_autopilot.store import Store

EXPIRED = "ERROR 401 Unauthorized: the access token expired"


@pytest.fixture(autouse=True)
def own_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PREFECT_AUTOPILOT_HOME", str(tmp_path))


@pytest.fixture
def server() -> Iterator[MonitoringServer]:
    started = start_monitoring_server(0)
    yield started
    started.close()


def test_the_three_steps_of_the_original_work_one_after_another() -> None:
    session = start_troubleshooting_session("orders", [EXPIRED])
    assert session.issues[0].category is IssueCategory.PERMISSIONS
    found = analyze_workflow_metrics(session.session_id, {"avg_response_time": 40, "error_rate": 0.3})
    assert {issue.category for issue in found} == {
        IssueCategory.PERFORMANCE,
        IssueCategory.EXTERNAL_SERVICE,
    }
    advice = generate_recommendations(session.session_id)
    assert any("401" in line for line in advice)
    assert any("avg_response_time" in line for line in advice)


def test_different_failures_get_different_advice() -> None:
    told = []
    for log in (EXPIRED, "ModuleNotFoundError: No module named 'pandas'"):
        session = start_troubleshooting_session("orders", [log])
        told.append(set(generate_recommendations(session.session_id)))
    assert all(told)
    assert not told[0] & told[1]


def test_one_text_is_one_log_entry() -> None:
    assert len(start_troubleshooting_session("orders", EXPIRED).issues) == 1


def test_without_a_failure_nothing_is_recommended() -> None:
    session = start_troubleshooting_session("orders", [])
    assert session.issues == ()
    assert generate_recommendations(session.session_id) == []


def test_a_session_without_a_workflow_is_refused() -> None:
    with pytest.raises(UsageError, match="about a workflow"):
        start_troubleshooting_session("  ", [EXPIRED])


def test_an_unknown_session_is_told() -> None:
    with pytest.raises(UnknownNameError):
        analyze_workflow_metrics("nobody", {"error_rate": 1})
    with pytest.raises(UnknownNameError):
        generate_recommendations("nobody")


def test_the_functions_work_inside_a_running_event_loop() -> None:
    async def notebook() -> str:
        return start_troubleshooting_session("orders", [EXPIRED]).session_id

    assert generate_recommendations(asyncio.run(notebook()))


def test_a_rule_needs_its_first_six_fields_only_and_is_kept() -> None:
    rule = MonitoringRule(
        workflow_id="orders",
        metric_name="error_rate",
        condition="greater_than",
        threshold=0.1,
        alert_type="error_rate_increase",
        severity="high",
    )
    stored = add_monitoring_rule(rule)
    assert stored.rule_id
    assert add_monitoring_rule(rule) == stored

    async def kept() -> tuple[MonitoringRule, ...]:
        async with Store.open(load_settings().store_url.get_secret_value()) as store:
            return await store.rules()

    assert asyncio.run(kept()) == (stored,)


@pytest.mark.parametrize("threshold", [float("nan"), float("inf")])
def test_a_threshold_that_is_no_number_is_refused(threshold: float) -> None:
    rule = MonitoringRule(
        workflow_id="orders", metric_name="error_rate", condition="equal", threshold=threshold
    )
    with pytest.raises(UsageError, match="finite"):
        add_monitoring_rule(rule)


# The monitoring server


def keep_run() -> None:
    now = datetime.now(UTC)
    run = RunRecord(
        id="run-1",
        flow_name="orders",
        state=StateRecord(id="state-1", type="COMPLETED", name="Completed", timestamp=now),
        start=now - timedelta(minutes=1),
        end=now,
    )

    async def keep() -> None:
        async with Store.open(load_settings().store_url.get_secret_value()) as store:
            await store.upsert_runs([run])

    asyncio.run(keep())


def test_the_server_answers_on_this_machine_with_prometheus_text(server: MonitoringServer) -> None:
    answer = httpx.get(server.url)
    assert server.url.startswith("http://127.0.0.1:")
    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
    assert "# TYPE prefect_autopilot_flow_runs_total counter" in answer.text
    assert "flow_runs_total{" not in answer.text


def test_the_server_serves_nothing_else(server: MonitoringServer) -> None:
    assert httpx.get(server.url.replace("/metrics", "/etc/passwd")).status_code == 404
    assert httpx.post(server.url).status_code == 501


def test_a_refresh_brings_what_was_stored_meanwhile(server: MonitoringServer) -> None:
    keep_run()
    server.refresh()
    server.refresh()
    counted = [line for line in httpx.get(server.url).text.splitlines() if "flow_runs_total{" in line]
    assert len(counted) == 1
    assert counted[0].endswith(" 1.0")


def test_two_servers_do_not_collide(server: MonitoringServer) -> None:
    other = start_monitoring_server(0)
    try:
        assert other is not server
        assert httpx.get(other.url).text.count("# TYPE prefect_autopilot_flow_runs_total counter") == 1
    finally:
        other.close()


def test_the_same_port_twice_is_the_same_server() -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    first = start_monitoring_server(port)
    try:
        assert start_monitoring_server(port) is first
    finally:
        first.close()
    second = start_monitoring_server(port)
    assert second is not first
    assert httpx.get(second.url).status_code == 200
    second.close()
    second.close()


def test_a_port_that_is_taken_is_told_in_a_sentence() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(UsageError, match="choose another"):
            start_monitoring_server(taken.getsockname()[1])


@pytest.mark.parametrize("port", [-1, 65_536])
def test_a_port_that_cannot_be_is_refused(port: int) -> None:
    with pytest.raises(UsageError, match="no port"):
        start_monitoring_server(port)


@pytest.mark.parametrize(
    "name",
    [
        "start_troubleshooting_session",
        "analyze_workflow_metrics",
        "generate_recommendations",
        "add_monitoring_rule",
        "start_monitoring_server",
    ],
)
def test_the_package_offers_the_names_of_the_original(name: str) -> None:
    assert callable(getattr(prefect_autopilot, name))
    assert name in prefect_autopilot.__all__
