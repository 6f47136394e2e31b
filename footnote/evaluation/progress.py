"""How far a measurement is: a bar on a terminal, a line now and then elsewhere. All on stderr."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta

from rich import progress as rich_progress
from rich.console import Console
from rich.text import Text

from footnote.terminal import clean, err, show

LINE_EVERY_S = 10.0


class Progress:
    """``clock`` in seconds."""

    def __init__(self, *, console: Console | None = None, clock: Callable[[], float] = time.monotonic) -> None:
        self._console = console or err()
        self._clock = clock

    @contextmanager
    def waiting(self, what: str) -> Iterator[None]:
        """While something goes on of which nobody can say how long it takes."""
        if self._console.is_terminal:
            with self._console.status(Text(f"{clean(what)}…")):
                yield
        else:
            self._say(f"{what}…")
            yield

    @contextmanager
    def counting(self, what: str, *, total: int, unit: str) -> Iterator[Callable[[int], None]]:
        """While ``total`` units are worked through: call what it gives with how many more are done."""
        if not self._console.is_terminal:
            yield self._lines(what, total, unit)
            return
        columns = (
            rich_progress.TextColumn("{task.description}", markup=False),
            rich_progress.BarColumn(bar_width=24),
            rich_progress.MofNCompleteColumn(),
            rich_progress.TextColumn("{task.fields[pace]}", style="dim", markup=False),
        )
        started, done = self._clock(), 0
        with rich_progress.Progress(*columns, console=self._console, transient=True) as bars:
            task = bars.add_task(clean(what), total=total, pace="")

            def advance(more: int) -> None:
                nonlocal done
                done += more
                bars.update(task, completed=done, pace=pace(done, total, self._clock() - started, unit))

            yield advance

    def _lines(self, what: str, total: int, unit: str) -> Callable[[int], None]:
        started, done = self._clock(), 0
        next_at = started + LINE_EVERY_S

        def advance(more: int) -> None:
            nonlocal done, next_at
            done += more
            if self._clock() >= next_at:
                next_at = self._clock() + LINE_EVERY_S
                self._say(f"{what}: {done:,} of {total:,} {unit}, {pace(done, total, self._clock() - started, unit)}")

        return advance

    def _say(self, line: str) -> None:
        show(self._console, Text(clean(line)))


def pace(done: int, total: int, elapsed_s: float, unit: str) -> str:
    """How fast it goes and how long it will yet take, such as ``16.2 chunks/s, 0:03:10 left``."""
    if not done or elapsed_s <= 0:
        return ""
    left = timedelta(seconds=round((total - done) * elapsed_s / done))
    return f"{done / elapsed_s:.1f} {unit}/s, {left} left"
