"""/v1/pages and /v1/collections: what is indexed."""

from __future__ import annotations

from functools import partial
from typing import Annotated

from fastapi import APIRouter, Query

from app.routes.problems import problems
from app.schemas import (
    AliasBody,
    ChunkBody,
    CollectionBody,
    CollectionList,
    CollectionName,
    CoverageBody,
    MaxKept,
    NewCollection,
    PageBody,
    PageDetail,
    PageList,
    UrlLog,
)
from app.state import Administering, Ingesting, Querying, Service
from corpus.pages import DEFAULT_COLLECTION
from corpus.url_log import url_visits
from corpus.urls import spellings

# A citation's address quotes up to 160 characters of its page, percent-encoded, after a URL of 2,048. In a request line each may
# take 12 bytes, and the server reads 65,535.
MAX_ADDRESS_CHARS = 5_000
Before = Annotated[int | None, Query(ge=1, le=2**53, description="`next` of the answer before.")]
LogLimit = Annotated[int, Query(ge=1, le=1000)]

router = APIRouter(prefix="/v1", tags=["pages"])


@router.get("/pages", responses=problems(404))
async def list_pages(
    service: Querying,
    collection: Annotated[CollectionName, Query()] = DEFAULT_COLLECTION,
    url: Annotated[
        str | None,
        Query(
            max_length=MAX_ADDRESS_CHARS,
            description="The page of this address, in any spelling, with any fragment (a citation's, say), or another URL of it.",
        ),
    ] = None,
    url_prefix: Annotated[str | None, Query(max_length=2048)] = None,
    max_kept: Annotated[MaxKept | None, Query()] = None,
    after: Annotated[str | None, Query(max_length=4096, description="`next` of the answer before.")] = None,
    limit: Annotated[int, Query(ge=1, le=1000)] = 50,
) -> PageList:
    """Live pages by URL; with `url` the one of that address alone."""
    if url is not None:
        found = await service.pages.at(url, collection=collection)
        alias = AliasBody.model_validate(found.alias, from_attributes=True) if found and found.alias else None
        return PageList(pages=[PageBody.of(found.page)] if found else [], next=None, alias=alias)
    pages, cursor = await service.pages.list(
        collection=collection, url_prefix=url_prefix, max_kept=max_kept, after=after, limit=limit
    )
    return PageList(pages=[PageBody.of(page) for page in pages], next=cursor)


@router.get("/pages/{page_id}", responses=problems(404))
async def get_page(page_id: str, service: Querying) -> PageDetail:
    """A page with its stored text, which citations' spans count in, and the spans of its chunks."""
    whole = await service.pages.whole(page_id)
    return PageDetail(
        **PageBody.of(whole.page).model_dump(exclude={"coverage"}),
        coverage=CoverageBody.of(whole.page.coverage) if whole.page.coverage else None,
        text=whole.text,
        chunk_spans=[ChunkBody.model_validate(chunk, from_attributes=True) for chunk in whole.chunks],
        aliases=[AliasBody.model_validate(alias, from_attributes=True) for alias in whole.aliases],
    )


@router.get("/pages/{page_id}/log", responses=problems(404))
async def page_log(page_id: str, service: Querying, before: Before = None, limit: LogLimit = 50) -> UrlLog:
    """What each job made of the page's URL, the newest first."""
    page = await service.pages.get(page_id)
    return await _log(service, page.url, await service.pages.collection_id(page.collection), before=before, limit=limit)


@router.get("/urls/log", responses=problems(404))
async def url_log(
    url: Annotated[str, Query(min_length=1, max_length=MAX_ADDRESS_CHARS)],
    service: Querying,
    collection: Annotated[CollectionName, Query()] = DEFAULT_COLLECTION,
    before: Before = None,
    limit: LogLimit = 50,
) -> UrlLog:
    """As for a page, also for URLs that are none: they failed, were skipped or lead elsewhere. Empty if no job knows it. The
    address may be spelled in any way, and have a fragment; `url` in the answer is the one that jobs know."""
    collection_id = await service.pages.collection_id(collection)
    for spelling in spellings(url):
        log = await _log(service, spelling, collection_id, before=before, limit=limit)
        if log.visits:
            return log
    if found := await service.pages.at(url, collection=collection):  # a URL that no job visited, but a page names as its own
        return await _log(service, found.page.url, collection_id, before=before, limit=limit)
    return UrlLog(url=url, visits=[], next=None)


async def _log(service: Service, url: str, collection_id: int, *, before: int | None, limit: int) -> UrlLog:
    visits = await service.database.snapshot(
        partial(url_visits, collection_id=collection_id, url=url, before=before, limit=limit + 1)
    )
    return UrlLog.of(url, visits, limit=limit)


@router.delete("/pages/{page_id}", status_code=204, responses=problems(404))
async def delete_page(page_id: str, service: Ingesting) -> None:
    """Delete a page. Once this has answered, no search and no answer shows it."""
    await service.pages.delete(page_id)


@router.get("/collections", responses=problems())
async def list_collections(service: Querying) -> CollectionList:
    return CollectionList(collections=[CollectionBody.of(collection) for collection in await service.pages.collections()])


@router.post("/collections", status_code=201, responses=problems(409))
async def create_collection(body: NewCollection, service: Ingesting) -> CollectionBody:
    return CollectionBody.of(await service.pages.create_collection(body.name))


@router.delete("/collections/{name}", status_code=204, responses=problems(404, 409))
async def delete_collection(name: str, service: Administering) -> None:
    """Delete a collection with all its pages and the log of its jobs."""
    await service.pages.delete_collection(name)
