"""Reads the metadata that stands before a Markdown text: YAML, TOML or JSON.

YAML and TOML are not parsed: a line ``key: value`` says all that is wanted, and aliases can't multiply.
"""

from __future__ import annotations

import json
import re

_MAX_CHARS = 20_000
_FENCED = re.compile(
    r"\A(?P<fence>---|\+\+\+|;;;)[^\S\n]*\n(?P<lines>(?:.*\n){0,400}?)(?:(?P=fence)|\.\.\.)[^\S\n]*(?:\n|\Z)",
)
_JSON = re.compile(r"\A\{[^\S\n]*\n(?:[^}\n].*\n|\n)*\}[^\S\n]*(?:\n|\Z)")
_LINE = re.compile(r"(?:[\"']?[\w.$:/@-]+[\"']?\s*[:=](?:\s.*)?|\s+.*|-(?:\s.*)?|#.*|\[.*\]|[\]}]|)")
_KEY_VALUE = re.compile(r"""["']?(?P<key>[\w.-]+)["']?\s*[:=]\s+(?P<value>.*\S)""")
_BLOCK_SCALAR = re.compile(r"[>|][+-]?\d?")


def split_front_matter(text: str) -> tuple[dict[str, str], str]:
    """The metadata before the text, as strings under keys in lower case, and the text after it."""
    head = text[:_MAX_CHARS]
    if found := _JSON.match(head):
        facts = _json_facts(found[0])
        return (facts, text[found.end() :]) if facts is not None else ({}, text)
    found = _FENCED.match(head)
    if not found:
        return {}, text
    if found["fence"] == ";;;":
        facts = _json_facts(found["lines"])
        return (facts, text[found.end() :]) if facts is not None else ({}, text)
    lines = found["lines"].splitlines()
    if not all(_LINE.fullmatch(line) for line in lines):  # a rule between paragraphs
        return {}, text
    return _line_facts(lines), text[found.end() :]


def _line_facts(lines: list[str]) -> dict[str, str]:
    facts: dict[str, str] = {}
    for number, line in enumerate(lines):
        pair = _KEY_VALUE.fullmatch(line)
        if not pair:
            continue
        value = pair["value"].strip("\"'")
        if _BLOCK_SCALAR.fullmatch(value):
            value = ""
            for below in lines[number + 1 :]:
                if below and not below[0].isspace():
                    break
                value += f"{below.strip()} "
        facts.setdefault(pair["key"].lower(), value.strip())
    return facts


def _json_facts(source: str) -> dict[str, str] | None:
    try:
        parsed = json.loads(source)
    except (ValueError, RecursionError):
        return None
    if not isinstance(parsed, dict):
        return None
    return {str(key).lower(): value for key, value in parsed.items() if isinstance(value, str)}
