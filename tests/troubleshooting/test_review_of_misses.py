"""What no pattern decided, and which patterns decided without helping."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from prefect_autopilot.models import (
    Attempt,
    Diagnosis,
    EvidenceLine,
    IssueCategory,
    RetryRun,
    Severity,
    Storm,
    TroubleshootingSession,
    Verification,
)
from prefect_autopilot.troubleshooting import diagnose_text
from prefect_autopilot.troubleshooting.misses import undecided, unhelpful

SINCE = datetime(2026, 6, 1, tzinfo=UTC)


def diagnosis(pattern: str | None = None, **changes: Any) -> Diagnosis:
    known: dict[str, Any] = {
        "category": IssueCategory.UNKNOWN,
        "confidence": 0.2,
        "severity": Severity.MEDIUM,
        "transient": False,
        "remedy": "none",
        "root_cause": "No known cause fits: FluxError: capacitor",
        "pattern": pattern,
        "fingerprint": "flux",
        "exception": "FluxError",
        "evidence": (EvidenceLine(text="FluxError: capacitor", where="log 3"),),
    }
    return Diagnosis.model_validate(known | changes)


def session(number: int, told: Diagnosis | None, **changes: Any) -> TroubleshootingSession:
    known: dict[str, Any] = {
        "session_id": f"session-{number}",
        "workflow_id": f"workflow-{number % 2}",
        "diagnosis": told,
        "start_time": SINCE + timedelta(days=number),
    }
    return TroubleshootingSession.model_validate(known | changes)


def attempt(number: int, outcome: str | None, *, applied: bool = True) -> Attempt:
    at = SINCE + timedelta(hours=number)
    seen = Verification(outcome=outcome, reason="seen", checked_at=at) if outcome else None  # type: ignore[arg-type]
    return Attempt(
        number=number,
        remedy=RetryRun(flow_run_id="run", delay_s=5),
        state_id_before="state",
        applied_at=at if applied else None,
        verification=seen,
    )


def test_failures_of_one_fingerprint_are_one_line_with_the_latest_to_look_at() -> None:
    (found,) = undecided([session(number, diagnosis()) for number in (3, 1, 2)], SINCE)

    assert (found.times, found.workflows, found.session_id) == (3, 2, "session-3")
    assert (found.exception, found.quote) == ("FluxError", "FluxError: capacitor")


def test_the_most_frequent_come_first() -> None:
    rare = session(9, diagnosis(fingerprint="rare"))
    often = [session(number, diagnosis(fingerprint="often")) for number in (1, 2)]

    assert [one.fingerprint for one in undecided([rare, *often], SINCE)] == ["often", "rare"]


@pytest.mark.parametrize(
    ("told", "counts"),
    [
        (diagnosis(None), 1),
        (diagnosis("learnt", category=IssueCategory.DATA), 1),
        (diagnosis("read-timeout"), 0),
        (diagnosis("cancelled"), 0),
        (None, 0),
    ],
    ids=["nothing", "the model", "a pattern", "cancelled", "not-diagnosed"],
)
def test_a_guess_of_the_model_is_no_pattern(told: Diagnosis | None, counts: int) -> None:
    assert len(undecided([session(1, told)], SINCE)) == counts


def test_what_began_before_the_period_is_not_counted() -> None:
    assert undecided([session(-1, diagnosis())], SINCE) == ()
    assert unhelpful([session(-1, diagnosis("a"), attempts=(attempt(1, "failed"),))], SINCE) == ()


def test_a_storm_counts_with_all_its_runs() -> None:
    storm = Storm(cause="flux", runs=19)

    assert undecided([session(1, diagnosis(), storm=storm)], SINCE)[0].times == 20


def test_without_evidence_the_root_cause_is_quoted() -> None:
    assert undecided([session(1, diagnosis(evidence=()))], SINCE)[0].quote.startswith("No known cause fits")


def test_what_is_really_not_known_is_found() -> None:
    told = diagnose_text("blorp")

    assert told.category is IssueCategory.UNKNOWN or told.pattern == "learnt"
    assert len(undecided([session(1, told)], SINCE)) == 1


def test_a_pattern_is_told_where_its_remedy_was_seen_to_fail() -> None:
    good = session(1, diagnosis("read-timeout"), attempts=(attempt(1, "verified"),))
    bad = session(2, diagnosis("read-timeout"), attempts=(attempt(1, "failed"), attempt(2, "verified")))

    (found,) = unhelpful([good, bad], SINCE)

    assert (found.pattern, found.remedy, found.tried, found.failed) == ("read-timeout", "retry_run", 3, 1)


@pytest.mark.parametrize(
    "attempts",
    [
        (attempt(1, "verified"),),
        (attempt(1, "unverified"),),
        (attempt(1, "pending"),),
        (attempt(1, None),),
        (attempt(1, "failed", applied=False),),
        (),
    ],
    ids=["helped", "not-seen", "pending", "not-looked", "not-applied", "none"],
)
def test_only_an_observed_failure_speaks_against_a_pattern(attempts: tuple[Attempt, ...]) -> None:
    assert unhelpful([session(1, diagnosis("read-timeout"), attempts=attempts)], SINCE) == ()
