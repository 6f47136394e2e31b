"""API keys: who may do what, in which collections.

A key reads ``fn_ID_SECRET``. The secret is 32 random bytes, so its SHA-256 is stored: there is nothing to guess that a slow
password hash would protect. Keys are looked up for every request, so a revocation holds from the next one on.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from base64 import b32encode
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import Connection, bindparam, insert, select, update

from corpus.database import Database, utc_now
from corpus.errors import InvalidInput, NotFound
from corpus.pages import COLLECTION_NAME
from corpus.tables import ApiKeyRow

PREFIX = "fn_"
ID_BYTES, SECRET_BYTES = 5, 32  # 8 and 52 letters
MAX_NAME_CHARS = 100
_TOKEN = re.compile(r"fn_([a-z2-7]{8})_([a-z2-7]{52})")
_BY_ID = select(ApiKeyRow).where(ApiKeyRow.id == bindparam("id"))


class Scope(StrEnum):
    """``query``: ask, search and read. ``ingest``: put pages in and take them out. ``admin``: all, keys and verification too."""

    QUERY = "query"
    INGEST = "ingest"
    ADMIN = "admin"


@dataclass(frozen=True, slots=True)
class ApiKey:
    """A key without its secret. ``collections`` None: all of them, also those to come."""

    id: str
    name: str
    scopes: frozenset[Scope]
    collections: frozenset[str] | None
    created_at: datetime
    expires_at: datetime | None
    revoked_at: datetime | None

    def holds(self, now: datetime) -> bool:
        return self.revoked_at is None and (self.expires_at is None or now < self.expires_at)

    def may(self, scope: Scope) -> bool:
        return scope in self.scopes or Scope.ADMIN in self.scopes


class Keys:
    def __init__(self, *, database: Database) -> None:
        self._database = database

    async def create(
        self,
        *,
        name: str,
        scopes: Collection[Scope],
        collections: Collection[str] | None = None,
        expires_at: datetime | None = None,
    ) -> tuple[ApiKey, str]:
        """A new key, and the words to use it by, which are stored nowhere and can't be had again.

        Raises: InvalidInput.
        """
        _check(name=name, scopes=scopes, collections=collections, expires_at=expires_at)
        secret = _letters(SECRET_BYTES)
        granted = None if collections is None else frozenset(collections)
        key = ApiKey(_letters(ID_BYTES), name.strip(), frozenset(scopes), granted, utc_now(), expires_at, None)
        row = {
            "id": key.id,
            "name": key.name,
            "secret_hash": _hash(secret),
            "scopes": sorted(key.scopes),
            "collections": None if granted is None else sorted(granted),
            "created_at": key.created_at,
            "expires_at": expires_at,
        }
        async with self._database.write() as connection:
            await connection.execute(insert(ApiKeyRow).values(row))
        return key, f"{PREFIX}{key.id}_{secret}"

    async def list(self) -> Sequence[ApiKey]:
        """All, the newest first, those included that hold no more."""
        statement = select(ApiKeyRow).order_by(ApiKeyRow.created_at.desc(), ApiKeyRow.id)
        return await self._database.snapshot(lambda connection: [_key(row) for row in connection.execute(statement)])

    async def revoke(self, key_id: str) -> ApiKey:
        """From the next request on. Revoking twice is revoking once. Raises: NotFound."""
        async with self._database.write() as connection:
            changed = update(ApiKeyRow).where(ApiKeyRow.id == key_id)
            await connection.execute(changed.where(ApiKeyRow.revoked_at.is_(None)).values(revoked_at=utc_now()))
            row = (await connection.execute(_BY_ID, {"id": key_id})).first()
        if row is None:
            raise NotFound(f"There is no API key {key_id}. GET /v1/keys or `footnote keys list` shows those there are.")
        return _key(row)

    async def find(self, token: str) -> ApiKey | None:
        """The key that holds now by these words; None for wrong, expired and revoked ones alike."""
        if (match := _TOKEN.fullmatch(token)) is None:
            return None
        key_id, secret = match.groups()

        def read(connection: Connection) -> Any:
            return connection.execute(_BY_ID, {"id": key_id}).first()

        row = await self._database.snapshot(read)
        # Compared even where there is none, so that the time taken doesn't tell which ids exist.
        is_right = hmac.compare_digest(_hash(secret), row.secret_hash if row else "0" * 64)
        key = _key(row) if row else None
        return key if key and is_right and key.holds(utc_now()) else None

    async def any_holds(self) -> bool:
        now = utc_now()
        return any(key.holds(now) for key in await self.list())


def _check(*, name: str, scopes: Collection[Scope], collections: Collection[str] | None, expires_at: datetime | None) -> None:
    if not 0 < len(name.strip()) <= MAX_NAME_CHARS:
        raise InvalidInput(f"A key needs a name of 1 to {MAX_NAME_CHARS} characters, so that you know it again.")
    if not scopes:
        raise InvalidInput("A key needs a scope: query, ingest or admin.")
    if collections is not None and Scope.ADMIN in scopes:
        raise InvalidInput("An admin key is for all collections, for it could make itself any other key. Leave them out.")
    if collections is not None and not collections:
        raise InvalidInput("A key for no collection could do nothing. Name some, or leave them out for all.")
    for collection in collections or ():
        if not COLLECTION_NAME.fullmatch(collection):
            raise InvalidInput(f"{collection!r} is no collection name: lower-case letters, digits, - and _.")
    if expires_at is not None and expires_at <= utc_now():
        raise InvalidInput("The key would have expired already. Choose a later time.")


def _key(row: Any) -> ApiKey:
    collections = None if row.collections is None else frozenset(row.collections)
    scopes = frozenset(Scope(scope) for scope in row.scopes)
    return ApiKey(row.id, row.name, scopes, collections, row.created_at, row.expires_at, row.revoked_at)


def _letters(count: int) -> str:
    return b32encode(secrets.token_bytes(count)).decode().rstrip("=").lower()


def _hash(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()
