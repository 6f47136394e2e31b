"""How much of a page was kept, and what was left out, as text for people."""

from __future__ import annotations

from collections.abc import Iterator

from rich.console import Console
from rich.table import Table
from rich.text import Text

from footnote.client import Body
from footnote.terminal import clean, show

PARTS_SHOWN = 5
QUOTED_CHARS = 60


def share(coverage: Body | None) -> str:
    """``79%``; nothing where it isn't known."""
    return "" if coverage is None else f"{_percent(coverage['share'])}"


def line(coverage: Body | None) -> str:
    """``kept 812 of 1,034 words (79%); left out: navigation 150 words “Home Docs”, 3 smaller parts``; nothing where it isn't
    known."""
    if coverage is None:
        return ""
    parts = [f"{_what(part)} “{clean(_shortened(part['text']))}”" for part in _largest(coverage)[:PARTS_SHOWN]]
    rest = len(coverage["left_out"] or ()) - PARTS_SHOWN
    parts += [f"{rest} smaller part{'s' if rest > 1 else ''}"] if rest > 0 else []
    return _sum(coverage) + (f"; left out: {', '.join(parts)}" if parts else "")


def paragraph(console: Console, coverage: Body | None, *, indent: int = 0) -> None:
    """As :func:`line`, with a line for each part."""
    if coverage is None:
        return
    show(console, Text(_sum(coverage), style="dim"), indent=indent)
    for part in _largest(coverage):
        words = Text.assemble(f"{_what(part)}: ", (clean(part["text"]), "dim"))
        show(console, Text("left out: ", style="dim") + words, indent=indent + 2)


def explanation(console: Console, body: Body) -> None:
    """How one page is read: on a terminal kept and left out side by side, in the page's order; elsewhere the text, and what was
    left out between its lines, each of those with a minus before it."""
    show(console, Text(clean(body["title"]) or "(no title)", style="bold"))
    show(console, Text(clean(body["url"])))
    coverage = body["coverage"]
    if coverage is None:
        show(console, Text("Nothing can be left out of this format: all of it is kept.", style="dim"))
    else:
        show(console, Text(_sum(coverage)))
    for kind in ("keep", "drop"):
        if body[kind]:
            show(console, Text(f"selectors to {kind}: {clean(', '.join(body[kind]))}", style="dim"))
    for note in body["notes"]:
        show(console, Text.assemble(("Note: ", "yellow"), clean(note)))
    console.print()
    if console.is_terminal:
        _side_by_side(console, body)
    else:
        _interleaved(console, body)


def _side_by_side(console: Console, body: Body) -> None:
    drawn = Table(box=None, pad_edge=False, header_style="bold dim", expand=True, padding=(0, 2, 1, 0))
    drawn.add_column("kept", ratio=3, overflow="fold")
    drawn.add_column("left out", ratio=2, overflow="fold")
    for part, kept in _pieces(body):
        left = Text(clean(kept, keep_lines=True))
        if part is None:
            drawn.add_row(left, Text())
            continue
        reason = Text(f"{_what(part)}\n", style="yellow")
        drawn.add_row(left, reason + Text(clean(part["text"], keep_lines=True), style="dim not bold"))
    console.print(drawn)


def _interleaved(console: Console, body: Body) -> None:
    for part, kept in _pieces(body):
        if part is not None:
            show(console, Text(f"- [{_what(part)}]"))
            for text in clean(part["text"], keep_lines=True).strip().splitlines():
                show(console, Text(f"- {text}"))
        if kept:
            show(console, Text(clean(kept, keep_lines=True)))


def _pieces(body: Body) -> Iterator[tuple[Body | None, str]]:
    """Each part that was left out, with the kept text from where it stood to the next one; and first the text before them."""
    text = body["text"]
    parts = sorted((body["coverage"] or {}).get("left_out") or (), key=lambda part: part["at"])
    places = [part["at"] for part in parts] + [len(text)]
    if before := text[: places[0]].strip():
        yield None, before
    for part, begin, end in zip(parts, places, places[1:], strict=False):
        yield part, text[begin:end].strip()


def _largest(coverage: Body) -> list[Body]:
    return sorted(coverage["left_out"] or (), key=lambda part: -part["words"])


def _sum(coverage: Body) -> str:
    return f"kept {coverage['kept_words']:,} of {coverage['visible_words']:,} words ({_percent(coverage['share'])})"


def _what(part: Body) -> str:
    words = "1 word" if part["words"] == 1 else f"{part['words']:,} words"
    return f"{clean(part['reason'])} {words}"


def _shortened(text: str) -> str:
    text = " ".join(text.split())
    return text if len(text) <= QUOTED_CHARS else f"{text[:QUOTED_CHARS].rpartition(' ')[0] or text[: QUOTED_CHARS - 1]}…"


def _percent(share: float) -> str:
    """Never 100% of what isn't whole, nor 0% of what is something."""
    rounded = round(100 * share)
    return f"{99 if rounded == 100 and share < 1 else 1 if rounded == 0 and share > 0 else rounded}%"
