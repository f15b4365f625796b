"""What runs measure of themselves: judged against its own usual range, readable by rules."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from prefect_autopilot.errors import UsageError
from prefect_autopilot.models import (
    AlertCondition,
    HistoryRun,
    Measure,
    MonitoringRule,
    RunRecord,
    RunSeries,
    Severity,
    StateRecord,
)
from prefect_autopilot.monitoring import alerts_of, baselines, detect, evaluate, metrics
from prefect_autopilot.monitoring.custom import MOST_NAMES
from prefect_autopilot.monitoring.detection import resume
from prefect_autopilot.monitoring.measures import is_metric
from prefect_autopilot.monitoring.rule_check import read_rules

FIRST = datetime(2026, 1, 5, tzinfo=UTC)
HOUR = timedelta(hours=1)


def history(values: list[float | None], name: str = "score", **more: Any) -> RunSeries:
    runs = [
        HistoryRun(
            start=FIRST + i * HOUR,
            state="COMPLETED",
            duration_s=60 + i % 3,
            measures={} if value is None else {name: value},
        ).model_copy(update=more.get(str(i), {}))
        for i, value in enumerate(values)
    ]
    return RunSeries(id="one", runs=tuple(runs))


def told(values: list[float | None], **more: Any) -> list[tuple[int, str]]:
    series = history(values, **more)
    return [
        (round((one.start - FIRST) / HOUR), one.kind)
        for one in detect([series])["one"]
        if one.severity is not Severity.INFO
    ]


def noise(n: int, centre: float = 0.9, spread: float = 0.01) -> list[float | None]:
    chance = random.Random(n)
    return [centre + chance.gauss(0, spread) for _ in range(n)]


@pytest.mark.parametrize(
    ("after", "expected"),
    [
        pytest.param([0.1], [(60, "metric_score")], id="far below is told at once"),
        pytest.param([9.0], [(60, "metric_score")], id="far above is told at once"),
        pytest.param([0.82, 0.82], [(61, "metric_score")], id="a little outside is told at the second value"),
        pytest.param([0.82, 0.9, 0.82], [], id="a little outside now and then is not"),
        pytest.param([0.82, 0.98], [], id="once below and once above is no row"),
        pytest.param([0.9, None, 0.9], [], id="no value is no news"),
        pytest.param([0.1, 0.1, 0.1], [(60, "metric_score")], id="what lasts is told once"),
    ],
)
def test_a_measure_outside_its_usual_range_is_told(
    after: list[float | None], expected: list[tuple[int, str]]
) -> None:
    assert told(noise(60) + after) == expected


@pytest.mark.parametrize("runs", [0, 1, 10, 29])
def test_below_thirty_values_nothing_is_usual(runs: int) -> None:
    assert told([*noise(runs), 5000.0]) == []


@pytest.mark.parametrize("seed", range(5))
def test_ordinary_values_of_any_shape_are_silent(seed: int) -> None:
    chance = random.Random(seed)
    shapes = {
        "normal": [chance.gauss(0, 1) for _ in range(400)],
        "skewed": [chance.expovariate(1) for _ in range(400)],
        "two values": [chance.choice([0.0, 1.0]) for _ in range(400)],
        "constant": [7.0] * 400,
        "negative": [-chance.lognormvariate(3, 0.3) for _ in range(400)],
    }
    for name, values in shapes.items():
        assert told(list(values)) == [], name


def test_a_new_level_becomes_the_usual_one() -> None:
    assert [at for at, _ in told([*noise(60), *noise(100, centre=5.0)])] == [60]


def test_failed_runs_have_not_counted_to_the_end() -> None:
    series = history([*noise(60), 0.0], **{"60": {"state": "FAILED"}})
    assert detect([series])["one"] == ()


def test_names_beyond_the_cap_are_left_aside_and_not_kept() -> None:
    names = [f"n{i}" for i in range(MOST_NAMES + 5)]
    runs = tuple(
        HistoryRun(
            start=FIRST + i * HOUR, state="COMPLETED", duration_s=60.0, measures=dict.fromkeys(names, v)
        )
        for i, v in enumerate([*([1.0] * 40), 50.0])
    )
    kinds = {one.kind for one in detect([RunSeries(id="one", runs=runs)])["one"]}
    assert kinds == {f"metric_{name}" for name in names[:MOST_NAMES]}


def test_a_monitor_that_goes_on_tells_the_same_of_measures() -> None:
    whole = history([*noise(70), 0.1, *noise(20)])
    first = resume(whole.model_copy(update={"runs": whole.runs[:65], "now": whole.runs[64].start}), None)
    assert first is not None
    assert first.memory is not None
    end = whole.runs[-1].start + HOUR
    rest = resume(whole.model_copy(update={"now": end}), first.memory)
    assert rest is not None
    assert [one.as_anomaly() for one in rest.monitor.findings] == list(detect([whole])["one"])


def test_values_that_are_no_numbers_do_not_break_a_history() -> None:
    values = [*noise(60), float("nan"), float("inf"), float("-inf"), 0.9]
    assert told(values) == []


def a_run(number: int, **measures: float) -> RunRecord:
    at = FIRST + number * HOUR
    state = StateRecord(id=f"s{number}", type="COMPLETED", name="Completed", timestamp=at)
    return RunRecord(id=f"r{number}", flow_name="f", state=state, start=at, end=at, measures=measures)


RULE = MonitoringRule(
    rule_id="quality",
    workflow_id="*",
    metric_name="measure.score",
    condition=AlertCondition.LESS_THAN,
    threshold=0.8,
    severity=Severity.CRITICAL,
)


def test_a_rule_reads_the_newest_value() -> None:
    runs = [a_run(1, score=0.9), a_run(2, score=0.7), a_run(3)]
    measured = {one.name: one.value for one in metrics("w", runs, FIRST)}
    assert measured["measure.score"] == 0.7
    (alert,) = evaluate([RULE], metrics("w", runs, FIRST), {}, [], FIRST)
    assert alert.current_values == {"measure.score": 0.7}


def test_the_baseline_of_a_measure_is_its_earlier_values() -> None:
    runs = [a_run(i, score=float(i)) for i in range(5)]
    assert baselines("w", runs, FIRST)["w", "measure.score"] == [0.0, 1.0, 2.0, 3.0]


@pytest.mark.parametrize(
    ("name", "is_one"),
    [
        ("measure.rows", True),
        ("measure.row_count2", True),
        ("error_rate", True),
        ("measure.", False),
        ("measure.Rows", False),
        ("measure.a b", False),
        ("rows", False),
        ("measure.rows\n", False),
        (None, False),
        (3, False),
    ],
)
def test_which_metrics_a_rule_may_name(name: object, is_one: bool) -> None:  # noqa: FBT001 - a table
    assert is_metric(name) is is_one


def test_a_rule_over_a_measure_is_read_and_a_wrong_one_says_what_there_is() -> None:
    (rule,) = read_rules({"metric_name": "measure.rows", "condition": "<", "threshold": 1})
    assert rule.metric_name == "measure.rows"
    with pytest.raises(UsageError, match=r"error_rate"):
        read_rules({"metric_name": "eror_rate", "condition": "<", "threshold": 1})


def test_an_alert_of_a_measure_is_about_a_custom_metric_whatever_its_name() -> None:
    series = history([*noise(60), 0.1], name="error_count")
    found = detect([series])["one"]
    (alert,) = alerts_of("one", "one", found, [], [], found[0].end)
    assert alert.alert_type.value == "custom_metric"
    assert "rror_count is 0.1" in alert.description


@pytest.mark.parametrize("name", ["", "Rows", "1st", "a" * 65, "a-b", "a b", "ä"])
def test_a_measure_has_a_plain_name(name: str) -> None:
    with pytest.raises(ValueError, match="name"):
        Measure(flow_run_id="r", name=name, value=1, at=FIRST)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_measure_is_a_finite_number(value: float) -> None:
    with pytest.raises(ValueError, match="finite"):
        Measure(flow_run_id="r", name="rows", value=value, at=FIRST)
