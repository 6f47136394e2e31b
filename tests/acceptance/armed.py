"""The real service, with a kill -9 armed at one passage of one function, and a server that forks such services quickly.

Nothing of the service knows of this. ``python -m tests.acceptance.armed`` imports what the service imports (that takes most
of a start), and then forks a process for each order that it reads from stdin. The fork wraps the function that is named, if
one is, and runs ``footnote serve`` as ``python -m footnote serve`` would. At the armed passage it notes the hit in a file and
sends itself SIGKILL: no handler runs and nothing is flushed, as when the machine's memory runs out.

A fork must not happen after threads were started or gRPC and torch were used, so the server only imports, and refuses to go
on if an import has started a thread. What would start one is told not to in ``ENVIRONMENT``.
"""

from __future__ import annotations

import ctypes
import functools
import importlib
import inspect
import json
import os
import select
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

# Read when numpy, torch and pyarrow are first imported, so they belong to the server's environment.
ENVIRONMENT = {
    "OMP_NUM_THREADS": "1",
    "OMP_WAIT_POLICY": "PASSIVE",
    "OPENBLAS_NUM_THREADS": "1",
    "JE_ARROW_MALLOC_CONF": "background_thread:false",  # a thread that pyarrow would start when it is imported
}
# What the service imports at its start or later, beyond what the points name.
HEAVY = (
    "footnote.cli",
    "footnote.commands.serve",
    "footnote.embedded",
    "footnote.logs",
    "alembic.command",
    "uvicorn.protocols.http.auto",
    "uvicorn.protocols.websockets.auto",
    "milvus_lite.server_manager",
    "milvus_lite.adapter.grpc.server",
    "sqlalchemy.dialects.sqlite.aiosqlite",
    "dbos",
    "torch",
    "transformers",
    "sentence_transformers",
    "transformers.models.bert.modeling_bert",
    "pyarrow.dataset",
    "anyio._backends._asyncio",
)
SET_PDEATHSIG, SET_CHILD_SUBREAPER = 1, 36  # prctl(2)


@dataclass(frozen=True)
class Point:
    """A function at which to kill. ``passages``: at which of its calls since the process began. ``needs``: the work that
    leads there, where not every job does."""

    function: str
    moments: tuple[str, ...] = ("before", "after")
    passages: tuple[int, ...] = (1,)
    needs: str = ""


@dataclass(frozen=True)
class Arm:
    """Die at the ``passage``-th time that ``function`` is about to be called (``before``) or has returned (``after``)."""

    function: str
    moment: str
    passage: int
    needs: str = ""

    def __str__(self) -> str:
        return f"{self.moment} {self.function} #{self.passage}"


