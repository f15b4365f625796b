"""Times of day, zones and numbers in words."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from zoneinfo import available_timezones

from prefect_autopilot.intelligence.data import table

_NOON, _HOURS, _MINUTES = 12, 24, 60
_BUSINESS = (7, 18)
_SMALL_HOURS = 5

_HALF = (
    r"(?P<half>half past|quarter past|quarter to|ten past|ten to|five past|five to|twenty past|twenty to) "
)
_DIGITS = (
    r"(?:(?P<together>(?:[01]\d|2[0-4])[0-5]\d)(?P<hours>\s?(?:hours|hrs|h)\b)?"
    r"|(?P<hour>\d{1,2})(?:(?P<colon>[:.h]| (?=[0-5]\d ?[ap]\.?m))(?P<minute>\d{2}))?(?P<h>h\b)?)"
)
_HALF_DAY = r"(?P<half_day>a\.?m\.?|p\.?m\.?)(?![a-z0-9])"
_PART = r"(?:in the |at |this )(?P<part>morning|afternoon|evening|night)"
_PART_BEFORE = re.compile(
    r"\b(?P<part>afternoon|evening|night)(?:s|ly)?,?\s+(?:(?:between|from|starting)\s+)?$"
)
_PART_AFTER = re.compile(r"^,?\s+(?:every|each|on)\s+(?:[a-z]+\s+)?(?P<part>afternoon|evening|night)s?\b")
_OWN_HALF_DAY = re.compile(r"[ap]\.?m\b|noon|midnight|midday|morning|\b0\d")
_REPEATED_BEFORE = re.compile(
    r"(?:days?|daily|nightly|weekends?|weekly|monthly|mornings?|afternoons?|evenings?|nights?|month|week),? $"
)
_REPEATED_AFTER = re.compile(
    r"^,? (?:every|each|daily|on (?:\w+day|weekends)|(?:mon|tues|wednes|thurs|fri|satur|sun)days)"
)
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
        rf"(?<![\w$€£#.:/+-])(?:(?P<at>at|@|by|around|before)(?: |(?<=@)(?=\d)))?"
        rf"(?:around |about |exactly |precisely )?"
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
    return _with_part_of_day(text, _with_shared_half_day(text, found))


def _is_time(match: re.Match[str], text: str, before: list[Clock]) -> bool:
    """Tell a time of day from a number: by its form, the word before, or the times listed beside it."""
    said_before = text[max(0, match.start() - 20) : match.start()]
    after = text[match.end() : match.end() + 20]
    repeated = _REPEATED_BEFORE.search(said_before) or _REPEATED_AFTER.match(after)
    if match["together"]:
        zero = match["together"].startswith("0") and match["at"] in {"at", "@"}
        return bool(match["hours"] or zero or (match["at"] and repeated))
    if match["h"]:
        return not _LASTS.search(said_before)
    if match["minute"]:
        return match["colon"] in ":h" or bool(match["at"])
    by_form = any(match[key] for key in ("half_day", "clock", "part", "half"))
    if by_form or match["name"] in {"noon", "midnight", "midday"} or match["at"] in {"at", "@"}:
        return True
    if repeated and match["at"]:
        return True
    between = text[before[-1].end : match.start()] if before else ""
    listed = _BESIDE.fullmatch(between) if before else None
    return bool(listed or _NEXT.match(after) or (_WITHIN.search(said_before) and _UNTIL.match(after)))


def _clock(match: re.Match[str]) -> Clock:
    name = match["name"]
    start, end = match.span()
    if name in {"noon", "midday"}:
        return _shifted(match, _NOON, 0)
    if name == "midnight":
        return _shifted(match, 0, 0)
    if match["together"]:
        return _shifted(match, int(match["together"][:2]), int(match["together"][2:]))
    hour = int(match["hour"]) if match["hour"] else table("times")["numbers"][name]
    minute = int(match["minute"] or 0)
    half_day = (match["half_day"] or "").replace(".", "")
    part = match["part"]
    if half_day and hour > _NOON:
        return Clock(hour if hour < _HOURS else None, minute, start, end)
    if half_day == "pm" and hour < _NOON:
        hour += _NOON
    elif half_day == "am" and hour == _NOON:
        hour = 0
    elif not half_day:
        hour = _in_part(hour, part)
    return _shifted(match, hour, minute)


def _in_part(hour: int, part: str | None) -> int:
    """Return the hour of 24 that "8 in the evening" and "12 at night" mean."""
    if hour < _NOON and (part in {"afternoon", "evening"} or (part == "night" and hour > _SMALL_HOURS)):
        return hour + _NOON
    return 0 if hour == _NOON and part == "night" else hour


def _shifted(match: re.Match[str], hour: int, minute: int) -> Clock:
    if hour > _HOURS or minute >= _MINUTES or (hour == _HOURS and minute):
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
        if this.hour <= _NOON and after.hour < min(this.hour, _BUSINESS[0]) and _is_bare(text, after):
            out[i + 1] = Clock(after.hour + _NOON, after.minute, after.start, after.end)
        elif (
            after.hour > _NOON
            and this.hour < _NOON
            and this.hour + _NOON < after.hour
            and this.hour < _BUSINESS[0]
        ):
            out[i] = Clock(this.hour + _NOON, this.minute, this.start, this.end)
    return out


def _is_bare(text: str, time: Clock) -> bool:
    """Tell whether a time says neither half of the day nor minutes ("at 9 and 5": the second is 17:00)."""
    return re.fullmatch(r"(?:at |@ ?)?\d{1,2}", text[time.start : time.end].strip()) is not None


def _with_part_of_day(text: str, found: list[Clock]) -> list[Clock]:
    """Read "every evening at 9", "at 4 every afternoon" and the times listed beside such a one."""
    out: list[Clock] = []
    part: str | None = None
    for this in found:
        listed = bool(out) and _BESIDE.fullmatch(text[out[-1].end : this.start]) is not None
        beside = _PART_BEFORE.search(text[max(0, this.start - 40) : this.start]) or _PART_AFTER.match(
            text[this.end : this.end + 40]
        )
        part = beside["part"] if beside else part if listed else None
        said = text[this.start : this.end]
        if part and this.hour is not None and not _OWN_HALF_DAY.search(said):
            out.append(Clock(_in_part(this.hour, part), this.minute, this.start, this.end))
        else:
            out.append(this)
    return out


@cache
def _zones() -> re.Pattern[str]:
    names = sorted(table("times")["zones"], key=len, reverse=True)
    listed = "|".join(re.escape(name) for name in names)
    return re.compile(
        rf"(?<![\w@#/.-])(?:(?P<iana>[a-z]{{2,20}}/[a-z]+(?:[_/-][a-z]+){{0,6}})"
        rf"|(?:(?:in |on |at |\()?(?:the )?)?(?P<name>{listed})(?P<time>(?: standard| daylight"
        rf"| local)?(?: time(?:zone| zone)?)?))(?![\w@/])"
    )


_OFFSET = re.compile(
    r"(?<![\w.])(?:\(?(?:utc|gmt) ?(?P<sign>[+\u2212-]) ?(?P<hours>\d{1,2})(?::?(?P<minutes>\d\d))?"
    r"|(?P<plain>[+\u2212-])(?P<hh>\d\d):(?P<mm>\d\d))(?![\w:])"
)
_CODES = re.compile(r"[a-z]{2,4}")
_DAYS = (
    r"(?:week ?days?|(?:work(?:ing)?|business) ?days?|(?:mon|tues|wednes|thurs|fri|satur|sun)days?|days?"
    r"|daily|nightly|mornings?|afternoons?|evenings?|nights?)"
)
_BESIDE_TIME = re.compile(
    rf"[\s,(]{{0,3}}(?:(?:(?:on|every|each|single|from|to|through|and|the)\s){{0,3}}{_DAYS}[\s,(]{{1,3}}){{0,3}}"
)
_AFTER_DAYS = re.compile(
    rf"(?:\b(?:every|each) (?:single )?{_DAYS}|\b(?:daily|nightly|on \w+days))[\s,(]{{1,3}}$"
)
_FARTHEST = 60
"""Characters between a time and the city it is meant in."""


def find_zone(text: str, times: list[Clock]) -> tuple[str, int, int] | None:
    """Find the zone said: an IANA name, or an abbreviation or city beside a time or followed by "time"."""
    offset = _OFFSET.search(text)
    if offset and times:
        return _offset_zone(offset), offset.start(), offset.end()
    for match in _zones().finditer(text):
        if match["iana"]:
            zone = _iana(match["iana"])
            if zone:
                return zone, match.start(), match.end()
            continue
        beside = any(
            0 <= match.start() - t.end <= _FARTHEST and _BESIDE_TIME.fullmatch(text, t.end, match.start())
            for t in times
        ) or (
            match[0].startswith(("in ", "("))
            and _AFTER_DAYS.search(text[max(0, match.start() - _FARTHEST) : match.start()]) is not None
        )
        before = any(re.fullmatch(r"[\s,:)]*", text[match.end() : t.start]) for t in times)
        said = match["time"].strip().endswith(("time", "zone"))
        if said or beside or (before and _CODES.fullmatch(match["name"]) is not None):
            return table("times")["zones"][match["name"]], match.start(), match.end()
    return None


def _offset_zone(match: re.Match[str]) -> str:
    """Return the zone of a fixed offset from UTC, the offset as written where there is none.

    The names below Etc count westwards: Etc/GMT-2 is two hours ahead of UTC.
    """
    sign = "+" if (match["sign"] or match["plain"]) == "+" else "-"
    hours, minutes = int(match["hours"] or match["hh"]), int(match["minutes"] or match["mm"] or 0)
    if not hours and not minutes:
        return "UTC"
    written = f"{sign}{hours:02d}:{minutes:02d}"
    if minutes:
        return str(table("times")["offsets"].get(written, f"UTC{written}"))
    return zone_name(f"Etc/GMT{'-' if sign == '+' else '+'}{hours}") or f"UTC{written}"


@cache
def _known_zones() -> dict[str, str]:
    return {zone.casefold(): zone for zone in available_timezones()}


def zone_name(name: str) -> str | None:
    """Return an IANA zone's own name, None where there is no such zone."""
    return name if _known_zones().get(name.casefold()) == name else None


def _iana(name: str) -> str | None:
    """Return the zone in its own spelling, None where there is none."""
    return _known_zones().get(name)
