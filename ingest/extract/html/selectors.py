"""CSS selectors of a page's content, compiled to XPath."""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache

from lxml.cssselect import CSSSelector

from corpus.errors import InvalidInput, PermanentError
from corpus.selectors import check_selectors


def compile_selectors(texts: Iterable[str]) -> tuple[CSSSelector, ...]:
    """Compile selectors for HTML trees without namespaces: names of elements count in any case. Each gives, called with an
    element, what it matches among the elements below it (and itself), in document order.

    Raises:
        PermanentError: reason ``bad_selector``. Selectors are checked where they are given (:func:`check_selectors`), so this is
            for those that came another way.
    """
    return _compiled(tuple(texts))


@lru_cache(maxsize=64)  # a job applies the same ones to each of its pages
def _compiled(texts: tuple[str, ...]) -> tuple[CSSSelector, ...]:
    try:
        return tuple(CSSSelector(text, translator="html") for text in check_selectors(texts))
    except InvalidInput as exc:
        raise PermanentError(exc.message, reason="bad_selector") from exc