# The way of a page through the service, in order. Between every two steps there is a point.
POINTS = (
    # a job is recorded, put on the queue and taken from it
    Point("corpus.jobs:Jobs.submit", moments=("after",)),
    Point("dbos._client:DBOSClient.enqueue"),
    Point("ingest.crawl:Crawler.begin"),
    Point("dbos._sys_db:SystemDatabase.record_operation_result"),
    # it visits what is due, and links found lead it on
    Point("ingest.frontier:add", passages=(1, 2)),
    Point("ingest.frontier:due"),
    Point("ingest.crawl:Crawler.run_batch"),
    Point("ingest.visit:Visitor.visit", passages=(3,)),
    Point("ingest.recording:Recorder.record"),
    Point("ingest.recording:Recorder._record_small"),
    Point("ingest.sheet:Sheet.write", passages=(1, 3)),
    Point("ingest.frontier:postpone", needs="failure"),
    # a changed page is written
    Point("corpus.generations:GenerationWriter._begin"),
    Point("corpus.generations:revoke_writers", moments=("after",), passages=(2,)),
    Point("corpus.generations:GenerationWriter._write"),
    Point("corpus.embedding:SentenceTransformerEmbedder.embed_passages"),
    Point("corpus.token_vectors:SqliteTokenStore.upsert"),
    Point("corpus.store_milvus:MilvusVectorIndex.upsert"),
    Point("corpus.bm25:TantivyIndex.upsert"),
    Point("corpus.store_milvus:MilvusVectorIndex.flush"),
    Point("corpus.bm25:TantivyIndex.flush"),
    Point("corpus.store:ChunkIndex.missing"),
    # within Milvus Lite, whose steps are Python too
    Point("milvus_lite.storage.wal:WAL.write_insert"),
    Point("milvus_lite.storage.wal:WAL.write_delete"),
    Point("milvus_lite.storage.manifest:Manifest.save"),
    Point("milvus_lite.storage.wal:WAL.close_and_delete", moments=("before",)),
    # it becomes live, with its URL's outcome and its links, in one transaction
    Point("corpus.generations:_flip", passages=(1, 2)),
    Point("ingest.frontier:finish", passages=(1, 2)),
    Point("corpus.generations:bump_epoch"),  # after it: the last moment before the transaction's commit
    Point("corpus.generations:GenerationWriter.clean_up", moments=("before",)),  # the first moment after it
    # what it replaced, and what was deleted, leaves the indexes
    Point("corpus.generations:GenerationWriter.sweep", passages=(1, 2)),
    Point("corpus.store:ChunkIndex.delete"),
    Point("corpus.store_milvus:MilvusVectorIndex.delete"),
    Point("corpus.bm25:TantivyIndex.delete"),
    Point("corpus.token_vectors:SqliteTokenStore.delete"),
    Point("corpus.pages:Pages.delete"),
    Point("corpus.pages:forget"),
    Point("ingest.sheet:Sheet._forget"),
    Point("ingest.vanished:Delisting._remove_some"),
    # the job ends
    Point("ingest.crawl:Crawler.finish"),
    Point("dbos._sys_db:SystemDatabase.update_workflow_outcome"),
    # the next process begins
    Point("corpus.database:Database.migrate"),
    Point("corpus.opening:mend_indexes"),
    Point("ingest.worker:IngestWorker._launch"),
    Point("ingest.worker:IngestWorker._astray"),
    Point("ingest.worker:IngestWorker._dispatch", moments=("before",)),
)

# The steps that make an empty data directory usable, in order.
FIRST_START = (
    Point("corpus.database:Database.migrate", moments=("after",)),
    Point("corpus.opening:check_stamp"),
    Point("pymilvus:MilvusClient.create_collection", moments=("before",)),
    Point("milvus_lite.db:save_schema"),
    Point("pymilvus:MilvusClient.create_index"),
    Point("pymilvus:MilvusClient.load_collection"),
    Point("corpus.bm25:TantivyIndex.__init__", moments=("after",)),
    Point("corpus.token_vectors:SqliteTokenStore.__init__", moments=("after",)),
    Point("corpus.pages:Pages.ensure_collection", moments=("after",)),
    Point("dbos:DBOS.launch"),
    Point("corpus.datadir:DataDirectory.announce"),
)


def arms(points: tuple[Point, ...]) -> Iterator[Arm]:
    for point in points:
        for passage in point.passages:
            for moment in point.moments:
                yield Arm(point.function, moment, passage, point.needs)


def find(function: str) -> tuple[Any, str]:
    """Where a function lives, and its name there. Raises: AttributeError, ImportError, TypeError if it can't be armed."""
    module, _, path = function.partition(":")
    holder: Any = importlib.import_module(module)
    *outer, name = path.split(".")
    for part in outer:
        holder = getattr(holder, part)
    found = inspect.getattr_static(holder, name)
    if isinstance(found, classmethod):
        found = found.__func__
    innermost = inspect.unwrap(found) if inspect.isfunction(found) else found
    if not inspect.isfunction(innermost) or inspect.isasyncgenfunction(innermost) or inspect.isgeneratorfunction(innermost):
        raise TypeError(f"{function} is {found!r}, which can't be armed")
    return holder, name


def set_off(arm: Arm, *, hits: Path) -> None:
    """Wrap the armed function in this process."""
    holder, name = find(arm.function)
    passages = {"before": 0, "after": 0}
    counting = threading.Lock()

    def pass_by(moment: str) -> None:
        with counting:
            passages[moment] += 1
            if moment != arm.moment or passages[moment] != arm.passage:
                return
            with hits.open("a") as file:
                file.write(f"{arm}\n")
            os.kill(os.getpid(), signal.SIGKILL)

    found = inspect.getattr_static(holder, name)
    bound_to_class = isinstance(found, classmethod)
    wrapped: Any = _wrap(found.__func__ if bound_to_class else found, pass_by)
    setattr(holder, name, classmethod(wrapped) if bound_to_class else wrapped)


