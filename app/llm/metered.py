"""A language model whose work is counted."""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing

from app.llm.base import LanguageModel, ModelFacts, Piece
from app.metrics import Metrics
from corpus.spans import begin_span


class MeteredModel:
    """``model``, telling ``metrics`` who waits for it, how soon it begins and how many tokens it reads and writes."""

    def __init__(self, model: LanguageModel, *, metrics: Metrics) -> None:
        self._model = model
        self._metrics = metrics
        self.facts: ModelFacts = model.facts
        self.admission = model.admission
        metrics.watch(self.admission)

    async def generate(self, prompt: str, *, max_tokens: int, stop: Sequence[str] = (), asker: str = "") -> AsyncGenerator[Piece]:
        asked, began = time.perf_counter(), None
        tell_trace = begin_span("generate", gen_ai__request__model=self.facts.name, gen_ai__request__max_tokens=max_tokens)
        try:
            async with aclosing(self._model.generate(prompt, max_tokens=max_tokens, stop=stop, asker=asker)) as pieces:
                async for piece in pieces:
                    if began is None:
                        began = time.perf_counter()
                        self._metrics.first_token_s.observe(began - asked)
                        tell_trace(footnote__first_token_s=began - asked)
                    if piece.ended:
                        read, written = piece.prompt_tokens or 0, piece.completion_tokens or 0
                        self._metrics.generation_s.observe(time.perf_counter() - began)
                        self._metrics.prompt_tokens.inc(read)
                        self._metrics.completion_tokens.inc(written)
                        tell_trace(gen_ai__usage__input_tokens=read, gen_ai__usage__output_tokens=written)
                    yield piece
        finally:
            tell_trace()

    async def warm(self, beginning: str) -> None:
        await self._model.warm(beginning)

    async def lacks(self) -> str | None:
        return await self._model.lacks()

    def count_tokens(self, text: str) -> int:
        return self._model.count_tokens(text)

    async def close(self) -> None:
        await self._model.close()
