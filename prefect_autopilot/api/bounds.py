"""Token buckets: how often somebody may try."""

from __future__ import annotations

import time
from collections.abc import Callable

MOST_PEERS = 10_000


class Buckets:
    """One bucket per peer: ``burst`` at once, ``per_second`` in the long run."""

    def __init__(self, *, burst: int, per_second: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._burst = burst
        self._per_second = per_second
        self._clock = clock
        self._left: dict[str, tuple[float, float]] = {}

    @property
    def wait_s(self) -> int:
        """Seconds after which an empty bucket gives again."""
        return max(1, round(1 / self._per_second))

    def has(self, peer: str) -> bool:
        """Tell whether a peer's bucket would give one."""
        left, at = self._left.get(peer, (float(self._burst), self._clock()))
        return left + (self._clock() - at) * self._per_second >= 1

    def take(self, peer: str) -> bool:
        """Take one out of a peer's bucket; False where it is empty."""
        now = self._clock()
        left, at = self._left.get(peer, (float(self._burst), now))
        left = min(float(self._burst), left + (now - at) * self._per_second)
        if peer not in self._left and len(self._left) >= MOST_PEERS:
            # The peer that was quiet for longest goes; its bucket is the fullest.
            del self._left[min(self._left, key=lambda one: self._left[one][1])]
        self._left[peer] = (left - 1 if left >= 1 else left, now)
        return left >= 1
