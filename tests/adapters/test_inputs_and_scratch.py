"""Files of the owner: moved whole or not at all, never overwritten; scratch only where marked and old."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from prefect_autopilot.adapters import inputs
from prefect_autopilot.errors import ConflictError

DAY = 86_400.0


@pytest.fixture
def inbox(tmp_path: Path) -> Path:
    folder = tmp_path / "in"
    folder.mkdir()
    return folder


def test_a_plain_file_below_the_folder_is_an_input(inbox: Path) -> None:
    deep = inbox / "2026" / "03"
    deep.mkdir(parents=True)
    path = deep / "part-1.csv"
    path.write_text("x")
    assert inputs.is_input(str(path), str(inbox))


@pytest.mark.parametrize(
    "kind", ["missing", "folder", "link", "second name", "outside", "dots", "through a link"]
)
def test_what_is_no_plain_file_of_the_folder_is_none(tmp_path: Path, inbox: Path, kind: str) -> None:
    path = inbox / "part-1.csv"
    other = tmp_path / "other.csv"
    other.write_text("secret")
    if kind == "folder":
        path.mkdir()
    elif kind == "link":
        path.symlink_to(other)
    elif kind == "second name":
        path.write_text("x")
        os.link(path, tmp_path / "twin")
    elif kind == "outside":
        path = other
    elif kind == "dots":
        path = inbox / ".." / "other.csv"
    elif kind == "through a link":
        inbox.joinpath("way").symlink_to(tmp_path)
        path = inbox / "way" / "other.csv"
    assert not inputs.is_input(str(path), str(inbox))


@pytest.mark.parametrize("path", ["", "\0", "a" * 5000])
def test_what_is_no_path_is_no_input(inbox: Path, path: str) -> None:
    assert not inputs.is_input(path, str(inbox))


def test_a_file_is_moved_whole_and_twice_is_as_once(tmp_path: Path, inbox: Path) -> None:
    source, target = inbox / "a.csv", tmp_path / "aside" / "run-1-a.csv"
    source.write_text("1,2")
    inputs.move_file(str(source), str(target))
    inputs.move_file(str(source), str(target))
    assert not source.exists()
    assert target.read_text() == "1,2"
    inputs.move_file(str(target), str(source))
    assert source.read_text() == "1,2"
    assert not target.exists()


def test_nothing_is_overwritten(tmp_path: Path, inbox: Path) -> None:
    source, target = inbox / "a.csv", tmp_path / "a.csv"
    source.write_text("new")
    target.write_text("old")
    with pytest.raises(ConflictError, match="could not be moved"):
        inputs.move_file(str(source), str(target))
    assert (source.read_text(), target.read_text()) == ("new", "old")


def test_a_file_that_is_nowhere_cannot_be_moved(tmp_path: Path) -> None:
    with pytest.raises(ConflictError, match="No such file"):
        inputs.move_file(str(tmp_path / "a"), str(tmp_path / "b"))


def test_a_link_put_in_its_place_is_moved_as_a_link_and_its_goal_stays(tmp_path: Path, inbox: Path) -> None:
    goal, source = tmp_path / "goal", inbox / "a.csv"
    goal.write_text("theirs")
    source.symlink_to(goal)
    inputs.move_file(str(source), str(tmp_path / "aside.csv"))
    assert goal.read_text() == "theirs"
    assert (tmp_path / "aside.csv").is_symlink()


# Scratch


def scratch(folder: Path, *, marked: bool = True) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    if marked:
        folder.joinpath(inputs.SCRATCH_MARK).touch()
    return folder


def kept(folder: Path, name: str, size: int = 10) -> str:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"x" * size)
    return str(path)


def test_old_files_of_a_marked_folder_are_found_in_order_and_its_mark_is_not(tmp_path: Path) -> None:
    folder = scratch(tmp_path / "s")
    names = [kept(folder, name) for name in ("b", "a", "deep/c", ".hidden")]
    later = time.time() + 2 * DAY
    assert sorted(inputs.old_scratch((str(folder),), later)) == sorted(names)


def test_what_is_young_stays(tmp_path: Path) -> None:
    folder = scratch(tmp_path / "s")
    kept(folder, "a")
    assert inputs.old_scratch((str(folder),), time.time() + DAY - 60) == ()


def test_what_was_moved_in_lately_is_young_whatever_its_date_says(tmp_path: Path) -> None:
    folder = scratch(tmp_path / "s")
    path = kept(folder, "a")
    os.utime(path, (0, 0))
    assert inputs.old_scratch((str(folder),), time.time()) == ()


@pytest.mark.parametrize("why", ["no mark", "a link", "missing", "mark is a folder"])
def test_a_folder_that_nobody_has_marked_is_left_alone(tmp_path: Path, why: str) -> None:
    real = scratch(tmp_path / "real", marked=why == "a link")
    kept(real, "a")
    folder = real
    if why == "a link":
        folder = tmp_path / "link"
        folder.symlink_to(real)
    elif why == "missing":
        folder = tmp_path / "nowhere"
    elif why == "mark is a folder":
        real.joinpath(inputs.SCRATCH_MARK).mkdir()
    later = time.time() + 2 * DAY
    assert inputs.old_scratch((str(folder),), later) == ()
    with pytest.raises(ConflictError, match="nothing was removed"):
        inputs.remove_scratch((str(folder),), later)


def test_links_in_a_scratch_folder_lead_nowhere(tmp_path: Path) -> None:
    theirs = tmp_path / "theirs"
    kept(theirs, "precious")
    folder = scratch(tmp_path / "s")
    folder.joinpath("way").symlink_to(theirs)
    folder.joinpath("file").symlink_to(theirs / "precious")
    assert inputs.old_scratch((str(folder),), time.time() + 2 * DAY) == ()
    assert theirs.joinpath("precious").exists()


def test_removing_tells_what_was_freed_and_leaves_folders_and_mark(tmp_path: Path) -> None:
    folder = scratch(tmp_path / "s")
    kept(folder, "deep/a", 3_000_000)
    freed = inputs.remove_scratch((str(folder),), time.time() + 2 * DAY)
    assert 2.9 < freed < 3.2
    assert sorted(path.name for path in folder.iterdir()) == [inputs.SCRATCH_MARK, "deep"]
    assert list(folder.joinpath("deep").iterdir()) == []


def test_sizes_are_those_on_the_disk(tmp_path: Path) -> None:
    sparse = tmp_path / "sparse"
    with sparse.open("wb") as file:
        file.truncate(100_000_000)
    assert inputs.megabytes((str(sparse),)) < 1
    assert inputs.megabytes((str(tmp_path / "gone"),)) == 0


def test_one_disk_is_told_from_what_cannot_be_read(tmp_path: Path) -> None:
    assert inputs.same_disk(str(tmp_path), str(tmp_path / ".."))
    assert not inputs.same_disk(str(tmp_path), str(tmp_path / "nowhere"))
    assert not inputs.same_disk(str(tmp_path), "/proc")
