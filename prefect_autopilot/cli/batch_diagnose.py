"""Rows of ``diagnose --batch``: one failure or one incident in, one diagnosis out."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from pydantic import ValidationError

from prefect_autopilot.cli.batch import one_by_one
from prefect_autopilot.errors import UsageError
from prefect_autopilot.models import CommonKey, Diagnosis, IncidentRun
from prefect_autopilot.redaction import redact_value
from prefect_autopilot.troubleshooting import correlate, diagnose_text


def diagnose_rows(rows: Iterable[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """Return one answer per row in the same order; a row that cannot be read becomes an error row."""
    return one_by_one(rows, _answer)


def _answer(row: dict[str, Any]) -> dict[str, Any]:
    text, runs = row.get("text"), row.get("runs")
    if isinstance(runs, list):
        diagnosis, key = correlate(_runs(runs))
        return _told(diagnosis) | {"key": _key(key)}
    if not isinstance(text, str):
        raise UsageError("The row has neither a text nor a list of runs; give one of both.")
    state = row.get("state_type")
    return _told(diagnose_text(text, state if isinstance(state, str) else None)) | {"key": None}


def _runs(told: list[Any]) -> list[IncidentRun]:
    try:
        return [IncidentRun.model_validate(run) for run in told]
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise UsageError(f"A run of this row is off at {where}: {first['msg']}.") from error


def _told(diagnosis: Diagnosis) -> dict[str, Any]:
    wanted = {"category", "confidence", "severity", "transient", "remedy", "service", "root_cause"}
    told: dict[str, Any] = redact_value(diagnosis.model_dump(mode="json", include=wanted))
    return told


def _key(key: CommonKey | None) -> dict[str, Any] | None:
    told: dict[str, Any] | None = None if key is None else redact_value(key.model_dump(mode="json"))
    return told
