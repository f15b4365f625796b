"""Schedules in plain English: what fires, in which zone, what is proposed, what is refused."""

from __future__ import annotations

import pytest

from prefect_autopilot.intelligence.clock import find_times, find_zone
from prefect_autopilot.intelligence.schedule import Schedule, read_schedule

CRONS = [
    ("every day at 7", "0 7 * * *"),
    ("each day at 7:15", "15 7 * * *"),
    ("daily at 6pm", "0 18 * * *"),
    ("daily: 18.45 is no time without at, so at 18.45", "45 18 * * *"),
    ("at noon every day", "0 12 * * *"),
    ("every midnight, at midnight", "0 0 * * *"),
    ("every weekday at 8am", "0 8 * * 1-5"),
    ("on weekdays at 17:05", "5 17 * * 1-5"),
    ("every business day at 9", "0 9 * * 1-5"),
    ("on weekends at 10", "0 10 * * 0,6"),
    ("every monday at 9am", "0 9 * * 1"),
    ("mondays at 9am", "0 9 * * 1"),
    ("every tuesday and thursday at 15:30", "30 15 * * 2,4"),
    ("tue, thu and sat at 6am", "0 6 * * 2,4,6"),
    ("monday to thursday at 10", "0 10 * * 1-4"),
    ("mon-fri 8:00", "0 8 * * 1-5"),
    ("from friday to sunday at 20:00", "0 20 * * 0,5,6"),
    ("every day except sunday at 5pm", "0 17 * * 1-6"),
    ("weekdays except wednesdays at 11", "0 11 * * 1,2,4,5"),
    ("every day but not on weekends at 7am", "0 7 * * 1-5"),
    ("twice a day at 6:00 and 18:00", "0 6,18 * * *"),
    ("at 9, 12 and 17 every day", "0 9,12,17 * * *"),
    ("three times a day: 8:30, 12:30 and 16:30", "30 8,12,16 * * *"),
    ("half past six every morning", "30 6 * * *"),
    ("at quarter past ten each day", "15 10 * * *"),
    ("quarter to nine pm on sundays", "45 20 * * 0"),
    ("at five o'clock in the afternoon every friday", "0 17 * * 5"),
    ("every day at 8 in the evening", "0 20 * * *"),
    ("at 12am daily", "0 0 * * *"),
    ("at 12pm daily", "0 12 * * *"),
    ("every day 18:00", "0 18 * * *"),
    ("each day 7:30", "30 7 * * *"),
    ("every day 9am", "0 9 * * *"),
    ("every month on day 18 at 7:00", "0 7 18 * *"),
    ("hourly on the half hour", "30 * * * *"),
    ("every hour at 15 past", "15 * * * *"),
    ("at quarter past every hour", "15 * * * *"),
    ("every hour at five to", "55 * * * *"),
    ("every 5 minutes", "*/5 * * * *"),
    ("every minute", "* * * * *"),
    ("every half hour", "*/30 * * * *"),
    ("every quarter of an hour", "*/15 * * * *"),
    ("each hour", "0 * * * *"),
    ("hourly", "0 * * * *"),
    ("every 2 hours", "0 */2 * * *"),
    ("every six hours", "0 */6 * * *"),
    ("every 60 minutes", "0 * * * *"),
    ("every 15 min between 8 and 18 on weekdays", "*/15 8-17 * * 1-5"),
    ("every 10 minutes from 9am to 5pm", "*/10 9-16 * * *"),
    ("hourly between 8am and 6pm", "0 8-18 * * *"),
    ("every 2 hours from 10:00 until 20:00", "0 10-20/2 * * *"),
    ("every 30 minutes during business hours on weekdays", "*/30 9-16 * * 1-5"),
    ("on the 1st of every month at 6am", "0 6 1 * *"),
    ("on the 5th and 20th of each month at 14:00", "0 14 5,20 * *"),
    ("every month on the 10th at 8:00", "0 8 10 * *"),
    ("the 28th of the month at noon", "0 12 28 * *"),
    ("on the last day of the month at 23:00", "0 23 L * *"),
    ("at month end at 17:00", "0 17 L * *"),
    ("first monday of the month at 9", "0 9 * * 1#1"),
    ("every second wednesday of the month at 10:00", "0 10 * * 3#2"),
    ("on the fourth friday of each month at 4pm", "0 16 * * 5#4"),
    ("the last friday of every month at 17:00", "0 17 * * L5"),
    ("first and third tuesday of every month at 8:30", "30 8 * * 2#1,2#3"),
    ("every 3 months on the 1st at 9:00", "0 9 1 */3 *"),
    ("quarterly at 8am", "0 8 1 1,4,7,10 *"),
    ("every year on march 3 at 10:00", "0 10 3 3 *"),
    ("on 24 december at 18:00", "0 18 24 12 *"),
    ("on halloween at 20:00", "0 20 31 10 *"),
    ("every january and july 15 at 9:00", "0 9 15 7 *"),
    ("evry day at 9", "0 9 * * *"),
]


