"""What a search found, whoever searched."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Found:
    """A chunk that was found. ``document`` is what judgements speak of: a document's id, or a page's URL."""

    chunk: str
    document: str
    title: str
    text: str


@dataclass(frozen=True, slots=True)
class Ranked:
    """What one search gave, best first. ``timings_ms`` by stage; stages may have run side by side."""

    hits: Sequence[Found]
    timings_ms: Mapping[str, float]
