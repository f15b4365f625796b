"""Where two answers could be given: which one is, and that the other is named as considered."""

from __future__ import annotations

import pytest

from prefect_autopilot.models import IssueCategory
from prefect_autopilot.troubleshooting import diagnose_text

DURING = "\n\nDuring handling of the above exception, another exception occurred:\n\n"
DIRECT = "\n\nThe above exception was the direct cause of the following exception:\n\n"


def raised(error: str, *, file: str = "/opt/etl/flows/nightly.py", code: str = "rows = fetch(day)") -> str:
    return f'Traceback (most recent call last):\n  File "{file}", line 31, in load\n    {code}\n{error}'


CHAINS = [
    pytest.param(
        raised("ConnectionRefusedError: [Errno 111] Connection refused")
        + DIRECT
        + raised("acme.LoadError: the day could not be loaded"),
        "connectivity",
        id="a library wraps what happened below",
    ),
    pytest.param(
        raised("psycopg2.OperationalError: FATAL:  sorry, too many clients already")
        + DIRECT
        + raised("sqlalchemy.exc.OperationalError: (psycopg2.OperationalError) too many clients"),
        "resource",
        id="an ORM repeats its driver",
    ),
    pytest.param(
        raised("OSError: [Errno 28] No space left on device")
        + DURING
        + raised("AttributeError: 'NoneType' object has no attribute 'close'", code="self.file.close()"),
        "resource",
        id="the clean-up stumbles over its own bug",
    ),
    pytest.param(
        raised("httpx.ReadTimeout: The read operation timed out")
        + DURING
        + raised("KeyError: 'fallback'", code='return cache["fallback"]'),
        "timeout",
        id="the fallback is broken as well",
    ),
    pytest.param(
        raised("MemoryError")
        + DIRECT
        + raised("RuntimeError: step 3 failed")
        + DIRECT
        + raised("Exception: run failed"),
        "resource",
        id="three links of a chain",
    ),
    pytest.param(
        "org.apache.spark.SparkException: Job aborted due to stage failure\n"
        "Caused by: java.io.IOException: write failed\n"
        "Caused by: java.io.IOException: No space left on device\n\tat a.b.C(D.java:1)",
        "resource",
        id="Java names the root last",
    ),
    pytest.param(
        raised("KeyError: 'net'", code="row['net']")
        + "\n\n2026-02-11 03:00:09,001 INFO - attempt 2\n"
        + raised("ConnectionResetError: [Errno 104] Connection reset by peer"),
        "connectivity",
        id="two separate tracebacks: the last ended the run",
    ),
]


@pytest.mark.parametrize(("text", "category"), CHAINS)
def test_the_root_of_a_chain_decides(text: str, category: str) -> None:
    assert diagnose_text(text).category == category


def test_the_bug_of_a_handler_is_named_as_considered() -> None:
    text = (
        raised("OSError: [Errno 28] No space left on device") + DURING + raised("TypeError: bad operand type")
    )
    assert IssueCategory.LOGIC in {item.category for item in diagnose_text(text).alternatives}


PAIRS = [
    pytest.param(
        "requests.exceptions.ConnectTimeout: Connection to api.acme.test timed out. (connect timeout=5)",
        "timeout",
        id="connect timeout is a timeout",
    ),
    pytest.param(
        "requests.exceptions.ConnectionError: [Errno 111] Connection refused",
        "connectivity",
        id="refused is not",
    ),
    pytest.param(
        "requests.exceptions.ReadTimeout: Read timed out. (read timeout=30)", "timeout", id="read timeout"
    ),
    pytest.param(
        "HTTPError: 504 Server Error: Gateway Time-out for url: https://x.acme.test",
        "external_service",
        id="504 is the gateway's answer",
    ),
    pytest.param(
        "HTTPError: 408 Client Error: Request Timeout for url: https://x.acme.test",
        "timeout",
        id="408 is a deadline",
    ),
    pytest.param("Error code: 429 - limit of 60 requests per minute", "external_service", id="rate window"),
    pytest.param(
        "Error code: 429 - you exceeded your monthly quota, see billing", "resource", id="hard quota"
    ),
    pytest.param("HTTPError: 402 Client Error: Payment Required", "resource", id="not paid"),
    pytest.param("HTTPError: 401 Client Error: Unauthorized", "permissions", id="credential refused"),
    pytest.param(
        "google.auth.exceptions.DefaultCredentialsError: Could not automatically determine credentials",
        "configuration",
        id="credential not there",
    ),
    pytest.param(
        "AttributeError: module 'pandas' has no attribute 'Panel'", "configuration", id="version skew"
    ),
    pytest.param(
        raised("AttributeError: 'Order' object has no attribute 'totl'", code="return order.totl"),
        "logic",
        id="own slip",
    ),
    pytest.param('psycopg2.errors.UndefinedColumn: column "net" does not exist', "data", id="schema drift"),
    pytest.param(
        "pydantic_core._pydantic_core.ValidationError: 1 validation error for Settings\nurl\n  required",
        "configuration",
        id="settings validated",
    ),
    pytest.param(
        "pydantic_core._pydantic_core.ValidationError: 1 validation error for Invoice\nurl\n  Field required",
        "data",
        id="records validated",
    ),
    pytest.param("Process exited with status code: -15", "resource", id="SIGTERM"),
    pytest.param("Process exited with status code: 143", "resource", id="SIGTERM told by a shell"),
    pytest.param("Process exited with status code: 1", "logic", id="exit code 1 and nothing else"),
    pytest.param("psycopg2.errors.DeadlockDetected: deadlock detected", "performance", id="deadlock"),
    pytest.param(
        "(1205, 'Lock wait timeout exceeded; try restarting transaction')", "timeout", id="lock wait"
    ),
    pytest.param(
        "ssl.SSLCertVerificationError: certificate verify failed: self-signed certificate",
        "connectivity",
        id="certificate",
    ),
    pytest.param(
        "python: can't open file '/opt/etl/nightly.py': [Errno 2] No such file or directory",
        "configuration",
        id="flow file missing",
    ),
    pytest.param(
        "FileNotFoundError: [Errno 2] No such file or directory: '/in/2026-02-11/orders.csv'",
        "data",
        id="input file missing",
    ),
    pytest.param(
        "asyncpg.exceptions.TooManyConnectionsError: sorry, too many clients already", "resource", id="slots"
    ),
    pytest.param(
        "sqlalchemy.exc.InvalidRequestError: This Session's transaction has been rolled back",
        "logic",
        id="ORM misuse",
    ),
    pytest.param("RuntimeError: Event loop is closed", "logic", id="async misuse"),
]


