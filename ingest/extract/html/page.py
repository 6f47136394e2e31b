"""Reads an HTML document: parse, read the head, isolate the main content, write its blocks."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime

from lxml import etree, html
from lxml.html import HtmlElement

from corpus.model import ContentSelectors, PageText
from ingest.extract.dates import dates_of
from ingest.extract.extracted import NO_SELECTORS, ExtractedPage, new_builder, text_notes
from ingest.extract.html import head as page_head
from ingest.extract.html.blocks import MAX_STRUCTURE_DEPTH, BlockWriter
from ingest.extract.html.main_content import isolate_main_content, prune_document

MAX_ELEMENTS = 500_000

_METADATA = frozenset(("title", "meta", "link", "base", "style", "script", "noscript", "template"))


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
    root, notes = _parse(markup)
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
    root, notes = _parse(markup)
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


def _parse(text: str) -> tuple[HtmlElement, list[str]]:
    # huge_tree lifts libxml2's depth limit from 256 to 2,048; what lies deeper it drops without an error raised.
    parser = html.HTMLParser(encoding="utf-8", huge_tree=True, remove_comments=True, remove_pis=True)
    try:
        root = html.document_fromstring(text.replace("\0", "").encode("utf-8", errors="replace"), parser=parser)
    except etree.ParserError:  # nothing but white space or comments
        root = html.document_fromstring("<html><body></body></html>")
    _free_captives_of_head(root)
    notes = []
    if any("depth" in entry.message for entry in parser.error_log if entry.type_name == "ERR_RESOURCE_LIMIT"):
        notes.append("text nested deeper than 2048 elements was dropped")
    surplus = [element for count, element in enumerate(root.iter()) if count >= MAX_ELEMENTS]
    if surplus:
        notes.append(f"elements after the first {MAX_ELEMENTS} were dropped")
        for element in surplus:
            parent = element.getparent()
            if parent is not None:
                parent.remove(element)
    return root, notes


def _free_captives_of_head(root: HtmlElement) -> None:
    """Where a page leaves out its head and body tags, as HTML lets it, libxml2 (which knows HTML 4) takes ``<main>`` and the
    like for metadata. Anything in the head that isn't metadata begins the body."""
    head = root.find("head")
    if head is None:
        return
    captives = [element for element in head if element.tag not in _METADATA]
    if captives:
        body = root.find("body")
        if body is None:
            body = etree.SubElement(root, "body")
        for place, element in enumerate(captives):
            body.insert(place, element)  # moves it, tail and all
