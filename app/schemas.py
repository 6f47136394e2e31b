"""The HTTP API's request and response bodies. Requests refuse unknown fields; times are UTC; spans count code points."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints

from app.answering import Answer, AnswerState
from app.citations import Aged, Citation, Standing
from corpus.coverage import StoredCoverage
from corpus.errors import InvalidInput
from corpus.explaining import Explanation
from corpus.model import Chunk, Coverage, Hit, IngestMode, SearchMode, UrlState
from corpus.pages import DEFAULT_COLLECTION
from corpus.pages import Collection as StoredCollection
from corpus.pages import Page as StoredPage
from corpus.selectors import MAX_SELECTORS, check_selectors
from corpus.sources import every_seconds
from corpus.url_log import UrlVisit
from corpus.urls import spelled
from corpus.verify import Difference, Finding, Report

MAX_HISTORY = 20  # questions
MAX_QUESTION_CHARS = 100_000  # a hard bound for the schema; the setting answer.max_question_chars is the real one


def _http_url(url: str) -> str:
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError("must be an absolute http or https URL, such as https://docs.example.com/")
    return url


def _every(value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, str | int):
        raise ValueError("must be an interval such as 12h or 1d, or a number of seconds")
    try:
        return every_seconds(value)
    except InvalidInput as exc:
        raise ValueError(exc.message) from exc


Every = Annotated[int, BeforeValidator(_every, json_schema_input_type=str | int)]
Url = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=2048), AfterValidator(_http_url)]
Question = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=MAX_QUESTION_CHARS)]
CollectionName = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9_-]{0,62}$")]


def _selectors(texts: list[str]) -> list[str]:
    try:
        return list(check_selectors(texts))
    except InvalidInput as exc:
        raise ValueError(exc.message) from exc


Selectors = Annotated[list[str], Field(max_length=MAX_SELECTORS), AfterValidator(_selectors)]


MaxKept = Annotated[
    float,
    Field(
        ge=0,
        le=1,
        description="Only pages of which at most this share was kept, such as 0.6. Links that were left out don't count.",
    ),
]


class Request(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Filters(Request):
    url_prefix: Annotated[str, AfterValidator(spelled)] | None = Field(
        None, max_length=2048, description="Only pages whose URL begins so, by whole path segments: end it with /."
    )
    language: str | None = Field(None, max_length=16, description="Only pages in this language (BCP 47 primary tag, such as en).")


class IngestRequest(Request):
    model_config = ConfigDict(
        json_schema_extra={"examples": [{"urls": ["https://docs.example.com/"], "mode": "crawl", "max_pages": 500}]}
    )

    urls: list[Url] = Field(min_length=1, max_length=1000)
    mode: IngestMode = Field(
        IngestMode.PAGE,
        description="page: these URLs. sitemap: what these sitemaps list. crawl: these URLs and what they link to.",
    )
    collection: CollectionName = DEFAULT_COLLECTION
    include: list[str] = Field(
        default_factory=list, max_length=100, description="Only URLs that match one of these globs (* matches slashes too)."
    )
    exclude: list[str] = Field(default_factory=list, max_length=100, description="No URLs that match one of these globs.")
    max_pages: int | None = Field(None, ge=1, le=1_000_000, description="Page budget; default: the setting ingest.max_pages.")
    max_depth: int | None = Field(None, ge=0, le=1000, description="Links followed from a start URL at most.")
    prune: bool = Field(
        False,
        description="Remove pages that are not found again even where they are most of what was found before; this run only.",
    )
    every: Every | None = Field(
        None, description="Run the same again so often: 15m to 366d, such as 12h, 1d or 1w, or seconds. null leaves it as it is."
    )
    keep: Selectors | None = Field(
        None,
        description="CSS selectors of what is content on these pages, such as main or #content > article: the rest is left out. "
        "null leaves them as they are; [] forgets them, and the setting ingest.selectors counts again.",
    )
    drop: Selectors | None = Field(None, description="CSS selectors of what is no content, also within what is kept.")


class ExplainRequest(Request):
    model_config = ConfigDict(json_schema_extra={"examples": [{"url": "https://docs.example.com/", "keep": ["main"]}]})

    url: Url
    keep: Selectors = Field(default_factory=list, description="CSS selectors of what is content, instead of the setting's.")
    drop: Selectors = Field(default_factory=list, description="CSS selectors of what is not.")


class SelectorsRequest(Request):
    keep: Selectors = Field(description="CSS selectors of what is content; [] for none.")
    drop: Selectors = Field(description="CSS selectors of what is not; [] for none.")


class SearchRequest(Request):
    model_config = ConfigDict(json_schema_extra={"examples": [{"query": "cancel a task", "limit": 5, "explain": True}]})

    query: Question
    collection: CollectionName = DEFAULT_COLLECTION
    mode: SearchMode = SearchMode.HYBRID
    limit: int = Field(10, ge=1, le=1000)
    filters: Filters = Field(default_factory=Filters)
    rerank: bool = Field(True, description="Rerank, where the service has a reranker (search.reranker).")
    explain: bool = Field(False, description="Show each stage's rank and score, and the time each stage took.")


class AskRequest(Request):
    model_config = ConfigDict(json_schema_extra={"examples": [{"question": "How do I cancel a task?", "stream": False}]})

    question: Question
    history: list[Question] = Field(
        default_factory=list,
        max_length=MAX_HISTORY,
        description="The conversation's earlier questions, the oldest first. What a follow-up leaves out is taken from there.",
    )
    collection: CollectionName = DEFAULT_COLLECTION
    filters: Filters = Field(default_factory=Filters)
    stream: bool = Field(False, description="Answer as server-sent events: retrieval, token …, citations, done.")


class NewCollection(Request):
    name: CollectionName


class StageBody(BaseModel):
    rank: int
    score: float


class HitBody(BaseModel):
    chunk_id: str
    page_id: str
    url: str
    title: str
    heading_path: list[str]
    text: str
    start: int
    end: int
    score: float
    content_hash: str
    fetched_at: datetime
    stages: dict[str, StageBody] | None = None

    @classmethod
    def of(cls, hit: Hit, *, explain: bool) -> HitBody:
        stages = {name: StageBody(rank=s.rank, score=s.score) for name, s in hit.stages.items()} if explain else None
        return cls(**_place(hit.chunk), chunk_id=hit.chunk.id, text=hit.chunk.text, score=hit.score, stages=stages)


class SearchResponse(BaseModel):
    hits: list[HitBody]
    reranked: bool
    timings_ms: dict[str, float] | None = None


class CitationBody(BaseModel):
    """A footnote: ``quote`` is exactly the page text's characters ``start`` to ``end``; ``url`` opens at it."""

    number: int
    page_id: str
    chunk_id: str
    url: str
    title: str
    heading_path: list[str]
    quote: str
    start: int
    end: int
    content_hash: str
    fetched_at: datetime

    @classmethod
    def of(cls, citation: Citation) -> CitationBody:
        return cls.model_validate(citation, from_attributes=True)


