"""What a relay writes before lines, and what JSON folds into one, hides no failure."""

from __future__ import annotations

import pytest

from prefect_autopilot.troubleshooting import diagnose_text
from prefect_autopilot.troubleshooting.codes import find_codes
from prefect_autopilot.troubleshooting.parse import parse
from prefect_autopilot.troubleshooting.text import level, unfolded, without_relay

TRACEBACK = (
    "Traceback (most recent call last):",
    '  File "/srv/flows/load.py", line 3, in load',
    '    dsn = os.environ["LAKE_DSN"]',
    "KeyError: 'LAKE_DSN'",
)
FOLDED = "\\n".join(line.replace('"', '\\"') for line in TRACEBACK)


@pytest.mark.parametrize(
    "before",
    [
        pytest.param("worker_1  | ", id="compose"),
        pytest.param("[rank0]: ", id="torch"),
        pytest.param("2026-03-02T10:00:00.{n}Z stderr F ", id="a node's log"),
        pytest.param("[2026-03-02, 10:00:0{n} UTC] {{subprocess.py:9{n}}} INFO - ", id="Airflow"),
        pytest.param("[2026-03-02, 10:00:0{n} UTC] {{pod_manager.py:4{n}}} INFO - [base] ", id="its pod"),
        pytest.param("", id="nothing"),
    ],
)
def test_the_frames_of_a_relayed_traceback_are_read(before: str) -> None:
    text = "\n".join(before.format(n=n) + line for n, line in enumerate(TRACEBACK))
    failure = parse(text)
    assert failure.root is not None
    assert [frame.function for frame in failure.root.frames] == ["load"]
    assert diagnose_text(text).pattern == "missing-variable"


def test_the_head_of_a_relayed_traceback_may_be_cut_off() -> None:
    text = "\n".join(f"[rank0]: {line}" for line in TRACEBACK[1:])
    assert diagnose_text(text).pattern == "missing-variable"


@pytest.mark.parametrize(
    "text",
    [
        pytest.param('see   File "/a.py", line 3 for more\nnothing else', id="a frame is spoken of once"),
        pytest.param("\n".join(TRACEBACK), id="no relay"),
        pytest.param('  | Traceback (most recent call last):\n  |   File "/a", line 3, in f', id="a group"),
        pytest.param("x" * 200 + '  File "/a.py", line 1, in f\n' * 2, id="too long to be a prefix"),
    ],
)
def test_what_is_no_relay_stays(text: str) -> None:
    assert without_relay(text) == text


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(f'{{"level":"error","msg":"failed","exception":"{FOLDED}\\n"}}', id="JSON"),
        pytest.param(f"Task failed: RuntimeError('{FOLDED}')", id="repr"),
    ],
)
def test_a_traceback_in_one_line_is_read(text: str) -> None:
    assert diagnose_text(text).pattern == "missing-variable"


@pytest.mark.parametrize(
    "text",
    [
        pytest.param('body: \'{"a": "one\\ntwo"}\'', id="line ends in a body"),
        pytest.param(r"no such file: C:\new\table", id="a path"),
    ],
)
def test_other_characters_are_not_unfolded(text: str) -> None:
    assert unfolded(text) == text


def test_the_cause_in_a_folded_java_trace_is_the_root() -> None:
    folded = "a.LoadException: no\\n\\tat a.B.c(B.java:1)\\nCaused by: java.net.UnknownHostException: db.x"
    root = parse(f'{{"severity":"ERROR","message":"{folded}"}}').root
    assert root is not None
    assert root.short_name == "UnknownHostException"


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ('{"level":"info","msg":"x"}', "info"),
        ('{"ts": 1, "severity": "ERROR"}', "error"),
        ("time=2026-03-02T10:00:00Z level=warn msg=x", "warn"),
        ('{"lvl":"crit"}', "critical"),
        ('{"msg":"level of the sea"}', None),
        ("2026-03-02 10:00:00 ERROR x", "error"),
        ("nothing of a log", None),
    ],
)
def test_the_level_of_a_line_is_found_in_its_fields(line: str, expected: str | None) -> None:
    assert level(line) == expected


def test_healthy_structured_lines_are_no_cause() -> None:
    text = (
        '{"level":"info","msg":"token expired, a new one was fetched"}\n'
        '{"level":"error","msg":"write failed: no space left on device"}'
    )
    assert diagnose_text(text).pattern == "disk-full-words"


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("('Connection aborted.', PermissionError(13, 'Permission denied'))", "errno:EACCES"),
        ("ProxyError(OSError(113, 'No route to host'))", "errno:EHOSTUNREACH"),
        ("run.sh: line 3: 8812 Segmentation fault (core dumped)", "signal:SIGSEGV"),
        ("Bus error (core dumped)", "signal:SIGBUS"),
    ],
)
def test_a_wrapped_number_and_a_spoken_signal_are_codes(text: str, code: str) -> None:
    assert code in find_codes(text)


def test_the_number_of_another_class_is_no_errno() -> None:
    assert not [code for code in find_codes("HTTPError(13, 'x')") if code.startswith("errno:")]
