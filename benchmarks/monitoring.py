"""Measure the monitors on generated histories: what they find, how late, what is false, what it costs.

Every history is noise of one of several shapes with at most one planted event, whose runs are known. An alarm
finds the event when it is raised within its runs or up to five later; others are false, and those within ten
runs of a false one are counted with it. Each seed makes one set; the figures are means over the sets, with
the lowest and the highest one.

Causal is the share of the alarms up to the middle one of each history (or work pool) that are raised as well
where the history ends there. The error of a forecast is its distance from the time at which memory met its
limit, in shares of the time that was left.

Usage: python benchmarks/monitoring.py [SETS] [FIRST_SEED]
"""

from __future__ import annotations

import math
import random
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from statistics import fmean, median
from typing import Any

from prefect_autopilot.models import Anomaly, RunSeries, Severity
from prefect_autopilot.monitoring import detect

FIRST = datetime(2026, 1, 5, tzinfo=UTC)
HOUR = timedelta(hours=1)
SLACK = 5
TOGETHER = 10
LIMIT_MB = 900.0
LIMIT_TIMES = 2.5
"""A run is stopped when it takes so many times the usual."""
POOL = 3
"""Deployments that become mildly slower together; alone none of them would be told soon."""
Run = dict[str, Any]
Plant = Callable[[random.Random, list[Run], int], int]


@dataclass(frozen=True)
class Case:
    """One history: its runs, the planted event's first and last run (None: nothing is wrong), its channel."""

    kind: str
    channel: str
    series: RunSeries
    event: tuple[int, int] | None
    met: datetime | None = None
    """When memory met its limit."""


def noise(chance: random.Random, shape: str, n: int) -> Iterator[float]:
    """Yield factors of the usual duration."""
    last = 0.0
    for _ in range(n):
        if shape == "scattered":
            yield chance.lognormvariate(0, 0.8)
        elif shape == "pareto":
            yield chance.paretovariate(2.2)
        elif shape == "two modes":
            yield chance.lognormvariate(0, 0.1) * (12 if chance.random() < 0.25 else 1)
        elif shape == "sluggish":
            last = 0.6 * last + chance.gauss(0, 0.1)
            yield math.exp(last)
        else:
            yield chance.lognormvariate(0, {"calm": 0.04, "usual": 0.12, "lively": 0.22}[shape])


def healthy(chance: random.Random, shape: str, n: int, interval: float, *, weekly: bool = False) -> list[Run]:
    """Return runs of a deployment that has nothing wrong, with its own usual share of failures."""
    usual, rows = math.exp(chance.uniform(1.6, 6)), math.exp(chance.uniform(6, 14))
    failing = chance.choice([0, 0, 0.01, 0.03, 0.05])
    runs = []
    for i, factor in enumerate(noise(chance, shape, n)):
        expected = FIRST + timedelta(seconds=i * interval)
        busy = 1.0 if not weekly or (expected.weekday() < 5 and 8 <= expected.hour < 18) else 0.4
        failed = chance.random() < failing
        runs.append(
            {
                "expected_start": expected,
                "start": expected + timedelta(seconds=chance.uniform(1, 5)),
                "state": "FAILED" if failed else "COMPLETED",
                "duration_s": usual * factor * busy * (chance.uniform(0.1, 1) if failed else 1),
                "rows": 0 if failed else round(rows * busy * chance.lognormvariate(0, 0.07)),
                "retries": int(chance.random() < 0.02),
                "memory_mb": 400 * chance.lognormvariate(0, 0.03),
            }
        )
    return runs


def slower(factor: Callable[[float], float], length: tuple[int, int]) -> Plant:
    """Return a plant that multiplies durations by a function of the share of the event that has passed."""

    def plant(chance: random.Random, runs: list[Run], first: int) -> int:
        last = min(len(runs) - 1, first + chance.randint(*length) - 1)
        strength = chance.uniform(0.8, 1.3)
        for i in range(first, last + 1):
            runs[i]["duration_s"] *= factor((i - first + 1) / (last - first + 1)) ** strength
        return last

    return plant


