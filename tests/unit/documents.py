"""PDF and Word documents made by other people's libraries, and hostile variants of them."""

from __future__ import annotations

import io
import re
import zipfile
from collections.abc import Callable

import docx
from reportlab.lib.pagesizes import A4
from reportlab.lib.pdfencrypt import StandardEncryption
from reportlab.pdfgen.canvas import Canvas

LEFT, TOP, PITCH = 72.0, 760.0, 14.0


class PdfPages:
    """Writes lines of text down the pages of a PDF."""

    def __init__(self, *, password: str | None = None, **facts: str) -> None:
        self._file = io.BytesIO()
        encrypt = StandardEncryption(password, ownerPassword="owner") if password is not None else None
        self._canvas = Canvas(self._file, pagesize=A4, encrypt=encrypt, invariant=1)
        for name, value in facts.items():
            getattr(self._canvas, f"set{name.capitalize()}")(value)
        self._y = TOP

    def line(self, text: str, *, size: float = 11, font: str = "Helvetica", indent: float = 0, gap: float = 0) -> PdfPages:
        self._y -= gap
        self._canvas.setFont(font, size)
        self._canvas.drawString(LEFT + indent, self._y, text)
        self._y -= PITCH * max(1.0, size / 11)
        return self

    def at(self, y: float, text: str) -> PdfPages:
        self._canvas.setFont("Helvetica", 9)
        self._canvas.drawString(LEFT, y, text)
        return self

    def entry(self, title: str, level: int) -> PdfPages:
        """An entry of the outline that leads here."""
        self._canvas.bookmarkPage(title)
        self._canvas.addOutlineEntry(title, title, level)
        return self

    def link(self, address: str) -> PdfPages:
        self._canvas.linkURL(address, (10, 10, 90, 20))
        return self

    def page(self) -> PdfPages:
        self._canvas.showPage()
        self._y = TOP
        return self

    def picture(self) -> PdfPages:
        self._canvas.rect(100, 100, 300, 300, fill=1)
        return self

    def bytes(self) -> bytes:
        self._canvas.save()
        return self._file.getvalue()


def word(write: Callable[[docx.document.Document], object]) -> bytes:
    document = docx.Document()
    write(document)
    file = io.BytesIO()
    document.save(file)
    return file.getvalue()


def with_part(archive: bytes, name: str, change: Callable[[bytes], bytes]) -> bytes:
    """The archive with one part changed (or added: it is then given nothing)."""
    written = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(archive)) as source, zipfile.ZipFile(written, "w", zipfile.ZIP_DEFLATED) as target:
        for member in source.namelist():
            content = source.read(member)
            target.writestr(member, change(content) if member == name else content)
        if name not in source.namelist():
            target.writestr(name, change(b""))
    return written.getvalue()


def with_dates(archive: bytes, created: str, modified: str) -> bytes:
    def change(core: bytes) -> bytes:
        core = re.sub(rb"(<dcterms:created[^>]*>)[^<]*", rb"\g<1>" + created.encode(), core)
        return re.sub(rb"(<dcterms:modified[^>]*>)[^<]*", rb"\g<1>" + modified.encode(), core)

    return with_part(archive, "docProps/core.xml", change)
