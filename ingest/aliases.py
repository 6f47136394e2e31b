"""The other URLs of a page: which redirect to it, name it as canonical, or show the same text.

A URL is recorded as another's alias in the transaction that takes out its own page, and only while the page that is kept is
there as it was compared: of two jobs that each would drop one page for the other, the second finds nothing to drop it for.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from sqlalchemy import Connection, delete, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from corpus.database import utc_now
from corpus.generations import NewPage, insert_or_ignore
from corpus.model import OPEN_STATES, PageText, UrlState, page_id
from corpus.tables import AliasRow, GenerationRow, JobRow, PageRow, PageSourceRow, UrlRow
from ingest.duplicates import BANDS, MAX_DISTANCE_BITS, distance_bits, is_contained, says_the_same

MAX_COMPARED = 20  # live pages that one page is compared with, word by word
MAX_CANDIDATES = 500  # of each band: one that whole sites share (their error page's, say) tells nothing


class AliasKind(StrEnum):
    REDIRECT = "redirect"
    CANONICAL = "canonical"
    DUPLICATE = "duplicate"


@dataclass(frozen=True, slots=True)
class Kept:
    """A live page that stands for another URL, in the version that was compared."""

    page_id: str
    url: str
    generation: int


def live_at(connection: Connection, collection_id: int, url: str) -> Kept | None:
    """The live page at a URL, or the one that the URL is known as an alias of."""
    alias = select(AliasRow.page_id).where(AliasRow.collection_id == collection_id, AliasRow.url == url)
    for wanted in (page_id(collection_id, url), connection.scalar(alias)):
        statement = select(PageRow).where(PageRow.id == wanted, PageRow.live_generation.is_not(None))
        if row := connection.execute(statement).first():
            return Kept(row.id, row.url, row.live_generation)
    return None


def holds(connection: Connection, kept: Kept, page: PageText) -> bool:
    """Whether a live page's text contains ``page``'s."""
    text = _text_of(connection, kept.generation)
    return text is not None and is_contained(page, text)


def twin_of(connection: Connection, new: NewPage, *, besides: Sequence[str] = ()) -> Kept | None:
    """The live page of the same collection that says the same as ``new``, the nearest of several. ``besides``: pages that
    don't count, as ``new`` itself doesn't."""
    if new.simhash is None:
        return None
    bands = [getattr(GenerationRow, f"simhash_{band}") for band in range(BANDS)]
    columns = (PageRow.id, PageRow.url, PageRow.live_generation, *bands)
    found = {}
    for band, value in zip(bands, new.simhash, strict=True):  # one after the other: each is answered by its own index
        live = (PageRow.id == GenerationRow.page_id) & (PageRow.live_generation == GenerationRow.id)  # found by the page's id
        statement = select(*columns).join(PageRow, live)
        statement = statement.where(band == value, PageRow.collection_id == new.collection_id)
        for row in connection.execute(statement.order_by(GenerationRow.id).limit(MAX_CANDIDATES)):
            if row.id != new.id and row.id not in besides:
                found[row.id] = row
    near = [(distance_bits(tuple(new.simhash), tuple(row[-BANDS:])), row.live_generation, row) for row in found.values()]
    for distance, generation, row in sorted(near, key=lambda one: one[:2])[:MAX_COMPARED]:
        if distance <= MAX_DISTANCE_BITS and (text := _text_of(connection, generation)) and says_the_same(new.page, text):
            return Kept(row.id, row.url, generation)
    return None


async def join(connection: AsyncConnection, *, collection_id: int, url: str, kept: Kept) -> str | None:
    """Make room for ``url`` as an alias: what led to its own page leads to the one that is kept. Gives the id of its own page,
    which is to be taken out, if it has one.

    Raises: :class:`Vanished` if the kept page isn't there as it was compared.
    """
    own = page_id(collection_id, url)
    # In order of their ids, lest two jobs lock the same two pages crosswise (PostgreSQL; SQLite has one writer).
    locked = select(PageRow.id, PageRow.live_generation).where(PageRow.id.in_((own, kept.page_id))).order_by(PageRow.id)
    live = {row.id: row.live_generation for row in (await connection.execute(locked.with_for_update())).all()}
    if live.get(kept.page_id) != kept.generation:
        raise Vanished
    if live.get(own) is None:
        return None
    sources = select(PageSourceRow).where(PageSourceRow.page_id == own)
    for row in (await connection.execute(sources)).all():  # what led to this page led to this text
        values = {"page_id": kept.page_id, "source_id": row.source_id, "job_id": row.job_id}
        await connection.execute(insert_or_ignore(connection, PageSourceRow).values(values))
    redirects = (AliasRow.page_id == own) & (AliasRow.kind == AliasKind.REDIRECT)
    await connection.execute(update(AliasRow).where(redirects).values(page_id=kept.page_id))
    return own


class Vanished(Exception):
    """The page that was to stand for another is gone or has changed since they were compared."""


async def record(connection: AsyncConnection, *, collection_id: int, url: str, page_id: str, kind: AliasKind) -> None:
    await forget_names(connection, collection_id, [url])
    row = {"collection_id": collection_id, "url": url, "page_id": page_id, "kind": kind, "seen_at": utc_now()}
    await connection.execute(insert(AliasRow).values(row))


async def forget_names(connection: AsyncConnection, collection_id: int, urls: Sequence[str]) -> None:
    """These URLs are no aliases (any more)."""
    await connection.execute(delete(AliasRow).where(AliasRow.collection_id == collection_id, AliasRow.url.in_(urls)))


async def reopen(connection: AsyncConnection, collection_id: int, page_ids: Sequence[str]) -> None:
    """Pages that vanish or change no longer speak for the URLs that were dropped for their sake: those are visited again by
    the jobs that dropped them and still run, and by others when they next come by."""
    stood_for = (AliasRow.collection_id == collection_id) & AliasRow.page_id.in_(page_ids) & (AliasRow.kind != AliasKind.REDIRECT)
    urls = (await connection.scalars(select(AliasRow.url).where(stood_for))).all()
    if not urls:
        return
    jobs = select(JobRow.id).where(JobRow.collection_id == collection_id, JobRow.state.in_(OPEN_STATES))
    dropped = (UrlRow.state == UrlState.SKIPPED) & UrlRow.reason.in_((AliasKind.CANONICAL, AliasKind.DUPLICATE))
    again = {"state": UrlState.PENDING, "reason": None, "message": None, "page_id": None, "waits_for": None, "finished_at": None}
    await connection.execute(update(UrlRow).where(UrlRow.job_id.in_(jobs), UrlRow.url.in_(urls), dropped).values(again))
    await connection.execute(delete(AliasRow).where(stood_for))


def _text_of(connection: Connection, generation: int) -> PageText | None:
    row = connection.execute(select(GenerationRow.title, GenerationRow.text).where(GenerationRow.id == generation)).first()
    return PageText(row.title, row.text, ()) if row else None
