"""/v1/keys: who else may use the service."""

from __future__ import annotations

from fastapi import APIRouter

from app.key_schemas import KeyBody, KeyCreated, KeyList, NewKey
from app.routes.problems import problems
from app.state import Administering

router = APIRouter(prefix="/v1/keys", tags=["keys"])


@router.post("", status_code=201, responses=problems())
async def create_key(body: NewKey, service: Administering) -> KeyCreated:
    """Make an API key. The answer is the only one that shows it."""
    key, token = await service.keys.create(
        name=body.name, scopes=body.scopes, collections=body.collections, expires_at=body.expires_at
    )
    return KeyCreated(**KeyBody.of(key).model_dump(), key=token)


@router.get("", responses=problems())
async def list_keys(service: Administering) -> KeyList:
    """All keys, the newest first, those that were revoked or have expired included."""
    return KeyList(keys=[KeyBody.of(key) for key in await service.keys.list()])


@router.delete("/{key_id}", responses=problems(404))
async def revoke_key(key_id: str, service: Administering) -> KeyBody:
    """Revoke a key: from the next request on it holds no more."""
    return KeyBody.of(await service.keys.revoke(key_id))
