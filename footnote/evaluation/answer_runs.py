"""Every question of a set through the real answering: search, rerank, evidence, model, checked citations."""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection, Sequence
from contextlib import AsyncExitStack, aclosing, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from app.answering import Answer, Answerer
from app.citations import CitationChecker
from app.evidence import EvidenceFinder
from app.llm.base import LanguageModel
from app.state import load_model
from corpus.database import Database
from corpus.embedding import Float32
from corpus.errors import NotFound
from corpus.generations import GenerationWriter
from corpus.pages import DEFAULT_COLLECTION, Pages
from corpus.search import Searcher, SearchQuery
from corpus.settings import Settings
from corpus.store import Candidate, ChunkIndex, IndexFilter, LexicalIndex, VectorIndex
from footnote.evaluation.answer_set import AnswerSet, Case
from footnote.evaluation.index import FilledIndex, open_filled_index, reranker_kind
from footnote.evaluation.progress import Progress


@dataclass(frozen=True, slots=True)
class Asked:
    """A question and its answer. ``unresolved``: how many of its citations don't say what their page says there."""

    case: Case
    answer: Answer
    unresolved: int


@dataclass(slots=True)
class Hiding:
    """Pages that searches act as if they weren't indexed; changed from question to question."""

    chunk_ids: set[str] = field(default_factory=set)

    def visible(self, candidates: Sequence[Candidate], limit: int) -> list[Candidate]:
        return [one for one in candidates if one.id not in self.chunk_ids][:limit]


class _HidingVectors:
    def __init__(self, inner: VectorIndex, hiding: Hiding) -> None:
        self._inner, self._hiding = inner, hiding

    def search(self, vector: Float32, *, where: IndexFilter, limit: int) -> list[Candidate]:
        more = limit + len(self._hiding.chunk_ids)
        return self._hiding.visible(self._inner.search(vector, where=where, limit=more), limit)


class _HidingWords:
    def __init__(self, inner: LexicalIndex, hiding: Hiding) -> None:
        self._inner, self._hiding = inner, hiding

    def search(self, text: str, *, where: IndexFilter, limit: int) -> list[Candidate]:
        more = limit + len(self._hiding.chunk_ids)
        return self._hiding.visible(self._inner.search(text, where=where, limit=more), limit)


class Examination:
    """Asks as ``POST /v1/ask`` does, of an index that is this set's alone."""

    def __init__(self, index: FilledIndex, *, database: Database, model: LanguageModel | None, settings: Settings) -> None:
        corpus = index.corpus
        self._index = index
        self._pages = Pages(
            database=database, writer=GenerationWriter(database=database, index=corpus.index, embedder=corpus.embedder)
        )
        self._urls = {document: url for url, document in index.documents.items()}
        self._hiding = Hiding()
        hiding_index = ChunkIndex(
            vectors=_HidingVectors(corpus.index.vectors, self._hiding),  # type: ignore[arg-type]
            lexical=_HidingWords(corpus.index.lexical, self._hiding),  # type: ignore[arg-type]
            tokens=corpus.index.tokens,
        )
        self._answerer = Answerer(
            searcher=Searcher(database=database, index=hiding_index, embedder=corpus.embedder, settings=settings.search),
            reranker=index.rerankers.get(reranker_kind(settings.search.reranker) or ""),
            evidence=EvidenceFinder(embedder=corpus.embedder, tokens=corpus.index.tokens),
            checker=CitationChecker(pages=self._pages),
            model=model,
            search=settings.search,
            answer=settings.answer,
            llm=settings.llm,
        )

    async def ask(self, case: Case) -> Asked:
        self._hiding.chunk_ids = await self._chunks_of(case.hidden)
        query = SearchQuery(text=case.question, collection_id=self._index.collection_id)
        async with aclosing(self._answerer.ask(query)) as events:
            answer = [event async for event in events][-1]
        assert isinstance(answer, Answer)
        return Asked(case, answer, await self._unresolved(answer))

    async def _chunks_of(self, documents: Collection[str]) -> set[str]:
        found: set[str] = set()
        for document in documents:
            url = self._urls[document]
            if at := await self._pages.at(url, collection=DEFAULT_COLLECTION):
                found |= {chunk.id for chunk in (await self._pages.whole(at.page.id)).chunks}
        return found

    async def _unresolved(self, answer: Answer) -> int:
        """Looked up afresh, by nothing that the answer itself was checked with."""
        wrong = 0
        for citation in answer.citations:
            try:
                text, content_hash = await self._pages.text(citation.page_id)
            except NotFound:
                wrong += 1
                continue
            stands = text[citation.start : citation.end] == citation.quote and content_hash == citation.content_hash
            wrong += not (stands and citation.quote)
        return wrong


@asynccontextmanager
async def examination(
    answer_set: AnswerSet, *, settings: Settings, folder: Path, progress: Progress
) -> AsyncIterator[tuple[FilledIndex, Examination, str | None]]:
    """An index with the set's documents and what asks of it; the name of the model that phrases, if one does.

    Raises: StartupError, StorageFull.
    """
    async with AsyncExitStack() as stack:
        index = await stack.enter_async_context(
            open_filled_index(answer_set.dataset, settings=settings, folder=folder, progress=progress)
        )
        database = await stack.enter_async_context(Database(url=index.corpus.database_url))
        model = load_model(settings)
        if model is not None:
            stack.push_async_callback(model.close)
        yield index, Examination(index, database=database, model=model, settings=settings), model.facts.name if model else None


async def ask_all(examination: Examination, cases: Sequence[Case], *, name: str, progress: Progress) -> list[Asked]:
    with progress.counting(f"{name}: asking", total=len(cases), unit="questions") as advance:
        asked = []
        for case in cases:
            asked.append(await examination.ask(case))
            advance(1)
    return asked
