"""Reviews of what is stored: what could be better, what we did not know, which thresholds were wrong."""

from __future__ import annotations

import asyncio
import html
import shlex
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Literal, get_args

from prefect_autopilot.adapters.catalogue import user_catalogue
from prefect_autopilot.journeys.desk import Desk
from prefect_autopilot.journeys.improvable import Improvable, improvable
from prefect_autopilot.journeys.improve import saves
from prefect_autopilot.journeys.judging import history, workflow_id
from prefect_autopilot.models import TroubleshootingSession, Value
from prefect_autopilot.monitoring.thresholds import AlertRecord, review_alerts
from prefect_autopilot.services import Catalogue
from prefect_autopilot.store import AskedService, Store
from prefect_autopilot.troubleshooting.misses import Undecided, Unhelpful, undecided, unhelpful

Period = Literal["weekly", "monthly", "quarterly"]
LENGTH: Mapping[Period, timedelta] = {
    "weekly": timedelta(days=7),
    "monthly": timedelta(days=31),
    "quarterly": timedelta(days=92),
}
FALSE_MEANS = (
    "False: it ended by itself, nobody took it on, and no run of its workflow failed while it lasted or in"
    " the hour before. In brackets: how often the rule fires over the same stored runs, now and as suggested."
    " Nothing is changed; `prefect-autopilot rules apply` stores a rule."
)
MOST_ROWS = 50
MOST_RUNS = 2000
_PAGE = 500


class Review(Value):
    """What a review found, as Markdown; ``findings`` counts the rows of each part."""

    period: Period
    title: str
    markdown: str
    findings: dict[str, int]


async def review(desk: Desk, period: Period, now: datetime) -> Review:
    """Return the review of the period that ends now; nothing is changed, and nothing is estimated."""
    return await _REVIEWS[period](desk, now - LENGTH[period], now)


async def _monthly(desk: Desk, since: datetime, now: datetime) -> Review:
    catalogue = user_catalogue()
    asked = await desk.store.asked_services(since)
    known = {one.name: _known_as(one.name, catalogue) for one in asked}
    sessions = await _sessions(desk.store, since)
    missed, failed = undecided(sessions, since), unhelpful(sessions, since)
    parts = (
        (
            "Services that were asked for and cannot be called",
            ("service", "requests", "last", "known as"),
            [_asked_row(one, known[one.name]) for one in asked if known[one.name] != "operable"],
            "Import the OpenAPI document of one with `prefect-autopilot services import`.",
        ),
        (
            "Failures that no pattern knew",
            ("times", "workflows", "last", "exception", "it said", "session"),
            [_missed_row(one) for one in missed],
            "A pattern is one entry of a TOML file; `learnt` is the trained model's guess.",
        ),
        (
            "Patterns whose remedy did not help",
            ("pattern", "remedy", "tried", "did not help"),
            [_failed_row(one) for one in failed],
            "Seen by observation after the remedy, never by its own word.",
        ),
    )
    return _made("monthly", "What we did not know", parts, since, now)


async def _quarterly(desk: Desk, since: datetime, now: datetime) -> Review:
    store = desk.store
    alerts, rules = await store.alerts(since=since), await store.rules()
    troubles: dict[str, list[datetime]] = {}
    for one in await _sessions(store, since):
        troubles.setdefault(one.workflow_id, []).append(one.start_time)
    histories = {workflow_id(one): await history(store, one, MOST_RUNS) for one in await store.workflows()}
    # Rules are tried over months of runs: seconds of pure computing.
    records = await asyncio.to_thread(review_alerts, alerts, rules, troubles, histories, since)
    part = (
        "What each rule and monitor told",
        ("rule or kind", "fired", "taken on", "false alarms", "still open", "threshold", "suggested", "why"),
        [_record_row(one) for one in records],
        FALSE_MEANS,
    )
    return _made("quarterly", "Which thresholds were wrong", (part,), since, now)


async def _weekly(desk: Desk, since: datetime, now: datetime) -> Review:
    found, passed = await improvable(desk.api)
    parts = (
        (
            "What could be better",
            ("workflow", "could be", "by", "advice", "saves a run", "look at it"),
            [_better_row(one) for one in found],
            "Savings come from the last runs and are shown with their number. Nothing was written.",
        ),
        (
            "Worth doing by hand",
            ("workflow", "line", "rule", "why", "how", "holds if", "saves"),
            _by_hand(found),
            "The source alone cannot be edited to do this; `prefect-autopilot optimize` shows each in full.",
        ),
        (
            "Not looked at",
            ("workflow", "why"),
            [(one.workflow, one.why) for one in passed],
            "A flow is read from the file that its deployment names, on the machine this runs on.",
        ),
    )
    return _made("weekly", "What could be faster, cheaper, safer", parts, since, now)


