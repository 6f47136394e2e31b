"""Reads PDF by PDFium: lines of text with their place and type size, the outline, and what the document says of itself."""

from __future__ import annotations

import ctypes
import re
from collections.abc import Iterator
from datetime import UTC, datetime

import pypdfium2 as pdfium
import pypdfium2.raw as pdfium_c

from corpus.errors import PermanentError
from corpus.model import PageText
from ingest.extract.dates import Dates, parse_pdf_date
from ingest.extract.extracted import MAX_TEXT_CHARS, ExtractedPage, new_builder, text_notes
from ingest.extract.html.head import MAX_LINKS, MAX_TITLE_CHARS, language_of, language_subtag, title_of_text
from ingest.extract.page_text import one_line
from ingest.extract.pdf.layout import Line, OutlineEntry, largest_type, write_lines
from ingest.extract.pdf.page import read_page

MAX_PAGES = 3_000
MAX_OUTLINE_ENTRIES = 5_000
# Titles that programs write of themselves
_NO_TITLE = re.compile(
    r"untitled\S*|(?:microsoft )?(?:word|powerpoint|excel)\b.*|.*[\\/].*\.\w+"
    r"|.*\.(?:docx?|pptx?|xlsx?|tex|dvi|ps|pdf|indd|html?|rtf|odt|md|txt|qxd|fm)",
    re.IGNORECASE,
)


def read_pdf(body: bytes, *, now: datetime | None = None) -> ExtractedPage:
    """Read a PDF document: columns one after the other, tables as rows.

    Headings come from the outline, else from type sizes; where neither tells, each page of several is a section "Page N".
    Lines that stand on most pages (running heads, page numbers) are left out.

    Raises:
        PermanentError: reason ``encrypted``, ``broken_document``, or ``no_text`` (pages that are pictures).
    """
    try:
        document = pdfium.PdfDocument(body)
    except pdfium.PdfiumError as exc:
        raise _refusal(exc) from exc
    with document:
        try:
            return _read(document, now or datetime.now(UTC))
        except pdfium.PdfiumError as exc:
            raise _refusal(exc) from exc


def _read(document: pdfium.PdfDocument, now: datetime) -> ExtractedPage:
    notes = []
    pages: list[list[Line]] = []
    pictures: list[int] = []
    unmapped: list[int] = []
    links: dict[str, None] = {}
    chars = 0
    for number in range(min(len(document), MAX_PAGES)):
        try:
            page = document[number]
        except pdfium.PdfiumError:
            notes.append(f"page {number + 1} can't be read")
            pages.append([])
            continue
        read = read_page(page)
        pages.append(read.lines)
        if read.is_picture:
            pictures.append(number + 1)
        if read.is_unmapped:
            unmapped.append(number + 1)
        if len(links) < MAX_LINKS:
            links.update(dict.fromkeys(_links(document, page)))
        page.close()
        chars += sum(len(line.text) for line in pages[-1])
        if chars > MAX_TEXT_CHARS:
            break
    if len(pages) < len(document):
        notes.append(f"only the first {len(pages)} of {len(document)} pages were read")
    if not any(pages):
        if unmapped:
            raise PermanentError(
                "The PDF's fonts don't say which characters their signs are. Export it anew, or run it through text recognition.",
                reason="no_text",
            )
        raise PermanentError(
            "The PDF holds no text, only pictures of it, as scanners make them. Run it through text recognition (OCR) first.",
            reason="no_text",
        )
    if pictures:
        notes.append(f"{_numbers(pictures)} hold pictures and no text; they were not read")
    if unmapped:
        notes.append(f"the fonts of {_numbers(unmapped)} don't say what their signs mean; they were not read")
    builder = new_builder()
    write_lines(builder, pages, outline=_outline(document))
    facts = document.get_metadata_dict()
    text = builder.text
    claimed = one_line(facts.get("Title", ""))
    page_text = PageText(title="", text=text, blocks=tuple(builder.blocks), language=None)
    title = claimed if claimed and not _NO_TITLE.fullmatch(claimed) else largest_type(pages) or title_of_text(page_text)
    language = language_subtag(_language(document)) or language_of(None, text)
    dates = Dates(parse_pdf_date(facts.get("CreationDate")), parse_pdf_date(facts.get("ModDate"))).before(now)
    return ExtractedPage(
        PageText(title=title[:MAX_TITLE_CHARS], text=text, blocks=page_text.blocks, language=language),
        links=tuple(links),
        published_at=dates.published_at,
        modified_at=dates.modified_at,
        notes=(*notes, *text_notes(builder)),
    )


def _numbers(pages: list[int]) -> str:
    """``pages 3–7, 9``"""
    runs: list[list[int]] = []
    for page in pages:
        if runs and page == runs[-1][-1] + 1:
            runs[-1][1:] = [page]
        else:
            runs.append([page])
    return "pages " + ", ".join("–".join(map(str, run)) for run in runs[:20]) + (" and others" if len(runs) > 20 else "")


def _outline(document: pdfium.PdfDocument) -> list[OutlineEntry]:
    entries: list[OutlineEntry] = []
    for bookmark in document.get_toc(max_depth=6):
        target = bookmark.get_dest()
        page = target.get_index() if target else None
        if page is not None and (title := one_line(bookmark.get_title())):
            entries.append(OutlineEntry(title, bookmark.level + 1, page))
        if len(entries) >= MAX_OUTLINE_ENTRIES:
            break
    return entries


def _links(document: pdfium.PdfDocument, page: pdfium.PdfPage) -> Iterator[str]:
    """The web addresses that the page's link annotations lead to."""
    position = ctypes.c_int(0)
    link = pdfium_c.FPDF_LINK()
    while pdfium_c.FPDFLink_Enumerate(page, position, link):
        action = pdfium_c.FPDFLink_GetAction(link)
        if not action:
            continue
        buffer = ctypes.create_string_buffer(2_001)
        length = pdfium_c.FPDFAction_GetURIPath(document, action, buffer, 2_001)
        address = buffer.value.decode("utf-8", errors="replace").partition("#")[0]
        if 0 < length <= 2_001 and address.startswith(("http://", "https://")):
            yield address


def _language(document: pdfium.PdfDocument) -> str:
    buffer = (ctypes.c_ushort * 64)()
    size = pdfium_c.FPDFCatalog_GetLanguage(document, buffer, ctypes.sizeof(buffer))
    return bytes(buffer)[: max(0, size - 2)].decode("utf-16-le", errors="replace") if size <= ctypes.sizeof(buffer) else ""


def _refusal(exc: pdfium.PdfiumError) -> PermanentError:
    if getattr(exc, "err_code", None) in (pdfium_c.FPDF_ERR_PASSWORD, pdfium_c.FPDF_ERR_SECURITY):
        return PermanentError("The PDF is behind a password. Put it on the site without one.", reason="encrypted")
    return PermanentError("The PDF is damaged and can't be read. Does a viewer open it?", reason="broken_document")
