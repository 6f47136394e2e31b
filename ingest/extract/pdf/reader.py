"""Reads PDF by PDFium: lines of text with their place and type size, the outline, and what the document says of itself."""

from __future__ import annotations

import ctypes
import math
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

MAX_PAGES = 3_000
MAX_OUTLINE_ENTRIES = 5_000
_FIXED_PITCH_FLAG = 1  # ISO 32000-1, table 123
_SERIF_CODE_FONTS = re.compile(r"mono|courier|consol|cmtt|typewriter|menlo", re.IGNORECASE)
_HYPHENS = (0x02, 0xFFFE)  # how PDFium marks a word broken at the end of a line
_LINE_ENDS = (0x0A, 0x0D)
# Titles that programs write of themselves
_NO_TITLE = re.compile(
    r"untitled\S*|(?:microsoft )?(?:word|powerpoint|excel)\b.*|.*[\\/].*\.\w+"
    r"|.*\.(?:docx?|pptx?|xlsx?|tex|dvi|ps|pdf|indd|html?|rtf|odt|md|txt|qxd|fm)",
    re.IGNORECASE,
)


def read_pdf(body: bytes, *, now: datetime | None = None) -> ExtractedPage:
    """Read a PDF document in the order that its pages are drawn.

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
    links: dict[str, None] = {}
    chars = 0
    for number in range(min(len(document), MAX_PAGES)):
        try:
            page = document[number]
        except pdfium.PdfiumError:
            notes.append(f"page {number + 1} can't be read")
            pages.append([])
            continue
        pages.append(list(_lines(page)))
        if len(links) < MAX_LINKS:
            links.update(dict.fromkeys(_links(document, page)))
        page.close()
        chars += sum(len(line.text) for line in pages[-1])
        if chars > MAX_TEXT_CHARS:
            break
    if len(pages) < len(document):
        notes.append(f"only the first {len(pages)} of {len(document)} pages were read")
    if not any(pages):
        raise PermanentError(
            "The PDF holds no text, only pictures of it, as scanners make them. Run it through text recognition (OCR) first.",
            reason="no_text",
        )
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


def _lines(page: pdfium.PdfPage) -> Iterator[Line]:
    text_page = page.get_textpage()
    height = page.get_height()
    start = 0
    chars: list[int] = []
    count = text_page.count_chars()
    for i in range(count + 1):
        char = pdfium_c.FPDFText_GetUnicode(text_page, i) if i < count else _LINE_ENDS[0]
        if char in _LINE_ENDS:
            if line := _line(text_page, start, chars, height):
                yield line
            start, chars = i + 1, []
        else:
            chars.append(char)
    text_page.close()


def _line(text_page: pdfium.PdfTextPage, start: int, chars: list[int], page_height: float) -> Line | None:
    text = "".join("\xad" if c in _HYPHENS else chr(c) if c < 0x110000 else "\ufffd" for c in chars)
    shown = [i for i, char in enumerate(text) if not char.isspace()]
    if not shown:
        return None
    first, last = start + shown[0], start + shown[-1]
    middle = start + shown[len(shown) // 2]
    left, _, _, top = text_page.get_charbox(first, loose=True)
    _, bottom, right, _ = text_page.get_charbox(last, loose=True)  # lower, where a broken word makes one line of two
    return Line(
        text=text[shown[0] : shown[-1] + 1],
        left=left,
        right=right,
        top=page_height - top,
        bottom=page_height - bottom,
        size=_type_size(text_page, middle),
        is_bold=pdfium_c.FPDFText_GetFontWeight(text_page, middle) >= 600,
        is_code=all(_is_fixed_pitch(text_page, i) for i in {first, middle, last}),
        page_share=(page_height - top) / page_height if page_height > 0 else 0.5,
    )


def _type_size(text_page: pdfium.PdfTextPage, i: int) -> float:
    """In points as drawn, to the half: the font's size and the scale of the text's matrix."""
    matrix = pdfium_c.FS_MATRIX()
    scale = math.hypot(matrix.c, matrix.d) if pdfium_c.FPDFText_GetMatrix(text_page, i, matrix) else 1.0
    size = pdfium_c.FPDFText_GetFontSize(text_page, i) * (scale or 1.0)
    return round(2 * size) / 2 if math.isfinite(size) else 0.0


def _is_fixed_pitch(text_page: pdfium.PdfTextPage, i: int) -> bool:
    flags = ctypes.c_int()
    name = ctypes.create_string_buffer(128)
    length = pdfium_c.FPDFText_GetFontInfo(text_page, i, name, 128, flags)
    return bool(flags.value & _FIXED_PITCH_FLAG) or bool(length and _SERIF_CODE_FONTS.search(name.value.decode("latin-1")))


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
