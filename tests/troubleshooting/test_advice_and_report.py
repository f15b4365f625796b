"""What people are told: concrete, different for different faults, and safe to render."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prefect_autopilot.models import CommonKey, FindingPattern, IssueCategory, Severity
from prefect_autopilot.troubleshooting import (
    diagnose_text,
    facts,
    finding_from,
    issue_from,
    issues_from_metrics,
    recommendations,
    report,
    session,
)
from prefect_autopilot.troubleshooting.report import fenced, plain

Make = Callable[..., Any]
FAULTS: list[tuple[str, str]] = [
    (
        "HTTPError: 503 Server Error: Service Unavailable for url: https://erp.example.test",
        "https://erp.example.test",
    ),
    (
        "HTTPError: 404 Client Error: Not Found for url: https://erp.example.test/v0",
        "https://erp.example.test/v0",
    ),
    ("HTTPError: 429 Client Error: Too Many Requests, Retry-After: 25", "25 s"),
    (
        "HTTPError: 401 Client Error: Unauthorized for url: https://crm.example.test/api",
        "crm.example.test/api",
    ),
    ("HTTPError: 403 Client Error: Forbidden for url: https://wiki.example.test/x", "wiki.example.test/x"),
    ("ModuleNotFoundError: No module named 'openpyxl'", "(openpyxl) into the image"),
    ("KeyError: 'express'", "'express'"),
    ("MemoryError", "memory"),
    (
        "OSError: [Errno 28] No space left on device: '/srv/out/a.parquet'",
        "volume in the message (/srv/out/a.parquet)",
    ),
    ("psycopg.errors.DeadlockDetected: deadlock detected", ""),
    (
        "NameResolutionError: Failed to resolve 'api.shop.test' ([Errno -2] Name or service not known)",
        "'api.shop.test'",
    ),
    ("TimeoutError: Task run exceeded timeout of 4.0 second(s)", "is 4.0 s: try 8 s"),
    (
        "ReadTimeout: HTTPSConnectionPool(host='a.test', port=443): Read timed out. (read timeout=30)",
        "a.test:443",
    ),
    ("ValueError: could not convert string to float: 'n/a'", "quotes (n/a) in the input"),
    ("ConnectionRefusedError: [Errno 111] Connect call failed ('10.0.0.5', 5432)", "message (10.0.0.5:5432)"),
    (
        'OperationalError: connection to server at "db.test" (10.0.0.7), port 5433 failed: refused',
        "db.test:5433",
    ),
    ('psycopg.errors.UndefinedTable: relation "sales.orders" does not exist', "table is 'sales.orders'"),
    ('psycopg.errors.UndefinedColumn: column "net" does not exist', "column is 'net'"),
    ("sqlite3.IntegrityError: UNIQUE constraint failed: orders.id", "(orders.id)"),
    ("PermissionError: [Errno 13] Permission denied: '/data/in.csv'", "path in the message (/data/in.csv)"),
    ("psycopg.errors.InsufficientPrivilege: permission denied for table invoices", "(on table invoices)"),
    ('FATAL:  password authentication failed for user "etl"', "account is 'etl'"),
    (
        "ClientError: AccessDenied: u is not authorized to perform: s3:PutObject on arn:aws:s3:::lake",
        "s3:PutObject",
    ),
    ("FileNotFoundError: [Errno 2] No such file or directory: 'dbt'", "program is 'dbt'"),
    ("FileNotFoundError: [Errno 2] No such file or directory: '/srv/in/orders.csv'", "/srv/in/orders.csv"),
    ('Failed to pull image "reg.test/etl:v9": not found', "image is 'reg.test/etl:v9'"),
    ("ValueError: Unable to find block document named 'billing' for block type 'secret'", "'billing'"),
    ("RuntimeError: environment variable API_URL is not set", "(API_URL) in the job variables"),
    ("NameError: name 'rows' is not defined", "'rows'"),
    ("AttributeError: 'NoneType' object has no attribute 'strip'", "'strip'"),
    ("TypeError: load() got an unexpected keyword argument 'limit'", "'limit'"),
    ("certificate verify failed: Hostname mismatch, certificate is not valid for 'pay.test'", "'pay.test'"),
    (
        "ValidationError: 1 validation error for Order\namount\n  Input is no number [input_value='x1']",
        "'x1'",
    ),
    ("prefect.exceptions.ObjectNotFound: Work pool 'k8s-eu' not found", "(k8s-eu)"),
    ('psycopg.OperationalError: FATAL: database "lake" does not exist', "'lake'"),
    ("OSError: libGL.so.1: cannot open shared object file: No such file or directory", "libGL.so.1"),
    ("ValueError: bad row in line 7\nwhile reading /srv/in/orders.csv", "/srv/in/orders.csv"),
    ("LAKE_ERROR: Failed to read ORC file: lake/part-8.orc", "lake/part-8.orc"),
    (
        (
            "Traceback (most recent call last):\n"
            "  File \"/srv/f.py\", line 9, in g\n    return FEES[k]\nKeyError: 'air'"
        ),
        "traceback names (/srv/f.py:9)",
    ),
    (
        (
            "Traceback (most recent call last):\n"
            '  File "/srv/f.py", line 9, in g\n    os.environ["MAIL_KEY"]\nKeyError: \'MAIL_KEY\''
        ),
        "MAIL_KEY",
    ),
]
"""Faults, and how the advice on each names its object."""


def advised(text: str) -> str:
    """Return the advice on a text, without the line that it quotes."""
    return " ".join(line.split(" Seen: ")[0] for line in recommendations(diagnose_text(text)))


def test_different_faults_get_different_advice() -> None:
    told = {advised(text): text for text, _ in FAULTS}
    assert len(told) == len(FAULTS)


@pytest.mark.parametrize(("text", "named"), FAULTS, ids=[text[:40] for text, _ in FAULTS])
def test_advice_names_the_object_and_cites_its_evidence(text: str, named: str) -> None:
    assert named in advised(text)
    said = recommendations(diagnose_text(text))[0]
    assert "Seen: “" in said
    assert text.splitlines()[0][:30] in said or text.splitlines()[-1] in said


@pytest.mark.parametrize(
    ("text", "no"),
    [
        ('pandas.errors.ParserError: bad row\n  File "/app/flows/orders.py", line 3, in g', "in question is"),
        ("KeyError: 'total' (see https://docs.example.test/a)", "address"),
        ('FATAL: password authentication failed for user "etl"', "block (etl)"),
        ("ssl.SSLError: [SSL: WRONG_VERSION_NUMBER] wrong version number (_ssl.c:1006)", "_ssl.c:1006"),
        ("KeyError: \"['vat_rate'] not in index\"", "'['"),
    ],
)
def test_what_is_not_in_question_is_not_named(text: str, no: str) -> None:
    assert no not in advised(text)


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
    assert "0 of the last 3 other runs failed." in facts(diagnose_text("KeyError: 'x'"), found)


def test_an_unknown_failure_gets_no_made_up_advice() -> None:
    told = recommendations(diagnose_text("it went wrong"))
    assert told == ("No known cause fits; begin with what is said there: “it went wrong” (line 1).",)
    assert recommendations(diagnose_text("")) == ()
    assert facts(diagnose_text("")) == ("Could not be read: failure text.",)


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
