"""What JSON in a log tells of a failure: objects over several lines, and the exception that one names."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

LONGEST_OBJECT = 32 * 1024
"""Characters of an object that is read; a longer one stays as it is written."""
MOST_READ = 60
DEEPEST = 4
_OPENED = re.compile(r"[{\[][ \t]*$", re.MULTILINE)
_NAMES_ONE = re.compile(
    r'"(?:error|exception|exc|err|cause|root_cause)[\w.]*"\s*:\s*(?:["{]|\[\s*\{)', re.IGNORECASE
)
_CLASS = re.compile(r"[A-Za-z_][\w.$]{2,120}")
_PAIRS = (
    ("errorType", "errorMessage"),  # AWS Lambda
    ("error_type", "error_message"),
    ("exc_type", "exc_message"),
    ("exception_type", "exception_message"),
    ("error_class", "error_message"),
    ("exception.type", "exception.message"),  # OpenTelemetry, semantic conventions for exceptions
    ("exception.class", "exception.message"),
    ("error.type", "error.message"),  # Elastic Common Schema
    ("error.kind", "error.message"),  # OpenTracing
    ("exceptionClass", "message"),
    ("class", "message"),
    ("type", "message"),
    ("type", "reason"),  # Elasticsearch
    ("name", "message"),  # Node
)
_DECODER = json.JSONDecoder()


def on_one_line(text: str) -> str:
    """Return ``text`` with JSON over several lines on one line each; no other line changes its number."""
    pieces, done, read = [], 0, 0
    for opened in _OPENED.finditer(text):
        start = opened.start()
        if start < done or read >= MOST_READ:
            continue
        read += 1
        found = _decoded(text, start)
        if found is None:
            continue
        value, end = found
        # What follows keeps its place: as many ends of lines as the object had.
        shown = json.dumps(value, ensure_ascii=False) + "\n" * text.count("\n", start, end)
        pieces += [text[done:start], shown]
        done = end
    return "".join((*pieces, text[done:])) if pieces else text


def named_exception(line: str) -> tuple[str, str] | None:
    """Return class and message of the exception that a JSON object in a line names, None without one."""
    start = line.find("{")
    if start < 0 or _NAMES_ONE.search(line, start) is None:
        return None
    found = _decoded(line, start)
    return None if found is None else next(_exceptions(found[0], 0), None)


def _decoded(text: str, start: int) -> tuple[Any, int] | None:
    try:
        value, length = _DECODER.raw_decode(text[start : start + LONGEST_OBJECT])
    except (ValueError, RecursionError):
        return None
    return value, start + length


def _exceptions(value: Any, depth: int) -> Iterator[tuple[str, str]]:
    if depth > DEEPEST:
        return
    if isinstance(value, list):
        for one in value[:MOST_READ]:
            yield from _exceptions(one, depth + 1)
    if not isinstance(value, dict):
        return
    for key in ("root_cause", "caused_by", "cause"):  # nearer to the root
        yield from _exceptions(value.get(key), depth + 1)
    for name, message in _PAIRS:
        told, said = value.get(name), value.get(message)
        if isinstance(told, str) and isinstance(said, str) and said and _CLASS.fullmatch(told):
            yield told, said
    for key, one in value.items():
        if re.match(r"err|exc", key, re.IGNORECASE):
            yield from _exceptions(one, depth + 1)
