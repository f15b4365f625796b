"""Databases behind the one call: what is read, written, refused and told, on SQLite and PostgreSQL."""

from __future__ import annotations

import asyncio
import os
import socket
import sqlite3
import tomllib
import uuid
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import anyio
import pytest
from pydantic import SecretStr

from prefect_autopilot.adapters.sql import MOST_ROWS, SQLClient
from prefect_autopilot.errors import ConfigurationError, ServiceError, UnknownNameError, UsageError
from prefect_autopilot.services import load_catalogue

SERVER = os.environ.get("PREFECT_AUTOPILOT_TEST_POSTGRES_URL")
TABLE = (
    "CREATE TABLE orders (id INTEGER PRIMARY KEY, name TEXT NOT NULL, amount NUMERIC(10, 2),"
    " placed TIMESTAMP)"
)
LAMP = {"id": 1, "name": "Lamp", "amount": 12.5, "placed": "2026-03-02T08:00:00"}
CHAIR = {"id": 2, "name": "Chair; DROP TABLE orders", "amount": 39, "placed": None}


def sqlite_client(path: Path, **options: Any) -> SQLClient:
    return SQLClient(load_catalogue().get("sqlite"), {}, base_url=f"sqlite:///{path}", **options)


def postgres_client(url: str, credentials: dict[str, str] | None = None, **options: Any) -> SQLClient:
    secrets = {name: SecretStr(value) for name, value in (credentials or {}).items()}
    options = {"allow_private_network": True, **options}
    return SQLClient(load_catalogue().get("postgres"), secrets, base_url=url, **options)


def a_server() -> str:
    if SERVER:
        return SERVER
    reason = "PREFECT_AUTOPILOT_TEST_POSTGRES_URL names no PostgreSQL server"
    if os.environ.get("CI") == "true":
        pytest.fail(reason)
    pytest.skip(reason)


@pytest.fixture
def empty_file(tmp_path: Path) -> Path:
    path = tmp_path / "shop.db"
    sqlite3.connect(path).close()
    path.touch()
    return path


@pytest.fixture(params=["sqlite", "postgresql"])
async def shop(request: pytest.FixtureRequest, empty_file: Path) -> AsyncIterator[SQLClient]:
    """An open client of a database that holds one empty table."""
    if request.param == "sqlite":
        async with sqlite_client(empty_file) as client:
            await client.call("execute", {"statement": TABLE})
            yield client
        return
    import asyncpg

    server = a_server()
    name = f"shop_{uuid.uuid4().hex}"
    admin = await asyncpg.connect(server)
    await admin.execute(f'CREATE DATABASE "{name}"')
    try:
        async with postgres_client(f"{server.rsplit('/', 1)[0]}/{name}") as client:
            await client.call("execute", {"statement": TABLE})
            yield client
    finally:
        await admin.execute(f'DROP DATABASE "{name}" WITH (FORCE)')
        await admin.close()


async def names(shop: SQLClient) -> list[str]:
    return [
        row["name"] for row in await shop.call("query", {"statement": "SELECT name FROM orders ORDER BY id"})
    ]


async def test_rows_that_were_inserted_are_read_back_as_json_values(shop: SQLClient) -> None:
    assert await shop.call("insert_rows", {"table": "orders", "rows": [LAMP, CHAIR]}) == {"count": 2}

    rows = await shop.call("query", {"statement": "SELECT id, name, amount FROM orders ORDER BY id"})

    assert rows == [
        {"id": 1, "name": "Lamp", "amount": 12.5},
        {"id": 2, "name": "Chair; DROP TABLE orders", "amount": 39},
    ]


async def test_a_moment_is_written_from_iso_text_and_read_back_as_it(shop: SQLClient) -> None:
    await shop.call("insert_rows", {"table": "orders", "rows": [LAMP]})

    [row] = await shop.call("query", {"statement": "SELECT placed FROM orders"})

    assert row["placed"].replace(" ", "T").startswith("2026-03-02T08:00:00")


async def test_values_are_bound_and_never_become_sql(shop: SQLClient) -> None:
    await shop.call("insert_rows", {"table": "orders", "rows": [LAMP, CHAIR]})
    hostile = "x' OR '1'='1"

    asked = {"statement": "SELECT id FROM orders WHERE name = :name", "values": {"name": hostile}}

    assert await shop.call("query", asked) == []
    assert await shop.call("query", {**asked, "values": {"name": CHAIR["name"]}}) == [{"id": 2}]


