"""The status page: what it shows, how it is escaped, who may press what, and how a browser signs in."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import httpx
import pytest

from prefect_autopilot.api import page_views as views
from prefect_autopilot.api.access import COOKIE
from prefect_autopilot.models import HealthScore, RunRecord, StateRecord, WorkflowAlert
from prefect_autopilot.store import Scope, Store

SESSIONS = "/api/workflow-troubleshooting/sessions"
HTML = {"accept": "text/html"}
Fill = Callable[..., Any]


def run_of(number: int, clock: Any, *, state: str = "COMPLETED", lasted: float = 60.0) -> RunRecord:
    at = clock.now - timedelta(hours=50 - number)
    ended = StateRecord(id=f"s{number}", type=state, name=state.title(), timestamp=at + timedelta(minutes=1))
    return RunRecord(
        id=f"run-{number}",
        name=f"owl-{number}",
        flow_name="orders",
        deployment_id="d-orders",
        deployment_name="prod",
        run_count=1,
        state=ended,
        expected_start=at,
        start=at,
        end=at + timedelta(seconds=lasted),
        duration_s=lasted,
    )


def alert_of(clock: Any, **fields: Any) -> WorkflowAlert:
    told: dict[str, Any] = {
        "alert_id": "alert-1",
        "fingerprint": "f",
        "workflow_id": "d-orders",
        "alert_type": "error_rate_increase",
        "severity": "high",
        "title": "Failures rise",
        "description": "3 of 10 runs failed.",
        "created_at": clock.now,
    }
    return WorkflowAlert.model_validate(told | fields)


def seal_in(page: str) -> str:
    found = re.search(r'name="seal" value="([0-9a-f]{64})"', page)
    assert found is not None
    return found[1]


async def signed_in(api: httpx.AsyncClient, store: Store, clock: Any, scope: Scope) -> httpx.Response:
    secret, _ = await store.create_token(f"b-{scope}", scope, timedelta(days=1), clock.now, actor="test")
    return await api.post("/ui/sign-in", data={"token": secret})


async def test_an_empty_page_says_that_nothing_was_seen(api: httpx.AsyncClient) -> None:
    page = (await api.get("/")).text
    assert "No workflow was seen yet" in page
    assert "No watcher runs" in page
    assert "Healthy" not in page


@pytest.mark.parametrize(
    ("states", "word"),
    [(["COMPLETED"] * 20, "Healthy"), (["FAILED"] * 20, "Unhealthy"), (["COMPLETED"] * 3, "Unknown")],
    ids=["good runs", "bad runs", "too few runs"],
)
async def test_a_workflow_has_a_light_and_a_reason(
    api: httpx.AsyncClient, store: Store, clock: Any, states: list[str], word: str
) -> None:
    runs = [run_of(50 - len(states) + n, clock, state=state) for n, state in enumerate(states)]
    await store.upsert_runs(runs)
    page = (await api.get("/")).text
    assert f"</span> {word}</span>" in page
    assert "orders/prod" in page
    assert f'aria-label="Last {len(states)} runs: {states.count("FAILED")} failed.' in page


async def test_an_urgent_alert_keeps_a_light_from_being_green(clock: Any) -> None:
    good = HealthScore(
        workflow_id="d-orders", status="healthy", score=100, reason="All good.", last_updated=clock.now
    )
    assert views.light_of(good, [])[0].colour == "green"
    state, reason = views.light_of(good, [alert_of(clock)])
    assert state.colour == "amber"
    assert "Failures rise" in reason
    assert views.light_of(good, [alert_of(clock, severity="low")])[0].colour == "green"
    bad = good.model_copy(update={"status": "unhealthy"})
    assert views.light_of(bad, [alert_of(clock)])[0].colour == "red"


async def test_a_session_shows_cause_evidence_and_what_to_do(api: httpx.AsyncClient, session_id: str) -> None:
    await api.post(f"{SESSIONS}/{session_id}/recommendations")
    assert f"/ui/sessions/{session_id}" in (await api.get("/")).text
    page = (await api.get(f"/ui/sessions/{session_id}")).text
    told = (await api.get(f"{SESSIONS}/{session_id}")).json()
    for part in ("Evidence", "Timeline", "Confidence", "Nothing was changed", "You:"):
        assert part in page
    assert told["diagnosis"]["category"] in page
    assert "401 Unauthorized" in page


@pytest.mark.parametrize(
    ("text", "never"),
    [
        ("<script>fetch('/x')</script> failed", "<script>"),
        ("<img src=x onerror=alert(1)>", "<img"),
        ("{{ 7 * 191 }} and {% raw %}", "1337"),
        ("\x1b]8;;http://bad.example\x07here\x1b]8;;\x07", "\x1b"),
        ("\u202egnp.exe failed", "\u202e"),
        ('" autofocus onfocus="alert(1)', '" autofocus'),
        ("key sk-live-4eC39HqLyjWDarjtT1zdp7dcAbCd failed", "4eC39HqLyjWDarjtT1zdp7dc"),
        ("postgresql://app:s3cr3tpw@db:5432/x is down", "s3cr3tpw"),
    ],
    ids=["script", "image", "template", "terminal", "reading direction", "attribute", "key", "password"],
)
async def test_text_from_outside_stays_text(api: httpx.AsyncClient, text: str, never: str) -> None:
    body = {"workflow_id": "orders", "error_logs": [f"ConnectionError: {text}"]}
    opened = (await api.post(SESSIONS, json=body)).json()["session_id"]
    await api.post(f"{SESSIONS}/{opened}/recommendations")
    for path in ("/", f"/ui/sessions/{opened}"):
        answer = await api.get(path)
        assert answer.status_code == 200
        assert never not in answer.text


async def test_a_hostile_workflow_name_stays_text(api: httpx.AsyncClient) -> None:
    body = {"workflow_id": "<b>orders</b>' onclick=", "error_logs": ["KeyError: 'x'"]}
    opened = (await api.post(SESSIONS, json=body)).json()["session_id"]
    page = (await api.get(f"/ui/sessions/{opened}")).text
    assert "<b>" not in page.lower()


@pytest.mark.parametrize(
    ("path", "script"), [("/", "live"), ("/ui/describe", "typing"), ("/ui/rules", ""), ("/ui/sign-in", "")]
)
async def test_a_page_needs_no_other_place_and_at_most_one_script_of_ours(
    api: httpx.AsyncClient, path: str, script: str
) -> None:
    answer = await api.get(path)
    policy = answer.headers["content-security-policy"]
    assert ("script-src 'self'" in policy) is bool(script)
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert answer.headers["referrer-policy"] == "same-origin"  # else forms come with the origin "null"
    scripts = [f'<script src="/ui/{script}.js" defer></script>'] if script else []
    assert re.findall(r"<script.*", answer.text) == scripts
    if script:
        served = await api.get(f"/ui/{script}.js")
        assert served.headers["content-type"].startswith("text/javascript")
    assert not re.search(r"<style|style=|\son\w+=|https?://", answer.text)
    assert '<html lang="en">' in answer.text
    assert answer.text.count("<h1>") == 1


async def test_the_first_paint_is_small(api: httpx.AsyncClient, store: Store, clock: Any) -> None:
    await store.upsert_runs([run_of(n, clock) for n in range(50)])
    page, sheet, icon = [await api.get(path) for path in ("/", "/ui/style.css", "/ui/icon.svg")]
    assert '<link rel="icon" href="/ui/icon.svg"' in page.text, "else browsers ask for a path nobody answers"
    assert icon.headers["content-type"].startswith("image/svg+xml")
    assert sheet.headers["content-type"].startswith("text/css")
    assert len(page.content) + len(sheet.content) + len(icon.content) < 200_000
    assert "prefers-color-scheme:dark" in sheet.text


async def test_a_description_becomes_code_and_is_not_stored(api: httpx.AsyncClient) -> None:
    seal = seal_in((await api.get("/ui/describe")).text)
    text = "Every day at 9:00 post 'Hello <team>' to #general in Slack"
    page = (await api.post("/ui/describe", data={"seal": seal, "text": text})).text
    assert "@flow" in page
    assert "slack" in page
    assert "<team>" not in page


@pytest.mark.parametrize(
    "text",
    ["", "   ", "asdf qwer", "x" * 6000, "\x00\x01\u202e", "What is the weather?"],
    ids=["empty", "blank", "no words", "long", "controls", "a question"],
)
async def test_a_description_that_is_none_is_answered(api: httpx.AsyncClient, text: str) -> None:
    seal = seal_in((await api.get("/ui/describe")).text)
    answer = await api.post("/ui/describe", data={"seal": seal, "text": text})
    assert answer.status_code == 200
    assert "@flow" not in answer.text


@pytest.mark.parametrize("data", [{}, {"seal": ""}, {"seal": "0" * 64}], ids=["none", "empty", "wrong"])
async def test_a_form_without_its_seal_does_nothing(
    api: httpx.AsyncClient, store: Store, clock: Any, data: dict[str, str]
) -> None:
    await store.save_alert(alert_of(clock))
    assert (await api.post("/ui/alerts/alert-1/seen", data={**data, "x": "y"})).status_code == 403
    [alert] = await store.alerts()
    assert not alert.acknowledged


async def test_who_has_seen_an_alert_is_written_down(
    api: httpx.AsyncClient, store: Store, clock: Any
) -> None:
    await store.save_alert(alert_of(clock))
    seal = seal_in((await api.get("/")).text)
    answer = await api.post("/ui/alerts/alert-1/seen", data={"seal": seal})
    assert (answer.status_code, answer.headers["location"]) == (303, "/")
    assert "Seen by api" in (await api.get("/")).text
    assert [entry.action for entry in await store.audit_trail("alert-1")] == ["alert.acknowledged"]


@pytest.mark.parametrize("act", ["look", "resolve"])
async def test_pressing_a_button_of_a_session_resolves_nothing_by_itself(
    api: httpx.AsyncClient, session_id: str, act: str
) -> None:
    seal = seal_in((await api.get(f"/ui/sessions/{session_id}")).text)
    answer = await api.post(f"/ui/sessions/{session_id}/{act}", data={"seal": seal})
    assert answer.status_code == 303
    assert (await api.get(f"{SESSIONS}/{session_id}")).json()["resolution_status"] == "in_progress"


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/ui/sessions/no-uuid", 422),
        ("/ui/sessions/00000000-0000-4000-8000-000000000000", 404),
        ("/ui/x", 404),
    ],
)
async def test_what_is_not_there_is_told(api: httpx.AsyncClient, path: str, status: int) -> None:
    assert (await api.get(path)).status_code == status


@pytest.mark.parametrize("path", ["/ui/alerts", "/ui/nothing/at/all", "/ui/<script>"])
async def test_an_address_without_a_page_is_a_page_for_people_and_details_for_programs(
    api: httpx.AsyncClient, path: str
) -> None:
    shown, told = await api.get(path, headers=HTML), await api.get(path)
    assert (shown.status_code, told.status_code) == (404, 404)
    assert "There is no such page" in shown.text
    assert 'href="/"' in shown.text
    assert "<script>" not in shown.text
    assert told.json()["status"] == 404


@pytest.mark.parametrize("kind", ["application/json", "multipart/form-data; boundary=x", "text/plain"])
async def test_only_forms_are_read(api: httpx.AsyncClient, kind: str) -> None:
    answer = await api.post("/ui/describe", content=b"text=x", headers={"content-type": kind})
    assert answer.status_code == 415


# Signing in


async def test_a_browser_without_a_session_is_led_to_the_form(
    api: httpx.AsyncClient, store: Store, clock: Any
) -> None:
    await store.create_token("ops", Scope.ADMIN, timedelta(days=1), clock.now, actor="test")
    answer = await api.get("/", headers=HTML)
    assert (answer.status_code, answer.headers["location"]) == (303, "/ui/sign-in")
    assert (await api.get("/ui/sign-in")).status_code == 200
    assert (await api.get("/")).status_code == 401


async def test_signing_in_gives_a_cookie_that_is_not_the_token(
    api: httpx.AsyncClient, store: Store, clock: Any
) -> None:
    secret, _ = await store.create_token("ops", Scope.VIEWER, timedelta(days=1), clock.now, actor="test")
    answer = await api.post("/ui/sign-in", data={"token": secret})
    cookie = answer.headers["set-cookie"]
    assert answer.status_code == 303
    assert secret not in cookie
    for part in (COOKIE, "HttpOnly", "SameSite=strict", "Path=/"):
        assert part in cookie
    assert "Sign out ops" in (await api.get("/", headers=HTML)).text


@pytest.mark.parametrize("token", ["", "wrong", "pat_" + "x" * 43, "é\x00"])
async def test_a_wrong_token_opens_no_session(
    api: httpx.AsyncClient, store: Store, clock: Any, token: str
) -> None:
    await store.create_token("ops", Scope.ADMIN, timedelta(days=1), clock.now, actor="test")
    answer = await api.post("/ui/sign-in", data={"token": token})
    assert answer.status_code in {401, 429}
    assert "set-cookie" not in answer.headers


async def test_a_viewer_sees_and_presses_nothing(
    api: httpx.AsyncClient, session_id: str, store: Store, clock: Any
) -> None:
    await signed_in(api, store, clock, Scope.VIEWER)
    page = (await api.get(f"/ui/sessions/{session_id}")).text
    assert "Go on as far" not in page
    answer = await api.post(f"/ui/sessions/{session_id}/resolve", data={"seal": seal_in(page)})
    assert answer.status_code == 403


async def test_a_seal_of_another_session_is_refused(api: httpx.AsyncClient, store: Store, clock: Any) -> None:
    await store.save_alert(alert_of(clock))
    await signed_in(api, store, clock, Scope.OPERATOR)
    foreign = seal_in((await api.get("/")).text)
    api.cookies.clear()
    await signed_in(api, store, clock, Scope.APPROVER)
    assert (await api.post("/ui/alerts/alert-1/seen", data={"seal": foreign})).status_code == 403


async def test_signing_out_ends_the_session_and_not_the_token(
    api: httpx.AsyncClient, store: Store, clock: Any
) -> None:
    await signed_in(api, store, clock, Scope.ADMIN)
    held = dict(api.cookies)
    seal = seal_in((await api.get("/")).text)
    assert (await api.post("/ui/sign-out", data={"seal": seal})).status_code == 303
    api.cookies.clear()
    assert (await api.get("/", headers={"cookie": f"{COOKIE}={held[COOKIE]}"})).status_code == 401
    assert len([one for one in await store.tokens() if one.is_active(clock.now)]) == 1


async def test_a_session_ends_after_its_hours(api: httpx.AsyncClient, store: Store, clock: Any) -> None:
    await signed_in(api, store, clock, Scope.ADMIN)
    held = dict(api.cookies)
    clock.forward(hours=13)
    assert (await api.get("/", headers={"cookie": f"{COOKIE}={held[COOKIE]}"})).status_code == 401


# Charts


def test_a_chart_says_in_words_what_it_shows(clock: Any) -> None:
    runs = [run_of(n, clock, lasted=50 + n) for n in range(40)]
    runs[-1] = run_of(41, clock, state="CRASHED", lasted=10)
    picture = views.picture_of(runs)
    assert picture is not None
    assert len(picture.bars) == views.MOST_BARS
    assert [bar.kind for bar in picture.bars].count("failed") == 1
    assert "Last 30 runs: 1 failed" in picture.text
    assert "Usually" in picture.text
    assert all(0 <= bar.y <= views.HEIGHT and bar.height > 0 for bar in picture.bars)


@pytest.mark.parametrize("lasted", [[], [0.0, 0.0]], ids=["no run", "no time"])
def test_there_is_no_chart_of_nothing(clock: Any, lasted: list[float]) -> None:
    assert views.picture_of([run_of(n, clock, lasted=one) for n, one in enumerate(lasted)]) is None


def test_few_runs_have_no_usual_band(clock: Any) -> None:
    picture = views.picture_of([run_of(n, clock) for n in range(3)])
    assert picture is not None
    assert picture.band is None
    assert "Usually" not in picture.text


@pytest.mark.parametrize(
    ("lights", "sessions", "said"),
    [
        ([], 0, "No workflow was seen yet, 0 open sessions"),
        (["healthy"], 1, "All workflows on this page are healthy, 1 open session"),
        (["healthy", "unhealthy", "unknown"], 2, "Workflows: 1 unhealthy, 1 unknown; 2 open sessions"),
    ],
)
def test_the_headline_tells_everything_at_once(lights: list[str], sessions: int, said: str) -> None:
    assert views.headline([views.LIGHTS[name] for name in lights], sessions) == said
