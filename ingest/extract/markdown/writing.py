"""What the block rules share: the text of a line, writing what a container shows, and reading its indented content."""

from __future__ import annotations

from typing import Any

from markdown_it.rules_block import StateBlock

from ingest.extract.markdown.components import Shown

# Keys of the parser's environment
INCLUDED = "included"  # how many texts of other files the document asks for
MDX = "mdx"  # whether the document is MDX, which has no indented code


def text_at(state: StateBlock, line: int) -> str:
    return state.src[state.bMarks[line] + state.tShift[line] : state.eMarks[line]]


def line_end(state: StateBlock, pos: int) -> int:
    ending = state.src.find("\n", pos)
    return len(state.src) if ending < 0 else ending


def show(state: StateBlock, line: int, shown: Shown) -> None:
    if shown.title:
        write_paragraph(state, line, shown.title, is_lead=True)
    for text in shown.texts:
        write_paragraph(state, line, text)


def write_paragraph(state: StateBlock, line: int, text: str, *, is_lead: bool = False) -> None:
    opening = state.push("paragraph_open", "p", 1)
    opening.map = [line, line + 1]
    opening.meta = {"lead": True} if is_lead else {}
    inline = state.push("inline", "", 0)
    inline.content, inline.map, inline.children = text.strip(), [line, line + 1], []
    state.push("paragraph_close", "p", -1)


def write_end(state: StateBlock) -> None:
    state.push("container_end", "", 0)


def read_body(state: StateBlock, start: int, end: int, *, indent: int) -> None:
    """Read the lines that are indented by at least so much as blocks of their own; the parser goes on after them."""
    line = start
    while line < end and (state.isEmpty(line) or state.sCount[line] >= indent):
        line += 1
    old = state.lineMax, state.blkIndent
    state.lineMax, state.blkIndent = line, indent
    state.level += 1  # counts against the parser's limit of nesting
    state.md.block.tokenize(state, start, line)
    state.level -= 1
    state.lineMax, state.blkIndent = old
    state.line = line


def go_past(state: StateBlock, start: int, end: int, pos: int) -> None:
    """Go on with the line after the one that holds ``pos``."""
    line = max(start, state.line - 1) if state.line > start else start
    while line < end and state.eMarks[line] < pos:
        line += 1
    state.line = min(line + 1, end)


def count_included(env: Any) -> None:
    """Note that the document asks for the text of another file, which is not here to be read."""
    env[INCLUDED] = env.get(INCLUDED, 0) + 1
