"""The service's parts, acquired in order, and what it can say about itself while they come up."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field, replace
from typing import Annotated, Literal

from dbos import DBOSClient
from fastapi import Depends, Request
from sqlalchemy.exc import DBAPIError

from app.answering import Answerer
from app.callers import Caller, needs_keys
from app.citations import CitationChecker
from app.companions import Companion, Companions
from app.confidence import CALIBRATED
from app.cross_encoder import CrossEncoderReranker
from app.evidence import EvidenceFinder
from app.llm.base import LanguageModel
from app.llm.langchain_model import LangChainModel
from app.llm.llamacpp import LlamaCppModel, find_model
from app.llm.metered import MeteredModel
from app.llm.openai_compatible import OpenAiModel
from app.llm.stoppable import StoppableModel
from app.llm.transformers_model import TransformersModel
from app.metrics import Metrics
from app.reindex import Reindexing
from app.reranker import MaxSimReranker, Reranker
from corpus.database import Database
from corpus.datadir import DataDirectory
from corpus.errors import StartupError, Unavailable
from corpus.feedback import Feedback
from corpus.generations import GenerationWriter
from corpus.grants import EVERYTHING, Grants
from corpus.jobs import Jobs, open_queue
from corpus.keys import Keys, Scope
from corpus.opening import Corpus, database_url, open_corpus
from corpus.pages import Pages
from corpus.search import Searcher
from corpus.settings import Settings
from corpus.sources import Sources
from corpus.tallies import Tallies
from corpus.verify import Verifier
from corpus.weights import MINILM

log = logging.getLogger(__name__)
NO_RERANKER = "no reranker"
UNCALIBRATED = "answer.abstain_below"
OLD_WORDS = "the index server's words were written by an older Footnote"


@dataclass(frozen=True, slots=True)
class Service:
    """Everything a request may need, once it is ready. ``asker``: for whom, where turns are taken."""

    settings: Settings
    corpus: Corpus
    database: Database
    pages: Pages
    jobs: Jobs
    sources: Sources
    keys: Keys
    searcher: Searcher
    reranker: Reranker | None
    model: LanguageModel | None
    answerer: Answerer
    verifier: Verifier
    reindexing: Reindexing
    metrics: Metrics
    tallies: Tallies
    feedback: Feedback
    companions: Companions
    asker: str = ""

    def within(self, grants: Grants) -> Service:
        """The service as somebody sees it who may use these collections alone: others look as if they weren't there."""
        if grants == EVERYTHING:
            return self
        pages, jobs, sources = self.pages.within(grants), self.jobs.within(grants), self.sources.within(grants)
        return replace(self, pages=pages, jobs=jobs, sources=sources, feedback=self.feedback.within(grants))


@dataclass(slots=True)
class Readiness:
    """Where the start stands. ``stage`` is for people; ``state`` is starting, ready, failed or stopping. ``settled`` is
    set once it is no longer starting, ``stopping`` once no new request is let in, ``out_of_time`` when open ones must end."""

    state: Literal["starting", "ready", "failed", "stopping"] = "starting"
    stage: str = "starting"
    error: BaseException | None = None
    degraded: list[str] = field(default_factory=list)
    service: Service | None = None
    settled: asyncio.Event = field(default_factory=asyncio.Event)
    stopping: asyncio.Event = field(default_factory=asyncio.Event)
    out_of_time: asyncio.Event = field(default_factory=asyncio.Event)

    def stop(self) -> None:
        """Let nobody in any more. Who is in already has the service, and may finish."""
        self.state, self.stage, self.service = "stopping", "stopping", None
        self.stopping.set()

    def report(self, stage: str) -> None:
        self.stage = stage
        log.info("%s", stage)


