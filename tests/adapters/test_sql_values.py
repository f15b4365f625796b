"""Values between a database and JSON."""

from __future__ import annotations

import datetime as dt
import json
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import JSON, Column, Date, DateTime, Integer, LargeBinary, Numeric, String, Time, Uuid
from sqlalchemy.types import NullType

from prefect_autopilot.adapters.sql_values import for_column, plain, rows_read
from prefect_autopilot.errors import UsageError

KEY = UUID("12345678-1234-5678-1234-567812345678")


@pytest.mark.parametrize(
    ("held", "shown"),
    [
        pytest.param(None, None, id="null"),
        pytest.param(True, True, id="true"),
        pytest.param(Decimal(39), 39, id="whole decimal"),
        pytest.param(Decimal("39.00"), 39.0, id="decimal with places"),
        pytest.param(Decimal("0.1"), 0.1, id="tenth"),
        pytest.param(
            Decimal("12345678901234567890.12"), "12345678901234567890.12", id="too long for a float"
        ),
        pytest.param(Decimal("NaN"), "NaN", id="no number"),
        pytest.param(float("inf"), "inf", id="infinite"),
        pytest.param(dt.date(2026, 3, 2), "2026-03-02", id="date"),
        pytest.param(dt.datetime(2026, 3, 2, 8, tzinfo=dt.UTC), "2026-03-02T08:00:00+00:00", id="moment"),
        pytest.param(dt.time(8, 30), "08:30:00", id="time"),
        pytest.param(dt.timedelta(minutes=2), 120.0, id="duration in seconds"),
        pytest.param(b"\x00\xff", "AP8=", id="bytes"),
        pytest.param(memoryview(b"ab"), "YWI=", id="view of bytes"),
        pytest.param(KEY, str(KEY), id="uuid"),
        pytest.param({"a": [Decimal(1), {KEY: b"a"}]}, {"a": [1, {str(KEY): "YQ=="}]}, id="nested"),
        pytest.param((1, 2), [1, 2], id="tuple"),
    ],
)
def test_a_value_is_read_as_json(held: Any, shown: Any) -> None:
    assert plain(held) == shown
    assert type(plain(held)) is type(shown)


@given(st.decimals(allow_nan=False, allow_infinity=False, max_value=10**12, min_value=-(10**12)))
def test_no_decimal_loses_a_digit(value: Decimal) -> None:
    shown = plain(value)

    assert Decimal(shown if isinstance(shown, (str, int)) else repr(shown)) == value


@given(
    st.recursive(
        st.one_of(
            st.none(), st.floats(), st.binary(), st.datetimes(), st.decimals(), st.uuids(), st.timedeltas()
        ),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
        max_leaves=5,
    )
)
def test_whatever_a_driver_answers_can_be_stored_as_json(value: Any) -> None:
    json.dumps(plain(value), allow_nan=False)


@pytest.mark.parametrize(
    ("kind", "told", "wanted"),
    [
        pytest.param(DateTime(), "2026-03-02T08:00:00", dt.datetime(2026, 3, 2, 8), id="moment"),  # noqa: DTZ001  a column without a zone
        pytest.param(Date(), "2026-03-02", dt.date(2026, 3, 2), id="date"),
        pytest.param(Time(), "08:30", dt.time(8, 30), id="time"),
        pytest.param(Numeric(), 12.1, Decimal("12.1"), id="number for a decimal"),
        pytest.param(Numeric(), "12.10", Decimal("12.10"), id="text for a decimal"),
        pytest.param(Uuid(), str(KEY), KEY, id="uuid"),
        pytest.param(LargeBinary(), "AP8=", b"\x00\xff", id="bytes"),
        pytest.param(Integer(), "7", 7, id="text for an integer"),
        pytest.param(String(), 7, "7", id="number for a text"),
        pytest.param(String(), "x", "x", id="text"),
        pytest.param(JSON(), {"a": 1}, {"a": 1}, id="object"),
        pytest.param(Integer(), None, None, id="null"),
        pytest.param(NullType(), "x", "x", id="unknown type"),
    ],
)
def test_a_json_value_becomes_what_the_column_takes(kind: Any, told: Any, wanted: Any) -> None:
    assert for_column(Column("c", kind), told) == wanted


@pytest.mark.parametrize(
    ("kind", "told"),
    [
        pytest.param(DateTime(), "tomorrow", id="moment"),
        pytest.param(Date(), 7, id="date from a number"),
        pytest.param(Numeric(), "a lot", id="decimal"),
        pytest.param(Uuid(), "1234", id="uuid"),
        pytest.param(LargeBinary(), "no base64!", id="bytes"),
        pytest.param(Integer(), "seven", id="integer"),
    ],
)
def test_a_value_a_column_cannot_take_is_refused_with_its_name(kind: Any, told: Any) -> None:
    with pytest.raises(UsageError, match="'amount'"):
        for_column(Column("amount", kind), told)


def test_two_columns_of_one_name_are_not_silently_one() -> None:
    with pytest.raises(UsageError, match="'id'"):
        rows_read(["id", "id"], [(1, 2)])


def test_rows_keep_the_order_of_their_columns() -> None:
    assert [list(row) for row in rows_read(["b", "a"], [(1, 2)])] == [["b", "a"]]
