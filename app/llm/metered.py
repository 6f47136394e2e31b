"""A language model whose work is counted."""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing

from app.llm.base import LanguageModel, ModelFacts, Piece
from app.metrics import Metrics


class MeteredModel:
    """``model``, telling ``metrics`` who waits for it, how soon it begins and how many tokens it reads and writes."""

    def __init__(self, model: LanguageModel, *, metrics: Metrics) -> None:
        self._model = model
        self._metrics = metrics
        self.facts: ModelFacts = model.facts
        self.admission = model.admission
        metrics.watch(self.admission)

    async def generate(self, prompt: str, *, max_tokens: int, stop: Sequence[str] = ()) -> AsyncGenerator[Piece]:
        asked, began = time.perf_counter(), None
        async with aclosing(self._model.generate(prompt, max_tokens=max_tokens, stop=stop)) as pieces:
            async for piece in pieces:
                if began is None:
                    began = time.perf_counter()
                    self._metrics.first_token_s.observe(began - asked)
                if piece.ended:
                    self._metrics.generation_s.observe(time.perf_counter() - began)
                    self._metrics.prompt_tokens.inc(piece.prompt_tokens or 0)
                    self._metrics.completion_tokens.inc(piece.completion_tokens or 0)
                yield piece

    async def warm(self, beginning: str) -> None:
        await self._model.warm(beginning)

    async def lacks(self) -> str | None:
        return await self._model.lacks()

    def count_tokens(self, text: str) -> int:
        return self._model.count_tokens(text)

    async def close(self) -> None:
        await self._model.close()
