"""Block rules for containers: ``:::``, ``!!!``, ``===`` and directives between fences.

The line that opens a container leaves its title, the line that closes it leaves a mark, and what stands between is read as
Markdown in its place. So a container that is never closed, or closed in the wrong order, swallows nothing; and since the rules
run where the parser looks for blocks, nothing in code is touched.
"""

from __future__ import annotations

import re

from markdown_it.rules_block import StateBlock

from ingest.extract.markdown.components import ADMONITIONS, Component, Shown, shown_by, word_set
from ingest.extract.markdown.scanning import find_text
from ingest.extract.markdown.writing import count_included, go_past, read_body, show, text_at, write_end

_COLONS = re.compile(r"(?P<colons>:{2,})\s*(?P<rest>.*?)\s*:*\s*$")
_LEAF = re.compile(r"::[a-zA-Z][\w-]*(?:\[.*\]|\{.*\}|\s*$)")
_DIRECTIVE = re.compile(r"\{(?P<name>[\w:+.-]+)\}\s*(?P<rest>.*)")
_ATTRIBUTE_LIST = re.compile(r"\{(?P<list>[^{}]*)\}\s*(?P<rest>.*)")
_LABELLED = re.compile(r"(?P<name>[\w-]+)(?:\[(?P<label>[^\n]*)\])?(?P<attributes>\{[^{}]*\})?\s*(?P<rest>.*)")
_FENCE = re.compile(r"(?P<marker>`{3,}|~{3,})\s*(?P<info>[^`]*)$")
_OPTION = re.compile(r":[\w-]+:(?:\s.*)?$")
_INDENTED = re.compile(r"""(?:!!!|\?\?\?\+?|===[!+]{0,2})\s*(?P<words>[^"'\s][^"]*?)?\s*(?P<title>"[^\n]*"|'[^\n]*')?\s*$""")
_SLASHES = re.compile(r"/{3,}\s*(?:(?P<name>[a-zA-Z][\w-]*)\s*(?:\|\s*(?P<title>.*?))?)?\s*$")
_HEADING = re.compile(r"#{1,6}\s+(?P<title>\S.*?)(?:\s+\{[^{}]*\})?\s*$")

_TEXT_DIRECTIVES = ADMONITIONS | word_set(
    "admonition dropdown tab-set tab-item grid grid-item grid-item-card card card-carousel topic sidebar margin figure "
    "epigraph pull-quote highlights versionadded versionchanged deprecated versionremoved glossary aside table list-table "
    "mdx-code-block div rubric exercise solution prf:proof theorem proof definition lemma"
)
_DROPPED_DIRECTIVES = word_set(
    "toctree contents include literalinclude image bibliography only meta tableofcontents embed raw iframe"
)
_VERSIONS = {
    "versionadded": "Added in version",
    "versionchanged": "Changed in version",
    "versionremoved": "Removed in version",
    "deprecated": "Deprecated since version",
}


def colon_container(state: StateBlock, start: int, end: int, silent: bool) -> bool:
    """``:::tip Title``, ``:::tip[Title]{#id}``, ``::: {.callout-tip title="…"}``, ``:::{tip}``, and their closing ``:::``."""
    text = text_at(state, start)
    if not text.startswith("::") or state.is_code_block(start):
        return False
    found = _COLONS.match(text)
    if not found or (len(found["colons"]) == 2 and not _LEAF.match(text)):
        return False
    if silent:
        return True
    state.line = start + 1
    rest = found["rest"]
    if not rest:
        write_end(state)
    elif directive := _DIRECTIVE.fullmatch(rest):
        _open_directive(state, start, end, directive["name"], directive["rest"])
        if directive["name"] in _DROPPED_DIRECTIVES:
            closing = re.compile(rf"(?m)^[^\S\n]*:{{{len(found['colons'])},}}[^\S\n]*$")
            if ending := find_text(state.src, closing, state.eMarks[start], state.env):
                go_past(state, start, end, ending.end())
    elif attributes := _ATTRIBUTE_LIST.fullmatch(rest):
        classes = re.findall(r"\.([\w-]+)", attributes["list"])
        component = Component.parse(_kind(classes), attributes["list"])
        shown = shown_by(Component(component.name, component.attributes))
        if any(name.startswith("callout") for name in classes) and not component.attributes.get("title"):
            shown = Shown(_heading_below(state, start, end) or shown.title)
        show(state, start, shown)
    elif labelled := _LABELLED.fullmatch(rest):
        name = labelled["name"].lower()
        attributes_of = Component.parse(name, (labelled["attributes"] or "")[1:-1])
        title = labelled["label"] or labelled["rest"]
        if name in ("raw", "v-pre"):
            title = ""
        shown = shown_by(Component(name, attributes_of.attributes))
        show(state, start, Shown(title, shown.texts) if title else shown)
    return True


