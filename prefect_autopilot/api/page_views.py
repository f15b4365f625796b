"""What the status page shows, as plain values: traffic lights with reasons, what to do, charts of runs."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from statistics import median, quantiles
from typing import Literal, NamedTuple

from prefect_autopilot.models import (
    HealthScore,
    ResolutionStatus,
    RunRecord,
    TroubleshootingSession,
    Value,
    WorkflowAlert,
)
from prefect_autopilot.monitoring.outlook import Outlook
from prefect_autopilot.troubleshooting.session import OPEN

WIDTH, HEIGHT = 300, 60
MOST_BARS = 30
FEWEST_FOR_BAND = 5
ESCALATED_SHOWN = timedelta(days=7)
URGENT = frozenset({"critical", "high"})
FAILED = frozenset({"FAILED", "CRASHED"})

# Directions and marks of text, which could make a line read as something else.
_INVISIBLE = (*range(0x202A, 0x202F), *range(0x2066, 0x206A), 0x200E, 0x200F, 0x2028, 0x2029)
_CONTROLS = dict.fromkeys((*range(32), *range(127, 160), *_INVISIBLE), "�")
_PLAIN = _CONTROLS | {ord("\n"): "\n", ord("\t"): "\t"}


class Light(NamedTuple):
    """A state as colour, sign and word: nobody has to see the colour."""

    colour: str
    sign: str
    word: str


LIGHTS = {
    "healthy": Light("green", "●", "Healthy"),
    "degraded": Light("amber", "▲", "Needs attention"),
    "unhealthy": Light("red", "■", "Unhealthy"),
    "unknown": Light("unknown", "?", "Unknown"),
}


class Bar(NamedTuple):
    """One run of a chart."""

    kind: Literal["ok", "failed", "other"]
    x: float
    y: float
    width: float
    height: float


class Picture(NamedTuple):
    """A chart of runs: bars, the band of usual durations (top and height), and the same in words."""

    text: str
    bars: tuple[Bar, ...]
    band: tuple[float, float] | None
    width: int = WIDTH
    height: int = HEIGHT


class SessionFacts(Value):
    """A session in a few lines."""

    session_id: str
    title: str
    workflow: str
    cause: str
    status: str
    since: str
    todo: str


def plain(text: object) -> str:
    """Return text without what could steer a terminal or turn its reading direction around."""
    return str(text).translate(_PLAIN)


def light_of(health: HealthScore, alerts: Sequence[WorkflowAlert]) -> tuple[Light, str]:
    """Return the light of a workflow and why; an urgent open alert keeps it from being green."""
    urgent = [alert for alert in alerts if alert.severity in URGENT and alert.status == "firing"]
    if urgent and health.status in {"healthy", "unknown"}:
        return LIGHTS["degraded"], f"Alert: {urgent[0].title}. {health.reason}"
    return LIGHTS[health.status], health.reason


def facts_of(session: TroubleshootingSession, names: Mapping[str, str] | None = None) -> SessionFacts:
    """Return a session in a few lines, with what a person has to do; ``names`` of workflows by their ids."""
    subject = (names or {}).get(session.workflow_id, session.workflow_id)
    diagnosis = session.diagnosis
    kind = f"{diagnosis.category.replace('_', ' ')} problem" if diagnosis is not None else ""
    what = kind or "Something is wrong"
    return SessionFacts(
        session_id=session.session_id,
        title=f"{what[:1].upper()}{what[1:]} in {subject}",
        workflow=subject,
        cause=diagnosis.root_cause if diagnosis is not None else "Nothing was concluded yet.",
        status=session.resolution_status.replace("_", " "),
        since=session.start_time.strftime("%Y-%m-%d %H:%M UTC"),
        todo=_todo(session),
    )


def wants_a_look(session: TroubleshootingSession, now: datetime) -> bool:
    """Tell whether a session belongs on the overview: open, or handed to people in the last week."""
    if session.resolution_status == ResolutionStatus.ESCALATED:
        return now - (session.end_time or session.start_time) < ESCALATED_SHOWN
    return session.resolution_status in OPEN


def _todo(session: TroubleshootingSession) -> str:
    advice = session.recommendations[0] if session.recommendations else ""
    decision = session.decision
    if session.end_time is None and decision is not None and decision.action == "propose":
        return f"Decide on what is proposed: {decision.remedy.kind.replace('_', ' ')}. {decision.reason}"
    if session.resolution_status in {ResolutionStatus.ESCALATED, ResolutionStatus.MANUAL}:
        return advice or "Look at the evidence and decide."
    if session.end_time is not None:
        return "Nothing: the session is over."
    if session.attempts and session.attempts[-1].verification is None:
        return "Nothing now: what was done is being verified."
    return advice or "Nothing now: the session goes on by itself."


class Moment(NamedTuple):
    """A line of a session's trail: when, how long after the one before, and what."""

    at: str
    clock: str
    after: str
    text: str