@pytest.mark.parametrize(
    "statement",
    [
        "DELETE FROM orders",
        "UPDATE orders SET name = 'x'",
        "INSERT INTO orders (id, name) VALUES (9, 'x')",
        "DROP TABLE orders",
        "/* SELECT */ DELETE FROM orders",
        "-- SELECT\nDELETE FROM orders",
        "WITH gone AS (DELETE FROM orders RETURNING id) SELECT * FROM gone",
        "SELECT * INTO copy FROM orders",
        "CREATE TABLE other (id INTEGER)",
        "VACUUM",
        "EXPLAIN ANALYZE DELETE FROM orders",
        "CALL clean_up()",
        "SET search_path = other",
        "PRAGMA journal_mode = DELETE",
    ],
)
async def test_a_query_that_writes_is_refused_before_it_is_sent(shop: SQLClient, statement: str) -> None:
    await shop.call("insert_rows", {"table": "orders", "rows": [LAMP]})

    with pytest.raises(UsageError, match="execute"):
        await shop.call("query", {"statement": statement})

    assert await names(shop) == ["Lamp"]


async def test_the_database_itself_refuses_a_write_hidden_in_a_function() -> None:
    async with postgres_client(a_server()) as client:
        name = f"bump_{uuid.uuid4().hex}"
        body = f"BEGIN CREATE TABLE made_{name} (id int); RETURN 1; END"
        writing = f"CREATE FUNCTION {name}() RETURNS int LANGUAGE plpgsql AS $f$ {body} $f$"
        await client.call("execute", {"statement": writing})
        try:
            with pytest.raises(ServiceError, match="read-only transaction") as caught:
                await client.call("query", {"statement": f"SELECT n FROM {name}() AS n"})
        finally:
            await client.call("execute", {"statement": f"DROP FUNCTION {name}()"})

    assert caught.value.permanent
    assert caught.value.effect == "safe"


@pytest.mark.parametrize(
    "statement",
    [
        "SELECT 1; SELECT 2",
        "SELECT 1; DROP TABLE orders",
        "SELECT 1;;DELETE FROM orders;",
        "SELECT '--'; SELECT 2",
    ],
)
@pytest.mark.parametrize("operation", ["query", "execute"])
async def test_several_statements_are_refused(shop: SQLClient, operation: str, statement: str) -> None:
    with pytest.raises(UsageError, match="several"):
        await shop.call(operation, {"statement": statement})


@pytest.mark.parametrize(
    "statement",
    [
        "SELECT ';' AS mark",
        "SELECT 'it''s; fine' AS mark",
        "SELECT 1 AS mark;",
        "SELECT 1 AS mark -- one; two",
        "SELECT 1 AS mark /* ; */",
        "SELECT ' :name' AS mark",
        'SELECT 1 AS "mark"',
        "WITH one AS (SELECT 1 AS mark) SELECT mark FROM one",
        "VALUES (1)",
    ],
)
async def test_quotes_and_comments_are_no_statements_and_no_values(shop: SQLClient, statement: str) -> None:
    assert len(await shop.call("query", {"statement": statement})) == 1


@pytest.mark.parametrize("statement", ["", "  ", ";", "-- nothing", "/* nothing */ ;"])
async def test_a_statement_without_sql_is_refused(shop: SQLClient, statement: str) -> None:
    with pytest.raises(UsageError, match="no SQL"):
        await shop.call("query", {"statement": statement})


@pytest.mark.parametrize(
    ("parameters", "told"),
    [
        ({"statement": "SELECT 1", "values": {"nme": 1}}, ":nme"),
        ({"statement": "SELECT :name", "values": {"nme": 1}}, "did you mean name"),
        ({"statement": "SELECT :name"}, ":name"),
        ({"statement": "SELECT :a, :b", "values": {"a": 1}}, ":b"),
        ({"statement": "SELECT 1", "limit": 0}, "limit"),
        ({"statement": "SELECT 1", "limit": MOST_ROWS + 1}, "limit"),
        ({"statement": "SELECT 1", "limit": "many"}, "limit"),
        ({"statement": "SELECT 1", "rows": 3}, "rows"),
        ({"statement": 7}, "statement"),
        ({}, "statement"),
        ({"statement": "SELECT /*!50000 1, */ 2"}, "MySQL"),
        ({"statement": "SELECT 1 AS x, 2 AS x"}, "'x'"),
    ],
)
async def test_a_wrong_parameter_is_named(shop: SQLClient, parameters: dict[str, Any], told: str) -> None:
    with pytest.raises(UsageError, match=told):
        await shop.call("query", parameters)


