"""Reading a failure text: chains, frames, levels, bounded time, fingerprints."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from prefect_autopilot.errors import ServiceError
from prefect_autopilot.troubleshooting import diagnose_text
from prefect_autopilot.troubleshooting.parse import fingerprint, parse, retry_after, service_facts
from prefect_autopilot.troubleshooting.text import clean, template

CAUSED = """Traceback (most recent call last):
  File "/srv/flows/pull.py", line 4, in read
    sock.connect(address)
ConnectionRefusedError: [Errno 111] Connection refused

The above exception was the direct cause of the following exception:

Traceback (most recent call last):
  File "/usr/lib/python3.11/site-packages/acme/client.py", line 90, in get
    raise AcmeError("no answer")
acme.AcmeError: no answer
"""
DURING = CAUSED.replace(
    "The above exception was the direct cause of the following exception",
    "During handling of the above exception, another exception occurred",
)
GROUP = """  + Exception Group Traceback (most recent call last):
  |   File "/srv/flows/fan.py", line 8, in main
  |     async with asyncio.TaskGroup() as group:
  | ExceptionGroup: unhandled errors in a TaskGroup (1 sub-exception)
  +-+---------------- 1 ----------------
    | Traceback (most recent call last):
    |   File "/srv/flows/fan.py", line 3, in part
    |     raise MemoryError
    | MemoryError
    +------------------------------------
"""
JAVA = """py4j.protocol.Py4JJavaError: An error occurred while calling o12.save.
: org.apache.spark.SparkException: Job aborted.
\tat org.apache.spark.Writer.write(Writer.scala:11)
Caused by: org.apache.spark.SparkException: Task failed
\tat org.apache.spark.Task.run(Task.scala:9)
\t... 12 more
Caused by: java.io.IOException: No space left on device
\tat java.io.FileOutputStream.write(FileOutputStream.java:3)
"""
REMOTE = '''multiprocessing.pool.RemoteTraceback:
"""
Traceback (most recent call last):
  File "/srv/flows/score.py", line 5, in score
    return table[kind]