class PastCitationBody(Request):
    """A citation as an answer gave it."""

    page_id: str = Field(pattern=r"^[0-9a-f]{32}$")
    content_hash: str = Field(pattern=r"^[0-9a-f]{64}$")
    start: int = Field(ge=0, le=2**31)
    end: int = Field(ge=0, le=2**31)
    quote: str = Field(min_length=1, max_length=20_000)


class CitationsCheck(Request):
    citations: list[PastCitationBody] = Field(min_length=1, max_length=100)


class AgedBody(BaseModel):
    """``state``: current (the page is as it was cited), moved (it has changed, and the quote still stands, at ``start`` to
    ``end``), changed (the quote is no longer there) or gone (the page is). ``content_hash`` and ``fetched_at`` are the page's
    now."""

    state: Standing
    start: int | None
    end: int | None
    content_hash: str | None
    fetched_at: datetime | None

    @classmethod
    def of(cls, aged: Aged) -> AgedBody:
        return cls(
            state=aged.standing, start=aged.start, end=aged.end, content_hash=aged.content_hash, fetched_at=aged.fetched_at
        )


class AgedList(BaseModel):
    """In the order asked."""

    citations: list[AgedBody]


class StatementBody(BaseModel):
    text: str
    citations: list[int]


class NearestBody(BaseModel):
    page_id: str
    url: str
    title: str


