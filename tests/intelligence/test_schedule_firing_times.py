"""Schedules judged by when they fire: each request against days and times written down by hand."""

from __future__ import annotations

from calendar import monthrange
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from dateutil.rrule import rrulestr
from hypothesis import given, settings
from hypothesis import strategies as st
from prefect._vendor.croniter import croniter

from prefect_autopilot.intelligence.schedule import Schedule, read_schedule

FIRST, DAYS = date(2026, 1, 1), 120
"""A Thursday; 120 days reach 30 April and hold the end of a February."""

MON, TUE, WED, THU, FRI, SAT, SUN = range(7)
WEEKDAYS, WEEKEND = (MON, TUE, WED, THU, FRI), (SAT, SUN)

Day = Callable[[date], bool]


def every_day(day: date) -> bool:
    return True


def on(*weekdays: int) -> Day:
    return lambda day: day.weekday() in weekdays


def the(*numbers: int) -> Day:
    """Days of the month; -1 is the last one."""
    return lambda day: day.day in numbers or (-1 in numbers and day.day == _length(day))


def nth(weekday: int, *numbers: int) -> Day:
    """The n-th such weekday of the month; -1 is the last one."""

    def is_one(day: date) -> bool:
        from_start, from_end = (day.day + 6) // 7, -((_length(day) - day.day) // 7 + 1)
        return day.weekday() == weekday and bool({from_start, from_end} & set(numbers))

    return is_one


def working(number: int) -> Day:
    """The n-th day of the month that is neither Saturday nor Sunday; -1 is the last one."""

    def is_one(day: date) -> bool:
        days = [day.replace(day=n) for n in range(1, _length(day) + 1)]
        able = [one for one in days if one.weekday() in WEEKDAYS]
        return day == able[number if number < 0 else number - 1]

    return is_one


def in_months(months: tuple[int, ...], days: Day) -> Day:
    return lambda day: day.month in months and days(day)


