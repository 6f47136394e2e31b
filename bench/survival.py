"""``python -m bench.survival SITE_DIR…``: whether code and tables of documentation come through extraction and chunking.

For every HTML page under the folders: does each block of code stand in the page's text to the letter, does each row of a data
table stand there with all its cells in order, and is each in one chunk where it fits into one. What is asked for is read from
the pages by plain means (the text of each ``<pre>`` and of each cell), not by the code that is measured.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from functools import cache, partial
from pathlib import Path

from lxml import etree, html
from lxml.html import HtmlElement
from tokenizers import Tokenizer as HfTokenizer

from bench.extraction.visible_text import stands_in
from bench.report import Goal, Line, Section, table
from bench.site import pages_of
from corpus.chunking import chunk_page
from corpus.errors import PermanentError
from corpus.model import ChunkSpan
from corpus.settings import IndexSettings
from corpus.weights import model_folder
from ingest.extract.document import extract

MIN_CODE_CHARS = 3
_SPACE = re.compile(r"\s+")
_UNSEEN = re.compile("[\xad\u200b]")  # DocBook puts zero-width spaces into long lines of code
_LEFT_OUT = frozenset(("headerlink", "footnote-reference", "footnote"))  # the last two: numbers of notes
_CHROME = ("nav", "header", "footer", "aside", "script", "style", "form")
_CHROME_CLASSES = frozenset(("navheader", "navfooter", "sphinxsidebar", "related", "linenos"))


@dataclass(slots=True)
class Survival:
    """Counts over pages. ``kept``: in the text; ``fits``: no longer than a chunk; ``whole``: of those, in one chunk."""

    pages: int = 0
    unread: Counter[str] = field(default_factory=Counter)
    code: int = 0
    code_kept: int = 0
    code_fits: int = 0
    code_whole: int = 0
    rows: int = 0
    rows_kept: int = 0
    rows_fit: int = 0
    rows_whole: int = 0
    parts: int = 0
    parts_with_header: int = 0
    lost: list[str] = field(default_factory=list)

    def add(self, other: Survival) -> None:
        self.unread += other.unread
        self.lost += other.lost
        for name in ("pages", "code", "code_kept", "code_fits", "code_whole", "rows", "rows_kept", "rows_fit", "rows_whole"):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        self.parts += other.parts
        self.parts_with_header += other.parts_with_header


class ModelTokenizer:
    """The built-in embedder's tokeniser, without its model."""

    max_tokens = 256
    special_tokens = 2

    def __init__(self, embedder: str) -> None:
        self._hf = HfTokenizer.from_file(str(model_folder(embedder) / "tokenizer.json"))
        self._hf.no_truncation()
        self._hf.no_padding()

    def offsets(self, text: str) -> list[tuple[int, int]]:
        return list(self._hf.encode(text, add_special_tokens=False).offsets)


def expected_code(root: HtmlElement) -> list[str]:
    """The code of a page: the text of each ``<pre>``, without the blank lines around it and the break hints nobody sees."""
    found = []
    for element in root.iter("pre"):
        text = re.sub(r"\A(?:[^\S\n]*\n)+", "", "".join(element.itertext())).rstrip()
        text = _UNSEEN.sub("", text)
        if len(text) >= MIN_CODE_CHARS and not _is_chrome(element):
            found.append(text)
    return found


def expected_rows(root: HtmlElement) -> list[list[str]]:
    """The rows of each table with two rows and two columns at least, as the texts of their cells that hold any."""
    found = []
    for element in root.iter("table"):
        if _is_chrome(element) or next(element.iterdescendants("table", "pre"), None) is not None:
            continue
        rows = [row for row in element.iter("tr") if sum(1 for cell in row if cell.tag in ("td", "th")) > 1]
        if len(rows) > 1:
            texts = ([_flat("".join(_cell_texts(cell))) for cell in row if cell.tag in ("td", "th")] for row in rows)
            found += [cells for row in texts if len(cells := [cell for cell in row if cell]) > 1]
    return found


def section(sites: str, found: Survival) -> Section:
    return Section(
        f"{found.pages} pages of {sites}",
        [
            Line("blocks of code, to the letter", *_share(found.code_kept, found.code), Goal("at least", 99, "%")),
            Line("  of those that fit a chunk, whole in one", *_share(found.code_whole, found.code_fits)),
            Line("rows of tables, with all cells", *_share(found.rows_kept, found.rows), Goal("at least", 99, "%")),
            Line("  of those that fit a chunk, whole in one", *_share(found.rows_whole, found.rows_fit)),
            Line("parts of split tables, with their header", *_share(found.parts_with_header, found.parts)),
        ],
        [f"not read: {reason} ({count})" for reason, count in found.unread.items()],
    )


