"""The documents of a test set as pages of an index of their own: the real extraction, chunker, embedder and commit.

The only step that is left out is the crawl, for there is no site. Each document becomes a page as plain text with its title; two
that say the same both stay, as the judgements know both. What is in the index already and would be written alike is left as it
is, so a run that was interrupted goes on where it was, and a second one embeds nothing.
"""

from __future__ import annotations

import asyncio
import hashlib
import re
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from urllib.parse import quote

from sqlalchemy import Connection, select
from sqlalchemy.ext.asyncio import AsyncConnection

from app.cross_encoder import CrossEncoderReranker
from app.reranker import MaxSimReranker, Reranker
from corpus.chunking import chunk_by_settings
from corpus.database import Database, utc_now
from corpus.errors import PermanentError
from corpus.generations import GenerationWriter, NewPage, Pending
from corpus.model import ChunkSpan
from corpus.opening import Corpus, open_corpus
from corpus.pages import DEFAULT_COLLECTION, Pages
from corpus.search import Searcher
from corpus.settings import DatabaseSettings, MilvusSettings, Settings
from corpus.stamp import make_stamp
from corpus.tables import ChunkRow, GenerationRow, PageRow
from footnote.evaluation.dataset import Dataset, Document
from footnote.evaluation.progress import Progress
from ingest.extract.document import extract

MAXSIM, CROSS_ENCODER = RERANKERS = ("maxsim", "cross-encoder")
COMMIT_CHUNKS = 64  # as the crawler's: enough to fill the embedder's batches, little to lose
_Written = tuple[str, tuple[tuple[object, ...], ...]]  # a page's content hash, and its chunks


@dataclass(frozen=True, slots=True)
class Filling:
    """How an index came to hold a test set. ``unread`` maps the documents that hold nothing to index to the reason."""

    pages: int
    chunks: int
    embedded_chunks: int
    embedding_s: float
    unread: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class FilledIndex:
    """A filled index, opened as the service opens its own. ``documents`` maps URLs to document ids, ``rerankers`` those there
    are by the kinds of ``RERANKERS``."""

    corpus: Corpus
    searcher: Searcher
    rerankers: dict[str, Reranker]
    collection_id: int
    documents: dict[str, str]
    filling: Filling
    stamp: dict[str, object]


def index_folder(dataset: Dataset, kept_in: Path) -> Path:
    """Where the index of a set's documents lies: other documents never meet in one folder."""
    digest = hashlib.sha256()
    for document in dataset.documents:
        digest.update(f"{document.id}\0{document.title}\0{document.text}\0".encode())
    name = re.sub(r"[^A-Za-z0-9._+-]+", "-", dataset.name).strip(".-") or "set"
    return kept_in / f"{name[:80]}-{digest.hexdigest()[:12]}"


@asynccontextmanager
async def open_filled_index(
    dataset: Dataset, *, settings: Settings, folder: Path, progress: Progress
) -> AsyncIterator[FilledIndex]:
    """Open the index in ``folder``, after writing to it what it lacks.

    Raises: StartupError, such as where a kept index was made by another embedder; StorageFull.
    """
    models_dir = settings.data_dir.absolute() / "models"
    _lend_models(models_dir, folder)
    # Nothing of a test set may get into one's own database, wherever that is.
    settings = settings.model_copy(update={"data_dir": folder, "database": DatabaseSettings(), "milvus": MilvusSettings()})
    async with AsyncExitStack() as stack:
        with progress.waiting(f"{dataset.name}: opening the index"):
            corpus = await stack.enter_async_context(open_corpus(settings))
            database = await stack.enter_async_context(Database(url=corpus.database_url))
        writer = GenerationWriter(database=database, index=corpus.index, embedder=corpus.embedder)
        collection_id = await Pages(database=database, writer=writer).collection_id(DEFAULT_COLLECTION)
        filler = _Filler(dataset, corpus=corpus, database=database, writer=writer, collection_id=collection_id, progress=progress)
        filling = await filler.fill()
        yield FilledIndex(
            corpus=corpus,
            searcher=Searcher(database=database, index=corpus.index, embedder=corpus.embedder, settings=settings.search),
            rerankers=await asyncio.to_thread(_rerankers, settings, corpus, models_dir),
            collection_id=collection_id,
            documents=filler.documents,
            filling=filling,
            stamp=make_stamp(corpus.embedder.stamp, settings.index),
        )


def _lend_models(models_dir: Path, folder: Path) -> None:
    """Let an index of its own use the models that were fetched into one's own data directory."""
    link = folder / "models"
    if models_dir.is_dir() and not link.exists():
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        link.unlink(missing_ok=True)  # one that leads nowhere any more
        link.symlink_to(models_dir, target_is_directory=True)


def reranker_kind(name: str | None) -> str | None:
    """Which of ``RERANKERS`` a ``search.reranker`` is; None for none."""
    return None if name in (None, "none") else MAXSIM if name == MAXSIM else CROSS_ENCODER