def count_embeddings(into: Path) -> None:
    """Write down how many texts each call embeds as passages."""
    holder, name = find("corpus.embedding:SentenceTransformerEmbedder.embed_passages")
    embed = getattr(holder, name)

    @functools.wraps(embed)
    def counted(self: Any, texts: Any) -> Any:
        with into.open("a") as file:
            file.write(f"{len(texts)}\n")
        return embed(self, texts)

    setattr(holder, name, counted)


def _wrap(function: Callable[..., Any], pass_by: Callable[[str], None]) -> Callable[..., Any]:
    if inspect.iscoroutinefunction(function):

        @functools.wraps(function)
        async def slow(*args: Any, **kwargs: Any) -> Any:
            pass_by("before")
            result = await function(*args, **kwargs)
            pass_by("after")
            return result

        return slow

    @functools.wraps(function)
    def quick(*args: Any, **kwargs: Any) -> Any:
        pass_by("before")
        result = function(*args, **kwargs)
        pass_by("after")
        return result

    return quick


def serve_forks() -> dict[str, Any]:
    """Fork a process for each order, and tell when each ends. Returns in the forks alone, with their order.

    Orders come as lines of JSON; ``{"pid": …}`` answers each, and once the fork has ended, ``{"pid": …, "status": …}`` (as of
    waitpid) follows. ``{"left": true}`` is answered with ``{"left": […]}``: the processes that dead services left running.
    """
    _prctl(SET_PDEATHSIG, signal.SIGKILL)  # nobody outlives the test
    _prctl(SET_CHILD_SUBREAPER, 1)  # so that what a dead service leaves behind becomes ours
    named = (point.function.partition(":")[0] for point in (*POINTS, *FIRST_START))
    for module in dict.fromkeys([*HEAVY, *named]):
        importlib.import_module(module)
    threads = [Path(f"/proc/self/task/{task}/comm").read_text().strip() for task in os.listdir("/proc/self/task")]
    if len(threads) > 1:
        raise RuntimeError(f"an import has started threads ({threads}), so forking isn't safe")
    tell({"ready": True})
    forks: dict[int, int] = {}  # file descriptors that are readable once the process has ended, and its id
    while True:
        ready = select.select([sys.stdin, *forks], [], [])[0]
        for fd in forks.keys() & set(ready):
            pid = forks.pop(fd)
            os.close(fd)
            tell({"pid": pid, "status": os.waitpid(pid, 0)[1]})
        if sys.stdin not in ready:
            continue
        line = sys.stdin.readline()  # whole, and the only one: who ordered waits for the answer
        if not line:
            sys.exit(0)
        order = json.loads(line)
        if "left" in order:
            tell({"left": _left_behind(set(forks.values()))})
            continue
        pid = os.fork()
        if not pid:
            for fd in forks:
                os.close(fd)
            return order
        forks[os.pidfd_open(pid)] = pid
        tell({"pid": pid})


def _left_behind(forks: set[int]) -> list[int]:
    """Our children that we didn't fork, the dead among them buried."""
    children = [int(pid) for pid in Path("/proc/self/task", str(os.getpid()), "children").read_text().split()]
    return [pid for pid in children if pid not in forks and os.waitpid(pid, os.WNOHANG)[0] == 0]


def _prctl(option: int, value: int) -> None:
    ctypes.CDLL(None).prctl(option, value, 0, 0, 0)


def tell(answer: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(answer) + "\n")
    sys.stdout.flush()


def become_the_service(order: dict[str, Any]) -> None:
    import runpy

    _prctl(SET_PDEATHSIG, signal.SIGKILL)
    os.setsid()
    log = os.open(order["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    nothing = os.open(os.devnull, os.O_RDONLY)
    for fd, target in ((nothing, 0), (log, 1), (log, 2)):
        os.dup2(fd, target)
    os.environ.update(order["environment"])
    if order["arm"]:
        set_off(Arm(**order["arm"]), hits=Path(order["hits"]))
    count_embeddings(Path(order["embedded"]))
    sys.argv = ["footnote", *order.get("arguments", ["serve"])]
    runpy.run_module("footnote", run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    become_the_service(serve_forks())
