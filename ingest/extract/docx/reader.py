"""Reads Word documents (DOCX): checked and cleaned part by part, then converted to HTML by mammoth.

mammoth never sees the file that was fetched. Each XML part is unpacked under a cap, parsed without DTD, entities or network,
freed of hidden text, and written into a fresh archive; pictures and everything else that isn't text stay behind. So no
archive bomb, entity, link to a file or lie in a ZIP header reaches it.
"""

from __future__ import annotations

import io
import re
import zipfile
import zlib
from dataclasses import replace
from datetime import UTC, datetime

import mammoth
from lxml import etree

from corpus.errors import PermanentError
from ingest.extract.dates import Dates, parse_date
from ingest.extract.docx.cleaning import ITEM_END, ITEM_START, clean
from ingest.extract.docx.numbering import Numbering
from ingest.extract.docx.ooxml import W, to_transitional
from ingest.extract.docx.styles import Styles
from ingest.extract.extracted import ExtractedPage
from ingest.extract.html.head import MAX_TITLE_CHARS, language_subtag, title_of_text
from ingest.extract.html.page import read_converted
from ingest.extract.page_text import one_line

MAX_MEMBERS = 5_000
MAX_XML_BYTES = 40_000_000

_CORE = "docProps/core.xml"
_ITEM = re.compile(rf"(?P<list><ol>)?<li>{ITEM_START}(?P<kind>[1aAiI])(?P<number>\d+){ITEM_END}")
_STRAY_MARK = re.compile(f"{ITEM_START}[^{ITEM_END}]{{0,12}}{ITEM_END}|[{ITEM_START}{ITEM_END}]")
_BOX = re.compile(r"<input[^<>]*>")  # mammoth writes no other
_BACK_LINK = re.compile(r'<a href="#(?:foot|end)note-ref-[^"]*">\u2191</a>')
_STYLES = """
strike => del
p[style-name='Title'] => h1:fresh
p[style-name='Subtitle'] => p:fresh
p[style-name='Quote'] => blockquote > p:fresh
p[style-name='Intense Quote'] => blockquote > p:fresh
p[style-name='Code'] => pre:separator('\\n')
p[style-name='Source Code'] => pre:separator('\\n')
p[style-name='HTML Preformatted'] => pre:separator('\\n')
p[style-name='Preformatted Text'] => pre:separator('\\n')
p[style-name='macro'] => pre:separator('\\n')
p[style-name='Plain Text'] => pre:separator('\\n')
"""


def read_docx(body: bytes, *, url: str, now: datetime | None = None) -> ExtractedPage:
    """Read a Word document: headings, lists, tables, footnotes; title, dates and language from its properties.

    Raises:
        PermanentError: reason ``broken_document``, ``document_too_large`` or ``encrypted``.
    """
    parts = _xml_parts(body)
    core = {etree.QName(e).localname: (e.text or "").strip() for e in parts.pop(_CORE, etree.Element("none"))}
    notes = _clean_parts(parts)
    try:
        markup = mammoth.convert_to_html(
            _archive(parts), style_map=_STYLES, convert_image=lambda image: [], include_embedded_style_map=False
        ).value
    except Exception as exc:  # mammoth trusts its input and raises whatever its code runs into
        raise _broken(exc) from exc
    read = read_converted(f"<body>{_finished(markup)}</body>", url=url)
    dates = Dates(parse_date(core.get("created")), parse_date(core.get("modified"))).before(now or datetime.now(UTC))
    title = one_line(core.get("title", "")) or title_of_text(read.page)
    language = language_subtag(core.get("language", "")) or read.page.language
    page = replace(read.page, title=title[:MAX_TITLE_CHARS], language=language)
    return replace(read, page=page, published_at=dates.published_at, modified_at=dates.modified_at, notes=(*read.notes, *notes))


def _xml_parts(body: bytes) -> dict[str, etree._Element]:
    """The archive's XML parts by name. What zipfile unpacks of a member never exceeds the size that its header states."""
    try:
        with zipfile.ZipFile(io.BytesIO(body)) as archive:
            members = archive.infolist()
            wanted = {m.filename: m for m in members if m.filename.endswith((".xml", ".rels"))}
            if len(members) > MAX_MEMBERS or sum(member.file_size for member in wanted.values()) > MAX_XML_BYTES:
                raise PermanentError(
                    f"The document unpacks to more than {MAX_MEMBERS} parts or {MAX_XML_BYTES} bytes of text. Split it.",
                    reason="document_too_large",
                )
            if any(member.flag_bits & 1 for member in wanted.values()):
                raise PermanentError("The document is behind a password. Put it on the site without one.", reason="encrypted")
            return {name: _parse(archive.read(member)) for name, member in wanted.items()}
    except (zipfile.BadZipFile, zlib.error, NotImplementedError, etree.XMLSyntaxError, EOFError, OSError, ValueError) as exc:
        raise _broken(exc) from exc


def _parse(part: bytes) -> etree._Element:
    parser = etree.XMLParser(
        resolve_entities=False, no_network=True, load_dtd=False, huge_tree=False, remove_comments=True, remove_pis=True
    )
    root = etree.fromstring(part, parser)
    if root.getroottree().docinfo.internalDTD is not None:
        raise ValueError("a DTD, which Office documents may not have")
    if b"purl.oclc.org/ooxml" in part:
        to_transitional(root)
    return root


def _clean_parts(parts: dict[str, etree._Element]) -> list[str]:
    """Clean the parts that hold text, and note what can't be read of them."""
    main = next((name for name in parts if name.endswith("word/document.xml")), "")
    folder = main.rpartition("/")[0] or "word"
    styles = Styles(parts.get(f"{folder}/styles.xml"))
    numbering = Numbering(parts.get(f"{folder}/numbering.xml"))
    texts = [main, *(name for name in parts if name.rpartition("/")[2].startswith(("document", "footnotes", "endnotes")))]
    notes = []
    for name in dict.fromkeys(name for name in texts if name in parts):
        if next(parts[name].iter(f"{W}altChunk"), None) is not None:
            notes.append("a document that is embedded in this one was not read")
        clean(parts[name], styles, numbering)
    return notes


def _finished(markup: str) -> str:
    """Give lists the letters and numbers that their items are marked with, write boxes, and take off the way back from notes."""
    markup = _BOX.sub(lambda found: "[x]" if "checked=" in found[0] else "[ ]", markup)
    return _STRAY_MARK.sub("", _BACK_LINK.sub("", _ITEM.sub(_item, markup)))


def _item(found: re.Match[str]) -> str:
    kind, number = found["kind"], found["number"]
    opening = f'<ol type="{kind}" start="{number}">' if found["list"] else ""
    return f'{opening}<li value="{number}">'


def _archive(parts: dict[str, etree._Element]) -> io.BytesIO:
    written = io.BytesIO()
    with zipfile.ZipFile(written, "w", zipfile.ZIP_STORED) as archive:
        for name, root in parts.items():
            archive.writestr(name, etree.tostring(root, encoding="utf-8", xml_declaration=True))
    written.seek(0)
    return written


def _broken(exc: Exception) -> PermanentError:
    return PermanentError(
        f"The document is damaged and can't be read ({type(exc).__name__}). Does Word open it?", reason="broken_document"
    )
