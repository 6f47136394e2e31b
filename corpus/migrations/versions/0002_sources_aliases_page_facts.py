"""sources aliases page facts

Revision ID: 0002
Revises: 0001
"""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "page_sources",
        sa.Column("page_id", sa.String(length=32), nullable=False),
        sa.Column("source_id", sa.String(length=32), nullable=False),
        sa.Column("job_id", sa.String(length=36), nullable=False),
        sa.PrimaryKeyConstraint("page_id", "source_id"),
    )
    with op.batch_alter_table("page_sources", schema=None) as batch_op:
        batch_op.create_index("ix_page_sources_source", ["source_id", "job_id"], unique=False)

    op.create_table(
        "aliases",
        sa.Column("collection_id", sa.Integer(), nullable=False),
        sa.Column("url", sa.Text(), nullable=False),
        sa.Column("page_id", sa.String(length=32), nullable=False),
        sa.Column("kind", sa.String(length=12), nullable=False),
        sa.Column("seen_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["collection_id"],
            ["collections.id"],
        ),
        sa.PrimaryKeyConstraint("collection_id", "url"),
    )
    with op.batch_alter_table("aliases", schema=None) as batch_op:
        batch_op.create_index("ix_aliases_page", ["page_id"], unique=False)

    op.create_table(
        "sources",
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("collection_id", sa.Integer(), nullable=False),
        sa.Column("spec", sa.JSON(), nullable=False),
        sa.Column("every_s", sa.Integer(), nullable=True),
        sa.Column("next_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["collection_id"],
            ["collections.id"],
        ),
        sa.PrimaryKeyConstraint("id"),
    )
    with op.batch_alter_table("sources", schema=None) as batch_op:
        batch_op.create_index("ix_sources_next", ["next_at"], unique=False)

    with op.batch_alter_table("generations", schema=None) as batch_op:
        batch_op.add_column(sa.Column("published_at", sa.DateTime(timezone=True), nullable=True))
        batch_op.add_column(sa.Column("modified_at", sa.DateTime(timezone=True), nullable=True))
        batch_op.add_column(sa.Column("notes", sa.JSON(), nullable=True))
        batch_op.add_column(sa.Column("simhash_0", sa.Integer(), nullable=True))
        batch_op.add_column(sa.Column("simhash_1", sa.Integer(), nullable=True))
        batch_op.add_column(sa.Column("simhash_2", sa.Integer(), nullable=True))
        batch_op.add_column(sa.Column("simhash_3", sa.Integer(), nullable=True))
        batch_op.create_index("ix_generations_simhash_0", ["simhash_0"], unique=False)
        batch_op.create_index("ix_generations_simhash_1", ["simhash_1"], unique=False)
        batch_op.create_index("ix_generations_simhash_2", ["simhash_2"], unique=False)
        batch_op.create_index("ix_generations_simhash_3", ["simhash_3"], unique=False)

    with op.batch_alter_table("jobs", schema=None) as batch_op:
        batch_op.add_column(sa.Column("source_id", sa.String(length=32), nullable=True))
        batch_op.add_column(sa.Column("pause_requested", sa.Boolean(), server_default=sa.false(), nullable=False))
        batch_op.add_column(sa.Column("run", sa.Integer(), server_default="1", nullable=False))
        batch_op.add_column(sa.Column("removed", sa.Integer(), server_default="0", nullable=False))
        batch_op.add_column(sa.Column("partial", sa.Boolean(), server_default=sa.false(), nullable=False))
        batch_op.add_column(sa.Column("notes", sa.JSON(), nullable=True))
        batch_op.add_column(sa.Column("working_since", sa.DateTime(timezone=True), nullable=True))
        batch_op.add_column(sa.Column("worked_s", sa.Float(), server_default="0", nullable=False))
        batch_op.create_index("ix_jobs_source", ["source_id", "created_at"], unique=False)

    with op.batch_alter_table("urls", schema=None) as batch_op:
        batch_op.add_column(sa.Column("transient", sa.Boolean(), server_default=sa.false(), nullable=False))
        batch_op.add_column(sa.Column("kind", sa.String(length=8), server_default="page", nullable=False))
        batch_op.add_column(sa.Column("waits_for", sa.Text(), nullable=True))
        batch_op.add_column(sa.Column("http_status", sa.Integer(), nullable=True))
        batch_op.add_column(sa.Column("size_bytes", sa.Integer(), nullable=True))
        batch_op.add_column(sa.Column("elapsed_ms", sa.Integer(), nullable=True))
        batch_op.create_index("ix_urls_url", ["url"], unique=False)


def downgrade() -> None:
    with op.batch_alter_table("urls", schema=None) as batch_op:
        batch_op.drop_index("ix_urls_url")
        batch_op.drop_column("elapsed_ms")
        batch_op.drop_column("size_bytes")
        batch_op.drop_column("http_status")
        batch_op.drop_column("waits_for")
        batch_op.drop_column("transient")
        batch_op.drop_column("kind")

    with op.batch_alter_table("jobs", schema=None) as batch_op:
        batch_op.drop_index("ix_jobs_source")
        batch_op.drop_column("worked_s")
        batch_op.drop_column("working_since")
        batch_op.drop_column("notes")
        batch_op.drop_column("partial")
        batch_op.drop_column("removed")
        batch_op.drop_column("run")
        batch_op.drop_column("pause_requested")
        batch_op.drop_column("source_id")

    with op.batch_alter_table("generations", schema=None) as batch_op:
        batch_op.drop_index("ix_generations_simhash_3")
        batch_op.drop_index("ix_generations_simhash_2")
        batch_op.drop_index("ix_generations_simhash_1")
        batch_op.drop_index("ix_generations_simhash_0")
        batch_op.drop_column("simhash_3")
        batch_op.drop_column("simhash_2")
        batch_op.drop_column("simhash_1")
        batch_op.drop_column("simhash_0")
        batch_op.drop_column("notes")
        batch_op.drop_column("modified_at")
        batch_op.drop_column("published_at")

    with op.batch_alter_table("sources", schema=None) as batch_op:
        batch_op.drop_index("ix_sources_next")

    op.drop_table("sources")
    with op.batch_alter_table("aliases", schema=None) as batch_op:
        batch_op.drop_index("ix_aliases_page")

    op.drop_table("aliases")
    with op.batch_alter_table("page_sources", schema=None) as batch_op:
        batch_op.drop_index("ix_page_sources_source")

    op.drop_table("page_sources")
