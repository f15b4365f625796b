"""Opening a database: created private, migrated whole or not at all, refused in one sentence."""

from __future__ import annotations

import asyncio
import os
import sqlite3
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, create_engine, event, inspect, text

from prefect_autopilot.errors import AutopilotError, ConfigurationError, StoreError
from prefect_autopilot.models import RetryRun, RunRecord
from prefect_autopilot.store import Store, schema, tables

pytestmark = pytest.mark.anyio


def one_sentence(message: str) -> bool:
    return message.endswith(".") and message.count(". ") == 0 and "\n" not in message


async def refused(url: str, **options: Any) -> AutopilotError:
    with pytest.raises(AutopilotError) as caught:
        async with Store.open(url, **options):
            pass
    assert one_sentence(caught.value.message)
    return caught.value


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "home" / "autopilot.db"


@pytest.fixture
def sqlite_url(file: Path) -> str:
    return f"sqlite:///{file}"


async def test_the_file_and_its_folder_are_the_owners_only(
    sqlite_url: str, file: Path, now: datetime
) -> None:
    async with Store.open(sqlite_url) as store:
        await store.claim("k", "h", now)
        modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in file.parent.iterdir()}
    assert modes.pop("autopilot.db") == 0o600
    assert set(modes.values()) <= {0o600}, "the write-ahead log holds the same data"
    assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700


async def test_sqlite_keeps_what_was_journalled_through_a_power_cut(sqlite_url: str) -> None:
    async with Store.open(sqlite_url) as store, store._database.read() as connection:
        pragmas = {
            name: (await connection.execute(text(f"PRAGMA {name}"))).scalar_one()
            for name in ("journal_mode", "synchronous", "busy_timeout")
        }
    assert pragmas == {"journal_mode": "wal", "synchronous": 2, "busy_timeout": 5000}


async def test_what_was_written_is_there_after_reopening(url: str, now: datetime) -> None:
    async with Store.open(url) as store:
        await store.claim("k", "h", now)
    async with Store.open(url) as store:
        assert not await store.claim("k", "h2", now)


async def test_many_may_open_a_new_database_at_once(url: str, now: datetime) -> None:
    async def open_and_claim(holder: str) -> bool:
        async with Store.open(url) as store:
            return await store.claim("k", holder, now)

    taken = await asyncio.gather(*(open_and_claim(f"{n}") for n in range(6)))
    assert taken.count(True) == 1


async def test_a_database_in_memory_works_like_any_other(now: datetime) -> None:
    async with Store.open("sqlite://") as store:
        assert (await asyncio.gather(*(store.claim("k", f"{n}", now) for n in range(5)))).count(True) == 1
        await store.audit("a", "b", "c", {}, now)
        assert await store.verify_audit() is None


def test_the_newest_revision_is_the_one_the_code_names() -> None:
    from alembic.config import Config
    from alembic.script import ScriptDirectory

    config = Config()
    config.set_main_option("script_location", str(Path(schema.__file__).parent / "migrations"))
    assert ScriptDirectory.from_config(config).get_heads() == [schema.HEAD]


async def test_the_migrations_make_the_tables_of_the_code(url: str) -> None:
    from alembic.autogenerate import compare_metadata
    from alembic.migration import MigrationContext

    def differences(connection: Connection) -> list[Any]:
        context = MigrationContext.configure(
            connection, opts={"version_table": schema.VERSION_TABLE, "compare_type": True}
        )
        return list(compare_metadata(context, tables.metadata))

    async with Store.open(url) as store, store._database.read() as connection:
        assert await connection.run_sync(differences) == []


async def test_a_downgrade_removes_everything_and_an_upgrade_brings_it_back(url: str, now: datetime) -> None:
    def names(connection: Connection) -> set[str]:
        return set(inspect(connection).get_table_names())

    async with Store.open(url) as store:
        await store.claim("k", "h", now)
        async with store._database.write() as connection:
            await connection.run_sync(schema.migrate, "base")
            assert await connection.run_sync(names) == {schema.VERSION_TABLE}
            assert await connection.run_sync(schema.revision) is None
    async with Store.open(url) as store:
        async with store._database.read() as connection:
            assert await connection.run_sync(names) >= set(tables.metadata.tables)
            assert await connection.run_sync(schema.revision) == schema.HEAD
        assert await store.claim("k", "h", now)


