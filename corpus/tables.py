"""The tables of the metadata database, for SQLite and PostgreSQL alike (``corpus/database.py``). Alembic makes and changes them
(``corpus/migrations``); a test compares these declarations with what it made."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    DateTime,
    Dialect,
    Float,
    ForeignKey,
    Index,
    Integer,
    String,
    Text,
    TypeDecorator,
    UniqueConstraint,
    false,
)
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

# Numbers that never begin again outgrow 31 bits in a log that is written for years. SQLite's INTEGER has 63 anyway.
Number = BigInteger().with_variant(Integer, "sqlite")


class UtcDateTime(TypeDecorator[datetime]):
    """Aware datetimes in and out. SQLite stores no zone, so it is put back on reading."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is not None and value.tzinfo is None:
            raise ValueError("naive datetime; all times are UTC")
        return value.astimezone(UTC) if value else None

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        return value.replace(tzinfo=UTC) if value and value.tzinfo is None else value


class Base(DeclarativeBase):
    type_annotation_map = {datetime: UtcDateTime, dict[str, Any]: JSON, list[Any]: JSON}  # noqa: RUF012


class CollectionRow(Base):
    """A named set of pages that is searched together."""

    __tablename__ = "collections"

    id: Mapped[int] = mapped_column(Integer, primary_key=True)
    name: Mapped[str] = mapped_column(String(64), unique=True)
    created_at: Mapped[datetime]


class SourceRow(Base):
    """What jobs are run over: the same URLs, mode and patterns in the same collection. Its id is a hash of these, so that
    every run of it is known as one of the same source. With ``every_s`` it is run again by itself, next at ``next_at``."""

    __tablename__ = "sources"
    __table_args__ = (Index("ix_sources_next", "next_at"),)

    id: Mapped[str] = mapped_column(String(32), primary_key=True)
    collection_id: Mapped[int] = mapped_column(ForeignKey("collections.id"))
    spec: Mapped[dict[str, Any]]
    every_s: Mapped[int | None]
    next_at: Mapped[datetime | None]
    created_at: Mapped[datetime]


class PageSourceRow(Base):
    """That a source led to a page, and the last of its jobs that did. A page that no source leads to any more goes."""

    __tablename__ = "page_sources"
    __table_args__ = (Index("ix_page_sources_source", "source_id", "job_id"),)

    page_id: Mapped[str] = mapped_column(String(32), primary_key=True)
    source_id: Mapped[str] = mapped_column(String(32), primary_key=True)
    job_id: Mapped[str] = mapped_column(String(36))


class AliasRow(Base):
    """Another URL of a page: one that redirects to it, names it as canonical, or shows the same text."""

    __tablename__ = "aliases"
    __table_args__ = (Index("ix_aliases_page", "page_id"),)

    collection_id: Mapped[int] = mapped_column(ForeignKey("collections.id"), primary_key=True)
    url: Mapped[str] = mapped_column(Text, primary_key=True)
    page_id: Mapped[str] = mapped_column(String(32))
    kind: Mapped[str] = mapped_column(String(12))  # redirect, canonical or duplicate
    seen_at: Mapped[datetime]


class PageRow(Base):
    """A URL within a collection. It is visible to readers exactly while ``live_generation`` is set."""

    __tablename__ = "pages"
    __table_args__ = (UniqueConstraint("collection_id", "url"),)

    id: Mapped[str] = mapped_column(String(32), primary_key=True)
    collection_id: Mapped[int] = mapped_column(ForeignKey("collections.id"))
    url: Mapped[str] = mapped_column(Text)
    live_generation: Mapped[int | None] = mapped_column(Number)
    created_at: Mapped[datetime]


