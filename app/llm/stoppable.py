"""A language model that can be told to stop writing, for a service that ends."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from typing import Any, Literal

from app.llm.base import LanguageModel, ModelFacts, Piece
from corpus.errors import Unavailable


class StoppableModel:
    """``model``, until ``stopping`` is set: from then on, whoever is being answered or waits gets Unavailable at once.

    An answer is then finished from what was written and from the quotes, so its stream has an end that holds.
    """

    def __init__(self, model: LanguageModel, *, stopping: asyncio.Event) -> None:
        self._model = model
        self._stopping = stopping
        self.facts: ModelFacts = model.facts
        self.admission = model.admission

    async def generate(self, prompt: str, *, max_tokens: int, stop: Sequence[str] = (), asker: str = "") -> AsyncGenerator[Piece]:
        told = asyncio.ensure_future(self._stopping.wait())
        try:
            async with aclosing(self._model.generate(prompt, max_tokens=max_tokens, stop=stop, asker=asker)) as pieces:
                while (piece := await _unless(told, pieces)) is not None:
                    yield piece
        finally:
            told.cancel()

    async def warm(self, beginning: str) -> None:
        await self._model.warm(beginning)

    async def lacks(self) -> str | None:
        return await self._model.lacks()

    def count_tokens(self, text: str) -> int:
        return self._model.count_tokens(text)

    async def close(self) -> None:
        await self._model.close()


async def _unless(told: asyncio.Future[Literal[True]], pieces: AsyncGenerator[Piece]) -> Piece | None:
    """The next piece; None at the end. Raises: Unavailable, once ``told``."""

    async def next_piece() -> Piece | None:
        return await anext(pieces, None)

    coming = asyncio.ensure_future(next_piece())
    awaited: list[asyncio.Future[Any]] = [coming, told]
    try:
        await asyncio.wait(awaited, return_when=asyncio.FIRST_COMPLETED)
    finally:
        if not coming.done():
            coming.cancel()
            await asyncio.wait([coming])
    if coming.cancelled():
        raise Unavailable("Footnote is stopping. Ask again when it is back.")
    return coming.result()
