"""Did a rewrite do good: the runs after it against those before, by exact and rank tests."""

from __future__ import annotations

import statistics
from dataclasses import dataclass
from typing import Literal

from prefect_autopilot.models import RunSample

_LEAST_FAILURES = 2
_LEAST_RUNS = 5
_ENOUGH_RUNS = 20
_SLOWER = 1.1
_LEAST_S = 0.25
_ALPHA = 0.01
"""The runs are looked at again and again: a strict level keeps the false alarms few."""


@dataclass(frozen=True)
class Judgement:
    """What the runs say: wait for more, take the rewrite back, or keep it."""

    verdict: Literal["wait", "worse", "keep"]
    reason: str


def judge(before: RunSample, after: RunSample) -> Judgement:
    """Compare the runs after a rewrite with those before it.

    Worse is: more failures (Fisher's exact test, one-sided, at least 2), or completed runs that are slower
    by a tenth and a quarter of a second in the median (Mann-Whitney, one-sided, at least 5 runs on both
    sides); both at 1 %. After 20 runs that are not worse the rewrite is kept. Runs that failed for a cause
    elsewhere say nothing of the rewrite and are not counted.
    """
    worse = _fails_more(before, after) or _is_slower(before, after)
    if worse:
        return Judgement("worse", worse)
    if after.runs < _ENOUGH_RUNS:
        return Judgement("wait", f"{after.runs} of {_ENOUGH_RUNS} runs were seen, none of them worse")
    told = f"; {after.elsewhere} more failed for a cause elsewhere" if after.elsewhere else ""
    return Judgement("keep", f"{after.runs} runs were not worse{_medians(before, after)}{told}")


def _fails_more(before: RunSample, after: RunSample) -> str:
    if after.failures < _LEAST_FAILURES or before.runs == 0:
        return ""
    from scipy.stats import fisher_exact

    table = [[after.failures, len(after.durations_s)], [before.failures, len(before.durations_s)]]
    p = float(fisher_exact(table, alternative="greater").pvalue)
    if p >= _ALPHA:
        return ""
    return (
        f"{after.failures} of {after.runs} runs failed, before {before.failures} of {before.runs} "
        f"(Fisher, p = {p:.4f})"
    )


def _is_slower(before: RunSample, after: RunSample) -> str:
    if min(len(before.durations_s), len(after.durations_s)) < _LEAST_RUNS:
        return ""
    old, new = statistics.median(before.durations_s), statistics.median(after.durations_s)
    if new < old * _SLOWER or new < old + _LEAST_S:
        return ""
    from scipy.stats import mannwhitneyu

    p = float(mannwhitneyu(after.durations_s, before.durations_s, alternative="greater").pvalue)
    if p >= _ALPHA:
        return ""
    told = f"n = {len(after.durations_s)} and {len(before.durations_s)}"
    return f"runs take {new:.2f} s in the median, before {old:.2f} s ({told}; Mann-Whitney, p = {p:.4f})"


def _medians(before: RunSample, after: RunSample) -> str:
    if not before.durations_s or not after.durations_s:
        return ""
    old, new = statistics.median(before.durations_s), statistics.median(after.durations_s)
    return f": {new:.2f} s in the median, before {old:.2f} s"
