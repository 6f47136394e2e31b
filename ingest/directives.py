"""What a page tells robots: the X-Robots-Tag header and ``<meta name=robots>``. Pure.

All that concern us count together, so the strictest wins: no "index" takes back a "noindex", and what speaks to every robot
holds beside what speaks to ours (developers.google.com/search/docs/crawling-indexing/robots-meta-tag).
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

_NAMED = re.compile(r"\s*([\w-]+)\s*:(.*)", re.DOTALL)
_WITH_VALUE = frozenset(("unavailable_after", "max-snippet", "max-image-preview", "max-video-preview"))
# A date of RFC 850 or RFC 822 has a comma of its own, after the weekday.
_UNAVAILABLE_AFTER = re.compile(
    r"unavailable_after\s*:\s*((?:(?:mon|tue|wed|thu|fri|sat|sun)[a-z]*\s*,\s*)?[^,]*)", re.IGNORECASE
)


def in_headers(values: Iterable[str], *, product: str, now: datetime) -> frozenset[str]:
    """The directives of X-Robots-Tag headers that concern us: those for all, and those that name our product token.

    ``values`` is one string a header, for a name holds until the end of its header.
    """
    concern_us = []
    for value in values:
        named = _NAMED.match(value)
        if named is None or named[1].lower() in _WITH_VALUE:
            concern_us.append(value)
        elif named[1].lower() == product.lower():
            concern_us.append(named[2])
    return in_contents(concern_us, now=now)


def in_contents(values: Iterable[str], *, now: datetime) -> frozenset[str]:
    """The directives in these lists, in lower case. ``none`` stands for noindex and nofollow, and a date in the past after
    ``unavailable_after`` for noindex; one that can't be read says nothing."""
    found: set[str] = set()
    for value in values:
        for date in _UNAVAILABLE_AFTER.findall(value):
            moment = _date(date.strip())
            if moment is not None and moment <= now:
                found.add("noindex")
        found.update(part.strip().lower() for part in _UNAVAILABLE_AFTER.sub("", value).split(","))
    return frozenset(found | {"noindex", "nofollow"} if "none" in found else found)


def _date(text: str) -> datetime | None:
    """A date of RFC 822, RFC 850 or ISO 8601; without a zone it is UTC."""
    for parse in (parsedate_to_datetime, datetime.fromisoformat):
        try:
            moment = parse(text)
        except (ValueError, OverflowError, IndexError):
            continue
        return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return None