def failing(share: Callable[[random.Random, int], bool], length: tuple[int, int]) -> Plant:
    """Return a plant that decides each run's outcome anew."""

    def plant(chance: random.Random, runs: list[Run], first: int) -> int:
        last = min(len(runs) - 1, first + chance.randint(*length))
        for i in range(first, last + 1):
            runs[i]["state"] = "FAILED" if share(chance, i - first) else "COMPLETED"
        return last

    return plant


def changed(name: str, value: Callable[[random.Random, Run, float], Any], length: tuple[int, int]) -> Plant:
    """Return a plant that changes one measure of runs; those that failed still do."""

    def plant(chance: random.Random, runs: list[Run], first: int) -> int:
        last = min(len(runs) - 1, first + chance.randint(*length))
        for i in range(first, last + 1):
            runs[i][name] = value(chance, runs[i], (i - first) / (last - first + 1))
        return last

    return plant


def missing(chance: random.Random, runs: list[Run], first: int) -> int:
    """Drop three to ten runs; the event lasts until the next run."""
    del runs[first : first + chance.randint(3, 10)]
    return first


def slowing(chance: random.Random, runs: list[Run], first: int) -> int:
    """Let duration climb steadily until runs meet their time limit and are stopped."""
    last = min(len(runs) - 1, first + chance.randint(80, 160))
    level = median(run["duration_s"] for run in runs[:first] if run["state"] == "COMPLETED")
    for i in range(first, last + 1):
        runs[i]["duration_s"] *= 1 + (LIMIT_TIMES - 1) * (i - first) / (last - first)
    runs[last] |= {"state": "FAILED", "duration_s": LIMIT_TIMES * level}
    del runs[last + 1 :]
    return last


def filling(chance: random.Random, runs: list[Run], first: int) -> int:
    """Let memory climb to its limit, at a constant pace or by a constant share, and the history end there."""
    last = min(len(runs) - 1, first + chance.randint(80, 160))
    level, steady = runs[first]["memory_mb"], chance.random() < 0.5
    for i in range(first, last + 1):
        share = (i - first) / (last - first)
        grown = 1 + (LIMIT_MB / level - 1) * share if steady else (LIMIT_MB / level) ** share
        runs[i]["memory_mb"] = min(runs[i]["memory_mb"] * grown, 0.985 * LIMIT_MB)
    runs[last] |= {"state": "CRASHED", "memory_mb": LIMIT_MB}
    del runs[last + 1 :]
    return last


def hanging(chance: random.Random, runs: list[Run], first: int) -> int:
    """Let a run hang for hours until somebody cancels it."""
    long = chance.uniform(12, 40) * max(run["duration_s"] for run in runs[:first])
    runs[first] |= {"state": "CANCELLED", "duration_s": long}
    return first


