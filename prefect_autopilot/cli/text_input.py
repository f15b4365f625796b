"""Where a request or a log comes from: the command line, a file, the standard input."""

from __future__ import annotations

import re
import sys
from pathlib import Path

from prefect_autopilot.errors import UsageError

_OPTION = re.compile(r"-{1,2}[A-Za-z][\w-]*(?:=\S*)?")
"""A request may begin with a hyphen, so a misspelt option arrives here."""

LONGEST_REQUEST = 20_000
"""Characters; a request is a few sentences, and a file sent by mistake should be told."""


def request_text(text: str | None) -> str:
    """Return the request, read from the standard input for "-".

    Raises ``UsageError`` when it is missing, empty or longer than a request can be.
    """
    if text is None:
        raise UsageError("Say what is wanted, for example: prefect-autopilot analyze 'Every Monday …'.")
    if _OPTION.fullmatch(text):
        raise UsageError(f"There is no option {text}; see prefect-autopilot --help.")
    try:
        given = sys.stdin.read(LONGEST_REQUEST + 1) if text == "-" else text
    except UnicodeDecodeError as error:
        raise UsageError("The standard input is not UTF-8 text; convert it or write the request.") from error
    if not given.strip():
        raise UsageError("The request is empty; say in a sentence what should happen and when.")
    if len(given) > LONGEST_REQUEST:
        raise UsageError(
            f"The request is longer than {LONGEST_REQUEST:,} characters; say it in a few sentences."
        )
    return given


def read_file(path: Path, what: str) -> str:
    """Return the text of a file; undecodable bytes are replaced, a log is read even so.

    Raises ``UsageError`` if it cannot be read.
    """
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError as error:
        raise UsageError(f"Cannot read {path}: {error.strerror}; name {what}.") from error


def comma_separated(text: str | None) -> tuple[str, ...]:
    """Split "a, b" into its parts, empty ones left out."""
    return tuple(part.strip() for part in (text or "").split(",") if part.strip())
