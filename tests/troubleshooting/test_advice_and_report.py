"""What people are told: concrete, different for different faults, and safe to render."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from itertools import combinations
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prefect_autopilot.models import CommonKey, FindingPattern, IssueCategory, Severity
from prefect_autopilot.troubleshooting import (
    diagnose_text,
    finding_from,
    issue_from,
    issues_from_metrics,
    recommendations,
    report,
    session,
)
from prefect_autopilot.troubleshooting.report import fenced, plain

Make = Callable[..., Any]
FAULTS = [
    "HTTPError: 503 Server Error: Service Unavailable for url: https://erp.example.test",
    "HTTPError: 429 Client Error: Too Many Requests",
    "HTTPError: 401 Client Error: Unauthorized",
    "HTTPError: 403 Client Error: Forbidden",
    "ModuleNotFoundError: No module named 'openpyxl'",
    "KeyError: 'express'",
    "MemoryError",
    "OSError: [Errno 28] No space left on device: '/srv/out/a.parquet'",
    "deadlock detected",
    "socket.gaierror: [Errno -2] Name or service not known",
    "TimeoutError: Task run exceeded timeout of 4.0 second(s)",
    "could not convert string to float: 'n/a'",
]


def test_different_faults_get_different_advice() -> None:
    told = [recommendations(diagnose_text(text))[0] for text in FAULTS]
    assert all(one != other for one, other in combinations(told, 2))


@pytest.mark.parametrize("text", FAULTS)
def test_advice_cites_its_evidence(text: str) -> None:
    assert text[:30] in recommendations(diagnose_text(text))[0]


CONCRETE = [
    ("ModuleNotFoundError: No module named 'openpyxl'", "'openpyxl'"),
    ("OSError: [Errno 28] No space left on device: '/srv/out/a.parquet'", "/srv/out/a.parquet"),
    ("TimeoutError: Task run exceeded timeout of 4.0 second(s)", "4.0 second"),
    (
        "HTTPError: 404 Client Error: Not Found for url: https://erp.example.test/v0",
        "https://erp.example.test/v0",
    ),
    ("HTTPError: 429 Client Error: Too Many Requests, Retry-After: 25", "25 s"),
    (
        (
            "Traceback (most recent call last):\n"
            "  File \"/srv/f.py\", line 9, in g\n    return FEES[k]\nKeyError: 'express'"
        ),
        "/srv/f.py:9",
    ),
    (
        (
            "Traceback (most recent call last):\n"
            '  File "/srv/f.py", line 9, in g\n    os.environ["MAIL_KEY"]\nKeyError: \'MAIL_KEY\''
        ),
        "variable to set is 'MAIL_KEY'",
    ),
]


@pytest.mark.parametrize(("text", "named"), CONCRETE, ids=[named for _, named in CONCRETE])
def test_advice_names_the_object(text: str, named: str) -> None:
    assert any(named in line for line in recommendations(diagnose_text(text)))


def test_advice_knows_that_only_the_new_version_fails(
    evidence: Make, run: Make, state: Make, failed_at: datetime
) -> None:
    good = [
        run(
            id=f"old-{n}",
            deployment_version="v7",
            state=state("COMPLETED", at=failed_at - timedelta(hours=n + 1)),
        )
        for n in range(3)
    ]
    found = evidence(
        run=run(deployment_version="v8", state=state(message="KeyError: 'x'")), recent_runs=tuple(good)
    )
    told = recommendations(diagnose_text("KeyError: 'x'"), found)
    assert any("v8" in line and "v7" in line for line in told)
    assert any("0 of the last 3" in line for line in told)


def test_an_unknown_failure_gets_no_made_up_advice() -> None:
    told = recommendations(diagnose_text("it went wrong"))
    assert told == ("No known cause fits; begin with what is said there: “it went wrong” (line 1).",)
    assert recommendations(diagnose_text("")) == ("Could not be read: failure text.",)


def test_an_issue_keeps_its_id_over_time(now: datetime) -> None:
    one = issue_from(
        diagnose_text("OSError: [Errno 28] No space left on device: '/a/b1'"), workflow_id="w", now=now
    )
    two = issue_from(
        diagnose_text("OSError: [Errno 28] No space left on device: '/a/b2'"),
        workflow_id="w",
        now=now + timedelta(days=1),
    )
    assert one.issue_id == two.issue_id
    assert (one.category, one.severity) == (IssueCategory.RESOURCE, Severity.CRITICAL)
    assert one.symptoms
    other = issue_from(diagnose_text("MemoryError"), workflow_id="w", now=now)
    assert other.issue_id != one.issue_id


def test_an_unknown_issue_claims_no_root_cause(now: datetime) -> None:
    assert issue_from(diagnose_text("it went wrong"), workflow_id="w", now=now).root_cause is None


@pytest.mark.parametrize(
    ("field", "pattern"),
    [
        (None, FindingPattern.PATTERN_MATCHING),
        ("worker", FindingPattern.CORRELATION_ANALYSIS),
        ("weekday", FindingPattern.TEMPORAL_PATTERN),
        ("upstream", FindingPattern.DEPENDENCY_CHAIN),
    ],
)
def test_a_finding_says_how_it_was_made(now: datetime, field: str | None, pattern: FindingPattern) -> None:
    shared = CommonKey(field=field, value="x") if field else None
    found = finding_from(diagnose_text("MemoryError"), now=now, key=shared)
    assert found.pattern is pattern
    assert found.evidence
    assert found.suggested_actions


HOSTILE = "KeyError: '```\n# Ignore the above\n<script>alert(1)</script> [click](javascript:x) | cell | `x` ![i](http://x)'"


def hostile_report(now: datetime) -> str:
    found = session.start("t1", "w <b>|x", flow_run_id="r", run_count=1, now=now)
    found = session.analyse(session.identify(found, (), now=now), (), now=now)
    diagnosis = diagnose_text(HOSTILE)
    return report(session.conclude(found, diagnosis, recommendations(diagnosis), now=now))


def test_foreign_text_cannot_leave_its_fence(now: datetime) -> None:
    fence, outside = "", []
    for line in hostile_report(now).splitlines():
        ticks = line[: len(line) - len(line.lstrip("`"))]
        if fence:
            fence = "" if line == fence else fence
        elif len(ticks) >= 3:
            fence = ticks
        else:
            outside.append(line)
    text = "\n".join(outside)
    assert not fence
    assert "<script>" not in text
    assert "](javascript" not in text
    assert "# Ignore" not in [line.strip() for line in outside]


@given(st.text(max_size=300))
def test_a_fence_is_longer_than_any_in_the_text(text: str) -> None:
    shown = fenced(text)
    fence = shown[: len(shown) - len(shown.lstrip("`"))]
    assert len(fence) >= 3
    assert fence not in text


@given(st.text(max_size=300))
def test_escaped_text_stays_on_one_line_without_tags(text: str) -> None:
    assert "\n" not in plain(text)
    assert "<" not in plain(text)


def test_a_report_is_headed_by_flow_and_deployment_where_they_are_known(now: datetime) -> None:
    found = session.start("6af90ed4", "6af90ed4", flow_run_id="r", run_count=1, now=now)
    assert report(found).startswith("# Troubleshooting 6af90ed4\n")
    issue = issue_from(
        diagnose_text("ValueError: no"), workflow_id="6af90ed4", now=now, components=("orders/nightly",)
    )
    named = session.identify(found, (issue,), now=now)
    assert report(named).startswith("# Troubleshooting orders/nightly\n")


def test_a_report_shows_every_part(now: datetime) -> None:
    text = hostile_report(now)
    assert all(f"## {name}" in text for name in ("Diagnosis", "What to do", "Trail"))


@pytest.mark.parametrize(
    ("metrics", "category", "severity"),
    [
        ({"avg_response_time": 12.0}, "performance", "medium"),
        ({"avg_response_time": 90.0}, "performance", "high"),
        ({"error_rate": 0.3}, "external_service", "high"),
        ({"error_rate": 30.0}, "external_service", "high"),
        ({"completion_rate": 0.9}, "logic", "medium"),
        ({"completion_rate": 50}, "logic", "high"),
        ({"throughput": 0.0}, "performance", "high"),
        ({"memory_usage": 0.97}, "resource", "high"),
        ({"timeout_rate": 0.05}, "timeout", "medium"),
    ],
)
def test_a_metric_beyond_its_limit_is_an_issue(
    now: datetime, metrics: dict[str, float], category: str, severity: str
) -> None:
    (issue,) = issues_from_metrics("w", metrics, now)
    assert (issue.category, issue.severity) == (category, severity)
    assert issue.metrics_impact == metrics


def test_metrics_within_limits_are_no_issue(now: datetime) -> None:
    assert (
        issues_from_metrics("w", {"error_rate": 0.0, "completion_rate": 1.0, "avg_response_time": 0.2}, now)
        == ()
    )


@pytest.mark.parametrize(
    "metrics", [{"vibes": 7.0}, {"error_rate": float("nan")}, {"error_rate": float("inf")}]
)
def test_what_cannot_be_judged_is_said(now: datetime, metrics: dict[str, float]) -> None:
    (issue,) = issues_from_metrics("w", metrics, now)
    assert (issue.category, issue.severity) == ("unknown", "info")
    assert "not judged" in issue.description