@asynccontextmanager
async def open_service(
    settings: Settings,
    *,
    companions: Sequence[Companion] = (),
    explainer: Companion | None = None,
    readiness: Readiness,
    metrics: Metrics,
) -> AsyncIterator[Service]:
    """Acquire everything; what was acquired is released again, in reverse, also if a later part fails.

    Raises: StartupError.
    """
    async with AsyncExitStack() as stack:
        # The embedder and the language model share nothing, so they load side by side.
        on_server = bool(settings.database.url.get_secret_value())
        if not on_server:
            await check_exposure(settings)
        loading_model = asyncio.ensure_future(asyncio.to_thread(load_model, settings))
        stack.push_async_callback(_settle, loading_model)
        role = "service, worker" if companions else "service"
        corpus = await stack.enter_async_context(open_corpus(settings, role=role, report=readiness.report))
        if on_server:  # which a start waits for first
            await check_exposure(settings)
        database = await stack.enter_async_context(Database(url=corpus.database_url))
        queue = await asyncio.to_thread(open_queue, corpus.queue_url)
        stack.callback(queue.destroy)
        if companions:
            readiness.report("starting the ingest worker")
        beside = Companions([*companions, explainer] if explainer else companions)
        stack.push_async_callback(beside.stop)
        await beside.start(corpus)
        readiness.report("loading the language model")
        loaded = await loading_model
        model = loaded and StoppableModel(MeteredModel(loaded, metrics=metrics), stopping=readiness.out_of_time)
        readiness.report("loading the reranker")
        cross_encoder = await asyncio.to_thread(_load_cross_encoder, settings)

        async def assemble(corpus: Corpus) -> Service:
            reranker, lack = await asyncio.to_thread(_reranker, settings, corpus, cross_encoder)
            lack += _uncalibrated(settings, corpus)
            lack += [f"{OLD_WORDS}: `footnote reindex --anyway` writes them anew"] if corpus.has_old_words else []
            ours = (NO_RERANKER, UNCALIBRATED, OLD_WORDS)
            readiness.degraded[:] = [note for note in readiness.degraded if not note.startswith(ours)] + lack
            return _assemble(
                settings,
                corpus,
                database=database,
                queue=queue,
                model=model,
                reranker=reranker,
                reindexing=reindexing,
                metrics=metrics,
                tallies=tallies,
                companions=beside,
            )

        tallies = Tallies(database=database)
        service: Service  # the one that new requests get

        async def replace_corpus(corpus: Corpus) -> None:
            nonlocal service
            service = await assemble(corpus)
            if readiness.service is not None:  # not while stopping
                readiness.service = service

        reindexing = Reindexing(
            corpus=corpus,
            database=database,
            companions=beside,
            verifier=lambda: service.verifier,
            replace_corpus=replace_corpus,
        )
        stack.push_async_callback(reindexing.stop)
        service = await assemble(corpus)
        yield service


def _assemble(
    settings: Settings,
    corpus: Corpus,
    *,
    database: Database,
    queue: DBOSClient,
    model: LanguageModel | None,
    reranker: Reranker | None,
    reindexing: Reindexing,
    metrics: Metrics,
    tallies: Tallies,
    companions: Companions,
) -> Service:
    writer = GenerationWriter(database=database, index=corpus.index, embedder=corpus.embedder, process=corpus.shared_as)
    pages = Pages(database=database, writer=writer)
    searcher = Searcher(database=database, index=corpus.index, embedder=corpus.embedder, settings=settings.search)
    answerer = Answerer(
        searcher=searcher,
        reranker=reranker,
        evidence=EvidenceFinder(embedder=corpus.embedder, tokens=corpus.index.tokens),
        checker=CitationChecker(pages=pages),
        model=model,
        search=settings.search,
        answer=settings.answer,
        llm=settings.llm,
    )
    jobs = Jobs(database=database, queue=queue)
    sources = Sources(database=database, writer=writer)
    keys = Keys(database=database)
    verifier = Verifier(
        database=database,
        index=corpus.index,
        embedder=corpus.embedder,
        writer=writer,
        settings=corpus.settings.index,
        rebuilt_at_start=corpus.rebuilt_chunks,
    )
    return Service(
        settings=settings,
        corpus=corpus,
        database=database,
        pages=pages,
        jobs=jobs,
        sources=sources,
        keys=keys,
        searcher=searcher,
        reranker=reranker,
        model=model,
        answerer=answerer,
        verifier=verifier,
        reindexing=reindexing,
        metrics=metrics,
        tallies=tallies,
        feedback=Feedback(database=database, keep_days=settings.answer.keep_feedback_days),
        companions=companions,
    )


def _load_cross_encoder(settings: Settings) -> CrossEncoderReranker | None:
    """As ``search.reranker`` says. One that is configured and can't be had is an error, never a quiet fallback."""
    search = settings.search
    if search.reranker in ("none", "maxsim"):
        return None
    return CrossEncoderReranker.load(
        name=search.reranker,
        models_dir=settings.data_dir / "models",
        device=settings.index.device,
        dtype=settings.index.dtype,
        weight=search.weight_of(search.reranker),
        batch_size=search.rerank_batch_size,
    )


