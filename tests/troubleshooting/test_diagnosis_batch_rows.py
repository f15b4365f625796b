"""Rows of the batch contract: one answer a row, in order, whatever the row holds."""

from __future__ import annotations

from typing import Any

import pytest

from prefect_autopilot.cli.batch_diagnose import diagnose_rows

FIELDS = {"id", "category", "confidence", "severity", "transient", "remedy", "service", "root_cause", "key"}


def answer(row: dict[str, Any]) -> dict[str, Any]:
    (found,) = diagnose_rows([row])
    return found


def test_a_failure_is_answered_in_the_contracts_fields() -> None:
    found = answer({"id": "a", "text": "deadlock detected", "state_type": "FAILED", "more": 1})
    assert set(found) == FIELDS
    assert (found["id"], found["category"], found["transient"], found["key"]) == (
        "a",
        "performance",
        True,
        None,
    )
    assert isinstance(found["category"], str)


def test_an_incident_is_answered_with_its_key() -> None:
    made = [
        {"run": str(n), "flow": "f", "start": f"2026-05-{1 + n // 24:02d}T{n % 24:02d}:00:00Z",
         "worker": f"w{n % 3}",
         "state": "FAILED" if n % 3 == 1 else "COMPLETED", "message": "MemoryError" if n % 3 == 1 else None}
        for n in range(48)
    ]  # fmt: skip
    found = answer({"id": "i", "runs": made})
    assert found["key"] == {"field": "worker", "value": "w1"}
    assert found["category"] == "resource"


@pytest.mark.parametrize(
    "row",
    [
        {"id": "x"},
        {"id": "x", "text": None},
        {"id": "x", "text": 7},
        {"id": "x", "runs": ["no"]},
        {"id": "x", "runs": [{"state": "FAILED", "start": "yesterday"}]},
    ],
)
def test_a_row_that_cannot_be_read_says_why(row: dict[str, Any]) -> None:
    found = answer(row)
    assert found["id"] == "x"
    assert found["error"].endswith(".")


def test_rows_keep_their_order_and_one_bad_row_stops_nothing() -> None:
    rows = [{"id": 1, "text": "MemoryError"}, {"id": 2}, {"id": 3, "text": ""}]
    found = list(diagnose_rows(rows))
    assert [row["id"] for row in found] == [1, 2, 3]
    assert "error" in found[1]
    assert found[2]["category"] == "unknown"


def test_rows_are_answered_as_they_come() -> None:
    def endless() -> Any:
        while True:
            yield {"id": 0, "text": "MemoryError"}

    assert next(diagnose_rows(endless()))["category"] == "resource"
