"""What the API must not say: nothing measured is null with a reason, nothing observed is unverified."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import httpx
import pytest

from prefect_autopilot.models import RunRecord, StateRecord
from prefect_autopilot.settings import Settings
from prefect_autopilot.store import Store

ENHANCED = "/workflows/enhanced"
TROUBLESHOOTING = "/api/workflow-troubleshooting"
REQUEST = {"user_input": "When I receive important emails, create Asana tasks and notify Slack"}
TWO_READS = """import httpx
from prefect import flow, task


@task
def fetch(page: int) -> str:
    response = httpx.get(f"https://api.shop.test/{page}", timeout=5)
    response.raise_for_status()
    return response.text


@flow
def pages() -> int:
    first = fetch(1)
    second = fetch(2)
    return len(first) + len(second)
"""
HISTORY = {
    "flow": {"n": 20, "p50_s": 42.0, "p95_s": 61.0},
    "tasks": {"fetch": {"n": 20, "calls_per_run": 2, "p50_s": 20.0, "p95_s": 30.0}},
}


def record(number: int, at: Any, state: str = "COMPLETED", message: str | None = None) -> RunRecord:
    ended = at + timedelta(minutes=1)
    return RunRecord(
        id=f"run-{number}",
        flow_name="orders",
        deployment_id="dep-1",
        deployment_name="prod",
        run_count=1,
        state=StateRecord(
            id=f"state-{number}", type=state, name=state.title(), timestamp=ended, message=message
        ),
        expected_start=at,
        start=at,
        end=ended,
        duration_s=60.0,
    )


async def opened(api: httpx.AsyncClient, *logs: str) -> str:
    body = {"workflow_id": "orders", "error_logs": list(logs)}
    ident: str = (await api.post(f"{TROUBLESHOOTING}/sessions", json=body)).json()["session_id"]
    return f"{TROUBLESHOOTING}/sessions/{ident}"


async def test_a_workflow_never_seen_is_of_unknown_health(api: httpx.AsyncClient) -> None:
    for told in (
        (await api.get(f"{ENHANCED}/monitoring/health", params={"workflow_id": "orders"})).json(),
        (await api.get(f"{TROUBLESHOOTING}/workflows/orders/health")).json(),
    ):
        assert told["health_score"] is None
        assert told["status"] == "unknown"
        assert "No run" in told["reason"]


async def test_four_runs_are_too_few_for_a_score_and_ten_are_enough(
    api: httpx.AsyncClient, store: Store, clock: Any
) -> None:
    begun = clock.now - timedelta(hours=10)
    await store.upsert_runs([record(n, begun + timedelta(hours=n)) for n in range(4)])
    path = f"{TROUBLESHOOTING}/workflows/prod/health"
    assert (await api.get(path)).json()["health_score"] is None
    await store.upsert_runs([record(n, begun + timedelta(hours=n)) for n in range(4, 10)])
    told = (await api.get(path)).json()
    assert told["health_score"] == 100
    assert told["runs"] == 10


async def test_failures_lower_the_score_and_are_named(
    api: httpx.AsyncClient, store: Store, clock: Any
) -> None:
    begun = clock.now - timedelta(hours=10)
    runs = [record(n, begun + timedelta(hours=n), "FAILED" if n > 5 else "COMPLETED") for n in range(10)]
    await store.upsert_runs(runs)
    told = (await api.get(f"{ENHANCED}/monitoring/health", params={"workflow_id": "dep-1"})).json()
    assert told["status"] == "unhealthy"
    assert told["issues"][0]["component"] == "reliability"
    assert "4 of the last 10 runs failed" in told["recommendations"][0]


async def test_metrics_are_those_of_the_stored_runs(api: httpx.AsyncClient, store: Store, clock: Any) -> None:
    path = f"{ENHANCED}/monitoring/metrics"
    nothing = (await api.get(path, params={"workflow_id": "prod"})).json()
    assert nothing["metrics"] == {}
    assert nothing["reason"] == "No run of the workflow was seen yet."
    begun = clock.now - timedelta(hours=4)
    states = ["COMPLETED", "FAILED", "COMPLETED", "COMPLETED"]
    await store.upsert_runs([record(n, begun + timedelta(hours=n), state) for n, state in enumerate(states)])
    told = (await api.get(path, params={"workflow_id": "prod"})).json()
    assert told["metrics"]["error_rate"] == {"value": 0.25, "unit": "ratio", "runs": 4}
    assert told["metrics"]["response_time"]["value"] == 60
    one = (await api.get(path, params={"workflow_id": "prod", "metric_type": "error_rate"})).json()
    assert set(one["metrics"]) == {"error_rate"}


async def test_a_metric_nobody_knows_is_not_found(api: httpx.AsyncClient) -> None:
    answer = await api.get(
        f"{ENHANCED}/monitoring/metrics", params={"workflow_id": "a", "metric_type": "eror_rate"}
    )
    assert answer.status_code == 404
    assert "error_rate" in answer.json()["detail"]


@pytest.mark.parametrize(
    "body", [None, {}, {"test_results": {}}, {"test_results": {"everything": True, "resolved": True}}]
)
async def test_nothing_observed_is_unverified_whatever_the_caller_says(
    api: httpx.AsyncClient, session_id: str, body: dict[str, Any] | None
) -> None:
    path = f"{TROUBLESHOOTING}/sessions/{session_id}"
    told = (await api.post(f"{path}/verify", json=body)).json()
    assert told["outcome"] == "unverified"
    assert told["observations"] == []
    assert told["resolution_status"] == "in_progress"
    session = (await api.get(path)).json()
    assert session["resolution_status"] == "in_progress"
    assert "verification" not in session["steps_completed"]


async def test_what_a_caller_says_is_written_down(api: httpx.AsyncClient, session_id: str) -> None:
    path = f"{TROUBLESHOOTING}/sessions/{session_id}"
    told = (await api.post(f"{path}/verify", json={"test_results": {"login works": True}})).json()
    assert told["test_results_recorded"] is True
    trail = (await api.get(f"{path}/summary")).json()["trail"]
    assert any("login works" in line and "no observation" in line for line in trail)


async def test_a_good_run_since_then_resolves_the_session(
    api: httpx.AsyncClient, store: Store, clock: Any
) -> None:
    at = await opened(api, "KeyError: 'price'")
    clock.forward(hours=1)
    await store.upsert_runs([record(1, clock.now - timedelta(minutes=10))])
    told = (await api.post(f"{at}/verify", json={})).json()
    assert told["outcome"] == "verified"
    assert told["resolution_status"] == "resolved"
    assert told["observations"][0]["subject"] == "run-1"


async def test_a_good_run_from_before_the_session_proves_nothing(
    api: httpx.AsyncClient, store: Store, clock: Any
) -> None:
    await store.upsert_runs([record(1, clock.now - timedelta(seconds=30))])
    at = await opened(api, "KeyError: 'price'")
    clock.forward(hours=1)
    assert (await api.post(f"{at}/verify", json={})).json()["outcome"] == "unverified"


async def test_a_failed_run_since_then_keeps_the_session_open(
    api: httpx.AsyncClient, store: Store, clock: Any
) -> None:
    at = await opened(api, "KeyError: 'price'")
    clock.forward(hours=1)
    failed = record(1, clock.now - timedelta(minutes=10), "FAILED", "KeyError: 'price'")
    await store.upsert_runs([failed])
    told = (await api.post(f"{at}/verify", json={"test_results": {"fixed": True}})).json()
    assert told["outcome"] == "failed"
    assert "KeyError" in told["reason"]
    assert told["resolution_status"] == "in_progress"


async def test_different_faults_get_different_advice(api: httpx.AsyncClient) -> None:
    told = []
    for log in (
        "ERROR 401 Unauthorized: the access token expired",
        "ModuleNotFoundError: No module named 'pandas'",
        "OSError: [Errno 28] No space left on device",
    ):
        advice = (await api.post(f"{await opened(api, log)}/recommendations")).json()["recommendations"]
        told.append({one["recommendation"] for one in advice})
        assert all(line["text"] in log for one in advice for line in one["evidence"])
    assert all(told)
    assert not told[0] & told[1]
    assert not told[1] & told[2]


async def test_without_a_failure_there_is_no_issue_no_cause_and_no_advice(api: httpx.AsyncClient) -> None:
    body = {"workflow_id": "orders", "error_logs": []}
    told = (await api.post(f"{ENHANCED}/troubleshooting/analyze", json=body)).json()
    assert told["issues"] == told["root_causes"] == told["recommendations"] == []
    assert told["confidence_score"] == 0
    assert told["error"]


async def test_without_a_log_the_stored_failures_are_read(
    api: httpx.AsyncClient, store: Store, clock: Any
) -> None:
    at = clock.now - timedelta(hours=1)
    await store.upsert_runs([record(1, at, "FAILED", "ModuleNotFoundError: No module named 'pandas'")])
    body = {"workflow_id": "prod", "error_logs": []}
    told = (await api.post(f"{ENHANCED}/troubleshooting/analyze", json=body)).json()
    assert "pandas" in told["issues"][0]["description"]


async def test_resolving_claims_nothing_that_was_not_observed(api: httpx.AsyncClient) -> None:
    await opened(api, "KeyError: 'price'")
    told = (
        await api.post(f"{ENHANCED}/troubleshooting/resolve", json={"workflow_id": "orders", "issues": []})
    ).json()
    assert told["success"] is False
    assert told["resolved_issues"] == []
    assert len(told["remaining_issues"]) == 1
    assert "No run" in told["remaining_issues"][0]["reason"]
    assert told["prefect"]


async def test_resolving_with_a_good_run_resolves(api: httpx.AsyncClient, store: Store, clock: Any) -> None:
    at = await opened(api, "KeyError: 'price'")
    issues = (await api.get(f"{at}/issues")).json()
    clock.forward(hours=1)
    await store.upsert_runs([record(1, clock.now - timedelta(minutes=10))])
    unknown = {"issue_id": "issue-nobody-knows"}
    body = {"workflow_id": "orders", "issues": [*issues, unknown]}
    told = (await api.post(f"{ENHANCED}/troubleshooting/resolve", json=body)).json()
    assert [one["issue_id"] for one in told["resolved_issues"]] == [issues[0]["issue_id"]]
    assert [one["issue_id"] for one in told["remaining_issues"]] == ["issue-nobody-knows"]
    assert told["resolution_status"] == "partial"


async def test_an_open_question_yields_no_flow(api: httpx.AsyncClient) -> None:
    told = (await api.post(f"{ENHANCED}/intelligence/generate", json=REQUEST)).json()
    assert told["success"] is False
    assert told["workflow"]["source"] is None
    assert told["workflow"]["questions"][0]["options"]
    assert told["error"]


@pytest.mark.parametrize("text", ["", "   ", "x" * 100_000], ids=["empty", "blank", "100 kB"])
async def test_a_request_that_cannot_be_read_is_refused_in_a_sentence(
    api: httpx.AsyncClient, text: str
) -> None:
    answer = await api.post(f"{ENHANCED}/intelligence/analyze", json={"user_input": text})
    assert answer.status_code == 200
    assert answer.json()["success"] is False
    assert answer.json()["error"]


async def test_nothing_is_estimated_without_measured_runs(api: httpx.AsyncClient) -> None:
    context = {"connected_services": ["gmail", "asana", "slack"]}
    made = (await api.post(f"{ENHANCED}/intelligence/generate", json=REQUEST | {"context": context})).json()
    assert made["estimated_performance"] is None
    assert "No run" in made["estimated_performance_reason"]
    body = {"workflow": {"source": TWO_READS}}
    told = (await api.post(f"{ENHANCED}/optimization/analyze", json=body)).json()
    assert told["optimization_opportunities"]
    assert told["estimated_improvement"] is None
    assert "measured" in told["estimated_improvement_reason"]
    assert told["performance_metrics"] == {}


async def test_a_saving_is_told_with_the_runs_behind_it(api: httpx.AsyncClient) -> None:
    body = {"workflow": {"source": TWO_READS}, "history": HISTORY}
    told = (await api.post(f"{ENHANCED}/optimization/apply", json=body)).json()
    assert told["performance_improvement"]["runs"] == 20
    assert 0 < told["performance_improvement"]["value"] <= 42
    assert told["optimized_workflow"]["changed"] is True
    assert told["optimized_workflow"]["file"] is None
    compile(told["optimized_workflow"]["source"], "pages.py", "exec")


async def test_an_edit_that_does_not_apply_is_refused_with_the_reason(api: httpx.AsyncClient) -> None:
    body = {"workflow": {"source": TWO_READS}, "optimizations": ["no_such_rule"]}
    told = (await api.post(f"{ENHANCED}/optimization/apply", json=body)).json()
    assert told["applied_optimizations"] == []
    assert told["optimized_workflow"]["source"] == TWO_READS
    assert told["not_applied"][0]["rule"] == "no_such_rule"


async def test_the_edits_of_an_analysis_can_be_sent_back(api: httpx.AsyncClient) -> None:
    body: dict[str, Any] = {"workflow": {"source": TWO_READS}, "history": HISTORY}
    found = (await api.post(f"{ENHANCED}/optimization/analyze", json=body)).json()
    body["optimizations"] = found["optimization_opportunities"]
    told = (await api.post(f"{ENHANCED}/optimization/apply", json=body)).json()
    assert told["applied_optimizations"] == found["optimization_opportunities"]


async def test_a_source_is_never_written_without_a_deployment(api: httpx.AsyncClient) -> None:
    body = {"workflow": {"source": TWO_READS}, "write": True}
    answer = await api.post(f"{ENHANCED}/optimization/apply", json=body)
    assert answer.status_code == 422
    assert "deployment_id" in answer.json()["detail"]


async def test_a_rule_on_something_unmeasured_is_refused_and_not_stored(api: httpx.AsyncClient) -> None:
    rule = {"workflow_id": "a", "metric_name": "moon_phase", "condition": "equal", "threshold": 1}
    answer = await api.post(f"{ENHANCED}/monitoring/alerts", json=rule)
    assert answer.status_code == 422
    assert "moon_phase" in answer.json()["detail"]
    assert "response_time" in answer.json()["detail"]
    assert (await api.get(f"{ENHANCED}/monitoring/alerts")).json()["rules"] == []


async def test_a_rule_by_the_name_of_a_workflow_is_one_on_the_workflow(
    api: httpx.AsyncClient, store: Store, clock: Any
) -> None:
    rule = {"workflow_id": "orders", "metric_name": "error_rate", "condition": "equal", "threshold": 1}
    early = (await api.post(f"{ENHANCED}/monitoring/alerts", json=rule)).json()
    assert early["workflow_id"] == "orders"
    assert "No run" in early["note"]
    await store.upsert_runs([record(1, clock.now)])
    known = (await api.post(f"{ENHANCED}/monitoring/alerts", json=rule)).json()
    assert known["workflow_id"] == "dep-1"
    assert known["note"] is None


async def test_the_name_that_reports_use_for_a_metric_is_that_metric(api: httpx.AsyncClient) -> None:
    rule = {"workflow_id": "a", "metric_name": "avg_response_time", "condition": "equal", "threshold": 1}
    told = (await api.post(f"{ENHANCED}/monitoring/alerts", json=rule)).json()
    assert told["metric_name"] == "response_time"


@pytest.mark.parametrize("logs", [[], [""], ["   "]], ids=["none", "empty", "blank"])
async def test_a_report_without_anything_in_it_is_no_success(api: httpx.AsyncClient, logs: list[str]) -> None:
    body = {"workflow_id": "orders", "error_logs": logs}
    told = (await api.post(f"{ENHANCED}/troubleshooting/analyze", json=body)).json()
    assert told["success"] is False
    assert "send logs" in told["error"]
    assert told["issues"] == []


@pytest.mark.parametrize("ident", ["nope", "1", "00000000-0000-4000-8000-00000000000g", "ä" * 300])
@pytest.mark.parametrize(
    ("method", "rest"),
    [("GET", ""), ("DELETE", ""), ("GET", "/issues"), ("GET", "/summary"), ("POST", "/diagnose"),
     ("POST", "/recommendations"), ("POST", "/verify"), ("POST", "/approve"), ("POST", "/deny")],
)  # fmt: skip
async def test_what_is_no_session_is_not_found_and_the_answer_says_how_to_find_one(
    api: httpx.AsyncClient, method: str, rest: str, ident: str
) -> None:
    answer = await api.request(method, f"{TROUBLESHOOTING}/sessions/{ident}{rest}")
    assert answer.status_code == 404, answer.text
    assert "prefect-autopilot sessions lists" in answer.json()["detail"]


async def test_monitoring_without_a_server_is_registered_not_active(api: httpx.AsyncClient) -> None:
    told = (await api.post(f"{ENHANCED}/monitoring/start", json={"workflow_id": "orders"})).json()
    assert told["status"] == "registered"
    assert "PREFECT_API_URL" in told["reason"]
    again = (await api.post(f"{ENHANCED}/monitoring/start", json={"workflow_id": "orders"})).json()
    assert again["monitoring_id"] == told["monitoring_id"]


async def test_metrics_say_when_nothing_was_seen(api: httpx.AsyncClient, store: Store, clock: Any) -> None:
    text = (await api.get("/metrics")).text
    assert text.startswith("# No finished run was seen yet.")
    assert "flow_runs_total{" not in text


async def test_metrics_count_the_stored_runs(start: Any, store: Store, clock: Any) -> None:
    await store.upsert_runs([record(1, clock.now - timedelta(minutes=5))])
    api = await start()
    answer = await api.get("/metrics")
    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
    labels = 'deployment="prod",flow="orders",state="COMPLETED",work_pool=""'
    assert f"prefect_autopilot_flow_runs_total{{{labels}}} 1.0" in answer.text


async def test_health_readiness_and_status_tell_the_truth_without_a_server(api: httpx.AsyncClient) -> None:
    assert (await api.get("/healthz")).json()["status"] == "ok"
    ready = await api.get("/readyz")
    assert ready.status_code == 503
    assert ready.json()["checks"]["store"] == "ok"
    assert "PREFECT_API_URL" in ready.json()["checks"]["prefect"]
    status = (await api.get(f"{ENHANCED}/status")).json()
    assert status["availability"] == "degraded"
    assert status["components"]["monitoring"]["state"] == "limited"


async def test_a_session_survives_a_new_process(start: Any, settings: Settings) -> None:
    first = await start()
    at = await opened(first, "KeyError: 'price'")
    await first.post(f"{at}/diagnose")
    rule = {"workflow_id": "a", "metric_name": "error_rate", "condition": "equal", "threshold": 1}
    await first.post(f"{ENHANCED}/monitoring/alerts", json=rule)
    second = await start()
    assert (await second.get(at)).json() == (await first.get(at)).json()
    assert (await second.post(f"{at}/recommendations")).json()["recommendations"]
    assert len((await second.get(f"{ENHANCED}/monitoring/alerts")).json()["rules"]) == 1


async def test_a_deleted_session_leaves_its_audit(
    api: httpx.AsyncClient, session_id: str, store: Store
) -> None:
    await api.delete(f"{TROUBLESHOOTING}/sessions/{session_id}")
    trail = await store.audit_trail(session_id)
    assert [entry.action for entry in trail] == ["opened", "session.deleted"]
    assert {entry.actor for entry in trail} == {"api"}
    assert await store.verify_audit() is None


async def test_secrets_in_a_log_go_nowhere(api: httpx.AsyncClient, settings: Settings) -> None:
    secret = "ghp_" + "A1b2C3d4" * 5
    at = await opened(api, f"ERROR 401 Unauthorized for token {secret}", f"password={secret}")
    await api.post(f"{at}/analyze-metrics", json={"metrics": {"error_rate": 0.9}})
    await api.post(f"{at}/verify", json={"test_results": {"token": secret}})
    told = [await api.post(f"{at}/recommendations"), await api.get(at), await api.post(f"{at}/diagnose")]
    assert all(secret not in answer.text for answer in told)
    written = [path.read_bytes() for path in settings.home.rglob("*") if path.is_file()]
    assert written
    assert not any(secret.encode() in content for content in written)
