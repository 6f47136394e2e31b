"""Cuts a page into chunks: contiguous spans of its text that fit the embedder and keep to the page's own structure.

How it goes:

1. The page is tokenised once; from then on the length of any span is the difference of two positions.
2. Blocks are gathered into *sections*, one per heading. A small section is joined with the following ones under the same
   parent until it is worth a chunk; its heading path is then the parent's. A chunk crosses no other heading.
3. A section that is too long is cut between blocks, into parts of even size rather than full ones and a rest. A block that
   leads in the next one ("For example:", a term before its definition) stays with it where that fits.
4. Only a block too long for a chunk of its own is cut: at sentences, rows or blank lines, else at lines, else at white
   space, else between two tokens.

Every chunk is embedded with its heading path, unless its span begins with that heading, and the later parts of a table with
its header row, so that each cell can be told from its column. Tokenisers may count a text
differently than the sum of its parts, so each chunk is counted as it will be embedded, and cut again if it is over.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from corpus.model import Block, BlockKind, ChunkSpan, PageText
from corpus.sentences import sentence_spans
from corpus.settings import IndexSettings

_PREFIX_SHARE = 4  # a quarter of the budget at most tells where a chunk stands, another one what its columns are
_LEAD_IN_TOKENS = 24
_SENTENCE_END = re.compile(r"[.!?。！？…][\"')\]”’»」』）]*$")
_WHITE_SPACE = re.compile(r"\s+")
_BLANK_LINES = re.compile(r"\n(?:[^\S\n]*\n)+")
_HEADER_ROW = re.compile(r"(?P<header>\|.*\|)\n\|(?: --- \|)+(?:\n|\Z)")


class Tokenizer(Protocol):
    """The embedder's own tokeniser."""

    @property
    def max_tokens(self) -> int:
        """The model's input limit, special tokens included."""

    @property
    def special_tokens(self) -> int:
        """How many special tokens each input gets."""

    def offsets(self, text: str) -> list[tuple[int, int]]:
        """Character offsets ``(start, end)`` of the tokens of ``text``, without special tokens and without truncation."""


def chunk_by_settings(page: PageText, *, tokenizer: Tokenizer, settings: IndexSettings) -> list[ChunkSpan]:
    """:func:`chunk_page` as the settings have it."""
    return chunk_page(
        page,
        tokenizer=tokenizer,
        max_tokens=settings.chunk_max_tokens,
        min_tokens=settings.chunk_min_tokens,
        overlap_tokens=settings.chunk_overlap_tokens,
    )


def chunk_page(
    page: PageText, *, tokenizer: Tokenizer, max_tokens: int, min_tokens: int, overlap_tokens: int = 0
) -> list[ChunkSpan]:
    """Chunks in the order of the text. Every non-space character outside headings is in at least one of them.

    Args:
        max_tokens: longest chunk as embedded: heading path and special tokens included. The tokeniser's limit also holds.
        min_tokens: smaller sections under one parent are joined up to this.
        overlap_tokens: how many tokens the parts of a block that had to be cut share; whole lines of code and tables.
    """
    return _Chunker(page, tokenizer, max_tokens, min_tokens, overlap_tokens).chunks()


@dataclass(frozen=True, slots=True)
class _Span:
    """A stretch of the page text. ``path`` holds the headings over it, outermost first, its own included."""

    start: int
    end: int
    path: tuple[Block, ...]


@dataclass(slots=True)
class _Section:
    """Blocks under one heading, or those of joined neighbours; ``start`` takes in the headings that lead them."""

    start: int
    path: tuple[Block, ...]
    parent: tuple[Block, ...]
    blocks: list[Block]

    @property
    def end(self) -> int:
        return self.blocks[-1].end


@dataclass(frozen=True, slots=True)
class _Table:
    """A table with a header row, which is repeated in parts that begin after ``start``."""

    start: int
    end: int
    header: str
    header_tokens: int


