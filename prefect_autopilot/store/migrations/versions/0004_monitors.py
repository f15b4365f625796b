"""Where the judgement of each workflow goes on: the state of its monitor."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

_MOMENT = sa.DateTime(timezone=True)
_JSON = sa.JSON().with_variant(postgresql.JSONB(), "postgresql")


def upgrade() -> None:
    op.create_table(
        "autopilot_monitors",
        sa.Column("workflow_id", sa.Text(), nullable=False),
        sa.Column("work_pool", sa.Text(), nullable=True),
        sa.Column("judged_at", _MOMENT, nullable=False),
        sa.Column("changed_at", _MOMENT, nullable=False),
        sa.Column("runs", sa.Integer(), nullable=False),
        sa.Column("settings", sa.String(64), nullable=False),
        sa.Column("next_at", _MOMENT, nullable=True),
        sa.Column("through", _MOMENT, nullable=True),
        sa.Column("leans", _JSON, nullable=False),
        sa.Column("state", sa.LargeBinary(), nullable=True),
        sa.PrimaryKeyConstraint("workflow_id"),
    )
    op.create_index("autopilot_monitors_by_pool", "autopilot_monitors", ["work_pool"])


def downgrade() -> None:
    op.drop_table("autopilot_monitors")
