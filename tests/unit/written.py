"""What the writer of blocks makes of markup, without the search for a page's content before it."""

from __future__ import annotations

from ingest.extract.extracted import new_builder
from ingest.extract.html.blocks import BlockWriter
from ingest.extract.html.tree import parse_tree


def written(markup: str) -> str:
    """The text of a page's body, all of which is content. Its blocks are checked to be where the text has them."""
    document = parse_tree(f"<!doctype html><body>{markup}</body>")
    builder = new_builder()
    BlockWriter(builder).write(document.root.find("body"))
    text, end = builder.text, 0
    for block in builder.blocks:
        assert text[end : block.start].strip() == ""
        piece = text[block.start : block.end]
        assert piece
        assert piece == piece.strip()
        end = block.end
    assert end == len(text)
    return text
