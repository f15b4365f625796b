"""What a language model may propose for a fault in code, and what never becomes a patch."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from prefect_autopilot.errors import UsageError
from prefect_autopilot.models import Diagnosis, Evidence, IssueCategory, Severity, SourceFile
from prefect_autopilot.troubleshooting.proposed_fix import (
    LONGEST_PATCH,
    FixProposal,
    digest_of,
    fault_line,
    fix_question,
    is_code_fault,
    take_fix,
)

SOURCE = '''"""Averages of orders."""

from prefect import flow


def mean(values: list[float]) -> float:
    return sum(values) / len(values)


@flow
def averages(rows: list[float]) -> float:
    return mean(rows)
'''
TRACEBACK = """Encountered an exception during execution:
Traceback (most recent call last):
  File "/opt/flows/averages.py", line 12, in averages
    return mean(rows)
  File "/opt/flows/averages.py", line 7, in mean
    return sum(values) / len(values)
ZeroDivisionError: division by zero
"""
OLD = "    return sum(values) / len(values)\n"
NEW = "    return sum(values) / len(values) if values else 0.0\n"
WORDS = "The list of rows was empty, so the mean divides by zero in line 7."

Make = Callable[..., Evidence]


def proposal(*pairs: tuple[str, str], narrative: str = WORDS) -> FixProposal:
    replacements = [{"old": old, "new": new} for old, new in pairs]
    return FixProposal.model_validate({"narrative": narrative, "replacements": replacements})


def diagnosis(**changes: Any) -> Diagnosis:
    base: dict[str, Any] = {
        "category": IssueCategory.LOGIC,
        "confidence": 0.9,
        "severity": Severity.HIGH,
        "transient": False,
        "remedy": "fix_code",
        "root_cause": "ZeroDivisionError: division by zero",
        "exception": "ZeroDivisionError",
    }
    return Diagnosis(**(base | changes))


@pytest.fixture
def failed(evidence: Make, log: Callable[..., Any]) -> Callable[..., Evidence]:
    def make(
        text: str | None = SOURCE, traceback: str = TRACEBACK, path: str = "/opt/flows/averages.py"
    ) -> Evidence:
        source = None if text is None else SourceFile(path=path, entrypoint="averages.py:averages", text=text)
        return evidence("Flow run failed", logs=(log("starting"), log(traceback)), source=source)

    return make


@pytest.mark.parametrize(
    ("changes", "is_fault"),
    [
        ({}, True),
        ({"remedy": "none"}, True),
        ({"category": IssueCategory.DATA}, True),
        ({"category": IssueCategory.DATA, "remedy": "fix_data"}, False),
        ({"category": IssueCategory.TIMEOUT, "remedy": "raise_timeout"}, False),
    ],
    ids=["logic", "logic without remedy", "code to fix", "data", "timeout"],
)
def test_only_faults_in_code_are_asked_about(changes: dict[str, Any], is_fault: bool) -> None:  # noqa: FBT001 - a column of the table
    assert is_code_fault(diagnosis(**changes)) is is_fault


def test_a_fix_becomes_a_unified_diff_of_that_file(failed: Make) -> None:
    narrative, patch, *_ = take_fix(proposal((OLD, NEW)), failed())
    assert narrative == WORDS
    assert patch.startswith("--- a/averages.py\n+++ b/averages.py\n@@ ")
    assert f"-{OLD}+{NEW}" in patch


@pytest.mark.parametrize("text", [SOURCE, SOURCE.rstrip("\n")], ids=["ends a line", "ends without"])
def test_the_patch_applies_with_the_usual_tools(failed: Make, tmp_path: Path, text: str) -> None:
    fixes = ((OLD, NEW), ("return mean(rows)", "return mean(list(rows))"))
    patch = take_fix(proposal(*fixes), failed(text)).patch
    file = tmp_path / "averages.py"
    file.write_text(text, encoding="utf-8")
    done = subprocess.run(
        ["git", "apply", "-"], cwd=tmp_path, input=patch.encode(), capture_output=True, check=False
    )
    assert done.returncode == 0, done.stderr.decode()
    changed = file.read_text("utf-8")
    assert changed == text.replace(OLD, NEW).replace("return mean(rows)", "return mean(list(rows))")


def test_words_alone_are_an_answer(failed: Make) -> None:
    assert take_fix(proposal(), failed(None)) == (WORDS, "", "", ())


def test_words_are_shown_without_secrets_and_control_signs(failed: Make) -> None:
    secret = "ghp_" + "a1B2" * 9
    narrative, *_ = take_fix(proposal(narrative=f"\x1b[31m{WORDS} The token is {secret}."), failed())
    assert secret not in narrative
    assert "\x1b" not in narrative


@pytest.mark.parametrize(
    ("pairs", "told"),
    [
        ([("no such line", "x = 1")], "exactly once"),
        ([("values", "rows")], "exactly once"),
        ([(OLD, OLD)], "change nothing"),
        ([(OLD, "    return sum(values) / \n")], "does not compile"),
        ([(OLD, "return 0\n")], "does not compile"),
        ([("from prefect import flow\n", "import os\nfrom prefect import flow\n")], "imports os"),
        ([("import flow", "import flow, task")], "imports prefect.task"),
        ([(OLD, "    return eval('1')\n")], "calls eval"),
        ([(OLD, "    return open('/etc/passwd')\n")], "calls open"),
        ([(OLD, "    run = flow.run\n    return run('rm')\n")], "calls run"),
        ([(OLD, "    return __import__('os').system('x')\n")], "calls __import__, system"),
        ([(OLD, "    return values.__class__\n")], "calls __class__"),
        ([(OLD, "    return '\x07'\n")], "control characters"),
        ([("rows: list[float]", "rows: list[int]")], "signature of averages"),
        ([("@flow\n", "@flow(retries=3)\n")], "signature of averages"),
        ([(OLD, "    return values.strange() / len(values)\n")], "lets mean do"),
        ([(OLD, "    return len('https://other.test')\n")], "an address"),
        ([(OLD, "".join(f"    values = values  # {n}\n" for n in range(120)) + NEW)], "change less"),
    ],
    ids=[
        "nowhere", "in many places", "nothing", "syntax", "indent", "import", "import from", "eval", "open",
        "alias", "dunder import", "dunder", "control", "parameters", "decorator", "unknown call",
        "address", "long",
    ],
)  # fmt: skip
def test_a_fix_that_will_not_do_is_refused(failed: Make, pairs: list[tuple[str, str]], told: str) -> None:
    with pytest.raises(UsageError, match=told):
        take_fix(proposal(*pairs), failed())


@pytest.mark.parametrize(
    ("text", "traceback", "path"),
    [
        (None, TRACEBACK, ""),
        (SOURCE, "ZeroDivisionError: division by zero", "/opt/flows/averages.py"),
        (SOURCE, TRACEBACK, "/opt/flows/other.py"),
        (SOURCE, TRACEBACK, "/opt/flows/verages.py"),
    ],
    ids=["no source", "no traceback", "another file", "end of a name"],
)
def test_only_the_file_of_the_traceback_is_touched(
    failed: Make, text: str | None, traceback: str, path: str
) -> None:
    with pytest.raises(UsageError, match="leads to no file"):
        take_fix(proposal((OLD, NEW)), failed(text, traceback, path))


def test_a_patch_that_would_show_a_secret_is_refused(failed: Make) -> None:
    text = SOURCE.replace(OLD, f'    password = "hunter2-and-more"\n{OLD}')
    with pytest.raises(UsageError, match="secret"):
        take_fix(proposal((OLD, NEW)), failed(text))


def test_a_file_that_does_not_compile_is_left_to_a_person(failed: Make) -> None:
    broken = SOURCE.replace("len(values)\n", "len(values\n")
    with pytest.raises(UsageError, match="does not compile as it is"):
        take_fix(proposal(("len(values\n", "len(values)\n")), failed(broken))


def test_the_line_is_the_last_of_the_own_file(failed: Make) -> None:
    behind = TRACEBACK.replace(
        "ZeroDivisionError", '  File "/lib/python/statistics.py", line 99, in mean\nZeroDivisionError'
    )
    assert fault_line(failed(SOURCE, behind)) == 7
    assert fault_line(failed(None)) is None


def test_what_is_sent_holds_diagnosis_traceback_and_source_without_secrets(failed: Make) -> None:
    secret = "ghp_" + "a1B2" * 9
    text = SOURCE.replace("\n\ndef mean", f'\nTOKEN = "{secret}"\n\n\ndef mean')
    sent = fix_question(diagnosis(), failed(text, f"{TRACEBACK}my-known-value"), ("my-known-value",))
    assert secret not in sent
    assert "my-known-value" not in sent
    assert "ZeroDivisionError" in sent
    assert "def averages" in sent
    assert '"line": 7' in sent


def test_a_source_the_traceback_does_not_lead_to_is_not_sent(failed: Make) -> None:
    assert "def averages" not in fix_question(diagnosis(), failed(path="/opt/flows/other.py"))


def test_of_a_long_file_only_the_lines_around_are_sent(failed: Make) -> None:
    text = SOURCE + "".join(f"LINE_{n} = {n}\n" for n in range(5_000))
    sent = fix_question(diagnosis(), failed(text))
    assert "LINE_10 " in sent
    assert "LINE_4000 " not in sent
    assert len(sent) < 25_000


def test_the_digest_is_that_of_the_text(failed: Make) -> None:
    source = failed().source
    assert source is not None
    assert digest_of(source) != digest_of(source.model_copy(update={"text": f"{SOURCE}\n"}))


@pytest.mark.parametrize(
    "answer",
    [
        {},
        {"narrative": "short"},
        {"narrative": "x" * 2_000},
        {"narrative": WORDS, "file": "/etc/passwd"},
        {"narrative": WORDS, "replacements": [{"old": "", "new": "x"}]},
        {"narrative": WORDS, "replacements": [{"old": "a", "new": "b"}] * 9},
        {"narrative": WORDS, "replacements": [{"old": "a", "new": "b", "file": "x.py"}]},
    ],
    ids=["nothing", "short", "long", "a file", "nothing old", "many", "another file"],
)
def test_an_answer_of_another_form_is_no_proposal(answer: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        FixProposal.model_validate(answer)


def test_a_patch_is_what_an_artifact_shows_in_full() -> None:
    from prefect_autopilot.troubleshooting.report import MAX_FOREIGN

    assert LONGEST_PATCH <= MAX_FOREIGN
