"""/v1/sources: what jobs are run over, again and again; /v1/failures: what of it failed."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Response

from app.job_schemas import FailureBody, FailureList, JobAccepted, ScheduleRequest, SourceBody, SourceDeleted, SourceList
from app.routes.problems import problems
from app.schemas import CollectionName, SelectorsRequest
from app.state import Ingesting

router = APIRouter(prefix="/v1", tags=["sources"])


@router.get("/sources", responses=problems(404))
async def list_sources(
    service: Ingesting,
    collection: Annotated[CollectionName | None, Query()] = None,
    after: Annotated[str | None, Query(max_length=64, description="`next` of the answer before.")] = None,
    limit: Annotated[int, Query(ge=1, le=1000)] = 50,
) -> SourceList:
    """The newest sources first."""
    wanted = await service.pages.collection_id(collection) if collection is not None else None
    sources, cursor = await service.sources.list(collection_id=wanted, after=after, limit=limit)
    return SourceList(sources=[SourceBody.of(source) for source in sources], next=cursor)


@router.get("/sources/{source_id}", responses=problems(404))
async def get_source(source_id: str, service: Ingesting) -> SourceBody:
    return SourceBody.of(await service.sources.get(source_id))


@router.post("/sources/{source_id}/run", status_code=202, responses=problems(404, 409))
async def run_source(source_id: str, service: Ingesting, response: Response) -> JobAccepted:
    """Run a source again now, with what it was last submitted with."""
    job_id = await service.jobs.run_source(source_id)
    location = f"/v1/jobs/{job_id}"
    response.headers["Location"] = location
    return JobAccepted(job_id=job_id, url=location)


@router.put("/sources/{source_id}/schedule", responses=problems(404))
async def schedule_source(source_id: str, body: ScheduleRequest, service: Ingesting) -> SourceBody:
    """Run a source every so often, for the first time after one such while; or no more."""
    await service.sources.schedule(source_id, every_s=body.every)
    return SourceBody.of(await service.sources.get(source_id))


@router.put("/sources/{source_id}/selectors", responses=problems(404))
async def select_content(source_id: str, body: SelectorsRequest, service: Ingesting) -> SourceBody:
    """Say by CSS selectors what of the source's pages is content. From its next run on they are read so, changed or not."""
    await service.sources.select(source_id, keep=body.keep, drop=body.drop)
    return SourceBody.of(await service.sources.get(source_id))


@router.delete("/sources/{source_id}", responses=problems(404, 409))
async def delete_source(
    source_id: str,
    service: Ingesting,
    pages: Annotated[bool, Query(description="Also delete the pages that no other source leads to.")] = False,
) -> SourceDeleted:
    """Forget a source and its schedule. Its pages stay, unless `pages` is true."""
    return SourceDeleted(pages_deleted=await service.sources.delete(source_id, with_pages=pages))


@router.get("/failures", responses=problems(404))
async def list_failures(
    service: Ingesting,
    collection: Annotated[CollectionName | None, Query()] = None,
    reason: Annotated[str | None, Query(max_length=64)] = None,
    after: Annotated[int, Query(ge=0, le=2**53)] = 0,
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
) -> FailureList:
    """The URLs that failed for good when their source was last run. POST /v1/jobs/{id}/retry visits them again."""
    wanted = await service.pages.collection_id(collection) if collection is not None else None
    rows = await service.jobs.failures(collection_id=wanted, reason=reason, after=after, limit=limit)
    cursor = rows[-1][0] if len(rows) == limit else None
    return FailureList(failures=[FailureBody.of_failure(failure) for _, failure in rows], next=cursor)
