"""``footnote jobs``."""

from __future__ import annotations

from typing import Annotated

import typer

from footnote import render
from footnote.commands.ingest import exit_code, show_outcome, watch
from footnote.commands.options import JsonOption, UrlOption, chosen_url
from footnote.connection import connect
from footnote.terminal import out, show_json, show_note

app = typer.Typer(help="What the worker does and has done.", invoke_without_command=True)

JobArgument = Annotated[str, typer.Argument(metavar="ID", show_default=False)]
LimitOption = Annotated[int, typer.Option("--limit", "-n", min=1, max=200, help="Most jobs shown.")]


@app.callback()
def jobs(ctx: typer.Context, limit: LimitOption = 20, url: UrlOption = None, as_json: JsonOption = False) -> None:
    """List the jobs, newest first; or show, watch or cancel one."""
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
    """Ask for a job's end: at once if it is queued, else after the pages it is at. What is indexed stays."""
    with connect(chosen_url(ctx, url)) as client:
        found = client.cancel_job(job)
    if as_json:
        show_json(found)
    else:
        render.job(out(), found, [])


@app.command("watch")
def watch_job(ctx: typer.Context, job: JobArgument, url: UrlOption = None, as_json: JsonOption = False) -> None:
    """Follow a job until it has ended; exits as `ingest` would. Ctrl-C stops watching, not the job."""
    with connect(chosen_url(ctx, url), with_worker=True) as client:
        found = watch(client, job)
        show_outcome(client, found, as_json=as_json)
    raise typer.Exit(exit_code(found))
