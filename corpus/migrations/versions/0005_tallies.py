"""Indexes that what is counted every few seconds can be read from alone (corpus/tallies.py).

Revision ID: 0005
Revises: 0004
"""

from __future__ import annotations

from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_index("ix_urls_finished", "urls", ["finished_at"])
    op.drop_index("ix_generations_state", "generations")
    op.create_index("ix_generations_state", "generations", ["state", "chunk_count"])


def downgrade() -> None:
    op.drop_index("ix_generations_state", "generations")
    op.create_index("ix_generations_state", "generations", ["state"])
    op.drop_index("ix_urls_finished", "urls")
