"""Which encoding unlabelled bytes are in: chardetng's guess, with the text's own language as its hint.

chardetng is the detector of Firefox: it knows only the encodings that pages are written in and takes windows-1252 where nothing
speaks for another. The Latin code pages share most of their letters, so for them it needs to know where a page is from. A browser
has only the address' top-level domain to go by; here the language is identified first, which most words without accents
show as well as those with (``tests/unit/test_charset.py`` has the figures).
"""

from __future__ import annotations

import math
import re
import string

import py3langid
from chardetng_py import EncodingDetector

from ingest.extract.web_encodings import WINDOWS_1252, decoded, encoding_named

_SAMPLE_BYTES = 262_144
_LANGUAGE_CHARS = 4_000
_LANGUAGE_MIN_BYTES = 12
_SURE = 0.5
_READINGS = (WINDOWS_1252, "windows-1250", "windows-1254", "windows-1257")
_TOP_LEVEL_DOMAIN = re.compile(r"[a-z0-9-]{2,63}")
_BETWEEN_PIECES = re.compile(rb"[<>\r\n]+")  # none of them is a later byte of a character, in any encoding but ISO-2022-JP
_KANA = re.compile("[\u3041-\u30ff]")
_ESCAPE = b"\x1b"
_SCRIPT_MIN_BYTES, _SCRIPT_MIN_VALUES = 16, 8
_ASCII, _ASCII_LETTERS = bytes(range(0x80)), string.ascii_letters.encode()

_LATIN = {f"windows-{number}" for number in (1250, 1252, 1254, 1257, 1258)} | {f"iso-8859-{part}" for part in (2, 4, 13)}

# Languages in the Latin script. Those of the first row were written in windows-1252; the others by the top-level domain that
# stands for them to the detector.
_WESTERN = {
    "af", "ca", "da", "de", "en", "es", "eu", "fi", "fo", "fr", "ga", "gl", "id", "is", "it", "lb", "ms", "nb", "nl", "nn", "no",
    "pt", "sv",
}  # fmt: skip
_DOMAINS = {
    "az": "az", "bs": "ba", "cs": "cz", "et": "ee", "hr": "hr", "hu": "hu", "lt": "lt", "lv": "lv", "pl": "pl", "ro": "ro",
    "sk": "sk", "sl": "si", "tr": "tr", "vi": "vn",
}  # fmt: skip

# The encodings of a region differ in some letters only, each a letter in both: those of the language tell them apart.
_CENTRAL_EUROPEAN, _BALTIC = ("windows-1250", "iso-8859-2"), ("windows-1257", "iso-8859-13", "iso-8859-4")
_ALPHABETS = {
    "bs": "čćđšž",
    "cs": "áčďéěíňóřšťúůýž",
    "et": "äõöüšž",
    "hr": "čćđšž",
    "hu": "áéíóöőúüű",
    "lt": "ąčęėįšųūž",
    "lv": "āčēģīķļņōŗšūž",
    "pl": "ąćęłńóśźż",
    "ro": "ăâîşţ",
    "sk": "áäčďéíĺľňóôŕšťúýž",
    "sl": "čšž",
}
_MARKS = frozenset("\xa0§°–—‘’‚“”„…")


def guess_encoding(body: bytes, *, top_level_domain: str = "") -> str:
    """The WHATWG name of the likeliest encoding, never utf-8. Linear: what is read of the body is bounded.

    Args:
        top_level_domain: of the address that the bytes came from, in lower case; for texts too short to show their language.
    """
    sample = _sample(body)
    detector = EncodingDetector()
    detector.feed(sample, last=len(sample) < _SAMPLE_BYTES)  # a sample that was cut may end within a character
    domain = top_level_domain if _TOP_LEVEL_DOMAIN.fullmatch(top_level_domain) else None
    first = _guess(detector, domain)
    if first == "euc-jp" and domain != "jp" and not _KANA.search(decoded(sample, first)):
        return "gb18030" if _is_gb2312(sample) else first  # the same bytes; Japanese without kana is rarer than Chinese
    if first not in _LATIN:
        return first
    language = _language(sample, first)
    if language is None:
        return first if domain in _DOMAINS.values() else WINDOWS_1252
    if language in _WESTERN:
        return WINDOWS_1252
    guess = _guess(detector, _DOMAINS[language])
    region = next((names for names in (_CENTRAL_EUROPEAN, _BALTIC) if guess in names), None)
    if region is None or language not in _ALPHABETS:
        return guess
    return min(region, key=lambda name: (_foreign_letters(sample, name, language), name != guess))


def contradicts_latin(body: bytes, *, top_level_domain: str = "") -> bool:
    """Whether bytes that are labelled windows-1252 are in another script: most of their letters are beyond ASCII, as in no
    language of that encoding, and the guess is none for the Latin script. Rows of dashes and single letters are no script."""
    sample = _sample(body)
    beyond_ascii = sample.translate(None, _ASCII)
    letters = len(sample) - len(sample.translate(None, _ASCII_LETTERS))
    return (
        len(beyond_ascii) > max(letters, _SCRIPT_MIN_BYTES)
        and len(set(beyond_ascii)) >= _SCRIPT_MIN_VALUES
        and guess_encoding(body, top_level_domain=top_level_domain) not in _LATIN
    )


def _guess(detector: EncodingDetector, domain: str | None) -> str:
    name = detector.guess(tld=domain.encode() if domain else None, allow_utf8=False)
    return encoding_named("windows-874" if name == "cp874" else name) or WINDOWS_1252


def _sample(body: bytes) -> bytes:
    """The pieces between tags and line ends that hold a byte beyond ASCII: those decide, wherever on a page they stand."""
    if _ESCAPE in body:
        return body[:_SAMPLE_BYTES]
    pieces, size = [], 0
    for piece in _BETWEEN_PIECES.split(body):
        if not piece.isascii():
            pieces.append(piece)
            size += len(piece) + 1
            if size >= _SAMPLE_BYTES:
                break
    return b"\n".join(pieces)[:_SAMPLE_BYTES]


def _is_gb2312(sample: bytes) -> bool:
    try:
        sample.decode("gb2312")
    except UnicodeDecodeError:
        return False
    return True


def _foreign_letters(sample: bytes, encoding: str, language: str) -> int:
    known = _MARKS.union(_ALPHABETS[language])
    return sum(1 for char in decoded(sample, encoding).lower() if char > "\x7f" and char not in known)


def _language(sample: bytes, encoding: str) -> str | None:
    """The language that the sample reads as, in whichever encoding of the Latin script it reads best; None if unsure."""
    if len(sample) < _LANGUAGE_MIN_BYTES:
        return None
    texts = {decoded(sample[:_LANGUAGE_CHARS], name) for name in (encoding, *_READINGS)}
    probability, language = max(_identified(text) for text in texts)
    return language if probability >= _SURE else None


def _identified(text: str) -> tuple[float, str]:
    """The likeliest of the languages in the Latin script, and its share of their probability."""
    scores = [
        (float(score), str(language)) for language, score in py3langid.rank(text) if language in _DOMAINS or language in _WESTERN
    ]
    best, language = max(scores)
    return 1 / sum(math.exp(score - best) for score, _ in scores), language
