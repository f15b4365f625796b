"""The rows of ``detect --batch``: histories in, alarms out."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from pydantic import ValidationError

from prefect_autopilot.errors import UsageError
from prefect_autopilot.models import Anomaly, JSONDict, RunSeries
from prefect_autopilot.monitoring import detect
from prefect_autopilot.monitoring.calendars import next_fire


def detect_rows(rows: Iterable[JSONDict]) -> Iterator[JSONDict]:
    """Yield one answer per row, in order; rows that cannot be judged yield their error."""
    answers: list[JSONDict] = []
    good: dict[str, tuple[int, RunSeries]] = {}
    for place, row in enumerate(rows):
        ident = str(row.get("id", place))
        answers.append({"id": row.get("id")})
        try:
            series = RunSeries.model_validate(row | {"id": f"{place}:{ident}"})
            next_fire(series.schedule)
        except ValidationError as problem:
            answers[place]["error"] = _first(problem)
        except UsageError as problem:
            answers[place]["error"] = problem.message
        else:
            good[series.id] = (place, series)
    found = detect([series for _, series in good.values()])
    for key, (place, _) in good.items():
        answers[place]["alarms"] = [_alarm(anomaly) for anomaly in found[key]]
    yield from answers


def _alarm(anomaly: Anomaly) -> JSONDict:
    told: dict[str, Any] = {
        "start": anomaly.start.isoformat(),
        "end": anomaly.end.isoformat(),
        "kind": anomaly.kind,
        "severity": str(anomaly.severity),
        "score": anomaly.score,
        "reason": anomaly.reason,
    }
    if anomaly.eta is not None:
        told["eta"] = anomaly.eta.isoformat()
    return told


def _first(problem: ValidationError) -> str:
    error = problem.errors()[0]
    return f"{'.'.join(str(part) for part in error['loc'])}: {error['msg']}"
