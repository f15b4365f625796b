"""Times that a schedule is to leave out ("except on christmas", "never on fridays", "skip august")."""

from __future__ import annotations

import re
from calendar import monthrange
from dataclasses import dataclass, field
from functools import cache

from prefect_autopilot.intelligence.clock import find_times
from prefect_autopilot.intelligence.data import table
from prefect_autopilot.intelligence.dates import (
    ANY_DAY,
    DAY,
    MONTH,
    OF_MONTH,
    ORDINAL,
    WEEKEND,
    WORKDAY,
    WORKDAYS,
    compiled,
    days_in,
    month_number,
    nth_day,
)

_LEAD = (
    r"(?:,\s*)?\(?\b(?:but |though |although |and |only )?(?:except(?:ing|ed)?"
    r"(?: for| when(?: it(?:'s| is))?)?|exclud(?:e|ing)|apart from|other than|besides"
    r"|aside from|barring|save for|minus|not|never"
    r"|(?:please )?skip(?:ping|s)?|leav(?:e|ing) out|omit(?:ting)?|without|no"
    r"|unless (?:it'?s|it is|that'?s))\s+"
)
_SMALL = r"(?:(?:on|in|at|during|over|for|the|an?|my|our|any|every|each|all)\s+)*"
_CLOCK = r"(?:\d{1,2}(?::\d\d)?(?: ?[ap]\.?m\.?)?|noon|midnight|midday)"
_TO = r" ?(?:to|through|thru|until|till|-) ?"
_YEARLY = (
    rf"(?:\d{{1,2}}(?:st|nd|rd|th)?(?: of)? {MONTH}|{MONTH} (?:the )?\d{{1,2}}(?:st|nd|rd|th)?(?![\w:]))"
)
_OFF = (
    r"(?:(?:bank|public|national|federal|state|school|religious|official|us|uk|german|the) )*"
    r"(?:holidays?|vacations?|days off|easter(?: \w+day)?|thanksgiving|good friday|ramadan|hanukkah|diwali"
    r"|summer|winter|spring|autumn)\b(?! (?:calendar|report|list|table|sheet|request))"
)
"""Days that no rule of a calendar gives, or that are other ones in every country."""

_ENDS = (
    rf"\b(?:(?:until|till|up to|through) (?:the )?(?:end of |start of |beginning of |middle of )?"
    rf"(?:(?:next|this|the) )?(?:{_YEARLY}|{MONTH}|{DAY}|week|month|quarter|year|summer|winter"
    rf"|spring|autumn|easter|christmas)(?:,? 20\d\d)?\b"
    r"|for (?:the )?(?:next |coming |first )?"
    r"(?:\d+|two|three|four|five|six|seven|ten|twelve|a few|a couple of)"
    r" (?:days|weeks|months|years)(?! (?:old|long|ahead))"
    rf"|(?:starting|beginning|as of|effective|from)(?: from| on| in)?"
    rf" (?:(?:next|this) (?:week|month|year|{DAY})|tomorrow|{_YEARLY}|{MONTH}(?! to| until| through)"
    r"|20\d\d-\d\d-\d\d)"
    r"(?: on(?:wards?)?)?)"
)
_DAY_BEFORE = re.compile(rf"(?:{DAY}|{MONTH}|today|now) $")
_WHEN = re.compile(
    rf"(?:{DAY}|{WORKDAY}|\b(?:days?|weeks?|months?|years?|hours?|minutes?|daily|weekly|monthly|hourly|nightly"
    r"|nights?|mornings?|afternoons?|evenings?|weekends?|noon|midnight)\b|\d|[ap]\.?m\.?)[\s,(]*$"
)
"""What ends with a word of time: what follows is about when, and not about what is listed or sent."""

_ONLY_MONTHS = (
    rf"\b(?:(?:but |and )?only )?(?:(?:in|during) (?:the months? of )?{MONTH}"
    rf"(?:(?:,? and |,? or |, ?| ?& ?){MONTH})*"
    rf"|(?:from|between) {MONTH}(?:{_TO}| and ){MONTH})(?! ?\d)"
)
_NOT_OF_DAYS = re.compile(rf"(?:{ORDINAL} (?:\w+ )?|\d(?:st|nd|rd|th) |(?:of|for|last|next) )$")
_ALL_MONTHS = frozenset(range(1, 13))
_NIGHT = (22, 6)
_LEAP_YEAR = 2024


