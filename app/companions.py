"""What else runs in the service's process on the corpus: in the embedded profile, the ingest worker."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack

from corpus.errors import IngestError, InvalidInput, Overloaded, TransientError, Unavailable
from corpus.explaining import Explainer, Explanation
from corpus.model import ContentSelectors
from corpus.opening import Corpus

MAX_EXPLAINED = 4  # at once: each is held whole, and waits for the parser that jobs use
Companion = Callable[[Corpus], AbstractAsyncContextManager[object]]


class Companions:
    """Started and stopped together. What they were doing is durable, so they go on where they stopped, with another index too."""

    def __init__(self, companions: Sequence[Companion]) -> None:
        self._companions = companions
        self._running = AsyncExitStack()
        self._started: list[object] = []
        self._explained = 0

    async def explain(self, url: str, *, selectors: ContentSelectors) -> Explanation:
        """Have a page fetched and read, to show what is kept of it.

        Raises: InvalidInput, if it can't be, or not now: that a site is down is no failure of this service. Unavailable.
        """
        explainer = next((one for one in self._started if isinstance(one, Explainer)), None)
        if explainer is None:
            raise Unavailable("Nothing here can fetch pages just now, as an index is being switched. Ask again later.")
        if self._explained >= MAX_EXPLAINED:
            raise Overloaded(f"{MAX_EXPLAINED} pages are being read for others. Ask again in a moment.")
        self._explained += 1
        try:
            return await explainer.explain(url, selectors=selectors)
        except IngestError as exc:
            now = " now" if isinstance(exc, TransientError) else ""
            raise InvalidInput(f"{url} can't be read{now}: {exc.message}", reason=exc.reason) from exc
        finally:
            self._explained -= 1

    async def start(self, corpus: Corpus) -> None:
        for companion in self._companions:
            self._started.append(await self._running.enter_async_context(companion(corpus)))

    async def stop(self) -> None:
        """Twice is once."""
        self._started.clear()
        await self._running.aclose()