def every_other_week(weekday: int, counted_from: date = date(2024, 1, 1)) -> Day:
    return lambda day: day.weekday() == weekday and ((day - counted_from).days // 7) % 2 == 0


def every_n_days(n: int, counted_from: date = date(2024, 1, 1)) -> Day:
    return lambda day: (day - counted_from).days % n == 0


def _length(day: date) -> int:
    return monthrange(day.year, day.month)[1]


def steps(minutes: int, first: str = "00:00", last: str = "23:59") -> str:
    """All times from first to last, so many minutes apart."""
    start, end = _minutes(first), _minutes(last)
    return " ".join(f"{m // 60:02d}:{m % 60:02d}" for m in range(start, end + 1, minutes))


def _minutes(clock: str) -> int:
    hour, minute = clock.split(":")
    return int(hour) * 60 + int(minute)


@dataclass(frozen=True)
class Case:
    text: str
    days: Day
    at: str
    length: int = DAYS

    def moments(self) -> list[datetime]:
        start = datetime.combine(FIRST, datetime.min.time())
        days = [start + timedelta(days=n) for n in range(self.length)]
        times = [timedelta(minutes=_minutes(clock)) for clock in self.at.split()]
        return [day + time for day in days if self.days(day.date()) for time in sorted(times)]


def fires(schedule: Schedule, length: int = DAYS) -> list[datetime]:
    """Return every moment of the schedule, with the readers Prefect itself uses."""
    start = datetime.combine(FIRST, datetime.min.time())
    end = start + timedelta(days=length)
    if schedule.rrule:
        return list(rrulestr(schedule.rrule).between(start - timedelta(seconds=1), end))[: 5 * 1440 * length]
    assert schedule.cron is not None
    found: list[datetime] = []
    moments = croniter(schedule.cron, start - timedelta(seconds=1))
    while (moment := moments.get_next(datetime)) < end:
        found.append(moment)
    return found


def read(text: str) -> Schedule:
    schedule = read_schedule(text.lower())
    assert schedule is not None, f"no schedule in {text!r}"
    return schedule


CASES = [
    # Every day, with the time said in many ways.
    Case("every day at 9", every_day, "09:00"),
    Case("every day at 09:00", every_day, "09:00"),
    Case("each day at 9 am", every_day, "09:00"),
    Case("every single day at 9am", every_day, "09:00"),
    Case("daily at nine", every_day, "09:00"),
    Case("daily at 9 o'clock", every_day, "09:00"),
    Case("every day at nine in the morning", every_day, "09:00"),
    Case("every morning at 9", every_day, "09:00"),
    Case("at 9 a.m. every day", every_day, "09:00"),
    Case("every day at 9 p.m.", every_day, "21:00"),
    Case("every evening at 9", every_day, "21:00"),
    Case("every night at 11", every_day, "23:00"),
    Case("every night at 2", every_day, "02:00"),
    Case("nightly at 1:30", every_day, "01:30"),
    Case("every afternoon at 4", every_day, "16:00"),
    Case("every day at half past four in the afternoon", every_day, "16:30"),
    Case("daily at quarter past seven", every_day, "07:15"),
    Case("daily at quarter to eight", every_day, "07:45"),
    Case("daily at ten to six pm", every_day, "17:50"),
    Case("every day at noon", every_day, "12:00"),
    Case("every day at midnight", every_day, "00:00"),
    Case("every day at midday", every_day, "12:00"),
    Case("every day at 12:30am", every_day, "00:30"),
    Case("every day at 12:30pm", every_day, "12:30"),
    Case("every day at 23:59", every_day, "23:59"),
    Case("every day at 00:01", every_day, "00:01"),
    Case("every day at 14h30", every_day, "14:30"),
    Case("every day at 7.45", every_day, "07:45"),
    Case("once a day at 5pm", every_day, "17:00"),
    Case("seven days a week at 6:00", every_day, "06:00"),
    # Several times a day.
    Case("every day at 8am and 8pm", every_day, "08:00 20:00"),
    Case("at 8, 12 and 16 every day", every_day, "08:00 12:00 16:00"),
    Case("every day at 9am, 1pm and 5pm", every_day, "09:00 13:00 17:00"),
    Case("daily at noon and midnight", every_day, "00:00 12:00"),
    Case("twice a day at 7:30 and 19:30", every_day, "07:30 19:30"),
    Case("every weekday at 8:15 and 17:30", on(*WEEKDAYS), "08:15 17:30"),
    Case("three times a day at 6:00, 14:00 and 22:00", every_day, "06:00 14:00 22:00"),
    Case("mondays and fridays at 10:00 and 15:00", on(MON, FRI), "10:00 15:00"),
    # Days of the week.
    Case("every weekday at 8:30", on(*WEEKDAYS), "08:30"),
    Case("every workday at 8:30", on(*WEEKDAYS), "08:30"),
    Case("on working days at 8:30", on(*WEEKDAYS), "08:30"),
    Case("on business days at 8:30", on(*WEEKDAYS), "08:30"),
    Case("Monday through Friday at 7am", on(*WEEKDAYS), "07:00"),
    Case("Mon-Fri at 7am", on(*WEEKDAYS), "07:00"),
    Case("monday to wednesday at 6pm", on(MON, TUE, WED), "18:00"),
    Case("saturday to monday at 6pm", on(SAT, SUN, MON), "18:00"),
    Case("every weekend at 11", on(*WEEKEND), "11:00"),
    Case("on saturdays and sundays at 11", on(*WEEKEND), "11:00"),
    Case("every Sunday at 20:15", on(SUN), "20:15"),
    Case("each Tuesday at 10am", on(TUE), "10:00"),
    Case("Wednesdays at 3pm", on(WED), "15:00"),
    Case("on thursdays at 3:05 pm", on(THU), "15:05"),
    Case("every mon, wed and fri at 9:30", on(MON, WED, FRI), "09:30"),
    Case("every monday, wednesday, and friday at 9:30", on(MON, WED, FRI), "09:30"),
    Case("every tues and thurs at 14:00", on(TUE, THU), "14:00"),
    Case("every week on friday at 4pm", on(FRI), "16:00"),
    Case("weekly on mondays at 9", on(MON), "09:00"),
    Case("once a week on wednesday at noon", on(WED), "12:00"),
    Case("every friday afternoon at 5", on(FRI), "17:00"),
    Case("every monday morning at 7:45", on(MON), "07:45"),
    Case("every day except sunday at 10", on(MON, TUE, WED, THU, FRI, SAT), "10:00"),
    Case("every day except weekends at 10", on(*WEEKDAYS), "10:00"),
    Case("weekdays except friday at 10", on(MON, TUE, WED, THU), "10:00"),
    Case("every day but not on mondays at 10", on(TUE, WED, THU, FRI, SAT, SUN), "10:00"),
    Case("every day except saturday and sunday at 6am", on(*WEEKDAYS), "06:00"),
    # Minutes and hours, and the hours within which they count.
    Case("every minute", every_day, steps(1), 3),
    Case("every 2 minutes", every_day, steps(2), 5),
    Case("every five minutes", every_day, steps(5), 30),
    Case("every 10 min", every_day, steps(10), 30),
    Case("every 15 mins", every_day, steps(15), 10),
    Case("every twenty minutes", every_day, steps(20), 10),
    Case("every half hour", every_day, steps(30), 10),
    Case("every half an hour", every_day, steps(30), 10),
    Case("every 30 minutes", every_day, steps(30), 10),
    Case("half-hourly", every_day, steps(30), 10),
    Case("every quarter hour", every_day, steps(15), 10),
    Case("every hour", every_day, steps(60), 10),
    Case("once an hour", every_day, steps(60), 10),
    Case("once every hour", every_day, steps(60), 10),
    Case("hourly", every_day, steps(60), 10),
    Case("twice an hour", every_day, steps(30), 10),
    Case("four times an hour", every_day, steps(15), 10),
    Case("every other hour", every_day, steps(120), 10),
    Case("every couple of hours", every_day, steps(120), 10),
    Case("every three hours", every_day, steps(180), 10),
    Case("every 4 hours", every_day, steps(240), 10),
    Case("every 12h", every_day, steps(720), 10),
    Case("every 120 minutes", every_day, steps(120), 10),
    Case("every 24 hours", every_day, "00:00"),
    Case("hourly between 9 and 17", every_day, steps(60, "09:00", "17:00"), 10),
    Case("every hour from 8am to 6pm", every_day, steps(60, "08:00", "18:00"), 10),
    Case("every hour from 8am to 6pm on weekdays", on(*WEEKDAYS), steps(60, "08:00", "18:00"), 28),
    Case("every 30 minutes between 7am and 7pm", every_day, steps(30, "07:00", "18:30"), 10),
    Case("every 15 minutes between 9:00 and 17:00 Mon-Fri", on(*WEEKDAYS), steps(15, "09:00", "16:45"), 28),
    Case("every 10 minutes during business hours", every_day, steps(10, "09:00", "16:50"), 10),
    Case("every 2 hours between 8 and 20", every_day, steps(120, "08:00", "20:00"), 10),
    Case("every 5 minutes on saturdays", on(SAT), steps(5), 28),
    Case("hourly on weekends", on(*WEEKEND), steps(60), 28),
    # Days of the month.
    Case("on the 1st of every month at 8am", the(1), "08:00"),
    Case("on the first of each month at 8am", the(1), "08:00"),
    Case("on the first day of every month at 8am", the(1), "08:00"),
    Case("at the beginning of each month at 8am", the(1), "08:00"),
    Case("every month on the 15th at 10:30", the(15), "10:30"),
    Case("monthly on the 15th at 10:30", the(15), "10:30"),
    Case("on the 1st and 15th of every month at 9", the(1, 15), "09:00"),
    Case("on the 5th, 15th and 25th of each month at 9", the(5, 15, 25), "09:00"),
    Case("the 31st of each month at 9", the(31), "09:00"),
    Case("on day 20 of every month at 6pm", the(20), "18:00"),
    Case("on the last day of every month at 18:00", the(-1), "18:00"),
    Case("at the end of each month at 18:00", the(-1), "18:00"),
    Case("at month end at 18:00", the(-1), "18:00"),
    Case("on the 14th and the last day of each month at noon", the(14, -1), "12:00"),
    # The n-th weekday.
    Case("on the first Monday of every month at 9am", nth(MON, 1), "09:00"),
    Case("every first Monday of the month at 9am", nth(MON, 1), "09:00"),
    Case("every second Tuesday of the month at 9am", nth(TUE, 2), "09:00"),
    Case("third Thursday of each month at 15:00", nth(THU, 3), "15:00"),
    Case("on the 4th wednesday of the month at 8", nth(WED, 4), "08:00"),
    Case("the last Friday of the month at 16:30", nth(FRI, -1), "16:30"),
    Case("on the last sunday of every month at 20:00", nth(SUN, -1), "20:00"),
    Case("first and third Monday of the month at 11:00", nth(MON, 1, 3), "11:00"),
    Case("on the 2nd and 4th friday of each month at 3pm", nth(FRI, 2, 4), "15:00"),
    Case("first working day of the month at 7", working(1), "07:00"),
    Case("on the last working day of each month at 17:00", working(-1), "17:00"),
    Case("the last business day of every month at 17:00", working(-1), "17:00"),
    Case("the last weekday of every month at 17:00", working(-1), "17:00"),
    Case("third business day of every month at 9", working(3), "09:00"),
    # Weeks and days that are skipped, counted from a Monday.
    Case("every other monday at 9", every_other_week(MON), "09:00"),
    Case("every second friday at 16:00", every_other_week(FRI), "16:00"),
    Case("every two weeks on thursday at 10am", every_other_week(THU), "10:00"),
    Case("biweekly on wednesdays at 14:00", every_other_week(WED), "14:00"),
    Case("fortnightly on fridays at noon", every_other_week(FRI), "12:00"),
    Case("every fortnight on tuesday at 8", every_other_week(TUE), "08:00"),
    Case("every other week on sunday at 19:00", every_other_week(SUN), "19:00"),
    Case("every other day at 7", every_n_days(2), "07:00"),
    Case("every 3 days at 7", every_n_days(3), "07:00"),
    Case("every ten days at 7:30", every_n_days(10), "07:30"),
    # Months, quarters, years.
    Case("every 2 months on the 1st at 9", in_months((1, 3, 5, 7, 9, 11), the(1)), "09:00", 800),
    Case("every quarter on the 1st at 9", in_months((1, 4, 7, 10), the(1)), "09:00", 800),
    Case("quarterly at 7am", in_months((1, 4, 7, 10), the(1)), "07:00", 800),
    Case("every three months on the 10th at 9", in_months((1, 4, 7, 10), the(10)), "09:00", 800),
    Case("every six months on the 1st at 9", in_months((1, 7), the(1)), "09:00", 800),
    Case("every year on July 4 at 10:00", in_months((7,), the(4)), "10:00", 800),
    Case("every 5th of December at 18:00", in_months((12,), the(5)), "18:00", 800),
    Case("on March 31st at 23:00", in_months((3,), the(31)), "23:00", 800),
    Case("on December 24th at 4pm", in_months((12,), the(24)), "16:00", 800),
    Case("every year on the 2nd of january at 8am", in_months((1,), the(2)), "08:00", 800),
    Case("on new year's eve at 23:55", in_months((12,), the(31)), "23:55", 800),
    Case("on the first monday of september at 8:00", in_months((9,), nth(MON, 1)), "08:00", 800),
    Case("every february 29 at 9:00", in_months((2,), the(29)), "09:00", 1400),
    # The part of the day said before or after the hour.
    Case("friday nights at 9:30", on(FRI), "21:30"),
    Case("monday evenings at 7", on(MON), "19:00"),
    Case("at 4 every afternoon", every_day, "16:00"),
    Case("at 9 on friday evenings", on(FRI), "21:00"),
    Case("every evening at half past six", every_day, "18:30"),
    Case("every evening at 8 and 10", every_day, "20:00 22:00"),
    Case("every morning at 8 and every evening at 8", every_day, "08:00 20:00"),
    Case("every evening at 21:00", every_day, "21:00"),
    Case("every evening at 8pm", every_day, "20:00"),
    Case("every night at 12", every_day, "00:00"),
    Case("every morning at 11", every_day, "11:00"),
    # Times without a colon, and times said loosely.
    Case("every monday at 0900", on(MON), "09:00"),
    Case("every day at 0930 hours", every_day, "09:30"),
    Case("every day at 1800", every_day, "18:00"),
    Case("around 10 every day", every_day, "10:00"),
    Case("every weekday around 10", on(*WEEKDAYS), "10:00"),
    Case("every day before 9", every_day, "09:00"),
    Case("every day at 9am sharp", every_day, "09:00"),
    # Steps that do not fit the hour, within hours that do not begin at a full one.
    Case("every 45 minutes between 9 and 17", every_day, steps(45, "09:00", "17:00"), 10),
    Case("every 45 minutes between 9 and 17 on weekdays", on(*WEEKDAYS), steps(45, "09:00", "17:00"), 28),
    Case("every 30 minutes from 8:30 to 17:30", every_day, steps(30, "08:30", "17:30"), 10),
    Case("every hour from 8:30 to 17:30 on weekdays", on(*WEEKDAYS), steps(60, "08:30", "17:30"), 28),
    Case("every 15 minutes after 6pm", every_day, steps(15, "18:00", "23:45"), 10),
    Case("hourly until noon", every_day, steps(60, "00:00", "12:00"), 10),
    Case("every 40 minutes between 8 and 12", every_day, steps(40, "08:00", "12:00"), 10),
    # Ordinals: of a month only for weekdays, else every so many.
    Case("every third day at 9", every_n_days(3), "09:00"),
    Case("every 3rd day at 9", every_n_days(3), "09:00"),
    Case("every fifth day at 9", every_n_days(5), "09:00"),
    Case("every third friday at 9", nth(FRI, 3), "09:00"),
    Case("every 3rd friday at 9", nth(FRI, 3), "09:00"),
    Case("on the fifth monday of each month at 9", nth(MON, 5), "09:00", 800),
    Case("on the 5th friday of every month at 9", nth(FRI, 5), "09:00", 800),
    # Quarters and months that are named.
    Case("on the 1st day of every quarter at 9", in_months((1, 4, 7, 10), the(1)), "09:00", 800),
    Case("last day of every quarter at 6pm", in_months((3, 6, 9, 12), the(-1)), "18:00", 800),
    Case("on the last friday of each quarter at 6pm", in_months((3, 6, 9, 12), nth(FRI, -1)), "18:00", 800),
    Case("last working day of every quarter at 5pm", in_months((3, 6, 9, 12), working(-1)), "17:00", 800),
    Case("first monday of each quarter at 9", in_months((1, 4, 7, 10), nth(MON, 1)), "09:00", 800),
    Case("on the last day of february at 9", in_months((2,), the(-1)), "09:00", 1400),
    Case("second tuesday of march and june at 10", in_months((3, 6), nth(TUE, 2)), "10:00", 800),
    # Different times on different days, and minutes that differ.
    Case("on the last day of each month at 8:15 and 17:30", the(-1), "08:15 17:30"),
    Case("on the last business day of each month at 8 and 17", working(-1), "08:00 17:00"),
    Case("every other monday at 8:15 and 17:30", every_other_week(MON), "08:15 17:30"),
    Case("on the 10th of every month at 7:05 and 19:50", the(10), "07:05 19:50"),
    Case("every friday at 8:10, 12:20 and 16:40", on(FRI), "08:10 12:20 16:40"),
    Case("every other day at 9:15 and 21:45", every_n_days(2), "09:15 21:45"),
]


@pytest.mark.parametrize("case", CASES, ids=[case.text for case in CASES])
def test_it_fires_exactly_when_the_words_say(case: Case) -> None:
    schedule = read(case.text)
    assert schedule.problems == ()
    assert fires(schedule, case.length) == case.moments()


def test_every_rule_and_cron_of_the_table_is_taken_by_prefect() -> None:
    from prefect.client.schemas.schedules import CronSchedule, RRuleSchedule

    for case in CASES:
        schedule = read(case.text)
        if schedule.cron:
            assert CronSchedule(cron=schedule.cron, timezone="Europe/Berlin").cron == schedule.cron
        elif schedule.rrule:
            assert RRuleSchedule(rrule=schedule.rrule, timezone="Europe/Berlin").rrule == schedule.rrule


UNIONS = [
    ("every weekday at 9 and every saturday at 11", [(on(*WEEKDAYS), "09:00"), (on(SAT), "11:00")]),
    ("on weekdays at 8 and on weekends at 10", [(on(*WEEKDAYS), "08:00"), (on(*WEEKEND), "10:00")]),
    ("every monday at 9 and on fridays at 17:00", [(on(MON), "09:00"), (on(FRI), "17:00")]),
    ("on the 1st at 9 and on the 15th at 17:00", [(the(1), "09:00"), (the(15), "17:00")]),
    ("every day at 7 and on sundays at 20:30", [(every_day, "07:00"), (on(SUN), "20:30")]),
    ("every tuesday at 10:15, every thursday at 16:45", [(on(TUE), "10:15"), (on(THU), "16:45")]),
    ("on the last day of the month at 18:00 and on mondays at 8", [(the(-1), "18:00"), (on(MON), "08:00")]),
]


@pytest.mark.parametrize(("text", "parts"), UNIONS, ids=[text for text, _ in UNIONS])
def test_different_times_on_different_days_do_not_mix(text: str, parts: list[tuple[Day, str]]) -> None:
    expected = sorted({moment for days, at in parts for moment in Case(text, days, at).moments()})
    assert sorted(fires(read(text))) == expected


def test_the_same_time_on_several_days_stays_one_cron() -> None:
    assert read("every monday at 9 and every friday at 9").cron == "0 9 * * 1,5"


INTERVALS = [
    ("every 45 minutes", 45 * 60),
    ("every 90 minutes", 90 * 60),
    ("every 7 minutes", 7 * 60),
    ("every 5 hours", 5 * 3600),
    ("every seven hours", 7 * 3600),
    ("every hour and a half", 90 * 60),
    ("every 1.5 hours", 90 * 60),
    ("every two and a half hours", 150 * 60),
    ("every 36 hours", 36 * 3600),
    ("every 50 hours", 50 * 3600),
    ("every 10 seconds", 10),
    ("every thirty seconds", 30),
    ("every 100 minutes", 6000),
]


@pytest.mark.parametrize(("text", "seconds"), INTERVALS, ids=[text for text, _ in INTERVALS])
def test_what_divides_neither_hour_nor_day_keeps_its_distance(text: str, seconds: int) -> None:
    schedule = read(text)
    assert (schedule.interval_s, schedule.cron, schedule.rrule) == (seconds, None, None)


ZONES = [
    ("every day at 9 Berlin time", "Europe/Berlin"),
    ("at 9 in Berlin every day", "Europe/Berlin"),
    ("every day at 9am (Paris time)", "Europe/Paris"),
    ("every day at 6pm London time", "Europe/London"),
    ("daily at 7 in New York", "America/New_York"),
    ("daily at 7am NYC time", "America/New_York"),
    ("every monday at 8 Los Angeles time", "America/Los_Angeles"),
    ("every monday at 8am in Chicago", "America/Chicago"),
    ("at 10 every day Tokyo time", "Asia/Tokyo"),
    ("daily at noon Mumbai time", "Asia/Kolkata"),
    ("every friday at 5pm Hong Kong time", "Asia/Hong_Kong"),
    ("every friday at 5pm Melbourne time", "Australia/Melbourne"),
    ("every friday at 5pm Auckland", "Pacific/Auckland"),
    ("every day at 9 EST", "America/New_York"),
    ("every day at 9 EDT", "America/New_York"),
    ("every day at 9am ET", "America/New_York"),
    ("every day at 9am Eastern", "America/New_York"),
    ("every day at 9am Eastern time", "America/New_York"),
    ("every day at 9am Central time", "America/Chicago"),
    ("every day at 9am Mountain Time", "America/Denver"),
    ("every day at 9 PT", "America/Los_Angeles"),
    ("9am every day in the Pacific time zone", "America/Los_Angeles"),
    ("every day at 9 CET", "Europe/Berlin"),
    ("every day at 9 CEST", "Europe/Berlin"),
    ("every day at 9 central european time", "Europe/Berlin"),
    ("every day at 9 BST", "Europe/London"),
    ("every day at 9 british time", "Europe/London"),
    ("every day at 9 UK time", "Europe/London"),
    ("every day at 9 JST", "Asia/Tokyo"),
    ("every day at 9 IST", "Asia/Kolkata"),
    ("every day at 9 AEST", "Australia/Sydney"),
    ("every day at 9 UTC", "UTC"),
    ("every day at 0900 zulu", "UTC"),
    ("every day at 9 Europe/Vienna", "Europe/Vienna"),
    ("every day at 9 America/Argentina/Buenos_Aires", "America/Argentina/Buenos_Aires"),
    ("every day at 9 UTC+2", "Etc/GMT-2"),
    ("every day at 9 UTC +2", "Etc/GMT-2"),
    ("every day at 9 GMT+1", "Etc/GMT-1"),
    ("every day at 9 (GMT-3)", "Etc/GMT+3"),
    ("every day at 9 UTC-05:00", "Etc/GMT+5"),
    ("every day at 9:00 +02:00", "Etc/GMT-2"),
    ("every day at 9 UTC+0", "UTC"),
    ("every day at 9 UTC+5:30", "Asia/Kolkata"),
    ("every day at 9 UTC+5:45", "Asia/Kathmandu"),
]


@pytest.mark.parametrize(("text", "zone"), ZONES, ids=[text for text, _ in ZONES])
def test_a_zone_is_an_iana_name_that_exists(text: str, zone: str) -> None:
    schedule = read(text)
    assert schedule.timezone == zone
    assert ZoneInfo(zone).key == zone
    assert schedule.problems == ()
    assert len(fires(schedule)) in {DAYS, 17, 18}


@pytest.mark.parametrize("hours", range(-12, 15))
def test_an_offset_in_whole_hours_is_the_zone_with_that_offset(hours: int) -> None:
    zone = read(f"every day at 9 utc{hours:+d}").timezone
    assert zone is not None
    assert datetime(2026, 7, 1, tzinfo=ZoneInfo(zone)).utcoffset() == timedelta(hours=hours)


@pytest.mark.parametrize("text", ["every day at 9 utc+25", "every day at 9 utc+5:17", "at 9 daily utc-99"])
def test_an_offset_no_place_has_is_asked_about(text: str) -> None:
    schedule = read(text)
    assert schedule.timezone is None
    assert "time zone" in schedule.problems[0]
    assert (schedule.cron, schedule.rrule, schedule.interval_s) == (None, None, None)


DST = [
    # zone, the wall clock, hours of UTC before and after the change, a day before and after
    ("every day at 8 berlin time", (7, 6), (date(2026, 3, 28), date(2026, 3, 29))),
    ("every day at 8 berlin time", (6, 7), (date(2026, 10, 24), date(2026, 10, 25))),
    ("every day at 8 new york time", (13, 12), (date(2026, 3, 7), date(2026, 3, 8))),
    ("every day at 8 new york time", (12, 13), (date(2026, 10, 31), date(2026, 11, 1))),
    ("every day at 8 phoenix time", (15, 15), (date(2026, 3, 7), date(2026, 3, 8))),
    ("every day at 20:00 sydney time", (9, 10), (date(2026, 4, 4), date(2026, 4, 5))),
    ("every day at 8 utc+1", (7, 7), (date(2026, 3, 28), date(2026, 3, 29))),
    ("every day at 8 tokyo time", (23, 23), (date(2026, 3, 28), date(2026, 3, 29))),
]


@pytest.mark.parametrize(("text", "hours", "days"), DST, ids=[f"{text} {days[1]}" for text, _, days in DST])
def test_the_wall_clock_stays_and_utc_moves_with_summer_time(
    text: str, hours: tuple[int, int], days: tuple[date, date]
) -> None:
    schedule = read(text)
    assert schedule.timezone is not None
    assert schedule.cron is not None
    zone = ZoneInfo(schedule.timezone)
    for hour, day in zip(hours, days, strict=True):
        # Prefect counts on the wall clock and then asks the zone, as here.
        midnight = datetime.combine(day, datetime.min.time())
        moment = croniter(schedule.cron, midnight - timedelta(seconds=1)).get_next(datetime)
        assert moment.date() == day
        assert moment.replace(tzinfo=zone).astimezone(UTC).hour == hour


IMPOSSIBLE = [
    "on the 31st of february at 9",
    "every february 30 at 9:00",
    "every 31 june at 10",
    "on april 31st at noon",
    "on november 31 at 8am",
    "on 2026-02-29 at 9",
    "on 2026-13-01 at 9",
    "on the 32nd of each month at 9",
    "on the 0th of each month at 9",
    "on the 45th of every month",
    "every day at 25:00",
    "every day at 24:30",
    "every day at 9:60",
    "every day at 31 o'clock",
    "every monday at 99:99",
]


@pytest.mark.parametrize("text", IMPOSSIBLE)
def test_what_the_calendar_or_clock_does_not_have_is_a_problem_and_never_a_schedule(text: str) -> None:
    schedule = read(text)
    assert schedule.problems
    assert schedule.problems[0].endswith(".")
    assert (schedule.cron, schedule.rrule, schedule.interval_s, schedule.once) == (None, None, None, None)


def test_29_february_is_a_day_that_exists() -> None:
    assert read("every february 29 at 9:00").problems == ()


PROPOSALS = [
    ("every day", "0 9 * * *", "09:00"),
    ("every morning", "0 8 * * *", "08:00"),
    ("each afternoon", "0 14 * * *", "14:00"),
    ("every evening", "0 18 * * *", "18:00"),
    ("every night", "0 2 * * *", "02:00"),
    ("every friday", "0 9 * * 5", "09:00"),
    ("every friday evening", "0 18 * * 5", "18:00"),
    ("on weekdays", "0 9 * * 1-5", "09:00"),
    ("every lunchtime", "0 12 * * *", "12:00"),
    ("twice a day", "0 8,20 * * *", "08:00 and 20:00"),
    ("three times a day", "0 0,8,16 * * *", "00:00 and 08:00 and 16:00"),
    ("on the 3rd of every month", "0 9 3 * *", "09:00"),
    ("on the last day of every month", "0 9 L * *", "09:00"),
    ("first monday of every month", "0 9 * * 1#1", "09:00"),
    ("every month", "0 9 1 * *", "the 1st"),
    ("monthly at 10", "0 10 1 * *", "the 1st"),
    ("weekly", "0 9 * * 1", "Monday"),
    ("once a week at 10", "0 10 * * 1", "Monday"),
    ("twice a week at 10", "0 10 * * 1,3", "days of the week"),
    ("yearly", "0 9 1 1 *", "the 1st"),
]


@pytest.mark.parametrize(("text", "cron", "said"), PROPOSALS, ids=[text for text, _, _ in PROPOSALS])
def test_what_was_left_open_is_proposed_in_words(text: str, cron: str, said: str) -> None:
    schedule = read(text)
    assert schedule.cron == cron
    assert said in " ".join(schedule.proposed)
    assert "proposed" in " ".join(schedule.proposed)


@pytest.mark.parametrize(
    "case",
    [case for case in CASES if not any(word in case.text for word in ("other", "second", "two weeks"))][::7],
    ids=lambda case: case.text,
)
def test_a_request_that_says_it_all_gets_no_proposal_of_a_time(case: Case) -> None:
    assert not any("time of day" in line for line in read(case.text).proposed)


def test_where_counting_begins_is_said_when_weeks_are_skipped() -> None:
    assert "1 January 2024" in " ".join(read("every other monday at 9").proposed)


hours = st.integers(0, 23)
minutes = st.integers(0, 59)
names = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")


@settings(max_examples=40, deadline=None)
@given(hours, minutes, st.sets(st.integers(0, 6), min_size=1, max_size=6))
def test_any_weekdays_at_any_time_fire_on_those_days_at_that_time(
    hour: int, minute: int, chosen: set[int]
) -> None:
    days = " and ".join(names[n] for n in sorted(chosen))
    case = Case(f"every {days} at {hour:02d}:{minute:02d}", on(*chosen), f"{hour:02d}:{minute:02d}", 21)
    assert fires(read(case.text), case.length) == case.moments()


@settings(max_examples=40, deadline=None)
@given(st.sets(st.tuples(hours, minutes), min_size=1, max_size=4))
def test_any_times_of_a_day_fire_at_each_of_them_and_at_no_other(times: set[tuple[int, int]]) -> None:
    clocks = [f"{h:02d}:{m:02d}" for h, m in sorted(times)]
    case = Case(f"every day at {' and '.join(clocks)}", every_day, " ".join(clocks), 5)
    assert fires(read(case.text), case.length) == case.moments()


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 11), minutes, st.sampled_from(["am", "pm"]))
def test_half_days_and_24_hours_say_the_same(hour: int, minute: int, half: str) -> None:
    twelve = read(f"every day at {hour}:{minute:02d} {half}")
    whole = read(f"every day at {hour + (12 if half == 'pm' else 0)}:{minute:02d}")
    assert twelve.cron == whole.cron


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 31), hours)
def test_any_day_of_the_month_fires_only_in_months_that_have_it(day: int, hour: int) -> None:
    case = Case(f"on the {day}th of every month at {hour}:00", the(day), f"{hour:02d}:00", 400)
    assert fires(read(case.text), case.length) == case.moments()


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 1440))
def test_any_number_of_minutes_is_kept_exactly(count: int) -> None:
    schedule = read(f"every {count} minutes")
    if schedule.interval_s is not None:
        assert schedule.interval_s == count * 60
        return
    moments = fires(schedule, 3)
    gaps = {after - before for before, after in pairwise(moments)}
    assert gaps == {timedelta(minutes=count)}


@settings(max_examples=30, deadline=None)
@given(hours, st.integers(60, 99))
def test_a_minute_past_59_never_becomes_a_schedule(hour: int, minute: int) -> None:
    schedule = read(f"every day at {hour}:{minute}")
    assert schedule.problems
    assert schedule.cron is None
