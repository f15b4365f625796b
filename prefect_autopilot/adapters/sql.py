"""Databases behind the same call as every service: bound values only, and reading that cannot write."""

from __future__ import annotations

import asyncio
import importlib
import importlib.util
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from pydantic import SecretStr

from prefect_autopilot.adapters.network import public_addresses
from prefect_autopilot.adapters.service_answers import CallFacts
from prefect_autopilot.adapters.sql_text import check_statement, escaped
from prefect_autopilot.adapters.sql_values import for_column, rows_read
from prefect_autopilot.errors import ConfigurationError, ServiceError, UsageError
from prefect_autopilot.models import JSONDict, Operation, OperationEffect, Service
from prefect_autopilot.services import check_parameters, find_operation

if TYPE_CHECKING:
    from sqlalchemy import URL, Connection, Table
    from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine
    from sqlalchemy.sql.dml import Insert

MOST_ROWS = 10_000
"""Rows a query may answer where it names no limit; more is an error, not a memory problem."""

_TIMEOUT_S = 60.0
_DRIVERS: Mapping[str, str] = {
    "postgresql": "asyncpg",
    "sqlite": "aiosqlite",
    "mysql": "aiomysql",
    "mssql": "aioodbc",
}
_EXTRAS = frozenset({"mysql", "mssql"})
"""Backends whose driver is an extra of this package, of the same name; the others come with Prefect."""
_PORTS: Mapping[str, int] = {"postgresql": 5432, "mysql": 3306, "mssql": 1433}
# Options of the drivers that name another place than the host of the address.
_PLACES = frozenset(
    {"host", "hostaddr", "addr", "address", "server", "dsn", "odbc_connect", "service", "unix_socket"}
    | {"read_default_file", "read_default_group", "failover_partner"}
)
# Classes of SQLSTATE after which the same call may succeed: connection, rollback of a deadlock, resources,
# lock not available, the server going away.
_TRANSIENT_STATES = ("08", "40", "53", "55P03", "57P", "HYT")
_SIGN_IN_STATES = ("28",)


class SQLClient:
    """Calls one database with one connection's credentials; use it as an async context manager."""

    def __init__(
        self,
        service: Service,
        credentials: Mapping[str, SecretStr],
        *,
        base_url: str | None = None,
        connection: str | None = None,
        timeout_s: float = _TIMEOUT_S,
        allow_private_network: bool = False,
    ) -> None:
        """Prepare calls; raises ConfigurationError for an unusable address or a missing driver.

        Without ``allow_private_network`` a database server on this machine or in a private network is
        refused, each time a connection is opened; a SQLite file is no server.
        """
        plain = {name: secret.get_secret_value() for name, secret in credentials.items()}
        self.service = service
        self.connection = connection
        self._secrets = tuple(value for value in plain.values() if value)
        self._timeout_s = timeout_s
        self._allow_private = allow_private_network
        self._url = database_url(service, base_url, plain)
        self._engine: AsyncEngine | None = None

    async def __aenter__(self) -> Self:
        from sqlalchemy.ext.asyncio import create_async_engine
        from sqlalchemy.pool import NullPool

        # No pool: the next call may come from another event loop.
        self._engine = create_async_engine(self._url, poolclass=NullPool, hide_parameters=True)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._engine is not None:
            await self._engine.dispose()

    async def call(
        self,
        operation_id: str,
        parameters: Mapping[str, Any] | None = None,
        *,
        all_pages: bool = False,  # noqa: ARG002  a query is answered whole
        idempotency_key: str | None = None,  # noqa: ARG002  databases know none
    ) -> Any:
        """Call an operation and return rows as dicts of JSON values, or how many rows were changed.

        Raises UsageError for parameters, ConfigurationError for a private address that is not allowed,
        ServiceError for what the database says.
        """
        operation = find_operation(self.service, operation_id)
        given = check_parameters(self.service, operation, parameters or {})
        if "statement" in given:
            check_statement(given["statement"], given.get("values") or {}, reads_only=operation.id == "query")
        reads = operation.effect is OperationEffect.SAFE
        effect = "idempotent" if given.get("key") else operation.effect.value
        facts = CallFacts(self.service, operation.id, effect, self.connection, self._secrets)
        async with self._connected(facts, reads=reads) as link:
            answer = await self._answer(operation, given, link, facts)
            await (link.rollback() if reads else link.commit())
            return answer

    async def _answer(
        self, operation: Operation, given: Mapping[str, Any], link: AsyncConnection, facts: CallFacts
    ) -> Any:
        match operation.id:
            case "ping":
                return await _query(link, "SELECT 1 AS answer", {}, 1, facts)
            case "query":
                return await _query(link, given["statement"], given.get("values"), given.get("limit"), facts)
            case "execute":
                return await _execute(link, given["statement"], given.get("values"))
            case "insert_rows":
                return await _insert(link, given)
            case "list_tables":
                return await link.run_sync(_tables, given.get("schema"))
        msg = f"{self.service.id}.{operation.id} is in the catalogue, but no database call is known for it."
        raise UsageError(msg)

    @asynccontextmanager
    async def _connected(self, facts: CallFacts, *, reads: bool) -> AsyncIterator[AsyncConnection]:
        if self._engine is None:
            msg = "Open the client with 'async with' before it is called."
            raise UsageError(msg)
        name = self.service.name
        try:
            async with asyncio.timeout(self._timeout_s):
                if not self._allow_private:
                    await _check_public(self._url)
                async with self._engine.connect() as link:
                    if reads:
                        await _read_only(link)
                    yield link
        # No cause is chained: drivers put addresses and values into their texts.
        except TimeoutError:
            reason = f"{name} did not answer within {self._timeout_s:g} s"
            raise facts.error(reason, permanent=False) from None
        except OSError as error:
            reason = f"The connection to {name} failed ({type(error).__name__}: {error})"
            raise facts.error(reason, permanent=False) from None
        except self._driver_errors() as error:
            raise _told(error, facts) from None

    def _driver_errors(self) -> tuple[type[Exception], ...]:
        from sqlalchemy.exc import SQLAlchemyError

        driver = importlib.import_module(_DRIVERS[self._url.get_backend_name()])
        # A refused sign-in is raised by the driver itself, before SQLAlchemy wraps its errors.
        own = (getattr(driver, each, None) for each in ("Error", "PostgresError", "InterfaceError"))
        return (SQLAlchemyError, *(kind for kind in own if kind is not None))


