"""From bytes to text: which encoding a document is really in.

The order of belief is that of browsers (WHATWG Encoding Standard; HTML, "encoding sniffing algorithm"): byte order mark, HTTP
header, what the document declares, a guess. In four places the bytes are believed before a label, where a browser would show
no text that anybody can read:

- Bytes that are valid UTF-8 with several multi-byte sequences are UTF-8, whatever they are labelled.
- A claim is believed only if the bytes fit it: servers that say utf-8 of every file are common.
- Where header and document disagree and the bytes fit both, the guess decides between them.
- ISO-8859-1, which servers and editors say by default, is not believed of bytes that are plainly in another script.
"""

from __future__ import annotations

import codecs
import re
from dataclasses import dataclass
from urllib.parse import urlsplit

from corpus.errors import PermanentError
from ingest.extract.charset_guess import contradicts_latin, guess_encoding
from ingest.extract.web_encodings import (
    ISO_2022_JP,
    REPLACEMENT,
    UTF_8,
    UTF_16BE,
    UTF_16LE,
    WINDOWS_1252,
    declared_encodings,
    decoded,
    encoding_named,
)

_BOMS = ((codecs.BOM_UTF8, UTF_8), (codecs.BOM_UTF16_LE, UTF_16LE), (codecs.BOM_UTF16_BE, UTF_16BE))
_MULTI_BYTE = {"gb18030", "big5", "shift_jis", "euc-jp", "euc-kr"}
_LEADING_BYTES = bytes(range(0xC2, 0xF5))
_AFTER_CAPITAL = re.compile(rb"[A-Z][\xc2-\xf4]")
_LATIN_WORD = re.compile("[A-Za-z\u00c0-\u024f]*[\u00c0-\u024f][A-Za-z\u00c0-\u024f]*")
_SHIFT = re.compile(rb"\x1b\$[@B(]|\x1b\([IJ]")  # the escape sequences of ISO-2022-JP to characters beyond ASCII
_BROKEN_PER_SOUND = 5  # a stray bad byte is the page's fault, but most of what isn't ASCII broken is the claim's

_BINARY_MAGIC = (b"%PDF-", b"\x89PNG", b"GIF8", b"\xff\xd8\xff", b"PK\x03\x04", b"\x1f\x8b", b"BZh", b"\x7fELF", b"wOF", b"RIFF")
_NOT_TEXT = re.compile("[\x00-\x08\x0b\x0e-\x1a\x1c-\x1f\x7f\ufffd]")
_SAMPLE_CHARS = 64_000
_MAX_NOT_TEXT_SHARE = 0.01


def decode(body: bytes, *, charset: str | None, markup: bool, url: str = "") -> str:
    """Decode a document.

    Args:
        charset: the HTTP header's claim, any label of the WHATWG Encoding Standard; others are passed over.
        markup: let a ``<meta>`` or XML declaration speak.
        url: where the body came from; its top-level domain helps where bytes without a label are too few to tell.

    Returns:
        The text, without byte order mark and lone surrogates; U+FFFD stands for what could not be decoded.

    Raises:
        PermanentError: reason ``not_text``: the bytes are binary, whatever their label says; ``unsupported_charset``: they are in
            an encoding that no browser reads.
    """
    text = "" if body.startswith(_BINARY_MAGIC) else _decode(body, charset, markup, url)
    sample = text[:_SAMPLE_CHARS]
    if (body and not text) or len(_NOT_TEXT.findall(sample)) > max(2, len(sample) * _MAX_NOT_TEXT_SHARE):
        raise PermanentError("The body is binary data, not text. Give the address of an HTML or text page.", reason="not_text")
    return text


def _decode(body: bytes, charset: str | None, markup: bool, url: str) -> str:
    for mark, encoding in _BOMS:
        if body.startswith(mark):
            return decoded(body[len(mark) :], encoding)
    if b"\0" in body and (utf_16 := _utf_16_without_mark(body)):
        return decoded(body, utf_16)
    declared = declared_encodings(body) if markup else ()
    claims = [name for name in dict.fromkeys((encoding_named(charset), *declared)) if name]
    if body.isascii() and not _is_shifted(body):
        return body.decode("ascii")
    if body.isascii() and _SHIFT.search(body):  # no other encoding has these, and UTF-8 would show their bytes as letters
        claims = [name for name in claims if name in (ISO_2022_JP, REPLACEMENT)]
    utf_8 = _Utf8.read(body)
    if utf_8.outweighs(claims[0] if claims else None):
        return utf_8.text
    if claims and claims[0] == REPLACEMENT:
        raise PermanentError(
            "The page is in an encoding that no browser reads, such as ISO-2022-KR or HZ. Serve it as UTF-8.",
            reason="unsupported_charset",
        )
    sound = {name: text for name in claims if (text := _sound(body, name)) is not None}
    domain = _top_level_domain(url)
    if sound.keys() == {WINDOWS_1252} and contradicts_latin(body, top_level_domain=domain):
        sound.clear()
    if len(set(sound.values())) == 1:
        return next(iter(sound.values()))
    if not sound and utf_8.fits and not body.isascii():
        return utf_8.text
    guess = guess_encoding(body, top_level_domain=domain)
    return sound.get(guess) or _nearest(decoded(body, guess), list(sound.values()))


