"""Flow files: whole or not at all, unchanged or refused, and never outside their folder."""

from __future__ import annotations

import errno
import os
import shutil
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from prefect_autopilot.adapters import files
from prefect_autopilot.errors import AutopilotError, ConflictError, UsageError

OLD, NEW = "print('old')\n", "print('new ü')\n"


@pytest.fixture
def flow_file(tmp_path: Path) -> Path:
    path = tmp_path / "my_flow.py"
    path.write_text(OLD)
    path.chmod(0o640)
    return path


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_new_file_is_written_and_its_folder_made(tmp_path: Path) -> None:
    path = files.write_new(tmp_path / "a" / "b", "my_flow.py", NEW)
    assert path.read_text("utf-8") == NEW
    assert names(path.parent) == ["my_flow.py"]
    assert stat.S_IMODE(path.stat().st_mode) == 0o644


def test_writing_the_same_again_changes_nothing(flow_file: Path) -> None:
    before = flow_file.stat()
    assert files.write_new(flow_file.parent, flow_file.name, OLD) == flow_file
    assert flow_file.stat() == before
    assert names(flow_file.parent) == ["my_flow.py"]


def test_another_file_of_that_name_is_never_overwritten(flow_file: Path) -> None:
    with pytest.raises(ConflictError, match="exists with other content"):
        files.write_new(flow_file.parent, flow_file.name, NEW)
    assert flow_file.read_text() == OLD
    assert names(flow_file.parent) == ["my_flow.py"]


def test_a_dangling_link_is_not_written_through(tmp_path: Path) -> None:
    (tmp_path / "flows").mkdir()
    (tmp_path / "flows" / "my_flow.py").symlink_to(tmp_path / "outside.py")
    with pytest.raises(UsageError, match="leads out"):
        files.write_new(tmp_path / "flows", "my_flow.py", NEW)
    assert not (tmp_path / "outside.py").exists()


@pytest.mark.parametrize(
    "name",
    [
        "../x.py",
        "/etc/passwd",
        "a/b.py",
        "..",
        ".",
        "",
        "a\x00b.py",
        "a\nb.py",
        ".hidden",
        "x" * 200,
        "a\\b.py",
        "ü.py",
    ],
)
def test_names_that_are_no_plain_file_names_are_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(UsageError):
        files.resolve_below(tmp_path, name)
    with pytest.raises(UsageError):
        files.write_new(tmp_path, name, NEW)
    assert names(tmp_path) == []


def test_a_folder_that_is_a_link_is_followed(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    assert files.resolve_below(tmp_path / "link", "x_flow.py") == tmp_path / "real" / "x_flow.py"


def test_replacing_keeps_the_mode_and_a_backup(flow_file: Path) -> None:
    backup = files.replace(flow_file, NEW, files.digest(OLD))
    assert flow_file.read_text("utf-8") == NEW
    assert backup.read_text() == OLD
    assert stat.S_IMODE(flow_file.stat().st_mode) == 0o640
    assert stat.S_IMODE(backup.stat().st_mode) == 0o640
    assert names(flow_file.parent) == ["my_flow.py", backup.name]


def test_each_version_has_its_own_backup(flow_file: Path) -> None:
    first = files.replace(flow_file, NEW, files.digest(OLD))
    second = files.replace(flow_file, "third\n", files.digest(NEW))
    assert first.read_text() == OLD
    assert second.read_text("utf-8") == NEW


def test_a_file_that_changed_meanwhile_is_left_alone(flow_file: Path) -> None:
    with pytest.raises(ConflictError, match="has changed"):
        files.replace(flow_file, NEW, files.digest("something else"))
    assert flow_file.read_text() == OLD
    assert names(flow_file.parent) == ["my_flow.py"]


def test_a_file_that_is_gone_is_not_made_again(tmp_path: Path) -> None:
    with pytest.raises(ConflictError, match="gone"):
        files.replace(tmp_path / "gone_flow.py", NEW, files.digest(OLD))
    assert names(tmp_path) == []


def test_a_link_stays_a_link(flow_file: Path, tmp_path: Path) -> None:
    link = tmp_path / "link.py"
    link.symlink_to(flow_file)
    files.replace(link, NEW, files.digest(OLD))
    assert link.is_symlink()
    assert flow_file.read_text("utf-8") == NEW


def test_line_ends_are_kept_as_they_are_given(tmp_path: Path) -> None:
    path = files.write_new(tmp_path, "crlf_flow.py", "a\r\nb\n")
    assert path.read_bytes() == b"a\r\nb\n"
    assert files.digest_of(path) == files.digest("a\r\nb\n")


@pytest.mark.parametrize(
    ("number", "told", "permanent"),
    [(errno.ENOSPC, "disk is full", False), (errno.EROFS, "read-only", True), (errno.EACCES, "denied", True)],
    ids=["full", "read-only", "denied"],
)
def test_a_disk_that_refuses_leaves_nothing_half_written(
    flow_file: Path, monkeypatch: pytest.MonkeyPatch, number: int, told: str, permanent: object
) -> None:
    def refuse(_: int) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "fsync", refuse)
    for act in (
        lambda: files.replace(flow_file, NEW, files.digest(OLD)),
        lambda: files.write_new(flow_file.parent, "other_flow.py", NEW),
    ):
        with pytest.raises(AutopilotError, match=told) as raised:
            act()
        assert raised.value.permanent is permanent
    assert flow_file.read_text() == OLD
    assert names(flow_file.parent) == ["my_flow.py"]


def test_a_file_where_a_folder_is_needed_is_told(flow_file: Path) -> None:
    with pytest.raises(AutopilotError, match="my_flow"):
        files.write_new(flow_file, "x_flow.py", NEW)
    assert flow_file.read_text() == OLD


def test_a_file_that_cannot_be_read_is_told(tmp_path: Path) -> None:
    with pytest.raises(AutopilotError, match="it is not there"):
        files.digest_of(tmp_path / "gone.py")


# Replaces sys.argv[1] in a process of its own and prints the refusal.
REPLACE = """
import sys
from pathlib import Path
from prefect_autopilot.adapters import files
from prefect_autopilot.errors import AutopilotError
path = Path(sys.argv[1])
try:
    files.replace(path, sys.argv[2], files.digest(path.read_text()))
except AutopilotError as error:
    print(error.permanent, error.message)
"""


def bound_by_modes() -> list[str]:
    """Return what a command starts with, so that modes bind it: root may otherwise write everywhere."""
    if os.geteuid() != 0:
        return []
    command = ["setpriv", "--inh-caps=-dac_override", "--bounding-set=-dac_override"]
    if shutil.which("setpriv") is None or subprocess.run([*command, "true"], check=False).returncode:
        pytest.skip("root may write everywhere, and setpriv cannot take that right away here")
    return command


@pytest.mark.parametrize("closed", ["my_flow.py", "."], ids=["file", "folder"])
def test_what_may_not_be_written_is_not_replaced(flow_file: Path, closed: str) -> None:
    place = flow_file.parent / closed
    place.chmod(0o550 if place.is_dir() else 0o440)
    command = [*bound_by_modes(), sys.executable, "-c", REPLACE, str(flow_file), NEW]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    place.chmod(0o750)
    assert done.stdout.startswith("True ")
    assert "permission" in done.stdout
    assert flow_file.read_text() == OLD
    assert names(flow_file.parent) == ["my_flow.py"]
