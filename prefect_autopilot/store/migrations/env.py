"""Run migrations on the connection that `prefect_autopilot.store.schema` hands over."""

from __future__ import annotations

from alembic import context

from prefect_autopilot.store.schema import VERSION_TABLE
from prefect_autopilot.store.tables import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    version_table=VERSION_TABLE,
    # SQLite can roll back DDL, Alembic only does not rely on it: the caller's transaction is all or nothing.
    transactional_ddl=True,
)
with context.begin_transaction():
    context.run_migrations()
