"""Alembic's entry: runs the revisions on the database that ``corpus.database.upgrade_schema`` names."""

from typing import Any, Literal

from alembic import context
from sqlalchemy import create_engine, text

from corpus.database import WRITER_LOCK, sync_url
from corpus.tables import Base, UtcDateTime


def render_item(kind: str, item: Any, _: Any) -> str | Literal[False]:
    """A revision is history: it must not change when our types do."""
    return "sa.DateTime(timezone=True)" if kind == "type" and isinstance(item, UtcDateTime) else False


def run() -> None:
    url: str = context.config.attributes["url"]
    engine = create_engine(sync_url(url))
    with engine.connect() as connection:
        # render_as_batch: SQLite can't alter most of a table in place.
        context.configure(connection=connection, target_metadata=Base.metadata, render_as_batch=True, render_item=render_item)
        with context.begin_transaction():
            if (
                connection.dialect.name == "postgresql"
            ):  # several processes may start at once: one migrates, the others find it done
                connection.execute(text(f"SELECT pg_advisory_xact_lock({WRITER_LOCK})"))
            context.run_migrations()
    engine.dispose()


run()
