"""Block rules for all that documentation generators add to Markdown."""

from __future__ import annotations

import re
from typing import Any

from markdown_it import MarkdownIt
from markdown_it.ruler import RuleOptionsType
from markdown_it.rules_block import StateBlock

from ingest.extract.markdown.components import Shown
from ingest.extract.markdown.containers import colon_container, directive, indented_container, slash_container
from ingest.extract.markdown.scanning import find_text
from ingest.extract.markdown.tags import component, statement, template_tag
from ingest.extract.markdown.writing import count_included, go_past, show, text_at, write_end, write_paragraph

_ABBREVIATION = re.compile(r"\*\[(?P<short>[^\]\n]+)\]:\s*(?P<long>\S.*)$")
_ATTRIBUTE_LINE = re.compile(r"\{:[^{}]*\}\s*$|\{\s*(?:[.#][\w-]+|[\w-]+=(?:\"[^\"]*\"|\S+?))(?:\s+[^{}]*)?\}\s*$")
_CONTENTS = re.compile(r"\[\[_?toc_?\]\]\s*$|\[toc\]\s*$|\$\{toc\}\s*$", re.IGNORECASE)
_SNIPPET = re.compile(r"""-{1,}8<-{1,}(?P<rest>.*)$|<<<\s+[@./]\S+.*$|@(?:include|snippet|code)\b.*$""")
_SEPARATOR = re.compile(r"(?:\^{3,}|\+{3,}(?:\s*\{.*\})?)\s*$")  # between the parts of a card, and of a notebook
_TARGET = re.compile(r"\([\w.:/ -]{1,200}\)=\s*$")  # MyST's label of what follows
_COMMENT = re.compile(r"%(?:\s|$)")
_MYST = re.compile(r"^\s*(?:`{3,}|:{3,}|~{3,})\{[a-z]|^\([\w.:/ -]{1,200}\)=\s*$|\{(?:ref|doc|term|numref|eq)\}`", re.MULTILINE)
_KRAMDOWN_COMMENT = re.compile(r"\{::comment\}\s*$")
_KRAMDOWN_COMMENT_END = re.compile(r"(?m)^\s*\{:/(?:comment)?\}[^\S\n]*$")
_TAB = re.compile(r"(?:@tab(?::active)?|==)\s+(?P<label>\S.*)$")


_INTERRUPTS: RuleOptionsType = {"alt": ["paragraph", "reference", "blockquote", "list"]}


def dialects_plugin(parser: MarkdownIt) -> None:
    """Read containers, tabs, directives, components, template tags, statements of MDX and attribute lists."""
    for name, rule in (
        ("colon_container", colon_container),
        ("indented_container", indented_container),
        ("slash_container", slash_container),
        ("directive", directive),
        ("statement", statement),
        ("component", component),
        ("template_tag", template_tag),
        ("line", _line),
    ):
        parser.block.ruler.before("fence", name, rule, _INTERRUPTS)
    parser.add_render_rule("container_end", _nothing)


def _nothing(*_: Any) -> str:
    return ""


def _line(state: StateBlock, start: int, end: int, silent: bool) -> bool:
    """Lines that mean something to the generator alone: attribute lists, snippets of other files, tables of contents."""
    text = text_at(state, start)
    if not text or text[0] not in "{[$-<@=*^+(%" or state.is_code_block(start):
        return False
    if snippet := _SNIPPET.match(text):
        if not silent:
            _drop_snippet(state, start, end, snippet)
        return True
    if _KRAMDOWN_COMMENT.match(text) and (ending := find_text(state.src, _KRAMDOWN_COMMENT_END, state.eMarks[start], state.env)):
        if not silent:
            go_past(state, start, end, ending.end())
        return True
    if _TARGET.match(text) or (_COMMENT.match(text) and _is_myst(state)):
        state.line = start if silent else start + 1
        return True
    if _ATTRIBUTE_LINE.match(text) or _CONTENTS.match(text) or _SEPARATOR.match(text):
        state.line = start if silent else start + 1
        return True
    if tab := _TAB.match(text):
        if not silent:
            write_end(state)
            show(state, start, Shown(tab["label"]))
            state.line = start + 1
        return True
    if abbreviation := _ABBREVIATION.match(text):
        if not silent:
            write_paragraph(state, start, f"{abbreviation['short']}: {abbreviation['long']}")
            state.line = start + 1
        return True
    return False


def _is_myst(state: StateBlock) -> bool:
    """Whether the document has marks of MyST, in which lines that begin with a percent sign are comments."""
    if "myst" not in state.env:
        state.env["myst"] = bool(_MYST.search(state.src))
    return bool(state.env["myst"])


def _drop_snippet(state: StateBlock, start: int, end: int, snippet: re.Match[str]) -> None:
    count_included(state.env)
    state.line = start + 1
    if snippet["rest"] is not None and not snippet["rest"].strip():  # a list of files up to the next mark
        closing = next((i for i in range(start + 1, min(end, start + 100)) if _SNIPPET.match(text_at(state, i))), None)
        state.line = closing + 1 if closing is not None else start + 1