async def test_a_limit_answers_the_first_rows(shop: SQLClient) -> None:
    rows = [{"id": number, "name": f"n{number}"} for number in range(5)]
    await shop.call("insert_rows", {"table": "orders", "rows": rows})

    asked = {"statement": "SELECT id FROM orders ORDER BY id", "limit": 2}

    assert await shop.call("query", asked) == [{"id": 0}, {"id": 1}]


async def test_more_rows_than_a_flow_should_carry_are_an_error_and_not_cut(shop: SQLClient) -> None:
    counting = (
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i <= :most) SELECT i FROM n"
    )

    with pytest.raises(ServiceError, match="more than"):
        await shop.call("query", {"statement": counting, "values": {"most": MOST_ROWS}})

    rows = await shop.call("query", {"statement": counting, "values": {"most": MOST_ROWS - 1}})
    assert len(rows) == MOST_ROWS


async def test_rows_with_a_key_are_updated_when_they_are_there(shop: SQLClient) -> None:
    await shop.call("insert_rows", {"table": "orders", "rows": [LAMP]})
    changed = [{"id": 1, "name": "Desk lamp"}, {"id": 2, "name": "Chair"}]

    for _ in range(2):
        await shop.call("insert_rows", {"table": "orders", "rows": changed, "key": ["id"]})

    rows = await shop.call("query", {"statement": "SELECT id, name, amount FROM orders ORDER BY id"})
    assert rows == [
        {"id": 1, "name": "Desk lamp", "amount": 12.5},
        {"id": 2, "name": "Chair", "amount": None},
    ]


async def test_a_row_that_is_nothing_but_its_key_stays_as_it_is(shop: SQLClient) -> None:
    rows = [{"id": 1, "name": "Lamp"}]

    await shop.call("insert_rows", {"table": "orders", "rows": rows, "key": ["id"]})
    await shop.call("insert_rows", {"table": "orders", "rows": rows, "key": ["id"]})

    assert await names(shop) == ["Lamp"]


async def test_rows_without_a_key_are_unsafe_and_all_or_none_arrive(shop: SQLClient) -> None:
    with pytest.raises(ServiceError) as caught:
        await shop.call("insert_rows", {"table": "orders", "rows": [LAMP, {**LAMP, "name": "Twin"}]})

    assert caught.value.effect == "unsafe"
    assert caught.value.permanent
    assert await names(shop) == []


async def test_a_failed_upsert_may_be_repeated(shop: SQLClient) -> None:
    with pytest.raises(ServiceError) as caught:
        await shop.call("insert_rows", {"table": "orders", "rows": [{"id": 1, "name": None}], "key": ["id"]})

    assert caught.value.effect == "idempotent"


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"table": "order", "rows": [LAMP]}, "no table 'order'"),
        ({"table": "orders", "rows": []}, "'rows'"),
        ({"table": "orders", "rows": [{}]}, "'rows'"),
        ({"table": "orders", "rows": ["Lamp"]}, "'rows'"),
        ({"table": "orders", "rows": [LAMP, {"id": 2}]}, "Row 2"),
        ({"table": "orders", "rows": [{"id": 1, "nme": "x"}]}, "no column 'nme'"),
        ({"table": "orders", "rows": [{"id": 1}], "key": ["number"]}, "no column 'number'"),
        ({"table": "orders", "rows": [{"id": 1}], "key": ["name"]}, "key column 'name'"),
        ({"table": "orders", "rows": [{"id": 1, "name": "x", "placed": "yesterday"}]}, "'placed'"),
        ({"table": "orders; DROP TABLE orders", "rows": [LAMP]}, "no table"),
    ],
)
async def test_rows_that_do_not_fit_are_refused_by_name(
    shop: SQLClient, given: dict[str, Any], told: str
) -> None:
    with pytest.raises(UsageError, match=told):
        await shop.call("insert_rows", given)

    assert await names(shop) == []


async def test_execute_counts_what_it_changed_and_answers_returned_rows(shop: SQLClient) -> None:
    await shop.call("insert_rows", {"table": "orders", "rows": [LAMP, CHAIR]})

    changed = await shop.call(
        "execute", {"statement": "UPDATE orders SET name = :n WHERE id > :i", "values": {"n": "x", "i": 1}}
    )
    gone = await shop.call("execute", {"statement": "DELETE FROM orders WHERE id = 2 RETURNING name"})

    assert changed == {"count": 1}
    assert gone == {"count": 1, "rows": [{"name": "x"}]}
    assert await names(shop) == ["Lamp"]


