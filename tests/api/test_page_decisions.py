"""A person decides on the page: what a yes does is told before, and only a sealed form of who may does it."""

from __future__ import annotations

import html
import re
import uuid
from datetime import datetime, timedelta
from typing import Any, Literal, get_args, get_origin

import httpx
import pytest

from prefect_autopilot.api import page_choices as choices
from prefect_autopilot.models import (
    AskOwner,
    Attempt,
    GateCheck,
    RefreshCredentials,
    RemedyDecision,
    Repair,
    RetryRun,
    TroubleshootingSession,
    WorkflowAlert,
)
from prefect_autopilot.models.acts import Act
from prefect_autopilot.store import Scope, Store
from prefect_autopilot.troubleshooting import diagnose_text
from prefect_autopilot.troubleshooting import session as steps

OUTAGE = diagnose_text("HTTPError: 503 Server Error: Service Unavailable for url: https://x.acme.test")
HTML = {"accept": "text/html"}


def field(page: str, name: str, between: str = "") -> str:
    found = re.search(rf'name="{name}"{between} value="([^"]*)"', page)
    assert found is not None, name
    return found[1]


def proposed(clock: Any, *, remedy: Any = None, failed: str = "mode") -> TroubleshootingSession:
    now = clock.now
    opened = steps.start(str(uuid.uuid4()), "dep-1", flow_run_id="run-1", run_count=1, now=now)
    analysed = steps.analyse(steps.identify(opened, (), now=now), (), now=now)
    decision = RemedyDecision(
        action="propose",
        remedy=remedy or RetryRun(flow_run_id="run-1", delay_s=30),
        checks=(GateCheck(name=failed, passed=False, reason="Somebody decides."),),
        reason="Retry the same run.",
        state_id="state-1",
    )
    return steps.resolve(steps.conclude(analysed, OUTAGE, (), now=now), decision, now=now)


@pytest.fixture
async def proposal(store: Store, clock: Any) -> TroubleshootingSession:
    session = proposed(clock)
    await store.save_session(session, None)
    return session


async def signed_in(api: httpx.AsyncClient, store: Store, clock: Any, scope: Scope) -> None:
    day = timedelta(days=1)
    secret, _ = await store.create_token(f"b-{scope}", scope, day, clock.now, actor="test")
    assert (await api.post("/ui/sign-in", data={"token": secret})).status_code == 303


async def test_what_a_yes_does_is_told_before_it_is_said(
    api: httpx.AsyncClient, proposal: TroubleshootingSession
) -> None:
    page = (await api.get(f"/ui/sessions/{proposal.session_id}")).text
    assert "If you say yes:" in page
    assert "Retry the same run in 30 s." in page
    assert "Every other check is made again" in page


async def test_a_yes_on_the_page_is_kept_with_who_said_it(
    api: httpx.AsyncClient, store: Store, proposal: TroubleshootingSession
) -> None:
    path = f"/ui/sessions/{proposal.session_id}"
    page = (await api.get(path)).text
    form = {"seal": field(page, "seal"), "shown": field(page, "shown")}
    answer = await api.post(f"{path}/approve", data=form)
    assert (answer.status_code, answer.headers["location"]) == (303, path)
    kept = await store.session(proposal.session_id)
    assert kept is not None
    assert kept.approval is not None
    assert kept.approval.state_id == "state-1"
    assert [entry.action for entry in await store.audit_trail(proposal.session_id)][-1] == "approved"
    assert "If you say yes" not in (await api.get(path)).text, "it was said already"


@pytest.mark.parametrize(
    ("said", "status", "changes"),
    [
        ("30.0", 303, {}),
        ("30", 303, {}),
        ("90", 303, {"delay_s": 90.0}),
        ("soon", 422, None),
        ("nan", 422, None),
        ("-1", 422, None),
    ],
)
async def test_a_yes_may_name_another_number(
    api: httpx.AsyncClient,
    store: Store,
    proposal: TroubleshootingSession,
    said: str,
    status: int,
    changes: dict[str, float] | None,
) -> None:
    path = f"/ui/sessions/{proposal.session_id}"
    page = (await api.get(path)).text
    assert field(page, "change:delay_s", between=' type="number" step="any" min="0"') == "30.0"
    form = {"seal": field(page, "seal"), "shown": field(page, "shown"), "change:delay_s": said}
    assert (await api.post(f"{path}/approve", data=form)).status_code == status
    kept = await store.session(proposal.session_id)
    assert kept is not None
    assert (kept.approval.changes if kept.approval else None) == changes


