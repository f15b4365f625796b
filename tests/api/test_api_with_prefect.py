"""The calls that read or change something on a Prefect server, against one in memory."""

from __future__ import annotations

import asyncio
import subprocess
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from prefect_autopilot.errors import ProofError
from prefect_autopilot.models import Proof
from prefect_autopilot.store import Store

ENHANCED = "/workflows/enhanced"
TROUBLESHOOTING = "/api/workflow-troubleshooting"
DEPLOYMENT = "5f0c7c52-4b53-4f5e-9d6a-0c4c8f0e1a11"
FLOW = "0f4ab1c2-3a0b-4d0c-9b53-8e9c3f520f4f"
NOBODY = "00000000-0000-4000-8000-000000000007"
APPLY = f"{ENHANCED}/optimization/apply"


async def test_a_server_that_answers_makes_us_ready(api_with_prefect: httpx.AsyncClient) -> None:
    ready = await api_with_prefect.get("/readyz")
    assert ready.status_code == 200
    assert ready.json() == {"ready": True, "checks": {"store": "ok", "prefect": "ok"}}
    status = (await api_with_prefect.get(f"{ENHANCED}/status")).json()
    assert status["availability"] == "available"


async def test_a_server_that_falls_silent_is_told(api_with_prefect: httpx.AsyncClient, prefect: Any) -> None:
    prefect.down = True
    ready = await api_with_prefect.get("/readyz")
    assert ready.status_code == 503
    assert "cannot be reached" in ready.json()["checks"]["prefect"]
    assert (await api_with_prefect.get("/healthz")).status_code == 200


async def test_monitoring_reads_the_runs_of_the_server(
    api_with_prefect: httpx.AsyncClient, prefect: Any, clock: Any, store: Store
) -> None:
    for number in range(6):
        prefect.add(number, state="COMPLETED", at=clock.now - timedelta(hours=6 - number))
    body = {"workflow_id": DEPLOYMENT}
    told = (await api_with_prefect.post(f"{ENHANCED}/monitoring/start", json=body)).json()
    assert told["status"] == "active"
    assert told["runs_seen"] == 6
    assert "this API reads" in told["reason"]
    health = await api_with_prefect.get(f"{TROUBLESHOOTING}/workflows/{DEPLOYMENT}/health")
    assert health.json()["health_score"] == 100
    await store.set_cursor("watcher.failures", clock.now)
    again = (await api_with_prefect.post(f"{ENHANCED}/monitoring/start", json=body)).json()
    assert "watcher" in again["reason"]
    assert again["monitoring_id"] == told["monitoring_id"]


async def test_one_workflow_has_one_monitoring_id_by_every_name(
    api_with_prefect: httpx.AsyncClient, prefect: Any, clock: Any
) -> None:
    prefect.add(1, state="COMPLETED", at=clock.now - timedelta(hours=1))
    ids = set()
    for name in (DEPLOYMENT, "prod", "orders", "orders/prod"):
        told = await api_with_prefect.post(f"{ENHANCED}/monitoring/start", json={"workflow_id": name})
        ids.add(told.json()["monitoring_id"])
    assert len(ids) == 1


@pytest.mark.parametrize(
    "name", ["nope", "orders/nope", "nope/prod", "5f0c7c52-4b53-4f5e-9d6a-0c4c8f0e1a12", "prdo"]
)
async def test_a_workflow_that_the_server_does_not_know_is_not_monitored(
    api_with_prefect: httpx.AsyncClient, prefect: Any, clock: Any, store: Store, name: str
) -> None:
    prefect.add(1, state="COMPLETED", at=clock.now - timedelta(hours=1))
    answer = await api_with_prefect.post(f"{ENHANCED}/monitoring/start", json={"workflow_id": name})
    assert answer.status_code == 404
    detail = answer.json()["detail"]
    assert "prefect deployment ls lists" in detail or "did you mean" in detail
    assert not [one for one in await store.audit_trail() if one.action == "monitoring.started"]
    assert await store.cursor("api.monitoring") is None


