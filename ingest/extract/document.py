"""Turns a fetched body into a page's text, with its structure, and what the page says about itself.

Pure: bytes in, values out. HTML is read as it is; Markdown and DOCX become HTML first, so that one mechanism writes their
structure; PDF and plain text have none to convert. Foreign bytes may take any time and memory, so the service runs this
through :mod:`ingest.extract.pool` in a process that can be killed.
"""

from __future__ import annotations

import re
from dataclasses import replace

from corpus.errors import PermanentError
from corpus.model import ContentSelectors, PageText
from ingest.extract.charset import decode
from ingest.extract.extracted import NO_SELECTORS, ExtractedPage, new_builder, text_notes
from ingest.extract.html.head import language_of, title_of_text
from ingest.extract.html.page import read_html
from ingest.extract.media_types import Format, format_of

__all__ = ["ExtractedPage", "extract"]

_PARAGRAPH_BREAK = re.compile(r"\n[^\S\n]*\n\s*")


def extract(
    body: bytes,
    *,
    url: str,
    content_type: str | None,
    charset: str | None,
    bot_name: str = "footnotebot",
    selectors: ContentSelectors = NO_SELECTORS,
    explain: bool = False,
) -> ExtractedPage:
    """Extract a page's text and metadata.

    Args:
        url: where the body came from, after redirects; relative links are resolved against it.
        content_type: the media type that the server gave; parameters are ignored. Where it says nothing, the body is looked at.
        charset: the charset that the server gave, if any.
        bot_name: ``<meta name=…>`` that speaks to this crawler alone, besides ``robots``.
        selectors: what of an HTML page is content, where a site's owner knows better than the rules.
        explain: give what was left out of an HTML page in full, not its first words alone.

    Raises:
        PermanentError: reason ``unsupported_type``, ``not_text`` (binary data), ``no_text`` (nothing left to read; a PDF may be
            scanned), ``encrypted``, ``broken_document`` or ``document_too_large`` (what it unpacks to).
    """
    match format_of(body, content_type=content_type, url=url):
        case Format.HTML:
            markup = decode(body, charset=charset, markup=True, url=url)
            extracted = read_html(markup, url=url, bot_name=bot_name, selectors=selectors, explain=explain)
        case Format.PLAIN:
            extracted = _read_plain(decode(body, charset=charset, markup=False, url=url))
        case Format.MARKDOWN:
            from ingest.extract.markdown.reader import read_markdown

            extracted = read_markdown(decode(body, charset=charset, markup=False, url=url), url=url)
        case Format.DOCX:
            from ingest.extract.docx.reader import read_docx

            extracted = read_docx(body, url=url)
        case Format.PDF:
            from ingest.extract.pdf.reader import read_pdf

            extracted = read_pdf(body)
    if extracted.is_empty:
        raise PermanentError(
            "The page holds no text. If a browser shows some, the page is made by scripts, which are not run.", reason="no_text"
        )
    return extracted


def _read_plain(text: str) -> ExtractedPage:
    builder = new_builder()
    for paragraph in _PARAGRAPH_BREAK.split(text.replace("\r\n", "\n").replace("\r", "\n")):
        builder.paragraph(paragraph)
    text = builder.text
    page = PageText(title="", text=text, blocks=tuple(builder.blocks), language=language_of(None, text))
    return ExtractedPage(replace(page, title=title_of_text(page)), notes=text_notes(builder))
