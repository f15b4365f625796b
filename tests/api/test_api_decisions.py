"""A person decides over the API: only what waits for a yes takes one; the audit trail says whose it was."""

from __future__ import annotations

import uuid
from typing import Any

import httpx
import pytest

from prefect_autopilot.models import GateCheck, RemedyDecision, RetryRun, TroubleshootingSession
from prefect_autopilot.store import Store
from prefect_autopilot.troubleshooting import diagnose_text
from prefect_autopilot.troubleshooting import session as steps

TROUBLESHOOTING = "/api/workflow-troubleshooting"
OUTAGE = diagnose_text("HTTPError: 503 Server Error: Service Unavailable for url: https://x.acme.test")


@pytest.fixture
async def proposal(store: Store, clock: Any) -> TroubleshootingSession:
    """A stored session whose retry lacks nothing but a yes."""
    now = clock.now
    opened = steps.start(str(uuid.uuid4()), "dep-1", flow_run_id="run-1", run_count=1, now=now)
    concluded = steps.conclude(
        steps.analyse(steps.identify(opened, (), now=now), (), now=now), OUTAGE, (), now=now
    )
    decision = RemedyDecision(
        action="propose",
        remedy=RetryRun(flow_run_id="run-1", delay_s=1),
        checks=(GateCheck(name="mode", passed=False, reason="The policy's mode is propose."),),
        reason="Retry the same run.",
        state_id="state-1",
    )
    session = steps.resolve(concluded, decision, now=now)
    await store.save_session(session, None)
    return session


async def test_a_yes_is_written_down_and_kept_for_whoever_reaches_prefect(
    api: httpx.AsyncClient, store: Store, proposal: TroubleshootingSession
) -> None:
    answer = await api.post(f"{TROUBLESHOOTING}/sessions/{proposal.session_id}/approve", json={})
    told = answer.json()
    assert (answer.status_code, told["resolution_status"], told["attempts"]) == (200, "in_progress", 0)
    assert told["prefect"]
    kept = await store.session(proposal.session_id)
    assert kept is not None
    assert kept.approval is not None
    assert (kept.approval.state_id, kept.approval.rerun) == ("state-1", False)
    entry = (await store.audit_trail(proposal.session_id))[-1]
    assert (entry.action, entry.actor) == ("approved", kept.approval.by)


async def test_a_yes_may_change_a_number_of_the_remedy(
    api: httpx.AsyncClient, store: Store, proposal: TroubleshootingSession
) -> None:
    path = f"{TROUBLESHOOTING}/sessions/{proposal.session_id}/approve"
    assert (await api.post(path, json={"changes": {"delay_s": 300}})).status_code == 200
    kept = await store.session(proposal.session_id)
    assert kept is not None
    assert kept.approval is not None
    assert kept.approval.changes == {"delay_s": 300}


async def test_a_no_closes_and_a_second_word_is_a_conflict(
    api: httpx.AsyncClient, proposal: TroubleshootingSession
) -> None:
    path = f"{TROUBLESHOOTING}/sessions/{proposal.session_id}"
    denied = await api.post(f"{path}/deny", json={"reason": "month end"})
    assert (denied.status_code, denied.json()["resolution_status"]) == (200, "closed")
    assert "month end" in denied.json()["said"]
    for word in ("approve", "deny"):
        assert (await api.post(f"{path}/{word}")).status_code == 409


@pytest.mark.parametrize("word", ["approve", "deny"])
async def test_what_there_is_not_cannot_be_decided(api: httpx.AsyncClient, word: str) -> None:
    answer = await api.post(f"{TROUBLESHOOTING}/sessions/{uuid.uuid4()}/{word}")
    assert answer.status_code == 404


@pytest.mark.parametrize(
    ("word", "body"),
    [
        ("approve", {"rerun": "perhaps"}),
        ("approve", {"changes": {"limit": 2}}),
        ("approve", {"changes": {"delay_s": -1}}),
        ("approve", {"changes": {"delay_s": "soon"}}),
        ("deny", {"reason": "x" * 1001}),
        ("deny", {"reason": 7}),
    ],
    ids=["no yes or no", "not its number", "below nothing", "no number", "too long", "no text"],
)
async def test_a_body_that_says_nothing_clear_changes_nothing(
    api: httpx.AsyncClient, store: Store, proposal: TroubleshootingSession, word: str, body: dict[str, Any]
) -> None:
    answer = await api.post(f"{TROUBLESHOOTING}/sessions/{proposal.session_id}/{word}", json=body)
    assert answer.status_code == 422
    assert await store.session(proposal.session_id) == proposal


async def test_pausing_and_resuming_is_told_and_kept(api: httpx.AsyncClient, store: Store) -> None:
    paused = (await api.post(f"{TROUBLESHOOTING}/remedies/pause")).json()
    standing = await store.pause()
    assert standing is not None
    assert paused == {"paused": True, "by": standing.by}
    assert (await api.post(f"{TROUBLESHOOTING}/remedies/resume")).json() == {"paused": False, "by": None}
    assert await store.pause() is None
