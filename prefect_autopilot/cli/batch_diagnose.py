"""Rows of ``diagnose --batch``: one failure or one incident in, one diagnosis out."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from pydantic import ValidationError

from prefect_autopilot.errors import UsageError
from prefect_autopilot.models import CommonKey, Diagnosis, IncidentRun
from prefect_autopilot.redaction import redact_value
from prefect_autopilot.troubleshooting import correlate, diagnose_text


def diagnose_rows(rows: Iterable[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """Yield one answer per row in the same order; a row that cannot be read becomes an error row."""
    for row in rows:
        try:
            yield _answer(row)
        except UsageError as error:
            yield {"id": row.get("id"), "error": error.message}
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(str(part) for part in first["loc"])
            yield {"id": row.get("id"), "error": f"A run of this row is off at {where}: {first['msg']}."}


def _answer(row: dict[str, Any]) -> dict[str, Any]:
    ident, text, runs = row.get("id"), row.get("text"), row.get("runs")
    if isinstance(runs, list):
        diagnosis, key = correlate([IncidentRun.model_validate(run) for run in runs])
        return _told(ident, diagnosis) | {"key": _key(key)}
    if not isinstance(text, str):
        raise UsageError("The row has neither a text nor a list of runs; give one of both.")
    state = row.get("state_type")
    return _told(ident, diagnose_text(text, state if isinstance(state, str) else None)) | {"key": None}


def _told(ident: object, diagnosis: Diagnosis) -> dict[str, Any]:
    wanted = {"category", "confidence", "severity", "transient", "remedy", "service", "root_cause"}
    told: dict[str, Any] = redact_value(diagnosis.model_dump(mode="json", include=wanted))
    return {"id": ident} | told


def _key(key: CommonKey | None) -> dict[str, Any] | None:
    told: dict[str, Any] | None = None if key is None else redact_value(key.model_dump(mode="json"))
    return told
