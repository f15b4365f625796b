"""Trends (statsmodels) and novelty (scikit-learn): the parts that import something heavy."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

from prefect_autopilot.models import RunRecord, RunSeries, Severity
from prefect_autopilot.monitoring import novelty, trends

Records = Callable[..., list[RunRecord]]


def test_a_rising_duration_has_a_slope_and_a_time_to_the_limit(records: Records, now: datetime) -> None:
    runs = [
        run.model_copy(update={"duration_s": (run.duration_s or 0) + 0.5 * i})
        for i, run in enumerate(records(["COMPLETED"] * 200))
    ]
    duration = next(one for one in trends(runs, {"duration_s": 220}, now) if one.metric == "duration_s")
    assert 11 < duration.slope_per_day < 13
    assert duration.p_value < 0.01
    assert duration.n == 200
    assert duration.eta is not None
    assert timedelta(days=3) < duration.eta - now < timedelta(days=7)


def test_noise_has_no_time_to_a_limit(records: Records, now: datetime) -> None:
    found = trends(records(["COMPLETED"] * 200), {"duration_s": 220}, now)
    assert [one.eta for one in found] == [None, None]


def test_equal_values_have_no_trend(records: Records, now: datetime) -> None:
    for one in trends(records(["COMPLETED"] * 20, duration=60.0), {}, now):
        assert (one.slope_per_day, one.p_value) == (0.0, 1.0)


def test_a_limit_already_met_has_no_time_ahead(records: Records, now: datetime) -> None:
    runs = [
        run.model_copy(update={"duration_s": 100.0 + i}) for i, run in enumerate(records(["COMPLETED"] * 50))
    ]
    assert trends(runs, {"duration_s": 50}, now)[0].eta is None


def test_few_runs_have_no_trend(records: Records, now: datetime) -> None:
    assert trends(records(["COMPLETED"] * 11), {}, now) == ()


def test_an_unusual_combination_ranks_first_as_information(history: Callable[..., RunSeries]) -> None:
    def odd(i: int, run: dict[str, Any]) -> dict[str, Any]:
        return run | {"duration_s": 20.0, "rows": 700, "memory_mb": 800.0, "retries": 2} if i == 150 else run

    series = history(change=odd)
    found = novelty(series)
    assert found
    assert found[0].start == series.runs[150].start
    assert {one.severity for one in found} == {Severity.INFO}
    assert "sigma" in found[0].reason
    assert len(found) <= 5


def test_a_healthy_history_has_hardly_any_novelty(history: Callable[..., RunSeries]) -> None:
    assert sum(len(novelty(history(seed=seed))) for seed in range(3)) <= 2


def test_below_a_hundred_runs_there_is_no_novelty(history: Callable[..., RunSeries]) -> None:
    assert novelty(history(99)) == ()


def test_detection_loads_no_model_library() -> None:
    code = (
        "import sys\nfrom prefect_autopilot.monitoring import detect\n"
        "from prefect_autopilot.models import RunSeries\ndetect([RunSeries(id='a', runs=())])\n"
        "heavy = {'sklearn', 'statsmodels', 'numpy', 'pandas', 'prefect'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
