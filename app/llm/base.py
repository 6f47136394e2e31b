"""What an answer needs of a language model, whichever engine runs it."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol


@dataclass(frozen=True, slots=True)
class ModelFacts:
    """``style``: a base model completes text and is shown examples; a chat model follows instructions."""

    name: str
    engine: str
    device: str
    quantisation: str
    context_tokens: int
    style: Literal["completion", "chat"]


@dataclass(frozen=True, slots=True)
class Piece:
    """Some of a text, in the order in which it is written.

    The last piece, whose text may be empty, says why the writing ended, ``stop`` (the model's own end, or a stop string) or
    ``length`` (max_tokens), and counts tokens. Where the engine broke off, there is no such piece.
    """

    text: str
    ended: Literal["stop", "length"] | None = None
    prompt_tokens: int | None = None
    completion_tokens: int | None = None


class LanguageModel(Protocol):
    """Safe for concurrent use from one event loop. Leaving the iterator early cancels the generation."""

    facts: ModelFacts

    def generate(self, prompt: str, *, max_tokens: int, stop: Sequence[str] = ()) -> AsyncGenerator[Piece]:
        """Pieces of text as they are generated, greedily.

        Raises: Overloaded, if too many wait already; InvalidInput, if the prompt doesn't fit the context.
        """
        ...

    def count_tokens(self, text: str) -> int:
        """An estimate is allowed, if it is never too small."""
        ...

    async def close(self) -> None: ...