def database_url(service: Service, base_url: str | None, credentials: Mapping[str, str]) -> URL:
    """Return the address to connect to, with the driver and the credentials in it.

    Raises ConfigurationError when a part is missing, secrets stand in the address, the driver is not
    installed or the file of a database is not there.
    """
    from sqlalchemy import make_url
    from sqlalchemy.exc import ArgumentError

    try:
        url = make_url(base_url or service.base_url or "")
        backend = url.get_backend_name()
    except (ArgumentError, ValueError):
        msg = f"The address of {service.name} cannot be read; write it like {service.base_url}."
        raise ConfigurationError(msg) from None
    if url.password is not None:
        msg = f"The address of {service.name} holds a password; keep it in the connection's credentials."
        raise ConfigurationError(msg)
    if backend not in _DRIVERS or not (service.base_url or "").startswith(backend):
        msg = (
            f"The address of {service.name} starts with {url.drivername!r}; write it like {service.base_url}."
        )
        raise ConfigurationError(msg)
    driver = _DRIVERS[backend]
    if importlib.util.find_spec(driver) is None:
        package = f"'prefect-autopilot[{backend}]'" if backend in _EXTRAS else driver
        msg = (
            f"{service.name} needs the package {driver!r}; install it where the flow runs:"
            f" pip install {package}."
        )
        raise ConfigurationError(msg)
    url = url.set(
        drivername=f"{backend}+{driver}",
        username=url.username or credentials.get("username") or None,
        password=credentials.get("password") or None,
        host=_filled(service, url.host, credentials),
        database=_filled(service, url.database, credentials),
    )
    if "sslmode" in url.query and driver == "asyncpg":
        url = url.update_query_dict({"ssl": url.query["sslmode"]}).difference_update_query(["sslmode"])
    if backend == "sqlite" and not Path(url.database or "").is_file():
        # SQLite would create an empty database in its place.
        msg = f"There is no database file {url.database!r}; correct the address of the connection."
        raise ConfigurationError(msg)
    return url


async def _check_public(url: URL) -> None:
    """Raise ConfigurationError unless every address of the database server is one of the public internet.

    Drivers connect by name, because TLS is checked and routed by it.
    """
    backend = url.get_backend_name()
    if backend == "sqlite":
        return
    elsewhere = sorted(name for name in url.query if name.lower() in _PLACES)
    if elsewhere or not url.host:
        told = f"names its host by {elsewhere[0]!r}" if elsewhere else "names no host"
        msg = (
            f"The address of the database {told}, which may be private; nothing was sent. Write it as"
            f" {backend}://host/database, or set allow_private_network of the connection."
        )
        raise ConfigurationError(msg)
    await public_addresses(url.host, url.port or _PORTS[backend], None)


def _filled(service: Service, part: str | None, credentials: Mapping[str, str]) -> str | None:
    if part is None or not part.startswith("{"):
        return part
    name = part.strip("{}")
    if not credentials.get(name):
        msg = f"The address of {service.name} needs {name!r}; set the base URL of the connection."
        raise ConfigurationError(msg)
    return credentials[name]


async def _read_only(link: AsyncConnection) -> None:
    """Let the database itself refuse writes, whatever a function of a query does."""
    match link.dialect.name:
        case "postgresql":
            await link.execution_options(postgresql_readonly=True)
        case "sqlite":
            await link.exec_driver_sql("PRAGMA query_only = ON")
        case "mysql":
            await link.exec_driver_sql("SET SESSION TRANSACTION READ ONLY")
            await link.rollback()


