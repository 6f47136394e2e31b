"""Reindexing while the service answers: the new index is built beside the live one, then the service is put together anew
around it and takes the old one's place between two requests.

Every request keeps the service that it began with: its embedder, its index, its reranker. So no search ever mixes two indexes,
and what began before the switch ends on the old index, which stays open and whole for a while. Ingest waits from the last look
at what is new until the switch, and goes on with the new index.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, Literal

from pydantic import ValidationError

from app.companions import Companions
from corpus.database import Database, utc_now
from corpus.embedding import Embedder
from corpus.errors import Conflict, FootnoteError, InvalidInput, ModelMissing
from corpus.generations import GenerationWriter
from corpus.index_facts import MADE_WITH, made_with
from corpus.opening import Corpus, load_embedder
from corpus.reindexing import Plan, Progress, Reindexer, abandon, clear_others
from corpus.settings import IndexSettings
from corpus.store import ChunkIndex
from corpus.verify import Verifier

log = logging.getLogger(__name__)

ROUNDS = 5  # looks for pages that were written meanwhile, before ingest must wait for the next
OLD_INDEX_STAYS_S = 60.0  # longer than any request uses it: retrieval and evidence, not generation


class _Stopping(Exception):
    """The service stops, or the reindex is to be given up; what was done stays for the next time."""


@dataclass(frozen=True, slots=True)
class ReindexStatus:
    """``state``: idle (none was asked for since the start), running, succeeded or failed. ``settings``: what the new index is
    made with."""

    state: Literal["idle", "running", "succeeded", "failed"] = "idle"
    step: str | None = None
    done: int = 0
    total: int = 0
    settings: dict[str, Any] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    error: str | None = None
    started_at: datetime | None = None
    finished_at: datetime | None = None


class Reindexing:
    """One reindex at a time. ``replace_corpus`` makes the service answer from another corpus, at once."""

    def __init__(
        self,
        *,
        corpus: Corpus,
        database: Database,
        companions: Companions,
        verifier: Callable[[], Verifier],
        replace_corpus: Callable[[Corpus], Awaitable[None]],
        old_index_stays_s: float = OLD_INDEX_STAYS_S,
    ) -> None:
        self.status = ReindexStatus()
        self._corpus = corpus
        self._database = database
        self._companions = companions
        self._verifier = verifier
        self._replace_corpus = replace_corpus
        self._old_index_stays_s = old_index_stays_s
        self._indexes = AsyncExitStack()  # closes those that were opened here
        self._starting = asyncio.Lock()
        self._stopping = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    async def plan(self, wanted: dict[str, Any]) -> Plan:
        """What a reindex with these settings would do. Raises: InvalidInput."""
        return await (await self._reindexer(self._target(wanted))).plan()

    async def start(self, wanted: dict[str, Any], *, anyway: bool = False) -> None:
        """Begin, or take up what was broken off.

        Raises: Conflict while one is running, if there is nothing to do, or if other processes use the index; InvalidInput;
            StorageFull.
        """
        async with self._starting:
            if self._task is not None and not self._task.done():
                raise Conflict("A reindex is running already. GET /v1/reindex tells how far it is.")
            if self._corpus.presence is not None:
                await self._corpus.presence.demand_alone(self._database)
            reindexer = await self._reindexer(self._target(wanted))
            index = await reindexer.begin(anyway=anyway)
            self._indexes.push_async_callback(asyncio.to_thread, index.close)
            self._stopping.clear()
            self.status = ReindexStatus("running", "cut", settings=made_with(reindexer.settings), started_at=utc_now())
            self._task = asyncio.create_task(self._run(reindexer, index))

    async def abandon(self) -> bool:
        """Give up the reindex that is running or was broken off; the live index is as it was. False if there was none.

        Raises: Conflict once the new index is in use.
        """
        async with self._starting:
            if self._task is not None and not self._task.done():
                if self.status.step in ("switch", "clear"):
                    raise Conflict("The new index is being taken into use; it can't be given up any more.")
                await self._pause()
            return await abandon(self._database, self._corpus.home)

    async def stop(self) -> None:
        """Break off where it stands; a later start takes it up again."""
        await self._pause()
        await self._indexes.aclose()

    async def _pause(self) -> None:
        self._stopping.set()
        if self._task is not None:
            await asyncio.wait([self._task])

    def _target(self, wanted: dict[str, Any]) -> IndexSettings:
        if unknown := sorted(set(wanted) - set(MADE_WITH)):
            raise InvalidInput(f"{', '.join(unknown)}: not what an index is made with. Known are {', '.join(MADE_WITH)}.")
        try:
            return IndexSettings.model_validate(self._corpus.settings.index.model_dump() | wanted)
        except ValidationError as exc:
            raise InvalidInput("; ".join(f"index.{e['loc'][0]}: {e['msg']}" for e in exc.errors())) from exc

    async def _reindexer(self, target: IndexSettings) -> Reindexer:
        """With the embedder that is loaded already, if it is to stay."""
        now = self._corpus.settings.index
        same = all(getattr(now, name) == getattr(target, name) for name in ("embedder", "query_prompt", "passage_prompt"))
        models_dir = self._corpus.directory.models
        try:
            embedder: Embedder = (
                self._corpus.embedder if same else await asyncio.to_thread(load_embedder, target, models_dir=models_dir)
            )
        except ModelMissing as exc:  # it stops a start, but here somebody only asked for it
            raise InvalidInput(exc.message) from exc
        return Reindexer(
            database=self._database,
            home=self._corpus.home,
            settings=target,
            embedder=embedder,
            report=self._progress,
        )

    async def _progress(self, progress: Progress) -> None:
        self.status = replace(self.status, step=progress.step, done=progress.done, total=progress.total)
        if self._stopping.is_set() and progress.step in ("cut", "fill", "check"):
            raise _Stopping

    async def _run(self, reindexer: Reindexer, index: ChunkIndex) -> None:
        try:
            # What is deleted must leave both, whichever is the live one.
            index.beside, self._corpus.index.beside = self._corpus.index, index
            for _ in range(ROUNDS):
                if not await reindexer.build(index):
                    break
            await reindexer.check(index)
            old = await self._take_over(reindexer, index)
            await self._clear(old, index)
        except _Stopping:
            self._end("failed", error="It was broken off; ask for it again to go on.")
        except Exception as exc:  # an outermost loop: whoever asks for the status must learn how it ended
            foreseen = isinstance(exc, FootnoteError)
            log.error("the reindex failed: %s", exc, exc_info=not foreseen)
            self._end("failed", error=exc.message if isinstance(exc, FootnoteError) else f"{exc}. The log holds the details.")
        else:
            self._end("succeeded")
        finally:
            if self._corpus.index is not index:
                self._corpus.index.beside = None
                await asyncio.to_thread(index.close)

    async def _take_over(self, reindexer: Reindexer, index: ChunkIndex) -> Corpus:
        """Put the service on the new index; gives the old corpus. Until the switch's transaction all stays as it was."""
        old = self._corpus
        self.status = replace(self.status, notes=("ingest waits for the switch",))
        await self._companions.stop()
        try:
            async with self._verifier().held():
                while True:
                    await reindexer.build(index)
                    if await reindexer.switch(index):
                        break
            self._corpus = replace(
                old,
                embedder=reindexer.embedder,
                index=index,
                settings=old.settings.model_copy(update={"index": reindexer.settings}),
                rebuilt_chunks=0,
                has_old_words=False,
            )
            await self._replace_corpus(self._corpus)
            us = self._corpus.shared_as
            writer = GenerationWriter(database=self._database, index=index, embedder=reindexer.embedder, process=us)
            await writer.sweep(abandoned_before=utc_now())  # nobody writes now
        finally:
            self.status = replace(self.status, notes=())
            await self._companions.start(self._corpus)
        return old

    async def _clear(self, old: Corpus, index: ChunkIndex) -> None:
        self.status = replace(self.status, step="clear")
        try:
            async with asyncio.timeout(self._old_index_stays_s):
                await self._stopping.wait()
        except TimeoutError:
            pass
        index.beside = None
        await asyncio.to_thread(old.index.close)
        await clear_others(self._database, old.home)

    def _end(self, state: Literal["succeeded", "failed"], *, error: str | None = None) -> None:
        self.status = replace(self.status, state=state, error=error, notes=(), finished_at=utc_now())
