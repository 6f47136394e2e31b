"""POST /v1/ingest: work for the worker."""

from __future__ import annotations

from fastapi import APIRouter, Response

from app.routes.problems import problems
from app.schemas import IngestRequest, JobAccepted
from app.state import CurrentService
from corpus.sources import JobSpec

router = APIRouter(prefix="/v1", tags=["ingest"])


@router.post("/ingest", status_code=202, responses=problems(422, 503))
async def ingest(body: IngestRequest, service: CurrentService, response: Response) -> JobAccepted:
    """Put pages, sitemaps or crawls on the queue. The job does the work; its progress is at the URL given back."""
    settings = service.settings.ingest
    spec = JobSpec(
        urls=body.urls,
        mode=body.mode,
        include=body.include,
        exclude=body.exclude,
        max_pages=body.max_pages or settings.max_pages,
        max_depth=settings.max_depth if body.max_depth is None else body.max_depth,
    )
    collection = await service.pages.ensure_collection(body.collection)
    job_id = await service.jobs.submit(collection_id=collection, spec=spec)
    location = f"/v1/jobs/{job_id}"
    response.headers["Location"] = location
    return JobAccepted(job_id=job_id, url=location)