def _reranker(
    settings: Settings, corpus: Corpus, cross_encoder: CrossEncoderReranker | None
) -> tuple[Reranker | None, list[str]]:
    """The reranker, and what is lacking if there is none."""
    if cross_encoder is not None:
        return cross_encoder, []
    if settings.search.reranker == "none":
        return None, [f"{NO_RERANKER}: hits come in the order of the first stage"]
    if not len(corpus.embedder.embed_query("token").tokens):
        name = corpus.embedder.stamp.name
        return None, [f"{NO_RERANKER}: {name} has no token vectors for maxsim. Set search.reranker to a cross-encoder"]
    return MaxSimReranker(tokens=corpus.index.tokens, weight=settings.search.weight_of("maxsim")), []


def _uncalibrated(settings: Settings, corpus: Corpus) -> list[str]:
    """What lacks if evidence is judged by another embedder's measure: scores of two are spread differently."""
    name = corpus.embedder.stamp.name
    if name in CALIBRATED or "abstain_below" in settings.answer.model_fields_set:
        return []
    return [f"{UNCALIBRATED} is as measured for {MINILM}, not for {name}: set it, or answers come too often or too seldom"]


def load_model(settings: Settings) -> LanguageModel | None:
    models_dir = settings.data_dir / "models"
    match settings.llm.engine:
        case "none":
            return None
        case "openai":
            return OpenAiModel(settings=settings.llm)
        case "langchain":
            return LangChainModel.load(settings=settings.llm)
        case "transformers":
            return TransformersModel.load(settings=settings.llm, models_dir=models_dir)
        case "llamacpp":
            path = find_model(settings.llm.model, models_dir=models_dir)
            return LlamaCppModel.load(path=path, settings=settings.llm)


async def _settle(task: asyncio.Future[LanguageModel | None]) -> None:
    """Close the model. A thread can't be cancelled: on a failed start wait for it, and don't let its own error hide the first
    one."""
    await asyncio.wait([task])
    if not task.cancelled() and task.exception() is None and (model := task.result()) is not None:
        await model.close()


async def check_exposure(settings: Settings) -> None:
    """Raises: StartupError, where the service would need a key of everybody and there is none yet."""
    if not needs_keys(settings.server):
        return
    directory = DataDirectory(settings.data_dir)
    if settings.database.url.get_secret_value() or directory.database.is_file():
        async with Database(url=database_url(settings, directory)) as database:
            with suppress(DBAPIError):  # a new database, or an older release's, without a table of keys
                if await Keys(database=database).any_holds():
                    return
    raise StartupError(
        f"On {settings.server.host} (server.host) Footnote serves only those who have an API key, and there is none yet. Make "
        f"the first with:\n  FOOTNOTE_DATA_DIR={settings.data_dir} footnote keys create admin --scope admin\n"
        "Then start again. If something in front of the service asks who is there, set server.api_keys to off instead."
    )


def ready_service(request: Request) -> Service:
    """All of the service, whoever asks. Raises: Unavailable while starting or stopping."""
    readiness: Readiness = request.app.state.readiness
    if readiness.service is None:
        raise Unavailable(
            f"Footnote is {readiness.state} ({readiness.stage}). GET /readyz tells when it is ready.", retry_after_s=2
        )
    return readiness.service


def service_for(request: Request, scope: Scope) -> Service:
    """What the caller may use of the service, for something that takes ``scope``.

    Raises: Unavailable while starting or stopping; Forbidden, if the caller's key lacks the scope.
    """
    service = ready_service(request)
    caller: Caller | None = getattr(request.state, "caller", None)
    if caller is None:  # the gate let it pass while there was no service to guard
        raise Unavailable("Footnote has just become ready. Ask again.", retry_after_s=1)
    caller.require(scope)
    return replace(service.within(caller.grants), asker=caller.asker)


def _querying(request: Request) -> Service:
    return service_for(request, Scope.QUERY)


def _ingesting(request: Request) -> Service:
    return service_for(request, Scope.INGEST)


def _administering(request: Request) -> Service:
    return service_for(request, Scope.ADMIN)


# What a route may do, it says by the service that it asks for.
Querying = Annotated[Service, Depends(_querying)]
Ingesting = Annotated[Service, Depends(_ingesting)]
Administering = Annotated[Service, Depends(_administering)]
