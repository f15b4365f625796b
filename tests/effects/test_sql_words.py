"""What an SQL text does."""

from __future__ import annotations

import pytest

from prefect_autopilot.effects import Level
from prefect_autopilot.effects.sql import classify

READS = [
    "select 1",
    "  SELECT * FROM t WHERE a = 'insert into x'",
    "WITH a AS (SELECT 1) SELECT * FROM a",
    "-- delete from t\nSELECT 1",
    "/* update t set a = 1 */ select 2",
    "EXPLAIN SELECT 1",
]
REPEATABLE = [
    "CREATE TABLE IF NOT EXISTS t (a int)",
    "create or replace view v as select 1",
    "DROP TABLE IF EXISTS t",
    "TRUNCATE t",
    "DELETE FROM t WHERE day = %s",
    "INSERT OR REPLACE INTO t VALUES (1)",
    "INSERT INTO t VALUES (1) ON CONFLICT DO NOTHING",
    "INSERT INTO t (a) VALUES (1) ON CONFLICT (id) DO UPDATE SET a = EXCLUDED.a",
    "UPDATE t SET a = 1, b = %s WHERE a = 2",
    "MERGE INTO t USING s ON t.id = s.id WHEN MATCHED THEN UPDATE SET a = s.a",
]
ADDING = [
    "INSERT INTO t VALUES (1)",
    "INSERT INTO t (n) VALUES (1) ON CONFLICT (id) DO UPDATE SET n = t.n + EXCLUDED.n",
    "UPDATE t SET n = n + 1",
    "CREATE TABLE t (a int)",
    "ALTER TABLE t ADD COLUMN a int",
    "COPY t FROM 's3://b/k'",
    "WITH x AS (INSERT INTO t VALUES (1) RETURNING a) SELECT * FROM x",
    "SELECT * FROM jobs FOR UPDATE",
    "SELECT nextval('s')",
    "DELETE FROM t; INSERT INTO t VALUES (1)",
]


@pytest.mark.parametrize("text", READS)
def test_reads(text: str) -> None:
    assert classify(text) == (Level.READ, False) or classify(text)[0] is Level.READ


@pytest.mark.parametrize("text", REPEATABLE)
def test_writes_that_may_be_repeated(text: str) -> None:
    assert classify(text) == (Level.WRITE, True)


@pytest.mark.parametrize("text", ADDING)
def test_writes_that_add_up(text: str) -> None:
    assert classify(text) == (Level.WRITE, False)


@pytest.mark.parametrize("text", [None, "", "   ", "FROBNICATE t", "?"])
def test_what_is_not_known(text: str | None) -> None:
    assert classify(text)[0] is Level.UNKNOWN
