"""What the trained model thinks of a failure that a pattern decides, and codes that classes stand for."""

from __future__ import annotations

import pytest

from prefect_autopilot.models import IssueCategory
from prefect_autopilot.troubleshooting import diagnose_text
from prefect_autopilot.troubleshooting.codes import find_codes
from prefect_autopilot.troubleshooting.knowledge import load_patterns
from prefect_autopilot.troubleshooting.model import judge
from prefect_autopilot.troubleshooting.parse import parse

DOTNET = """Unhandled exception. System.Net.Http.HttpRequestException: refused (db:80)
 ---> System.Net.Sockets.SocketException (111): Connection refused"""
CONFIDENCE = {pattern.name: pattern.confidence for pattern in load_patterns()}


@pytest.mark.parametrize(
    ("text", "code"),
    [
        pytest.param("psycopg2.errors.SerializationFailure: again", "sqlstate:40001", id="psycopg2"),
        pytest.param("(psycopg.errors.UniqueViolation) no", "sqlstate:23505", id="psycopg in SQLAlchemy"),
        pytest.param(
            "asyncpg.exceptions.DeadlockDetectedError: x", "sqlstate:40P01", id="asyncpg says Error"
        ),
        pytest.param(
            "vertica_python.errors.MissingRelation: x", "sqlstate:42P01", id="Vertica names its own"
        ),
        pytest.param(
            "google.api_core.exceptions.ResourceExhausted: x", "grpc:RESOURCE_EXHAUSTED", id="google api core"
        ),
        pytest.param("Message: no, Sqlstate: 42501, Error Code: 1", "sqlstate:42501", id="however written"),
        pytest.param("SQL30082N  no.  SQLSTATE=08001 SQLCODE=-30082", "db2:30082", id="Db2"),
        pytest.param(
            "[Session 1] [Teradata Database] [Error 3523] no", "teradata:3523", id="Teradata in brackets"
        ),
    ],
)
def test_a_class_or_vendor_message_is_read_as_its_code(text: str, code: str) -> None:
    assert code in find_codes(text)


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("app.errors.UniqueViolation: x", id="a class of that name elsewhere"),
        pytest.param("psycopg2.errors.SomethingElse: x", id="a class that is in no table"),
        pytest.param("[Error 3523] of the sorting machine", id="a vendor's form without the vendor"),
    ],
)
def test_what_only_looks_alike_is_no_code(text: str) -> None:
    assert not {code for code in find_codes(text) if code.startswith(("sqlstate", "grpc", "teradata"))}


def test_two_opinions_that_agree_are_surer_than_one() -> None:
    found = diagnose_text(
        'psycopg2.OperationalError: connection to server at "db" failed: Connection refused'
    )
    learnt = judge(
        parse('psycopg2.OperationalError: connection to server at "db" failed: Connection refused')
    )
    assert found.pattern is not None
    assert learnt is not None
    assert learnt.category is found.category
    assert found.confidence > CONFIDENCE[found.pattern]


def test_two_opinions_that_differ_are_less_sure_and_the_other_is_told() -> None:
    text = "ledger.errors.LedgerNotFoundError: connection refused the network address of host"
    found, learnt = diagnose_text(text), judge(parse(text))
    assert learnt is not None
    if learnt.category is not found.category and found.pattern in CONFIDENCE:
        assert found.confidence < CONFIDENCE[found.pattern]


@pytest.mark.parametrize("text", ["Strange: thing", "nope", "x", "ok: done"], ids=str)
def test_too_few_words_are_no_opinion(text: str) -> None:
    assert judge(parse(text)) is None


@pytest.mark.parametrize(
    ("text", "category"),
    [
        ("Unhandled exception. System.NullReferenceException: Object reference not set", IssueCategory.LOGIC),
        (DOTNET, IssueCategory.CONNECTIVITY),
        ('Exception in thread "main" java.lang.OutOfMemoryError: Java heap space', IssueCategory.RESOURCE),
        ("Uncaught ReferenceError: total is not here", IssueCategory.LOGIC),
    ],
    ids=["dotnet", "dotnet with a cause", "jvm", "javascript"],
)
def test_what_a_runtime_writes_before_the_class_hides_nothing(text: str, category: IssueCategory) -> None:
    found = diagnose_text(text)
    assert found.category is category
    assert found.exception


def test_a_library_class_nobody_knows_is_not_called_a_fault_of_the_code() -> None:
    found = diagnose_text("pkg.errors.QuuxError: xyzzy 7")
    assert found.category is IssueCategory.UNKNOWN
    own = diagnose_text("QuuxError: cannot go on with the plan")
    assert own.category is IssueCategory.LOGIC
    assert own.confidence < 0.7
