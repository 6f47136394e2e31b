"""Which format a body is in: what the server says, and where that says nothing, what the bytes and the address look like."""

from __future__ import annotations

import re
from enum import Enum, auto
from urllib.parse import urlsplit

from corpus.errors import PermanentError


class Format(Enum):
    HTML = auto()
    PLAIN = auto()
    MARKDOWN = auto()
    PDF = auto()
    DOCX = auto()


_WORD = "application/vnd.openxmlformats-officedocument.wordprocessingml"
_BY_TYPE = {
    "text/html": Format.HTML,
    "application/xhtml+xml": Format.HTML,
    "text/plain": Format.PLAIN,
    "text/markdown": Format.MARKDOWN,
    "text/x-markdown": Format.MARKDOWN,
    "text/vnd.daringfireball.markdown": Format.MARKDOWN,
    "application/pdf": Format.PDF,
    "application/x-pdf": Format.PDF,
    f"{_WORD}.document": Format.DOCX,
    f"{_WORD}.template": Format.DOCX,
    "application/vnd.ms-word.document.macroenabled.12": Format.DOCX,
}
# What servers say of files whose type they don't know, or to make a browser save them. A DOCX is a ZIP archive.
_UNTOLD = frozenset(
    (
        "",
        "application/octet-stream",
        "binary/octet-stream",
        "application/binary",
        "application/download",
        "application/x-download",
        "application/force-download",
        "application/x-octet-stream",
        "application/unknown",
        "unknown/unknown",
        "application/zip",
        "application/x-zip-compressed",
    )
)
ACCEPT = f"text/html, application/xhtml+xml, text/markdown;q=0.9, text/plain;q=0.8, application/pdf;q=0.8, {_WORD}.document;q=0.8"

_LOOKS_LIKE_HTML = re.compile(rb"<(?:!doctype\s+html|html|head|body|title|meta|div|p|h1|article|main)\b", re.IGNORECASE)
_SNIFFED_BYTES = 2_000
_MARKDOWN_NAME = re.compile(r"\.(?:md|mdx|markdown|mdown|mkdn?)$", re.IGNORECASE)
_OLE_MAGIC = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
_ENCRYPTED_PACKAGE = "EncryptedPackage".encode("utf-16-le")


def format_of(body: bytes, *, content_type: str | None, url: str) -> Format:
    """The format to read a body in.

    A type that the server names is believed, with two exceptions: ``.md`` served as plain text is Markdown, and types that
    say only "a file" leave it to the bytes.

    Raises:
        PermanentError: reason ``unsupported_type``; ``encrypted`` for a Word file behind a password.
    """
    media_type = (content_type or "").split(";")[0].strip().lower()
    if body.startswith(_OLE_MAGIC) and (media_type in _UNTOLD or _BY_TYPE.get(media_type) is Format.DOCX):
        _refuse_ole(body, media_type)
    known = _BY_TYPE.get(media_type)
    if known is None and media_type in _UNTOLD:
        known = _looked_at(body)
    if known is None:
        raise PermanentError(
            f"Pages of type {media_type or 'unknown'} can't be read. Give the address of an HTML, PDF, Word (.docx), Markdown or "
            "plain text document.",
            reason="unsupported_type",
            content_type=media_type,
        )
    if known is Format.PLAIN and _MARKDOWN_NAME.search(urlsplit(url).path):
        return Format.MARKDOWN
    return known


def _looked_at(body: bytes) -> Format | None:
    if b"%PDF-" in body[:1_024]:  # ISO 32000-1, annex H, implementation note 13: within the first 1,024 bytes
        return Format.PDF
    if body.startswith(b"PK\x03\x04"):
        return Format.DOCX if b"word/document" in body else None
    return Format.HTML if _LOOKS_LIKE_HTML.search(body[:_SNIFFED_BYTES]) else Format.PLAIN


def _refuse_ole(body: bytes, media_type: str) -> None:
    """Microsoft's older container holds either the old formats or a new one behind a password."""
    if _ENCRYPTED_PACKAGE in body:
        raise PermanentError("The document is behind a password. Put it on the site without one.", reason="encrypted")
    raise PermanentError(
        "Old Word files (.doc) can't be read. Save the document as .docx.", reason="unsupported_type", content_type=media_type
    )