@pytest.mark.parametrize(("text", "category"), PAIRS)
def test_of_two_answers_the_place_to_act_is_given(text: str, category: str) -> None:
    found = diagnose_text(text)
    assert found.category == category, found.pattern


TRANSIENT = [
    ("ConnectionResetError: [Errno 104] Connection reset by peer", True),
    ("HTTPError: 503 Server Error: Service Unavailable", True),
    ("Error code: 429 - slow down", True),
    ("psycopg2.errors.DeadlockDetected: deadlock detected", True),
    ("The node was low on resource: memory. Pod was evicted.", True),
    ("Process exited with status code: -9", True),
    ("MemoryError", False),
    ("Pod terminated: OOMKilled, exit code 137", False),
    ("OSError: [Errno 28] No space left on device", False),
    ("invalid_grant: Token has been expired or revoked.", False),
    ("HTTPError: 403 Client Error: Forbidden", False),
    ("HTTPError: 401 Client Error: Unauthorized", False),
    ("certificate verify failed: certificate has expired", False),
    ("duplicate key value violates unique constraint", False),
    ("ModuleNotFoundError: No module named 'polars'", False),
    ("TypeError: 'int' object is not iterable", False),
]


@pytest.mark.parametrize(("text", "transient"), TRANSIENT, ids=[text[:40] for text, _ in TRANSIENT])
def test_transient_means_that_nobody_has_to_change_anything(text: str, *, transient: bool) -> None:
    assert diagnose_text(text).transient is transient


SEVERITIES = [
    ("OSError: [Errno 28] No space left on device", "critical"),
    ("HTTPError: 403 Client Error: Forbidden", "high"),
    ("ModuleNotFoundError: No module named 'polars'", "high"),
    ("HTTPError: 503 Server Error: Service Unavailable", "medium"),
    ("deadlock detected", "medium"),
]


@pytest.mark.parametrize(("text", "severity"), SEVERITIES, ids=[text[:40] for text, _ in SEVERITIES])
def test_severity_tells_who_is_hit_until_when(text: str, severity: str) -> None:
    assert diagnose_text(text).severity == severity


REFUSED = [
    ("ConnectionRefusedError: [Errno 111] Connection refused", True),
    ("socket.gaierror: [Errno -2] Name or service not known", True),
    ("Error code: 429 - slow down", True),
    ("HTTPError: 401 Client Error: Unauthorized", True),
    ("HTTPError: 403 Client Error: Forbidden", True),
    ("httpx.ConnectTimeout: timed out", True),
    ("httpx.ReadTimeout: timed out", False),
    ("ConnectionResetError: [Errno 104] Connection reset by peer", False),
    ("HTTPError: 500 Server Error: Internal Server Error", False),
    ("HTTPError: 502 Server Error: Bad Gateway", False),
    ("HTTPError: 504 Server Error: Gateway Time-out", False),
    ("HTTPError: 503 Server Error: Service Unavailable", False),
    ("Process exited with status code: -9", False),
    ("deadlock detected", False),
]


@pytest.mark.parametrize(("text", "refused"), REFUSED, ids=[text[:40] for text, _ in REFUSED])
def test_only_what_was_surely_not_begun_is_called_refused(text: str, *, refused: bool) -> None:
    assert diagnose_text(text).refused is refused


@pytest.mark.parametrize(
    ("text", "status"),
    [
        ("httpx.HTTPStatusError: Server error '503 Service Unavailable' for url 'https://x.acme.test'", 503),
        ("urllib.error.HTTPError: HTTP Error 429: Too Many Requests", 429),
        ("requests.exceptions.HTTPError: 404 Client Error: Not Found for url: https://x.acme.test", 404),
        ("ConnectionRefusedError: [Errno 111] Connection refused", None),
        ("read 503 rows, then: KeyError: 'net'", None),
    ],
)
def test_the_status_of_the_answer_is_kept(text: str, status: int | None) -> None:
    assert diagnose_text(text).status == status


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("KeyError: 'net'", "KeyError"),
        (raised("psycopg2.errors.DeadlockDetected: deadlock detected"), "psycopg2.errors.DeadlockDetected"),
        (
            "Flow run encountered an exception: ValueError: could not convert string to float: 'x'",
            "ValueError",
        ),
        ("Process exited with status code: -9", None),
    ],
)
def test_the_class_of_the_root_exception_is_kept(text: str, name: str | None) -> None:
    assert diagnose_text(text).exception == name
