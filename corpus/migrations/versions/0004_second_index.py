"""A second index beside the live one: whose chunk a row is, and how many a version has in the other index.

Revision ID: 0004
Revises: 0003
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("chunks", sa.Column("index_no", sa.Integer(), nullable=False, server_default="1"))
    op.add_column("generations", sa.Column("other_count", sa.Integer(), nullable=True))


def downgrade() -> None:
    op.execute("DELETE FROM chunks WHERE index_no <> 1")
    with op.batch_alter_table("chunks") as batch_op:
        batch_op.drop_column("index_no")
    with op.batch_alter_table("generations") as batch_op:
        batch_op.drop_column("other_count")
