"""What people thought of answers: helpful or not, and which footnotes were wrong.

Of a citation only its place is kept, never its quote or URL: they are looked up when somebody reads the judgement, so a page
that was deleted isn't shown here either. Judgements go with their collection, after ``answer.keep_feedback_days``, or one by
one.
"""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, Select, delete, insert, select

from corpus.database import Database, utc_now
from corpus.errors import NotFound
from corpus.grants import EVERYTHING, Grants
from corpus.tables import CollectionRow, FeedbackRow, GenerationRow, PageRow

MAX_COMMENT_CHARS = 2_000
MAX_CITATIONS = 50


@dataclass(frozen=True, slots=True)
class JudgedCitation:
    """A citation's number in the answer, its place, and whether it was called wrong."""

    number: int
    page_id: str
    content_hash: str
    start: int
    end: int
    wrong: bool


@dataclass(frozen=True, slots=True)
class Judgement:
    """``request_id``: the answer's, for finding it in the log. ``key_id``: whose key it came with."""

    collection_id: int
    question: str
    state: str
    helpful: bool
    citations: tuple[JudgedCitation, ...] = ()
    comment: str | None = None
    request_id: str | None = None
    key_id: str | None = None


@dataclass(frozen=True, slots=True)
class KnownCitation:
    """``url`` and ``quote`` as they are now; None where the page is gone, or its text has changed since."""

    citation: JudgedCitation
    url: str | None
    quote: str | None


@dataclass(frozen=True, slots=True)
class StoredJudgement:
    id: str
    created_at: datetime
    collection: str
    judgement: Judgement
    citations: tuple[KnownCitation, ...]


class Feedback:
    """``grants``: the collections whose judgements these are; others look as if they weren't there."""

    def __init__(self, *, database: Database, keep_days: int, grants: Grants = EVERYTHING) -> None:
        self._database = database
        self._keep_days = keep_days
        self._grants = grants

    def within(self, grants: Grants) -> Feedback:
        return Feedback(database=self._database, keep_days=self._keep_days, grants=grants)

    async def add(self, judgement: Judgement) -> str:
        """Keep a judgement, and forget those that are too old; gives its id."""
        id = str(uuid.uuid4())
        row = asdict(judgement) | {"id": id, "created_at": utc_now(), "citations": [asdict(c) for c in judgement.citations]}
        async with self._database.write() as connection:
            await connection.execute(delete(FeedbackRow).where(FeedbackRow.created_at < self._oldest()))
            await connection.execute(insert(FeedbackRow).values(row))
        return id

    async def list(
        self, *, collection_id: int | None = None, helpful: bool | None = None, after: str | None = None, limit: int = 50
    ) -> tuple[list[StoredJudgement], str | None]:
        """The newest first, and the cursor of the next ones. Raises: NotFound, for a cursor that is none."""

        def read(connection: Connection) -> tuple[list[StoredJudgement], str | None]:
            chosen: Any = select(FeedbackRow, CollectionRow.name.label("collection"))
            statement = self._kept(chosen).join(CollectionRow, CollectionRow.id == FeedbackRow.collection_id)
            if collection_id is not None:
                statement = statement.where(FeedbackRow.collection_id == collection_id)
            if helpful is not None:
                statement = statement.where(FeedbackRow.helpful == helpful)
            if after is not None:
                last = connection.execute(self._kept(select(FeedbackRow).where(FeedbackRow.id == after))).first()
                if last is None:
                    raise _no_such_feedback(after)
                same_time = (FeedbackRow.created_at == last.created_at) & (FeedbackRow.id > last.id)
                statement = statement.where((FeedbackRow.created_at < last.created_at) | same_time)
            rows = connection.execute(statement.order_by(FeedbackRow.created_at.desc(), FeedbackRow.id).limit(limit + 1)).all()
            shown = rows[:limit]
            pages = _live_pages(connection, {citation["page_id"] for row in shown for citation in row.citations})
            return [_stored(row, pages) for row in shown], shown[-1].id if len(rows) > limit else None

        return await self._database.snapshot(read)

    async def delete(self, feedback_id: str) -> None:
        """Raises: NotFound."""
        wanted = self._grants.bound(delete(FeedbackRow).where(FeedbackRow.id == feedback_id), FeedbackRow.collection_id)
        async with self._database.write() as connection:
            if not (await connection.execute(wanted)).rowcount:
                raise _no_such_feedback(feedback_id)

    def _kept(self, statement: Select[Any]) -> Select[Any]:
        return self._grants.bound(statement.where(FeedbackRow.created_at >= self._oldest()), FeedbackRow.collection_id)

    def _oldest(self) -> datetime:
        return utc_now() - timedelta(days=self._keep_days)


def _live_pages(connection: Connection, page_ids: set[str]) -> dict[str, Any]:
    columns = (PageRow.id, PageRow.collection_id, PageRow.url, GenerationRow.content_hash, GenerationRow.text)
    statement = select(*columns).join(GenerationRow, GenerationRow.id == PageRow.live_generation)
    return {row.id: row for row in connection.execute(statement.where(PageRow.id.in_(page_ids)))}


def _stored(row: Any, pages: dict[str, Any]) -> StoredJudgement:
    citations = tuple(JudgedCitation(**citation) for citation in row.citations)
    judgement = Judgement(
        collection_id=row.collection_id,
        question=row.question,
        state=row.state,
        helpful=row.helpful,
        citations=citations,
        comment=row.comment,
        request_id=row.request_id,
        key_id=row.key_id,
    )
    known = tuple(_known(citation, pages.get(citation.page_id), row.collection_id) for citation in citations)
    return StoredJudgement(row.id, row.created_at, row.collection, judgement, known)


def _known(citation: JudgedCitation, page: Any, collection_id: int) -> KnownCitation:
    # Whoever judges says what was cited: it must not lead to a page that they, or who reads it, may not see.
    if page is None or page.collection_id != collection_id:
        return KnownCitation(citation, None, None)
    is_same = page.content_hash == citation.content_hash
    return KnownCitation(citation, page.url, page.text[citation.start : citation.end] if is_same else None)


def _no_such_feedback(feedback_id: str) -> NotFound:
    return NotFound(f"There is no feedback {feedback_id}. GET /v1/feedback lists what there is.")


def right_urls(citations: Sequence[KnownCitation]) -> list[str]:
    """The pages that an answer rightly cited and that are there still: what a search for its question should find."""
    return list(dict.fromkeys(known.url for known in citations if known.url is not None and not known.citation.wrong))
