"""A secret is planted wherever text comes in; whatever was written or answered is searched for it."""

from __future__ import annotations

import json
import logging
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from prefect_autopilot.journeys.automate import TAKEN_OUT, build, understand
from prefect_autopilot.settings import Settings
from prefect_autopilot.store import Store

ENHANCED = "/workflows/enhanced"
SESSIONS = "/api/workflow-troubleshooting/sessions"
# Made of pieces, so that no scanner of repositories takes them for real ones.
CANARY = "cAnArY7qZ9xW2vT4bN6m"
FORMS = {
    "a token of GitHub": "ghp_" + (CANARY * 2)[:36],
    "a bearer token": f"Authorization: Bearer {CANARY}{CANARY}",
    "a password in an address": f"postgresql://app:{CANARY}@db.internal:5432/shop",
    "a password by name": f"password={CANARY}",
    "a key of Stripe": f"sk_live_{CANARY}{CANARY}",
    "a JSON web token": f"eyJhbGciOiJIUzI1NiJ9.eyJzdWIi{CANARY}.{CANARY}",
}
TRACEBACK = """Traceback (most recent call last):
  File "orders.py", line 12, in fetch
    response = client.get(url, headers={{"x": "{secret}"}})
  File "client.py", line 7, in get
    raise PermissionError("401 Unauthorized: {secret}")
PermissionError: 401 Unauthorized: {secret}"""


async def plant(api: httpx.AsyncClient, secret: str) -> list[httpx.Response]:
    """Send a secret to every call that takes text, and go on with the session as somebody would."""
    report = {
        "workflow_id": "orders",
        "error_logs": [f"ERROR could not sign in: {secret}", TRACEBACK.format(secret=secret)],
        "additional_context": {"note": secret, "headers": {"authorization": secret}, "deep": [[secret]]},
    }
    opened = await api.post(SESSIONS, json=report)
    at = f"{SESSIONS}/{opened.json()['session_id']}"
    request = f"every day at 9 post 'the key is {secret}' to Slack #general"
    silence = {"ends_at": "2026-03-03T00:00:00Z", "reason": secret}
    rule = {"workflow_id": "orders", "metric_name": "error_rate", "condition": "equal", "threshold": 1,
            "description": secret}  # fmt: skip
    step = {"service": "slack", "action": "post_message", "parameters": {"channel": "#a", "text": secret}}
    calls: list[tuple[str, Any]] = [
        (f"{at}/diagnose", None),
        (f"{at}/recommendations", None),
        (f"{at}/verify", {"test_results": {"said": secret}}),
        (f"{at}/analyze-metrics", {"metrics": {"error_rate": 0.4}}),
        (f"{at}/deny", {"reason": secret}),
        (f"{ENHANCED}/troubleshooting/analyze", report),
        (f"{ENHANCED}/troubleshooting/resolve", {"workflow_id": "orders", "issues": [secret]}),
        ("/api/workflow-troubleshooting/automated-troubleshooting", report),
        (f"{ENHANCED}/intelligence/analyze", {"user_input": request}),
        (f"{ENHANCED}/intelligence/generate", {"user_input": request}),
        (f"{ENHANCED}/monitoring/silences", silence),
        (f"{ENHANCED}/monitoring/alerts", rule),
        (f"{ENHANCED}/monitoring/start", {"workflow_id": f"orders {secret}"[:300]}),
        ("/workflows/test-step", step),
        (SESSIONS, {"workflow_id": "orders", "error_logs": {"wrong": secret}}),
        (f"{ENHANCED}/monitoring/alerts", {"workflow_id": "a", "metric_name": secret[:90]}),
    ]
    answers = [opened]
    for path, body in calls:
        answers.append(await api.post(path, json=body))
    reads = (
        SESSIONS, at, f"{at}/issues", f"{at}/summary", f"{ENHANCED}/monitoring/alerts",
        f"{ENHANCED}/monitoring/silences", f"{ENHANCED}/monitoring/health?workflow_id=orders",
        "/metrics", f"{ENHANCED}/status", "/", "/openapi.json",
    )  # fmt: skip
    answers += [await api.get(path) for path in reads]
    return answers


def written(home: Path) -> dict[str, bytes]:
    """Return every file below a folder."""
    return {str(path): path.read_bytes() for path in home.rglob("*") if path.is_file()}


@pytest.mark.parametrize("form", FORMS)
async def test_a_planted_secret_is_nowhere_in_what_was_written_or_answered(
    api: httpx.AsyncClient,
    settings: Settings,
    store: Store,
    clock: Any,
    form: str,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG, logger="prefect_autopilot")
    answers = await plant(api, FORMS[form])
    assert [one.status_code for one in answers if one.status_code >= 500] == []
    leaked = [
        f"{one.request.method} {one.request.url.path}"
        for one in answers
        if CANARY in one.text or CANARY in str(one.headers)
    ]
    assert leaked == []
    assert CANARY not in caplog.text
    files = written(tmp_path)
    assert any(name.endswith(".db") for name in files)
    assert [name for name, content in files.items() if CANARY.encode() in content] == []
    trail = [entry.model_dump(mode="json") for entry in await store.audit_trail()]
    assert len(trail) > 5
    assert CANARY not in json.dumps(trail)
    notices = await store.pending_notices(clock.now + timedelta(hours=1), "any")
    assert CANARY not in repr(notices)


@pytest.mark.parametrize("form", FORMS)
def test_a_secret_in_a_request_is_neither_in_the_plan_nor_in_the_source_and_that_is_said(form: str) -> None:
    analysis = understand(f"every day at 9 post 'the key is {FORMS[form]}' to Slack #general")
    assert CANARY not in analysis.model_dump_json()
    assert TAKEN_OUT in analysis.recommendations
    flow = build(analysis)
    assert CANARY not in flow.source
    assert CANARY not in flow.model_dump_json()


def test_a_request_without_a_secret_is_left_as_it_is() -> None:
    text = "every day at 9 post 'the key is under the mat' to Slack #general"
    analysis = understand(text)
    assert analysis.text == text
    assert TAKEN_OUT not in analysis.recommendations
