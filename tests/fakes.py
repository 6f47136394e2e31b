"""Stand-ins for the two models, fast and deterministic. They pass the same contract tests as the real ones
(``integration/test_embedding.py``, ``integration/test_language_models.py``)."""

from __future__ import annotations

import asyncio
import hashlib
import re
from collections.abc import AsyncGenerator, Sequence
from functools import lru_cache
from typing import Literal

import numpy as np
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Whitespace

from app.llm.admission import Admission
from app.llm.base import ModelFacts, Piece
from corpus.embedding import EmbedderStamp, Embedding, Float32, TokenOffsets
from corpus.errors import InvalidInput

SPECIAL_TOKENS = 2
_WORD = re.compile(r"\w+")
# Without them every two English sentences would look alike to a bag of words.
_STOP_WORDS = frozenset(
    re.findall(r"\w+", "a an and are as at be by can do for how i in is it much of on or the to was what when which who with")
)


class FakeEmbedder:
    """A bag of words: each word has a random direction of its own, so cosine is the share of words in common."""

    def __init__(self, *, dimension: int = 384, name: str = "bag-of-words", max_tokens: int = 256) -> None:
        self.stamp = EmbedderStamp(
            name=name,
            revision="1",
            dimension=dimension,
            max_tokens=max_tokens,
            normalised=True,
            query_prompt="",
            passage_prompt="",
        )
        backend = Tokenizer(WordLevel({"[UNK]": 0}, unk_token="[UNK]"))
        backend.pre_tokenizer = Whitespace()
        self.tokenizer = TokenOffsets(backend=backend, max_tokens=max_tokens, special_tokens=SPECIAL_TOKENS)

    def embed_query(self, text: str) -> Embedding:
        return self._embed(text)

    def embed_queries(self, texts: Sequence[str]) -> list[Embedding]:
        return [self._embed(text) for text in texts]

    def embed_passages(self, texts: Sequence[str]) -> list[Embedding]:
        return [self._embed(text) for text in texts]

    def embed_sentences(self, texts: Sequence[str]) -> Float32:
        vectors = [self._embed(text).vector for text in texts]
        return np.stack(vectors) if vectors else np.zeros((0, self.stamp.dimension), dtype=np.float32)

    def token_spans(self, text: str) -> list[tuple[int, int]]:
        return [word.span() for word in _WORD.finditer(text)]

    def _embed(self, text: str) -> Embedding:
        dimension = self.stamp.dimension
        words = _WORD.findall(text.lower())[: self.stamp.max_tokens - SPECIAL_TOKENS]
        tokens = (
            np.stack([_direction(word, dimension) for word in words]) if words else np.zeros((0, dimension), dtype=np.float32)
        )
        bag = sorted(set(words) - _STOP_WORDS) or sorted(set(words)) or [""]
        vector = np.sum([_direction(word, dimension) for word in bag], axis=0)
        return Embedding(vector=(vector / np.linalg.norm(vector)).astype(np.float32), tokens=tokens)


@lru_cache(maxsize=50_000)
def _direction(word: str, dimension: int) -> Float32:
    seed = int.from_bytes(hashlib.sha256(word.encode(errors="replace")).digest()[:8])
    vector = np.random.default_rng(seed).standard_normal(dimension)
    return (vector / np.linalg.norm(vector)).astype(np.float32)


class FakeModel:
    """Says its script, one text per call and the last one for ever, word by word. ``hangs``: and then never ends."""

    def __init__(
        self,
        *script: str,
        slots: int = 2,
        queue_limit: int = 16,
        context_tokens: int = 2048,
        style: Literal["completion", "chat"] = "completion",
        pause_s: float = 0.0,
        hangs: bool = False,
    ) -> None:
        self.facts = ModelFacts("scripted", "none", "cpu", "none", context_tokens, style)
        self.prompts: list[str] = []
        self.warmed: list[str] = []
        self.lack: str | None = None
        self.cancelled = 0
        self.closed = False
        self._script = list(script or ("",))
        self.admission = Admission(slots=slots, queue_limit=queue_limit)
        self._pause_s = pause_s
        self._hangs = hangs

    @property
    def running(self) -> int:
        return self.admission.running

    def say(self, *script: str) -> None:
        """From the next call on."""
        self._script = list(script)

    async def warm(self, beginning: str) -> None:
        self.warmed.append(beginning)

    async def lacks(self) -> str | None:
        if self.lack == "silence":
            await asyncio.Event().wait()
        return self.lack

    def count_tokens(self, text: str) -> int:
        return len(_pieces(text)) + 1

    async def generate(self, prompt: str, *, max_tokens: int, stop: Sequence[str] = (), asker: str = "") -> AsyncGenerator[Piece]:
        async with self.admission.slot(asker):
            if self.count_tokens(prompt) > self.facts.context_tokens:
                raise InvalidInput("The prompt doesn't fit the model's context.")
            self.prompts.append(prompt)
            text = self._script.pop(0) if len(self._script) > 1 else self._script[0]
            for mark in stop:
                text = text.split(mark, 1)[0]
            finished = False
            try:
                words = _pieces(text)
                for word in words[:max_tokens]:
                    await asyncio.sleep(self._pause_s)
                    yield Piece(word)
                if self._hangs:
                    await asyncio.Event().wait()
                finished = True
                said = min(len(words), max_tokens)
                yield Piece("", "length" if len(words) > max_tokens else "stop", self.count_tokens(prompt), said)
            finally:
                self.cancelled += not finished

    async def close(self) -> None:
        self.closed = True


def _pieces(text: str) -> list[str]:
    return re.findall(r"\s*\S+|\s+", text)
