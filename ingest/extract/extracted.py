"""What extraction hands on, whatever the format."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from corpus.model import ContentSelectors, Coverage, PageText
from ingest.extract.html.refusals import Refusal
from ingest.extract.page_text import PageTextBuilder

MAX_TEXT_CHARS = 5_000_000
NO_SELECTORS = ContentSelectors()


@dataclass(frozen=True, slots=True)
class ExtractedPage:
    """A page as extraction sees it.

    ``links`` are absolute http(s) addresses without fragments, in document order; links marked ``rel=nofollow`` are left
    out, and ``nofollow`` says that the page asks for none to be followed. ``refresh`` is where ``<meta http-equiv=refresh>``
    leads. ``is_frameset``: it has frames in the place of a body, and they are among the links. ``refusal``: it answers 200 and
    means no. ``published_at`` and ``modified_at`` are what the page says of itself. ``notes`` name what a limit cut short.
    ``coverage`` says how much of what a reader sees was kept; None where the format leaves nothing out.
    """

    page: PageText
    links: tuple[str, ...] = ()
    canonical: str | None = None
    noindex: bool = False
    nofollow: bool = False
    refresh: str | None = None
    is_frameset: bool = False
    refusal: Refusal | None = None
    published_at: datetime | None = None
    modified_at: datetime | None = None
    notes: tuple[str, ...] = ()
    coverage: Coverage | None = None

    @property
    def is_empty(self) -> bool:
        """Whether it holds no text and says nothing of itself that explains it."""
        return not (self.page.blocks or self.noindex or self.refresh or self.is_frameset or self.refusal)

    @property
    def is_truncated(self) -> bool:
        return bool(self.notes)


def new_builder() -> PageTextBuilder:
    return PageTextBuilder(max_chars=MAX_TEXT_CHARS)


def text_notes(builder: PageTextBuilder) -> tuple[str, ...]:
    return (f"text after the first {MAX_TEXT_CHARS} characters was dropped",) if builder.is_full else ()
