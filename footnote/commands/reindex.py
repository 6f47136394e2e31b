"""``footnote reindex``."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.text import Text

from corpus.errors import FootnoteError
from footnote.commands.options import JsonOption, UrlOption, chosen_url
from footnote.connection import connect, is_locked, running_service
from footnote.terminal import clean, err, out, show, show_json, show_note, waiting

if TYPE_CHECKING:
    from corpus.settings import Settings

POLL_S = 0.5
LINE_EVERY_S = 5.0
STEPS = {
    "cut": "cutting the stored pages",
    "fill": "embedding",
    "check": "comparing the new index with the database",
    "switch": "taking the new index into use; ingest waits",
    "clear": "removing the old index",
}
Show = Callable[[str, int, int], None]


def reindex(
    ctx: typer.Context,
    embedder: Annotated[
        str | None, typer.Option("--embedder", metavar="NAME", show_default=False, help="As index.embedder: a name or a folder.")
    ] = None,
    chunk_max_tokens: Annotated[
        int | None, typer.Option("--chunk-max-tokens", min=32, show_default=False, help="As index.chunk_max_tokens.")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Tell what would be done, and the room it needs.")] = False,
    anyway: Annotated[bool, typer.Option("--anyway", help="Also if the index is made like that already.")] = False,
    abandon: Annotated[bool, typer.Option("--abandon", help="Drop a reindex that was broken off.")] = False,
    url: UrlOption = None,
    as_json: JsonOption = False,
) -> None:
    """Make the index anew with another embedder or other chunks, from the stored text: nothing is fetched.

    A running service answers from the old index until the new one is whole, and changes over between two requests. Broken off,
    by Ctrl-C or a crash, it is taken up again by the same command. What isn't named here is as your settings say, and else
    as it is.
    """
    service = chosen_url(ctx, url)
    wanted = _named(embedder, chunk_max_tokens, configured=service is None)
    settings = None if service else _settings_if_none_runs()
    if settings is not None:
        _offline(settings, wanted, dry_run=dry_run, anyway=anyway, abandon=abandon, as_json=as_json)
        return
    with connect(service, own_allowed=False) as client:
        if abandon:
            client.abandon_reindex()
            show_note("No reindex is going on any more; the index in use is as it was.")
        elif dry_run:
            with waiting("loading the embedder…"):
                found = client.plan_reindex(wanted)
            _show_plan(found, as_json=as_json)
        else:
            with waiting("loading the embedder…"):
                status = client.start_reindex(wanted, anyway=anyway)
            _follow(client.reindex_status, status, as_json=as_json)


def _named(embedder: str | None, chunk_max_tokens: int | None, *, configured: bool) -> dict[str, Any]:
    """What the command line names, and, with ``configured``, beneath it what this machine's settings do. Folders by their whole
    path, for the service that runs here may work elsewhere."""
    from corpus.index_facts import MADE_WITH
    from corpus.settings import load_settings

    index = load_settings().index
    wanted = {name: getattr(index, name) for name in MADE_WITH if configured and name in index.model_fields_set}
    wanted |= {"embedder": embedder} if embedder else {}
    wanted |= {"chunk_max_tokens": chunk_max_tokens} if chunk_max_tokens else {}
    folder = Path(wanted.get("embedder", "")).expanduser()
    if configured and "embedder" in wanted and folder.is_dir():
        wanted["embedder"] = str(folder.absolute())
    return wanted


def _settings_if_none_runs() -> Settings | None:
    """The settings, if this process may work on the data directory itself."""
    from corpus.datadir import DataDirectory
    from corpus.settings import load_settings

    settings = load_settings()
    return None if running_service(settings) or is_locked(DataDirectory(settings.data_dir)) else settings


def _offline(settings: Settings, wanted: dict[str, Any], *, dry_run: bool, anyway: bool, abandon: bool, as_json: bool) -> None:
    from footnote import reindex_offline
    from footnote.logs import set_up_logging

    set_up_logging(settings, quiet=True)
    if abandon:
        dropped = asyncio.run(reindex_offline.give_up(settings))
        show_note("Dropped; the index in use is as it was." if dropped else "There is no unfinished reindex.")
    elif dry_run:
        with waiting("loading the embedder…"):
            plan = asyncio.run(reindex_offline.plan(settings, wanted))
        _show_plan(asdict(plan), as_json=as_json)
    else:
        with _shown() as update:
            update("", 0, 0)
            work = reindex_offline.run(settings, wanted, anyway=anyway, show=lambda p: update(p.step, p.done, p.total))
            asyncio.run(work)
        _done({"state": "succeeded", "settings": wanted}, wanted, as_json=as_json)


def _follow(status_of: Callable[[], dict[str, Any]], status: dict[str, Any], *, as_json: bool) -> None:
    """Show how it goes until the new index is in use; what is left then needs nobody to wait."""
    with _shown() as update:
        while status["state"] == "running" and status["step"] != "clear":
            update(status["step"], status["done"], status["total"])
            time.sleep(POLL_S)
            status = status_of()
    if status["state"] == "failed":
        raise FootnoteError(f"The reindex failed: {status['error']} The index in use is as it was.")
    _done(status, status["settings"], as_json=as_json)


def _done(status: dict[str, Any], settings: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        show_json(status)
    else:
        print("The new index is in use.")
    if "embedder" in settings:
        show_note(f"It was made with index.embedder = {settings['embedder']}. Starts without that setting keep to it.")


def _show_plan(plan: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        show_json(plan)
        return
    console = out()
    show(console, Text(f"{plan['pages']:,} pages, {plan['chunks']:,} chunks as they are cut now"))
    for difference in plan["differences"] or ["nothing would be other than it is"]:
        show(console, Text(clean(difference)), indent=2)
    if plan["resumes"]:
        show(console, Text("An unfinished reindex with this aim would be taken up again."))
    room = f"needs about {plan['needed_bytes'] / 1e6:,.0f} MB beside what is there; {plan['free_bytes'] / 1e6:,.0f} MB are free"
    show(console, Text(room))


@contextmanager
def _shown() -> Iterator[Show]:
    """Progress on stderr: a bar on a terminal, else a line now and then."""
    console = err()
    if not console.is_terminal:
        yield _lines()
        return
    line = TextColumn("{task.fields[line]}", markup=False)
    counts = TextColumn("{task.fields[counts]}", style="dim", markup=False)
    with Progress(
        SpinnerColumn(), line, BarColumn(bar_width=20), counts, TimeElapsedColumn(), console=console, transient=True
    ) as p:
        task = p.add_task("", total=None, line="loading the embedder…", counts="")

        def update(step: str, done: int, total: int) -> None:
            said = f"{done:,} of {total:,} chunks" if total else ""
            p.update(task, completed=done, total=total or None, line=STEPS.get(step, "loading the embedder") + "…", counts=said)

        yield update


def _lines() -> Show:
    said: dict[str, float] = {}

    def update(step: str, done: int, total: int) -> None:
        now = time.monotonic()
        if step in STEPS and now >= said.get(step, 0.0):
            said[step] = now + LINE_EVERY_S
            show(err(), Text(f"{STEPS[step]}: {done:,} of {total:,} chunks" if total else f"{STEPS[step]}…"))

    return update