async def test_a_yes_to_another_proposal_than_was_shown_is_refused(
    api: httpx.AsyncClient, store: Store, proposal: TroubleshootingSession
) -> None:
    path = f"/ui/sessions/{proposal.session_id}"
    seal = field((await api.get(path)).text, "seal")
    for shown in ({}, {"shown": ""}, {"shown": "0" * 32}):
        answer = await api.post(f"{path}/approve", data={"seal": seal, **shown})
        assert answer.status_code == 409
    assert await store.session(proposal.session_id) == proposal


async def test_work_that_may_have_had_an_effect_needs_a_word_of_its_own(
    api: httpx.AsyncClient, store: Store, clock: Any
) -> None:
    session = proposed(clock, failed="repeatable")
    await store.save_session(session, None)
    path = f"/ui/sessions/{session.session_id}"
    page = (await api.get(path)).text
    assert 'name="rerun" value="yes" required' in page
    form = {"seal": field(page, "seal"), "shown": field(page, "shown")}
    assert (await api.post(f"{path}/approve", data=form)).status_code == 422
    assert await store.session(session.session_id) == session
    assert (await api.post(f"{path}/approve", data={**form, "rerun": "yes"})).status_code == 303
    kept = await store.session(session.session_id)
    assert kept is not None
    assert kept.approval is not None
    assert kept.approval.rerun


async def test_where_a_yes_is_not_enough_there_is_no_button_for_it(
    api: httpx.AsyncClient, store: Store, clock: Any
) -> None:
    session = proposed(clock, remedy=AskOwner(flow_run_id="run-1", advice="Renew the key."))
    await store.save_session(session, None)
    page = (await api.get(f"/ui/sessions/{session.session_id}")).text
    assert "A yes is not enough here" in page
    assert "Renew the key." in page
    assert "Yes, do it" not in page
    assert "No, close the session" in page


async def test_a_no_on_the_page_closes_the_session_with_its_reason(
    api: httpx.AsyncClient, store: Store, proposal: TroubleshootingSession
) -> None:
    path = f"/ui/sessions/{proposal.session_id}"
    seal = field((await api.get(path)).text, "seal")
    answer = await api.post(f"{path}/deny", data={"seal": seal, "reason": "<b>month end</b>"})
    assert answer.status_code == 303
    kept = await store.session(proposal.session_id)
    assert kept is not None
    assert kept.resolution_status == "closed"
    page = (await api.get(path)).text
    assert "&lt;b&gt;month end" in page
    assert (await api.post(f"{path}/deny", data={"seal": seal})).status_code == 409


@pytest.mark.parametrize("act", ["approve", "deny", "undo"])
@pytest.mark.parametrize("seal", [None, "", "0" * 64], ids=["none", "empty", "wrong"])
async def test_a_word_without_its_seal_is_not_heard(
    api: httpx.AsyncClient, store: Store, proposal: TroubleshootingSession, act: str, seal: str | None
) -> None:
    form = {"reason": "x"} if seal is None else {"seal": seal}
    answer = await api.post(f"/ui/sessions/{proposal.session_id}/{act}", data=form)
    assert answer.status_code == 403
    assert await store.session(proposal.session_id) == proposal


@pytest.mark.parametrize("scope", [Scope.VIEWER, Scope.OPERATOR])
@pytest.mark.parametrize("act", ["approve", "deny", "undo"])
async def test_only_an_approver_decides(
    api: httpx.AsyncClient,
    store: Store,
    clock: Any,
    proposal: TroubleshootingSession,
    act: str,
    scope: Scope,
) -> None:
    await signed_in(api, store, clock, scope)
    page = (await api.get(f"/ui/sessions/{proposal.session_id}")).text
    assert "If you say yes" in page, "everybody may know what is proposed"
    assert "Yes, do it" not in page
    answer = await api.post(f"/ui/sessions/{proposal.session_id}/{act}", data={"seal": field(page, "seal")})
    assert answer.status_code == 403
    assert await store.session(proposal.session_id) == proposal
    assert [entry.action for entry in await store.audit_trail()][-1] == "access.denied"


