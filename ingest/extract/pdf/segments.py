"""Takes the text of a PDF page apart into segments: words on one line without a wide gap between them, with their place.

Two calls of PDFium a word give its place; characters are asked for one by one only where a word's first and last character
differ in height, as a number and its exponent do.
"""

from __future__ import annotations

import ctypes
import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import pairwise

import pypdfium2 as pdfium
import pypdfium2.raw as pdfium_c

from ingest.extract.pdf.rules import Rules

_FIXED_PITCH_FLAG = 1  # ISO 32000-1, table 123
_CODE_FONTS = re.compile(
    r"mono|nimbusmon|courier|consol|(?:cm|ec|sf|tx|pl|lm)tt|typewriter|menlo|source\s?code|fira\s?code|cascadia|lettergothic|andale"
    r"|inconsolat|dejavusansm|-tt\b",
    re.IGNORECASE,
)
_FORCE_BOLD_FLAG = 1 << 18
_BOLD_FONTS = re.compile(r"bold|black|heavy|demi|cmbx|[-,]bd", re.IGNORECASE)
# A word, or the ends of lines. U+0002 and U+FFFE are how PDFium marks a word broken at the end of a line.
_TOKEN = re.compile("[^\\s\\x02\\ufffe]+[\\x02\\ufffe]?|[\\r\\n]+")
_ENDS_LINE = "\r\n\x02\ufffe"
_WIDE_GAP = 1.0  # of the type size; words of justified text stand nearer to each other
_WIDER_THAN_USUAL = 2.2  # times the usual gap of the line
_RAISED = 0.2  # of the height of what stands before: a superscript's least shift
_SMALLER = 0.92
_EXPONENT = re.compile(r"[-+−–]?\d+(?:[.,/]\d+)?|[a-zA-Zα-ωΑ-Ω]|[-+−–]?[\da-zA-Z]{1,3}[-+−–][\da-zA-Z]{1,3}")
_MAX_UNIT_LETTERS = 3  # "km" takes an exponent; after a longer word a raised number is the mark of a note
_LAST_LETTERS = re.compile(r"[^\W\d_]+$")


@dataclass(slots=True)
class Word:
    """Distances in points from the page's left and upper edge; ``top`` < ``bottom``. The box is as high as its font."""

    text: str
    left: float
    right: float
    top: float
    bottom: float
    is_raised: bool = False  # smaller than the word before, directly behind it and above its line
    is_struck: bool = False


@dataclass(slots=True)
class Segment:
    """``order``: the how-manieth that is drawn on its page."""

    words: list[Word]
    size: float
    order: int
    is_bold: bool = False
    is_code: bool = False
    is_turned: bool = False

    baseline: float | None = None
    left: float = field(init=False)
    right: float = field(init=False)
    top: float = field(init=False)
    bottom: float = field(init=False)
    middle: float = field(init=False)

    def __post_init__(self) -> None:
        first, last = self.words[0], self.words[-1]
        self.left = min(first.left, last.left)  # either may be first: writing goes from the right too
        self.right = max(first.right, last.right)
        if self.baseline is None:
            self.top, self.bottom = min(word.top for word in self.words), max(word.bottom for word in self.words)
        else:  # the boxes of fonts differ in height; lines are as far apart as their baselines
            self.top, self.bottom = self.baseline - 0.8 * self.size, self.baseline + 0.2 * self.size
        self.middle = (self.top + self.bottom) / 2

    @property
    def text(self) -> str:
        return _code_text(self) if self.is_code else _prose_text(self.words)


Box = tuple[float, float, float, float]  # left, top, right, bottom


@dataclass(slots=True)
class _Place:
    """Which characters a word is made of, and where the first and the last of them stand."""

    start: int
    end: int
    first: Box
    last: Box


def page_segments(text_page: pdfium.PdfTextPage, *, height: float, rules: Rules) -> list[Segment]:
    """The segments of a page in the order that they are drawn."""
    found: list[Segment] = []
    for words, places in _lines(text_page, height):
        for first, last in _parts(words, places, text_page):
            segment = _segment(text_page, words[first:last], places[first:last], len(found), height)
            if not segment.is_turned:
                _mark_struck(segment, rules)
            found.append(segment)
    return found


def _lines(text_page: pdfium.PdfTextPage, height: float) -> Iterator[tuple[list[Word], list[_Place]]]:
    """The words of each line as PDFium sees it, and which characters each is made of."""
    words: list[Word] = []
    places: list[_Place] = []
    for token in _TOKEN.finditer(_page_text(text_page)):
        text = token[0]
        if text[0] not in "\r\n":
            start, end = token.span()
            first = _box(text_page, start, height)
            last = _box(text_page, end - 1, height) if end - start > 1 else first
            words.append(_word(text.replace("\x02", "\xad").replace("\ufffe", "\xad"), first, last))
            places.append(_Place(start, end - 1, first, last))
        if words and text[-1] in _ENDS_LINE:
            yield words, places
            words, places = [], []
    if words:
        yield words, places


