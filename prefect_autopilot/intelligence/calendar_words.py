"""Words of the calendar in a request: how often, on which days, in which months, within which hours."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from functools import cache

from prefect_autopilot.intelligence.clock import Clock
from prefect_autopilot.intelligence.data import table

DAYS = ("sunday", "monday", "tuesday", "wednesday", "thursday", "friday", "saturday")
MONTHS = (
    "january", "february", "march", "april", "may", "june",
    "july", "august", "september", "october", "november", "december",
)  # fmt: skip
WORKDAYS = frozenset({1, 2, 3, 4, 5})
WEEKEND = frozenset({0, 6})
BUSINESS_DAY, ANY_DAY = -1, -2

_DAY = r"(?:mon|tue|wed|thu|fri|sat|sun)(?:days?|sdays?|nesdays?|rsdays?|urdays?|s|rs|r)?\b"
_LONG_DAY = r"(?:mon|tues|wednes|thurs|fri|satur|sun)days?\b"
_EVERY = r"(?:every|each|evry|evrey|everry|ever)"
_MONTH = r"(?:jan(?:uary)?|feb(?:ruary)?|mar(?:ch)?|apr(?:il)?|may|june?|july?|aug(?:ust)?|sept?(?:ember)?|oct(?:ober)?|nov(?:ember)?|dec(?:ember)?)\b"
_ORDINAL = r"(?:first|second|third|fourth|last|final|1st|2nd|3rd|4th)"
_OF_MONTH = r"(?: (?:of|in) (?:the|each|every|a|any) (?:\w+ )?month| (?:of )?(?:monthly|each month|every month|per month)| of month)"
_WORKDAY = r"(?:week ?days?|business[ -]days?|working[ -]days?|work ?days?|weeknights?)"


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
    window: tuple[int, int] | None = None
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
def _compile(pattern: str) -> re.Pattern[str]:
    return re.compile(pattern)


def _find(pattern: str, text: str) -> re.Match[str] | None:
    return _compile(pattern).search(text)


def _before(text: str, match: re.Match[str]) -> str:
    return text[max(0, match.start() - 80) : match.start()]


def read_calendar(text: str, times: list[Clock]) -> Calendar:
    """Read lower-case text in which names of services are masked."""
    found = Calendar()
    _read_interval(text, found)
    _read_adjective(text, found)
    _read_monthly(text, found)
    _read_days(text, found)
    _read_dates(text, found)
    _read_window(text, times, found)
    _read_part(text, found)
    if found.is_empty:
        _read_once(text, found)
    return found


_UNITS = {
    "s": "second", "sec": "second", "second": "second", "m": "minute", "min": "minute", "minute": "minute",
    "h": "hour", "hr": "hour", "hour": "hour", "day": "day", "night": "day", "week": "week", "month": "month",
    "quarter": "quarter", "year": "year", "fortnight": "fortnight",
}  # fmt: skip
_INTERVAL = (
    rf"(?<!not )\b{_EVERY}\s?(?:(?P<other>other|second|2nd|alternate)\s+|(?P<half>half(?: an?)?|quarter(?: of an)?)[ -]"
    r"|(?P<n>\d+|a couple(?: of)?|couple(?: of)?|few|[a-z]+)\s*-?\s*)?"
    rf"(?P<unit>seconds?|secs?|minutes?|mins?|hours?|hrs?|h|m|days?|nights?|weeks?|months?|quarters?|years?|fortnight|{_LONG_DAY})(?![\w'])"
)
_LIMIT = re.compile(
    r"(?:not more than|no more than|at most|max(?:imum)?|maximum of|more often than|up to|only)\s*(?:once|twice)?\s*$"
)


def _read_interval(text: str, found: Calendar) -> None:
    for match in _compile(_INTERVAL).finditer(text):
        count = _count(match)
        if count is None or _LIMIT.search(_before(text, match)):
            continue
        raw = match["unit"]
        if _find(rf"^{_LONG_DAY}$", raw):
            if count > 1:
                found.unit, found.every = "week", count
                found.note(match)
            continue
        unit = _UNITS[raw.removesuffix("s") or raw]
        if match["half"]:
            unit, count = "minute", 30 if match["half"].startswith("half") else 15
        if unit == "fortnight":
            unit, count = "week", 2
        found.unit, found.every = unit, count
        if raw.startswith("night"):
            found.part = "night"
        found.note(match)
        return
    match = _find(
        r"\b(?P<n>once|twice|thrice|\w+ times|\d+x|\d+ ?x) (?:a|an|per|every|each) (?P<unit>hour|day|week|month|year)\b",
        text,
    )
    if match and not found.unit and not _LIMIT.search(_before(text, match) + match["n"] + " "):
        count = {"once": 1, "twice": 2, "thrice": 3}.get(match["n"]) or _number(
            re.split(r"\s|x", match["n"])[0]
        )
        if count:
            found.unit, found.every, found.times_per = match["unit"], 1, count
            found.note(match)


def _count(match: re.Match[str]) -> int | None:
    if match["other"]:
        return 2
    if match["half"] or match["n"] is None:
        return 1
    if match["n"].startswith(("a couple", "couple")):
        return 2
    return _number(match["n"])


def _number(word: str) -> int | None:
    if word.isdecimal():
        return int(word) if 0 < int(word) < 10_000 else None  # noqa: PLR2004 - no interval is that long
    return table("times")["numbers"].get(word)


_ADJECTIVES = {
    "hourly": ("hour", 1), "daily": ("day", 1), "nightly": ("day", 1), "weekly": ("week", 1), "everyday": ("day", 1),
    "biweekly": ("week", 2), "bi-weekly": ("week", 2), "fortnightly": ("week", 2), "monthly": ("month", 1),
    "bimonthly": ("month", 2), "bi-monthly": ("month", 2), "quarterly": ("quarter", 1), "yearly": ("year", 1),
    "annually": ("year", 1), "half-hourly": ("minute", 30), "twice-daily": ("day", 1), "evryday": ("day", 1),
}  # fmt: skip


def _read_adjective(text: str, found: Calendar) -> None:
    if found.unit:
        return
    match = _find(rf"\b(?:{'|'.join(map(re.escape, _ADJECTIVES))})\b(?! active| limit| standup)", text)
    if not match:
        return
    found.unit, found.every = _ADJECTIVES[match[0]]
    if match[0] == "nightly":
        found.part = "night"
    if match[0] == "twice-daily":
        found.times_per = 2
    rest = text[match.end() :].lstrip()
    alone = (
        not rest
        or rest[0] in ".,:;!?>-)"
        or _find(r"^(?:at|on|by|to|from|in|around|between|the)\b", rest) is not None
    )
    found.note(match, strong=alone or match[0] in {"everyday", "nightly"} and alone)


def _read_monthly(text: str, found: Calendar) -> None:
    """Read the n-th weekday, days of the month by number, its first and last day."""
    nth = rf"\b(?P<n>{_ORDINAL})(?:(?: and |,? ?& ?|, )(?:the )?(?P<m>{_ORDINAL}))? (?P<day>{_DAY}|{_WORKDAY}|day)(?P<of>{_OF_MONTH})?"
    for match in _compile(nth).finditer(text):
        begins = _find(rf"(?:{_EVERY}|on the|on|the) $", _before(text, match))
        if (
            not match["of"]
            and (found.unit != "month" or not begins)
            and not (begins and match["day"] != "day" and found.unit == "")
        ):
            continue
        if match["day"] == "day" and not (match["of"] or found.unit == "month"):
            continue
        ordinals = table("times")["ordinals"]
        for word in filter(None, (match["n"], match["m"])):
            found.nth.append((ordinals[word], _nth_day(match["day"])))
        found.unit, found.every = "month", 1 if found.unit not in {"month", "quarter"} else found.every
        found.note(match)
        return
    match = _find(
        rf"\b(?:the )?(?:end of (?:the|each|every) month|month[- ]end|ends? of month|every month end)\b", text
    )
    if match:
        found.nth.append((-1, ANY_DAY))
    elif match := _find(
        r"\b(?:first of (?:the|each|every) month|(?:start|beginning) of (?:the|each|every) month)\b", text
    ):
        found.monthdays.append(1)
    if match:
        found.unit, found.every = "month", 1
        found.note(match)
        return
    _read_monthdays(text, found)


def _nth_day(word: str) -> int:
    if word == "day":
        return ANY_DAY
    return _day_number(word) if _find(rf"^{_DAY}$", word) else BUSINESS_DAY


def _day_number(word: str) -> int:
    return next(i for i, day in enumerate(DAYS) if day.startswith(word[:3]))


def _read_monthdays(text: str, found: Calendar) -> None:
    one = r"(?:\d{1,2}(?:st|nd|rd|th)|day \d{1,2})"
    match = _find(
        rf"\b(?:on |every |each )?(?:the )?(?P<list>{one}(?:(?:,? and |, ?| ?& ?)(?:the )?\d{{1,2}}(?:st|nd|rd|th))*)"
        rf"(?P<of>{_OF_MONTH})?(?! (?:{_MONTH}|of {_MONTH}|time|attempt|row|item|user|customer|place|step|party|grade|\w+ (?:time|row)))(?!\w)",
        text,
    )
    if not match or not (match["of"] or _find(r"^(?:on|every|each)", match[0]) or found.unit == "month"):
        return
    if _find(rf"{_MONTH}\W*$", _before(text, match)) or _find(rf"^ (?:{_DAY})", text[match.end() :]):
        return
    days = [int(n) for n in re.findall(r"\d+", match["list"])]
    if any(not 1 <= day <= 31 for day in days):  # noqa: PLR2004 - days of a month
        found.problems.append(f"No month has the day in {match['list']!r}.")
    found.monthdays += days
    found.unit, found.every = "month", max(found.every, 1) if found.unit == "month" else 1
    found.note(match)


def _read_days(text: str, found: Calendar) -> None:
    """Read the weekdays meant, and those excepted."""
    excepted: set[int] = set()
    exception = _find(
        rf"\b(?:except|but not|excluding|apart from|other than|not) (?:on |for )?(?P<days>(?:{_DAY}|weekends?)(?:(?:,| and| or|,? &) (?:{_DAY}|weekends?))*)",
        text,
    )
    if exception:
        excepted = _days_in(exception["days"])
        found.note(exception)
        text = text[: exception.start()] + " " * len(exception[0]) + text[exception.end() :]
    if not found.nth:
        for match in _compile(
            rf"\b(?P<lead>(?:(?:{_EVERY}|on|all|mondays?|only)\s+(?:other |second )?)?)(?P<group>{_WORKDAY}|weekends?)\b"
        ).finditer(text):
            found.days |= WEEKEND if match["group"].startswith("weekend") else WORKDAYS
            found.note(match)
        _read_named_days(text, found)
    if excepted:
        found.days = (found.days or set(range(7))) - excepted


def _read_named_days(text: str, found: Calendar) -> None:
    joined = rf"(?:,? and |,? or |, ?| ?/ ?| ?& ?| |-| to | through | thru | until | - )"
    pattern = rf"(?<![\w-])(?P<lead>(?:{_EVERY} (?:other |second )?|on |next |this |last |by |from |of )?)(?P<days>{_DAY}(?:{joined}{_DAY})*)(?! ?\.(?:com|io))"
    for match in _compile(pattern).finditer(text):
        lead, words = match["lead"].strip(), re.findall(r"[a-z]+", match["days"])
        long = _find(_LONG_DAY, match["days"]) is not None
        listed = len([w for w in words if _find(rf"^{_DAY}$", w)]) > 1
        plural = _find(r"days\b", match["days"]) is not None
        beside = (
            _find(r"^ ?(?:at |@ ?|\d|mornings?|afternoons?|evenings?|nights?)", text[match.end() :])
            is not None
        )
        if lead in {"next", "this", "last", "by", "of"}:
            continue
        if not (lead or listed or plural or beside or (found.unit and long)) or (
            not long and not listed and not lead
        ):
            continue
        found.days |= _days_in(match["days"])
        found.note(match, strong=lead != "from")


def _days_in(text: str) -> set[int]:
    days: set[int] = set(WEEKEND) if "weekend" in text else set()
    span = _find(rf"({_DAY}) ?(?:to|through|thru|until|-) ?({_DAY})", text)
    if span:
        first, last = _day_number(span[1]), _day_number(span[2])
        return {(first + i) % 7 for i in range((last - first) % 7 + 1)}
    return days | {_day_number(word) for word in re.findall(_DAY, text)}


def _read_dates(text: str, found: Calendar) -> None:
    """Read a day of a month by name, ISO dates and days that have a name."""
    for name, (month, day) in table("times")["dates"].items():
        match = _find(rf"\b(?:on |every |each )?{re.escape(name)}(?:,? (?P<year>20\d\d))?\b", text)
        if match and not found.monthdays:
            _set_date(found, match, month, day)
            return
    iso = _find(r"\b(?P<year>20\d\d)-(?P<month>\d\d)-(?P<day>\d\d)\b", text)
    if iso:
        _set_date(found, iso, int(iso["month"]), int(iso["day"]))
        return
    day_first = rf"\b(?:on )?(?:the )?(?P<day>\d{{1,2}})(?:st|nd|rd|th)?(?: of)? (?P<month>{_MONTH})\.?,?(?: (?P<year>20\d\d))?"
    month_first = rf"\b(?:on )?(?P<month>{_MONTH})\.? (?:the )?(?P<day>\d{{1,2}})(?:st|nd|rd|th)?\b(?!:)(?:,? (?P<year>20\d\d))?"
    match = _find(day_first, text) or _find(month_first, text)
    if match:
        _set_date(found, match, _month_number(match["month"]), int(match["day"]))
        return
    several = _find(rf"\b(?:every|each) (?P<months>{_MONTH}(?:(?:,? and |, ){_MONTH})*)", text)
    if several:
        found.months = [_month_number(word) for word in re.findall(_MONTH, several["months"])]
        found.note(several)


def _month_number(word: str) -> int:
    return next(i for i, month in enumerate(MONTHS, 1) if month.startswith(word[:3]))


def _set_date(found: Calendar, match: re.Match[str], month: int, day: int) -> None:
    if not (1 <= month <= 12 and 1 <= day <= (29 if month == 2 else 30 if month in {4, 6, 9, 11} else 31)):  # noqa: PLR2004 - the calendar
        found.problems.append(f"There is no such date as {match[0].strip()!r}.")
        found.note(match)
        return
    found.months, found.monthdays = [month], [day]
    found.year = int(match["year"]) if match["year"] else None
    found.unit, found.every = "year", 1
    found.note(match)


def _read_window(text: str, times: list[Clock], found: Calendar) -> None:
    """Read the hours within which something repeats."""
    if found.unit not in {"second", "minute", "hour"}:
        return
    match = _find(r"\b(?:during|in|within) (?:business|office|working|work|opening) hours\b", text)
    if match:
        proposed = table("times")["proposed"]
        found.window = (proposed["office_first"], proposed["office_last"])
        found.note(match)
        return
    for first, last in zip(times, times[1:], strict=False):
        between = text[first.end : last.start]
        if (
            first.hour is not None
            and last.hour is not None
            and _find(r"^\s*(?:and|to|-|until|till|through)\s*$", between)
        ):
            found.window = (first.hour, last.hour)
            return


def _read_part(text: str, found: Calendar) -> None:
    """Read the part of the day ("every morning", "each weekday evening", "in the morning")."""
    if found.part:
        return
    match = _find(
        rf"\b(?P<lead>{_EVERY} (?:\w+ )?|in the |at |on \w+ |{_DAY} |daily )(?P<part>mornings?|afternoons?|evenings?|nights?|noon|midday|lunch ?time|lunch)\b",
        text,
    )
    if not match:
        return
    is_every = _find(rf"^{_EVERY}", match["lead"]) is not None
    if not is_every and found.is_empty:
        return
    found.part = match["part"].replace(" ", "").removesuffix("s")
    if is_every and not found.unit and not found.days:
        found.unit, found.every = "day", 1
    found.note(match)


def _read_once(text: str, found: Calendar) -> None:
    match = _find(
        rf"\b(?:in (?:\d+|an?|one|two|three|half an) ?(?:minutes?|mins?|hours?|hrs?|h|days?|weeks?|months?)\b(?! of)|tomorrow|tonight|next (?:week|month|{_DAY})|later today|this (?:afternoon|evening|weekend))",
        text,
    )
    if (
        match
        and not _find(
            r"\b(?:if|nobody|no one|unless|not|within|until|when|whenever)\b[^.;]*$", _before(text, match)
        )
        and not _find(
            r"(?:happened|due|expires?|expiring|starts?|ends?|moves?|drops?|rises?|%) (?:\w+ )?$",
            _before(text, match),
        )
    ):
        found.once = match[0]
        found.note(match)
