"""The rows of ``detect --batch``: histories in, alarms out."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from pydantic import ValidationError

from prefect_autopilot.cli.batch import guarded
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
    # Series of a pool are judged together; where that fails, each by itself: one costs only its own answer.
    together = guarded(_alarms, [series for _, series in good.values()])
    for key, (place, series) in good.items():
        alone = guarded(_alarms, [series]) if "error" in together else together
        answers[place] |= {"alarms": alone[key]} if key in alone else alone
    yield from answers


def _alarms(series: Sequence[RunSeries]) -> JSONDict:
    """Return the alarms by the ids of the series."""
    return {key: [_alarm(one) for one in found] for key, found in detect(series).items()}


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
