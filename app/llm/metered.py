"""A language model whose work is counted."""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing

from app.llm.base import LanguageModel, Piece
from app.llm.wrapped import WrappedModel
from app.metrics import Metrics
from corpus.spans import begin_span


class MeteredModel(WrappedModel):
    """``model``, telling ``metrics`` who waits for it, how soon it begins and how many tokens it reads and writes."""

    def __init__(self, model: LanguageModel, *, metrics: Metrics) -> None:
        super().__init__(model)
        self._metrics = metrics
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