@pytest.mark.parametrize("name", [DEPLOYMENT, "prod", "orders", "orders/prod"])
async def test_a_workflow_that_never_ran_can_be_monitored_by_every_name(
    api_with_prefect: httpx.AsyncClient, name: str
) -> None:
    told = await api_with_prefect.post(f"{ENHANCED}/monitoring/start", json={"workflow_id": name})
    assert told.status_code == 200
    assert told.json()["runs_seen"] == 0


async def test_a_rule_fires_on_runs_the_api_reads_itself(
    api_with_prefect: httpx.AsyncClient, prefect: Any, clock: Any
) -> None:
    app: Any = api_with_prefect._transport.app  # type: ignore[attr-defined]
    for number in range(6):
        prefect.add(number, state="FAILED", at=clock.now - timedelta(hours=6 - number))
    rule = {
        "workflow_id": DEPLOYMENT,
        "metric_name": "error_rate",
        "condition": "greater_than",
        "threshold": 0.5,
        "severity": "critical",
    }
    await api_with_prefect.post(f"{ENHANCED}/monitoring/alerts", json=rule)
    await api_with_prefect.post(f"{ENHANCED}/monitoring/start", json={"workflow_id": DEPLOYMENT})
    await app.state.context.monitor()
    alerts = (await api_with_prefect.get(f"{ENHANCED}/monitoring/alerts")).json()["alerts"]
    assert any(one["trigger_conditions"].get("metric") == "error_rate" for one in alerts)


async def test_verification_reads_the_server_before_it_judges(
    api_with_prefect: httpx.AsyncClient, prefect: Any, clock: Any
) -> None:
    body = {"workflow_id": DEPLOYMENT, "error_logs": ["KeyError: 'price'"]}
    ident = (await api_with_prefect.post(f"{TROUBLESHOOTING}/sessions", json=body)).json()["session_id"]
    prefect.add(1, state="FAILED", at=clock.now - timedelta(minutes=5))
    clock.forward(hours=1)
    prefect.add(2, state="COMPLETED", at=clock.now - timedelta(minutes=10))
    told = (await api_with_prefect.post(f"{TROUBLESHOOTING}/sessions/{ident}/verify")).json()
    assert told["outcome"] == "verified"
    assert told["resolution_status"] == "resolved"
    assert told["prefect"] is None


async def test_an_unreachable_server_does_not_end_a_verification(
    api_with_prefect: httpx.AsyncClient, prefect: Any
) -> None:
    body = {"workflow_id": DEPLOYMENT, "error_logs": ["KeyError: 'price'"]}
    ident = (await api_with_prefect.post(f"{TROUBLESHOOTING}/sessions", json=body)).json()["session_id"]
    prefect.down = True
    told = (await api_with_prefect.post(f"{TROUBLESHOOTING}/sessions/{ident}/verify")).json()
    assert told["outcome"] == "unverified"
    assert "cannot be reached" in told["prefect"]


async def test_resolving_takes_the_failed_run_up_and_by_default_only_proposes(
    api_with_prefect: httpx.AsyncClient, prefect: Any, clock: Any, store: Store
) -> None:
    run = prefect.add(1, state="FAILED", at=clock.now - timedelta(minutes=5), message="KeyError: 'price'")
    body = {"workflow_id": DEPLOYMENT, "issues": []}
    told = (await api_with_prefect.post(f"{ENHANCED}/troubleshooting/resolve", json=body)).json()
    assert told["success"] is False
    assert told["resolved_issues"] == []
    assert prefect.retries == []
    session = await store.session_for_run(run["id"])
    assert session is not None
    assert session.decision is not None
    assert told["resolution_status"] in {"manual_intervention_required", "escalated"}
    assert any("diagnosed" in line for line in told["actions"])


@pytest.mark.parametrize("key", ["deployment_id", "flow_id"])
async def test_the_flow_of_a_deployment_is_analysed_with_its_history(
    api_with_prefect: httpx.AsyncClient, prefect: Any, clock: Any, key: str
) -> None:
    for number in range(3):
        prefect.add(number, state="COMPLETED", at=clock.now - timedelta(hours=number + 1))
    ident = DEPLOYMENT if key == "deployment_id" else FLOW
    answer = await api_with_prefect.post(f"{ENHANCED}/optimization/analyze", json={"workflow": {key: ident}})
    told = answer.json()
    assert answer.status_code == 200, told
    assert told["analysis"]["file"] == "orders.py"
    assert told["performance_metrics"]["response_time"] == {"value": 60.0, "unit": "s", "runs": 3}
    assert told["estimated_improvement"]["runs"] == 3
    assert 0 < told["estimated_improvement"]["value"] < 60