async def test_tables_of_others_in_the_same_database_are_left_alone(sqlite_url: str, file: Path) -> None:
    file.parent.mkdir()
    with sqlite3.connect(file) as connection:
        connection.execute("CREATE TABLE alembic_version (version_num TEXT)")
        connection.execute("INSERT INTO alembic_version VALUES ('prefects-own')")
    async with Store.open(sqlite_url):
        pass
    with sqlite3.connect(file) as connection:
        assert connection.execute("SELECT version_num FROM alembic_version").fetchall() == [("prefects-own",)]
    connection.close()


async def test_a_newer_schema_is_refused_and_left_as_it_is(
    sqlite_url: str, file: Path, now: datetime
) -> None:
    async with Store.open(sqlite_url) as store:
        await store.claim("k", "h", now)
    with sqlite3.connect(file) as connection:
        connection.execute(f"UPDATE {schema.VERSION_TABLE} SET version_num = '0999'")
    error = await refused(sqlite_url)
    assert isinstance(error, StoreError)
    assert "0999" in error.message
    assert "upgrade prefect-autopilot" in error.message
    with sqlite3.connect(file) as connection:
        assert connection.execute("SELECT key FROM autopilot_claims").fetchall() == [("k",)]
        assert connection.execute(f"SELECT * FROM {schema.VERSION_TABLE}").fetchall() == [("0999",)]
    connection.close()


async def test_a_migration_that_fails_leaves_nothing_behind(
    sqlite_url: str, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file.parent.mkdir()
    with sqlite3.connect(file) as connection:
        # The last tables of the first revision cannot be made: one of their names is taken.
        connection.execute("CREATE TABLE autopilot_deliveries (mine TEXT)")
    connection.close()
    assert isinstance(await refused(sqlite_url), StoreError)
    engine = create_engine(f"sqlite:///{file}")
    assert inspect(engine).get_table_names() == ["autopilot_deliveries"]
    engine.dispose()


@pytest.mark.parametrize(
    "spoil",
    [
        lambda path: path.write_bytes(b"this is no database, but it is long enough to look at" * 200),
        lambda path: path.write_bytes(path.read_bytes()[:100] + b"\xff" * path.stat().st_size),
    ],
    ids=["another-file", "damaged-pages"],
)
async def test_a_damaged_file_is_refused_with_what_to_do(
    sqlite_url: str, file: Path, spoil: Callable[[Path], None]
) -> None:
    async with Store.open(sqlite_url):
        pass
    spoil(file)
    for leftover in file.parent.glob("*.db-*"):
        leftover.unlink()
    error = await refused(sqlite_url)
    assert isinstance(error, StoreError)
    assert error.permanent
    assert "restore a backup" in error.message
    assert str(file) in error.message


async def test_a_folder_nobody_can_make_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    error = await refused(f"sqlite:///{tmp_path / 'file' / 'autopilot.db'}")
    assert isinstance(error, StoreError)
    assert "cannot be created" in error.message


async def test_a_folder_in_place_of_the_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "autopilot.db").mkdir()
    error = await refused(f"sqlite:///{tmp_path / 'autopilot.db'}")
    assert "cannot be opened" in error.message


async def test_a_read_only_database_can_be_read_but_not_written(sqlite_url: str, now: datetime) -> None:
    async with Store.open(sqlite_url) as store:
        await store.claim("before", "h", now)

        # The driver's own switch: file modes do not stop the superuser who may run these tests.
        @event.listens_for(store._database.engine.sync_engine, "checkout")
        def _read_only(connection: Any, *_: object) -> None:
            connection.cursor().execute("PRAGMA query_only = ON")

        with pytest.raises(StoreError, match="cannot be written; check the permissions") as caught:
            await store.claim("k", "h", now)
        assert caught.value.permanent
        assert await store.claimed_by("before") == "h"
        assert await store.claimed_by("k") is None


async def test_a_full_disk_writes_nothing_and_says_so(
    sqlite_url: str, now: datetime, make_run: Callable[..., RunRecord]
) -> None:
    async with Store.open(sqlite_url) as store:

        @event.listens_for(store._database.engine.sync_engine, "checkout")
        def _full(connection: Any, *_: object) -> None:
            connection.cursor().execute("PRAGMA max_page_count = 1")

        runs = [make_run(f"{n:04}", start=now, parameters={"text": "words " * 99}) for n in range(1200)]
        with pytest.raises(StoreError, match="disk is full; make room") as caught:
            await store.upsert_runs(runs)
        assert not caught.value.permanent, "monitoring goes on and tries again"
        assert await store.runs() == ()


