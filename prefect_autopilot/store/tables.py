"""The tables of our own database, for SQLite and PostgreSQL alike.

A row holds the columns it is found by and the whole value as JSON in ``body``: a value gains a field
without a migration. Names begin with ``autopilot_`` so that the database may be shared.
"""

from __future__ import annotations

from datetime import UTC, datetime

from sqlalchemy import (
    JSON,
    BigInteger,
    Column,
    DateTime,
    Dialect,
    Float,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    TypeDecorator,
    UniqueConstraint,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB


class Moment(TypeDecorator[datetime]):
    """An aware time; kept as UTC where the database knows no zones (SQLite)."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Refuse a time without a zone: nobody could say what it means."""
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError(f"A time needs a zone, {value.isoformat()} has none")
        utc = value.astimezone(UTC)
        return utc.replace(tzinfo=None) if dialect.name == "sqlite" else utc

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:  # noqa: ARG002
        """Give the zone back."""
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


metadata = MetaData()
_JSON = JSON().with_variant(JSONB(), "postgresql")
# SQLite numbers rows by itself only where the key is declared INTEGER.
_ROW_ID = BigInteger().with_variant(Integer(), "sqlite")
_ID = Text()

UNFINISHED = "state_type NOT IN ('CANCELLED', 'COMPLETED', 'CRASHED', 'FAILED')"

runs = Table(
    "autopilot_runs",
    metadata,
    Column("id", _ID, primary_key=True),
    Column("flow_name", Text, nullable=False),
    Column("deployment_id", _ID),
    Column("deployment_name", Text),
    Column("state_type", String(32), nullable=False),
    Column("state_at", Moment, nullable=False),
    Column("updated", Moment, nullable=False),
    Column("began", Moment, nullable=False),
    Column("digest", String(64), nullable=False),
    Column("body", _JSON, nullable=False),
    Index("autopilot_runs_by_deployment", "deployment_id", "began"),
    Index("autopilot_runs_by_flow", "flow_name", "began"),
    Index("autopilot_runs_by_time", "began"),
    Index("autopilot_runs_by_change", "state_at"),
    # Few of very many: what is under way is looked for in every pass.
    Index(
        "autopilot_runs_unfinished",
        "began",
        sqlite_where=text(UNFINISHED),
        postgresql_where=text(UNFINISHED),
    ),
)

measures = Table(
    "autopilot_measures",
    metadata,
    Column("flow_run_id", _ID, primary_key=True),
    Column("name", Text, primary_key=True),
    Column("value", Float, nullable=False),
    Column("at", Moment, nullable=False),
    Index("autopilot_measures_by_time", "at"),
)

cursors = Table(
    "autopilot_cursors",
    metadata,
    Column("name", _ID, primary_key=True),
    Column("value", Moment, nullable=False),
)

claims = Table(
    "autopilot_claims",
    metadata,
    Column("key", _ID, primary_key=True),
    Column("holder", _ID, nullable=False),
    Column("at", Moment, nullable=False),
)

leases = Table(
    "autopilot_leases",
    metadata,
    Column("name", _ID, primary_key=True),
    Column("holder", _ID, nullable=False),
    Column("token", BigInteger, nullable=False),
    Column("expires_at", Moment, nullable=False),
)

journal = Table(
    "autopilot_journal",
    metadata,
    Column("id", _ROW_ID, primary_key=True, autoincrement=True),
    Column("session_id", _ID, nullable=False),
    Column("flow_run_id", _ID, nullable=False),
    Column("state_id", _ID, nullable=False),
    Column("attempt", Integer, nullable=False),
    Column("kind", String(64), nullable=False),
    Column("remedy", _JSON, nullable=False),
    Column("lease_token", BigInteger),
    Column("intended_at", Moment, nullable=False),
    Column("outcome", String(32)),
    Column("detail", Text, nullable=False),
    Column("finished_at", Moment),
    UniqueConstraint("flow_run_id", "state_id", "kind", name="autopilot_journal_at_most_once"),
    Index("autopilot_journal_by_time", "intended_at"),
)

verifications = Table(
    "autopilot_verifications",
    metadata,
    Column("session_id", _ID, primary_key=True),
    Column("attempt", Integer, primary_key=True, autoincrement=False),
    Column("fingerprint", _ID, nullable=False),
    Column("deployment_id", _ID, nullable=False),
    Column("outcome", String(32), nullable=False),
    Column("at", Moment, nullable=False),
    Index("autopilot_verifications_by_cause", "fingerprint", "deployment_id", "at"),
)

sessions = Table(
    "autopilot_sessions",
    metadata,
    Column("id", _ID, primary_key=True),
    Column("workflow_id", _ID, nullable=False),
    Column("fingerprint", _ID, nullable=False),
    Column("status", String(64), nullable=False),
    Column("due_at", Moment),
    Column("start_time", Moment, nullable=False),
    Column("end_time", Moment),
    Column("version", Integer, nullable=False),
    Column("body", _JSON, nullable=False),
    Index("autopilot_sessions_by_due", "due_at"),
    Index("autopilot_sessions_by_cause", "fingerprint", "workflow_id"),
    Index("autopilot_sessions_by_time", "start_time"),
)

changes = Table(
    "autopilot_changes",
    metadata,
    Column("kind", String(16), primary_key=True),
    Column("subject", _ID, primary_key=True),
    Column("workflow_id", _ID, nullable=False),
    Column("sequence", BigInteger, nullable=False),
    Column("at", Moment),
    Index("autopilot_changes_by_order", "sequence", unique=True),
)

session_runs = Table(
    "autopilot_session_runs",
    metadata,
    Column("session_id", _ID, primary_key=True),
    Column("flow_run_id", _ID, primary_key=True),
    Index("autopilot_session_runs_by_run", "flow_run_id"),
)

audit = Table(
    "autopilot_audit",
    metadata,
    Column("sequence", _ROW_ID, primary_key=True, autoincrement=False),
    Column("at", Moment, nullable=False),
    Column("actor", Text, nullable=False),
    Column("action", Text, nullable=False),
    Column("subject", _ID, nullable=False),
    # Text, not JSON: PostgreSQL rewrites numbers, and the digest is over what was written.
    Column("detail", Text, nullable=False),
    Column("previous", String(64), nullable=False),
    Column("digest", String(64), nullable=False),
    Index("autopilot_audit_by_subject", "subject"),
)

alerts = Table(
    "autopilot_alerts",
    metadata,
    Column("id", _ID, primary_key=True),
    Column("fingerprint", _ID, nullable=False),
    Column("workflow_id", _ID, nullable=False),
    Column("status", String(32), nullable=False),
    Column("created_at", Moment, nullable=False),
    Column("body", _JSON, nullable=False),
    Index("autopilot_alerts_by_workflow", "workflow_id", "created_at"),
    # At most one alert of a fingerprint is unresolved, whoever writes.
    Index(
        "autopilot_alerts_open",
        "fingerprint",
        unique=True,
        sqlite_where=text("status <> 'resolved'"),
        postgresql_where=text("status <> 'resolved'"),
    ),
)

monitors = Table(
    "autopilot_monitors",
    metadata,
    Column("workflow_id", _ID, primary_key=True),
    Column("work_pool", _ID),
    Column("judged_at", Moment, nullable=False),
    Column("changed_at", Moment, nullable=False),
    Column("runs", Integer, nullable=False),
    Column("settings", String(64), nullable=False),
    Column("next_at", Moment),
    Column("through", Moment),
    Column("leans", _JSON, nullable=False),
    Column("state", LargeBinary),
    Index("autopilot_monitors_by_pool", "work_pool"),
)

rules = Table(
    "autopilot_rules",
    metadata,
    Column("id", _ID, primary_key=True),
    Column("workflow_id", _ID, nullable=False),
    Column("body", _JSON, nullable=False),
)

silences = Table(
    "autopilot_silences",
    metadata,
    Column("id", _ID, primary_key=True),
    Column("ends_at", Moment, nullable=False),
    Column("body", _JSON, nullable=False),
    Index("autopilot_silences_by_end", "ends_at"),
)

notices = Table(
    "autopilot_notices",
    metadata,
    Column("id", _ID, primary_key=True),
    Column("queued_at", Moment, nullable=False),
    Column("body", _JSON, nullable=False),
    Index("autopilot_notices_by_time", "queued_at"),
)

deliveries = Table(
    "autopilot_deliveries",
    metadata,
    Column("id", _ROW_ID, primary_key=True, autoincrement=True),
    Column("notice_id", _ID, nullable=False),
    Column("channel", _ID, nullable=False),
    Column("at", Moment, nullable=False),
    Column("error", Text),
    Column("retry_at", Moment),
    Index("autopilot_deliveries_by_notice", "notice_id", "channel"),
)

hook_deliveries = Table(
    "autopilot_hook_deliveries",
    metadata,
    Column("key", _ID, primary_key=True),
    Column("at", Moment, nullable=False),
    Index("autopilot_hook_deliveries_by_time", "at"),
)

events = Table(
    "autopilot_events",
    metadata,
    Column("sequence", _ROW_ID, primary_key=True, autoincrement=True),
    Column("id", _ID, nullable=False),
    Column("queued_at", Moment, nullable=False),
    Column("due_at", Moment, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("error", Text),
    Column("body", _JSON, nullable=False),
    UniqueConstraint("id", name="autopilot_events_once"),
    Index("autopilot_events_by_due", "due_at"),
)

tokens = Table(
    "autopilot_tokens",
    metadata,
    Column("token_id", _ID, primary_key=True),
    Column("digest", String(64), nullable=False),
    Column("name", Text, nullable=False),
    Column("scope", String(32), nullable=False),
    Column("created_at", Moment, nullable=False),
    Column("expires_at", Moment, nullable=False),
    Column("revoked_at", Moment),
    Column("parent", _ID),
    UniqueConstraint("digest", name="autopilot_tokens_once"),
)

rewrites = Table(
    "autopilot_rewrites",
    metadata,
    Column("id", _ID, primary_key=True),
    Column("status", String(32), nullable=False),
    Column("applied_at", Moment, nullable=False),
    Column("body", _JSON, nullable=False),
    Index("autopilot_rewrites_by_status", "status", "applied_at"),
)
