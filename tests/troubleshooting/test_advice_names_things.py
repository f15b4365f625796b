"""Advice on what only the trained model decides, on frames without their line, on failures passed on."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from prefect_autopilot.models import (
    Diagnosis,
    Evidence,
    EvidenceLine,
    IssueCategory,
    RunRecord,
    Severity,
    StateRecord,
)
from prefect_autopilot.troubleshooting import diagnose_text, recommendations
from prefect_autopilot.troubleshooting.advice import LEARNT, MAX_AROUND

NOW = datetime(2026, 3, 2, 3, 0, tzinfo=UTC)
CATEGORIES = [category for category in IssueCategory if category is not IssueCategory.UNKNOWN]


def learnt(category: IssueCategory, *lines: EvidenceLine) -> Diagnosis:
    return Diagnosis(
        category=category,
        confidence=0.62,
        severity=Severity.HIGH,
        transient=False,
        remedy="none",
        root_cause="It reads like that",
        pattern="learnt",
        evidence=lines,
    )


def failed(ident: str = "r1") -> RunRecord:
    return RunRecord(
        id=ident,
        flow_name="load",
        state=StateRecord(id="s", type="FAILED", name="Failed", timestamp=NOW),
    )


@pytest.mark.parametrize("category", CATEGORIES, ids=[category.value for category in CATEGORIES])
def test_what_the_model_decides_is_advised_on_with_its_doubt_and_evidence(category: IssueCategory) -> None:
    first = recommendations(learnt(category, EvidenceLine(text="boom 7", where="log 3")))[0]
    assert first.startswith(LEARNT[category])
    assert "0.62" in first
    assert "boom 7" in first
    assert "log 3" in first


def test_the_advice_on_different_categories_differs() -> None:
    assert len({recommendations(learnt(category))[0] for category in CATEGORIES}) == len(CATEGORIES)


@pytest.mark.parametrize(
    "frame", ['File "/srv/x.py", line 3', 'File "/srv/x.py", line 3, in run'], ids=["bare", "named"]
)
def test_a_frame_without_its_line_ends_no_sentence_in_the_air(frame: str) -> None:
    found = diagnose_text(
        f"Traceback (most recent call last):\n  {frame}\nZeroDivisionError: division by zero"
    )
    told = [line for line in recommendations(found) if "/srv/x.py:3" in line]
    assert told
    assert all(", ." not in line for line in told)
    assert all(line.text.strip() for line in found.evidence)


def test_a_failure_that_is_passed_on_points_to_where_it_began() -> None:
    evidence = Evidence(run=failed(), read_at=NOW, root_run=failed("c7"))
    told = recommendations(diagnose_text("ValueError: 1/1 states failed."), evidence)
    assert "load (c7)" in told[0]
    assert not any("c7" in line for line in recommendations(diagnose_text("ValueError: 1/1 states failed.")))


def test_what_stands_around_is_cited_in_bounds() -> None:
    lines = tuple(EvidenceLine(text="x" * 900, where=f"worker w{number}") for number in range(9))
    evidence = Evidence(run=failed(), read_at=NOW, surroundings=lines)
    told = [line for line in recommendations(diagnose_text("boom"), evidence) if "Around the run" in line]
    assert len(told) == MAX_AROUND
    assert all(len(line) < 300 for line in told)
    assert "(worker w0)" in told[0]
