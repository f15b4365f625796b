"""Errors as problem details: the right status, one sentence, nothing of our insides."""

from __future__ import annotations

import json
import logging
import uuid
from typing import Any

import httpx
import pytest
from starlette.types import Receive, Scope, Send

from prefect_autopilot.api.errors import LastResort, problem, status_of
from prefect_autopilot.errors import (
    AutopilotError,
    ConfigurationError,
    ConflictError,
    DeliveryError,
    InvalidFlowError,
    PrefectError,
    ProofError,
    ServiceError,
    StoreError,
    UnknownNameError,
    UsageError,
)

ENHANCED = "/workflows/enhanced"
SESSIONS = "/api/workflow-troubleshooting/sessions"
NOBODY = uuid.UUID(int=7)

STATUSES: list[tuple[AutopilotError, int]] = [
    (UnknownNameError("session", "x"), 404),
    (UsageError("x"), 422),
    (InvalidFlowError("x"), 422),
    (ConflictError("x"), 409),
    (ProofError("x"), 409),
    (ConfigurationError("x"), 503),
    (StoreError("x"), 503),
    (PrefectError("x", permanent=False), 503),
    (PrefectError("x", permanent=True, status=401), 502),
    (ServiceError("x", service="a", operation="b", effect="safe", permanent=True), 502),
    (DeliveryError("x"), 502),
    (AutopilotError("x"), 500),
]


@pytest.mark.parametrize(("error", "status"), STATUSES, ids=lambda value: str(type(value).__name__))
def test_an_error_has_the_status_of_its_kind(error: AutopilotError, status: int) -> None:
    assert status_of(error) == status


CALLS: list[tuple[str, str, Any, int, str]] = [
    ("GET", f"{SESSIONS}/{NOBODY}", None, 404, "no session"),
    ("DELETE", f"{SESSIONS}/{NOBODY}", None, 404, "no session"),
    ("GET", f"{SESSIONS}/{NOBODY}/issues", None, 404, "no session"),
    ("GET", f"{SESSIONS}/{NOBODY}/summary", None, 404, "no session"),
    ("POST", f"{SESSIONS}/{NOBODY}/diagnose", None, 404, "no session"),
    ("POST", f"{SESSIONS}/{NOBODY}/recommendations", None, 404, "no session"),
    ("POST", f"{SESSIONS}/{NOBODY}/verify", {}, 404, "no session"),
    ("POST", f"{SESSIONS}/{NOBODY}/analyze-metrics", {"metrics": {}}, 404, "no session"),
    ("GET", f"{SESSIONS}/not-a-uuid", None, 404, "no session"),
    ("GET", f"{SESSIONS}?limit=0", None, 422, "limit"),
    ("GET", f"{SESSIONS}?status=wonderful", None, 422, "status"),
    ("GET", "/nowhere", None, 404, "Not Found"),
    ("PUT", SESSIONS, {}, 405, "Method Not Allowed"),
    ("GET", f"{ENHANCED}/monitoring/health", None, 422, "workflow_id"),
    ("POST", f"{ENHANCED}/intelligence/analyze", {}, 422, "user_input"),
    ("POST", f"{ENHANCED}/intelligence/analyze", [], 422, "body"),
    (
        "POST",
        f"{ENHANCED}/intelligence/analyze",
        {"user_input": "x", "context": {"timezone": "Mars/Base"}},
        422,
        "IANA",
    ),
    ("POST", f"{ENHANCED}/optimization/analyze", {"workflow": {}}, 422, "names no flow"),
    ("POST", f"{ENHANCED}/optimization/analyze", {"workflow": {"source": "x = ("}}, 422, "not valid Python"),
    ("POST", f"{ENHANCED}/optimization/analyze", {"workflow": {"source": "x = 1"}}, 422, "no Prefect flow"),
    (
        "POST",
        f"{ENHANCED}/optimization/analyze",
        {"workflow": {"source": ""}, "strategy": "magic"},
        422,
        "strategy",
    ),
    (
        "POST",
        f"{ENHANCED}/optimization/analyze",
        {"workflow": {"deployment_id": str(NOBODY)}},
        503,
        "PREFECT_API_URL",
    ),
    ("POST", "/workflows/test-step", {"service": "slakc", "action": "x"}, 404, "slack"),
    ("POST", "/workflows/test-step", {"service": "slack", "action": "fly"}, 404, "fly"),
    (
        "POST",
        "/workflows/test-step",
        {"service": "slack", "action": "list_channels", "live": True},
        503,
        "PREFECT_API_URL",
    ),
    (
        "POST",
        "/workflows/test-step",
        {"service": "slack", "action": "list_channels", "parameters": {"nonsense": 1}},
        422,
        "nonsense",
    ),
]


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "said"), CALLS, ids=[f"{c[1]} {c[4]}" for c in CALLS]
)
async def test_a_wrong_call_is_told_why(
    api: httpx.AsyncClient, method: str, path: str, body: Any, status: int, said: str
) -> None:
    answer = await api.request(method, path, json=body)
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    told = answer.json()
    assert {"type", "title", "status", "detail"} <= set(told)
    assert told["status"] == status
    assert said in told["detail"]


