"""For each page what is wanted, what we keep and what another keeps, as files that a person can read side by side."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from pathlib import Path

_UNSAFE = re.compile(r"[^\w.-]+")
_SENTENCE_END = re.compile(r"(?<=[.!?])\s+|(?<=[。！？])")


def write(folder: Path, name: str, texts: Mapping[str, str]) -> None:
    """Write each text to a file, and what differs between the first two, sentence by sentence.

    Args:
        texts: by what it is (``truth``, an extractor's name); the first is what the second is compared with.
    """
    folder.mkdir(parents=True, exist_ok=True)
    stem = _UNSAFE.sub("-", name)[:150]
    for what, text in texts.items():
        (folder / f"{stem}.{_UNSAFE.sub('-', what)}.txt").write_text(text + "\n", encoding="utf-8", errors="replace")
    (first, one), (second, other) = list(texts.items())[:2]
    lines = difflib.unified_diff(_lines(one), _lines(other), first, second, lineterm="", n=1)
    (folder / f"{stem}.diff").write_text("\n".join(lines) + "\n", encoding="utf-8", errors="replace")


def _lines(text: str) -> list[str]:
    """The sentences, without indentation and marks of Markdown: how a text is set isn't the question."""
    bare = (" ".join(line.strip("#>|-* \t`").split()) for line in text.splitlines())
    return [sentence for line in bare if line for sentence in _SENTENCE_END.split(line) if sentence]
