"""A cron expression or a rule of RFC 5545 without what is left out of it."""

from __future__ import annotations

import re

from prefect_autopilot.intelligence.exceptions import Exceptions

RULE_DAYS = ("SU", "MO", "TU", "WE", "TH", "FR", "SA")
_HOURS, _DAYS, _MONTHS = 24, 7, 12


def without(cron: str, left_out: Exceptions) -> str | None:
    """Return the cron expression without what is left out, None where nothing of it remains.

    Of what ``needs_rule`` and weekdays beside days of the month no cron knows: see ``rule_without``.
    """
    minute, hour, day, month, weekday = cron.split(" ")
    hours = [one for one in _expanded(hour, 0, 23) if one not in left_out.hours]
    if left_out.times:
        minutes = _expanded(minute, 0, 59)
        gone = {h for h in hours if all((h, m) in left_out.times for m in minutes)}
        hours = [one for one in hours if one not in gone]
    hour = hour if len(hours) == len(_expanded(hour, 0, 23)) else _written(hours, 24)
    months = [one for one in _expanded(month, 1, 12) if one not in left_out.months]
    month = month if not left_out.months else _written(months, 12)
    days = [1]
    if left_out.days and not re.search(r"[#L]", weekday):
        days = [one for one in _expanded(weekday, 0, 6) if one not in left_out.days]
        weekday = _written(days, 7)
    return f"{minute} {hour} {day} {month} {weekday}" if hours and months and days else None


def is_one_cron(cron: str, left_out: Exceptions) -> bool:
    """Tell whether one cron expression can say it; "the 1st, but no sunday" would fire on either."""
    day, weekday = cron.split(" ")[2], cron.split(" ")[4]
    return not left_out.needs_rule and not (left_out.days and (day != "*" or re.search(r"[#L]", weekday)))


def rule_of(cron: str, start: str) -> str:
    """Return a cron expression as a rule of RFC 5545 that begins with the line ``start``."""
    minute, hour, day, month, weekday = cron.split(" ")
    parts = ["FREQ=DAILY"]
    if month != "*":
        parts.append(f"BYMONTH={','.join(map(str, _expanded(month, 1, 12)))}")
    if day != "*":
        parts.append("BYMONTHDAY=" + ",".join("-1" if one == "L" else one for one in day.split(",")))
    if "#" in weekday or "L" in weekday:
        named = [re.fullmatch(r"L(\d)|(\d)#(\d)", one) for one in weekday.split(",")]
        parts[0] = "FREQ=MONTHLY"
        parts.append(
            "BYDAY="
            + ",".join(
                f"-1{RULE_DAYS[int(m[1])]}" if m[1] else f"{m[3]}{RULE_DAYS[int(m[2])]}" for m in named if m
            )
        )
    elif weekday != "*":
        parts.append("BYDAY=" + ",".join(RULE_DAYS[one] for one in _expanded(weekday, 0, 6)))
    hours, minutes = _expanded(hour, 0, 23), _expanded(minute, 0, 59)
    parts += [f"BYHOUR={','.join(map(str, hours))}", f"BYMINUTE={','.join(map(str, minutes))}", "BYSECOND=0"]
    return f"{start}\nRRULE:{';'.join(parts)}"


def rule_without(rule: str, left_out: Exceptions) -> str:
    """Return a rule with an EXRULE for each thing left out, which Prefect's schedules take."""
    hours = sorted({int(h) for found in re.findall(r"BYHOUR=([\d,]+)", rule) for h in found.split(",")})
    minutes = sorted({int(m) for found in re.findall(r"BYMINUTE=([\d,]+)", rule) for m in found.split(",")})
    clock = f"BYHOUR={','.join(map(str, hours))};BYMINUTE={','.join(map(str, minutes))};BYSECOND=0"
    parts = [f"FREQ=YEARLY;BYMONTH={month};BYMONTHDAY={day}" for month, day in dict.fromkeys(left_out.dates)]
    parts += [f"FREQ=MONTHLY;BYDAY={n}{RULE_DAYS[day]}" for n, day in dict.fromkeys(left_out.nth)]
    parts += [f"FREQ=MONTHLY;BYMONTHDAY={day}" for day in dict.fromkeys(left_out.monthdays)]
    if left_out.days:
        parts.append("FREQ=DAILY;BYDAY=" + ",".join(RULE_DAYS[day] for day in sorted(left_out.days)))
    if left_out.months:
        parts.append(f"FREQ=DAILY;BYMONTH={','.join(map(str, sorted(left_out.months)))}")
    lines = [f"EXRULE:{part};{clock}" for part in parts]
    gone = [hour for hour in hours if hour in left_out.hours]
    if gone:
        minute = f"BYMINUTE={','.join(map(str, minutes))};BYSECOND=0"
        lines.append(f"EXRULE:FREQ=DAILY;BYHOUR={','.join(map(str, gone))};{minute}")
    lines += [
        f"EXRULE:FREQ=DAILY;BYHOUR={hour};BYMINUTE={minute};BYSECOND=0"
        for hour, minute in sorted(left_out.times)
    ]
    return "\n".join([rule, *lines])


def _expanded(told: str, first: int, last: int) -> list[int]:
    """Return the numbers of a field of a cron expression."""
    found: set[int] = set()
    for part in told.split(","):
        span, _, step = part.partition("/")
        begin, _, end = span.partition("-")
        low = first if begin == "*" else int(begin)
        high = last if begin == "*" else int(end or begin)
        found |= set(range(low, high + 1, int(step or 1)))
    return sorted(found)


def _written(numbers: list[int], whole: int) -> str:
    """Write numbers as a field of a cron expression, in runs."""
    if len(numbers) == whole:
        return "*"
    runs: list[list[int]] = []
    for number in numbers:
        if runs and number == runs[-1][-1] + 1:
            runs[-1].append(number)
        else:
            runs.append([number])
    return ",".join(
        f"{run[0]}-{run[-1]}" if len(run) > 2 else ",".join(map(str, run))  # noqa: PLR2004 - a run of three
        for run in runs
    )
