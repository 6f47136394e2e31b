"""``footnote sources``."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from footnote import render
from footnote.commands.ingest import DetachOption, see_through
from footnote.commands.options import DropOption, JsonOption, KeepOption, UrlOption, chosen_url, every
from footnote.connection import connect
from footnote.terminal import out, show_json, show_note

app = typer.Typer(help="What was ingested, how often it is run again, and when next.", invoke_without_command=True)

SourceArgument = Annotated[str, typer.Argument(metavar="ID", show_default=False)]
LimitOption = Annotated[int, typer.Option("--limit", "-n", min=1, help="Most sources shown.")]
OnlyCollectionOption = Annotated[
    str | None, typer.Option("--collection", "-c", metavar="NAME", show_default=False, help="Only this collection.")
]


@app.callback()
def sources(
    ctx: typer.Context,
    collection: OnlyCollectionOption = None,
    limit: LimitOption = 50,
    url: UrlOption = None,
    as_json: JsonOption = False,
) -> None:
    """List the sources, newest first; or run, schedule or delete one."""
    if ctx.invoked_subcommand is None:
        list_sources(ctx, collection, limit, url, as_json)


@app.command("list")
def list_sources(
    ctx: typer.Context,
    collection: OnlyCollectionOption = None,
    limit: LimitOption = 50,
    url: UrlOption = None,
    as_json: JsonOption = False,
) -> None:
    """List the sources, newest first."""
    with connect(chosen_url(ctx, url)) as client:
        found = client.sources(collection=collection, limit=limit)
    if as_json:
        show_json({"sources": found})
    elif found:
        render.sources(out(), found)
    else:
        show_note("No sources yet. Whatever is ingested becomes one: footnote ingest URL")


@app.command("run")
def run_source(
    ctx: typer.Context, source: SourceArgument, detach: DetachOption = False, url: UrlOption = None, as_json: JsonOption = False
) -> None:
    """Run a source again now, and show how it goes, as `ingest` does."""
    with connect(chosen_url(ctx, url), own_allowed=not detach, with_worker=True) as client:
        code = see_through(client, client.run_source(source), detach=detach, as_json=as_json)
    raise typer.Exit(code)


@app.command("schedule")
def schedule_source(
    ctx: typer.Context,
    source: SourceArgument,
    how_often: Annotated[
        str | None,
        typer.Option("--every", metavar="TIME", callback=every, show_default=False, help="15m to 366d, such as 12h, 1d or 1w."),
    ] = None,
    stop: Annotated[bool, typer.Option("--stop", help="Run it no more by itself.")] = False,
    url: UrlOption = None,
    as_json: JsonOption = False,
) -> None:
    """Run a source again and again, as long as a service runs; for the first time after one such while."""
    if (how_often is None) != stop:
        raise typer.BadParameter("give either --every TIME or --stop")
    with connect(chosen_url(ctx, url)) as client:
        found = client.schedule_source(source, every=how_often)
    if as_json:
        show_json(found)
    else:
        render.sources(out(), [found])


@app.command("select")
def select_content(
    ctx: typer.Context,
    source: SourceArgument,
    keep: KeepOption = None,
    drop: DropOption = None,
    clear: Annotated[bool, typer.Option("--clear", help="Forget the source's selectors; the settings' count again.")] = False,
    url: UrlOption = None,
    as_json: JsonOption = False,
) -> None:
    """Say what of a source's pages is content, by CSS selectors in place of those that it has; without any, show them.

    Its next run reads its pages so, changed or not.
    """
    if clear and (keep or drop):
        raise typer.BadParameter("--clear forgets all selectors, so it takes neither --keep nor --drop")
    is_change = bool(clear or keep or drop)
    with connect(chosen_url(ctx, url)) as client:
        found = client.select_content(source, keep=keep or [], drop=drop or []) if is_change else client.source(source)
    if as_json:
        show_json(found)
        return
    rows = [(kind, selector) for kind in ("keep", "drop") for selector in found["spec"].get(kind) or []]
    if rows:
        render.table(out(), ("selects", "css"), rows)
    else:
        show_note("The source has no selectors: its pages are read as the settings say (ingest.selectors), or by the rules.")
    if is_change:
        show_note(f"Its next run reads its pages so, changed or not: footnote sources run {source}")


@app.command("delete")
def delete_source(
    ctx: typer.Context,
    source: SourceArgument,
    pages: Annotated[bool, typer.Option("--pages", help="Also delete the pages that no other source leads to.")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Don't ask.")] = False,
    url: UrlOption = None,
    as_json: JsonOption = False,
) -> None:
    """Forget a source and its schedule. Its pages stay, unless --pages is given."""
    if pages and not yes and not sys.stdin.isatty():
        raise typer.BadParameter("there is no terminal to ask on; pass --yes to delete pages without being asked")
    with connect(chosen_url(ctx, url)) as client:
        if pages and not yes and not typer.confirm(f"Delete the source {source} with its pages?", err=True):
            raise typer.Exit(1)
        deleted = client.delete_source(source, pages=pages)
    if as_json:
        show_json({"source": source, "pages_deleted": deleted})
    else:
        show_note(f"Forgot the source{f', and deleted {deleted:,} pages' if pages else ''}.")
