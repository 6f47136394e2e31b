"""Any provider that LangChain knows, through ``init_chat_model``: for those that speak no OpenAI API.

LangChain is imported only here, and only where llm.engine asks for it.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from importlib.util import find_spec
from typing import Any

from app.llm.admission import Admission
from app.llm.base import ModelFacts, Piece, most_tokens
from app.llm.stops import StopCutter
from corpus.errors import FootnoteError, InvalidInput, ModelMissing, Overloaded, StartupError, Unavailable
from corpus.settings import LlmSettings

log = logging.getLogger(__name__)

RETRY_AFTER_S = 5
CUT_OFF = ("length", "max_tokens", "max_output_tokens")  # what providers call the end that max_tokens makes
MAX_STOPS = 4  # OpenAI refuses more, others too


class LangChainModel:
    """One chat model of one provider. Safe for concurrent use from one event loop."""

    def __init__(self, *, model: Any, settings: LlmSettings) -> None:
        self._model = model
        self.admission = Admission(slots=settings.slots, queue_limit=settings.queue_limit)
        provider = settings.model.partition(":")[0]
        self.facts = ModelFacts(
            name=settings.model,
            engine="langchain",
            device=settings.base_url or provider,
            quantisation="as the provider has it",
            context_tokens=settings.context_tokens,
            style="chat",
        )

    @classmethod
    def load(cls, *, settings: LlmSettings) -> LangChainModel:
        """Imports LangChain and the provider's package (seconds); asks nobody yet.

        Raises: ModelMissing, if a package is missing; StartupError, if the settings are no model.
        """
        if find_spec("langchain") is None:
            raise ModelMissing("llm.engine langchain needs LangChain. Run: pip install 'footnote-rag[langchain]'")
        import langsmith
        from langchain.chat_models import init_chat_model

        langsmith.configure(enabled=False)  # a variable in somebody's shell must not send the questions to a third party
        options: dict[str, Any] = {"temperature": 0.0, "timeout": settings.request_deadline_s, "max_retries": 0}
        if settings.base_url:
            options["base_url"] = settings.base_url
        if key := settings.api_key.get_secret_value():
            options["api_key"] = key
        try:
            model = init_chat_model(settings.model, **options)
        except ImportError as exc:  # LangChain's message names the provider's package
            raise ModelMissing(f"llm.model is {settings.model!r}: {exc}") from exc
        except Exception as exc:  # what a provider's package raises for a missing key or an unknown option is its own affair
            raise StartupError(
                f"LangChain can't make a model of llm.model {settings.model!r} ({type(exc).__name__}: {exc}). "
                "It is provider:name; the key is llm.api_key or the provider's own variable."
            ) from exc
        return cls(model=model, settings=settings)

    async def warm(self, beginning: str) -> None:
        """Nothing: servers cache for themselves, and asking may cost."""

    async def lacks(self) -> str | None:
        return None  # providers differ in how one asks, and asking may cost

    def count_tokens(self, text: str) -> int:
        return most_tokens(text)

    async def generate(self, prompt: str, *, max_tokens: int, stop: Sequence[str] = (), asker: str = "") -> AsyncGenerator[Piece]:
        async with self.admission.slot(asker):
            if most_tokens(prompt) // 4 > self.facts.context_tokens:  # surely; what is near it, the provider judges
                raise InvalidInput(f"The prompt doesn't fit the model's context of {self.facts.context_tokens} tokens.")
            cutter = StopCutter(stop)
            ended: str | None = None
            usage: dict[str, Any] = {}
            chunks = 0
            options = self._known(max_tokens=max_tokens, stream_usage=True)
            stream = self._model.astream([("user", prompt)], stop=list(stop[:MAX_STOPS]) or None, **options)
            try:
                async with aclosing(stream):
                    async for chunk in stream:
                        usage = chunk.usage_metadata or usage
                        told = chunk.response_metadata
                        ended = told.get("finish_reason") or told.get("stop_reason") or told.get("done_reason") or ended
                        text = str(chunk.text)
                        chunks += bool(text)  # of a token or more each, so who takes no max_tokens is cut here
                        if chunks > max_tokens:
                            ended = "length"
                            break
                        if said := cutter.feed(text):
                            yield Piece(said)
                        if cutter.stopped:
                            break
            except FootnoteError:
                raise
            except Exception as exc:  # each provider's package has errors of its own
                raise self._refusal(exc) from exc
            if ended or cutter.stopped:
                is_cut_off = ended in CUT_OFF and not cutter.stopped
                counts = usage.get("input_tokens"), usage.get("output_tokens")
                yield Piece(cutter.rest(), "length" if is_cut_off else "stop", *counts)

    def _known(self, **options: Any) -> dict[str, Any]:
        """Of these options of a call, those that this provider's class has a field for: others refuse what they don't know."""
        return {name: value for name, value in options.items() if name in type(self._model).model_fields}

    def _refusal(self, exc: Exception) -> FootnoteError:
        log.warning("%s failed: %r", self.facts.name, exc)
        status = getattr(exc, "status_code", None)
        said = str(exc)[:300]
        if status in (429, 503, 529):
            return Overloaded(f"The language model's provider is busy: {said}", retry_after_s=RETRY_AFTER_S)
        if status in (400, 413) and "context" in said:
            return InvalidInput(f"The prompt doesn't fit the model's context: {said}")
        return Unavailable(
            f"{self.facts.name} failed ({type(exc).__name__}): {said} Are llm.model, llm.base_url and llm.api_key right?",
            retry_after_s=RETRY_AFTER_S,
        )

    async def close(self) -> None:
        """LangChain's models keep no connection that they would have to give back."""
