"""POST /v1/ingest: work for the worker."""

from __future__ import annotations

from fastapi import APIRouter, Response

from app.job_schemas import JobAccepted
from app.routes.problems import problems
from app.schemas import ExplainRequest, ExplanationBody, IngestRequest
from app.state import Ingesting
from corpus.model import ContentSelectors
from corpus.settings import IngestSettings
from corpus.sources import JobSpec

router = APIRouter(prefix="/v1", tags=["ingest"])


@router.post("/ingest", status_code=202, responses=problems())
async def ingest(body: IngestRequest, service: Ingesting, response: Response) -> JobAccepted:
    """Put pages, sitemaps or crawls on the queue. The job does the work; its progress is at the URL given back."""
    spec = _spec(body, service.settings.ingest)
    collection = await service.pages.ensure_collection(body.collection)
    return _accepted(await service.jobs.submit(collection_id=collection, spec=spec, every_s=body.every), response)


@router.post("/ingest/preview", status_code=202, responses=problems(404))
async def preview(body: IngestRequest, service: Ingesting, response: Response) -> JobAccepted:
    """A dry run of the same: a short job that reads robots.txt and the start pages or sitemaps, and tells in the list of its
    URLs what would be fetched (`would_fetch`, `would_check`), and why not the rest. Nothing is indexed or removed."""
    spec = _spec(body, service.settings.ingest, dry_run=True)
    collection = await service.pages.collection_id(body.collection)  # which a dry run doesn't make
    return _accepted(await service.jobs.submit(collection_id=collection, spec=spec), response)


@router.post("/ingest/explain", responses=problems())
async def explain(body: ExplainRequest, service: Ingesting) -> ExplanationBody:
    """How one page is read: its text, and each part that is left out, with the reason and where it stood. It is fetched now, as
    politely as by a job; nothing is indexed."""
    selectors = ContentSelectors(tuple(body.keep), tuple(body.drop))
    return ExplanationBody.of(await service.companions.explain(body.url, selectors=selectors))


def _spec(body: IngestRequest, settings: IngestSettings, *, dry_run: bool = False) -> JobSpec:
    return JobSpec(
        urls=body.urls,
        mode=body.mode,
        include=body.include,
        exclude=body.exclude,
        max_pages=body.max_pages or settings.max_pages,
        max_depth=settings.max_depth if body.max_depth is None else body.max_depth,
        prune=body.prune,
        dry_run=dry_run,
        keep=body.keep,
        drop=body.drop,
    )


def _accepted(job_id: str, response: Response) -> JobAccepted:
    location = f"/v1/jobs/{job_id}"
    response.headers["Location"] = location
    return JobAccepted(job_id=job_id, url=location)
