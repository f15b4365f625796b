"""The next time a cron expression fires, in its own time zone (five fields, lists, ranges, steps, names)."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

from prefect_autopilot.errors import UsageError

MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
DAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
BOUNDS = ((0, 59), (0, 23), (1, 31), (1, 12), (0, 7))
NAMES = {12: MONTHS, 7: DAYS}
"""Names by the highest number of their field."""
MACROS = {
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@hourly": "0 * * * *",
}
HORIZON_DAYS = 366 * 8  # 29 February is at most eight years away


@dataclass(frozen=True, slots=True)
class Cron:
    """A parsed expression; day of month and day of week combine by OR when both are restricted."""

    minutes: tuple[int, ...]
    hours: tuple[int, ...]
    days: frozenset[int]
    months: frozenset[int]
    weekdays: frozenset[int]
    either_day: bool

    def matches(self, day: date) -> bool:
        """Tell whether it fires on this day at all."""
        if day.month not in self.months:
            return False
        of_month, of_week = day.day in self.days, day.isoweekday() % 7 in self.weekdays
        return (of_month or of_week) if self.either_day else (of_month and of_week)

    def after(self, moment: datetime, zone: ZoneInfo) -> datetime | None:
        """Return the first fire after an aware moment (UTC), None if it never fires.

        A wall-clock time that a change of clocks skips is left out, because Prefect plans it now before and
        now after the change; one that occurs twice fires the first time.
        """
        local = moment.astimezone(zone)
        for offset in range(HORIZON_DAYS):
            day = local.date() + timedelta(days=offset)
            if not self.matches(day):
                continue
            for hour in self.hours:
                if offset == 0 and hour < local.hour - 1:
                    continue
                for minute in self.minutes:
                    fire = datetime.combine(day, time(hour, minute), zone).astimezone(UTC)
                    shown = fire.astimezone(zone)
                    if fire > moment and (shown.hour, shown.minute) == (hour, minute):
                        return fire
        return None


@lru_cache(maxsize=1024)
def parse_cron(expression: str) -> Cron:
    """Parse a cron expression; raises UsageError saying which field is wrong."""
    fields = MACROS.get(expression.strip().lower(), expression).lower().split()
    if len(fields) != len(BOUNDS):
        raise UsageError(f"The cron expression {expression!r} needs five fields, it has {len(fields)}.")
    sets = [_field(field, low, high, expression) for field, (low, high) in zip(fields, BOUNDS, strict=True)]
    return Cron(
        minutes=tuple(sorted(sets[0])),
        hours=tuple(sorted(sets[1])),
        days=frozenset(sets[2]),
        months=frozenset(sets[3]),
        weekdays=frozenset(day % 7 for day in sets[4]),
        either_day=fields[2][0] not in "*?" and fields[4][0] not in "*?",
    )


def _field(text: str, low: int, high: int, expression: str) -> set[int]:
    values: set[int] = set()
    for part in text.split(","):
        span, _, step = part.partition("/")
        names = NAMES.get(high, ())
        first, dash, last = span.partition("-")
        try:
            every = int(step) if step else 1
            if first in {"*", "?"}:
                begin, end = low, high
            else:
                begin = _number(first, names, low)
                end = _number(last, names, low) if dash else (high if step else begin)
                if names is DAYS and end == 0 < begin:
                    end = high  # a week may end with its Sunday, which is 0 and 7
        except ValueError:
            raise UsageError(f"The cron field {text!r} of {expression!r} cannot be read.") from None
        if every < 1 or not low <= begin <= end <= high:
            raise UsageError(f"The cron field {text!r} of {expression!r} is not within {low}-{high}.")
        values.update(range(begin, end + 1, every))
    return values


def _number(text: str, names: tuple[str, ...], first: int) -> int:
    return names.index(text) + first if text in names else int(text)
