"""Flow files on disk: read or refused, written whole or not at all, replaced only when unchanged."""

from __future__ import annotations

import codecs
import errno
import hashlib
import os
import re
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from prefect_autopilot.errors import AutopilotError, ConflictError, InvalidFlowError, UsageError

LARGEST_SOURCE = 5_000_000
"""Bytes; no flow file is longer, and a file sent by mistake should be told."""

_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,99}")
_MODE_OF_NEW_FILES = 0o644
_REASONS = {
    errno.ENOENT: "it is not there",
    errno.EACCES: "permission is denied",
    errno.EPERM: "permission is denied",
    errno.EROFS: "the file system is read-only",
    errno.ENOSPC: "the disk is full",
    errno.EDQUOT: "the disk quota is used up",
    errno.ENOTDIR: "a file stands where a folder is needed",
}


def read_source(path: Path) -> str:
    """Return a flow file's text with its line ends.

    Raises UsageError when the disk refuses, InvalidFlowError when the content is no text of a flow file.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise UsageError(f"{path} cannot be read: {reason}; give the path of a flow file.") from error
    if len(content) > LARGEST_SOURCE:
        raise InvalidFlowError(f"{path} has more than {LARGEST_SOURCE:,} bytes; no flow file is that long.")
    if b"\0" in content and not content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        raise InvalidFlowError(f"{path} is a binary file, no Python source; give the path of a flow file.")
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError as error:
        raise InvalidFlowError(f"{path} is not UTF-8 text (byte {error.start}); save it as UTF-8.") from error


def digest(text: str) -> str:
    """Return the SHA-256 of ``text`` in UTF-8, in hexadecimal digits."""
    return hashlib.sha256(text.encode("utf-8")).hexdigest()


def digest_of(path: Path) -> str:
    """Return the SHA-256 of a file's content; raises AutopilotError when it cannot be read."""
    with _told(path, "read"):
        return hashlib.sha256(path.read_bytes()).hexdigest()


def resolve_below(folder: Path, name: str) -> Path:
    """Return the path of the file ``name`` in ``folder``, links resolved.

    Raises UsageError for a name that is no plain file name or leads out of the folder.
    """
    if not _NAME.fullmatch(name):
        raise UsageError(f"{name!r} is no plain file name; use letters, digits, dots and dashes.")
    try:
        root = folder.resolve()
        path = (root / name).resolve()
    except RuntimeError:
        raise UsageError(f"{name!r} is a link that leads to itself; remove it.") from None
    if path.parent != root:
        raise UsageError(f"{name!r} leads out of the folder {folder}; choose another name.")
    return path


def write_new(folder: Path, name: str, text: str) -> Path:
    """Write ``text`` as a new file and return its path; the folder is made where it is missing.

    A file with exactly this text is left as it is. Raises ConflictError when there is another one,
    UsageError for a bad name, AutopilotError when the disk refuses.
    """
    content = _encoded(text)
    with _told(folder / name):
        folder.mkdir(parents=True, exist_ok=True)
        path = resolve_below(folder, name)
        temporary = _written(path, content, _MODE_OF_NEW_FILES)
        try:
            # A hard link fails where the name is taken; a rename would overwrite it.
            os.link(temporary, path)
        except FileExistsError:
            if path.is_file() and path.read_bytes() == content:
                return path
            raise _taken(path) from None
        finally:
            temporary.unlink()
        _sync_folder(path.parent)
    return path


def check_free(folder: Path, name: str, text: str) -> None:
    """Raise ConflictError where ``write_new`` would; nothing is written."""
    path = resolve_below(folder, name)
    if path.exists() and not (path.is_file() and path.read_bytes() == _encoded(text)):
        raise _taken(path)


def _taken(path: Path) -> ConflictError:
    return ConflictError(f"{path} exists with other content; choose another name or remove it.")


def replace(path: Path, text: str, expected_sha256: str) -> Path:
    """Replace the content of ``path`` at once and return the path of the backup made before.

    The file keeps its mode, a link stays a link. Raises ConflictError when the content is no longer
    the one with ``expected_sha256``, AutopilotError when the disk refuses; then nothing has changed.
    """
    content = _encoded(text)
    with _told(path):
        try:
            target = path.resolve()
            before = target.read_bytes()
        except (FileNotFoundError, RuntimeError):
            # RuntimeError: a link that leads to itself.
            raise ConflictError(f"{path} is gone; nothing was written.") from None
        _check_unchanged(path, before, expected_sha256)
        mode = stat.S_IMODE(target.stat().st_mode)
        if not os.access(target, os.W_OK):
            raise PermissionError(errno.EACCES, "not writable")
        backup = _backup(target, before, mode)
        temporary = _written(target, content, mode)
        try:
            # Read again: what a person saved while we wrote must not be lost.
            _check_unchanged(path, target.read_bytes(), expected_sha256)
            temporary.replace(target)
        finally:
            temporary.unlink(missing_ok=True)
        _sync_folder(target.parent)
    return backup


def _check_unchanged(path: Path, content: bytes, expected_sha256: str) -> None:
    if hashlib.sha256(content).hexdigest() != expected_sha256:
        raise ConflictError(f"{path} has changed since it was read; read it again.")


def _backup(target: Path, content: bytes, mode: int) -> Path:
    name = f"{target.name}.{hashlib.sha256(content).hexdigest()[:12]}.bak"
    backup = target.with_name(name)
    temporary = _written(backup, content, mode)
    temporary.replace(backup)
    return backup


def _encoded(text: str) -> bytes:
    try:
        return text.encode("utf-8")
    except UnicodeEncodeError as error:
        told = f"The text holds a character that UTF-8 cannot write ({text[error.start]!r}); remove it."
        raise UsageError(told) from None


def _written(path: Path, content: bytes, mode: int) -> Path:
    """Write ``content`` to a temporary file beside ``path``; nothing is left behind on failure."""
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".tmp")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fchmod(file.fileno(), mode)
            os.fsync(file.fileno())
    except OSError:
        Path(name).unlink(missing_ok=True)
        raise
    return Path(name)


def _sync_folder(folder: Path) -> None:
    """Make the new name survive a power cut."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def _told(path: Path, act: str = "written") -> Iterator[None]:
    try:
        yield
    except OSError as error:
        reason = _REASONS.get(error.errno or 0, error.strerror or "the disk refused")
        is_permanent = error.errno not in {errno.ENOSPC, errno.EDQUOT}
        raise AutopilotError(f"{path} cannot be {act}: {reason}.", permanent=is_permanent) from error
