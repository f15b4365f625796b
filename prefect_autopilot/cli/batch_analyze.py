"""Batch 1 of the command line: requests in plain English, read row by row."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from pydantic import ValidationError

from prefect_autopilot.adapters.catalogue import user_catalogue
from prefect_autopilot.cli.batch import one_by_one
from prefect_autopilot.errors import UsageError
from prefect_autopilot.intelligence import analyze
from prefect_autopilot.models import Analysis, JSONDict, RequestContext, TriggerSpec

_MINUTE, _HOUR = 60, 3600


def analyze_rows(rows: Iterable[JSONDict]) -> Iterator[JSONDict]:
    """Answer each request; a row that cannot be read yields its id and the error."""
    catalogue = user_catalogue()
    return one_by_one(rows, lambda row: answer(analyze(*_request(row), catalogue)))


def _request(row: JSONDict) -> tuple[str, RequestContext]:
    text = row.get("text")
    if not isinstance(text, str):
        raise UsageError("The row has no text: give the request as a string under 'text'.")
    try:
        said = row.get("context") or {}
        if isinstance(said, dict):
            said = {key: value for key, value in said.items() if value is not None}
        return text, RequestContext.model_validate(said)
    except ValidationError as error:
        where = ".".join(str(part) for part in error.errors()[0]["loc"])
        raise UsageError(f"The context of the row cannot be read: look at {where or 'it'}.") from error


def answer(analysis: Analysis) -> dict[str, Any]:
    """Return an analysis in the form of the batch output."""
    return {
        "status": analysis.status,
        "services": [
            {"service": match.service, "confidence": match.confidence}
            for match in analysis.services
            if match.role in {"used", "asked"}
        ],
        "trigger": _trigger(analysis.trigger),
        "steps": [
            {"service": step.service, "operation": step.operation, "condition": step.condition}
            for step in analysis.steps
        ],
        "questions": [question.text for question in analysis.questions],
    }


def _trigger(trigger: TriggerSpec | None) -> JSONDict:
    if trigger is None:
        return {"type": "other", "service": None, "cron": None, "rrule": None, "timezone": None}
    return {
        "type": trigger.type,
        "service": trigger.service,
        "cron": trigger.cron,
        "rrule": trigger.rrule or _interval_rule(trigger.interval_s),
        "timezone": trigger.timezone,
    }


def _interval_rule(seconds: int | None) -> str | None:
    """Write an interval as a recurrence rule, which the batch output has a field for."""
    if seconds is None:
        return None
    for unit, name in ((_HOUR, "HOURLY"), (_MINUTE, "MINUTELY"), (1, "SECONDLY")):
        if seconds % unit == 0:
            return f"FREQ={name};INTERVAL={seconds // unit}"
    return None
