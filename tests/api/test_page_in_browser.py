"""The status page in a real browser without a window: forms work under its policy, and axe finds nothing."""

from __future__ import annotations

import asyncio
import os
import shutil
import socket
import threading
import time
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
import uvicorn
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import sync_playwright

from prefect_autopilot.api import create_app
from prefect_autopilot.journeys import sessions
from prefect_autopilot.models import (
    GateCheck,
    RemedyDecision,
    RetryRun,
    RunRecord,
    StateRecord,
    TroubleshootingSession,
    WorkflowAlert,
)
from prefect_autopilot.settings import Settings
from prefect_autopilot.store import Scope, Store
from prefect_autopilot.troubleshooting import diagnose_text
from prefect_autopilot.troubleshooting import session as steps

PICTURES = os.environ.get("PREFECT_AUTOPILOT_TEST_PICTURES")
"""Folder that pictures of the pages are written to (docs/images), none where it is not set."""
PROPOSAL = "/ui/sessions/7f0c7c52-4b53-4f5e-9d6a-0c4c8f0e1a11"
REQUEST = "Every day at 9:00 post 'Hello' to #general in Slack"
OTHERS = ("/ui/workflows/d", "/ui/rules", "/ui/connections")
IN_CI = os.environ.get("CI") == "true"
BROWSER = shutil.which("chromium") or shutil.which("google-chrome")
SIZES = {"phone": {"width": 390, "height": 844}, "desktop": {"width": 1280, "height": 900}}


async def fill(settings: Settings, clock: Any) -> str:
    """Store runs, an open session, and a token; return the token."""
    async with Store.open(settings.store_url.get_secret_value()) as store:
        runs = []
        for number in range(20):
            at = clock.now - timedelta(hours=21 - number)
            kind = "FAILED" if number > 17 else "COMPLETED"
            state = StateRecord(id=f"s{number}", type=kind, name=kind.title(), timestamp=at)
            lasted = {"start": at, "end": at + timedelta(minutes=1), "duration_s": 60.0 + number}
            told = {"id": f"r{number}", "flow_name": "orders", "deployment_id": "d", "state": state, **lasted}
            runs.append(RunRecord.model_validate(told))
        await store.upsert_runs(runs)
        logs = ["ERROR 401 Unauthorized: token expired <script>document.title='taken'</script>"]
        opened = await sessions.open_session(store, "d", logs, clock.now, actor="test")
        await sessions.recommend(store, opened.session_id, clock.now, actor="test")
        await store.save_session(proposal(clock), None)
        alert = {"alert_id": "a-1", "fingerprint": "f", "workflow_id": "d", "severity": "high"}
        told = {"title": "Failures of orders rise", "description": "2 of the last 20 runs failed."}
        kind = {"alert_type": "error_rate_increase", "created_at": clock.now}
        await store.save_alert(WorkflowAlert.model_validate({**alert, **told, **kind}))
        day = timedelta(days=1)
        return (await store.create_token("ops", Scope.APPROVER, day, clock.now, actor="test"))[0]


def proposal(clock: Any) -> TroubleshootingSession:
    """Return a session that waits for somebody's yes."""
    now, ident = clock.now, "7f0c7c52-4b53-4f5e-9d6a-0c4c8f0e1a11"
    found = diagnose_text("HTTPError: 503 Server Error: Service Unavailable for url: https://shop.example")
    opened = steps.start(ident, "d", flow_run_id="r19", run_count=1, now=now)
    analysed = steps.analyse(steps.identify(opened, (), now=now), (), now=now)
    decision = RemedyDecision(
        action="propose",
        remedy=RetryRun(flow_run_id="r19", delay_s=30),
        checks=(
            GateCheck(name="transient", passed=True, reason="A service was down for a moment."),
            GateCheck(name="mode", passed=False, reason="The policy's mode is propose."),
        ),
        reason="Retry the same run; the policy wants somebody to say so.",
        state_id="s19",
    )
    return steps.resolve(steps.conclude(analysed, found, (), now=now), decision, now=now)


