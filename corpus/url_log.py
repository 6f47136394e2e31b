"""What happened to a URL, job by job."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, select

from corpus.coverage import StoredCoverage
from corpus.model import UrlState
from corpus.tables import JobRow, LeftOutRow, UrlRow


@dataclass(frozen=True, slots=True)
class UrlVisit:
    """What one job made of a URL. ``seq`` orders visits; ``at``: when it was decided, or the job made, if it isn't yet.
    ``attempts`` is how often it was tried; the last response's ``http_status``, ``size_bytes`` and ``elapsed_ms`` are None where
    there was none."""

    seq: int
    job_id: str
    at: datetime
    state: UrlState
    reason: str | None
    message: str | None
    attempts: int
    http_status: int | None
    size_bytes: int | None
    elapsed_ms: int | None
    chunks: int
    coverage: StoredCoverage | None


def url_visits(
    connection: Connection, *, collection_id: int, url: str, before: int | None = None, limit: int = 50
) -> list[UrlVisit]:
    """The newest visits first; ``before``: those older than the visit of this ``seq``."""
    statement = select(UrlRow, JobRow.created_at, LeftOutRow.parts.label("left_out")).join(JobRow, JobRow.id == UrlRow.job_id)
    statement = statement.outerjoin(LeftOutRow, LeftOutRow.url_seq == UrlRow.seq)
    statement = statement.where(UrlRow.url == url, JobRow.collection_id == collection_id)
    if before is not None:
        statement = statement.where(UrlRow.seq < before)
    return [
        UrlVisit(
            seq=row.seq,
            job_id=row.job_id,
            at=row.finished_at or row.created_at,
            state=UrlState(row.state),
            reason=row.reason,
            message=row.message,
            attempts=row.attempts,
            http_status=row.http_status,
            size_bytes=row.size_bytes,
            elapsed_ms=row.elapsed_ms,
            chunks=row.chunks,
            coverage=StoredCoverage.of_row(row),
        )
        for row in connection.execute(statement.order_by(UrlRow.seq.desc()).limit(limit)).all()
    ]
