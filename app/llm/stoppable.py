"""A language model that can be told to stop writing, for a service that ends."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from typing import Any, Literal

from app.llm.base import LanguageModel, Piece
from app.llm.wrapped import WrappedModel
from corpus.errors import Unavailable


class StoppableModel(WrappedModel):
    """``model``, until ``stopping`` is set: from then on, whoever is being answered or waits gets Unavailable at once.

    An answer is then finished from what was written and from the quotes, so its stream has an end that holds.
    """

    def __init__(self, model: LanguageModel, *, stopping: asyncio.Event) -> None:
        super().__init__(model)
        self._stopping = stopping

    async def generate(self, prompt: str, *, max_tokens: int, stop: Sequence[str] = (), asker: str = "") -> AsyncGenerator[Piece]:
        told = asyncio.ensure_future(self._stopping.wait())
        try:
            async with aclosing(self._model.generate(prompt, max_tokens=max_tokens, stop=stop, asker=asker)) as pieces:
                while (piece := await _unless(told, pieces)) is not None:
                    yield piece
        finally:
            told.cancel()


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
