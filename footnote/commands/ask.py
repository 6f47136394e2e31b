"""``footnote ask`` and ``footnote search``."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from enum import StrEnum
from typing import Annotated

import typer
from rich.console import Group
from rich.live import Live
from rich.spinner import Spinner
from rich.text import Text

from corpus.errors import FootnoteError
from footnote import render
from footnote.client import Body, Event
from footnote.commands.options import (
    DEFAULT_COLLECTION,
    CollectionOption,
    JsonOption,
    LanguageOption,
    UrlOption,
    UrlPrefixOption,
    chosen_url,
    filters,
)
from footnote.connection import connect
from footnote.terminal import clean, err, out, show_json

DraftView = Callable[[str, int], None]  # the draft so far, and how many passages were found


class Mode(StrEnum):
    """As ``corpus.model.SearchMode``: what the API takes."""

    HYBRID = "hybrid"
    DENSE = "dense"
    LEXICAL = "lexical"


def ask(
    ctx: typer.Context,
    question: Annotated[str, typer.Argument(show_default=False, help="What you want to know.")],
    after: Annotated[
        list[str] | None,
        typer.Option(
            "--after",
            metavar="QUESTION",
            show_default=False,
            help="A question asked before, which this one follows up; again for more, the oldest first.",
        ),
    ] = None,
    collection: CollectionOption = DEFAULT_COLLECTION,
    url_prefix: UrlPrefixOption = None,
    language: LanguageOption = None,
    url: UrlOption = None,
    as_json: JsonOption = False,
) -> None:
    """Answer a question from the indexed pages, with footnotes.

    On a terminal the model's draft is shown dimmed while it is written, then replaced by the answer that held.
    """
    with connect(chosen_url(ctx, url), with_model=True) as client:
        wanted = filters(url_prefix=url_prefix, language=language)
        answer = _last(client.ask(question, collection=collection, filters=wanted, history=after or []))
    if as_json:
        show_json(answer)
    else:
        render.answer(out(), answer)


def search(
    ctx: typer.Context,
    query: Annotated[str, typer.Argument(show_default=False, help="What to look for.")],
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, max=1000, help="Most hits shown.")] = 10,
    mode: Annotated[Mode, typer.Option("--mode", help="By meaning (dense), by words (lexical), or both.")] = Mode.HYBRID,
    explain: Annotated[bool, typer.Option("--explain", help="Show each stage's rank, score and time.")] = False,
    rerank: Annotated[bool, typer.Option("--rerank/--no-rerank", help="Rerank the candidates.")] = True,
    collection: CollectionOption = DEFAULT_COLLECTION,
    url_prefix: UrlPrefixOption = None,
    language: LanguageOption = None,
    url: UrlOption = None,
    as_json: JsonOption = False,
) -> None:
    """Find the passages that match, best first."""
    wanted = filters(url_prefix=url_prefix, language=language)
    with connect(chosen_url(ctx, url)) as client:
        found = client.search(
            query, limit=limit, mode=mode.value, explain=explain, rerank=rerank, collection=collection, filters=wanted
        )
    if as_json:
        show_json(found)
    else:
        render.hits(out(), found)


def _last(events: Iterator[Event]) -> Body:
    """The answer; until it is there, what is going on is shown on stderr if that is a terminal."""
    console = err()
    if not console.is_terminal:
        return _answer_of(events, show_draft=lambda draft, passages: None)
    with Live(Spinner("dots", Text("searching…")), console=console, transient=True, refresh_per_second=12) as live:

        def show_draft(draft: str, passages: int) -> None:
            if draft:
                # Only the end of a long draft: what is taller than the screen can't be taken back.
                lines = Text(clean(draft, keep_lines=True), style="dim").wrap(console, console.width)
                live.update(
                    Group(
                        *lines[-max(1, console.height - 3) :], Spinner("dots", Text("draft, not checked yet", style="dim italic"))
                    )
                )
            else:
                live.update(Spinner("dots", Text(f"weighing {passages} passages…")))

        return _answer_of(events, show_draft=show_draft)


def _answer_of(events: Iterator[Event], *, show_draft: DraftView) -> Body:
    draft, passages = "", 0
    for event in events:
        match event.name:
            case "retrieval":
                passages = len(event.data["hits"])
                show_draft(draft, passages)
            case "token":
                draft += event.data["text"]
                show_draft(draft, passages)
            case "done":
                return event.data
    raise FootnoteError("The answer's events ended without an answer.")
