"""Small statistics that several measures share."""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import NormalDist, median

ONE_SIDED_95 = NormalDist().inv_cdf(0.95)


def wilson_lower(successes: int, n: int, z: float = ONE_SIDED_95) -> float:
    """Return the lower Wilson bound of a share (Wilson 1927); 0 without observations."""
    if n == 0:
        return 0.0
    share = successes / n
    centre = share + z * z / (2 * n)
    margin = z * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    return max(0.0, (centre - margin) / (1 + z * z / n))


def mad(values: Sequence[float]) -> float:
    """Return the median absolute deviation, scaled to sigma for normal values."""
    centre = median(values)
    return 1.4826 * median(abs(value - centre) for value in values)


def percentile(values: Sequence[float], share: float) -> float:
    """Return the nearest-rank percentile of at least one value."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, max(0, math.ceil(share * len(ordered)) - 1))]


def mann_kendall(values: Sequence[float]) -> float:
    """Return z of the Mann-Kendall trend test (Mann 1945, Kendall 1975), 0 below four values."""
    n = len(values)
    if n < 4:  # noqa: PLR2004 - three values cannot show a trend
        return 0.0
    s = sum(
        (later > earlier) - (later < earlier) for i, earlier in enumerate(values) for later in values[i + 1 :]
    )
    ties: dict[float, int] = {}
    for value in values:
        ties[value] = ties.get(value, 0) + 1
    variance = n * (n - 1) * (2 * n + 5) - sum(t * (t - 1) * (2 * t + 5) for t in ties.values())
    return 0.0 if variance <= 0 else (s - math.copysign(1, s) * (s != 0)) / math.sqrt(variance / 18)
