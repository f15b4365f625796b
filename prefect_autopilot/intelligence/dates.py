"""Days and dates in a request: weekdays, days of the month, the n-th weekday, dates with a name."""

from __future__ import annotations

import re
from calendar import monthrange
from dataclasses import dataclass, field
from functools import cache

from prefect_autopilot.intelligence.data import table

DAYS = ("sunday", "monday", "tuesday", "wednesday", "thursday", "friday", "saturday")
MONTHS = (
    "january", "february", "march", "april", "may", "june",
    "july", "august", "september", "october", "november", "december",
)  # fmt: skip
WORKDAYS = frozenset({1, 2, 3, 4, 5})
WEEKEND = frozenset({0, 6})
BUSINESS_DAY, ANY_DAY = -1, -2
_LEAP_YEAR = 2024

DAY = r"(?:mon|tue|wed|thu|fri|sat|sun)(?:days?|sdays?|nesdays?|rsdays?|urdays?|s|rs|r)?\b"
LONG_DAY = r"(?:mon|tues|wednes|thurs|fri|satur|sun)days?\b"
EVERY = r"(?:every|each|evry|evrey|everry|ever)"
MONTH = (
    r"(?:jan(?:uary)?|feb(?:ruary)?|mar(?:ch)?|apr(?:il)?|may|june?|july?|aug(?:ust)?|sept?(?:ember)?"
    r"|oct(?:ober)?|nov(?:ember)?|dec(?:ember)?)\b"
)
ORDINAL = r"(?:first|second|third|fourth|fifth|last|final|1st|2nd|3rd|4th|5th)"
OF_MONTH = (
    r"(?: (?:of|in) (?:the|each|every|a|any) (?:\w+ )?(?:month|quarter)"
    r"| (?:of )?(?:monthly|each month|every month|per month)| of month"
    rf"| (?:of|in) (?:each |every )?{MONTH}(?:(?:,? and |, ){MONTH})*(?! \d))"
)
_QUARTER_ENDS = [3, 6, 9, 12]
WORKDAY = r"(?:week ?days?|business[ -]days?|working[ -]days?|work ?days?|weeknights?)"


@dataclass
class Calendar:
    """What the words say; ``every`` units of ``unit``, 0 where no interval is said."""

    unit: str = ""
    every: int = 0
    times_per: int = 0
    days: set[int] = field(default_factory=set)
    nth: list[tuple[int, int]] = field(default_factory=list)
    monthdays: list[int] = field(default_factory=list)
    months: list[int] = field(default_factory=list)
    year: int | None = None
    minute: int | None = None
    """Of every hour ("hourly at quarter past")."""
    window: tuple[int, int] | None = None
    bounds: tuple[int, int] | None = None
    """The window in minutes of the day, where it does not begin and end at full hours."""
    part: str | None = None
    once: str | None = None
    strong: bool = False
    problems: list[str] = field(default_factory=list)
    spans: list[tuple[int, int]] = field(default_factory=list)

    @property
    def is_empty(self) -> bool:
        """Tell whether the words say nothing about when."""
        return not (
            self.unit or self.days or self.nth or self.monthdays or self.months or self.part or self.once
        )

    def note(self, match: re.Match[str], *, strong: bool = True) -> None:
        """Remember where something was read."""
        self.spans.append(match.span())
        self.strong = self.strong or strong


@cache
def compiled(pattern: str) -> re.Pattern[str]:
    """Return a pattern, compiled once."""
    return re.compile(pattern)


def find(pattern: str, text: str) -> re.Match[str] | None:
    """Return the first place of a pattern."""
    return compiled(pattern).search(text)


def words_before(text: str, match: re.Match[str]) -> str:
    """Return what stands right before a match."""
    return text[max(0, match.start() - 80) : match.start()]


def read_days(text: str, found: Calendar) -> None:
    """Read the weekdays meant; what is excepted was taken out before."""
    if not found.nth:
        for match in compiled(
            rf"\b(?P<lead>(?:(?:{EVERY}|on|all|mondays?|only)\s+(?:other |second )?)?)(?P<group>{WORKDAY}"
            rf"|weekends?)\b"
        ).finditer(text):
            if find(r"\b(?:this|next|last|past|coming) $", words_before(text, match)):
                continue
            found.days |= WEEKEND if match["group"].startswith("weekend") else WORKDAYS
            found.note(match)
        _read_named_days(text, found)


