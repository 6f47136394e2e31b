"""Reads Markdown by way of HTML: CommonMark and GitHub's additions, and the dialects of documentation generators."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import UTC, datetime
from functools import cache
from html import escape
from typing import Any

from markdown_it import MarkdownIt
from markdown_it.rules_core import StateCore
from markdown_it.token import Token
from mdit_py_plugins.deflist import deflist_plugin
from mdit_py_plugins.dollarmath import dollarmath_plugin
from mdit_py_plugins.footnote import footnote_plugin

from ingest.extract.dates import Dates, parse_date
from ingest.extract.extracted import ExtractedPage
from ingest.extract.html.head import MAX_TITLE_CHARS, language_subtag, title_of_text
from ingest.extract.html.page import read_converted
from ingest.extract.markdown.blocks import dialects_plugin
from ingest.extract.markdown.front_matter import split_front_matter
from ingest.extract.markdown.inline import inline_dialects_plugin
from ingest.extract.markdown.writing import INCLUDED, MDX, count_included
from ingest.extract.page_text import one_line

MAX_NESTING = 40  # of lists, quotes and emphasis; beyond it the parser drops what it finds

# GitHub's alerts and Obsidian's callouts: the first line of a quote
_ALERT = re.compile(r"\[!(?P<kind>[A-Za-z][\w-]*)\][+-]?[^\S\n]*(?P<title>[^\n]*)(?:\n|\Z)")
_FENCE_ATTRIBUTES = re.compile(r"\{(?P<list>[^{}]*)\}")
_FENCE_TITLE = re.compile(
    r"""(?:^|[\s{,])(?:title|filename|file|name|caption|lst-cap)=\{?(?:"([^"]*)"|'([^']*)'|(\S+?))\}?(?=\s|$|\})"""
)
# What stands before the code of a cell or directive: ``:key: value`` or YAML between rules (MyST), ``#| key: value`` (Quarto)
_FENCE_OPTION = re.compile(
    r"(?P<colons>:[\w-]+:)(?:[^\S\n]+(?P<value>.*))?$|(?:#|//|--|%%)\|\s*(?P<key>[\w-]+):[^\S\n]*(?P<text>.*)$"
)
_FENCE_YAML = re.compile(r"---[^\S\n]*\n(?P<lines>(?:[\w-]+:.*\n|\s+.*\n|-\s.*\n){0,40}?)---[^\S\n]*(?:\n|\Z)")
_CAPTIONS = ("caption", "lst-cap", "fig-cap", "tbl-cap")
_FENCE_LABEL = re.compile(r"\[(?P<label>[^\]]+)\]")
_DROPPED_FENCES = re.compile(r"\{(?:toctree|contents|include|literalinclude|image|bibliography|tableofcontents)\}")
_SNIPPET_ONLY = re.compile(r"""\s*(?:;?-+8<-+[^\n]*\s*|<<<\s*\S+\s*)+""")
_SPAN_LANGUAGE = re.compile(r"(?<=\S)\{:[\w.-]+\}$")
_ESCAPED_SHORTCODE = re.compile(r"\{\{[<%]/\*[^\n]{0,1000}?\*/[>%]\}\}")
_ENDS_SENTENCE = (":", ".", "!", "?", "。", "！", "？")
_PUBLISHED_KEYS = ("date", "published", "publishdate", "published_at", "pubdate", "created")
_MODIFIED_KEYS = ("lastmod", "updated", "modified", "last_modified", "modified_at", "updated_at", "last_updated")


