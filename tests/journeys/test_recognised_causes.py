"""A cause that was there before is recognised, and a person finds the way into Prefect's pages."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from prefect_autopilot.adapters.prefect_api import PrefectAPI
from prefect_autopilot.adapters.prefect_target import find_target, pages_of
from prefect_autopilot.journeys import resolve
from prefect_autopilot.journeys.desk import Desk
from prefect_autopilot.journeys.tell import headline, publish
from prefect_autopilot.models import (
    Diagnosis,
    EvidenceLine,
    IssueCategory,
    Recurrence,
    ResolutionStatus,
    RetryRun,
    Severity,
    TroubleshootingSession,
)
from prefect_autopilot.store import WATCHER_LEASE
from prefect_autopilot.troubleshooting import report
from prefect_autopilot.troubleshooting.report import links, recognised

NOW = datetime(2026, 3, 2, 3, 0, tzinfo=UTC)
DEPLOYMENT = "0f4b7a52-9a3f-4a51-9f2e-0e8b1f0c2d11"
UI = "http://prefect.test"


def session(**more: Any) -> TroubleshootingSession:
    diagnosis = Diagnosis(
        category=IssueCategory.EXTERNAL_SERVICE,
        confidence=0.95,
        severity=Severity.MEDIUM,
        transient=True,
        remedy="retry_backoff",
        root_cause="The service is not available",
        fingerprint="f" * 16,
        evidence=(EvidenceLine(text="503", where="log 4"),),
    )
    fields: dict[str, Any] = {
        "session_id": "s-now",
        "workflow_id": DEPLOYMENT,
        "flow_run_id": "run 1/2",
        "fingerprint": "f" * 16,
        "diagnosis": diagnosis,
        "start_time": NOW,
        "resolution_status": ResolutionStatus.ESCALATED,
        "trail": ("escalated: a person must look",),
    }
    return TroubleshootingSession.model_validate(fields | more)


async def happened(desk: Desk, number: int, outcome: str) -> None:
    """Put an ended session with one retry and what it came to into the store."""
    at = NOW - timedelta(days=10 - number)
    before = session(session_id=f"s-{number}", flow_run_id=f"r-{number}", start_time=at)
    await desk.store.save_session(before, None)
    token = await desk.store.acquire_lease(WATCHER_LEASE, "t", 60, at)
    assert token is not None
    entry = await desk.store.journal_intent(
        before.session_id,
        before.flow_run_id or "",
        "state",
        1,
        RetryRun(flow_run_id=before.flow_run_id or "", delay_s=5),
        token,
        at,
    )
    assert entry is not None
    await desk.store.journal_result(entry, "applied", "", at)
    await desk.store.record_verification(
        before.session_id,
        1,
        before.fingerprint,
        DEPLOYMENT,
        outcome,  # type: ignore[arg-type]  # the test says which
        at,
    )
    await desk.store.release_lease(WATCHER_LEASE, token)


async def test_a_cause_is_counted_with_what_helped_it(desk: Desk) -> None:
    for number, outcome in enumerate(("verified", "verified", "verified"), start=1):
        await happened(desk, number, outcome)
    known = await desk.store.recurrence("f" * 16, DEPLOYMENT, besides="s-now")
    last = NOW - timedelta(days=7)
    assert known == Recurrence(times=4, last_at=last, remedy="retry_run", held=3, tried=3)
    assert "seen 4 times" in recognised(session(recurrence=known))
    assert "3 of 3 held" in recognised(session(recurrence=known))


async def test_what_did_not_hold_is_counted_against_it(desk: Desk) -> None:
    for number, outcome in enumerate(("verified", "failed", "unverified"), start=1):
        await happened(desk, number, outcome)
    known = await desk.store.recurrence("f" * 16, DEPLOYMENT, besides="s-now")
    assert (known.times, known.held, known.tried) == (4, 1, 2)


async def test_another_cause_and_another_workflow_are_not_counted(desk: Desk) -> None:
    await happened(desk, 1, "verified")
    assert await desk.store.recurrence("0" * 16, DEPLOYMENT, besides="s-now") == Recurrence(times=1)
    assert await desk.store.recurrence("f" * 16, "elsewhere", besides="s-now") == Recurrence(times=1)
    assert (await desk.store.recurrence("f" * 16, DEPLOYMENT, besides="s-1")).times == 1


async def test_report_and_notice_say_that_it_is_known_and_where_to_look(desk: Desk, prefect: Any) -> None:
    for number in (1, 2, 3):
        await happened(desk, number, "verified")
    await publish(desk, session())
    (artifact,) = prefect.artifacts
    assert "seen 4 times" in artifact["data"]
    assert f"({desk.api.ui}/runs/flow-run/run%201%2F2)" in artifact["data"]
    (pending,) = await desk.store.pending_notices(desk.clock(), "webhook")
    assert "3 of 3 held" in pending.notice.text
    assert pending.notice.text.endswith(f"{desk.api.ui}/runs/flow-run/run%201%2F2")
    assert "\n" not in pending.notice.title


async def test_what_is_known_is_kept_with_the_session_from_its_diagnosis_on(desk: Desk, prefect: Any) -> None:
    seen = []
    for run in ("run-1", "run-2"):
        prefect.fail(run, error="KeyError: 'total'")
        taken = await resolve.take_up(desk, await desk.api.run(run))
        assert taken is not None
        desk.clock.forward(5)  # type: ignore[attr-defined]  # the clock of the tests
        await resolve.advance(desk, taken.session_id)
        stored = await desk.store.session(taken.session_id)
        assert stored is not None
        seen.append(stored.recurrence)
        desk.clock.forward(13 * 3600)  # type: ignore[attr-defined]  # another day
    assert [known and known.times for known in seen] == [1, 2]


def test_what_is_new_is_not_called_known() -> None:
    assert recognised(session()) == ""
    assert recognised(session(recurrence=Recurrence(times=1))) == ""
    assert "Known" not in report(session(recurrence=Recurrence(times=1)), UI)


def test_what_nothing_helped_is_said_so() -> None:
    said = recognised(session(recurrence=Recurrence(times=3, last_at=NOW)))
    assert (
        said
        == "Known: seen 3 times on this workflow, before on 2026-03-02; nothing has been seen to help yet."
    )
    assert said in headline(session(recurrence=Recurrence(times=3, last_at=NOW)))


def test_the_headline_says_what_was_done_last_and_no_time_of_a_log() -> None:
    done = session(trail=(f"{NOW.isoformat()} began", f"{NOW.isoformat()} decided to wait: it passes."))
    assert headline(done).endswith("; decided to wait: it passes.")
    known = done.model_copy(update={"recurrence": Recurrence(times=3)})
    assert "it passes. Known: seen 3 times" in headline(known)


def test_links_lead_to_the_pages_that_are_needed() -> None:
    found = links(session(recommendations=("Look at the work pool.",)), UI)
    assert found["its deployment"] == f"{UI}/deployments/deployment/{DEPLOYMENT}"
    assert found["its log"] == f"{UI}/runs/flow-run/run%201%2F2?tab=Logs"
    assert not any("pool" in name for name in found)


def test_a_workflow_that_is_no_deployment_has_no_page() -> None:
    assert "its deployment" not in links(session(workflow_id="orders](http://evil"), UI)
    assert links(session(workflow_id="orders", flow_run_id=None), UI) == {}


def test_without_an_address_no_link_is_made() -> None:
    assert "](" not in report(session())


@pytest.mark.parametrize(
    ("api", "pages"),
    [
        ("http://127.0.0.1:4200/api", "http://127.0.0.1:4200"),
        ("https://u:secret@prefect.corp.test/base/api/", "https://prefect.corp.test/base"),
        (
            "https://api.prefect.cloud/api/accounts/a1/workspaces/w1",
            "https://app.prefect.cloud/account/a1/workspace/w1",
        ),
    ],
)
def test_the_pages_are_found_from_the_address_of_the_api(api: str, pages: str) -> None:
    assert pages_of(api) == pages
    assert PrefectAPI(api).ui == pages


def test_another_address_of_the_pages_may_be_said(tmp_path: Any) -> None:
    known = {"PREFECT_API_URL": "http://server:4200/api", "PREFECT_UI_URL": "https://prefect.corp.test/"}
    target = find_target(known, tmp_path)
    assert PrefectAPI(target.url, ui=target.ui).ui == "https://prefect.corp.test"
