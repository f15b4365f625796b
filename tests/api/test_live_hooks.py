"""A signed post to /hooks over a socket starts the flow that was deployed for the event, on a real server."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from prefect.settings import PREFECT_API_URL, PREFECT_HOME, temporary_settings
from prefect.types import SecretDict

from prefect_autopilot.adapters.prefect_target import PrefectTarget
from prefect_autopilot.blocks import ServiceConnection
from prefect_autopilot.journeys import automate
from prefect_autopilot.models import RequestContext

pytestmark = [pytest.mark.live, pytest.mark.timeout(120)]

CONNECTION = "github-live-hooks"
SECRET = "whs-3b1f60c2"
REQUEST = "When a new issue is opened in GitHub, post its title to the Slack channel #bugs"


def until(condition: Callable[[], bool], *, seconds: float, what: str) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"not within {seconds} s: {what}"
        time.sleep(0.1)


@pytest.fixture
def deployed(live_prefect: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The flow of the request, deployed with the automation that its event starts; returns its id."""
    monkeypatch.setenv("PREFECT_AUTOPILOT_PUBLIC_URL", "https://hooks.example")  # nothing is polled then
    context = RequestContext(connected_services=("github", "slack"))
    generated = automate.build(automate.understand(REQUEST, context))
    with temporary_settings({PREFECT_API_URL: live_prefect.url, PREFECT_HOME: live_prefect.home}):
        block = ServiceConnection(
            service="github", credentials=SecretDict({"token": "t", "webhook_secret": SECRET})
        )
        block.save(CONNECTION, overwrite=True)
        target = PrefectTarget(live_prefect.url)
        return asyncio.run(automate.deploy(generated, tmp_path / "flows", target=target))


def post(url: str, number: int, *, secret: str = SECRET, delivery: str = "") -> httpx.Response:
    issue = {"id": number, "number": number, "title": f"Fire {number}", "body": "It burns", "state": "open"}
    told = {"action": "opened", "issue": issue | {"user": {"login": "ada"}, "html_url": "https://x.test/1"}}
    body = json.dumps(told).encode()
    headers = {
        "X-Hub-Signature-256": "sha256=" + hmac.new(secret.encode(), body, hashlib.sha256).hexdigest(),
        "X-GitHub-Delivery": delivery or f"live-{number}",
        "X-GitHub-Event": "issues",
        "Content-Type": "application/json",
    }
    return httpx.post(f"{url}/hooks/{CONNECTION}", content=body, headers=headers, timeout=30)


def test_a_signed_webhook_starts_the_flow_deployed_for_its_event_and_nothing_else_does(
    live_prefect: Any, served_beside_prefect: str, deployed: str
) -> None:
    def started() -> list[int]:
        chosen = {"deployments": {"id": {"any_": [deployed]}}}
        answer = httpx.post(f"{live_prefect.url}/flow_runs/filter", json=chosen, timeout=30)
        if answer.status_code == httpx.codes.SERVICE_UNAVAILABLE:
            return []  # SQLite was locked: asked again
        runs = answer.raise_for_status().json()
        return [int(run["parameters"]["event"]["number"]) for run in runs]

    assert post(served_beside_prefect, 900, secret="somebody else's").status_code == 401
    sent: list[int] = []

    def arrived() -> bool:
        # The server reads a new automation a moment after it was made: what came before starts nothing.
        if not sent or time.monotonic() - began > 3 * len(sent):
            sent.append(len(sent) + 1)
            answer = post(served_beside_prefect, sent[-1])
            assert answer.status_code == 200, answer.text
            assert answer.json()["events"] == ["prefect-autopilot.github.new_issue"]
            again = post(served_beside_prefect, sent[-1])
            assert again.json()["status"] == "duplicate"
        return bool(started())

    began = time.monotonic()
    until(arrived, seconds=60, what="a webhook has started a run")
    numbers = started()
    assert set(numbers) <= set(sent)
    assert len(numbers) == len(set(numbers))  # the repetition of a delivery starts nothing
