"""Block rules for what is no Markdown: statements and components of MDX, tags of Liquid, Jinja and Hugo."""

from __future__ import annotations

import re
from collections.abc import MutableMapping
from html import escape
from typing import Any

from markdown_it.rules_block import StateBlock

from ingest.extract.markdown.components import Component, Shown, shown_by
from ingest.extract.markdown.scanning import find_expression_end, find_statement_end, find_tag_end, find_text, match_bounded
from ingest.extract.markdown.writing import MDX, count_included, go_past, line_end, read_body, show, write_end, write_paragraph

_TEMPLATE_TAG = re.compile(r"\{%-?\s*(?P<slash>/?)(?P<name>[\w.-]+)(?P<rest>(?:[^%]|%(?!\}))*?)-?%\}")
_SHORTCODE = re.compile(r"\{\{(?P<mark>[<%])\s*(?P<slash>/?)\s*(?P<name>[\w./-]+)(?P<rest>(?:[^>%]|[>%](?!\}\}))*?)(?:[>%]\}\})")
_IMPORTED = r"(?:[\w$]+|\*\s+as\s+[\w$]+|\{[^{}]*\})"
_IMPORT = re.compile(
    rf"""import\s+(?:(?:type\s+)?{_IMPORTED}(?:\s*,\s*{_IMPORTED})?\s+from\s+)?(?:"[^"\n]+"|'[^'\n]+')[^\S\n]*;?[^\S\n]*(?=\n|//|\Z)"""
)
_EXPORT = re.compile(r"export\s+(?:(?:const|let|var|class|async|function\*?|type|interface|enum)\s+[\w${\[]|default\s+\S|[{*])")
_EXPORTED_FACT = re.compile(r"""(?m)^\s*["']?(?P<key>\w+)["']?\s*:\s*(?P<quote>["'`])(?P<value>[^\n]*?)(?P=quote)\s*,?\s*$""")
_VERBATIM_TAG = re.compile(r"(?:highlight|comment|codeblock|code|\w+-code|code-\w+|codetabs?)$")
_CODE_TEXT = re.compile(r"\{`(?P<code>[^`]*)`\}")
_COMPONENT = re.compile(r"</?(?:[A-Z][\w.]*|>)")
_CONTAINER_TAG = re.compile(r"</?(?:div|section|article|aside|figure|center|details|span|main)\b", re.IGNORECASE)


def statement(state: StateBlock, start: int, end: int, silent: bool) -> bool:
    """``import`` and ``export`` of MDX, over as many lines as their brackets go."""
    if silent or state.level or state.sCount[start]:
        return False
    pos = state.bMarks[start]
    if not state.src.startswith(("import", "export"), pos):
        return False
    is_import = _IMPORT.match(state.src, pos)
    if not is_import and not _EXPORT.match(state.src, pos):
        return False
    ending = find_statement_end(state.src, pos, state.env)
    if not ending:
        return False
    facts = state.env.setdefault("facts", {})
    if not is_import:
        for fact in _EXPORTED_FACT.finditer(state.src, pos, ending):
            facts.setdefault(fact["key"].lower(), fact["value"])
    state.env[MDX] = True
    go_past(state, start, end, ending)
    return True


def component(state: StateBlock, start: int, end: int, silent: bool) -> bool:
    """Lines that begin with tags of components, or with a JSX comment or expression."""
    pos = state.bMarks[start] + state.tShift[start]
    char = state.src[pos : pos + 1]
    if char not in ("<", "{") or state.is_code_block(start):
        return False
    is_mdx = state.env.get(MDX)
    if char == "{":
        is_comment = state.src.startswith("{/*", pos)
        if not is_comment and not (is_mdx and not state.src.startswith(("{{", "{%", "{:"), pos)):
            return False
        ending = find_expression_end(state.src, pos, state.env)
        if not ending or state.src[ending : line_end(state, ending)].strip():
            return False
        expression = state.src[pos + 1 : ending - 1].strip()
        if not is_comment and not re.search(r"[.(\[=<]|^[\"'`]", expression):
            return False  # a bare name may be text
        if not silent:
            go_past(state, start, end, ending)
        return True
    if not _opens_tag(state, pos):
        return False
    ending = find_tag_end(state.src, pos, state.env)
    if not ending or ending > state.eMarks[end - 1]:
        return False
    if silent:
        return True
    has_content = False
    while True:
        has_content |= _tag(state, start, pos, ending)
        pos = ending
        rest = state.src[pos : line_end(state, pos)]
        pos += len(rest) - len(rest.lstrip())
        if not rest.strip() or not _opens_tag(state, pos):
            break
        ending = find_tag_end(state.src, pos, state.env)
        if not ending:
            break
    go_past(state, start, end, pos)
    code = match_bounded(state.src, _CODE_TEXT, pos, state.env) if state.src.startswith("{`", pos) else None
    if code:
        fence = state.push("fence", "code", 0)
        fence.content, fence.info, fence.map = code["code"], "", [start, start + 1]
        go_past(state, start, end, code.end())
    elif rest := state.src[pos : line_end(state, pos)].strip():
        write_paragraph(state, start, rest)
    if has_content and (inner := state.skipEmptyLines(state.line)) < end and state.sCount[inner] >= state.sCount[start] + 2:
        state.env[MDX] = True
        read_body(state, inner, end, indent=state.sCount[inner])
    return True


