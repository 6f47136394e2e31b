"""CSS selectors as people give them, checked before anything is done with them."""

from __future__ import annotations

from collections.abc import Iterable

from corpus.errors import InvalidInput

MAX_SELECTORS = 20
MAX_SELECTOR_CHARS = 500
_SHOWN_CHARS = 80


def check_selectors(texts: Iterable[str]) -> tuple[str, ...]:
    """CSS selectors that are sure to compile, without the white space around them.

    Args:
        texts: selectors of level 3, and what cssselect reads of level 4 (``:is``, ``:where``, ``:has``). One text may hold
            several with commas between them.

    Raises:
        InvalidInput: one can't be read or is longer than :data:`MAX_SELECTOR_CHARS`, and the message names it; or there are
            more than :data:`MAX_SELECTORS`.
    """
    selectors = tuple(text.strip() for text in texts)
    if len(selectors) > MAX_SELECTORS:
        few = f"{MAX_SELECTORS} are the most. Join several in one with commas, such as: nav, .ad"
        raise InvalidInput(f"{len(selectors)} CSS selectors were given; {few}")
    for selector in selectors:
        _check(selector)
    return selectors


def _check(selector: str) -> None:
    from lxml import etree
    from lxml.cssselect import CSSSelector, SelectorError

    shown = selector if len(selector) <= _SHOWN_CHARS else f"{selector[:_SHOWN_CHARS]}…"
    if len(selector) > MAX_SELECTOR_CHARS:
        raise InvalidInput(f'The CSS selector "{shown}" is longer than {MAX_SELECTOR_CHARS} characters. Shorten it.')
    try:
        CSSSelector(selector, translator="html")(etree.Element("html"))  # namespace prefixes fail only when it is applied
    except (SelectorError, etree.XPathError, RecursionError, ValueError) as exc:
        why = "it is nested too deeply" if isinstance(exc, RecursionError) else str(exc).rstrip(".")
        raise InvalidInput(
            f'The CSS selector "{shown}" can\'t be read: {why}. Write it as in a style sheet: main, #content > article, div.ad.'
        ) from exc
