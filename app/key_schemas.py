"""Bodies of the HTTP API that tell of API keys."""

from __future__ import annotations

from datetime import datetime

from pydantic import AwareDatetime, BaseModel, Field

from app.schemas import CollectionName, Request
from corpus.keys import MAX_NAME_CHARS, ApiKey, Scope


class NewKey(Request):
    name: str = Field(min_length=1, max_length=MAX_NAME_CHARS, description="To know the key again by.")
    scopes: list[Scope] = Field(
        default_factory=lambda: [Scope.QUERY],
        min_length=1,
        description="query: ask, search, read. ingest: put in, take out.",
    )
    collections: list[CollectionName] | None = Field(
        None, min_length=1, max_length=1000, description="The collections that it may use; null for all."
    )
    expires_at: AwareDatetime | None = Field(None, description="When it ceases to hold; null for never.")


class KeyBody(BaseModel):
    """A key without its secret."""

    id: str
    name: str
    scopes: list[Scope]
    collections: list[str] | None
    created_at: datetime
    expires_at: datetime | None
    revoked_at: datetime | None

    @classmethod
    def of(cls, key: ApiKey) -> KeyBody:
        return cls(
            id=key.id,
            name=key.name,
            scopes=sorted(key.scopes),
            collections=None if key.collections is None else sorted(key.collections),
            created_at=key.created_at,
            expires_at=key.expires_at,
            revoked_at=key.revoked_at,
        )


class KeyCreated(KeyBody):
    """``key`` is shown this once."""

    key: str


class KeyList(BaseModel):
    keys: list[KeyBody]
