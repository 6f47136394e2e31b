"""Turns a fetched body into a page's text, with its structure, and what the page says about itself.

Pure: bytes in, values out. The steps: decode, parse, read the head, isolate the main content, write its blocks. Foreign
bytes may take any time and memory, so the service runs this through :mod:`ingest.parsing` in a process that can be killed.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime

from lxml import etree, html
from lxml.html import HtmlElement

from corpus.errors import PermanentError
from corpus.model import PageText
from ingest import page_head
from ingest.charset import decode
from ingest.html_blocks import MAX_STRUCTURE_DEPTH, BlockWriter
from ingest.main_content import isolate_main_content
from ingest.page_text import PageTextBuilder

MAX_ELEMENTS = 500_000
MAX_TEXT_CHARS = 5_000_000

_HTML_TYPES = frozenset(("text/html", "application/xhtml+xml"))
_METADATA = frozenset(("title", "meta", "link", "base", "style", "script", "noscript", "template"))
_TEXT_TYPES = frozenset(("text/plain",))
_LOOKS_LIKE_HTML = re.compile(rb"<(?:!doctype\s+html|html|head|body|title|meta|div|p|h1|article|main)\b", re.IGNORECASE)
_SNIFFED_BYTES = 2_000
_PARAGRAPH_BREAK = re.compile(r"\n[^\S\n]*\n\s*")


@dataclass(frozen=True, slots=True)
class ExtractedPage:
    """A page as extraction sees it.

    ``links`` are absolute http(s) addresses without fragments, in document order; links marked ``rel=nofollow`` are left
    out, and ``nofollow`` says that the page asks for none to be followed. ``refresh`` is where ``<meta http-equiv=refresh>``
    leads. ``published_at`` and ``modified_at`` are what the page says of itself. ``notes`` name what a limit cut short.
    """

    page: PageText
    links: tuple[str, ...] = ()
    canonical: str | None = None
    noindex: bool = False
    nofollow: bool = False
    refresh: str | None = None
    published_at: datetime | None = None
    modified_at: datetime | None = None
    notes: tuple[str, ...] = ()

    @property
    def is_truncated(self) -> bool:
        return bool(self.notes)


def extract(
    body: bytes, *, url: str, content_type: str | None, charset: str | None, bot_name: str = "footnotebot"
) -> ExtractedPage:
    """Extract a page's text and metadata.

    Args:
        url: where the body came from, after redirects; relative links are resolved against it.
        content_type: the media type that the server gave; parameters are ignored. None: the body is looked at.
        charset: the charset that the server gave, if any.
        bot_name: ``<meta name=…>`` that speaks to this crawler alone, besides ``robots``.

    Raises:
        PermanentError: reason ``unsupported_type``, ``not_text`` (binary data) or ``no_text`` (nothing left to read).
    """
    media_type = (content_type or "").split(";")[0].strip().lower()
    if not media_type:
        media_type = "text/html" if _LOOKS_LIKE_HTML.search(body[:_SNIFFED_BYTES]) else "text/plain"
    if media_type in _HTML_TYPES:
        extracted = _extract_html(decode(body, charset=charset, markup=True), url, bot_name)
    elif media_type in _TEXT_TYPES:
        extracted = _extract_plain(decode(body, charset=charset, markup=False))
    else:
        raise PermanentError(
            f"Pages of type {media_type} can't be read. Give the address of an HTML or plain text page.",
            reason="unsupported_type",
            content_type=media_type,
        )
    if not extracted.page.blocks and not extracted.noindex:
        raise PermanentError(
            "The page holds no text. If a browser shows some, the page is made by scripts, which are not run.", reason="no_text"
        )
    return extracted


def _extract_plain(text: str) -> ExtractedPage:
    builder = PageTextBuilder(max_chars=MAX_TEXT_CHARS)
    for paragraph in _PARAGRAPH_BREAK.split(text.replace("\r\n", "\n").replace("\r", "\n")):
        builder.paragraph(paragraph)
    page_text = builder.text
    first_line = page_text.partition("\n")[0]
    page = PageText(
        title=first_line[: page_head.MAX_TITLE_CHARS],
        text=page_text,
        blocks=tuple(builder.blocks),
        language=page_head.language_of(None, page_text),
    )
    return ExtractedPage(page, notes=_text_notes(builder))


def _extract_html(text: str, url: str, bot_name: str) -> ExtractedPage:
    root, notes = _parse(text)
    base_url = page_head.base_url_of(root, url)
    links = page_head.links_of(root, base_url)
    if len(links) >= page_head.MAX_LINKS:
        notes.append(f"only the first {page_head.MAX_LINKS} links were taken")
    title = page_head.title_of(root)
    directives = page_head.robots_directives(root, bot_name)
    builder = PageTextBuilder(max_chars=MAX_TEXT_CHARS)
    body = root.find("body")
    if body is not None:
        writer = BlockWriter(builder)
        writer.write(isolate_main_content(body))
        if writer.flattened:
            notes.append(f"structure nested deeper than {MAX_STRUCTURE_DEPTH} elements was flattened")
    page = PageText(
        title=title,
        text=builder.text,
        blocks=tuple(builder.blocks),
        language=page_head.language_of(root, builder.text),
    )
    return ExtractedPage(
        page,
        links=links,
        canonical=page_head.canonical_of(root, base_url),
        noindex="noindex" in directives,
        nofollow="nofollow" in directives,
        notes=(*notes, *_text_notes(builder)),
    )


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


def _text_notes(builder: PageTextBuilder) -> tuple[str, ...]:
    return (f"text after the first {MAX_TEXT_CHARS} characters was dropped",) if builder.is_full else ()
