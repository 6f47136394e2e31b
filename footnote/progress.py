"""A job's progress, live on a terminal and as a line now and then elsewhere."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.text import Text

from footnote.client import Body
from footnote.render import counts
from footnote.terminal import clean, show

LINE_EVERY_S = 5.0


@contextmanager
def shown(console: Console) -> Iterator[Callable[[Body], None]]:
    """Gives what is to be called with each status of the job."""
    if console.is_terminal:
        with _bar(console) as update:
            yield update
    else:
        yield _lines(console)


def finished(body: Body) -> int:
    """URLs that have got their outcome."""
    return sum(n for state, n in body["urls"].items() if state != "pending")


def expected(body: Body) -> int | None:
    """How many URLs the job will have seen, as far as can be said now: crawls and sitemaps go on finding more."""
    named = len(body["spec"]["urls"]) if body["mode"] == "page" else 0
    return max(int(body["found"]), named) or None


def chunks_per_s(body: Body, *, now: datetime) -> float:
    """Chunks indexed for each second that the job has run."""
    if not body["started_at"]:
        return 0.0
    end = datetime.fromisoformat(body["finished_at"]) if body["finished_at"] else now
    seconds = (end - datetime.fromisoformat(body["started_at"])).total_seconds()
    return float(body["chunks"] / seconds) if seconds > 0 else 0.0


def summary(body: Body, *, now: datetime) -> str:
    state = "cancelling" if body["cancel_requested"] and body["state"] == "running" else body["state"]
    if not body["found"]:
        return f"{clean(state)}…"
    return f"{clean(state)}: {counts(body)}, {chunks_per_s(body, now=now):.1f} chunks/s"


@contextmanager
def _bar(console: Console) -> Iterator[Callable[[Body], None]]:
    line = TextColumn("{task.fields[line]}", markup=False)
    columns = (
        SpinnerColumn(),
        line,
        BarColumn(bar_width=20),
        TimeElapsedColumn(),
        TextColumn("ETA", style="dim"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task("", total=None, line="queued…")

        def update(body: Body) -> None:
            progress.update(task, completed=finished(body), total=expected(body), line=summary(body, now=datetime.now(UTC)))

        yield update


def _lines(console: Console, *, clock: Callable[[], float] = time.monotonic) -> Callable[[Body], None]:
    next_at = clock()

    def update(body: Body) -> None:
        nonlocal next_at
        if clock() >= next_at:
            next_at = clock() + LINE_EVERY_S
            show(console, Text(summary(body, now=datetime.now(UTC))))

    return update