class GenerationRow(Base):
    """One version of a page.

    ``state``: ``writing`` until the flip, then ``live``; ``revoked`` if it may no longer flip but its writer is still at
    work; ``stale`` once replaced or deleted, which makes the row the work list of the sweep: it goes only after its
    chunks have left every index.
    """

    __tablename__ = "generations"
    __table_args__ = (
        Index("ix_generations_page", "page_id"),
        Index("ix_generations_state", "state", "chunk_count"),  # both, so that counting reads no row: they hold whole texts
        *(Index(f"ix_generations_simhash_{band}", f"simhash_{band}") for band in range(4)),
        {"sqlite_autoincrement": True},
    )

    id: Mapped[int] = mapped_column(Number, primary_key=True)  # never reused, so that chunk ids never are either
    page_id: Mapped[str] = mapped_column(String(32))
    state: Mapped[str] = mapped_column(String(8))
    job_id: Mapped[str | None] = mapped_column(String(36))
    title: Mapped[str] = mapped_column(Text)
    text: Mapped[str] = mapped_column(Text)
    blocks: Mapped[list[Any]]  # [[kind, start, end, level], …]
    language: Mapped[str | None] = mapped_column(String(16))
    content_hash: Mapped[str] = mapped_column(String(64))
    links: Mapped[list[Any]]  # kept so that an unchanged page (304) still leads a crawl onwards
    etag: Mapped[str | None] = mapped_column(Text)
    last_modified: Mapped[str | None] = mapped_column(Text)
    fetched_at: Mapped[datetime]
    chunk_count: Mapped[int]  # in the live index
    other_count: Mapped[int | None]  # in the index that is being built, or was just replaced; None: it isn't in it
    published_at: Mapped[datetime | None]  # as the page says
    modified_at: Mapped[datetime | None]
    notes: Mapped[list[Any] | None]  # what a limit cut short, for people
    # The text's SimHash in four bands of 16 bits: texts at most 3 bits apart share one of them. All or none are set.
    simhash_0: Mapped[int | None]
    simhash_1: Mapped[int | None]
    simhash_2: Mapped[int | None]
    simhash_3: Mapped[int | None]
    writer: Mapped[str | None] = mapped_column(String(36))  # the process that began it, where there are several
    # How much of its text was kept (corpus/coverage.py). None where nothing was read, or nothing could be left out.
    visible_words: Mapped[int | None]
    kept_words: Mapped[int | None]
    prose_words: Mapped[int | None]
    left_out: Mapped[list[Any] | None] = mapped_column(JSON(none_as_null=True))
    # By which rules its text was made: another visit under other ones reads the page anew.
    extraction_version: Mapped[int] = mapped_column(Integer, default=0, server_default="0")
    selectors_hash: Mapped[str | None] = mapped_column(String(32))


class ChunkRow(Base):
    """A chunk's place in its generation's text. The text itself is never stored twice: it is the span."""

    __tablename__ = "chunks"
    __table_args__ = (Index("ix_chunks_generation", "generation"),)

    id: Mapped[str] = mapped_column(String(32), primary_key=True)
    page_id: Mapped[str] = mapped_column(String(32))
    generation: Mapped[int] = mapped_column(Number, ForeignKey("generations.id"))
    ordinal: Mapped[int]
    start: Mapped[int]
    end: Mapped[int]
    heading_path: Mapped[list[Any]]
    embed_text: Mapped[str] = mapped_column(Text)
    token_count: Mapped[int]
    index_no: Mapped[int] = mapped_column(Integer, default=1, server_default="1")  # see corpus/reindexing.py


class JobRow(Base):
    """An ingest job. Its counters are not stored: they are counted over its URLs, so they can't drift."""

    __tablename__ = "jobs"
    __table_args__ = (Index("ix_jobs_created", "created_at"), Index("ix_jobs_source", "source_id", "created_at"))

    id: Mapped[str] = mapped_column(String(36), primary_key=True)
    collection_id: Mapped[int] = mapped_column(ForeignKey("collections.id"))
    spec: Mapped[dict[str, Any]]
    source_id: Mapped[str | None] = mapped_column(String(32))
    state: Mapped[str] = mapped_column(String(12))
    cancel_requested: Mapped[bool] = mapped_column(Boolean, default=False)
    pause_requested: Mapped[bool] = mapped_column(Boolean, default=False, server_default=false())
    run: Mapped[int] = mapped_column(
        Integer, default=1, server_default="1"
    )  # counts its workflows: resumed and retried jobs get new ones
    removed: Mapped[int] = mapped_column(Integer, default=0, server_default="0")  # pages that vanished from the source
    # Something of the source was left out (the page budget, a listing that broke off), so what wasn't seen isn't gone.
    partial: Mapped[bool] = mapped_column(Boolean, default=False, server_default=false())
    notes: Mapped[list[Any] | None]  # what people should know of how it went
    error: Mapped[str | None] = mapped_column(Text)
    created_at: Mapped[datetime]
    started_at: Mapped[datetime | None]
    working_since: Mapped[datetime | None]  # since when what isn't in worked_s yet
    worked_s: Mapped[float] = mapped_column(Float, default=0.0, server_default="0")  # without pauses and the time between runs
    finished_at: Mapped[datetime | None]


