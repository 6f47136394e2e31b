"""The index remembers what made it; a different embedder or chunker is refused instead of mixing vectors in silence."""

from __future__ import annotations

from typing import Any

from sqlalchemy import func, insert, select, update

from corpus.database import Database
from corpus.embedding import EmbedderStamp
from corpus.errors import IndexMismatch
from corpus.settings import IndexSettings
from corpus.tables import FactRow, GenerationRow

STAMP = "stamp"


def make_stamp(embedder: EmbedderStamp, settings: IndexSettings) -> dict[str, Any]:
    chunker = {
        "max_tokens": settings.chunk_max_tokens,
        "min_tokens": settings.chunk_min_tokens,
        "overlap_tokens": settings.chunk_overlap_tokens,
    }
    return {"embedder": embedder.as_dict(), "chunker": chunker}


async def check_stamp(database: Database, stamp: dict[str, Any]) -> None:
    """Stamp a new index; compare with the stamp of an old one. An index without pages takes the new stamp.

    Raises:
        IndexMismatch: the index was made by something else; the message names each difference and the remedy.
    """
    async with database.write() as connection:
        found = await connection.scalar(select(FactRow.value).where(FactRow.key == STAMP))
        if found == stamp:
            return
        if found is None:
            await connection.execute(insert(FactRow).values(key=STAMP, value=stamp))
            return
        if not await connection.scalar(select(func.count()).where(GenerationRow.state == "live")):
            same_shape = found["embedder"]["dimension"] == stamp["embedder"]["dimension"]
            if same_shape:
                await connection.execute(update(FactRow).where(FactRow.key == STAMP).values(value=stamp))
                return
    found_differences = differences(found, stamp)
    raise IndexMismatch(
        "The index was made with other settings: "
        + "; ".join(found_differences)
        + ". Make it anew from the stored text with `footnote reindex`, or restore the old settings.",
        differences=found_differences,
    )


def differences(old: dict[str, Any], new: dict[str, Any]) -> list[str]:
    """What is other in ``new``, each in words."""
    return [
        f"{section}.{name} was {old.get(section, {}).get(name)!r}, is now {value!r}"
        for section, values in new.items()
        for name, value in values.items()
        if old.get(section, {}).get(name) != value
    ]
