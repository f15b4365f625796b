"""What is checked of an SQL text before a database sees it: one statement, its values, reading or not."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from typing import Any

from prefect_autopilot.effects import Level
from prefect_autopilot.effects.sql import classify
from prefect_autopilot.errors import UnknownNameError, UsageError

# Comments, strings, quoted names and dollar quotes, whichever begins first: a ';' or ':' in one of them
# is no end of a statement and no value.
_QUOTED = re.compile(
    r"--[^\n]*|/\*.*?(?:\*/|\Z)|'(?:[^']|'')*(?:'|\Z)|\"(?:[^\"]|\"\")*(?:\"|\Z)|`[^`]*(?:`|\Z)"
    r"|\$(\w*)\$.*?(?:\$\1\$|\Z)",
    re.DOTALL,
)
_QUERIES = ("SELECT", "WITH", "VALUES", "TABLE", "SHOW", "DESCRIBE")
_VALUE = re.compile(r"(?<![:\w\\]):(\w+)(?!:)")


def check_statement(statement: str, values: Mapping[str, Any], *, reads_only: bool) -> None:
    """Check that the text is one statement with exactly these ``:name`` values, and that it only reads.

    Raises UsageError, UnknownNameError for a value the statement does not use.
    """
    bare = _QUOTED.sub(" ", statement)
    parts = [part for part in bare.split(";") if part.strip()]
    if not parts:
        msg = "The parameter 'statement' holds no SQL statement."
        raise UsageError(msg)
    if len(parts) > 1:
        msg = "The parameter 'statement' holds several SQL statements; call the operation once for each."
        raise UsageError(msg)
    if "/*!" in statement:
        msg = "The statement holds a comment that MySQL executes (/*! … */); write it as SQL."
        raise UsageError(msg)
    word = parts[0].split()[0].upper()
    if reads_only and (word not in _QUERIES or classify(bare)[0] is Level.WRITE):
        msg = f"query only reads, and this statement ({word}) may change data; use execute for it."
        raise UsageError(msg)
    wanted = dict.fromkeys(_VALUE.findall(bare))
    for name in values:
        if name not in wanted:
            nearest = tuple(difflib.get_close_matches(name, wanted, n=3))
            raise UnknownNameError("value in the statement", f":{name}", nearest)
    missing = [f":{name}" for name in wanted if name not in values]
    if missing:
        plural = "s" if len(missing) > 1 else ""
        msg = f"The statement needs the value{plural} {', '.join(missing)}; add to the parameter 'values'."
        raise UsageError(msg)


def escaped(statement: str) -> str:
    r"""Return the text with ``:name`` inside quotes and comments as ``\:name``, which binds no value."""
    return _QUOTED.sub(lambda match: _VALUE.sub(r"\\:\1", match[0]), statement)