async def test_what_cannot_be_taken_back_is_told_on_a_page(
    api: httpx.AsyncClient, proposal: TroubleshootingSession
) -> None:
    path = f"/ui/sessions/{proposal.session_id}"
    seal = field((await api.get(path)).text, "seal")
    answer = await api.post(f"{path}/undo", data={"seal": seal}, headers=HTML)
    assert answer.status_code == 503, "no Prefect server is known here"
    assert answer.headers["content-type"].startswith("text/html")
    assert "That was not done" in answer.text
    assert "PREFECT_API_URL" in answer.text


@pytest.mark.parametrize("path", ["/ui/remedies/pause", "/ui/remedies/resume"])
async def test_pausing_needs_seal_and_scope(
    api: httpx.AsyncClient, store: Store, clock: Any, path: str
) -> None:
    assert (await api.post(path, data={"x": "y"})).status_code == 403
    await signed_in(api, store, clock, Scope.OPERATOR)
    page = (await api.get("/")).text
    assert "Yes, pause every remedy" not in page
    assert (await api.post(path, data={"seal": field(page, "seal")})).status_code == 403
    assert await store.pause() is None


async def test_everything_is_paused_and_resumed_from_the_overview(
    api: httpx.AsyncClient, store: Store
) -> None:
    page = (await api.get("/")).text
    assert "What has begun already is not stopped" in page, "what will happen is told first"
    form = {"seal": field(page, "seal")}
    assert (await api.post("/ui/remedies/pause", data=form)).status_code == 303
    assert await store.pause() is not None
    page = (await api.get("/")).text
    assert "Every remedy is paused" in page
    assert "Yes, pause" not in page
    await api.post("/ui/remedies/resume", data=form)
    assert await store.pause() is None


async def test_a_session_that_is_over_offers_nothing_to_press(
    api: httpx.AsyncClient, store: Store, clock: Any
) -> None:
    session = steps.close(proposed(clock), "over", now=clock.now)
    await store.save_session(session, None)
    page = (await api.get(f"/ui/sessions/{session.session_id}")).text
    for label in ("Yes, do it", "No, close", "undo it", "Go on as far", "Look whether"):
        assert label not in page


# What happens, in words


def made(kind: type[Act]) -> Any:
    """Return a remedy of a kind, with some value in each field it must have."""
    needed = {name: one.annotation for name, one in kind.model_fields.items() if one.is_required()}
    return kind.model_validate({name: value_of(annotation) for name, annotation in needed.items()})


def value_of(annotation: Any) -> Any:
    known = {str: "x-7", int: 2, float: 2.5, datetime: "2026-03-01T00:00:00Z"}
    kind = get_origin(annotation) or annotation
    if kind is Literal:
        return get_args(annotation)[0]
    return known.get(kind) or {tuple: ("x-7",), dict: {"x-7": 1}}[kind]


@pytest.mark.parametrize(
    "kind", [RetryRun, RefreshCredentials, *get_args(Repair)], ids=lambda kind: kind.__name__
)
async def test_each_remedy_says_what_it_does_and_whether_it_can_be_undone(
    kind: type[Act], api: httpx.AsyncClient, store: Store, clock: Any
) -> None:
    remedy = made(kind).model_copy(
        update={"proof": "nobody holds it"} if "proof" in kind.model_fields else {}
    )
    session = proposed(clock, remedy=remedy)
    await store.save_session(session, None)
    page = (await api.get(f"/ui/sessions/{session.session_id}")).text
    asked = html.unescape(page[page.index("If you say yes:") : page.index("Every other check")])
    assert f"{remedy.told()}." in asked
    own = remedy.model_dump(mode="json", exclude={"kind", "flow_run_id", "delay_s", "because"})
    assert [value for value in own.values() if value and str(value) not in asked] == []
    assert remedy.undo.replace("`undo`", "by a button here") in asked
    attempt = Attempt(number=1, remedy=remedy, state_id_before="s", applied_at=clock.now)
    undo = choices.undo_of(session.model_copy(update={"attempts": (attempt,)}))
    assert (undo is not None) is ("`undo`" in remedy.undo)


def test_what_a_person_does_is_not_called_ours() -> None:
    told = choices.happens(AskOwner(flow_run_id="r", advice="Ask the bank."))
    assert told == "We change nothing. Ask the bank."


def test_another_state_is_another_proposal(clock: Any) -> None:
    one = proposed(clock)
    assert one.decision is not None
    other = one.model_copy(update={"decision": one.decision.model_copy(update={"state_id": "state-2"})})
    first, second = choices.choice_of(one), choices.choice_of(other)
    assert first is not None
    assert second is not None
    assert first.mark != second.mark