async def test_a_locked_database_is_waited_for_and_then_told(
    sqlite_url: str, file: Path, now: datetime
) -> None:
    retry = RetryRun(flow_run_id="run-1", delay_s=0)
    async with Store.open(sqlite_url, busy_timeout_s=0.1) as store:
        blocker = sqlite3.connect(file, isolation_level=None)
        blocker.execute("BEGIN IMMEDIATE")
        with pytest.raises(StoreError, match="another process holds it; try again") as caught:
            await store.journal_intent("s", "run-1", "st", 1, retry, None, now)
        assert not caught.value.permanent
        assert await store.open_intents() == (), "reading goes on"
        blocker.execute("ROLLBACK")
        blocker.close()
        assert await store.journal_intent("s", "run-1", "st", 1, retry, None, now) is not None


async def test_a_transaction_that_fails_half_way_writes_nothing(store: Store, now: datetime) -> None:
    async def fail() -> None:
        async with store._database.write() as connection:
            await connection.execute(tables.claims.insert().values(key="k", holder="h", at=now))
            raise LookupError("something else went wrong")

    with pytest.raises(LookupError):
        await fail()
    assert await store.claimed_by("k") is None


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("", "cannot be read"),
        ("not a url", "cannot be read"),
        ("mysql://root:hunter2@db/x", "mysql is not supported"),
        ("prefect.db", "cannot be read"),
    ],
    ids=["empty", "words", "mysql", "bare-path"],
)
async def test_a_url_that_cannot_be_used_is_a_configuration_error(url: str, said: str) -> None:
    error = await refused(url)
    assert isinstance(error, ConfigurationError)
    assert said in error.message
    assert "hunter2" not in error.message


async def test_a_server_that_is_not_there_is_told_without_the_password() -> None:
    error = await refused("postgresql://app:hunter2@127.0.0.1:1/orders")
    assert isinstance(error, StoreError)
    assert not error.permanent
    assert "cannot be reached" in error.message
    assert "hunter2" not in error.message


def test_importing_the_store_imports_no_prefect() -> None:
    probe = (
        "import sys, prefect_autopilot.store, prefect_autopilot.settings;"
        "print([name for name in ('prefect', 'alembic', 'apprise') if name in sys.modules])"
    )
    answer = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == "[]"


async def test_known_secret_values_are_never_written(sqlite_url: str, file: Path, now: datetime) -> None:
    async with Store.open(sqlite_url, secrets=["Tr0ub4dor&3"]) as store:
        await store.audit("ana", "note", "s", {"text": "it said Tr0ub4dor&3 twice: Tr0ub4dor%263"}, now)
    written = b"".join(path.read_bytes() for path in file.parent.iterdir())
    assert b"Tr0ub4dor" not in written


# What doctor looks for.


async def test_a_whole_database_has_no_faults(store: Store) -> None:
    assert await store.faults() == ()


async def test_a_table_that_somebody_dropped_is_named_and_using_it_says_what_to_do(
    sqlite_url: str, file: Path
) -> None:
    async with Store.open(sqlite_url):
        pass
    with sqlite3.connect(file) as connection:
        connection.execute("DROP TABLE autopilot_sessions")
    connection.close()
    async with Store.open(sqlite_url) as store:
        assert await store.faults() == ("the table autopilot_sessions is missing",)
        with pytest.raises(StoreError, match="a part of it is missing; restore a backup") as caught:
            await store.sessions()
    assert caught.value.permanent


@pytest.fixture
def tiny_disk(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "disk"
    folder.mkdir()
    made = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=800k", "tmpfs", str(folder)], capture_output=True, check=False
    )
    if made.returncode:
        pytest.skip("this user may not mount a disk")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def fill(folder: Path) -> None:
    with suppress(OSError), (folder / "rest").open("wb", buffering=0) as rest:
        while True:
            rest.write(b"x" * 4096)


async def test_a_disk_that_became_full_is_told_as_that(tiny_disk: Path) -> None:
    url = f"sqlite:///{tiny_disk / 'autopilot.db'}"
    async with Store.open(url):
        pass
    fill(tiny_disk)
    with pytest.raises(StoreError, match="the disk is full; make room"):
        async with Store.open(url) as store:
            await store.claim("k", "h", datetime(2026, 3, 2, tzinfo=UTC))


async def test_what_could_not_be_created_on_a_full_disk_leaves_nothing(tiny_disk: Path) -> None:
    fill(tiny_disk)
    with (tiny_disk / "rest").open("r+b") as rest:
        rest.truncate(rest.seek(0, 2) - 16_384)
    with pytest.raises(StoreError, match="the disk is full; make room"):
        async with Store.open(f"sqlite:///{tiny_disk / 'autopilot.db'}"):
            pytest.fail("there is no room for it")
    assert os.listdir(tiny_disk) == ["rest"]  # noqa: PTH208  # the disk is in memory, nobody waits
