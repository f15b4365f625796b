"""Texts that mislead: each of these was got wrong by somebody's keyword list."""

from __future__ import annotations

import pytest

from prefect_autopilot.errors import ServiceError
from prefect_autopilot.troubleshooting import diagnose_text


def trace(file: str, function: str, code: str, error: str) -> str:
    return f'Traceback (most recent call last):\n  File "{file}", line 12, in {function}\n    {code}\n{error}'


CATEGORY = [
    pytest.param(
        "HTTPError: 403 Client Error: Forbidden\n{'reason': 'userRateLimitExceeded'}",
        "external_service",
        True,
        "wait_rate_limit",
        id="a 403 that is a rate limit",
    ),
    pytest.param(
        "HTTPError: 403 Client Error: Forbidden for url: https://wiki.example.test",
        "permissions",
        False,
        "grant_permission",
        id="a 403 that is one",
    ),
    pytest.param(
        "HTTPStatusError: Client error '429 Too Many Requests'\nbody: the daily quota is used up",
        "resource",
        False,
        "none",
        id="a 429 that will not pass today",
    ),
    pytest.param(
        "HTTPStatusError: Client error '429 Too Many Requests' for url 'https://x.example.test'",
        "external_service",
        True,
        "wait_rate_limit",
        id="a 429 that passes",
    ),
    pytest.param(
        "HTTPStatusError: Client error '404 Not Found'\n{'status': 'not_ready'}",
        "data",
        True,
        "retry_backoff",
        id="a 404 that is not there yet",
    ),
    pytest.param(
        "HTTPStatusError: Client error '404 Not Found' for url 'https://x.example.test/v0'",
        "configuration",
        False,
        "fix_configuration",
        id="a 404 for good",
    ),
    pytest.param(
        "json.decoder.JSONDecodeError: Expecting value: line 1 column 1 (char 0)",
        "data",
        True,
        "retry_backoff",
        id="JSON that hides a page or nothing",
    ),
    pytest.param(
        "json.decoder.JSONDecodeError: Expecting ',' delimiter: line 90 column 4 (char 811)",
        "data",
        False,
        "fix_data",
        id="JSON that is broken inside",
    ),
    pytest.param(
        trace("/srv/flows/a.py", "token", "key = os.environ['BILL_KEY']", "KeyError: 'BILL_KEY'"),
        "configuration",
        False,
        "fix_configuration",
        id="KeyError of the environment",
    ),
    pytest.param(
        trace("/srv/flows/a.py", "total", "s += row['net']", "KeyError: 'net'"),
        "data",
        False,
        "fix_data",
        id="KeyError of a row",
    ),
    pytest.param(
        trace("/srv/flows/a.py", "fee", "return FEES[kind]", "KeyError: 'express'"),
        "logic",
        False,
        "fix_code",
        id="KeyError of an own table",
    ),
    pytest.param(
        "2026-01-01 03:00:00 INFO - last job ended with MemoryError\n"
        "2026-01-01 03:00:01 INFO - permission denied for /old, skipped\n"
        "HTTPError: 503 Server Error: Service Unavailable for url: https://x.example.test",
        "external_service",
        True,
        "retry_backoff",
        id="noise before the error",
    ),
    pytest.param("Process exited with status code: -9", "resource", True, "retry_backoff", id="killed"),
    pytest.param(
        "Process exited with status code: 1", "logic", False, "fix_code", id="exit code 1 and nothing else"
    ),
    pytest.param(
        "Flow run infrastructure exited with non-zero status code 137 (OOMKilled)",
        "resource",
        False,
        "increase_memory",
        id="137 that says why",
    ),
    pytest.param(
        "ModuleNotFoundError: No module named 'holidays'",
        "configuration",
        False,
        "install_dependency",
        id="missing module",
    ),
    pytest.param(
        "Lock wait timeout exceeded; try restarting transaction",
        "timeout",
        True,
        "retry_backoff",
        id="a lock wait that timed out",
    ),
    pytest.param("deadlock detected", "performance", True, "retry_backoff", id="a deadlock"),
    pytest.param(
        "QueuePool limit of size 5 overflow 10 reached, connection timed out, timeout 30.00",
        "resource",
        True,
        "reduce_concurrency",
        id="a pool that looks like a timeout",
    ),
    pytest.param(
        "psycopg2.OperationalError: FATAL: sorry, too many clients already",
        "resource",
        True,
        "reduce_concurrency",
        id="slots that look like a connection",
    ),
    pytest.param(
        "FileNotFoundError: [Errno 2] No such file or directory: '/in/day-7.csv'",
        "data",
        False,
        "fix_data",
        id="missing input",
    ),
    pytest.param(
        "FileNotFoundError: [Errno 2] No such file or directory: '/etc/app/settings.yaml'",
        "configuration",
        False,
        "fix_configuration",
        id="missing settings",
    ),
    pytest.param(
        "google.auth.exceptions.RefreshError: ('invalid_grant: Token has been expired or revoked.')",
        "permissions",
        False,
        "refresh_credentials",
        id="a revoked grant",
    ),
    pytest.param(
        "pydantic_core.ValidationError: 1 validation error for Settings\napi_key\n  Field required",
        "configuration",
        False,
        "fix_configuration",
        id="validated settings",
    ),
    pytest.param(
        "pydantic_core.ValidationError: 1 validation error for Order\n"
        "price\n  Input should be a valid number",
        "data",
        False,
        "fix_data",
        id="validated records",
    ),
    pytest.param(
        "OSError: Tunnel connection failed: 403 Forbidden",
        "connectivity",
        False,
        "fix_configuration",
        id="a 403 of the proxy",
    ),
    pytest.param(
        "[SSL: WRONG_VERSION_NUMBER] wrong version number (_ssl.c:1006)",
        "connectivity",
        False,
        "fix_configuration",
        id="https on a plain port",
    ),
]


