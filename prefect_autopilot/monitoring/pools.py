"""Correlation over a work pool: several deployments that become slower at the same time."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from prefect_autopilot.models import Severity
from prefect_autopilot.monitoring.sample import Finding

LEAST_DEPLOYMENTS = 3
LEAST_SHARE = 0.7
LEAST_ERRORS = 2.2
LEAST_AMOUNT = math.log(1.12)
JOINT_ERRORS = 6.5
MISSED_RUNS = 3


@dataclass(frozen=True, slots=True)
class Lean:
    """How clearly (standard errors) and how far (log duration) a deployment was slower after a run."""

    at: float
    series: str
    errors: float
    amount: float

    @property
    def slower(self) -> bool:
        """Tell whether the deployment leans far enough to count."""
        return self.errors >= LEAST_ERRORS and self.amount >= LEAST_AMOUNT


def together(leans: Iterable[Lean]) -> Iterator[tuple[str, Finding]]:
    """Yield a finding for each deployment of a pool when most of its deployments became slower together.

    A deployment takes part while it keeps running; the joint score is the sum of the standard errors
    over the square root of their number (Stouffer).
    """
    newest: dict[str, Lean] = {}
    gaps: dict[str, float] = {}
    told = False
    for lean in sorted(leans, key=lambda lean: lean.at):
        before = newest.get(lean.series)
        if before is not None:
            gaps[lean.series] = lean.at - before.at
        newest[lean.series] = lean
        if not (lean.slower or told):
            continue
        active = [
            one for one in newest.values() if lean.at - one.at <= MISSED_RUNS * gaps.get(one.series, 0.0)
        ]
        slower = [one for one in active if one.slower]
        if not _joint(len(active), slower):
            told = told and len(slower) >= LEAST_DEPLOYMENTS - 1
            continue
        if not told:
            told = True
            yield from _findings(lean.at, slower)


def _joint(active: int, slower: list[Lean]) -> bool:
    if len(slower) < max(LEAST_DEPLOYMENTS, LEAST_SHARE * active):
        return False
    return sum(one.errors for one in slower) / math.sqrt(len(slower)) >= JOINT_ERRORS


def _findings(at: float, slower: list[Lean]) -> Iterator[tuple[str, Finding]]:
    joint = sum(one.errors for one in slower) / math.sqrt(len(slower))
    for one in slower:
        times = math.exp(one.amount)
        reason = f"{times:.2f} times slower, as {len(slower) - 1} more deployments of the work pool"
        yield one.series, Finding(at, at, "pool_slowdown", Severity.HIGH, joint, reason)
