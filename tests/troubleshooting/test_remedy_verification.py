"""Only what was observed counts."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest

from prefect_autopilot.models import Attempt, RetryRun, TroubleshootingSession
from prefect_autopilot.troubleshooting import verify

Make = Callable[..., Any]


@pytest.fixture
def acted(now: datetime) -> TroubleshootingSession:
    attempt = Attempt(
        number=1, remedy=RetryRun(flow_run_id="run-1", delay_s=10), state_id_before="s1", applied_at=now
    )
    return TroubleshootingSession(
        session_id="t1",
        workflow_id="w",
        flow_run_id="run-1",
        run_count=1,
        start_time=now,
        attempts=(attempt,),
    )


def outcome(session: TroubleshootingSession, run: Any, at: datetime) -> str:
    return verify(session, run, now=at, timeout_s=60).outcome


CASES = [
    pytest.param("COMPLETED", 2, 30, "s9", "verified", id="completed by running again"),
    pytest.param("COMPLETED", 1, 30, "s9", "unverified", id="marked completed without running"),
    pytest.param("FAILED", 2, 30, "s9", "failed", id="failed again"),
    pytest.param("CRASHED", 2, 30, "s9", "failed", id="crashed again"),
    pytest.param("FAILED", 1, 30, "s9", "failed", id="failed before it could start"),
    pytest.param("CANCELLED", 2, 30, "s9", "unverified", id="cancelled meanwhile"),
    pytest.param("RUNNING", 2, 30, "s9", "pending", id="still running"),
    pytest.param("SCHEDULED", 1, 1, "s9", "pending", id="waiting for its retry"),
    pytest.param("FAILED", 1, -10, "s1", "pending", id="not moved yet"),
    pytest.param("COMPLETED", 2, -10, "s0", "pending", id="an old state"),
]


@pytest.mark.parametrize(("kind", "count", "seconds", "ident", "expected"), CASES)
def test_the_state_of_the_run_decides(
    acted: TroubleshootingSession,
    run: Make,
    state: Make,
    now: datetime,
    kind: str,
    count: int,
    seconds: int,
    ident: str,
    expected: str,
) -> None:
    seen = run(run_count=count, state=state(kind, at=now + timedelta(seconds=seconds), ident=ident))
    assert outcome(acted, seen, now + timedelta(seconds=40)) == expected


def test_waiting_ends_as_unverified(
    acted: TroubleshootingSession, run: Make, state: Make, now: datetime
) -> None:
    seen = run(run_count=2, state=state("RUNNING", at=now + timedelta(seconds=20), ident="s2"))
    assert outcome(acted, seen, now + timedelta(seconds=69)) == "pending"
    assert outcome(acted, seen, now + timedelta(seconds=71)) == "unverified"


def test_a_deleted_run_is_unverified_not_resolved(acted: TroubleshootingSession, now: datetime) -> None:
    assert outcome(acted, None, now + timedelta(seconds=5)) == "pending"
    assert outcome(acted, None, now + timedelta(seconds=100)) == "unverified"


def test_another_run_proves_nothing(
    acted: TroubleshootingSession, run: Make, state: Make, now: datetime
) -> None:
    seen = run(id="run-2", run_count=2, state=state("COMPLETED", at=now + timedelta(seconds=30), ident="s9"))
    assert outcome(acted, seen, now + timedelta(seconds=40)) == "unverified"


def test_without_a_remedy_there_is_nothing_to_verify(now: datetime, run: Make, state: Make) -> None:
    session = TroubleshootingSession(session_id="t", workflow_id="w", flow_run_id="run-1", start_time=now)
    done = run(run_count=2, state=state("COMPLETED", at=now, ident="s9"))
    assert outcome(session, done, now) == "unverified"


def test_a_remedy_that_was_never_applied_is_not_verified(
    acted: TroubleshootingSession, run: Make, state: Make, now: datetime
) -> None:
    attempt = acted.attempts[0].model_copy(update={"applied_at": None, "error": "refused"})
    session = acted.model_copy(update={"attempts": (attempt,)})
    done = run(run_count=2, state=state("COMPLETED", at=now, ident="s9"))
    assert outcome(session, done, now) == "unverified"


def test_a_verification_says_what_was_seen(
    acted: TroubleshootingSession, run: Make, state: Make, now: datetime
) -> None:
    seen = run(run_count=2, state=state("COMPLETED", at=now + timedelta(seconds=30), ident="s9"))
    found = verify(acted, seen, now=now + timedelta(seconds=40), timeout_s=60)
    assert found.observations[0].ok
    assert found.observations[0].subject == "run-1"
    assert "start 2" in found.reason