@dataclass
class Exceptions:
    """What is left out; ``text`` is the request without the words that say so, equally long."""

    text: str
    days: set[int] = field(default_factory=set)
    dates: list[tuple[int, int]] = field(default_factory=list)
    """Month and day."""
    months: set[int] = field(default_factory=set)
    nth: list[tuple[int, int]] = field(default_factory=list)
    """The n-th such weekday of a month."""
    monthdays: list[int] = field(default_factory=list)
    hours: set[int] = field(default_factory=set)
    times: set[tuple[int, int]] = field(default_factory=set)
    unknown: list[tuple[int, int]] = field(default_factory=list)
    """Places of what no rule of a calendar says ("except holidays")."""
    ends: list[tuple[int, int]] = field(default_factory=list)
    """Places of where it is to begin or to end ("until the end of june")."""
    spans: list[tuple[int, int]] = field(default_factory=list)
    proposed: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)

    @property
    def needs_rule(self) -> bool:
        """Tell whether no cron leaves it out."""
        return bool(self.dates or self.nth or self.monthdays)

    @property
    def is_empty(self) -> bool:
        """Tell whether nothing is left out of the schedule itself."""
        return not (self.days or self.months or self.hours or self.times or self.needs_rule)

    def blank(self, start: int, end: int) -> None:
        """Take words out of the text, and remember their place."""
        self.spans.append((start, end))
        self.text = f"{self.text[:start]}{' ' * (end - start)}{self.text[end:]}"


@cache
def _item() -> str:
    names = "|".join(re.escape(name) for name in sorted(table("times")["dates"], key=len, reverse=True))
    return (
        rf"(?:{ORDINAL} (?:{DAY}|{WORKDAY}|day)(?:{OF_MONTH})?"
        rf"|{_YEARLY}|{names}|\d{{1,2}}(?:st|nd|rd|th)(?:{OF_MONTH})?"
        rf"|(?:from )?{DAY}(?:{_TO}{DAY})?|weekends?\b|{WORKDAY}\b|{MONTH}(?:{_TO}{MONTH})?"
        rf"|(?:between|from) {_CLOCK}(?: and |{_TO}){_CLOCK}|(?:before|after) {_CLOCK}"
        rf"|{_CLOCK}(?![\w:])|nights?\b|night ?time\b|{_OFF})"
    )


@cache
def _exception() -> re.Pattern[str]:
    item = _item()
    joint = rf"(?:,? (?:and|or|nor) (?:not |also )?|, ?| ?& ?| ?/ ?){_SMALL}"
    listed = rf"{item}(?:{joint}{item})*"
    # What is named and explained ("my birthday (march 3rd)") is what stands in the brackets.
    return re.compile(
        rf"{_LEAD}{_SMALL}(?:(?:[a-z'-]+ ){{0,3}}\((?P<told>{listed})\)|(?P<items>{listed}))\)?"
    )


def read_exceptions(text: str) -> Exceptions:
    """Read what lower-case text leaves out of its schedule, and the months or the end it keeps to."""
    found = Exceptions(text)
    for match in _exception().finditer(text):
        said = match["told"] or match["items"]
        if "at " not in match[0] and re.fullmatch(rf"{_CLOCK}(?:\W+{_CLOCK})*", said):
            continue  # "no 5", "without 2": numbers are no times
        items = list(compiled(_item()).finditer(said))
        first = match.start("told") if match["told"] else match.start("items")
        for i, item in enumerate(items):
            # A question about one of several takes its "and" with it.
            begin = items[i - 1].end() if i else item.start()
            end = item.end() if i or len(items) == 1 else items[1].start()
            place = match.span() if len(items) == 1 else (first + begin, first + end)
            _add(item[0], place, found)
        found.blank(*match.span())
    for match in compiled(_ONLY_MONTHS).finditer(found.text):
        before = found.text[: match.start()]
        if "only" in match[0] or (_WHEN.search(before) and not _NOT_OF_DAYS.search(before[-40:])):
            found.months |= _ALL_MONTHS - _months_in(match[0])
            found.blank(*match.span())
    for match in compiled(_ENDS).finditer(found.text):
        before = found.text[: match.start()]
        if (_WHEN.search(before) or not before.strip()) and not _DAY_BEFORE.search(before[-20:]):
            found.ends.append(match.span())
            found.blank(*match.span())
    return found


