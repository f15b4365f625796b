"""The status page in a real browser without a window: read, pressed, by keyboard, on a phone, in the dark.

One server and one browser serve all tests here. With PREFECT_AUTOPILOT_TEST_PICTURES set to a folder the
pictures of the documents are written there.
"""

from __future__ import annotations

import asyncio
import os
import socket
import threading
import time
from collections.abc import Callable, Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe

from prefect_autopilot.api import create_app
from prefect_autopilot.api.server import Server
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
from prefect_autopilot.settings import Settings, load_settings
from prefect_autopilot.store import Scope, Store
from prefect_autopilot.troubleshooting import diagnose_text
from prefect_autopilot.troubleshooting import session as steps

PICTURES = os.environ.get("PREFECT_AUTOPILOT_TEST_PICTURES")
NOW = datetime(2026, 3, 2, 3, 0, tzinfo=UTC)
PROPOSALS = {
    "press": "7f0c7c52-4b53-4f5e-9d6a-0c4c8f0e1a11",
    "read": "7f0c7c52-4b53-4f5e-9d6a-0c4c8f0e1a12",
    "live": "7f0c7c52-4b53-4f5e-9d6a-0c4c8f0e1a13",
}
REQUEST = "Every day at 9:00 post 'Hello' to #general in Slack"
OPEN_REQUEST = "When I receive important emails, create Asana tasks and notify Slack"
RULES = "rules:\n  - {rule_id: slow, metric_name: response_time, condition: '>', threshold: 1}\n"
SIZES = {"phone": {"width": 390, "height": 844}, "desktop": {"width": 1280, "height": 900}}

pytestmark = [pytest.mark.timeout(180), pytest.mark.xdist_group("browser")]


def clock() -> datetime:
    return NOW


async def fill(store: Store) -> str:
    """Store runs, sessions, an alert and a token; return the token."""
    runs = []
    for name, failing in (("orders", 17), ("stock", 99)):
        for number in range(20):
            at = NOW - timedelta(hours=21 - number)
            kind = "FAILED" if number > failing else "COMPLETED"
            state = StateRecord(id=f"{name}-s{number}", type=kind, name=kind.title(), timestamp=at)
            lasted = {"start": at, "end": at + timedelta(minutes=1), "duration_s": 60.0 + number % 7}
            told = {"id": f"{name}-{number}", "name": f"blue-owl-{number}", "flow_name": name, "state": state}
            place = {"deployment_id": f"d-{name}", "deployment_name": "prod"}
            runs.append(RunRecord.model_validate({**told, **place, **lasted}))
    await store.upsert_runs(runs)
    logs = ["ERROR 401 Unauthorized: token expired <script>document.title='taken'</script>"]
    opened = await sessions.open_session(store, "d-orders", logs, NOW, actor="test")
    await sessions.recommend(store, opened.session_id, NOW, actor="test")
    for ident in PROPOSALS.values():
        await store.save_session(proposal(ident), None)
    await store.save_alert(alert("a-1"))
    return (await store.create_token("ops", Scope.APPROVER, timedelta(days=1), NOW, actor="test"))[0]


def alert(ident: str, title: str = "Failures of orders rise") -> WorkflowAlert:
    told = {"alert_id": ident, "fingerprint": ident, "workflow_id": "d-orders", "severity": "high"}
    words = {"title": title, "description": "2 of the last 20 runs failed."}
    return WorkflowAlert.model_validate(
        {**told, **words, "alert_type": "error_rate_increase", "created_at": NOW}
    )


def proposal(ident: str) -> TroubleshootingSession:
    """Return a session that waits for somebody's yes."""
    found = diagnose_text("HTTPError: 503 Server Error: Service Unavailable for url: https://shop.example")
    later = NOW + timedelta(seconds=3)
    opened = steps.start(ident, "d-orders", flow_run_id="orders-19", run_count=1, now=NOW)
    analysed = steps.analyse(steps.identify(opened, (), now=NOW), (), now=later)
    decision = RemedyDecision(
        action="propose",
        remedy=RetryRun(flow_run_id="orders-19", delay_s=30),
        checks=(
            GateCheck(name="transient", passed=True, reason="A service was down for a moment."),
            GateCheck(name="mode", passed=False, reason="The policy's mode is propose."),
        ),
        reason="Retry the same run; the policy wants somebody to say so.",
        state_id="s19",
    )
    return steps.resolve(steps.conclude(analysed, found, (), now=later), decision, now=later)


