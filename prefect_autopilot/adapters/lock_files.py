"""Lock files on this machine: who holds one, whether the holder is dead, and removing what it left."""

from __future__ import annotations

import json
import os
import re
import socket
import stat
import uuid
from dataclasses import dataclass
from pathlib import Path

from prefect_autopilot.errors import ConflictError

LARGEST = 4096
"""Bytes of a lock file; anything larger holds somebody's data."""
SAME_START_S = 2.0
NETWORK_SYSTEMS = frozenset(
    {"nfs", "nfs4", "cifs", "smb3", "9p", "ceph", "glusterfs", "lustre", "fuse.sshfs"}
)
_PROC = Path("/proc")
PID = re.compile(r"\bpid\W{0,4}(\d{1,10})\b", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class LockFile:
    """A lock file as it was read; ``inode`` tells a new file of the same name apart."""

    path: str
    pid: int
    inode: int
    modified: float
    """Seconds since the epoch."""


def read_lock(path: str) -> LockFile | None:
    """Return a lock file with its holder; None where it is no small plain file of this host with one pid."""
    try:
        found = os.lstat(path)
        if not stat.S_ISREG(found.st_mode) or found.st_size > LARGEST or found.st_nlink != 1:
            return None
        content = Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError, ValueError):
        return None
    pid = _holder(content)
    if pid is None:
        return None
    return LockFile(path=path, pid=pid, inode=found.st_ino, modified=found.st_mtime)


def _holder(content: str) -> int | None:
    """Return the pid in a lock file's text; None where there is none, several, or another host's."""
    text = content.strip()
    if text.isdigit():
        return _positive(int(text))
    try:
        told = json.loads(text)
    except ValueError:
        told = None
    if isinstance(told, dict):
        host = told.get("host", told.get("hostname"))
        pid = told.get("pid")
        ours = host is None or host == socket.gethostname()
        return _positive(pid) if ours and isinstance(pid, int) and not isinstance(pid, bool) else None
    pids = set(PID.findall(text))
    return _positive(int(pids.pop())) if len(pids) == 1 else None


def _positive(pid: int) -> int | None:
    # 1 is the first process of a machine or container: it says nothing.
    return pid if 1 < pid < 2**31 else None


def why_dead(lock: LockFile) -> str | None:
    """Return why the holder is certainly dead, None where it lives or that cannot be told here."""
    if not _PROC.joinpath("self", "stat").exists() or _on_network(lock.path):
        return None
    try:
        os.kill(lock.pid, 0)
    except ProcessLookupError:
        return f"no process {lock.pid} exists on this machine"
    except OSError:
        return None
    began = process_began(lock.pid)
    if began is not None and began > lock.modified + SAME_START_S:
        return f"process {lock.pid} began after the lock was written, so it is another one"
    return None


def process_began(pid: int) -> float | None:
    """Return when a process began, in seconds since the epoch."""
    try:
        ticks = int(_PROC.joinpath(str(pid), "stat").read_text().rpartition(")")[2].split()[19])
        booted = next(
            int(line.split()[1])
            for line in _PROC.joinpath("stat").read_text().splitlines()
            if "btime" in line
        )
    except (OSError, IndexError, ValueError, StopIteration):
        return None
    return booted + ticks / os.sysconf("SC_CLK_TCK")


def _on_network(path: str) -> bool:
    """Tell whether a path lies on a file system that other machines share; unknown counts as shared."""
    try:
        lines = _PROC.joinpath("self", "mountinfo").read_text().splitlines()
        device = os.lstat(path).st_dev
    except OSError:
        return True
    wanted = f"{os.major(device)}:{os.minor(device)}"
    kinds = {line.partition(" - ")[2].split()[0] for line in lines if line.split()[2] == wanted}
    return not kinds or bool(kinds & NETWORK_SYSTEMS)


def worker_is_here(pool: str | None) -> bool:
    """Tell whether a Prefect worker of this pool runs among the processes that we can see."""
    return bool(pool) and workers_here(pool or "") > 0


def workers_here(pool: str) -> int:
    """Count the Prefect workers of a pool among the processes that we can see."""
    found = 0
    for folder in _PROC.glob("[0-9]*"):
        try:
            words = folder.joinpath("cmdline").read_bytes().decode(errors="replace").split("\0")
        except OSError:  # it has ended since, or is another user's
            continue
        found += "worker" in words and any(word == pool or word.endswith(f"={pool}") for word in words)
    return found


def remove_stale(path: str, pid: int) -> None:
    """Remove a lock file that this dead process left; raises ``ConflictError`` where anything has changed.

    It is first renamed, which nobody can interrupt, and looked at again under the new name: a lock that
    somebody made in between is put back.
    """
    lock = read_lock(path)
    if lock is None or lock.pid != pid or why_dead(lock) is None:
        raise ConflictError(f"The lock {path} is not the dead process {pid}'s any more; nothing was removed.")
    aside = f"{path}.{uuid.uuid4().hex[:12]}.stale"
    try:
        Path(path).rename(aside)
    except OSError as error:
        raise ConflictError(f"The lock {path} could not be removed: {error.strerror}.") from error
    moved = read_lock(aside)
    if moved is None or moved.inode != lock.inode or moved.pid != pid:
        _put_back(aside, path)
        raise ConflictError(f"Somebody took the lock {path} in the same moment; it was put back.")
    Path(aside).unlink(missing_ok=True)


def _put_back(aside: str, path: str) -> None:
    """Link a lock back under its name unless somebody holds that by now."""
    try:
        os.link(aside, path)
    except FileExistsError:
        return
    Path(aside).unlink(missing_ok=True)
