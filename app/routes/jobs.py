"""/v1/jobs: what the worker is doing and has done."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Annotated

from fastapi import APIRouter, Query, Request
from fastapi.responses import StreamingResponse

from app.job_schemas import JobBody, JobList, RetryRequest, UrlList, UrlOutcomeBody
from app.routes.asking import paced
from app.routes.problems import problems, stream_of
from app.routes.sse import EVENT_STREAM, HEADERS, KEEP_ALIVE, KEEP_ALIVE_S, event, failure_event
from app.schemas import MaxKept
from app.state import Ingesting, Readiness, Service
from corpus.errors import FootnoteError, Unavailable
from corpus.model import UrlState

router = APIRouter(prefix="/v1/jobs", tags=["jobs"])
STREAM = stream_of(progress=JobBody, done=JobBody)


@router.get("", responses=problems())
async def list_jobs(service: Ingesting, limit: Annotated[int, Query(ge=1, le=200)] = 50) -> JobList:
    """The newest jobs first."""
    return JobList(jobs=[JobBody.of(job) for job in await service.jobs.list(limit=limit)])


@router.get("/{job_id}", responses=problems(404))
async def get_job(job_id: str, service: Ingesting) -> JobBody:
    return JobBody.of(await service.jobs.get(job_id))


@router.get("/{job_id}/urls", responses=problems(404))
async def get_job_urls(
    job_id: str,
    service: Ingesting,
    state: UrlState | None = None,
    max_kept: Annotated[MaxKept | None, Query()] = None,
    after: Annotated[int, Query(ge=0, le=2**53)] = 0,
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
) -> UrlList:
    """What happened to each URL, in the order in which they were found."""
    await service.jobs.get(job_id)
    rows = await service.jobs.urls(job_id, state=state, max_kept=max_kept, after=after, limit=limit)
    return UrlList(urls=[UrlOutcomeBody.of(outcome) for _, outcome in rows], next=rows[-1][0] if len(rows) == limit else None)


@router.get(
    "/{job_id}/events", response_class=StreamingResponse, responses={200: {"content": {EVENT_STREAM: STREAM}}, **problems(404)}
)
async def watch_job(job_id: str, service: Ingesting, request: Request) -> StreamingResponse:
    """Progress as server-sent events: `progress` at every change, `done` when the job has ended. The data is the job.

    When the service stops, `error` is the last event; the job goes on when it is back."""
    await service.jobs.get(job_id)  # so that an unknown job is a 404 and not a stream
    readiness: Readiness = request.app.state.readiness
    return StreamingResponse(_events(service, job_id, readiness.stopping), media_type=EVENT_STREAM, headers=HEADERS)


@router.post("/{job_id}/cancel", status_code=202, responses=problems(404, 409))
async def cancel_job(job_id: str, service: Ingesting) -> JobBody:
    """Ask for the job's end: at once if it is queued or paused, else within seconds. What was indexed stays."""
    await service.jobs.cancel(job_id)
    return JobBody.of(await service.jobs.get(job_id))


@router.post("/{job_id}/pause", status_code=202, responses=problems(404, 409))
async def pause_job(job_id: str, service: Ingesting) -> JobBody:
    """Ask for a pause: at once if it is queued, else within seconds. A paused job keeps its place in no queue."""
    await service.jobs.pause(job_id)
    return JobBody.of(await service.jobs.get(job_id))


@router.post("/{job_id}/resume", status_code=202, responses=problems(404, 409))
async def resume_job(job_id: str, service: Ingesting) -> JobBody:
    """Let a paused job go on where it was."""
    await service.jobs.resume(job_id)
    return JobBody.of(await service.jobs.get(job_id))


@router.post("/{job_id}/retry", status_code=202, responses=problems(404, 409))
async def retry_job(job_id: str, service: Ingesting, body: RetryRequest | None = None) -> JobBody:
    """Visit an ended job's failed URLs again, and what it hadn't come to when it was cancelled."""
    await service.jobs.retry(job_id, reason=body.reason if body else None)
    return JobBody.of(await service.jobs.get(job_id))


async def _events(service: Service, job_id: str, stopping: asyncio.Event) -> AsyncIterator[bytes]:
    is_final = False
    try:
        watching = service.jobs.watch(job_id, until=stopping)
        async with aclosing(paced(watching, silence_s=KEEP_ALIVE_S)) as statuses:
            async for status in statuses:
                if status is None:
                    yield KEEP_ALIVE
                    continue
                is_final = status.state.is_final
                yield event("done" if is_final else "progress", JobBody.of(status).model_dump(mode="json"))
        if not is_final:
            raise Unavailable("Footnote is stopping. The job goes on when it is back; ask for it again then.")
    except FootnoteError as exc:
        yield failure_event(exc)
