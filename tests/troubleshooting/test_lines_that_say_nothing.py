"""A line that says only that something ended hides no line that says why, and is no reason of its own."""

from __future__ import annotations

import pytest

from prefect_autopilot.troubleshooting import diagnose_text
from prefect_autopilot.troubleshooting.text import is_hollow

HOLLOW = (
    "Process exited with status 1",
    "java.lang.RuntimeException: Process exited with error",
    "CalledProcessError in line 151 of /srv/rules/plots.smk:",
    "Command '['psql', '-f', '/srv/load.sql']' returned non-zero exit status 2.",
    "Caused by:",
    "Execution halted",
    "-----",
    "]",
)
TELLING = (
    "ORA-12541: TNS:no listener",
    "Killed",
    "exited: out of memory",
    "x" * 500,
    "job failed: no space left",
)


@pytest.mark.parametrize("text", HOLLOW)
def test_a_line_of_an_end_alone_is_hollow(text: str) -> None:
    assert is_hollow(text)


@pytest.mark.parametrize("text", TELLING, ids=lambda text: text[:20])
def test_a_line_with_any_word_of_the_cause_is_not(text: str) -> None:
    assert not is_hollow(text)


@pytest.mark.parametrize(
    ("said", "pattern"),
    [("ORA-12541: TNS:no listener", "connection-refused"),
     ("Error in library(plots) : there is no package called 'plots'", "missing-module-words")],
)  # fmt: skip
def test_the_cause_is_found_among_many_lines_of_its_end(said: str, pattern: str) -> None:
    found = diagnose_text("\n".join((said, *HOLLOW)))
    assert found.pattern == pattern
    assert found.evidence[0].text == said


def test_where_nothing_else_is_said_the_end_is_told() -> None:
    assert diagnose_text("\n".join(HOLLOW)).pattern == "exit-code-1"


@pytest.mark.parametrize(
    "text", ["Flow run infrastructure exited with non-zero status code 1.", "Process exited with status 2"]
)
def test_an_end_alone_is_told_without_confidence(text: str) -> None:
    assert diagnose_text(text).confidence < 0.5


def test_a_kill_that_memory_may_explain_is_tried_again() -> None:
    found = diagnose_text(
        "Process exited with status code: -9. Process exited due to a SIGKILL signal. Typically caused by "
        "the operating system terminating the process for exceeding memory limits, or by manual cancellation."
    )
    assert (found.pattern, found.transient) == ("perhaps-memory", True)
