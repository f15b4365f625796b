"""Rewrites of flow files, watched until their runs show whether they stay."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0008"
down_revision = "0009"
branch_labels = None
depends_on = None

_MOMENT = sa.DateTime(timezone=True)
_JSON = sa.JSON().with_variant(postgresql.JSONB(), "postgresql")


def upgrade() -> None:
    op.create_table(
        "autopilot_rewrites",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("status", sa.String(32), nullable=False),
        sa.Column("applied_at", _MOMENT, nullable=False),
        sa.Column("body", _JSON, nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("autopilot_rewrites_by_status", "autopilot_rewrites", ["status", "applied_at"])


def downgrade() -> None:
    op.drop_table("autopilot_rewrites")
