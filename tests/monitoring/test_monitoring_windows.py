from __future__ import annotations

import math
from statistics import median

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prefect_autopilot.monitoring.statistics import mad, mann_kendall, percentile, wilson_lower
from prefect_autopilot.monitoring.windows import SortedWindow

VALUES = st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=80)


@given(VALUES, st.integers(1, 20))
def test_a_sorted_window_is_the_newest_values_in_order(values: list[float], size: int) -> None:
    window = SortedWindow(size)
    for value in values:
        window.push(value)
    assert window.ordered == sorted(values[-size:])
    assert list(window.arrived) == values[-size:]
    assert window.median() == pytest.approx(median(values[-size:]))


@given(VALUES)
def test_a_rank_is_a_share_strictly_between_the_ends(values: list[float]) -> None:
    window = SortedWindow(100)
    for value in values:
        window.push(value)
    ranks = [window.rank(value) for value in (-1e9, *sorted(values), 1e9)]
    assert ranks == sorted(ranks)
    assert 0 < ranks[0] <= ranks[-1] < 1


def test_a_new_level_can_be_subtracted_from_the_newest_values() -> None:
    window = SortedWindow(5)
    for value in (1.0, 2.0, 3.0, 13.0, 14.0):
        window.push(value)
    window.lower_last(2, 10)
    assert list(window.arrived) == [1.0, 2.0, 3.0, 3.0, 4.0]
    assert window.ordered == [1.0, 2.0, 3.0, 3.0, 4.0]


def test_the_mean_excess_measures_the_tail() -> None:
    window = SortedWindow(10)
    for value in range(10):
        window.push(float(value))
    assert window.mean_excess(0.8) == pytest.approx(0.5)


@pytest.mark.parametrize(
    ("successes", "n", "expected"), [(0, 0, 0.0), (50, 50, 0.9487), (45, 50, 0.8087), (0, 10, 0.0)]
)
def test_the_wilson_bound_has_its_known_values(successes: int, n: int, expected: float) -> None:
    assert wilson_lower(successes, n) == pytest.approx(expected, abs=2e-3)


@pytest.mark.parametrize(
    ("values", "sign"),
    [([1, 2, 3, 4, 5, 6, 7, 8], 1), ([8, 7, 6, 5, 4, 3, 2, 1], -1), ([1, 1, 1, 1, 1], 0), ([1, 2], 0)],
)
def test_mann_kendall_tells_the_direction(values: list[float], sign: int) -> None:
    z = mann_kendall(values)
    assert math.copysign(1, z) * (abs(z) > 1.96) == sign


def test_mad_and_percentile_ignore_one_outlier() -> None:
    assert mad([1, 2, 3, 4, 1000]) == pytest.approx(1.4826)
    assert percentile([1, 2, 3, 4, 1000], 0.75) == 4
