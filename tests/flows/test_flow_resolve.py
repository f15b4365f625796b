"""A proposal is put to a person in the Prefect UI, who approves, denies or changes the wait."""

from __future__ import annotations

import asyncio
import json
import uuid
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from prefect import flow
from pydantic import ValidationError

from prefect_autopilot.flows import forms
from prefect_autopilot.flows.forms import decision_form
from prefect_autopilot.flows.resolve import resolve_session
from prefect_autopilot.flows.troubleshoot import troubleshoot
from prefect_autopilot.models import (
    GateCheck,
    ReleaseSlots,
    Remedy,
    RemedyDecision,
    ResolutionStatus,
    RetryRun,
    TroubleshootingSession,
)

pytestmark = pytest.mark.filterwarnings(
    "ignore:Exception ignored in.*(socket|Transport):pytest.PytestUnraisableExceptionWarning"
)

OUTAGE = "Server error '503 Service Unavailable' for url 'https://api.shop.test/orders'"
PAUSED = {"flow_runs": {"state": {"type": {"any_": ["PAUSED"]}}}}
RETRY = RetryRun(flow_run_id="run-1", delay_s=30)


def proposal(remedy: Remedy = RETRY, **checks: bool) -> TroubleshootingSession:
    told = tuple(GateCheck(name=name, passed=passed, reason=f"{name}.") for name, passed in checks.items())
    decision = RemedyDecision(action="propose", remedy=remedy, checks=told, reason="Retry <b>it</b>")
    return TroubleshootingSession(
        session_id="s",
        workflow_id="w",
        flow_run_id="run-1",
        decision=decision,
        start_time="2026-03-02T03:00Z",
    )


def fields(form: Any) -> set[str]:
    return set(form.model.model_fields) - {"description"}


def test_the_wait_of_a_retry_can_be_changed_and_is_shown_as_proposed() -> None:
    form = decision_form(proposal(mode=False))
    assert fields(form) == {"approve", "delay_s"}
    told = form.model()
    assert (told.approve, told.delay_s) == (False, 30)


def test_what_may_not_be_done_twice_asks_for_a_persons_word() -> None:
    assert fields(decision_form(proposal(repeatable=False))) == {"approve", "delay_s", "may_be_done_again"}
    assert "may_be_done_again" not in fields(decision_form(proposal(repeatable=True)))


def test_what_does_not_wait_has_no_wait_to_change() -> None:
    slots = ReleaseSlots(flow_run_id="run-1", limit_name="db", slots=1, active_slots=1)
    assert fields(decision_form(proposal(slots, mode=False))) == {"approve"}


@pytest.mark.parametrize("wait", [-1, 86_401, "soon"])
def test_a_wait_that_is_none_is_refused_by_the_form(wait: Any) -> None:
    with pytest.raises(ValidationError):
        decision_form(proposal(mode=False)).model(approve=True, delay_s=wait)


def asked(server: Any, session_id: str, answer: dict[str, Any] | None, **more: Any) -> Any:
    """Run the flow and answer its form as the UI does; return what it told and the form."""

    async def call(method: str, path: str, body: Any = None) -> Any:
        return await asyncio.to_thread(server.call, method, path, body)

    async def answered(running: asyncio.Task[Any]) -> Any:
        while not running.done():
            await asyncio.sleep(0.1)
            for run in await call("POST", "/flow_runs/filter", PAUSED):
                if run["parameters"].get("session_id") != session_id:
                    continue
                keys = run["state"]["state_details"]["run_input_keyset"]
                wanted = {"prefix": keys["schema"]}
                inputs = await call("POST", f"/flow_runs/{run['id']}/input/filter", wanted)
                if inputs:
                    resumed = await call("POST", f"/flow_runs/{run['id']}/resume", {"run_input": answer})
                    assert resumed["status"] == "ACCEPT", resumed
                    return json.loads(inputs[0]["value"])
        return None

    async def both() -> Any:
        running = asyncio.create_task(resolve_session(session_id=session_id, **more))
        form = await answered(running) if answer is not None else None
        return await running, form

    return server.run(both())


