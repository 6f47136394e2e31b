"""Several processes: which there are, what each has begun, and how they pace a host together.

Revision ID: 0006
Revises: 0005
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "processes",
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("role", sa.String(length=16), nullable=False),
        sa.Column("host", sa.String(length=255), nullable=False),
        sa.Column("pid", sa.Integer(), nullable=False),
        sa.Column("place", sa.Text(), nullable=False),
        sa.Column("shares_index", sa.Boolean(), nullable=False),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("seen_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("dead_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_table(
        "hosts",
        sa.Column("host", sa.String(length=255), nullable=False),
        sa.Column("delay_s", sa.Float(), nullable=False),
        sa.Column("adaptive_s", sa.Float(), nullable=False),
        sa.Column("last_start_s", sa.Float(), nullable=False),
        sa.Column("not_before_s", sa.Float(), nullable=False),
        sa.Column("held_by", sa.String(length=36), nullable=True),
        sa.Column("held_until_s", sa.Float(), nullable=False),
        sa.PrimaryKeyConstraint("host"),
    )
    op.add_column("urls", sa.Column("claimed_by", sa.String(length=36), nullable=True))
    op.add_column("generations", sa.Column("writer", sa.String(length=36), nullable=True))


def downgrade() -> None:
    with op.batch_alter_table("generations") as batch_op:
        batch_op.drop_column("writer")
    with op.batch_alter_table("urls") as batch_op:
        batch_op.drop_column("claimed_by")
    op.drop_table("hosts")
    op.drop_table("processes")