def _share(part: int, whole: int) -> tuple[str, str, float | None]:
    return f"{part} of {whole}", "", 100 * part / whole if whole else None


def _is_chrome(element: HtmlElement) -> bool:
    return any(
        parent.tag in _CHROME or not _CHROME_CLASSES.isdisjoint(parent.get("class", "").split())
        for parent in (element, *element.iterancestors())
    )


def _cell_texts(cell: HtmlElement) -> list[str]:
    """The cell's texts, with a space at each border of an element that isn't inline; without links to itself and note marks."""
    texts: list[str] = []
    walker = etree.iterwalk(cell, events=("start", "end"))
    for event, node in walker:
        space = " " if node.tag in ("p", "div", "li", "ul", "ol", "br", "dl", "dt", "dd") else ""
        if event == "start":
            if not _LEFT_OUT.isdisjoint(node.get("class", "").split()):
                walker.skip_subtree()
                continue
            texts += [space, node.text or ""]
        else:
            texts += [space, "" if node is cell else node.tail or ""]
    return texts


def _flat(text: str) -> str:
    return _SPACE.sub(" ", _UNSEEN.sub("", text)).strip().replace("|", "\\|")


@cache
def _tokenizer(embedder: str) -> ModelTokenizer:
    return ModelTokenizer(embedder)


def check_page(path: Path, *, settings: IndexSettings) -> Survival:
    body = path.read_bytes()
    found = Survival(pages=1)
    try:
        page = extract(body, url=f"http://site.test/{path.name}", content_type="text/html", charset=None).page
    except PermanentError as exc:
        found.unread[exc.reason] += 1
        return found
    tokenizer = _tokenizer(settings.embedder)
    chunks = chunk_page(page, tokenizer=tokenizer, max_tokens=settings.chunk_max_tokens, min_tokens=settings.chunk_min_tokens)
    root = html.document_fromstring(body, parser=html.HTMLParser(encoding="utf-8", huge_tree=True))
    room = settings.chunk_max_tokens - tokenizer.special_tokens
    spans = [page.text[chunk.start : chunk.end] for chunk in chunks]
    for code in expected_code(root):
        found.code += 1
        if code not in page.text:
            found.lost.append(f"{path.name}: {code[:70]!r}")
            continue
        found.code_kept += 1
        # A quarter is what a heading path may take.
        if len(tokenizer.offsets(code)) + 8 <= room * 3 // 4:
            found.code_fits += 1
            found.code_whole += any(code in span for span in spans)
    lines = [line for line in page.text.split("\n") if line.startswith("| ")]
    for cells in expected_rows(root):
        found.rows += 1
        line = next((line for line in lines if stands_in(cells, line)), None)
        if line is None:
            found.lost.append(f"{path.name}: {cells!r}"[:160])
            continue
        found.rows_kept += 1
        if len(tokenizer.offsets(line)) <= room // 2:  # headings and the table's header may take a quarter each
            found.rows_fit += 1
            found.rows_whole += any(line in span for span in spans)
    _count_parts(page.text, chunks, found)
    return found


def _count_parts(text: str, chunks: Sequence[ChunkSpan], found: Survival) -> None:
    """Chunks that begin in the midst of a table with a header."""
    for match in re.finditer(r"^(?P<header>\| .*\|)\n\|(?: --- \|)+(?P<rows>(?:\n\|.*\|)+)", text, re.MULTILINE):
        for chunk in chunks:
            if match.start() < chunk.start < match.end():
                found.parts += 1
                found.parts_with_header += match["header"] in chunk.embed_text


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.survival", description="Check that code and tables survive.")
    parser.add_argument("sites", type=Path, nargs="+", metavar="SITE_DIR", help="a folder of HTML pages")
    parser.add_argument("--lost", type=int, default=0, metavar="N", help="show N of what didn't survive")
    arguments = parser.parse_args()
    sections = []
    with ProcessPoolExecutor() as pool:
        for site in arguments.sites:
            paths = [site / page for page in pages_of(site)]
            if not paths:
                print(f"{site} holds no HTML pages (*.html, *.htm). Name a folder that does.", file=sys.stderr)
                return 1
            found = Survival()
            for survival in pool.map(partial(check_page, settings=IndexSettings()), paths, chunksize=8):
                found.add(survival)
            sections.append(section(str(site), found))
            for lost in found.lost[: arguments.lost]:
                print(lost)
    print(table(sections))
    return 0


if __name__ == "__main__":
    sys.exit(main())
