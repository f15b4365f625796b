"""Bring a database to the schema of this version, in one transaction."""

from __future__ import annotations

from importlib.resources import as_file, files

from sqlalchemy import Column, Connection, MetaData, String, Table, inspect, select

from prefect_autopilot.errors import StoreError

HEAD = "0008"
"""Newest revision of ``migrations/versions``; a test compares the two."""

VERSION_TABLE = "autopilot_schema_version"

_version = Table(VERSION_TABLE, MetaData(), Column("version_num", String(32), primary_key=True))


def revision(connection: Connection) -> str | None:
    """Return the schema revision of a database, None where there is none yet."""
    if not inspect(connection).has_table(VERSION_TABLE):
        return None
    found = connection.execute(select(_version.c.version_num)).scalar_one_or_none()
    return str(found) if found is not None else None


def migrate(connection: Connection, target: str = "head") -> None:
    """Upgrade, or downgrade to ``target`` ("base" removes everything), inside the caller's transaction.

    Raises StoreError when the database was written by a newer version.
    """
    current = revision(connection)
    if target in {"head", HEAD} and current == HEAD:
        return
    _run(connection, current, target)


def _run(connection: Connection, current: str | None, target: str) -> None:
    from alembic import command
    from alembic.config import Config
    from alembic.script import ScriptDirectory
    from alembic.util import CommandError

    with as_file(files("prefect_autopilot.store") / "migrations") as folder:
        config = Config()
        config.set_main_option("script_location", str(folder).replace("%", "%%"))
        config.attributes["connection"] = connection
        if current is not None:
            try:
                ScriptDirectory.from_config(config).get_revision(current)
            except CommandError:
                raise StoreError(
                    f"The database has schema {current}, which this prefect-autopilot does not know; upgrade"
                    " prefect-autopilot or name another database in PREFECT_AUTOPILOT_STORE_URL."
                ) from None
        if target == "head":
            command.upgrade(config, target)
        else:
            command.downgrade(config, target)
