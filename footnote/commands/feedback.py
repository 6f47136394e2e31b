"""``footnote feedback``."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from corpus.errors import InvalidInput
from footnote import render
from footnote.client import Body
from footnote.commands.options import JsonOption, UrlOption, chosen_url
from footnote.connection import connect
from footnote.files import check_writable, write_whole
from footnote.terminal import out, show_json, show_note

app = typer.Typer(help="What people thought of answers.", no_args_is_help=True)
EVERYTHING = 1_000_000
CollectionOption = Annotated[
    str | None, typer.Option("--collection", "-c", metavar="NAME", show_default="all", help="Of answers from this one alone.")
]


@app.callback()
def feedback() -> None:
    """What people thought of answers, and how to measure with it."""


@app.command("list")
def list_(
    ctx: typer.Context,
    collection: CollectionOption = None,
    helpful: Annotated[
        bool | None, typer.Option("--helpful/--unhelpful", show_default="both", help="Only what was, or wasn't.")
    ] = None,
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, help="At most so many, the newest first.")] = 20,
    url: UrlOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show the newest judgements."""
    with connect(chosen_url(ctx, url)) as client:
        found = client.feedback(collection=collection, helpful=helpful, limit=limit)
    if as_json:
        show_json(found)
    elif found:
        render.feedback(out(), found)
    else:
        show_note("Nobody has judged an answer yet.")


@app.command()
def export(
    ctx: typer.Context,
    file: Annotated[
        Path,
        typer.Argument(metavar="FILE", show_default=False, help="Ends in .csv, for footnote eval; or .jsonl, for all of it."),
    ],
    collection: CollectionOption = None,
    url: UrlOption = None,
) -> None:
    """Write judgements to a file.

    FILE.csv: the questions whose answers were helpful, with the pages that they rightly cited, as `footnote eval retrieval
    --questions FILE.csv` takes them. FILE.jsonl: every judgement, one a line.
    """
    if file.suffix not in (".csv", ".jsonl"):
        raise InvalidInput(f"{file} must end in .csv (questions for footnote eval) or in .jsonl (every judgement).")
    check_writable(file)
    with connect(chosen_url(ctx, url)) as client:
        found = client.feedback(collection=collection, helpful=None, limit=EVERYTHING)
    if file.suffix == ".jsonl":
        write_whole(file, "".join(json.dumps(one, ensure_ascii=False) + "\n" for one in found))
        show_note(f"Written: {file} ({len(found)} judgements)")
        return
    questions = questions_of(found)
    if not questions:
        raise InvalidInput("No answer with a right citation of a page that is still there was called helpful yet.")
    write_whole(file, as_csv(questions))
    show_note(f"Written: {file} ({len(questions)} questions of {len(found)} judgements)")


@app.command()
def delete(
    ctx: typer.Context,
    feedback_id: Annotated[str, typer.Argument(metavar="ID", show_default=False, help="As `feedback list --json` shows it.")],
    url: UrlOption = None,
) -> None:
    """Delete a judgement, with its question."""
    with connect(chosen_url(ctx, url)) as client:
        client.delete_feedback(feedback_id)


def questions_of(judgements: Sequence[Body]) -> dict[str, list[str]]:
    """The helpful answers' questions, with the pages they rightly cited. The newest judgement of a page counts: the one who
    called it wrong, or the one who didn't."""
    said: dict[tuple[str, str], bool] = {}
    for one in judgements:  # the newest first
        for citation in one["citations"]:
            # footnote eval takes ; for what separates two pages, so one whose URL holds it can't be named.
            if citation["url"] and ";" not in citation["url"] and (citation["wrong"] or one["helpful"]):
                said.setdefault((one["question"].strip(), citation["url"]), not citation["wrong"])
    questions: dict[str, list[str]] = {}
    for (question, page_url), is_right in said.items():
        if is_right:
            questions.setdefault(question, []).append(page_url)
    return questions


def as_csv(questions: dict[str, list[str]]) -> str:
    """One row for each page of a question."""
    written = io.StringIO()
    rows = csv.writer(written, lineterminator="\n", quoting=csv.QUOTE_ALL)  # a question may hold line breaks
    rows.writerow(("question", "expected_url"))
    rows.writerows((question, page_url) for question, pages in questions.items() for page_url in pages)
    return written.getvalue()
