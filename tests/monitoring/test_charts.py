"""Pictures: well-formed, accessible, bounded, and true to the runs."""

from __future__ import annotations

import sys
from datetime import UTC, datetime, timedelta
from typing import Any
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from prefect_autopilot.models import Anomaly, RunRecord, Severity, StateRecord, Trend
from prefect_autopilot.monitoring.charts import HEIGHT, MOST_POINTS, WIDTH, duration_chart, success_chart

NOW = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)
SVG = "{http://www.w3.org/2000/svg}"


def run(number: int, state: str = "COMPLETED", took: float | None = 60.0, **fields: Any) -> RunRecord:
    at = NOW + timedelta(hours=number)
    base: dict[str, Any] = {
        "id": f"r{number}",
        "flow_name": "orders",
        "state": StateRecord(id=f"s{number}", type=state, name=state, timestamp=at),
        "start": at,
        "duration_s": took,
    }
    return RunRecord.model_validate(base | fields)


def parsed(svg: str) -> ET.Element:
    return ET.fromstring(svg)


def drawn(svg: str, name: str) -> list[ET.Element]:
    """Return the dots and lines under a name of the legend."""
    root = parsed(svg)
    legend = [element for element in root.iter() if "legend" in (element.get("class") or "").split()]
    names = [element.findtext(f"{SVG}text") for element in legend]
    if name not in names:
        return []
    group = f"serie-{names.index(name)}"
    series = [element for element in root.iter() if group in (element.get("class") or "").split()]
    return [one for group in series for one in group.iter() if one.tag in {f"{SVG}circle", f"{SVG}path"}]


def described(svg: str) -> str:
    return parsed(svg).findtext(f"{SVG}desc") or ""


@pytest.mark.parametrize("chart", [duration_chart, success_chart], ids=["duration", "success"])
def test_a_picture_says_what_it_shows_to_those_who_do_not_see_it(chart: Any) -> None:
    svg = chart("orders/prod", [run(i) for i in range(20)])
    assert parsed(svg).get("role") == "img"
    assert "orders/prod" in (parsed(svg).findtext(f"{SVG}title") or "")
    assert "20" in described(svg)


@pytest.mark.parametrize("chart", [duration_chart, success_chart], ids=["duration", "success"])
def test_a_picture_loads_nothing_and_follows_the_readers_colours(chart: Any) -> None:
    svg = chart("orders", [run(i) for i in range(20)])
    assert "prefers-color-scheme:dark" in svg
    for word in ("<script", "href=", "url(", "@import", "onload", "<foreignObject"):
        assert word not in svg


@pytest.mark.parametrize("chart", [duration_chart, success_chart], ids=["duration", "success"])
@pytest.mark.parametrize(
    "runs",
    [[], [run(1, "RUNNING", None)], [run(1, "CANCELLED")], [run(1, took=float("nan"))], [run(1, took=-4.0)]],
    ids=["none", "running", "cancelled", "no number", "negative"],
)
def test_nothing_finished_is_said_so(chart: Any, runs: list[RunRecord]) -> None:
    assert "No finished run" in described(chart("orders", runs))


@pytest.mark.parametrize(
    "name", ['<script>alert("x")</script>', "a & b", "\x00\x1b[31m", "\u202etxt", "日本語 🚀", "]]>"]
)
@pytest.mark.parametrize("chart", [duration_chart, success_chart], ids=["duration", "success"])
def test_any_name_gives_a_well_formed_picture(chart: Any, name: str) -> None:
    svg = chart(name, [run(i) for i in range(3)])
    assert not list(parsed(svg).iter(f"{SVG}script"))
    assert "\u202e" not in svg


def test_failed_runs_stand_apart_by_name_and_shape() -> None:
    svg = duration_chart("orders", [run(1), run(2, "FAILED", None), run(3, "CRASHED", None, start=NOW)])
    assert len(drawn(svg, "failed")) == 2
    assert len(drawn(svg, "runs")) == 1
    assert ".dot{fill:none" in svg
    assert described(svg).startswith("3 runs, 2 failed, 0 alarms.")


def test_the_band_knows_only_what_was_before() -> None:
    calm = [run(i, took=60 + i % 5) for i in range(40)]
    with_spike = [*calm[:-1], run(39, took=6000)]
    sides = []
    for runs in (calm, with_spike):
        (band,) = drawn(duration_chart("o", [*runs, run(40, took=6000)]), "expected")
        sides.append((band.get("d") or "").split()[:58])
    assert sides[0] == sides[1]


def test_few_runs_have_no_band() -> None:
    assert drawn(duration_chart("orders", [run(i) for i in range(10)]), "expected") == []


def test_alarms_inside_the_picture_are_lines() -> None:
    alarm = Anomaly(start=NOW + timedelta(hours=5), end=NOW, kind="duration_spike", severity=Severity.HIGH,
                    score=9, reason="3 < 4 times slower")  # fmt: skip
    elsewhere = alarm.model_copy(update={"start": NOW - timedelta(days=9)})
    svg = duration_chart("orders", [run(i) for i in range(20)], [alarm, elsewhere])
    assert len(drawn(svg, "alarms")) == 1
    assert "1 alarms" in described(svg)


@pytest.mark.parametrize(
    ("trend", "ahead"),
    [
        (Trend(metric="duration_s", slope_per_day=10, p_value=0.001, n=40), True),
        (Trend(metric="duration_s", slope_per_day=-100, p_value=0.001, n=40), True),
        (Trend(metric="duration_s", slope_per_day=10, p_value=0.2, n=40), False),
        (Trend(metric="lateness_s", slope_per_day=10, p_value=0.001, n=40), False),
        (None, False),
    ],
    ids=["rising", "falling", "by chance", "of something else", "none"],
)
def test_a_trend_is_drawn_ahead_where_it_is_one(trend: Trend | None, ahead: bool) -> None:  # noqa: FBT001
    svg = duration_chart("orders", [run(i) for i in range(48)], trend=trend)
    assert bool(drawn(svg, "forecast")) is ahead
    assert ("At this rate" in described(svg)) is ahead


def test_the_success_rate_is_that_of_the_last_twenty() -> None:
    runs = [*(run(i, "FAILED", None) for i in range(30)), *(run(i) for i in range(30, 45))]
    assert described(success_chart("orders", runs)).startswith("75 % of the last 20 runs")


def test_a_million_runs_would_be_as_small_as_four_hundred() -> None:
    svg = duration_chart("orders", [run(i) for i in range(MOST_POINTS + 200)])
    assert len(drawn(svg, "runs")) == MOST_POINTS
    assert len(svg) < 80_000


@settings(max_examples=30)
@given(st.lists(st.floats(0, 1e7, allow_nan=False), min_size=1, max_size=40))
def test_every_run_lies_inside_the_picture(took: list[float]) -> None:
    for dot in drawn(duration_chart("o", [run(i, took=value) for i, value in enumerate(took)]), "runs"):
        assert 0 <= float(dot.get("cx") or -1) <= WIDTH
        assert 0 <= float(dot.get("cy") or -1) <= HEIGHT


def test_drawing_leaves_no_hook_among_the_importers() -> None:
    duration_chart("orders", [run(1)])
    assert not [one for one in sys.meta_path if type(one).__module__.startswith("pygal")]
