"""Batches: JSON Lines in, JSON Lines out, one row for one row in the same order.

A row that cannot be read or judged becomes ``{"id": …, "error": …}`` and the batch goes on; a file that
cannot be read is a usage error. The output appears whole or not at all.
"""

from __future__ import annotations

import errno
import json
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import TypeVar

from prefect_autopilot.cli.last_resort import explain
from prefect_autopilot.errors import AutopilotError, OutputError, UsageError
from prefect_autopilot.models import JSONDict

Judge = Callable[[Sequence[JSONDict]], Iterable[JSONDict]]
Result = TypeVar("Result")
_STREAM = Path("-")
_DISK = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO})
"""Nothing is wrong with what was asked: the disk is full or broken."""


def run_batch(source: Path | None, target: Path | None, judge: Judge) -> int:
    """Judge every row of ``source`` and write ``target`` ("-": standard streams); return the exit code."""
    if source is None or target is None:
        raise UsageError("A batch needs both --batch IN and --output OUT.")
    if str(source).startswith("--") or str(target).startswith("--"):
        raise UsageError("A batch needs a file after --batch and after --output.")
    if target != _STREAM and not target.parent.is_dir():
        raise UsageError(f"The folder of {target} does not exist; create it first.")
    rows = read_rows(source)
    write_rows(target, answer(rows, judge))
    return 0


def answer(rows: Sequence[JSONDict], judge: Judge) -> list[JSONDict]:
    """Return one answer for each row: the judge's, or the reading error the row already carries.

    Raises ``ValueError`` when the judge answers fewer or more rows than it was given.
    """
    sound = [row for row in rows if not isinstance(row, Unreadable)]
    answers = list(judge(sound))
    if len(answers) != len(sound):
        raise ValueError(f"{len(answers)} answers for {len(sound)} rows")
    remaining = iter(answers)
    return [dict(row) if isinstance(row, Unreadable) else next(remaining) for row in rows]


def one_by_one(rows: Iterable[JSONDict], judge: Callable[[JSONDict], JSONDict]) -> Iterator[JSONDict]:
    """Answer each row by itself, with its id; what goes wrong with one is its answer."""
    for row in rows:
        yield {"id": row.get("id"), **guarded(judge, row)}


def guarded(judge: Callable[[Result], JSONDict], row: Result) -> JSONDict:
    """Return the judge's answer, or ``{"error": …}``; of what nobody foresaw the log has the details."""
    try:
        return judge(row)
    except AutopilotError as error:
        return {"error": error.message}
    except Exception as error:  # noqa: BLE001 - one row must not cost the others their answers
        return {"error": explain(error)}


class Unreadable(dict[str, object]):
    """A row that could not be read; it is its own answer."""


def read_rows(source: Path) -> list[JSONDict]:
    """Read JSON Lines; blank lines are no rows.

    Raises ``UsageError`` if the file cannot be read, or is a binary file of which no line can.
    """
    try:
        data = sys.stdin.buffer.read() if source == _STREAM else source.read_bytes()
    except OSError as error:
        raise UsageError(f"Cannot read {source}: {error.strerror}; name a JSON Lines file.") from error
    lines = data.removeprefix(b"\xef\xbb\xbf").split(b"\n")
    rows = [_row(number, line) for number, line in enumerate(lines, start=1) if line.strip()]
    if b"\0" in data and all(isinstance(row, Unreadable) for row in rows):
        raise UsageError(f"{source} is a binary file; name a JSON Lines file.")
    return rows


def _row(number: int, line: bytes) -> JSONDict:
    try:
        row = json.loads(line, parse_constant=_null)
    except UnicodeDecodeError:
        return Unreadable(id=None, error=f"Line {number} is not UTF-8.")
    except RecursionError:
        return Unreadable(id=None, error=f"Line {number} is nested too deeply.")
    except ValueError as error:
        return Unreadable(id=None, error=f"Line {number} is not JSON: {error}.")
    if not isinstance(row, dict):
        return Unreadable(id=None, error=f"Line {number} is not a JSON object.")
    return row


def write_rows(target: Path, rows: Iterable[JSONDict]) -> None:
    """Write JSON Lines so that ``target`` is either the whole output or what it was before.

    Raises ``UsageError`` if the place cannot be written, ``OutputError`` if the disk is full or broken.
    """
    lines = (_line(row) for row in rows)
    if target == _STREAM:
        sys.stdout.buffer.writelines(lines)
        return
    try:
        if target.exists() and not target.is_file():
            # A device or a pipe has nothing to keep and must not be replaced by a file.
            with target.open("wb") as stream:
                stream.writelines(lines)
        else:
            _replace(target.resolve(), lines)
    except OSError as error:
        said = f"Cannot write {target}: {error.strerror}"
        if error.errno in _DISK:
            raise OutputError(f"{said}; make room or name another --output.", permanent=False) from error
        raise UsageError(f"{said}; name another --output.") from error


def _replace(target: Path, lines: Iterable[bytes]) -> None:
    part = target.with_name(f".{target.name}.{os.getpid()}.part")
    try:
        with part.open("wb") as stream:
            stream.writelines(lines)
        part.replace(target)
    finally:
        part.unlink(missing_ok=True)


def _line(row: JSONDict) -> bytes:
    try:
        return f"{json.dumps(row, ensure_ascii=False)}\n".encode()
    except UnicodeEncodeError:  # a lone surrogate cannot be UTF-8, its escape can
        return f"{json.dumps(row)}\n".encode("ascii")


def _null(_constant: str) -> None:
    """Read NaN and the infinities, which JSON does not know, as null."""
