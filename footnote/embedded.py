"""Service and worker composed in one process: the embedded profile."""

from __future__ import annotations

import asyncio
import logging
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import uvicorn

from app.main import create_app
from app.state import Readiness
from corpus.datadir import DataDirectory
from corpus.errors import StartupError
from corpus.settings import ServerSettings, Settings
from footnote.draining import DrainingServer
from footnote.slow_clients import impatient
from ingest.explain import explainer_for
from ingest.worker import worker_for

log = logging.getLogger(__name__)

AFTER_DRAINING_S = 2  # for whatever is open still; it is cut off then


class EmbeddedService:
    """The whole of Footnote in this process, listening on ``settings.server``."""

    def __init__(self, settings: Settings, *, with_worker: bool = True) -> None:
        self.settings = settings
        self.readiness = Readiness()
        self._socket: socket.socket | None = None
        app = create_app(
            settings,
            companions=[worker_for] if with_worker else [],
            explainer=None if with_worker else explainer_for,
            on_failed_start=self.stop,
            readiness=self.readiness,
        )
        self._server = DrainingServer(
            server_config(app, settings.server), readiness=self.readiness, grace_s=settings.server.shutdown_grace_s
        )

    def bind(self) -> str:
        """Take the port, before anything slow begins; gives the service's URL.

        Raises: StartupError, if the port is taken.
        """
        server = self.settings.server
        family = socket.AF_INET6 if ":" in server.host else socket.AF_INET
        # Naming the protocol matters: only then does asyncio switch Nagle's algorithm off, which cost each answer 40 ms.
        listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((server.host, server.port))
        except OSError as exc:
            listener.close()
            raise StartupError(
                f"Footnote can't listen on {server.host}:{server.port} ({exc.strerror}). "
                "Stop what listens there, or set FOOTNOTE_SERVER__PORT to another port."
            ) from exc
        listener.listen(socket.SOMAXCONN)
        self._socket = listener
        host = f"[{server.host}]" if family == socket.AF_INET6 else server.host
        return f"http://{host}:{listener.getsockname()[1]}"

    async def serve(self) -> None:
        """Serve until stopped. Raises: the error that a start failed with."""
        assert self._socket is not None, "bind() first"
        await self._server.serve(sockets=[self._socket])
        if self.readiness.error is not None:
            raise self.readiness.error

    def stop(self) -> None:
        self._server.should_exit = True


def server_config(app: Any, server: ServerSettings) -> uvicorn.Config:
    """How the web server is run, wherever it listens."""
    return uvicorn.Config(
        app,
        http=impatient(receive_s=server.receive_timeout_s, send_s=server.send_timeout_s),
        ws="none",
        log_config=None,
        access_log=False,
        timeout_graceful_shutdown=AFTER_DRAINING_S,
        server_header=False,
        proxy_headers=bool(server.trusted_proxies),
        forwarded_allow_ips=server.trusted_proxies,
    )


def serve(settings: Settings, *, on_bound: Callable[[str], None] = lambda url: None, with_worker: bool = True) -> None:
    """Run until SIGINT or SIGTERM. ``on_bound`` is told the URL once the port is taken. Raises: StartupError."""
    service = EmbeddedService(settings, with_worker=with_worker)
    if not with_worker and not settings.is_shared:
        service.readiness.degraded.append("no ingest worker: jobs wait until the service is started without --no-worker")
    url = service.bind()
    on_bound(url)
    asyncio.run(_announced(service, url))


@contextmanager
def background_service(
    settings: Settings, *, with_worker: bool, report: Callable[[str], None] = lambda stage: None
) -> Iterator[str]:
    """A service of one's own for the length of the block, on a free loopback port; gives its URL once it is ready.

    So a command that finds no running service goes the same way as one that does. ``with_worker``: whether it also runs
    ingest jobs, those included that an earlier process left unfinished. Raises: StartupError.
    """
    server = settings.server.model_copy(update={"host": "127.0.0.1", "port": 0})
    service = EmbeddedService(settings.model_copy(update={"server": server}), with_worker=with_worker)
    url = service.bind()
    failure: list[BaseException] = []

    def run() -> None:
        try:
            asyncio.run(_announced(service, url))
        except BaseException as exc:  # handed to the thread that waits for this one
            failure.append(exc)

    thread = threading.Thread(target=run, name="footnote-service")
    thread.start()
    try:
        stage = ""
        while service.readiness.state == "starting" and thread.is_alive():
            if service.readiness.stage != stage:
                stage = service.readiness.stage
                report(stage)
            thread.join(0.05)
        if service.readiness.state != "ready":
            thread.join()
            raise failure[0] if failure else StartupError(f"The service didn't start: {service.readiness.stage}")
        yield url
    finally:
        service.stop()
        thread.join()


async def _announced(service: EmbeddedService, url: str) -> None:
    """Serve, and tell the command line where once the data directory is ours."""
    serving = asyncio.create_task(service.serve())
    settled = asyncio.create_task(service.readiness.settled.wait())
    await asyncio.wait([serving, settled], return_when=asyncio.FIRST_COMPLETED)
    settled.cancel()
    if service.readiness.state == "ready":
        DataDirectory(service.settings.data_dir).announce(url)
    await serving
