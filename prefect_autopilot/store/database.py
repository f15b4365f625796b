"""One database behind SQLAlchemy: transactions that read or write, and errors a person can act on."""

from __future__ import annotations

import asyncio
import itertools
import os
import shutil
import sqlite3
from collections.abc import AsyncIterator, Iterable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any, Self, cast

from sqlalchemy import Connection, Table, event, inspect, text
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import URL, make_url
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.exc import ArgumentError, DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine
from sqlalchemy.pool import ConnectionPoolEntry

from prefect_autopilot.errors import ConfigurationError, StoreError
from prefect_autopilot.store.schema import migrate
from prefect_autopilot.store.tables import metadata

_DRIVERS = {
    "sqlite": "sqlite+aiosqlite",
    "postgresql": "postgresql+asyncpg",
    "postgres": "postgresql+asyncpg",
}
_WRITES = "autopilot_writes"
_WRITER_LOCK = 0x6175_746F  # any number that is ours: PostgreSQL's advisory locks are numbered

_LOOK_AGAIN_S = 0.02
ONE_PAGE = 4096
LEAST_FREE = 256 * 1024
"""Bytes below which a disk is as good as full: SQLite's two files beside the database grow by pages."""

# What the databases say, what a person should read; True where the same call can succeed later.
_CAUSES: tuple[tuple[tuple[str, ...], str, bool], ...] = (
    (("database is locked", "database table is locked"), "another process holds it; try again", True),
    (("disk is full", "no space left"), "the disk is full; make room", True),
    (
        ("readonly database", "read-only file system", "permission denied", "operation not permitted"),
        "it cannot be written; check the permissions of the file and its folder",
        False,
    ),
    (("unable to open database file",), "it cannot be opened; check the path and its permissions", False),
    (
        ("not a database", "malformed", "disk image", "unsupported file format"),
        "the file is damaged or no database; restore a backup or move it away",
        False,
    ),
    (
        ("no such table", "no such column"),
        "a part of it is missing; restore a backup or move it away",
        False,
    ),
    (("disk i/o error",), "the disk cannot be read or written; check it", True),
    (
        ("password authentication failed",),
        "the password is wrong; correct PREFECT_AUTOPILOT_STORE_URL",
        False,
    ),
    (("does not exist",), "a database, role or table is missing; create it", False),
    (
        ("connect", "connection", "timeout", "timed out"),
        "the server cannot be reached; check that it runs",
        True,
    ),
    (("deadlock", "could not serialize", "too many clients"), "the server is busy; try again", True),
)


_OBSERVERS = itertools.count()
_MANY_PAGES = 5_000
_MUCH = 0.25
"""Share of a file that may be free before it is written anew."""


