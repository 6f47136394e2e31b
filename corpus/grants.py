"""Which collections somebody may use. Every query for pages, jobs and sources is bounded by it in the database, so that what
isn't granted can't be told from what isn't there."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeVar

from sqlalchemy import select

from corpus.tables import CollectionRow

# Statements of any kind that have a WHERE clause.
S = TypeVar("S", bound=Any)


@dataclass(frozen=True, slots=True)
class Grants:
    """``collections`` by name; None grants all, also those to come."""

    collections: frozenset[str] | None = None

    def covers(self, name: str) -> bool:
        return self.collections is None or name in self.collections

    def bound(self, statement: S, collection_id: Any) -> S:
        """The statement for rows of granted collections alone; ``collection_id`` is their column."""
        if self.collections is None:
            return statement
        granted = select(CollectionRow.id).where(CollectionRow.name.in_(sorted(self.collections)))
        bounded: S = statement.where(collection_id.in_(granted))
        return bounded


EVERYTHING = Grants()
