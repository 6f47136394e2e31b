"""The encodings of the WHATWG Encoding Standard: which labels name them, what a document declares, and how each is decoded.

Only these are ever decoded. Python has codecs under names of its own that are no encodings of pages (``unicode_escape``,
``idna``, ``punycode``, ``utf-7``, DOS code pages); a label that names one of them names nothing here.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

import webencodings
from bs4.dammit import EncodingDetector

UTF_8, UTF_16LE, UTF_16BE = "utf-8", "utf-16le", "utf-16be"
REPLACEMENT = "replacement"  # what the standard calls the encodings that must not be decoded: ISO-2022-KR, HZ and the like
WINDOWS_1252 = "windows-1252"
ISO_2022_JP = "iso-2022-jp"

_DECLARED_WITHIN_BYTES = 65_536  # the standard looks at 1,024 bytes; a start-up script before the <meta> is often longer
_MAX_META_TAGS = 200
_CONTENT_TYPE = re.compile(rb"http-equiv\s*=\s*[\"']?\s*content-type", re.IGNORECASE)
_CHARSET_ATTRIBUTE = re.compile(rb"[\s\"'/]charset\s*=", re.IGNORECASE)
_CONTENT_ATTRIBUTE = re.compile(rb"\scontent\s*=", re.IGNORECASE)

# What is decoded alike: GBK by its superset (Encoding Standard, "GBK decoder"), Hebrew in either direction of writing, and
# x-user-defined as HTML's "prescan a byte stream to determine its encoding" has it.
_DECODED_AS = {"gbk": "gb18030", "iso-8859-8-i": "iso-8859-8", "x-user-defined": WINDOWS_1252}

# Python's codecs by the standard's names. Where two are given, the second knows characters that the first lacks, and the
# one that leaves fewer bytes undecoded is taken: a codec of Python's covers the standard's table only in part.
_CODECS = {
    "euc-jp": ("euc_jp", "euc_jis_2004"),
    ISO_2022_JP: ("iso2022_jp", "iso2022_jp_ext", "iso2022_jp_2004"),
    "big5": ("big5hkscs", "cp950"),
}

# ISO 8859 has only control characters at 0x80 to 0x9F. A page that is labelled so and has such bytes is in the Windows code page
# beside it, or some of it was pasted from there: its quotation marks and dashes would be lost.
_WINDOWS_SIBLINGS = {
    "iso-8859-2": "windows-1250",
    "iso-8859-3": "windows-1254",
    "iso-8859-4": "windows-1257",
    "iso-8859-5": "windows-1251",
    "iso-8859-6": "windows-1256",
    "iso-8859-7": "windows-1253",
    "iso-8859-8": "windows-1255",
    "iso-8859-10": "windows-1257",
    "iso-8859-13": "windows-1257",
    "iso-8859-14": "windows-1252",
    "iso-8859-15": "windows-1252",
    "iso-8859-16": "windows-1250",
}
_C1 = re.compile("[\x80-\x9f]")


def encoding_named(label: str | None) -> str | None:
    """The standard's name of the encoding to decode with for a label ("get an encoding"); None if it stands for none."""
    found = webencodings.lookup((label or "").strip().strip("\"'")) if label and label.isascii() else None
    return _DECODED_AS.get(found.name, str(found.name)) if found else None


def decoded(body: bytes, encoding: str) -> str:
    """The bytes as text, U+FFFD for each error. ``encoding`` is one of the standard's names, but not ``replacement``."""
    texts = (body.decode(codec, errors="replace") for codec in _codecs(encoding))
    best = next(texts)
    for text in texts:
        if "\ufffd" not in best:
            break
        best = min(best, text, key=lambda text: text.count("\ufffd"))
    sibling = _WINDOWS_SIBLINGS.get(encoding)
    return _with_windows_characters(body, best, sibling) if sibling and _C1.search(best) else best


def declared_encodings(body: bytes) -> Iterator[str]:
    """What a document declares of itself: its ``<meta>``, then its XML declaration, as the standard's names.

    What says utf-16 was readable as ASCII, so it means utf-8 (HTML, "prescan a byte stream to determine its encoding").
    """
    head = body[:_DECLARED_WITHIN_BYTES]
    meta = (_declared(tag) for tag in _meta_tags(head) if _may_declare(tag))
    first_line = head[:1_024].lstrip().partition(b">")[0]
    xml = _declared(first_line + b">") if first_line.startswith(b"<?xml") else None
    for encoding in (next((name for name in meta if name), None), xml):
        if encoding:
            yield UTF_8 if encoding in (UTF_16LE, UTF_16BE) else encoding


def _declared(tag: bytes) -> str | None:
    return encoding_named(EncodingDetector.find_declared_encoding(tag, is_html=True, search_entire_document=True))


def _may_declare(tag: bytes) -> bool:
    """``<meta charset=…>`` or ``<meta http-equiv=content-type content="…charset=…">``; a description that talks of a charset
    declares none."""
    charset, content = _CHARSET_ATTRIBUTE.search(tag), _CONTENT_ATTRIBUTE.search(tag)
    if charset and (not content or charset.start() < content.start()):
        return True
    return bool(charset or content) and bool(_CONTENT_TYPE.search(tag))


def _meta_tags(head: bytes) -> Iterator[bytes]:
    """The ``<meta …>`` tags outside comments. One pass from left to right, so linear whatever the bytes are."""
    at, left = head.find(b"<"), _MAX_META_TAGS
    while at >= 0 and left:
        if head.startswith(b"<!--", at):
            end = head.find(b"-->", at + 2)
        elif head[at + 1 : at + 5].lower() == b"meta" and head[at + 5 : at + 6] in (b" ", b"\t", b"\n", b"\r", b"\f", b"/"):
            end = head.find(b">", at)
            yield head[at : end + 1 if end >= 0 else None]
            left -= 1
        else:
            end = at
        at = head.find(b"<", end + 1) if end >= 0 else -1


def _codecs(encoding: str) -> tuple[str, ...]:
    return _CODECS.get(encoding) or (webencodings.PYTHON_NAMES.get(encoding, encoding),)


def _with_windows_characters(body: bytes, text: str, sibling: str) -> str:
    """Letters at 0x80 to 0x9F say that all of the page is in the Windows code page; marks alone may have been pasted."""
    replacements = {mark: bytes([ord(mark)]).decode(_codecs(sibling)[0], errors="replace") for mark in set(_C1.findall(text))}
    if any(char.isalpha() for char in replacements.values()):
        return decoded(body, sibling)
    return text.translate({ord(mark): char for mark, char in replacements.items()})