@pytest.mark.parametrize("key", ["deployment_id", "flow_id"])
async def test_an_unknown_deployment_is_not_found(api_with_prefect: httpx.AsyncClient, key: str) -> None:
    body = {"workflow": {key: NOBODY}}
    answer = await api_with_prefect.post(f"{ENHANCED}/optimization/analyze", json=body)
    assert answer.status_code == 404
    assert NOBODY in answer.json()["detail"]


def backups(folder: Path) -> list[str]:
    return [str(path) for path in folder.glob("*.bak")]


def text_of(path: str) -> str:
    return Path(path).read_text(encoding="utf-8")


async def test_a_file_is_left_alone_unless_writing_was_asked_for(
    api_with_prefect: httpx.AsyncClient, tmp_path: Path
) -> None:
    before = (tmp_path / "orders.py").read_text()
    told = (await api_with_prefect.post(APPLY, json={"workflow": {"deployment_id": DEPLOYMENT}})).json()
    assert told["optimized_workflow"]["changed"] is True
    assert told["optimized_workflow"]["file"] is None
    assert (tmp_path / "orders.py").read_text() == before
    assert backups(tmp_path) == []


async def test_a_file_is_replaced_with_a_backup_and_a_trace(
    api_with_prefect: httpx.AsyncClient, tmp_path: Path, store: Store
) -> None:
    before = (tmp_path / "orders.py").read_text()
    body = {"workflow": {"deployment_id": DEPLOYMENT}, "write": True}
    told = (await api_with_prefect.post(APPLY, json=body)).json()["optimized_workflow"]
    assert (tmp_path / "orders.py").read_text() == told["source"] != before
    assert backups(tmp_path) == [told["backup"]]
    assert text_of(told["backup"]) == before
    trail = await store.audit_trail(str(tmp_path / "orders.py"))
    assert [entry.action for entry in trail] == ["flow.rewriting"]
    assert trail[0].detail["after"] == told["sha256"]
    assert trail[0].detail["proof"] == "the same result (n = 3)"
    assert told["proof"]["equal"] is True


async def test_a_rewriting_is_proved_with_what_the_last_completed_run_was_given(
    api_with_prefect: httpx.AsyncClient, prefect: Any, clock: Any
) -> None:
    prefect.add(1, state="COMPLETED", at=clock.now - timedelta(hours=2))["parameters"] = {"day": "sunday"}
    prefect.add(2, state="FAILED", at=clock.now - timedelta(hours=1))["parameters"] = {"day": "never"}
    body = {"workflow": {"deployment_id": DEPLOYMENT}, "write": True}
    assert (await api_with_prefect.post(APPLY, json=body)).status_code == 200
    assert prefect.proved == [("orders", {"day": "sunday", "pages": 2})]


@pytest.mark.parametrize(
    ("proof", "told"),
    [
        (ProofError("It may do harm."), "say unproved"),
        (Proof(equal=False, n=3, before_s=2, after_s=1, reason="result 1 instead of 2"), "instead of 2"),
    ],
    ids=["none", "different"],
)
async def test_what_is_not_proved_stays_a_proposal(
    api_with_prefect: httpx.AsyncClient, prefect: Any, store: Store, proof: Any, told: str
) -> None:
    prefect.proof = proof
    before = text_of(prefect.folder / "orders.py")
    body = {"workflow": {"deployment_id": DEPLOYMENT}, "write": True}
    answer = await api_with_prefect.post(APPLY, json=body)
    assert answer.status_code == 409
    assert "nothing was written" in answer.json()["detail"]
    assert told in answer.json()["detail"]
    assert text_of(prefect.folder / "orders.py") == before
    assert await store.audit_trail(str(prefect.folder / "orders.py")) == ()