def _add(item: str, place: tuple[int, int], found: Exceptions) -> None:
    """Add one thing that is left out."""
    named = table("times")["dates"].get(item)
    if named:
        found.dates.append((named[0], named[1]))
    elif compiled(_OFF).fullmatch(item):
        found.unknown.append(place)
    elif match := compiled(rf"(?P<n>{ORDINAL}) (?P<day>{DAY}|{WORKDAY}|day)").match(item):
        _add_nth(table("times")["ordinals"][match["n"]], nth_day(match["day"]), place, found)
    elif match := compiled(_YEARLY).fullmatch(item):
        day = int(re.findall(r"\d+", item)[0])
        _add_date(month_number(re.findall(MONTH, item)[0]), day, item, found)
    elif match := compiled(r"(\d+)(?:st|nd|rd|th)").match(item):
        found.monthdays.append(int(match[1]))
    elif compiled(rf"{MONTH}(?:{_TO}{MONTH})?").fullmatch(item):
        found.months |= _months_in(item)
    elif days := _days_of(item):
        found.days |= days
    else:
        _add_hours(item, place, found)


def _add_nth(n: int, day: int, place: tuple[int, int], found: Exceptions) -> None:
    if day >= 0:
        found.nth.append((n, day))
    elif day == ANY_DAY:
        found.monthdays.append(n)
    else:
        found.unknown.append(place)


def _add_date(month: int, day: int, said: str, found: Exceptions) -> None:
    if not 1 <= day <= monthrange(_LEAP_YEAR, month)[1]:
        found.problems.append(f"There is no such date as {said!r}.")
    found.dates.append((month, day))


def _days_of(item: str) -> set[int]:
    if item.startswith("weekend"):
        return set(WEEKEND)
    if compiled(WORKDAY).fullmatch(item):
        return set(WORKDAYS)
    return days_in(item) if compiled(rf"(?:from )?{DAY}(?:{_TO}{DAY})?").fullmatch(item) else set()


def _add_hours(item: str, place: tuple[int, int], found: Exceptions) -> None:
    if item.startswith("night"):
        first, last = _NIGHT
        found.proposed.append(f"At night nothing is done: from {first}:00 to {last:02d}:00 is proposed.")
        found.hours |= {hour % 24 for hour in range(first, last + 24)}
        return
    times = find_times(re.sub(r"^(?:before|after) ", "at ", item) if item[0].isalpha() else f"at {item}")
    spans = [(t.hour, t.minute) for t in times if t.hour is not None]
    if item.startswith(("between", "from")) and len(spans) == 2:  # noqa: PLR2004 - from, to
        _leave_out(spans[0], spans[1], place, found)
    elif item.startswith("before") and spans:
        _leave_out((0, 0), spans[0], place, found)
    elif item.startswith("after") and spans:
        _leave_out(spans[0], (24, 0), place, found)
    elif spans:
        found.times.add(spans[0])
    else:
        found.unknown.append(place)


def _leave_out(
    first: tuple[int, int], last: tuple[int, int], place: tuple[int, int], found: Exceptions
) -> None:
    """Leave out whole hours; nothing else is said of what begins at half past."""
    if first[1] or last[1]:
        found.unknown.append(place)
        return
    end = last[0] if last[0] > first[0] else last[0] + 24
    found.hours |= {hour % 24 for hour in range(first[0], end)}


def _months_in(text: str) -> set[int]:
    months = [month_number(word) for word in re.findall(MONTH, text)]
    span = re.search(rf"{MONTH}(?:{_TO}| and ){MONTH}", text)
    if span and len(months) == 2 and (" and " not in span[0] or "between" in text):  # noqa: PLR2004 - from, to
        first, last = months
        return {(first - 1 + i) % 12 + 1 for i in range((last - first) % 12 + 1)}
    return set(months)
