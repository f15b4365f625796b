"""The reference says what the code says: written by a command, compared here."""

from __future__ import annotations

import ast
import importlib.util
import re
import sys
from pathlib import Path
from types import ModuleType
from typing import get_args

import pytest

from prefect_autopilot.models import Remedy
from prefect_autopilot.optimization import rules
from prefect_autopilot.settings import Settings
from prefect_autopilot.troubleshooting.knowledge import load_patterns

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
MARK = "<!-- reference: "
DOCUMENTS = sorted(
    path.relative_to(DOCS).as_posix()
    for path in DOCS.rglob("*.md")
    if MARK in path.read_text(encoding="utf-8")
)


@pytest.fixture(scope="module")
def reference() -> ModuleType:
    spec = importlib.util.spec_from_file_location("reference", ROOT / "benchmarks" / "reference.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["reference"] = module
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("document", DOCUMENTS)
def test_a_reference_says_what_the_code_says(reference: ModuleType, document: str) -> None:
    text = (DOCS / document).read_text(encoding="utf-8")
    wanted = reference.filled(text, reference.PARTS)

    assert [line for line in wanted.splitlines() if line not in text] == [], "run make reference"
    assert wanted == text, "run make reference"


def test_every_part_stands_in_exactly_one_document(reference: ModuleType) -> None:
    texts = [path.read_text(encoding="utf-8") for path in DOCS.rglob("*.md")]
    marks = [name for text in texts for name in re.findall(rf"{MARK}([a-z-]+) -->", text)]

    assert sorted(marks) == sorted(reference.PARTS)


def test_only_the_text_between_the_marks_is_written(reference: ModuleType) -> None:
    text = (
        f"before\n{MARK}a -->\nold\n<!-- /reference -->\nbetween\n{MARK}b -->\n<!-- /reference -->\nafter\n"
    )
    once = reference.filled(text, {"a": lambda: "first", "b": lambda: "second"})

    assert re.findall(r"before|old|first|between|second|after", once) == [
        *("before", "first", "between", "second", "after")
    ]
    assert reference.filled(once, {"a": lambda: "first", "b": lambda: "second"}) == once


def test_a_mark_that_means_nothing_is_an_error(reference: ModuleType) -> None:
    with pytest.raises(KeyError, match="nothing"):
        reference.filled(f"{MARK}nothing -->\n<!-- /reference -->", {})


def test_a_changed_document_is_found_and_written_again(reference: ModuleType, tmp_path: Path) -> None:
    stale = tmp_path / "in" / "metrics.md"
    stale.parent.mkdir()
    stale.write_text(f"{MARK}metrics -->\nold\n<!-- /reference -->\n", encoding="utf-8")
    (tmp_path / "other.md").write_text("no marks", encoding="utf-8")

    found = reference.stale(tmp_path)

    assert list(found) == [stale]
    stale.write_text(found[stale], encoding="utf-8")
    assert reference.stale(tmp_path) == {}


@pytest.mark.parametrize(
    ("text", "shown"),
    [("a|b", "a\\|b"), ("two\n lines", "two lines"), ("<script>", "&lt;script>"), (3, "3"), ("", "")],
    ids=["bar", "lines", "markup", "number", "nothing"],
)
def test_no_text_breaks_a_table(reference: ModuleType, text: object, shown: str) -> None:
    assert reference.cell(text) == shown


def test_nothing_is_left_out_of_the_reference(reference: ModuleType) -> None:
    patterns, settings = reference.patterns(), reference.settings()
    remedies, rewrites = reference.remedies(), reference.rewrites()

    assert [one.name for one in load_patterns() if f"| `{one.name}` |" not in patterns] == []
    assert [name for name in Settings.model_fields if f"_{name.upper()}` |" not in settings] == []
    kinds = [one.model_fields["kind"].default for one in get_args(get_args(Remedy)[0])]
    assert [kind for kind in kinds if f"| `{kind}` |" not in remedies] == []
    assert [rule.name for rule in rules() if f"## {rule.name}\n" not in rewrites] == []


def test_every_remedy_says_when_it_fits_how_it_is_undone_and_when_it_helped() -> None:
    for one in get_args(get_args(Remedy)[0]):
        assert all(len(told.split()) >= 3 for told in (one.when, one.undo.replace("`", ""), one.helped)), one


def test_every_rewrite_shows_code_before_and_after(reference: ModuleType) -> None:
    for rule in rules():
        told = reference.rewrites().split(f"## {rule.name}\n")[1].partition("\n## ")[0]
        before, after = re.findall(r"```py\n(.*?)\n```", told, re.DOTALL)

        assert ast.dump(ast.parse(before)) != ast.dump(ast.parse(after))
        assert told.count("```") == 4
