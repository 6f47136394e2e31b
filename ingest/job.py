"""A job as the crawler sees it, and where it may go."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Self

from corpus.errors import PermanentError
from corpus.model import ContentSelectors, IngestMode, JobState
from corpus.sources import JobSpec
from ingest.traps import clean_link
from ingest.urls import Scope, normalise

MAX_REMEMBERED_LINKS = 50_000


@dataclass(frozen=True, slots=True)
class Job:
    """Read anew for every batch. ``scope`` is None where URLs are taken as given."""

    id: str
    collection_id: int
    source_id: str | None
    spec: JobSpec
    state: JobState
    run: int
    cancel_requested: bool
    pause_requested: bool
    started_at: datetime | None
    scope: Scope | None
    _admitted: dict[tuple[str, int], str | None] = field(default_factory=dict, compare=False, repr=False)

    @classmethod
    def of(cls, row: Any) -> Self:
        """From its row."""
        spec = JobSpec.model_validate(row.spec)
        return cls(
            id=row.id,
            collection_id=row.collection_id,
            source_id=row.source_id,
            spec=spec,
            state=JobState(row.state),
            run=row.run,
            cancel_requested=row.cancel_requested,
            pause_requested=row.pause_requested,
            started_at=row.started_at,
            scope=_scope(spec),
        )

    @property
    def selectors(self) -> ContentSelectors:
        """What of its pages is content, as its source says; without a word, as the settings say."""
        return ContentSelectors(tuple(self.spec.keep or ()), tuple(self.spec.drop or ()))

    @property
    def is_over(self) -> bool:
        """Whether no more is to be done now: it has ended, or is to end or to pause."""
        return self.cancel_requested or self.pause_requested or self.state not in (JobState.QUEUED, JobState.RUNNING)

    @property
    def budget(self) -> int:
        """Pages that the job may take in: the URLs that it was given are visited in any case."""
        return max(self.spec.max_pages, len(self.spec.urls))

    def admits(self, url: str, depth: int) -> bool:
        return self.scope is None or self.scope.admits(url, depth) is None

    def links_to_follow(self, links: Iterable[str], depth: int) -> list[str]:
        """Links of a page that the job may visit at ``depth``, normalised. Most links of a site are on all of its pages, so
        what was found of one is remembered."""
        found: dict[str, None] = {}
        for link in links:
            key = (link, depth)
            if key not in self._admitted:
                if len(self._admitted) >= MAX_REMEMBERED_LINKS:
                    self._admitted.clear()
                self._admitted[key] = self._admitted_link(link, depth)
            if url := self._admitted[key]:
                found[url] = None
        return list(found)

    def _admitted_link(self, link: str, depth: int) -> str | None:
        try:
            url = clean_link(normalise(link))
        except PermanentError:
            return None  # a broken link on somebody's page is no event
        return url if self.admits(url, depth) else None


def _scope(spec: JobSpec) -> Scope | None:
    """Where a job may go: a crawl stays under its start URLs; patterns alone bound a sitemap; pages are taken as given."""
    if spec.mode is IngestMode.PAGE:
        return None
    roots = []
    for url in spec.urls:
        with suppress(PermanentError):  # recorded as failed when the job began
            roots.append(normalise(url))
    if spec.mode is IngestMode.CRAWL:
        return Scope.of(roots, max_depth=spec.max_depth, include=spec.include, exclude=spec.exclude)
    return Scope.of(roots, max_depth=0, include=spec.include, exclude=spec.exclude, prefix="/")
