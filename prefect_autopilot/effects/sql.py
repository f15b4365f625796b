"""What an SQL text does, by its first words: enough to tell reads, repeatable writes and others apart."""

from __future__ import annotations

import re

from prefect_autopilot.effects.values import Level

_READS = ("SELECT", "SHOW", "EXPLAIN", "DESCRIBE", "DESC", "VALUES", "TABLE", "PRAGMA", "SET", "USE")
_WRITES_INSIDE = re.compile(
    r"\b(INSERT\s+INTO|UPDATE\s+\w+\s+SET|DELETE\s+FROM|MERGE\s+INTO|FOR\s+(?:NO\s+KEY\s+)?UPDATE|"
    r"INTO\s+OUTFILE|NEXTVAL|SETVAL|PG_NOTIFY|LO_\w+|DBLINK_EXEC)\b"
)
_REPEATABLE = re.compile(
    r"^(CREATE\b.*\bIF\s+NOT\s+EXISTS|CREATE\s+OR\s+REPLACE|DROP\b.*\bIF\s+EXISTS|TRUNCATE\b|DELETE\s+FROM|"
    r"INSERT\s+OR\s+(REPLACE|IGNORE)|REPLACE\s+INTO|MERGE\s+INTO|REFRESH\b|ANALYZE\b|"
    r"VACUUM\b|GRANT\b|REVOKE\b|COMMIT\b|BEGIN\b|ROLLBACK\b)",
    re.DOTALL,
)
_CONFLICT = re.compile(r"\bON\s+(CONFLICT|DUPLICATE\s+KEY)\b")


def classify(text: str | None) -> tuple[Level, bool]:
    """Return level and idempotence of an SQL text; unknown for None or words it does not know."""
    if text is None or not text.strip():
        return Level.UNKNOWN, False
    statements = [part for part in _bare(text).split(";") if part.strip()]
    judged = [_classify_one(part.strip()) for part in statements]
    level = max((level for level, _ in judged), key=lambda one: one.rank, default=Level.UNKNOWN)
    return level, all(repeatable for one, repeatable in judged if one is Level.WRITE)


def _bare(text: str) -> str:
    """Return the text in capitals without comments and string constants."""
    text = re.sub(r"--[^\n]*|/\*.*?\*/", " ", text, flags=re.DOTALL)
    return re.sub(r"'(?:[^']|'')*'", "''", text).upper()


def _classify_one(statement: str) -> tuple[Level, bool]:
    word = re.match(r"\W*(\w+)", statement)
    if word is None:
        return Level.UNKNOWN, False
    first = word.group(1)
    inside = _WRITES_INSIDE.search(statement)
    if first in _READS or first == "WITH":
        return (Level.WRITE, False) if inside else (Level.READ, False)
    if _REPEATABLE.match(statement):
        return Level.WRITE, True
    if first == "INSERT":
        conflict = _CONFLICT.search(statement)
        return Level.WRITE, bool(conflict) and not _changes_by_itself(
            statement[conflict.start() :] if conflict else ""
        )
    if first == "UPDATE":
        return Level.WRITE, not _changes_by_itself(statement)
    known = {"CREATE", "DROP", "ALTER", "COPY", "CALL", "EXEC", "LOCK", "COMMENT", "UNLOAD", "LOAD", "NOTIFY"}
    return (Level.WRITE if first in known else Level.UNKNOWN), False


def _changes_by_itself(assignments: str) -> bool:
    """Tell whether a column is set to something made from its own old value."""
    where = assignments.split(" WHERE ", maxsplit=1)[0]
    pairs = re.findall(r"\b([A-Z_]\w*)\s*=\s*([^,;]*)", where)
    return any(re.search(rf"(?<!EXCLUDED\.)\b{column}\b", value) for column, value in pairs)