def _page_text(text_page: pdfium.PdfTextPage) -> str:
    """The characters of a page, each at its index; all at once where PDFium's text holds as many."""
    count = text_page.count_chars()
    buffer = (ctypes.c_ushort * (count + 1))()
    pdfium_c.FPDFText_GetText(text_page.raw, 0, count, buffer)
    text = bytes(buffer)[: 2 * count].decode("utf-16-le", errors="surrogatepass")
    if len(text) == count and "\0" not in text:
        return text
    codes = (pdfium_c.FPDFText_GetUnicode(text_page.raw, i) for i in range(count))
    return "".join(chr(code) if 0 < code < 0x110000 else "\ufffd" for code in codes)


def _box(text_page: pdfium.PdfTextPage, i: int, height: float) -> Box:
    rect = pdfium_c.FS_RECTF()
    if not pdfium_c.FPDFText_GetLooseCharBox(text_page.raw, i, rect):
        return 0.0, 0.0, 0.0, 0.0
    return rect.left, height - rect.top, rect.right, height - rect.bottom


def _word(text: str, first: Box, last: Box) -> Word:
    return Word(text, min(first[0], last[0]), max(first[2], last[2]), min(first[1], last[1]), max(first[3], last[3]))


def _parts(words: list[Word], places: Sequence[_Place], text_page: pdfium.PdfTextPage) -> Iterator[tuple[int, int]]:
    """Where a line divides at wide gaps, and where it is none: text that PDFium joined though it stands elsewhere."""
    gaps = sorted(max(0.0, _gap(before, after)) for before, after in pairwise(words))
    usual = gaps[len(gaps) // 4] if gaps else 0.0
    start = 0
    is_code = _font(text_page, places[0].start).is_fixed_pitch and _font(text_page, places[-1].end).is_fixed_pitch
    for i in range(1, len(words)):
        before, after = words[i - 1], words[i]
        size = max(1.0, (before.bottom - before.top) * 0.85)
        gap = _gap(before, after)
        is_elsewhere = after.top >= before.bottom - 0.1 * size or after.bottom <= before.top + 0.1 * size
        if is_elsewhere or (gap > _WIDE_GAP * size and gap > _WIDER_THAN_USUAL * min(usual, 0.5 * size) and not is_code):
            yield start, i
            start = i
    yield start, len(words)


def _gap(before: Word, after: Word) -> float:
    """How far apart two words stand, whichever is on the left."""
    return max(after.left - before.right, before.left - after.right)


def _segment(text_page: pdfium.PdfTextPage, words: list[Word], places: Sequence[_Place], order: int, height: float) -> Segment:
    middle = len(words) // 2
    sample = places[middle].start
    angle = pdfium_c.FPDFText_GetCharAngle(text_page.raw, sample)
    is_turned = 0.1 < angle % math.pi < math.pi - 0.1 if angle >= 0 else False
    sizes = sorted(_type_size(text_page, i) for i in (places[0].start, sample, places[-1].start))
    size = sizes[1]
    fonts = [_font(text_page, i) for i in (places[0].start, sample, places[-1].end)]
    baseline = None
    if not is_turned:
        words = _with_exponents(text_page, words, places, height)
        baseline = _baseline(text_page, sample, height)
    return Segment(
        words=words,
        size=size,
        order=order,
        is_bold=fonts[1].is_bold if fonts[1].has_name else pdfium_c.FPDFText_GetFontWeight(text_page.raw, sample) >= 600,
        is_code=all(font.is_fixed_pitch for font in fonts),
        is_turned=is_turned,
        baseline=baseline,
    )


def _baseline(text_page: pdfium.PdfTextPage, i: int, height: float) -> float | None:
    x, y = ctypes.c_double(), ctypes.c_double()
    return height - y.value if pdfium_c.FPDFText_GetCharOrigin(text_page.raw, i, x, y) else None


def _with_exponents(text_page: pdfium.PdfTextPage, words: list[Word], places: Sequence[_Place], height: float) -> list[Word]:
    """The words, divided where a smaller and higher part begins or ends."""
    found: list[Word] = []
    base: Box | None = None  # of the last character that stands on the line
    for word, place in zip(words, places, strict=True):
        first, last = place.first, place.last
        if not (_is_higher(first, last) or _is_higher(last, first) or (base is not None and _is_raised(first, base))):
            found.append(word)
            base = last
            continue
        pieces: list[tuple[bool, list[int], list[Box]]] = []
        for char in range(place.start, place.end + 1):
            box = _box(text_page, char, height)
            raised = base is not None and _is_raised(box, base)
            if not raised:
                base = box
            if not pieces or pieces[-1][0] != raised:
                pieces.append((raised, [], []))
            pieces[-1][1].append(char - place.start)
            pieces[-1][2].append(box)
        if len(word.text) != place.end - place.start + 1 or (len(pieces) == 1 and not pieces[0][0]):
            found.append(word)
            continue
        for raised, indexes, boxes in pieces:
            text = word.text[indexes[0] : indexes[-1] + 1]
            top, bottom = min(box[1] for box in boxes), max(box[3] for box in boxes)
            found.append(Word(text, boxes[0][0], boxes[-1][2], top, bottom, is_raised=raised))
    return found


def _is_raised(box: Box, base: Box) -> bool:
    return _is_higher(box, base) and box[0] - base[2] < 0.3 * (base[3] - base[1])


def _is_higher(box: Box, base: Box) -> bool:
    """Whether a character is smaller and stands higher, as a superscript does."""
    height, base_height = box[3] - box[1], base[3] - base[1]
    return 0 < height < _SMALLER * base_height and base[3] - box[3] > _RAISED * base_height


def _mark_struck(segment: Segment, rules: Rules) -> None:
    """Words through whose middle a line goes that is no longer than they are."""
    height = segment.bottom - segment.top
    if height <= 0:
        return
    for rule in rules.across(segment.top + 0.35 * height, segment.bottom - 0.32 * height, segment.left, segment.right):
        struck = [word for word in segment.words if rule.left < (word.left + word.right) / 2 < rule.right]
        if struck and rule.left > struck[0].left - 0.3 * height and rule.right < struck[-1].right + 0.3 * height:
            for word in struck:
                word.is_struck = True


def _prose_text(words: Sequence[Word]) -> str:
    text = ""
    is_struck = False
    for place, word in enumerate(words):
        joined = word.is_raised or (place > 0 and words[place - 1].is_raised and word.left - words[place - 1].right < 0.5)
        if is_struck and not word.is_struck:
            text += "~~"
        if place and not joined:
            text += " "
        if word.is_struck and not is_struck:
            text += "~~"
        is_struck = word.is_struck
        text += _raised(word.text, text) if word.is_raised and place else word.text
    return f"{text}~~" if is_struck else text


def _raised(text: str, before: str) -> str:
    """A superscript as what it means: an exponent, the mark of a note, or the end of "1st"."""
    letters = _LAST_LETTERS.search(before)
    if text.isdigit() and ((letters and len(letters[0]) > _MAX_UNIT_LETTERS) or before[-1:] in ".,;:!?”\"'’"):
        return f"[{text}]"
    if _EXPONENT.fullmatch(text) and before[-1:] and (before[-1].isalnum() or before[-1] in ")]}"):
        return f"^{text}"
    return text


def _code_text(segment: Segment) -> str:
    """Code with as many spaces as the page leaves room for."""
    words = segment.words
    chars = sum(len(word.text) for word in words)
    pitch = sum(word.right - word.left for word in words) / chars if chars else 0.0
    text = words[0].text
    for before, after in pairwise(words):
        spaces = round((after.left - before.right) / pitch) if pitch > 0.5 else 1
        text += " " * max(1, min(spaces, 200)) + after.text
    return text


def _type_size(text_page: pdfium.PdfTextPage, i: int) -> float:
    """In points as drawn, to the half: the font's size and the scale of the text's matrix."""
    matrix = pdfium_c.FS_MATRIX()
    scale = math.hypot(matrix.c, matrix.d) if pdfium_c.FPDFText_GetMatrix(text_page.raw, i, matrix) else 1.0
    size = pdfium_c.FPDFText_GetFontSize(text_page.raw, i) * (scale or 1.0)
    return round(2 * size) / 2 if math.isfinite(size) else 0.0


@dataclass(frozen=True, slots=True)
class _Font:
    """Its name says best whether it is bold: the weight that PDFium gives is guessed from the width of a stem."""

    has_name: bool
    is_fixed_pitch: bool
    is_bold: bool


def _font(text_page: pdfium.PdfTextPage, i: int) -> _Font:
    flags = ctypes.c_int()
    name = ctypes.create_string_buffer(128)
    length = pdfium_c.FPDFText_GetFontInfo(text_page.raw, i, name, 128, flags)
    return _font_of(name.value if length else b"", flags.value)


@lru_cache(maxsize=512)
def _font_of(name: bytes, flags: int) -> _Font:
    text = name.decode("latin-1")
    return _Font(
        has_name=bool(text),
        is_fixed_pitch=bool(flags & _FIXED_PITCH_FLAG) or bool(_CODE_FONTS.search(text)),
        is_bold=bool(flags & _FORCE_BOLD_FLAG) or bool(_BOLD_FONTS.search(text)),
    )
