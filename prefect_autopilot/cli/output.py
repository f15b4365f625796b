"""What people and programs read: JSON on request, otherwise tables and lines."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeAlias

from cyclopts import Parameter

if TYPE_CHECKING:
    from pydantic import BaseModel

Flag: TypeAlias = Annotated[bool, Parameter(negative=(), show_default=False)]
JSONFlag: TypeAlias = Annotated[
    bool, Parameter(name="--json", negative=(), show_default=False, help="Print JSON.")
]

Stream: TypeAlias = Annotated[Path | None, Parameter(allow_leading_hyphen=True)]
"""A file, or "-" for a standard stream, which would otherwise pass for an option."""

# Texts of other people (log lines, service answers) must not steer the terminal.
_CONTROLS = dict.fromkeys((*range(32), *range(127, 160)), "�")
_PRINTABLE = _CONTROLS | {ord("\n"): "\n", ord("\t"): "\t"}


def printable(text: str) -> str:
    """Return ``text`` with control characters replaced, line breaks and tabs kept."""
    return text.translate(_PRINTABLE)


def write_line(text: str = "") -> None:
    """Write one line to the standard output."""
    sys.stdout.write(f"{printable(text)}\n")


def write_json(value: BaseModel | dict[str, Any] | Sequence[Any]) -> None:
    """Write ``value`` as indented JSON; models as their JSON form."""
    plain = _plain(value)
    sys.stdout.write(json.dumps(plain, ensure_ascii=False, indent=2, default=str) + "\n")


def write_table(title: str, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Write a table; cells are shown as they are, never read as markup."""
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, show_edge=False)
    for column in columns:
        table.add_column(column, overflow="fold")
    for row in rows:
        table.add_row(*(Text(printable(_cell(cell))) for cell in row))
    Console(file=sys.stdout, highlight=False, markup=False, emoji=False).print(table)


def _cell(value: object) -> str:
    if value is None:
        return ""
    return f"{value:.2f}" if isinstance(value, float) else str(value)


def _plain(value: object) -> object:
    if hasattr(value, "model_dump"):
        return value.model_dump(mode="json")
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value