def slash_container(state: StateBlock, start: int, end: int, silent: bool) -> bool:
    """``/// note | Title`` and its closing ``///`` (PyMdown's blocks); options stand indented below it."""
    text = text_at(state, start)
    if not text.startswith("///") or state.is_code_block(start):
        return False
    found = _SLASHES.match(text)
    if not found:
        return False
    if silent:
        return True
    line = start + 1
    if not found["name"]:
        write_end(state)
    else:
        show(state, start, Shown(found["title"]) if found["title"] else shown_by(Component(found["name"].lower())))
        while line < end and not state.isEmpty(line) and state.sCount[line] >= state.sCount[start] + 4:
            line += 1
    state.line = line
    return True


def _kind(classes: list[str]) -> str:
    for name in classes:
        kind = name.removeprefix("callout-").removeprefix("alert-").removeprefix("admonition-")
        if kind in ADMONITIONS:
            return kind
    return "div"


def _heading_below(state: StateBlock, start: int, end: int) -> str:
    """The heading that a callout begins with, which is its title; the parser goes on after it."""
    line = state.skipEmptyLines(start + 1)
    heading = _HEADING.match(text_at(state, line)) if line < end else None
    if not heading:
        return ""
    state.line = line + 1
    return heading["title"]


def indented_container(state: StateBlock, start: int, end: int, silent: bool) -> bool:
    """``!!! note "Title"``, ``??? note``, ``=== "Tab"``: what follows is indented by four. Blank lines don't end it."""
    text = text_at(state, start)
    if text[:3] not in ("!!!", "???", "===") or state.is_code_block(start):
        return False
    found = _INDENTED.match(text)
    is_tab = text.startswith("=")
    if not found or not (found["title"] if is_tab else found["words"] or found["title"]):
        return False
    if silent:
        return True
    title = found["title"][1:-1] if found["title"] is not None else found["words"].split()[0].capitalize()
    show(state, start, Shown(title.strip()))
    read_body(state, start + 1, end, indent=state.sCount[start] + 4)
    write_end(state)
    return True


def directive(state: StateBlock, start: int, end: int, silent: bool) -> bool:
    """MyST's directives between fences whose content is Markdown. A fence that closes one is known by the one that opened it."""
    text = text_at(state, start)
    if not text.startswith(("```", "~~~")) or state.is_code_block(start):
        return False
    fence = _FENCE.match(text)
    if not fence:
        return False
    marker, info = fence["marker"], fence["info"].strip()
    opened: list[tuple[str, int]] = state.env.setdefault("directives", [])
    while opened and opened[-1][1] > state.level:  # of a list item or quote that has ended
        opened.pop()
    if not info:
        closed = [i for i, (other, level) in enumerate(opened) if level == state.level and marker.startswith(other)]
        if closed and not silent:
            del opened[closed[-1] :]  # the innermost that this fence is long enough for
            write_end(state)
            state.line = start + 1
        return bool(closed)
    directive = _DIRECTIVE.fullmatch(info)
    name = directive["name"] if directive else info
    if name not in _TEXT_DIRECTIVES or (directive is None and name != "mdx-code-block"):
        return False
    if not silent:
        opened.append((marker, state.level))
        state.line = start + 1
        _open_directive(state, start, end, name, directive["rest"] if directive else "")
    return True


def _open_directive(state: StateBlock, start: int, end: int, name: str, argument: str) -> None:
    """Show a directive's title and skip its options."""
    line = start + 1
    while line < end and _OPTION.match(text_at(state, line)):
        line += 1
    if line == start + 1 and line < end and text_at(state, line).rstrip() == "---":
        closing = next((i for i in range(line + 1, min(end, line + 40)) if text_at(state, i).rstrip() == "---"), None)
        line = closing + 1 if closing is not None else line
    state.line = line
    if name in _DROPPED_DIRECTIVES or name in ("figure", "div", "grid", "tab-set"):
        if name in ("include", "literalinclude"):
            count_included(state.env)
        return
    if name in _VERSIONS:
        version, _, text = argument.partition(" ")
        show(state, start, Shown(f"{_VERSIONS[name]} {version}", [text] if text else []))
    elif name in ADMONITIONS:
        show(state, start, Shown(name.capitalize(), [argument] if argument else []))
    else:
        show(state, start, Shown(argument))
