"""A diagnosis does not change because of what stands around the failure."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from prefect_autopilot.models import Diagnosis
from prefect_autopilot.troubleshooting import diagnose_text

FAILURES = {
    "refused": "ConnectionRefusedError: [Errno 111] Connection refused",
    "timeout": "httpx.ReadTimeout: The read operation timed out",
    "unavailable": "HTTPError: 503 Server Error: Service Unavailable for url: https://erp.acme.test/orders",
    "rate": "openai.RateLimitError: Error code: 429 - too many requests per minute",
    "forbidden": "HTTPError: 403 Client Error: Forbidden for url: https://erp.acme.test/orders",
    "module": "ModuleNotFoundError: No module named 'polars'",
    "duplicate": 'psycopg2.errors.UniqueViolation: duplicate key value violates unique constraint "uq"',
    "disk": "OSError: [Errno 28] No space left on device",
    "memory": "MemoryError",
    "deadlock": "psycopg2.errors.DeadlockDetected: deadlock detected",
    "type": "TypeError: unsupported operand type(s) for +: 'int' and 'str'",
    "number": "ValueError: could not convert string to float: 'n/a'",
}
BEGIN = datetime(2026, 2, 11, 3, 0, tzinfo=UTC)
# Healthy lines speak of the same things: that is what makes them noise.
HEALTHY = (
    "started flow run 'brave-otter' (attempt 1 of 3, timeout 3600 s)",
    "connected to postgres at db.acme.test:5432 as etl",
    "authentication succeeded, token valid for 3600 s",
    "read 503 rows from /in/orders/2026-02-11.csv in 4.04 s",
    "memory 412 MB of 2048 MB, disk 61 % used",
    "cache miss for key net_total, computing",
    "no errors found in 10000 records",
    "retry policy: 3 retries, back-off 2.0",
    "uploaded part-00017.parquet to s3://lake/orders (200 OK)",
    "checked permissions of 12 tables",
    "schema has 42 columns, as expected",
    "lock on orders acquired after 0.02 s",
)


def told(diagnosis: Diagnosis) -> tuple[object, ...]:
    """Return all that a decision is made of."""
    return (
        diagnosis.category,
        diagnosis.pattern,
        diagnosis.severity,
        diagnosis.transient,
        diagnosis.remedy,
        diagnosis.refused,
        diagnosis.status,
        diagnosis.exception,
    )


def traceback(error: str, *, folder: str = "/opt/etl/flows", line: int = 31) -> str:
    return (
        "Traceback (most recent call last):\n"
        f'  File "{folder}/nightly.py", line {line}, in load\n'
        "    rows = fetch(day)\n"
        f"{error}"
    )


def healthy(count: int, seed: int, *, level: str = "INFO") -> str:
    dice = random.Random(seed)
    lines = []
    for n in range(count):
        at = BEGIN + timedelta(seconds=n * 3)
        lines.append(f"{at:%Y-%m-%d %H:%M:%S},{n % 1000:03d} | {level} | {dice.choice(HEALTHY)}")
    return "\n".join(lines)


@pytest.mark.parametrize("name", FAILURES)
@pytest.mark.parametrize("seed", range(4))
def test_healthy_lines_before_the_failure_change_nothing(name: str, seed: int) -> None:
    failure = traceback(FAILURES[name])
    assert told(diagnose_text(f"{healthy(40, seed)}\n{failure}")) == told(diagnose_text(failure))


@pytest.mark.parametrize("name", FAILURES)
def test_healthy_lines_after_the_failure_change_nothing(name: str) -> None:
    failure = traceback(FAILURES[name])
    assert told(diagnose_text(f"{failure}\n{healthy(25, 9)}")) == told(diagnose_text(failure))


@pytest.mark.parametrize("name", FAILURES)
def test_debug_lines_change_nothing(name: str) -> None:
    failure = traceback(FAILURES[name])
    noisy = f"{healthy(10, 1, level='DEBUG')}\n{failure}\n{healthy(10, 2, level='DEBUG')}"
    assert told(diagnose_text(noisy)) == told(diagnose_text(failure))


@pytest.mark.parametrize("name", FAILURES)
def test_colours_of_a_terminal_change_nothing(name: str) -> None:
    plain = traceback(FAILURES[name])
    coloured = "\n".join(f"\x1b[1;31m{line}\x1b[0m" for line in plain.split("\n"))
    assert told(diagnose_text(coloured)) == told(diagnose_text(plain))
    assert diagnose_text(coloured).fingerprint == diagnose_text(plain).fingerprint


@pytest.mark.parametrize("name", FAILURES)
def test_line_ends_of_windows_change_nothing(name: str) -> None:
    plain = traceback(FAILURES[name])
    assert told(diagnose_text(plain.replace("\n", "\r\n"))) == told(diagnose_text(plain))


@pytest.mark.parametrize("name", FAILURES)
def test_where_the_code_lies_changes_nothing(name: str) -> None:
    near = traceback(FAILURES[name])
    far = traceback(FAILURES[name], folder="/" + "/".join(["very-long-folder-name"] * 30), line=90_001)
    assert told(diagnose_text(far)) == told(diagnose_text(near))


@pytest.mark.parametrize("name", FAILURES)
def test_the_frames_of_libraries_change_nothing(name: str) -> None:
    near = traceback(FAILURES[name])
    frames = "".join(
        f'  File "/usr/lib/python3.11/site-packages/acme/m{n}.py", line {n}, in call\n    return go(*args)\n'
        for n in range(60)
    )
    head, rest = near.split("\n", 1)
    assert told(diagnose_text(f"{head}\n{frames}{rest}")) == told(diagnose_text(near))


@pytest.mark.parametrize("name", FAILURES)
def test_the_words_of_prefect_around_it_change_nothing(name: str) -> None:
    bare = diagnose_text(FAILURES[name])
    wrapped = diagnose_text(f"Flow run encountered an exception: {FAILURES[name]}")
    assert (bare.category, bare.transient, bare.remedy) == (
        wrapped.category,
        wrapped.transient,
        wrapped.remedy,
    )


@pytest.mark.parametrize("name", FAILURES)
def test_a_failure_told_three_times_is_one_failure(name: str) -> None:
    once = traceback(FAILURES[name])
    assert told(diagnose_text("\n\n".join([once] * 3))) == told(diagnose_text(once))


@pytest.mark.parametrize("name", FAILURES)
def test_blank_lines_and_spaces_at_the_edges_change_nothing(name: str) -> None:
    plain = traceback(FAILURES[name])
    assert told(diagnose_text(f"\n\n  \n{plain}   \n\n")) == told(diagnose_text(plain))


@pytest.mark.parametrize("name", FAILURES)
def test_the_closing_line_of_prefect_changes_nothing(name: str) -> None:
    plain = traceback(FAILURES[name])
    closing = "Finished in state Failed('Flow run encountered an exception')"
    closed = f"{plain}\n2026-02-11 03:00:09,220 | ERROR | {closing}"
    assert told(diagnose_text(closed)) == told(diagnose_text(plain))


@pytest.mark.parametrize("name", FAILURES)
def test_ten_thousand_lines_before_it_change_nothing(name: str) -> None:
    failure = traceback(FAILURES[name])
    assert told(diagnose_text(f"{healthy(10_000, 3)}\n{failure}")) == told(diagnose_text(failure))


@settings(max_examples=40, deadline=None)
@given(
    name=st.sampled_from(sorted(FAILURES)),
    before=st.lists(st.sampled_from(HEALTHY), max_size=12),
    after=st.lists(st.sampled_from(HEALTHY), max_size=12),
    run=st.uuids(),
    seconds=st.integers(0, 10**6),
)
def test_no_mixture_of_healthy_lines_changes_the_decision(
    name: str, before: list[str], after: list[str], run: object, seconds: int
) -> None:
    stamp = f"{BEGIN + timedelta(seconds=seconds):%Y-%m-%d %H:%M:%S},004 | INFO | [{run}]"
    failure = traceback(FAILURES[name])
    text = "\n".join(
        [*(f"{stamp} {line}" for line in before), failure, *(f"{stamp} {line}" for line in after)]
    )
    assert told(diagnose_text(text)) == told(diagnose_text(failure))


@pytest.mark.parametrize("level", ["INFO", "DEBUG", "NOTICE"])
def test_a_failure_that_a_healthy_line_reports_is_not_this_one(level: str) -> None:
    past = f"2026-02-11 02:00:00,000 | {level} | previous run ended with MemoryError, disk was full"
    found = diagnose_text(f"{past}\n{traceback(FAILURES['refused'])}")
    assert found.category == "connectivity"


@pytest.mark.parametrize("line", HEALTHY)
def test_a_healthy_line_alone_is_no_cause_to_act_upon(line: str) -> None:
    found = diagnose_text(f"2026-02-11 03:00:00,000 | INFO | {line}")
    assert found.confidence < 0.7