class Database:
    """An engine with the two kinds of transaction there are."""

    def __init__(self, engine: AsyncEngine, url: URL) -> None:
        self.engine = engine
        self.name = _shown(url)
        self._path = None if url.get_backend_name() != "sqlite" or _in_memory(url) else str(url.database)
        self._writer = engine.execution_options(**{_WRITES: True})
        # One writer at a time in this process: waiting here is fair, SQLite's own waiting is not.
        self._turn = asyncio.Lock() if url.get_backend_name() == "sqlite" else None
        self._observer: sqlite3.Connection | None = None
        self._observed = 0

    @classmethod
    async def open(cls, url: str, *, busy_timeout_s: float) -> Self:
        """Connect, create what is missing and migrate; raises StoreError and leaves nothing half-made."""
        parsed = _parse(url)
        created = _create_file(parsed)
        engine = _engine(parsed, busy_timeout_s)
        database = cls(engine, parsed)
        async with AsyncExitStack() as undo:
            undo.callback(_remove_empty, created)
            undo.push_async_callback(engine.dispose)
            async with database._translated():
                await _keep_a_log(parsed, busy_timeout_s)
            async with database.write() as connection:
                await connection.run_sync(migrate)
            undo.pop_all()
        return database

    async def close(self) -> None:
        """Close every connection."""
        if self._observer is not None:
            self._observer.close()
            self._observer = None
        await self.engine.dispose()

    def mark(self) -> tuple[int, int] | None:
        """Return a value that changes with every commit by whoever; None where that cannot be told.

        Some microseconds: SQLite compares a counter in memory (PRAGMA data_version), for a connection that
        itself writes nothing. Raises nothing: who cannot be told reads.
        """
        if self._path is None:
            return None
        try:
            if self._observer is None:
                self._observer = sqlite3.connect(self._path, timeout=0, check_same_thread=False)
                self._observed = next(_OBSERVERS)
            found = self._observer.execute("PRAGMA data_version").fetchone()
        except sqlite3.Error:
            return None
        return self._observed, int(found[0])  # each connection counts for itself

    @asynccontextmanager
    async def read(self) -> AsyncIterator[AsyncConnection]:
        """Give a connection in a transaction that only reads."""
        async with self._translated(), self.engine.begin() as connection:
            yield connection

    @asynccontextmanager
    async def write(self) -> AsyncIterator[AsyncConnection]:
        """Give a connection in a transaction that writes: all or nothing, one writer at a time.

        So what is read first and written then (budgets, pauses, the chain of the audit) holds in both.
        """
        async with self._translated():
            if self._turn is None:
                async with self._writer.begin() as connection:
                    await connection.execute(text(f"SELECT pg_advisory_xact_lock({_WRITER_LOCK})"))
                    yield connection
            else:
                async with self._turn, self._writer.begin() as connection:
                    yield connection

    def insert(self, table: Table) -> postgresql.Insert:
        """Return an INSERT that knows ON CONFLICT; both dialects spell it alike."""
        dialect = sqlite if self.engine.dialect.name == "sqlite" else postgresql
        return cast("postgresql.Insert", dialect.insert(table))

    async def faults(self) -> tuple[str, ...]:
        """Return what is wrong with the database although it opens: missing tables, damaged pages."""
        async with self.read() as connection:
            there = await connection.run_sync(lambda one: set(inspect(one).get_table_names()))
            missing = sorted(set(metadata.tables) - there)
            damaged: list[str] = []
            if not self.is_postgresql:
                rows = await connection.exec_driver_sql("PRAGMA quick_check(5)")
                damaged = [str(row[0]) for row in rows if row[0] != "ok"]
        return (*(f"the table {name} is missing" for name in missing), *damaged)

    async def give_back(self) -> None:
        """Return the room of deleted rows to the file system where it is much; PostgreSQL does so by itself.

        Where another process reads or writes just then, the next time does it.
        """
        if self.is_postgresql or self._path is None:
            return
        async with self._translated():
            async with self.read() as connection:
                pages, free = [
                    (await connection.exec_driver_sql(f"PRAGMA {name}")).scalar_one()
                    for name in ("page_count", "freelist_count")
                ]
            if free > max(_MANY_PAGES, pages * _MUCH):
                await asyncio.to_thread(_vacuum, self._path)

    @property
    def is_postgresql(self) -> bool:
        """Tell whether rows and tables can be locked one by one."""
        return self.engine.dialect.name == "postgresql"

    @asynccontextmanager
    async def _translated(self) -> AsyncIterator[None]:
        try:
            yield
        except (DBAPIError, sqlite3.Error, PoolTimeoutError, OSError) as error:
            raise _explained(self.name, error) from error
        except UnicodeEncodeError as error:
            raise StoreError(
                "A text for the database holds a character that UTF-8 cannot write; correct it."
            ) from error


def _parse(url: str) -> URL:
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError):
        raise ConfigurationError(
            "The database URL cannot be read; write sqlite:///FILE or postgresql://USER:PASSWORD@HOST/NAME."
        ) from None
    backend = parsed.get_backend_name()
    if backend not in _DRIVERS:
        raise ConfigurationError(
            f"The database {backend} is not supported; use sqlite:///FILE or postgresql://USER:PASSWORD@HOST/NAME."
        )
    return parsed.set(drivername=_DRIVERS[backend])


def _shown(url: URL) -> str:
    return url.database or "in memory" if url.get_backend_name() == "sqlite" else url.render_as_string()


def _in_memory(url: URL) -> bool:
    return url.get_backend_name() == "sqlite" and url.database in {None, "", ":memory:"}


def _create_file(url: URL) -> Path | None:
    """Create SQLite's file, readable by its owner only, before SQLite does it with the usual mode."""
    if url.get_backend_name() != "sqlite" or _in_memory(url):
        return None
    path = Path(str(url.database))
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        existed = path.exists()
        if not existed:
            os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))
        # Opened once here: one that fails in the driver leaves a thread that outlives the event loop.
        sqlite3.connect(path).close()
    except sqlite3.Error as error:
        raise _explained(str(path), error) from error
    except OSError as error:
        raise StoreError(
            f"The database {path} cannot be created: {error.strerror}; check the folder and its permissions."
        ) from error
    return None if existed else path


