"""Reads an HTML document: parse, read the head, isolate the main content, write its blocks."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime

from lxml.html import HtmlElement

from corpus.model import ContentSelectors, PageText
from ingest.extract.dates import dates_of
from ingest.extract.extracted import NO_SELECTORS, ExtractedPage, new_builder, text_notes
from ingest.extract.html import head as page_head
from ingest.extract.html.blocks import MAX_STRUCTURE_DEPTH, BlockWriter
from ingest.extract.html.main_content import isolate_main_content, prune_document
from ingest.extract.html.tree import parse_tree


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
    root, notes = parse_tree(markup)
    base_url = page_head.base_url_of(root, url)
    directives = page_head.robots_directives(root, bot_name)
    dates = dates_of(root).before(now or datetime.now(UTC))
    refresh, canonical = page_head.refresh_of(root, base_url, url), page_head.canonical_of(root, base_url)
    read = _read(root, base_url, notes, isolate_main_content)
    return replace(
        read,
        canonical=canonical,
        noindex="noindex" in directives,
        nofollow="nofollow" in directives,
        refresh=refresh,
        published_at=dates.published_at,
        modified_at=dates.modified_at,
    )


def read_converted(markup: str, *, url: str) -> ExtractedPage:
    """Read what another format was converted to: all of it is content, and nothing in it speaks to robots."""
    root, notes = parse_tree(markup)
    return _read(root, url, notes, prune_document)


def _read(root: HtmlElement, base_url: str, notes: list[str], content_of: Callable[[HtmlElement], HtmlElement]) -> ExtractedPage:
    links = page_head.links_of(root, base_url)
    if len(links) >= page_head.MAX_LINKS:
        notes.append(f"only the first {page_head.MAX_LINKS} links were taken")
    title = page_head.title_of(root)
    builder = new_builder()
    body = root.find("body")
    if body is not None:
        writer = BlockWriter(builder)
        writer.write(content_of(body))
        if writer.flattened:
            notes.append(f"structure nested deeper than {MAX_STRUCTURE_DEPTH} elements was flattened")
    language = page_head.language_of(root, builder.text)
    page = PageText(title=title, text=builder.text, blocks=tuple(builder.blocks), language=language)
    return ExtractedPage(page, links=links, notes=(*notes, *text_notes(builder)))