_REVIEWS: Mapping[Period, Callable[[Desk, datetime, datetime], Awaitable[Review]]] = {
    "weekly": _weekly,
    "monthly": _monthly,
    "quarterly": _quarterly,
}
assert set(_REVIEWS) == set(LENGTH) == set(get_args(Period))


async def _sessions(store: Store, since: datetime) -> list[TroubleshootingSession]:
    """Return the sessions that began since a moment."""
    found: list[TroubleshootingSession] = []
    offset = 0
    while page := await store.sessions(limit=_PAGE, offset=offset):
        found += [one for one in page if one.start_time >= since]
        if page[-1].start_time < since:
            break  # the latest come first
        offset += _PAGE
    return found


def _better_row(one: Improvable) -> Sequence[Any]:
    saved = "unknown" if one.saving_s is None else f"{one.saving_s:.1f} s (n = {one.runs})"
    look = f"prefect-autopilot optimize {shlex.quote(str(one.file))} --strategy {one.strategy.value}"
    advised = ", ".join(dict.fromkeys(told.rule for told in one.advice))
    return one.workflow, one.aim, ", ".join(one.rules), advised, saved, look


def _by_hand(found: Iterable[Improvable]) -> list[Sequence[Any]]:
    """Return a row for each piece of advice; what two strategies advise stands there once."""
    rows: dict[tuple[str, str, int], Sequence[Any]] = {}
    for one in found:
        for told in one.advice:
            how, condition = told.how.split("\n", 1)[0], "; ".join(told.preconditions)
            row = (one.workflow, told.line, told.rule, told.reason, how, condition, saves(told))
            rows.setdefault((one.workflow, told.rule, told.line), row)
    return list(rows.values())


def _known_as(name: str, catalogue: Catalogue) -> str:
    found = catalogue.find(name)
    return found[0].status.value if found else "unknown"


def _asked_row(one: AskedService, known: str) -> Sequence[Any]:
    told = "known by its name" if known == "recognised" else known
    return one.name, one.requests, f"{one.last:%Y-%m-%d}", told


def _missed_row(one: Undecided) -> Sequence[Any]:
    return (
        one.times,
        one.workflows,
        f"{one.last:%Y-%m-%d}",
        one.exception or "none",
        one.quote,
        one.session_id,
    )


def _failed_row(one: Unhelpful) -> Sequence[Any]:
    return one.pattern, one.remedy, one.tried, one.failed


def _record_row(one: AlertRecord) -> Sequence[Any]:
    now = "none" if one.rule is None else f"{one.rule.condition.value} {one.rule.threshold:g}"
    told = one.suggestion
    wanted = (
        "none" if told is None else f"{told.threshold:g} ({told.fires_now}, {told.fires} in {told.runs} runs)"
    )
    return one.source, one.fired, one.acknowledged, one.false, one.open, now, wanted, one.why


Part = tuple[str, Sequence[str], Sequence[Sequence[Any]], str]


def _made(period: Period, title: str, parts: Iterable[Part], since: datetime, now: datetime) -> Review:
    lines, findings = [f"# {title}", "", f"From {since:%Y-%m-%d} to {now:%Y-%m-%d}.", ""], {}
    for name, head, rows, note in parts:
        findings[name] = len(rows)
        lines += [f"## {name}", ""]
        if not rows:
            lines += ["None.", ""]
            continue
        lines += [f"| {' | '.join(head)} |", "|---" * len(head) + "|"]
        lines += [f"| {' | '.join(_cell(one) for one in row)} |" for row in rows[:MOST_ROWS]]
        if len(rows) > MOST_ROWS:
            lines += ["", f"{len(rows) - MOST_ROWS} more are not shown."]
        lines += ["", note, ""]
    return Review(period=period, title=title, markdown="\n".join(lines), findings=findings)


def _cell(value: object) -> str:
    """Return a value that cannot break out of a table cell or become a link or markup."""
    text = html.escape(" ".join(str(value).split()), quote=False)
    return "".join(f"\\{sign}" if sign in r"|[]`*_\\" else sign for sign in text) or " "
