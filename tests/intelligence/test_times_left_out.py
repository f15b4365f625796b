"""What a schedule leaves out: days, dates, months, hours, and what no schedule can say."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta

import pytest
from dateutil.rrule import rrulestr
from prefect._vendor.croniter import croniter
from prefect.server.schemas.schedules import RRuleSchedule

from prefect_autopilot.intelligence import analyze
from prefect_autopilot.intelligence.schedule import Schedule, read_schedule
from prefect_autopilot.models import RequestContext
from prefect_autopilot.services import load_catalogue

FIRST = datetime(2027, 1, 1)  # noqa: DTZ001 - times are compared within one zone
LAST = FIRST + timedelta(days=400)


def fires(schedule: Schedule) -> set[datetime]:
    if schedule.rrule:
        return set(rrulestr(schedule.rrule).between(FIRST, LAST, inc=True))
    times = croniter(str(schedule.cron), FIRST - timedelta(seconds=1))
    found: set[datetime] = set()
    while (at := times.get_next(datetime)) <= LAST:
        found.add(at)
    return found


def days(keeps: Callable[[datetime], bool], *hours: int) -> set[datetime]:
    every = (FIRST + timedelta(days=n, hours=hour) for n in range(401) for hour in hours)
    return {at for at in every if keeps(at) and at <= LAST}


@pytest.mark.parametrize(
    ("text", "keeps"),
    [
        ("every day at 9 except monday", lambda d: d.weekday() != 0),
        ("every day at 9 except for weekends", lambda d: d.weekday() < 5),
        ("weekdays at 9 except tuesday and thursday", lambda d: d.weekday() in {0, 2, 4}),
        ("every day apart from sundays at 9", lambda d: d.weekday() != 6),
        ("every day other than friday at 9", lambda d: d.weekday() != 4),
        ("every weekday at 9 but never on fridays", lambda d: d.weekday() < 4),
        ("daily at 9, no weekends", lambda d: d.weekday() < 5),
        ("every day at 9 unless it's a weekend", lambda d: d.weekday() < 5),
        ("every day at 9 except friday to sunday", lambda d: d.weekday() < 4),
        ("every day at 9 but not on christmas", lambda d: (d.month, d.day) != (12, 25)),
        ("daily at 9 except new year's day or march 3rd", lambda d: (d.month, d.day) not in {(1, 1), (3, 3)}),
        ("daily at 9, but not on our party (july 7)", lambda d: (d.month, d.day) != (7, 7)),
        ("every day at 9 except on the 24th of december", lambda d: (d.month, d.day) != (12, 24)),
        ("weekdays at 9, skip august", lambda d: d.weekday() < 5 and d.month != 8),
        ("every day at 9 except june to august", lambda d: d.month not in {6, 7, 8}),
        ("every day at 9, only in january and may", lambda d: d.month in {1, 5}),
        ("every day at 9 from november to february", lambda d: d.month in {11, 12, 1, 2}),
        ("every day at 9 except the 1st", lambda d: d.day != 1),
        ("every monday at 9 except the first monday of the month", lambda d: d.weekday() == 0 and d.day > 7),
        ("on the 1st of the month at 9 unless it's a weekend", lambda d: d.day == 1 and d.weekday() < 5),
        ("on the last friday of the month at 9 except in december", None),
    ],
)
def test_a_schedule_fires_on_the_days_that_are_left(
    text: str, keeps: Callable[[datetime], bool] | None
) -> None:
    schedule = read_schedule(text)
    assert schedule is not None
    assert schedule.problems == ()
    if keeps is None:
        assert {at.month for at in fires(schedule)} == set(range(1, 12))
        assert all(at.weekday() == 4 for at in fires(schedule))
    else:
        assert fires(schedule) == days(keeps, 9)


@pytest.mark.parametrize(
    ("text", "hours"),
    [
        ("every hour except between midnight and 6am", range(6, 24)),
        ("every hour but not at night", range(6, 22)),
        ("every hour except from 12 to 2pm", [*range(12), *range(14, 24)]),
        ("every hour but not before 8am", range(8, 24)),
        ("every hour but not after 18:00", range(18)),
        ("every hour from 9 to 17 except at noon", [9, 10, 11, 13, 14, 15, 16, 17]),
    ],
)
def test_hours_are_left_out(text: str, hours: range | list[int]) -> None:
    schedule = read_schedule(text)
    assert schedule is not None
    assert fires(schedule) == days(lambda _: True, *hours)


def test_an_interval_that_leaves_days_out_keeps_to_the_rest() -> None:
    schedule = read_schedule("every 45 minutes on weekdays")
    assert schedule is not None
    found = fires(schedule)
    assert {at.weekday() for at in found} == set(range(5))
    assert len([at for at in found if at.date() == datetime(2027, 1, 4).date()]) == 32  # noqa: DTZ001


@pytest.mark.parametrize(
    "text",
    [
        "every weekday at 9 except holidays",
        "on weekdays at 9 (not on bank holidays)",
        "every weekday at 9 until the end of june",
        "starting next monday, every day at 9",
        "every day at 9 for the next two weeks",
        "every hour except between 8:30 and 9",
    ],
)
def test_what_no_schedule_says_is_asked(text: str) -> None:
    schedule = read_schedule(text)
    assert schedule is not None
    assert len(schedule.unsaid) == 1
    analysis = analyze(f"{text} post the jira issues to slack", RequestContext(), load_catalogue())
    assert analysis.status == "clarify"
    [start, end] = schedule.unsaid[0]
    assert any(text[start:end].strip(" ,()") in question.text for question in analysis.questions)


@pytest.mark.parametrize(
    "text",
    ["every day at 9am and not at 9am", "every weekday at 9 except weekdays", "every day, not every day"],
)
def test_a_schedule_that_leaves_everything_out_is_a_problem_or_none(text: str) -> None:
    schedule = read_schedule(text)
    assert schedule is None or schedule.problems or schedule.cron == "0 9 * * *"


@pytest.mark.parametrize(
    "text",
    [
        "every monday at 9 list the events for the next two weeks",
        "every monday at 9 post the orders made in january",
        "every monday at 9 send the report from march 3rd",
        "every monday at 9 post no 5",
    ],
)
def test_what_is_said_of_things_leaves_nothing_out(text: str) -> None:
    schedule = read_schedule(text)
    assert schedule is not None
    assert (schedule.cron, schedule.unsaid) == ("0 9 * * 1", ())


def test_a_date_that_does_not_exist_is_a_problem() -> None:
    schedule = read_schedule("every day at 9 except february 31")
    assert schedule is not None
    assert schedule.problems


async def test_prefect_fires_on_the_days_that_are_left() -> None:
    schedule = read_schedule("every day at 9 but not on christmas")
    assert schedule is not None
    known = RRuleSchedule(rrule=str(schedule.rrule), timezone="Europe/Berlin")
    start = datetime.fromisoformat("2026-12-24T00:00:00+01:00")
    assert [f"{at:%m-%d %H}" for at in await known.get_dates(n=2, start=start)] == ["12-24 09", "12-26 09"]
