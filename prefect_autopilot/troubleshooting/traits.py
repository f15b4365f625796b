"""What the runs of an incident have that may be the cause of their failure: each trait with its runs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from prefect_autopilot.models import Diagnosis, IncidentRun, IssueCategory
from prefect_autopilot.troubleshooting.significance import fisher_greater

ALPHA = 0.01
"""How seldom chance alone may look like a cause, over all that is tried."""
GOOD_STATES = frozenset({"COMPLETED", "SUCCESS", "SUCCEEDED"})
OPEN_STATES = frozenset({"SCHEDULED", "PENDING", "RUNNING", "PAUSED", "CANCELLED", "CANCELLING", "SKIPPED"})
NOT_TRAITS = frozenset(
    {"run", "id", "name", "start", "end", "expected_start", "state", "state_type", "state_name", "duration_s"}
    | {"message", "metrics", "upstream", "traceback", "exit_code", "error", "run_count"}
)
CONTENTION = frozenset({IssueCategory.PERFORMANCE, IssueCategory.RESOURCE, IssueCategory.TIMEOUT})

Trait = tuple[str, Any]


class Incident:
    """The closed runs in order of start, and which of them failed, by their place in that order.

    ``tried`` counts the kinds of failures looked at so far: each is a further chance to blame chance.
    """

    def __init__(self, runs: Sequence[IncidentRun], tried: int = 1) -> None:
        self.tried = tried
        closed = [run for run in runs if run.state.upper() not in OPEN_STATES]
        self.runs = sorted(closed, key=lambda run: utc(run.start))
        self.failed = frozenset(
            index for index, run in enumerate(self.runs) if run.state.upper() not in GOOD_STATES
        )
        first, last = min(self.failed, default=0), max(self.failed, default=-1)
        self.span = frozenset(range(first, last + 1))
        self.later = frozenset(range(first + 1, len(self.runs)))

    def knowing(self, field: str) -> frozenset[int]:
        """Return the runs of which a field is known: of ``blocks.NAME`` those that have ``blocks`` at all."""
        columns = [part.partition(".")[0] for part in field.split("+") if "." in part]
        return frozenset(
            index
            for index, run in enumerate(self.runs)
            if all((run.model_extra or {}).get(column) is not None for column in columns)
        )


def traits_of(incident: Incident, diagnosis: Diagnosis) -> dict[Trait, frozenset[int]]:
    """Return every trait with the runs that have it; a trait of all runs explains nothing."""
    members: dict[Trait, set[int]] = {}
    for index, run in enumerate(incident.runs):
        for trait in _run_traits(run):
            members.setdefault(trait, set()).add(index)
    members |= _service(incident, diagnosis, members)
    members |= _overlaps(incident)
    if diagnosis.category in CONTENTION:
        members |= _neighbours(incident)
    members |= _metrics(incident)
    return {
        trait: frozenset(runs)
        for trait, runs in members.items()
        if len(runs) < len(incident.runs) and runs & incident.failed
    }


def _run_traits(run: IncidentRun) -> Iterable[Trait]:
    columns = {**(run.model_extra or {}), "flow": run.flow, "deployment": run.deployment}
    for name, value in columns.items():
        if name in NOT_TRAITS or value is None:
            continue
        if isinstance(value, dict):
            yield from ((f"{name}.{key}", item) for key, item in value.items() if _plain(item))
        elif _plain(value):
            yield name, value
    if run.start is not None:
        start = utc(run.start)
        yield "hour_utc", start.hour
        yield "weekday", start.strftime("%A")


def _plain(value: object) -> bool:
    return isinstance(value, str | int | float | bool)


def _service(
    incident: Incident, diagnosis: Diagnosis, members: Mapping[Trait, set[int]]
) -> dict[Trait, set[int]]:
    """Return the runs whose flow or deployment is named after the service that failed."""
    if diagnosis.service is None or any(name == "service" for name, _ in members):
        return {}
    word = diagnosis.service.split()[-1].lower()
    named = {
        index
        for index, run in enumerate(incident.runs)
        if word in f"{run.flow or ''} {run.deployment or ''}".lower()
    }
    return {("service", diagnosis.service): named} if named else {}


def end_of(run: IncidentRun) -> datetime:
    """Return when a run ended; its start where nobody knows how long it took."""
    return utc(run.start) + timedelta(seconds=run.duration_s or 0)


def _overlaps(incident: Incident) -> dict[Trait, set[int]]:
    """Return the runs that started while another run of the same flow was still under way."""
    found: dict[Trait, set[int]] = {}
    last: dict[str, int] = {}
    for index, run in enumerate(incident.runs):
        flow = run.flow or run.deployment or ""
        before = last.get(flow)
        if before is not None and end_of(incident.runs[before]) > utc(run.start):
            found.setdefault(("overlap", flow), set()).add(index)
        if before is None or end_of(run) >= end_of(incident.runs[before]):
            last[flow] = index
    return found


def _neighbours(incident: Incident) -> dict[Trait, set[int]]:
    """Return, for each deployment, the runs of others that met one of its runs."""
    found: dict[Trait, set[int]] = {}
    for index, run in enumerate(incident.runs):
        for other in incident.runs:
            stranger = other.deployment not in {None, run.deployment} and other.flow != run.flow
            if stranger and utc(other.start) < end_of(run) and utc(run.start) < end_of(other):
                found.setdefault(("schedule", other.deployment), set()).add(index)
    culprits = {incident.runs[index].deployment for index in incident.failed}
    return {trait: runs for trait, runs in found.items() if trait[1] not in culprits}


def _metrics(incident: Incident) -> dict[Trait, set[int]]:
    """Return, for each metric, the runs beyond the cut that divides failing and succeeding best."""
    found: dict[Trait, set[int]] = {}
    names = {name for run in incident.runs for name in _numbers(run)}
    for name in sorted(names, key=lambda item: _first_place(incident, item)):
        values = {
            index: _numbers(run)[name] for index, run in enumerate(incident.runs) if name in _numbers(run)
        }
        cuts = sorted(set(values.values()))[1:]
        beyond = [{i for i, v in values.items() if v >= cut} for cut in cuts]
        below = [{i for i, v in values.items() if v < cut} for cut in cuts]
        best = min((*beyond, *below), key=lambda runs: _chance(incident, runs), default=None)
        # The best of many cuts looks better than it is: each cut was a try.
        if best is not None and _chance(incident, best) * len(cuts) * 2 <= ALPHA:
            found["metric", name] = best
    return found


def _numbers(run: IncidentRun) -> dict[str, float]:
    metrics = (run.model_extra or {}).get("metrics")
    if not isinstance(metrics, dict):
        return {}
    return {
        name: float(value)
        for name, value in metrics.items()
        if isinstance(value, int | float) and not isinstance(value, bool)
    }


def _first_place(incident: Incident, name: str) -> int:
    return next((list(_numbers(run)).index(name) for run in incident.runs if name in _numbers(run)), 0)


def _chance(incident: Incident, runs: set[int]) -> float:
    return fisher_greater(len(runs & incident.failed), len(runs), len(incident.failed), len(incident.runs))


def utc(moment: datetime | None) -> datetime:
    """Return a moment with its zone, the beginning of time where there is none."""
    if moment is None:
        return datetime.min.replace(tzinfo=UTC)
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
