"""When a request wants to run: five-field cron where one can say it, RRULE or interval where none can."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from prefect_autopilot.intelligence.clock import Clock, find_times, find_zone, zone_name
from prefect_autopilot.intelligence.data import table
from prefect_autopilot.intelligence.dates import ANY_DAY, BUSINESS_DAY, WORKDAYS, Calendar
from prefect_autopilot.intelligence.excepted_rules import (
    RULE_DAYS,
    is_one_cron,
    rule_of,
    rule_without,
    without,
)
from prefect_autopilot.intelligence.exceptions import Exceptions, read_exceptions
from prefect_autopilot.intelligence.recurrence import read_calendar

_SECONDS = {"second": 1, "minute": 60, "hour": 3600, "day": 86_400}
_ANCHOR = "20240101"
"""A Monday, the first of a month and of a year: intervals of days, weeks and months count from it."""
_PARTS = re.compile(r"(?:,| and|, and|,? plus|;|,? as well as) (?=(?:every|each|on|at)\b)")
_BETWEEN = re.compile(r"\bbetween\b[^,.;]{1,20}\band\b")
_HOUR, _DAY_HOURS, _YEAR_MONTHS = 60, 24, 12


_UNITS = ("minute", "hour", "day", "week", "month", "year")
_ADVERBS = {"hourly": 1, "daily": 2, "weekly": 3, "monthly": 4, "yearly": 5, "annually": 5}
_RANK = {"morning": 2, "evening": 2, "night": 2, "weekday": 2} | _ADVERBS
_RANK |= {unit: place for place, unit in enumerate(_UNITS)}
_PER = (
    rf"(?:once|twice|\w+ times) (?:an?|per|each|every) (?P<per>{'|'.join(_UNITS)})"
    rf"|(?P<adverb>{'|'.join(_ADVERBS)})"
)
_EVERY = (
    rf"(?:on )?(?:every|each) (?:single )?(?P<every>{'|'.join(_UNITS)}|weekday|morning|evening|night"
    r"|(?:mon|tues|wednes|thurs|fri|satur|sun)day)\b"
)
_BETWEEN_TWO = r"(?:,? but |,? |, )"
_TWO_PACES = (
    re.compile(rf"\b(?P<one>{_PER})\b{_BETWEEN_TWO}(?P<two>{_EVERY})"),
    re.compile(rf"\b(?P<two>{_EVERY}){_BETWEEN_TWO}(?P<one>{_PER})\b(?! [a-z]+ (?:report|digest|summary))"),
)

_CLOCK_CONDITION = re.compile(
    r"\b(?:if|unless)\s+"
    r"(?:(?:it'?s|it is|that'?s|that is|this is|the time is)\s+)?(?:(?:still|already|now)\s+)?"
    r"(?:after|before|past|later than|earlier than)\s+[^,.;\n]{1,40}"
)
"""A time that decides whether something is done, and starts nothing ("text me if it's after 10pm")."""


@dataclass(frozen=True)
class Schedule:
    """What fires a run; ``proposed`` lists what the request left open, ``problems`` what cannot be."""

    cron: str | None = None
    rrule: str | None = None
    interval_s: int | None = None
    once: str | None = None
    timezone: str | None = None
    proposed: tuple[str, ...] = ()
    problems: tuple[str, ...] = ()
    spans: tuple[tuple[int, int], ...] = ()
    strong: bool = False
    unsaid: tuple[tuple[int, int], ...] = ()
    """Places of what no schedule says ("except holidays", "until the end of june")."""


@dataclass
class _Draft:
    calendar: Calendar
    times: list[tuple[int, int]]
    left_out: Exceptions = field(default_factory=lambda: Exceptions(""))
    proposed: list[str] = field(default_factory=list)


def read_schedule(text: str) -> Schedule | None:
    """Read the schedule in lower-case text whose service names are masked; None where it states none."""
    left_out = read_exceptions(_CLOCK_CONDITION.sub(lambda found: " " * len(found[0]), text))
    text = left_out.text
    times = find_times(text)
    calendar = read_calendar(text, times)
    zone = find_zone(text, times)
    if calendar.is_empty and not times and not calendar.problems:
        return None
    places = [*calendar.spans, *((t.start, t.end) for t in times), *([zone[1:]] if zone else [])]
    spans = tuple(sorted([*places, *left_out.spans]))
    problems = [
        f"There is no such time as {text[t.start : t.end].strip()!r}." for t in times if t.hour is None
    ]
    problems += [*calendar.problems, *left_out.problems, *_two_paces(text)]
    if zone and zone_name(zone[0]) is None:
        problems.append(f"There is no time zone {zone[0]}: say a city.")
    strong = calendar.strong or bool(times) or bool(problems)
    timezone = zone_name(zone[0]) if zone else None
    unsaid = (*left_out.unknown, *left_out.ends)
    if problems or calendar.once:
        once = (
            None
            if problems
            else " ".join(filter(None, (calendar.once, *(text[t.start : t.end] for t in times))))
        )
        return Schedule(None, None, None, once, timezone, (), tuple(problems), spans, strong, unsaid)
    draft = _Draft(calendar, _clock_times(calendar, times), left_out, list(left_out.proposed))
    if calendar.unit == "day" and len(draft.times) == 2 and _BETWEEN.search(text):  # noqa: PLR2004 - from, to
        draft.times = draft.times[:1]
        draft.proposed.append(f"A span of time is said: its start, {draft.times[0][0]:02d}:00, is proposed.")
    union = _union(text)
    cron, rrule, interval = _without((None, union, None) if union else _written(draft), left_out)
    if not (cron or rrule or interval):
        problems = ["Nothing is left of it: what it leaves out is all there is."]
    return Schedule(
        cron, rrule, interval, None, timezone, tuple(draft.proposed), tuple(problems), spans, strong, unsaid
    )


def _without(
    written: tuple[str | None, str | None, int | None], left_out: Exceptions
) -> tuple[str | None, str | None, int | None]:
    """Take out of a schedule what it is to leave out; all of them None where nothing remains."""
    cron, rrule, _ = written
    if left_out.is_empty:
        return written
    if cron and is_one_cron(cron, left_out):
        return without(cron, left_out), None, None
    rule = rule_of(cron, f"DTSTART:{_ANCHOR}T000000") if cron else rrule
    return None, rule_without(rule, left_out) if rule else None, None


def _two_paces(text: str) -> list[str]:
    """Return what is wrong with "once a week every day": a rarer pace beside an often one."""
    for pattern in _TWO_PACES:
        found = pattern.search(text)
        if found is None:
            continue
        rare = _RANK.get(found["per"] or found["adverb"], -1)
        often = _RANK.get(found["every"], _RANK["week"])
        if rare > often:
            return [f"{found['one']!r} and {found['two']!r} contradict each other."]
    return []


def _union(text: str) -> str | None:
    """Write "weekdays at 9 and on saturdays at 11" as several rules; None where one schedule says it all."""
    drafts: list[_Draft] = []
    for part in _PARTS.split(text):
        times = find_times(part)
        calendar = read_calendar(part, times)
        has_days = calendar.days or calendar.nth or calendar.monthdays or calendar.unit == "day"
        if times and has_days and not calendar.year:
            drafts.append(_Draft(calendar, _clock_times(calendar, times)))
    if len(drafts) < 2 or len({tuple(draft.times) for draft in drafts}) == 1:  # noqa: PLR2004 - two schedules
        return None
    written = [_rule(draft, draft.times).split("\n") for draft in drafts]
    return "\n".join([written[0][0], *(line for rule in written for line in rule[1:])])


def _clock_times(calendar: Calendar, times: list[Clock]) -> list[tuple[int, int]]:
    if calendar.window:
        return []
    return sorted({(t.hour, t.minute) for t in times if t.hour is not None})


def _written(draft: _Draft) -> tuple[str | None, str | None, int | None]:
    calendar = draft.calendar
    if calendar.unit in {"second", "minute", "hour"}:
        return _short_interval(draft)
    times = draft.times or _proposed_times(draft)
    if calendar.year:
        return None, _single_date(calendar, times), None
    days = _days_of_month(draft)
    if any(day == BUSINESS_DAY for _, day in calendar.nth) or _needs_rule(calendar):
        return None, _rule(draft, times), None
    month = _months(calendar)
    weekdays = _weekday_field(draft)
    minutes = {minute for _, minute in times}
    if len(minutes) > 1:
        return None, _rule(draft, times), None
    hours = ",".join(str(hour) for hour, _ in times)
    return f"{min(minutes)} {hours} {days} {month} {weekdays}", None, None


def _short_interval(draft: _Draft) -> tuple[str | None, str | None, int | None]:
    """Write an interval below a day: as cron where it divides the hour or the day evenly."""
    calendar = draft.calendar
    every = calendar.every
    if calendar.times_per > 1 and calendar.unit == "hour":
        every, calendar.unit = _HOUR // calendar.times_per, "minute"
    weekdays = _weekday_field(draft)
    if calendar.window and "office" not in draft.proposed:
        first, last = calendar.window
    else:
        first, last = 0, _DAY_HOURS - 1
    if calendar.unit == "minute" and every % _HOUR == 0:
        calendar.unit, every = "hour", every // _HOUR
    if calendar.window and (calendar.bounds or (calendar.unit == "minute" and _HOUR % every)):
        return None, _window_rule(draft, every), None
    if calendar.unit == "minute" and _HOUR % every == 0:
        span = "*" if not calendar.window else f"{first}-{last - 1}" if last > first + 1 else str(first)
        return f"{'*' if every == 1 else f'*/{every}'} {span} * * {weekdays}", None, None
    if calendar.unit == "hour" and (_DAY_HOURS % every == 0 or calendar.window):
        minute = draft.times[0][1] if draft.times else 0
        minute = minute if calendar.minute is None else calendar.minute
        last = min(last, _DAY_HOURS - 1)
        span = "*" if not calendar.window else f"{first}-{last}" if last > first else f"{first}-23,0-{last}"
        return f"{minute} {span}{'' if every == 1 else f'/{every}'} * * {weekdays}", None, None
    seconds = every * _SECONDS[calendar.unit]
    if (calendar.days or not draft.left_out.is_empty) and seconds % _SECONDS["minute"] == 0:
        if _SECONDS["day"] % seconds:
            draft.proposed.append("It counts anew from midnight of each day.")
        return None, _window_rule(draft, every), None
    return None, None, seconds


def _window_rule(draft: _Draft, every: int) -> str:
    """Write every time of a window as a rule by the day: no cron counts from half past eight."""
    calendar = draft.calendar
    hours = calendar.window or (0, _DAY_HOURS)
    first, last = calendar.bounds or (hours[0] * _HOUR, min(hours[1] * _HOUR, _DAY_HOURS * _HOUR - 1))
    step = every * (_HOUR if calendar.unit == "hour" else 1)
    minutes = range(first, (last if last >= first else last + _DAY_HOURS * _HOUR) + 1, step)
    calendar.unit, calendar.every = "day", 1
    return _rule(draft, sorted((m // _HOUR % _DAY_HOURS, m % _HOUR) for m in minutes))


def _proposed_times(draft: _Draft) -> list[tuple[int, int]]:
    """Propose a time of day, and say so."""
    calendar, known = draft.calendar, table("times")["proposed"]
    count = calendar.times_per if calendar.unit == "day" else 1
    if count > 1:
        step = _DAY_HOURS // count
        hours = sorted((known["morning"] + i * step) % _DAY_HOURS for i in range(count))
    else:
        hours = [known.get(calendar.part or "day", known["day"])]
    shown = " and ".join(f"{hour:02d}:00" for hour in hours)
    draft.proposed.append(f"The time of day is not said: {shown} is proposed.")
    return [(hour, 0) for hour in hours]


def _days_of_month(draft: _Draft) -> str:
    calendar = draft.calendar
    edges = ["L" if n < 0 else str(n) for n, day in calendar.nth if day == ANY_DAY]
    if calendar.monthdays or edges:
        return ",".join([*map(str, sorted(set(calendar.monthdays))), *edges])
    if calendar.unit in {"month", "quarter", "year"} and not calendar.nth and not calendar.days:
        draft.proposed.append("The day of the month is not said: the 1st is proposed.")
        return "1"
    if calendar.months and not calendar.days and not calendar.nth:
        draft.proposed.append("The day of the month is not said: the 1st is proposed.")
        return "1"
    return "*"


def _months(calendar: Calendar) -> str:
    if calendar.months:
        return ",".join(str(month) for month in sorted(set(calendar.months)))
    if calendar.unit == "quarter":
        return "1,4,7,10" if calendar.every == 1 else f"*/{min(3 * calendar.every, _YEAR_MONTHS)}"
    if calendar.unit == "month" and calendar.every > 1:
        return f"*/{calendar.every}"
    return "1" if calendar.unit == "year" else "*"


def _weekday_field(draft: _Draft) -> str:
    calendar = draft.calendar
    named = [(n, day) for n, day in calendar.nth if day >= 0]
    if named:
        return ",".join(f"L{day}" if n < 0 else f"{day}#{n}" for n, day in named)
    if calendar.days and len(calendar.days) < len(RULE_DAYS):
        return _runs(sorted(calendar.days))
    if calendar.unit == "week" and not calendar.days:
        if calendar.times_per > 1:
            spread = sorted(
                {1 + i * (5 // calendar.times_per or 1) for i in range(min(calendar.times_per, 5))}
            )
            draft.proposed.append("The days of the week are not said: some are proposed.")
            return ",".join(map(str, spread))
        draft.proposed.append("The day of the week is not said: Monday is proposed.")
        return "1"
    return "*"


def _runs(days: list[int]) -> str:
    """Write days as cron does: ``1-5``, ``1,3,5``, ``1-4``."""
    whole = set(days)
    if len(days) > 2 and whole == set(range(days[0], days[-1] + 1)):  # noqa: PLR2004 - a run of three or more
        return f"{days[0]}-{days[-1]}"
    return ",".join(map(str, days))


def _needs_rule(calendar: Calendar) -> bool:
    """Tell whether no cron can count it: every other week, every 10 days, every 5 months."""
    if calendar.unit in {"day", "week", "year"} and calendar.every > 1:
        return True
    return calendar.unit == "month" and calendar.every > 1 and _YEAR_MONTHS % calendar.every != 0


def _rule(draft: _Draft, times: list[tuple[int, int]]) -> str:
    calendar = draft.calendar
    frequency = {"day": "DAILY", "week": "WEEKLY", "month": "MONTHLY", "quarter": "MONTHLY", "year": "YEARLY"}
    parts = [f"FREQ={frequency.get(calendar.unit or 'day', 'DAILY')}"]
    every = 1 if calendar.months else calendar.every * (3 if calendar.unit == "quarter" else 1)
    if calendar.months:
        parts.append(f"BYMONTH={','.join(map(str, sorted(set(calendar.months))))}")
    if every > 1:
        parts.append(f"INTERVAL={every}")
        draft.proposed.append("Where counting begins is not said: from Monday, 1 January 2024.")
    parts += _rule_days(calendar)
    lines = [f"RRULE:{';'.join([*parts, *clock])}" for clock in _rule_clocks(parts, times)]
    return "\n".join([f"DTSTART:{_ANCHOR}T000000", *lines])


def _rule_clocks(parts: list[str], times: list[tuple[int, int]]) -> list[list[str]]:
    """Return the hours and minutes of a rule, of several rules where one would fire too often or too rarely.

    A rule fires at every hour with every minute; BYSETPOS counts moments of the whole period, so that it can
    pick some of a day's only where the period is a day, and days only where a day has one moment.
    """
    hours, minutes = sorted({h for h, _ in times}), sorted({m for _, m in times})
    grid = [(h, m) for h in hours for m in minutes]
    places = [str(grid.index(t) + 1) for t in sorted(set(times))]
    is_counted = any(part.startswith("BYSETPOS") for part in parts)
    if len(times) > 1 and (is_counted or (len(grid) > len(places) and parts[0] != "FREQ=DAILY")):
        return [clock for time in times for clock in _rule_clocks(parts, [time])]
    clock = [f"BYHOUR={','.join(map(str, hours))}", f"BYMINUTE={','.join(map(str, minutes))}", "BYSECOND=0"]
    return [[*clock, *([f"BYSETPOS={','.join(places)}"] if len(grid) > len(places) else [])]]


def _rule_days(calendar: Calendar) -> list[str]:
    business = [n for n, day in calendar.nth if day == BUSINESS_DAY]
    if business:
        days = ",".join(RULE_DAYS[d] for d in sorted(WORKDAYS))
        return [f"BYDAY={days}", f"BYSETPOS={','.join(map(str, business))}"]
    named = [f"{n}{RULE_DAYS[day]}" for n, day in calendar.nth if day >= 0]
    if named:
        return [f"BYDAY={','.join(named)}"]
    if calendar.days:
        return ["BYDAY=" + ",".join(RULE_DAYS[d] for d in sorted(calendar.days))]
    if calendar.unit == "week":
        return ["BYDAY=MO"]
    edges = [n for n, day in calendar.nth if day == ANY_DAY]
    if edges or calendar.monthdays or calendar.unit in {"month", "quarter", "year"}:
        monthdays = [*sorted(set(calendar.monthdays)), *edges] or [1]
        return ["BYMONTHDAY=" + ",".join(map(str, monthdays))]
    return []


def _single_date(calendar: Calendar, times: list[tuple[int, int]]) -> str:
    hour, minute = times[0]
    date = f"{calendar.year}{calendar.months[0]:02d}{calendar.monthdays[0]:02d}"
    return f"DTSTART:{date}T{hour:02d}{minute:02d}00\nRRULE:FREQ=DAILY;COUNT=1"
