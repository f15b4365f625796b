"""Lock files: whose they are, whether the holder is dead, and that nothing else is ever removed."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from prefect_autopilot.adapters.lock_files import read_lock, remove_stale, why_dead, worker_is_here
from prefect_autopilot.errors import ConflictError

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="processes are looked up in /proc")

LONG_AGO = 1_000_000_000


@pytest.fixture
def dead_pid() -> int:
    """The pid of a process that has just ended."""
    with subprocess.Popen([sys.executable, "-c", "pass"]) as process:
        process.wait()
    return process.pid


def lock_at(folder: Path, text: str) -> str:
    path = folder / "ledger.lock"
    path.write_text(text, encoding="utf-8")
    return str(path)


@pytest.mark.parametrize(
    ("text", "pid"),
    [
        ("4711", 4711),
        ("4711\n", 4711),
        ("  4711  ", 4711),
        ("pid: 4711 since noon", 4711),
        ("PID=4711", 4711),
        ('{"pid": 4711}', 4711),
        ('{"pid": 4711, "host": "HOST"}', 4711),
        ('{"pid": 4711, "hostname": "HOST", "flow": "close"}', 4711),
    ],
    ids=["number", "line", "blanks", "words", "assignment", "json", "json of this host", "json with more"],
)
def test_the_holder_is_read_in_the_usual_ways(tmp_path: Path, text: str, pid: int) -> None:
    lock = read_lock(lock_at(tmp_path, text.replace("HOST", socket.gethostname())))
    assert lock is not None
    assert lock.pid == pid


@pytest.mark.parametrize(
    "text",
    [
        "",
        "held",
        "0",
        "1",
        "-4",
        "99999999999999",
        "pid 12 or pid 13",
        '{"pid": 4711, "host": "another-machine"}',
        '{"pid": "4711"}',
        '{"pid": true}',
        "[4711]",
        "4711" + " " * 5000,
    ],
    ids=[
        "empty",
        "no number",
        "zero",
        "the first process",
        "negative",
        "no pid is so large",
        "two holders",
        "another host",
        "text in json",
        "truth in json",
        "a list",
        "too large",
    ],
)
def test_a_file_that_names_no_single_holder_of_this_host_is_no_lock_of_ours(
    tmp_path: Path, text: str
) -> None:
    assert read_lock(lock_at(tmp_path, text)) is None


def test_only_a_plain_file_is_a_lock(tmp_path: Path) -> None:
    target = lock_at(tmp_path, "4711")
    (tmp_path / "link.lock").symlink_to(target)
    (tmp_path / "folder.lock").mkdir()
    assert read_lock(str(tmp_path / "link.lock")) is None
    assert read_lock(str(tmp_path / "folder.lock")) is None
    assert read_lock(str(tmp_path / "missing.lock")) is None
    assert read_lock("\0") is None


def test_a_file_with_two_names_is_left_alone(tmp_path: Path) -> None:
    path = lock_at(tmp_path, "4711")
    os.link(path, tmp_path / "second name")
    assert read_lock(path) is None


def test_bytes_that_are_no_text_are_no_lock(tmp_path: Path) -> None:
    (tmp_path / "a.lock").write_bytes(b"\xff\xfe\x00")
    assert read_lock(str(tmp_path / "a.lock")) is None


def test_a_holder_that_ended_is_dead(tmp_path: Path, dead_pid: int) -> None:
    lock = read_lock(lock_at(tmp_path, str(dead_pid)))
    assert lock is not None
    assert f"no process {dead_pid}" in (why_dead(lock) or "")


def test_a_holder_that_lives_is_not_dead(tmp_path: Path) -> None:
    lock = read_lock(lock_at(tmp_path, str(os.getpid())))
    assert lock is not None
    assert why_dead(lock) is None


def test_a_process_that_began_after_the_lock_is_another_one(tmp_path: Path) -> None:
    path = lock_at(tmp_path, str(os.getpid()))
    os.utime(path, (LONG_AGO, LONG_AGO))
    lock = read_lock(path)
    assert lock is not None
    assert "began after the lock" in (why_dead(lock) or "")


def test_a_dead_holders_lock_is_removed_and_nothing_else(tmp_path: Path, dead_pid: int) -> None:
    (tmp_path / "watermark.json").write_text("{}", encoding="utf-8")
    remove_stale(lock_at(tmp_path, str(dead_pid)), dead_pid)
    assert [path.name for path in tmp_path.iterdir()] == ["watermark.json"]


def test_a_living_holders_lock_is_never_removed(tmp_path: Path) -> None:
    path = lock_at(tmp_path, str(os.getpid()))
    with pytest.raises(ConflictError, match="nothing was removed"):
        remove_stale(path, os.getpid())
    assert Path(path).read_text(encoding="utf-8") == str(os.getpid())


def test_a_lock_that_somebody_took_meanwhile_is_never_removed(tmp_path: Path, dead_pid: int) -> None:
    path = lock_at(tmp_path, str(os.getpid()))
    with pytest.raises(ConflictError, match="any more"):
        remove_stale(path, dead_pid)
    assert Path(path).exists()


def test_a_lock_taken_between_the_look_and_the_act_is_put_back(
    tmp_path: Path, dead_pid: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = lock_at(tmp_path, str(dead_pid))
    rename = Path.rename

    def taken_just_before(self: Path, target: str) -> Path:
        self.unlink()
        self.write_text(str(os.getpid()), encoding="utf-8")
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", taken_just_before)
    with pytest.raises(ConflictError, match="put back"):
        remove_stale(path, dead_pid)
    assert Path(path).read_text(encoding="utf-8") == str(os.getpid())
    assert len(list(tmp_path.iterdir())) == 1


def test_a_lock_that_is_gone_is_said_to_be_changed(tmp_path: Path, dead_pid: int) -> None:
    with pytest.raises(ConflictError, match="any more"):
        remove_stale(str(tmp_path / "gone.lock"), dead_pid)


def test_a_data_file_with_a_dead_pid_in_it_is_no_lock_of_that_name(tmp_path: Path, dead_pid: int) -> None:
    path = tmp_path / "rows.json"
    path.write_text(json.dumps({"rows": [dead_pid]}), encoding="utf-8")
    with pytest.raises(ConflictError):
        remove_stale(str(path), dead_pid)
    assert path.exists()


@pytest.mark.parametrize("pool", [None, "", "no-such-pool-anywhere"], ids=["none", "empty", "unknown"])
def test_without_a_worker_in_sight_it_is_not_known_where_runs_live(pool: str | None) -> None:
    assert not worker_is_here(pool)


def test_a_worker_of_the_pool_is_seen_by_its_command_line() -> None:
    up = "print('up', flush=True); input()"
    command = [sys.executable, "-c", up, "worker", "start", "--pool", "kitchen-pool-of-this-test"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        try:
            # A program that has just been started may not have its command line yet.
            assert process.stdout
            assert process.stdout.readline() == b"up\n"
            assert worker_is_here("kitchen-pool-of-this-test")
            assert not worker_is_here("kitchen-pool")
        finally:
            process.kill()