def _rerankers(settings: Settings, corpus: Corpus, models_dir: Path) -> dict[str, Reranker]:
    """MaxSim wherever the embedder has token vectors, and the cross-encoder if one is configured, as the service makes them.

    Raises: ModelMissing, StartupError.
    """
    search = settings.search
    rerankers: dict[str, Reranker] = {}
    if len(corpus.embedder.embed_query("token").tokens):
        rerankers[MAXSIM] = MaxSimReranker(tokens=corpus.index.tokens, weight=search.weight_of(MAXSIM))
    if reranker_kind(search.reranker) == CROSS_ENCODER:
        rerankers[CROSS_ENCODER] = CrossEncoderReranker.load(
            name=search.reranker,
            models_dir=models_dir,
            device=settings.index.device,
            dtype=settings.index.dtype,
            weight=search.weight_of(search.reranker),
            batch_size=search.rerank_batch_size,
        )
    return rerankers


class _Filler:
    def __init__(
        self,
        dataset: Dataset,
        *,
        corpus: Corpus,
        database: Database,
        writer: GenerationWriter,
        collection_id: int,
        progress: Progress,
    ) -> None:
        self._dataset = dataset
        self._corpus = corpus
        self._database = database
        self._writer = writer
        self._collection_id = collection_id
        self._progress = progress
        self._unread: dict[str, str] = {}
        self.documents = {_url(dataset, document): document.id for document in dataset.documents}

    async def fill(self) -> Filling:
        lacking, chunks = await asyncio.to_thread(self._lacking, await self._database.snapshot(_written))
        wanted = sum(len(page.chunks) for page in lacking)
        started = time.perf_counter()
        if wanted:
            with self._progress.counting(f"{self._dataset.name}: embedding", total=wanted, unit="chunks") as advance:
                for batch in _batches(lacking):
                    await self._writer.commit(batch, on_flip=_ignore)
                    advance(sum(len(page.chunks) for page in batch))
        return Filling(
            pages=len(self._dataset.documents) - len(self._unread),
            chunks=chunks,
            embedded_chunks=wanted,
            embedding_s=time.perf_counter() - started,
            unread=self._unread,
        )

    def _lacking(self, written: dict[str, _Written]) -> tuple[list[NewPage], int]:
        """The pages that the index doesn't hold as they would be written now, and how many chunks all have."""
        lacking: list[NewPage] = []
        chunks = 0
        with self._progress.counting(
            f"{self._dataset.name}: cutting", total=len(self._dataset.documents), unit="documents"
        ) as advance:
            for document in self._dataset.documents:
                advance(1)
                try:
                    page = self._page(document)
                except PermanentError as exc:
                    self._unread[document.id] = exc.message
                    continue
                chunks += len(page.chunks)
                if written.get(page.url) != (page.page.content_hash, tuple(_facts(chunk) for chunk in page.chunks)):
                    lacking.append(page)
        return lacking, chunks

    def _page(self, document: Document) -> NewPage:
        """Raises: PermanentError, if nothing in the document is text."""
        url = _url(self._dataset, document)
        body = document.text if document.text.strip() else document.title
        if not body:
            raise PermanentError("It has neither title nor text.", reason="no_text")
        page = extract(body.encode(), url=url, content_type="text/plain", charset="utf-8").page
        page = replace(page, title=document.title or page.title)
        chunks = chunk_by_settings(page, tokenizer=self._corpus.embedder.tokenizer, settings=self._corpus.settings.index)
        return NewPage(
            collection_id=self._collection_id,
            url=url,
            page=page,
            chunks=chunks,
            links=[],
            etag=None,
            last_modified=None,
            fetched_at=utc_now(),
            job_id=None,
        )


def _url(dataset: Dataset, document: Document) -> str:
    """A document's address: under a name that no host can have (RFC 2606)."""
    host = re.sub(r"[^a-z0-9]+", "-", dataset.name.lower()).strip("-") or "set"
    return f"https://{host}.invalid/{quote(document.id, safe='')}"


def _written(connection: Connection) -> dict[str, _Written]:
    """The live pages by URL."""
    live = PageRow.live_generation == GenerationRow.id
    pages = select(GenerationRow.id, PageRow.url, GenerationRow.content_hash).join(PageRow, live)
    columns = (ChunkRow.start, ChunkRow.end, ChunkRow.embed_text)
    rows = select(ChunkRow.generation, *columns).join(PageRow, PageRow.live_generation == ChunkRow.generation)
    chunks: dict[int, list[tuple[object, ...]]] = {}
    for generation, *facts in connection.execute(rows.order_by(ChunkRow.generation, ChunkRow.ordinal)):
        chunks.setdefault(generation, []).append(tuple(facts))
    return {url: (content_hash, tuple(chunks.get(id, ()))) for id, url, content_hash in connection.execute(pages)}


def _facts(chunk: ChunkSpan) -> tuple[object, ...]:
    return chunk.start, chunk.end, chunk.embed_text


def _batches(pages: Sequence[NewPage]) -> Iterator[list[NewPage]]:
    batch: list[NewPage] = []
    for page in pages:
        if batch and sum(len(one.chunks) for one in (*batch, page)) > COMMIT_CHUNKS:
            yield batch
            batch = []
        batch.append(page)
    if batch:
        yield batch


async def _ignore(connection: AsyncConnection, pending: Pending, went_live: bool) -> None:
    """Nothing else must be true together with a page of a test set."""
