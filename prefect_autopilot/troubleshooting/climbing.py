"""What a workflow has needed more and more of before it failed: memory, time, rows."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from statistics import median

from prefect_autopilot.models import Diagnosis, Evidence, EvidenceLine, IssueCategory, RunRecord

ALPHA = 0.01
FEWEST = 8
"""Good runs without which a climb is not told from chance."""
MOST = 60
EDGE = 3
"""Runs at either end whose median is told."""
MIN_GROWTH = 1.2
OF_CAPACITY = frozenset({IssueCategory.RESOURCE, IssueCategory.TIMEOUT, IssueCategory.PERFORMANCE})


def with_what_climbed(evidence: Evidence, diagnosis: Diagnosis) -> Evidence:
    """Return the evidence with each measure that climbed up to a failure of capacity, as lines around it.

    Kendall's tau against time decides, corrected for the number of measures.
    """
    run = evidence.run
    if diagnosis.category not in OF_CAPACITY:
        return evidence
    known = {one.id: one for one in (*evidence.recent_runs, *evidence.compared)}
    own = [one for one in known.values() if _is_earlier(one, run)]
    series = _series(sorted(own, key=lambda one: one.state.timestamp)[-MOST:])
    lines = [
        EvidenceLine(
            text=f"{name} climbed from {first:g} to {last:g} over the {count} good runs before (p = {p:.2g})",
            where=f"runs of {run.deployment_name or run.flow_name or run.id}",
        )
        for name, first, last, count, p in _climbs(series)
    ]
    return evidence.model_copy(update={"surroundings": (*lines, *evidence.surroundings)})


def _is_earlier(one: RunRecord, run: RunRecord) -> bool:
    same = one.deployment_id == run.deployment_id and one.flow_name == run.flow_name
    good = one.state.type == "COMPLETED"
    return same and good and one.id != run.id and one.state.timestamp <= run.state.timestamp


def _series(runs: Iterable[RunRecord]) -> dict[str, list[float]]:
    """Return each measure's values in the order of the runs; how long they took is one of them."""
    series: dict[str, list[float]] = {}
    for run in runs:
        took = {} if run.duration_s is None else {"duration_s": run.duration_s}
        for name, value in (took | run.measures).items():
            series.setdefault(name, []).append(value)
    return {name: values for name, values in series.items() if len(values) >= FEWEST}


def _climbs(series: dict[str, list[float]]) -> Iterator[tuple[str, float, float, int, float]]:
    if not series:
        return
    from scipy.stats import kendalltau

    for name, values in sorted(series.items()):
        first, last = median(values[:EDGE]), median(values[-EDGE:])
        if len(set(values)) < EDGE or first <= 0 or last < MIN_GROWTH * first:
            continue
        p = float(kendalltau(range(len(values)), values, alternative="greater").pvalue)
        if p * len(series) <= ALPHA:
            yield name, round(first, 1), round(last, 1), len(values), p
