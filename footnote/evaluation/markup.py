"""HTML written from values: whatever is a string is escaped, and only what was made here is markup."""

from __future__ import annotations

import json
from collections.abc import Iterable
from html import escape
from typing import Any

from footnote.terminal import clean

_VOID = {"meta", "br"}


class Html:
    """Finished markup. Its own type, so that no string of strangers can be taken for it."""

    def __init__(self, text: str) -> None:
        self.text = text

    def __str__(self) -> str:
        return self.text


def tag(name: str, /, *children: Any, **attributes: Any) -> Html:
    """An element. Strings are text; lists are flattened; None is left out. Attributes: ``class_`` is class, ``aria_label`` is
    aria-label, None and False are left out, True is the bare name."""
    written = "".join(_attribute(key, value) for key, value in attributes.items() if value is not None and value is not False)
    if name in _VOID:
        return Html(f"<{name}{written}>")
    return Html(f"<{name}{written}>{_content(children)}</{name}>")


def join(*children: Any) -> Html:
    """Several pieces one after the other."""
    return Html(_content(children))


def data(identifier: str, value: Any) -> Html:
    """JSON for a script to read: no text in it can end the element."""
    written = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    for character in "<>&\u2028\u2029":
        written = written.replace(character, f"\\u{ord(character):04x}")
    return Html(f'<script type="application/json" id="{escape(identifier)}">{_encodable(written)}</script>')


def document(*, title: str, head: Html, body: Html) -> str:
    """A whole page."""
    return (
        f"<!doctype html>\n{tag('html', tag('head', tag('meta', charset='utf-8'), tag('title', title), head), body, lang='en')}\n"
    )


def _content(children: Iterable[Any]) -> str:
    written = []
    for child in children:
        if isinstance(child, Html):
            written.append(child.text)
        elif isinstance(child, str):
            written.append(escape(clean(child, keep_lines=True), quote=False))
        elif isinstance(child, int | float):
            written.append(str(child))
        elif child is not None:
            written.append(_content(child))
    return "".join(written)


def _attribute(key: str, value: Any) -> str:
    name = key.rstrip("_").replace("_", "-")
    return f" {name}" if value is True else f' {name}="{escape(clean(str(value), keep_lines=True))}"'


def _encodable(text: str) -> str:
    return text.encode("utf-8", errors="replace").decode("utf-8")
