"""The knowledge itself: every pattern wins on its own examples and on nobody else's."""

from __future__ import annotations

from importlib import resources

import pytest

from prefect_autopilot.models import IssueCategory
from prefect_autopilot.redaction import redact
from prefect_autopilot.troubleshooting import diagnose_text
from prefect_autopilot.troubleshooting.knowledge import load_patterns
from prefect_autopilot.troubleshooting.parse import parse
from prefect_autopilot.troubleshooting.technologies import find_service, load_technologies

EXAMPLES = [(pattern, text) for pattern in load_patterns() for text in pattern.examples]
PERMANENT_REMEDIES = {"fix_code", "fix_data", "fix_configuration", "install_dependency", "grant_permission"}


@pytest.mark.parametrize(("pattern", "text"), EXAMPLES, ids=[f"{p.name}: {t[:40]}" for p, t in EXAMPLES])
def test_an_example_is_decided_by_its_own_pattern(pattern: object, text: str) -> None:
    diagnosis = diagnose_text(text)
    assert diagnosis.pattern == getattr(pattern, "name", None)
    assert diagnosis.category == getattr(pattern, "category", None)


@pytest.mark.parametrize("pattern", load_patterns(), ids=lambda pattern: pattern.name)
def test_a_pattern_is_complete(pattern: object) -> None:
    entry = pattern
    assert getattr(entry, "examples", ())
    assert getattr(entry, "why", "").endswith((".", "x."))
    assert getattr(entry, "advice", "").endswith(".")
    assert 0 < getattr(entry, "confidence", 0) < 1
    assert any(getattr(entry, key) for key in ("codes", "exceptions", "any", "regex"))


@pytest.mark.parametrize("pattern", load_patterns(), ids=lambda pattern: pattern.name)
def test_what_needs_a_person_is_never_called_transient(pattern: object) -> None:
    if getattr(pattern, "remedy", "") in PERMANENT_REMEDIES:
        assert not getattr(pattern, "transient", True)


def test_every_category_has_patterns() -> None:
    known = {pattern.category for pattern in load_patterns()}
    assert known == set(IssueCategory) - {IssueCategory.UNKNOWN}


def test_the_knowledge_is_packaged_data() -> None:
    folder = resources.files("prefect_autopilot.troubleshooting") / "patterns"
    names = {item.name for item in folder.iterdir()}
    assert names == {f"{category}.toml" for category in IssueCategory if category != IssueCategory.UNKNOWN}


@pytest.mark.parametrize(
    ("text", "service"),
    [
        ("psycopg2.OperationalError: could not connect", "postgres"),
        (
            "botocore.exceptions.ClientError: An error (SlowDown) when calling the PutObject operation",
            "aws s3",
        ),
        ("requests.exceptions.HTTPError: 429 for url: https://api.hubapi.com/crm/v3/objects", "hubspot"),
        ("redis.exceptions.ConnectionError: gone", "redis"),
        ("ORA-00060: deadlock", "oracle"),
        ("ValueError: the plan has no end", None),
    ],
)
def test_the_service_is_named_where_the_text_names_it(text: str, service: str | None) -> None:
    assert find_service(parse(text)) == service


TRACEBACK = """Traceback (most recent call last):
  File "/opt/venv/lib/python3.11/site-packages/prefect/flow_engine.py", line 700, in run_flow_sync
    engine.call_flow_fn()
  File "/srv/flows/averages.py", line 12, in averages
    return load(total)
{called}{error}
"""


@pytest.mark.parametrize(
    ("called", "error", "service"),
    [
        ("", "ZeroDivisionError: division by zero", None),
        (
            '  File "/opt/site-packages/prefect/blocks/core.py", line 9, in load\n    call()\n',
            "ValueError: unable to find the document",
            "prefect",
        ),
    ],
    ids=["it runs our code", "our code calls it"],
)
def test_what_only_runs_the_code_is_not_the_service_that_failed(
    called: str, error: str, service: str | None
) -> None:
    assert find_service(parse(TRACEBACK.format(called=called, error=error))) == service


def test_technologies_have_a_way_to_be_found() -> None:
    assert all(item.modules or item.hosts or item.words for item in load_technologies())


@pytest.mark.timeout(30)  # a pattern that backtracks would take far longer
def test_ten_thousand_lines_are_classified_in_bounded_time() -> None:
    lines = "\n".join(
        f"2026-01-01 03:00:00,001 INFO - chunk {n} of 10000 done in {n % 7} s" for n in range(10_000)
    )
    assert diagnose_text(f"{lines}\nsqlite3.OperationalError: database is locked")


@pytest.mark.parametrize(
    "raised", ["httpx.HTTPStatusError: Client error", "snowflake.connector.errors.DatabaseError: 250001"]
)
def test_no_cause_is_taken_for_a_secret(raised: str) -> None:
    told = [f"{pattern.cause}: {raised}" for pattern in load_patterns()]
    assert [redact(one) for one in told] == told
