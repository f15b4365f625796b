"""What is said of one condition in the words of many technologies, and what looks like it and is another."""

from __future__ import annotations

import pytest

from prefect_autopilot.troubleshooting import diagnose_text

PASSES = {
    "a job that ran elsewhere": ("Crawler run 88 finished with status: ERROR", "external_service"),
    "a class that says so": ("vendor.exceptions.LedgerJobFailed: 7714", "external_service"),
    "a drained node": ("node ip-10-1-2-3 drained by the upgrade", "resource"),
    "a machine taken back": ("vm batch-9 was deallocated by the pool", "resource"),
    "memory of a server": ("Mem usage exceed limit of query pool 8G", "resource"),
    "a slot held by another": ("The spool slot night is active for PID 77", "performance"),
    "a push that came second": ("! [rejected] dev -> dev (non-fast-forward)", "performance"),
    "nothing but a time-out": ("** (Mint.TransportError) timeout", "timeout"),
    "a Go program killed": ("signal: killed", "resource"),
    "make tells a signal": ("make: *** [load] Error 137", "resource"),
    "a pool in a panic": (
        "thread 'main' panicked at src/db.rs:4:2:\ncalled `Result::unwrap()` on an `Err` value: PoolTimedOut",
        "resource",
    ),
    "a status before its path": ("tap: 429 from /crm/v3, giving up", "external_service"),
    "a limit of a minute": (
        "ClientError: 429 RESOURCE_EXHAUSTED. You exceeded your current quota. Metric: calls_per_minute",
        "external_service",
    ),
    "runs of a curating job": (
        "ConcurrentRunsExceededException: concurrent runs exceeded for curate_orders",
        "resource",
    ),
}
LASTS = {
    "a bug in a panic": (
        "thread 'main' panicked at src/a.rs:4:2:\nindex out of bounds: the len is 3 but the index is 3",
        "logic",
    ),
    "goroutines that wait for one another": ("fatal error: all goroutines are asleep - deadlock!", "logic"),
    "a list changed under its reader": ("java.util.ConcurrentModificationException", "logic"),
    "a cluster's rule": (
        'ApiException: (403) Forbidden {"message":"admission webhook gate denied the request: no tag"}',
        "configuration",
    ),
    "an option nobody knows": ("Error: unknown flag: --regoin", "configuration"),
    "a field that went": ("Column zip_code was renamed upstream; the mapping names it still", "data"),
    "a certificate of .NET": (
        "AuthenticationException: The remote certificate is invalid: NotTimeValid",
        "connectivity",
    ),
    "a limit of a day": ("HTTP 429 error: the account exceeded the 50 daily messages limit", "resource"),
    "memory of a container": ("Container killed by YARN for exceeding physical memory limits", "resource"),
    "XML that is none": ("ParseError: not well-formed (invalid token): line 3, column 1", "data"),
}


@pytest.mark.parametrize(("text", "category"), PASSES.values(), ids=list(PASSES))
def test_what_passes_is_told_by_its_condition(text: str, category: str) -> None:
    found = diagnose_text(text)
    assert (found.category, found.transient) == (category, True)


@pytest.mark.parametrize(("text", "category"), LASTS.values(), ids=list(LASTS))
def test_what_lasts_is_not_taken_for_what_it_looks_like(text: str, category: str) -> None:
    found = diagnose_text(text)
    assert (found.category, found.transient) == (category, False)


def test_of_what_nothing_is_known_of_it_is_not_said_that_it_lasts() -> None:
    found = diagnose_text("ERROR: qqx zzv wwk failed")
    assert (found.category, found.transient) == ("unknown", True)


def test_a_traceback_without_its_exception_is_nothing_to_try_again() -> None:
    found = diagnose_text('  File "/srv/a.py", line 3, in visit\n    return f(node)\n')
    assert (found.category, found.transient) == ("unknown", False)
