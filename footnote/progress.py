"""A job's progress, live on a terminal and as a line now and then elsewhere."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.text import Text

from footnote.client import Body
from footnote.render import counts, state_word
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


def chunks_per_s(body: Body) -> float:
    """Chunks indexed for each second that was worked on the job, pauses left out."""
    return float(body["chunks"] / body["worked_s"]) if body["worked_s"] > 0 else 0.0


def summary(body: Body) -> str:
    if body["waits_for"]:
        return f"{state_word(body)}, after the job {clean(body['waits_for'])} of the same source"
    if not body["found"]:
        return f"{state_word(body)}…"
    return f"{state_word(body)}: {counts(body)}, {chunks_per_s(body):.1f} chunks/s"


def may_find_more(body: Body) -> bool:
    """Whether the job may go on finding URLs: then what is left is a lower bound. Its budget counts no skipped ones."""
    counted = body["found"] - body["urls"].get("skipped", 0)
    return bool(body["mode"] != "page" and counted < body["spec"]["max_pages"])


class Pace:
    """How fast a job goes, by what was seen of it since it last began to run; ``clock`` in seconds."""

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._since: tuple[float, int] | None = None

    def eta(self, body: Body) -> str:
        """The time left at the pace so far, and that it is the least if more may be found; empty where nothing can be said."""
        if body["state"] != "running":
            self._since = None
            return ""
        now, done = self._clock(), finished(body)
        began, before = self._since = self._since or (now, done)
        pending = body["urls"].get("pending", 0)
        if not pending or done <= before or now <= began:
            return ""
        left = timedelta(seconds=round(pending * (now - began) / (done - before)))
        return f"at least {left} left, still finding pages" if may_find_more(body) else f"{left} left"


@contextmanager
def _bar(console: Console) -> Iterator[Callable[[Body], None]]:
    line = TextColumn("{task.fields[line]}", markup=False)
    left = TextColumn("{task.fields[eta]}", style="dim", markup=False)
    columns = (SpinnerColumn(), line, BarColumn(bar_width=20), TimeElapsedColumn(), left)
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task("", total=None, line="queued…", eta="")
        pace = Pace()

        def update(body: Body) -> None:
            progress.update(task, completed=finished(body), total=expected(body), line=summary(body), eta=pace.eta(body))

        yield update


def _lines(console: Console, *, clock: Callable[[], float] = time.monotonic) -> Callable[[Body], None]:
    next_at = clock()
    pace = Pace(clock=clock)

    def update(body: Body) -> None:
        nonlocal next_at
        eta = pace.eta(body)
        if clock() >= next_at:
            next_at = clock() + LINE_EVERY_S
            show(console, Text(f"{summary(body)}, {eta}" if eta else summary(body)))

    return update
