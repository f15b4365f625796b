"""SQL by its words: reads, writes that may be repeated, writes that add up, and what is not known."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from prefect_autopilot.effects import Level
from prefect_autopilot.effects.sql import classify

READS = {
    "end of statement": "SELECT 1;",
    "small letters": "select a, b from t where c = 1 order by d limit 3",
    "in brackets": "(SELECT 1) UNION (SELECT 2)",
    "over lines": "\n  SELECT\n    *\n  FROM t\n",
    "two reads": "SELECT 1; SELECT 2",
    "with": "WITH a AS (SELECT 1), b AS (SELECT 2) SELECT * FROM a, b",
    "recursive": "WITH RECURSIVE a AS (SELECT 1 UNION ALL SELECT n + 1 FROM a) SELECT * FROM a",
    "a write in a text": "SELECT * FROM log WHERE line LIKE '%INSERT INTO t%'",
    "a quote in a text": "SELECT 'it''s; DELETE FROM t'",
    "a write in a comment": "SELECT 1 -- DELETE FROM t",
    "a write in a long comment": "/* TRUNCATE t; */ SELECT 1",
    "columns named like writes": "SELECT updated, deleted_from, insert_into FROM t",
    "table named like a write": "SELECT * FROM updates",
    "values": "VALUES (1), (2)",
    "table": "TABLE t",
    "show": "SHOW TABLES",
    "describe": "DESCRIBE t",
    "explain": "EXPLAIN SELECT * FROM t",
    "pragma": "PRAGMA table_info(t)",
    "search path": "SET search_path TO shop",
    "use": "USE shop",
    "clock of the database": "SELECT NOW()",
    "known functions": "SELECT COALESCE(MAX(id), 0), LOWER(name) FROM t",
    "own functions over a table": "SELECT shop.price(id) FROM t",
    "placeholder": "SELECT ? FROM t WHERE a = %s AND b = :b",
    "copied out": "COPY (SELECT * FROM t) TO STDOUT WITH CSV",
}


@pytest.mark.parametrize("text", READS.values(), ids=READS)
def test_reads(text: str) -> None:
    assert classify(text)[0] is Level.READ


REPEATABLE = {
    "delete": "DELETE FROM t WHERE day = '2026-01-02'",
    "delete everything": "delete from t",
    "truncate": "TRUNCATE TABLE t",
    "drop if there": "DROP TABLE IF EXISTS t",
    "drop view if there": "DROP VIEW IF EXISTS v CASCADE",
    "create if missing": "CREATE TABLE IF NOT EXISTS t (a INT)",
    "index if missing": "CREATE INDEX IF NOT EXISTS i ON t (a)",
    "create or replace": "CREATE OR REPLACE VIEW v AS SELECT 1",
    "constant set": "UPDATE t SET a = 1, b = 'x' WHERE id = 3",
    "placeholder set": "UPDATE t SET a = %s WHERE id = %s",
    "other column": "UPDATE t SET a = b",
    "from another table": "UPDATE t SET a = s.a FROM s WHERE s.id = t.id",
    "its own column only in the condition": "UPDATE t SET state = 'done' WHERE state = 'open'",
    "quoted names": 'UPDATE "T" SET "a" = 1',
    "or replace": "INSERT OR REPLACE INTO t VALUES (1)",
    "or ignore": "INSERT OR IGNORE INTO t VALUES (1)",
    "ignore": "INSERT IGNORE INTO t VALUES (1)",
    "replace": "REPLACE INTO t VALUES (1)",
    "conflict: nothing": "INSERT INTO t VALUES (1) ON CONFLICT DO NOTHING",
    "conflict: update": "INSERT INTO t (id, a) VALUES (1, 2) ON CONFLICT (id) DO UPDATE SET a = EXCLUDED.a",
    "duplicate key": "INSERT INTO t (id, a) VALUES (1, 2) ON DUPLICATE KEY UPDATE a = VALUES(a)",
    "merge": "MERGE INTO t USING s ON t.id = s.id WHEN MATCHED THEN UPDATE SET a = s.a",
    "merge with insert": (
        "MERGE INTO t AS x USING s ON x.id = s.id WHEN MATCHED THEN UPDATE SET a = s.a "
        "WHEN NOT MATCHED THEN INSERT (id, a) VALUES (s.id, s.a)"
    ),
    "refresh": "REFRESH MATERIALIZED VIEW v",
    "vacuum": "VACUUM t",
    "grant": "GRANT SELECT ON t TO u",
    "commit": "COMMIT",
    "transaction": "BEGIN; DELETE FROM t; COMMIT",
    "read and repeatable write": "SELECT 1; TRUNCATE t",
}


@pytest.mark.parametrize("text", REPEATABLE.values(), ids=REPEATABLE)
def test_writes_that_leave_the_same_when_repeated(text: str) -> None:
    assert classify(text) == (Level.WRITE, True)


ADDING = {
    "insert": "INSERT INTO t VALUES (1)",
    "insert from a query": "INSERT INTO t SELECT * FROM s",
    "conflict in a text": "INSERT INTO t VALUES ('ON CONFLICT DO NOTHING')",
    "conflict in a comment": "INSERT INTO t VALUES (1) -- ON CONFLICT DO NOTHING",
    "conflict: count": "INSERT INTO t (n) VALUES (1) ON CONFLICT (id) DO UPDATE SET n = t.n + 1",
    "conflict: count without the table": (
        "INSERT INTO t (n) VALUES (1) ON CONFLICT (id) DO UPDATE SET n = n + EXCLUDED.n"
    ),
    "duplicate key: count": "INSERT INTO t VALUES (1) ON DUPLICATE KEY UPDATE n = n + 1",
    "count": "UPDATE t SET n = n + 1",
    "count without spaces": "update t set n=n+1",
    "count down": "UPDATE shop.stock SET amount = amount - %s WHERE id = %s",
    "count with the table": "UPDATE t SET n = t.n + 1",
    "count with the table's other name": "UPDATE t AS x SET n = x.n + 1",
    "count in quotes": 'UPDATE "t" SET "n" = "n" + 1',
    "count in backticks": "UPDATE `t` SET `n` = `n` + 1",
    "count in brackets": "UPDATE [t] SET [n] = [n] + 1",
    "text lengthened": "UPDATE t SET log = log || 'again'",
    "default of itself": "UPDATE t SET a = COALESCE(a, 0) + 1",
    "second assignment": "UPDATE t SET a = 1, n = n + 1",
    "several columns at once": "UPDATE t SET (a, n) = (1, n + 1)",
    "merge that counts": "MERGE INTO t USING s ON t.id = s.id WHEN MATCHED THEN UPDATE SET n = t.n + s.n",
    "create": "CREATE TABLE t (a INT)",
    "create from a query": "CREATE TABLE t AS SELECT 1",
    "drop": "DROP TABLE t",
    "alter": "ALTER TABLE t ADD COLUMN a INT",
    "query into a table": "SELECT * INTO backup FROM t",
    "query into a file": "SELECT * INTO OUTFILE '/tmp/x' FROM t",
    "delete inside a query": "WITH d AS (DELETE FROM t RETURNING *) SELECT * FROM d",
    "insert behind a with": "WITH a AS (SELECT 1) INSERT INTO t SELECT * FROM a",
    "explained for real": "EXPLAIN ANALYZE DELETE FROM t",
    "sequence": "SELECT nextval('orders_id')",
    "sequence set": "SELECT setval('orders_id', 1)",
    "notification": "SELECT pg_notify('c', 'x')",
    "notify": "NOTIFY c",
    "rows locked": "SELECT * FROM jobs FOR UPDATE SKIP LOCKED",
    "copied in": "COPY t FROM STDIN",
    "copied to a file of the server": "COPY t TO '/tmp/x'",
    "file loaded": "LOAD DATA INFILE 'x' INTO TABLE t",
    "procedure": "CALL close_day()",
    "procedure of a server": "EXEC close_day",
    "lock": "LOCK TABLE t",
    "repeatable, then adding": "DELETE FROM t; INSERT INTO t VALUES (1)",
    "adding, then reading": "INSERT INTO t VALUES (1); SELECT 1",
}


@pytest.mark.parametrize("text", ADDING.values(), ids=ADDING)
def test_writes_that_add_up_when_repeated(text: str) -> None:
    assert classify(text) == (Level.WRITE, False)


UNKNOWN = {
    "none": None,
    "empty": "",
    "white space": " \n\t ",
    "semicolons": ";;",
    "comment": "-- nothing",
    "long comment": "/* nothing */",
    "verb in a placeholder": "? FROM t",
    "verb in braces": "{} FROM t",
    "no verb": "t",
    "block": "DO $$ BEGIN PERFORM 1; END $$",
    "made-up verb": "FROBNICATE t",
    "read, then a made-up verb": "SELECT 1; FROBNICATE t",
    "function of the database's own": "SELECT close_day(1)",
    "function among known ones": "SELECT COALESCE(close_day(1), 0)",
}


@pytest.mark.parametrize("text", UNKNOWN.values(), ids=UNKNOWN)
def test_what_is_not_known_is_not_guessed(text: str | None) -> None:
    assert classify(text)[0] is Level.UNKNOWN


STATEMENTS = [*READS.values(), *REPEATABLE.values(), *ADDING.values()]


@given(st.sampled_from(STATEMENTS), st.sampled_from(["{}", " {} ", "\n{}", "{};", "-- a\n{}", "/* a */ {}"]))
@settings(deadline=None)
def test_space_comments_and_case_change_nothing(statement: str, frame: str) -> None:
    if statement.endswith(";") or "--" in statement:
        return
    assert classify(frame.format(statement)) == classify(statement)
    assert classify(frame.format(statement.lower())) == classify(statement)


@given(st.lists(st.sampled_from(STATEMENTS), min_size=1, max_size=4))
@settings(deadline=None)
def test_several_statements_are_as_bad_as_the_worst(statements: list[str]) -> None:
    single = [classify(one) for one in statements]
    level, repeatable = classify("\n;\n".join(statements))
    assert level is max((one for one, _ in single), key=lambda one: one.rank)
    if level is Level.WRITE:
        assert repeatable is all(again for one, again in single if one is Level.WRITE)


@given(st.text(max_size=60))
def test_any_text_is_classified(text: str) -> None:
    level, repeatable = classify(text)
    assert isinstance(level, Level)
    assert isinstance(repeatable, bool)
