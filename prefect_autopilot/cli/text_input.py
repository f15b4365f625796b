"""Where a request or a log comes from: the command line, a file, the standard input."""

from __future__ import annotations

import re
import sys
from codecs import BOM_UTF16_BE, BOM_UTF16_LE
from pathlib import Path

from prefect_autopilot.errors import UsageError

_OPTION = re.compile(r"-{1,2}[A-Za-z][\w-]*(?:=\S*)?")
"""A request may begin with a hyphen, so a misspelt option arrives here."""

_CONTROL = re.compile(r"[\x01-\x07\x0b\x0e-\x1a\x1c-\x1f\x7f]")
_BINARY_SHARE = 0.05
"""Compressed data has 10 % of these characters, programs more, logs in whatever encoding next to none."""

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

    Raises ``UsageError`` if it cannot be read or is no text at all.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise UsageError(f"Cannot read {path}: {error.strerror}; name {what}.") from error
    # A shell on Windows writes what it redirects in UTF-16, with a mark at the beginning.
    encoding = "utf-16" if content.startswith((BOM_UTF16_LE, BOM_UTF16_BE)) else "utf-8-sig"
    text = content.decode(encoding, errors="replace")
    told = len(text) - text.count("\0")  # a log that was cut while it was written has null bytes
    if text and len(_CONTROL.findall(text)) >= told * _BINARY_SHARE:
        raise UsageError(f"{path} is a binary file; name {what}.")
    return text.replace("\r\n", "\n")


def comma_separated(text: str | None) -> tuple[str, ...]:
    """Split "a, b" into its parts, empty ones left out."""
    return tuple(part.strip() for part in (text or "").split(",") if part.strip())