class AskResponse(BaseModel):
    """``state``: grounded (the model's words, each sentence supported by a quote), quoted (quotes alone) or abstained.
    ``rewritten_question``: what was answered instead of a follow-up; null if the question stood on its own."""

    state: AnswerState
    rewritten_question: str | None
    answer: str
    statements: list[StatementBody]
    citations: list[CitationBody]
    nearest: list[NearestBody]
    evidence_score: float
    confidence: float = Field(ge=0, le=1, description="That the pages answer the question; below the setting it abstains.")
    model: str | None
    notes: list[str]
    timings_ms: dict[str, float]

    @classmethod
    def of(cls, answer: Answer) -> AskResponse:
        return cls(
            state=answer.state,
            rewritten_question=answer.rewritten_question,
            answer=answer.text,
            statements=[StatementBody(text=s.text, citations=list(s.citations)) for s in answer.statements],
            citations=[CitationBody.of(citation) for citation in answer.citations],
            nearest=[NearestBody(page_id=n.page_id, url=n.url, title=n.title) for n in answer.nearest],
            evidence_score=answer.evidence_score,
            confidence=answer.confidence,
            model=answer.model,
            notes=list(answer.notes),
            timings_ms=answer.timings_ms,
        )


class RetrievalEvent(BaseModel):
    """Of a streamed answer, as the two that follow: what was found."""

    hits: list[HitBody]
    timings_ms: dict[str, float]
    rewritten_question: str | None


class TokenEvent(BaseModel):
    text: str


class CitationsEvent(BaseModel):
    citations: list[CitationBody]


class CollectionBody(BaseModel):
    name: str
    pages: int
    created_at: datetime

    @classmethod
    def of(cls, collection: StoredCollection) -> CollectionBody:
        return cls(name=collection.name, pages=collection.pages, created_at=collection.created_at)


class CollectionList(BaseModel):
    collections: list[CollectionBody]


class LeftOutBody(BaseModel):
    """A part that readers of the page see and that was not kept. ``reason``: what it was taken for, such as navigation;
    ``link_words``: those of its words that stand in links; ``at``: where in the page's text it stood; ``text``: its first words,
    and when a page is explained all of them."""

    reason: str
    words: int
    link_words: int
    text: str
    at: int


class CoverageBody(BaseModel):
    """How much of the words that a reader of the page sees was kept. ``prose_share``: without the words that are meant to go: of
    links that were left out, which menus are made of, and of what selectors drop; a job notes pages where this is small.
    ``left_out``: the largest parts; null where they are not listed: in lists of pages, and for a visit that found the text
    unchanged."""

    visible_words: int
    kept_words: int
    share: float
    prose_share: float
    left_out: list[LeftOutBody] | None

    @classmethod
    def of(cls, coverage: Coverage | StoredCoverage) -> CoverageBody:
        return cls.model_validate(coverage, from_attributes=True)


class ExplanationBody(BaseModel):
    """``url``: where the page was found. ``coverage``: with all parts that were left out, in full; null where the format leaves
    nothing out. ``keep`` and ``drop``: the selectors that were in force."""

    url: str
    title: str
    language: str | None
    text: str
    coverage: CoverageBody | None
    keep: list[str]
    drop: list[str]
    notes: list[str]

    @classmethod
    def of(cls, explained: Explanation) -> ExplanationBody:
        return cls(
            url=explained.url,
            title=explained.title,
            language=explained.language,
            text=explained.text,
            coverage=CoverageBody.of(explained.coverage) if explained.coverage else None,
            keep=list(explained.selectors.keep),
            drop=list(explained.selectors.drop),
            notes=list(explained.notes),
        )


class PageBody(BaseModel):
    """``published_at`` and ``modified_at`` are what the page says of itself; ``notes`` tell what a limit cut short."""

    id: str
    collection: str
    url: str
    title: str
    language: str | None
    content_hash: str
    fetched_at: datetime
    published_at: datetime | None
    modified_at: datetime | None
    notes: list[str]
    chunks: int
    characters: int
    coverage: CoverageBody | None = Field(description="null where the format leaves nothing out, or it isn't known.")

    @classmethod
    def of(cls, page: StoredPage) -> PageBody:
        coverage = page.coverage and page.coverage.without_parts()
        return cls.model_validate(replace(page, coverage=coverage), from_attributes=True)


class AliasBody(BaseModel):
    """Another URL of a page, and why it is one."""

    url: str
    kind: str
    seen_at: datetime


class PageList(BaseModel):
    """``alias``: where one page was asked for by another URL of it, that URL."""

    pages: list[PageBody]
    next: str | None = Field(description="Pass as `after` for the next ones; null at the end.")
    alias: AliasBody | None = None


class ChunkBody(BaseModel):
    id: str
    ordinal: int
    start: int
    end: int
    heading_path: list[str]


class PageDetail(PageBody):
    """A page with its stored text, which every citation's span refers to."""

    text: str
    chunk_spans: list[ChunkBody]
    aliases: list[AliasBody]


