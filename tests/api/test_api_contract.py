"""The promise to programs of the original system: its request bodies, and every field it may read."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx
import pytest

ENHANCED = "/workflows/enhanced"
TROUBLESHOOTING = "/api/workflow-troubleshooting"
REQUEST = {
    "user_input": "When I receive important emails, create Asana tasks and notify Slack",
    "context": {
        "user_id": "ada",
        "timezone": "UTC",
        "connected_services": ["gmail", "asana", "slack"],
        "preferences": {"tone": "short"},
    },
    "enhanced_intelligence": True,
}
FLOW = """from prefect import flow, task


@task
def double(value: int) -> int:
    return 2 * value


@flow
def numbers() -> list[int]:
    return [double(value) for value in range(3)]
"""
RULE = {
    "workflow_id": "orders",
    "metric_name": "error_rate",
    "condition": "greater_than",
    "threshold": 0.1,
    "alert_type": "error_rate_increase",
    "severity": "high",
}
LOGS = ["2026-03-02 ERROR gmail answered 401 Unauthorized: token expired"]

FAMILY_A: list[tuple[str, str, dict[str, Any] | None, dict[str, type | tuple[type, ...]]]] = [
    (
        "POST", "/intelligence/analyze", REQUEST,
        {"success": bool, "analysis": dict, "detected_services": list, "confidence_score": float,
         "recommendations": list, "error": (str, type(None))},
    ),
    (
        "POST", "/intelligence/generate", REQUEST | {"optimization_strategy": "performance"},
        {"success": bool, "workflow": dict, "optimization_suggestions": list,
         "estimated_performance": (dict, type(None)), "error": (str, type(None))},
    ),
    (
        "POST", "/optimization/analyze", {"workflow": {"source": FLOW}, "strategy": "performance"},
        {"success": bool, "analysis": dict, "performance_metrics": dict, "optimization_opportunities": list,
         "estimated_improvement": (dict, type(None)), "error": (str, type(None))},
    ),
    (
        "POST", "/optimization/apply", {"workflow": {"source": FLOW}, "optimizations": []},
        {"success": bool, "optimized_workflow": dict, "applied_optimizations": list,
         "performance_improvement": (dict, type(None)), "error": (str, type(None))},
    ),
    (
        "POST", "/monitoring/start", {"workflow_id": "orders"},
        {"success": bool, "monitoring_id": str, "status": str, "error": (str, type(None))},
    ),
    (
        "GET", "/monitoring/health?workflow_id=orders", None,
        {"success": bool, "health_score": (float, type(None)), "status": str, "issues": list,
         "recommendations": list, "error": (str, type(None))},
    ),
    (
        "GET", "/monitoring/metrics?workflow_id=orders&metric_type=all", None,
        {"success": bool, "metrics": dict, "trends": dict, "alerts": list, "error": (str, type(None))},
    ),
    ("GET", "/monitoring/alerts", None, {"alerts": list}),
    ("POST", "/monitoring/alerts", RULE, dict.fromkeys(RULE, (str, float)) | {"rule_id": str}),
    (
        "POST", "/troubleshooting/analyze", {"workflow_id": "orders", "error_logs": LOGS},
        {"success": bool, "issues": list, "root_causes": list, "recommendations": list,
         "confidence_score": float, "error": (str, type(None))},
    ),
    (
        "POST", "/troubleshooting/resolve", {"workflow_id": "orders", "issues": []},
        {"success": bool, "resolved_issues": list, "remaining_issues": list, "resolution_status": str,
         "error": (str, type(None))},
    ),
    (
        "GET", "/status", None,
        {"availability": str, "version": str, "components": dict, "endpoints": list},
    ),
]  # fmt: skip


@pytest.mark.parametrize(("method", "path", "body", "fields"), FAMILY_A, ids=[row[1] for row in FAMILY_A])
async def test_a_call_of_family_a_answers_with_its_fields(
    api: httpx.AsyncClient,
    method: str,
    path: str,
    body: dict[str, Any] | None,
    fields: dict[str, type | tuple[type, ...]],
) -> None:
    answer = await api.request(method, ENHANCED + path, json=body)
    assert answer.status_code == 200, answer.text
    told = answer.json()
    for name, kind in fields.items():
        assert name in told
        assert isinstance(told[name], kind), f"{name} is {told[name]!r}"


async def test_a_step_is_really_called(api: httpx.AsyncClient) -> None:
    body = {
        "service": "slack",
        "action": "list_channels",
        "parameters": {},
        "workflow_id": "orders",
        "step_id": "step_1",
    }
    told = (await api.post("/workflows/test-step", json=body)).json()
    assert told["success"] is True
    assert told["error"] is None
    assert told["mode"] == "simulated"
    assert told["duration_ms"] > 0
    assert told["result"]["channels"]
    assert (told["workflow_id"], told["step_id"]) == ("orders", "step_1")


async def test_a_session_goes_its_whole_way(api: httpx.AsyncClient) -> None:
    body = {"workflow_id": "orders", "error_logs": LOGS, "additional_context": {"ticket": "OPS-7"}}
    opened = (await api.post(f"{TROUBLESHOOTING}/sessions", json=body)).json()
    assert opened["issues_found"] == 1
    assert opened["current_step"] == "analysis"
    assert opened["resolution_status"] == "in_progress"
    assert opened["start_time"].startswith("2026-03-02T03:00:00")
    assert opened["recommendations_count"] == 0
    at = f"{TROUBLESHOOTING}/sessions/{opened['session_id']}"

    issues = (await api.get(f"{at}/issues")).json()
    assert set(issues[0]) == {
        "issue_id", "workflow_id", "category", "severity", "description", "symptoms", "root_cause",
        "detection_time", "affected_components", "metrics_impact",
    }  # fmt: skip
    metrics = {
        "avg_response_time": 12.0,
        "error_rate": 0.3,
        "completion_rate": 0.99,
        "throughput": 5,
    }
    found = (await api.post(f"{at}/analyze-metrics", json={"metrics": metrics})).json()
    assert {issue["affected_components"][0] for issue in found["issues"]} == {
        "avg_response_time",
        "error_rate",
    }
    causes = (await api.post(f"{at}/diagnose")).json()
    assert causes["current_step"] == "resolution"
    assert causes["root_causes"][0]["category"] == "permissions"
    assert causes["root_causes"][0]["confidence"] > 0.5
    assert "401" in causes["root_causes"][0]["evidence"][0]["text"]
    advice = (await api.post(f"{at}/recommendations")).json()["recommendations"]
    assert advice
    assert all(one["evidence"] for one in advice)
    seen = (await api.post(f"{at}/verify", json={"test_results": {"login": True}})).json()
    assert seen["outcome"] == "unverified"
    summary = (await api.get(f"{at}/summary")).json()
    assert summary["steps_completed"] == ["identification", "analysis", "diagnosis"]
    assert summary["issues_by_category"] == {"permissions": 1, "performance": 1, "external_service": 1}
    assert summary["end_time"] is None
    assert sum(summary["issues_by_severity"].values()) == 3
    assert len(summary["trail"]) >= 6


async def test_a_summary_counts_the_seconds_of_an_open_session(
    api: httpx.AsyncClient, session_id: str, clock: Any
) -> None:
    clock.forward(seconds=90)
    told = (await api.get(f"{TROUBLESHOOTING}/sessions/{session_id}/summary")).json()
    assert told["duration_seconds"] == 90


async def test_sessions_are_listed_read_and_deleted(api: httpx.AsyncClient, session_id: str) -> None:
    listed = (await api.get(f"{TROUBLESHOOTING}/sessions")).json()["sessions"]
    assert [one["session_id"] for one in listed] == [session_id]
    assert (await api.get(f"{TROUBLESHOOTING}/sessions/{session_id}")).json() == listed[0]
    gone = await api.delete(f"{TROUBLESHOOTING}/sessions/{session_id}")
    assert gone.json()["success"] is True
    assert gone.json()["audit_entries"] >= 2
    assert (await api.get(f"{TROUBLESHOOTING}/sessions/{session_id}")).status_code == 404
    assert (await api.delete(f"{TROUBLESHOOTING}/sessions/{session_id}")).status_code == 404


async def test_long_lists_come_in_pages(api: httpx.AsyncClient) -> None:
    for number in range(3):
        await api.post(f"{TROUBLESHOOTING}/sessions", json={"workflow_id": f"flow-{number}"})
    first = (await api.get(f"{TROUBLESHOOTING}/sessions", params={"limit": 2})).json()
    assert len(first["sessions"]) == 2
    assert first["next_offset"] == 2
    rest = (await api.get(f"{TROUBLESHOOTING}/sessions", params={"limit": 2, "offset": 2})).json()
    assert len(rest["sessions"]) == 1
    assert rest["next_offset"] is None
    ids = {one["session_id"] for one in first["sessions"] + rest["sessions"]}
    assert len(ids) == 3


@pytest.mark.parametrize("workflow", ["orders", "orders/prod", "Orders & Co"])
async def test_the_health_of_a_workflow_has_its_fields(api: httpx.AsyncClient, workflow: str) -> None:
    told = (await api.get(f"{TROUBLESHOOTING}/workflows/{workflow}/health")).json()
    assert {"health_score", "status", "reason", "last_updated"} <= set(told)
    assert told["workflow_id"] == workflow


async def test_automated_troubleshooting_answers_at_once_and_leaves_its_result(
    api: httpx.AsyncClient,
) -> None:
    body = {"workflow_id": "orders", "error_logs": LOGS}
    started = (await api.post(f"{TROUBLESHOOTING}/automated-troubleshooting", json=body)).json()
    assert started["status"] == "started"
    assert started["issues_found"] == 1
    for _ in range(400):
        await asyncio.sleep(0.01)
        told = (await api.get(started["result"])).json()
        if any("looked" in line for line in told["trail"]):
            break
    assert told["session_id"] == started["session_id"]
    assert told["current_step"] == "resolution"
    assert told["recommendations"]


@pytest.mark.parametrize("wrapped", [False, True], ids=["bare", "in the field rule"])
async def test_a_rule_is_stored_and_listed(api: httpx.AsyncClient, wrapped: bool) -> None:  # noqa: FBT001 - a column of the table
    path = f"{ENHANCED}/monitoring/alerts"
    body = {"rule": RULE} if wrapped else RULE
    stored = (await api.post(path, json=body)).json()
    assert stored["cooldown_minutes"] == 5
    assert stored["is_active"] is True
    assert (await api.post(path, json=body)).json()["rule_id"] == stored["rule_id"]
    rules = (await api.get(path)).json()["rules"]
    assert [rule["rule_id"] for rule in rules] == [stored["rule_id"]]


async def test_status_lists_every_call(api: httpx.AsyncClient) -> None:
    told = (await api.get(f"{ENHANCED}/status")).json()
    assert set(told["components"]) == {"intelligence", "optimization", "monitoring", "troubleshooting"}
    assert all(one["state"] and one["why"] for one in told["components"].values())
    document = (await api.get("/openapi.json")).json()
    described = {
        f"{method.upper()} {path}" for path, methods in document["paths"].items() for method in methods
    }
    assert set(told["endpoints"]) == described


async def test_the_acceptance_sentence_names_its_services(api: httpx.AsyncClient) -> None:
    told = (await api.post(f"{ENHANCED}/intelligence/analyze", json=REQUEST)).json()
    assert set(told["detected_services"]) == {"gmail", "asana", "slack"}
    assert told["analysis"]["trigger"]["service"] == "gmail"
    assert len(told["analysis"]["steps"]) == 2


async def test_a_generated_flow_is_python_that_can_be_optimised_as_it_came(api: httpx.AsyncClient) -> None:
    made = (await api.post(f"{ENHANCED}/intelligence/generate", json=REQUEST)).json()
    compile(made["workflow"]["source"], "flow.py", "exec")
    assert made["workflow"]["deployment"]["entrypoint"]
    again = await api.post(f"{ENHANCED}/optimization/analyze", json={"workflow": made["workflow"]})
    assert again.status_code == 200, again.text
    from_spec = {"workflow": {"spec": made["workflow"]["spec"]}}
    analysed = (await api.post(f"{ENHANCED}/optimization/analyze", json=from_spec)).json()
    assert analysed["analysis"]["file"] == made["workflow"]["file_name"]