@pytest.mark.parametrize(("text", "category", "transient", "remedy"), CATEGORY)
def test_a_trap_is_seen(text: str, category: str, remedy: str, *, transient: bool) -> None:
    found = diagnose_text(text)
    assert (found.category, found.transient, found.remedy) == (category, transient, remedy)


def test_a_users_own_timeout_error_is_read_from_its_text_not_from_the_state() -> None:
    found = diagnose_text("Flow run encountered an exception: TimeoutError: the partner never sent the file")
    assert found.category == "timeout"
    other = diagnose_text("ValueError: could not convert string to float: 'n/a'", "FAILED")
    assert other.category == "data"


@pytest.mark.parametrize("state", ["CANCELLED", "CANCELLING", "cancelled"])
def test_a_cancelled_run_is_no_failure(state: str) -> None:
    found = diagnose_text("HTTPError: 503 Server Error", state)
    assert (found.severity, found.transient, found.remedy) == ("info", False, "none")


@pytest.mark.parametrize(
    "text", ["", "   \n ", "it went wrong", "\x00\x01\x02", "Lorem ipsum dolor sit amet"]
)
def test_what_fits_nothing_is_unknown_and_unsure(text: str) -> None:
    found = diagnose_text(text)
    assert found.category == "unknown"
    assert found.confidence < 0.5
    assert found.remedy == "none"


def test_an_empty_text_says_that_it_is_missing() -> None:
    assert diagnose_text("").missing == ("failure text",)


def test_a_diagnosis_cites_the_deciding_line_and_own_code() -> None:
    found = diagnose_text(trace("/srv/flows/a.py", "total", "s += row['net']", "KeyError: 'net'"))
    assert found.evidence[0].text == "KeyError: 'net'"
    assert found.evidence[1].where == "/srv/flows/a.py:12"
    assert "row['net']" in found.evidence[1].text


def test_alternatives_say_why_they_were_rejected() -> None:
    found = diagnose_text(
        "psycopg2.OperationalError: canceling statement due to lock timeout; server closed the connection"
    )
    assert found.alternatives
    assert all(item.category != found.category and "against" in item.reason for item in found.alternatives)


@pytest.mark.parametrize(
    ("status", "retry_after", "refused"),
    [
        (429, 5.0, True),
        (429, None, True),
        (503, 30.0, True),
        (503, None, False),
        (500, None, False),
        (502, None, False),
        (504, None, False),
    ],
)
def test_refused_means_that_the_work_was_not_begun(
    status: int, retry_after: float | None, *, refused: bool
) -> None:
    error = ServiceError(
        "The service answered with an error.",
        service="asana",
        operation="create_task",
        effect="unsafe",
        permanent=False,
        status=status,
        retry_after_s=retry_after,
        connection="asana-main",
    )
    found = diagnose_text(f"ServiceError: {error}")
    assert found.refused is refused
    assert (found.service, found.connection, found.effect, found.status) == (
        "asana",
        "asana-main",
        "unsafe",
        status,
    )
    assert found.retry_after_s == retry_after


@pytest.mark.parametrize(
    "text", ["httpx.ReadTimeout: slow", "ConnectionResetError: [Errno 104] Connection reset by peer"]
)
def test_a_call_that_may_have_arrived_is_not_called_refused(text: str) -> None:
    assert not diagnose_text(text).refused
