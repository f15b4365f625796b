"""Files of the owner's on this machine: an input set aside and put back, scratch that may be removed."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path

from prefect_autopilot.errors import ConflictError

SCRATCH_MARK = ".autopilot-scratch"
"""A folder that holds a file of this name is scratch, by its owner's hand."""
OLD_S = 86_400.0
"""Seconds after which a scratch file may go."""
MOST_FILES = 10_000
_PROC = Path("/proc")


def is_input(path: str, folder: str) -> bool:
    """Tell whether a path is a plain file somewhere below a folder, without links on the way."""
    try:
        found = os.lstat(path)
        inside = Path(path).resolve(strict=True).is_relative_to(Path(folder).resolve(strict=True))
    except (OSError, ValueError, RuntimeError):
        return False
    return stat.S_ISREG(found.st_mode) and found.st_nlink == 1 and inside and path == os.path.realpath(path)


def move_file(source: str, target: str) -> None:
    """Move one file, which nobody can see half moved; raises ``ConflictError`` where that is not possible.

    Done already counts as done. Nothing is ever overwritten.
    """
    if not os.path.lexists(source) and os.path.lexists(target):
        return
    try:
        Path(target).parent.mkdir(parents=True, exist_ok=True)
        os.link(source, target, follow_symlinks=False)
        Path(source).unlink()
    except OSError as error:
        raise ConflictError(f"{source} could not be moved to {target}: {error.strerror}.") from error


def old_scratch(folders: tuple[str, ...], now: float) -> tuple[str, ...]:
    """Return files of marked folders that are old and that no process of this machine has open."""
    if not _PROC.joinpath("self", "fd").exists():
        return ()
    found = [path for folder in folders for path in _old_files(folder, now)]
    return tuple(path for path in found if path not in _open_files()) if found else ()


def _old_files(folder: str, now: float) -> Iterator[str]:
    root = Path(folder)
    if root.is_symlink() or not root.joinpath(SCRATCH_MARK).is_file():
        return
    seen = 0
    for place, folders, names in os.walk(root, followlinks=False):
        folders.sort()
        for name in sorted(names):
            seen += 1
            if seen > MOST_FILES:
                return
            path = os.path.join(place, name)  # noqa: PTH118  # of os.walk, for every file of a large folder
            found = os.lstat(path)
            newest = max(found.st_mtime, found.st_ctime)
            if name != SCRATCH_MARK and stat.S_ISREG(found.st_mode) and now - newest > OLD_S:
                yield path


def _open_files() -> frozenset[str]:
    found = set()
    for link in _PROC.glob("[0-9]*/fd/*"):
        try:
            found.add(str(link.readlink()))
        except OSError:  # closed since, or another user's
            continue
    return frozenset(found)


def megabytes(paths: tuple[str, ...]) -> float:
    """Return how much files take, in MB of 1,000,000 bytes."""
    return sum(os.lstat(path).st_blocks * 512 for path in paths if os.path.lexists(path)) / 1e6


def remove_scratch(folders: tuple[str, ...], now: float) -> float:
    """Remove what is old in the marked folders and return the MB; raises ``ConflictError`` if nothing is."""
    paths = old_scratch(folders, now)
    if not paths:
        raise ConflictError("The scratch folders hold nothing that is old; nothing was removed.")
    freed = megabytes(paths)
    for path in paths:
        try:
            Path(path).unlink(missing_ok=True)
        except OSError as error:
            raise ConflictError(f"{path} could not be removed: {error.strerror}.") from error
    return freed


def same_disk(one: str, other: str) -> bool:
    """Tell whether two paths lie on one file system; False where either cannot be read."""
    try:
        return os.stat(one).st_dev == os.stat(other).st_dev  # noqa: PTH116  # two numbers, no path
    except OSError:
        return False
