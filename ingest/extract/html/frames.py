"""Documents that have frames in the place of a body."""

from __future__ import annotations

from lxml.html import HtmlElement

from ingest.extract.html.blocks import flat_text
from ingest.extract.html.refusals import count_words
from ingest.extract.html.tree import parse_tree

MAX_NOTICE_WORDS = 30  # "Your browser shows no frames. Go on to the table of contents."


def is_frameset(root: HtmlElement) -> bool:
    """Whether the document is a frameset. What it has in ``<noframes>``, if that is more than a notice, becomes its body."""
    if root.find("frameset") is None:
        return False
    body = root.find("body")
    for element in root.iter("noframes"):  # its content is text to browsers that know frames
        content = parse_tree(element.text or "")[0].find("body")
        if content is not None and body is not None and count_words(flat_text(content)) > MAX_NOTICE_WORDS:
            root.replace(body, content)
            break
    return True