class UrlVisitBody(BaseModel):
    """What one job made of a URL; of its last response, if there was one, the status, the decoded size and the time it took."""

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
    coverage: CoverageBody | None = Field(description="null where nothing was read.")


class UrlLog(BaseModel):
    url: str
    visits: list[UrlVisitBody] = Field(description="The newest first.")
    next: int | None = Field(description="Pass as `before` for older ones; null at the end.")

    @classmethod
    def of(cls, url: str, visits: Sequence[UrlVisit], *, limit: int) -> UrlLog:
        bodies = [UrlVisitBody.model_validate(visit, from_attributes=True) for visit in visits[:limit]]
        return cls(url=url, visits=bodies, next=visits[limit - 1].seq if len(visits) > limit else None)


class VerifyRequest(Request):
    repair: bool = Field(False, description="Mend what differs.")


class FindingBody(BaseModel):
    """``subject``: the id of a chunk or a page, or an alias' URL. ``store``: the index it concerns, if it is one."""

    difference: Difference
    subject: str
    store: str | None
    message: str
    mended: bool

    @classmethod
    def of(cls, finding: Finding) -> FindingBody:
        return cls.model_validate(finding, from_attributes=True)


class VerifyReport(BaseModel):
    """``counts`` of all differences by kind, of which ``mended`` are mended; ``findings`` tells of the first. ``pending``:
    versions of pages that are being written or wait to be removed, which are no difference."""

    clean: bool
    pages: int
    chunks: int
    pending: int
    mended: int
    counts: dict[Difference, int]
    findings: list[FindingBody]

    @classmethod
    def of(cls, report: Report) -> VerifyReport:
        return cls(
            clean=not report.differences,
            pages=report.pages,
            chunks=report.chunks,
            pending=report.pending,
            mended=report.mended,
            counts=dict(report.counts),
            findings=[FindingBody.of(finding) for finding in report.findings],
        )


class ReindexRequest(BaseModel):
    """What the new index is to be made with; what isn't named stays as it is. The names are those of the settings."""

    model_config = ConfigDict(extra="forbid")

    embedder: str | None = Field(
        None, min_length=1, max_length=4096, description="As index.embedder: a name or the server's folder."
    )
    query_prompt: str | None = Field(None, max_length=2000)
    passage_prompt: str | None = Field(None, max_length=2000)
    chunk_max_tokens: int | None = None
    chunk_min_tokens: int | None = None
    chunk_overlap_tokens: int | None = None
    anyway: bool = Field(False, description="Also if the index is made like that already.")

    @property
    def wanted(self) -> dict[str, Any]:
        return self.model_dump(exclude={"anyway"}, exclude_unset=True)


class ReindexPlan(BaseModel):
    pages: int
    chunks: int
    differences: list[str]
    resumes: bool
    needed_bytes: int
    free_bytes: int
    settings: dict[str, Any]


class ReindexBody(BaseModel):
    """``step``: cut, fill, check, switch or clear. ``done`` of ``total`` chunks are in the new index."""

    state: Literal["idle", "running", "succeeded", "failed"]
    step: str | None
    done: int
    total: int
    settings: dict[str, Any]
    notes: list[str]
    error: str | None
    started_at: datetime | None
    finished_at: datetime | None


class Health(BaseModel):
    status: str


class ReadinessBody(BaseModel):
    state: str
    stage: str
    degraded: list[str]
    version: str
    embedder: str | None = None
    reranker: str | None = None
    model: dict[str, Any] | None = None
    pages: int | None = None
    chunks: int | None = None


class StreamFailure(BaseModel):
    """Why a stream of events ended early; the fields are those of a problem."""

    code: str
    status: int
    detail: str


class Problem(BaseModel):
    """RFC 9457."""

    type: str
    title: str
    status: int
    code: str
    detail: str
    details: dict[str, Any] | None = None


def _place(chunk: Chunk) -> dict[str, Any]:
    return {
        "page_id": chunk.page_id,
        "url": chunk.url,
        "title": chunk.title,
        "heading_path": list(chunk.heading_path),
        "start": chunk.start,
        "end": chunk.end,
        "content_hash": chunk.content_hash,
        "fetched_at": chunk.fetched_at,
    }


class EvaluationBody(BaseModel):
    """``made_at``: as the report says it."""

    id: str
    kind: str
    made_at: str
    sets: list[str]
    questions: int


class EvaluationList(BaseModel):
    evaluations: list[EvaluationBody]
