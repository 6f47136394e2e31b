"""What else runs in the service's process on the corpus: in the embedded profile, the ingest worker."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack

from corpus.opening import Corpus

Companion = Callable[[Corpus], AbstractAsyncContextManager[object]]


class Companions:
    """Started and stopped together. What they were doing is durable, so they go on where they stopped, with another index too."""

    def __init__(self, companions: Sequence[Companion]) -> None:
        self._companions = companions
        self._running = AsyncExitStack()

    async def start(self, corpus: Corpus) -> None:
        for companion in self._companions:
            await self._running.enter_async_context(companion(corpus))

    async def stop(self) -> None:
        """Twice is once."""
        await self._running.aclose()