@pytest.mark.parametrize(("text", "cron"), CRONS, ids=[text for text, _ in CRONS])
def test_a_schedule_becomes_a_five_field_cron(text: str, cron: str) -> None:
    read = read_schedule(text)
    assert read is not None
    assert read.cron == cron
    assert read.rrule is None
    assert read.interval_s is None
    assert len(cron.split()) == 5


PROPOSED = [
    ("every morning", "0 8 * * *"),
    ("every evening", "0 18 * * *"),
    ("every night", "0 2 * * *"),
    ("nightly", "0 2 * * *"),
    ("every day", "0 9 * * *"),
    ("twice a day", "0 8,20 * * *"),
    ("every week", "0 9 * * 1"),
    ("every friday", "0 9 * * 5"),
    ("every weekday morning", "0 8 * * 1-5"),
    ("every month", "0 9 1 * *"),
    ("a weekly report", "0 9 * * 1"),
    ("every quarter", "0 9 1 1,4,7,10 *"),
]


@pytest.mark.parametrize(("text", "cron"), PROPOSED, ids=[text for text, _ in PROPOSED])
def test_a_time_nobody_said_is_proposed_and_named_as_a_proposal(text: str, cron: str) -> None:
    read = read_schedule(text)
    assert read is not None
    assert read.cron == cron
    assert any("proposed" in line for line in read.proposed)


def test_a_time_that_was_said_is_no_proposal() -> None:
    read = read_schedule("every friday at 16:20")
    assert read is not None
    assert read.proposed == ()


RULES = [
    ("every other tuesday at 9:00", ["FREQ=WEEKLY", "INTERVAL=2", "BYDAY=TU", "BYHOUR=9"]),
    ("every two weeks on monday at 10", ["FREQ=WEEKLY", "INTERVAL=2", "BYDAY=MO", "BYHOUR=10"]),
    ("biweekly on friday at 3pm", ["FREQ=WEEKLY", "INTERVAL=2", "BYDAY=FR", "BYHOUR=15"]),
    ("every other day at 6:30", ["FREQ=DAILY", "INTERVAL=2", "BYHOUR=6", "BYMINUTE=30"]),
    ("every 10 days at 7am", ["FREQ=DAILY", "INTERVAL=10", "BYHOUR=7"]),
    ("every 5 months at 7am", ["FREQ=MONTHLY", "INTERVAL=5", "BYMONTHDAY=1"]),
    ("last business day of the month at 16:00", ["FREQ=MONTHLY", "BYDAY=MO,TU,WE,TH,FR", "BYSETPOS=-1"]),
    ("first working day of every month at 7:45", ["FREQ=MONTHLY", "BYDAY=MO,TU,WE,TH,FR", "BYSETPOS=1"]),
    ("every day at 8:15 and 17:30", ["FREQ=DAILY", "BYHOUR=8,17", "BYMINUTE=15,30", "BYSETPOS=1,4"]),
]


@pytest.mark.parametrize(("text", "parts"), RULES, ids=[text for text, _ in RULES])
def test_what_no_cron_can_count_becomes_a_recurrence_rule(text: str, parts: list[str]) -> None:
    read = read_schedule(text)
    assert read is not None
    assert read.cron is None
    assert read.rrule is not None
    assert set(parts) <= set(read.rrule.partition("RRULE:")[2].split(";"))
    assert "BYSECOND=0" in read.rrule


@pytest.mark.parametrize("text", [text for text, _ in RULES])
def test_every_rule_fires_when_dateutil_reads_it(text: str) -> None:
    from dateutil.rrule import rrulestr

    read = read_schedule(text)
    assert read is not None
    assert read.rrule is not None
    fires = list(rrulestr(read.rrule).xafter(rrulestr(read.rrule)[0], count=5))
    assert len(fires) == 5
    assert all(moment.second == 0 for moment in fires)


def test_two_times_with_different_minutes_fire_twice_a_day_and_not_four_times() -> None:
    from datetime import datetime

    from dateutil.rrule import rrulestr

    read = read_schedule("every day at 8:15 and 17:30")
    assert read is not None
    assert read.rrule is not None
    rule = rrulestr(read.rrule)
    day = rule.between(datetime(2026, 5, 4), datetime(2026, 5, 5))  # noqa: DTZ001 - a naive rule
    assert [(m.hour, m.minute) for m in day] == [(8, 15), (17, 30)]


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("every 45 minutes", 2700),
        ("every 90 minutes", 5400),
        ("every 7 hours", 25_200),
        ("every 30 seconds", 30),
    ],
)
def test_an_interval_that_does_not_divide_the_hour_or_day_stays_an_interval(text: str, seconds: int) -> None:
    read = read_schedule(text)
    assert read is not None
    assert read.interval_s == seconds
    assert read.cron is None


def test_a_date_with_a_year_fires_once() -> None:
    read = read_schedule("on 3 may 2027 at 10:30")
    assert read is not None
    assert read.rrule == "DTSTART:20270503T103000\nRRULE:FREQ=DAILY;COUNT=1"


@pytest.mark.parametrize("text", ["in 3 days nudge me", "tomorrow at 9", "tonight", "next monday"])
def test_a_single_moment_relative_to_now_is_no_schedule(text: str) -> None:
    read = read_schedule(text)
    assert read is not None
    assert read.once
    assert (read.cron, read.rrule, read.interval_s) == (None, None, None)