async def test_tables_are_listed_with_their_columns(shop: SQLClient) -> None:
    [table] = await shop.call("list_tables")

    assert (table["name"], table["columns"]) == ("orders", ["id", "name", "amount", "placed"])


async def test_a_ping_shows_that_the_database_answers(shop: SQLClient) -> None:
    assert await shop.call("ping") == [{"answer": 1}]


async def test_a_wrong_statement_is_told_without_the_values(shop: SQLClient) -> None:
    asked = {"statement": "SELECT :pin AS a FROM nowhere", "values": {"pin": "4711-secret"}}

    with pytest.raises(ServiceError, match="nowhere") as caught:
        await shop.call("query", asked)

    assert caught.value.permanent
    assert "4711" not in str(caught.value)
    assert caught.value.__cause__ is None


async def test_an_operation_the_catalogue_does_not_have_is_refused(shop: SQLClient) -> None:
    with pytest.raises(UnknownNameError, match="query"):
        await shop.call("querry", {"statement": "SELECT 1"})


async def test_one_client_serves_calls_of_several_tasks_at_once(shop: SQLClient) -> None:
    answers = await asyncio.gather(*(shop.call("ping") for _ in range(5)))

    assert answers == [[{"answer": 1}]] * 5


async def test_a_client_is_opened_before_it_is_called(empty_file: Path) -> None:
    with pytest.raises(UsageError, match="async with"):
        await sqlite_client(empty_file).call("ping")


async def test_a_statement_that_takes_too_long_may_be_tried_again(empty_file: Path) -> None:
    endless = (
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 400000)"
        " SELECT max(i) AS m FROM n"
    )

    async with sqlite_client(empty_file, timeout_s=0.001) as client:
        with pytest.raises(ServiceError, match="did not answer") as caught:
            await client.call("query", {"statement": endless})

    assert not caught.value.permanent


async def test_a_database_that_is_not_there_is_a_passing_failure() -> None:
    with socket.socket() as held:  # bound and not listening: nobody answers, and nobody else takes it
        held.bind(("127.0.0.1", 0))
        url = f"postgresql://127.0.0.1:{held.getsockname()[1]}/shop"
        async with postgres_client(url, {"username": "me"}) as client:
            with pytest.raises(ServiceError, match="connection to PostgreSQL failed") as caught:
                await client.call("ping")

    assert not caught.value.permanent


async def test_a_database_the_server_does_not_have_is_a_lasting_failure() -> None:
    url = f"{a_server().rsplit('/', 1)[0]}/nowhere_at_all"

    async with postgres_client(url) as client:
        with pytest.raises(ServiceError, match="nowhere_at_all") as caught:
            await client.call("ping")

    assert caught.value.permanent


@pytest.mark.parametrize(
    ("service", "url", "credentials", "told"),
    [
        ("postgres", None, {}, "'host'"),
        ("postgres", None, {"host": "db.example"}, "'database'"),
        ("postgres", "postgresql://me:pw@db.example/shop", {}, "holds a password"),
        ("postgres", "mysql://db.example/shop", {}, "starts with 'mysql'"),
        ("postgres", "db.example", {}, "cannot be read"),
        ("postgres", "https://db.example", {}, "https"),
        ("mysql", "mysql://db.example/shop", {}, r"'aiomysql'.*pip install 'prefect-autopilot\[mysql\]'"),
        (
            "microsoft_sql_server",
            "mssql://db.example/shop",
            {},
            r"'aioodbc'.*pip install 'prefect-autopilot\[mssql\]'",
        ),
        ("sqlite", None, {}, "'path'"),
        ("sqlite", "sqlite:///no/such/file.db", {}, "no database file"),
        ("sqlite", "sqlite://", {}, "no database file"),
        ("sqlite", "sqlite:///:memory:", {}, "no database file"),
    ],
)
def test_an_address_that_cannot_work_is_told_in_one_sentence(
    service: str, url: str | None, credentials: dict[str, str], told: str
) -> None:
    secrets = {name: SecretStr(value) for name, value in credentials.items()}

    with pytest.raises(ConfigurationError, match=told) as caught:
        SQLClient(load_catalogue().get(service), secrets, base_url=url)

    assert "pw" not in str(caught.value)