async def test_a_changed_flow_is_a_conflict(api: httpx.AsyncClient) -> None:
    source = "from prefect import flow\n\n\n@flow\ndef one() -> int:\n    return 1\n"
    body = {"workflow": {"source": source}, "expected_sha256": "0" * 64}
    answer = await api.post(f"{ENHANCED}/optimization/apply", json=body)
    assert answer.status_code == 409


async def test_a_resolved_session_takes_no_more_metrics(
    api: httpx.AsyncClient, session_id: str, store: Any, clock: Any
) -> None:
    from prefect_autopilot.models import ResolutionStatus

    session, version = await store.load_session(session_id)
    done = {"resolution_status": ResolutionStatus.RESOLVED, "end_time": clock.now}
    await store.save_session(session.model_copy(update=done), version)
    path = f"{SESSIONS}/{session_id}/analyze-metrics"
    answer = await api.post(path, json={"metrics": {"error_rate": 0.9}})
    assert answer.status_code == 409
    assert "open a new one" in answer.json()["detail"]


async def test_each_wrong_place_of_a_body_is_named(api: httpx.AsyncClient) -> None:
    body = {"workflow_id": "", "error_logs": "no list"}
    told = (await api.post(SESSIONS, json=body)).json()
    assert {one["place"] for one in told["errors"]} == {"body.workflow_id", "body.error_logs"}


async def test_what_was_sent_is_not_sent_back(api: httpx.AsyncClient) -> None:
    body = {"workflow_id": {"secret": "hunter2-and-more"}}
    assert "hunter2" not in (await api.post(SESSIONS, json=body)).text


async def test_an_unreadable_store_is_unavailable_and_names_no_secret(start: Any, tmp_path: Any) -> None:
    from prefect_autopilot.settings import load_settings

    broken = tmp_path / "broken.db"
    broken.write_bytes(b"no database at all, whatever its name says" * 40)
    api = await start(settings=load_settings(home=tmp_path, store_url=f"sqlite:///{broken}"))
    answer = await api.get(SESSIONS)
    assert answer.status_code == 503
    assert "damaged" in answer.json()["detail"]
    assert (await api.get("/healthz")).status_code == 200
    assert (await api.get("/readyz")).status_code == 503
    status = (await api.get(f"{ENHANCED}/status")).json()
    assert status["components"]["troubleshooting"]["state"] == "unavailable"


async def unforeseen(_scope: Scope, _receive: Receive, _send: Send) -> None:
    raise RuntimeError("the password is hunter2")


async def test_the_unforeseen_is_logged_and_its_insides_stay_here(caplog: pytest.LogCaptureFixture) -> None:
    transport = httpx.ASGITransport(LastResort(unforeseen))
    async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
        with caplog.at_level(logging.ERROR, logger="prefect_autopilot.api"):
            answer = await client.get("/somewhere")
    assert answer.status_code == 500
    told = answer.json()
    assert "hunter2" not in answer.text
    assert "Traceback" not in answer.text
    mark = told["detail"].split()[-1].rstrip(".")
    assert mark in caplog.text


async def test_an_answer_that_has_begun_is_not_begun_again() -> None:
    sent: list[Any] = []

    async def breaks_off(_scope: Scope, _receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        raise RuntimeError("late")

    async def receive() -> Any:
        return {"type": "http.request"}

    async def send(message: Any) -> None:
        sent.append(message)

    with pytest.raises(RuntimeError):
        await LastResort(breaks_off)({"type": "http", "path": "/"}, receive, send)
    assert len(sent) == 1


@pytest.mark.parametrize("detail", ["\ud800 lone", "line\nbreak", "x" * 5000, "päßwörd"])
def test_any_detail_can_be_encoded(detail: str) -> None:
    from http import HTTPStatus

    told = json.loads(problem(HTTPStatus.NOT_FOUND, detail).body)
    assert told["detail"]
    assert len(told["detail"]) <= 1000


def test_a_secret_in_a_detail_is_redacted() -> None:
    from http import HTTPStatus

    body = problem(HTTPStatus.BAD_GATEWAY, "refused: password=hunter2hunter2").body
    assert b"hunter2hunter2" not in body