def _read_named_days(text: str, found: Calendar) -> None:
    joined = r"(?:,? and |,? or |, ?| ?/ ?| ?& ?| ?\+ ?| |-| to | through | thru | until | - )"
    pattern = (
        rf"(?<![\w-])(?P<lead>(?:{EVERY} (?:other |second )?|on |next |this |last |by |from "
        rf"|of )?)(?P<days>{DAY}(?:{joined}{DAY})*)(?! ?\.(?:com|io))"
    )
    for match in compiled(pattern).finditer(text):
        lead, words = match["lead"].strip(), re.findall(r"[a-z]+", match["days"])
        long = find(LONG_DAY, match["days"]) is not None
        listed = len([w for w in words if find(rf"^{DAY}$", w)]) > 1
        plural = find(r"days\b", match["days"]) is not None
        beside = (
            find(r"^ ?(?:at |@ ?|\d|mornings?|afternoons?|evenings?|nights?)", text[match.end() :])
            is not None
        )
        if lead in {"next", "this", "last", "by", "of"}:
            continue
        if not (lead or listed or plural or beside or (found.unit and long)) or (
            not long and not listed and not lead
        ):
            continue
        found.days |= days_in(match["days"])
        found.note(match, strong=lead != "from")


def days_in(text: str) -> set[int]:
    """Return the numbers of the days named, of a span of days all in it; Sunday is 0."""
    days: set[int] = set(WEEKEND) if "weekend" in text else set()
    span = find(rf"({DAY}) ?(?:to|through|thru|until|-) ?({DAY})", text)
    if span:
        first, last = day_number(span[1]), day_number(span[2])
        return {(first + i) % 7 for i in range((last - first) % 7 + 1)}
    return days | {day_number(word) for word in re.findall(DAY, text)}


def read_dates(text: str, found: Calendar) -> None:
    """Read a day of a month by name, ISO dates and days that have a name."""
    for name, (month, day) in table("times")["dates"].items():
        match = find(rf"\b(?:on |every |each )?{re.escape(name)}(?:,? (?P<year>20\d\d))?\b", text)
        if match and not found.monthdays:
            _set_date(found, match, month, day)
            return
    iso = find(r"\b(?P<year>20\d\d)-(?P<month>\d\d)-(?P<day>\d\d)\b", text)
    if iso:
        _set_date(found, iso, int(iso["month"]), int(iso["day"]))
        return
    day_first = (
        rf"\b(?:on )?(?:the )?(?P<day>\d{{1,2}})(?:st|nd|rd"
        rf"|th)?(?: of)? (?P<month>{MONTH})\.?,?(?: (?P<year>20\d\d))?"
    )
    month_first = (
        rf"\b(?:on )?(?P<month>{MONTH})\.? (?:the )?(?P<day>\d{{1,2}})(?:st|nd|rd"
        rf"|th)?\b(?!:)(?:,? (?P<year>20\d\d))?"
    )
    match = find(day_first, text) or find(month_first, text)
    if match:
        _set_date(found, match, month_number(match["month"]), int(match["day"]))
        return
    several = find(rf"\b(?:every|each) (?P<months>{MONTH}(?:(?:,? and |, ){MONTH})*)", text)
    if several:
        found.months = [month_number(word) for word in re.findall(MONTH, several["months"])]
        found.note(several)


def month_number(word: str) -> int:
    """Return the number of a month by its name or the beginning of it."""
    return next(i for i, month in enumerate(MONTHS, 1) if month.startswith(word[:3]))


def _set_date(found: Calendar, match: re.Match[str], month: int, day: int) -> None:
    is_told = match[0].startswith(("on ", "every ", "each "))
    if not is_told and (found.days or found.unit in {"minute", "hour", "day", "week"}):
        return  # of what is listed or sent ("every monday … the orders from march 3rd")
    year = int(match["year"]) if match["year"] else None
    if not (1 <= month <= len(MONTHS) and 1 <= day <= monthrange(year or _LEAP_YEAR, month)[1]):
        found.problems.append(f"There is no such date as {match[0].strip()!r}.")
        found.note(match)
        return
    found.months, found.monthdays = [month], [day]
    found.year = year
    found.unit, found.every = "year", 1
    found.note(match)


