"""``footnote eval``."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Coroutine
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from corpus.errors import InvalidInput
from footnote.commands.options import DEFAULT_COLLECTION, CollectionOption, UrlOption, chosen_url
from footnote.connection import connect
from footnote.files import check_writable, write_whole
from footnote.terminal import out, show_json, show_note

if TYPE_CHECKING:
    from corpus.settings import Settings

app = typer.Typer(help="Measure how good search and answers are.", no_args_is_help=True)

STDOUT = Path("-")
KeepOption = Annotated[
    Path | None,
    typer.Option("--keep", metavar="DIR", show_default=False, help="Keep the indexes here: the next run embeds nothing again."),
]
JsonFileOption = Annotated[
    Path | None, typer.Option("--json", metavar="FILE", show_default=False, help="Write all figures as JSON; - for stdout.")
]
HtmlFileOption = Annotated[
    Path | None, typer.Option("--html", metavar="FILE", show_default=False, help="Write a report to look at, in one file.")
]
PublishOption = Annotated[
    bool, typer.Option("--publish", help="Also keep the figures in the data directory, for the web page of the service there.")
]
SeedOption = Annotated[int, typer.Option("--seed", min=0, help="Of the resampling that intervals come from.")]


@app.callback()
def evaluate() -> None:
    """Measure how good search and answers are, on questions whose answers are known."""


@app.command("retrieval")
def retrieval(
    ctx: typer.Context,
    folders: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="DIR…", show_default=False, help="Test sets in BEIR's layout: corpus.jsonl, queries.jsonl, qrels.tsv."
        ),
    ] = None,
    questions: Annotated[
        Path | None,
        typer.Option(
            "--questions",
            metavar="FILE.csv",
            show_default=False,
            help="Ask your own pages instead: columns question and expected_url (several with ; between them).",
        ),
    ] = None,
    split: Annotated[str, typer.Option("--split", metavar="NAME", help="Which queries and judgements: test, train, ….")] = "test",
    configurations: Annotated[
        str | None,
        typer.Option(
            "--configurations",
            metavar="A,B,…",
            show_default="all",
            help="Of rank-bm25, bm25, dense, rrf, convex, maxsim, cross-encoder.",
        ),
    ] = None,
    limit_queries: Annotated[
        int | None, typer.Option("--limit-queries", min=1, metavar="N", show_default=False, help="Only the first N of each set.")
    ] = None,
    pool: Annotated[
        bool, typer.Option("--pool", help="All sets in one index; sets with the same ids are also judged across languages.")
    ] = False,
    keep: KeepOption = None,
    json_file: JsonFileOption = None,
    html_file: HtmlFileOption = None,
    publish: PublishOption = False,
    seed: SeedOption = 0,
    collection: CollectionOption = DEFAULT_COLLECTION,
    url: UrlOption = None,
) -> None:
    """Measure search: nDCG@10, MRR@10 and recall with 95% intervals, and milliseconds, in every configuration.

    Test sets go through the real pipeline into indexes of their own; your pages are not touched. With --questions, the pages of
    the running service are searched, and nothing is changed. Ctrl-C loses nothing that is in --keep.
    """
    if bool(folders) == bool(questions):
        raise typer.BadParameter("give test sets (DIR…), or your own questions (--questions FILE.csv)")
    for file in (json_file, html_file):
        _check_writable(file)
    from corpus.settings import load_settings
    from footnote.evaluation.progress import Progress
    from footnote.evaluation.retrieval import Plan, evaluate_datasets, evaluate_service
    from footnote.logs import set_up_logging

    names = [name.strip() for name in configurations.split(",") if name.strip()] if configurations is not None else None
    plan = Plan(configurations=names, seed=seed)
    settings = load_settings()
    set_up_logging(settings, quiet=True)
    if questions is not None:
        from footnote.evaluation.questions import read_questions

        asked = read_questions(questions).limited(limit_queries)
        with connect(chosen_url(ctx, url)) as client:
            body = _run(
                evaluate_service(asked, client, collection=collection, plan=plan, settings=settings, progress=Progress()),
                keep=None,
            )
    else:
        from footnote.evaluation.dataset import pooled, read_dataset

        datasets = [read_dataset(folder, split=split).limited(limit_queries) for folder in folders or ()]
        datasets = [pooled(datasets)] if pool else datasets
        body = _run(evaluate_datasets(datasets, plan=plan, settings=settings, keep=keep, progress=Progress()), keep=keep)
    _show(body, json_file=json_file, html_file=html_file)
    if publish:
        _publish(body, settings)


@app.command("answers")
def answers(
    folders: Annotated[
        list[Path],
        typer.Argument(
            metavar="DIR…", show_default=False, help="Retrieval test sets with an answers.jsonl: {_id, answers, answerable, …}."
        ),
    ],
    hide_gold: Annotated[
        bool,
        typer.Option(
            "--hide-gold", help="Ask each answerable question once more with the documents that answer it out of reach."
        ),
    ] = False,
    limit_queries: Annotated[
        int | None,
        typer.Option("--limit-queries", min=1, metavar="N", show_default=False, help="Only N of each set, spread over it."),
    ] = None,
    keep: KeepOption = None,
    json_file: JsonFileOption = None,
    html_file: HtmlFileOption = None,
    publish: PublishOption = False,
    seed: SeedOption = 0,
) -> None:
    """Measure answers: what is refused and should be, whether gold sentences are cited, whether confidence means what it says.

    The sets go through the real pipeline, with the language model that is configured (FOOTNOTE_LLM__ENGINE=none: quotes alone),
    into indexes of their own; your pages are not touched.
    """
    for file in (json_file, html_file):
        _check_writable(file)
    from corpus.settings import load_settings
    from footnote.evaluation.answer_report import page, table
    from footnote.evaluation.answer_set import read_answer_set
    from footnote.evaluation.answers import evaluate_answers
    from footnote.evaluation.progress import Progress
    from footnote.logs import set_up_logging

    settings = load_settings()
    set_up_logging(settings, quiet=True)
    sets = [read_answer_set(folder) for folder in folders]
    sets = [(one.with_gold_hidden() if hide_gold else one).limited(limit_queries) for one in sets]
    body = _run(evaluate_answers(sets, settings=settings, keep=keep, progress=Progress(), seed=seed), keep=keep)
    if json_file == STDOUT:
        show_json(body)
    else:
        table(out(), body)
    if json_file is not None and json_file != STDOUT:
        _write(json_file, json.dumps(body, ensure_ascii=False, indent=1))
    if html_file is not None:
        _write(html_file, page(body))
    if publish:
        _publish(body, settings)


def _run(measuring: Coroutine[Any, Any, dict[str, Any]], *, keep: Path | None) -> dict[str, Any]:
    try:
        return asyncio.run(measuring)
    except KeyboardInterrupt:
        if keep is not None:
            show_note(f"Interrupted. What is embedded by now is kept in {keep}; the same command goes on from there.")
        raise


def _show(body: dict[str, Any], *, json_file: Path | None, html_file: Path | None) -> None:
    from footnote.evaluation.retrieval_table import table

    if json_file == STDOUT:
        show_json(body)
    else:
        table(out(), body)
    if json_file is not None and json_file != STDOUT:
        _write(json_file, json.dumps(body, ensure_ascii=False, indent=1))
    if html_file is not None:
        from footnote.evaluation.retrieval_report import page

        _write(html_file, page(body))


def _publish(body: dict[str, Any], settings: Settings) -> None:
    from corpus.datadir import DataDirectory

    folder = DataDirectory(settings.data_dir).evaluations
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError as exc:
        raise InvalidInput(f"{folder} can't be made: {exc.strerror}.") from exc
    made = "".join(char for char in body["made_at"][:19] if char.isdigit())
    _write(folder / f"{made}-{body['evaluation']}.json", json.dumps(body, ensure_ascii=False))


def _check_writable(file: Path | None) -> None:
    if file is not None and file != STDOUT:
        check_writable(file)


def _write(file: Path, text: str) -> None:
    write_whole(file, text)
    show_note(f"Written: {file}")
