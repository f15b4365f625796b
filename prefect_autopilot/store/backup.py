"""Copies of the SQLite store: taken while it is in use, put back while nobody works with it."""

from __future__ import annotations

import asyncio
import os
import sqlite3
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

from sqlalchemy import select, update
from sqlalchemy.engine import make_url

from prefect_autopilot.errors import ConflictError, StoreError, UsageError
from prefect_autopilot.store import tables
from prefect_autopilot.store.database import Database
from prefect_autopilot.store.schema import VERSION_TABLE

_BUSY_S = 10.0


async def backup(url: str, target: Path) -> int:
    """Copy the SQLite store into a new file only its owner can read; return the number of its rows.

    Others may go on working with the store. Raises UsageError for another kind of database or a file that
    exists, StoreError where there is no store or the copy cannot be made; then no file is left.
    """
    source = _file_of(url)
    if not source.exists():
        raise StoreError(f"There is no store at {source}; check PREFECT_AUTOPILOT_STORE_URL.")
    return await asyncio.to_thread(_copied_anew, source, target)


async def restore(url: str, source: Path, now: datetime) -> Path | None:
    """Put a backup in place of the SQLite store; return the copy of what was there, None where nothing was.

    Raises ConflictError while anybody holds a lease of the store, UsageError or StoreError where the file is
    no whole backup of a store; then the store is as it was.
    """
    target = _file_of(url)
    await asyncio.to_thread(_check, source)
    if await asyncio.to_thread(_are_same, source, target):
        raise UsageError(f"{source} is the store itself; name a backup of it.")
    kept, tokens = None, {}
    if target.exists():
        tokens = await _tokens(url, now)
        kept = target.with_name(f"{target.name}.before-{now:%Y%m%dT%H%M%SZ}")
        await asyncio.to_thread(_copied_anew, target, kept)
    else:
        target.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        os.close(os.open(target, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))
    await asyncio.to_thread(_copied, source, target)
    await _fence_off(url, tokens)
    return kept


def _are_same(one: Path, other: Path) -> bool:
    return other.exists() and one.samefile(other)


def _file_of(url: str) -> Path:
    parsed = make_url(url)
    if parsed.get_backend_name() != "sqlite":
        raise UsageError("Only an SQLite store is copied here; use pg_dump and pg_restore for PostgreSQL.")
    if parsed.database in {None, "", ":memory:"}:
        raise UsageError("The store is in memory only; there is nothing to copy.")
    return Path(str(parsed.database))


def _copied_anew(source: Path, target: Path) -> int:
    try:
        os.close(os.open(target, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))
    except FileExistsError:
        raise UsageError(f"{target} exists; name a file that does not.") from None
    except OSError as error:
        raise StoreError(f"The file {target} cannot be created: {error.strerror}; choose another.") from error
    done = False
    try:
        _copied(source, target)
        with closing(sqlite3.connect(target)) as copy:
            # One file to carry away: with a write-ahead log, even reading would put two others beside it.
            copy.execute("PRAGMA journal_mode = DELETE")
        rows = _check(target)
        done = True
    finally:
        if not done:
            target.unlink()
    return rows


def _copied(source: Path, target: Path) -> None:
    try:
        with (
            closing(sqlite3.connect(source, timeout=_BUSY_S)) as reading,
            closing(sqlite3.connect(target, timeout=_BUSY_S)) as writing,
        ):
            reading.backup(writing)
    except sqlite3.Error as error:
        raise StoreError(
            f"{source} could not be copied to {target} ({error}); make room, or try again when nobody writes."
        ) from error


def _check(file: Path) -> int:
    """Return the number of rows of a whole store; raises UsageError or StoreError for anything else."""
    if not file.is_file():
        raise UsageError(f"There is no file {file}; name a backup.")
    try:
        with closing(sqlite3.connect(f"{file.absolute().as_uri()}?mode=ro", uri=True)) as opened:
            found = opened.execute("PRAGMA integrity_check(1)").fetchone()[0]
            names = {name for (name,) in opened.execute("SELECT name FROM sqlite_master WHERE type='table'")}
            if VERSION_TABLE not in names:
                raise UsageError(f"{file} is no store of prefect-autopilot; name a backup of one.")
            if found != "ok":
                raise StoreError(f"{file} is damaged ({found}); use another backup.")
            counted = (
                opened.execute(f'SELECT count(*) FROM "{name}"').fetchone()[0]  # noqa: S608  # its own names
                for name in names
            )
            return sum(counted)
    except sqlite3.Error as error:
        raise StoreError(f"{file} is damaged or no database ({error}); use another backup.") from error


async def _tokens(url: str, now: datetime) -> dict[str, int]:
    """Return the fencing token of each lease; raises ConflictError while one of them is held."""
    lease = tables.leases.c
    database = await Database.open(url, busy_timeout_s=_BUSY_S)
    try:
        async with database.read() as connection:
            rows = (await connection.execute(select(lease.name, lease.token, lease.expires_at))).all()
    finally:
        await database.close()
    if held := sorted(row.name for row in rows if row.expires_at > now):
        raise ConflictError(f"Somebody works with the store ({', '.join(held)}); stop watcher and API first.")
    return {row.name: row.token for row in rows}


async def _fence_off(url: str, tokens: dict[str, int]) -> None:
    """Bring the restored store to this version, and its fencing tokens beyond all that were ever given."""
    lease = tables.leases
    database = await Database.open(url, busy_timeout_s=_BUSY_S)
    try:
        async with database.write() as connection:
            for name, token in tokens.items():
                raised = update(lease).where(lease.c.name == name, lease.c.token < token).values(token=token)
                await connection.execute(raised)
                await connection.execute(
                    database.insert(lease)
                    .values(name=name, holder="", token=token, expires_at=datetime.fromtimestamp(0, UTC))
                    .on_conflict_do_nothing()
                )
    finally:
        await database.close()