def read_monthly(text: str, found: Calendar) -> None:
    """Read the n-th weekday, days of the month by number, its first and last day."""
    nth = (
        rf"\b(?P<n>{ORDINAL})(?:(?: and |,? ?& ?|, )(?:the )?(?P<m>{ORDINAL}))?"
        rf" (?P<day>{DAY}|{WORKDAY}|day)(?P<of>{OF_MONTH})?"
    )
    for match in compiled(nth).finditer(text):
        if _is_monthly(match, text, found):
            ordinals = table("times")["ordinals"]
            found.nth = [(ordinals[n], nth_day(match["day"])) for n in filter(None, (match["n"], match["m"]))]
            found.every = found.every if found.unit in {"month", "quarter"} else 1
            found.unit = "quarter" if found.unit == "quarter" or "quarter" in (match["of"] or "") else "month"
            found.months = [month_number(word) for word in re.findall(MONTH, match["of"] or "")]
            if found.unit == "quarter" and found.nth[0][0] < 0:
                found.months = _QUARTER_ENDS
            _read_days_beside(text, match, found)
            found.note(match)
            return
    if not _read_edge(text, found):
        _read_monthdays(text, found)


def _read_days_beside(text: str, match: re.Match[str], found: Calendar) -> None:
    """Read the numbers in "on the 14th and the last day of the month"."""
    before = find(
        r"(?P<list>\d{1,2}(?:st|nd|rd|th)(?:(?:, | and |,? & )(?:the )?\d{1,2}(?:st|nd|rd|th))*)"
        r"(?:,? and |, | & )(?:on )?(?:the )?$",
        words_before(text, match),
    )
    if before and found.nth[0][1] == ANY_DAY:
        found.monthdays = [int(n) for n in re.findall(r"\d+", before["list"])]


def _is_monthly(match: re.Match[str], text: str, found: Calendar) -> bool:
    """Tell the third Thursday of a month from "every second day" and "on the first day"."""
    if match["of"]:
        return True
    begins = find(rf"(?:{EVERY}|on the|on|the) $", words_before(text, match)) is not None
    return begins and (found.unit in {"month", "quarter"} or (match["day"] != "day" and found.unit == ""))


def _read_edge(text: str, found: Calendar) -> bool:
    """Read "end of the month" and "first of the month", of a quarter too; tell whether one was there."""
    quarter = find(r"\b(?:the )?(?:end of (?:the|each|every|a) quarter|quarter[- ]ends?)\b", text)
    if quarter:
        found.nth.append((-1, ANY_DAY))
        found.unit, found.every, found.months = "quarter", 1, _QUARTER_ENDS
        found.note(quarter)
        return True
    last = find(r"\b(?:the )?(?:end of (?:the|each|every) month|month[- ]end|ends? of month)\b", text)
    first = find(r"\b(?:first|start|beginning) of (?:the|each|every) month\b", text)
    edge = last or first
    if edge is None:
        return False
    if last:
        found.nth.append((-1, ANY_DAY))
    else:
        found.monthdays.append(1)
    found.unit, found.every = "month", 1
    found.note(edge)
    return True


def nth_day(word: str) -> int:
    """Return the number of the day that is counted in a month: a weekday, a working day, any day."""
    if word == "day":
        return ANY_DAY
    return day_number(word) if find(rf"^{DAY}$", word) else BUSINESS_DAY


def day_number(word: str) -> int:
    """Return the number of a weekday by its name or the beginning of it; Sunday is 0."""
    return next(i for i, day in enumerate(DAYS) if day.startswith(word[:3]))


def _read_monthdays(text: str, found: Calendar) -> None:
    # "every day 18:00" is a time of every day, and no 18th.
    one = r"(?:\d{1,2}(?:st|nd|rd|th)|(?<!every )(?<!each )day \d{1,2}(?![\d:.]\d| ?(?:am|pm|h\b|o'clock)))"
    match = find(
        rf"\b(?:on |every |each )?(?:the )?(?P<list>{one}(?:(?:,? and |, ?| ?& ?)(?:the )?\d{{1,2}}(?:st|nd"
        rf"|rd|th))*)"
        rf"(?P<of>{OF_MONTH})?(?! (?:{MONTH}|of {MONTH}|days?|weeks?|hours?|time|attempt|row|item|user"
        rf"|customer|place|step|party|grade|\w+ (?:time|row)))(?!\w)",
        text,
    )
    if not match or not (match["of"] or find(r"^(?:on|every|each)", match[0]) or found.unit == "month"):
        return
    if find(rf"{MONTH}\W*$", words_before(text, match)) or find(rf"^ (?:{DAY})", text[match.end() :]):
        return
    days = [int(n) for n in re.findall(r"\d+", match["list"])]
    if any(not 1 <= day <= 31 for day in days):  # noqa: PLR2004 - days of a month
        found.problems.append(f"No month has the day in {match['list']!r}.")
    found.monthdays += days
    if "quarter" in (match["of"] or ""):
        found.unit, found.every = "quarter", 1
    elif found.unit != "quarter":
        found.unit, found.every = "month", max(found.every, 1) if found.unit == "month" else 1
    found.note(match)
