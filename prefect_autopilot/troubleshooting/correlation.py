"""What the failures of an incident have in common, or nothing.

For every field the failing runs are compared with the succeeding ones by Fisher's exact test,
corrected for the number of tests; a field must also explain most failures and mostly failures.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

from prefect_autopilot.models import CommonKey, Diagnosis, EvidenceLine, IncidentRun, IssueCategory
from prefect_autopilot.troubleshooting.classify import diagnose_text
from prefect_autopilot.troubleshooting.significance import fisher_greater, least_p, tests_that_count
from prefect_autopilot.troubleshooting.traits import (
    ALPHA,
    GOOD_STATES,
    OPEN_STATES,
    Incident,
    Trait,
    end_of,
    traits_of,
    utc,
)

MIN_FAILURES = 3
MIN_RECALL = 0.6
MIN_PRECISION = 0.5
GOOD = 0.9
TIE = 0.03
ADDS = 0.05
"""How much better a pair of traits must explain the failures than the best of them does alone."""
CLEARLY = 0.01
"""How much less probable by chance a stretch of time must be than a trait, to be named instead of it."""
MIN_LATE = 2
MIN_HITS = 2
MIN_BEFORE = 2
STALE = 1.5
# Of fields that divide the runs in the same way the one nearer to a cause is named.
ORDER = (
    "params.", "parameters.", "packages.", "env.", "service", "version", "worker", "host", "overlap",
    "schedule",    "work_pool", "", "deployment", "flow", "metric", "weekday", "hour_utc", "window",
)  # fmt: skip
LOAD_WORDS = ("concurren", "parallel", "requests", "connections", "active_runs", "in_flight", "rate")


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


def correlate(
    runs: Sequence[IncidentRun], *, known: Diagnosis | None = None
) -> tuple[Diagnosis, CommonKey | None]:
    """Return the diagnosis of an incident and what its failures share, None where chance explains it.

    ``known`` is what failed where that is known already. Else the failures are taken kind by kind, the most
    frequent first: what failed for another reason says nothing of this one. Of kinds that share nothing the
    most frequent is diagnosed.
    """
    kinds = [(known, runs)] if known else _kinds(runs)
    for tried, (diagnosis, alike) in enumerate(kinds, start=1):
        incident = Incident(alike, tried)
        found = _explanation(incident, diagnosis)
        if found is not None:
            return _explained(diagnosis, incident, found), _key(found)
    return kinds[0][0], None


def _explanation(incident: Incident, diagnosis: Diagnosis) -> Explanation | None:
    if not incident.failed or len(incident.failed) == len(incident.runs):
        return None
    chain = _upstream(incident)
    if chain is not None:
        return chain
    return _best(incident, diagnosis) if len(incident.failed) >= MIN_FAILURES else None


def _key(found: Explanation) -> CommonKey:
    field, value = found.trait
    return CommonKey(field=field, value=list(value) if isinstance(value, tuple) else value)


def _kinds(runs: Sequence[IncidentRun]) -> list[tuple[Diagnosis, Sequence[IncidentRun]]]:
    """Return each kind of failure, the most frequent first, with the runs but those that failed otherwise."""
    failed = [run for run in runs if run.state.upper() not in GOOD_STATES | OPEN_STATES]
    told = {text: diagnose_text(*text) for text in {(run.message or "", run.state) for run in failed}}
    found = {id(run): told[run.message or "", run.state] for run in failed}
    counts = Counter(diagnosis.category for diagnosis in found.values())
    kinds: list[tuple[Diagnosis, Sequence[IncidentRun]]] = []
    for category in sorted(counts, key=lambda one: (-counts[one], one.value)):
        best = max(
            (one for one in found.values() if one.category is category), key=lambda one: one.confidence
        )
        alike = [run for run in runs if id(run) not in found or found[id(run)].category is category]
        kinds.append((best, alike))
    return kinds or [(diagnose_text(""), runs)]


def _best(incident: Incident, diagnosis: Diagnosis) -> Explanation | None:
    traits = traits_of(incident, diagnosis)
    singles = _significant(incident, traits)
    good = [item for item in singles if min(item.recall, item.precision) >= GOOD]
    if not good and incident.tried == 1:
        pairs = _significant(incident, _pairs(incident, traits))
        alone = max((item.quality for item in singles), default=0.0)
        together = [
            item
            for item in pairs
            if min(item.recall, item.precision) >= GOOD
            and item.hits >= MIN_FAILURES
            and item.quality > alone + ADDS
        ]
        if together:
            return max(together, key=lambda item: (round(item.quality, 2), -item.p))
    candidates = good or singles
    window = _window(incident)
    if window is not None and all(window.p < item.p * CLEARLY for item in good):
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


def _significant(incident: Incident, traits: Mapping[Trait, frozenset[int]]) -> list[Explanation]:
    """Return the traits that pass the corrected test and explain the failures well enough."""
    among = {name: incident.knowing(name) for name, _ in traits}
    least = [
        least_p(len(runs), len(incident.failed & among[trait[0]]), len(among[trait[0]]))
        for trait, runs in traits.items()
    ]
    tried = tests_that_count(least, ALPHA)
    found = []
    for trait, runs in traits.items():
        item = _measured(incident, trait, runs, among[trait[0]])
        enough = item.recall >= MIN_RECALL and item.precision >= MIN_PRECISION and item.hits >= MIN_HITS
        if enough and item.p * tried * incident.tried <= ALPHA and _repeats(incident, trait, runs):
            found.append(item)
    return found


def _measured(incident: Incident, trait: Trait, runs: frozenset[int], among: frozenset[int]) -> Explanation:
    hits = len(runs & incident.failed)
    inside = runs & incident.span
    p = fisher_greater(hits, len(runs), len(incident.failed & among), len(among))
    # Many causes begin at a moment; the time after the first failure is a test of its own.
    later = incident.later & among
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


def _repeats(incident: Incident, trait: Trait, runs: frozenset[int]) -> bool:
    """Tell whether a time of day or week failed on more than one date: one bad day is no pattern."""
    if not {"weekday", "hour_utc"} & set(trait[0].split("+")):
        return True
    dates = {utc(incident.runs[index].start).date() for index in runs & incident.failed}
    return len(dates) > 1


def _pairs(incident: Incident, traits: Mapping[Trait, frozenset[int]]) -> dict[Trait, frozenset[int]]:
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


def _window(incident: Incident) -> Explanation | None:
    """Return the stretch of time in which nearly everything failed and outside of which nothing did."""
    inside, failed = len(incident.span), len(incident.failed)
    total = len(incident.runs)
    before, after = min(incident.span), total - 1 - max(incident.span)
    if failed / inside < GOOD or before < MIN_BEFORE or after < 1 or inside == total:
        return None
    # Chance that all failures lie within so short a stretch, wherever it begins.
    p = (total - inside + 1) * fisher_greater(failed, inside, failed, total)
    if p * incident.tried > ALPHA:
        return None
    first, last = incident.runs[min(incident.span)], incident.runs[max(incident.span)]
    value = (utc(first.start).isoformat(), end_of(last).isoformat())
    return Explanation(("window", value), incident.span, p, 1.0, failed / inside, failed)


def _upstream(incident: Incident) -> Explanation | None:
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


def _age(incident: Incident, name: str, index: int) -> float:
    """Return how many seconds old the last output of ``name`` was when the run started."""
    start = utc(incident.runs[index].start)
    ends = [
        end_of(other)
        for other in incident.runs
        if other.flow == name and other.state.upper() in GOOD_STATES and end_of(other) <= start
    ]
    return (start - max(ends)).total_seconds() if ends else float("inf")


def _explained(diagnosis: Diagnosis, incident: Incident, found: Explanation) -> Diagnosis:
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
    elif field == "schedule":
        update |= {"transient": True, "remedy": "reduce_concurrency"}
    elif field == "overlap" or (
        field == "metric" and diagnosis.transient and any(word in str(value) for word in LOAD_WORDS)
    ):
        update |= {"remedy": "reduce_concurrency"}
    elif field in {"hour_utc", "weekday", "window"} and diagnosis.category is IssueCategory.EXTERNAL_SERVICE:
        update |= {"remedy": "wait_for_service"}
    return diagnosis.model_copy(update=update)
