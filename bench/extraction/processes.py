"""Pages over two processes that give way to whatever else the machine does."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from multiprocessing import get_context

PROCESSES = 2
NICENESS = 10


@contextmanager
def workers(warm_up: Callable[[], object]) -> Iterator[ProcessPoolExecutor]:
    """The processes, for as long as the block lasts.

    Args:
        warm_up: called first in each process, so that what is loaded once counts for no page.
    """
    context = get_context("forkserver")
    with ProcessPoolExecutor(PROCESSES, mp_context=context, initializer=_begin, initargs=(warm_up,)) as pool:
        yield pool


def _begin(warm_up: Callable[[], object]) -> None:
    os.nice(NICENESS)
    warm_up()
