"""What the runs after a rewrite say: wait, take it back, or keep it; nothing is decided by chance alone."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from prefect_autopilot.models import RunSample
from prefect_autopilot.optimization.aftermath import judge

USUAL = tuple(10 + one / 10 for one in range(20))
"""Twenty runs of 10.0 to 11.9 seconds."""


def sample(durations: tuple[float, ...] = (), failures: int = 0) -> RunSample:
    return RunSample(durations_s=durations, failures=failures)


@pytest.mark.parametrize(
    ("before", "after", "verdict"),
    [
        pytest.param(sample(USUAL), sample(), "wait", id="no run yet"),
        pytest.param(sample(USUAL), sample((5.0,) * 19), "wait", id="nineteen good ones"),
        pytest.param(sample(USUAL), sample((5.0,) * 20), "keep", id="twenty good ones"),
        pytest.param(sample(USUAL), sample(USUAL), "keep", id="twenty of the same"),
        pytest.param(sample(USUAL), sample(failures=1), "wait", id="one failure is chance"),
        pytest.param(sample(USUAL), sample(failures=2), "worse", id="two failures after none in twenty"),
        pytest.param(
            sample(USUAL, 10), sample(failures=2), "wait", id="two failures where many failed before"
        ),
        pytest.param(sample(failures=0), sample(failures=9), "wait", id="nothing to compare with"),
        pytest.param(sample(USUAL[:5]), sample(failures=3), "wait", id="three failures after five runs"),
        pytest.param(sample(USUAL[:5]), sample(failures=4), "worse", id="four failures after five runs"),
        pytest.param(sample(USUAL), sample((30.0,) * 4), "wait", id="four slow runs are too few"),
        pytest.param(sample(USUAL), sample((30.0,) * 5), "worse", id="five slow runs"),
        pytest.param(sample(USUAL), sample((11.2,) * 20), "keep", id="slower by less than a tenth"),
        pytest.param(
            sample((0.5,) * 20), sample((0.7,) * 20), "keep", id="slower by less than a quarter second"
        ),
        pytest.param(
            sample((1.0, 50.0) * 10), sample((30.0, 31.0, 2.0, 60.0, 1.0)), "wait", id="scattered before"
        ),
    ],
)
def test_runs_are_judged_by_failures_first_and_durations_then(
    before: RunSample, after: RunSample, verdict: str
) -> None:
    assert judge(before, after).verdict == verdict


def test_a_judgement_tells_the_numbers_it_stands_on() -> None:
    failed = judge(sample(USUAL), sample((9.0,), failures=3)).reason
    assert "3 of 4 runs failed" in failed
    assert "before 0 of 20" in failed
    assert "p = 0.00" in failed
    slow = judge(sample(USUAL), sample((30.0,) * 6)).reason
    assert "30.00 s in the median, before 10.95 s" in slow
    assert "n = 6 and 20" in slow
    kept = judge(sample(USUAL), sample((5.0,) * 20)).reason
    assert kept == "20 runs were not worse: 5.00 s in the median, before 10.95 s"
    assert judge(sample(), sample((5.0,) * 20)).reason == "20 runs were not worse"


@settings(max_examples=50, deadline=None)
@given(st.lists(st.floats(0.1, 100), min_size=5, max_size=25), st.integers(0, 5))
def test_the_same_runs_again_are_never_worse(durations: list[float], failures: int) -> None:
    runs = sample(tuple(durations), failures)
    assert judge(runs, runs).verdict != "worse"


@settings(max_examples=50, deadline=None)
@given(st.lists(st.floats(1, 50), min_size=5, max_size=25), st.floats(0, 1))
def test_faster_runs_are_never_worse(durations: list[float], share: float) -> None:
    faster = sample(tuple(one * share for one in durations))
    assert judge(sample(tuple(durations)), faster).verdict != "worse"
