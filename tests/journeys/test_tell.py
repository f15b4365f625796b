"""What people are told of a session: once for each outcome, in its words, and never a secret."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import httpx
import pytest

from prefect_autopilot.adapters.prefect_api import PrefectAPI
from prefect_autopilot.journeys import resolve
from prefect_autopilot.journeys.desk import Desk
from prefect_autopilot.journeys.tell import ARTIFACT_KEY, publish
from prefect_autopilot.models import (
    Attempt,
    Diagnosis,
    Notice,
    RemedyDecision,
    ResolutionStatus,
    RetryRun,
    TroubleshootingSession,
    WorkflowIssue,
)

RETRY = RetryRun(flow_run_id="run-1", delay_s=5)


def session(clock: Any, **more: Any) -> TroubleshootingSession:
    fields = {
        "session_id": "s-1",
        "workflow_id": "dep-1",
        "flow_run_id": "run-1",
        "run_count": 1,
        "resolution_status": ResolutionStatus.ESCALATED,
        "start_time": clock.now,
        "trail": ("2026-03-02T03:00:00+00:00 opened", "2026-03-02T03:00:05+00:00 escalated: a bug"),
        "recommendations": ("Correct the code.", "Run it again."),
        "diagnosis": Diagnosis.model_validate(
            {
                "category": "logic",
                "confidence": 0.9,
                "severity": "high",
                "transient": False,
                "remedy": "fix_code",
                "root_cause": "KeyError: 'total'",
            }
        ),
    }
    return TroubleshootingSession.model_validate(fields | more)


async def told(desk: Desk) -> list[Notice]:
    return [pending.notice for pending in await desk.store.pending_notices(desk.clock(), "webhook")]


@pytest.mark.parametrize(
    ("status", "outcome"),
    [
        (ResolutionStatus.AUTO_RESOLVED, "resolved"),
        (ResolutionStatus.RESOLVED, "resolved"),
        (ResolutionStatus.ESCALATED, "escalated"),
        (ResolutionStatus.MANUAL, "proposal"),
    ],
)
async def test_what_a_person_must_know_becomes_a_notice(
    desk: Desk, clock: Any, status: ResolutionStatus, outcome: str
) -> None:
    await publish(desk, session(clock, resolution_status=status))
    (notice,) = await told(desk)
    assert notice.outcome == outcome
    assert (notice.flow_run_id, notice.deployment_id, notice.session_id) == ("run-1", "dep-1", "s-1")


@pytest.mark.parametrize(
    "status", [ResolutionStatus.CLOSED, ResolutionStatus.IN_PROGRESS, ResolutionStatus.PARTIAL]
)
async def test_what_is_nobodys_alarm_is_told_nobody_but_stands_on_the_run(
    desk: Desk, prefect: Any, clock: Any, status: ResolutionStatus
) -> None:
    await publish(desk, session(clock, resolution_status=status))
    assert await told(desk) == []
    assert len(prefect.artifacts) == 1


def test_every_status_of_a_session_was_thought_of() -> None:
    thought = {"auto_resolved", "resolved", "escalated", "manual_intervention_required"}
    assert {status.value for status in ResolutionStatus} - thought == {"closed", "in_progress", "partial"}


async def test_a_notice_says_cause_last_step_and_what_to_do(desk: Desk, clock: Any) -> None:
    await publish(desk, session(clock))
    (notice,) = await told(desk)
    assert notice.title.endswith("KeyError: 'total'")
    assert notice.text.splitlines() == [
        "escalated: a bug",
        "- Correct the code.",
        "- Run it again.",
        "http://prefect.test/runs/flow-run/run-1",
    ]


async def test_a_session_about_which_nothing_is_known_is_still_told(desk: Desk, clock: Any) -> None:
    await publish(desk, session(clock, diagnosis=None, trail=(), recommendations=()))
    (notice,) = await told(desk)
    assert notice.title == "run run-1: unknown cause"
    assert (notice.text, notice.action) == ("http://prefect.test/runs/flow-run/run-1", None)


@pytest.mark.parametrize(
    ("components", "subject"),
    [(("orders/prod", "task load"), "orders/prod"), ((), "run run-1")],
    ids=["the first component", "none known"],
)
async def test_the_title_begins_with_what_is_affected(
    desk: Desk, clock: Any, components: tuple[str, ...], subject: str
) -> None:
    issue = WorkflowIssue.model_validate(
        {
            "issue_id": "i",
            "workflow_id": "dep-1",
            "category": "logic",
            "severity": "high",
            "description": "d",
            "detection_time": clock.now,
            "affected_components": components,
        }
    )
    await publish(desk, session(clock, issues=(issue,)))
    (notice,) = await told(desk)
    assert notice.title.startswith(f"{subject}: ")


async def test_a_proposal_names_the_remedy_it_proposes(desk: Desk, clock: Any) -> None:
    decision = RemedyDecision(action="propose", remedy=RETRY, reason="mode is propose")
    await publish(desk, session(clock, resolution_status=ResolutionStatus.MANUAL, decision=decision))
    (notice,) = await told(desk)
    assert notice.action == "retry_run"


async def test_the_same_outcome_is_told_once_however_often_it_is_published(desk: Desk, clock: Any) -> None:
    for _ in range(3):
        await publish(desk, session(clock))
        clock.forward(60)
    assert len(await told(desk)) == 1


async def test_another_outcome_of_the_same_session_is_told_too(desk: Desk, clock: Any) -> None:
    await publish(desk, session(clock, resolution_status=ResolutionStatus.MANUAL))
    await publish(desk, session(clock))
    assert sorted(notice.outcome for notice in await told(desk)) == ["escalated", "proposal"]


async def test_the_same_outcome_after_one_more_attempt_is_news(desk: Desk, clock: Any) -> None:
    attempt = Attempt(number=1, remedy=RETRY, state_id_before="s1", applied_at=clock.now)
    await publish(desk, session(clock, resolution_status=ResolutionStatus.MANUAL))
    await publish(desk, session(clock, resolution_status=ResolutionStatus.MANUAL, attempts=(attempt,)))
    assert len(await told(desk)) == 2


async def test_two_sessions_with_the_same_end_are_two_notices(desk: Desk, clock: Any) -> None:
    await publish(desk, session(clock))
    await publish(desk, session(clock, session_id="s-2"))
    notices = await told(desk)
    assert {notice.session_id for notice in notices} == {"s-1", "s-2"}
    assert len({notice.notice_id for notice in notices}) == 2


async def test_the_id_of_a_notice_is_the_same_after_a_restart(
    desk: Desk, make_desk: Any, clock: Any, prefect: Any
) -> None:
    await publish(desk, session(clock))
    clock.forward(timedelta(hours=1).total_seconds())
    await publish(make_desk(holder="after the restart"), session(clock))
    assert len(await told(desk)) == 1


async def test_the_report_is_attached_to_the_run_under_one_key(desk: Desk, prefect: Any, clock: Any) -> None:
    await publish(desk, session(clock))
    (artifact,) = prefect.artifacts
    assert (artifact["flow_run_id"], artifact["key"], artifact["type"]) == ("run-1", ARTIFACT_KEY, "markdown")
    assert "KeyError" in artifact["data"]
    assert artifact["description"] == "autopilot session s-1: escalated"


def test_an_artifact_key_is_one_that_prefect_takes() -> None:
    assert ARTIFACT_KEY.replace("-", "").isalnum()
    assert ARTIFACT_KEY.islower()


async def test_a_session_without_a_run_is_told_without_an_artifact(
    desk: Desk, prefect: Any, clock: Any
) -> None:
    await publish(desk, session(clock, flow_run_id=None))
    assert prefect.artifacts == []
    assert len(await told(desk)) == 1


@pytest.mark.parametrize("status", [403, 404, 409, 422, 500, 503], ids=str)
async def test_a_report_that_cannot_be_attached_is_noted_and_the_person_is_told_all_the_same(
    make_desk: Any, prefect: Any, clock: Any, status: int
) -> None:
    def without_artifacts(request: httpx.Request) -> httpx.Response:
        if "artifacts" in request.url.path:
            return httpx.Response(status, json={"detail": "no"})
        answer: httpx.Response = prefect(request)
        return answer

    api = PrefectAPI("http://prefect.test/api", transport=httpx.MockTransport(without_artifacts), tries=1)
    desk = make_desk(api=api)
    await publish(desk, session(clock))
    assert len(await told(desk)) == 1
    (entry,) = await desk.store.audit_trail("s-1")
    assert entry.action == "artifact not attached"
    assert entry.detail["error"]


async def test_an_unreachable_server_keeps_nobody_from_being_told(
    desk: Desk, prefect: Any, clock: Any
) -> None:
    prefect.down = True
    await publish(desk, session(clock))
    assert len(await told(desk)) == 1


async def test_a_secret_in_cause_or_advice_is_not_told(desk: Desk, clock: Any) -> None:
    secret = "ghp_" + "a1B2" * 9
    cause = session(clock).diagnosis
    assert cause is not None
    leaky = cause.model_copy(update={"root_cause": f"token {secret} was refused"})
    await publish(desk, session(clock, diagnosis=leaky, recommendations=(f"Replace {secret}.",)))
    (notice,) = await told(desk)
    assert secret not in notice.model_dump_json()


@pytest.mark.parametrize(
    ("place", "is_the_end"),
    [
        ("queue_notice", lambda _notice, _now: True),
        ("save_session", lambda ended, _version: ended.due_at is None),
        ("audit", lambda *told: told[1] == "escalated"),
    ],
    ids=["before it is told", "before it is saved", "before it is audited"],
)
async def test_a_process_killed_at_the_end_of_a_session_has_told_it_or_will_tell_it_once(
    desk: Desk,
    make_desk: Any,
    prefect: Any,
    clock: Any,
    monkeypatch: pytest.MonkeyPatch,
    place: str,
    is_the_end: Any,
) -> None:
    prefect.fail("run-1", error="KeyError: 'total'")
    opened = await resolve.take_up(desk, await desk.api.run("run-1"))
    assert opened is not None
    clock.forward(5)
    real = getattr(desk.store, place)

    async def killed(*args: Any) -> Any:
        if is_the_end(*args):
            raise KeyboardInterrupt
        return await real(*args)

    with monkeypatch.context() as patch:
        patch.setattr(desk.store, place, killed)
        with pytest.raises(KeyboardInterrupt):
            await resolve.advance(desk, opened.session_id)
    ended = await resolve.advance(make_desk(holder="next"), opened.session_id)
    assert ended.resolution_status is ResolutionStatus.ESCALATED
    (notice,) = await told(desk)
    assert notice.outcome == "escalated"


async def test_a_report_and_a_notice_lead_to_the_status_page_where_its_address_is_known(
    desk: Desk, clock: Any, prefect: Any
) -> None:
    await publish(desk, session(clock))
    assert "/ui/sessions/" not in prefect.artifacts[-1]["data"]
    there = replace(desk, page_url="https://autopilot.example")
    await publish(there, session(clock, session_id="s-2"))
    address = "https://autopilot.example/ui/sessions/s-2"
    assert f"({address})" in prefect.artifacts[-1]["data"]
    assert sorted((one.session_id, address in one.text) for one in await told(desk)) == [
        ("s-1", False),
        ("s-2", True),
    ]


# What would end a fault that comes again and again

RETRIED = Diagnosis.model_validate(
    {
        "category": "external_service",
        "confidence": 0.9,
        "severity": "medium",
        "transient": True,
        "remedy": "retry_backoff",
        "root_cause": "The shop answers 503",
        "fingerprint": "shop-503",
    }
)


async def come_often(desk: Desk, clock: Any, times: int, diagnosis: Diagnosis = RETRIED) -> Notice:
    """Publish the last of so many sessions of one cause."""
    for number in range(times):
        last = session(clock, session_id=f"s-{number}", diagnosis=diagnosis, fingerprint="shop-503")
        await desk.store.save_session(last, None)
    await publish(desk, last)
    (notice,) = await told(desk)
    return notice


async def test_a_cause_that_comes_often_is_told_with_the_rewriting_that_would_end_it(
    desk: Desk, prefect: Any, clock: Any
) -> None:
    before = (prefect.folder / "orders.py").read_text(encoding="utf-8")
    notice = await come_often(desk, clock, 3)
    assert "It has come 3 times: fetch only reads" in notice.text
    assert "line 5 of orders.py" in notice.text
    assert "(retry_reads)" in notice.text
    assert "optimize --deployment" in notice.text
    assert (prefect.folder / "orders.py").read_text(encoding="utf-8") == before, "only told"
    assert "It has come 3 times" in prefect.artifacts[-1]["data"]


@pytest.mark.parametrize("case", ["seldom", "a bug", "retried already", "no file"])
async def test_no_rewriting_is_told_where_none_answers_the_cause(
    desk: Desk, prefect: Any, clock: Any, case: str
) -> None:
    if case == "retried already":
        source = (prefect.folder / "orders.py").read_text(encoding="utf-8")
        prefect.deploy(source.replace("@task\n", "@task(retries=3, retry_delay_seconds=[2, 4, 8])\n"))
    if case == "no file":
        (prefect.folder / "orders.py").unlink()
    diagnosis = RETRIED.model_copy(update={"remedy": "fix_code"}) if case == "a bug" else RETRIED
    notice = await come_often(desk, clock, 2 if case == "seldom" else 3, diagnosis)
    assert "It has come" not in notice.text
