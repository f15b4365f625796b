"""Alembic's environment and revisions; `prefect_autopilot.store.schema` runs them."""
