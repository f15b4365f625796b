"""How often a request wants to run: intervals, adjectives, hours within a day, single moments."""

from __future__ import annotations

import re
from itertools import pairwise

from prefect_autopilot.intelligence.clock import Clock
from prefect_autopilot.intelligence.data import table
from prefect_autopilot.intelligence.dates import (
    DAY,
    EVERY,
    LONG_DAY,
    Calendar,
    compiled,
    find,
    read_dates,
    read_days,
    read_monthly,
    words_before,
)


def read_calendar(text: str, times: list[Clock]) -> Calendar:
    """Read lower-case text in which names of services are masked."""
    found = Calendar()
    _read_interval(text, found)
    _read_adjective(text, found)
    read_monthly(text, found)
    read_days(text, found)
    read_dates(text, found)
    _read_window(text, times, found)
    _read_part(text, found)
    if found.is_empty:
        _read_once(text, found)
    return found


_LONGEST = 9999
_UNITS = {
    "s": "second", "sec": "second", "second": "second", "m": "minute", "min": "minute", "minute": "minute",
    "h": "hour", "hr": "hour", "hour": "hour", "day": "day", "night": "day", "week": "week", "month": "month",
    "quarter": "quarter", "year": "year", "fortnight": "fortnight",
}  # fmt: skip
_INTERVAL = (
    rf"(?<!not )\b{EVERY}\s?(?:(?P<other>other|second|2nd|alternate)\s+|(?P<half>half(?: an?)?"
    rf"|quarter(?: of an)?)[ -]"
    r"|(?P<n>\d+(?=\s*-?\s*)|(?:a couple(?: of)?|couple(?: of)?|few|[a-z]+)(?=\s|-))\s*-?\s*)?"
    rf"(?P<unit>seconds?|secs?|minutes?|mins?|hours?|hrs?|h|m|days?|nights?|weeks?|months?|quarters?|years?"
    rf"|fortnight|{LONG_DAY})(?![\w'])"
)
_LIMIT = re.compile(
    r"(?:not more than|no more than|at most|max(?:imum)?|maximum of|more often than|up to|only)\s*(?:once"
    r"|twice)?\s*$"
)


def _read_interval(text: str, found: Calendar) -> None:
    for match in compiled(_INTERVAL).finditer(text):
        count = _count(match)
        if count is None or _LIMIT.search(words_before(text, match)):
            continue
        raw = match["unit"]
        if find(rf"^{LONG_DAY}$", raw):
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
    if not found.unit:
        _read_times_per(text, found)


def _read_times_per(text: str, found: Calendar) -> None:
    """Read "twice a day", "3 times per week"."""
    match = find(
        r"\b(?P<n>once|twice|thrice|\w+ times|\d+ ?x) (?:a|an|per|every|each)"
        r" (?P<unit>hour|day|week|month|year)\b",
        text,
    )
    if match is None or _LIMIT.search(words_before(text, match) + match["n"] + " "):
        return
    count = {"once": 1, "twice": 2, "thrice": 3}.get(match["n"]) or _number(re.split(r"\s|x", match["n"])[0])
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
        return int(word) if 0 < int(word) <= _LONGEST else None
    known: dict[str, int] = table("times")["numbers"]
    return known.get(word)


def _read_adjective(text: str, found: Calendar) -> None:
    if found.unit:
        return
    match = find(
        rf"\b(?:{'|'.join(map(re.escape, table('times')['adjectives']))})\b(?! active| limit| standup)", text
    )
    if not match:
        return
    found.unit, found.every = table("times")["adjectives"][match[0]]
    if match[0] == "nightly":
        found.part = "night"
    if match[0] == "twice-daily":
        found.times_per = 2
    rest = text[match.end() :].lstrip()
    alone = (
        not rest
        or rest[0] in ".,:;!?>-)"
        or find(r"^(?:at|on|by|to|from|in|around|between|the)\b", rest) is not None
    )
    found.note(match, strong=alone or (match[0] in {"everyday", "nightly"} and alone))


def _read_window(text: str, times: list[Clock], found: Calendar) -> None:
    """Read the hours within which something repeats."""
    if found.unit not in {"second", "minute", "hour"}:
        return
    match = find(r"\b(?:during|in|within) (?:business|office|working|work|opening) hours\b", text)
    if match:
        proposed = table("times")["proposed"]
        found.window = (proposed["office_first"], proposed["office_last"])
        found.note(match)
        return
    for first, last in pairwise(times):
        between = text[first.end : last.start]
        if (
            first.hour is not None
            and last.hour is not None
            and find(r"^\s*(?:and|to|-|until|till|through)\s*$", between)
        ):
            found.window = (first.hour, last.hour)
            return


def _read_part(text: str, found: Calendar) -> None:
    """Read the part of the day ("every morning", "each weekday evening", "in the morning")."""
    if found.part:
        return
    match = find(
        rf"\b(?P<lead>{EVERY} (?:\w+ )?|in the |at |on \w+ |{DAY} |daily )(?P<part>mornings?|afternoons?"
        rf"|evenings?|nights?|noon|midday|lunch ?time|lunch)\b",
        text,
    )
    if not match:
        return
    is_every = find(rf"^{EVERY}", match["lead"]) is not None
    if not is_every and found.is_empty:
        return
    found.part = match["part"].replace(" ", "").removesuffix("s")
    if is_every and not found.unit and not found.days:
        found.unit, found.every = "day", 1
    found.note(match)


def _read_once(text: str, found: Calendar) -> None:
    match = find(
        rf"\b(?:in (?:\d+|an?|one|two|three|half an) ?(?:minutes?|mins?|hours?|hrs?|h|days?|weeks?"
        rf"|months?)\b(?! of)|tomorrow|tonight|next (?:week|month|{DAY})|later today|this (?:afternoon"
        rf"|evening|weekend))",
        text,
    )
    if (
        match
        and not find(
            r"\b(?:if|nobody|no one|unless|not|within|until|when|whenever)\b[^.;]*$",
            words_before(text, match),
        )
        and not find(
            r"(?:happened|due|expires?|expiring|starts?|ends?|moves?|drops?|rises?|%) (?:\w+ )?$",
            words_before(text, match),
        )
    ):
        found.once = match[0]
        found.note(match)
