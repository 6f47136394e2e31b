"""What a language model around another one passes on as it is."""

from __future__ import annotations

from app.llm.base import LanguageModel, ModelFacts


class WrappedModel:
    """All of ``model`` but ``generate``, which is what wrappers are for."""

    def __init__(self, model: LanguageModel) -> None:
        self._model = model
        self.facts: ModelFacts = model.facts
        self.admission = model.admission

    async def warm(self, beginning: str) -> None:
        await self._model.warm(beginning)

    async def lacks(self) -> str | None:
        return await self._model.lacks()

    def count_tokens(self, text: str) -> int:
        return self._model.count_tokens(text)

    async def close(self) -> None:
        await self._model.close()
