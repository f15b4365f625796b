"""What every value keeps: frozen, strict where it is ours, lenient where it is foreign, JSON and back."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from pydantic import BaseModel, ValidationError

from prefect_autopilot import models
from prefect_autopilot.models import Foreign, Value

NOW = datetime(2026, 3, 2, 3, 0, tzinfo=UTC)
STATE = {"id": "s1", "type": "FAILED", "name": "Failed", "timestamp": NOW}
RUN = {"id": "r1", "state": STATE}
RETRY = {"kind": "retry_run", "flow_run_id": "r1", "delay_s": 5}
DIAGNOSIS = {
    "category": "connectivity",
    "confidence": 0.9,
    "severity": "medium",
    "transient": True,
    "remedy": "retry_backoff",
    "root_cause": "The shop answered 503.",
}
TRIGGER = {"type": "manual"}
STEP = {"id": "one", "service": "asana", "operation": "create_task", "connection": "asana-default"}
SPEC = {"name": "mail-to-asana", "request": "Make tasks", "trigger": TRIGGER, "steps": [STEP]}
DEPLOYMENT = {"name": "prod", "flow_name": "mail", "entrypoint": "mail.py:mail"}

ONE_OF_TWO = {"Expectation"}
"""Values that need one of two fields, so that neither is necessary."""
MEANS = {"flow_run_id": "r1", "place": "job_variables", "name": "memory", "amount": 2048, "most": 4096}

NEEDED: dict[str, dict[str, Any]] = {
    "Advice": {"rule": "drop_polling", "line": 3, "reason": "It polls.", "how": "Let an event start it."},
    "AppliedRewrite": {
        "rewrite_id": "w1",
        "path": "flows/orders.py",
        "backup": "flows/orders.py.bak",
        "before_sha256": "a" * 64,
        "after_sha256": "b" * 64,
        "flow_name": "orders",
        "applied_at": NOW,
    },
    "ApplyRewrite": {
        "flow_run_id": "r1",
        "path": "/srv/orders.py",
        "what": "bound_fan_out, line 12: it starts as many tasks as there are items",
        "deployment_id": "d1",
        "before_sha256": "a" * 64,
        "after_sha256": "b" * 64,
    },
    "ChangeRun": MEANS,
    "Expectation": {"match": ("orders/*",), "file": "/data/orders.csv"},
    "FreeScratch": {"flow_run_id": "r1", "folders": ("/scratch/a",), "megabytes": 12.5},
    "LongerTimeout": MEANS,
    "LowerConcurrency": {"flow_run_id": "r1", "path": "/deployments/d1", "limit": 2, "before": 4},
    "Machine": {"name": "small", "cpus": 2, "memory_gb": 4, "price": 0.05},
    "Measure": {"flow_run_id": "r1", "name": "rows", "value": 12, "at": NOW},
    "MoreMemory": MEANS,
    "OptimizerSettings": {},
    "PriceTable": {"currency": "EUR"},
    "QuarantineInput": {"flow_run_id": "r1", "path": "/data/a.csv", "target": "/data/aside"},
    "Recurrence": {"times": 4},
    "RerunElsewhere": {
        "flow_run_id": "r1",
        "deployment_id": "d2",
        "deployment_name": "orders/big",
        "work_pool": "big",
    },
    "RollBack": {
        "flow_run_id": "r1",
        "deployment_id": "d1",
        "deployment_name": "prod",
        "good_version": "1.4",
        "before": {"version": "1.5"},
        "after": {"version": "1.4"},
    },
    "RunSample": {},
    "TakenBack": {"flow_run_id": "r1"},
    "ServicePrice": {"service": "openai", "job": "summarise", "price": 0.01},
    "AlertPolicy": {},
    "Alternative": {"category": "data", "reason": "No row was read."},
    "Analysis": {"text": "Do it", "status": "flow", "confidence": 0.5},
    "Anomaly": {"start": NOW, "end": NOW, "kind": "slow", "severity": "low", "score": 1.5},
    "AskOwner": {"flow_run_id": "r1", "advice": "Look at the key."},
    "Attempt": {"number": 1, "remedy": RETRY, "state_id_before": "s1"},
    "AuditEntry": {"sequence": 1, "at": NOW, "actor": "a", "action": "opened", "subject": "x"},
    "Auth": {},
    "CommonKey": {"field": "deployment", "value": "prod"},
    "Constant": {"value": [1, {"a": None}]},
    "Deduction": {"component": "failures", "points": 12.5, "reason": "3 of 10 failed"},
    "DeploymentSpec": DEPLOYMENT,
    "Diagnosis": DIAGNOSIS,
    "DiagnosticFinding": {
        "finding_id": "f1",
        "pattern": "pattern_matching",
        "confidence": 1,
        "description": "HTTP 503",
        "detected_at": NOW,
    },
    "Evidence": {"run": RUN, "read_at": NOW},
    "EvidenceLine": {"text": "503", "where": "log 12"},
    "GoodAgain": {"run_id": "r2", "at": NOW},
    "MemoryGiven": {"pool": "k8s", "pool_type": "kubernetes"},
    "PrefectObject": {"kind": "block", "name": "secret/crm"},
    "FlowHistory": {},
    "Silence": {"starts_at": NOW, "ends_at": NOW + timedelta(hours=1)},
    "FromParameter": {"name": "project"},
    "FromStep": {"step": "one"},
    "FromTrigger": {"path": "subject"},
    "ForgetCachedResult": {"flow_run_id": "r1", "task_run_id": "t1", "storage_key": "fx"},
    "IncidentEvent": {"action": "trigger", "key": "a1", "title": "prod: slow"},
    "GateCheck": {"name": "mode", "passed": False, "reason": "propose"},
    "GeneratedFlow": {
        "spec": SPEC,
        "file_name": "mail.py",
        "function": "mail",
        "source": "",
        "deployment": DEPLOYMENT,
    },
    "ExplainedStep": {"line": 3, "depth": 0, "kind": "call", "text": "Post Slack message"},
    "FaultProposal": {"model": "small", "host": "localhost"},
    "FlowEdit": {"file": "a.py", "request": "also post to Discord", "status": "unchanged"},
    "FlowExplanation": {"file": "a.py", "function": "f", "name": "f"},
    "HealthScore": {"workflow_id": "w", "status": "unknown", "reason": "3 runs", "last_updated": NOW},
    "HistoryRun": {"start": NOW, "state": "COMPLETED"},
    "IncidentRun": {},
    "LanguageModelUse": {"model": "small", "host": "localhost", "used": True},
    "LogRecord": {"timestamp": NOW, "level": 40, "message": "boom"},
    "MonitoringRule": {
        "workflow_id": "w",
        "metric_name": "error_rate",
        "condition": "greater_than",
        "threshold": 0.2,
    },
    "Notice": {"notice_id": "n1", "outcome": "info", "title": "t", "text": ""},
    "Observation": {"at": NOW, "what": "the run completed", "ok": True},
    "Operation": {"id": "list", "method": "GET", "path": "/list"},
    "OptimizationPlan": {"file": "a.py", "strategy": "hybrid", "changed": False, "source": ""},
    "Pagination": {},
    "Parameter": {"name": "id"},
    "RequestSignature": {"name": "X-Signature"},
    "Returns": {"what": "The task."},
    "ParameterSpec": {"name": "project"},
    "Pause": {"from": NOW},
    "PreviewResult": {"succeeded": True, "duration_s": 0.4},
    "Proof": {"equal": True, "n": 3, "before_s": 1.2, "after_s": 0.4, "reason": ""},
    "Question": {"id": "project", "text": "Which project?"},
    "RefreshCredentials": {"flow_run_id": "r1", "connection": "asana-default"},
    "Rejection": {"rule": "map_loop", "line": 3, "reason": "writes a file"},
    "ReleaseSlots": {"flow_run_id": "r1", "limit_name": "writers", "slots": 1, "active_slots": 1},
    "EndStuckRun": {"flow_run_id": "r1"},
    "RunMissed": {"flow_run_id": "r1", "deployment_id": "d1", "due": NOW},
    "PauseDeployment": {"flow_run_id": "r1", "deployment_id": "d1"},
    "RemedyDecision": {"action": "propose", "remedy": RETRY, "reason": "mode is propose"},
    "RemedyPolicy": {},
    "PolicyOverride": {"match": ("nightly",)},
    "QuietHours": {"start": "22:00:00", "end": "06:00:00"},
    "Approval": {"by": "person:ada", "at": NOW, "state_id": "s"},
    "Storm": {"cause": "f"},
    "Bar": {"name": "read", "start_s": 0, "end_s": 1},
    "Timeline": {"bars": [], "makespan_s": 1, "work_s": 1, "critical_path_s": 1},
    "Prediction": {"before_s": 2, "after_s": 1, "critical_path_s": 1, "work_bound_s": 1},
    "ProvedRepair": {"flow_run_id": "r1"},
    "RemoveStaleLock": {"flow_run_id": "r1", "path": "a.lock", "holder_pid": 7},
    "RequestContext": {},
    "RetryRun": {"flow_run_id": "r1", "delay_s": 5},
    "Rewrite": {"rule": "map_loop", "line": 3, "reason": "reads only"},
    "RunRefresher": {"flow_run_id": "r1", "deployment_id": "d1", "renews": "crm_token"},
    "RunRecord": RUN,
    "RunSeries": {"id": "dep-1", "runs": []},
    "Service": {"id": "asana", "name": "Asana"},
    "ServiceCall": {"service": "a", "operation": None, "method": "GET", "path": "/", "status": 200},
    "ServiceMatch": {"service": "asana", "confidence": 1},
    "Announcement": {"event": "e", "event_id": "0" * 32, "resource": "r", "payload": {}},
    "Hook": {},
    "ServiceTrigger": {"event": "new_message", "kind": "poll"},
    "SourceFile": {"path": "/a.py", "entrypoint": "a.py:a", "text": ""},
    "Span": {"start": 0, "end": 2, "text": "Do"},
    "StateRecord": STATE,
    "StepSpec": STEP,
    "TaskRunRecord": {"id": "t1", "name": "load"},
    "TaskTiming": {},
    "Text": {"parts": [{"kind": "constant", "value": "Re: "}, {"kind": "trigger", "path": "subject"}]},
    "Timing": {},
    "Trend": {"metric": "duration", "slope_per_day": 0.1, "p_value": 0.01, "n": 30},
    "TriggerSpec": TRIGGER,
    "TroubleshootingSession": {"session_id": "s", "workflow_id": "w", "start_time": NOW},
    "Verification": {"outcome": "pending", "reason": "still running", "checked_at": NOW},
    "WebhookSignature": {"header": "X-Signature"},
    "WorkflowAlert": {
        "alert_id": "a",
        "fingerprint": "f",
        "workflow_id": "w",
        "alert_type": "custom_metric",
        "severity": "high",
        "title": "t",
        "description": "d",
        "created_at": NOW,
    },
    "WorkflowIssue": {
        "issue_id": "i",
        "workflow_id": "w",
        "category": "logic",
        "severity": "low",
        "description": "d",
        "detection_time": NOW,
    },
    "WorkflowMetric": {"name": "error_rate", "value": 0.0, "timestamp": NOW},
    "WorkflowSpec": SPEC,
}
"""Every value with exactly the fields that must be given."""

CLASSES: dict[str, type[BaseModel]] = {
    name: found
    for name in models.__all__
    if isinstance(found := getattr(models, name), type)
    and issubclass(found, BaseModel)
    and found not in {Value, Foreign}
}
EACH = pytest.mark.parametrize("name", sorted(CLASSES))
OURS = sorted(name for name, cls in CLASSES.items() if issubclass(cls, Value))
FROM_OUTSIDE = sorted(name for name, cls in CLASSES.items() if issubclass(cls, Foreign))


def make(name: str, **more: Any) -> BaseModel:
    return CLASSES[name].model_validate(NEEDED[name] | more)


def test_the_table_above_knows_every_value() -> None:
    assert sorted(NEEDED) == sorted(CLASSES)


def test_every_value_is_either_ours_or_foreign() -> None:
    assert sorted([*OURS, *FROM_OUTSIDE]) == sorted(CLASSES)
    assert not set(OURS) & set(FROM_OUTSIDE)


def test_the_room_says_all_it_offers() -> None:
    assert len(set(models.__all__)) == len(models.__all__)
    assert all(hasattr(models, name) for name in models.__all__)


@pytest.mark.parametrize("name", sorted(set(NEEDED) - ONE_OF_TWO))
def test_a_value_needs_no_more_than_its_necessary_fields(name: str) -> None:
    given = {(field.alias or key) for key, field in CLASSES[name].model_fields.items() if field.is_required()}
    assert given == set(NEEDED[name])
    assert make(name).model_dump()


@pytest.mark.parametrize("name", sorted(set(NEEDED) - ONE_OF_TWO))
def test_a_value_without_a_necessary_field_is_refused_by_the_name_of_that_field(name: str) -> None:
    for missing in NEEDED[name]:
        rest = {key: value for key, value in NEEDED[name].items() if key != missing}
        with pytest.raises(ValidationError) as caught:
            CLASSES[name].model_validate(rest)
        (problem,) = caught.value.errors()
        assert (problem["loc"], problem["type"]) == ((missing,), "missing")


@EACH
def test_a_value_cannot_be_changed(name: str) -> None:
    value = make(name)
    before = value.model_dump()
    for field in CLASSES[name].model_fields:
        with pytest.raises(ValidationError, match="frozen"):
            setattr(value, field, getattr(value, field))
    assert value.model_dump() == before


@EACH
def test_a_value_survives_json(name: str) -> None:
    value = make(name)
    again = CLASSES[name].model_validate_json(value.model_dump_json(by_alias=True))
    assert again == value
    assert type(again) is type(value)


@EACH
def test_collections_of_a_value_are_tuples_so_that_nobody_appends_to_them(name: str) -> None:
    value = make(name)
    # Free JSON may hold lists; the fields we named ourselves may not.
    free = {"value", "default"}
    for field in CLASSES[name].model_fields.keys() - free:
        assert not isinstance(getattr(value, field), list), field


@EACH
def test_two_values_share_no_dictionary(name: str) -> None:
    one, other = make(name), make(name)
    for field in CLASSES[name].model_fields:
        mine = getattr(one, field)
        if isinstance(mine, dict):
            assert mine is not getattr(other, field), field


@pytest.mark.parametrize("name", OURS)
def test_an_unknown_field_of_our_own_is_a_mistake(name: str) -> None:
    with pytest.raises(ValidationError, match="surprise") as caught:
        make(name, surprise=1)
    assert caught.value.errors()[0]["type"] == "extra_forbidden"


@pytest.mark.parametrize("name", FROM_OUTSIDE)
def test_an_unknown_field_from_outside_does_no_harm(name: str) -> None:
    assert make(name, surprise=1).model_dump() == make(name).model_dump() | (
        {"surprise": 1} if name == "IncidentRun" else {}
    )


@pytest.mark.parametrize("name", ["RunRecord", "StateRecord", "LogRecord", "HistoryRun", "RunSeries"])
def test_what_prefect_and_batch_files_tell_is_foreign(name: str) -> None:
    assert name in FROM_OUTSIDE


def test_a_changed_copy_leaves_the_original_as_it_was() -> None:
    session = models.TroubleshootingSession(session_id="s", workflow_id="w", start_time=NOW)
    copy = session.model_copy(update={"trail": ("opened",)})
    assert (session.trail, copy.trail) == ((), ("opened",))


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("2026-03-02T03:00:00Z", NOW),
        ("2026-03-02T04:00:00+01:00", NOW),
        ("2026-03-01T22:00:00-05:00", NOW),
        (NOW.astimezone(timezone(timedelta(hours=9))), NOW),
        (NOW.timestamp(), NOW),
    ],
    ids=["utc", "berlin", "new york", "a datetime elsewhere", "seconds since 1970"],
)
def test_a_moment_is_the_same_moment_in_every_time_zone(given: Any, expected: datetime) -> None:
    state = models.StateRecord.model_validate(STATE | {"timestamp": given})
    assert state.timestamp == expected
    assert state.timestamp.tzinfo is not None


@pytest.mark.parametrize("given", ["yesterday", "", None, "2026-13-01T00:00:00Z"])
def test_what_is_no_moment_is_refused(given: Any) -> None:
    with pytest.raises(ValidationError, match="timestamp"):
        models.StateRecord.model_validate(STATE | {"timestamp": given})
