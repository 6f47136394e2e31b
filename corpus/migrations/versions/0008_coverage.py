"""How much of a page's text was kept, and by which rules.

Revision ID: 0008
Revises: 0007
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

NUMBER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    for table in ("urls", "generations"):
        for name in ("visible_words", "kept_words", "prose_words"):
            op.add_column(table, sa.Column(name, sa.Integer(), nullable=True))
    op.add_column("generations", sa.Column("left_out", sa.JSON(), nullable=True))
    op.create_table(
        "left_out",
        sa.Column("url_seq", NUMBER, nullable=False),
        sa.Column("parts", sa.JSON(), nullable=False),
        sa.ForeignKeyConstraint(["url_seq"], ["urls.seq"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("url_seq"),
    )
    # What is stored was read by the rules before there were versions of them: each page is read again when it is next visited.
    op.add_column("generations", sa.Column("extraction_version", sa.Integer(), nullable=False, server_default="0"))
    op.add_column("generations", sa.Column("selectors_hash", sa.String(length=32), nullable=True))


def downgrade() -> None:
    op.drop_table("left_out")
    with op.batch_alter_table("generations") as batch_op:
        for name in ("visible_words", "kept_words", "prose_words", "left_out", "extraction_version", "selectors_hash"):
            batch_op.drop_column(name)
    with op.batch_alter_table("urls") as batch_op:
        for name in ("visible_words", "kept_words", "prose_words"):
            batch_op.drop_column(name)
