"""Which of all that was read of a run decides."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from prefect_autopilot.troubleshooting import diagnose

Make = Callable[..., Any]

HTTP_503 = "HTTPStatusError: Server error '503 Service Unavailable' for url 'https://erp.example.test/orders'"


def traced(error: str, code: str = "call()") -> str:
    return (
        "Encountered exception during execution: X\nTraceback (most recent call last):\n"
        f'  File "/srv/flows/load.py", line 7, in load\n    {code}\n{error}\n'
    )


def test_the_traceback_of_the_final_state_decides(evidence: Make, log: Make) -> None:
    found = diagnose(
        evidence(f"Flow run encountered an exception: {HTTP_503}", logs=(log(traced(HTTP_503)),))
    )
    assert (found.category, found.transient, found.status) == ("external_service", True, 503)
    assert found.evidence[0].where.startswith("log 1")
    assert found.evidence[1].where == "/srv/flows/load.py:7"


def test_a_handled_traceback_in_the_log_is_not_the_failure(evidence: Make, log: Make) -> None:
    noise = (
        log(traced("KeyError: 'legacy'"), seconds=-5),
        log("thumbnailer: last job ended with MemoryError", level=20, seconds=-4),
        log("permission denied for /mnt/old, skipped", level=30, seconds=-3),
    )
    found = diagnose(
        evidence(f"Flow run encountered an exception: {HTTP_503}", logs=(*noise, log(traced(HTTP_503))))
    )
    assert found.category == "external_service"


def test_a_handled_traceback_after_the_failing_one_changes_nothing(evidence: Make, log: Make) -> None:
    logs = (log(traced(HTTP_503), seconds=-5), log(traced("KeyError: 'cleanup'"), seconds=-1))
    assert (
        diagnose(evidence(f"Flow run encountered an exception: {HTTP_503}", logs=logs)).category
        == "external_service"
    )


def test_lines_of_an_earlier_attempt_do_not_count(evidence: Make, log: Make) -> None:
    old = log(traced("MemoryError"), seconds=-60)
    found = diagnose(evidence(f"Flow run encountered an exception: {HTTP_503}", logs=(old,)))
    assert found.category == "external_service"


def test_a_logged_body_tells_a_rate_limit_from_a_missing_right(evidence: Make, log: Make) -> None:
    error = "HTTPStatusError: Client error '403 Forbidden' for url 'https://sheets.example.test/v4'"
    told = log('HTTP 403 {"error": {"errors": [{"reason": "rateLimitExceeded"}]}}')
    with_body = diagnose(
        evidence(f"Flow run encountered an exception: {error}", logs=(told, log(traced(error))))
    )
    without = diagnose(evidence(f"Flow run encountered an exception: {error}", logs=(log(traced(error)),)))
    assert (with_body.category, with_body.transient) == ("external_service", True)
    assert (without.category, without.transient) == ("permissions", False)


def test_a_logged_daily_quota_is_not_retried(evidence: Make, log: Make) -> None:
    error = "HTTPStatusError: Client error '429 Too Many Requests' for url 'https://geo.example.test/code'"
    told = log("geocoder said 429 {'error': 'Daily quota exceeded'}")
    found = diagnose(evidence(f"Flow run encountered an exception: {error}", logs=(told, log(traced(error)))))
    assert (found.category, found.transient) == ("resource", False)


def test_a_logged_retry_after_is_kept(evidence: Make, log: Make) -> None:
    error = "HTTPStatusError: Client error '429 Too Many Requests' for url 'https://crm.example.test/people'"
    told = log("rate limited, Retry-After: 25", level=30)
    found = diagnose(evidence(f"Flow run encountered an exception: {error}", logs=(told, log(traced(error)))))
    assert (found.retry_after_s, found.refused) == (25.0, True)


def test_the_state_of_the_failed_task_is_read_when_the_run_says_little(evidence: Make, task: Make) -> None:
    failed = task(
        "load-0",
        "FAILED",
        message="Task run encountered an exception: sqlite3.OperationalError: database is locked",
    )
    found = diagnose(evidence("1/1 states failed.", task_runs=(failed,)))
    assert (found.category, found.transient) == ("performance", True)


def test_a_task_of_an_earlier_attempt_is_not_read(evidence: Make, task: Make, run: Make, state: Make) -> None:
    old = task("load-0", "FAILED", message="MemoryError", attempt=1)
    second = run(run_count=2, state=state(message=HTTP_503))
    assert diagnose(evidence(run=second, task_runs=(old,))).category == "external_service"


def test_a_killed_process_is_read_from_the_infrastructure(
    evidence: Make, run: Make, state: Make, log: Make
) -> None:
    crashed = run(
        state=state("CRASHED", message="Flow run infrastructure exited with non-zero status code -9.")
    )
    found = diagnose(
        evidence(run=crashed, logs=(log("Process for run exited with status code: -9; SIGKILL", level=40),))
    )
    assert (found.category, found.transient) == ("resource", True)


@pytest.mark.parametrize("kind", ["COMPLETED", "RUNNING", "PAUSED"])
def test_a_noisy_run_that_did_not_fail_is_no_failure(
    evidence: Make, run: Make, state: Make, log: Make, kind: str
) -> None:
    found = diagnose(evidence(run=run(state=state(kind)), logs=(log(traced("KeyError: 'legacy'")),)))
    assert (found.category, found.severity, found.transient, found.remedy) == (
        "unknown",
        "info",
        False,
        "none",
    )


def test_a_cancelled_run_is_no_failure(evidence: Make, run: Make, state: Make) -> None:
    found = diagnose(evidence(run=run(state=state("CANCELLED", message="cancelled in the UI"))))
    assert (found.pattern, found.severity) == ("cancelled", "info")


def test_nothing_to_read_is_unknown_and_says_what_is_missing(evidence: Make) -> None:
    found = diagnose(evidence(None, missing=("task runs",)))
    assert found.category == "unknown"
    assert {"logs", "task runs"} <= set(found.missing)


def test_a_users_timeout_error_under_the_state_timed_out_is_read_from_its_text(
    evidence: Make, run: Make
) -> None:
    state = {"id": "s1", "type": "FAILED", "name": "TimedOut", "timestamp": "2026-03-02T02:59:50Z"}
    own = run(state={**state, "message": "Flow run encountered an exception: KeyError: 'net'"})
    assert diagnose(evidence(run=own)).category == "logic"


def test_huge_logs_are_read_in_bounded_time(evidence: Make, log: Make) -> None:
    logs = tuple(log(f"part {n} failed", seconds=-10 + n / 10_000) for n in range(50_000))
    found = diagnose(evidence(HTTP_503, logs=(*logs, log("y" * 1_000_000))))
    assert found.category == "external_service"
