"""Bodies of the HTTP API that tell of jobs and sources."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from pydantic import BaseModel, Field

from app.schemas import CoverageBody, Every, Request
from corpus.database import utc_now
from corpus.jobs import Failure, JobStatus, UrlOutcome, worked_s
from corpus.model import IngestMode, JobState, UrlState
from corpus.sources import LastJob, Source


class JobAccepted(BaseModel):
    job_id: str
    url: str


class UrlOutcomeBody(BaseModel):
    url: str
    state: UrlState
    reason: str | None
    message: str | None
    page_id: str | None
    chunks: int
    depth: int
    attempts: int
    http_status: int | None
    size_bytes: int | None
    elapsed_ms: int | None
    finished_at: datetime | None
    coverage: CoverageBody | None = Field(description="null where nothing was read.")

    @classmethod
    def of(cls, outcome: UrlOutcome) -> UrlOutcomeBody:
        return cls.model_validate(outcome, from_attributes=True)


class JobBody(BaseModel):
    """``urls`` counts the job's URLs by state; ``found`` is their sum; ``removed`` counts pages that vanished from the source.

    ``worked_s``: seconds spent on it, pauses left out. ``run`` counts how often it was begun. ``waits_for``: the older job of
    its source that must end before this one begins. ``poorly_kept`` counts pages of which much of the text was left out;
    ``notes`` name the first.
    """

    id: str
    collection: str
    state: JobState
    mode: IngestMode
    spec: dict[str, Any]
    error: str | None
    notes: list[str]
    source_id: str | None
    run: int
    cancel_requested: bool
    pause_requested: bool
    waits_for: str | None
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    worked_s: float
    found: int
    urls: dict[UrlState, int]
    chunks: int
    removed: int
    poorly_kept: int
    failures: list[UrlOutcomeBody]

    @classmethod
    def of(cls, job: JobStatus) -> JobBody:
        return cls(
            id=job.id,
            collection=job.collection,
            state=job.state,
            mode=job.spec.mode,
            spec=job.spec.model_dump(mode="json"),
            error=job.error,
            notes=list(job.notes),
            source_id=job.source_id,
            run=job.run,
            cancel_requested=job.cancel_requested,
            pause_requested=job.pause_requested,
            waits_for=job.waits_for,
            created_at=job.created_at,
            started_at=job.started_at,
            finished_at=job.finished_at,
            worked_s=worked_s(job, utc_now()),
            found=job.found,
            urls={state: job.urls.get(state, 0) for state in UrlState},
            chunks=job.chunks,
            removed=job.removed,
            poorly_kept=job.poorly_kept,
            failures=[UrlOutcomeBody.of(outcome) for outcome in job.failures],
        )


class JobList(BaseModel):
    jobs: list[JobBody]


class UrlList(BaseModel):
    urls: list[UrlOutcomeBody]
    next: int | None = Field(description="Pass as `after` for the next ones; null at the end.")


class RetryRequest(Request):
    reason: str | None = Field(None, max_length=64, description="Only the URLs that failed for this reason, such as timeout.")


class FailureBody(UrlOutcomeBody):
    """A URL that failed for good when its source was last run."""

    job_id: str
    source_id: str

    @classmethod
    def of_failure(cls, failure: Failure) -> FailureBody:
        outcome = UrlOutcomeBody.of(failure.outcome).model_dump()
        return cls(**outcome, job_id=failure.job_id, source_id=failure.source_id)


class FailureList(BaseModel):
    failures: list[FailureBody]
    next: int | None = Field(description="Pass as `after` for the next ones; null at the end.")


class LastJobBody(BaseModel):
    id: str
    state: JobState
    created_at: datetime
    finished_at: datetime | None

    @classmethod
    def of(cls, job: LastJob) -> LastJobBody:
        return cls.model_validate(job, from_attributes=True)


class SourceBody(BaseModel):
    """What jobs are run over. ``pages`` counts the live pages that it leads to; ``every_s`` and ``next_at`` are its schedule."""

    id: str
    collection: str
    mode: IngestMode
    spec: dict[str, Any]
    pages: int
    every_s: int | None
    next_at: datetime | None
    created_at: datetime
    last_job: LastJobBody | None

    @classmethod
    def of(cls, source: Source) -> SourceBody:
        return cls(
            id=source.id,
            collection=source.collection,
            mode=source.spec.mode,
            spec=source.spec.model_dump(mode="json"),
            pages=source.pages,
            every_s=source.every_s,
            next_at=source.next_at,
            created_at=source.created_at,
            last_job=LastJobBody.of(source.last_job) if source.last_job else None,
        )


class SourceList(BaseModel):
    sources: list[SourceBody]
    next: str | None = Field(description="Pass as `after` for the next ones; null at the end.")


class ScheduleRequest(Request):
    every: Every | None = Field(description="15m to 366d, such as 12h, 1d or 1w, or seconds; null stops the schedule.")


class SourceDeleted(BaseModel):
    pages_deleted: int