class _Chunker:
    def __init__(self, page: PageText, tokenizer: Tokenizer, max_tokens: int, min_tokens: int, overlap_tokens: int) -> None:
        self._page = page
        self._text = page.text
        self._tokenizer = tokenizer
        self._max_tokens = min(max_tokens, tokenizer.max_tokens)
        self._room = max(1, self._max_tokens - tokenizer.special_tokens)
        self._min_tokens = min_tokens
        self._overlap_tokens = min(overlap_tokens, self._room // 8)  # less than any cut leaves
        offsets = tokenizer.offsets(page.text)
        self._token_starts = [start for start, _ in offsets]
        self._token_ends = [end for _, end in offsets]
        self._tables = [table for block in page.blocks if (table := self._table(block))]
        self._table_starts = [table.start for table in self._tables]
        self._prefixes: dict[tuple[str, ...], tuple[str, int]] = {}

    def chunks(self) -> list[ChunkSpan]:
        chunks: list[ChunkSpan] = []
        for section in self._joined(self._sections()):
            for span in self._packed(section):
                for start, end, embed_text, tokens in self._fitted(span):
                    chunks.append(ChunkSpan(len(chunks), start, end, self._heading_texts(span.path), embed_text, tokens))
        return chunks

    # Sections

    def _sections(self) -> Iterator[_Section]:
        """One section per heading that has text under it; headings without text of their own lead the next one."""
        path: tuple[Block, ...] = ()
        leading: list[Block] = []
        section: _Section | None = None
        has_text = any(block.kind is not BlockKind.HEADING for block in self._page.blocks)
        for block in self._page.blocks:
            if has_text and block.kind is BlockKind.HEADING:
                if section:
                    yield section
                    section = None
                path = (*(above for above in path if above.level < block.level), block)
                leading = [*(above for above in leading if above in path), block]
            elif section is None:
                section = _Section(self._lead_start(leading, block), path, path[:-1], [block])
                leading = []
            else:
                section.blocks.append(block)
        if section:
            yield section

    def _lead_start(self, leading: Sequence[Block], first: Block) -> int:
        """Where a section begins: with its headings, but for those too long to leave room for the text."""
        return next((h.start for h in leading if self._count(h.start, first.start) * _PREFIX_SHARE <= self._room), first.start)

    def _joined(self, sections: Iterator[_Section]) -> Iterator[_Section]:
        """Join a section that is too small with those that follow under the same parent, while one chunk holds them."""
        previous: _Section | None = None
        for section in sections:
            if previous is None:
                previous = section
            elif self._belong_together(previous, section):
                previous = self._join(previous, section)
            else:
                yield previous
                previous = section
        if previous:
            yield previous

    def _belong_together(self, first: _Section, second: _Section) -> bool:
        depth = len(first.parent)
        is_related = second.path[:depth] == first.parent and (len(second.path) > depth or not second.path)
        is_small = self._count(first.start, first.end) < self._min_tokens
        return is_related and is_small and self._fits(first.start, second.end, first.parent)

    def _join(self, first: _Section, second: _Section) -> _Section:
        is_descendant = second.path[: len(first.path)] == first.path
        path = first.path if is_descendant else first.parent
        return _Section(first.start, path, first.parent, [*first.blocks, *second.blocks])

    # Blocks

    def _packed(self, section: _Section) -> Iterator[_Span]:
        """Cut a section between its blocks, into spans of about even size."""
        budget = self._room - self._prefix(section.path)[1]
        if self._fits(section.start, section.end, section.path):
            yield _Span(section.start, section.end, section.path)
            return
        total = self._count(section.start, section.end)
        target = total / -(-total // budget)
        start: int | None = section.start
        for i, block in enumerate(section.blocks):
            begin = block.start if start is None else start
            first = self._first_to_defer(section.blocks, i, begin, budget)
            if first and self._load(begin, block.end) > budget:
                yield _Span(begin, section.blocks[first - 1].end, section.path)
                begin = section.blocks[first].start
            if self._load(begin, block.end) > budget:
                *whole, rest = self._cut(begin, block, budget)
                yield from (_Span(a, b, section.path) for a, b in whole)
                begin = rest[0]
            is_enough = self._count(begin, block.end) >= target
            following = section.blocks[i + 1] if i + 1 < len(section.blocks) else None
            if following is None or (is_enough and not self._leads_in(block, following, budget)):
                yield _Span(begin, block.end, section.path)
                start = None
            else:
                start = begin

    def _first_to_defer(self, blocks: Sequence[Block], i: int, begin: int, budget: int) -> int:
        """Where the next span starts if block ``i`` has no room after ``begin``: with its lead-in; 0 if none is left before."""
        with_lead_in = i - 1 if i > 1 and self._leads_in(blocks[i - 1], blocks[i], budget) else i
        return next((first for first in (with_lead_in, i) if first and blocks[first - 1].end > begin), 0)

    def _leads_in(self, block: Block, following: Block, budget: int) -> bool:
        """Whether a short block without a full stop announces the one that follows, and both fit."""
        is_short = block.kind is BlockKind.PARAGRAPH and self._count(block.start, block.end) <= _LEAD_IN_TOKENS
        is_open = is_short and not _SENTENCE_END.search(self._text[block.start : block.end])
        return is_open and self._count(block.start, following.end) <= budget

    def _cut(self, start: int, block: Block, budget: int) -> list[tuple[int, int]]:
        """Cut a block (and the headings before it, from ``start``) into spans of at most ``budget`` tokens."""
        best, lines = self._places_to_cut(block)
        is_lined = block.kind in (BlockKind.CODE, BlockKind.TABLE)  # whose lines stay whole wherever they fit
        spans: list[tuple[int, int]] = []
        while self._load(start, block.end) > budget:
            cut = self._place_to_cut(start, best, lines, budget, is_lined=is_lined)
            spans.append((start, cut))
            overlapping = self._overlap_start(start, cut, lines if is_lined else None)
            is_futile = overlapping < cut and (
                self._load(overlapping, block.end) > budget
                and self._place_to_cut(overlapping, best, lines, budget, is_lined=is_lined) <= cut
            )
            start = cut if is_futile else overlapping
        return [*spans, (start, block.end)]

    def _places_to_cut(self, block: Block) -> tuple[list[int], list[int]]:
        """Where a block may be cut, best: before sentences, rows, or what follows a blank line; and before any line."""
        text = self._text[block.start : block.end]
        lines = [block.start + found.end() for found in re.finditer("\n", text)]
        if block.kind is BlockKind.CODE:
            return [block.start + found.end() for found in _BLANK_LINES.finditer(text)], lines
        if block.kind is BlockKind.TABLE:
            rows = lines[1:] if _HEADER_ROW.match(text) else lines  # a header and its rule are one
            return rows, rows
        return [block.start + a for a, _ in sentence_spans(text)], lines

    def _place_to_cut(self, start: int, best: Sequence[int], lines: Sequence[int], budget: int, *, is_lined: bool) -> int:
        token = self._first_token(start)
        least = self._token_start(token + budget // 4)
        limit = self._token_start(token + budget - self._header_tokens(start))
        whole = self._token_start(token + budget)  # a row that has no room beside its header goes without
        cut = _last_between(best, least, limit) or _last_between(lines, least, limit)
        if not cut and is_lined:
            cut = _last_between(lines, start, limit) or _last_between(lines, start, whole)
        return cut or self._last_space(least, limit) or self._token_cut(start, limit)

    def _last_space(self, least: int, limit: int) -> int | None:
        return max((found.end() for found in _WHITE_SPACE.finditer(self._text, least, limit)), default=None)

    def _token_cut(self, start: int, limit: int) -> int:
        """The last place at or before ``limit`` between two tokens (several may stand for one character), or one token on."""
        token = bisect_left(self._token_starts, limit)
        while token > 0 and self._token_start(token) > start and self._token_ends[token - 1] > self._token_start(token):
            token -= 1
        cut = self._token_start(token)
        if cut > start:
            return cut
        following = bisect_left(self._token_starts, max(limit, start + 1))
        return self._token_start(following)

    def _overlap_start(self, start: int, cut: int, lines: Sequence[int] | None) -> int:
        """The start of a word about ``overlap_tokens`` before the cut, after ``start``; of one of the ``lines`` if given."""
        if not self._overlap_tokens:
            return cut
        earliest = max(self._token_start(max(0, self._first_token(cut) - self._overlap_tokens)), start + 1)
        if lines is not None:
            return next((line for line in lines[bisect_left(lines, earliest) :] if line <= cut), cut)
        space = _WHITE_SPACE.search(self._text, earliest, cut)
        return space.end() if space else cut

    # Counting

    def _first_token(self, position: int) -> int:
        return bisect_left(self._token_starts, position)

    def _token_start(self, token: int) -> int:
        return self._token_starts[token] if token < len(self._token_starts) else len(self._text)

    def _count(self, start: int, end: int) -> int:
        return bisect_left(self._token_starts, end) - bisect_left(self._token_starts, start)

    def _load(self, start: int, end: int) -> int:
        """The tokens of a span, with those of the header row that it needs."""
        return self._count(start, end) + self._header_tokens(start)

    def _fits(self, start: int, end: int, path: tuple[Block, ...]) -> bool:
        return self._count(start, end) + self._prefix(path)[1] <= self._room

    # Context

    def _table(self, block: Block) -> _Table | None:
        found = _HEADER_ROW.match(self._text, block.start, block.end) if block.kind is BlockKind.TABLE else None
        tokens = self._count(block.start, found.end("header")) if found else 0
        is_short = found and tokens * _PREFIX_SHARE <= self._room
        return _Table(block.start, block.end, f"{found['header']}\n", tokens) if found and is_short else None

    def _split_table(self, start: int) -> _Table | None:
        """The table that a span from ``start`` begins in the midst of."""
        i = bisect_left(self._table_starts, start) - 1
        return self._tables[i] if i >= 0 and start < self._tables[i].end else None

    def _header_tokens(self, start: int) -> int:
        table = self._split_table(start)
        return table.header_tokens if table else 0

    def _heading_texts(self, path: tuple[Block, ...]) -> tuple[str, ...]:
        texts = tuple(self._text[h.start : h.end].lstrip("#").strip() for h in path)
        return texts[1:] if texts and texts[0].casefold() == self._page.title.casefold() else texts

    def _prefix(self, path: tuple[Block, ...]) -> tuple[str, int]:
        """The title and heading path as one line, and its tokens; the outermost go first when they take too much room."""
        names = tuple(name for name in (self._page.title, *self._heading_texts(path)) if name)
        if names not in self._prefixes:
            self._prefixes[names] = self._capped_prefix(names)
        return self._prefixes[names]

    def _capped_prefix(self, names: tuple[str, ...]) -> tuple[str, int]:
        cap = self._room // _PREFIX_SHARE
        for first in range(len(names)):
            prefix = " > ".join(names[first:])
            offsets = self._tokenizer.offsets(prefix)
            if len(offsets) <= cap:
                return f"{prefix}\n", len(offsets)
        if not names or cap < 1:
            return "", 0
        return f"{prefix[: offsets[cap - 1][1]]}\n", cap

    def _fitted(self, span: _Span) -> Iterator[tuple[int, int, str, int]]:
        """The span without outer white space, halved until what is embedded fits in the tokeniser's own count."""
        piece = self._text[span.start : span.end]
        start = span.start + len(piece) - len(piece.lstrip())
        end = span.start + len(piece.rstrip())
        if start >= end:
            return
        embed_text, tokens = self._embedded(start, end, span.path)
        if tokens <= self._max_tokens or end - start == 1:
            yield start, end, embed_text, tokens
            return
        first = self._first_token(start)
        middle = self._token_cut(start, self._token_start((first + self._first_token(end)) // 2))
        if not start < middle < end:
            middle = (start + end) // 2
        yield from self._fitted(_Span(start, middle, span.path))
        yield from self._fitted(_Span(middle, end, span.path))

    def _embedded(self, start: int, end: int, path: tuple[Block, ...]) -> tuple[str, int]:
        """What the embedder sees, and its length in tokens. The context goes if the text alone fills the model."""
        text = self._text[start:end]
        context = self._prefix(tuple(h for h in path if h.start < start))[0]
        table = self._split_table(start)
        for embed_text in (context + (table.header if table else "") + text, context + text, text):
            tokens = len(self._tokenizer.offsets(embed_text)) + self._tokenizer.special_tokens
            if tokens <= self._max_tokens:
                break
        return embed_text, tokens


def _last_between(sorted_positions: Sequence[int], least: int, limit: int) -> int | None:
    """The last position p with least < p ≤ limit."""
    i = bisect_left(sorted_positions, limit + 1) - 1
    return sorted_positions[i] if i >= 0 and sorted_positions[i] > least else None
