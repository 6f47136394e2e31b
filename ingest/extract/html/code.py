"""Reads blocks of code to the letter, whatever a highlighter made of them.

Line numbers are known by what they hold, digits alone, and never by a class alone: PrismJS asks for line numbers by a class
on the element that holds the code. Tried on the markup of Prism, Pygments, highlight.js, Shiki, Rouge, Chroma, VuePress,
VitePress, Docusaurus, Expressive Code, react-syntax-highlighter, SyntaxHighlighter, GitHub, Doxygen.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import islice, pairwise

from lxml import etree
from lxml.html import HtmlElement

from ingest.extract.html.elements import BLOCKS, CELLS, SKIPPED, VERBATIM, is_visually_hidden, names_of, word_set
from ingest.extract.html.mathml import formula_text

_GUTTER = re.compile(
    r"line-?_?no(?![a-z])|line-?_?nos|line-?_?nums?(?![a-z])|line-?_?numbers?|linenodiv|gutter|blob-num|crayon-num|(?:^|[\s_-])(?:lnt?|gl|nums)(?=$|[\s_-])",
    re.IGNORECASE,
)
_NO_GUTTER = re.compile(r"(?:^|[\s_-])code(?=$|\s)", re.IGNORECASE)
_UNSELECTABLE = re.compile(r"user-select\s*:\s*none", re.IGNORECASE)
_SET_APART_STYLE = re.compile(r"padding|margin|user-select|width", re.IGNORECASE)
_NUMBER_NAME = re.compile(r"num|(?:^|[\s_-])(?:m[bfhio]?|il|literal|constant|integer|c1|token)(?=$|[\s_-])", re.IGNORECASE)
_MAX_LINE_NUMBER_DIGITS = 9
_NOT_NUMBERS = re.compile(r"[^\d\s.:|]")
_LINE = re.compile(r"(?:^|[\s_-])line(?=$|\s)", re.IGNORECASE)
_LINE_STYLE = re.compile(r"(?:^|[;\s])display\s*:\s*(?:block|grid|flex|table-row)\s*(?:[;!]|$)", re.IGNORECASE)
_LINE_TAGS = word_set("span code a mark ins del")

# Boxes of code that hold no <pre>.
_CODE_BOXES = word_set("fragment syntaxhighlighter crayon-main crayon-syntax")
_CODE_CELLS = word_set("blob-code hljs-ln-code rouge-code crayon-code")
_BLOCK_CODE = word_set("block d-block code-block codeblock block-code")
_INLINE_CODE = word_set("code samp kbd tt")
_CODE_FRAME = re.compile(
    r"(?:^|[\s_-])(?:highlight|codehilite|sourcecode|source-code|code-?block|code-example|listingblock)(?=$|\s)", re.I
)
_PREFORMATTED = re.compile(r"white-space\s*:\s*(?:pre(?:-wrap|-line)?|break-spaces)\s*(?:[;!]|$)", re.IGNORECASE)
_ROW_TAGS = word_set("table tbody thead tr")
_PROSE = ("p", "ul", "ol", "dl", "table", "blockquote", "h1", "h2", "h3", "h4", "h5", "h6")

_LABEL = re.compile(
    r"(?:^|[\s_-])(?:lang|language|lang(?:uage)?-?(?:name|label|tag|badge)|code-?lang(?:uage)?|toolbar(?:-item)?)(?=$|\s)",
    re.IGNORECASE,
)
_COPY = re.compile(
    r"(?:^|[\s_-])(?:copy|clipboard|copybtn|copied)(?=$|[\s_-])|(?:copy|clipboard)-?_?(?:button|btn|icon|code)", re.IGNORECASE
)
_COPY_TEXT = re.compile(
    r"\W*(?:copy|copied|copier|copié|kopieren|kopiert|copiar|copiado|copia|コピー|复制|複製)"
    r"(?:\s+(?:code|link|text|snippet|(?:to|in|en|al?)\s+\w+))?\W*",
    re.IGNORECASE,
)
_MAX_LABEL_CHARS = 24

_LANGUAGE = re.compile(
    r"(?:^|\s)(?:language|lang|highlight-source|highlight-text-html|highlight)-(?P<dashed>[\w+#.-]+)"
    r"|(?:^|\s)brush:\s*(?P<brush>[\w+#-]+)|(?:^|\s)(?:sourceCode|hljs|syntaxhighlighter)\s+(?!lang(?:uage)?-)(?P<second>[\w+#-]+)",
    re.IGNORECASE,
)
_NAME = re.compile(r"[a-z][a-z0-9+#._-]{0,23}")
_NO_LANGUAGE = word_set(
    "text plaintext plain txt none default nohighlight no-highlight notranslate auto unknown undefined output code lines line "
    "wrapper container block box nogutter ie"
)
_LANGUAGE_ATTRIBUTES = ("data-lang", "data-language", "data-enlighter-language", "data-code-lang")


def is_code_block(element: HtmlElement) -> bool:
    """Whether an element holds a block of code, whose line breaks and spaces count."""
    tag = element.tag
    if tag in VERBATIM:
        return True
    if tag in _INLINE_CODE:
        return _is_block_of_inline_code(element)
    if tag not in ("div", "table") or not element.attrib:
        return False
    names = names_of(element)
    if tag == "table":
        first = islice(element.iter("td"), 4)
        return any(names_of(cell) & _CODE_CELLS for cell in first) and not _holds(element, VERBATIM)
    if not names.isdisjoint(_CODE_BOXES):
        return not _holds(element, VERBATIM)
    if not _CODE_FRAME.search(element.get("class", "")) or _holds(element, (*VERBATIM, *_PROSE)):
        return False
    return _holds_lines(element) or _is_alone(element)


def _is_block_of_inline_code(element: HtmlElement) -> bool:
    style = element.get("style", "")
    if style and _LINE_STYLE.search(style):
        return True
    if not _BLOCK_CODE.isdisjoint(names_of(element)):
        return True
    has_lines = element.find(".//br") is not None or (bool(_PREFORMATTED.search(style)) and "\n" in "".join(element.itertext()))
    parent = element.getparent()
    return has_lines and parent is not None and parent.tag in BLOCKS and _is_only_content(element, parent)


def _is_only_content(element: HtmlElement, parent: HtmlElement) -> bool:
    return len(parent) == 1 and not (parent.text or "").strip() and not (element.tail or "").strip()


def _is_alone(frame: HtmlElement) -> bool:
    """Whether all that a frame for code holds is one ``code`` element."""
    return len(frame) == 1 and frame[0].tag in _INLINE_CODE and _is_only_content(frame[0], frame)


def _holds_lines(frame: HtmlElement) -> bool:
    return sum(1 for node in islice(frame, 2) if _LINE.search(node.get("class", ""))) == min(2, len(frame)) > 0


def _holds(element: HtmlElement, tags: tuple[str, ...] | frozenset[str]) -> bool:
    return next(element.iterdescendants(*tags), None) is not None


def verbatim(element: HtmlElement) -> str:
    """Code as it is, freed of line numbers. Where each line is an element, the borders of elements are the line breaks."""
    if not len(element):
        text = element.text or ""
        return text if element.tag in VERBATIM else text.replace("\u00a0", " ")
    lines = _Lines()
    gutters = _gutters(element)
    is_box = element.tag not in VERBATIM and element.tag not in _INLINE_CODE
    skipped: set[HtmlElement] = set()
    walk = etree.iterwalk(element, events=("start", "end"))
    for event, node in walk:
        if event == "start":
            if node is not element and (
                node in gutters
                or node.tag in SKIPPED
                or node.tag == "button"
                or _is_copy_control(node)
                or is_visually_hidden(node)
            ):
                skipped.add(node)
                walk.skip_subtree()
            elif node.tag == "math":
                lines.write(formula_text(node))
                skipped.add(node)
                walk.skip_subtree()
            elif node.tag == "br":
                lines.write("\n")
            else:
                if node is not element and _is_line(node):
                    lines.open()
                if node.text and not (is_box and _is_between(node.text, node)):
                    lines.write(node.text)
        elif node is not element:
            if node not in skipped and _is_line(node):
                lines.close()
            if node.tail and not (is_box and _is_between(node.tail, node.getparent())):
                lines.write(node.tail)
    text = lines.text()
    return text if element.tag in VERBATIM else text.replace("\u00a0", " ")


def _is_between(text: str, parent: HtmlElement) -> bool:
    """Whether a text is the white space of the markup between lines or cells."""
    is_frame = parent.tag in _ROW_TAGS or (parent.tag == "div" and not _LINE.search(parent.get("class", "")))
    return is_frame and text.isspace()


class _Lines:
    """Joins texts and the borders of lines: a border breaks the line unless a line break stands there anyway."""

    def __init__(self) -> None:
        self._parts: list[str] = []
        self._is_pending = False  # a line has ended, and its break is not written
        self._is_empty = False  # the line that was opened last

    def write(self, text: str) -> None:
        if not text:
            return
        if self._is_pending and not text.startswith(("\n", "\r")):
            self._parts.append("\n")
        self._is_pending = self._is_empty = False
        self._parts.append(text)

    def open(self) -> None:
        if self._is_pending or (self._parts and not self._parts[-1].endswith("\n")):
            self._parts.append("\n")
        self._is_pending = False
        self._is_empty = True

    def close(self) -> None:
        if self._is_empty or not (self._parts and self._parts[-1].endswith("\n")):
            self._is_pending = True
        self._is_empty = False

    def text(self) -> str:
        return "".join(self._parts)


def _is_line(node: HtmlElement) -> bool:
    """Whether an element within code is one of its lines."""
    tag = node.tag
    if tag in BLOCKS:
        return tag not in CELLS
    if tag not in _LINE_TAGS:
        return False
    if tag == "code" and node.getparent().tag in VERBATIM:
        before, after = node.getprevious(), node.getnext()
        if (before is not None and before.tag == "code" and not before.tail) or (
            after is not None and after.tag == "code" and not node.tail
        ):
            return True
    if not node.attrib:
        return False
    style = node.get("style")
    return (
        bool(_LINE.search(node.get("class", "")))
        or node.get("data-line") is not None
        or (bool(style) and bool(_LINE_STYLE.search(style)))
    )


def _gutters(root: HtmlElement) -> set[HtmlElement]:
    """The elements under ``root`` that hold line numbers: digits alone, in one pass."""
    found: set[HtmlElement] = set()
    counted: list[tuple[HtmlElement, int]] = []  # elements at the beginning of a line that hold a number alone
    holds_other = [False]  # for each open element, whether it holds anything but numbers
    lines, begins_line = 1, True
    for event, node in etree.iterwalk(root, events=("start", "end")):
        if event == "start":
            text = node.text or ""
            holds_other.append(bool(_NOT_NUMBERS.search(text)))
            if begins_line and node is not root and _is_number_beside_line(node, text.strip()):
                counted.append((node, int(text)))
        else:
            is_other = holds_other.pop()
            if not is_other and _may_be_gutter(node):
                found.add(node)
            text = (node.tail or "") if node is not root else ""
            holds_other[-1] = holds_other[-1] or is_other or bool(_NOT_NUMBERS.search(text))
        if text:
            lines += text.count("\n")
            begins_line = text.endswith("\n")
    numbers = [number for _, number in counted]
    if holds_other[0] and len(numbers) > 1 and len(numbers) >= lines - 1 and all(b - a == 1 for a, b in pairwise(numbers)):
        found.update(node for node, _ in counted)  # of Pygments without classes
    return found


def _is_number_beside_line(node: HtmlElement, text: str) -> bool:
    """Whether an element holds one number and is set apart from the code, as no highlighter sets a number of the code itself."""
    if len(node) or not text.isdecimal() or len(text) > _MAX_LINE_NUMBER_DIGITS:
        return False
    classes, style = node.get("class", ""), node.get("style", "")
    return not _NUMBER_NAME.search(classes) if classes else bool(_SET_APART_STYLE.search(style))


def _may_be_gutter(node: HtmlElement) -> bool:
    if node.tag == "td" and node.getprevious() is None and node.getnext() is not None:
        return True
    if not node.attrib:
        return False
    classes, style = node.get("class", ""), node.get("style", "")
    if classes and _GUTTER.search(classes):
        return not _NO_GUTTER.search(classes)
    return bool(style) and bool(_UNSELECTABLE.search(style))


def is_gutter(element: HtmlElement) -> bool:
    """Whether an element beside code holds its line numbers: it is named so and holds digits alone."""
    classes = element.get("class", "")
    return bool(classes) and bool(_GUTTER.search(classes)) and not _NO_GUTTER.search(classes) and holds_numbers(element)


def holds_numbers(element: HtmlElement) -> bool:
    """Whether all text under an element is digits."""
    return not any(_NOT_NUMBERS.search(text) for text in element.itertext())


def code_cells(rows: list[list[HtmlElement]]) -> list[HtmlElement]:
    """The cells of a table that sets code beside its line numbers, without the numbers; none for any other table."""
    is_code = any(
        len(row) > 1
        and holds_numbers(row[0])
        and bool("".join(islice(row[0].itertext(), 20)).strip())
        and _holds(row[1], VERBATIM)
        for row in islice(rows, 3)
    )
    if not is_code:
        return []
    return [cell for row in rows for place, cell in enumerate(row) if place or len(row) == 1 or not holds_numbers(cell)]


def is_code_label(element: HtmlElement) -> bool:
    """Whether an element beside code only names its language, or copies it: what the page's tools have put there."""
    if not element.attrib or (element.tag not in ("span", "div", "p", "a", "figcaption", "small", "label")):
        return False
    classes = element.get("class", "")
    if not classes:
        return False
    if _is_copy_control(element):
        return True
    is_label = bool(_LABEL.search(classes)) and _is_short(element) and not _holds(element, ("code", *VERBATIM))
    return is_label and _stands_beside_code(element)