@dataclass(frozen=True)
class Served:
    """A served page: its address, a token for it, and a way to change what it shows."""

    address: str
    token: str
    do: Callable[[Callable[[Store], Coroutine[Any, Any, Any]]], Any]


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    folder = tmp_path_factory.mktemp("page")
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("PREFECT_API_URL", raising=False)
        patch.setenv("PREFECT_HOME", str(folder / "prefect"))
        yield from serve(load_settings(home=folder / "autopilot"))


def serve(settings: Settings) -> Iterator[Served]:
    def do(work: Callable[[Store], Coroutine[Any, Any, Any]]) -> Any:
        async def done() -> Any:
            async with Store.open(settings.store_url.get_secret_value()) as store:
                return await work(store)

        # Playwright has a loop of its own in this thread.
        with ThreadPoolExecutor(1) as other:
            return other.submit(lambda: asyncio.run(done())).result()

    token = do(fill)
    with socket.socket() as door:
        door.bind(("127.0.0.1", 0))
        server = Server(create_app(settings, clock=clock))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [door]})
        thread.start()
        deadline = time.monotonic() + 30
        while not server.started and time.monotonic() < deadline:
            time.sleep(0.05)
        yield Served(f"http://127.0.0.1:{door.getsockname()[1]}", token, do)
        server.should_exit = True
        thread.join()


def signed_in(browser: Any, served: Served, **context: Any) -> Any:
    """Return a page of a new browser session."""
    page = browser.new_context(**{"viewport": SIZES["desktop"], **context}).new_page()
    page.goto(f"{served.address}/")
    page.fill("#token", served.token)
    page.click("main button")
    page.locator("h1", has_text="Workflows:").wait_for()
    return page


@pytest.mark.parametrize(("size", "scheme"), [("phone", "light"), ("desktop", "dark")])
def test_every_page_fits_and_axe_finds_nothing(served: Served, browser: Any, size: str, scheme: str) -> None:
    # The page's own policy would not let axe in.
    page = browser.new_context(viewport=SIZES[size], color_scheme=scheme, bypass_csp=True).new_page()

    def good(name: str) -> None:
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), f"{name} is too wide"
        assert violations(page) == [], name
        if PICTURES:
            page.screenshot(path=Path(PICTURES, f"{name}-{size}-{scheme}.png"), animations="disabled")

    page.goto(f"{served.address}/")
    good("sign-in")
    page.fill("#token", served.token)
    page.click("main button")
    page.locator("h1", has_text="Workflows:").wait_for()
    good("overview")
    page.goto(f"{served.address}/ui/sessions/{PROPOSALS['read']}")
    good("session")
    page.goto(f"{served.address}/ui/workflows/d-orders")
    good("workflow")
    page.goto(f"{served.address}/ui/rules")
    page.fill("#text", RULES)
    page.click("button:has-text('Dry run')")
    page.locator("h2", has_text="What they would have done").wait_for()
    good("rules")
    page.goto(f"{served.address}/ui/connections")
    good("connections")
    page.goto(f"{served.address}/ui/describe")
    page.fill("#text", OPEN_REQUEST)
    page.click("text=Show what it becomes")
    page.locator("h2", has_text="What was understood").wait_for()
    good("questions")
    page.fill("#text", REQUEST)
    page.click("text=Show what it becomes")
    assert "@flow" in page.inner_text("pre >> nth=0")
    good("describe")
    page.goto(f"{served.address}/ui/improve/00000000-0000-4000-8000-000000000000")
    good("improve")
    page.goto(f"{served.address}/ui/workflows/nobody")
    assert page.inner_text("h1") == "That was not done"
    good("refused")
    page.context.close()


def test_a_person_signs_in_decides_and_signs_out_under_the_policy(served: Served, browser: Any) -> None:
    page = signed_in(browser, served)
    complaints: list[str] = []
    page.on("console", lambda said: complaints.append(said.text) if said.type == "error" else None)
    page.on("pageerror", lambda error: complaints.append(str(error)))
    assert page.title().startswith("Overview"), "what a log says is no script"
    page.click("text=Pause every remedy")
    page.click("text=Yes, pause every remedy")
    page.locator("text=Every remedy is paused").wait_for()
    page.click("text=Let remedies go on")
    page.locator("summary", has_text="Pause every remedy").wait_for()
    page.goto(f"{served.address}/ui/sessions/{PROPOSALS['press']}")
    page.click("text=Yes, do it")
    page.locator("dd", has_text="by token:ops").wait_for()
    page.goto(f"{served.address}/ui/workflows/d-orders")
    assert page.evaluate("[...document.images].every(one => one.complete && one.naturalWidth > 0)")
    page.goto(f"{served.address}/ui/describe")
    page.fill("#text", REQUEST)
    page.click("text=Show what it becomes")
    assert "@flow" in page.inner_text("pre >> nth=0")
    page.click("text=Sign out")
    page.wait_for_selector("#token")
    assert complaints == []
    page.context.close()