@pytest.mark.parametrize(
    "text",
    [
        "at 25:10 every day",
        "every day at 9:75",
        "on the 34th of every month",
        "on february 30 at 9:00",
        "on 31 april at 10",
    ],
)
def test_a_time_or_date_that_does_not_exist_is_a_problem_and_never_a_cron(text: str) -> None:
    read = read_schedule(text)
    assert read is not None
    assert read.problems
    assert (read.cron, read.rrule, read.interval_s) == (None, None, None)


NO_SCHEDULES = [
    "copy new rows to the warehouse",
    "the last 7 days of orders",
    "invoices that are 30 days overdue",
    "though at most once an hour",
    "at most once a day",
    "within 24h of the order",
    "reply in under 2 hours of work",
    "every time a form is sent",
    "for each new row",
    "5 items, 3 rows and 12 columns",
    "when it is over $500",
    "send it to room 12",
    "may the best team win",
    "sunny places",
    "we have 3 teams",
]


@pytest.mark.parametrize("text", NO_SCHEDULES)
def test_numbers_and_durations_are_no_schedules(text: str) -> None:
    read = read_schedule(text)
    assert read is None or (read.cron is None and read.rrule is None and read.interval_s is None)


ZONES = [
    ("at 9 in berlin time", "Europe/Berlin"),
    ("at 6:45 tokyo time", "Asia/Tokyo"),
    ("8am new york time", "America/New_York"),
    ("6am pst daily", "America/Los_Angeles"),
    ("at 7am et", "America/New_York"),
    ("daily at 10:00 utc", "UTC"),
    ("midnight gmt", "Etc/GMT"),
    ("at 12:00 cet", "Europe/Berlin"),
    ("at 5pm (ist)", "Asia/Kolkata"),
    ("every friday 4pm london", "Europe/London"),
    ("at 9 australia/sydney", "Australia/Sydney"),
    ("at 8:00 america/new_york", "America/New_York"),
    ("at 8:00 sydney", "Australia/Sydney"),
    ("every day at 6 são paulo time", "America/Sao_Paulo"),
]


@pytest.mark.parametrize(("text", "zone"), ZONES, ids=[text for text, _ in ZONES])
def test_a_zone_is_read_from_a_city_an_abbreviation_or_its_name(text: str, zone: str) -> None:
    read = read_schedule(text)
    assert read is not None
    assert read.timezone == zone


@pytest.mark.parametrize(
    "text",
    [
        "tell the london office when a deal is won",
        "at 9 send the paris report",
        "every day post the chicago weather",
        "at 9 open mars/olympus",
    ],
)
def test_a_city_that_is_no_zone_sets_none(text: str) -> None:
    assert (read_schedule(text) or Schedule()).timezone is None


@pytest.mark.parametrize(
    ("text", "times"),
    [
        ("at 8", [(8, 0)]),
        ("@ 8", [(8, 0)]),
        ("8:05", [(8, 5)]),
        ("8h30", [(8, 30)]),
        ("14h", [(14, 0)]),
        ("1pm and 3pm", [(13, 0), (15, 0)]),
        ("between 2 and 5 pm", [(14, 0), (17, 0)]),
        ("at ten past four", [(4, 10)]),
        ("chapter 8", []),
        ("8%", []),
        ("at 8 items", [(8, 0)]),
        ("at 8 percent", []),
        ("http://x.io:8080", []),
    ],
)
def test_times_of_day_are_told_from_numbers(text: str, times: list[tuple[int, int]]) -> None:
    assert [(t.hour, t.minute) for t in find_times(text)] == times


def test_no_time_means_no_zone_for_a_bare_city() -> None:
    assert find_zone("the berlin office", []) is None


def test_a_schedule_knows_where_it_was_read() -> None:
    text = "please do it every monday at 9 and not later"
    read = read_schedule(text)
    assert read is not None
    first, last = read.spans[0][0], read.spans[-1][1]
    assert text[first:last].strip() == "every monday at 9"


@pytest.mark.parametrize(
    ("text", "zone"),
    [
        ("at 9am and 5pm on workdays in new york", "America/New_York"),
        ("every morning in singapore", "Asia/Singapore"),
        ("at 6pm every day in sydney", "Australia/Sydney"),
        ("every monday at noon, in paris", "Europe/Paris"),
        ("daily in london", "Europe/London"),
        ("post the weather in berlin every morning", None),
        ("every morning post the weather in berlin", None),
        ("at 9 tell our people in berlin", None),
    ],
)
def test_a_city_is_a_zone_where_it_stands_by_the_time_and_a_place_elsewhere(
    text: str, zone: str | None
) -> None:
    schedule = read_schedule(text)
    assert schedule is not None
    assert schedule.timezone == zone


def test_a_time_that_decides_starts_nothing() -> None:
    assert read_schedule("text me if it's after 10pm") is None
    assert read_schedule("post new orders unless it is before 7:00") is None
    windowed = read_schedule("every hour, but only after 6pm")
    assert windowed is not None
