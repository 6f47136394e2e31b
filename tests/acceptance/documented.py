"""The commands that README.md and docs/ tell people to type, as they stand there."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

CHECKOUT = Path(__file__).parent.parent.parent
PAGES = (CHECKOUT / "README.md", *sorted((CHECKOUT / "docs").glob("*.md")))
_FENCE = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_COMMENT = re.compile(r"(?:^|\s+)#(?=\s).*$", re.MULTILINE)


@dataclass(frozen=True)
class Block:
    """A fenced block of code. ``line`` is that of its fence."""

    page: str
    line: int
    language: str
    text: str

    @property
    def commands(self) -> list[str]:
        """Of a shell block: one for each line, those that go on in the next joined, without comments."""
        joined = _COMMENT.sub("", self.text).replace("\\\n", " ")
        return [line.strip() for line in joined.splitlines() if line.strip()]


def blocks(language: str) -> Iterator[Block]:
    for path in PAGES:
        text = path.read_text()
        for found in _FENCE.finditer(text):
            if found[1] == language:
                line = text.count("\n", 0, found.start()) + 1
                yield Block(str(path.relative_to(CHECKOUT)), line, language, found[2])
