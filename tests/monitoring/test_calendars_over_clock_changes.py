"""Schedules against an enumeration of our own, minute by minute, and against Prefect's own planner."""

from __future__ import annotations

import random
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest

from prefect_autopilot.errors import UsageError
from prefect_autopilot.models import JSONDict
from prefect_autopilot.monitoring.calendars import next_fire, zone_of
from prefect_autopilot.monitoring.cron import parse_cron
from prefect_autopilot.monitoring.punctuality import ScheduleChannel
from prefect_autopilot.monitoring.sample import Sample

CHANGES = {
    "Europe/Berlin": ("2026-03-29", "2026-10-25"),
    "America/New_York": ("2026-03-08", "2026-11-01"),
    "Australia/Lord_Howe": ("2026-04-05", "2026-10-04"),
    "America/Santiago": ("2026-04-05", "2026-09-06"),
    "Africa/Cairo": ("2026-04-24", "2026-10-30"),
    "Atlantic/Azores": ("2026-03-29", "2026-10-25"),
}
DAYS_OF_CHANGE = [(zone, day) for zone, days in CHANGES.items() for day in days]
DAY = 86_400.0


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def fires(schedule: JSONDict, begin: datetime, end: datetime) -> list[datetime]:
    step = next_fire(schedule)
    assert step is not None
    found: list[datetime] = []
    t: float | None = begin.timestamp() - 1
    while (t := step(t)) is not None and t < end.timestamp():
        found.append(datetime.fromtimestamp(t, UTC))
    return found


def enumerated(
    zone: str, begin: datetime, end: datetime, wanted: Callable[[datetime], bool]
) -> list[datetime]:
    """Every minute of the time whose wall clock fits, the second pass of a repeated hour left out."""
    found = []
    now = begin
    while now < end:
        local = now.astimezone(ZoneInfo(zone))
        if not local.fold and wanted(local):
            found.append(now)
        now += timedelta(minutes=1)
    return found


CRONS: dict[str, Callable[[datetime], bool]] = {
    "0 9 * * *": lambda t: (t.hour, t.minute) == (9, 0),
    "*/15 * * * *": lambda t: t.minute % 15 == 0,
    "0 * * * *": lambda t: t.minute == 0,
    "30 12 * * 1-5": lambda t: (t.hour, t.minute) == (12, 30) and t.weekday() < 5,
    "0 6,18 * * *": lambda t: t.hour in {6, 18} and t.minute == 0,
    "45 23 * * sun": lambda t: (t.hour, t.minute) == (23, 45) and t.weekday() == 6,
}


@pytest.mark.parametrize(("zone", "day"), DAYS_OF_CHANGE)
@pytest.mark.parametrize("cron", CRONS)
def test_cron_fires_at_its_wall_clock_times_around_a_change_of_clocks(cron: str, zone: str, day: str) -> None:
    begin, end = at(day) - timedelta(days=2), at(day) + timedelta(days=2)
    assert fires({"cron": cron, "timezone": zone}, begin, end) == enumerated(zone, begin, end, CRONS[cron])


@pytest.mark.parametrize("zone", ["UTC", "Asia/Kolkata", "Asia/Kathmandu", "America/Phoenix"])
@pytest.mark.parametrize("cron", CRONS)
def test_cron_fires_at_its_wall_clock_times_where_clocks_never_change(cron: str, zone: str) -> None:
    begin, end = at("2026-02-26"), at("2026-03-05")
    assert fires({"cron": cron, "timezone": zone}, begin, end) == enumerated(zone, begin, end, CRONS[cron])


# Prefect itself loses its way where the clocks change by half an hour.
@pytest.mark.parametrize(("zone", "day"), [one for one in DAYS_OF_CHANGE if one[0] != "Australia/Lord_Howe"])
def test_cron_agrees_with_the_planner_of_prefect(zone: str, day: str) -> None:
    from prefect.server.schemas.schedules import CronSchedule

    begin, end = at(day) - timedelta(days=2), at(day) + timedelta(days=2)
    for cron in ("0 9 * * *", "0 * * * *", "*/30 * * * *", "15 4,16 * * *"):
        planned = CronSchedule(cron=cron, timezone=zone)._get_dates_generator(n=400, start=begin, end=end)
        expected = [datetime.fromtimestamp(one.timestamp(), UTC) for one in planned]
        assert fires({"cron": cron, "timezone": zone}, begin, end) == [one for one in expected if one < end]


