"""Which index is the live one, what it was made with, and which one is being built beside it: facts of the database, since the
database is the truth and a single transaction must be able to change them all."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection, delete, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from corpus.database import Database
from corpus.settings import IndexSettings
from corpus.tables import FactRow
from corpus.weights import existing_folder

INDEX = "index"
REINDEX = "reindex"
INSTALLATION = "installation"
# What an index is made with. Where the settings don't name them, an index keeps its own.
MADE_WITH = (
    "embedder",
    "query_prompt",
    "passage_prompt",
    "chunk_max_tokens",
    "chunk_min_tokens",
    "chunk_overlap_tokens",
)


@dataclass(frozen=True, slots=True)
class IndexFacts:
    """``number`` of the live index, and the settings it was made with (of ``MADE_WITH``; none known of an index that an older
    release made). ``analysis``: by which version of the lexical analysis its words were written, None if not known.
    ``building``: the number of the one that is being built, with its stamp and settings. ``unfinished``: there may be rows and
    files of other indexes."""

    number: int = 1
    settings: dict[str, Any] = field(default_factory=dict)
    analysis: int | None = None
    unfinished: bool = False
    building: int | None = None
    building_stamp: dict[str, Any] = field(default_factory=dict)
    building_settings: dict[str, Any] = field(default_factory=dict)


def index_facts(connection: Connection) -> IndexFacts:
    found = {
        row.key: row.value
        for row in connection.execute(select(FactRow.key, FactRow.value).where(FactRow.key.in_((INDEX, REINDEX))))
    }
    live, building = found.get(INDEX, {}), found.get(REINDEX, {})
    return IndexFacts(
        number=live.get("number", 1),
        settings=live.get("settings", {}),
        analysis=live.get("analysis"),
        unfinished=REINDEX in found,
        building=building.get("number"),
        building_stamp=building.get("stamp", {}),
        building_settings=building.get("settings", {}),
    )


def made_with(settings: IndexSettings) -> dict[str, Any]:
    """What is remembered of the settings. A folder is remembered by its whole path."""
    found = settings.model_dump(include=set(MADE_WITH))
    if (folder := existing_folder(settings.embedder)) is not None:
        found["embedder"] = str(folder.absolute())
    return found


def with_remembered(settings: IndexSettings, remembered: dict[str, Any]) -> IndexSettings:
    """The settings, and where they name nothing, those that the index was made with: after a reindex with another embedder, a
    start needs no setting to be changed, nor after a release that has another default."""
    kept = {name: value for name, value in remembered.items() if name in MADE_WITH and name not in settings.model_fields_set}
    return settings.model_copy(update=kept)


async def installation(database: Database) -> str:
    """A name that this database has for itself, made up at its first use: what tells its collections on an index server from
    those of others. One that was restored from a backup has none yet."""
    async with database.write() as connection:
        found = await connection.scalar(select(FactRow.value).where(FactRow.key == INSTALLATION))
        if found is None:
            found = {"name": secrets.token_hex(4)}
            await put_fact(connection, INSTALLATION, found)
    return str(found["name"])


async def put_fact(connection: AsyncConnection, key: str, value: dict[str, Any] | None) -> None:
    """Set a fact; None removes it."""
    if value is None:
        await connection.execute(delete(FactRow).where(FactRow.key == key))
    elif not (await connection.execute(update(FactRow).where(FactRow.key == key).values(value=value))).rowcount:
        await connection.execute(insert(FactRow).values(key=key, value=value))
