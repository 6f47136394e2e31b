"""``footnote jobs``."""

from __future__ import annotations

from typing import Annotated

import typer

from footnote import render
from footnote.client import Body
from footnote.commands.ingest import DetachOption, exit_code, see_through, show_outcome, watch
from footnote.commands.options import JsonOption, UrlOption, chosen_url
from footnote.connection import connect
from footnote.terminal import out, show_json, show_note

app = typer.Typer(help="What the worker does and has done.", invoke_without_command=True)

JobArgument = Annotated[str, typer.Argument(metavar="ID", show_default=False)]
LimitOption = Annotated[int, typer.Option("--limit", "-n", min=1, max=200, help="Most jobs shown.")]
ReasonOption = Annotated[
    str | None, typer.Option("--reason", metavar="WORD", show_default=False, help="Only what failed for this, such as timeout.")
]


@app.callback()
def jobs(ctx: typer.Context, limit: LimitOption = 20, url: UrlOption = None, as_json: JsonOption = False) -> None:
    """List the jobs, newest first; or show, watch, pause, resume, cancel or retry one."""
    if ctx.invoked_subcommand is None:
        list_jobs(ctx, limit, url, as_json)


@app.command("list")
def list_jobs(ctx: typer.Context, limit: LimitOption = 20, url: UrlOption = None, as_json: JsonOption = False) -> None:
    """List the jobs, newest first."""
    with connect(chosen_url(ctx, url)) as client:
        found = client.jobs(limit=limit)
    if as_json:
        show_json({"jobs": found})
    elif found:
        render.jobs(out(), found)
    else:
        show_note("No jobs yet. Start one with: footnote ingest URL")


@app.command("show")
def show_job(ctx: typer.Context, job: JobArgument, url: UrlOption = None, as_json: JsonOption = False) -> None:
    """Show a job, and what failed."""
    with connect(chosen_url(ctx, url)) as client:
        show_outcome(client, client.job(job), as_json=as_json)


@app.command("cancel")
def cancel_job(ctx: typer.Context, job: JobArgument, url: UrlOption = None, as_json: JsonOption = False) -> None:
    """Ask for a job's end: at once if it is queued or paused, else within seconds. What is indexed stays."""
    with connect(chosen_url(ctx, url)) as client:
        _show(client.cancel_job(job), as_json=as_json)


@app.command("pause")
def pause_job(ctx: typer.Context, job: JobArgument, url: UrlOption = None, as_json: JsonOption = False) -> None:
    """Ask for a pause: at once if it is queued, else within seconds."""
    with connect(chosen_url(ctx, url)) as client:
        _show(client.pause_job(job), as_json=as_json)


@app.command("resume")
def resume_job(ctx: typer.Context, job: JobArgument, url: UrlOption = None, as_json: JsonOption = False) -> None:
    """Let a paused job go on where it was, in the running service or the next one."""
    with connect(chosen_url(ctx, url)) as client:
        _show(client.resume_job(job), as_json=as_json)


@app.command("retry")
def retry_job(
    ctx: typer.Context,
    job: JobArgument,
    reason: ReasonOption = None,
    detach: DetachOption = False,
    url: UrlOption = None,
    as_json: JsonOption = False,
) -> None:
    """Visit an ended job's failed URLs again, and what it hadn't come to; shows how it goes, as `ingest` does."""
    with connect(chosen_url(ctx, url), own_allowed=not detach, with_worker=True) as client:
        client.retry_job(job, reason=reason)
        code = see_through(client, job, detach=detach, as_json=as_json)
    raise typer.Exit(code)


@app.command("failures")
def list_failures(
    ctx: typer.Context,
    collection: Annotated[
        str | None, typer.Option("--collection", "-c", metavar="NAME", show_default=False, help="Only this collection.")
    ] = None,
    reason: ReasonOption = None,
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, help="Most failures shown.")] = 100,
    url: UrlOption = None,
    as_json: JsonOption = False,
) -> None:
    """List the URLs that failed when their source was last run."""
    with connect(chosen_url(ctx, url)) as client:
        found = client.failures(collection=collection, reason=reason, limit=limit)
    if as_json:
        show_json({"failures": found})
    elif found:
        render.failures(out(), found)
        show_note("Visit a job's failed URLs again with: footnote jobs retry ID")
    else:
        show_note("Nothing failed when the sources were last run.")


@app.command("watch")
def watch_job(ctx: typer.Context, job: JobArgument, url: UrlOption = None, as_json: JsonOption = False) -> None:
    """Follow a job until it has ended; exits as `ingest` would. Ctrl-C stops watching, not the job."""
    with connect(chosen_url(ctx, url), with_worker=True) as client:
        found = watch(client, job)
        show_outcome(client, found, as_json=as_json)
    raise typer.Exit(exit_code(found))


def _show(job: Body, *, as_json: bool) -> None:
    if as_json:
        show_json(job)
    else:
        render.job(out(), job, [])