@pytest.mark.parametrize(
    ("variable", "url", "base"),
    [
        ("PREFECT_API_URL", "http://127.0.0.1:4200/api", "http://127.0.0.1:4200"),
        ("PREFECT_API_URL", "https://prefect.example/team/api/", "https://prefect.example/team"),
        (
            "PREFECT_API_URL",
            "https://api.prefect.cloud/api/accounts/a-1/workspaces/w-2",
            "https://app.prefect.cloud/account/a-1/workspace/w-2",
        ),
        ("PREFECT_UI_URL", "https://user:secret@ui.example:8443/", "https://ui.example:8443"),
        ("PREFECT_UI_URL", "javascript:alert(1)", ""),
    ],
    ids=["local", "below a path", "cloud", "own address, without its password", "no address of the web"],
)
def test_the_prefect_ui_is_where_its_settings_say(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Any, variable: str, url: str, base: str
) -> None:
    for name in ("PREFECT_API_URL", "PREFECT_UI_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PREFECT_HOME", str(tmp_path))
    monkeypatch.setenv(variable, url)
    found = choices.prefect_ui()
    assert found.base == base
    assert found.link("run", "a/b") == (f"{base}/runs/flow-run/a%2Fb" if base else "")
    assert found.link("deployment", None) == ""


# Alerts


def alert_of(clock: Any, **fields: Any) -> WorkflowAlert:
    told: dict[str, Any] = {
        "alert_id": "alert-1",
        "fingerprint": "f",
        "workflow_id": "d-[1]*",
        "alert_type": "error_rate_increase",
        "severity": "high",
        "title": "Failures rise",
        "description": "3 of 10 runs failed.",
        "created_at": clock.now,
        "labels": {"kind": "failures"},
    }
    return WorkflowAlert.model_validate(told | fields)


async def test_an_alert_is_silenced_for_a_time_and_the_silence_is_ended(
    api: httpx.AsyncClient, store: Store, clock: Any
) -> None:
    await store.save_alert(alert_of(clock))
    seal = field((await api.get("/")).text, "seal")
    form = {"seal": seal, "hours": "8", "reason": "moving house"}
    assert (await api.post("/ui/alerts/alert-1/silence", data=form)).status_code == 303
    [silence] = await store.silences(clock.now)
    assert silence.ends_at - clock.now == timedelta(hours=8)
    from prefect_autopilot.monitoring.silencing import covers

    assert covers(silence, alert_of(clock))
    assert not covers(silence, alert_of(clock, workflow_id="d-1x")), "the id is no pattern"
    assert not covers(silence, alert_of(clock, labels={"kind": "slow"}, alert_type="workflow_stalled"))
    assert "moving house" in (await api.get("/")).text
    ended = await api.post(f"/ui/silences/{silence.silence_id}/end", data={"seal": seal})
    assert ended.status_code == 303
    assert await store.silences(clock.now) == ()


@pytest.mark.parametrize("hours", ["", "0", "-1", "9999", "1e9", "x"])
async def test_a_silence_lasts_only_what_is_offered(
    api: httpx.AsyncClient, store: Store, clock: Any, hours: str
) -> None:
    await store.save_alert(alert_of(clock))
    seal = field((await api.get("/")).text, "seal")
    answer = await api.post("/ui/alerts/alert-1/silence", data={"seal": seal, "hours": hours})
    assert answer.status_code == 422
    assert await store.silences(clock.now) == ()


@pytest.mark.parametrize("path", ["/ui/alerts/none/silence", "/ui/alerts/none/seen", "/ui/silences/none/end"])
async def test_what_there_is_not_cannot_be_silenced(api: httpx.AsyncClient, path: str) -> None:
    seal = field((await api.get("/")).text, "seal")
    assert (await api.post(path, data={"seal": seal, "hours": "1"})).status_code == 404


@pytest.mark.parametrize("path", ["/ui/alerts/alert-1/silence", "/ui/alerts/alert-1/seen"])
async def test_a_viewer_silences_nothing(api: httpx.AsyncClient, store: Store, clock: Any, path: str) -> None:
    await store.save_alert(alert_of(clock))
    await signed_in(api, store, clock, Scope.VIEWER)
    page = (await api.get("/")).text
    assert "Silence alerts like this" not in page
    answer = await api.post(path, data={"seal": field(page, "seal"), "hours": "1"})
    assert answer.status_code == 403
    assert await store.silences(clock.now) == ()
