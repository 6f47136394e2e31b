"""The Content-Type header, read as browsers read it.

The web's grammar is wider than RFC 9110's: headers come twice, proxies join them with commas, semicolons are doubled or missing.
These are the algorithms "parse a MIME type" (WHATWG MIME Sniffing) and "extract a MIME type" (WHATWG Fetch).
"""

from __future__ import annotations

import re
from dataclasses import dataclass

_SPACE = "\t\n\r "
_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_QUOTED = re.compile(r'"((?:[^"\\]|\\.)*)(?:"|\\?\Z)', re.DOTALL)  # the closing mark may be missing
_VALUE = re.compile(r'[^,"]*(?:"(?:[^"\\]|\\.)*(?:"|\\?\Z)[^,"]*)*', re.DOTALL)  # up to a comma outside quotation marks


@dataclass(frozen=True, slots=True)
class ContentType:
    """``essence`` is type/subtype in lower case, ``charset`` the parameter's label in lower case; each None where nothing
    valid was said."""

    essence: str | None = None
    charset: str | None = None


def parse_content_type(header: str) -> ContentType:
    """Read one or several values, joined by commas: the last valid one counts.

    A charset outlives a later value that repeats the type without one. ``*/*`` says nothing.
    """
    found = ContentType()
    for value in _values(header):
        parsed = _parse(value)
        if parsed.essence is None or parsed.essence == "*/*":
            continue
        kept = found.charset if parsed.essence == found.essence else None
        found = ContentType(parsed.essence, parsed.charset or kept)
    return found


def _values(header: str) -> list[str]:
    values, at = [], 0
    while at <= len(header):
        found = _VALUE.match(header, at)
        end = found.end() if found else len(header)
        values.append(header[at:end])
        at = end + 1
    return values


def _parse(value: str) -> ContentType:
    essence, _, parameters = value.partition(";")
    kind, _, subtype = essence.strip(_SPACE).partition("/")
    if not (_TOKEN.fullmatch(kind) and _TOKEN.fullmatch(subtype)):
        return ContentType()
    return ContentType(f"{kind}/{subtype}".lower(), _charset(parameters))


def _charset(parameters: str) -> str | None:
    """The first parameter of that name which has a value."""
    at = 0
    while at < len(parameters):
        end = _end(parameters, at, ";=")
        name = parameters[at:end].strip(_SPACE).lower()
        at = end + 1
        if parameters[end : end + 1] != "=":
            continue
        quoted = _QUOTED.match(parameters, at)
        end = _end(parameters, quoted.end() if quoted else at, ";")
        label = re.sub(r"\\(.)", r"\1", quoted[1]) if quoted else parameters[at:end].strip(_SPACE)
        if name == "charset" and label.strip(_SPACE + "'"):
            return label.strip(_SPACE + "'").lower()  # single quotes are no quotes to the standard, but no label has any
        at = end + 1
    return None


def _end(text: str, start: int, stops: str) -> int:
    return min((at for stop in stops if (at := text.find(stop, start)) >= 0), default=len(text))
