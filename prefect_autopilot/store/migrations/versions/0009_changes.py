"""What changed last, for those who listen."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0006"
branch_labels = None
depends_on = None

_MOMENT = sa.DateTime(timezone=True)


def upgrade() -> None:
    op.create_table(
        "autopilot_changes",
        sa.Column("kind", sa.String(16), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("workflow_id", sa.Text(), nullable=False),
        sa.Column("sequence", sa.BigInteger(), nullable=False),
        sa.Column("at", _MOMENT),
        sa.PrimaryKeyConstraint("kind", "subject"),
    )
    op.create_index("autopilot_changes_by_order", "autopilot_changes", ["sequence"], unique=True)


def downgrade() -> None:
    op.drop_table("autopilot_changes")
