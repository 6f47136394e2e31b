"""Reindexing while no service runs: in this process, on the data directory itself. The index in use is not opened, so it may have
been made by an embedder that can't be had any more."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

from pydantic import ValidationError

from corpus.database import Database, utc_now
from corpus.datadir import DataDirectory
from corpus.errors import InvalidInput
from corpus.generations import GenerationWriter
from corpus.index_facts import index_facts, with_remembered
from corpus.index_homes import IndexHome, index_home
from corpus.opening import database_url, join_others, load_embedder
from corpus.reindexing import Plan, Progress, Reindexer, abandon, clear_others
from corpus.settings import IndexSettings, Settings


async def plan(settings: Settings, wanted: dict[str, Any]) -> Plan:
    """Raises: StartupError, InvalidInput."""
    async with _reindexer(settings, wanted) as (reindexer, _, _):
        return await reindexer.plan()


async def run(settings: Settings, wanted: dict[str, Any], *, anyway: bool, show: Callable[[Progress], None]) -> None:
    """From the beginning, or from where it was broken off. Raises: StartupError, InvalidInput, Conflict, StorageFull."""

    async def report(progress: Progress) -> None:
        show(progress)

    async with _reindexer(settings, wanted, report) as (reindexer, database, home):
        index = await reindexer.begin(anyway=anyway)
        try:
            writer = GenerationWriter(database=database, index=index, embedder=reindexer.embedder)
            while True:
                await reindexer.build(index)
                await reindexer.check(index)
                if await reindexer.switch(index):
                    break
            show(Progress("clear"))
            await writer.sweep(abandoned_before=utc_now())
        finally:
            await asyncio.to_thread(index.close)
        await clear_others(database, home)


async def give_up(settings: Settings) -> bool:
    """Drop an unfinished reindex. False if there is none. Raises: StartupError."""
    async with _opened(settings) as (database, _, home):
        return await abandon(database, home)


@asynccontextmanager
async def _reindexer(
    settings: Settings, wanted: dict[str, Any], report: Callable[[Progress], Any] | None = None
) -> AsyncIterator[tuple[Reindexer, Database, IndexHome]]:
    async with _opened(settings) as (database, directory, home):
        facts = await database.snapshot(index_facts)
        try:
            target = IndexSettings.model_validate(with_remembered(settings.index, facts.settings).model_dump() | wanted)
        except ValidationError as exc:
            raise InvalidInput("; ".join(f"index.{e['loc'][0]}: {e['msg']}" for e in exc.errors())) from exc
        embedder = await asyncio.to_thread(load_embedder, target, models_dir=directory.models)
        options = {"report": report} if report else {}
        yield (
            Reindexer(database=database, home=home, settings=target, embedder=embedder, **options),
            database,
            home,
        )


@asynccontextmanager
async def _opened(settings: Settings) -> AsyncIterator[tuple[Database, DataDirectory, IndexHome]]:
    """Raises: Conflict, if other processes use the database."""
    with DataDirectory(settings.data_dir) as directory:
        async with Database(url=database_url(settings, directory)) as database, AsyncExitStack() as stack:
            await database.migrate()
            if (presence := await join_others(stack, settings, database, directory, "reindex")) is not None:
                await presence.demand_alone(database)
            home = await index_home(settings.milvus, directory=directory, database=database)
            try:
                yield database, directory, home
            finally:
                await asyncio.to_thread(home.close)