def _is_copy_control(element: HtmlElement) -> bool:
    classes = element.get("class", "")
    if not classes or not _COPY.search(classes) or not _is_short(element):
        return False
    text = "".join(element.itertext()).strip()
    return not text or bool(_COPY_TEXT.fullmatch(text))


def _is_short(element: HtmlElement) -> bool:
    within = list(islice(element.iter(), 12))
    return len(within) < 12 and len("".join(element.itertext()).strip()) <= _MAX_LABEL_CHARS


def _stands_beside_code(element: HtmlElement) -> bool:
    for above in islice(element.iterancestors(), 3):
        if any(near.tag in VERBATIM or (near is not element and _has_code_first(near)) for near in islice(above, 8)):
            return True
    return False


def _has_code_first(element: HtmlElement) -> bool:
    return any(node.tag in VERBATIM for node in islice(element.iterdescendants(), 4))


def code_language(element: HtmlElement) -> str:
    """The language that the markup names for a block of code, in lower case; empty if it names none."""
    for node in _named_after(element):
        for name in _LANGUAGE_ATTRIBUTES:
            if (language := _known(node.get(name, ""))) is not None:
                return language
        for found in _LANGUAGE.finditer(node.get("class", "")):
            if (language := _known(found["dashed"] or found["brush"] or found["second"])) is not None:
                return language
    return ""


def _named_after(element: HtmlElement) -> Iterator[HtmlElement]:
    """The elements that may name a block's language: itself, the ``code`` in it, the frames around it alone."""
    yield element
    yield from (node for node in islice(element.iterdescendants(), 12) if node.tag == "code" or node.tag in VERBATIM)
    for above in islice(element.iterancestors(), 3):
        if above.tag in ("body", "main", "article"):
            return
        yield above


def _known(name: str) -> str | None:
    name = name.strip().lower()
    return name if _NAME.fullmatch(name) and name not in _NO_LANGUAGE else None
