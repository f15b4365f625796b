"""What operations answer, as the catalogue says it: nothing that the recorded source does not describe."""

from __future__ import annotations

from typing import Any

import pytest
from contract_cases import CATALOGUE, answer_shape, recorded_operations, shape_at, told
from recording_answers import answer_of, fields_of, told_of

from prefect_autopilot.models import Returns

NOTHING = Returns(what="")
SAID = {case: told(case)[3].returns or NOTHING for case in recorded_operations()}
TEXT = {"type": "string"}


def thing(**properties: Any) -> dict[str, Any]:
    return {"type": "object", "properties": properties}


def row_of(case: str) -> Any:
    _, fact, _, operation = told(case)
    shape = answer_shape(fact)
    if operation.list_at is None:
        return shape
    rows = shape_at(shape, operation.list_at) or {"type": "any"}
    return rows.get("items", {"type": "any"})


def test_every_field_that_a_call_is_said_to_answer_stands_in_its_source() -> None:
    said = [(case, path) for case, returns in SAID.items() for path in returns.fields]
    assert [f"{case}: {path}" for case, path in said if shape_at(row_of(case), path) is None] == []
    assert len(said) > 1400


def test_what_no_source_describes_is_said_by_nobody() -> None:
    said = [
        f"{service.id}.{operation.id}"
        for service in CATALOGUE.services
        for operation in service.operations
        if operation.returns and operation.returns.fields
    ]
    assert set(said) <= set(SAID)
    assert [case for case, returns in SAID.items() if returns.what and not returns.what.endswith(".")] == []


def test_every_answer_that_a_source_describes_is_told() -> None:
    untold = []
    for case, returns in SAID.items():
        _, fact, _, operation = told(case)
        if returns is NOTHING and answer_of(operation.id, fact, operation.model_dump()):
            untold.append(case)
    assert untold == [], "run tests/contracts/recording_answers.py"
    assert sum(returns is not NOTHING for returns in SAID.values()) >= 0.6 * len(SAID)


@pytest.mark.parametrize(
    ("name", "shape", "entry", "answer"),
    [
        ("delete_task", {"type": "none"}, {}, {"what": "Nothing."}),
        ("get_task", {"type": "any"}, {}, None),
        ("get_task", thing(done={"type": "boolean"}), {}, None),
        (
            "create_task",
            thing(data=thing(gid=TEXT, x=TEXT)),
            {},
            {"what": "The task as the service took it.", "fields": ["data.gid"]},
        ),
        (
            "get_order",
            thing(status=TEXT, orderId=TEXT, parentId=TEXT),
            {},
            {"what": "The order.", "fields": ["orderId", "status"]},
        ),
        (
            "list_rows",
            {"type": "array", "items": thing(url=TEXT, id=TEXT)},
            {"list_at": "$", "pagination": {"kind": "page"}},
            {"what": "A page of rows.", "fields": ["id", "url"]},
        ),
        ("list_rows", {"type": "any"}, {"list_at": "$"}, {"what": "The rows."}),
    ],
    ids=["nothing", "unknown", "no field", "wrapped", "own id", "list", "unknown rows"],
)
def test_an_answer_is_told_from_its_shape(name: str, shape: Any, entry: Any, answer: Any) -> None:
    assert answer_of(name, {"responses": {"200": {"shape": shape}}}, entry) == answer


def test_the_nearest_level_with_a_wanted_field_is_told() -> None:
    deep = {"a.b": TEXT, "in": thing(id=TEXT)}
    assert fields_of(thing(**deep), "thing") == ["in.id"]
    assert fields_of(thing(id=TEXT, **deep), "thing") == ["id"]


def test_what_an_entry_says_already_stays() -> None:
    entry = '[[operations]]\nid = "get_task"\nsources = ["x"]\n'
    recorded = {"get_task": {"responses": {"200": {"shape": {"type": "none"}}}}}

    once = told_of(entry, recorded)
    assert once == entry + 'returns = { what = "Nothing." }\n'
    assert told_of(once, recorded) == once
    assert told_of(entry, {}) == entry
