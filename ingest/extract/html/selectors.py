"""CSS selectors of a page's content, compiled to XPath."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import lru_cache
from typing import cast

from lxml.cssselect import CSSSelector
from lxml.html import HtmlElement

from corpus.errors import InvalidInput, PermanentError
from corpus.selectors import check_selectors

Selector = Callable[[HtmlElement], list[HtmlElement]]
"""Gives what it matches of an element and those below it, in document order."""


def compile_selectors(texts: Iterable[str]) -> tuple[Selector, ...]:
    """Compile selectors for HTML trees without namespaces: names of elements count in any case.

    Raises:
        PermanentError: reason ``bad_selector``. Selectors are checked where they are given (:func:`check_selectors`), so this is
            for those that came another way.
    """
    return _compiled(tuple(texts))


@lru_cache(maxsize=64)  # a job applies the same ones to each of its pages
def _compiled(texts: tuple[str, ...]) -> tuple[Selector, ...]:
    try:
        return tuple(cast(Selector, CSSSelector(text, translator="html")) for text in check_selectors(texts))
    except InvalidInput as exc:
        raise PermanentError(exc.message, reason="bad_selector") from exc