def read_markdown(text: str, *, url: str, now: datetime | None = None) -> ExtractedPage:
    """Read a Markdown document. Title, dates and language come from its front matter, else from the text."""
    text = text.replace("\r\n", "\n").replace("\r", "\n").replace("\0", "")
    facts, text = split_front_matter(text)
    tokens, env = _parse(text, is_mdx=bool(re.search(r"\.mdx(?:$|[?#])", url, re.IGNORECASE)))
    facts = {**env.get("facts", {}), **facts}
    markup = _parser(bool(env.get(MDX))).renderer.render(tokens, _parser().options, env)
    read = read_converted(f"<body>{markup}</body>", url=url)
    page = read.page
    title = facts.get("title") or title_of_text(page)
    declared = language_subtag(facts.get("lang") or facts.get("language") or facts.get("locale") or "")
    dates = Dates(_first_date(facts, _PUBLISHED_KEYS), _first_date(facts, _MODIFIED_KEYS)).before(now or datetime.now(UTC))
    notes = read.notes
    if max((token.level for token in tokens), default=0) >= MAX_NESTING - 1:
        notes = (*notes, f"text nested deeper than {MAX_NESTING} levels was dropped")
    if included := env.get(INCLUDED, 0):
        notes = (*notes, f"{included} text{'s' * (included > 1)} that the document takes from other files were not read")
    return replace(
        read,
        page=replace(page, title=one_line(title)[:MAX_TITLE_CHARS], language=declared or page.language),
        published_at=dates.published_at,
        modified_at=dates.modified_at,
        notes=notes,
    )


def _parse(text: str, *, is_mdx: bool) -> tuple[list[Token], dict[str, Any]]:
    """Parse once, and again if the first pass found the document to be MDX: there, indented text is no code."""
    env: dict[str, Any] = {MDX: is_mdx}
    tokens = _parser(is_mdx).parse(text, env)
    if env[MDX] and not is_mdx:
        return _parse(text, is_mdx=True)
    return tokens, env


@cache
def _parser(is_mdx: bool = False) -> MarkdownIt:
    options = {"maxNesting": MAX_NESTING, "tasklists": True, "strikethrough_single_tilde": True}
    parser = MarkdownIt("commonmark", options).enable(["table", "strikethrough"])
    if is_mdx:
        parser.disable("code")
    parser.use(deflist_plugin).use(footnote_plugin)
    parser.use(dollarmath_plugin, allow_labels=False, allow_space=False, allow_digits=False, renderer=_formula)
    parser.use(dialects_plugin).use(inline_dialects_plugin)
    parser.core.ruler.after("block", "alerts_of_quotes", _read_alerts)
    parser.core.ruler.after("alerts_of_quotes", "titles_of_fences", _read_fences)
    parser.core.ruler.after("titles_of_fences", "leads", _place_leads)
    parser.core.ruler.after("inline", "code", _read_code)
    return parser


def _formula(source: str, _: dict[str, object]) -> str:
    return f'<math alttext="{escape(source.strip())}"></math>'


def _read_alerts(state: StateCore) -> None:
    """Take the kind of an alert out of its quote's first paragraph, and lead the quote in with it."""
    tokens: list[Token] = []
    is_used_up = False
    for place, token in enumerate(state.tokens):
        if token.type == "inline" and place > 1 and state.tokens[place - 2].type == "blockquote_open":
            found = _ALERT.match(token.content)
            if found:
                title = found["title"].strip() or found["kind"].replace("-", " ").capitalize()
                opening = tokens.pop()
                rest = token.content[found.end() :]
                tokens += _paragraph(title, opening.level, is_lead=True)
                if not rest.strip():
                    is_used_up = True
                    continue
                tokens.append(opening)
                token.content = rest
        if is_used_up and token.type == "paragraph_close":
            is_used_up = False
            continue
        tokens.append(token)
    state.tokens = tokens


def _read_fences(state: StateCore) -> None:
    """Write a fence's title before it and leave the language alone on it; drop fences that only name another file."""
    tokens: list[Token] = []
    for token in state.tokens:
        if token.type == "fence":
            if _DROPPED_FENCES.match(token.info.strip()) or _SNIPPET_ONLY.fullmatch(token.content):
                if not re.match(r"\{(?:toctree|contents|image|bibliography|tableofcontents)\}", token.info.strip()):
                    count_included(state.env)
                continue
            title = _fence_title(token.info)
            if token.info.lstrip().startswith("{"):
                caption, token.content = _without_options(token.content)
                title = title or caption
            if title:
                tokens += _paragraph(title, token.level, is_lead=True)
            token.info = _fence_language(token.info)
        tokens.append(token)
    state.tokens = tokens


