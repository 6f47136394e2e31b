"""What an answer needs of a language model, whichever engine runs it."""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from app.llm.admission import Admission

# Counting without the tokenizer must never give too little: two letters a token, and what is rarer by its characters or bytes.
_COUNTED = re.compile(r" ?[A-Za-z]+|.", re.DOTALL)


@dataclass(frozen=True, slots=True)
class ModelFacts:
    """``style``: a base model completes text and is shown examples; a chat model follows instructions. ``memory_bytes``: what
    its weights, caches and working space were planned to take; None where the engine doesn't say."""

    name: str
    engine: str
    device: str
    quantisation: str
    context_tokens: int
    style: Literal["completion", "chat"]
    memory_bytes: int | None = None


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
    admission: Admission
    """Who is let in, and who waits."""

    def generate(self, prompt: str, *, max_tokens: int, stop: Sequence[str] = (), asker: str = "") -> AsyncGenerator[Piece]:
        """Pieces of text as they are generated, greedily. ``asker``: whose turn it is, where many wait.

        Raises: Overloaded, if too many wait already; InvalidInput, if the prompt doesn't fit the context.
        """
        ...

    async def warm(self, beginning: str) -> None:
        """Compute what all prompts begin with beforehand, where that makes the first answers faster. Takes its turn like an
        answer, and may be cancelled."""
        ...

    async def lacks(self) -> str | None:
        """What keeps it from answering now, for people; None if nothing is known to."""
        ...

    def count_tokens(self, text: str) -> int:
        """An estimate is allowed, if it is never too small."""
        ...

    async def close(self) -> None: ...


def most_tokens(text: str) -> int:
    """An upper estimate of a text's tokens, without the tokenizer."""
    return sum(map(_tokens_of, _COUNTED.findall(text)))


def _tokens_of(piece: str) -> int:
    if len(piece) > 1 or (piece.isascii() and piece.isalpha()):
        return (len(piece.lstrip()) + 1) // 2
    is_common = piece < "\ua000" or "\uac00" <= piece < "\ud7a4"
    return 1 if is_common else len(piece.encode(errors="replace"))
