"""Times of day, zones and numbers in words."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from prefect_autopilot.intelligence.data import table

_NOON, _HOURS, _MINUTES = 12, 24, 60
_BUSINESS = (7, 18)
_SMALL_HOURS = 5

_HALF = (
    r"(?P<half>half past|quarter past|quarter to|ten past|ten to|five past|five to|twenty past|twenty to) "
)
_DIGITS = r"(?P<hour>\d{1,2})(?:(?P<colon>[:.h])(?P<minute>\d{2}))?(?P<h>h\b)?"
_HALF_DAY = r"(?P<half_day>a\.?m\.?|p\.?m\.?)(?![a-z0-9])"
_PART = r"(?:in the |at |this )(?P<part>morning|afternoon|evening|night)"
_BESIDE = re.compile(r"\s*(?:,|and|&|or|/|, and|-|to|until|till)\s*")
_NEXT = re.compile(rf"\s*(?:,|and|&|or|-|to)\s*\d{{1,2}}(?::\d\d)? ?{_HALF_DAY}")
_LASTS = re.compile(r"\b(?:in|within|for|after|last|past|next|every|per|over|of|the) $")
_WITHIN = re.compile(r"\b(?:between|from) $")
_UNTIL = re.compile(r"\s*(?:and|to|-|until|till)\s*(?:\d{1,2}(?![\w%])|noon|midnight)(?!\s*(?:items|rows|%))")
_OFFSETS = {
    "half past": 30, "quarter past": 15, "quarter to": -15, "ten past": 10, "ten to": -10,
    "five past": 5, "five to": -5, "twenty past": 20, "twenty to": -20,
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Clock:
    """A time of day; ``hour`` is None where the words name none that exists ("25:61")."""

    hour: int | None
    minute: int
    start: int
    end: int


@cache
def _times() -> re.Pattern[str]:
    names = "|".join(name for name in table("times")["numbers"] if name not in {"a", "an"})
    return re.compile(
        rf"(?<![\w$€£#.:/-])(?:(?P<at>at|@|by|around|before) )?(?:around |about |exactly |precisely )?"
        rf"(?:(?:{_HALF})?(?:{_DIGITS}|(?P<name>{names}|noon|midnight|midday))"
        rf"(?! ?(?:%|hours?|hrs?|minutes?|mins?|days?|weeks?|months?|years?|times?|seconds?|percent|st|nd|rd"
        rf"|th)\b)"
        rf"(?: ?(?P<clock>o.?clock))?(?: ?{_HALF_DAY})?(?: {_PART})?)(?![\w%/])"
    )


def find_times(text: str) -> list[Clock]:
    """Find the times of day in lower-case text; a bare number counts only after "at" or in a list."""
    found: list[Clock] = []
    for match in _times().finditer(text):
        if _is_time(match, text, found):
            found.append(_clock(match))
    return _with_shared_half_day(text, found)


def _is_time(match: re.Match[str], text: str, before: list[Clock]) -> bool:
    """Tell a time of day from a number: by its form, the word before, or the times listed beside it."""
    said_before = text[max(0, match.start() - 20) : match.start()]
    if match["h"]:
        return not _LASTS.search(said_before)
    if match["minute"]:
        return match["colon"] in ":h" or bool(match["at"])
    by_form = any(match[key] for key in ("half_day", "clock", "part", "half"))
    if by_form or match["name"] in {"noon", "midnight", "midday"} or match["at"] in {"at", "@"}:
        return True
    between = text[before[-1].end : match.start()] if before else ""
    after = text[match.end() : match.end() + 20]
    listed = _BESIDE.fullmatch(between) if before else None
    return bool(listed or _NEXT.match(after) or (_WITHIN.search(said_before) and _UNTIL.match(after)))


def _clock(match: re.Match[str]) -> Clock:
    name = match["name"]
    start, end = match.span()
    if name in {"noon", "midday"}:
        return _shifted(match, _NOON, 0)
    if name == "midnight":
        return _shifted(match, 0, 0)
    hour = int(match["hour"]) if match["hour"] else table("times")["numbers"][name]
    minute = int(match["minute"] or 0)
    half_day = (match["half_day"] or "").replace(".", "")
    part = match["part"]
    if half_day and hour > _NOON:
        return Clock(hour if hour < _HOURS else None, minute, start, end)
    if hour < _NOON and (
        half_day == "pm" or part in {"afternoon", "evening"} or (part == "night" and hour > _SMALL_HOURS)
    ):
        hour += _NOON
    elif hour == _NOON and (half_day == "am" or part == "night"):
        hour = 0
    return _shifted(match, hour, minute)


def _shifted(match: re.Match[str], hour: int, minute: int) -> Clock:
    if hour > _HOURS or minute >= _MINUTES:
        return Clock(None, 0, *match.span())
    total = (hour * _MINUTES + minute + _OFFSETS.get(match["half"] or "", 0)) % (_HOURS * _MINUTES)
    return Clock(total // _MINUTES, total % _MINUTES, *match.span())


def _with_shared_half_day(text: str, found: list[Clock]) -> list[Clock]:
    """Let "between 2 and 5 pm" and "9, 11 and 3 pm" share what only the last one says."""
    out = list(found)
    for i in range(len(out) - 2, -1, -1):
        this, after = out[i], out[i + 1]
        own = text[this.start : this.end]
        close = _BESIDE.fullmatch(text[this.end : after.start])
        if (
            not close
            or re.search(r"[ap]\.?m|[:h]|noon|midnight|midday", own)
            or this.hour is None
            or after.hour is None
        ):
            continue
        if (
            after.hour > _NOON
            and this.hour < _NOON
            and this.hour + _NOON < after.hour
            and this.hour < _BUSINESS[0]
        ):
            out[i] = Clock(this.hour + _NOON, this.minute, this.start, this.end)
    return out


@cache
def _zones() -> re.Pattern[str]:
    names = sorted(table("times")["zones"], key=len, reverse=True)
    listed = "|".join(re.escape(name) for name in names)
    return re.compile(
        rf"(?<![\w@#/.-])(?:(?P<iana>[a-z]+/[a-z]+(?:[_/][a-z]+)*)"
        rf"|(?:(?:in |on |at |\()?(?:the )?)?(?P<name>{listed})(?P<time>(?: standard| daylight"
        rf"| local)?(?: time(?:zone| zone)?)?))(?![\w@/])"
    )


_SHORT = 4
_CODES = re.compile(r"[a-z]{2,4}")


def find_zone(text: str, times: list[Clock]) -> tuple[str, int, int] | None:
    """Find the zone said: an IANA name, or an abbreviation or city beside a time or followed by "time"."""
    for match in _zones().finditer(text):
        if match["iana"]:
            zone = _iana(match["iana"])
            if zone:
                return zone, match.start(), match.end()
            continue
        beside = any(re.fullmatch(r"[\s,(]*", text[t.end : match.start()]) for t in times)
        before = any(re.fullmatch(r"[\s,:)]*", text[match.end() : t.start]) for t in times)
        said = match["time"].strip().endswith(("time", "zone"))
        if said or beside or (before and _CODES.fullmatch(match["name"]) is not None):
            return table("times")["zones"][match["name"]], match.start(), match.end()
    return None


def zone_name(name: str) -> str | None:
    """Return an IANA zone's own name, None where there is no such zone."""
    try:
        return ZoneInfo(name).key
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return None


def _iana(name: str) -> str | None:
    """Return the zone in its own spelling, None where there is none."""
    parts = [[word.capitalize() for word in part.split("_")] for part in name.split("/")]
    return zone_name("/".join("_".join(spelled) for spelled in parts))