class UrlRow(Base):
    """One URL that a job knows of: the durable frontier and, afterwards, the log of what happened."""

    __tablename__ = "urls"
    __table_args__ = (
        UniqueConstraint("job_id", "url"),
        Index("ix_urls_state", "job_id", "state"),
        Index("ix_urls_url", "url"),
        Index("ix_urls_finished", "finished_at"),
    )

    seq: Mapped[int] = mapped_column(Number, primary_key=True)
    job_id: Mapped[str] = mapped_column(ForeignKey("jobs.id"))
    url: Mapped[str] = mapped_column(Text)
    depth: Mapped[int]
    state: Mapped[str] = mapped_column(String(12))
    reason: Mapped[str | None] = mapped_column(String(64))
    message: Mapped[str | None] = mapped_column(Text)
    attempts: Mapped[int] = mapped_column(Integer, default=0)
    moved_here: Mapped[bool] = mapped_column(Boolean, default=False)
    not_before: Mapped[datetime | None]
    page_id: Mapped[str | None] = mapped_column(String(32))
    chunks: Mapped[int] = mapped_column(Integer, default=0)
    finished_at: Mapped[datetime | None]
    transient: Mapped[bool] = mapped_column(Boolean, default=False, server_default=false())  # another visit may end otherwise
    kind: Mapped[str] = mapped_column(String(8), default="page", server_default="page")  # or sitemap
    waits_for: Mapped[str | None] = mapped_column(Text)  # the canonical URL that is to be visited first
    http_status: Mapped[int | None]
    size_bytes: Mapped[int | None]
    elapsed_ms: Mapped[int | None]
    claimed_by: Mapped[str | None] = mapped_column(String(36))  # the process that visits it; nobody, once that one is dead
    # How much of its text was kept (corpus/coverage.py). None where nothing was read, or nothing could be left out.
    visible_words: Mapped[int | None]
    kept_words: Mapped[int | None]
    prose_words: Mapped[int | None]


class LeftOutRow(Base):
    """What a visit left out of its page. Apart from the visit's own row: those are counted several times a second while somebody
    watches a job, and this is longer than all the rest of it."""

    __tablename__ = "left_out"

    url_seq: Mapped[int] = mapped_column(Number, ForeignKey("urls.seq", ondelete="CASCADE"), primary_key=True)
    parts: Mapped[list[Any]]  # [[reason, words, link_words, first words, at], …]


class ApiKeyRow(Base):
    """A key of the HTTP API. The secret itself is stored nowhere. ``collections`` None: all."""

    __tablename__ = "api_keys"

    id: Mapped[str] = mapped_column(String(8), primary_key=True)
    name: Mapped[str] = mapped_column(Text)
    secret_hash: Mapped[str] = mapped_column(String(64))  # SHA-256, hexadecimal
    scopes: Mapped[list[Any]]
    collections: Mapped[list[Any] | None]
    created_at: Mapped[datetime]
    expires_at: Mapped[datetime | None]
    revoked_at: Mapped[datetime | None]


class FeedbackRow(Base):
    """What somebody thought of an answer. ``citations`` hold places alone (``corpus/feedback.py``)."""

    __tablename__ = "feedback"
    __table_args__ = (Index("ix_feedback_created", "created_at"),)

    id: Mapped[str] = mapped_column(String(36), primary_key=True)
    collection_id: Mapped[int] = mapped_column(ForeignKey("collections.id"))
    created_at: Mapped[datetime]
    key_id: Mapped[str | None] = mapped_column(String(8))
    request_id: Mapped[str | None] = mapped_column(String(64))
    question: Mapped[str] = mapped_column(Text)
    state: Mapped[str] = mapped_column(String(12))
    helpful: Mapped[bool] = mapped_column(Boolean)
    citations: Mapped[list[Any]]
    comment: Mapped[str | None] = mapped_column(Text)


class FactRow(Base):
    """Single facts about the whole index: its stamp, its number and settings, the one that is being built, and the epoch that
    counts every visible change."""

    __tablename__ = "facts"

    key: Mapped[str] = mapped_column(String(32), primary_key=True)
    value: Mapped[dict[str, Any]]


class ProcessRow(Base):
    """A process that has the corpus open, where there may be several (``corpus/processes.py``). It says every few seconds that
    it lives. ``dead_at``: another found it silent for too long, and what it had begun is for others to do."""

    __tablename__ = "processes"

    id: Mapped[str] = mapped_column(String(36), primary_key=True)
    role: Mapped[str] = mapped_column(String(16))  # service, worker, or both
    host: Mapped[str] = mapped_column(String(255))
    pid: Mapped[int]
    place: Mapped[str] = mapped_column(Text)  # its data directory, as host:path
    shares_index: Mapped[bool]  # False: its index is a file of its own
    started_at: Mapped[datetime]
    seen_at: Mapped[datetime]
    dead_at: Mapped[datetime | None]


class HostRow(Base):
    """How a host is paced by all workers together (``ingest/shared_politeness.py``). Times are seconds since 1970, by the
    database's clock."""

    __tablename__ = "hosts"

    host: Mapped[str] = mapped_column(String(255), primary_key=True)
    delay_s: Mapped[float] = mapped_column(Float)  # what the settings or its robots.txt ask for
    adaptive_s: Mapped[float] = mapped_column(Float)  # what its answers ask for
    last_start_s: Mapped[float] = mapped_column(Float)  # of a request
    not_before_s: Mapped[float] = mapped_column(Float)  # Retry-After
    held_by: Mapped[str | None] = mapped_column(String(36))  # the process whose request is in flight
    held_until_s: Mapped[float] = mapped_column(Float)
