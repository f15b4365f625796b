"""Counts of yes and no: a sequential test tells when the share of yes has risen above its own usual one."""

from __future__ import annotations

import math
from collections import deque

PRIOR_VALUES = 25
PRIOR_SHARE = 0.03
LAG = 40
RATIO = 4.0
HIGHEST = 0.9


class RisenShare:
    """Shiryaev-Roberts statistic of a share that may have become four times the usual, or ``least``.

    With a known usual share the mean number of values to a false alarm is at least the limit of the
    statistic (Pollak 1985). The usual share is learned from all but the newest ``lag`` values, which may
    already be risen; by one standard error more is judged, so that little knowledge takes more evidence.
    """

    __slots__ = ("_hits", "_pending", "_seen", "least", "statistic")

    def __init__(self, *, least: float, lag: int = LAG) -> None:
        self.least = least
        self.statistic = 0.0
        self._pending: deque[int] = deque(maxlen=lag)
        self._hits = PRIOR_SHARE * PRIOR_VALUES
        self._seen = PRIOR_VALUES

    @property
    def usual(self) -> float:
        """Return the usual share."""
        return self._hits / self._seen

    def update(self, *, hit: bool) -> float:
        """Add one value and return the logarithm of the statistic, at least 0."""
        if len(self._pending) == self._pending.maxlen:
            self._seen += 1
            self._hits += self._pending[0]
        self._pending.append(int(hit))
        error = math.sqrt(max(0.0, self._hits * (1 - self.usual))) / self._seen
        usual = min(HIGHEST, self.usual + error)
        risen = max(usual, min(HIGHEST, max(self.least, RATIO * usual)))
        likelihood = risen / usual if hit else (1 - risen) / (1 - usual)
        self.statistic = (1 + self.statistic) * likelihood if risen > usual else 0.0
        return math.log(max(1.0, self.statistic))

    def reset(self) -> None:
        """Start counting anew."""
        self.statistic = 0.0