@pytest.mark.parametrize("zone", ["UTC", "Europe/Berlin", "America/New_York"])
@pytest.mark.parametrize(
    "rule",
    [
        "FREQ=WEEKLY;BYDAY=TU,FR;BYHOUR=6;BYMINUTE=0;BYSECOND=0",
        "FREQ=MONTHLY;BYDAY=-1FR;BYHOUR=12;BYMINUTE=0;BYSECOND=0",
        "DTSTART:20260101T093000\nRRULE:FREQ=DAILY;INTERVAL=3",
        "DTSTART:20260101T093000Z\nRRULE:FREQ=DAILY;INTERVAL=3",
    ],
    ids=["weekly", "last friday", "every third day", "a start with a zone"],
)
def test_rules_agree_with_the_planner_of_prefect(zone: str, rule: str) -> None:
    from prefect.server.schemas.schedules import RRuleSchedule

    begin, end = at("2026-03-05"), at("2026-04-19")
    planned = RRuleSchedule(rrule=rule, timezone=zone)._get_dates_generator(n=400, start=begin, end=end)
    expected = [datetime.fromtimestamp(one.timestamp(), UTC) for one in planned]
    assert fires({"rrule": rule, "timezone": zone}, begin, end) == expected != []


def test_a_rule_that_is_over_fires_no_more() -> None:
    step = next_fire({"rrule": "DTSTART:20260101T000000\nRRULE:FREQ=DAILY;COUNT=3"})
    assert step is not None
    assert step(at("2026-01-02T12:00").timestamp()) == at("2026-01-03").timestamp()
    assert step(at("2026-01-03").timestamp()) is None


@pytest.mark.parametrize("interval", [60, 900, 3600, 5400, 36 * 3600, 90_000])
@pytest.mark.parametrize("zone", ["UTC", "Europe/Berlin", "America/New_York"])
def test_intervals_below_or_beside_whole_days_are_elapsed_time(zone: str, interval: int) -> None:
    anchor = at("2026-01-03T05:30")
    begin = at("2026-03-28T12:00")
    schedule = {"interval": interval, "anchor_date": anchor.isoformat(), "timezone": zone}
    found = fires(schedule, begin, begin + timedelta(seconds=20 * interval))
    assert len(found) == 20
    assert all((one - anchor).total_seconds() % interval == 0 for one in found)
    assert {later - earlier for earlier, later in pairwise(found)} == {timedelta(seconds=interval)}


@pytest.mark.parametrize("days", [1, 2, 7])
@pytest.mark.parametrize(("zone", "day"), DAYS_OF_CHANGE)
def test_intervals_of_days_are_never_due_before_prefect_runs_them(zone: str, day: str, days: int) -> None:
    anchor = at("2026-01-03T05:30")
    schedule = {"interval": days * DAY, "anchor_date": anchor.isoformat(), "timezone": zone}
    begin, end = at(day) - timedelta(days=3 * days), at(day) + timedelta(days=3 * days)
    wall = anchor.astimezone(ZoneInfo(zone)).replace(tzinfo=None)
    for fire in fires(schedule, begin, end):
        count = round((fire - anchor).total_seconds() / (days * DAY))
        on_the_wall = (wall + timedelta(days=days * count)).replace(tzinfo=ZoneInfo(zone)).astimezone(UTC)
        elapsed = anchor + timedelta(days=days * count)
        assert fire == max(on_the_wall, elapsed)