@pytest.fixture
def page_at(settings: Settings, clock: Any) -> Iterator[tuple[str, str]]:
    """The address of a served page, and a token for it."""
    token = asyncio.run(fill(settings, clock))
    with socket.socket() as door:
        door.bind(("127.0.0.1", 0))
        server = uvicorn.Server(uvicorn.Config(create_app(settings, clock=clock), log_level="warning"))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [door]})
        thread.start()
        deadline = time.monotonic() + 30
        while not server.started and time.monotonic() < deadline:
            time.sleep(0.05)
        yield f"http://127.0.0.1:{door.getsockname()[1]}", token
        server.should_exit = True
        thread.join()


@pytest.fixture
def browser() -> Iterator[Any]:
    if BROWSER is None:
        reason = "no Chromium is installed"
        pytest.fail(reason) if IN_CI else pytest.skip(reason)
    with sync_playwright() as started:
        opened = started.chromium.launch(executable_path=BROWSER, args=["--no-sandbox"])
        yield opened
        opened.close()


@pytest.mark.parametrize("size", list(SIZES))
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.timeout(120)
def test_a_person_signs_in_reads_and_presses(
    page_at: tuple[str, str], browser: Any, size: str, scheme: str
) -> None:
    address, token = page_at
    context = browser.new_context(viewport=SIZES[size], color_scheme=scheme)
    page = context.new_page()
    complaints: list[str] = []
    page.on("console", lambda said: complaints.append(said.text) if "Policy" in said.text else None)
    page.goto(f"{address}/")
    page.fill("#token", token)
    page.click("main button")
    page.locator("h1", has_text="Workflows:").wait_for()
    fits_and_kept(page, f"overview-{size}-{scheme}")
    page.click(".card a")
    page.wait_for_selector("ol.time")
    fits(page)
    page.click("text=Look whether it is solved")
    page.wait_for_load_state()
    page.wait_for_selector("ol.time")
    page.goto(f"{address}{PROPOSAL}")
    page.wait_for_selector("ol.time")
    fits_and_kept(page, f"session-{size}-{scheme}")
    page.click("text=Yes, do it")
    page.locator("dd", has_text="by token:ops").wait_for()
    for path in OTHERS:
        page.goto(f"{address}{path}")
        fits_and_kept(page, f"{path.split('/')[2]}-{size}-{scheme}")
    page.goto(f"{address}/ui/describe")
    page.fill("#text", REQUEST)
    page.click("text=Show what it becomes")
    assert "@flow" in page.inner_text("pre")
    fits_and_kept(page, f"describe-{size}-{scheme}")
    page.click("text=Sign out")
    page.wait_for_selector("#token")
    assert complaints == []
    context.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.timeout(120)
def test_axe_finds_nothing(page_at: tuple[str, str], browser: Any, scheme: str) -> None:
    address, token = page_at
    # The page's own policy would not let axe in either.
    context = browser.new_context(viewport=SIZES["phone"], color_scheme=scheme, bypass_csp=True)
    page = context.new_page()
    page.goto(f"{address}/")
    assert violations(page) == []
    page.fill("#token", token)
    page.click("main button")
    assert violations(page) == []
    page.click(".card a")
    assert violations(page) == []
    page.goto(f"{address}/ui/describe")
    page.fill("#text", "Every day at 9:00 post a message to #general in Slack")
    page.click("main button")
    assert violations(page) == []
    context.close()


def fits(page: Any) -> None:
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


def fits_and_kept(page: Any, name: str) -> None:
    fits(page)
    if PICTURES:
        page.screenshot(path=f"{PICTURES}/{name}.png", full_page=True)


def violations(page: Any) -> list[str]:
    return [one["id"] for one in Axe().run(page).response["violations"]]