def moments_of(trail: Sequence[str]) -> tuple[Moment, ...]:
    """Return a trail as moments; a line without a time of its own keeps its text."""
    found, before = [], None
    for line in trail:
        stamp, _, text = line.partition(" ")
        try:
            at = datetime.fromisoformat(stamp)
        except ValueError:
            found.append(Moment("", "", "", line))
            continue
        gone = (at - before).total_seconds() if before is not None else 0.0
        before = at
        after = f"+{_seconds(gone)}" if gone >= 1 else ""
        found.append(Moment(at.isoformat(), f"{at:%Y-%m-%d %H:%M:%S}", after, text))
    return tuple(found)


def picture_of(runs: Sequence[RunRecord]) -> Picture | None:
    """Return the chart of the newest runs, oldest first; None where none of them took any time."""
    shown = [run for run in runs if run.duration_s is not None][-MOST_BARS:]
    lasted = [run.duration_s or 0.0 for run in shown]
    if not shown or max(lasted) <= 0:
        return None
    scale, step = (HEIGHT - 4) / max(lasted), WIDTH / MOST_BARS
    bars = tuple(
        _bar(run, number * step, step, max(2.0, duration * scale))
        for number, (run, duration) in enumerate(zip(shown, lasted, strict=True))
    )
    usual = [run.duration_s or 0.0 for run in shown if run.state.type == "COMPLETED"]
    band = None
    said = ""
    if len(usual) >= FEWEST_FOR_BAND:
        cuts = quantiles(usual, n=10)
        low, high = max(0.0, cuts[0]), min(cuts[-1], max(lasted))
        band = (round(HEIGHT - high * scale, 1), round(max(1.0, (high - low) * scale), 1))
        said = f" Usually {_seconds(low)} to {_seconds(high)}."
    failed = sum(run.state.type in FAILED for run in shown)
    text = f"Last {len(shown)} runs: {failed} failed. Median {_seconds(median(lasted))}.{said}"
    return Picture(text=text, bars=bars, band=band)


def _bar(run: RunRecord, x: float, step: float, height: float) -> Bar:
    kind: Literal["ok", "failed", "other"] = "ok" if run.state.type == "COMPLETED" else "other"
    kind = "failed" if run.state.type in FAILED else kind
    return Bar(kind, round(x + 1, 1), round(HEIGHT - height, 1), round(step - 2, 1), round(height, 1))


def _seconds(value: float) -> str:
    minute = 60
    return f"{value:.3g} s" if value < minute else f"{value / minute:.3g} min"


def headline(lights: Sequence[Light], open_sessions: int) -> str:
    """Return the state of everything in one sentence."""
    count = {word: sum(light.colour == word for light in lights) for word in ("red", "amber", "unknown")}
    said = [
        f"{number} {word}"
        for number, word in (
            (count["red"], "unhealthy"),
            (count["amber"], "needing attention"),
            (count["unknown"], "unknown"),
        )
        if number
    ]
    sessions = f"{open_sessions} open session{'' if open_sessions == 1 else 's'}"
    if not lights:
        return f"No workflow was seen yet, {sessions}"
    if not said:
        return f"All workflows on this page are healthy, {sessions}"
    return f"Workflows: {', '.join(said)}; {sessions}"


def expected_in_words(expected: Outlook, now: datetime) -> tuple[str, ...]:
    """Return what is expected of a workflow, each as a sentence with its interval and what it rests on."""
    said = []
    if (week := expected.failures_next_week) is not None:
        said.append(
            f"Failures within a week: about {week.expected:.1f}, between {week.low:.0f} and {week.high:.0f}"
            f" (90 %; {week.failed} of {week.runs} runs of late failed)."
        )
        if (half := week.tested) is not None:
            said.append(
                f"By the older half of that time {half.low:.0f} to {half.high:.0f} failures were to be"
                f" expected in the newer half; {half.came} came."
            )
    for name, end in sorted(expected.running.items())[:5]:
        if end.overdue or end.expected is None:
            said.append(f"Run {name} has taken longer than each of {end.n} runs before.")
        else:
            late = f", by {end.late:%H:%M} in 19 of 20 cases" if end.late is not None else ""
            left = _seconds(max(0.0, (end.expected - now).total_seconds()))
            said.append(f"Run {name} is expected to end in {left}{late}.")
    if (tested := expected.back_test) is not None:
        said.append(
            f"Such forecasts of durations were off by {tested.error:.0%} (median of {tested.n});"
            f" {tested.covered:.0%} of the runs ended within the 90 % interval."
        )
    return tuple(said)


def digest_of(text: str) -> str:
    """Return the SHA-256 of a text as a Content-Security-Policy names it."""
    return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
