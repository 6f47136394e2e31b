"""Finds where tags, expressions and statements of foreign syntax end, in linear time."""

from __future__ import annotations

import re
from collections.abc import MutableMapping
from typing import Any

MAX_TAG_CHARS = 4_000
MAX_STATEMENT_CHARS = 40_000
# What scans that find no end may read of one document, in characters. A text made of beginnings only would otherwise be read
# from each of them.
MAX_WASTED_CHARS = 400_000

_TAG_PART = re.compile(r"""(?P<quoted>"[^"]*"|'[^']*'|`[^`]*`)|(?P<mark>[{}<>])|(?P<other>[^"'`{}<>]+|["'`])""")
_TAG_NAME = re.compile(r"</?\s*(?P<name>[A-Za-z][\w.:-]*)?")
_STATEMENT_PART = re.compile(
    r"""(?P<skipped>"(?:[^"\\\n]|\\.)*"|'(?:[^'\\\n]|\\.)*'|`(?:[^`\\]|\\.)*`|//[^\n]*|/\*(?:[^*]|\*(?!/))*\*/)"""
    r"""|(?P<mark>[{}()\[\]\n;])|(?P<other>[^"'`/{}()\[\]\n;]+|.)""",
    re.DOTALL,
)


def find_tag_end(source: str, start: int, env: MutableMapping[str, Any]) -> int:
    """Where the tag that begins at ``start`` ends, past its ``>``; 0 where it doesn't.

    Quotes and JSX expressions in it may hold ``>``.
    """
    limit = _limit(source, start, MAX_TAG_CHARS, env)
    name = _TAG_NAME.match(source, start, limit)
    if not name:
        return 0
    depth = 0
    pos = name.end()
    while pos < limit and (part := _TAG_PART.match(source, pos, limit)):
        pos = part.end()
        mark = part["mark"]
        if mark == "{":
            depth += 1
        elif mark == "}":
            depth -= 1
        elif mark == ">" and depth == 0:
            return pos
        if (mark == "<" and depth == 0) or depth < 0:
            break
    _waste(env, pos - start)
    return 0


def find_expression_end(source: str, start: int, env: MutableMapping[str, Any]) -> int:
    """Where the ``{…}`` that begins at ``start`` ends, past its brace; 0 where it doesn't."""
    limit = _limit(source, start, MAX_TAG_CHARS, env)
    depth = 0
    pos = start
    while pos < limit and (part := _TAG_PART.match(source, pos, limit)):
        pos = part.end()
        depth += {"{": 1, "}": -1}.get(part["mark"] or "", 0)
        if depth == 0:
            return pos
    _waste(env, pos - start)
    return 0


def find_statement_end(source: str, start: int, env: MutableMapping[str, Any]) -> int:
    """Where the JavaScript statement that begins at ``start`` ends: the first line's end outside of brackets; 0 where none is."""
    limit = _limit(source, start, MAX_STATEMENT_CHARS, env)
    depth = 0
    pos = start
    while pos < limit and (part := _STATEMENT_PART.match(source, pos, limit)):
        mark = part["mark"]
        if mark == "\n" and depth == 0 and not source[start:pos].rstrip().endswith(("=", "=>", ",", "from")):
            return pos
        pos = part.end()
        if mark and mark in "{([":
            depth += 1
        elif mark and mark in "})]":
            depth -= 1
        if depth < 0:
            break
    if pos >= len(source) and depth == 0:
        return pos
    _waste(env, pos - start)
    return 0


def match_bounded(source: str, pattern: re.Pattern[str], start: int, env: MutableMapping[str, Any]) -> re.Match[str] | None:
    """A match at ``start`` of at most :data:`MAX_TAG_CHARS`."""
    limit = _limit(source, start, MAX_TAG_CHARS, env)
    found = pattern.match(source, start, limit)
    if not found:
        _waste(env, limit - start)
    return found


def find_text(source: str, wanted: re.Pattern[str], start: int, env: MutableMapping[str, Any]) -> re.Match[str] | None:
    """The first match after ``start``. Where one search found none, later ones for the same are not made."""
    absent: set[str] = env.setdefault("absent", set())
    if wanted.pattern in absent:
        return None
    found = wanted.search(source, start)
    if not found:
        absent.add(wanted.pattern)
    return found


def _limit(source: str, start: int, most: int, env: MutableMapping[str, Any]) -> int:
    return start if env.get("wasted", 0) > MAX_WASTED_CHARS else min(len(source), start + most)


def _waste(env: MutableMapping[str, Any], chars: int) -> None:
    env["wasted"] = env.get("wasted", 0) + chars
