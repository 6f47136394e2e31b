"""Reads an HTML document: parse, read the head, isolate the main content, write its blocks."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime

from lxml.html import HtmlElement

from corpus.model import ContentSelectors, Coverage, LeftOut, PageText
from ingest.extract.dates import dates_of
from ingest.extract.extracted import NO_SELECTORS, ExtractedPage, new_builder, text_notes
from ingest.extract.html import head as page_head
from ingest.extract.html.blocks import MAX_STRUCTURE_DEPTH, BlockWriter
from ingest.extract.html.leaving import MainContent
from ingest.extract.html.main_content import isolate_main_content, whole_document
from ingest.extract.html.refusals import refusal_of, sign_in_form_of
from ingest.extract.html.tree import Document, parse_tree
from ingest.extract.html.words import PageWords, words_of

SHOWN_WORDS = 12  # of each part that was left out


def read_html(
    markup: str,
    *,
    url: str,
    bot_name: str,
    selectors: ContentSelectors = NO_SELECTORS,
    explain: bool = False,
    now: datetime | None = None,
) -> ExtractedPage:
    """Read a web page.

    Args:
        url: relative links are resolved against it.
        bot_name: ``<meta name=…>`` that speaks to this crawler alone, besides ``robots``.
        selectors: what is content, where a site's owner knows better than the rules.
        explain: give what was left out in full, not its first words alone.
        now: dates that the page claims to come from after it are dropped.
    """
    document = parse_tree(markup)
    root = document.root
    has_frames = page_head.is_frameset(root)
    base_url = page_head.base_url_of(root, url)
    directives = page_head.robots_directives(root, bot_name)
    dates = dates_of(root).before(now or datetime.now(UTC))
    refresh, canonical = page_head.refresh_of(root, base_url, url), page_head.canonical_of(root, base_url)
    sign_in_form = sign_in_form_of(root, url)

    def content_of(body: HtmlElement, title: str) -> MainContent:
        return isolate_main_content(body, selectors=selectors, title=title, shown_words=None if explain else SHOWN_WORDS)

    read = _read(document, base_url, content_of)
    return replace(
        read,
        is_frameset=has_frames,
        refusal=refusal_of(read.page, sign_in_form),
        canonical=canonical,
        noindex="noindex" in directives,
        nofollow="nofollow" in directives,
        refresh=refresh,
        published_at=dates.published_at,
        modified_at=dates.modified_at,
    )


def read_converted(markup: str, *, url: str) -> ExtractedPage:
    """Read what another format was converted to: all of it is content, and nothing in it speaks to robots."""
    return _read(parse_tree(markup), url, lambda body, _: whole_document(body))


def _read(document: Document, base_url: str, content_of: Callable[[HtmlElement, str], MainContent]) -> ExtractedPage:
    root, notes = document.root, list(document.notes)
    links = page_head.links_of(root, base_url)
    if len(links) >= page_head.MAX_LINKS:
        notes.append(f"only the first {page_head.MAX_LINKS} links were taken")
    title = page_head.title_of(root)
    builder = new_builder()
    content = content_of(root.find("body"), title)
    places: dict[HtmlElement, int] = {}
    writer = BlockWriter(builder, on_left_out=places.__setitem__)
    writer.write(content.root)
    if writer.flattened:
        notes.append(f"structure nested deeper than {MAX_STRUCTURE_DEPTH} elements was flattened")
    language = page_head.language_of(root, builder.text)
    page = PageText(title=title, text=builder.text, blocks=tuple(builder.blocks), language=language)
    coverage = _coverage(content.words, content, page.text, places) if content.words is not None else None
    return ExtractedPage(page, links=links, notes=(*notes, *content.notes, *text_notes(builder)), coverage=coverage)


def _coverage(words: PageWords, content: MainContent, text: str, places: dict[HtmlElement, int]) -> Coverage:
    """Compare what a reader sees with the text as it was written, so that what the writing loses counts as lost, too."""
    visible = words.words
    kept = (Counter(visible) & Counter(words_of(text))).total()
    inside = [(part, places.get(placeholder, 0)) for placeholder, part in content.inside.items()]
    placed = [
        *((part, 0) for part in content.before),
        *sorted(inside, key=lambda one: one[1]),
        *((part, len(text)) for part in content.after),
    ]
    left_out = tuple(LeftOut(part.reason, part.words, part.link_words, part.text, at) for part, at in placed)
    return Coverage(len(visible), kept, left_out)
