"""Parses foreign bytes in a process of its own, which can be killed and can't eat the machine's memory.

A page made to hang or bloat a parser costs its own time limit and one worker process, never the event loop. The workers are
spawned, not forked: a fork would copy the threads' locks and the models of the service.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import resource
from collections.abc import Callable
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

from pebble import ProcessExpired, ProcessFuture, ProcessPool

from corpus.errors import FootnoteError, PermanentError, TransientError
from corpus.model import ContentSelectors
from ingest.extract.document import ExtractedPage, extract
from ingest.extract.extracted import NO_SELECTORS
from ingest.extract.sitemap import Sitemap, parse_sitemap

_TASKS_PER_WORKER = 1_000  # then a fresh one, against slow leaks in native code

T = TypeVar("T")


class ParserPool:
    """Runs extraction and sitemap parsing in worker processes; an async context manager.

    Args:
        timeout_s: longest time that one parse may take, from when a worker begins it.
        memory_bytes: address space that a worker may take beyond what it has once it is ready.
        workers: parses at once.

    A parse that breaks a limit ends in :class:`PermanentError`, reason ``parse_timeout``, ``parse_memory`` or
    ``parse_crashed``; the pool goes on with a fresh worker. A worker killed from outside while idle breaks pebble's pool:
    the calls it held end in :class:`TransientError`, reason ``parser_restarted``, and the next call gets a new pool. A
    cancelled call kills its parse, and leaving the block cancels what still runs. Errors that the parse itself raises on
    purpose arrive unchanged.
    """

    def __init__(self, *, timeout_s: float, memory_bytes: int, workers: int = 1) -> None:
        self._timeout_s = timeout_s
        self._memory_bytes = memory_bytes
        self._workers = workers
        self._pool: ProcessPool | None = None
        self._running: set[ProcessFuture[Any]] = set()

    async def __aenter__(self) -> Self:
        self._pool = self._new_pool()
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        pool, self._pool = self._pool, None
        for future in list(self._running):
            future.cancel()  # type: ignore[no-untyped-call]
        if pool:
            await _stop(pool)

    async def extract(
        self,
        body: bytes,
        *,
        url: str,
        content_type: str | None,
        charset: str | None,
        bot_name: str = "footnotebot",
        selectors: ContentSelectors = NO_SELECTORS,
        explain: bool = False,
    ) -> ExtractedPage:
        """:func:`ingest.extract.document.extract` under the limits."""
        said = {"url": url, "content_type": content_type, "charset": charset, "bot_name": bot_name}
        return await self._run(extract, body, **said, selectors=selectors, explain=explain)

    async def sitemap(self, body: bytes) -> Sitemap:
        """:func:`ingest.extract.sitemap.parse_sitemap` under the limits."""
        return await self._run(parse_sitemap, body)

    async def _run(self, parse: Callable[..., T], body: bytes, **arguments: Any) -> T:
        if self._pool is None:
            raise RuntimeError("ParserPool is used outside its `async with` block.")
        if not self._pool.active:
            broken, self._pool = self._pool, self._new_pool()
            await _stop(broken)
        future: ProcessFuture[T] = self._pool.schedule(_guarded, args=(parse, body, arguments), timeout=self._timeout_s)
        self._running.add(future)
        future.add_done_callback(self._running.discard)
        try:
            return await asyncio.wrap_future(future)
        except TimeoutError as exc:
            raise PermanentError(
                f"Parsing took over {self._timeout_s:g} s and was stopped. Raise ingest.parse_timeout_s if the page is sound.",
                reason="parse_timeout",
            ) from exc
        except ProcessExpired as exc:
            raise PermanentError("The parser crashed on this page, which is skipped.", reason="parse_crashed") from exc
        except BrokenProcessPool as exc:
            raise TransientError("The parsing processes were lost and are started again.", reason="parser_restarted") from exc

    def _new_pool(self) -> ProcessPool:
        return ProcessPool(
            max_workers=self._workers,
            max_tasks=_TASKS_PER_WORKER,
            initializer=_limit_memory,
            initargs=(self._memory_bytes,),
            context=multiprocessing.get_context("spawn"),
        )


async def _stop(pool: ProcessPool) -> None:
    pool.stop()  # type: ignore[no-untyped-call]
    await asyncio.to_thread(pool.join)


def _guarded(parse: Callable[..., T], body: bytes, arguments: dict[str, Any]) -> T:
    """Runs in the worker. Whatever a page provokes in a parser becomes an error that can cross the process border."""
    try:
        return parse(body, **arguments)
    except FootnoteError:
        raise
    except MemoryError as exc:
        raise PermanentError(
            "Parsing took more memory than allowed. Raise ingest.parse_memory_bytes if the page is sound.", reason="parse_memory"
        ) from exc
    except Exception as exc:  # the outermost frame of the worker process
        raise PermanentError(f"The parser failed on this page: {type(exc).__name__}: {exc}", reason="parse_crashed") from exc


def _limit_memory(memory_bytes: int) -> None:
    """Cap this process's address space. What native libraries reserve at import is granted on top of ``memory_bytes``."""
    statm = Path("/proc/self/statm")  # Linux; elsewhere the limit counts from zero
    reserved = int(statm.read_text().split()[0]) * resource.getpagesize() if statm.exists() else 0
    _, hard = resource.getrlimit(resource.RLIMIT_AS)
    limit = reserved + memory_bytes
    resource.setrlimit(resource.RLIMIT_AS, (limit if hard == resource.RLIM_INFINITY else min(limit, hard), hard))
