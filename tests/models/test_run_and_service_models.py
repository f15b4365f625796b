"""Runs, alerts, timings and services: careful defaults, bounds, and the names of foreign files."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from pydantic import ValidationError

from prefect_autopilot.models import (
    Auth,
    FlowHistory,
    HealthScore,
    HistoryRun,
    MonitoringRule,
    Operation,
    OperationEffect,
    OptimizationPlan,
    Parameter,
    Pause,
    RunRecord,
    RunSeries,
    Service,
    ServiceStatus,
    ServiceTrigger,
    Severity,
    StateRecord,
    TaskRunRecord,
    TaskTiming,
    WebhookSignature,
    WorkflowAlert,
)

NOW = datetime(2026, 3, 2, 3, 0, tzinfo=UTC)
FAILED = StateRecord(id="s1", type="FAILED", name="TimedOut", timestamp=NOW)


def test_a_pause_is_written_with_the_word_from() -> None:
    pause = Pause.model_validate({"from": NOW, "to": NOW + timedelta(hours=1)})
    assert pause.from_ == NOW
    assert set(pause.model_dump(by_alias=True)) == {"from", "to"}
    assert Pause.model_validate_json(pause.model_dump_json(by_alias=True)) == pause


def test_a_pause_is_not_read_by_pythons_name_for_it() -> None:
    with pytest.raises(ValidationError, match="from"):
        Pause.model_validate({"from_": NOW, "to": NOW})


def test_the_name_of_a_state_may_be_finer_than_its_type() -> None:
    assert (FAILED.type, FAILED.name) == ("FAILED", "TimedOut")


def test_a_run_that_never_started_has_neither_times_nor_a_length() -> None:
    run = RunRecord(id="r1", state=FAILED)
    assert (run.start, run.end, run.duration_s, run.run_count) == (None, None, None, 0)
    assert (run.deployment_id, run.flow_name, run.tags) == (None, "", ())


def test_a_task_is_not_believed_to_be_stored_unless_it_is_seen() -> None:
    assert TaskRunRecord(id="t", name="load").persisted is False


def test_a_state_of_a_future_prefect_is_still_read() -> None:
    state = StateRecord(id="s", type="SUSPENDED", name="Suspended", timestamp=NOW)
    assert RunRecord(id="r", state=state).state.type == "SUSPENDED"


def test_a_batch_row_may_say_more_and_less() -> None:
    row = HistoryRun.model_validate({"start": NOW, "state": "COMPLETED", "cost_eur": 3})
    assert (row.duration_s, row.rows, row.memory_mb, row.retries) == (None, None, None, None)
    assert "cost_eur" not in row.model_dump()


def test_a_series_keeps_the_order_of_its_runs() -> None:
    starts = [NOW + timedelta(hours=number) for number in (3, 1, 2)]
    series = RunSeries.model_validate(
        {"id": "d", "runs": [{"start": at, "state": "FAILED"} for at in starts]}
    )
    assert [run.start for run in series.runs] == starts


@pytest.mark.parametrize("score", [-0.1, 100.1, float("nan")])
def test_health_is_a_percentage(score: float) -> None:
    with pytest.raises(ValidationError, match="score"):
        HealthScore(workflow_id="w", status="healthy", score=score, reason="", last_updated=NOW)


@pytest.mark.parametrize("score", [0, 100, None])
def test_health_may_be_nothing_full_or_unknown(score: float | None) -> None:
    health = HealthScore(workflow_id="w", status="unknown", score=score, reason="", last_updated=NOW)
    assert health.score == score


@pytest.mark.parametrize("status", ["ok", "HEALTHY", ""])
def test_health_has_four_words(status: str) -> None:
    with pytest.raises(ValidationError, match="status"):
        HealthScore.model_validate({"workflow_id": "w", "status": status, "reason": "", "last_updated": NOW})


def rule(**more: Any) -> MonitoringRule:
    needed = {
        "workflow_id": "w",
        "metric_name": "error_rate",
        "condition": "greater_than",
        "threshold": 0.2,
    }
    return MonitoringRule.model_validate(needed | more)


def test_a_rule_is_active_of_medium_weight_and_rests_five_minutes() -> None:
    assert (rule().is_active, rule().severity, rule().cooldown_minutes) == (True, Severity.MEDIUM, 5)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("condition", ">"),
        ("threshold", "many"),
        ("severity", "red"),
        ("alert_type", "bad"),
        ("metric_name", None),
    ],
)
def test_a_rule_in_other_words_is_refused(field: str, value: object) -> None:
    with pytest.raises(ValidationError) as caught:
        rule(**{field: value})
    assert caught.value.errors()[0]["loc"] == (field,)


def alert(**more: Any) -> WorkflowAlert:
    needed = {
        "alert_id": "a",
        "fingerprint": "f",
        "workflow_id": "w",
        "alert_type": "workflow_stalled",
        "severity": "high",
        "title": "t",
        "description": "d",
        "created_at": NOW,
    }
    return WorkflowAlert.model_validate(needed | more)


def test_a_new_alert_fires_and_nobody_has_seen_it() -> None:
    assert (alert().status, alert().acknowledged, alert().acknowledged_by) == ("firing", False, None)
    assert (alert().resolved_at, alert().resolution_notes) == (None, None)


@pytest.mark.parametrize("status", ["open", "acknowledged", "closed"])
def test_an_alert_is_pending_firing_or_resolved(status: str) -> None:
    with pytest.raises(ValidationError, match="status"):
        alert(status=status)


def test_a_value_that_could_not_be_measured_is_kept_as_nothing() -> None:
    assert alert(current_values={"error_rate": None}).current_values == {"error_rate": None}


def test_a_history_without_runs_claims_no_durations() -> None:
    history = FlowHistory()
    assert (history.flow.n, history.flow.p50_s, history.tasks) == (0, None, {})
    assert TaskTiming().calls_per_run is None


def test_a_history_file_may_hold_more_than_we_read() -> None:
    told = {"flow": {"n": 3, "p50_s": 1.5, "p99_s": 9}, "tasks": {"load": {"n": 3, "colour": "red"}}, "v": 1}
    history = FlowHistory.model_validate(told)
    assert (history.flow.p50_s, history.tasks["load"].n) == (1.5, 3)


@pytest.mark.parametrize("strategy", ["speed", "", "Performance"])
def test_a_plan_follows_a_strategy_we_know(strategy: str) -> None:
    with pytest.raises(ValidationError, match="strategy"):
        OptimizationPlan.model_validate(
            {"file": "a.py", "strategy": strategy, "changed": False, "source": ""}
        )


@pytest.mark.parametrize("source", ["", "\r\n", "# ünï\n\tx = 1\r\n", "no newline at the end"])
def test_a_plan_keeps_every_character_of_a_source(source: str) -> None:
    plan = OptimizationPlan.model_validate(
        {"file": "a.py", "strategy": "hybrid", "changed": False, "source": source}
    )
    assert OptimizationPlan.model_validate_json(plan.model_dump_json()).source == source


def test_an_operation_nobody_described_is_believed_to_do_harm_when_repeated() -> None:
    assert Operation(id="x", method="GET", path="/x").effect is OperationEffect.UNSAFE


@pytest.mark.parametrize("method", ["get", "TRACE", "CONNECT", ""])
def test_an_operation_uses_a_method_we_send(method: str) -> None:
    with pytest.raises(ValidationError, match="method"):
        Operation.model_validate({"id": "x", "method": method, "path": "/x"})


def test_a_service_nobody_confirmed_is_only_recognised() -> None:
    service = Service(id="acme", name="Acme")
    assert service.status is ServiceStatus.RECOGNISED
    assert (service.base_url, service.operations, service.provenance) == (None, (), ())
    assert (service.auth.scheme, service.rate_limit_per_s) == ("none", None)


def test_a_service_finds_its_operation_by_id() -> None:
    first = Operation(id="list", method="GET", path="/things")
    service = Service(
        id="acme", name="Acme", operations=(first, Operation(id="make", method="POST", path="/things"))
    )
    assert service.operation("list") == first


@pytest.mark.parametrize("wanted", ["", "List", "delete", "lis"])
def test_a_service_makes_no_operation_up(wanted: str) -> None:
    service = Service(
        id="acme", name="Acme", operations=(Operation(id="list", method="GET", path="/things"),)
    )
    assert service.operation(wanted) is None


def test_parameters_may_hold_parameters() -> None:
    inner = {"name": "email", "type": "string", "required": True}
    outer = Parameter.model_validate({"name": "person", "type": "object", "fields": [inner]})
    assert outer.fields == (Parameter(name="email", required=True),)
    assert Parameter.model_validate_json(outer.model_dump_json()) == outer


def test_a_parameter_nobody_described_is_an_optional_text_of_the_body() -> None:
    parameter = Parameter(name="note")
    assert (parameter.location, parameter.type, parameter.required) == ("body", "string", False)


@pytest.mark.parametrize("scheme", ["Bearer", "token", ""])
def test_a_service_proves_itself_in_a_way_we_know(scheme: str) -> None:
    with pytest.raises(ValidationError, match="scheme"):
        Auth.model_validate({"scheme": scheme})


def test_a_webhook_is_signed_with_sha256_over_its_body_unless_told_otherwise() -> None:
    signature = WebhookSignature(header="X-Signature")
    assert (signature.algorithm, signature.template, signature.encoding) == ("sha256", "{body}", "hex")


@pytest.mark.parametrize("kind", ["push", "", "websocket"])
def test_an_event_is_announced_or_looked_for(kind: str) -> None:
    with pytest.raises(ValidationError, match="kind"):
        ServiceTrigger.model_validate({"event": "new", "kind": kind})
