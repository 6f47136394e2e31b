"""Reads Markdown by way of HTML: CommonMark with tables, definition lists, footnotes, formulas and the usual admonitions."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import UTC, datetime
from functools import cache
from html import escape

from markdown_it import MarkdownIt
from mdit_py_plugins.admon import admon_plugin
from mdit_py_plugins.deflist import deflist_plugin
from mdit_py_plugins.dollarmath import dollarmath_plugin
from mdit_py_plugins.footnote import footnote_plugin

from ingest.extract.dates import Dates, parse_date
from ingest.extract.extracted import ExtractedPage
from ingest.extract.html.head import MAX_TITLE_CHARS, language_subtag, title_of_text
from ingest.extract.html.page import read_converted
from ingest.extract.page_text import one_line

MAX_NESTING = 40  # of lists, quotes and emphasis; beyond it the parser drops what it finds
_MAX_FRONT_MATTER_CHARS = 20_000

# YAML and TOML are not parsed: a line "key: value" says all that is wanted, and aliases can't multiply.
_FRONT_MATTER = re.compile(r"\A(?P<fence>---|\+\+\+)[^\S\n]*\n(?P<lines>(?:.*\n){0,200}?)(?P=fence)[^\S\n]*(?:\n|\Z)")
_FRONT_MATTER_LINE = re.compile(r"(?:[\w.-]+\s*[:=](?:\s.*)?|\s+.*|-\s.*|#.*|\[.*\]|[\]}]|)")
_KEY_VALUE = re.compile(r"""(?P<key>[\w.-]+)\s*[:=]\s+(?P<value>.*\S)""")
_ALERT = re.compile(
    r"^(?P<quote>[^\S\n]{0,3}>[^\S\n]*)\[!(?P<kind>NOTE|TIP|IMPORTANT|WARNING|CAUTION)\][^\S\n]*\n(?=[^\S\n]{0,3}>)", re.MULTILINE
)
_PUBLISHED_KEYS = ("date", "published", "publishdate", "published_at", "pubdate", "created")
_MODIFIED_KEYS = ("lastmod", "updated", "modified", "last_modified", "modified_at", "updated_at", "last_updated")


def read_markdown(text: str, *, url: str, now: datetime | None = None) -> ExtractedPage:
    """Read a Markdown document. Title, dates and language come from its front matter, else from the text."""
    text = text.replace("\r\n", "\n").replace("\r", "\n").replace("\0", "")
    facts, text = _front_matter(text)
    text = _ALERT.sub(lambda found: f"{found['quote']}**{found['kind'].capitalize()}:** \n", text)
    tokens = _parser().parse(text)
    markup = _parser().renderer.render(tokens, _parser().options, {})
    read = read_converted(f"<body>{markup}</body>", url=url)
    page = read.page
    title = facts.get("title") or title_of_text(page)
    declared = language_subtag(facts.get("lang") or facts.get("language") or facts.get("locale") or "")
    dates = Dates(_first_date(facts, _PUBLISHED_KEYS), _first_date(facts, _MODIFIED_KEYS)).before(now or datetime.now(UTC))
    notes = read.notes
    if max((token.level for token in tokens), default=0) >= MAX_NESTING - 1:
        notes = (*notes, f"text nested deeper than {MAX_NESTING} levels was dropped")
    return replace(
        read,
        page=replace(page, title=one_line(title)[:MAX_TITLE_CHARS], language=declared or page.language),
        published_at=dates.published_at,
        modified_at=dates.modified_at,
        notes=notes,
    )


@cache
def _parser() -> MarkdownIt:
    parser = MarkdownIt("commonmark", {"maxNesting": MAX_NESTING}).enable(["table", "strikethrough"])
    parser.use(deflist_plugin).use(footnote_plugin).use(admon_plugin)
    parser.use(dollarmath_plugin, allow_labels=False, allow_space=False, allow_digits=False, renderer=_formula)
    return parser


def _formula(source: str, _: dict[str, object]) -> str:
    return f'<math alttext="{escape(source.strip())}"></math>'


def _front_matter(text: str) -> tuple[dict[str, str], str]:
    """The metadata before the text, as strings under keys in lower case, and the text after it."""
    found = _FRONT_MATTER.match(text[:_MAX_FRONT_MATTER_CHARS])
    lines = found["lines"].splitlines() if found else []
    if not found or not all(_FRONT_MATTER_LINE.fullmatch(line) for line in lines):  # a rule between paragraphs
        return {}, text
    facts: dict[str, str] = {}
    for line in lines:
        if pair := _KEY_VALUE.fullmatch(line):
            facts.setdefault(pair["key"].lower(), pair["value"].strip("\"'"))
    return facts, text[found.end() :]


def _first_date(facts: dict[str, str], keys: tuple[str, ...]) -> datetime | None:
    return next((at for key in keys if (at := parse_date(facts.get(key)))), None)