def test_no_file_is_made_for_a_database_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError):
        sqlite_client(tmp_path / "missing.db")

    assert list(tmp_path.iterdir()) == []


def test_host_and_database_of_a_connection_fill_the_address() -> None:
    from prefect_autopilot.adapters.sql import database_url

    held = {"host": "db.example", "database": "shop", "username": "me", "password": "p@ss/word"}

    url = database_url(load_catalogue().get("postgres"), None, held)

    assert url.render_as_string(hide_password=False) == (
        "postgresql+asyncpg://me:p%40ss%2Fword@db.example:5432/shop"
    )


def test_libpq_words_for_encryption_reach_the_driver() -> None:
    from prefect_autopilot.adapters.sql import database_url

    url = database_url(load_catalogue().get("postgres"), "postgresql://h/d?sslmode=require", {})

    assert dict(url.query) == {"ssl": "require"}


PRIVATE_PLACES = {
    "loopback": "postgresql://127.0.0.1:5432/shop",
    "local name": "postgresql://localhost/shop",
    "metadata": "postgresql://169.254.169.254/shop",
    "private": "postgresql://10.1.2.3/shop",
    "IPv6": "postgresql://[::1]/shop",
    "short": "postgresql://127.1/shop",
    "socket": "postgresql:///shop?host=/var/run/postgresql",
    "nothing": "postgresql:///shop",
    "in a query": "postgresql:///shop?host=10.1.2.3:5432",
    "beside the host": "postgresql://8.8.8.8/shop?host=10.1.2.3",
}


@pytest.mark.parametrize("url", PRIVATE_PLACES.values(), ids=PRIVATE_PLACES.keys())
@pytest.mark.parametrize("operation", ["ping", "execute"])
async def test_a_database_at_a_private_address_is_refused_unless_allowed(url: str, operation: str) -> None:
    given = {"statement": "DELETE FROM orders"} if operation == "execute" else {}
    async with postgres_client(url, {"username": "me"}, allow_private_network=False) as client:
        with pytest.raises(ConfigurationError, match=r"nothing was sent.*allow_private_network"):
            await client.call(operation, given)


async def test_a_private_database_server_sees_no_connection() -> None:
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        held.listen()
        held.setblocking(False)  # noqa: FBT003  the socket's own
        url = f"postgresql://127.0.0.1:{held.getsockname()[1]}/shop"
        async with postgres_client(url, {"username": "me"}, allow_private_network=False) as client:
            with pytest.raises(ConfigurationError):
                await client.call("ping")
        with pytest.raises(BlockingIOError):
            held.accept()


@pytest.mark.parametrize("found", [["10.0.0.7"], ["8.8.8.8", "127.0.0.1"], ["fd00::1"]], ids=str)
async def test_what_a_database_name_means_is_checked_at_every_connection(
    monkeypatch: pytest.MonkeyPatch, found: list[str]
) -> None:
    asked: list[tuple[str, int]] = []

    async def look_up(host: str, port: int, **_: object) -> list[Any]:
        asked.append((host, port))
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (one, port)) for one in found]

    monkeypatch.setattr(anyio, "getaddrinfo", look_up)
    async with postgres_client("postgresql://db.example/shop", allow_private_network=False) as client:
        for _ in range(2):
            with pytest.raises(ConfigurationError, match=r"db\.example is an address of a private network"):
                await client.call("ping")
    assert asked == [("db.example", 5432)] * 2


async def test_a_database_name_nobody_knows_is_a_passing_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    async def look_up(*_: object, **__: object) -> list[Any]:
        raise socket.gaierror(-2, "Name or service not known")

    monkeypatch.setattr(anyio, "getaddrinfo", look_up)
    async with postgres_client("postgresql://db.example/shop", allow_private_network=False) as client:
        with pytest.raises(ServiceError, match="could not be resolved") as caught:
            await client.call("ping")
    assert not caught.value.permanent


async def test_a_database_file_is_in_no_network(empty_file: Path) -> None:
    async with sqlite_client(empty_file, allow_private_network=False) as client:
        assert await client.call("ping") == [{"answer": 1}]


@pytest.mark.parametrize(("driver", "extra"), [("aiomysql", "mysql"), ("aioodbc", "mssql")])
def test_each_driver_that_is_no_dependency_is_an_extra_of_the_package(driver: str, extra: str) -> None:
    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text(encoding="utf-8"))
    extras = project["project"]["optional-dependencies"]
    assert any(one.startswith(driver) for one in extras[extra])