async def test_somebody_may_say_yes_without_proof_and_the_audit_trail_says_so(
    api_with_prefect: httpx.AsyncClient, prefect: Any, store: Store
) -> None:
    prefect.proof = ProofError("It may do harm.")
    body = {"workflow": {"deployment_id": DEPLOYMENT}, "write": True, "unproved": True}
    told = (await api_with_prefect.post(APPLY, json=body)).json()["optimized_workflow"]
    assert text_of(prefect.folder / "orders.py") == told["source"]
    assert (prefect.proved, told["proof"]) == ([], None)
    (entry,) = await store.audit_trail(str(prefect.folder / "orders.py"))
    assert "without" in entry.detail["proof"]


async def test_other_calls_are_answered_during_a_proof_and_a_second_one_is_refused(
    api_with_prefect: httpx.AsyncClient, prefect: Any
) -> None:
    begun, ends = asyncio.Event(), asyncio.Event()

    async def proving() -> None:
        begun.set()
        await ends.wait()

    prefect.proving = proving
    body = {"workflow": {"deployment_id": DEPLOYMENT}, "write": True}
    first = asyncio.create_task(api_with_prefect.post(APPLY, json=body))
    await begun.wait()
    assert (await api_with_prefect.get("/healthz")).status_code == 200
    second = await api_with_prefect.post(APPLY, json=body)
    assert (second.status_code, "being proved" in second.json()["detail"]) == (409, True)
    ends.set()
    assert (await first).status_code == 200


@pytest.mark.parametrize("more", [{}, {"unproved": True}], ids=["as it is", "unproved"])
async def test_a_branch_is_for_review_and_says_what_was_not_proved(
    api_with_prefect: httpx.AsyncClient, prefect: Any, more: dict[str, bool]
) -> None:
    prefect.proof = ProofError("It may do harm.")

    def git(*words: str) -> str:
        named = ["-c", "user.name=ada", "-c", "user.email=ada@shop.test"]
        command = ["git", "-C", str(prefect.folder), *named, *words]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout

    git("init", "-q")
    git("add", "orders.py")
    git("commit", "-qm", "Orders")
    body = {"workflow": {"deployment_id": DEPLOYMENT}, "write": True, **more}
    told = (await api_with_prefect.post(APPLY, json=body)).json()["optimized_workflow"]
    assert (told["file"], told["proof"]) == (None, None)
    reason = "without" if more else "It may do harm."
    assert reason in told["not_proved"]
    assert reason in git("log", "-1", "--format=%B", told["branch"])
    assert text_of(prefect.folder / "orders.py") == git("show", "HEAD:orders.py")


async def test_a_file_that_changed_since_the_analysis_is_not_replaced(
    api_with_prefect: httpx.AsyncClient, tmp_path: Path
) -> None:
    workflow = {"deployment_id": DEPLOYMENT}
    (tmp_path / "orders.py").write_text((tmp_path / "orders.py").read_text() + "\n# changed by a person\n")
    body = {"workflow": workflow, "write": True, "expected_sha256": "0" * 64}
    assert (await api_with_prefect.post(APPLY, json=body)).status_code == 409
    assert (tmp_path / "orders.py").read_text().endswith("# changed by a person\n")


async def test_a_deployment_whose_file_is_elsewhere_is_told(
    api_with_prefect: httpx.AsyncClient, tmp_path: Path
) -> None:
    (tmp_path / "orders.py").unlink()
    body = {"workflow": {"deployment_id": DEPLOYMENT}}
    answer = await api_with_prefect.post(f"{ENHANCED}/optimization/analyze", json=body)
    assert answer.status_code == 422
    assert "cannot be read" in answer.json()["detail"]


async def test_automated_work_ends_in_a_session_one_can_read(
    api_with_prefect: httpx.AsyncClient, prefect: Any, clock: Any
) -> None:
    body = {"workflow_id": DEPLOYMENT, "error_logs": ["KeyError: 'price'"]}
    clock.forward(seconds=1)
    started = (await api_with_prefect.post(f"{TROUBLESHOOTING}/automated-troubleshooting", json=body)).json()
    for _ in range(400):
        await asyncio.sleep(0.01)
        told = (await api_with_prefect.get(started["result"])).json()
        if any("looked" in line for line in told["trail"]):
            break
    assert told["resolution_status"] == "in_progress"
    assert told["steps_completed"] == ["identification", "analysis", "diagnosis"]
    assert "unverified" in told["trail"][-1]
