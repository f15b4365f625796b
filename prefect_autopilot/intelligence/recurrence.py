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
    if never := find(rf"\b{EVERY} (?:0+|zero)[ -]?(?:sec|min|h|hour|day|week|month|year)\w*", text):
        found.problems.append(f"Nothing can run {never[0]!r}.")
        found.note(never)
    _read_interval(text, found)
    _read_adjective(text, found)
    _read_minute(text, found)
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
    r"|(?P<n>\d+(?:st|nd|rd|th)?|(?:a couple(?: of)?|couple(?: of)?|few|[a-z]+)(?=\s|-))\s*-?\s*)?"
    rf"(?P<unit>seconds?|secs?|minutes?|mins?|hours?|hrs?|h|m|days?|nights?|weeks?|months?|quarters?|years?"
    rf"|fortnight|{LONG_DAY})(?![\w'])"
)
_LIMIT = re.compile(
    r"(?:not more than|no more than|at most|max(?:imum)?|maximum of|more often than|up to|only)\s*(?:once"
    r"|twice)?\s*$"
)


def _read_halves(text: str, found: Calendar) -> None:
    """Read "every hour and a half", "every 2.5 hours", "every two and a half hours"."""
    match = find(
        rf"\b{EVERY} (?:(?P<n>[a-z]+|\d+)(?:(?P<dot>[.,]5)| and a half) |(?P<one>an |one )?(?=hour and))"
        rf"(?P<unit>hours?)(?(n)| and a half)\b",
        text,
    )
    count = (_number(match["n"]) if match["n"] else 1) if match else None
    if match and count:
        found.unit, found.every = "minute", count * 60 + 30
        found.note(match)


def _read_minute(text: str, found: Calendar) -> None:
    """Read "hourly on the half hour", "every hour at 20 past", "at quarter to every hour"."""
    match = find(
        r"\b(?:at|on) (?:the )?(?:(?P<half>half)(?:[- ]hour| past)|(?P<n>quarter|\d{1,2}|[a-z]+)"
        r"(?: minutes?)? (?P<side>past|after|to|before))(?: (?:the|every|each) hour)?(?![\w:])",
        text,
    )
    if match is None or (found.unit, found.every) != ("hour", 1):
        return
    minute = 30 if match["half"] else 15 if match["n"] == "quarter" else _number(match["n"])
    if minute is not None and minute < 60:  # noqa: PLR2004 - minutes of an hour
        found.minute = 60 - minute if match["side"] in {"to", "before"} else minute
        found.note(match)


def _read_interval(text: str, found: Calendar) -> None:
    _read_halves(text, found)
    if found.unit:
        return
    for match in compiled(_INTERVAL).finditer(text):
        count = _count(match)
        if count is None or _LIMIT.search(words_before(text, match)):
            continue
        raw = match["unit"]
        if find(rf"^{LONG_DAY}$", raw):
            if count > 1 and not _is_ordinal(match["n"]):
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
    return _number(re.sub(r"(?<=\d)(?:st|nd|rd|th)$", "", match["n"]))


def _is_ordinal(word: str | None) -> bool:
    """Tell "third" and "3rd" from "three" and "3"."""
    return word is not None and (word in table("times")["ordinals"] or find(r"^\d+[a-z]", word) is not None)


def _number(word: str) -> int | None:
    if word.isdecimal():
        return int(word) if 0 < int(word) <= _LONGEST else None
    known: dict[str, int] = table("times")["numbers"]
    ordinal: int | None = table("times")["ordinals"].get(word)
    return known.get(word) or (ordinal if ordinal and ordinal > 1 else None)


_OF_A_THING = r"active|limit|standup|tasks?|emails|operations|work|life|routines?"
"""What is "daily" without anything being started daily."""


def _read_adjective(text: str, found: Calendar) -> None:
    if found.unit:
        return
    listed = "|".join(map(re.escape, table("times")["adjectives"]))
    match = find(rf"\b(?:{listed})\b(?! (?:{_OF_A_THING})\b)", text)
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
            found.window = (first.hour, _closing(text[last.start : last.end], first.hour, last.hour))
            if first.minute or last.minute:
                found.bounds = (first.hour * 60 + first.minute, found.window[1] * 60 + last.minute)
            return
    if len(times) == 1 and times[0].hour is not None:
        _read_open_window(text, times[0], times[0].hour, found)


def _closing(said: str, first: int, last: int) -> int:
    """Return the hour of 24 at which a window closes: "9 to 5" ends in the afternoon."""
    is_open = last < first and last < 12 and not find(r"[ap]\.?m|:|\bin the\b", said)  # noqa: PLR2004 - noon
    return last + 12 if is_open and last + 12 > first else last


def _read_open_window(text: str, time: Clock, hour: int, found: Calendar) -> None:
    """Read "every 15 minutes after 6pm", "hourly until noon"."""
    lead = find(
        r"\b(after|from|starting at|since|before|until|till|up to)\s*$",
        text[max(0, time.start - 20) : time.start],
    )
    at = find(r"^(before)\b", text[time.start : time.end])
    word = lead[1] if lead else at[1] if at else None
    if word is None or (word == "from" and find(r"^\s*(?:on|onwards?)\b", text[time.end :]) is None):
        return
    found.window = (0, hour) if word in {"before", "until", "till", "up to"} else (hour, 24)
    if time.minute:
        end = hour * 60 + time.minute
        found.bounds = (0, end) if found.window[0] == 0 else (end, 24 * 60 - 1)


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
        rf"|months?)\b(?! of)|tomorrow|tonight|next (?:weekend|week|month|{DAY})|later today"
        rf"|this (?:afternoon|evening|weekend))",
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