KeyError: 'premium'
"""

The above exception was the direct cause of the following exception:

Traceback (most recent call last):
  File "/srv/flows/score.py", line 11, in main
    pool.map(score, parts)
KeyError: 'premium'
'''


@pytest.mark.parametrize(
    ("text", "root"),
    [
        pytest.param(CAUSED, "ConnectionRefusedError", id="direct cause: the first"),
        pytest.param(DURING, "ConnectionRefusedError", id="during handling: the first"),
        pytest.param(GROUP, "MemoryError", id="group: the deepest"),
        pytest.param(JAVA, "java.io.IOException", id="java: the last cause"),
        pytest.param(REMOTE, "KeyError", id="remote traceback"),
        pytest.param(
            "ray.exceptions.RayTaskError(ValueError): ray::f()\nno",
            "ray.exceptions.RayTaskError(ValueError)",
            id="ray",
        ),
        pytest.param(
            "acme.errors.FloodWait: 9 s", "acme.errors.FloodWait", id="a class without a telling name"
        ),
        pytest.param("MemoryError", "MemoryError", id="nothing but a class"),
    ],
)
def test_the_root_exception_comes_first(text: str, root: str) -> None:
    found = parse(text).root
    assert found is not None
    assert found.name == root


def test_the_inner_class_of_a_wrapper_is_its_short_name() -> None:
    root = parse("ray.exceptions.RayTaskError(ValueError): no").root
    assert root is not None
    assert root.short_name == "ValueError"


def test_own_code_is_told_from_libraries() -> None:
    root = parse(CAUSED).root
    assert root is not None
    own = root.own_frame
    assert own is not None
    assert (own.file, own.line, own.function, own.code) == (
        "/srv/flows/pull.py",
        4,
        "read",
        "sock.connect(address)",
    )
    outer = parse(CAUSED).units[1]
    assert outer.own_frame is None


def test_the_products_own_code_is_a_library_to_the_user_wherever_it_is_installed() -> None:
    text = (
        "Traceback (most recent call last):\n"
        '  File "/srv/flows/mail.py", line 7, in main\n'
        '    call_service("asana-default", "create_task")\n'
        '  File "/home/me/checkout/prefect_autopilot/adapters/service_answers.py", line 117, in read_answer\n'
        "    raise refused\n"
        "ValueError: no\n"
    )
    root = parse(text).root
    assert root is not None
    assert root.own_frame is not None
    assert (root.own_frame.file, root.own_frame.line) == ("/srv/flows/mail.py", 7)


def test_separate_tracebacks_are_read_from_the_last() -> None:
    first = "Traceback (most recent call last):\n  File \"/srv/a.py\", line 1, in a\n    x\nKeyError: 'old'\n"
    last = (
        "Traceback (most recent call last):\n"
        '  File "/srv/a.py", line 9, in b\n    y\nOSError: [Errno 28] full\n'
    )
    root = parse(f"{first}\n2026-01-01 03:00:00 INFO - going on\n{last}").root
    assert root is not None
    assert root.name == "OSError"


def test_a_log_line_is_no_exception() -> None:
    units = parse("2026-01-01 03:00:00,120 INFO - previous job ended with MemoryError: gone").units
    assert [unit.role for unit in units] == ["info"]


def test_a_state_message_of_prefect_is_a_raised_exception() -> None:
    root = parse("Flow run encountered an exception: ValueError: no rows for 2026-01-01").root
    assert root is not None
    assert root.name == "ValueError"


def test_following_lines_belong_to_the_message() -> None:
    root = parse("acme.errors.QueryError: first line\n  second line\n\nthird line").root
    assert root is not None
    assert "second line" in root.text
    assert "third line" not in root.text


def test_escape_codes_and_control_characters_are_gone() -> None:
    assert clean("\x1b[31mred\x1b[0m \x00bell\x07 \x1b]0;title\x07end\r\n") == "red  bell  end\n"


def test_a_long_line_keeps_head_and_tail() -> None:
    line = "a" * 500_000 + "MIDDLE" + "z" * 500_000
    short = clean(line)
    assert len(short) < 20_000
    assert short.startswith("aaa")
    assert short.endswith("zzz")


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("x" * 1_000_000, id="one line of a megabyte"),
        pytest.param("a=" * 500_000, id="repeated pairs"),
        pytest.param("(" * 200_000 + "KeyError: " * 20_000, id="brackets and names"),
        pytest.param("Traceback (most recent call last):\n" * 50_000, id="50,000 openings"),
        pytest.param("KeyError: 'x'\n" * 50_000, id="50,000 exceptions"),
        pytest.param(
            "\n".join(f"2026-01-01 03:00:00 ERROR - part {n} failed" for n in range(50_000)),
            id="50,000 lines",
        ),
        pytest.param(" | " * 300_000, id="margins"),
        pytest.param("HTTP " * 200_000 + "503", id="nearly codes"),
        pytest.param("[service=" * 100_000, id="nearly our own form"),
        pytest.param("\ud800" * 1000, id="lone surrogates"),
    ],
)
@pytest.mark.timeout(30)  # a pattern that backtracks would take far longer
def test_hostile_texts_take_bounded_time(text: str) -> None:
    assert parse(text) is not None
    assert fingerprint(text)


def test_the_root_survives_a_flood_of_lines() -> None:
    flood = "\n".join(f"row {n} skipped" for n in range(40_000))
    root = parse(f"{flood}\nOSError: [Errno 28] No space left on device\n{flood}").root
    assert root is not None
    assert root.name == "OSError"


@settings(max_examples=60, deadline=None)
@given(st.text(max_size=2000))
def test_no_text_breaks_the_parser(text: str) -> None:
    parse(text)
    assert len(fingerprint(text)) == 16


@pytest.mark.parametrize(
    ("one", "other"),
    [
        pytest.param(
            "OSError: [Errno 2] no file '/data/2026-01-01/a.csv'",
            "OSError: [Errno 2] no file '/data/2026-02-07/b.csv'",
            id="paths",
        ),
        pytest.param(
            "acme.errors.JobError: run 6f1c2e9a-1b2c-4d5e-8f90-a1b2c3d4e5f6 failed",
            "acme.errors.JobError: run 0a1b2c3d-1111-2222-3333-444455556666 failed",
            id="ids",
        ),
        pytest.param(
            "ValueError: 17 of 90 rows at 10:04:11",
            "ValueError: 3 of 1200 rows at 23:59:01",
            id="numbers and times",
        ),
        pytest.param(
            "RuntimeError: <Lock at 0x7f12ab>", "RuntimeError: <Lock at 0x99ffe0>", id="hexadecimal"
        ),
        pytest.param(
            "acme.errors.CallError: https://a.example.test/v1/x?id=9 said no",
            "acme.errors.CallError: https://a.example.test/v1/y?id=10 said no",
            id="urls",
        ),
        pytest.param("connect 10.0.0.4:5432 failed", "connect 10.9.1.44:5432 failed", id="addresses"),
    ],
)
def test_a_fingerprint_survives_what_changes(one: str, other: str) -> None:
    assert fingerprint(one) == fingerprint(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        pytest.param("KeyError: 'net'", "KeyError: 'gross'", id="another key"),
        pytest.param("ValueError: no rows", "TypeError: no rows", id="another class"),
        pytest.param("disk is full", "queue is full", id="another word"),
    ],
)
def test_a_fingerprint_tells_different_failures_apart(one: str, other: str) -> None:
    assert fingerprint(one) != fingerprint(other)


def test_a_template_masks_only_what_changes() -> None:
    assert (
        template("took 7.5 s at 2026-01-01T03:00:00Z for /srv/in/a.csv") == "took <n> s at <time> for <path>"
    )


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("Retry-After: 25", 25.0),
        ("retry_after_s=3.5", 3.5),
        ("{'retry_after': '12'}", 12.0),
        ("please try again in 20s", 20.0),
        ("Limit reached, retry after 2 minutes", 120.0),
        ("Retry-After: Wed, 21 Oct 2026 07:28:00 GMT", None),
        ("retry later", None),
    ],
)
def test_the_asked_wait_is_read(text: str, seconds: float | None) -> None:
    assert retry_after(text) == seconds


def test_our_own_error_is_read_exactly() -> None:
    error = ServiceError(
        "The CRM refused the call.",
        service="hubspot",
        operation="create_deal",
        effect="unsafe",
        permanent=False,
        status=429,
        retry_after_s=12.5,
        content_type="application/json",
        request_id="r-1",
        connection="crm-prod",
        body_head="{'message': \"it's [too] much\"}",
    )
    facts = service_facts(str(error))
    assert facts is not None
    assert (facts.service, facts.operation, facts.effect) == ("hubspot", "create_deal", "unsafe")
    assert (facts.status, facts.retry_after_s, facts.connection) == (429, 12.5, "crm-prod")
    assert facts.body == "{'message': \"it's [too] much\"}"
    call = parse(f"Task run encountered an exception: ServiceError: {error}").call
    assert call is not None
    assert call.status == 429


def test_a_text_of_another_form_is_not_ours() -> None:
    assert service_facts("failed [service=x]") is None
    assert service_facts("ValueError: [service=a operation=b effect=whatever]") is not None
    facts = service_facts("x [service=a operation=b effect=whatever]")
    assert facts is not None
    assert facts.effect == "unknown"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            "terminate called after throwing an instance of 'std::out_of_range'\n  what():  9",
            "std.OutOfRange: 9",
        ),
        ("libc++abi: terminating due to uncaught exception of type tide::PortBusy: p7", "tide.PortBusy: p7"),
        ("terminate called after throwing an instance of 'Gone'", "Gone: terminated"),
    ],
)
def test_what_a_program_in_cpp_died_of_is_read_as_an_exception(text: str, said: str) -> None:
    unit = parse(f"starting\n{text}\nAborted (core dumped)").units[0]
    assert (unit.text.split("\n")[0], unit.role, unit.where) == (f"cpp.{said}", "raised", "line 2")


GROUP = """  + Exception Group Traceback (most recent call last):
  |   File "/srv/flows/x.py", line 5, in f
  |     raise ExceptionGroup("two", errors)
  | ExceptionGroup: two (2 sub-exceptions)
  +-+---------------- 1 ----------------
    | {first}
    +---------------- 2 ----------------
    | {second}
    +------------------------------------"""
REFUSED = "ConnectionRefusedError: [Errno 111] Connection refused"
LATE, MISSING = "httpx.ReadTimeout: timed out", "KeyError: 'region'"


@pytest.mark.parametrize(
    ("first", "second", "passing"),
    [(REFUSED, MISSING, False), (MISSING, REFUSED, False), (REFUSED, LATE, True), (REFUSED, REFUSED, True)],
    ids=["the second lasts", "the first lasts", "both pass", "the same twice"],
)
def test_what_failed_side_by_side_passes_only_where_all_of_it_does(
    first: str, second: str, *, passing: bool
) -> None:
    found = diagnose_text(GROUP.format(first=first, second=second))
    assert found.transient is passing
    assert {first, second} <= {line.text for line in found.evidence} or first == second


COMPILED = """Traceback (most recent call last):
  File "pandas/_libs/hashtable_class_helper.pxi", line 7668, in pandas._libs.hashtable.get_item
KeyError: 'unit_price'

The above exception was the direct cause of the following exception:

Traceback (most recent call last):
  File "/srv/flows/{file}.py", line 9, in {function}
    frame["unit_price"]
  File "/venv/lib/python3.11/site-packages/pandas/core/frame.py", line 4107, in __getitem__
    indexer = self.columns.get_loc(key)
KeyError: 'unit_price'"""


def test_the_line_of_the_code_is_told_where_a_compiled_library_raised() -> None:
    orders, bills = (
        COMPILED.format(file=file, function=function) for file, function in (("orders", "f"), ("bills", "g"))
    )
    assert diagnose_text(orders).evidence[-1].where == "/srv/flows/orders.py:9"
    assert fingerprint(orders) != fingerprint(bills)
