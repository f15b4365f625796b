"""What an SQL text does, by its first words: enough to tell reads, repeatable writes and others apart."""

from __future__ import annotations

import re

from prefect_autopilot.effects.values import Level

_READS = ("SELECT", "SHOW", "EXPLAIN", "DESCRIBE", "DESC", "VALUES", "TABLE", "PRAGMA", "SET", "USE")
_WRITES_INSIDE = re.compile(
    r"\b(INSERT\s+INTO|UPDATE\s+\w+\s+SET|DELETE\s+FROM|MERGE\s+INTO|FOR\s+(?:NO\s+KEY\s+)?UPDATE|"
    r"INTO\s+\w+|NEXTVAL|SETVAL|PG_NOTIFY|LO_\w+|DBLINK_EXEC)\b"
)
_REPEATABLE = re.compile(
    r"^(CREATE\b.*\bIF\s+NOT\s+EXISTS|CREATE\s+OR\s+REPLACE|DROP\b.*\bIF\s+EXISTS|TRUNCATE\b|DELETE\s+FROM|"
    r"INSERT\s+OR\s+(REPLACE|IGNORE)|INSERT\s+IGNORE|REPLACE\s+INTO|REFRESH\b|ANALYZE\b|"
    r"VACUUM\b|GRANT\b|REVOKE\b|COMMIT\b|BEGIN\b|ROLLBACK\b)",
    re.DOTALL,
)
_CONFLICT = re.compile(r"\bON\s+(CONFLICT|DUPLICATE\s+KEY)\b")
_SETS = r"(?:\bSET\b|\bDUPLICATE\s+KEY\s+UPDATE\b)"
_TARGET = re.compile(r"^(?:UPDATE|INSERT\s+INTO|MERGE\s+INTO)\s+([\w.]+)(?:\s+(?:AS\s+)?(\w+))?")
# Functions of the common databases that compute; others may be somebody's procedures.
_FUNCTIONS = frozenset(
    {
        "ABS",
        "ANY",
        "AVG",
        "CAST",
        "CEIL",
        "CEILING",
        "CHAR_LENGTH",
        "COALESCE",
        "CONCAT",
        "CONCAT_WS",
        "CONVERT",
    }
    | {
        "COUNT",
        "CUME_DIST",
        "CURDATE",
        "CURRENT_SCHEMA",
        "CURTIME",
        "DATABASE",
        "DATE",
        "DATEADD",
        "DATEDIFF",
    }
    | {"DATENAME", "DATEPART", "DATETIME", "DAY", "DECODE", "DENSE_RANK", "DIV0", "EXISTS", "EXP", "EXTRACT"}
    | {"FIRST_VALUE", "FLATTEN", "FLOOR", "FORMAT", "GENERATE_SERIES", "GETDATE", "GREATEST", "GROUP_CONCAT"}
    | {
        "GROUPING",
        "HOUR",
        "IF",
        "IFF",
        "IFNULL",
        "INITCAP",
        "INSTR",
        "ISNULL",
        "JULIANDAY",
        "LAG",
        "LAST_DAY",
    }
    | {
        "LAST_VALUE",
        "LEAD",
        "LEAST",
        "LEFT",
        "LEN",
        "LENGTH",
        "LISTAGG",
        "LN",
        "LOG",
        "LOWER",
        "LPAD",
        "LTRIM",
    }
    | {
        "MAX",
        "MD5",
        "MEDIAN",
        "MIN",
        "MINUTE",
        "MOD",
        "MODE",
        "MONTH",
        "NOW",
        "NTH_VALUE",
        "NTILE",
        "NULLIF",
        "NVL",
    }
    | {"OCTET_LENGTH", "PERCENT_RANK", "POSITION", "POW", "POWER", "QUARTER", "RANDOM", "RANK", "READ_CSV"}
    | {
        "READ_CSV_AUTO",
        "READ_JSON",
        "READ_PARQUET",
        "REPLACE",
        "REVERSE",
        "RIGHT",
        "ROUND",
        "ROW",
        "ROW_NUMBER",
    }
    | {
        "RPAD",
        "RTRIM",
        "SAFE_CAST",
        "SECOND",
        "SIGN",
        "SOUNDEX",
        "SPLIT",
        "SPLIT_PART",
        "SQRT",
        "STRUCT",
        "SUM",
    }
    | {"SYSDATE", "TABLE", "TIME", "TOTAL", "TRANSLATE", "TRIM", "TRUNC", "TRY_CAST", "UNIXEPOCH", "UNNEST"}
    | {"UPPER", "USER", "UUID", "VERSION", "WEEK", "YEAR", "ZEROIFNULL"}
    # Words and types that a bracket follows as well.
    | {
        "ALL",
        "AND",
        "AS",
        "BETWEEN",
        "BY",
        "CASE",
        "CUBE",
        "DISTINCT",
        "ELSE",
        "EXCEPT",
        "FILTER",
        "FROM",
        "GROUP",
    }
    | {
        "IN",
        "INTERSECT",
        "INTERVAL",
        "JOIN",
        "LATERAL",
        "LIKE",
        "MATERIALIZED",
        "NOT",
        "ON",
        "OR",
        "OVER",
        "QUALIFY",
    }
    | {
        "ROLLUP",
        "SELECT",
        "SETS",
        "SOME",
        "THEN",
        "TOP",
        "UNION",
        "USING",
        "VALUES",
        "WHEN",
        "WHERE",
        "WINDOW",
    }
    | {
        "ARRAY",
        "CHAR",
        "CHARACTER",
        "DECIMAL",
        "FLOAT",
        "NUMBER",
        "NUMERIC",
        "NVARCHAR",
        "TIMESTAMP",
        "VARCHAR",
        "XML",
    }
)
# In FROM stand tables and functions that make rows; a function of one's own may do more than that.
_ROWS = re.compile(
    r"(?:JSON|REGEXP|GENERATE|READ|STRING|XML|OPEN|TABLE|PG_LS|PG_STAT|INFORMATION)\w*$|\w*SPLIT\w*$"
)
_FROM_CALL = re.compile(r"\b(?:FROM|JOIN|LATERAL)\s+(?:\w+\.)*(\w+)\s*\(")
_ACTS = re.compile(
    r"(?:^|_)(TAKE|RESERVE|CLAIM|POP|DEQUEUE|ENQUEUE|ACQUIRE|RELEASE|LOCK|UNLOCK|INSERT|UPDATE|UPSERT|DELETE|REMOVE|CREATE|"
    r"DROP|SET|REFRESH|SEND|NOTIFY|CLOSE|OPEN|PROCESS|MARK|ASSIGN|CANCEL|RUN|EXECUTE|PURGE|ARCHIVE|NEXT|CONSUME|APPLY|POST)"
    r"(?:_|$)"
)
_NAMED_HERE = re.compile(r"\b(\w+)\s*\([^()]*\)\s+AS\s*\(|\bAS\s+(\w+)\s*\(")


