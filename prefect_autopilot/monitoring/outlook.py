"""What to expect: when a run in progress ends, how many fail next week, how far forecasts were off."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from prefect_autopilot.models import FAILURE_STATES, RunRecord
from prefect_autopilot.monitoring.measures import began, duration, finished
from prefect_autopilot.monitoring.statistics import percentile

LEAST_RUNS = 10
RECENT_RUNS = 200
LOW, HIGH = 0.05, 0.95
WEEK = timedelta(days=7)
LOOK_BACK = timedelta(days=28)
LEAST_SPAN = timedelta(days=1)
LEAST_TESTS = 10


@dataclass(frozen=True, slots=True)
class Finish:
    """When a run is expected to end: the median, and the times before which 5 % and 95 % of runs end.

    ``overdue`` is true where it has run longer than every run it is compared with.
    """

    expected: datetime | None
    early: datetime | None
    late: datetime | None
    n: int
    overdue: bool = False


@dataclass(frozen=True, slots=True)
class Told:
    """What the older half of the time seen would have told of the newer half, and what came."""

    expected: float
    low: float
    high: float
    came: int


@dataclass(frozen=True, slots=True)
class Failures:
    """Failures expected within the next week, with a 90 % interval, and from how many runs and failures.

    ``tested`` is the back-test; None where the older half has less than ten runs or is shorter than a day.
    """

    expected: float
    low: float
    high: float
    runs: int
    failed: int
    tested: Told | None = None


@dataclass(frozen=True, slots=True)
class BackTest:
    """How the expected durations were off when only what was known then was used.

    ``error`` is the median of |expected - real| / real; ``covered`` the share of runs that ended within the
    90 % interval; both over ``n`` forecasts.
    """

    error: float
    covered: float
    n: int


@dataclass(frozen=True, slots=True)
class Outlook:
    """What is expected of a workflow, each part None where too little is known; ends by the id of the run."""

    failures_next_week: Failures | None
    back_test: BackTest | None
    running: dict[str, Finish]


def outlook(runs: Iterable[RunRecord], now: datetime) -> Outlook:
    """Return what is expected of a workflow."""
    known = list(runs)
    ends = {
        run.id: finish
        for run in known
        if run.state.type == "RUNNING"
        and run.start is not None
        and (finish := expected_finish(run.start, known, now)) is not None
    }
    return Outlook(expected_failures(known, now), back_test(known), ends)


def expected_finish(start: datetime, runs: Iterable[RunRecord], now: datetime) -> Finish | None:
    """Return when a run that began at ``start`` ends, from completed runs that took longer than it has.

    None below ten completed runs. Conditioning on the time elapsed is what makes the forecast move on.
    """
    took = _durations(runs)
    if len(took) < LEAST_RUNS:
        return None
    elapsed = (now - start).total_seconds()
    left = [value for value in took if value > elapsed]
    if not left:
        return Finish(None, None, None, len(took), overdue=True)
    early, middle, late = (start + timedelta(seconds=percentile(left, share)) for share in (LOW, 0.5, HIGH))
    return Finish(middle, early, late, len(left))


def expected_failures(runs: Iterable[RunRecord], now: datetime) -> Failures | None:
    """Return the failures of the next seven days, at the rate and pace of the last four weeks at most.

    The interval is that of a Poisson count whose rate is itself uncertain (negative binomial, Jeffreys'
    prior), by its mean and variance. None below ten finished runs or one day of history.
    """
    recent = [
        run for run in finished(runs) if (at := began(run)) is not None and now - LOOK_BACK <= at <= now
    ]
    if len(recent) < LEAST_RUNS:
        return None
    first = began(recent[0]) or now
    seen = now - first
    if seen < LEAST_SPAN:
        return None
    failed = [run.state.type in FAILURE_STATES for run in recent]
    ratio = WEEK / seen
    low, high = _interval(sum(failed) + 0.5, ratio)
    middle = first + seen / 2
    older = sum((began(run) or now) < middle for run in recent)
    tested = None
    if older >= LEAST_RUNS and seen / 2 >= LEAST_SPAN:
        told = sum(failed[:older])
        tested = Told(told, *_interval(told + 0.5, 1.0), came=sum(failed[older:]))
    return Failures(sum(failed) * ratio, low, high, len(recent), sum(failed), tested)


def back_test(runs: Iterable[RunRecord]) -> BackTest | None:
    """Return how far expected durations of the newest 200 completed runs were off; None below ten."""
    took = _durations(runs, RECENT_RUNS + LEAST_RUNS)
    errors: list[float] = []
    covered = 0
    for place in range(LEAST_RUNS, len(took)):
        before = took[max(0, place - RECENT_RUNS) : place]
        real = took[place]
        errors.append(abs(percentile(before, 0.5) - real) / max(real, 1e-3))
        covered += percentile(before, LOW) <= real <= percentile(before, HIGH)
    if len(errors) < LEAST_TESTS:
        return None
    return BackTest(percentile(errors, 0.5), covered / len(errors), len(errors))


def _durations(runs: Iterable[RunRecord], most: int = RECENT_RUNS) -> Sequence[float]:
    return [took for run in finished(runs) if (took := duration(run)) is not None][-most:]


def _interval(shape: float, ratio: float) -> tuple[float, float]:
    """Return the 5 % and 95 % points of a negative binomial: a Poisson count of gamma rate."""
    chance = 1 / (1 + ratio)
    # Term by term: each is the one before times a factor, so that no factorial overflows.
    term = math.exp(shape * math.log(chance))
    if term == 0.0:
        mean, deviation = shape * ratio, math.sqrt(shape * ratio * (1 + ratio))
        return max(0.0, mean - 1.645 * deviation), mean + 1.645 * deviation
    total, count = term, 0
    low = 0.0 if total >= LOW else None
    while total < HIGH:
        count += 1
        term *= (shape + count - 1) / count * (1 - chance)
        total += term
        if low is None and total >= LOW:
            low = float(count)
    return low or 0.0, float(count)
