"""Backups: every row comes back; nothing is put in place of a store somebody works with."""

from __future__ import annotations

import sqlite3
import stat
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from prefect_autopilot.cli import main
from prefect_autopilot.errors import ConflictError, StoreError, UsageError
from prefect_autopilot.models import RunRecord
from prefect_autopilot.store import Store
from prefect_autopilot.store.backup import backup, restore

pytestmark = pytest.mark.anyio
NOW = datetime(2026, 3, 2, 3, 0, tzinfo=UTC)
LATER = NOW + timedelta(hours=1)


@pytest.fixture
def place(tmp_path: Path) -> Path:
    return tmp_path / "home" / "autopilot.db"


@pytest.fixture
def here(place: Path) -> str:
    return f"sqlite:///{place}"


async def fill(url: str, make_run: Callable[..., RunRecord], count: int = 20) -> None:
    async with Store.open(url) as store:
        await store.upsert_runs([make_run(f"run-{n}") for n in range(count)])
        await store.audit("somebody", "noted", "x", {"text": "Grüße \u2028"}, NOW)
        token = await store.acquire_lease("watcher", "w", 30, NOW)
        assert token is not None


def beside(file: Path) -> list[str]:
    return sorted(one.name for one in file.parent.glob("*") if one.is_file())


def mode(file: Path) -> int:
    return stat.S_IMODE(file.stat().st_mode)


def rows(file: Path) -> dict[str, list[Any]]:
    with closing(sqlite3.connect(file)) as opened:
        names = [name for (name,) in opened.execute("SELECT name FROM sqlite_master WHERE type='table'")]
        return {name: sorted(map(repr, opened.execute(f'SELECT * FROM "{name}"'))) for name in names}


async def test_every_row_comes_back_as_it_was(
    here: str, place: Path, tmp_path: Path, make_run: Callable[..., RunRecord]
) -> None:
    await fill(here, make_run)
    before, copy = rows(place), tmp_path / "copy.db"
    assert await backup(here, copy) == sum(map(len, before.values()))
    assert rows(copy) == before
    async with Store.open(here) as store:
        await store.upsert_runs([make_run("another")])
    kept = await restore(here, copy, LATER)
    assert rows(place) == before
    assert kept is not None
    assert "another" in repr(rows(kept)), "what was there is kept"
    async with Store.open(here) as store:
        assert len(await store.runs(limit=100)) == 20


async def test_a_backup_is_for_its_owner_only(
    here: str, tmp_path: Path, make_run: Callable[..., RunRecord]
) -> None:
    await fill(here, make_run)
    copy = tmp_path / "copy.db"
    await backup(here, copy)
    assert mode(copy) == 0o600
    assert beside(copy) == ["copy.db"], "one file is all there is to carry away"


async def test_a_store_in_use_can_be_backed_up(
    here: str, tmp_path: Path, make_run: Callable[..., RunRecord]
) -> None:
    await fill(here, make_run)
    async with Store.open(here) as store:
        await store.upsert_runs([make_run("fresh")])  # still in the write-ahead log only
        await backup(here, tmp_path / "copy.db")
    assert "fresh" in repr(rows(tmp_path / "copy.db"))


async def test_a_store_somebody_works_with_is_not_replaced(
    here: str, place: Path, tmp_path: Path, make_run: Callable[..., RunRecord]
) -> None:
    await fill(here, make_run)
    copy = tmp_path / "copy.db"
    await backup(here, copy)
    before = rows(place)
    with pytest.raises(ConflictError, match=r"watcher.*stop watcher and API"):
        await restore(here, copy, NOW + timedelta(seconds=5))
    assert rows(place) == before
    assert not list(place.parent.glob("*.before-*"))


async def test_who_was_fenced_off_stays_fenced_off(
    here: str, tmp_path: Path, make_run: Callable[..., RunRecord]
) -> None:
    await fill(here, make_run)
    copy = tmp_path / "copy.db"
    await backup(here, copy)
    async with Store.open(here) as store:
        old = await store.acquire_lease("watcher", "stalled", 30, NOW + timedelta(minutes=5))
        await store.acquire_lease("session:new", "stalled", 30, NOW + timedelta(minutes=5))
    await restore(here, copy, LATER)
    async with Store.open(here) as store:
        fresh = await store.acquire_lease("watcher", "next", 30, LATER)
        again = await store.acquire_lease("session:new", "next", 30, LATER)
    assert old is not None
    assert fresh is not None
    assert fresh > old
    assert again is not None
    assert again > 1