EVENTS: dict[str, tuple[str, Plant]] = {
    "spike": ("duration", slower(lambda _: 5.0, (1, 2))),
    "new level": ("duration", slower(lambda _: 1.9, (40, 60))),
    "drift": ("duration", slower(lambda share: 1 + 1.4 * share, (100, 160))),
    "failures rise": ("state", failing(lambda chance, _: chance.random() < 0.35, (40, 60))),
    "failures creep": ("state", failing(lambda chance, i: chance.random() < 0.05 + i / 100, (50, 80))),
    "flapping": ("state", failing(lambda chance, i: (i % 2 == 0) ^ (chance.random() < 0.1), (25, 50))),
    "missing runs": ("schedule", missing),
    "late runs": ("schedule", changed(
        "start", lambda chance, run, _: run["expected_start"] + chance.uniform(0.3, 0.8) * HOUR, (4, 12))),
    "no rows": ("metric", changed("rows", lambda _c, _r, _s: 0, (2, 8))),
    "few rows": ("metric", changed("rows", lambda _c, run, _s: run["rows"] // 8, (4, 15))),
    "retries": ("metric", changed("retries", lambda chance, _r, _s: int(chance.random() < 0.6), (25, 50))),
    "memory": ("metric", filling),
    "timeout": ("duration", slowing),
    "hanging run": ("stuck", hanging),
}  # fmt: skip
QUIET = {"clean": ("calm", "usual", "lively", "sluggish"), "heavy": ("scattered", "pareto", "two modes")}
CHANNELS = {
    "duration": ("duration_", "pool_"),
    "state": ("error_", "consecutive_", "flapping_"),
    "schedule": ("missed_", "late_"),
    "metric": ("rows_", "silent_", "retry_", "memory_", "metric_"),
    "stuck": ("stuck_",),
}


def cases(seed: int) -> Iterator[Case]:
    """Yield the histories of one set."""
    for kind, (channel, plant) in EVENTS.items():
        for copy in range(2):
            chance = random.Random(f"{seed} {kind} {copy}")
            runs = healthy(chance, chance.choice(QUIET["clean"]), chance.randint(300, 500), 3600)
            first = chance.randint(120, 170)
            last = plant(chance, runs, first)
            met = runs[last]["start"] if kind in {"memory", "timeout"} else None
            told = {"limits": {"duration_s": runs[last]["duration_s"]}} if kind == "timeout" else {}
            yield Case(kind, channel, series(f"{kind} {copy}", runs, **told), (first, last), met)
    together = random.Random(f"{seed} pool")
    n, first, times = together.randint(300, 500), together.randint(120, 170), together.uniform(1.3, 1.6)
    for copy in range(POOL):
        chance = random.Random(f"{seed} pool {copy}")
        runs = healthy(chance, chance.choice(("calm", "usual", "lively")), n, 3600)
        for run in runs[first : first + 40]:
            run["duration_s"] *= times
        yield Case("pool", "duration", series(f"pool {copy}", runs, work_pool="shared"), (first, first + 39))
    for group, shapes in (*QUIET.items(), ("seasonal", ("calm", "usual"))):
        for shape in shapes:
            chance = random.Random(f"{seed} {group} {shape}")
            n = chance.randint(400, 900)
            runs = healthy(chance, shape, n, 3600, weekly=group == "seasonal")
            yield Case(group, "", series(f"{group} {shape}", runs), None)


def series(ident: str, runs: list[Run], **more: Any) -> RunSeries:
    """Return a series as the product reads it, judged right after its last run."""
    schedule = {"interval": 3600, "anchor_date": FIRST.isoformat(), "timezone": "UTC"}
    now = max(run["start"] + timedelta(seconds=run["duration_s"]) for run in runs)
    return RunSeries.model_validate(
        {"id": ident, "schedule": schedule, "runs": runs, "limits": {"memory_mb": LIMIT_MB}, "now": now}
        | more
    )


def causal(made: list[Case], found: dict[str, tuple[Anomaly, ...]]) -> tuple[int, int]:
    """Return how many alarms up to the middle one of each pool are raised without what came later, of all."""
    pools: dict[str, list[RunSeries]] = defaultdict(list)
    for case in made:
        pools[case.series.work_pool or case.series.id].append(case.series)
    same = total = 0
    for members in pools.values():
        starts = sorted(alarm.start for one in members for alarm in found[one.id])
        if not starts:
            continue
        moment = starts[len(starts) // 2]
        again = detect([until(one, moment) for one in members])
        for one in members:
            early = {alarm.start for alarm in again[one.id]}
            past = [alarm.start for alarm in found[one.id] if alarm.start <= moment]
            total += len(past)
            same += sum(start in early for start in past)
    return same, total


def until(history: RunSeries, moment: datetime) -> RunSeries:
    """Return a history as it was at a moment, or at the end of the last run that had begun."""
    runs = tuple(run for run in history.runs if run.start <= moment)
    ends = [run.start + timedelta(seconds=run.duration_s or 0) for run in runs]
    return history.model_copy(update={"runs": runs, "now": max([*ends, moment]) + timedelta(seconds=1)})


def foretold(case: Case, alarms: Sequence[Anomaly]) -> float | None:
    """Return the error of the first forecast of when memory meets its limit, None without one before."""
    if case.met is None:
        return None
    early = [one for one in alarms if one.eta is not None and one.start < case.met]
    return abs(early[0].eta - case.met) / (case.met - early[0].start) if early and early[0].eta else None


def measured(seed: int) -> dict[str, float]:
    """Return the figures of one set."""
    made = list(cases(seed))
    began = time.process_time()
    found = detect([case.series for case in made])
    spent = time.process_time() - began
    hits, gold, false = Counter[str](), Counter[str](), Counter[str]()
    quiet: dict[str, list[int]] = defaultdict(lambda: [0, 0])
    delays: dict[str, list[int]] = defaultdict(list)
    errors: list[float] = []
    for case in made:
        starts = [run.start for run in case.series.runs]
        alarms = [one for one in found[case.series.id] if one.severity is not Severity.INFO]
        placed = sorted((sum(start <= one.start for start in starts) - 1, one.kind) for one in alarms)
        if case.event is not None:
            first, last = case.event
            early = 1 if case.kind == "missing runs" else 0
            inside = [place for place, _ in placed if first - early <= place <= last + SLACK]
            gold[case.channel] += 1
            hits[case.channel] += bool(inside)
            delays[case.kind] += [max(0, place - first) for place in inside[:1]]
            if (error := foretold(case, alarms)) is not None:
                errors.append(error)
            # What follows an event, the way back to the usual, is neither right nor wrong.
            placed = [(place, kind) for place, kind in placed if place < first - early]
        before = -TOGETHER - 1
        for place, kind in placed:
            if place - before > TOGETHER:
                before = place
                false[next(name for name, heads in CHANNELS.items() if kind.startswith(heads))] += 1
                if case.event is None:
                    quiet[case.kind][0] += 1
        if case.event is None:
            quiet[case.kind][1] += len(starts)
    figures = {"F1 all channels": f1(sum(hits.values()), sum(gold.values()), sum(false.values()))}
    figures |= {f"F1 {name}": f1(hits[name], gold[name], false[name]) for name in CHANNELS}
    figures |= {f"false per 1000 runs, {name}": 1000 * n / runs for name, (n, runs) in quiet.items()}
    figures |= {f"delay, {kind} (runs)": median(late) for kind, late in delays.items() if late}
    limits = sum(case.met is not None for case in made)
    figures["limits foretold"] = len(errors) / limits
    if errors:
        figures["error of the forecast"] = median(errors)
    same, total = causal(made, found)
    figures["causal"] = same / total if total else 1.0
    figures["CPU per run (us)"] = 1e6 * spent / sum(len(case.series.runs) for case in made)
    return figures


def f1(hits: int, gold: int, false: int) -> float:
    """Return the harmonic mean of precision and recall."""
    return 2 * hits / (hits + gold + false) if gold or false else 1.0


def main(sets: int = 10, first_seed: int = 1) -> int:
    """Print mean (of delays the median), lowest and highest of each figure."""
    results = [measured(seed) for seed in range(first_seed, first_seed + sets)]
    print(f"{'figure':<34}{'mean':>9}{'lowest':>9}{'highest':>9}   n = {sets} sets")
    for name in dict.fromkeys(name for result in results for name in result):
        values = [result[name] for result in results if name in result]
        middle = median(values) if name.startswith("delay") else fmean(values)
        print(f"{name:<34}{middle:>9.3f}{min(values):>9.3f}{max(values):>9.3f}")
    return 0


if __name__ == "__main__":
    sys.exit(main(*(int(text) for text in sys.argv[1:3])))