def _fence_title(info: str) -> str:
    if found := _FENCE_TITLE.search(info):
        return next(text for text in (*found.groups(), "") if text is not None)
    label = _FENCE_LABEL.search(_FENCE_ATTRIBUTES.sub("", info))
    return label["label"] if label else ""


def _without_options(code: str) -> tuple[str, str]:
    """The caption among the options that a directive's or cell's code begins with, and the code after them."""
    if block := _FENCE_YAML.match(code):
        return "", code[block.end() :]
    caption, lines = "", code.split("\n")
    for place, line in enumerate(lines):
        option = _FENCE_OPTION.match(line)
        if not option:
            return caption, "\n".join(lines[place + (place > 0 and not line.strip()) :])
        if (option["key"] or (option["colons"] or "").strip(":")) in _CAPTIONS:
            caption = (option["text"] or option["value"] or "").strip().strip("\"'")
    return caption, ""


def _fence_language(info: str) -> str:
    """Of ``js``, ``js{1,3}``, ``{.js .numberLines}``, ``{python}``, ``{code-block} js``."""
    info = info.strip()
    if found := _FENCE_ATTRIBUTES.match(info):
        named = re.search(r"\.([\w+#-]+)", found["list"]) or re.match(
            r"\s*(?:code-block|code-cell|code)?\s*([\w+#-]*)", found["list"]
        )
        language = named[1] if named else ""
        return language or (info[found.end() :].split() or [""])[0]
    found_name = re.match(r"[\w+#.-]*", info)
    return found_name[0] if found_name else ""


def _read_code(state: StateCore) -> None:
    """Show code as the generator shows it: Hugo's escaped shortcodes, and code spans whose last word names their language."""
    for token in state.tokens:
        if token.type == "fence":
            token.content = _shown_code(token.content)
        for child in token.children or ():
            if child.type == "code_inline":
                child.content = _SPAN_LANGUAGE.sub("", _shown_code(child.content))


def _shown_code(code: str) -> str:
    return _ESCAPED_SHORTCODE.sub(lambda found: found[0].replace("/*", "").replace("*/", ""), code) if "*/" in code else code


def _place_leads(state: StateCore) -> None:
    """A container's title leads its first sentence; before anything else than a paragraph it is one of its own."""
    waiting: Token | None = None
    text: Token | None = None
    for place, token in enumerate(state.tokens):
        if token.type == "html_block" and token.content.startswith("<a href"):
            continue
        is_lead = token.type == "paragraph_open" and bool(token.meta.get("lead"))
        if waiting is not None and text is not None and token is not text and token.type != "paragraph_close":
            if token.type == "paragraph_open" and not is_lead:
                waiting.attrSet("class", "admonition-title")
                text.content = text.content.rstrip().removesuffix(".")
            elif not text.content.rstrip().endswith(_ENDS_SENTENCE) and token.type not in ("container_end", "blockquote_close"):
                text.content = f"{text.content.rstrip()}:"
            waiting = text = None
        if is_lead:
            waiting, text = token, state.tokens[place + 1]


def _paragraph(text: str, level: int, *, is_lead: bool = False) -> list[Token]:
    opening = Token("paragraph_open", "p", 1, level=level, block=True, meta={"lead": is_lead})
    return [opening, _inline(text, level + 1), Token("paragraph_close", "p", -1, level=level, block=True)]


def _inline(text: str, level: int) -> Token:
    return Token("inline", "", 0, level=level, content=text, children=[], block=True)


def _first_date(facts: dict[str, str], keys: tuple[str, ...]) -> datetime | None:
    return next((at for key in keys if (at := parse_date(facts.get(key)))), None)
