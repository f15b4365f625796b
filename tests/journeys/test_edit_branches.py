"""Editing and explaining flows that branch, and that copy a list into a table."""

from __future__ import annotations

import ast

import pytest

from prefect_autopilot.codegen import generate
from prefect_autopilot.intelligence import analyze, design
from prefect_autopilot.journeys.edit import edit_source
from prefect_autopilot.journeys.explain import explain_source
from prefect_autopilot.models import RequestContext
from prefect_autopilot.services import load_catalogue

JUDGED = (
    "When a Gmail message arrives, ask Claude if it is an invoice, if so tell #bills on Slack, otherwise"
    " archive it"
)
LOOKED_UP = (
    "When an Intercom contact is created, look up the contact in HubSpot by email, if not found create it"
)
COPIED = "Every morning at 8 copy all new HubSpot contacts into Google Sheets"


def source_of(request: str) -> str:
    catalogue = load_catalogue()
    return generate(design(analyze(request, RequestContext(), catalogue), catalogue), catalogue).source


def told(request: str) -> list[str]:
    return [step.text for step in explain_source(source_of(request), file="flow.py").steps]


@pytest.mark.parametrize(
    ("change", "kept", "gone", "has_else"),
    [
        ("remove the Slack step", "removeLabelIds", "post_message", True),
        ("remove the Gmail step", "post_message", "removeLabelIds", False),
    ],
    ids=["of the if", "of the else"],
)
def test_one_of_two_branches_is_taken_out(change: str, kept: str, gone: str, *, has_else: bool) -> None:
    edited = edit_source(source_of(JUDGED), change, file="flow.py").source
    assert edited is not None
    compile(edited, "flow.py", "exec")
    assert kept in edited
    assert gone not in edited
    function = next(one for one in ast.parse(edited).body if isinstance(one, ast.FunctionDef))
    (branch,) = [one for one in function.body if isinstance(one, ast.If)]
    assert bool(branch.orelse) is has_else
    assert ("pass" in edited) is has_else


def test_a_step_is_added_behind_a_branch_and_the_branch_stays() -> None:
    source = source_of(LOOKED_UP)
    edit = edit_source(
        source,
        'also post "done" to #new on Slack',
        file="flow.py",
        context=RequestContext(connected_services=("slack",)),
    )
    assert edit.source is not None
    assert "if not contacts:" in edit.source
    assert set(source.splitlines()) <= set(edit.source.splitlines()) | {""}


@pytest.mark.parametrize(
    ("request_", "expected"),
    [
        (JUDGED, ['If answer starts with "yes":', "Otherwise:"]),
        (LOOKED_UP, ["If contacts is empty:"]),
    ],
    ids=["a model's answer", "a lookup"],
)
def test_branches_are_told_in_words(request_: str, expected: list[str]) -> None:
    conditions = [one for one in told(request_) if one.endswith(":")]
    assert conditions == expected


def test_the_rows_of_a_table_are_told_in_words() -> None:
    assert "(contact's id, contact's properties's email" in told(COPIED)[-1]
    assert "of each contact" in told(COPIED)[-1]


def test_a_negated_answer_is_told_as_such() -> None:
    request = "When a Gmail message arrives, ask Claude if it is spam, if not tell #inbox on Slack"
    assert 'If it does not hold that answer starts with "yes":' in told(request)