def test_everything_can_be_reached_and_pressed_with_the_keyboard_alone(served: Served, browser: Any) -> None:
    page = browser.new_context(viewport=SIZES["desktop"]).new_page()
    page.goto(f"{served.address}/")

    def press_until(wanted: str) -> None:
        for _ in range(60):
            page.keyboard.press("Tab")
            shown = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
            told = page.evaluate("document.activeElement.innerText?.trim() || document.activeElement.id")
            if told.startswith(wanted):
                assert shown != "none", f"nobody sees that {wanted} has the focus"
                return
        raise AssertionError(wanted)

    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.innerText") == "Skip to content"
    press_until("token")
    page.keyboard.type(served.token)
    page.keyboard.press("Enter")
    page.locator("h1", has_text="Workflows:").wait_for()
    press_until("Describe an automation")
    page.keyboard.press("Enter")
    page.wait_for_selector("#text")
    press_until("text")
    page.keyboard.type(REQUEST)
    press_until("Show what it becomes")
    page.keyboard.press("Enter")
    page.locator("h2", has_text="What was understood").wait_for()
    page.context.close()


def test_a_page_keeps_itself_up_to_date_but_never_under_somebodys_hands(served: Served, browser: Any) -> None:
    page = signed_in(browser, served)
    page.locator("h3", has_text="Failures of orders rise").wait_for()
    served.do(lambda store: store.save_alert(alert("a-2", "Orders are late")))
    page.locator("h3", has_text="Orders are late").wait_for(timeout=20_000)
    assert "Brought up to date" in page.inner_text("#live")
    page.focus(".card a >> nth=0")
    served.do(lambda store: store.save_alert(alert("a-3", "Orders are slow")))
    page.locator("#live", has_text="Something changed.").wait_for(timeout=20_000)
    assert page.locator("h3", has_text="Orders are slow").count() == 0
    assert page.evaluate("document.activeElement.matches('.card a')")
    page.click("#live a")
    page.locator("h3", has_text="Orders are slow").wait_for()
    page.context.close()


def test_a_description_is_read_while_it_is_typed(served: Served, browser: Any) -> None:
    page = signed_in(browser, served)
    complaints: list[str] = []
    page.on("console", lambda said: complaints.append(said.text) if said.type == "error" else None)
    page.clock.install()
    page.goto(f"{served.address}/ui/describe")
    page.type("#text", REQUEST)
    page.clock.run_for(1000)
    page.locator("#found pre", has_text="@flow").first.wait_for()
    assert "stands below" in page.inner_text("#told")
    assert page.evaluate("document.activeElement.id") == "text", "who types goes on typing"
    assert page.input_value("#text") == REQUEST
    page.focus("#found button >> nth=0")
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.evaluate("text.value = 'Every day at 9:00 do so'; text.dispatchEvent(new Event('input'))")
    page.clock.run_for(1000)
    assert (asked, complaints) == ([], []), "nothing moves under somebody's hands"
    page.context.close()


def test_without_scripts_everything_is_there(served: Served, browser: Any) -> None:
    page = signed_in(browser, served, java_script_enabled=False)
    page.goto(f"{served.address}/ui/sessions/{PROPOSALS['live']}")
    assert page.locator("button", has_text="Yes, do it").is_visible()
    assert page.locator("ol.time li").count() > 1
    assert not page.locator("#live").is_visible()
    page.goto(f"{served.address}/ui/describe")
    page.fill("#text", REQUEST)
    page.click("text=Show what it becomes")
    assert "@flow" in page.inner_text("#found pre >> nth=0")
    page.context.close()


def test_the_first_paint_needs_few_bytes(served: Served, browser: Any) -> None:
    page = signed_in(browser, served)
    page.reload()
    page.wait_for_function("performance.getEntriesByName('first-contentful-paint').length > 0")
    sizes = page.evaluate(
        "[...performance.getEntriesByType('navigation'), ...performance.getEntriesByType('resource')]"
        ".map(one => one.transferSize + one.encodedBodySize)"
    )
    assert sum(sizes) < 200_000
    page.context.close()


def violations(page: Any) -> list[str]:
    return [f"{one['id']}: {one['nodes'][0]['html'][:200]}" for one in Axe().run(page).response["violations"]]
