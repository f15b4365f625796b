"""The words of time one by one: clocks, zones, days, dates, intervals, and the numbers that are none."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from prefect_autopilot.intelligence.clock import find_times, find_zone, zone_name
from prefect_autopilot.intelligence.data import table
from prefect_autopilot.intelligence.dates import ANY_DAY, BUSINESS_DAY, WEEKEND, WORKDAYS, Calendar
from prefect_autopilot.intelligence.recurrence import read_calendar
from prefect_autopilot.intelligence.schedule import Schedule, read_schedule


def times(text: str) -> list[tuple[int | None, int]]:
    return [(t.hour, t.minute) for t in find_times(text)]


def calendar(text: str) -> Calendar:
    return read_calendar(text, find_times(text))


CLOCKS = [
    # figures
    ("at 7", [(7, 0)]),
    ("at 7:05", [(7, 5)]),
    ("at 07:05", [(7, 5)]),
    ("7:05", [(7, 5)]),
    ("@7", [(7, 0)]),
    ("at 19", [(19, 0)]),
    ("at 0:30", [(0, 30)]),
    ("at 24:00", [(0, 0)]),
    ("19h", [(19, 0)]),
    ("19h15", [(19, 15)]),
    ("at 0715", [(7, 15)]),
    ("1930 hours", [(19, 30)]),
    ("1930h", [(19, 30)]),
    # halves of the day
    ("7am", [(7, 0)]),
    ("7 am", [(7, 0)]),
    ("7 a.m.", [(7, 0)]),
    ("7 pm", [(19, 0)]),
    ("7p.m.", [(19, 0)]),
    ("12am", [(0, 0)]),
    ("12pm", [(12, 0)]),
    ("12:15am", [(0, 15)]),
    ("12:15pm", [(12, 15)]),
    ("11:59pm", [(23, 59)]),
    ("19pm", [(19, 0)]),
    # parts of the day
    ("at 8 in the morning", [(8, 0)]),
    ("at 8 in the evening", [(20, 0)]),
    ("at 3 in the afternoon", [(15, 0)]),
    ("at 11 at night", [(23, 0)]),
    ("at 3 at night", [(3, 0)]),
    ("at 12 at night", [(0, 0)]),
    ("every evening at 8", [(20, 0)]),
    ("in the evening at 8", [(20, 0)]),
    ("evenings, at 8", [(20, 0)]),
    ("every evening at 20:00", [(20, 0)]),
    ("every evening at 8am", [(8, 0)]),
    ("every evening from 8 to 10", [(20, 0), (22, 0)]),
    ("each morning at 8", [(8, 0)]),
    # words
    ("at seven", [(7, 0)]),
    ("at twelve", [(12, 0)]),
    ("at seven pm", [(19, 0)]),
    ("seven o'clock", [(7, 0)]),
    ("noon", [(12, 0)]),
    ("midday", [(12, 0)]),
    ("midnight", [(0, 0)]),
    ("at half past seven", [(7, 30)]),
    ("half past 7 pm", [(19, 30)]),
    ("quarter past seven", [(7, 15)]),
    ("quarter to seven", [(6, 45)]),
    ("ten to midnight", [(23, 50)]),
    ("five past noon", [(12, 5)]),
    ("twenty past three in the afternoon", [(15, 20)]),
    # several
    ("at 9 and 17", [(9, 0), (17, 0)]),
    ("at 9, 12 and 17", [(9, 0), (12, 0), (17, 0)]),
    ("8am & 8pm", [(8, 0), (20, 0)]),
    ("at 1 and 5 pm", [(13, 0), (17, 0)]),
    ("at 9 and 5 pm", [(9, 0), (17, 0)]),
    ("at noon and at midnight", [(12, 0), (0, 0)]),
    ("between 9:00 and 17:30", [(9, 0), (17, 30)]),
    ("from 9 to 5 pm", [(9, 0), (17, 0)]),
    # none that exist
    ("at 25:00", [(None, 0)]),
    ("at 7:60", [(None, 0)]),
    ("at 24:01", [(None, 0)]),
    ("at 30pm", [(None, 0)]),
]


@pytest.mark.parametrize(("text", "expected"), CLOCKS, ids=[text for text, _ in CLOCKS])
def test_a_time_of_day_is_read(text: str, expected: list[tuple[int | None, int]]) -> None:
    assert times(text) == expected


NO_CLOCKS = [
    "7 items",
    "in 7 days",
    "within 24h",
    "after 2h",
    "for 3 hours",
    "the last 12h",
    "7%",
    "at 7%",
    "at 7 percent",
    "$7",
    "version 7.5",
    "row 7",
    "the 7th",
    "at 7 days",
    "at 7 weeks",
    "10 to 20 rows",
    "a 5 to 10 minute wait",
    "one of the two",
    "3 times",
    "7/8 of them",
    "room-12",
    "#7",
    "phone +4312345",
    "utc+02:00",
    "1930 orders",
    "the 0715 batch",
    "sold at 1900 dollars",
    "mp3 and h264",
]


@pytest.mark.parametrize("text", NO_CLOCKS)
def test_a_number_that_is_no_time_is_left_alone(text: str) -> None:
    assert times(text) == []


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 23), st.integers(0, 59))
def test_every_minute_of_the_day_is_read_as_itself(hour: int, minute: int) -> None:
    assert times(f"at {hour}:{minute:02d}") == [(hour, minute)]
    assert times(f"at {hour:02d}:{minute:02d}") == [(hour, minute)]
    assert times(f"at {hour:02d}.{minute:02d}") == [(hour, minute)]
    assert times(f"{hour:02d}{minute:02d} hours") == [(hour, minute)]


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 99), st.integers(0, 99))
def test_what_no_clock_shows_has_no_hour(hour: int, minute: int) -> None:
    (read,) = times(f"at {hour}:{minute:02d}")
    exists = (hour < 24 and minute < 60) or (hour, minute) == (24, 0)
    assert (read[0] is not None) is exists


@pytest.mark.parametrize("zone", sorted(set(table("times")["zones"].values())))
def test_every_zone_of_the_table_exists(zone: str) -> None:
    assert zone_name(zone) == zone


@pytest.mark.parametrize("zone", sorted(set(table("times")["offsets"].values())))
def test_every_zone_of_an_offset_exists(zone: str) -> None:
    assert zone_name(zone) == zone


@pytest.mark.parametrize("name", sorted(table("times")["zones"]))
def test_every_name_of_a_zone_is_read_beside_a_time(name: str) -> None:
    text = f"at 9 {name}"
    found = find_zone(text, find_times(text))
    assert found is not None
    assert found[0] == table("times")["zones"][name]
    assert text[found[1] : found[2]].strip() == name


@pytest.mark.parametrize(("written", "zone"), sorted(table("times")["offsets"].items()))
def test_every_offset_of_the_table_is_the_one_of_its_zone(written: str, zone: str) -> None:
    from datetime import datetime
    from zoneinfo import ZoneInfo

    sign = -1 if written[0] == "-" else 1
    seconds = sign * (int(written[1:3]) * 3600 + int(written[4:]) * 60)
    for month in (1, 7):
        offset = datetime(2026, month, 1, tzinfo=ZoneInfo(zone)).utcoffset()
        assert offset is not None
        assert offset.total_seconds() == seconds


@pytest.mark.parametrize("name", ["", "UTC+1", "Mars/Base", "europe", "../etc/passwd", "Europe/", "\x00"])
def test_what_is_no_zone_has_no_name(name: str) -> None:
    assert zone_name(name) is None


DAYS = [
    ("every monday", {1}),
    ("on sundays", {0}),
    ("mondays", {1}),
    ("mon, wed and fri", {1, 3, 5}),
    ("mon/wed/fri", {1, 3, 5}),
    ("mon & thu", {1, 4}),
    ("monday-friday", {1, 2, 3, 4, 5}),
    ("monday to thursday", {1, 2, 3, 4}),
    ("friday through monday", {5, 6, 0, 1}),
    ("tuesday until thursday", {2, 3, 4}),
    ("every weekday", set(WORKDAYS)),
    ("each business day", set(WORKDAYS)),
    ("on working days", set(WORKDAYS)),
    ("on weekdays", set(WORKDAYS)),
    ("every weekend", set(WEEKEND)),
    ("on weekends", set(WEEKEND)),
    ("weekly on tuesdays", {2}),
    ("every thurs", {4}),
    ("every tues at 9", {2}),
]


@pytest.mark.parametrize(("text", "days"), DAYS, ids=[text for text, _ in DAYS])
def test_the_days_of_the_week_are_read(text: str, days: set[int]) -> None:
    assert calendar(text).days == days


@pytest.mark.parametrize(
    "text",
    [
        "sunny places",
        "the friday report",
        "the monday.com board",
        "wednesbury",
        "due by friday",
        "since last monday",
        "for next tuesday",
        "the end of sunday",
        "a satellite",
        "sat on the mat",
        "married at sun down",
    ],
)
def test_a_day_that_is_only_talked_about_is_no_schedule(text: str) -> None:
    assert calendar(text).days == set()


UNITS = [
    ("every minute", "minute", 1),
    ("every 5 mins", "minute", 5),
    ("every five minutes", "minute", 5),
    ("every 5-minute", "minute", 5),
    ("every half hour", "minute", 30),
    ("every quarter of an hour", "minute", 15),
    ("every hour", "hour", 1),
    ("every 3h", "hour", 3),
    ("every other hour", "hour", 2),
    ("every couple of hours", "hour", 2),
    ("every hour and a half", "minute", 90),
    ("every one and a half hours", "minute", 90),
    ("every 3.5 hours", "minute", 210),
    ("every day", "day", 1),
    ("everyday", "day", 1),
    ("daily", "day", 1),
    ("every other day", "day", 2),
    ("every second day", "day", 2),
    ("every 2nd day", "day", 2),
    ("every third day", "day", 3),
    ("every 3rd day", "day", 3),
    ("every tenth day", "day", 10),
    ("every night", "day", 1),
    ("every week", "week", 1),
    ("weekly", "week", 1),
    ("every other week", "week", 2),
    ("biweekly", "week", 2),
    ("fortnightly", "week", 2),
    ("every fortnight", "week", 2),
    ("every 3 weeks", "week", 3),
    ("every fourth week", "week", 4),
    ("every month", "month", 1),
    ("monthly", "month", 1),
    ("every two months", "month", 2),
    ("bimonthly", "month", 2),
    ("every quarter", "quarter", 1),
    ("quarterly", "quarter", 1),
    ("every year", "year", 1),
    ("annually", "year", 1),
    ("yearly", "year", 1),
    ("each hour", "hour", 1),
    ("evrey day", "day", 1),
]


@pytest.mark.parametrize(("text", "unit", "every"), UNITS, ids=[text for text, _, _ in UNITS])
def test_how_often_is_read(text: str, unit: str, every: int) -> None:
    found = calendar(text)
    assert (found.unit, found.every) == (unit, every)


@pytest.mark.parametrize(
    "text",
    [
        "every time it happens",
        "every row",
        "every new order",
        "each customer",
        "every one of them",
        "at most every hour",
        "no more than every 5 minutes",
        "every 0 minutes",
        "every -3 hours",
        "every 99999 minutes",
        "the daily active users",
        "a daily limit of 5",
        "not every day",
    ],
)
def test_what_is_no_rhythm_has_no_unit(text: str) -> None:
    found = calendar(text)
    assert not (found.unit and found.strong)


PER = [
    ("twice a day", "day", 2),
    ("two times a day", "day", 2),
    ("three times per day", "day", 3),
    ("3x a day", "day", 3),
    ("once a week", "week", 1),
    ("twice a week", "week", 2),
    ("once per hour", "hour", 1),
    ("four times an hour", "hour", 4),
    ("once a month", "month", 1),
    ("once a year", "year", 1),
    ("thrice a day", "day", 3),
]


@pytest.mark.parametrize(("text", "unit", "count"), PER, ids=[text for text, _, _ in PER])
def test_how_many_times_is_read(text: str, unit: str, count: int) -> None:
    found = calendar(text)
    assert (found.unit, found.times_per) == (unit, count)


@pytest.mark.parametrize("limit", ["at most", "no more than", "not more than", "max", "up to", "only"])
def test_a_limit_is_no_rhythm(limit: str) -> None:
    assert calendar(f"{limit} once a day").is_empty


NTH = [
    ("first monday of the month", [(1, 1)]),
    ("second tuesday of each month", [(2, 2)]),
    ("3rd friday of every month", [(3, 5)]),
    ("fifth sunday of the month", [(5, 0)]),
    ("last thursday of the month", [(-1, 4)]),
    ("final wednesday of every month", [(-1, 3)]),
    ("first and third monday of the month", [(1, 1), (3, 1)]),
    ("2nd & 4th saturday of each month", [(2, 6), (4, 6)]),
    ("last business day of the month", [(-1, BUSINESS_DAY)]),
    ("first working day of each month", [(1, BUSINESS_DAY)]),
    ("last weekday of the month", [(-1, BUSINESS_DAY)]),
    ("last day of the month", [(-1, ANY_DAY)]),
    ("first day of the month", [(1, ANY_DAY)]),
    ("end of the month", [(-1, ANY_DAY)]),
    ("month-end", [(-1, ANY_DAY)]),
    ("last day of february", [(-1, ANY_DAY)]),
    ("first monday of every quarter", [(1, 1)]),
]


@pytest.mark.parametrize(("text", "nth"), NTH, ids=[text for text, _ in NTH])
def test_the_nth_day_of_the_month_is_read(text: str, nth: list[tuple[int, int]]) -> None:
    assert calendar(text).nth == nth


MONTHDAYS = [
    ("on the 1st of each month", [1], []),
    ("on the 1st and 15th of every month", [1, 15], []),
    ("every month on the 5th, 10th and 20th", [5, 10, 20], []),
    ("on day 7 of the month", [7], []),
    ("on the 10th", [10], []),
    ("on march 3", [3], [3]),
    ("on 3 march", [3], [3]),
    ("on the 3rd of march", [3], [3]),
    ("on sept. 9", [9], [9]),
    ("every 24th of december", [24], [12]),
    ("on christmas eve", [24], [12]),
    ("on halloween", [31], [10]),
    ("on 2027-05-06", [6], [5]),
    ("on may 6, 2027", [6], [5]),
    ("on 6 may 2027", [6], [5]),
]


@pytest.mark.parametrize(("text", "days", "months"), MONTHDAYS, ids=[text for text, _, _ in MONTHDAYS])
def test_days_of_the_month_and_dates_are_read(text: str, days: list[int], months: list[int]) -> None:
    found = calendar(text)
    assert (found.monthdays, found.months) == (days, months)
    assert found.problems == []


@pytest.mark.parametrize(
    "text",
    ["the 3rd attempt", "for the 10th customer", "the 2nd time", "1st row", "the 5th step", "the 3rd party"],
)
def test_an_ordinal_of_something_else_is_no_day(text: str) -> None:
    assert calendar(text).monthdays == []


@pytest.mark.parametrize("year", [2026, 2027, 2028, 2099])
def test_29_february_exists_in_leap_years_only(year: int) -> None:
    problems = calendar(f"on {year}-02-29").problems
    assert bool(problems) is (year != 2028)


WINDOWS = [
    ("every hour between 9 and 17", (9, 17), None),
    ("every 10 minutes from 8am to 6pm", (8, 18), None),
    ("hourly during business hours", (9, 17), None),
    ("every 5 minutes within office hours", (9, 17), None),
    ("every 30 minutes from 8:30 to 17:30", (8, 17), (510, 1050)),
    ("every 15 minutes after 18:00", (18, 24), None),
    ("hourly before noon", (0, 12), None),
    ("hourly until 12:30", (0, 12), (0, 750)),
    ("every hour", None, None),
    ("every day between 9 and 17", None, None),
]


@pytest.mark.parametrize(("text", "window", "bounds"), WINDOWS, ids=[text for text, _, _ in WINDOWS])
def test_the_hours_within_which_it_repeats_are_read(
    text: str, window: tuple[int, int] | None, bounds: tuple[int, int] | None
) -> None:
    found = calendar(text)
    assert (found.window, found.bounds) == (window, bounds)


ONCE = [
    "tomorrow",
    "tonight",
    "later today",
    "next monday",
    "next week",
    "in 5 minutes",
    "in an hour",
    "in three days",
    "this afternoon",
    "this weekend",
    "next weekend",
]


@pytest.mark.parametrize("text", ONCE)
def test_a_single_moment_is_kept_in_words_and_never_repeated(text: str) -> None:
    schedule = read_schedule(f"{text} remind me")
    assert schedule is not None
    assert schedule.once is not None
    assert text in schedule.once
    assert (schedule.cron, schedule.rrule, schedule.interval_s) == (None, None, None)


@pytest.mark.parametrize(
    "text",
    [
        "if nobody answers in 3 days",
        "when it is due tomorrow",
        "what expires next week",
        "until tomorrow",
        "not tonight",
        "the price drops in an hour",
        "events that start in 10 minutes",
    ],
)
def test_a_moment_inside_a_condition_is_no_run(text: str) -> None:
    schedule = read_schedule(text)
    assert schedule is None or schedule.once is None


words = st.sampled_from(
    ["every", "day", "at", "9", "monday", "last", "of", "month", "and", "the", "31st", "february", "quarter",
     "except", "noon", "5", "minutes", "between", "17:30", "utc+2", "other", "week", "evening", "first", ","]
)  # fmt: skip


@settings(max_examples=300, deadline=None)
@given(st.lists(words, max_size=12).map(" ".join))
def test_any_words_of_time_give_one_kind_of_schedule_or_a_reason(text: str) -> None:
    schedule = read_schedule(text)
    if schedule is None:
        return
    kinds = [schedule.cron, schedule.rrule, schedule.interval_s, schedule.once]
    given_ = sum(kind is not None for kind in kinds)
    assert given_ == 1 or (given_ == 0 and schedule.problems)
    assert all(0 <= start <= end <= len(text) for start, end in schedule.spans)


@settings(max_examples=300, deadline=None)
@given(st.lists(words, max_size=12).map(" ".join))
def test_any_cron_or_rule_is_one_prefect_can_read(text: str) -> None:
    from dateutil.rrule import rrulestr
    from prefect._vendor.croniter import croniter

    schedule = read_schedule(text) or Schedule()
    if schedule.cron is not None:
        assert croniter.is_valid(schedule.cron)
        assert len(schedule.cron.split()) == 5
    if schedule.rrule is not None:
        assert rrulestr(schedule.rrule)
    if schedule.interval_s is not None:
        assert schedule.interval_s > 0
