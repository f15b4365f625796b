"""What runs measured: numbers by run and name; and which runs are under way."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

_UNFINISHED = "state_type NOT IN ('CANCELLED', 'COMPLETED', 'CRASHED', 'FAILED')"
_MOMENT = sa.DateTime(timezone=True)


def upgrade() -> None:
    op.create_table(
        "autopilot_measures",
        sa.Column("flow_run_id", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("value", sa.Float(), nullable=False),
        sa.Column("at", _MOMENT, nullable=False),
        sa.PrimaryKeyConstraint("flow_run_id", "name"),
    )
    op.create_index("autopilot_measures_by_time", "autopilot_measures", ["at"])
    op.create_index(
        "autopilot_runs_unfinished",
        "autopilot_runs",
        ["began"],
        sqlite_where=sa.text(_UNFINISHED),
        postgresql_where=sa.text(_UNFINISHED),
    )


def downgrade() -> None:
    op.drop_index("autopilot_runs_unfinished", "autopilot_runs")
    op.drop_table("autopilot_measures")