def _opens_tag(state: StateBlock, pos: int) -> bool:
    if _COMPONENT.match(state.src, pos):
        return True
    if not (tag := _CONTAINER_TAG.match(state.src, pos)):
        return False
    line = state.src[pos : line_end(state, pos)]
    if state.env.get(MDX):
        return True
    return tag[0].startswith("</") or bool(re.match(r"<\w+[^>]*\smarkdown(?:=[\"']?(?:1|block|span)[\"']?)?[\s>]", line))


def _tag(state: StateBlock, line: int, pos: int, ending: int) -> bool:
    """Write what a tag shows; whether it opens something."""
    tag = state.src[pos:ending]
    if tag.startswith("</"):
        write_end(state)
        return False
    name, source = _split_tag(tag)
    if not name[:1].isupper():
        return not tag.endswith("/>")
    component = Component.parse(name, source)
    tabs: list[str] = state.env.setdefault("tabs", [])
    if component.items:
        tabs[:] = component.items
    shown = shown_by(component)
    if component.is_tab and not shown.title and tabs:
        shown = Shown(tabs.pop(0), shown.texts)
    show(state, line, shown)
    if component.link:
        token = state.push("html_block", "", 0)
        token.content = f'<a href="{escape(component.link)}"></a>'
    if tag.endswith("/>"):
        write_end(state)
        return False
    return True


def _split_tag(tag: str) -> tuple[str, str]:
    name = re.match(r"<\s*([\w.:-]*)", tag)
    return (name[1], tag[name.end() :].rstrip(">").rstrip("/")) if name else ("", "")


def template_tag(state: StateBlock, start: int, end: int, silent: bool) -> bool:
    """Lines that begin with a tag of Liquid or Jinja (``{% … %}``) or a shortcode of Hugo or Quarto (``{{< … >}}``)."""
    pos = state.bMarks[start] + state.tShift[start]
    if state.src[pos : pos + 1] != "{" or state.is_code_block(start):
        return False
    found = match_template_tag(state.src, pos, state.env)
    if not found or found.end() > state.eMarks[end - 1] or "\n\n" in found[0]:
        return False
    if silent:
        return True
    name = found["name"].lower()
    if not found["slash"] and _VERBATIM_TAG.match(name):
        closing = re.compile(rf"\{{\{{?[<%]-?\s*(?:end|/\s*){re.escape(name)}\s*-?[>%]\}}\}}?")
        ending = find_text(state.src, closing, found.end(), state.env)
        content = state.src[found.end() : ending.start()].strip("\n") if ending else ""
        if ending and "```" not in content:
            if name != "comment":
                show(state, start, shown_by(component_of(found)))
                fence = state.push("fence", "code", 0)
                fence.content, fence.map = f"{content}\n", [start, start + 1]
                fence.info = (found["rest"].split() or [""])[0].strip("\"'") if name == "highlight" else ""
            go_past(state, start, end, ending.end())
            return True
    _write_template_tag(state, start, found)
    pos = found.end()
    while following := match_template_tag(state.src, pos, state.env):
        _write_template_tag(state, start, following)
        pos = following.end()
    go_past(state, start, end, pos)
    if rest := state.src[pos : line_end(state, pos)].strip():
        write_paragraph(state, start, rest)
    return True


def match_template_tag(source: str, pos: int, env: MutableMapping[str, Any]) -> re.Match[str] | None:
    """The template tag at ``pos``."""
    if source.startswith("{%", pos):
        return match_bounded(source, _TEMPLATE_TAG, pos, env)
    return match_bounded(source, _SHORTCODE, pos, env) if source.startswith(("{{<", "{{%"), pos) else None


def component_of(tag: re.Match[str]) -> Component:
    """The component that a template tag stands for; a path's last part is its name (``docs/note``)."""
    return Component.parse(tag["name"].rpartition("/")[2], tag["rest"].rstrip("/"))


def _write_template_tag(state: StateBlock, line: int, tag: re.Match[str]) -> None:
    name = tag["name"].lower()
    if tag["slash"] or name.startswith("end"):
        write_end(state)
        return
    if name in ("include", "include_relative", "readfile", "include-markdown") and "content" not in tag["rest"]:
        count_included(state.env)
    show(state, line, shown_by(component_of(tag)))
