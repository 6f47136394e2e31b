"""Shows how one page is read: kept and left out, as a job would have it. Nothing is indexed.

The page is fetched like any other: through the guard, as robots.txt allows, in its host's turn; it is parsed where that can be
killed.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from corpus.database import Database
from corpus.errors import TransientError
from corpus.explaining import Explanation
from corpus.model import ContentSelectors
from corpus.opening import Corpus
from corpus.selectors import SiteSelectors
from corpus.settings import IngestSettings
from ingest.urls import check_url
from ingest.visit import Visitor
from ingest.visiting import visiting

DEADLINE_S = 60.0  # with the wait for the host's turn: somebody sits before a terminal


class PageExplainer:
    """See the module's docstring."""

    def __init__(self, *, visitor: Visitor, settings: IngestSettings) -> None:
        self._visitor = visitor
        self._settings = settings
        self._selectors = SiteSelectors(settings.selectors)

    async def explain(self, url: str, *, selectors: ContentSelectors) -> Explanation:
        """Raises: IngestError."""
        checked = check_url(url, self._settings)
        try:
            async with asyncio.timeout(DEADLINE_S):
                read = await self._visitor.read(checked, selectors=lambda found: self._selectors.of(found, own=selectors))
        except TimeoutError as exc:
            raise TransientError(
                f"{checked} wasn't read within {DEADLINE_S:g} s: its site is slow, or asks for long pauses.", reason="timeout"
            ) from exc
        return Explanation(
            url=read.url,
            title=read.extracted.page.title,
            text=read.extracted.page.text,
            language=read.extracted.page.language,
            coverage=read.extracted.coverage,
            selectors=self._selectors.of(read.url, own=selectors),
            notes=read.notes,
        )


@asynccontextmanager
async def explainer_for(corpus: Corpus) -> AsyncIterator[PageExplainer]:
    """For a service whose process runs no worker."""
    async with Database(url=corpus.database_url) as database, visiting(corpus, database) as opened:
        yield PageExplainer(visitor=opened.visitor, settings=corpus.settings.ingest)
