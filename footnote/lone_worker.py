"""A worker in a process of its own: ingest and nothing else. What it hasn't finished when it ends is done by others, or by itself
at its next start."""

from __future__ import annotations

import asyncio
import logging
import os
import signal

from corpus.datadir import DataDirectory
from corpus.errors import DataDirectoryLocked, StartupError
from corpus.opening import open_corpus
from corpus.settings import Settings
from ingest.worker import IngestWorker, worker_for

log = logging.getLogger(__name__)
SIGNALS = (signal.SIGTERM, signal.SIGINT)
LIFE_EVERY_S = 10.0


def work_until_stopped(settings: Settings) -> None:
    """Run until SIGTERM or SIGINT, then stop between two pages. A second signal ends the process at once, as a kill would.

    Raises: StartupError.
    """
    asyncio.run(_work(settings))


async def _work(settings: Settings) -> None:
    stopping = asyncio.Event()
    working: asyncio.Task[None] = asyncio.ensure_future(_until(stopping, settings))

    def stop(number: signal.Signals) -> None:
        if stopping.is_set():
            os._exit(128 + number)
        log.info("stopping, after what is going on")
        stopping.set()

    loop = asyncio.get_running_loop()
    for number in SIGNALS:
        loop.add_signal_handler(number, stop, number)
    try:
        await working
    finally:
        for number in SIGNALS:
            loop.remove_signal_handler(number)


async def _until(stopping: asyncio.Event, settings: Settings) -> None:
    try:
        async with open_corpus(settings, role="worker", report=lambda stage: log.info("%s", stage)) as corpus:
            if stopping.is_set():
                return
            async with worker_for(corpus) as worker:
                log.info("the worker is ready%s", f", as {corpus.shared_as}" if corpus.shared_as else "")
                living = asyncio.ensure_future(_show_life(worker, corpus.directory))
                await stopping.wait()
                living.cancel()
    except DataDirectoryLocked as exc:
        raise StartupError(
            f"{exc.message} A worker beside a service needs servers that both can use: set database.url and milvus.uri in all "
            "processes, and give each a data directory of its own."
        ) from exc
    log.info("the worker has stopped")


async def _show_life(worker: IngestWorker, directory: DataDirectory) -> None:
    """Touch a file as long as the worker's own loop answers, for whoever restarts what hangs."""
    while True:
        await worker.answers()
        directory.life_file.touch()
        await asyncio.sleep(LIFE_EVERY_S)