async def _query(
    link: AsyncConnection,
    statement: str,
    values: Mapping[str, Any] | None,
    limit: int | None,
    facts: CallFacts,
) -> list[JSONDict]:
    from sqlalchemy import text

    most = MOST_ROWS if limit is None else limit
    if not 1 <= most <= MOST_ROWS:
        msg = f"The parameter 'limit' of {facts.service.id}.query must be 1 to {MOST_ROWS}."
        raise UsageError(msg)
    result = await link.stream(text(escaped(statement)), dict(values or {}))
    found = await result.fetchmany(most + (limit is None))
    await result.close()
    if len(found) > most:
        reason = f"The query answers more than {MOST_ROWS} rows; narrow it or set 'limit'"
        raise facts.error(reason, permanent=True)
    return rows_read(result.keys(), found)


async def _execute(link: AsyncConnection, statement: str, values: Mapping[str, Any] | None) -> JSONDict:
    from sqlalchemy import text

    result = await link.execute(text(escaped(statement)), dict(values or {}))
    if not result.returns_rows:
        return {"count": max(result.rowcount, 0)}
    rows = rows_read(result.keys(), result.fetchall())
    return {"count": len(rows), "rows": rows}


async def _insert(link: AsyncConnection, given: Mapping[str, Any]) -> JSONDict:
    rows, key = list(given["rows"]), list(given.get("key") or ())
    names = _column_names(rows)
    table = await link.run_sync(_table, given["table"], given.get("schema"))
    for name in (*names, *key):
        if name not in table.columns:
            held = ", ".join(column.name for column in table.columns)
            msg = f"The table {table.name!r} has no column {name!r}; it has {held}."
            raise UsageError(msg)
    left_out = [name for name in key if name not in names]
    if left_out:
        msg = f"The rows hold no value for the key column {left_out[0]!r}; add it to every row."
        raise UsageError(msg)
    ready = [{name: for_column(table.columns[name], row[name]) for name in names} for row in rows]
    statement = _upsert(link.dialect.name, table, names, key) if key else table.insert()
    # One statement a row: the count of a batch is not told by every driver.
    for row in ready:
        await link.execute(statement, row)
    return {"count": len(ready)}


def _column_names(rows: Sequence[Any]) -> list[str]:
    if not rows or not all(isinstance(row, Mapping) and row for row in rows):
        msg = "The parameter 'rows' must hold objects with the values of one row each."
        raise UsageError(msg)
    names = list(rows[0])
    for number, row in enumerate(rows, start=1):
        if set(row) != set(names):
            msg = f"Row {number} of the parameter 'rows' has other columns than the first."
            raise UsageError(msg)
    return names


def _upsert(dialect: str, table: Table, names: Sequence[str], key: Sequence[str]) -> Insert:
    from sqlalchemy.dialects import mysql, postgresql, sqlite

    others = [name for name in names if name not in key]
    if dialect == "mysql":
        new = mysql.insert(table)
        # Without other columns the row is left as it is.
        return new.on_duplicate_key_update({name: new.inserted[name] for name in others or key[:1]})
    if dialect not in ("postgresql", "sqlite"):
        msg = "Rows with a key cannot be written to this database; use execute with a MERGE statement."
        raise UsageError(msg)
    into = postgresql.insert(table) if dialect == "postgresql" else sqlite.insert(table)
    if not others:
        return into.on_conflict_do_nothing(index_elements=list(key))
    return into.on_conflict_do_update(
        index_elements=list(key), set_={name: into.excluded[name] for name in others}
    )


def _table(link: Connection, name: str, schema: str | None) -> Table:
    from sqlalchemy import MetaData, Table
    from sqlalchemy.exc import NoSuchTableError

    try:
        return Table(name, MetaData(), schema=schema, autoload_with=link, resolve_fks=False)
    except NoSuchTableError:
        msg = f"The database has no table {name!r}; list_tables shows those there are."
        raise UsageError(msg) from None


def _tables(link: Connection, schema: str | None) -> list[JSONDict]:
    from sqlalchemy import inspect

    seen = inspect(link)
    columns = seen.get_multi_columns(schema=schema)
    return [
        {"schema": held, "name": name, "columns": [column["name"] for column in told]}
        for (held, name), told in sorted(columns.items(), key=lambda each: each[0][1])
    ]


def _told(error: Exception, facts: CallFacts) -> ServiceError:
    own = getattr(error, "orig", None) or error
    # Behind SQLAlchemy's own wrapping of asyncpg stands the error that knows its SQLSTATE.
    state = str(getattr(own, "sqlstate", None) or getattr(own, "pgcode", None) or "")
    lines = str(own).strip().splitlines() or [type(own).__name__]
    words = lines[0].rpartition("'>: ")[2]
    name = facts.service.name
    if state.startswith(_SIGN_IN_STATES) or "Access denied" in words:
        reason = f"{name} did not accept the credentials; correct them in the connection ({words})"
        return facts.error(reason, permanent=True)
    lost = bool(getattr(error, "connection_invalidated", False))
    transient = lost or state.startswith(_TRANSIENT_STATES) or "database is locked" in words
    return facts.error(f"{name} refused the statement: {words}", permanent=not transient)
