"""Which format a body is in: what the server says, and where that says nothing, what the bytes and the address look like."""

from __future__ import annotations

import codecs
import re
from enum import Enum, auto
from urllib.parse import urlsplit

from corpus.errors import PermanentError
from ingest.content_type import parse_content_type


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
    "text/x-rst": Format.PLAIN,
    "text/prs.fallenstein.rst": Format.PLAIN,
    "text/asciidoc": Format.PLAIN,
    "text/x-asciidoc": Format.PLAIN,
    "text/org": Format.PLAIN,
    "text/x-org": Format.PLAIN,
    "text/markdown": Format.MARKDOWN,
    "text/x-markdown": Format.MARKDOWN,
    "text/x-web-markdown": Format.MARKDOWN,
    "text/x-gfm": Format.MARKDOWN,
    "text/vnd.daringfireball.markdown": Format.MARKDOWN,
    "application/pdf": Format.PDF,
    "application/x-pdf": Format.PDF,
    f"{_WORD}.document": Format.DOCX,
    f"{_WORD}.template": Format.DOCX,
    "application/vnd.ms-word.document.macroenabled.12": Format.DOCX,
    "application/msword": Format.DOCX,  # what many servers say of every Word file; the old format is told by its bytes
}
# What servers say of files whose type they don't know, or to make a browser save them. A DOCX is a ZIP archive.
_UNTOLD = frozenset(
    (
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
_XML_TYPES = ("application/xml", "text/xml")
ACCEPT = f"text/html, application/xhtml+xml, text/markdown;q=0.9, text/plain;q=0.8, application/pdf;q=0.8, {_WORD}.document;q=0.8"

_LOOKS_LIKE_HTML = re.compile(rb"<(?:!doctype\s+html|html|head|body|title|meta|div|p|h1|article|main)\b", re.IGNORECASE)
_STARTS_AS_HTML = re.compile(rb"(?:\xef\xbb\xbf)?\s{0,1000}<(?:!doctype\s{1,100}html|html)[\s>]", re.IGNORECASE)
_SNIFFED_BYTES = 2_000
_MARKDOWN_NAME = re.compile(r"\.(?:md|mdx|markdown|mdown|mkdn?)$", re.IGNORECASE)
_PLAIN_NAME = re.compile(r"\.te?xt$", re.IGNORECASE)
_ZIP_MAGIC = b"PK\x03\x04"
_OLE_MAGIC = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
_ENCRYPTED_PACKAGE = "EncryptedPackage".encode("utf-16-le")

_ROOT_WITHIN_BYTES = 65_536
_HTML_ROOT = re.compile(rb"(?:([\w.-]{1,50}):)?html(?=[\s/>])([^<>]{0,10000})")
_XHTML_NAMESPACE = b"http://www.w3.org/1999/xhtml"


def format_of(body: bytes, *, content_type: str | None, url: str) -> Format:
    """The format to read a body in.

    The type that the server names is believed, except where the bytes can't be it (WHATWG MIME Sniffing goes as far for
    most of these):

    - Types that say only "a file", and headers that name no valid type, leave it to the bytes and to the name in the address.
    - A PDF or Word file served as text is what its first bytes say; so is an HTML page served as either.
    - XML is read if its root is XHTML's.
    - ``.md`` served as plain text is Markdown.
    - Plain text that begins with ``<!doctype html`` or ``<html`` is HTML, unless the address ends in ``.txt``. Browsers show the
      markup of such a page, as a warning to its author; a reader wants the page, and no text for people begins so.

    Args:
        content_type: the Content-Type header's value, with or without parameters.

    Raises:
        PermanentError: reason ``unsupported_type``; ``encrypted`` for a Word file behind a password.
    """
    media_type = parse_content_type(content_type or "").essence or ""
    named = _BY_TYPE.get(media_type)
    is_untold = not media_type or media_type in _UNTOLD or "*" in media_type
    if named is None and not is_untold:
        if _is_xml(media_type) and _has_html_root(body):
            return Format.HTML
        raise _unsupported(media_type)
    if body.startswith(_OLE_MAGIC):
        _refuse_ole(body, media_type)
    return _by_magic(body, is_document=is_untold or named in (Format.PDF, Format.DOCX)) or _by_name(body, named, url)


def _by_magic(body: bytes, *, is_document: bool) -> Format | None:
    # ISO 32000-1, annex H, implementation note 13: within the first 1,024 bytes. Text may quote it, so there it must come first.
    if b"%PDF-" in body[:1_024] if is_document else body[:1_024].lstrip().startswith(b"%PDF-"):
        return Format.PDF
    return Format.DOCX if body.startswith(_ZIP_MAGIC) and b"word/document" in body else None


def _by_name(body: bytes, named: Format | None, url: str) -> Format:
    path, opening = urlsplit(url).path, _opening(body)
    if (
        _STARTS_AS_HTML.match(opening)
        and named is not Format.MARKDOWN
        and not (named is Format.PLAIN and _PLAIN_NAME.search(path))
    ):
        return Format.HTML
    if named in (None, Format.PLAIN) and _MARKDOWN_NAME.search(path):
        return Format.MARKDOWN
    if named is None and body.startswith(_ZIP_MAGIC):
        raise _unsupported("application/zip")
    return named or (Format.HTML if _LOOKS_LIKE_HTML.search(opening) else Format.PLAIN)


def _opening(body: bytes) -> bytes:
    return _as_ascii(body[:_SNIFFED_BYTES])


def _as_ascii(start: bytes) -> bytes:
    """The start of a document, its markup as in ASCII though it be in UTF-16, with a byte order mark or without."""
    if start.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return start[2:].replace(b"\0", b"")
    return start.replace(b"\0", b"") if start.startswith((b"<\0", b"\0<")) else start


def _is_xml(media_type: str) -> bool:
    return media_type in _XML_TYPES or media_type.endswith("+xml")


def _has_html_root(body: bytes) -> bool:
    """Whether an XML document's root is ``html`` of XHTML's namespace, or of none. One pass over what may precede the root."""
    head = _as_ascii(body[:_ROOT_WITHIN_BYTES]).removeprefix(b"\xef\xbb\xbf")
    at = head.find(b"<")
    while at >= 0:
        if head.startswith(b"<?", at):
            end = head.find(b"?>", at)
        elif head.startswith(b"<!--", at):
            end = head.find(b"-->", at)
        elif head.startswith(b"<!", at):
            subset, end = head.find(b"[", at), head.find(b">", at)
            if 0 <= subset < end:
                end = head.find(b"]", subset)
        else:
            root = _HTML_ROOT.match(head, at + 1)
            return root is not None and (_XHTML_NAMESPACE in root[2] or not (root[1] or b"xmlns" in root[2]))
        at = head.find(b"<", end) if end >= 0 else -1
    return False


def _unsupported(media_type: str) -> PermanentError:
    return PermanentError(
        f"Pages of type {media_type} can't be read. Give the address of an HTML, PDF, Word (.docx), Markdown or plain text "
        "document.",
        reason="unsupported_type",
        content_type=media_type,
    )


def _refuse_ole(body: bytes, media_type: str) -> None:
    """Microsoft's older container holds either the old formats or a new one behind a password."""
    if _ENCRYPTED_PACKAGE in body:
        raise PermanentError("The document is behind a password. Put it on the site without one.", reason="encrypted")
    raise PermanentError(
        "Old Word files (.doc) can't be read. Save the document as .docx.", reason="unsupported_type", content_type=media_type
    )
