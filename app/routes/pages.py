"""/v1/pages and /v1/collections: what is indexed."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

from fastapi import APIRouter, Query

from app.routes.problems import problems
from app.schemas import ChunkBody, CollectionBody, CollectionList, CollectionName, NewCollection, PageBody, PageDetail, PageList
from app.state import CurrentService
from corpus.pages import DEFAULT_COLLECTION

router = APIRouter(prefix="/v1", tags=["pages"])


@router.get("/pages", responses=problems(404, 422, 503))
async def list_pages(
    service: CurrentService,
    collection: Annotated[CollectionName, Query()] = DEFAULT_COLLECTION,
    url_prefix: Annotated[str | None, Query(max_length=2048)] = None,
    after: Annotated[str | None, Query(max_length=4096, description="`next` of the answer before.")] = None,
    limit: Annotated[int, Query(ge=1, le=1000)] = 50,
) -> PageList:
    """Live pages by URL."""
    pages, cursor = await service.pages.list(collection=collection, url_prefix=url_prefix, after=after, limit=limit)
    return PageList(pages=[PageBody.of(page) for page in pages], next=cursor)


@router.get("/pages/{page_id}", responses=problems(404, 503))
async def get_page(page_id: str, service: CurrentService) -> PageDetail:
    """A page with its stored text, which citations' spans count in, and the spans of its chunks."""
    page, text, chunks = await service.pages.whole(page_id)
    spans = [ChunkBody(id=c.id, ordinal=c.ordinal, start=c.start, end=c.end, heading_path=list(c.heading_path)) for c in chunks]
    return PageDetail(**asdict(page), text=text, chunk_spans=spans)


@router.delete("/pages/{page_id}", status_code=204, responses=problems(404, 503))
async def delete_page(page_id: str, service: CurrentService) -> None:
    """Delete a page. Once this has answered, no search and no answer shows it."""
    await service.pages.delete(page_id)


@router.get("/collections", responses=problems(503))
async def list_collections(service: CurrentService) -> CollectionList:
    return CollectionList(collections=[CollectionBody.of(collection) for collection in await service.pages.collections()])


@router.post("/collections", status_code=201, responses=problems(409, 422, 503))
async def create_collection(body: NewCollection, service: CurrentService) -> CollectionBody:
    return CollectionBody.of(await service.pages.create_collection(body.name))


@router.delete("/collections/{name}", status_code=204, responses=problems(404, 409, 503))
async def delete_collection(name: str, service: CurrentService) -> None:
    """Delete a collection with all its pages and the log of its jobs."""
    await service.pages.delete_collection(name)
