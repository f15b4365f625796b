"""Foreign text made bearable: escape codes removed, lines and size bounded, ids masked for fingerprints."""

from __future__ import annotations

import hashlib
import re
from bisect import bisect_right
from collections.abc import Iterable
from functools import reduce
from itertools import accumulate

EDGE_CHARACTERS = 8 * 1024
"""A longer line keeps its first and last 8 KB."""
EDGE_TEXT = 1024 * 1024
"""A longer text keeps its first and last MB before lines are looked at."""
EDGE_SEARCHED = (3072, 1024)
"""Characters at the head and tail of a message that expressions are tried on; words are looked for in all."""
HEAD_LINES = 300
TAIL_LINES = 900
MARKED_LINES = 600

_ANSI = re.compile(r"\x1b(?:\[[0-9;?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)|[@-Z\\-_])")
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")
_MARKS = ("error", "exception", "traceback", "caused by", "fatal", "killed", "exit", "denied", "failed")

# Ordered: what is longer or more specific is masked first (the method of Drain3).
_MASKS: tuple[tuple[re.Pattern[str], str], ...] = tuple(
    (re.compile(pattern), mask)
    for pattern, mask in (
        (r"\b[0-9a-fA-F]{8}-(?:[0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}\b", "<id>"),
        (r"\bhttps?://[^\s'\"<>)\]]+", "<url>"),
        (r"(?:[A-Za-z]:)?(?:[\\/][\w.@+~-]+){2,}", "<path>"),
        (r"\b\d{4}-\d\d-\d\d[T ]\d\d:\d\d(?::\d\d)?(?:[.,]\d+)?(?:Z|[+-]\d\d:?\d\d)?", "<time>"),
        (r"\b\d{4}-\d\d-\d\d\b|\b\d\d:\d\d:\d\d(?:[.,]\d+)?\b", "<time>"),
        (r"\b\d{1,3}(?:\.\d{1,3}){3}(?::\d+)?\b", "<ip>"),
        (r"\b0x[0-9a-fA-F]+\b", "<hex>"),
        (r"\b(?=[0-9a-f]*\d)(?=[0-9a-f]*[a-f])[0-9a-f]{7,}\b", "<hex>"),
        (r"\b(?=\w*\d)(?=\w*[A-Za-z])\w{16,}\b", "<id>"),
        (r"(?<![A-Za-z<])[-+]?\d+(?:[.,]\d+)*(?![A-Za-z>])", "<n>"),
        (r"\d+", "<n>"),
        (r"\s+", " "),
    )
)


def clean(text: str) -> str:
    """Return ``text`` without escape codes and control characters, bounded in size and line length."""
    if len(text) > 2 * EDGE_TEXT:
        text = f"{text[:EDGE_TEXT]}\n…\n{text[-EDGE_TEXT:]}"
    if "\x1b" in text:
        text = _ANSI.sub("", text)
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    kept = "\n".join(cut(line) for line in _bounded(text.split("\n")))
    # Looked for in what is kept only: a megabyte takes milliseconds.
    return _CONTROL.sub(" ", kept) if _CONTROL.search(kept) else kept


def cut(line: str) -> str:
    """Return a long line as its head and tail of 8 KB each."""
    if len(line) <= 2 * EDGE_CHARACTERS:
        return line
    return f"{line[:EDGE_CHARACTERS]} … {line[-EDGE_CHARACTERS:]}"


def searched(text: str) -> str:
    """Return what expressions are tried on: of a long text its head and tail."""
    if len(text) <= EDGE_SEARCHED[0] + EDGE_SEARCHED[1]:
        return text
    return f"{text[: EDGE_SEARCHED[0]]} … {text[-EDGE_SEARCHED[1] :]}"


def _bounded(lines: list[str]) -> Iterable[str]:
    """Keep head, tail and, of the middle, the last lines that speak of failure."""
    if len(lines) <= HEAD_LINES + TAIL_LINES + MARKED_LINES:
        return lines
    middle = lines[HEAD_LINES:-TAIL_LINES]
    marked = [middle[place] for place in sorted(_marked(middle))[-MARKED_LINES:]]
    return [*lines[:HEAD_LINES], *marked, *lines[-TAIL_LINES:]]


def _marked(lines: list[str]) -> set[int]:
    """Return the places of the lines that hold a mark; each mark is looked for in all lines at once."""
    lowered = "\n".join(line[:4096] for line in lines).lower()
    ends = list(accumulate(len(line) + 1 for line in lowered.split("\n")))
    found: set[int] = set()
    for mark in _MARKS:
        at = lowered.find(mark)
        while at >= 0:
            place = bisect_right(ends, at)
            found.add(place)
            at = lowered.find(mark, ends[place])
    return found


def template(message: str) -> str:
    """Return a message with ids, times, addresses, paths, hexadecimal and other numbers masked."""
    return reduce(lambda text, mask: mask[0].sub(mask[1], text), _MASKS, cut(message)).strip()


def digest(parts: Iterable[str]) -> str:
    """Return 16 hexadecimal digits that stand for ``parts``."""
    return hashlib.sha256("\x1f".join(parts).encode("utf-8", "replace")).hexdigest()[:16]
