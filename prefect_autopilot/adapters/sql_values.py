"""Values of a database as JSON values, and JSON values as what a column takes."""

from __future__ import annotations

import base64
import datetime as dt
import math
from collections.abc import Iterable, Sequence
from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING, Any
from uuid import UUID

from prefect_autopilot.errors import UsageError
from prefect_autopilot.models import JSONDict

if TYPE_CHECKING:
    from sqlalchemy import Column


def rows_read(names: Iterable[str], rows: Iterable[Sequence[Any]]) -> list[JSONDict]:
    """Return the rows by column name; raises UsageError where two columns have one name."""
    columns = list(names)
    if len(set(columns)) < len(columns):
        twice = next(name for name in columns if columns.count(name) > 1)
        msg = f"The statement answers two columns named {twice!r}; give one another name with AS."
        raise UsageError(msg)
    return [dict(zip(columns, map(plain, row), strict=True)) for row in rows]


def plain(value: Any) -> Any:
    """Return a JSON value: moments in ISO 8601, bytes in base64, decimals as numbers if nothing is lost."""
    if isinstance(value, dict):
        return {str(name): plain(held) for name, held in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [plain(held) for held in value]
    return _scalar(value)


def _scalar(value: Any) -> bool | int | float | str | None:
    shown: bool | int | float | str | None
    match value:
        case None | bool() | int() | str():
            shown = value
        case float():
            shown = value if math.isfinite(value) else str(value)
        case Decimal():
            shown = _number(value)
        case dt.datetime() | dt.date() | dt.time():
            shown = value.isoformat()
        case dt.timedelta():
            shown = value.total_seconds()
        case bytes() | bytearray() | memoryview():
            shown = base64.b64encode(bytes(value)).decode("ascii")
        case _:
            shown = str(value)
    return shown


def _number(value: Decimal) -> int | float | str:
    if not value.is_finite():
        return str(value)
    if value == value.to_integral_value() and value.as_tuple().exponent == 0:
        return int(value)
    return float(value) if Decimal(repr(float(value))) == value else str(value)


def for_column(column: Column[Any], value: Any) -> Any:
    """Return what the driver wants for a JSON value of this column; raises UsageError naming the column."""
    try:
        wanted = column.type.python_type
    except NotImplementedError:
        return value
    if not isinstance(value, (str, int, float)) or isinstance(value, (bool, wanted)):
        return value
    try:
        return _converted(value, wanted)
    except (ValueError, InvalidOperation, TypeError):
        msg = f"The column {column.name!r} takes no {value!r}; it wants a value of type {wanted.__name__}."
        raise UsageError(msg) from None


def _converted(value: str | float, wanted: type[Any]) -> Any:
    if wanted in (dt.datetime, dt.date, dt.time):
        return wanted.fromisoformat(value)
    if wanted is bytes:
        return base64.b64decode(str(value), validate=True)
    if wanted in (Decimal, UUID):
        return wanted(str(value))
    return wanted(value) if wanted in (int, float, str) else value
