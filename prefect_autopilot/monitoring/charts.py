"""Pictures of a deployment's runs as SVG: durations with their expected band, and the success rate."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from html import escape
from math import exp, log, log10
from statistics import median

from prefect_autopilot.models import FAILURE_STATES, Anomaly, RunRecord, Trend
from prefect_autopilot.monitoring.measures import began, duration, finished
from prefect_autopilot.monitoring.statistics import mad

WIDTH, HEIGHT = 720, 260
LEFT, RIGHT, TOP, BOTTOM = 64, 12, 34, 30
MOST_POINTS = 400
BAND_RUNS = 60
BAND_WIDTH = 3.0
LEAST_BAND = 10
TICKS = 4
WINDOW = 20
STYLE = """
text{font:12px system-ui,sans-serif;fill:#3d4451}
.title{font-weight:600;font-size:14px}
.grid{stroke:#d5d9e0;stroke-width:1}
.band{fill:#2f6fde;fill-opacity:.16}
.line{fill:none;stroke:#2f6fde;stroke-width:1.5}
.run{fill:#2f6fde}.failed{fill:#c4314b}.alarm{stroke:#c4314b;stroke-width:1.5;stroke-dasharray:4 3}
.ahead{fill:none;stroke:#b26a00;stroke-width:2;stroke-dasharray:6 4}
@media (prefers-color-scheme:dark){text{fill:#d6dae2}.grid{stroke:#3d4451}.band{fill:#7fa9f5}
.line{stroke:#7fa9f5}.run{fill:#7fa9f5}.failed{fill:#ff8296}.alarm{stroke:#ff8296}.ahead{stroke:#f0b45a}}
"""


@dataclass(frozen=True, slots=True)
class Point:
    """One run in the picture."""

    at: datetime
    value: float
    failed: bool = False


@dataclass(frozen=True, slots=True)
class Frame:
    """Where times and values lie in the picture."""

    begin: datetime
    end: datetime
    low: float
    high: float

    def x(self, at: datetime) -> float:
        """Return the horizontal place of a time."""
        span = (self.end - self.begin).total_seconds() or 1.0
        share = min(1.0, max(0.0, (at - self.begin).total_seconds() / span))
        return LEFT + share * (WIDTH - LEFT - RIGHT)

    def y(self, value: float) -> float:
        """Return the vertical place of a value."""
        span = (self.high - self.low) or 1.0
        share = min(1.0, max(0.0, (value - self.low) / span))
        return HEIGHT - BOTTOM - share * (HEIGHT - TOP - BOTTOM)


def duration_chart(
    name: str, runs: Iterable[RunRecord], alarms: Sequence[Anomaly] = (), trend: Trend | None = None
) -> str:
    """Return an SVG of the durations of the newest 400 runs with the band in which they were expected.

    The band around each run comes from the 60 successful ones before it (median and three robust deviations
    of the logarithm). Failed runs stand at the bottom; alarms are dashed lines; a trend is drawn as far
    ahead as the picture looks back.
    """
    points = _points(runs)
    if not points:
        return _empty(f"Durations of {name}")
    good = [point for point in points if not point.failed]
    band = _band(good)
    ahead = _ahead(points, good, trend)
    ends = [*points, *ahead]
    values = [point.value for point in (*good, *ahead)] + [high for _, _, high in band]
    frame = Frame(ends[0].at, ends[-1].at, 0.0, 1.08 * max(values, default=1.0))
    inside = [one for one in alarms if frame.begin <= one.start <= frame.end]
    parts = [*_axes(frame, _seconds)]
    if band:
        upper = " ".join(f"{frame.x(at):.1f},{frame.y(high):.1f}" for at, _, high in band)
        lower = " ".join(f"{frame.x(at):.1f},{frame.y(low):.1f}" for at, low, _ in reversed(band))
        parts.append(f'<polygon class="band" points="{upper} {lower}"/>')
    for alarm in inside:
        x = f"{frame.x(alarm.start):.1f}"
        words = escape(_visible(f"{alarm.kind.replace('_', ' ')}: {alarm.reason}"))
        line = f'x1="{x}" x2="{x}" y1="{TOP}" y2="{HEIGHT - BOTTOM}"'
        parts.append(f'<line class="alarm" {line}><title>{words}</title></line>')
    parts += (_dot(frame, point) for point in points)
    if ahead:
        parts.append(_path(frame, ahead, "ahead"))
    failed = len(points) - len(good)
    told = f"{len(points)} runs, {failed} failed, {len(inside)} alarms."
    if good:
        told += f" Median {_seconds(median(point.value for point in good))}."
    if ahead:
        told += f" At this rate {_seconds(ahead[-1].value)} on {ahead[-1].at:%Y-%m-%d}."
    return _svg(f"Durations of {name}", told, parts)


def success_chart(name: str, runs: Iterable[RunRecord]) -> str:
    """Return an SVG of the share of successful runs among the newest 20 at each of the newest 400 runs."""
    points = _points(runs)
    if not points:
        return _empty(f"Success rate of {name}")
    rates = []
    for place, point in enumerate(points):
        window = points[max(0, place + 1 - WINDOW) : place + 1]
        rates.append(Point(point.at, 1 - sum(one.failed for one in window) / len(window)))
    frame = Frame(points[0].at, points[-1].at, 0.0, 1.0)
    parts = [*_axes(frame, lambda share: f"{100 * share:.0f} %"), _path(frame, rates, "line")]
    parts += (_dot(frame, Point(one.at, 0.0, failed=True)) for one in points if one.failed)
    share, seen = 100 * rates[-1].value, min(WINDOW, len(points))
    told = f"{share:.0f} % of the last {seen} runs succeeded, {len(points)} shown."
    return _svg(f"Success rate of {name}", told, parts)


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


def _axes(frame: Frame, say: Callable[[float], str]) -> Iterator[str]:
    for tick in range(TICKS + 1):
        value = frame.low + (frame.high - frame.low) * tick / TICKS
        y = f"{frame.y(value):.1f}"
        yield f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y}" y2="{y}"/>'
        yield f'<text x="{LEFT - 6}" y="{y}" text-anchor="end" dominant-baseline="middle">{say(value)}</text>'
    foot = HEIGHT - 8
    yield f'<text x="{LEFT}" y="{foot}">{frame.begin:%Y-%m-%d %H:%M}</text>'
    yield f'<text x="{WIDTH - RIGHT}" y="{foot}" text-anchor="end">{frame.end:%Y-%m-%d %H:%M} UTC</text>'


def _dot(frame: Frame, point: Point) -> str:
    # Failed runs are squares: colour alone must not tell.
    x, y = frame.x(point.at), frame.y(point.value)
    if point.failed:
        return f'<rect class="failed" x="{x - 3:.1f}" y="{frame.y(frame.low) - 3:.1f}" width="6" height="6"/>'
    return f'<circle class="run" cx="{x:.1f}" cy="{y:.1f}" r="2"/>'


def _path(frame: Frame, points: Sequence[Point], kind: str) -> str:
    places = " ".join(f"{frame.x(point.at):.1f},{frame.y(point.value):.1f}" for point in points)
    return f'<polyline class="{kind}" points="{places}"/>'


def _seconds(value: float) -> str:
    if value >= 3600:  # noqa: PLR2004 - an hour
        return f"{value / 3600:.1f} h"
    if value >= 120:  # noqa: PLR2004 - two minutes
        return f"{value / 60:.1f} min"
    digits = 0 if value == 0 else max(0, 1 - int(log10(max(value, 1e-3))))
    return f"{value:.{digits}f} s"


def _empty(title: str) -> str:
    words = (
        f'<text x="{WIDTH / 2}" y="{HEIGHT / 2}" text-anchor="middle">No finished run was seen yet.</text>'
    )
    return _svg(title, "No finished run was seen yet.", [words])


def _svg(title: str, told: str, parts: Iterable[str]) -> str:
    head = escape(_visible(title))
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img">'
        f"<title>{head}</title><desc>{escape(told)}</desc><style>{STYLE}</style>"
        f'<text class="title" x="{LEFT}" y="20">{head}</text>{"".join(parts)}</svg>'
    )


def _visible(text: str) -> str:
    """Return text without the characters that XML refuses or that turn its direction around."""
    return "".join(letter if letter.isprintable() else "�" for letter in text)
