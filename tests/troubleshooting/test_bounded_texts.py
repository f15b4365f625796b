"""Of a long log its head, its tail and the lines that speak of failure are kept, in their order."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prefect_autopilot.troubleshooting import diagnose_text, fingerprint
from prefect_autopilot.troubleshooting.text import (
    HEAD_LINES,
    MARKED_LINES,
    TAIL_LINES,
    _marked,
    clean,
)

MARKS = ("error", "exception", "traceback", "caused by", "fatal", "killed", "exit", "denied", "failed")


@given(st.lists(st.text(st.characters(exclude_characters="\n\r"), max_size=30), max_size=20))
def test_the_marked_lines_are_those_that_hold_a_mark(lines: list[str]) -> None:
    lines = [*lines, "an ERROR", "nothing", "Exited: exit 3, failed"]
    expected = {place for place, line in enumerate(lines) if any(mark in line.lower() for mark in MARKS)}
    assert _marked(lines) == expected


def test_letters_that_grow_when_lowered_move_no_line() -> None:
    assert _marked(["İİİİ", "fine", "İ failed İ", "fine"]) == {2}


@pytest.mark.timeout(30)
@pytest.mark.parametrize("place", [0, 310, 5_000, 39_000, 49_999], ids=str)
def test_the_error_is_found_wherever_it_stands_in_50000_lines(place: int) -> None:
    lines = [f"03:00:00.1 | INFO    | part {number} is written" for number in range(50_000)]
    lines[place] = "03:00:00.1 | ERROR   | psycopg2.errors.DeadlockDetected: deadlock detected"
    found = diagnose_text("\n".join(lines))
    assert found.category == "performance"
    assert len(clean("\n".join(lines)).split("\n")) <= HEAD_LINES + TAIL_LINES + MARKED_LINES


@pytest.mark.timeout(30)
@pytest.mark.parametrize(
    "text",
    [
        pytest.param("x" * 1_000_000, id="one line of a MB"),
        pytest.param("error " * 200_000, id="one line of marks"),
        pytest.param("{[(\"'" * 200_000, id="brackets"),
        pytest.param("Error: " + "a.b" * 300_000, id="dots"),
        pytest.param("\x00\x7fELF\x02\x01" + bytes(range(256)).decode("latin-1") * 3000, id="binary"),
        pytest.param(b"\xff\xfe\xfa bad utf".decode("utf-8", "replace") * 9000, id="no utf-8"),
    ],
)
def test_junk_is_unknown_in_bounded_time(text: str) -> None:
    found = diagnose_text(text)
    assert found.confidence < 0.7
    assert all(len(line.text) <= 400 for line in found.evidence)


def test_the_end_of_a_very_long_message_does_not_change_its_fingerprint() -> None:
    head = "ValueError: the plan " + "word " * 1000
    assert fingerprint(head + "a") == fingerprint(head + "b")
    assert fingerprint("ValueError: a plan") != fingerprint("ValueError: no plan")
