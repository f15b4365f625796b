"""The first schema."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

_MOMENT = sa.DateTime(timezone=True)
_JSON = sa.JSON().with_variant(postgresql.JSONB(), "postgresql")
_ROW_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
_TABLES = (
    "autopilot_runs",
    "autopilot_cursors",
    "autopilot_claims",
    "autopilot_leases",
    "autopilot_journal",
    "autopilot_verifications",
    "autopilot_sessions",
    "autopilot_session_runs",
    "autopilot_audit",
    "autopilot_alerts",
    "autopilot_rules",
    "autopilot_notices",
    "autopilot_deliveries",
)


def upgrade() -> None:
    _create_runs()
    _create_journal()
    _create_sessions()
    _create_alerts()


def downgrade() -> None:
    for table in reversed(_TABLES):
        op.drop_table(table)


def _create_runs() -> None:
    op.create_table(
        "autopilot_runs",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("flow_name", sa.Text(), nullable=False),
        sa.Column("deployment_id", sa.Text(), nullable=True),
        sa.Column("deployment_name", sa.Text(), nullable=True),
        sa.Column("state_type", sa.String(length=32), nullable=False),
        sa.Column("state_at", _MOMENT, nullable=False),
        sa.Column("updated", _MOMENT, nullable=False),
        sa.Column("began", _MOMENT, nullable=False),
        sa.Column("digest", sa.String(length=64), nullable=False),
        sa.Column("body", _JSON, nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("autopilot_runs_by_deployment", "autopilot_runs", ["deployment_id", "began"])
    op.create_index("autopilot_runs_by_flow", "autopilot_runs", ["flow_name", "began"])
    op.create_index("autopilot_runs_by_time", "autopilot_runs", ["began"])
    op.create_index("autopilot_runs_by_change", "autopilot_runs", ["state_at"])
    op.create_table(
        "autopilot_cursors",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("value", _MOMENT, nullable=False),
        sa.PrimaryKeyConstraint("name"),
    )


def _create_journal() -> None:
    op.create_table(
        "autopilot_claims",
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("holder", sa.Text(), nullable=False),
        sa.Column("at", _MOMENT, nullable=False),
        sa.PrimaryKeyConstraint("key"),
    )
    op.create_table(
        "autopilot_leases",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("holder", sa.Text(), nullable=False),
        sa.Column("token", sa.BigInteger(), nullable=False),
        sa.Column("expires_at", _MOMENT, nullable=False),
        sa.PrimaryKeyConstraint("name"),
    )
    op.create_table(
        "autopilot_journal",
        sa.Column("id", _ROW_ID, autoincrement=True, nullable=False),
        sa.Column("session_id", sa.Text(), nullable=False),
        sa.Column("flow_run_id", sa.Text(), nullable=False),
        sa.Column("state_id", sa.Text(), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("kind", sa.String(length=64), nullable=False),
        sa.Column("remedy", _JSON, nullable=False),
        sa.Column("lease_token", sa.BigInteger(), nullable=True),
        sa.Column("intended_at", _MOMENT, nullable=False),
        sa.Column("outcome", sa.String(length=32), nullable=True),
        sa.Column("detail", sa.Text(), nullable=False),
        sa.Column("finished_at", _MOMENT, nullable=True),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("flow_run_id", "state_id", "kind", name="autopilot_journal_at_most_once"),
    )
    op.create_index("autopilot_journal_by_time", "autopilot_journal", ["intended_at"])
    op.create_table(
        "autopilot_verifications",
        sa.Column("session_id", sa.Text(), nullable=False),
        sa.Column("attempt", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("fingerprint", sa.Text(), nullable=False),
        sa.Column("deployment_id", sa.Text(), nullable=False),
        sa.Column("outcome", sa.String(length=32), nullable=False),
        sa.Column("at", _MOMENT, nullable=False),
        sa.PrimaryKeyConstraint("session_id", "attempt"),
    )
    op.create_index(
        "autopilot_verifications_by_cause", "autopilot_verifications", ["fingerprint", "deployment_id", "at"]
    )


def _create_sessions() -> None:
    op.create_table(
        "autopilot_sessions",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("workflow_id", sa.Text(), nullable=False),
        sa.Column("fingerprint", sa.Text(), nullable=False),
        sa.Column("status", sa.String(length=64), nullable=False),
        sa.Column("due_at", _MOMENT, nullable=True),
        sa.Column("start_time", _MOMENT, nullable=False),
        sa.Column("end_time", _MOMENT, nullable=True),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("body", _JSON, nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("autopilot_sessions_by_cause", "autopilot_sessions", ["fingerprint", "workflow_id"])
    op.create_index("autopilot_sessions_by_due", "autopilot_sessions", ["due_at"])
    op.create_index("autopilot_sessions_by_time", "autopilot_sessions", ["start_time"])
    op.create_table(
        "autopilot_session_runs",
        sa.Column("session_id", sa.Text(), nullable=False),
        sa.Column("flow_run_id", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("session_id", "flow_run_id"),
    )
    op.create_index("autopilot_session_runs_by_run", "autopilot_session_runs", ["flow_run_id"])
    op.create_table(
        "autopilot_audit",
        sa.Column("sequence", _ROW_ID, autoincrement=False, nullable=False),
        sa.Column("at", _MOMENT, nullable=False),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("action", sa.Text(), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("detail", sa.Text(), nullable=False),
        sa.Column("previous", sa.String(length=64), nullable=False),
        sa.Column("digest", sa.String(length=64), nullable=False),
        sa.PrimaryKeyConstraint("sequence"),
    )
    op.create_index("autopilot_audit_by_subject", "autopilot_audit", ["subject"])


def _create_alerts() -> None:
    op.create_table(
        "autopilot_alerts",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("fingerprint", sa.Text(), nullable=False),
        sa.Column("workflow_id", sa.Text(), nullable=False),
        sa.Column("status", sa.String(length=32), nullable=False),
        sa.Column("created_at", _MOMENT, nullable=False),
        sa.Column("body", _JSON, nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("autopilot_alerts_by_workflow", "autopilot_alerts", ["workflow_id", "created_at"])
    op.create_index(
        "autopilot_alerts_open",
        "autopilot_alerts",
        ["fingerprint"],
        unique=True,
        sqlite_where=sa.text("status <> 'resolved'"),
        postgresql_where=sa.text("status <> 'resolved'"),
    )
    op.create_table(
        "autopilot_rules",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("workflow_id", sa.Text(), nullable=False),
        sa.Column("body", _JSON, nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_table(
        "autopilot_notices",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("queued_at", _MOMENT, nullable=False),
        sa.Column("body", _JSON, nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("autopilot_notices_by_time", "autopilot_notices", ["queued_at"])
    op.create_table(
        "autopilot_deliveries",
        sa.Column("id", _ROW_ID, autoincrement=True, nullable=False),
        sa.Column("notice_id", sa.Text(), nullable=False),
        sa.Column("channel", sa.Text(), nullable=False),
        sa.Column("at", _MOMENT, nullable=False),
        sa.Column("error", sa.Text(), nullable=True),
        sa.Column("retry_at", _MOMENT, nullable=True),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("autopilot_deliveries_by_notice", "autopilot_deliveries", ["notice_id", "channel"])
