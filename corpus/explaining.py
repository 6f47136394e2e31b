"""What reading one page shows: its text, and what was left out of it. Nothing of it is stored."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from corpus.model import ContentSelectors, Coverage


@dataclass(frozen=True, slots=True)
class Explanation:
    """``url``: where the page was found, after redirects. ``coverage`` holds what was left out in full; None where the format
    leaves nothing out. ``selectors``: those that were in force. ``notes``: what a limit cut short, and what a job would do."""

    url: str
    title: str
    text: str
    language: str | None
    coverage: Coverage | None
    selectors: ContentSelectors
    notes: tuple[str, ...]


@runtime_checkable
class Explainer(Protocol):
    """What can fetch a page and show how it is read; the ingest worker, and in a service without one what stands in for it."""

    async def explain(self, url: str, *, selectors: ContentSelectors) -> Explanation:
        """Fetch a page as politely as a job would, and read it. ``selectors``: instead of those that the settings name; empty
        ones leave it to the settings.

        Raises: IngestError, if it can't be fetched or read.
        """
        ...
