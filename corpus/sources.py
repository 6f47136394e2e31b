"""Sources: what jobs are run over, again and again.

A source is a set of URLs, the way they are taken, and the patterns that bound them, in one collection. Whoever submits the
same again means the same source, so its id is a hash of these. Budgets (``max_pages``, ``max_depth``) are how a run goes and
not what it is of: the newest ones are kept with the source.
"""

from __future__ import annotations

import hashlib
import json

import ada_url
from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy import update
from sqlalchemy.ext.asyncio import AsyncConnection

from corpus.database import SourceRow, utc_now
from corpus.generations import insert_or_ignore
from corpus.model import IngestMode


class JobSpec(BaseModel):
    """What a job was asked to do. ``prune``: remove pages that the source no longer leads to even where they are most of it."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    urls: list[str]
    mode: IngestMode = IngestMode.PAGE
    include: list[str] = Field(default_factory=list)
    exclude: list[str] = Field(default_factory=list)
    max_pages: int
    max_depth: int
    prune: bool = False


def source_id(collection_id: int, spec: JobSpec) -> str:
    """The source that a job of this spec is of: 32 hex digits. Neither order nor repetition nor spelling of its URLs counts."""
    identity = [
        collection_id,
        spec.mode.value,
        sorted({_spelled(url) for url in spec.urls}),
        sorted(set(spec.include)),
        sorted(set(spec.exclude)),
    ]
    return hashlib.sha256(json.dumps(identity).encode()).hexdigest()[:32]


async def remember(connection: AsyncConnection, *, collection_id: int, spec: JobSpec) -> str:
    """Record a job's source, or its newest budgets if it is known; gives its id."""
    found = source_id(collection_id, spec)
    kept = spec.model_copy(update={"prune": False})  # said once, for one run
    row = {"id": found, "collection_id": collection_id, "spec": kept.model_dump(mode="json"), "created_at": utc_now()}
    await connection.execute(insert_or_ignore(connection, SourceRow).values(row))
    await connection.execute(update(SourceRow).where(SourceRow.id == found).values(spec=row["spec"]))
    return found


def _spelled(url: str) -> str:
    """The WHATWG spelling without the fragment; what is no URL, as it stands: the job will say so."""
    try:
        parsed = ada_url.URL(url)
    except ValueError:
        return url
    parsed.hash = ""
    return parsed.href
