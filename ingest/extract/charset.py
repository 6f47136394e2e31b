"""From bytes to text: which charset a document is really in.

Order of belief, as browsers have it (WHATWG Encoding Standard; HTML, "encoding sniffing algorithm"): byte order mark, HTTP
header, ``<meta>`` or XML declaration, UTF-8, statistical detection. A claim is believed only when it decodes the bytes
soundly: servers that say utf-8 for every file are common.
"""

from __future__ import annotations

import codecs
import re

from charset_normalizer import from_bytes

from corpus.errors import PermanentError

_BOMS = ((codecs.BOM_UTF8, "utf-8"), (codecs.BOM_UTF16_LE, "utf-16-le"), (codecs.BOM_UTF16_BE, "utf-16-be"))
_META = re.compile(rb"""<meta[^>]{0,300}?charset\s*=\s*["']?\s*([\w.:-]{2,40})""", re.IGNORECASE)
_XML_DECLARATION = re.compile(rb"""^\s*<\?xml[^>]{0,200}?encoding\s*=\s*["']([\w.:-]{2,40})["']""", re.IGNORECASE)
_META_SEARCH_BYTES = 4_096
_DETECTION_BYTES = 64_000

# The WHATWG standard reads these labels as the superset that senders mean. Keys are Python's names.
_SUPERSETS = {
    "ascii": "cp1252",
    "iso8859-1": "cp1252",
    "iso8859-9": "cp1254",
    "gb2312": "gb18030",
    "gbk": "gb18030",
    "shift_jis": "cp932",
    "euc_kr": "cp949",
    "big5": "big5hkscs",
    "tis-620": "cp874",
}
_BINARY_MAGIC = (b"%PDF-", b"\x89PNG", b"GIF8", b"\xff\xd8\xff", b"PK\x03\x04", b"\x1f\x8b", b"BZh", b"\x7fELF", b"wOF", b"RIFF")
_NOT_TEXT = re.compile("[\x00-\x08\x0b\x0e-\x1a\x1c-\x1f\x7f\ufffd]")
_SAMPLE_CHARS = 64_000
_MAX_NOT_TEXT_SHARE = 0.01


def decode(body: bytes, *, charset: str | None, markup: bool) -> str:
    """Decode a document; ``charset`` is the HTTP header's claim, ``markup`` lets a ``<meta>`` or XML declaration speak.

    Raises:
        PermanentError: reason ``not_text``; the bytes are binary, whatever their label says.
    """
    text = "" if body.startswith(_BINARY_MAGIC) else _decode(body, charset, markup)
    sample = text[:_SAMPLE_CHARS]
    if (body and not text) or len(_NOT_TEXT.findall(sample)) > max(2, len(sample) * _MAX_NOT_TEXT_SHARE):
        raise PermanentError("The body is binary data, not text. Give the address of an HTML or text page.", reason="not_text")
    return text


def _decode(body: bytes, charset: str | None, markup: bool) -> str:
    for bom, name in _BOMS:
        if body.startswith(bom):
            return body[len(bom) :].decode(name, errors="replace")
    claims = (_codec(charset), _declared(body) if markup else None, "utf-8")
    for claim in dict.fromkeys(claims):
        if claim:
            text = body.decode(claim, errors="replace")
            if _is_sound(text):
                return text
    detected = from_bytes(body[:_DETECTION_BYTES]).best()
    return body.decode(detected.encoding if detected else "cp1252", errors="replace")


def _codec(label: str | None) -> str | None:
    """The Python codec for a charset label, or None if there is none for text."""
    try:
        name = codecs.lookup((label or "").strip().strip("\"'")).name
        b"".decode(name)  # refuses codecs that don't make text, such as base64
    except (LookupError, UnicodeError, ValueError):  # ValueError: the label holds a NUL
        return None
    return _SUPERSETS.get(name, name)


def _declared(body: bytes) -> str | None:
    head = body[:_META_SEARCH_BYTES]
    found = _XML_DECLARATION.search(head) or _META.search(head)
    name = _codec(found[1].decode("ascii", errors="ignore")) if found else None
    # The declaration was readable as ASCII, so it can't be UTF-16 (HTML, "prescan a byte stream to determine its encoding").
    return "utf-8" if name and name.startswith(("utf-16", "utf-32")) else name


def _is_sound(text: str) -> bool:
    """Whether a decoding fits: a stray bad byte is the page's fault, but most non-ASCII broken is the claim's."""
    broken = text.count("\ufffd")
    return not broken or broken * 5 < sum(1 for c in text if c > "\x7f")
