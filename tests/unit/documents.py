"""PDF and Word documents made by other people's libraries, and hostile variants of them."""

from __future__ import annotations

import io
import re
import zipfile
from collections.abc import Callable

import docx
from PIL import Image
from reportlab.lib.pagesizes import A4
from reportlab.lib.pdfencrypt import StandardEncryption
from reportlab.lib.utils import ImageReader
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

    def put(self, x: float, y: float, text: str, *, size: float = 10, font: str = "Helvetica", rise: float = 0) -> PdfPages:
        """Text at a place of its own, counted from the lower left corner."""
        written = self._canvas.beginText(x, y)
        written.setFont(font, size)
        written.setRise(rise)
        written.textOut(text)
        self._canvas.drawText(written)
        return self

    def parts(self, x: float, y: float, *parts: tuple[str, float, float]) -> PdfPages:
        """Parts of one line behind each other, each with its size and its rise."""
        written = self._canvas.beginText(x, y)
        for text, size, rise in parts:
            written.setFont("Helvetica", size)
            written.setRise(rise)
            written.textOut(text)
        self._canvas.drawText(written)
        return self

    def rule(self, x: float, y: float, to_x: float, to_y: float) -> PdfPages:
        self._canvas.line(x, y, to_x, to_y)
        return self

    def width_of(self, text: str, *, size: float = 10, font: str = "Helvetica") -> float:
        return float(self._canvas.stringWidth(text, font, size))

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
        """A picture over the whole page, as a scanner makes it."""
        self._canvas.drawImage(ImageReader(Image.new("L", (20, 30), 128)), 0, 0, *A4)
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


_WORD_NAMESPACES = (
    'xmlns:w="http://schemas.openxmlformats.org/wordprocessingml/2006/main"'
    ' xmlns:m="http://schemas.openxmlformats.org/officeDocument/2006/math"'
    ' xmlns:mc="http://schemas.openxmlformats.org/markup-compatibility/2006"'
    ' xmlns:r="http://schemas.openxmlformats.org/officeDocument/2006/relationships"'
    ' xmlns:wps="http://schemas.microsoft.com/office/word/2010/wordprocessingShape"'
    ' xmlns:w14="http://schemas.microsoft.com/office/word/2010/wordml" xmlns:v="urn:schemas-microsoft-com:vml"'
)


def raw_word(body: str, *, styles: str = "", numbering: str = "", footnotes: str = "") -> bytes:
    """A Word document of WordprocessingML as it is, for what python-docx doesn't write."""
    main = "application/vnd.openxmlformats-officedocument.wordprocessingml"
    relations = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
    parts = {"document": f"<w:body>{body}</w:body>", "styles": styles, "numbering": numbering, "footnotes": footnotes}
    written = io.BytesIO()
    with zipfile.ZipFile(written, "w") as archive:
        types = "".join(
            f'<Override PartName="/word/{name}.xml" ContentType="{main}.{"document.main" if name == "document" else name}+xml"/>'
            for name in parts
        )
        archive.writestr(
            "[Content_Types].xml",
            '<Types xmlns="http://schemas.openxmlformats.org/package/2006/content-types">'
            f'<Default Extension="rels" ContentType="application/vnd.openxmlformats-package.relationships+xml"/>{types}</Types>',
        )
        package = "http://schemas.openxmlformats.org/package/2006/relationships"
        archive.writestr(
            "_rels/.rels",
            f'<Relationships xmlns="{package}"><Relationship Id="a" Type="{relations}/officeDocument" '
            'Target="word/document.xml"/></Relationships>',
        )
        archive.writestr(
            "word/_rels/document.xml.rels",
            f'<Relationships xmlns="{package}">'
            + "".join(f'<Relationship Id="{n}" Type="{relations}/{n}" Target="{n}.xml"/>' for n in parts if n != "document")
            + "</Relationships>",
        )
        for name, content in parts.items():
            archive.writestr(f"word/{name}.xml", f"<w:{name} {_WORD_NAMESPACES}>{content}</w:{name}>")
    return written.getvalue()


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
