"""Inline rules for what documentation generators add to Markdown. None of them looks into code."""

from __future__ import annotations

import re
from html import escape

from markdown_it import MarkdownIt
from markdown_it.rules_inline import StateInline

from ingest.extract.markdown.components import Component, shown_by
from ingest.extract.markdown.scanning import find_expression_end, find_tag_end, match_bounded
from ingest.extract.markdown.tags import component_of, match_template_tag
from ingest.extract.markdown.writing import MDX

_ATTRIBUTE_LIST = re.compile(
    r"\{:?\s*(?:[.#][A-Za-z][\w:.-]*|[\w-]+=(?:\"[^\"{}]*\"|'[^'{}]*'|[^\s{}\"']+))(?:\s+[^{}]*)?\}|\{:[^{}]*\}"
)
_KRAMDOWN_TAG = re.compile(r"\{:(?::[A-Za-z]+(?:\s[^{}]*)?|/[A-Za-z:]*)\}")
_UNNUMBERED = re.compile(r"\{-\}\s*$")
_ICON = re.compile(
    r":(?P<family>material|octicons|fontawesome|simple|lucide)-(?P<name>[a-z0-9-]{1,80}):|:(?P<sign>[a-z_]{1,24}):"
)
_ICON_STYLES = re.compile(r"^(?:solid|regular|brands|outline)-|-\d\d$")
_YES, _NO = re.compile(r"(?:^|-)(?:check|checkbox)(?:-|$)"), re.compile(r"^(?:close|x|xmark|times|cancel)(?:-|$)")
_SIGNS = {
    "white_check_mark": "✓",
    "heavy_check_mark": "✓",
    "ballot_box_with_check": "✓",
    "x": "✗",
    "negative_squared_cross_mark": "✗",
}
_MEMBER = re.compile(r"\{\s*[A-Za-z_$][\w$]*(?:\?{0,1}\.[\w$]+|\([^(){}]*\)|\[[^\[\]{}]*\])+\s*\}")
_STRING = re.compile(r"""\{\s*(?:"([^"{}]*)"|'([^'{}]*)'|`([^`{}$]*)`)\s*\}""")
_ROLE = re.compile(r"\{(?P<name>[A-Za-z][\w:+.-]*)\}(?P<ticks>`+)(?P<text>[^`]+)(?P=ticks)(?!`)")
_ROLE_TARGET = re.compile(r"(?P<text>.+?)\s*<[^<>]+>$", re.DOTALL)
_SUPERSCRIPT = re.compile(r"\^(?P<text>[\w+\-−.,]{1,24})\^(?![\w^])")
_SUBSCRIPT = re.compile(r"~(?P<text>[\w+\-−.,]{1,24})~(?!~)")
_CRITIC = re.compile(
    r"\{(?:--(?P<deleted>(?:[^-]|-(?!-\}))+)--|\+\+(?P<added>(?:[^+]|\+(?!\+\}))+)\+\+|==(?P<marked>(?:[^=]|=(?!=\}))+)=="
    r"|~~(?P<old>(?:[^~]|~(?!>))*)~>(?P<new>(?:[^~]|~(?!~\}))*)~~|>>(?P<comment>(?:[^<]|<(?!<\}))*)<<)\}"
)
_CRITIC_MARKS = ("--", "++", "==", "~~", ">>")
_WIKI_LINK = re.compile(r"!?\[\[(?P<page>[^\[\]|\n]+)(?:\\?\|(?P<text>[^\[\]\n]+))?\]\](?![(\[])")
_TEMPLATED_TARGET = re.compile(r"\(\{[{%](?:[^}\n]|\}(?!\}))*\}?\}[^\s()]*(?:\s+\"[^\"\n]*\")?\)")
_SPAN = re.compile(r"\[(?P<text>[^\[\]`]+)\](?=\{(?:[.#][\w-]|[\w-]+=)[^{}]*\})")
_KEYS = re.compile(r"\+\+(?P<keys>(?:\"[^\"\n]+\"|[\w-]+)(?:\+(?:\"[^\"\n]+\"|[\w-]+))*)\+\+")
_COMPONENT = re.compile(r"</?(?:[A-Z][\w.]*|>)")
_LOWER_TAG = re.compile(r"</?(?:[A-Za-z]|>)")
_MAX_CHARS = 4_000  # of a construct; bounds what a search that fails has read


def inline_dialects_plugin(parser: MarkdownIt) -> None:
    """Read inline components and template tags, attribute lists, roles, editing marks, wiki links, super- and subscripts."""
    ruler = parser.inline.ruler
    ruler.before("backticks", "braces", _braces)
    ruler.before("backticks", "icon", _icon)
    ruler.before("strikethrough", "superscript", _superscript)
    ruler.before("strikethrough", "subscript", _subscript)
    ruler.before("strikethrough", "doubled_marks", _doubled_marks)
    ruler.before("link", "wiki_link", _wiki_link)
    ruler.before("link", "templated_link", _templated_link)
    ruler.before("html_inline", "inline_component", _inline_component)


