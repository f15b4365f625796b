"""What remedies have been worth: rates of success with their interval, and which ones no longer count."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import sqrt

Z95 = 1.959963984540054
"""Two-sided 95 % of the standard normal distribution."""
FEWEST = 5
"""Observed outcomes below which nothing is concluded."""
WORTHLESS_BELOW = 0.5
"""A remedy is demoted when even the upper end of its interval lies below this rate."""


@dataclass(frozen=True, slots=True)
class Record:
    """How often a remedy was observed to help and not to help, for one cause on one deployment."""

    good: int = 0
    bad: int = 0

    @property
    def seen(self) -> int:
        """Return how many outcomes were observed."""
        return self.good + self.bad

    @property
    def interval(self) -> tuple[float, float]:
        """Return the 95 % interval of the rate of success (Wilson 1927), 0 to 1 where nothing was seen."""
        return wilson(self.good, self.seen)

    @property
    def demoted(self) -> bool:
        """Tell whether the remedy has been seen not to help often enough to leave it alone."""
        return self.seen >= FEWEST and self.interval[1] < WORTHLESS_BELOW

    @property
    def rank(self) -> float:
        """Return where the remedy stands among those that fit: what surely helps by its lower bound, else 0.

        Surely: in more than half of the cases, by the lower end of the interval; below 0 where demoted. What
        is seen too little to tell keeps its place, for nothing is tried out on runs that matter.
        """
        if self.demoted:
            return -1.0
        least = self.interval[0]
        return least if self.seen >= FEWEST and least > WORTHLESS_BELOW else 0.0


Records = Mapping[str, Record]
"""Records by kind of remedy."""


def wilson(good: int, seen: int) -> tuple[float, float]:
    """Return the 95 % score interval of a share (Wilson 1927); raises ValueError for impossible counts."""
    if not 0 <= good <= seen:
        raise ValueError(f"{good} of {seen} is no share")
    if seen == 0:
        return 0.0, 1.0
    share, z2 = good / seen, Z95**2
    middle = (share + z2 / (2 * seen)) / (1 + z2 / seen)
    half = Z95 / (1 + z2 / seen) * sqrt(share * (1 - share) / seen + z2 / (4 * seen**2))
    return max(0.0, middle - half), min(1.0, middle + half)
