"""Custom channel: what runs measure of themselves, each name against its own usual range."""

from __future__ import annotations

from collections.abc import Iterator

from prefect_autopilot.models import Severity
from prefect_autopilot.monitoring.sample import Finding, Sample

LEAST_RUNS = 30
WINDOW = 120
MOST_NAMES = 20
BEYOND = 1.5
"""A value is outside when it lies so many times farther from the median than the farthest one known ..."""
SPREADS = 4.0
"""... and so many spreads besides: sigmas, where values are normal."""
LEAST = 0.05
"""Share of the median below which a difference is never told."""
IN_A_ROW = 2
LASTING = 8
AT_ONCE = 3.0
"""So many times outside is told at the first value."""


class CustomChannel:
    """Judges measures of completed runs; a failed run may not have come to the end of counting."""

    def __init__(self) -> None:
        self._known: dict[str, tuple[float, ...]] = {}
        self._outside: dict[str, int] = {}

    def observe(self, run: Sample) -> Iterator[Finding]:
        """Yield an alarm for each measure outside its usual range, twice in a row or far outside."""
        if run.state != "COMPLETED":
            return
        for name, value in run.measures:
            if name not in self._known and len(self._known) >= MOST_NAMES:
                continue
            known = self._known.get(name, ())
            if len(known) >= LEAST_RUNS:
                yield from self._judge(run, name, value, known)
            # What is outside does not widen the range, until it lasts: then it is the new usual.
            if not 0 < abs(self._outside.get(name, 0)) < LASTING:
                self._known[name] = (*known, value)[-WINDOW:]

    def _judge(self, run: Sample, name: str, value: float, known: tuple[float, ...]) -> Iterator[Finding]:
        ordered = sorted(known)
        middle = ordered[len(ordered) // 2]
        spread = (ordered[int(0.84 * len(ordered))] - ordered[int(0.16 * len(ordered))]) / 2
        reach = ordered[-1] - middle if value > middle else middle - ordered[0]
        allowed = max(BEYOND * reach + SPREADS * spread, LEAST * abs(middle), 1e-9)
        far = abs(value - middle) / allowed
        side = (value > middle) - (value < middle)
        before = self._outside.get(name, 0)
        row = (before + side if before * side >= 0 else side) if far > 1 else 0
        self._outside[name] = row
        if abs(row) >= IN_A_ROW or far >= AT_ONCE:
            reason = f"{name} is {value:g}, usual are {ordered[0]:g} to {ordered[-1]:g}"
            yield Finding(run.start, run.end, f"metric_{name}", Severity.MEDIUM, min(99.0, far), reason)
