"""The command line.

Results go to stdout, everything else to stderr. Exit codes: 0 done (an abstained answer is an answer), 1 failed, 2 used
wrongly, 130 interrupted. Importing this module is quick: models, web framework and databases are loaded by the commands
that need them, when they need them.
"""

from __future__ import annotations

import os
import sys
from importlib.metadata import PackageNotFoundError, version
from typing import Annotated

import typer

from corpus.errors import FootnoteError, InvalidInput
from footnote.commands import (
    ask,
    backup,
    evaluate,
    feedback,
    ingest,
    jobs,
    keys,
    mcp,
    models,
    pages,
    reindex,
    serve,
    sources,
    verify,
    worker,
)
from footnote.commands import doctor as doctor_command
from footnote.commands import settings as settings_command
from footnote.commands.options import http_url
from footnote.terminal import show_error

app = typer.Typer(
    name="footnote",
    help="Answers from your web pages, with footnotes that hold.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _show_version(wanted: bool) -> None:
    if not wanted:
        return
    try:
        print(f"footnote {version('footnote-rag')}")
    except PackageNotFoundError:
        print("footnote (not installed as a package)")
    raise typer.Exit


@app.callback()
def footnote(
    ctx: typer.Context,
    url: Annotated[
        str | None,
        typer.Option(
            "--url", envvar="FOOTNOTE_URL", metavar="URL", callback=http_url, show_default=False, help="Talk to this service."
        ),
    ] = None,
    show_version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    """Answers from your web pages, with footnotes that hold.

    Commands talk to the service that --url names, else to the one that runs on this machine, else start one for
    themselves.
    """
    ctx.obj = url


app.command("serve")(serve.serve)
app.command("worker")(worker.worker)
app.command("ingest")(ingest.ingest)
app.command("ask")(ask.ask)
app.command("search")(ask.search)
app.add_typer(pages.app, name="pages")
app.command("delete")(pages.delete)
app.command("collections")(pages.collections)
app.add_typer(jobs.app, name="jobs")
app.add_typer(sources.app, name="sources")
app.add_typer(keys.app, name="keys")
app.command("mcp")(mcp.mcp)
app.command("verify")(verify.verify)
app.command("backup")(backup.backup)
app.command("restore")(backup.restore)
app.add_typer(evaluate.app, name="eval")
app.add_typer(feedback.app, name="feedback")
app.command("reindex")(reindex.reindex)
app.add_typer(models.app, name="models")
app.command("doctor")(doctor_command.doctor)
app.command("settings")(settings_command.settings)


def main() -> None:
    """The entry point: what goes wrong on purpose ends as one message and an exit code, never as a traceback."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")  # a title that the locale can't show must not end the command
    # numpy's threads spin while they wait for each other, and its products here are small: reranking took 8 times as long with
    # two threads on busy cores, and twice as long on idle ones. Read when numpy is first imported.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    try:
        try:
            app()
        finally:
            sys.stdout.flush()  # here, where a reader that has gone can still be told from a failure
    except BrokenPipeError:
        # The reader (head, less) has seen enough. What is still buffered must not fail a second time at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except FootnoteError as exc:
        show_error(exc.message)
        sys.exit(2 if isinstance(exc, InvalidInput) else 1)
    except KeyboardInterrupt:
        sys.exit(130)
