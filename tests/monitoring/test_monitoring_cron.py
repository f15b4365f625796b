from __future__ import annotations

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest

from prefect_autopilot.errors import UsageError
from prefect_autopilot.monitoring.calendars import next_fire, zone_of
from prefect_autopilot.monitoring.cron import parse_cron

BERLIN = ZoneInfo("Europe/Berlin")


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("expression", "after", "expected"),
    [
        ("* * * * *", "2026-03-02T03:00:30", "2026-03-02T03:01"),
        ("0 9 * * *", "2026-03-02T09:00", "2026-03-03T09:00"),
        ("*/15 * * * *", "2026-03-02T03:46", "2026-03-02T04:00"),
        ("5/20 * * * *", "2026-03-02T03:26", "2026-03-02T03:45"),
        ("0 9 * * 1-5", "2026-03-06T10:00", "2026-03-09T09:00"),
        ("0 9 * * MON,WED", "2026-03-02T10:00", "2026-03-04T09:00"),
        ("0 0 * * 7", "2026-03-02T00:00", "2026-03-08T00:00"),
        ("0 0 * * sun", "2026-03-02T00:00", "2026-03-08T00:00"),
        ("30 6 1 * *", "2026-03-02T00:00", "2026-04-01T06:30"),
        ("0 0 13 * 5", "2026-03-02T00:00", "2026-03-06T00:00"),
        ("0 0 29 2 *", "2026-03-02T00:00", "2028-02-29T00:00"),
        ("0 12 1 jan,jul *", "2026-03-02T00:00", "2026-07-01T12:00"),
        ("@daily", "2026-03-02T00:00", "2026-03-03T00:00"),
        ("@hourly", "2026-03-02T00:00", "2026-03-02T01:00"),
        ("0 22-23,1 * * *", "2026-03-02T23:30", "2026-03-03T01:00"),
    ],
)
def test_the_next_fire_is_the_first_one_after_the_moment(expression: str, after: str, expected: str) -> None:
    assert parse_cron(expression).after(at(after), ZoneInfo("UTC")) == at(expected)


def test_a_date_that_does_not_exist_never_fires() -> None:
    assert parse_cron("0 0 31 2 *").after(at("2026-03-02T00:00"), ZoneInfo("UTC")) is None


@pytest.mark.parametrize(
    ("after", "expected"),
    [
        ("2026-03-28T06:00", "2026-03-29T05:00"),
        ("2026-10-24T05:00", "2026-10-25T06:00"),
    ],
    ids=["to summer time", "to winter time"],
)
def test_seven_in_the_morning_stays_seven_when_the_clocks_change(after: str, expected: str) -> None:
    assert parse_cron("0 7 * * *").after(at(after), BERLIN) == at(expected)


def test_an_hour_that_is_skipped_is_not_waited_for() -> None:
    assert parse_cron("30 2 * * *").after(at("2026-03-28T12:00"), BERLIN) == at("2026-03-30T00:30")


@pytest.mark.parametrize(
    "expression",
    ["", "* * * *", "60 * * * *", "* 24 * * *", "a * * * *", "*/0 * * * *", "5-1 * * * *", "* * 0 * *"],
)
def test_a_wrong_expression_is_named(expression: str) -> None:
    with pytest.raises(UsageError, match="cron"):
        parse_cron(expression)


INTERVAL = {"interval": 5400, "anchor_date": "2026-03-02T00:15:00Z", "timezone": "UTC"}


@pytest.mark.parametrize(
    ("schedule", "after", "expected"),
    [
        (INTERVAL, "2026-03-02T00:15", "2026-03-02T01:45"),
        (INTERVAL, "2026-03-02T01:44:59", "2026-03-02T01:45"),
        (INTERVAL | {"interval": 86400.0}, "2026-03-05T00:15", "2026-03-06T00:15"),
        (
            {"interval": 86400, "anchor_date": "2026-03-02T08:00:00Z", "timezone": "Europe/Berlin"},
            "2026-03-28T08:00",
            "2026-03-29T08:00",
        ),
        (
            {"rrule": "FREQ=WEEKLY;BYDAY=TU;BYHOUR=6;BYMINUTE=0;BYSECOND=0"},
            "2026-03-02T00:00",
            "2026-03-03T06:00",
        ),
        ({"cron": "0 6 * * *", "timezone": "Europe/Berlin"}, "2026-03-02T00:00", "2026-03-02T05:00"),
    ],
    ids=[
        "interval",
        "just before",
        "days",
        "days over the change of clocks: the later of both",
        "rrule",
        "cron with zone",
    ],
)
def test_each_kind_of_schedule_knows_its_next_fire(
    schedule: dict[str, object], after: str, expected: str
) -> None:
    step = next_fire(schedule)
    assert step is not None
    assert step(at(after).timestamp()) == at(expected).timestamp()


@pytest.mark.parametrize("schedule", [None, {}, {"timezone": "UTC"}])
def test_no_schedule_has_no_fires(schedule: dict[str, object] | None) -> None:
    assert next_fire(schedule) is None


@pytest.mark.parametrize(
    "schedule",
    [{"interval": 0}, {"interval": -5}, {"interval": "often"}, {"rrule": "FREQ=SOMETIMES"},
     {"cron": "0 6 * * *", "timezone": "Mars/Olympus"}],
    ids=str,
)  # fmt: skip
def test_a_schedule_that_cannot_be_read_is_a_usage_error(schedule: dict[str, object]) -> None:
    with pytest.raises(UsageError):
        next_fire(schedule)


def test_a_schedule_without_a_zone_is_in_utc() -> None:
    assert zone_of(None).key == zone_of({"cron": "* * * * *", "timezone": None}).key == "UTC"
