"""What people and programs read."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from enum import StrEnum

import pytest

from prefect_autopilot.cli.output import printable, write_json, write_line, write_table
from prefect_autopilot.models import Observation

MOMENT = datetime(2026, 3, 2, 3, 0, tzinfo=UTC)


class Colour(StrEnum):
    RED = "red"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain", "plain"),
        ("two\nlines\tand a tab", "two\nlines\tand a tab"),
        ("\x1b[31mred", "\N{REPLACEMENT CHARACTER}[31mred"),
        ("bell\x07", "bell\N{REPLACEMENT CHARACTER}"),
        ("over\rwritten", "over\N{REPLACEMENT CHARACTER}written"),
        ("\x9b31m", "\N{REPLACEMENT CHARACTER}31m"),
        ("Grüße ✓ 漢字", "Grüße ✓ 漢字"),
    ],
)
def test_control_characters_are_shown_and_not_obeyed(text: str, shown: str) -> None:
    assert printable(text) == shown


def test_a_line_is_written_safely(capsys: pytest.CaptureFixture[str]) -> None:
    write_line("a\x1b]0;title\x07b")
    assert capsys.readouterr().out == "a\N{REPLACEMENT CHARACTER}]0;title\N{REPLACEMENT CHARACTER}b\n"


@pytest.mark.parametrize(
    ("value", "plain"),
    [
        ({"a": 1}, {"a": 1}),
        ([1, None, True], [1, None, True]),
        ((1, 2), [1, 2]),
        ({"at": MOMENT}, {"at": "2026-03-02 03:00:00+00:00"}),
        ({"colour": Colour.RED}, {"colour": "red"}),
        ([], []),
    ],
)
def test_values_are_written_as_json(
    value: dict[str, object] | list[object], plain: object, capsys: pytest.CaptureFixture[str]
) -> None:
    write_json(value)
    assert json.loads(capsys.readouterr().out) == plain


def test_models_are_written_as_their_json_form(capsys: pytest.CaptureFixture[str]) -> None:
    seen = Observation(at=MOMENT, what="ran", ok=True)
    write_json(seen)
    alone = json.loads(capsys.readouterr().out)
    write_json({"seen": (seen,)})
    assert json.loads(capsys.readouterr().out) == {"seen": [alone]}
    assert alone["at"] == "2026-03-02T03:00:00Z"


def test_json_keeps_other_languages_readable(capsys: pytest.CaptureFixture[str]) -> None:
    write_json({"text": "Grüße"})
    assert "Grüße" in capsys.readouterr().out


def test_a_table_shows_its_cells_as_they_are(capsys: pytest.CaptureFixture[str]) -> None:
    write_table(
        "Title", ("name", "value"), [("[bold]not markup[/bold]", 0.126), (":smile:", None), ("\x1b[2J", 3)]
    )
    shown = capsys.readouterr().out
    assert "[bold]not markup[/bold]" in shown
    assert ":smile:" in shown
    assert "0.13" in shown
    assert "None" not in shown
    assert "\x1b[2J" not in shown


def test_an_empty_table_shows_its_columns(capsys: pytest.CaptureFixture[str]) -> None:
    write_table("Nothing", ("name", "value"), [])
    assert "name" in capsys.readouterr().out
