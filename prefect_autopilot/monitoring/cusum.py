"""Counts of yes and no: the Bernoulli CUSUM of Reynolds and Stoumbos (1999) tells when the share rises."""

from __future__ import annotations

import math
from collections import deque


class BernoulliCusum:
    """Log-likelihood CUSUM of a share that was ``base`` and may have become ``base * ratio`` or ``least``.

    The base is learned from the history except the newest ``lag`` values, with a prior of ``prior`` in 50.
    """

    __slots__ = ("_hits", "_pending", "_seen", "base", "least", "prior", "ratio", "score", "since")

    def __init__(self, *, prior: float, least: float, ratio: float, lag: int = 20) -> None:
        self.prior, self.least, self.ratio = prior, least, ratio
        self._pending: deque[int] = deque(maxlen=lag)
        self._hits = prior * 50
        self._seen = 50.0
        self.base = prior
        self.score = 0.0
        self.since = 0

    def update(self, *, hit: bool) -> float:
        """Add one value and return the score: 0 is usual; it counts from ``since`` values ago."""
        if len(self._pending) == self._pending.maxlen:
            self._seen += 1
            self._hits += self._pending[0]
        self._pending.append(int(hit))
        self.base = self._hits / self._seen
        risen = min(0.9, max(self.least, self.ratio * self.base))
        step = math.log(risen / self.base) if hit else math.log((1 - risen) / (1 - self.base))
        self.score = max(0.0, self.score + step)
        self.since = self.since + 1 if self.score > 0 else 0
        return self.score

    @property
    def highest(self) -> float:
        """Return a cautious upper estimate of the usual share."""
        return min(1.0, (self._hits + 1.5) / self._seen)

    @property
    def known(self) -> int:
        """Return how many values the usual share was learned from."""
        return int(self._seen) - 50

    def reset(self) -> None:
        """Start counting anew."""
        self.score = 0.0
        self.since = 0
