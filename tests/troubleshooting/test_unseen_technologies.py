"""Failures of technologies that neither the patterns nor the training of the model name."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path

import pytest

from prefect_autopilot.models import Diagnosis
from prefect_autopilot.troubleshooting import diagnose_text

CORPUS = Path(__file__).parents[2] / "benchmarks" / "corpus"
LABELS = tomllib.loads((CORPUS / "labels.toml").read_text(encoding="utf-8"))
TOLD = {
    name: entry
    for file in ("told.toml", "told_more.toml")
    for name, entry in tomllib.loads((CORPUS / "cases" / file).read_text(encoding="utf-8")).items()
}
HELD_OUT = tomllib.loads((CORPUS / "held_out.toml").read_text(encoding="utf-8"))
Rows = list[tuple[list[object], Diagnosis]]


@pytest.fixture(scope="module")
def rows() -> Rows:
    """Return each held-out failure's label with its diagnosis."""
    return [
        (LABELS[kind], diagnose_text(text.strip()))
        for entry in HELD_OUT.values()
        for kind, text, *_ in entry["cases"]
    ]


@pytest.mark.parametrize("name", [*TOLD, *HELD_OUT])
def test_each_technology_says_where_its_facts_are_from(name: str) -> None:
    entry = {**TOLD, **HELD_OUT}[name]
    assert all(source.strip() for source in entry["source"])
    assert all(kind in LABELS for kind, *_ in entry["cases"])


def test_nothing_that_is_held_out_is_trained_on() -> None:
    lines = (CORPUS / "provoked.jsonl").read_text(encoding="utf-8").splitlines()
    trained = {json.loads(line)["text"].strip() for line in lines}
    assert not set(TOLD) & set(HELD_OUT)
    assert not trained & {text.strip() for entry in HELD_OUT.values() for _, text, *_ in entry["cases"]}


def _share(marks: list[bool]) -> float:
    assert marks
    return sum(marks) / len(marks)


def test_most_are_put_into_the_right_category(rows: Rows) -> None:
    assert _share([found.category == label[0] for label, found in rows]) >= 0.75
    assert _share([found.category in {label[0], *label[1]} for label, found in rows]) >= 0.8  # type: ignore[misc]


def test_what_is_told_with_confidence_is_right_or_acceptable(rows: Rows) -> None:
    sure = [(label, found) for label, found in rows if found.confidence >= 0.7]
    assert len(sure) >= 0.6 * len(rows)
    assert _share([found.category in {label[0], *label[1]} for label, found in sure]) >= 0.93  # type: ignore[misc]


def test_what_is_called_lasting_mostly_lasts(rows: Rows) -> None:
    assert _share([label[2] is False for label, found in rows if not found.transient]) >= 0.88


def test_no_confident_answer_forbids_a_retry_that_would_help(rows: Rows) -> None:
    wrong = [
        found.root_cause
        for label, found in rows
        if label[2] and not found.transient and found.confidence >= 0.9
    ]
    assert len(wrong) <= len(rows) // 100, wrong
