"""What the service left in its data directory, read without it: the chunks it embedded, and questions made from them."""

from __future__ import annotations

import json
import random
import re
import sqlite3
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

DATABASE = "footnote.sqlite"
FRAGMENT_WORDS = (4, 9)
_WORD = re.compile(r"\w[\w'.-]*")


@dataclass(frozen=True, slots=True)
class StoredChunk:
    """``text`` is the chunk as it stands on the page, ``embed_text`` what the embedder was given."""

    embed_text: str
    text: str
    heading: str


def live_chunks(data_dir: Path) -> list[StoredChunk]:
    """All chunks that readers see, in the order in which they were written."""
    statement = (
        "SELECT c.embed_text, substr(g.text, c.start + 1, c.end - c.start), c.heading_path, g.title FROM chunks c "
        "JOIN generations g ON g.id = c.generation WHERE g.state = 'live' ORDER BY c.generation, c.ordinal"
    )
    with closing(sqlite3.connect(f"{(data_dir / DATABASE).as_uri()}?mode=ro", uri=True)) as database:
        rows = database.execute(statement).fetchall()
    return [StoredChunk(embed_text, text, (json.loads(path) or [title])[-1]) for embed_text, text, path, title in rows]


def queries_from(chunks: Sequence[StoredChunk], *, count: int, seed: int) -> list[str]:
    """Search queries: by turns a heading and a few consecutive words of a chunk's text."""
    chance = random.Random(seed)
    queries = []
    for turn, chunk in enumerate(_shuffled(chunks, count, chance)):
        queries.append(heading_query(chunk.heading) if turn % 2 else fragment(chunk.text, chance))
    return queries


def questions_from(chunks: Sequence[StoredChunk], *, count: int, seed: int) -> list[str]:
    """Questions for answers: by turns about a heading and about a fragment of the text."""
    chance = random.Random(seed + 1)
    questions = []
    for turn, chunk in enumerate(_shuffled(chunks, count, chance)):
        about = heading_query(chunk.heading) if turn % 2 else fragment(chunk.text, chance)
        questions.append(f"What does it say about {about}?")
    return questions


def fragment(text: str, chance: random.Random) -> str:
    """A few consecutive words from somewhere in a text; the whole text where it is shorter."""
    words = _WORD.findall(text)
    length = min(len(words), chance.randint(*FRAGMENT_WORDS))
    begin = chance.randint(0, len(words) - length)
    return " ".join(words[begin : begin + length]) or "contents"


def heading_query(heading: str) -> str:
    return " ".join(_WORD.findall(heading)) or "contents"


def _shuffled(chunks: Sequence[StoredChunk], count: int, chance: random.Random) -> list[StoredChunk]:
    """``count`` chunks at random, each once as long as there are enough."""
    chosen: list[StoredChunk] = []
    while chunks and len(chosen) < count:
        chosen += chance.sample(chunks, min(len(chunks), count - len(chosen)))
    return chosen
