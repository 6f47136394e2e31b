"""The networked stack as processes: PostgreSQL, an index server, services without workers, and workers."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg

from tests.acceptance.changing_site import ChangingSite
from tests.acceptance.mortal import ForkServer, MortalService
from tests.acceptance.service import START_TIMEOUT_S
from tests.milvus import LiteServer

READY = "the worker is ready"


@dataclass
class WatchedSite(ChangingSite):
    """As :class:`ChangingSite`; ``log`` tells when each request began and ended (seconds, monotonic), ``most_at_once`` how many
    were in flight together at most. Each takes ``answer_s``, so that two at once would meet."""

    answer_s: float = 0.02
    log: list[tuple[str, float, float, int]] = field(default_factory=list)
    most_at_once: int = 0
    _running: int = 0
    _counting: threading.Lock = field(default_factory=threading.Lock)

    def answer(self, path: str) -> tuple[int, bytes]:
        begun = time.monotonic()
        with self._counting:
            self._running += 1
            self.most_at_once = max(self.most_at_once, self._running)
        time.sleep(self.answer_s)
        code, body = super().answer(path)
        with self._counting:  # before it is sent: whoever has it may ask for the next
            self._running -= 1
            self.log.append((path, begun, time.monotonic(), code))
        return code, body

    @property
    def visits(self) -> list[str]:
        return [path for path, *_ in self.log if path != "/robots.txt"]


class WorkerProcess(MortalService):
    """``footnote worker``, which says in its log when it is ready."""

    def ready(self) -> None:
        give_up_at = time.monotonic() + START_TIMEOUT_S
        while READY not in self.log.read_text(errors="replace"):
            assert time.monotonic() < give_up_at, f"not ready:\n{self.tail()}"
            assert not self.ended(within_s=0.05), f"it ended:\n{self.tail()}"

    @property
    def process_id(self) -> str:
        """What it is registered as."""
        said = self.log.read_text(errors="replace")
        return said.rpartition(f"{READY}, as ")[2].split()[0]


@dataclass
class Stack:
    """Running processes, and the database that they share."""

    database: str
    index: LiteServer
    services: list[MortalService]
    workers: list[WorkerProcess]

    def ask(self, statement: str, *values: Any) -> list[tuple[Any, ...]]:
        with psycopg.connect(self.database, autocommit=True) as connection:
            cursor = connection.execute(statement.encode(), values)
            return cursor.fetchall() if cursor.description else []

    def until(self, true: Callable[[], bool], *, what: str, timeout_s: float = 90.0) -> None:
        give_up_at = time.monotonic() + timeout_s
        while not true():
            assert time.monotonic() < give_up_at, f"{what}: not within {timeout_s:g} s\n{self.tails()}"
            time.sleep(0.1)

    def writers(self) -> set[str]:
        """The processes whose versions of pages are live."""
        return {row[0] for row in self.ask("SELECT DISTINCT writer FROM generations WHERE state = 'live'")}

    def owner(self, job_id: str) -> WorkerProcess:
        """The worker that runs a job."""
        rows = self.ask("SELECT executor_id FROM dbos.workflow_status WHERE workflow_uuid = %s", job_id)
        return next(worker for worker in self.workers if worker.process_id == rows[0][0])

    def tails(self) -> str:
        return "\n\n".join(f"{one.data_dir.parent.name}:\n{one.tail()}" for one in [*self.services, *self.workers])


@contextmanager
def running_stack(
    folder: Path, *, forks: ForkServer, database: str, index: LiteServer, settings: dict[str, str], services: int, workers: int
) -> Iterator[Stack]:
    """All of them are started at once, as after a power cut."""
    shared = settings | {"FOOTNOTE_DATABASE__URL": database, "FOOTNOTE_MILVUS__URI": index.uri}

    def options(name: str) -> dict[str, Any]:
        home = folder / name
        home.mkdir()
        return {"folder": home, "forks": forks, "settings": shared}

    with ExitStack() as stack:
        answering = [
            stack.enter_context(MortalService(**options(f"service-{n}"), arguments=("serve", "--no-worker")))
            for n in range(services)
        ]
        working = [stack.enter_context(WorkerProcess(**options(f"worker-{n}"), arguments=("worker",))) for n in range(workers)]
        for process in (*answering, *working):
            process.begin()
        for process in (*answering, *working):
            process.ready()
        yield Stack(database, index, answering, working)
