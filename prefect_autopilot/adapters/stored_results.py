"""Task results that Prefect stored as files on this machine: reading one's identity, removing exactly one."""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path

from prefect_autopilot.errors import ConflictError

LARGEST = 64 * 1024 * 1024
"""Bytes of a record we are willing to read."""


def is_record(storage_key: str) -> bool:
    """Tell whether this path is a plain file that says of itself to be the record of this key."""
    path = Path(storage_key)
    if not path.is_absolute():
        return False
    try:
        found = os.lstat(path)
        if not stat.S_ISREG(found.st_mode) or found.st_size > LARGEST:
            return False
        told = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return False
    about = told.get("metadata") if isinstance(told, dict) else None
    return isinstance(about, dict) and about.get("storage_key") == storage_key and "result" in told


def remove_record(storage_key: str) -> None:
    """Remove one stored result; raises ``ConflictError`` where it is none or cannot be removed."""
    if not is_record(storage_key):
        raise ConflictError(f"{storage_key} is not the stored result any more; nothing was removed.")
    try:
        Path(storage_key).unlink()
    except OSError as error:
        raise ConflictError(f"The stored result {storage_key} could not be removed: {error}.") from error
