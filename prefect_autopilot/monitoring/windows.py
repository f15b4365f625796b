"""Rolling windows whose order statistics cost a binary search instead of a sort."""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort
from collections import deque


class SortedWindow:
    """The last ``size`` values in arrival order and in sorted order."""

    __slots__ = ("arrived", "ordered", "size")

    def __init__(self, size: int) -> None:
        self.size = size
        self.arrived: deque[float] = deque()
        self.ordered: list[float] = []

    def __len__(self) -> int:
        return len(self.ordered)

    def push(self, value: float) -> None:
        """Add a value and forget the oldest one beyond ``size``."""
        self.arrived.append(value)
        insort(self.ordered, value)
        if len(self.ordered) > self.size:
            del self.ordered[bisect_left(self.ordered, self.arrived.popleft())]

    def quantile(self, share: float) -> float:
        """Return the value at this share of the order (nearest rank); raises IndexError when empty."""
        return self.ordered[min(len(self.ordered) - 1, int(share * len(self.ordered)))]

    def median(self) -> float:
        """Return the median; raises IndexError when empty."""
        half, odd = divmod(len(self.ordered), 2)
        return self.ordered[half] if odd else (self.ordered[half - 1] + self.ordered[half]) / 2

    def spread(self) -> float:
        """Return half the distance between the 16th and 84th percentile: sigma for normal values."""
        return (self.quantile(0.84) - self.quantile(0.16)) / 2

    def rank(self, value: float) -> float:
        """Return the mid-rank share of ``value`` among the window's values, strictly between 0 and 1."""
        middle = (bisect_left(self.ordered, value) + bisect_right(self.ordered, value)) / 2
        return (middle + 0.5) / (len(self.ordered) + 1)

    def mean_excess(self, share: float) -> float:
        """Return the mean distance of the values above the quantile ``share`` from it."""
        first = min(len(self.ordered) - 1, int(share * len(self.ordered)))
        tail = self.ordered[first:]
        return sum(tail) / len(tail) - tail[0]

    def lower_last(self, count: int, amount: float) -> None:
        """Subtract ``amount`` from the newest ``count`` values: they belong to a new level."""
        values = list(self.arrived)
        start = max(0, len(values) - count)
        values[start:] = [value - amount for value in values[start:]]
        self.arrived = deque(values)
        self.ordered = sorted(values)