def _text(state: StateInline, text: str) -> None:
    if text:
        state.push("text", "", 0).content = text


def _html(state: StateInline, markup: str) -> None:
    state.push("html_inline", "", 0).content = markup


def _content(state: StateInline, start: int, end: int) -> None:
    """Read a part of the text as Markdown in its place."""
    maximum, pos = state.posMax, state.pos
    state.pos, state.posMax = start, end
    state.linkLevel += 1  # the rules below call each other; the parser's own limit counts levels
    state.level += 1
    if state.level < state.md.options.maxNesting:
        state.md.inline.tokenize(state)
    else:
        _text(state, state.src[start:end])
    state.level -= 1
    state.linkLevel -= 1
    state.pos, state.posMax = pos, maximum


def _braces(state: StateInline, silent: bool) -> bool:
    pos, source = state.pos, state.src
    if source[pos] != "{":
        return False
    limit = min(state.posMax, pos + _MAX_CHARS)
    if source.startswith("{/*", pos):
        ending = find_expression_end(source, pos, state.env)
        if not ending or ending > state.posMax:
            return False
        state.pos = ending
        return True
    if source.startswith(("{%", "{{<", "{{%"), pos):
        tag = match_template_tag(source, pos, state.env)
        if not tag or tag.end() > state.posMax:
            return False
        if not silent and not tag["slash"]:
            shown = shown_by(component_of(tag))
            _text(state, " ".join((shown.title, *shown.texts)).strip())
        state.pos = tag.end()
        return True
    if tag := _KRAMDOWN_TAG.match(source, pos, limit) or _UNNUMBERED.match(source, pos, limit):
        state.pos = tag.end()
        return True
    if role := _ROLE.match(source, pos, limit):
        if not silent:
            _role(state, role["name"].rpartition(":")[2], role["text"])
        state.pos = role.end()
        return True
    critic = match_bounded(source, _CRITIC, pos, state.env) if source[pos + 1 : pos + 3] in _CRITIC_MARKS else None
    if critic and critic.end() <= state.posMax:
        if not silent:
            _critic(state, critic)
        state.pos = critic.end()
        return True
    if (found := _ATTRIBUTE_LIST.match(source, pos, limit)) and _ends_something(source, pos, found.end(), state.posMax):
        state.pos = found.end()
        return True
    if state.env.get(MDX):
        if string := _STRING.match(source, pos, limit):
            if not silent:
                _text(state, next(text for text in (*string.groups(), "") if text is not None))
            state.pos = string.end()
            return True
        if found := _MEMBER.match(source, pos, limit):
            state.pos = found.end()
            return True
    return False


def _icon(state: StateInline, silent: bool) -> bool:
    """``:material-check:`` and other pictures by name. Those that say yes or no are written so, others where they stand alone."""
    if state.src[state.pos] != ":":
        return False
    found = _ICON.match(state.src, state.pos, state.posMax)
    if not found or (found["sign"] and found["sign"] not in _SIGNS):
        return False
    if not silent:
        _text(state, _SIGNS[found["sign"]] if found["sign"] else _shown_icon(found["name"], state.src.strip() == found[0]))
    attributes = _ATTRIBUTE_LIST.match(state.src, found.end(), min(state.posMax, found.end() + _MAX_CHARS))
    state.pos = attributes.end() if attributes else found.end()
    return True


def _shown_icon(name: str, is_alone: bool) -> str:
    name = _ICON_STYLES.sub("", _ICON_STYLES.sub("", name))
    if _YES.search(name):
        return "✓"
    return "✗" if _NO.search(name) else name.replace("-", " ") if is_alone else ""


def _ends_something(source: str, start: int, end: int, maximum: int) -> bool:
    """Whether an attribute list stands directly behind what it belongs to, or at the end of the line."""
    is_attached = start > 0 and (source[start - 1] in ")]`*_\"'>" or source[start - 1].isalnum())
    return is_attached or end >= maximum or source[end] == "\n" or not source[end:].partition("\n")[0].strip()


def _role(state: StateInline, name: str, text: str) -> None:
    if target := _ROLE_TARGET.fullmatch(text):
        text = target["text"]
    text = text.replace("\n", " ")
    if name in ("sup", "superscript"):
        _html(state, f"<sup>{escape(text)}</sup>")
    elif name in ("sub", "subscript"):
        _html(state, f"<sub>{escape(text)}</sub>")
    elif name in ("del", "strike"):
        _html(state, f"<del>{escape(text)}</del>")
    else:
        _text(state, text.removeprefix("~").removeprefix("!"))


def _critic(state: StateInline, found: re.Match[str]) -> None:
    """Editing marks (CriticMarkup): what is deleted is struck out."""
    for name in ("deleted", "old"):
        if found[name]:
            _html(state, "<del>")
            _content(state, *found.span(name))
            _html(state, "</del>")
    for name in ("added", "marked", "new"):
        if found[name]:
            _text(state, " ") if name == "new" else None
            _content(state, *found.span(name))


def _superscript(state: StateInline, silent: bool) -> bool:
    return _script(state, silent, "^", _SUPERSCRIPT, "sup")


