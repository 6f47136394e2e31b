"""A service over a real socket, in a thread of its own, with the fake models and without a worker."""

from __future__ import annotations

import asyncio
import shutil
import socket
import threading
import time
from collections.abc import Callable, Coroutine, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar
from unittest.mock import patch

import httpx2
import uvicorn

from app.main import create_app
from app.state import Readiness, Service
from corpus.settings import Settings
from footnote.embedded import server_config
from ingest.explain import explainer_for
from tests.fakes import FakeEmbedder, FakeModel
from tests.shelf import Shelf, ignore_flip

T = TypeVar("T")


@dataclass
class Running:
    """A service as a client sees it, and a door to its inside for preparing what it holds."""

    http: httpx2.Client
    loop: asyncio.AbstractEventLoop
    service: Service
    model: FakeModel
    pages: dict[str, str] = field(default_factory=dict)

    @property
    def url(self) -> str:
        return str(self.http.base_url).rstrip("/")

    def inside(self, coroutine: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(coroutine, self.loop).result(timeout=120)

    def put(self, url: str, *blocks: str, **facts: Any) -> str:
        async def write() -> str:
            s = self.service
            collection = await s.pages.ensure_collection(facts.pop("collection", "default"))
            shelf = Shelf(s.corpus, s.database, s.pages._writer, s.pages, s.searcher, collection)
            return await shelf.put(url, *blocks, on_flip=ignore_flip, **facts)

        return self.inside(write())


@contextmanager
def running(settings: Settings, *, embedder: FakeEmbedder, queue: Path) -> Iterator[Running]:
    """``queue``: an empty DBOS queue file, which is copied."""
    shutil.copy(queue, settings.data_dir / "queue.sqlite")
    model, readiness = FakeModel(""), Readiness()
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)  # named, as in footnote.embedded
    listener.bind(("127.0.0.1", 0))
    listener.listen()
    server = uvicorn.Server(server_config(create_app(settings, explainer=explainer_for, readiness=readiness), settings.server))
    loops: list[asyncio.AbstractEventLoop] = []

    async def serve() -> None:
        loops.append(asyncio.get_running_loop())
        await server.serve(sockets=[listener])

    with patch("corpus.opening.load_embedder", return_value=embedder), patch("app.state.load_model", return_value=model):
        thread = threading.Thread(target=lambda: asyncio.run(serve()))
        thread.start()
        while readiness.state == "starting" and thread.is_alive():
            time.sleep(0.02)
    try:
        assert readiness.service is not None, readiness.error
        with httpx2.Client(base_url=f"http://127.0.0.1:{listener.getsockname()[1]}", timeout=30) as client:
            yield Running(client, loops[0], readiness.service, model)
    finally:
        server.should_exit = True
        thread.join()
        listener.close()
    assert model.closed


StartService = Callable[..., AbstractContextManager[Running]]
"""Settings by name, but for the data directory, and the service that runs with them."""


def until(true: Any) -> None:
    for _ in range(500):
        if true():
            return
        time.sleep(0.02)
    raise AssertionError("it never came true")