@pytest.mark.parametrize("seed", range(5))
def test_a_fire_is_always_later_than_the_moment_asked_for(seed: int) -> None:
    rng = random.Random(seed)
    for _ in range(60):
        zone = rng.choice([*CHANGES, "UTC", "Asia/Kolkata"])
        schedule = rng.choice(
            [
                {"cron": f"{rng.randrange(60)} {rng.randrange(24)} * * *"},
                {"cron": f"*/{rng.randrange(1, 30)} * * * *"},
                {
                    "interval": rng.choice([60, 3600, 86_400, 7 * 86_400]),
                    "anchor_date": "2026-01-01T02:30:00Z",
                },
                {"rrule": f"FREQ=DAILY;BYHOUR={rng.randrange(24)};BYMINUTE=30;BYSECOND=0"},
            ]
        )
        step = next_fire(schedule | {"timezone": zone})
        assert step is not None
        moment = at("2026-01-01").timestamp() + rng.uniform(0, 365 * DAY)
        fire = step(moment)
        assert fire is not None
        assert fire > moment
        between = moment + (fire - moment) * rng.uniform(0, 0.999)
        assert step(between) is not None
        assert step(between) >= fire  # type: ignore[operator]


@pytest.mark.parametrize(
    ("cron", "either", "both"),
    [("0 0 13 * 5", "2026-03-06", "2026-03-13"), ("0 0 1 * 1", "2026-03-09", "2026-06-01")],
)
def test_days_of_month_and_week_meet_as_the_schedule_says(cron: str, either: str, both: str) -> None:
    after = at("2026-03-02T00:00").timestamp()
    for more, expected in (({}, either), ({"day_or": True}, either), ({"day_or": False}, both)):
        step = next_fire({"cron": cron} | more)
        assert step is not None
        assert step(after) == at(expected).timestamp()


@pytest.mark.parametrize(
    ("expression", "weekdays"),
    [
        ("0 0 * * mon-sun", {0, 1, 2, 3, 4, 5, 6}),
        ("0 0 * * fri-sun", {5, 6, 0}),
        ("0 0 * * 5-7", {5, 6, 0}),
        ("0 0 * * 5-0", {5, 6, 0}),
        ("0 0 * * sun-tue", {0, 1, 2}),
        ("0 0 * * 0-0", {0}),
        ("0 0 * * 0", {0}),
        ("0 0 * * 7", {0}),
        ("0 0 * * 0,7", {0}),
        ("0 0 * * */2", {0, 2, 4, 6}),
        ("0 0 * * ?", {0, 1, 2, 3, 4, 5, 6}),
    ],
)
def test_a_week_is_read_from_either_end(expression: str, weekdays: set[int]) -> None:
    assert parse_cron(expression).weekdays == weekdays


