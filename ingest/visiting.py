"""What visits of pages need, opened together: the guarded fetcher, robots.txt, the parser's processes, and a browser if there is
one."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

from corpus.database import Database
from corpus.opening import Corpus
from ingest.browser import Renderer
from ingest.extract.pool import ParserPool
from ingest.fetch import Fetcher
from ingest.robots import Robots
from ingest.shared_politeness import SharedPoliteness
from ingest.visit import Visitor

TURN_MARGIN_S = 30.0  # beyond a fetch's deadline, before a host is taken from who doesn't give it back


@dataclass(frozen=True, slots=True)
class Visiting:
    fetcher: Fetcher
    robots: Robots
    parser: ParserPool
    visitor: Visitor


@asynccontextmanager
async def visiting(corpus: Corpus, database: Database) -> AsyncIterator[Visiting]:
    """For the length of the block."""
    settings, embedder = corpus.settings, corpus.embedder
    async with AsyncExitStack() as stack:
        enter = stack.enter_async_context
        fetcher = await enter(Fetcher(settings=settings.ingest, politeness=_politeness(corpus, database)))
        timeout_s, memory_bytes = settings.ingest.parse_timeout_s, settings.ingest.parse_memory_bytes
        parser = await enter(ParserPool(timeout_s=timeout_s, memory_bytes=memory_bytes))
        robots = Robots(settings=settings.ingest, fetcher=fetcher)
        renderer = None
        if settings.ingest.render != "never":
            renderer = await enter(Renderer(fetcher=fetcher, robots=robots, settings=settings.ingest))
        visitor = Visitor(
            fetcher=fetcher,
            robots=robots,
            parser=parser,
            tokenizer=embedder.tokenizer,
            index=settings.index,
            user_agent=settings.ingest.user_agent,
            renderer=renderer,
        )
        yield Visiting(fetcher, robots, parser, visitor)


def _politeness(corpus: Corpus, database: Database) -> SharedPoliteness | None:
    """Where other processes fetch too, the hosts are paced over all of them."""
    if corpus.shared_as is None:
        return None
    ingest = corpus.settings.ingest
    return SharedPoliteness(
        database=database,
        me=corpus.shared_as,
        delay_s=ingest.delay_s,
        max_delay_s=ingest.max_crawl_delay_s,
        longest_turn_s=ingest.fetch_deadline_s + TURN_MARGIN_S,
    )
