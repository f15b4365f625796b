"""Exact tests for small tables, corrected for how many were tried."""

from __future__ import annotations

from collections.abc import Sequence
from math import comb


def fisher_greater(hits: int, marked: int, drawn: int, total: int) -> float:
    """Return the one-sided p of Fisher's exact test.

    ``total`` runs, of which ``marked`` have the trait and ``drawn`` failed; ``hits`` did both. The
    result is the hypergeometric probability of at least that many hits by chance.
    """
    most = min(marked, drawn)
    if total <= 0 or hits > most:
        return 1.0
    whole = comb(total, drawn)
    tail = sum(comb(marked, k) * comb(total - marked, drawn - k) for k in range(hits, most + 1))
    return tail / whole


def least_p(marked: int, drawn: int, total: int) -> float:
    """Return the smallest p that these margins could give at all."""
    return fisher_greater(min(marked, drawn), marked, drawn, total)


def tests_that_count(least: Sequence[float], alpha: float) -> int:
    """Return by how many tests to correct, leaving out those that could never be significant.

    Source: R. E. Tarone, A modified Bonferroni method for discrete data, Biometrics 46 (1990). A
    column in which every run has its own value costs nothing.
    """
    k = 1
    while sum(p <= alpha / k for p in least) > k:
        k += 1
    return k
