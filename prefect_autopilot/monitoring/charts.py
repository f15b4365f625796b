"""Pictures of a deployment's runs as SVG: durations with their expected band, and the success rate."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from math import exp, log, log10
from statistics import median
from types import ModuleType
from typing import cast
from xml.etree.ElementTree import Element

from prefect_autopilot.models import FAILURE_STATES, Anomaly, RunRecord, Trend
from prefect_autopilot.monitoring.measures import began, duration, finished
from prefect_autopilot.monitoring.statistics import mad

WIDTH, HEIGHT = 720, 280
MOST_POINTS = 400
BAND_RUNS = 60
BAND_WIDTH = 3.0
LEAST_BAND = 10
DATES = 4
WINDOW = 20
NO_RUN = "No finished run was seen yet."
# Colour alone must not tell: failed runs are rings, alarms dashed, what is expected to come dotted.
COLOURS = {
    "runs": "#2f6fde",
    "succeeded": "#2f6fde",
    "expected": "#8fb0ec",
    "failed": "#c4314b",
    "alarms": "#8250df",
    "forecast": "#b26a00",
}
LOOKS = {
    "expected": ".line{fill-opacity:.35;stroke:none}",
    "failed": ".dot{fill:none;stroke-width:2;stroke-opacity:1}",
    "alarms": ".line{stroke-dasharray:4 3}",
    "succeeded": ".line{stroke-width:2}",
    "forecast": ".line{stroke-dasharray:1 4;stroke-width:3;stroke-linecap:round}",
}
CSS = """
.axis .guide.line,.axis .line{stroke:#8a94a6!important;stroke-opacity:.4}
@media (prefers-color-scheme:dark){.title,.legend text,.axis text,.no_data{fill:#d6dae2!important}}
"""


@dataclass(frozen=True, slots=True)
class Point:
    """One run in the picture."""

    at: datetime
    value: float
    failed: bool = False


@dataclass(frozen=True, slots=True)
class Series:
    """What is drawn under one name: its places as seconds since 1970 and value; a gap is (None, None)."""

    name: str
    places: Sequence[tuple[float | None, float | None]]
    dots: bool = False
    area: bool = False


def duration_chart(
    name: str, runs: Iterable[RunRecord], alarms: Sequence[Anomaly] = (), trend: Trend | None = None
) -> str:
    """Return an SVG of the durations of the newest 400 runs with the band in which they were expected.

    The band around each run comes from the 60 successful ones before it (median and three robust deviations
    of the logarithm). Failed runs stand at the bottom; alarms are dashed lines; a trend is drawn as far
    ahead as the picture looks back.
    """
    title = f"Durations of {name} (UTC)"
    points = _points(runs)
    if not points:
        return _drawn(title, NO_RUN, [], _seconds)
    good = [point for point in points if not point.failed]
    band = _band(good)
    ahead = _ahead(points, good, trend)
    begin, end = points[0].at, (ahead or points)[-1].at
    top = max([point.value for point in (*good, *ahead)] + [high for _, _, high in band], default=0.0) or 1.0
    inside = [one for one in alarms if begin <= one.start <= end]
    lines = [
        Series("expected", _around(band), area=True),
        Series("runs", _places(good), dots=True),
        Series("failed", _places(point for point in points if point.failed), dots=True),
        Series("alarms", [place for one in inside for place in _upright(one.start, top)]),
        Series("forecast", _places(ahead)),
    ]
    failed = len(points) - len(good)
    told = f"{len(points)} runs, {failed} failed, {len(inside)} alarms."
    if good:
        told += f" Median {_seconds(median(point.value for point in good))}."
    if ahead:
        told += f" At this rate {_seconds(ahead[-1].value)} on {ahead[-1].at:%Y-%m-%d}.{_how_sure(trend)}"
    return _drawn(title, told, lines, _seconds, (begin, end, top))


def success_chart(name: str, runs: Iterable[RunRecord]) -> str:
    """Return an SVG of the share of successful runs among the newest 20 at each of the newest 400 runs."""
    title = f"Success rate of {name} (UTC)"
    points = _points(runs)
    if not points:
        return _drawn(title, NO_RUN, [], _percent)
    rates = []
    for place, point in enumerate(points):
        window = points[max(0, place + 1 - WINDOW) : place + 1]
        rates.append(Point(point.at, 1 - sum(one.failed for one in window) / len(window)))
    lines = [
        Series("succeeded", _places(rates)),
        Series("failed", _places(Point(one.at, 0.0) for one in points if one.failed), dots=True),
    ]
    share, seen = _percent(rates[-1].value), min(WINDOW, len(points))
    told = f"{share} of the last {seen} runs succeeded, {len(points)} shown."
    return _drawn(title, told, lines, _percent, (points[0].at, points[-1].at, 1.0))


def _points(runs: Iterable[RunRecord]) -> list[Point]:
    found = []
    for run in finished(runs):
        at, took = began(run), duration(run)
        failed = run.state.type in FAILURE_STATES
        if at is not None and (failed or took is not None):
            found.append(Point(at, 0.0 if took is None else took, failed))
    return found[-MOST_POINTS:]


def _band(good: Sequence[Point]) -> list[tuple[datetime, float, float]]:
    """Return time, low and high of the band; each uses only the runs before it."""
    logs = [log(max(point.value, 1e-3)) for point in good]
    found = []
    for place in range(LEAST_BAND, len(good)):
        before = logs[max(0, place - BAND_RUNS) : place]
        centre, spread = median(before), BAND_WIDTH * max(0.02, mad(before))
        found.append((good[place].at, exp(centre - spread), exp(centre + spread)))
    return found


def _ahead(points: Sequence[Point], good: Sequence[Point], trend: Trend | None) -> list[Point]:
    if trend is None or trend.metric != "duration_s" or trend.p_value >= 0.01 or not good:  # noqa: PLR2004
        return []
    last = points[-1].at
    level = median(point.value for point in good[-WINDOW:])
    reach = max(last - points[0].at, timedelta(days=1))
    then = max(0.0, level + trend.slope_per_day * reach.total_seconds() / 86_400)
    return [Point(last, level), Point(last + reach, then)]


def _how_sure(trend: Trend | None) -> str:
    """Return when the limit is met, and by how much such lines were off before; nothing where unknown."""
    told = ""
    if trend is not None and trend.eta_early is not None and trend.eta_late is not None:
        told += f" Its limit is met between {trend.eta_early:%Y-%m-%d} and {trend.eta_late:%Y-%m-%d}."
    if trend is not None and trend.error is not None:
        told += f" Such lines missed later runs by {_percent(trend.error)} (median of {trend.tests})."
    return told


def _places(points: Iterable[Point]) -> list[tuple[float | None, float | None]]:
    return [(point.at.timestamp(), point.value) for point in points]


def _around(band: Sequence[tuple[datetime, float, float]]) -> list[tuple[float | None, float | None]]:
    """Return the outline of the band: its upper side there, its lower side back."""
    upper = [(at.timestamp(), high) for at, _, high in band]
    return [*upper, *((at.timestamp(), low) for at, low, _ in reversed(band))]


def _upright(at: datetime, top: float) -> list[tuple[float | None, float | None]]:
    return [(at.timestamp(), 0.0), (at.timestamp(), top), (None, None)]


def _percent(share: float) -> str:
    return f"{100 * share:.0f} %"


def _seconds(value: float) -> str:
    if value >= 3600:  # noqa: PLR2004 - an hour
        return f"{value / 3600:.1f} h"
    if value >= 120:  # noqa: PLR2004 - two minutes
        return f"{value / 60:.1f} min"
    digits = 0 if value == 0 else max(0, 1 - int(log10(max(value, 1e-3))))
    return f"{value:.{digits}f} s"


def _drawn(
    title: str,
    told: str,
    lines: Sequence[Series],
    say: Callable[[float], str],
    window: tuple[datetime, datetime, float] | None = None,
) -> str:
    """Return the series as SVG; the window is begin, end and the highest value."""
    lines = [line for line in lines if line.places]
    looks = "".join(f".serie-{at} {LOOKS[line.name]}" for at, line in enumerate(lines) if line.name in LOOKS)
    pygal = _library()
    style = pygal.style.Style(
        background="transparent",
        plot_background="transparent",
        foreground="#3d4451",
        foreground_strong="#3d4451",
        font_family="system-ui, sans-serif",
        title_font_size=14,
        legend_font_size=12,
        label_font_size=12,
        major_label_font_size=12,
        no_data_font_size=14,
        guide_stroke_dasharray="none",
        colors=tuple(COLOURS[line.name] for line in lines),
    )
    chart = pygal.XY(
        width=WIDTH,
        height=HEIGHT,
        margin=8,
        margin_bottom=24,
        title=_visible(title),
        style=style,
        css=("file://style.css", "file://graph.css", f"inline:{CSS}{looks}"),
        js=(),
        no_prefix=True,
        legend_at_bottom=True,
        legend_at_bottom_columns=len(COLOURS),
        truncate_label=-1,
        max_scale=6,
        value_formatter=say,
        x_value_formatter=lambda at: f"{datetime.fromtimestamp(at, UTC):%Y-%m-%d %H:%M}",
        allow_interruptions=True,
        no_data_text=NO_RUN,
        show_x_labels=window is not None,
        show_y_labels=window is not None,
    )
    if window is not None:
        begin, end, top = window
        chart.range = (0.0, top)
        step = max(end - begin, timedelta(minutes=1)) / DATES
        chart.x_labels = [(begin + step * number).timestamp() for number in range(DATES)]
    for line in lines:
        chart.add(
            line.name, line.places, show_dots=line.dots, stroke=not line.dots, fill=line.area, dots_size=2
        )
    chart.add_xml_filter(lambda root: _still(root, _visible(title), told))
    return str(chart.render(is_unicode=True, disable_xml_declaration=True))


def _library() -> ModuleType:
    """Return pygal, imported where something is drawn.

    It leaves a hook among Python's importers, which only its plug-ins for maps need and of which Python 3.11
    warns at every module that is not found: the hook is taken out.
    """
    import pygal

    sys.meta_path[:] = [one for one in sys.meta_path if type(one).__module__ != pygal.__name__]
    return cast("ModuleType", pygal)


def _still(root: Element, title: str, told: str) -> Element:
    """Return the picture without scripts and tooltips, with its title and meaning for those who hear it."""
    for parent in list(root.iter()):
        for child in list(parent):
            if not isinstance(child.tag, str) or child.tag in {"script", "desc"}:
                parent.remove(child)
    root.set("role", "img")
    root.attrib.pop("id", None)
    for place, (tag, words) in enumerate((("title", title), ("desc", told))):
        element = Element(tag)
        element.text = words
        root.insert(place, element)
    return root


def _visible(text: str) -> str:
    """Return text without the characters that XML refuses or that turn its direction around."""
    return "".join(letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in text)