@pytest.fixture
def proposed(server: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A session of a failed run whose proposal stands; the run has no deployment."""
    monkeypatch.setattr(forms, "LOOK_S", 1)

    @flow(name="orders-to-be-asked-about")
    def broken() -> None:
        raise ConnectionError(OUTAGE)

    run_id = str(broken(return_state=True).state_details.flow_run_id)
    server.run(troubleshoot(flow_run_id=run_id, wait_s=30))
    return server.stored(lambda store: store.session_for_run(run_id))


@pytest.mark.live
@pytest.mark.timeout(120)
def test_a_no_in_the_form_closes_the_session_and_the_audit_says_so(server: Any, proposed: Any) -> None:
    assert proposed.resolution_status is ResolutionStatus.MANUAL
    told, form = asked(server, proposed.session_id, {"approve": False})
    assert form["properties"]["approve"]["default"] is False
    assert (told["answer"], told["outcome"]) == ("denied", ResolutionStatus.CLOSED.value)
    session = server.stored(lambda store: store.session(proposed.session_id))
    assert session.attempts == ()
    assert "denied by person:prefect-ui" in session.trail[-1]


@pytest.mark.live
@pytest.mark.timeout(120)
def test_where_a_yes_is_not_enough_nothing_is_done(server: Any, proposed: Any) -> None:
    told, _ = asked(server, proposed.session_id, {"approve": True})
    session = server.stored(lambda store: store.session(proposed.session_id))
    assert "not enough" in told["answer"]
    assert session.attempts == ()
    assert server.state_of(proposed.flow_run_id)["type"] == "FAILED"


@pytest.fixture
def deployed_failure(server: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A failed run of a deployment that its owner lets run again, under a policy that asks first."""
    policy = tmp_path / "policy.yaml"
    name = f"orders-{uuid.uuid4().hex[:6]}"
    policy.write_text(f"mode: approve\nrerun_allowed: [{name}/asked]\n", encoding="utf-8")
    monkeypatch.setenv("PREFECT_AUTOPILOT_POLICY_FILE", str(policy))
    monkeypatch.setattr(forms, "LOOK_S", 1)
    flow_id = server.call("POST", "/flows/", {"name": name})["id"]
    told = {"name": "asked", "flow_id": flow_id, "entrypoint": "orders.py:orders", "path": str(tmp_path)}
    deployment = server.call("POST", "/deployments/", told)["id"]
    run = server.call("POST", f"/deployments/{deployment}/create_flow_run", {})["id"]
    for kind in ("PENDING", "RUNNING", "FAILED"):
        message = f"Flow run encountered an exception: ConnectionError: {OUTAGE}"
        state = {"type": kind, "name": kind.title(), "message": message if kind == "FAILED" else ""}
        answer = server.call("POST", f"/flow_runs/{run}/set_state", {"state": state, "force": True})
        assert answer["status"] == "ACCEPT"
    return str(run)


@pytest.mark.live
@pytest.mark.timeout(120)
def test_in_mode_approve_a_run_of_ours_asks_and_a_yes_with_another_wait_is_done(
    server: Any, deployed_failure: str
) -> None:
    flow_id = server.call("POST", "/flows/", {"name": "autopilot-resolve"})["id"]
    asking = {"name": "autopilot-resolve", "flow_id": flow_id, "entrypoint": "a.b"}
    deployment = server.call("POST", "/deployments/", asking)["id"]
    told = server.run(troubleshoot(flow_run_id=deployed_failure, wait_s=30))
    assert told["outcome"] == ResolutionStatus.MANUAL.value
    assert server.state_of(deployed_failure)["type"] == "FAILED", "nothing is done before the yes"
    wanted = {"flow_runs": {"deployment_id": {"any_": [deployment]}}}
    (asked_by,) = server.call("POST", "/flow_runs/filter", wanted)
    assert asked_by["parameters"] == {"session_id": told["session_id"]}
    before = datetime.now(UTC)
    answer = {"approve": True, "delay_s": 600}
    result, form = asked(server, told["session_id"], answer, wait_s=1)
    assert form["properties"]["delay_s"]["default"] < 600
    assert result["answer"] == "approved"
    state = server.state_of(deployed_failure)
    assert state["name"] == "AwaitingRetry"
    due = datetime.fromisoformat(state["state_details"]["scheduled_time"])
    assert timedelta(seconds=595) < due - before < timedelta(seconds=660)
    httpx.delete(f"{server.url}/deployments/{deployment}").raise_for_status()
