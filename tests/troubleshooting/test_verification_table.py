"""What a look at the run may say after a remedy, as a table; a word of ours is never enough."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prefect_autopilot.models import (
    AskOwner,
    Attempt,
    RefreshCredentials,
    RetryRun,
    RunRecord,
    StateRecord,
    TroubleshootingSession,
    Verification,
)
from prefect_autopilot.troubleshooting import verify

Make = Callable[..., Any]
ACTED = datetime(2026, 3, 2, 3, 0, tzinfo=UTC)
RETRY = RetryRun(flow_run_id="run-1", delay_s=10)
RENEWAL = RefreshCredentials(flow_run_id="run-1", connection="asana-main", delay_s=6)


def session_of(*remedies: Any, starts: int = 1, applied: bool = True) -> TroubleshootingSession:
    attempts = tuple(
        Attempt(number=n, remedy=remedy, state_id_before=f"s{n}", applied_at=ACTED if applied else None)
        for n, remedy in enumerate(remedies, start=1)
    )
    return TroubleshootingSession(
        session_id="t1",
        workflow_id="w",
        flow_run_id="run-1",
        run_count=starts,
        start_time=ACTED,
        attempts=attempts,
    )


def seen(kind: str, *, starts: int = 2, after_s: float = 30, state: str = "s9", name: str = "") -> RunRecord:
    return RunRecord(
        id="run-1",
        run_count=starts,
        state=StateRecord(
            id=state,
            type=kind,
            name=name or kind.title(),
            timestamp=ACTED + timedelta(seconds=after_s),
            message="m",
        ),
    )


def looked(
    run: RunRecord | None, *, session: TroubleshootingSession | None = None, at_s: float = 40
) -> Verification:
    return verify(session or session_of(RETRY), run, now=ACTED + timedelta(seconds=at_s), timeout_s=60)


# Seconds count from the act; the retry was due after 10 s and the deadline is 60 s after that.
TABLE = """
state       starts  state-after-s  state-id  looked-after-s   outcome
COMPLETED   2       30             s9        40               verified
COMPLETED   2       30             s9        900              verified
COMPLETED   5       30             s9        40               verified
COMPLETED   1       30             s9        40               unverified
COMPLETED   0       30             s9        40               unverified
COMPLETED   2       30             s1        40               pending
COMPLETED   2       0              s9        40               pending
COMPLETED   2       -30            s9        40               pending
COMPLETED   2       -30            s9        900              unverified
FAILED      2       30             s9        40               failed
FAILED      1       30             s9        40               failed
FAILED      2       30             s9        900              failed
FAILED      1       -30            s1        40               pending
FAILED      1       -30            s1        900              unverified
CRASHED     2       30             s9        40               failed
CRASHED     1       1              s9        40               failed
CANCELLED   2       30             s9        40               unverified
CANCELLED   1       30             s9        40               unverified
CANCELLING  2       30             s9        40               pending
RUNNING     2       30             s9        40               pending
RUNNING     2       30             s9        70               pending
RUNNING     2       30             s9        71               unverified
PENDING     1       20             s9        40               pending
SCHEDULED   1       1              s9        40               pending
SCHEDULED   1       1              s9        900              unverified
PAUSED      2       30             s9        40               pending
PAUSED      2       30             s9        900              unverified
"""
ROWS = [line.split() for line in TABLE.strip().splitlines()[1:]]


@pytest.mark.parametrize("row", ROWS, ids=[" ".join(row[:5]) for row in ROWS])
def test_what_is_seen_decides(row: list[str]) -> None:
    kind, starts, after, state, at, outcome = row
    found = looked(seen(kind, starts=int(starts), after_s=float(after), state=state), at_s=float(at))
    assert found.outcome == outcome
    assert found.reason
    assert found.checked_at == ACTED + timedelta(seconds=float(at))


@pytest.mark.parametrize(("at_s", "outcome"), [(5, "pending"), (70, "pending"), (70.1, "unverified")])
def test_a_run_that_cannot_be_read_is_waited_for_and_then_given_up(at_s: float, outcome: str) -> None:
    found = looked(None, at_s=at_s)
    assert found.outcome == outcome
    assert found.observations == ()


def test_the_deadline_counts_from_the_moment_the_retry_was_due() -> None:
    late = session_of(RetryRun(flow_run_id="run-1", delay_s=300))
    running = seen("RUNNING", after_s=301)
    assert looked(running, session=late, at_s=359).outcome == "pending"
    assert looked(running, session=late, at_s=361).outcome == "unverified"
    assert looked(running, session=session_of(RENEWAL), at_s=67).outcome == "unverified"


def test_a_question_to_a_person_has_no_delay() -> None:
    asked = session_of(AskOwner(flow_run_id="run-1", advice="look"))
    assert looked(seen("RUNNING"), session=asked, at_s=60).outcome == "pending"
    assert looked(seen("RUNNING"), session=asked, at_s=61).outcome == "unverified"


def test_the_last_applied_attempt_is_the_one_that_is_judged() -> None:
    both = session_of(RETRY, RETRY)
    second = both.attempts[1].model_copy(update={"applied_at": ACTED + timedelta(minutes=10)})
    session = both.model_copy(update={"attempts": (both.attempts[0], second)})
    assert looked(seen("COMPLETED", after_s=30), session=session, at_s=601).outcome == "pending"
    assert looked(seen("COMPLETED", after_s=630), session=session, at_s=640).outcome == "verified"


def test_an_attempt_that_was_not_carried_out_is_skipped() -> None:
    both = session_of(RETRY, RETRY)
    second = both.attempts[1].model_copy(update={"applied_at": None, "error": "refused"})
    session = both.model_copy(update={"attempts": (both.attempts[0], second)})
    assert looked(seen("COMPLETED"), session=session).outcome == "verified"


@pytest.mark.parametrize(
    "session", [session_of(), session_of(RETRY, applied=False)], ids=["none", "not applied"]
)
def test_without_a_remedy_even_a_completed_run_verifies_nothing(session: TroubleshootingSession) -> None:
    found = looked(seen("COMPLETED"), session=session)
    assert found.outcome == "unverified"
    assert "nothing to verify" in found.reason


def test_what_was_seen_is_kept_with_the_verdict() -> None:
    (fact,) = looked(seen("FAILED", starts=3)).observations
    assert not fact.ok
    assert fact.subject == "run-1"
    assert "Failed" in fact.what
    assert "3 times" in fact.what


def test_the_reason_quotes_why_it_failed_again() -> None:
    assert "failed again on start 3: m" in looked(seen("FAILED", starts=3)).reason
    assert "without a new start" in looked(seen("FAILED", starts=1)).reason


@given(
    kind=st.sampled_from(["COMPLETED", "FAILED", "CRASHED", "CANCELLED", "RUNNING", "SCHEDULED", "PAUSED"]),
    starts=st.integers(0, 5),
    after=st.floats(-100, 1000),
    at=st.floats(0, 2000),
    state=st.sampled_from(["s1", "s9"]),
    ident=st.sampled_from(["run-1", "run-2"]),
)
def test_verified_always_means_completed_by_running_again_after_the_act(
    kind: str, starts: int, after: float, at: float, state: str, ident: str
) -> None:
    run = seen(kind, starts=starts, after_s=after, state=state).model_copy(update={"id": ident})
    verified = looked(run, at_s=at).outcome == "verified"
    assert verified is (
        kind == "COMPLETED"
        and starts > 1
        and run.state.timestamp > ACTED
        and state != "s1"
        and ident == "run-1"
    )