def _nearest(guessed: str, claimed: list[str]) -> str:
    """Of the texts that the claims give, the one most like the guessed text, for the guess may be a sibling of a claim, as KOI8-U
    is of KOI8-R; without claims the guessed text itself."""
    return max(claimed, key=lambda text: sum(map(str.__eq__, text, guessed)), default=guessed)


@dataclass(frozen=True, slots=True)
class _Utf8:
    """A body read as UTF-8. ``sequences`` of several bytes were sound, ``broken`` ones not."""

    body: bytes
    text: str
    sequences: int
    broken: int

    @classmethod
    def read(cls, body: bytes) -> _Utf8:
        try:
            text, read_bytes = codecs.utf_8_decode(body, "strict", False)
        except UnicodeDecodeError:
            text = body.decode("utf-8", errors="replace")
            broken = text.count("\ufffd")
            return cls(body, text, sum(1 for char in text if char > "\x7f") - broken, broken)
        sequences = read_bytes - len(body[:read_bytes].translate(None, _LEADING_BYTES))
        cut_off = int(read_bytes < len(body) and not sequences)  # after others, the last character was only cut
        return cls(body, text, sequences, cut_off)

    @property
    def fits(self) -> bool:
        return self.broken * _BROKEN_PER_SOUND < self.sequences + self.broken or not self.broken

    def outweighs(self, claim: str | None) -> bool:
        """Whether the bytes are UTF-8 whatever is claimed.

        Two sequences don't come about by chance in a text of a single-byte encoding. One can: ``CAFÉ»`` in windows-1252 is valid
        UTF-8. In the encodings of two bytes a character some pairs are valid UTF-8, so a few of them prove nothing, unless
        they are the three bytes of an East Asian character or of a typographic mark, or all stand in words of the Latin script.
        """
        if claim == UTF_8 or not self.sequences:
            return claim == UTF_8 and self.fits
        if self.broken:
            return self.sequences >= 4 and self.fits
        if claim in _MULTI_BYTE:
            return self.sequences >= 4 or (self.sequences >= 2 and (max(self.text) > "\u07ff" or self._is_latin()))
        return self.sequences >= 2 or not _AFTER_CAPITAL.search(self.body)

    def _is_latin(self) -> bool:
        """Whether all characters beyond ASCII stand in words that have as many letters of ASCII."""
        accented = 0
        for word in _LATIN_WORD.findall(self.text):
            beyond = sum(1 for char in word if char > "\x7f")
            accented += beyond if beyond * 2 <= len(word) else 0
        return accented == self.sequences


def _sound(body: bytes, encoding: str) -> str | None:
    """The body in a claimed encoding, if it fits."""
    if encoding == REPLACEMENT or (encoding in (UTF_16LE, UTF_16BE) and body.count(b" ") * 20 > len(body)):
        return None  # in UTF-16 a blank has a NUL beside it, and what has NULs was seen before
    text = decoded(body, encoding)
    broken = text.count("\ufffd")
    return text if not broken or broken * _BROKEN_PER_SOUND < sum(1 for c in text if c > "\x7f") else None


def _is_shifted(body: bytes) -> bool:
    """Whether ASCII bytes stand for other characters: after ISO 2022's escape sequences, or HZ's ``~{``."""
    return b"\x1b" in body or b"~{" in body


def _utf_16_without_mark(body: bytes) -> str | None:
    """UTF-16 by its NULs: half of the bytes of Latin text, and those of the blanks and tags of any other."""
    even, odd = body[0::2].count(0), body[1::2].count(0)
    if len(body) % 2 == 0 and max(even, odd) * 20 > len(body) and min(even, odd) * 20 < max(even, odd):
        return UTF_16LE if odd > even else UTF_16BE
    return None


def _top_level_domain(url: str) -> str:
    try:
        host = urlsplit(url).hostname or ""
    except ValueError:
        host = ""
    return host.rpartition(".")[2]
