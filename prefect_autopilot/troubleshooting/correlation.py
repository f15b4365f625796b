"""What the failures of an incident have in common, or nothing.

For every field the failing runs are compared with the succeeding ones by Fisher's exact test,
corrected for the number of tests; a field must also explain most failures and mostly failures.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import combinations
from typing import Any

from prefect_autopilot.models import CommonKey, Diagnosis, EvidenceLine, IncidentRun, IssueCategory
from prefect_autopilot.troubleshooting.classify import diagnose_text
from prefect_autopilot.troubleshooting.significance import fisher_greater, least_p, tests_that_count

ALPHA = 0.01
MIN_FAILURES = 3
MIN_RECALL = 0.6
MIN_PRECISION = 0.5
GOOD = 0.9
TIE = 0.03
MIN_LATE = 2
MIN_HITS = 2
MIN_BEFORE = 2
STALE = 1.5
GOOD_STATES = frozenset({"COMPLETED", "SUCCESS", "SUCCEEDED"})
OPEN_STATES = frozenset({"SCHEDULED", "PENDING", "RUNNING", "PAUSED", "CANCELLED", "CANCELLING", "SKIPPED"})
NOT_TRAITS = frozenset(
    {"run", "id", "name", "start", "end", "expected_start", "state", "state_type", "state_name", "duration_s"}
    | {"message", "metrics", "upstream", "traceback", "exit_code", "error", "run_count"}
)
# Of fields that divide the runs in the same way the one nearer to a cause is named.
ORDER = (
    "params.", "parameters.", "packages.", "env.", "service", "version", "worker", "host", "overlap",
    "schedule",    "work_pool", "", "deployment", "flow", "metric", "weekday", "hour_utc", "window",
)  # fmt: skip
CONTENTION = frozenset({IssueCategory.PERFORMANCE, IssueCategory.RESOURCE, IssueCategory.TIMEOUT})
LOAD_WORDS = ("concurren", "parallel", "requests", "connections", "active_runs", "in_flight", "rate")

Trait = tuple[str, Any]


@dataclass(frozen=True, slots=True)
class Explanation:
    """A trait that the failures share, and how well it explains them."""

    trait: Trait
    runs: frozenset[int]
    p: float
    recall: float
    precision: float
    hits: int

    @property
    def quality(self) -> float:
        """Harmonic mean of recall and precision."""
        return 2 * self.recall * self.precision / (self.recall + self.precision)


class _Incident:
    """The runs in order of start, and which of them failed."""

    def __init__(self, runs: Sequence[IncidentRun]) -> None:
        closed = [run for run in runs if run.state.upper() not in OPEN_STATES]
        self.runs = sorted(closed, key=lambda run: _utc(run.start))
        self.failed = frozenset(
            index for index, run in enumerate(self.runs) if run.state.upper() not in GOOD_STATES
        )
        first, last = min(self.failed, default=0), max(self.failed, default=-1)
        self.span = frozenset(range(first, last + 1))
        self.later = frozenset(range(first + 1, len(self.runs)))


def correlate(
    runs: Sequence[IncidentRun], *, known: Diagnosis | None = None
) -> tuple[Diagnosis, CommonKey | None]:
    """Return the diagnosis of an incident and what its failures share, None where chance explains it.

    ``known`` is what failed where that is known already.
    """
    incident = _Incident(runs)
    diagnosis = known or _representative(incident)
    if not incident.failed or len(incident.failed) == len(incident.runs):
        return diagnosis, None
    chain = _upstream(incident)
    if chain is not None:
        return _explained(diagnosis, incident, chain), _key(chain)
    best = _best(incident, diagnosis) if len(incident.failed) >= MIN_FAILURES else None
    if best is None:
        return diagnosis, None
    return _explained(diagnosis, incident, best), _key(best)


def _key(found: Explanation) -> CommonKey:
    field, value = found.trait
    return CommonKey(field=field, value=list(value) if isinstance(value, tuple) else value)


def _representative(incident: _Incident) -> Diagnosis:
    """Diagnose the most frequent failure message."""
    found = [
        diagnose_text(incident.runs[index].message or "", incident.runs[index].state)
        for index in sorted(incident.failed)
    ]
    if not found:
        return diagnose_text("")
    counts = Counter(diagnosis.category for diagnosis in found)
    most = max(counts.values())
    common = {category for category, count in counts.items() if count == most}
    return max((item for item in found if item.category in common), key=lambda item: item.confidence)


def _best(incident: _Incident, diagnosis: Diagnosis) -> Explanation | None:
    traits = _traits(incident, diagnosis)
    singles = _significant(incident, traits)
    good = [item for item in singles if min(item.recall, item.precision) >= GOOD]
    if not good:
        pairs = _significant(incident, _pairs(incident, traits))
        together = [
            item for item in pairs if min(item.recall, item.precision) >= GOOD and item.hits >= MIN_FAILURES
        ]
        if together:
            return max(together, key=lambda item: (round(item.quality, 2), -item.p))
    candidates = good or singles
    window = _window(incident)
    if window is not None and not good:
        return window
    if not candidates:
        return None
    top = max(item.quality for item in candidates)
    near = [item for item in candidates if item.quality >= top - TIE]
    return min(near, key=lambda item: (_rank(item.trait[0]), item.p))


def _rank(name: str) -> int:
    for rank, start in enumerate(ORDER):
        if start and (name == start or (start.endswith(".") and name.startswith(start))):
            return rank
    return ORDER.index("")


def _significant(incident: _Incident, traits: Mapping[Trait, frozenset[int]]) -> list[Explanation]:
    """Return the traits that pass the corrected test and explain the failures well enough."""
    total, drawn = len(incident.runs), len(incident.failed)
    least = [least_p(len(runs), drawn, total) for runs in traits.values()]
    tried = tests_that_count(least, ALPHA)
    found = []
    for trait, runs in traits.items():
        item = _measured(incident, trait, runs)
        enough = item.recall >= MIN_RECALL and item.precision >= MIN_PRECISION and item.hits >= MIN_HITS
        if enough and item.p * tried <= ALPHA and _repeats(incident, trait, runs):
            found.append(item)
    return found


def _measured(incident: _Incident, trait: Trait, runs: frozenset[int]) -> Explanation:
    hits = len(runs & incident.failed)
    inside = runs & incident.span
    p = fisher_greater(hits, len(runs), len(incident.failed), len(incident.runs))
    # Many causes begin at a moment; the time after the first failure is a test of its own.
    later = incident.later
    since = fisher_greater(
        len(runs & incident.failed & later), len(runs & later), len(incident.failed & later), len(later)
    )
    return Explanation(
        trait,
        runs,
        min(p, since) * 2,
        hits / len(incident.failed),
        hits / len(inside) if inside else 0.0,
        hits,
    )


def _repeats(incident: _Incident, trait: Trait, runs: frozenset[int]) -> bool:
    """Tell whether a time of day or week failed on more than one date: one bad day is no pattern."""
    if trait[0] not in {"weekday", "hour_utc"}:
        return True
    dates = {_utc(incident.runs[index].start).date() for index in runs & incident.failed}
    return len(dates) > 1


def _traits(incident: _Incident, diagnosis: Diagnosis) -> dict[Trait, frozenset[int]]:
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
        start = _utc(run.start)
        yield "hour_utc", start.hour
        yield "weekday", start.strftime("%A")


def _plain(value: object) -> bool:
    return isinstance(value, str | int | float | bool)


def _service(
    incident: _Incident, diagnosis: Diagnosis, members: Mapping[Trait, set[int]]
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


def _end(run: IncidentRun) -> datetime:
    return _utc(run.start) + timedelta(seconds=run.duration_s or 0)


def _overlaps(incident: _Incident) -> dict[Trait, set[int]]:
    """Return the runs that started while another run of the same flow was still under way."""
    found: dict[Trait, set[int]] = {}
    last: dict[str, int] = {}
    for index, run in enumerate(incident.runs):
        flow = run.flow or run.deployment or ""
        before = last.get(flow)
        if before is not None and _end(incident.runs[before]) > _utc(run.start):
            found.setdefault(("overlap", flow), set()).add(index)
        if before is None or _end(run) >= _end(incident.runs[before]):
            last[flow] = index
    return found


def _neighbours(incident: _Incident) -> dict[Trait, set[int]]:
    """Return, for each deployment, the runs of others that met one of its runs."""
    found: dict[Trait, set[int]] = {}
    for index, run in enumerate(incident.runs):
        for other in incident.runs:
            stranger = other.deployment not in {None, run.deployment} and other.flow != run.flow
            if stranger and _utc(other.start) < _end(run) and _utc(run.start) < _end(other):
                found.setdefault(("schedule", other.deployment), set()).add(index)
    culprits = {incident.runs[index].deployment for index in incident.failed}
    return {trait: runs for trait, runs in found.items() if trait[1] not in culprits}


def _metrics(incident: _Incident) -> dict[Trait, set[int]]:
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


def _first_place(incident: _Incident, name: str) -> int:
    return next((list(_numbers(run)).index(name) for run in incident.runs if name in _numbers(run)), 0)


def _chance(incident: _Incident, runs: set[int]) -> float:
    return fisher_greater(len(runs & incident.failed), len(runs), len(incident.failed), len(incident.runs))


def _pairs(incident: _Incident, traits: Mapping[Trait, frozenset[int]]) -> dict[Trait, frozenset[int]]:
    """Return pairs of traits that hold together and say more than each alone."""
    usable = [
        (trait, runs)
        for trait, runs in traits.items()
        if trait[0] not in {"overlap", "schedule", "metric"}
        and len(runs & incident.failed) >= GOOD * len(incident.failed)
    ]
    found: dict[Trait, frozenset[int]] = {}
    for (one, runs), (two, others) in combinations(usable, 2):
        both = runs & others
        if one[0] != two[0] and len(both) < min(len(runs), len(others)):
            found[f"{one[0]}+{two[0]}", (one[1], two[1])] = both
    return found


def _window(incident: _Incident) -> Explanation | None:
    """Return the stretch of time in which nearly everything failed and outside of which nothing did."""
    inside, failed = len(incident.span), len(incident.failed)
    total = len(incident.runs)
    before, after = min(incident.span), total - 1 - max(incident.span)
    if failed / inside < GOOD or before < MIN_BEFORE or after < 1 or inside == total:
        return None
    # Chance that all failures lie within so short a stretch, wherever it begins.
    p = (total - inside + 1) * fisher_greater(failed, inside, failed, total)
    if p > ALPHA:
        return None
    first, last = incident.runs[min(incident.span)], incident.runs[max(incident.span)]
    value = (_utc(first.start).isoformat(), _end(last).isoformat())
    return Explanation(("window", value), incident.span, p, 1.0, failed / inside, failed)


def _upstream(incident: _Incident) -> Explanation | None:
    """Return the upstream flow whose lateness or failure goes with every failure of those that need it.

    The reference is real (the run says whose output it needs), so a perfect division is asked for
    instead of a small p: every failed run met older output than any that succeeded.
    """
    for name in sorted({name for run in incident.runs for name in _needs(run)}):
        ages = {i: _age(incident, name, i) for i, run in enumerate(incident.runs) if name in _needs(run)}
        failed = {index for index in ages if index in incident.failed}
        good = [age for index, age in ages.items() if index not in failed]
        others = {i for i in incident.failed if incident.runs[i].flow != name} - failed
        if len(failed) < MIN_LATE or len(good) < MIN_FAILURES or others:
            continue
        if min(ages[index] for index in failed) > STALE * max(*good, 60.0):
            p = fisher_greater(len(failed), len(failed), len(failed), len(ages))
            return Explanation(("upstream", name), frozenset(failed), p, 1.0, 1.0, len(failed))
    return None


def _needs(run: IncidentRun) -> tuple[str, ...]:
    upstream = (run.model_extra or {}).get("upstream")
    if isinstance(upstream, str):
        return (upstream,)
    return tuple(item for item in upstream or () if isinstance(item, str))


def _age(incident: _Incident, name: str, index: int) -> float:
    """Return how many seconds old the last output of ``name`` was when the run started."""
    start = _utc(incident.runs[index].start)
    ends = [
        _end(other)
        for other in incident.runs
        if other.flow == name and other.state.upper() in GOOD_STATES and _end(other) <= start
    ]
    return (start - max(ends)).total_seconds() if ends else float("inf")


def _explained(diagnosis: Diagnosis, incident: _Incident, found: Explanation) -> Diagnosis:
    field, value = found.trait
    failures, runs = len(incident.failed), len(incident.runs)
    line = (
        f"{found.hits} of {failures} failures share {field} = {value}; of {len(found.runs)} runs"
        f" with it {found.hits} failed (p = {found.p:.2g}, {runs} runs)"
    )
    update: dict[str, Any] = {
        "root_cause": f"{diagnosis.root_cause} What the failures share: {field} = {value}.",
        "evidence": (*diagnosis.evidence, EvidenceLine(text=line, where=f"{runs} runs")),
    }
    if field == "upstream":
        update |= {"transient": True, "remedy": "retry_backoff"}
    elif field == "overlap" or (
        field == "metric" and diagnosis.transient and any(word in str(value) for word in LOAD_WORDS)
    ):
        update |= {"remedy": "reduce_concurrency"}
    elif field in {"hour_utc", "weekday", "window"} and diagnosis.category is IssueCategory.EXTERNAL_SERVICE:
        update |= {"remedy": "wait_for_service"}
    return diagnosis.model_copy(update=update)


def _utc(moment: datetime | None) -> datetime:
    if moment is None:
        return datetime.min.replace(tzinfo=UTC)
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