@pytest.mark.parametrize(
    "expression",
    ["mon * * * *", "* jan * * *", "* * * 13 *", "* * 32 * *", "* * * foo *", "* * * * monkey", "* * * * 8",
     "1-70 * * * *", ", * * * *", "-5 * * * *", "5- * * * *", "*/x * * * *", "*/-1 * * * *", "0 0 L * *",
     "0 0 * * 5#2", "@sometimes", "* * * * * *", "fri-mon * * * *"],
)  # fmt: skip
def test_an_expression_that_is_no_cron_is_refused_with_its_text(expression: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_cron(expression)
    assert caught.value.permanent
    assert expression in caught.value.message


@pytest.mark.parametrize(
    ("schedule", "about"),
    [
        ({"interval": "often"}, "not a number"),
        ({"interval": [60]}, "not a number"),
        ({"interval": float("nan")}, "above zero"),
        ({"interval": float("inf")}, "hundred years"),
        ({"interval": 1e15}, "hundred years"),
        ({"interval": 60, "anchor_date": "soon"}, "ISO-8601"),
        ({"interval": 60, "anchor_date": 12}, "ISO-8601"),
        ({"rrule": "FREQ=DAILY;BYHOUR=99"}, "recurrence rule"),
        ({"rrule": "every day"}, "recurrence rule"),
    ],
    ids=str,
)
def test_a_schedule_that_cannot_work_says_what_is_wrong(schedule: JSONDict, about: str) -> None:
    with pytest.raises(UsageError, match=about):
        next_fire(schedule)


@pytest.mark.parametrize(
    "name", ["Europe", "Mars/Olympus", "../etc/passwd", "/etc/passwd", "a" * 5000, "\0", 7]
)
def test_a_zone_that_is_none_is_refused_with_an_example(name: object) -> None:
    with pytest.raises(UsageError, match="Europe/Berlin"):
        zone_of({"timezone": name})


@pytest.mark.parametrize(
    "anchor", ["0001-01-01T00:00:00", "9999-12-31T23:59:59", "1969-12-31T00:00:00+00:00"]
)
@pytest.mark.parametrize("zone", ["America/New_York", "Asia/Tokyo"])
def test_an_anchor_at_the_ends_of_the_calendar_works(anchor: str, zone: str) -> None:
    step = next_fire({"interval": DAY, "anchor_date": anchor, "timezone": zone})
    assert step is not None
    now = at("2026-03-02").timestamp()
    assert now < (step(now) or 0) <= now + 2 * DAY


# --- the channel that follows them ------------------------------------------------------------------------


def scheduled(index: int, expected: float, *, late: float = 2.0, **more: object) -> Sample:
    fields: JSONDict = {"index": index, "start": expected + late, "expected": expected, "state": "COMPLETED"}
    return Sample(**fields | {"duration": 60.0} | more)


def walk(schedule: JSONDict | None, expected: list[float], **more: object) -> list[tuple[str, float]]:
    channel = ScheduleChannel(schedule)
    told = [
        (found.kind, found.score)
        for i, moment in enumerate(expected)
        for found in channel.observe(scheduled(i, moment, **more))
    ]
    last = expected[-1] if expected else 0.0
    return told + [(found.kind, found.score) for found in channel.waiting(last + 600, running=False)]


@pytest.mark.parametrize(("zone", "day"), DAYS_OF_CHANGE)
@pytest.mark.parametrize(
    "cron", ["30 2 * * *", "0 0 * * *", "0 9 * * *", "0 * * * *", "*/20 * * * *", "30 0 * * *"]
)
def test_what_prefect_plans_over_a_change_of_clocks_is_never_missed(cron: str, zone: str, day: str) -> None:
    from prefect.server.schemas.schedules import CronSchedule

    begin, end = at(day) - timedelta(days=4), at(day) + timedelta(days=4)
    planned = CronSchedule(cron=cron, timezone=zone)._get_dates_generator(n=900, start=begin, end=end)
    moments = sorted(one.timestamp() for one in planned)
    assert walk({"cron": cron, "timezone": zone}, moments) == []


@pytest.mark.parametrize("planned_ahead", [True, False])
@pytest.mark.parametrize("interval", [86_400, 2 * 86_400, 7 * 86_400])
@pytest.mark.parametrize(("zone", "day"), DAYS_OF_CHANGE)
def test_daily_intervals_are_not_missed_however_prefect_planned_them(
    zone: str,
    day: str,
    interval: int,
    planned_ahead: bool,  # noqa: FBT001 - a column of the table
) -> None:
    anchor = at("2026-01-03T05:30")
    wall = anchor.astimezone(ZoneInfo(zone)).replace(tzinfo=None)
    first = int((at(day) - anchor) / timedelta(seconds=interval)) - 4
    moments = [
        (wall + timedelta(seconds=interval * k)).replace(tzinfo=ZoneInfo(zone)).timestamp()
        if planned_ahead
        else anchor.timestamp() + interval * k
        for k in range(first, first + 9)
    ]
    schedule = {"interval": interval, "anchor_date": anchor.isoformat(), "timezone": zone}
    assert walk(schedule, moments) == []


HOURLY: JSONDict = {"interval": 3600, "anchor_date": "1970-01-01T00:00:00Z"}


@pytest.mark.parametrize(
    ("missing", "expected"),
    [
        (set(), []),
        ({20}, [("missed_schedule", 1.0)]),
        ({20, 21, 22}, [("missed_schedule", 3.0)]),
        ({20, 30}, [("missed_schedule", 1.0), ("missed_schedule", 1.0)]),
        (set(range(10, 34)), [("missed_schedule", 24.0)]),
    ],
    ids=["none", "one", "three in a row", "two apart", "a day"],
)
def test_runs_that_did_not_come_are_counted(missing: set[int], expected: list[tuple[str, float]]) -> None:
    moments = [3600.0 * i for i in range(60) if i not in missing]
    assert walk(HOURLY, moments) == expected


def test_two_fires_close_together_are_told_apart() -> None:
    twice = {"cron": "0 9,10 * * *"}
    moments = [DAY * day + hour * 3600 for day in range(6) for hour in (9, 10)]
    assert walk(twice, moments) == []
    assert walk(twice, [one for one in moments if one != 3 * DAY + 9 * 3600]) == [("missed_schedule", 1.0)]
    assert walk(twice, [one for one in moments if one != 3 * DAY + 10 * 3600]) == [("missed_schedule", 1.0)]


@pytest.mark.parametrize(
    ("late", "expected"), [(20.0, []), (600.0, []), (1000.0, ["late_run"]), (9000.0, ["late_run"])]
)
@pytest.mark.parametrize("before", [10, 60])
def test_a_late_start_is_told_beyond_a_quarter_of_an_hour(
    late: float, expected: list[str], before: int
) -> None:
    channel = ScheduleChannel(HOURLY)
    for i in range(before):
        assert list(channel.observe(scheduled(i, 3600.0 * i))) == []
    told = list(channel.observe(scheduled(before, 3600.0 * before, late=late)))
    assert [one.kind for one in told] == expected


@pytest.mark.parametrize("before", [0, 2, 9])
def test_before_ten_starts_are_known_no_run_is_late(before: int) -> None:
    channel = ScheduleChannel(HOURLY)
    for i in range(before):
        assert list(channel.observe(scheduled(i, 3600.0 * i))) == []
    assert list(channel.observe(scheduled(before, 3600.0 * before, late=3000.0))) == []


def test_a_deployment_that_is_always_late_is_left_alone() -> None:
    assert walk(HOURLY, [3600.0 * i for i in range(80)], late=1500.0) == []


def test_a_run_still_under_way_excuses_the_fires_it_covers() -> None:
    channel = ScheduleChannel(HOURLY)
    long = [scheduled(i, 3600.0 * i) for i in range(20)] + [scheduled(20, 72_000.0, duration=4.5 * 3600)]
    after = [scheduled(21 + i, 3600.0 * (25 + i)) for i in range(5)]
    assert [found for one in (*long, *after) for found in channel.observe(one)] == []


@pytest.mark.parametrize(("begin", "end", "expected"), [(20, 24, []), (20, 22, 2.0), (30, 40, 5.0)])
def test_a_pause_excuses_exactly_its_fires(begin: int, end: int, expected: object) -> None:
    channel = ScheduleChannel(HOURLY, [(3600.0 * begin, 3600.0 * end)])
    told = [
        found.score
        for i in range(60)
        if not 20 <= i <= 24
        for found in channel.observe(scheduled(i, 3600.0 * i))
    ]
    assert told == ([] if begin == 20 and end == 24 else [expected])


@pytest.mark.parametrize("running", [True, False])
def test_silence_is_told_unless_the_last_run_still_runs(running: bool) -> None:  # noqa: FBT001 - a column
    channel = ScheduleChannel(HOURLY)
    for i in range(20):
        list(channel.observe(scheduled(i, 3600.0 * i)))
    told = list(channel.waiting(3600.0 * 23, running=running))
    assert [one.score for one in told] == ([] if running else [3.0])


def test_a_minutely_schedule_that_slept_for_a_year_is_still_answered() -> None:
    channel = ScheduleChannel({"interval": 60, "anchor_date": "1970-01-01T00:00:00Z"})
    list(channel.observe(scheduled(0, 0.0)))
    (found,) = channel.waiting(365 * DAY, running=False)
    assert found.score == 10_000


def test_a_run_by_hand_between_the_fires_changes_nothing() -> None:
    moments = sorted([3600.0 * i for i in range(60)] + [3600.0 * i + 1800 for i in (10, 33)])
    assert walk(HOURLY, moments) == []


def test_without_a_schedule_only_lateness_is_judged() -> None:
    assert walk(None, [3600.0 * i for i in range(0, 60, 5)]) == []
    channel = ScheduleChannel(None)
    runs = [*(scheduled(i, 3600.0 * i) for i in range(20)), scheduled(20, 72_000.0, late=5000.0)]
    assert [found.kind for one in runs for found in channel.observe(one)] == ["late_run"]