async def test_a_lost_store_is_put_back(
    here: str, place: Path, tmp_path: Path, make_run: Callable[..., RunRecord]
) -> None:
    await fill(here, make_run)
    copy = tmp_path / "copy.db"
    await backup(here, copy)
    before = rows(place)
    for file in place.parent.iterdir():
        file.unlink()
    place.parent.rmdir()
    assert await restore(here, copy, LATER) is None
    assert rows(place) == before
    assert mode(place) == 0o600


async def test_a_backup_overwrites_nothing(
    here: str, tmp_path: Path, make_run: Callable[..., RunRecord]
) -> None:
    await fill(here, make_run)
    taken = tmp_path / "taken"
    taken.write_text("mine", encoding="utf-8")
    with pytest.raises(UsageError, match="exists"):
        await backup(here, taken)
    assert taken.read_text(encoding="utf-8") == "mine"
    with pytest.raises(StoreError, match="cannot be created"):
        await backup(here, tmp_path / "none" / "copy.db")


async def test_without_a_store_no_file_is_left(here: str, place: Path, tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="There is no store"):
        await backup(here, tmp_path / "copy.db")
    assert beside(tmp_path / "copy.db") == []


@pytest.mark.parametrize(
    ("content", "kind"),
    [(None, UsageError), (b"", UsageError), (b"no database" * 500, StoreError), ("cut", StoreError)],
    ids=["no file", "empty", "no database", "cut off"],
)
async def test_what_is_no_backup_replaces_nothing(
    here: str,
    place: Path,
    tmp_path: Path,
    make_run: Callable[..., RunRecord],
    content: Any,
    kind: type[Exception],
) -> None:
    await fill(here, make_run, count=300)
    before, given = rows(place), tmp_path / "given.db"
    if content == "cut":
        await backup(here, given)
        given.write_bytes(given.read_bytes()[: given.stat().st_size // 2])
    elif content is not None:
        given.write_bytes(content)
    with pytest.raises(kind):
        await restore(here, given, LATER)
    assert rows(place) == before
    assert not list(place.parent.glob("*.before-*"))


async def test_a_database_of_somebody_else_is_no_backup(
    here: str, place: Path, tmp_path: Path, make_run: Callable[..., RunRecord]
) -> None:
    await fill(here, make_run)
    other = tmp_path / "other.db"
    with closing(sqlite3.connect(other)) as opened:
        opened.execute("CREATE TABLE things (name TEXT)")
    with pytest.raises(UsageError, match="no store of prefect-autopilot"):
        await restore(here, other, LATER)
    with pytest.raises(UsageError, match="store itself"):
        await restore(here, place, LATER)


@pytest.mark.parametrize(
    ("url", "said"),
    [("postgresql://u:s3cret@db/x", "pg_dump"), ("sqlite://", "in memory")],
    ids=["postgresql", "memory"],
)
async def test_another_kind_of_store_says_what_to_use(tmp_path: Path, url: str, said: str) -> None:
    for act in (backup(url, tmp_path / "x"), restore(url, tmp_path / "x", NOW)):
        with pytest.raises(UsageError, match=said) as caught:
            await act
        assert "s3cret" not in caught.value.message


def test_the_commands_say_where_everything_is(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PREFECT_AUTOPILOT_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("PREFECT_AUTOPILOT_STORE_URL", raising=False)
    copy = tmp_path / "copy.db"
    assert main(["backup", str(copy)]) != 0
    assert "There is no store" in capsys.readouterr().err
    assert main(["audit"]) == 0
    assert main(["backup", str(copy)]) == 0
    assert f"{copy} holds" in capsys.readouterr().out
    assert main(["restore", str(copy)]) == 0
    assert "is kept as" in capsys.readouterr().out
    assert main(["restore", str(tmp_path / "none")]) != 0
