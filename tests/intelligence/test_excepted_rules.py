"""A cron expression as a rule, and both without what is left out, by the moments they fire."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest
from dateutil.rrule import rrulestr
from hypothesis import given, settings
from hypothesis import strategies as st
from prefect._vendor.croniter import croniter

from prefect_autopilot.intelligence.excepted_rules import is_one_cron, rule_of, rule_without, without
from prefect_autopilot.intelligence.exceptions import Exceptions, read_exceptions

START = "DTSTART:20240101T000000"
FIRST = datetime(2027, 1, 1)  # noqa: DTZ001 - times are compared within one zone
LAST = FIRST + timedelta(days=366)


def of_cron(cron: str) -> set[datetime]:
    times = croniter(cron, FIRST - timedelta(seconds=1))
    found: set[datetime] = set()
    while (at := times.get_next(datetime)) <= LAST:
        found.add(at)
    return found


def of_rule(rule: str) -> set[datetime]:
    return set(rrulestr(rule).between(FIRST, LAST, inc=True))


CRONS = [
    "0 9 * * *",
    "30 7 * * 1-5",
    "0 9,17 * * *",
    "*/20 8-18 * * 1-5",
    "0 8-18/2 * * *",
    "0 12 1,15 * *",
    "0 18 L * *",
    "0 18 L 3,6,9,12 *",
    "0 9 * 6-8 *",
    "0 10 * * 1#1",
    "0 14 * * 2#2,2#4",
    "0 17 * * L5",
    "0 0 29 2 *",
    "15 */6 * */2 0",
]


@pytest.mark.parametrize("cron", CRONS)
def test_a_cron_expression_and_its_rule_fire_at_the_same_moments(cron: str) -> None:
    assert of_rule(rule_of(cron, START)) == of_cron(cron)


@pytest.mark.parametrize("cron", CRONS)
def test_a_rule_without_christmas_fires_at_all_other_moments(cron: str) -> None:
    left_out = Exceptions("", dates=[(12, 25)])
    assert not is_one_cron(cron, left_out)
    found = of_rule(rule_without(rule_of(cron, START), left_out))
    assert found == {at for at in of_cron(cron) if (at.month, at.day) != (12, 25)}


@settings(max_examples=12, deadline=None)
@given(
    days=st.sets(st.integers(0, 6), max_size=5),
    months=st.sets(st.integers(1, 12), max_size=6),
    hours=st.sets(st.sampled_from([8, 9, 12, 17]), max_size=3),
)
def test_a_cron_expression_leaves_out_days_months_and_hours(
    days: set[int], months: set[int], hours: set[int]
) -> None:
    left_out = Exceptions("", days=days, months=months, hours=hours)
    cron = without("0 9,12,17 * * *", left_out)
    kept = {
        at
        for at in of_cron("0 9,12,17 * * *")
        if at.isoweekday() % 7 not in days and at.month not in months and at.hour not in hours
    }
    assert (of_cron(cron) if cron else set()) == kept


@settings(max_examples=12, deadline=None)
@given(
    days=st.sets(st.integers(0, 6), max_size=5),
    months=st.sets(st.integers(1, 12), max_size=6),
    hours=st.sets(st.sampled_from([9, 12, 17]), max_size=2),
    dates=st.lists(st.tuples(st.integers(1, 12), st.integers(1, 28)), max_size=3),
)
def test_a_rule_leaves_out_the_same(
    days: set[int], months: set[int], hours: set[int], dates: list[tuple[int, int]]
) -> None:
    left_out = Exceptions("", days=days, months=months, hours=hours, dates=dates)
    cron = "30 9,12,17 * * *"
    found = of_rule(rule_without(rule_of(cron, START), left_out))
    assert found == {
        at
        for at in of_cron(cron)
        if at.isoweekday() % 7 not in days
        and at.month not in months
        and at.hour not in hours
        and (at.month, at.day) not in dates
    }


@pytest.mark.parametrize(
    ("cron", "left_out", "is_one"),
    [
        ("0 9 * * *", Exceptions("", days={0}), True),
        ("0 9 1 * *", Exceptions("", days={0}), False),
        ("0 9 * * 1#1", Exceptions("", days={0}), False),
        ("0 9 1 * *", Exceptions("", months={8}), True),
        ("0 9 * * 1", Exceptions("", nth=[(1, 1)]), False),
        ("0 9 * * *", Exceptions("", monthdays=[1]), False),
        ("0 9 * * *", Exceptions("", hours={9}), True),
    ],
    ids=["days", "days of a month", "the n-th day", "months", "but the n-th", "but the 1st", "hours"],
)
def test_what_a_cron_expression_can_leave_out(cron: str, left_out: Exceptions, is_one: bool) -> None:  # noqa: FBT001 - a row of the table
    assert is_one_cron(cron, left_out) is is_one


@pytest.mark.parametrize(
    ("cron", "left_out"),
    [
        ("0 9 * * *", Exceptions("", hours={9})),
        ("0 9 * * 1", Exceptions("", days={1})),
        ("0 9 * 8 *", Exceptions("", months={8})),
        ("0 9 * * *", Exceptions("", times={(9, 0)})),
    ],
)
def test_nothing_left_is_no_cron_expression(cron: str, left_out: Exceptions) -> None:
    assert without(cron, left_out) is None


@pytest.mark.parametrize(
    ("text", "attribute", "value"),
    [
        ("except mondays", "days", {1}),
        ("but not on mondays or tuesdays", "days", {1, 2}),
        ("excluding weekends", "days", {0, 6}),
        ("no weekdays", "days", {1, 2, 3, 4, 5}),
        ("besides sat and sun", "days", {0, 6}),
        ("except from friday to monday", "days", {5, 6, 0, 1}),
        ("skip july and august", "months", {7, 8}),
        ("except november to january", "months", {11, 12, 1}),
        ("only in march", "months", set(range(1, 13)) - {3}),
        ("every day in june", "months", set(range(1, 13)) - {6}),
        ("except christmas eve", "dates", [(12, 24)]),
        ("except 24 december and jan 1st", "dates", [(12, 24), (1, 1)]),
        ("without the 13th", "monthdays", [13]),
        ("except the last day of the month", "monthdays", [-1]),
        ("except the second tuesday", "nth", [(2, 2)]),
        ("except between 22:00 and 6:00", "hours", {22, 23, 0, 1, 2, 3, 4, 5}),
        ("not before 8am", "hours", set(range(8))),
        ("not after 8pm", "hours", {20, 21, 22, 23}),
        ("but not at 5pm", "times", {(17, 0)}),
    ],
)
def test_an_exception_is_read_and_taken_out_of_the_text(text: str, attribute: str, value: object) -> None:
    found = read_exceptions(text)
    assert getattr(found, attribute) == value
    assert found.text.replace("every day", "").strip() == ""
    assert len(found.text) == len(text)


@pytest.mark.parametrize(
    "text",
    [
        "not slack",
        "without duplicates",
        "no 5",
        "except urgent ones",
        "not more than 3",
        "skip the intro",
        "first monday in june",
        "the orders made in june",
        "monday through friday",
        "from monday to friday",
        "until noon",
    ],
)
def test_other_words_are_no_exception_of_a_schedule(text: str) -> None:
    found = read_exceptions(text)
    assert (found.text, found.spans, found.is_empty, found.ends) == (text, [], True, [])
