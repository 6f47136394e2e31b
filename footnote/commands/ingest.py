"""``footnote ingest``."""

from __future__ import annotations

from typing import Annotated

import typer

from footnote import kept, progress, render
from footnote.client import Body, Client
from footnote.commands.options import (
    DEFAULT_COLLECTION,
    CollectionOption,
    DropOption,
    JsonOption,
    KeepOption,
    UrlOption,
    chosen_url,
    http_urls,
)
from footnote.commands.options import every as every_option
from footnote.connection import connect
from footnote.terminal import err, out, show_json, show_note, waiting

DetachOption = Annotated[bool, typer.Option("--detach", "-d", help="Print the job's id and leave it to the running service.")]


def ingest(
    ctx: typer.Context,
    urls: Annotated[
        list[str],
        typer.Argument(
            metavar="URL…", callback=http_urls, show_default=False, help="Pages, start pages of a crawl, or sitemaps."
        ),
    ],
    crawl: Annotated[bool, typer.Option("--crawl", help="Follow the pages' links within their sites and folders.")] = False,
    sitemap: Annotated[bool, typer.Option("--sitemap", help="The URLs are sitemaps: index the pages they list.")] = False,
    include: Annotated[
        list[str] | None, typer.Option(metavar="GLOB", help="Only URLs that match; may be repeated.", show_default=False)
    ] = None,
    exclude: Annotated[
        list[str] | None, typer.Option(metavar="GLOB", help="No URLs that match; may be repeated.", show_default=False)
    ] = None,
    max_pages: Annotated[
        int | None, typer.Option("--max-pages", min=1, help="Page budget of the crawl.", show_default=False)
    ] = None,
    max_depth: Annotated[
        int | None, typer.Option("--max-depth", min=0, help="Links followed at most.", show_default=False)
    ] = None,
    collection: CollectionOption = DEFAULT_COLLECTION,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Index nothing: show what would be fetched, one link deep, and why not the rest.")
    ] = False,
    explain: Annotated[
        bool,
        typer.Option("--explain", help="Index nothing: fetch one page, and show side by side what is kept and what is left out."),
    ] = False,
    keep: KeepOption = None,
    drop: DropOption = None,
    prune: Annotated[
        bool, typer.Option("--prune", help="Remove pages that are not found again even where they are most of them, this time.")
    ] = False,
    every: Annotated[
        str | None,
        typer.Option(
            "--every",
            metavar="TIME",
            callback=every_option,
            show_default=False,
            help="Run the same again so often, as long as a service runs: 15m to 366d, such as 12h, 1d, 1w.",
        ),
    ] = None,
    detach: DetachOption = False,
    url: UrlOption = None,
    as_json: JsonOption = False,
) -> None:
    """Index pages, and show how it goes.

    Ctrl-C cancels the job: what is indexed by then stays. A second Ctrl-C leaves at once. To let a job go on by itself,
    use --detach with a running service.
    """
    if crawl and sitemap:
        raise typer.BadParameter("--crawl and --sitemap can't be used together")
    if dry_run and every:
        raise typer.BadParameter("a dry run is of no source, so --dry-run and --every can't be used together")
    if explain:
        if len(urls) > 1 or crawl or sitemap or dry_run or every or detach:
            raise typer.BadParameter("--explain takes one URL, and of the other options --keep, --drop, --url and --json alone")
        with connect(chosen_url(ctx, url)) as client, waiting(f"reading {urls[0]}…"):
            explained = client.explain(urls[0], keep=keep or [], drop=drop or [])
        show_json(explained) if as_json else kept.explanation(out(), explained)
        return
    mode = "crawl" if crawl else "sitemap" if sitemap else "page"
    with connect(chosen_url(ctx, url), own_allowed=not detach, with_worker=True) as client:
        limits = {"include": include, "exclude": exclude, "max_pages": max_pages, "max_depth": max_depth}
        limits |= {"prune": prune or None, "keep": keep, "drop": drop}
        job_id = client.ingest(urls, mode=mode, collection=collection, dry_run=dry_run, every=every, **limits)
        code = see_through(client, job_id, detach=detach, as_json=as_json)
    raise typer.Exit(code)


def see_through(client: Client, job_id: str, *, detach: bool, as_json: bool) -> int:
    """Follow a job that was just begun and show its outcome, or leave it to the service; gives the exit code."""
    if detach:
        show_note(f"The job goes on in the service. Follow it with: footnote jobs watch {job_id}")
        show_json(client.job(job_id)) if as_json else print(job_id)
        return 0
    job, interrupted = _follow(client, job_id)
    show_outcome(client, job, as_json=as_json)
    return 130 if interrupted else exit_code(job)


def show_outcome(client: Client, job: Body, *, as_json: bool) -> None:
    """The job as it is now; with every failed URL, where the job itself names the latest ones only, and of a dry run with
    every URL."""
    if job["spec"].get("dry_run"):
        found = list(client.job_urls(job["id"]))
        if as_json:
            show_json(job | {"found_urls": found})
        else:
            render.preview(out(), job, found)
        return
    failed = list(client.job_urls(job["id"], state="failed")) if job["urls"].get("failed") else []
    if as_json:
        show_json(job | {"failures": failed})
    else:
        render.job(out(), job, failed)


def exit_code(job: Body) -> int:
    """0 if the job did what it was for: it ended by itself, and something is in the index that was asked for, or would be."""
    indexed = job["urls"].get("indexed", 0) + job["urls"].get("unchanged", 0)
    return 0 if job["state"] == "succeeded" and (indexed or job.get("spec", {}).get("dry_run")) else 1


def watch(client: Client, job_id: str) -> Body:
    """Show the job's progress until it has ended; gives its final state."""
    last: Body = {}
    with progress.shown(err()) as update:
        for job in client.watch_job(job_id):
            update(job)
            last = job
    return last


def _follow(client: Client, job_id: str) -> tuple[Body, bool]:
    """The final state of the job, and whether Ctrl-C cancelled it."""
    try:
        return watch(client, job_id), False
    except KeyboardInterrupt:
        show_note("Cancelling, after the pages it is at… (Ctrl-C again leaves at once)")
    try:
        client.cancel_job(job_id)
        return watch(client, job_id), True
    except KeyboardInterrupt:
        show_note(f"Left. The job {job_id} is cancelled as soon as its pages are done.")
        raise