async def _keep_a_log(url: URL, busy_timeout_s: float) -> None:
    """Switch the file to a write-ahead log, which stays so; SQLite itself waits for nobody in this."""
    if url.get_backend_name() != "sqlite" or _in_memory(url):
        return
    for tries_left in range(round(busy_timeout_s / _LOOK_AGAIN_S), -1, -1):
        connection = sqlite3.connect(str(url.database), timeout=0)
        try:
            connection.execute("PRAGMA journal_mode = WAL")
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode != sqlite3.SQLITE_BUSY or not tries_left:
                raise
        else:
            return
        finally:
            connection.close()
        await asyncio.sleep(_LOOK_AGAIN_S)


def _vacuum(path: str) -> None:
    connection = sqlite3.connect(path, timeout=1)
    try:
        connection.execute("VACUUM")
    except sqlite3.OperationalError as error:
        if error.sqlite_errorcode not in {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}:
            raise
    finally:
        connection.close()


def _remove_empty(created: Path | None) -> None:
    """Remove a file that we created and nobody made a table in: what failed half-way leaves no trace."""
    if created is None or not created.exists():
        return
    try:
        connection = sqlite3.connect(created)
        try:
            empty = connection.execute("SELECT count(*) FROM sqlite_master").fetchone() == (0,)
        finally:
            connection.close()
    except sqlite3.Error:
        # A full disk lets nobody look; one page holds no more than what was set before the first table.
        empty = _is_full(str(created)) and created.stat().st_size <= ONE_PAGE
    if empty:
        for ending in ("", "-wal", "-shm"):
            created.with_name(created.name + ending).unlink(missing_ok=True)


def _engine(url: URL, busy_timeout_s: float) -> AsyncEngine:
    if url.get_backend_name() != "sqlite":
        return create_async_engine(url, pool_size=5, pool_pre_ping=True, connect_args={"timeout": 10})
    if _in_memory(url):
        # One connection is the database; who wants it while it is in use waits.
        from sqlalchemy.pool import AsyncAdaptedQueuePool

        engine = create_async_engine(url, poolclass=AsyncAdaptedQueuePool, pool_size=1, max_overflow=0)
    else:
        engine = create_async_engine(url, pool_size=5, max_overflow=10)

    def prepare(connection: DBAPIConnection, _: ConnectionPoolEntry) -> None:
        # Without this the driver begins transactions itself, too late and never immediately.
        cast("Any", connection).isolation_level = None
        cursor = connection.cursor()
        try:
            cursor.execute(f"PRAGMA busy_timeout = {round(busy_timeout_s * 1000)}")
            # FULL: an intent that was journalled must survive a power cut, or its remedy could happen twice.
            cursor.execute("PRAGMA synchronous = FULL")
        except sqlite3.Error:
            # The pool forgets a connection that was never ready; its thread would outlive the event loop.
            connection.close()
            raise
        cursor.close()

    def begin(connection: Connection) -> None:
        immediate = connection.get_execution_options().get(_WRITES, False)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if immediate else "BEGIN")

    event.listen(engine.sync_engine, "connect", prepare)
    event.listen(engine.sync_engine, "begin", begin)
    return engine


def _explained(name: str, error: DBAPIError | PoolTimeoutError | OSError | sqlite3.Error) -> StoreError:
    origin = error.orig if isinstance(error, DBAPIError) and error.orig is not None else error
    said = str(origin).lower()
    if "disk i/o error" in said and _is_full(name):
        said = "disk is full"  # SQLite cannot grow its shared memory file then, and says only this
    for signs, advice, later in _CAUSES:
        if _has(signs, said):
            return StoreError(f"The database {name} failed: {advice}.", permanent=not later)
    kind = type(origin).__name__
    return StoreError(f"The database {name} failed ({kind}); run prefect-autopilot doctor.", permanent=False)


def _is_full(name: str) -> bool:
    folder = Path(name).parent
    return folder.is_dir() and shutil.disk_usage(folder).free < LEAST_FREE


def _has(signs: Iterable[str], text: str) -> bool:
    return any(sign in text for sign in signs)