def _subscript(state: StateInline, silent: bool) -> bool:
    """``H~2~O``. Where no letter or digit stands before it, a single tilde strikes out, as GitHub has it."""
    return _script(state, silent, "~", _SUBSCRIPT, "sub")


def _script(state: StateInline, silent: bool, mark: str, pattern: re.Pattern[str], tag: str) -> bool:
    pos, source = state.pos, state.src
    if source[pos] != mark or pos == 0 or not (source[pos - 1].isalnum() or source[pos - 1] in ")]}"):
        return False
    found = pattern.match(source, pos, state.posMax)
    if not found:
        return False
    if not silent:
        _html(state, f"<{tag}>{escape(found['text'])}</{tag}>")
    state.pos = found.end()
    return True


def _doubled_marks(state: StateInline, silent: bool) -> bool:
    """``==marked==``, ``^^inserted^^`` and ``++ctrl+c++`` without their marks."""
    pos, source = state.pos, state.src
    mark = source[pos : pos + 2]
    if mark not in ("==", "^^", "++"):
        return False
    if mark == "++":
        keys = _KEYS.match(source, pos, min(state.posMax, pos + 200))
        if not keys:
            return False
        if not silent:
            _text(state, keys["keys"].replace('"', ""))
        state.pos = keys.end()
        return True
    start = pos + 2
    ending = source.find(mark, start, min(state.posMax, start + 1_000))
    if (
        ending <= start
        or source[start].isspace()
        or source[ending - 1].isspace()
        or mark[0] in (source[start], source[pos - 1 : pos])
    ):
        return False
    if not silent:
        _content(state, start, ending)
    state.pos = ending + 2
    return True


def _wiki_link(state: StateInline, silent: bool) -> bool:
    """``[[Page|text]]``, ``[[Page]]`` and, with attributes behind it, ``[text]{.class}``."""
    pos, source = state.pos, state.src
    if source[pos] not in "[!":
        return False
    limit = min(state.posMax, pos + _MAX_CHARS)
    if found := _WIKI_LINK.match(source, pos, limit):
        if not silent:
            _text(state, (found["text"] or found["page"]).strip())
        state.pos = found.end()
        return True
    if source[pos] == "[" and (found := _SPAN.match(source, pos, limit)):
        if not silent:
            _content(state, *found.span("text"))
        state.pos = found.end()
        return True
    return False


def _templated_link(state: StateInline, silent: bool) -> bool:
    """``[text]({{< ref "page" >}})``: the target is made by the generator; its spaces are no Markdown."""
    if state.src[state.pos] != "[" or not _has_templated_target(state):
        return False
    label_end = state.md.helpers.parseLinkLabel(state, state.pos)
    if label_end < 0 or not state.src.startswith(("({{", "({%"), label_end + 1):
        return False
    target = match_bounded(state.src, _TEMPLATED_TARGET, label_end + 1, state.env)
    if not target or target.end() > state.posMax:
        return False
    if not silent:
        _content(state, state.pos + 1, label_end)
    state.pos = target.end()
    return True


def _has_templated_target(state: StateInline) -> bool:
    """Whether the text holds such a target anywhere; looked for once a text, for finding a label's end takes its length."""
    source, answer = state.env.get("templated", (None, False))
    if source is not state.src:
        answer = "]({{" in state.src or "]({%" in state.src
        state.env["templated"] = (state.src, answer)
    return bool(answer)


def _inline_component(state: StateInline, silent: bool) -> bool:
    """Tags of components within a text: what they show stays, the tags go."""
    pos, source = state.pos, state.src
    if source[pos] != "<" or not (
        _COMPONENT.match(source, pos) or (state.env.get(MDX) and re.match(r"<[a-z]", source[pos : pos + 2]))
    ):
        return False
    ending = find_tag_end(source, pos, state.env)
    if not ending or ending > state.posMax:
        return False
    tag = source[pos:ending]
    name = re.match(r"</?\s*([\w.:-]*)", tag)
    if name is None or (not name[1][:1].isupper() and name[1] and "={" not in tag):
        return False
    if not silent and not tag.startswith("</"):
        component = Component.parse(name[1], tag[name.end() :].rstrip(">").rstrip("/"))
        if not name[1][:1].isupper():
            void = name[1] in ("img", "br", "hr", "input")
            link = f' href="{escape(component.link)}"' if name[1] == "a" and component.link else ""
            alt = f' alt="{escape(component.attributes.get("alt", ""))}"' if name[1] == "img" else ""
            if name[1]:
                _html(state, f"<{name[1]}{link}{alt}>" + ("" if void or not tag.endswith("/>") else f"</{name[1]}>"))
        else:
            shown = shown_by(component)
            if tag.endswith("/>"):
                _text(state, " ".join((shown.title, *shown.texts)).strip())
            elif shown.title:
                _html(state, "<br><br>")  # a tab behind a tab on one line
                _text(state, f"{shown.title}: ")
            if component.link:
                _html(state, f'<a href="{escape(component.link)}"></a>')
    state.pos = ending
    return True