def classify(text: str | None) -> tuple[Level, bool]:
    """Return level and idempotence of an SQL text; unknown for None or words it does not know."""
    if text is None or not text.strip():
        return Level.UNKNOWN, False
    statements = [part for part in _bare(text).split(";") if part.strip()]
    judged = [_classify_one(part.strip()) for part in statements]
    level = max((level for level, _ in judged), key=lambda one: one.rank, default=Level.UNKNOWN)
    return level, all(repeatable for one, repeatable in judged if one is Level.WRITE)


def _bare(text: str) -> str:
    """Return the text in capitals without comments, string constants and the quotes of names."""
    text = re.sub(r"--[^\n]*|/\*.*?\*/", " ", text, flags=re.DOTALL)
    text = re.sub(r"'(?:[^']|'')*'", "''", text).upper()
    return re.sub(r'["`\[\]]', "", text)


def _classify_one(statement: str) -> tuple[Level, bool]:
    word = re.match(r"\W*(\w+)", statement)
    if word is None:
        return Level.UNKNOWN, False
    first = word.group(1)
    if first in _READS or first == "WITH":
        return (Level.WRITE if _WRITES_INSIDE.search(statement) else _level_of_query(statement)), False
    if _REPEATABLE.match(statement):
        return Level.WRITE, True
    if first in {"INSERT", "UPDATE", "MERGE"}:
        conflict = _CONFLICT.search(statement)
        known = first != "INSERT" or conflict is not None
        return Level.WRITE, known and not _changes_by_itself(statement)
    if first == "COPY" and re.search(r"\bTO\s+STDOUT\b", statement):
        return Level.READ, False
    known_words = {
        "CREATE",
        "DROP",
        "ALTER",
        "COPY",
        "CALL",
        "EXEC",
        "LOCK",
        "COMMENT",
        "UNLOAD",
        "LOAD",
        "NOTIFY",
    }
    return (Level.WRITE if first in known_words else Level.UNKNOWN), False


def _level_of_query(statement: str) -> Level:
    """Return unknown for a query that calls what may be a procedure: it may be there for what it does."""
    named = {name for names in _NAMED_HERE.findall(statement) for name in names}
    called = set(re.findall(r"\b([A-Z_]\w*)\s*\(", statement)) - _FUNCTIONS - named
    if not re.search(r"\bFROM\b", statement):
        return Level.UNKNOWN if called and statement.startswith("SELECT") else Level.READ
    rows = {name for name in _FROM_CALL.findall(statement) if not _ROWS.match(name)} & called
    return Level.UNKNOWN if rows or any(_ACTS.search(name) for name in called) else Level.READ


def _changes_by_itself(statement: str) -> bool:
    """Tell whether a column is set to something made from its own old value."""
    target = _TARGET.match(statement)
    owners = [name.rsplit(".", 1)[-1] for name in (target.groups() if target else ()) if name]
    prefix = rf"(?:(?<![\w.])|\b(?:{'|'.join(map(re.escape, owners))})\.)" if owners else r"(?<![\w.])"
    for assignments in re.findall(rf"{_SETS}(.*?)(?=\bWHERE\b|\bWHEN\b|$)", statement, re.DOTALL):
        if assignments.lstrip().startswith("("):
            return True  # several columns at once: not taken apart
        given = re.sub(r"\bVALUES\s*\(\s*\w+\s*\)", "''", assignments)
        for column, value in re.findall(r"\b([A-Z_]\w*)\s*=\s*([^,;]*)", given):
            if re.search(rf"{prefix}{column}\b", value):
                return True
    return False
